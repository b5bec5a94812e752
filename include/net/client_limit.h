/* SPDX-License-Identifier: MIT */
/*
 * client_limit: how much one client address may take of a process: requests and wrong secrets a second, connections and
 * sockets at a time. One for all workers, so it is the same however many there are. The address is that of
 * client_ip_of, counted as client_ip_to_counted says. A peer on the machine itself is exempt, unless it is a trusted
 * proxy: load tests come from there. Every function but client_limit_free may be called from any thread; no lock is held
 * for longer than a look-up.
 */
#ifndef TIKETI_CLIENT_LIMIT_H
#define TIKETI_CLIENT_LIMIT_H

#include "base/status.h"
#include "net/client_ip.h"

#include <stdbool.h>
#include <stdint.h>

struct client_limit;
struct client_share; /* one address' connections, or its sockets */

enum client_rate {
    CLIENT_REQUESTS, /* and handshakes: opts.per_second, with a burst of RATE_LIMIT_BURST_S seconds */
    CLIENT_BAD_TOKENS, /* invalid bearer tokens: 20 a second; when a shop's expire, all of a campus at once */
    CLIENT_BAD_TRIES, /* wrong tries to sign in: 5, then one in twelve seconds */
    CLIENT_RATES
};

enum client_share_kind {
    CLIENT_CONNECTIONS, /* of HTTP */
    CLIENT_SOCKETS,
    CLIENT_SHARES
};

struct client_limit_opts {
    int64_t per_second;             /* 0: no limit */
    unsigned shares[CLIENT_SHARES]; /* of one address at a time; 0: no limit */
};

/* `trusted` is that of client_ip_new, whose status and error it returns. Copies the opts. ST_OK: *ret is new. */
MUST_CHECK enum status client_limit_new(const char *trusted, const struct client_limit_opts *opts,
                                        struct client_limit **ret, char *error, size_t error_size);
/* Other limits from now on. What is open stays open, and counts. */
void client_limit_set(struct client_limit *limit, const struct client_limit_opts *opts);
/* When no other thread uses it, and all shares are given back. NULL is fine. */
void client_limit_free(struct client_limit *limit);
/* Who is a trusted proxy. Borrowed, until client_limit_free. */
const struct client_ip *client_limit_ip(const struct client_limit *limit);

/* Writes the address that counts into out[CLIENT_IP_SIZE]. False: this peer is exempt. forwarded_for may be NULL. */
bool client_limit_address(const struct client_limit *limit, const char *peer,
                          const char *forwarded_for, char *out);
/* Counts one of such an address. False: it is over its limit. `now_ms` is that of the caller's loop. */
bool client_limit_take(struct client_limit *limit, enum client_rate rate, const char *address,
                       uint64_t now_ms);
/* Would client_limit_take be true? Counts nothing. */
bool client_limit_has(struct client_limit *limit, enum client_rate rate, const char *address,
                      uint64_t now_ms);

/* Counts one more of such an address. False: it has all that it may have. *ret_share is to be given back when that one is
 * gone, by any thread; NULL: there is no limit. */
bool client_share_take(struct client_limit *limit, enum client_share_kind kind, const char *address,
                       struct client_share **ret_share);
void client_share_give(struct client_limit *limit, struct client_share *share); /* NULL is fine */

/* Newcomers who are let in before they have shown that they keep a cookie: of one address one at a time, until they come
 * back with it, or until_ms has passed. Both times are ms since 1970. False: there is one. */
bool client_newcomer_begin(struct client_limit *limit, const char *address, const char *buyer,
                           int64_t now_ms, int64_t until_ms);
/* This buyer has come back, or was not let in. */
void client_newcomer_end(struct client_limit *limit, const char *address, const char *buyer);

/* Does this peer say who its clients are? Then only a request that it passes on can be counted. */
bool client_limit_forwards(const struct client_limit *limit, const char *peer);

/* A client met a limit. If its peer sends X-Forwarded-For but is no trusted proxy, all clients behind it count as
 * one, which is most likely a mistake: logs so, once a minute. */
void client_limit_met(struct client_limit *limit, const char *peer, const char *forwarded_for,
                      uint64_t now_ms);
/* A bad token was over its limit: logs so, with how many there were, once a minute. */
void client_limit_met_tokens(struct client_limit *limit, const char *address, uint64_t now_ms);

#endif
