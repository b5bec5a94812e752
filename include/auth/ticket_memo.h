/* SPDX-License-Identifier: MIT */
/*
 * ticket_memo: what the tickets that this worker read or signed of late say, found by their text. Who polls sends
 * the same ticket again until his position has changed: it need not be verified and decoded each time. Bounded:
 * TICKET_MEMO_MAX are remembered, of 40 bytes each, in memory that is touched only as they come.
 */
#ifndef TIKETI_TICKET_MEMO_H
#define TIKETI_TICKET_MEMO_H

#include "auth/token.h"

#include <stdbool.h>
#include <stddef.h>

#define TICKET_MEMO_MAX ((size_t)1 << 17)

struct ticket_memo;

struct ticket_memo *ticket_memo_new(void);
void ticket_memo_free(struct ticket_memo *memo);
/* Remembers that `text` is this ticket. Only for a text that ticket_read has accepted or ticket_sign has
 * written. Another may be forgotten. */
void ticket_memo_put(struct ticket_memo *memo, const char *text, size_t len,
                     const struct ticket *ticket);
/* Fills place, epoch and lowest of *ret_ticket; false: not remembered as theirs, and nothing was written. */
bool ticket_memo_get(const struct ticket_memo *memo, const char *text, size_t len,
                     const char *event, const char *buyer, struct ticket *ret_ticket);

#endif
