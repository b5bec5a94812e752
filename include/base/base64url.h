/* SPDX-License-Identifier: MIT */
/*
 * base64url: base64url without padding (RFC 4648 section 5), as JOSE writes it. Decoding is strict: no
 * padding, no byte outside the alphabet, and no bits set that no encoder sets. So one value has one text, and
 * a signed text cannot be altered and still hold.
 */
#ifndef TIKETI_BASE64URL_H
#define TIKETI_BASE64URL_H

#include "base/buf.h"
#include "base/status.h"

/* Appends the text of `len` bytes. */
void base64url_encode(const void *data, size_t len, struct buf *out);

/* Appends the bytes of `len` digits. ST_INVALID, or ST_TOO_LARGE for the buffer: `out` is as it was. */
MUST_CHECK enum status base64url_decode(const char *text, size_t len, struct buf *out);

/* The same into memory of the caller's: out[base64url_decoded_len(len)]. False: invalid, and `out` holds anything. */
MUST_CHECK bool base64url_decode_into(const char *text, size_t len, unsigned char *out);
size_t base64url_decoded_len(size_t len);

#endif
