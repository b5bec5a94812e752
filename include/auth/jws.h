/* SPDX-License-Identifier: MIT */
/*
 * jws: compact JSON Web Signatures (RFC 7515) with a ring of keys. Each key pins one algorithm: HS256 (tickets, the
 * shop's JWT), ES256 (passes, keys of a JWKS) or RS256 (verification only, keys of a JWKS). A struct jws_ring belongs
 * to one thread: its keys have reusable contexts.
 */
#ifndef TIKETI_JWS_H
#define TIKETI_JWS_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JWS_MAX 4096 /* bytes of a token; longer input is refused unread */

struct jws_ring;

struct jws_ring *jws_ring_new(void);       /* NULL: OpenSSL has no SHA-256 */
void jws_ring_free(struct jws_ring *ring); /* wipes the keys; NULL is fine */

/* Adds a key, which is copied; the first one that can sign is the one that signs. `kid` NULL: an HS256 key serves
 * tokens without a kid, or with one that no key has (the shop's JWT_SECRET); an ES256 key is named by its RFC 7638
 * thumbprint. An HS256 key has at least 16 bytes. ST_INVALID: a bad key, an id that is taken, or a full ring (64
 * keys); the ring is then unchanged. */
MUST_CHECK enum status jws_ring_add_hs256(struct jws_ring *ring, const char *kid, const void *key,
                                          size_t key_len);
MUST_CHECK enum status jws_ring_add_es256_pem(struct jws_ring *ring, const char *kid,
                                              const char *pem);
/* A P-256 key derived from `seed` by HKDF-SHA-256 (info "tiketi pass key"), the same on every pod. */
MUST_CHECK enum status jws_ring_add_es256_derived(struct jws_ring *ring, const void *seed,
                                                  size_t seed_len);
/* Adds the public keys of a JWKS document (RFC 7517; kty EC P-256 or RSA of 2048 to 8192 bits). Keys of another type,
 * `use` or `alg` are skipped. ST_INVALID: a bad key, or none is left; the ring is then unchanged. */
MUST_CHECK enum status jws_ring_add_jwks(struct jws_ring *ring, const char *json, size_t len);

/* Does this token have the header of the key that signs now? */
bool jws_is_current(struct jws_ring *ring, const char *token, size_t len);

/* Appends the signed token of this JSON payload to `out`. ST_TOO_LARGE: over JWS_MAX or the buffer's maximum;
 * ST_UNAVAILABLE: no key of the ring can sign. On failure nothing was appended. */
MUST_CHECK enum status jws_sign(struct jws_ring *ring, const char *payload, size_t len,
                                struct buf *out);

/* Verifies a token and appends the decoded payload to `out`. ST_UNAUTHORIZED on anything wrong, without saying what;
 * then nothing was appended. Compares in constant time; `alg` must be the one pinned for the key; `crit` and base64url
 * that is not canonical are refused. */
MUST_CHECK enum status jws_verify(struct jws_ring *ring, const char *token, size_t len,
                                  struct buf *out);

/* Appends the ring's public ES256 keys as a JWKS document. */
void jws_write_jwks(const struct jws_ring *ring, struct buf *out);

#endif
