/* SPDX-License-Identifier: MIT */
/*
 * ticket_memo: a direct-mapped cache, indexed by the hash of a ticket's text.
 *
 * Why this way: verifying a ticket is a tenth of what a poll costs. A ticket's text would be 300 bytes to keep and to
 * compare; its hash and that of its owner (event and buyer) are 16 bytes. Hashes are safe here: if an invented text
 * has the hash of the sender's own ticket, the sender gets only what that ticket says. To be taken for another buyer,
 * both hashes must collide: a chance of 2^-128, with a secret seed and texts that the sender does not know.
 * Called by: identity. Owns: its slots. A ticket that was forgotten is verified again.
 */
#include "auth/ticket_memo.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"

struct slot {
    uint64_t text, owner; /* hashes; owner: of event and buyer */
    uint64_t place, epoch, lowest;
};

struct ticket_memo {
    uint64_t seed;
    struct slot *slots;
};

_Static_assert(sizeof(struct slot) == 40, "as the header says");

struct ticket_memo *ticket_memo_new(void)
{
    struct ticket_memo *memo = xcalloc(1, sizeof(*memo));
    memo->seed = hash_seed();
    memo->slots = xcalloc(TICKET_MEMO_MAX, sizeof(*memo->slots));
    return memo;
}

void ticket_memo_free(struct ticket_memo *memo)
{
    if (!memo)
        return;
    free(memo->slots);
    free(memo);
}

static uint64_t owner_hash(const struct ticket_memo *memo, const char *event, const char *buyer)
{
    return hash_pair(memo->seed, event, strlen(event), buyer, strlen(buyer));
}

void ticket_memo_put(struct ticket_memo *memo, const char *text, size_t len,
                     const struct ticket *ticket)
{
    const uint64_t hash = hash_pair(memo->seed, text, len, NULL, 0);
    memo->slots[hash % TICKET_MEMO_MAX] =
        (struct slot){.text = hash,
                      .owner = owner_hash(memo, ticket->event, ticket->buyer),
                      .place = ticket->place,
                      .epoch = ticket->epoch,
                      .lowest = ticket->lowest};
}

bool ticket_memo_get(const struct ticket_memo *memo, const char *text, size_t len,
                     const char *event, const char *buyer, struct ticket *ret_ticket)
{
    const uint64_t hash = hash_pair(memo->seed, text, len, NULL, 0);
    const struct slot *slot = &memo->slots[hash % TICKET_MEMO_MAX];
    if (slot->text != hash || slot->owner != owner_hash(memo, event, buyer))
        return false;
    ret_ticket->place = slot->place;
    ret_ticket->epoch = slot->epoch;
    ret_ticket->lowest = slot->lowest;
    return true;
}
