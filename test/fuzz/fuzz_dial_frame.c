/* SPDX-License-Identifier: MIT */
/* dial_frame: frames give the same messages in one piece as byte by byte; what is written is read back by the rules. */
#include "fuzz.h"

#include "base/buf.h"
#include "client/dial_frame.h"

#define SEEN_MAX ((size_t)4 << 20)

static bool on_message(void *arg, enum dial_opcode opcode, const char *data, size_t len)
{
    struct buf *seen = arg;
    check(len <= DIAL_MESSAGE_MAX);
    check(opcode == DIAL_TEXT || opcode == DIAL_CLOSE || opcode == DIAL_PING ||
          opcode == DIAL_PONG);
    buf_add_int(seen, opcode);
    buf_add_char(seen, ' ');
    buf_add_uint(seen, len);
    buf_add_char(seen, ' ');
    buf_add(seen, data, len);
    return opcode != DIAL_CLOSE;
}

static enum status read_all(struct dial_frames *frames, const uint8_t *data, size_t size,
                            size_t step, struct buf *seen)
{
    struct dial_reader *reader = NULL;
    enum status st = ST_OK;
    for (size_t at = 0; at < size && st == ST_OK; at += step) {
        const size_t len = size - at < step ? size - at : step;
        /* A copy of exactly that size, so that a sanitizer sees a read beyond it. */
        char *piece = malloc(len);
        check(piece);
        memcpy(piece, data + at, len);
        const size_t before = seen->len;
        st = dial_frame_read(frames, &reader, piece, len, on_message, seen);
        free(piece);
        if (seen->len > before && memchr("8", seen->data[before], 1))
            break; /* closed: nothing more is read */
    }
    dial_reader_free(reader);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dial_frames *frames;
    struct buf whole, bytes;
    size_t len;
    if (!frames)
        frames = dial_frames_new(1);
    buf_init(&whole, SEEN_MAX);
    buf_init(&bytes, SEEN_MAX);
    const enum status one = read_all(frames, data, size, size + 1, &whole);
    const enum status two = read_all(frames, data, size, 1, &bytes);
    /* After a close frame the one has seen what the other was not given. */
    if (!memchr(data, 0x88, size))
        check(one == two && strcmp(buf_str(&whole), buf_str(&bytes)) == 0);
    if (size <= DIAL_MESSAGE_MAX) {
        const char *frame = dial_frame_write(frames, DIAL_TEXT, data, size, &len);
        const size_t head = size < 126 ? 6 : size < 65536 ? 8 : 14;
        check(len == head + size && (frame[1] & 0x80));
        for (size_t i = 0; i < size; i++)
            check((uint8_t)(frame[head + i] ^ frame[head - 4 + i % 4]) == data[i]);
    }
    buf_clear(&whole);
    buf_clear(&bytes);
    return 0;
}
