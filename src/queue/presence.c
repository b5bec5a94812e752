/* SPDX-License-Identifier: MIT */
/*
 * presence: the state that Redis last reported for each buyer of this worker.
 *
 * Why this way: it is a set-associative cache with eight entries per set, like the caches of CPUs. The hash of event
 * and buyer selects the set, the whole hash tells the buyers of a set apart, and the oldest entry is replaced.
 * Nothing is allocated, linked or swept, and a look-up touches one pair of cache lines. With 100,000 buyers, less
 * than one set in a million is full.
 * Called by: api (joins, polls, answers to heartbeats). Owns: its sets.
 * When a buyer was forgotten, Redis is asked once. Two buyers with the same hash (a chance of 2^-64, with a secret
 * seed) would share a state, but never a place: that is in the ticket.
 */
#include "queue/presence.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"

#define WAYS       8
#define SETS       (PRESENCE_MAX / WAYS)
#define STATE_BITS 4
/* Seconds modulo 12 days: after a silence of exactly 12 days a heartbeat is sent a second late. */
#define HEARTBEAT_BITS 20
#define MS_SHIFT       (STATE_BITS + HEARTBEAT_BITS)
#define STATE_MASK     ((1u << STATE_BITS) - 1)
#define HEARTBEAT_MASK (((UINT64_C(1) << HEARTBEAT_BITS) - 1) << STATE_BITS)

/* Hashes and values are kept apart, so that one cache line tells whether the buyer is there. */
struct set {
    uint64_t hash[WAYS]; /* 0: free */
    /* from the highest bit: time of the note in ms, second of the last heartbeat, state */
    uint64_t value[WAYS];
};

struct presence {
    uint64_t seed;
    /* the allocated memory: the sets, and space to align them to a pair of cache lines */
    void *memory;
    struct set *sets;
    bool used; /* presence_put was called */
};

_Static_assert(sizeof(struct set) == 128, "a pair of cache lines");
_Static_assert(QUEUE_BANNED < 1 << STATE_BITS, "a state has its bits");

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
                          uint64_t *ret_hash)
{
    const uint64_t hash = hash_pair(presence->seed, event, strlen(event), buyer, strlen(buyer));
    *ret_hash = hash != 0 ? hash : 1;
    return &presence->sets[hash % SETS];
}

/* The index of the buyer's entry in the set; WAYS: there is none. */
static unsigned find(const struct set *set, uint64_t hash)
{
    unsigned way = 0;
    while (way < WAYS && set->hash[way] != hash)
        way++;
    return way;
}

static uint64_t heartbeat_at(uint64_t now_ms)
{
    return now_ms / 1000 << STATE_BITS & HEARTBEAT_MASK;
}

void presence_put(struct presence *presence, const char *event, const char *buyer,
                  enum queue_state state, uint64_t now_ms)
{
    uint64_t hash;
    struct set *set = set_of(presence, event, buyer, &hash);
    unsigned way = find(set, hash);
    uint64_t heartbeat = heartbeat_at(now_ms - 1000); /* for a new buyer: a heartbeat is due now */
    if (way < WAYS) {
        heartbeat = set->value[way] & HEARTBEAT_MASK;
    } else {
        way = 0; /* the oldest entry, or a free one, whose value is 0 */
        for (unsigned other = 1; other < WAYS; other++)
            if (set->value[other] < set->value[way])
                way = other;
        set->hash[way] = hash;
    }
    set->value[way] = now_ms << MS_SHIFT | heartbeat | state;
    presence->used = true;
}

bool presence_is_empty(const struct presence *presence)
{
    return !presence->used;
}

bool presence_get(struct presence *presence, const char *event, const char *buyer,
                  uint64_t max_age_ms, uint64_t now_ms, struct presence_state *ret_state)
{
    uint64_t hash;
    struct set *set = set_of(presence, event, buyer, &hash);
    const unsigned way = find(set, hash);
    if (way == WAYS || (set->value[way] >> MS_SHIFT) + max_age_ms < now_ms)
        return false;
    const uint64_t heartbeat = heartbeat_at(now_ms);
    ret_state->state = (enum queue_state)(set->value[way] & STATE_MASK);
    ret_state->heartbeat_due = (set->value[way] & HEARTBEAT_MASK) != heartbeat;
    set->value[way] = (set->value[way] & ~HEARTBEAT_MASK) | heartbeat;
    return true;
}

void presence_drop(struct presence *presence, const char *event, const char *buyer)
{
    uint64_t hash;
    struct set *set = set_of(presence, event, buyer, &hash);
    const unsigned way = find(set, hash);
    if (way < WAYS)
        set->hash[way] = set->value[way] = 0;
}
