/* SPDX-License-Identifier: MIT */
/* ws_outbox: the messages that wait for a slow socket, in order and up to a limit. NULL is an empty outbox. Pure. */
#ifndef TIKETI_WS_OUTBOX_H
#define TIKETI_WS_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ws_outbox;

/* Appends a copy of the message; *outbox may change. False: more than `max` bytes would wait; nothing was
 * changed. */
bool ws_outbox_add(struct ws_outbox **outbox, const char *text, size_t len, size_t max);
/* Returns the oldest message, borrowed until the outbox changes. The outbox must not be NULL. */
const char *ws_outbox_first(const struct ws_outbox *outbox, size_t *ret_len);
/* Removes the oldest message; the last one frees the outbox and sets *outbox to NULL. */
void ws_outbox_pop(struct ws_outbox **outbox);

#endif
