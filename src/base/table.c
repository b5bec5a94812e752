/* SPDX-License-Identifier: MIT */
/*
 * table: linear hashing over embedded nodes.
 *
 * Why this way: a table that doubles moves all its nodes at once, which at a million entries is a pause of
 * tens of milliseconds during a rush. Here each insertion splits one bucket: with n buckets in use and
 * `low` the greatest power of two <= n, a hash belongs to hash % (2 * low) when that bucket exists, else to
 * hash % low.
 * Called by: queue, catalog, gateway, seat_map, crowd, provider. Owns: the array of buckets, not the nodes. Fails only
 * when memory is out (aborts).
 */
#include "base/table.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/memory.h"

#define BUCKETS_MIN 8

void table_init(struct table *table)
{
    *table = (struct table){.seed = hash_seed()};
}

void table_clear(struct table *table)
{
    free(table->buckets);
    *table = (struct table){.seed = table->seed};
}

uint32_t table_hash(const struct table *table, const char *a, size_t a_len, const char *b,
                    size_t b_len)
{
    return (uint32_t)(hash_pair(table->seed, a, a_len, b, b_len) >> 32);
}

static size_t power_below(size_t count)
{
    return (size_t)1 << (63 - __builtin_clzll(count));
}

static size_t bucket_of(const struct table *table, uint32_t hash)
{
    size_t low = power_below(table->count);
    size_t at = hash & (2 * low - 1);
    return at < table->count ? at : hash & (low - 1);
}

static void make_room(struct table *table)
{
    if (table->count < table->cap)
        return;
    size_t cap = table->cap ? table->cap * 2 : BUCKETS_MIN;
    table->buckets = xrealloc(table->buckets, cap * sizeof(struct table_node *));
    table->cap = cap;
}

void table_add(struct table *table, struct table_node *node, uint32_t hash)
{
    if (!table->count) {
        make_room(table);
        table->buckets[0] = NULL;
        table->count = 1;
    } else if (table->entries >= table->count) {
        /* Add one bucket. The nodes that belong in it move out of the one bucket that held them until now. */
        make_room(table);
        const size_t fresh = table->count;
        struct table_node **from = &table->buckets[fresh - power_below(fresh)];
        struct table_node *list = *from;
        *from = NULL;
        table->buckets[fresh] = NULL;
        table->count++;
        while (list) {
            struct table_node *moved = list;
            list = moved->next;
            struct table_node **to = &table->buckets[bucket_of(table, moved->hash)];
            moved->next = *to;
            *to = moved;
        }
    }

    struct table_node **bucket = &table->buckets[bucket_of(table, hash)];
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    table->entries++;
}

void table_remove(struct table *table, struct table_node *node)
{
    struct table_node **at = &table->buckets[bucket_of(table, node->hash)];
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    node->next = NULL;
    table->entries--;
}

static struct table_node *skip_others(struct table_node *node, uint32_t hash)
{
    while (node && node->hash != hash)
        node = node->next;
    return node;
}

struct table_node *table_first(const struct table *table, uint32_t hash)
{
    return table->count ? skip_others(table->buckets[bucket_of(table, hash)], hash) : NULL;
}

struct table_node *table_next(const struct table_node *node)
{
    return skip_others(node->next, node->hash);
}
