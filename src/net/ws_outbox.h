/* SPDX-License-Identifier: MIT */
/* ws_outbox: messages that wait for a slow socket, in order and bounded. NULL is an empty one. */
#ifndef TIKETI_WS_OUTBOX_H
#define TIKETI_WS_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ws_outbox;

/* Copies the message behind what waits; *outbox may move. False: more than `max` bytes would wait;
 * nothing has changed. */
bool ws_outbox_add(struct ws_outbox **outbox, const char *text, size_t len, size_t max);
/* The oldest message, borrowed until it is dropped; *outbox is not NULL. */
const char *ws_outbox_first(const struct ws_outbox *outbox, size_t *ret_len);
/* Takes it away; with the last one goes the outbox: *outbox is NULL then. */
void ws_outbox_drop(struct ws_outbox **outbox);

#endif
