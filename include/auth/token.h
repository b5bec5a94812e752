/* SPDX-License-Identifier: MIT */
/*
 * token: ids of buyers and guests; the shop's JWT; the ticket (proof of a place) and the pass (proof of admission).
 * No I/O but key files at start. A struct token_keys belongs to one thread.
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
#define GUEST_COOKIE_SIZE 48 /* with NUL */

struct token_keys;

/* All keys that `config` names; borrows its texts. ST_INVALID, with the setting and what is wrong in `error`. */
MUST_CHECK enum status token_keys_new(const struct config *config, struct token_keys **ret_keys,
                                      char *error, size_t error_size);
void token_keys_free(struct token_keys *keys); /* wipes them; NULL is fine */

/* ---- the shop's JWT ---- */
enum user_role { USER_BUYER, USER_VIEWER, USER_SRE, USER_ORGANIZER, USER_ADMIN };

struct user {
    char sub[BUYER_ID_MAX - 1]; /* as in the token, without "u:" */
    enum user_role role;        /* claim `role`; an unknown one is USER_BUYER */
};

/* Verifies the signature, exp and nbf (60 s leeway), the sub (or userId; text or integer) of 1 to 128 printable ASCII
 * bytes without space, and with JWT_AUDIENCE that `aud` names it. A token without exp does not expire: that is the
 * shop's choice. ST_UNAUTHORIZED otherwise; then *ret_user is unchanged. */
MUST_CHECK enum status token_read_user(struct token_keys *keys, const char *jwt, size_t len,
                                       int64_t now_ms, struct user *ret_user);
/* For `tiketi token` and tests: appends an HS256 JWT of JWT_SECRET. ST_INVALID: bad sub or role; ST_UNAVAILABLE: no
 * JWT_SECRET. */
MUST_CHECK enum status token_write_user(struct token_keys *keys, const char *sub, const char *role,
                                        int64_t now_ms, int64_t ttl_ms, struct buf *out);

/* A fresh guest id into `out[GUEST_ID_LEN + 1]`: "g:" and 128 random bits in hex. */
void token_new_guest(char *out);
/* A guest's cookie is "<id>.<day>": the day (UTC, since 1970-01-01) on which it was given, so that one of today need
 * not be sent again. */
void token_write_guest(const char *id, int64_t day, char *out); /* into out[GUEST_COOKIE_SIZE] */
/* Copies the id into out[GUEST_ID_LEN + 1]. The day is 0 if the cookie names none. False: not a guest's cookie. */
bool token_read_guest(const char *cookie, size_t len, char *out, int64_t *ret_day);
/* Is it [A-Za-z0-9_-]{1,64}? */
bool token_is_event_id(const char *id, size_t len);

/* ---- ticket ---- */
struct ticket {
    char event[EVENT_ID_MAX + 1];
    char buyer[BUYER_ID_MAX + 1];
    uint64_t place; /* Redis' TIME in us, made strictly increasing */
    uint64_t epoch;
    uint64_t lowest; /* lowest position shown so far; 0: none yet */
};

/* Appends the ticket: {"e":event,"b":buyer,"p":"place","x":epoch,"l":lowest}, in this order. Allocates nothing but
 * what `out` needs. ST_INVALID: event or buyer is not an id; ST_UNAVAILABLE: no ticket keys. On failure nothing was
 * appended. */
MUST_CHECK enum status ticket_sign(struct token_keys *keys, const struct ticket *ticket,
                                   struct buf *out);
/* ST_UNAUTHORIZED: not one of our tickets; *ret_ticket is then unchanged. */
MUST_CHECK enum status ticket_read(struct token_keys *keys, const char *text, size_t len,
                                   struct ticket *ret_ticket);
/* Of a text that ticket_read has accepted: would ticket_sign write the very same text? True if the key that signs now
 * signed it, since a ticket has one text per key. */
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

/* Appends the pass: iss "tiketi", aud and event = event id, sub = buyer, place (text), epoch, iat, exp, jti (which is
 * filled in here). ES256 takes about 20 us. Errors as of ticket_sign. */
MUST_CHECK enum status pass_sign(struct token_keys *keys, struct pass *pass, struct buf *out);
/* now_ms 0: accepts an expired one. ST_UNAUTHORIZED: not one of our passes, or expired. */
MUST_CHECK enum status pass_read(struct token_keys *keys, const char *text, size_t len,
                                 int64_t now_ms, struct pass *ret_pass);
/* Appends the JWKS document with the public pass keys. */
void token_write_jwks(const struct token_keys *keys, struct buf *out);

/* Hex HMAC-SHA-256 of `data` with PAYMENT_WEBHOOK_SECRET into out[65]. ST_UNAVAILABLE: it is unset. */
MUST_CHECK enum status token_webhook_mac(struct token_keys *keys, const void *data, size_t len,
                                         char *out);
/* Constant-time comparison of two texts. */
bool token_equal(const char *a, size_t a_len, const char *b, size_t b_len);

/* 128 random bits as 32 hex digits and NUL into out[33]. Aborts the process if the system gives none. */
void token_random_hex(char *out);

#endif
