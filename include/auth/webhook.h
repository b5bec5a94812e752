/* SPDX-License-Identifier: MIT */
/*
 * webhook: the signatures between the service and its payment provider: HMAC-SHA-256 under PAYMENT_WEBHOOK_SECRETS. Orders
 * have one signature, calls of the webhook a header with the time and one signature or more:
 *   X-Tiketi-Signature: t=<seconds since 1970>,v1=<hex>,v1=<hex>
 * The first secret signs orders, all sign calls, and all verify; so that both sides may change a secret at different times.
 * A struct webhook_keys belongs to one thread.
 */
#ifndef TIKETI_WEBHOOK_H
#define TIKETI_WEBHOOK_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEBHOOK_MAC_SIZE 65 /* bytes of a signature as hex, with the NUL */

struct webhook_keys;
struct webhook_keys *webhook_keys_new(void);          /* returns new, without a secret */
void webhook_keys_free(struct webhook_keys *keys);    /* wipes them; NULL is fine */
bool webhook_is_set(const struct webhook_keys *keys); /* is there a secret? */
/* Copies a secret. ST_INVALID: there are CONFIG_SECRETS_MAX already. */
MUST_CHECK enum status webhook_keys_add(struct webhook_keys *keys, const char *secret, size_t len);

/* Writes the signature of `data` by the first secret into out[WEBHOOK_MAC_SIZE]. ST_UNAVAILABLE: there is no secret. */
MUST_CHECK enum status webhook_sign(struct webhook_keys *keys, const void *data, size_t len,
                                    char *out);
/* Is it the signature of `data` by one of the secrets? Compares in constant time. */
bool webhook_holds(struct webhook_keys *keys, const void *data, size_t len, const char *signature);

/* Appends the value of the header for a call with this body: a signature by each secret. ST_UNAVAILABLE: there is none. */
MUST_CHECK enum status webhook_write_header(struct webhook_keys *keys, int64_t now_s,
                                            const char *body, size_t len, struct buf *out);
/* Reads such a header. Fields of other names are passed over; at most eight v1 are looked at. ST_UNAUTHORIZED: it is
 * malformed, its time differs by more than five minutes, or no v1 is a signature of this body by one of the secrets;
 * ST_UNAVAILABLE: there is no secret. */
MUST_CHECK enum status webhook_read_header(struct webhook_keys *keys, const char *header,
                                           int64_t now_s, const char *body, size_t len);

#endif
