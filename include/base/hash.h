/* SPDX-License-Identifier: MIT */
/*
 * hash: the hash of a pair of texts, for tables in memory. Its seed is random, so that no client can choose keys
 * that collide. XXH3 (xxhash.com), because it reads eight bytes at a time: hashing byte by byte cost a join
 * as much as encoding its ticket. Not for signatures.
 */
#ifndef TIKETI_HASH_H
#define TIKETI_HASH_H

#include <stddef.h>
#include <stdint.h>

/* A new random seed; a fixed one while the kernel has no entropy yet (early boot). */
uint64_t hash_seed(void);

/* Either text may be empty. ("ab", "c") and ("a", "bc") have different hashes. */
uint64_t hash_pair(uint64_t seed, const char *a, size_t a_len, const char *b, size_t b_len);

#endif
