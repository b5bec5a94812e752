/* SPDX-License-Identifier: MIT */
/*
 * p256: keys of the curve P-256, made from their bytes.
 */
#ifndef TIKETI_P256_H
#define TIKETI_P256_H

#include <openssl/types.h>
#include <stddef.h>

#define P256_LEN       32                 /* a private key, or one coordinate */
#define P256_POINT_LEN (1 + 2 * P256_LEN) /* a public key, uncompressed: 4, x, y */

/* Returns a new public key. NULL: the bytes are not an uncompressed point of the curve. */
EVP_PKEY *p256_public(const unsigned char *point, size_t len);
/* Returns a new key pair; its public key goes to ret_point[P256_POINT_LEN] (may be NULL). NULL: the secret is not from 1
 * to the order of the curve less 1. */
EVP_PKEY *p256_private(const BIGNUM *secret, unsigned char *ret_point);
/* The same with the secret as bytes, the highest first. */
EVP_PKEY *p256_private_bytes(const unsigned char secret[P256_LEN], unsigned char *ret_point);
/* Makes `secret` of these bytes, as in FIPS 186-5 A.2.1. `len` must be at least 40: the reduction modulo the order then
 * adds no bias. Returns a new key pair; NULL: OpenSSL failed. */
EVP_PKEY *p256_derive(const unsigned char *bytes, size_t len, unsigned char *ret_point,
                      unsigned char ret_secret[P256_LEN]);

#endif
