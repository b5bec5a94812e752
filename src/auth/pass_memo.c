/* SPDX-License-Identifier: MIT */
/*
 * pass_memo: a cache of two ways, indexed by the hash of a pass's text.
 *
 * Why this way: the gate is asked for every page and picture of a shop, each time with the same pass, and verifying one
 * costs eight times as much as all else of the request. The whole text is compared, unlike a ticket's (ticket_memo): a
 * pass names its buyer, so an invented text must not be taken for another's. Of two passes with one place for them the
 * one that expires first is forgotten.
 * Called by: token. Owns: the entries.
 */
#include "auth/pass_memo.h"

#include "base/hash.h"
#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    uint64_t place, epoch;
    int64_t iat_s, exp_s;
    bool names_guest;
    char jti[33];
    size_t len;
    const char *event, *buyer; /* behind the text */
    char text[];
};

struct pass_memo {
    uint64_t seed;
    struct entry *entries[PASS_MEMO_MAX];
};

struct pass_memo *pass_memo_new(void)
{
    struct pass_memo *memo = xcalloc(1, sizeof(*memo));
    memo->seed = hash_seed();
    return memo;
}

void pass_memo_free(struct pass_memo *memo)
{
    if (!memo)
        return;
    for (size_t i = 0; i < PASS_MEMO_MAX; i++)
        free(memo->entries[i]);
    free(memo);
}

/* The first of the two places of this text. */
static size_t place_of(const struct pass_memo *memo, const char *text, size_t len)
{
    return hash_pair(memo->seed, text, len, NULL, 0) % (PASS_MEMO_MAX / 2) * 2;
}

static bool is_text(const struct entry *entry, const char *text, size_t len)
{
    return entry && entry->len == len && memcmp(entry->text, text, len) == 0;
}

void pass_memo_put(struct pass_memo *memo, const char *text, size_t len, const struct pass *pass)
{
    struct entry **at = &memo->entries[place_of(memo, text, len)];
    const size_t event_size = strlen(pass->event) + 1, buyer_size = strlen(pass->buyer) + 1;
    if (is_text(at[0], text, len) || is_text(at[1], text, len))
        return;
    struct entry *entry = xcalloc(1, sizeof(*entry) + len + event_size + buyer_size);
    char *event = entry->text + len, *buyer = event + event_size;
    memcpy(entry->text, text, len);
    memcpy(event, pass->event, event_size);
    memcpy(buyer, pass->buyer, buyer_size);
    memcpy(entry->jti, pass->jti, sizeof(entry->jti));
    entry->place = pass->place;
    entry->epoch = pass->epoch;
    entry->iat_s = pass->iat_s;
    entry->exp_s = pass->exp_s;
    entry->names_guest = pass->names_guest;
    entry->len = len;
    entry->event = event;
    entry->buyer = buyer;
    struct entry **old = at[0] && (!at[1] || at[1]->exp_s < at[0]->exp_s) ? &at[1] : &at[0];
    free(*old);
    *old = entry;
}

bool pass_memo_get(const struct pass_memo *memo, const char *text, size_t len,
                   struct pass *ret_pass)
{
    struct entry *const *at = &memo->entries[place_of(memo, text, len)];
    const struct entry *entry = is_text(at[0], text, len)   ? at[0]
                                : is_text(at[1], text, len) ? at[1]
                                                            : NULL;
    if (!entry)
        return false;
    (void)stpcpy(ret_pass->event, entry->event);
    (void)stpcpy(ret_pass->buyer, entry->buyer);
    memcpy(ret_pass->jti, entry->jti, sizeof(entry->jti));
    ret_pass->place = entry->place;
    ret_pass->epoch = entry->epoch;
    ret_pass->iat_s = entry->iat_s;
    ret_pass->exp_s = entry->exp_s;
    ret_pass->names_guest = entry->names_guest;
    return true;
}
