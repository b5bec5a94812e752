/* SPDX-License-Identifier: MIT */
/*
 * mac: HMAC-SHA-256 with a key that was prepared once, and keys derived from other keys. A struct mac belongs to one
 * thread.
 */
#ifndef TIKETI_MAC_H
#define TIKETI_MAC_H

#include <stdbool.h>
#include <stddef.h>

#define MAC_LEN 32

struct mac;

struct mac *mac_new(const void *key, size_t len); /* copies the key; NULL: OpenSSL refuses it */
void mac_free(struct mac *mac);                   /* wipes the key; NULL is fine */

/* The MAC of `data` into out[MAC_LEN]. False: OpenSSL failed; `out` is then undefined. */
bool mac_of(struct mac *mac, const void *data, size_t len, unsigned char *out);

/* SHA-256 of `data` into out[MAC_LEN]. False: OpenSSL failed. */
bool mac_sha256(const void *data, size_t len, unsigned char *out);

/* Compares in constant time. */
bool mac_equal(const void *a, const void *b, size_t len);

/* HKDF-SHA-256 without a salt: `out_len` bytes for the purpose that `info` names. Nothing can be learned from them of
 * `seed`, or of what is derived from it for another purpose. False: OpenSSL failed. */
bool mac_derive(const void *seed, size_t seed_len, const char *info, unsigned char *out,
                size_t out_len);
/* mac_new with a key of 32 bytes that mac_derive makes of the seed. NULL: OpenSSL failed. */
struct mac *mac_new_derived(const void *seed, size_t seed_len, const char *info);

/* Writes 2 * len lower-case hex digits and a NUL. */
void mac_write_hex(const unsigned char *bytes, size_t len, char *out);

#endif
