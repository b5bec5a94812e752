/* SPDX-License-Identifier: MIT */
/*
 * token: who a buyer is, the ticket (proof of a place) and the pass (proof of admission).
 * Pure: no driver. A struct token_keys belongs to one thread.
 */
#ifndef TIKETI_TOKEN_H
#define TIKETI_TOKEN_H

#include "base/buf.h"
#include "base/config.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define BUYER_ID_MAX      130 /* "u:" + 128 bytes */
#define EVENT_ID_MAX      64
#define GUEST_ID_LEN      34 /* "g:" + 32 hex digits */
#define GUEST_COOKIE_SIZE 48

struct token_keys;

MUST_CHECK enum status token_keys_new(const struct config *config, struct token_keys **ret_keys,
                                      char *error, size_t error_size);
void token_keys_free(struct token_keys *keys);

/* ---- the shop's JWT ---- */
enum user_role { USER_BUYER, USER_VIEWER, USER_SRE, USER_ORGANIZER, USER_ADMIN };

struct user {
    char sub[BUYER_ID_MAX - 1]; /* as in the token, without "u:" */
    enum user_role role;        /* claim `role`; anything unknown is USER_BUYER */
};

/* Verifies signature, exp and nbf (60 s leeway) and the sub (or userId: text or integer) of 1..128
 * printable ASCII bytes without space; with JWT_AUDIENCE, that `aud` names it. A token without exp never expires: whether its tokens do is
 * the shop's choice. ST_UNAUTHORIZED otherwise. */
MUST_CHECK enum status token_read_user(struct token_keys *keys, const char *jwt, size_t len,
                                       int64_t now_ms, struct user *ret_user);
/* For `tiketi token` and tests: an HS256 JWT with JWT_SECRET. */
MUST_CHECK enum status token_write_user(struct token_keys *keys, const char *sub, const char *role,
                                        int64_t now_ms, int64_t ttl_ms, struct buf *out);

/* A fresh guest id into `out[GUEST_ID_LEN + 1]`: "g:" and 128 random bits in hex. */
void token_new_guest(char *out);
/* A guest's cookie is "<id>.<day>": the day (UTC, since 1970-01-01) on which it was given, so that whoever
 * brings one of today need not be given it again. */
void token_write_guest(const char *id, int64_t day, char *out); /* into out[GUEST_COOKIE_SIZE] */
/* Copies the id into out[GUEST_ID_LEN + 1]. The day is 0 where the cookie names none. False: no guest's. */
bool token_read_guest(const char *cookie, size_t len, char *out, int64_t *ret_day);
/* [A-Za-z0-9_-]{1,64} */
bool token_is_event_id(const char *id, size_t len);

/* ---- ticket ---- */
struct ticket {
    char event[EVENT_ID_MAX + 1];
    char buyer[BUYER_ID_MAX + 1];
    uint64_t place; /* Redis TIME in us, made strictly increasing */
    uint64_t epoch;
    uint64_t lowest; /* lowest position shown so far; 0: none yet */
};

/* Payload keys, in this order: {"e":event,"b":buyer,"p":"place","x":epoch,"l":lowest}. Written
 * without allocation beyond `out`. ST_INVALID when event or buyer is not an id; ST_UNAVAILABLE
 * without ticket keys. On failure nothing was appended. */
MUST_CHECK enum status ticket_sign(struct token_keys *keys, const struct ticket *ticket,
                                   struct buf *out);
MUST_CHECK enum status ticket_read(struct token_keys *keys, const char *text, size_t len,
                                   struct ticket *ret_ticket);
/* Of a text that ticket_read has accepted: would ticket_sign write the very same again? It names the key
 * that signs now, and one ticket has one text. */
bool ticket_is_current(const struct token_keys *keys, const char *text, size_t len);

/* ---- pass ---- */
struct pass {
    char event[EVENT_ID_MAX + 1];
    char buyer[BUYER_ID_MAX + 1];
    uint64_t place;
    uint64_t epoch;
    int64_t iat_s, exp_s; /* seconds since 1970 */
    char jti[33];
};

/* Claims: iss "tiketi", aud and event = event id, sub = buyer, place (text), epoch, iat, exp, jti.
 * ES256 is ~20 us: ES256 signatures are not deterministic, callers may cache. pass->jti is filled. */
MUST_CHECK enum status pass_sign(struct token_keys *keys, struct pass *pass, struct buf *out);
/* Signature, and exp against now_ms (pass 0 to accept an expired one). */
MUST_CHECK enum status pass_read(struct token_keys *keys, const char *text, size_t len,
                                 int64_t now_ms, struct pass *ret_pass);
/* The JWKS document with the pass key. */
void token_write_jwks(const struct token_keys *keys, struct buf *out);

/* Hex HMAC-SHA-256 of `data` under PAYMENT_WEBHOOK_SECRET into out[65]. ST_UNAVAILABLE when unset. */
MUST_CHECK enum status token_webhook_mac(struct token_keys *keys, const void *data, size_t len,
                                         char *out);
/* Constant-time comparison of two texts. */
bool token_equal(const char *a, size_t a_len, const char *b, size_t b_len);

/* 128 random bits as 32 hex digits and NUL into out[33]. Aborts if the system has no randomness. */
void token_random_hex(char *out);

#endif
