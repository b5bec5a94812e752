/* SPDX-License-Identifier: MIT */
/*
 * claims: what a JWT states about its bearer (RFC 7519 section 4). It only reads them; token decides whether they are
 * valid.
 */
#ifndef TIKETI_CLAIMS_H
#define TIKETI_CLAIMS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json;

enum claim_name {
    CLAIM_SUB,
    CLAIM_USER_ID,
    CLAIM_ROLE,
    CLAIM_EXP,
    CLAIM_NBF,
    CLAIM_AUD,
    CLAIM_ISS,
    CLAIM_NAMES
};
enum claim_kind { CLAIM_ABSENT, CLAIM_TEXT, CLAIM_INTEGER, CLAIM_REAL, CLAIM_OTHER };

struct claim {
    enum claim_kind kind;
    const char *text; /* CLAIM_TEXT; not NUL-terminated */
    size_t len;
    int64_t integer; /* CLAIM_INTEGER */
    double number;   /* CLAIM_INTEGER, CLAIM_REAL */
};

struct claims {
    struct claim list[CLAIM_NAMES];
    struct json *document; /* the claims borrow from it; NULL: they borrow from the text */
};

/* Reads the payload of a JWT, at most JWS_MAX bytes. The claims borrow `text`, and the caller clears them.
 * Members of other names do not matter. ST_INVALID: the payload is not a JSON object, or one of these names occurs twice
 * in it, or its value is out of range; then there is nothing to clear. */
MUST_CHECK enum status claims_read(const char *text, size_t len, struct claims *ret_claims);
void claims_clear(struct claims *claims);

/* Is `iss` exactly `issuer`? */
bool claims_are_by(const struct claims *claims, const char *issuer);
/* Does `aud` name `name`, alone or among others? */
bool claims_are_for(const struct claims *claims, const char *name);

#endif
