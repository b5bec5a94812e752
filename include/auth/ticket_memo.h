/* SPDX-License-Identifier: MIT */
/*
 * ticket_memo: a bounded cache of the tickets that this worker has verified or signed, by the hash of their text. A
 * polling buyer sends the same ticket until their position changes: it need not be verified and decoded each time.
 * TICKET_MEMO_MAX tickets of 40 bytes each; memory is used only as they come.
 */
#ifndef TIKETI_TICKET_MEMO_H
#define TIKETI_TICKET_MEMO_H

#include "auth/token.h"

#include <stdbool.h>
#include <stddef.h>

#define TICKET_MEMO_MAX ((size_t)1 << 17)

struct ticket_memo;

struct ticket_memo *ticket_memo_new(void);
void ticket_memo_free(struct ticket_memo *memo); /* NULL is fine */
/* Remembers that `text` is this ticket; it may replace another. Only for a text that ticket_read has accepted or
 * ticket_sign has written. */
void ticket_memo_put(struct ticket_memo *memo, const char *text, size_t len,
                     const struct ticket *ticket);
/* Fills place, epoch and lowest of *ret_ticket. False: not remembered as a ticket of this event and buyer; then
 * nothing was written. */
bool ticket_memo_get(const struct ticket_memo *memo, const char *text, size_t len,
                     const char *event, const char *buyer, struct ticket *ret_ticket);

#endif
