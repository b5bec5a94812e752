/* SPDX-License-Identifier: MIT */
/*
 * token: ids of buyers and guests; the shop's JWT; the ticket (proof of a place) and the pass (proof of admission).
 * It does no I/O, except that token_keys_new reads a key file. A struct token_keys belongs to one thread.
 */
#ifndef TIKETI_TOKEN_H
#define TIKETI_TOKEN_H

#include "auth/guest_cookie.h"
#include "auth/pass.h"
#include "auth/return_proof.h"
#include "auth/role.h"
#include "base/buf.h"
#include "base/config.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct token_keys;
struct sign_in_keys;
struct webhook_keys;
struct jws_ring;

/* Reads all keys that `config` names, and borrows nothing of it. Returns new. Bad entries among good ones are passed over
 * and logged. ST_INVALID: of a setting no entry is good; `error` names it and says what it must be. */
MUST_CHECK enum status token_keys_new(const struct config *config, struct token_keys **ret_keys,
                                      char *error, size_t error_size);
void token_keys_free(struct token_keys *keys); /* wipes them; NULL is fine */
/* Puts `fresh` in the place of what `keys` has, and takes it: whoever has the pointer `keys` goes on with the new keys.
 * `same_source`: JWT_JWKS_URL has not changed, and what was fetched stays. */
void token_keys_replace(struct token_keys *keys, struct token_keys *fresh, bool same_source);
/* The keys that JWT_JWKS_URL has, in the place of those that it had before. Takes the ring; NULL: none. */
void token_keys_fetched(struct token_keys *keys, struct jws_ring *ring);

/* The keys of sessions and their links (auth/sign_in.h), and of webhooks (auth/webhook.h). Borrowed until the next
 * token_keys_replace. */
struct sign_in_keys *token_sign_in_keys(const struct token_keys *keys);
struct webhook_keys *token_webhook_keys(const struct token_keys *keys);

/* ---- the shop's JWT ---- */
struct user {
    char sub[BUYER_ID_MAX - 1]; /* as in the JWT, without the "u:" of a buyer id */
    enum user_role role;        /* from claim `role`; USER_BUYER if that is absent or unknown */
};

/* Verifies the signature; exp and nbf (in seconds, leeway of 60 s); the sub (or userId; text or integer) of 1 to 255
 * bytes of printable UTF-8; with JWT_AUDIENCE that `aud` names it, and with JWT_ISSUER that `iss` is it. A buyer's token without exp does not expire: that
 * is the shop's choice. A token with a role must have one unless STAFF_TOKENS_WITHOUT_EXP is set, and must not name an
 * audience where JWT_AUDIENCE is not set. ST_UNAUTHORIZED otherwise. ST_BUSY: the key that the token names is not known,
 * but may have been published at JWT_JWKS_URL meanwhile (jwks_renew). On failure *ret_user is unchanged. */
MUST_CHECK enum status token_read_user(struct token_keys *keys, const char *jwt, size_t len,
                                       int64_t now_ms, struct user *ret_user);
/* Why the last token was refused: a sentence for its sender, which tells nothing about a token that is not signed with
 * a key of ours. Static. */
const char *token_refusal(const struct token_keys *keys);
/* For `tiketi token` and tests: appends an HS256 JWT, signed with the first of JWT_SECRETS. ST_INVALID: the sub or the role is not
 * valid; ST_UNAVAILABLE: JWT_SECRETS is not set. */
MUST_CHECK enum status token_write_user(struct token_keys *keys, const char *sub, const char *role,
                                        int64_t now_ms, int64_t ttl_ms, struct buf *out);

/* Writes a new guest id into out[GUEST_ID_LEN + 1]: "g:" and 128 random bits in hex. */
void token_new_guest(char *out);
/* A guest cookie is "<id>.<day>.<mac>". The id is public. The day (UTC, days since 1970-01-01) is when the cookie was
 * set: a cookie of today need not be set again. The mac proves that this deployment made it (auth/guest_cookie.c): the
 * first key of the ring makes it, all keys verify it. */
/* Writes a cookie into out[GUEST_COOKIE_SIZE]. ST_UNAVAILABLE: there are no ticket keys. */
MUST_CHECK enum status token_write_guest(struct token_keys *keys, const char *id, int64_t day,
                                         char *out);
/* Copies the id into out[GUEST_ID_LEN + 1]. *ret_day is 0 if another key than the first has sealed the cookie, which is to be
 * set again, then: so the guests of a day outlive their key. False: the text is not a guest cookie of this deployment; then nothing is
 * written. */
bool token_read_guest(struct token_keys *keys, const char *cookie, size_t len, char *out,
                      int64_t *ret_day);
/* Does it begin like a buyer's id: "u:", "o:" or "g:", and something more? */
bool token_names_buyer(const char *buyer);
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

/* Appends the ticket: {"e":event,"b":buyer,"p":"place","x":epoch,"l":lowest}, in this order. Allocates only what
 * `out` needs. ST_INVALID: the event or the buyer is not a valid id; ST_UNAVAILABLE: no ticket key is configured. On
 * failure nothing was appended. */
MUST_CHECK enum status ticket_sign(struct token_keys *keys, const struct ticket *ticket,
                                   struct buf *out);
/* Verifies and reads a ticket. ST_UNAUTHORIZED: the text is not one of our tickets; *ret_ticket is then unchanged. */
MUST_CHECK enum status ticket_read(struct token_keys *keys, const char *text, size_t len,
                                   struct ticket *ret_ticket);
/* Would ticket_sign write this very text for the same ticket? `text` must have been accepted by ticket_read. True if
 * it was signed with the key that signs now, since a ticket has only one text per key. */
bool ticket_is_current(const struct token_keys *keys, const char *text, size_t len);

/* ---- pass (struct pass) ---- */
/* Appends the pass: iss "tiketi", aud and event = event id, sub = buyer, place (text), epoch, iat, exp, jti; guest if it
 * names one. Sets pass->jti to a random text. Signing takes about 20 us. ST_INVALID: the event or the buyer is not a valid id;
 * ST_UNAVAILABLE: no pass key can sign. On failure nothing was appended. */
MUST_CHECK enum status pass_sign(struct token_keys *keys, struct pass *pass, struct buf *out);
/* Verifies and reads a pass; one that these keys have verified or signed is not verified again. now_ms (since 1970) 0:
 * accepts an expired pass. ST_UNAUTHORIZED: the text is not one of our passes, or the pass has expired. */
MUST_CHECK enum status pass_read(struct token_keys *keys, const char *text, size_t len,
                                 int64_t now_ms, struct pass *ret_pass);
/* Was it signed with the key that signs now? `text` must have been accepted by pass_read. */
bool pass_is_current(const struct token_keys *keys, const char *text, size_t len);
/* Appends the JWKS document with the public pass keys. */
void token_write_jwks(const struct token_keys *keys, struct buf *out);
/* Appends one of them as PEM: that of this id; NULL: the one that signs. ST_NOT_FOUND: there is none. */
MUST_CHECK enum status token_write_pem(const struct token_keys *keys, const char *kid,
                                       struct buf *out);

/* ---- a bought ticket ---- */
#define ETICKET_KEY_SIZE 65 /* bytes, with the NUL */

/* One seat of a purchase, as the code on the ticket tells it. Borrows its texts. */
struct eticket {
    const char *event;
    const char *number; /* of the reservation */
    const char *seat;   /* the seat's id */
    const char *section, *row;
    int64_t seat_number;
};
/* Appends the code, a JWS that is signed with the pass key: iss "tiketi", aud "ticket:" and the event, jti = number,
 * a dot and the seat's id, seat = [section, row, number]. No pass has such an aud. ST_UNAVAILABLE: no pass key can sign.
 * On failure nothing was appended. */
MUST_CHECK enum status eticket_sign(struct token_keys *keys, const struct eticket *ticket,
                                    struct buf *out);
/* Whose seat a code is. */
struct eticket_claim {
    char event[EVENT_ID_MAX + 1];
    char number[32]; /* of the reservation */
    char seat[20];   /* the seat's id, digits */
};
/* Reads a code and verifies its signature, by any key that verifies passes. ST_UNAUTHORIZED: it is no ticket of ours. */
MUST_CHECK enum status eticket_read(struct token_keys *keys, const char *text, size_t len,
                                    struct eticket_claim *ret_claim);
/* The key of which the links on the buyer's own pages are made (eticket_link in sql/functions), as text; NULL: there are
 * no ticket keys. It changes with the first of them. Borrowed until the next token_keys_replace. */
const char *eticket_key(const struct token_keys *keys);

/* ---- the proof of who comes back from paying (auth/return_proof.c) ---- */
/* Writes into out[RETURN_PROOF_SIZE] a proof that its bearer was sent to pay for this reservation. ST_INVALID: it is no
 * id of a reservation; ST_UNAVAILABLE: there are no ticket keys. */
MUST_CHECK enum status token_write_return(struct token_keys *keys, const char *reservation,
                                          int64_t until_ms, char *out);
/* Is it the proof for this reservation, and has its time not passed? */
bool token_read_return(struct token_keys *keys, const char *proof, size_t len,
                       const char *reservation, int64_t now_ms);

/* Are the texts equal? Compares in constant time. */
bool token_equal(const char *a, size_t a_len, const char *b, size_t b_len);

/* Writes 128 random bits as 32 hex digits and a NUL into out[33]. Aborts the process if the system has no random
 * bytes. */
void token_random_hex(char *out);

#endif
