/* SPDX-License-Identifier: MIT */
/*
 * base64url: base64url without padding (RFC 4648, section 5), as in JWTs. Decoding is strict: no padding, no byte
 * outside the alphabet, and unused bits must be zero. So a value has exactly one text, and a signed text
 * cannot be changed without breaking its signature.
 */
#ifndef TIKETI_BASE64URL_H
#define TIKETI_BASE64URL_H

#include "base/buf.h"
#include "base/status.h"

/* Appends the text of `len` bytes; sets out->failed when it does not fit. */
void base64url_encode(const void *data, size_t len, struct buf *out);

/* Appends the bytes that `len` digits stand for. ST_INVALID: not base64url; ST_TOO_LARGE: the bytes do not fit. In
 * both cases the content of `out` is unchanged. */
MUST_CHECK enum status base64url_decode(const char *text, size_t len, struct buf *out);

/* Decodes `len` digits into out[base64url_decoded_len(len)]. False when the text is invalid; the content of
 * `out` is then undefined. */
MUST_CHECK bool base64url_decode_into(const char *text, size_t len, unsigned char *out);
size_t base64url_decoded_len(size_t len);

#endif
