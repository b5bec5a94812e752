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

/* ---- the sender ---- */

/* May a page of this origin act for the guest whose cookie its browser sends? True for `origin` NULL: the sender is
 * no browser, or the page reads from its own origin. If `allowed` (ALLOWED_ORIGINS) is set, the origin must be on
 * that list or equal `host` (the Host header; may be NULL). If it is not set, the origin must have the same host, and
 * may have any port. */
bool identity_origin_allowed(const char *allowed, const char *origin, const char *host);

/* The token of an Authorization header "Bearer …", borrowed; "" if it has none. NULL: another scheme, which claims
 * nothing here: a staging site may stand behind HTTP Basic. */
const char *identity_bearer(const char *authorization);
/* Verifies the shop's JWT. Fills *ret_user, and ret_buyer[BUYER_ID_MAX + 1] with the buyer id "u:<sub>".
 * ST_UNAUTHORIZED: the JWT is not valid (see token_read_user); then nothing was written. */
MUST_CHECK enum status identity_read_user(struct token_keys *keys, const char *jwt, size_t len,
                                          int64_t now_ms, struct user *ret_user, char *ret_buyer);

/* ---- ticket and pass ---- */

/* The place in a queue that a ticket or a pass proves. Borrows its texts. */
struct identity_place {
    const char *event, *buyer;
    uint64_t place, epoch;
};

/* A ticket or pass as it was sent, and the event and buyer that it must name. Borrows its texts. */
struct identity_proof {
    const char *text;
    size_t len;
    const char *event, *buyer;
};

/* Fills place, epoch and lowest of *ret_ticket. With `memo` (may be NULL), a ticket that was verified before is not
 * verified again. ST_UNAUTHORIZED: the ticket is not valid; ST_DENIED: it names another buyer or event. */
MUST_CHECK enum status identity_read_ticket(struct token_keys *keys, struct ticket_memo *memo,
                                            const struct identity_proof *proof,
                                            struct ticket *ret_ticket);
/* Appends a ticket. With `memo` (may be NULL) it is remembered as verified. On failure nothing was appended. */
MUST_CHECK enum status identity_write_ticket(struct token_keys *keys, struct ticket_memo *memo,
                                             const struct identity_place *place, uint64_t lowest,
                                             struct buf *out);

/* Reads a pass. With proof->buyer NULL it may name any buyer. ST_UNAUTHORIZED: the pass is not valid or has expired;
 * ST_DENIED: it names another buyer or event. */
MUST_CHECK enum status identity_read_pass(struct token_keys *keys,
                                          const struct identity_proof *proof, int64_t now_ms,
                                          struct pass *ret_pass);

/* What decides how long an admission lasts. */
struct identity_admission {
    int64_t since_ms;         /* time of the admission, ms since 1970 */
    int64_t session_limit_ms; /* the event's session limit; 0: none */
    int64_t turns_end_ms; /* when closing the event ends the turns, ms since 1970; 0: it does not */
    int64_t pass_ttl_ms;  /* PASS_TTL_MS */
    bool names_guest;     /* the pass, as a cookie, stands for that of the guest as well */
};
/* When a pass that is written at `now_ms` expires: after pass_ttl_ms, or at the end of the session, or of all turns of
 * the closed event, if that is earlier. Times are ms since 1970. */
int64_t identity_pass_expiry(const struct identity_admission *admission, int64_t now_ms);
/* When the turn itself ends, ms since 1970: at the end of the session, or at the deadline of a pending payment (0: none), or
 * when closing the event ends it, if that is earlier. */
int64_t identity_turn_end(const struct identity_admission *admission, int64_t pay_until_ms);
/* Does an admission still count when the buyer has sent no pass? It does until the session ends; if there is no
 * session limit, for pass_ttl_ms. */
bool identity_admission_lasts(const struct identity_admission *admission, int64_t now_ms);
/* Appends the pass of an admission. *ret_expires_ms is the expiry time in the pass, a multiple of 1000. On failure
 * nothing was appended. */
MUST_CHECK enum status identity_write_pass(struct token_keys *keys,
                                           const struct identity_place *place,
                                           const struct identity_admission *admission,
                                           int64_t now_ms, struct buf *out,
                                           int64_t *ret_expires_ms);

#endif
