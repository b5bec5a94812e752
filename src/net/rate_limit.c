/* SPDX-License-Identifier: MIT */
/*
 * rate_limit: one token bucket per client address.
 *
 * Why this way: the table has a fixed size, so a flood of addresses costs no memory. An address uses one of eight
 * buckets, chosen by its hash; when all are taken, it takes over the least recently used one. The table is cut
 * into stripes, each with a lock that is held for the few instructions on a bucket: workers meet only when they serve
 * addresses of one stripe in the same tenth of a microsecond. docs/decisions/0115 has the cost.
 * Called by: client_limit, on any worker's thread. Owns: the table.
 */
#include "net/rate_limit.h"

#include "base/hash.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define STRIPES 64 /* each of these a power of two */
#define SETS    64 /* of a stripe */
#define WAYS    8  /* buckets of a set: those that an address may use */

struct bucket {
    uint64_t key; /* hash of the address; 0: the bucket is free */
    uint64_t at_ms;
    double tokens;
};

/* All of it is protected by the mutex. */
struct stripe {
    pthread_mutex_t mutex;
    double per_ms, burst; /* the same in each */
    struct bucket sets[SETS][WAYS];
};

struct rate_limit {
    atomic_bool off;
    uint64_t seed;
    struct stripe stripes[STRIPES];
};

static struct rate_limit *limit_new(double per_ms, double burst)
{
    struct rate_limit *limit = xcalloc(1, sizeof(*limit));
    limit->seed = hash_seed();
    for (size_t i = 0; i < STRIPES; i++) {
        (void)pthread_mutex_init(&limit->stripes[i].mutex, NULL);
        limit->stripes[i].per_ms = per_ms;
        limit->stripes[i].burst = burst;
    }
    return limit;
}

static double burst_of(int64_t per_second)
{
    return (double)per_second * RATE_LIMIT_BURST_S;
}

struct rate_limit *rate_limit_new(int64_t per_second)
{
    struct rate_limit *limit = limit_new((double)per_second / 1000.0, burst_of(per_second));
    atomic_init(&limit->off, per_second <= 0);
    return limit;
}

struct rate_limit *rate_limit_new_slow(unsigned burst, unsigned every_ms)
{
    return limit_new(1.0 / every_ms, burst);
}

void rate_limit_free(struct rate_limit *limit)
{
    if (!limit)
        return;
    for (size_t i = 0; i < STRIPES; i++)
        (void)pthread_mutex_destroy(&limit->stripes[i].mutex);
    free(limit);
}

void rate_limit_set(struct rate_limit *limit, int64_t per_second)
{
    atomic_store_explicit(&limit->off, per_second <= 0, memory_order_relaxed);
    if (per_second <= 0)
        return;
    for (size_t i = 0; i < STRIPES; i++) {
        struct stripe *stripe = &limit->stripes[i];
        (void)pthread_mutex_lock(&stripe->mutex);
        const double more = burst_of(per_second) - stripe->burst;
        stripe->per_ms = (double)per_second / 1000.0;
        stripe->burst += more;
        /* What an address has used stays used; of a bucket in use nobody knows when it was full. */
        for (size_t set = 0; set < SETS; set++) {
            for (size_t way = 0; way < WAYS; way++) {
                double *tokens = &stripe->sets[set][way].tokens;
                *tokens = *tokens + more > 0 ? *tokens + more : 0;
            }
        }
        (void)pthread_mutex_unlock(&stripe->mutex);
    }
}

/* The bucket of an address, with the tokens that it has now. */
static struct bucket *bucket_of(struct stripe *stripe, uint64_t key, uint64_t now_ms)
{
    /* Take the bucket that the address already has, else a free one, else the least recently used. */
    struct bucket *set = stripe->sets[key & (SETS - 1)];
    struct bucket *bucket = set;
    for (struct bucket *b = set; b < set + WAYS; b++) {
        if (b->key == key || b->key == 0) {
            bucket = b;
            break;
        }
        if (b->at_ms < bucket->at_ms)
            bucket = b;
    }
    if (bucket->key != key)
        *bucket = (struct bucket){.key = key, .at_ms = now_ms, .tokens = stripe->burst};
    if (now_ms > bucket->at_ms) { /* not so when another thread, which is ahead, was here */
        bucket->tokens += (double)(now_ms - bucket->at_ms) * stripe->per_ms;
        bucket->at_ms = now_ms;
    }
    if (bucket->tokens > stripe->burst)
        bucket->tokens = stripe->burst;
    return bucket;
}

/* Does the address have as many tokens as are needed for one more? Then `taken` of them are taken. */
static bool spend(struct rate_limit *limit, const char *address, uint64_t now_ms, double taken)
{
    if (atomic_load_explicit(&limit->off, memory_order_relaxed))
        return true;
    /* If two addresses have the same hash, they share a bucket, which does no harm. */
    const uint64_t hash = hash_pair(limit->seed, address, strlen(address), "", 0);
    const uint64_t key = hash != 0 ? hash : 1;
    struct stripe *stripe = &limit->stripes[key >> 32 & (STRIPES - 1)];
    (void)pthread_mutex_lock(&stripe->mutex);
    struct bucket *bucket = bucket_of(stripe, key, now_ms);
    const bool has = bucket->tokens >= 1.0;
    if (has)
        bucket->tokens -= taken;
    (void)pthread_mutex_unlock(&stripe->mutex);
    return has;
}

bool rate_limit_take(struct rate_limit *limit, const char *address, uint64_t now_ms)
{
    return spend(limit, address, now_ms, 1.0);
}

bool rate_limit_has(struct rate_limit *limit, const char *address, uint64_t now_ms)
{
    return spend(limit, address, now_ms, 0.0);
}
