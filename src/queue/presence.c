/* SPDX-License-Identifier: MIT */
/*
 * presence: what this pod last heard of each buyer it serves.
 *
 * Why this way: a cache with sets of eight, as processors have them: a buyer's hash names the set, what is
 * left of it tells him from the others there, and who was heard of longest ago makes room. So nothing is
 * allocated, linked or swept, and whoever is new touches one pair of lines of memory, which comes at
 * once. With 100,000 buyers, less than one of a million sets is full.
 * Called by: api (joins, polls), and from the `seen` answers. Owns: its sets.
 * A buyer forgotten costs one question to Redis. Two whose hashes are the same (2^-64, and the seed is
 * secret) would share a state; the place is in the ticket, never here.
 */
#include "queue/presence.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/prefetch.h"

#define WAYS       8
#define SETS       (PRESENCE_MAX / WAYS)
#define STATE_BITS 3
#define SIGN_BITS  21 /* seconds, modulo 24 days: a sign just as old hides the next, for a second */
#define MS_SHIFT   (STATE_BITS + SIGN_BITS)
#define STATE_MASK ((1u << STATE_BITS) - 1)
#define SIGN_MASK  (((UINT64_C(1) << SIGN_BITS) - 1) << STATE_BITS)

/* Kept apart, so that one line of memory tells whether he is there. */
struct set {
    uint64_t mark[WAYS];  /* 0: nobody */
    uint64_t heard[WAYS]; /* from above: ms, second of the last sign due, state */
};

struct presence {
    uint64_t seed;
    void *memory; /* of the sets, and room to move them to where a pair of lines begins */
    struct set *sets;
    bool used; /* somebody was put */
};

_Static_assert(sizeof(struct set) == 128, "a pair of lines");
_Static_assert(QUEUE_CLOSED < 1 << STATE_BITS, "a state has its bits");

struct presence *presence_new(void)
{
    struct presence *presence = xcalloc(1, sizeof(*presence));
    presence->seed = hash_seed();
    presence->memory = xcalloc(SETS + 1, sizeof(struct set));
    const size_t before = (0 - (uintptr_t)presence->memory) % sizeof(struct set);
    presence->sets = (struct set *)((char *)presence->memory + before);
    return presence;
}

void presence_free(struct presence *presence)
{
    if (!presence)
        return;
    free(presence->memory);
    free(presence);
}

static struct set *set_of(struct presence *presence, const char *event, const char *buyer,
                          uint64_t *ret_mark)
{
    const uint64_t hash = hash_pair(presence->seed, event, strlen(event), buyer, strlen(buyer));
    *ret_mark = hash != 0 ? hash : 1;
    return &presence->sets[hash % SETS];
}

/* His way in the set, or WAYS. */
static unsigned find(const struct set *set, uint64_t mark)
{
    unsigned way = 0;
    while (way < WAYS && set->mark[way] != mark)
        way++;
    return way;
}

static uint64_t sign_at(uint64_t now_ms)
{
    return now_ms / 1000 << STATE_BITS & SIGN_MASK;
}

/* The way to give to somebody new: an empty one was never heard of. */
static unsigned oldest(const struct set *set)
{
    unsigned old = 0;
    for (unsigned way = 1; way < WAYS; way++)
        if (set->heard[way] < set->heard[old])
            old = way;
    return old;
}

void presence_put(struct presence *presence, const char *event, const char *buyer,
                  enum queue_state state, uint64_t now_ms)
{
    uint64_t mark;
    struct set *set = set_of(presence, event, buyer, &mark);
    unsigned way = find(set, mark);
    uint64_t sign = sign_at(now_ms - 1000); /* of who is new: due now */
    if (way == WAYS) {
        way = oldest(set);
        set->mark[way] = mark;
    } else {
        sign = set->heard[way] & SIGN_MASK;
    }
    set->heard[way] = now_ms << MS_SHIFT | sign | state;
    presence->used = true;
}

bool presence_is_empty(const struct presence *presence)
{
    return !presence->used;
}

bool presence_get(struct presence *presence, const char *event, const char *buyer,
                  uint64_t max_age_ms, uint64_t now_ms, enum queue_state *ret_state,
                  bool *ret_sign_due)
{
    uint64_t mark;
    struct set *set = set_of(presence, event, buyer, &mark);
    const unsigned way = find(set, mark);
    if (way == WAYS || (set->heard[way] >> MS_SHIFT) + max_age_ms < now_ms)
        return false;
    const uint64_t sign = sign_at(now_ms);
    *ret_state = (enum queue_state)(set->heard[way] & STATE_MASK);
    *ret_sign_due = (set->heard[way] & SIGN_MASK) != sign;
    set->heard[way] = (set->heard[way] & ~SIGN_MASK) | sign;
    return true;
}

void presence_prefetch(struct presence *presence, const char *event, const char *buyer)
{
    uint64_t mark;
    prefetch(set_of(presence, event, buyer, &mark), sizeof(struct set));
}

void presence_drop(struct presence *presence, const char *event, const char *buyer)
{
    uint64_t mark;
    struct set *set = set_of(presence, event, buyer, &mark);
    const unsigned way = find(set, mark);
    if (way < WAYS)
        set->mark[way] = set->heard[way] = 0;
}
