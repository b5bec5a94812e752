/* SPDX-License-Identifier: MIT */
/*
 * vapid: the keys by which push services know us (RFC 8292). A subscription belongs to the key that its browser was
 * given, so it is a ring: pages give out the first key, and all of them sign. A struct vapid belongs to one thread.
 */
#ifndef TIKETI_VAPID_H
#define TIKETI_VAPID_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define VAPID_KEY_LEN 87 /* a public key in base64url */

struct vapid;

/* `keys`: private keys in base64url (43 characters each), comma-separated, as VAPID_KEYS; `subject`: "mailto:…" or
 * "https://…", borrowed. Returns new. ST_INVALID: a key is none, or is named twice. */
MUST_CHECK enum status vapid_new(const char *keys, const char *subject, struct vapid **ret);
/* Puts other keys in the place of those that it has. ST_INVALID: as vapid_new; then they stay. */
MUST_CHECK enum status vapid_set_keys(struct vapid *vapid, const char *keys);
void vapid_free(struct vapid *vapid); /* wipes the keys; NULL is fine */

/* The public key that pages give to browsers. Borrowed until the keys are set. */
const char *vapid_key(const struct vapid *vapid);
/* Is this the public key of one of the ring? */
bool vapid_has(const struct vapid *vapid, const char *key);

/* Appends the value of the header Authorization for a request to this origin ("https://push.example", of `origin_len`
 * bytes), for a subscription under this public key. ST_NOT_FOUND: the key is not in the ring. A token is used for an
 * hour, since signing costs more than the rest of a request. */
MUST_CHECK enum status vapid_authorize(struct vapid *vapid, const char *key, const char *origin,
                                       size_t origin_len, int64_t now_s, struct buf *out);

/* Appends a new random private key, as vapid_new takes it. ST_INTERNAL: OpenSSL failed. */
MUST_CHECK enum status vapid_write_new_key(struct buf *out);

#endif
