/* SPDX-License-Identifier: MIT */
/* dial_frame: WebSocket frames of a client (RFC 6455): writing and reading. */
#ifndef TIKETI_DIAL_FRAME_H
#define TIKETI_DIAL_FRAME_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIAL_MESSAGE_MAX (64 * 1024) /* bytes of a message, in either direction */

enum dial_opcode { DIAL_TEXT = 1, DIAL_CLOSE = 8, DIAL_PING = 9, DIAL_PONG = 10 };

struct dial_frames; /* shared by all sockets of a thread */
struct dial_reader; /* a socket has one while a message has arrived only in part */

struct dial_frames *dial_frames_new(uint64_t seed); /* new; `seed` is for the masks */
void dial_frames_free(struct dial_frames *frames);  /* NULL is fine */

/* Returns one complete masked frame, borrowed until the next call. `len` is at most DIAL_MESSAGE_MAX. */
const char *dial_frame_write(struct dial_frames *frames, enum dial_opcode opcode, const void *data,
                             size_t len, size_t *ret_len);

/* One complete message, or one control frame; `data` is borrowed until the callback returns. Return false to stop:
 * the socket is closed. */
typedef bool (*dial_frame_cb)(void *arg, enum dial_opcode opcode, const char *data, size_t len);

/* Reads received bytes; calls `cb` for each message in them. *reader is NULL at first and between messages; it keeps an
 * unfinished message. Pass it to dial_reader_free when the socket is closed. ST_INVALID: this is not
 * WebSocket; ST_TOO_LARGE: a message above DIAL_MESSAGE_MAX. */
MUST_CHECK enum status dial_frame_read(struct dial_frames *frames, struct dial_reader **reader,
                                       const char *data, size_t len, dial_frame_cb cb, void *arg);
void dial_reader_free(struct dial_reader *reader); /* NULL is fine */

#endif
