/* SPDX-License-Identifier: MIT */
/*
 * return_proof: what shows that a browser comes back from paying for a reservation, and the keys that seal it. Others use
 * it by token.h. A struct return_keys belongs to one thread.
 */
#ifndef TIKETI_RETURN_PROOF_H
#define TIKETI_RETURN_PROOF_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESERVATION_ID_LEN 36 /* bytes of a UUID */
#define RETURN_PROOF_SIZE  48 /* bytes, with the NUL */

struct return_keys;

struct return_keys *return_keys_new(void);
void return_keys_free(struct return_keys *keys); /* wipes them; NULL is fine */
/* Adds a key that is derived from `seed`; the first one seals, all open. ST_INVALID: OpenSSL failed, or 64 keys. */
MUST_CHECK enum status return_keys_add(struct return_keys *keys, const void *seed, size_t len);

/* See token_write_return and token_read_return, of token.h. */
MUST_CHECK enum status return_proof_write(struct return_keys *keys, const char *reservation,
                                          int64_t until_s, char *out);
bool return_proof_holds(struct return_keys *keys, const char *proof, size_t len,
                        const char *reservation, int64_t now_s);

#endif
