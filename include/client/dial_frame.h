/* SPDX-License-Identifier: MIT */
/* dial_frame: WebSocket frames as a client writes and reads them (RFC 6455). */
#ifndef TIKETI_DIAL_FRAME_H
#define TIKETI_DIAL_FRAME_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIAL_MESSAGE_MAX (64 * 1024) /* of a message, in either direction */

enum dial_opcode { DIAL_TEXT = 1, DIAL_CLOSE = 8, DIAL_PING = 9, DIAL_PONG = 10 };

struct dial_frames; /* shared by all sockets of one thread */
struct dial_reader; /* of a socket that stands in mid-frame */

struct dial_frames *dial_frames_new(uint64_t seed); /* of the masks */
void dial_frames_free(struct dial_frames *frames);  /* NULL is fine */

/* One whole masked frame; borrowed until the next call. */
const char *dial_frame_write(struct dial_frames *frames, enum dial_opcode opcode, const void *data,
                             size_t len, size_t *ret_len);

/* A whole message, or a control frame; `data` is borrowed. False: stop reading, the socket is
 * closed (then *reader is left to dial_reader_free). */
typedef bool (*dial_frame_cb)(void *arg, enum dial_opcode opcode, const char *data, size_t len);

/* Reads what has come in. *reader is NULL between messages; it keeps what is unfinished. ST_INVALID
 * when this is no WebSocket, ST_TOO_LARGE on a message over DIAL_MESSAGE_MAX. */
MUST_CHECK enum status dial_frame_read(struct dial_frames *frames, struct dial_reader **reader,
                                       const char *data, size_t len, dial_frame_cb cb, void *arg);
void dial_reader_free(struct dial_reader *reader); /* NULL is fine */

#endif
