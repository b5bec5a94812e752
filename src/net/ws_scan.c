/* SPDX-License-Identifier: MIT */
/*
 * ws_scan: what a client must not send, noticed before libwebsockets reads it.
 *
 * Why this way: libwebsockets 4.1.6 takes frames that are not masked, and answers pings without telling us. So ws reads
 * each byte first (recv_tap) and passes on only what is right. An error is noticed at its first byte: the frame that
 * has it never reaches the library as a whole.
 * Called by: ws alone. Pure. Owns nothing.
 */
#include "net/ws_scan.h"

#define OPCODE_BINARY 2
#define OPCODE_CLOSE  8
#define OPCODE_PONG   10
#define LEN_16        126 /* the length follows in 16 bits */
#define LEN_64        127 /* in 64 bits */

static bool is_control(const struct ws_scan *scan)
{
    return scan->head[0] & 0x08;
}

static bool is_last(const struct ws_scan *scan)
{
    return scan->head[0] & 0x80;
}

static const char *check_first(const struct ws_scan *scan)
{
    const unsigned opcode = scan->head[0] & 0x0f;
    if (scan->head[0] & 0x70)
        return "reserved bits";
    if (is_control(scan) ? opcode > OPCODE_PONG : opcode > OPCODE_BINARY)
        return "unknown opcode";
    if (is_control(scan))
        return is_last(scan) ? NULL : "control frame in fragments";
    if ((opcode == 0) != scan->in_message)
        return scan->in_message ? "message within a message" : "nothing to continue";
    return NULL;
}

static const char *check_second(const struct ws_scan *scan)
{
    const unsigned len = scan->head[1] & 0x7f;
    if (!(scan->head[1] & 0x80))
        return "frame is not masked";
    if (is_control(scan) && len >= LEN_16)
        return "control frame too long";
    if ((scan->head[0] & 0x0f) == OPCODE_CLOSE && len == 1)
        return "close code";
    return NULL;
}

/* The length of the head in bytes, by its second one. */
static size_t head_size(const struct ws_scan *scan)
{
    const unsigned len = scan->head[1] & 0x7f;
    return len == LEN_64 ? 14 : len == LEN_16 ? 8 : 6;
}

/* Call it when the length of the payload has arrived. NULL: it is good, and scan->left is written. */
static const char *take_length(struct ws_scan *scan, size_t most, uint16_t *ret_code)
{
    const unsigned first = scan->head[1] & 0x7f;
    uint64_t len = first >= LEN_16 ? 0 : first;
    for (size_t i = 2; i < scan->head_len; i++)
        len = len << 8 | scan->head[i];
    if (first >= LEN_16 && len < (first == LEN_16 ? LEN_16 : 65536u))
        return "length is not in its shortest form";
    if (len > most) {
        *ret_code = 1009;
        return "message too long";
    }
    scan->left = (uint32_t)len;
    return NULL;
}

/* Takes the next byte of a head. NULL: it is good. */
static const char *take_head(struct ws_scan *scan, unsigned char byte, size_t most,
                             uint16_t *ret_code)
{
    const char *error = NULL;
    *ret_code = 1002;
    scan->head[scan->head_len++] = byte;
    if (scan->head_len == 1)
        return check_first(scan);
    if (scan->head_len == 2)
        error = check_second(scan);
    if (scan->head_len > 2 && scan->head_len <= 6 && head_size(scan) == WS_SCAN_HEAD_MAX && byte) {
        *ret_code = 1009; /* 4 GiB or more: told at once, because libwebsockets would not */
        return "message too long";
    }
    if (!error && scan->head_len == head_size(scan) - 4) /* all but the mask */
        error = take_length(scan, most, ret_code);
    return error;
}

/* Is this a code that may be sent (RFC 6455, 7.4; IANA's registry)? */
static bool is_close_code(unsigned code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

/* Takes the next byte of a close frame's payload. NULL: it is good. */
static const char *take_close(struct ws_scan *scan, unsigned char byte)
{
    if (scan->code_len == 2)
        return NULL;
    scan->code[scan->code_len] = byte ^ scan->head[2 + scan->code_len]; /* the mask */
    if (++scan->code_len < 2)
        return NULL;
    return is_close_code((unsigned)scan->code[0] << 8 | scan->code[1]) ? NULL : "close code";
}

static enum ws_scan_event end_frame(struct ws_scan *scan)
{
    const bool extra = is_control(scan) || !is_last(scan);
    scan->head_len = 0;
    if ((scan->head[0] & 0x0f) == OPCODE_CLOSE) {
        scan->closed = true;
        return WS_SCAN_FRAME;
    }
    if (!is_control(scan))
        scan->in_message = !is_last(scan);
    return extra ? WS_SCAN_EXTRA : WS_SCAN_FRAME;
}

size_t ws_scan(struct ws_scan *scan, const unsigned char *data, size_t len, size_t most,
               struct ws_scan_result *ret_result)
{
    size_t at = 0;
    while (at < len && !scan->closed) {
        const bool in_head = scan->head_len < 2 || scan->head_len < head_size(scan);
        const char *error = NULL;
        size_t taken = 1;
        if (in_head) {
            error = take_head(scan, data[at], most, &ret_result->code);
        } else if ((scan->head[0] & 0x0f) == OPCODE_CLOSE) {
            ret_result->code = 1002;
            error = take_close(scan, data[at]);
            scan->left--;
        } else {
            taken = len - at < scan->left ? len - at : scan->left;
            scan->left -= (uint32_t)taken;
        }
        if (error) {
            ret_result->event = WS_SCAN_ERROR;
            ret_result->reason = error;
            return at;
        }
        at += taken;
        if (scan->head_len >= 2 && scan->head_len == head_size(scan) && scan->left == 0) {
            ret_result->event = end_frame(scan);
            return at;
        }
    }
    ret_result->event = WS_SCAN_MORE;
    return at;
}
