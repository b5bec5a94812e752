/* SPDX-License-Identifier: MIT */
/*
 * jws: compact JSON Web Signatures (RFC 7515) with a ring of keys. Each key pins one algorithm: HS256 (tickets, the
 * shop's JWT), ES256 (passes, keys of a JWKS) or RS256 (verification only, keys of a JWKS). A struct jws_ring belongs
 * to one thread: its keys contain OpenSSL contexts that each call changes.
 */
#ifndef TIKETI_JWS_H
#define TIKETI_JWS_H

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JWS_MAX 8192 /* bytes of a token; a longer one is refused before it is read */

struct jws_ring;

struct jws_ring *jws_ring_new(void);                /* NULL: OpenSSL has no SHA-256 */
void jws_ring_free(struct jws_ring *ring);          /* wipes the keys; NULL is fine */
size_t jws_ring_count(const struct jws_ring *ring); /* how many keys it has */

/* Adds a copy of a key. New tokens are signed with the first key that can sign. If `kid` is NULL, an HS256 key
 * verifies tokens that have no kid or an unknown one (the shop's JWT_SECRETS; of several each is tried, in their order),
 * and an ES256 key gets its RFC 7638 thumbprint as its kid. An HS256 key has at least 16 bytes. The PEM is that of a
 * private key or of a public one, which verifies only. ST_INVALID: the key is bad, the kid is taken, or the ring is full
 * (64 keys); the ring is then unchanged. */
MUST_CHECK enum status jws_ring_add_hs256(struct jws_ring *ring, const char *kid, const void *key,
                                          size_t key_len);
MUST_CHECK enum status jws_ring_add_es256_pem(struct jws_ring *ring, const char *kid,
                                              const char *pem);
/* A P-256 key derived from `seed` by HKDF-SHA-256 (info "tiketi pass key"), the same on every pod. */
MUST_CHECK enum status jws_ring_add_es256_derived(struct jws_ring *ring, const void *seed,
                                                  size_t seed_len);
/* A P-256 private key of 32 bytes. It has no kid, so that its tokens say nothing but their algorithm and type: for a ring
 * with no other key. */
MUST_CHECK enum status jws_ring_add_es256_secret(struct jws_ring *ring,
                                                 const unsigned char *secret);
/* Adds the public keys of a JWKS document (RFC 7517; kty EC P-256 or RSA of 2048 to 8192 bits). Keys of another type,
 * `use` or `alg` are skipped; so is a bad one (or one whose id is taken), which is logged: one key must not lock out the
 * users of all others. ST_INVALID: not such a document, or all were skipped; the ring is then unchanged. */
MUST_CHECK enum status jws_ring_add_jwks(struct jws_ring *ring, const char *json, size_t len);

/* Replaces all but the first `kept` keys by those of `from`, from its index `first` on, and frees `from` (NULL: there are
 * none). A key whose id is taken is skipped and logged. */
void jws_ring_replace(struct jws_ring *ring, size_t kept, struct jws_ring *from, size_t first);

/* Does this token have the header of the key that signs now? */
bool jws_is_current(struct jws_ring *ring, const char *token, size_t len);

/* Signs this JSON payload and appends the token to `out`. ST_TOO_LARGE: the token would exceed JWS_MAX or the
 * buffer's maximum; ST_UNAVAILABLE: no key of the ring can sign. On failure nothing was appended. */
MUST_CHECK enum status jws_sign(struct jws_ring *ring, const char *payload, size_t len,
                                struct buf *out);

/* Verifies a token and appends the decoded payload to `out`. ST_UNAUTHORIZED: the token is not valid. ST_NOT_FOUND: no key
 * of the ring explains it, but one that was published since the ring was filled may: it is RS256 or ES256, and names a
 * key that is not known, or none. On failure nothing was appended. Signatures are compared in constant time. The token's `alg` must be the
 * algorithm pinned for the key. A token with `crit`, or with base64url that is not canonical, is refused. */
MUST_CHECK enum status jws_verify(struct jws_ring *ring, const char *token, size_t len,
                                  struct buf *out);

/* Appends one public ES256 key as PEM: that of this id; NULL: the one that signs, or the first. ST_NOT_FOUND: there is none. */
MUST_CHECK enum status jws_write_pem(const struct jws_ring *ring, const char *kid, struct buf *out);
/* Appends the ring's public ES256 keys as a JWKS document. */
void jws_write_jwks(const struct jws_ring *ring, struct buf *out);

#endif
