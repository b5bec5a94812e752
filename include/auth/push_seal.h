/* SPDX-License-Identifier: MIT */
/*
 * push_seal: encrypts what a browser is told through its push service (RFC 8291, aes128gcm), so that the service cannot
 * read it.
 */
#ifndef TIKETI_PUSH_SEAL_H
#define TIKETI_PUSH_SEAL_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define PUSH_SEAL_MAX 3992 /* bytes of a message: push services take 4,096 of the sealed one */

/* The keys of a subscription, which its browser made. */
struct push_keys {
    unsigned char point[65];  /* p256dh: its public key */
    unsigned char secret[16]; /* auth */
};

/* Reads the keys as browsers write them, in base64url without padding. False: the text is no point of P-256, and cannot
 * be encrypted for. */
bool push_keys_read_point(const char *p256dh, struct push_keys *keys);
/* False: not 16 bytes. */
bool push_keys_read_secret(const char *auth, struct push_keys *keys);

/* Appends the sealed message, the body of the request. It is padded to `padded` bytes (0: not at all), so that its length
 * does not tell which message it is. ST_TOO_LARGE: it is longer than PUSH_SEAL_MAX, or `out` is full; ST_INTERNAL: OpenSSL
 * failed. On failure nothing was appended. */
MUST_CHECK enum status push_seal(const struct push_keys *keys, const void *message, size_t len,
                                 size_t padded, struct buf *out);

#endif
