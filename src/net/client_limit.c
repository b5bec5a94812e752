/* SPDX-License-Identifier: MIT */
/*
 * client_limit: how much one client address may take of a process.
 *
 * Why this way: requests need a rate, which a table of fixed size keeps (rate_limit); connections and sockets need an exact
 * count, which lives as long as the address has one. One lock for each kind of them: it is taken once when a connection
 * comes and once when it goes, never for a request.
 * Called by: api, ws; set by serve. Owns: the buckets, the shares, the list of trusted proxies.
 */
#include "net/client_limit.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/table.h"
#include "net/rate_limit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define WARN_MS          60000
#define BAD_TOKENS_PER_S 20
#define BAD_TRIES        5
#define BAD_TRY_EVERY_MS 12000
#define NEWCOMERS_MAX    8192

struct client_share {
    struct table_node node; /* first: a node is its share */
    enum client_share_kind kind;
    unsigned count;
    char address[CLIENT_IP_SIZE];
};

/* All of it is protected by the mutex. */
struct shares {
    pthread_mutex_t mutex;
    unsigned most; /* of one address; 0: no limit */
    struct table table;
};

struct client_limit {
    struct client_ip *client_ip;
    struct rate_limit *rates[CLIENT_RATES];
    struct shares shares[CLIENT_SHARES];
    /* When a line was last logged, 0: never; and what it counts. */
    _Atomic uint64_t met_ms, tokens_ms, tokens_refused;
    /* Of the addresses of one hash the newcomer who has not come back yet: above until when, in seconds since 1970, below the
     * hash of the buyer; 0: none. Two addresses of one hash wait for each other. */
    uint64_t seed;
    _Atomic uint64_t newcomers[NEWCOMERS_MAX];
};

enum status client_limit_new(const char *trusted, const struct client_limit_opts *opts,
                             struct client_limit **ret, char *error, size_t error_size)
{
    struct client_ip *client_ip;
    const enum status st = client_ip_new(trusted, &client_ip, error, error_size);
    if (st != ST_OK)
        return st;
    struct client_limit *limit = xcalloc(1, sizeof(*limit));
    limit->client_ip = client_ip;
    limit->seed = hash_seed();
    limit->rates[CLIENT_REQUESTS] = rate_limit_new(opts->per_second);
    limit->rates[CLIENT_BAD_TOKENS] = rate_limit_new(BAD_TOKENS_PER_S);
    limit->rates[CLIENT_BAD_TRIES] = rate_limit_new_slow(BAD_TRIES, BAD_TRY_EVERY_MS);
    for (size_t i = 0; i < CLIENT_SHARES; i++) {
        (void)pthread_mutex_init(&limit->shares[i].mutex, NULL);
        table_init(&limit->shares[i].table);
        limit->shares[i].most = opts->shares[i];
    }
    *ret = limit;
    return ST_OK;
}

void client_limit_set(struct client_limit *limit, const struct client_limit_opts *opts)
{
    rate_limit_set(limit->rates[CLIENT_REQUESTS], opts->per_second);
    for (size_t i = 0; i < CLIENT_SHARES; i++) {
        (void)pthread_mutex_lock(&limit->shares[i].mutex);
        limit->shares[i].most = opts->shares[i];
        (void)pthread_mutex_unlock(&limit->shares[i].mutex);
    }
}

void client_limit_free(struct client_limit *limit)
{
    if (!limit)
        return;
    for (size_t i = 0; i < CLIENT_RATES; i++)
        rate_limit_free(limit->rates[i]);
    for (size_t i = 0; i < CLIENT_SHARES; i++) {
        table_clear(&limit->shares[i].table);
        (void)pthread_mutex_destroy(&limit->shares[i].mutex);
    }
    client_ip_free(limit->client_ip);
    free(limit);
}

const struct client_ip *client_limit_ip(const struct client_limit *limit)
{
    return limit->client_ip;
}

bool client_limit_address(const struct client_limit *limit, const char *peer,
                          const char *forwarded_for, char *out)
{
    if (client_ip_is_loopback(peer) && !client_ip_trusted(limit->client_ip, peer))
        return false;
    client_ip_of(limit->client_ip, peer, forwarded_for, out);
    client_ip_to_counted(out);
    return true;
}

bool client_limit_forwards(const struct client_limit *limit, const char *peer)
{
    return limit && client_ip_trusted(limit->client_ip, peer);
}

/* ---- what is logged ---- */

/* Is it time for a line? Then it is due in a minute again; of several threads one is told so. */
static bool line_is_due(_Atomic uint64_t *last_ms, uint64_t now_ms)
{
    uint64_t last = atomic_load(last_ms);
    const uint64_t now = now_ms > 0 ? now_ms : 1;
    return (last == 0 || now >= last + WARN_MS) &&
           atomic_compare_exchange_strong(last_ms, &last, now);
}

void client_limit_met(struct client_limit *limit, const char *peer, const char *forwarded_for,
                      uint64_t now_ms)
{
    if (forwarded_for && forwarded_for[0] != '\0' && !client_ip_trusted(limit->client_ip, peer) &&
        line_is_due(&limit->met_ms, now_ms))
        log_warn("a peer over its limit forwards other clients, who all count as one: is it a "
                 "proxy that TRUSTED_PROXIES lacks?",
                 LOG_TEXT("peer", peer));
}

void client_limit_met_tokens(struct client_limit *limit, const char *address, uint64_t now_ms)
{
    const uint64_t refused = atomic_fetch_add(&limit->tokens_refused, 1) + 1;
    if (line_is_due(&limit->tokens_ms, now_ms))
        log_warn("invalid bearer tokens over the limit", LOG_TEXT("client", address),
                 LOG_NUM("refused", refused));
}

/* ---- rates ---- */

bool client_limit_take(struct client_limit *limit, enum client_rate rate, const char *address,
                       uint64_t now_ms)
{
    return rate_limit_take(limit->rates[rate], address, now_ms);
}

bool client_limit_has(struct client_limit *limit, enum client_rate rate, const char *address,
                      uint64_t now_ms)
{
    return rate_limit_has(limit->rates[rate], address, now_ms);
}

/* ---- shares ---- */

static struct client_share *share_of(struct table *table, enum client_share_kind kind,
                                     const char *address)
{
    const size_t len = strlen(address);
    const uint32_t hash = table_hash(table, address, len, "", 0);
    struct table_node *node = table_first(table, hash);
    while (node && strcmp(((struct client_share *)node)->address, address) != 0)
        node = table_next(node);
    struct client_share *share = (struct client_share *)node;
    if (!share) {
        share = xcalloc(1, sizeof(*share));
        share->kind = kind;
        memcpy(share->address, address, len + 1);
        table_add(table, &share->node, hash);
    }
    return share;
}

bool client_share_take(struct client_limit *limit, enum client_share_kind kind, const char *address,
                       struct client_share **ret_share)
{
    struct shares *shares = &limit->shares[kind];
    bool has_room = true;
    *ret_share = NULL;
    (void)pthread_mutex_lock(&shares->mutex);
    if (shares->most > 0) {
        struct client_share *share = share_of(&shares->table, kind, address);
        has_room = share->count < shares->most;
        if (has_room) {
            share->count++;
            *ret_share = share;
        }
    }
    (void)pthread_mutex_unlock(&shares->mutex);
    return has_room;
}

void client_share_give(struct client_limit *limit, struct client_share *share)
{
    if (!limit || !share)
        return;
    struct shares *shares = &limit->shares[share->kind];
    (void)pthread_mutex_lock(&shares->mutex);
    const bool gone = --share->count == 0;
    if (gone)
        table_remove(&shares->table, &share->node);
    (void)pthread_mutex_unlock(&shares->mutex);
    if (gone)
        free(share);
}

/* ---- newcomers ---- */

static _Atomic uint64_t *newcomer_of(struct client_limit *limit, const char *address)
{
    const uint64_t hash = hash_pair(limit->seed, address, strlen(address), "", 0);
    return &limit->newcomers[hash % NEWCOMERS_MAX];
}

static uint32_t buyer_hash(const struct client_limit *limit, const char *buyer)
{
    return (uint32_t)hash_pair(limit->seed, buyer, strlen(buyer), "", 0);
}

bool client_newcomer_begin(struct client_limit *limit, const char *address, const char *buyer,
                           int64_t now_ms, int64_t until_ms)
{
    _Atomic uint64_t *slot = newcomer_of(limit, address);
    const uint64_t now_s = (uint64_t)now_ms / 1000, until_s = (uint64_t)until_ms / 1000 + 1;
    uint64_t there = atomic_load(slot);
    return there >> 32 <= now_s &&
           atomic_compare_exchange_strong(slot, &there, until_s << 32 | buyer_hash(limit, buyer));
}

void client_newcomer_end(struct client_limit *limit, const char *address, const char *buyer)
{
    _Atomic uint64_t *slot = newcomer_of(limit, address);
    uint64_t there = atomic_load(slot);
    if ((uint32_t)there == buyer_hash(limit, buyer))
        (void)atomic_compare_exchange_strong(slot, &there, 0);
}
