/* SPDX-License-Identifier: MIT */
/*
 * presence: what this pod last heard of each buyer it serves.
 *
 * Why this way: a hash table plus one list ordered by the time of the last word. Every word moves
 * its entry to the young end, so dropping the old means looking at the other end alone, and a full
 * table gives up whoever was silent longest.
 * Called by: api (polls), from the `seen` answers. Owns: its entries; copies the ids.
 * Invariants: entries <= PRESENCE_MAX; the list is ascending in at_ms. A lost entry costs one
 * question to Redis, never a wrong answer.
 */
#include "presence.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "table.h"

#define SILENT_MS      120000
#define SIGN_EVERY_MS  1000
#define DROPS_PER_CALL 20000 /* one presence_expire takes a few ms at most */

struct entry {
    struct table_node node; /* first */
    struct entry *older, *younger;
    uint64_t at_ms;
    uint64_t sign_ms; /* when a sign of life was last due */
    uint8_t state;
    char key[]; /* event, NUL, buyer, NUL */
};

struct presence {
    struct table table;
    struct entry *oldest, *youngest;
};

struct presence *presence_new(void)
{
    struct presence *presence = xcalloc(1, sizeof(*presence));
    table_init(&presence->table);
    return presence;
}

static void list_remove(struct presence *presence, struct entry *entry)
{
    *(entry->older ? &entry->older->younger : &presence->oldest) = entry->younger;
    *(entry->younger ? &entry->younger->older : &presence->youngest) = entry->older;
}

static void list_append(struct presence *presence, struct entry *entry)
{
    entry->older = presence->youngest;
    entry->younger = NULL;
    *(presence->youngest ? &presence->youngest->younger : &presence->oldest) = entry;
    presence->youngest = entry;
}

static void drop(struct presence *presence, struct entry *entry)
{
    list_remove(presence, entry);
    table_remove(&presence->table, &entry->node);
    free(entry);
}

void presence_free(struct presence *presence)
{
    if (!presence)
        return;
    while (presence->oldest)
        drop(presence, presence->oldest);
    table_clear(&presence->table);
    free(presence);
}

static struct entry *find(struct presence *presence, uint32_t hash, const char *event,
                          const char *buyer)
{
    struct table_node *node = table_first(&presence->table, hash);
    for (; node; node = table_next(node)) {
        struct entry *entry = (struct entry *)node;
        if (!strcmp(entry->key, event) && !strcmp(entry->key + strlen(entry->key) + 1, buyer))
            return entry;
    }
    return NULL;
}

static uint32_t hash_of(const struct presence *presence, const char *event, const char *buyer)
{
    return table_hash(&presence->table, event, strlen(event), buyer, strlen(buyer));
}

static struct entry *add(struct presence *presence, uint32_t hash, const char *event,
                         const char *buyer)
{
    size_t event_size = strlen(event) + 1, buyer_size = strlen(buyer) + 1;
    assert(event_size <= EVENT_ID_MAX + 1 && buyer_size <= BUYER_ID_MAX + 1);
    if (presence->table.entries >= PRESENCE_MAX)
        drop(presence, presence->oldest);
    struct entry *entry = xcalloc(1, sizeof(*entry) + event_size + buyer_size);
    memcpy(entry->key, event, event_size);
    memcpy(entry->key + event_size, buyer, buyer_size);
    table_add(&presence->table, &entry->node, hash);
    return entry;
}

void presence_put(struct presence *presence, const char *event, const char *buyer,
                  enum queue_state state, uint64_t now_ms)
{
    uint32_t hash = hash_of(presence, event, buyer);
    struct entry *entry = find(presence, hash, event, buyer);
    if (entry)
        list_remove(presence, entry);
    else
        entry = add(presence, hash, event, buyer);
    entry->state = (uint8_t)state;
    entry->at_ms = now_ms;
    list_append(presence, entry);
}

bool presence_get(struct presence *presence, const char *event, const char *buyer,
                  uint64_t max_age_ms, uint64_t now_ms, enum queue_state *ret_state,
                  bool *ret_sign_due)
{
    struct entry *entry = find(presence, hash_of(presence, event, buyer), event, buyer);
    if (!entry || entry->at_ms + max_age_ms < now_ms)
        return false;
    *ret_state = (enum queue_state)entry->state;
    *ret_sign_due = now_ms - entry->sign_ms >= SIGN_EVERY_MS;
    if (*ret_sign_due)
        entry->sign_ms = now_ms;
    return true;
}

void presence_drop(struct presence *presence, const char *event, const char *buyer)
{
    struct entry *entry = find(presence, hash_of(presence, event, buyer), event, buyer);
    if (entry)
        drop(presence, entry);
}

void presence_expire(struct presence *presence, uint64_t now_ms)
{
    for (int i = 0; i < DROPS_PER_CALL && presence->oldest; i++) {
        if (presence->oldest->at_ms + SILENT_MS >= now_ms)
            return;
        drop(presence, presence->oldest);
    }
}
