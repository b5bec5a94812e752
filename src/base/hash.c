/* SPDX-License-Identifier: MIT */
/* hash: XXH3 of a pair of texts. Pure. Called by: table, presence, ticket_memo. */
#include "base/hash.h"

#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash_seed(void)
{
    uint64_t random = 0;
    /* Non-blocking, because the program must start even early in the boot, when the kernel has no entropy yet. */
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
        random = 0;
    return random ^ 0xcbf29ce484222325u;
}

uint64_t hash_pair(uint64_t seed, const char *a, size_t a_len, const char *b, size_t b_len)
{
    const uint64_t hash = XXH3_64bits_withSeed(a, a_len, seed);
    return b_len > 0 ? XXH3_64bits_withSeed(b, b_len, hash) : hash;
}
