/* SPDX-License-Identifier: MIT */
/*
 * handoff: the one-time token that hands a buyer over to a shop on another host. It travels in the URL, seconds before the
 * shop's side redeems it for the pass, which never does. It does no I/O; that it is redeemed once is Redis' affair
 * (lua/handoff.lua).
 */
#ifndef TIKETI_HANDOFF_H
#define TIKETI_HANDOFF_H

#include "auth/return_url.h"
#include "auth/token.h"

#define HANDOFF_PARAMETER "tiketi-handoff" /* of the URL that the buyer is led to */
#define HANDOFF_MS        60000            /* how long a token lasts */
#define HANDOFF_MAX       2200             /* bytes of a token */
#define HANDOFF_JTI_SIZE  33

struct handoff {
    char event[EVENT_ID_MAX + 1];
    char buyer[BUYER_ID_MAX + 1];
    uint64_t place, epoch; /* of the admission */
    int64_t iat_s, exp_s;  /* seconds since 1970 */
    char jti[HANDOFF_JTI_SIZE];
    /* The URL that it leads to, without the token; of one that is too long for a token only its origin, and in `hash` what
     * tells it from others. */
    char target[RETURN_URL_MAX + 1];
    char hash[48]; /* "": target is the whole URL */
};

/* Appends the token, a JWS (ES256) of the pass keys with the claims iss "tiketi", aud "handoff:" and the event, sub, place
 * (text), epoch, iat, exp, jti, target, and for a long one hash. No pass has such an aud. Sets jti to a random text. `url`: of
 * another origin. ST_INVALID: an id is not valid, or the URL is of the own origin; ST_UNAVAILABLE: no pass key can sign. On
 * failure nothing was appended. */
MUST_CHECK enum status handoff_sign(struct token_keys *keys, struct handoff *handoff,
                                    const struct return_url *url, struct buf *out);
/* ST_UNAUTHORIZED: the text is not one of our tokens. ST_GONE: it has expired; *ret is filled. */
MUST_CHECK enum status handoff_read(struct token_keys *keys, const char *text, size_t len,
                                    int64_t now_ms, struct handoff *ret);
/* Was it made for this URL, which has no token any more? The fragment does not count. */
bool handoff_leads_to(const struct handoff *handoff, const struct return_url *url);

#endif
