/* SPDX-License-Identifier: MIT */
/*
 * hook_sign: the signatures of our webhooks, as Standard Webhooks has them: HMAC-SHA-256 over "id.time.body" in base64. Pure.
 */
#ifndef TIKETI_HOOK_SIGN_H
#define TIKETI_HOOK_SIGN_H

#include "base/buf.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct hook_message {
    const char *id; /* webhook-id */
    int64_t time_s; /* webhook-timestamp: seconds since 1970 */
    const char *body;
    size_t len;
};

/* Appends "v1,<signature>", with a blank in front if `out` has one already. secret: "whsec_" and base64. ST_INVALID: it is
 * none. */
MUST_CHECK enum status hook_sign(const char *secret, const struct hook_message *message,
                                 struct buf *out);

#endif
