/* SPDX-License-Identifier: MIT */
/*
 * claims: what a JWT states about its bearer (RFC 7519 section 4). Read, not judged: token does that.
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
    struct json *document; /* NULL: none was needed */
};

/* Reads the payload of a JWT, at most JWS_MAX bytes. The claims borrow `text` and are to be cleared. ST_INVALID: not a
 * JSON object, or a name is there twice; then there is nothing to clear. */
MUST_CHECK enum status claims_read(const char *text, size_t len, struct claims *ret_claims);
void claims_clear(struct claims *claims);

/* Does `aud` name `name`, alone or among others? */
bool claims_are_for(const struct claims *claims, const char *name);

#endif
