/* SPDX-License-Identifier: MIT */
/*
 * ticket_memo: a bounded cache of the tickets that this worker has verified or signed, by the hash of their text. A
 * polling buyer sends the same ticket until their position changes, so it is verified and decoded only once. The
 * cache has TICKET_MEMO_MAX slots of 40 bytes; the system gives it memory only for slots that were used.
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
/* Remembers that `text` is this ticket; another ticket may be forgotten for it. The text must have been accepted by
 * ticket_read or written by ticket_sign. */
void ticket_memo_put(struct ticket_memo *memo, const char *text, size_t len,
                     const struct ticket *ticket);
/* Fills place, epoch and lowest of *ret_ticket. False: the text is not remembered as a ticket of this event and
 * buyer; then nothing was written. */
bool ticket_memo_get(const struct ticket_memo *memo, const char *text, size_t len,
                     const char *event, const char *buyer, struct ticket *ret_ticket);

#endif
