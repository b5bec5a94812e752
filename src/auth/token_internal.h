/* SPDX-License-Identifier: MIT */
/*
 * The keys of token, for token.c and token_keys.c alone.
 */
#ifndef TIKETI_TOKEN_INTERNAL_H
#define TIKETI_TOKEN_INTERNAL_H

#include "auth/token.h"

#include "auth/guest_cookie.h"
#include "auth/jws.h"
#include "auth/pass_memo.h"
#include "auth/return_proof.h"
#include "auth/sign_in.h"
#include "auth/webhook.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct token_keys {
    struct jws_ring *
        users; /* the shop's JWTs; behind the first `own_users` keys: those that came by JWT_JWKS_URL */
    size_t own_users;
    struct jws_ring *tickets; /* our own tickets, HS256 */
    struct jws_ring *passes;  /* our own passes, ES256 */
    struct pass_memo *memo;   /* of passes that these keys have verified or signed */
    struct guest_keys *guests;
    struct return_keys *returns;
    struct sign_in_keys *staff;
    struct webhook_keys *webhooks;
    bool can_sign_users;
    bool staff_without_exp;             /* STAFF_TOKENS_WITHOUT_EXP */
    bool fetches;                       /* JWT_JWKS_URL is set */
    char *audience;                     /* JWT_AUDIENCE; NULL: any audience is accepted */
    char *issuer;                       /* JWT_ISSUER; NULL: `iss` is not checked */
    const char *refusal;                /* of the last user token; static */
    char eticket_key[ETICKET_KEY_SIZE]; /* hex; "": there are no ticket keys */
    struct buf payload;                 /* scratch */
};

#endif
