/* SPDX-License-Identifier: MIT */
/*
 * dial_frame: WebSocket frames of a client; the only includer of wslay.
 *
 * Why this way: a wslay parser needs 4 kB, and a rehearsal has ten thousand sockets. Messages nearly always arrive whole,
 * so a socket borrows a parser from a pool only while a message is unfinished. To know that, the bytes given to
 * the parser are compared with the size of the frames that it has completed.
 * Called by: dial. Owns: the parsers.
 */
#include "client/dial_frame.h"

#include "base/buf.h"
#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <wslay/wslay.h>

struct dial_reader {
    wslay_frame_context_ptr parser;
    const uint8_t *data; /* the bytes that the parser has not taken yet */
    size_t len;
    uint64_t given, parsed; /* bytes given to the parser; bytes of the frames it has completed */
    uint64_t payload;       /* bytes of the current frame so far */
    bool fragmented;        /* between the fragments of one message */
    struct buf message;
    struct dial_reader *next; /* in the pool */
};

struct dial_frames {
    struct dial_reader *pool;
    wslay_frame_context_ptr writer; /* writes whole frames into `frame` */
    struct buf frame;
    uint64_t mask_state;
};

/* ---- writing ---- */

static ssize_t writer_send(const uint8_t *data, size_t len, int flags, void *arg)
{
    struct dial_frames *frames = arg;
    (void)flags;
    buf_add(&frames->frame, data, len);
    return frames->frame.failed ? -1 : (ssize_t)len;
}

/* Makes a mask by splitmix64. In a rehearsal the masks must differ but need not be secret. */
static int writer_mask(uint8_t *mask, size_t len, void *arg)
{
    struct dial_frames *frames = arg;
    uint64_t z = (frames->mask_state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z ^= z >> 27;
    memcpy(mask, &z, len < sizeof(z) ? len : sizeof(z));
    return 0;
}

const char *dial_frame_write(struct dial_frames *frames, enum dial_opcode opcode, const void *data,
                             size_t len, size_t *ret_len)
{
    struct wslay_frame_iocb frame = {.fin = 1,
                                     .opcode = (uint8_t)opcode,
                                     .mask = 1,
                                     .payload_length = len,
                                     .data = data,
                                     .data_length = len};
    assert(len <= DIAL_MESSAGE_MAX);
    buf_reset(&frames->frame);
    const ssize_t sent = wslay_frame_send(frames->writer, &frame);
    assert(sent == (ssize_t)len);
    (void)sent;
    *ret_len = frames->frame.len;
    return buf_str(&frames->frame);
}

/* ---- the pool of readers ---- */

static ssize_t reader_recv(uint8_t *out, size_t len, int flags, void *arg)
{
    struct dial_reader *reader = arg;
    (void)flags;
    const size_t n = reader->len < len ? reader->len : len;
    if (n == 0)
        return -1;
    memcpy(out, reader->data, n);
    reader->data += n;
    reader->len -= n;
    reader->given += n;
    return (ssize_t)n;
}

void dial_reader_free(struct dial_reader *reader)
{
    if (!reader)
        return;
    wslay_frame_context_free(reader->parser);
    buf_clear(&reader->message);
    free(reader);
}

struct dial_frames *dial_frames_new(uint64_t seed)
{
    static const struct wslay_frame_callbacks callbacks = {.send_callback = writer_send,
                                                           .genmask_callback = writer_mask};
    struct dial_frames *frames = xcalloc(1, sizeof(*frames));
    frames->mask_state = seed;
    buf_init(&frames->frame, DIAL_MESSAGE_MAX + 64);
    const int failed = wslay_frame_context_init(&frames->writer, &callbacks, frames);
    assert(failed == 0);
    (void)failed;
    return frames;
}

void dial_frames_free(struct dial_frames *frames)
{
    if (!frames)
        return;
    while (frames->pool) {
        struct dial_reader *reader = frames->pool;
        frames->pool = reader->next;
        dial_reader_free(reader);
    }
    wslay_frame_context_free(frames->writer);
    buf_clear(&frames->frame);
    free(frames);
}

/* ---- reading ---- */

/* Checks that wslay leaves to its caller: a continuation needs a message that has begun, and a text frame must not
 * interrupt one. A control frame may by the RFC, but our service sends none there. */
static bool frame_is_valid(const struct dial_reader *reader, const struct wslay_frame_iocb *frame)
{
    if (frame->rsv != 0)
        return false;
    switch (frame->opcode) {
    case WSLAY_TEXT_FRAME:
        return !reader->fragmented;
    case WSLAY_CONTINUATION_FRAME:
        return reader->fragmented;
    case WSLAY_CONNECTION_CLOSE:
    case WSLAY_PING:
    case WSLAY_PONG:
        return !reader->fragmented && frame->fin && frame->payload_length < 126;
    default:
        return false;
    }
}

/* Takes a piece of a frame. Nearly always it is the whole frame, and then nothing is copied. */
static enum status frame_piece(struct dial_reader *reader, const struct wslay_frame_iocb *frame,
                               dial_frame_cb cb, void *arg, bool *ret_go_on)
{
    const bool control = wslay_is_ctrl_frame(frame->opcode);
    const bool whole = frame->data_length == frame->payload_length;
    const uint8_t *data = frame->data;
    size_t len = frame->data_length;
    if (!frame_is_valid(reader, frame))
        return ST_INVALID;
    reader->payload += len;
    if (!whole || (!control && (!frame->fin || reader->fragmented))) {
        buf_add(&reader->message, data, len);
        data = (const uint8_t *)buf_str(&reader->message);
        len = reader->message.len;
    }
    if (reader->message.failed || frame->payload_length > DIAL_MESSAGE_MAX)
        return ST_TOO_LARGE;
    if (reader->payload != frame->payload_length)
        return ST_OK;

    /* The frame is complete. */
    const uint64_t payload = frame->payload_length;
    reader->parsed += 2 + payload + (frame->mask ? 4 : 0) +
                      (payload < 126     ? 0
                       : payload < 65536 ? 2
                                         : 8);
    reader->payload = 0;
    reader->fragmented = !control && !frame->fin;
    if (reader->fragmented)
        return ST_OK;
    *ret_go_on =
        cb(arg, control ? (enum dial_opcode)frame->opcode : DIAL_TEXT, (const char *)data, len);
    buf_reset(&reader->message);
    return ST_OK;
}

enum status dial_frame_read(struct dial_frames *frames, struct dial_reader **reader,
                            const char *data, size_t len, dial_frame_cb cb, void *arg)
{
    static const struct wslay_frame_callbacks callbacks = {.recv_callback = reader_recv};
    struct dial_reader *mine = *reader;
    bool go_on = true;
    if (!mine && frames->pool) {
        mine = frames->pool;
        frames->pool = mine->next;
    } else if (!mine) {
        mine = xcalloc(1, sizeof(*mine));
        buf_init(&mine->message, DIAL_MESSAGE_MAX);
        const int failed = wslay_frame_context_init(&mine->parser, &callbacks, mine);
        assert(failed == 0);
        (void)failed;
    }
    *reader = mine;
    mine->data = (const uint8_t *)data;
    mine->len = len;
    while (go_on) {
        struct wslay_frame_iocb frame = {0};
        const ssize_t n = wslay_frame_recv(mine->parser, &frame);
        if (n == WSLAY_ERR_WANT_READ)
            break;
        const enum status st = n < 0 ? ST_INVALID : frame_piece(mine, &frame, cb, arg, &go_on);
        if (st != ST_OK)
            return st;
    }
    /* Nothing is unfinished: the parser goes back to the pool. */
    if (go_on && mine->given == mine->parsed && mine->payload == 0 && !mine->fragmented) {
        mine->next = frames->pool;
        frames->pool = mine;
        *reader = NULL;
    }
    return ST_OK;
}
