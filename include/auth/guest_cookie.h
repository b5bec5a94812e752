/* SPDX-License-Identifier: MIT */
/*
 * guest_cookie: the value of the cookie that a guest is known by, and the keys that seal it. Others use it by token.h.
 * A struct guest_keys belongs to one thread.
 */
#ifndef TIKETI_GUEST_COOKIE_H
#define TIKETI_GUEST_COOKIE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_ID_LEN      34 /* bytes: "g:" and 32 hex digits */
#define GUEST_COOKIE_SIZE 72 /* bytes, with the NUL */

struct guest_keys;

struct guest_keys *guest_keys_new(void);
void guest_keys_free(struct guest_keys *keys); /* wipes them; NULL is fine */
/* Adds a key that is derived from `seed`; the first one seals, all open. ST_INVALID: OpenSSL failed, or 64 keys. */
MUST_CHECK enum status guest_keys_add(struct guest_keys *keys, const void *seed, size_t len);

/* See token_write_guest and token_read_guest, of token.h. */
MUST_CHECK enum status guest_cookie_write(struct guest_keys *keys, const char *id, int64_t day,
                                          char *out);
bool guest_cookie_read(struct guest_keys *keys, const char *cookie, size_t len, char *out,
                       int64_t *ret_day);

#endif
