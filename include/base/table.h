/* SPDX-License-Identifier: MIT */
/*
 * table: a hash table of nodes embedded in the caller's objects. It grows by one bucket per
 * insertion (linear hashing), so that a table of a million entries never stops its thread to be
 * rebuilt. The hash is seeded at random: nobody outside can choose colliding keys in advance.
 */
#ifndef TIKETI_TABLE_H
#define TIKETI_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table_node {
    struct table_node *next; /* in its bucket */
    uint32_t hash;
};

struct table {
    struct table_node **buckets;
    size_t count;   /* buckets in use */
    size_t cap;     /* buckets there is memory for */
    size_t entries; /* nodes */
    uint64_t seed;
};

void table_init(struct table *table);
void table_clear(struct table *table); /* frees the buckets; the nodes are the caller's */

/* Hash of two texts, of which either may be empty; ("ab","c") and ("a","bc") differ. */
uint32_t table_hash(const struct table *table, const char *a, size_t a_len, const char *b,
                    size_t b_len);
void table_add(struct table *table, struct table_node *node, uint32_t hash);
void table_remove(struct table *table, struct table_node *node);

/* The first node with this hash, then the next ones (NULL at the end): the caller compares the key
 * itself. The node just visited may be removed once its successor was asked for. */
struct table_node *table_first(const struct table *table, uint32_t hash);
struct table_node *table_next(const struct table_node *node);

#endif
