/* SPDX-License-Identifier: MIT */
/*
 * hash: the hash of a pair of texts, for tables in memory. It is seeded at random: nobody outside can
 * choose keys that collide. XXH3 (xxhash.com): a byte at a time, the ids of a join took as long to hash as
 * its ticket to encode. Never for signatures.
 */
#ifndef TIKETI_HASH_H
#define TIKETI_HASH_H

#include <stddef.h>
#include <stdint.h>

/* A new seed; without entropy at boot always the same one. */
uint64_t hash_seed(void);

/* Either text may be empty; ("ab","c") and ("a","bc") differ. */
uint64_t hash_pair(uint64_t seed, const char *a, size_t a_len, const char *b, size_t b_len);

#endif
