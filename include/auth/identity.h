/* SPDX-License-Identifier: MIT */
/*
 * identity: the rules by which api and gateway recognize a buyer and believe a proof: origins, cookies, the
 * shop's JWT, tickets and passes. Pure, apart from the keys; a struct token_keys belongs to one thread.
 */
#ifndef TIKETI_IDENTITY_H
#define TIKETI_IDENTITY_H

#include "auth/ticket_memo.h"
#include "auth/token.h"
#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- who sends it ---- */

/* May a page of `origin` act for the guest whose cookie its browser sends? NULL (no browser, or a page's own
 * GET): yes. With `allowed` (ALLOWED_ORIGINS): an origin on the list, or exactly that of `host` (the Host
 * header; may be NULL). Without: any origin on the same host, whatever its port. */
bool identity_origin_allowed(const char *allowed, const char *origin, const char *host);

/* The token of an Authorization header "Bearer …", borrowed; NULL: another scheme. */
const char *identity_bearer(const char *authorization);
/* The user of the shop's JWT, and their buyer id "u:<sub>" into ret_buyer[BUYER_ID_MAX + 1].
 * ST_UNAUTHORIZED as token_read_user; then nothing was written. */
MUST_CHECK enum status identity_read_user(struct token_keys *keys, const char *jwt, size_t len,
                                          int64_t now_ms, struct user *ret_user, char *ret_buyer);

/* Cookies. The values of the guest's: token_read_guest. Those of ticket and pass are per event: their names
 * end in its id. */
#define IDENTITY_GUEST_COOKIE  "tiketi_guest"
#define IDENTITY_TICKET_COOKIE "tiketi_ticket_"
#define IDENTITY_PASS_COOKIE   "tiketi_pass_"
#define IDENTITY_COOKIE_SIZE   (EVENT_ID_MAX + 16)
/* "<prefix><event>" into out[IDENTITY_COOKIE_SIZE]; prefix: one of the above. */
void identity_cookie_name(const char *prefix, const char *event, char *out);

/* ---- ticket and pass ---- */

/* The place in a queue that a ticket or a pass proves. Borrowed. */
struct identity_place {
    const char *event, *buyer;
    uint64_t place, epoch;
};

/* A ticket or pass as it was sent, and what it must be of. Borrowed. */
struct identity_proof {
    const char *text;
    size_t len;
    const char *event, *buyer;
};

/* Fills place, epoch and lowest of *ret_ticket. `memo` may be NULL; with it, a ticket that was verified before is
 * not verified again. ST_UNAUTHORIZED: not valid; ST_DENIED: of another buyer or event. */
MUST_CHECK enum status identity_read_ticket(struct token_keys *keys, struct ticket_memo *memo,
                                            const struct identity_proof *proof,
                                            struct ticket *ret_ticket);
/* Appends a ticket. With `memo` it is remembered as verified. On failure nothing was appended. */
MUST_CHECK enum status identity_write_ticket(struct token_keys *keys, struct ticket_memo *memo,
                                             const struct identity_place *place, uint64_t lowest,
                                             struct buf *out);

/* proof->buyer NULL: a pass of whichever buyer. ST_UNAUTHORIZED: not valid, or expired; ST_DENIED: of another
 * buyer or event. */
MUST_CHECK enum status identity_read_pass(struct token_keys *keys,
                                          const struct identity_proof *proof, int64_t now_ms,
                                          struct pass *ret_pass);

/* How long an admission lasts; ms. */
struct identity_admission {
    int64_t since_ms;         /* since 1970 */
    int64_t session_limit_ms; /* of the event; 0: no limit */
    int64_t pass_ttl_ms;      /* PASS_TTL_MS */
};
/* Until when a pass that is given now is valid: pass_ttl_ms from now, but not beyond the session's end. */
int64_t identity_pass_expiry(const struct identity_admission *admission, int64_t now_ms);
/* Does an admission that no pass was sent for still count: until the session's end, or without a session
 * limit pass_ttl_ms long? */
bool identity_admission_lasts(const struct identity_admission *admission, int64_t now_ms);
/* Appends the pass of an admission; *ret_expires_ms as written, in whole seconds. On failure nothing was
 * appended. */
MUST_CHECK enum status identity_write_pass(struct token_keys *keys,
                                           const struct identity_place *place,
                                           const struct identity_admission *admission,
                                           int64_t now_ms, struct buf *out,
                                           int64_t *ret_expires_ms);

#endif
