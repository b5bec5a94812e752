/* SPDX-License-Identifier: MIT */
/* crowd_frame: WebSocket frames as a client writes and reads them (RFC 6455). */
#ifndef TIKETI_CROWD_FRAME_H
#define TIKETI_CROWD_FRAME_H

#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CROWD_MESSAGE_MAX (64 * 1024) /* of a message, in either direction */

enum crowd_opcode { CROWD_TEXT = 1, CROWD_CLOSE = 8, CROWD_PING = 9, CROWD_PONG = 10 };

struct crowd_frames; /* shared by all sockets of one thread */
struct crowd_reader; /* of a socket that stands in mid-frame */

struct crowd_frames *crowd_frames_new(uint64_t seed); /* of the masks */
void crowd_frames_free(struct crowd_frames *frames);  /* NULL is fine */

/* One whole masked frame; borrowed until the next call. */
const char *crowd_frame_write(struct crowd_frames *frames, enum crowd_opcode opcode,
                              const void *data, size_t len, size_t *ret_len);

/* A whole message, or a control frame; `data` is borrowed. False: stop reading, the socket is
 * closed (then *reader is left to crowd_reader_free). */
typedef bool (*crowd_frame_cb)(void *arg, enum crowd_opcode opcode, const char *data, size_t len);

/* Reads what has come in. *reader is NULL between messages; it keeps what is unfinished. ST_INVALID
 * when this is no WebSocket, ST_TOO_LARGE on a message over CROWD_MESSAGE_MAX. */
MUST_CHECK enum status crowd_frame_read(struct crowd_frames *frames, struct crowd_reader **reader,
                                        const char *data, size_t len, crowd_frame_cb cb, void *arg);
void crowd_reader_free(struct crowd_reader *reader); /* NULL is fine */

#endif
