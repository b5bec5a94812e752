/* SPDX-License-Identifier: MIT */
/*
 * table: a hash table of nodes that are embedded in the caller's objects. It grows by one bucket per
 * insertion (linear hashing), so that a table of a million entries never pauses its thread to rehash. The
 * seed of the hash is random, so that no client can choose keys that collide.
 */
#ifndef TIKETI_TABLE_H
#define TIKETI_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table_node {
    struct table_node *next; /* in the same bucket */
    uint32_t hash;
};

struct table {
    struct table_node **buckets;
    size_t count;   /* buckets in use */
    size_t cap;     /* buckets allocated */
    size_t entries; /* nodes */
    uint64_t seed;
};

void table_init(struct table *table);
/* Frees the buckets, not the nodes, which belong to the caller. The table is then empty and may be used
 * again. */
void table_clear(struct table *table);

/* The hash of a pair of texts, for this table; see hash_pair. */
uint32_t table_hash(const struct table *table, const char *a, size_t a_len, const char *b,
                    size_t b_len);
/* Borrows the node until table_remove. Does not check whether the key is in the table already: look it up first. */
void table_add(struct table *table, struct table_node *node, uint32_t hash);
/* The node must be in the table. */
void table_remove(struct table *table, struct table_node *node);

/* Iterate over all nodes with a hash: table_first, then table_next of each node; NULL at the end. Different
 * keys may have the same hash, so the caller compares the key. Call table_next before removing the node. */
struct table_node *table_first(const struct table *table, uint32_t hash);
struct table_node *table_next(const struct table_node *node);

#endif
