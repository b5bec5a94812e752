/* SPDX-License-Identifier: MIT */
/*
 * rate_limit: a token bucket per client address.
 *
 * Why this way: a fixed open-addressed table. An address uses one of eight neighbouring slots; when all are
 * taken, the one unused for longest is reused, so that a flood of addresses costs no memory.
 * Called by: api, on the worker's own thread. Owns: the table.
 */
#include "net/rate_limit.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS    32768 /* a power of two */
#define NEIGHBOURS 8

struct bucket {
    uint64_t key; /* hash of the address; 0: free */
    uint64_t at_ms;
    double tokens;
};

struct rate_limit {
    double per_ms, burst;
    struct bucket buckets[BUCKETS + NEIGHBOURS];
};

struct rate_limit *rate_limit_new(int64_t per_second)
{
    if (per_second <= 0)
        return NULL;
    struct rate_limit *limit = xcalloc(1, sizeof(*limit));
    limit->per_ms = (double)per_second / 1000.0;
    limit->burst = (double)per_second * 2.0;
    return limit;
}

void rate_limit_free(struct rate_limit *limit)
{
    free(limit);
}

bool rate_limit_take(struct rate_limit *limit, const char *address, uint64_t now_ms)
{
    if (!limit)
        return true;

    /* FNV-1a, 64 bits. A collision makes two addresses share a bucket, nothing more. */
    uint64_t key = 0xcbf29ce484222325u;
    for (; *address != '\0'; address++)
        key = (key ^ (uint8_t)*address) * 0x100000001b3u;
    key = key != 0 ? key : 1;

    /* Take the bucket that the address already has, else a free one, else the least recently used. */
    struct bucket *home = &limit->buckets[key & (BUCKETS - 1)];
    struct bucket *bucket = home;
    for (struct bucket *b = home; b < home + NEIGHBOURS; b++) {
        if (b->key == key || b->key == 0) {
            bucket = b;
            break;
        }
        if (b->at_ms < bucket->at_ms)
            bucket = b;
    }
    if (bucket->key != key)
        *bucket = (struct bucket){.key = key, .at_ms = now_ms, .tokens = limit->burst};

    bucket->tokens += (double)(now_ms - bucket->at_ms) * limit->per_ms;
    if (bucket->tokens > limit->burst)
        bucket->tokens = limit->burst;
    bucket->at_ms = now_ms;
    if (bucket->tokens < 1.0)
        return false;
    bucket->tokens -= 1.0;
    return true;
}
