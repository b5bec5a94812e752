/* SPDX-License-Identifier: MIT */
/*
 * base64url: base64url without padding.
 *
 * Why this way: each join writes a ticket and each poll reads one, of about 200 digits. The encoder makes eight digits
 * at once in one 64-bit register, by comparing with the ranges of the alphabet (vectors of sixteen were not
 * faster when measured). The decoder uses a table and checks for invalid digits once, at the end.
 * Called by: jws, crowd_memory. Pure.
 */
#include "base/base64url.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The value of each digit, plus one; 0 for bytes that are no digit. */
/* clang-format off */
static const unsigned char digit_values[256] = {
    ['A'] =  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
    ['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52,
    ['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, ['-'] = 63, ['_'] = 64,
};
/* clang-format on */

/* ---- encoding ---- */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Sets each byte to 1 where that byte of `values` (each below 64) is above `limit`, else to 0. */
static uint64_t above(uint64_t values, unsigned limit)
{
    return (values + EACH(127 - limit)) >> 7 & EACH(1);
}

/* Encodes the lowest 48 bits as eight digits, the first digit in the highest byte. The additions never carry
 * from one byte into the next. */
static uint64_t digits_of(uint64_t bits)
{
    uint64_t values = (bits & 0xffffff) | (bits >> 24 & 0xffffff) << 32;
    values = (values & 0x00000fff00000fff) | (values & 0x00fff00000fff000) << 4;
    values = (values & 0x003f003f003f003f) | (values & 0x0fc00fc00fc00fc0) << 2;
    return values + EACH('A') + above(values, 25) * ('a' - 'A' - 26) -
           above(values, 51) * ('a' + 26 - '0') - above(values, 61) * ('0' + 10 - '-') +
           above(values, 62) * ('_' - '-' - 1);
}

void base64url_encode(const void *data, size_t len, struct buf *out)
{
    const unsigned char *in = data;
    char *to = buf_extend(out, len / 3 * 4 + (len % 3 > 0 ? len % 3 + 1 : 0));
    if (!to)
        return;
    for (; len >= 8; len -= 6, in += 6, to += 8) { /* reads eight bytes, uses six */
        uint64_t bits;
        memcpy(&bits, in, sizeof(bits));
        bits = htobe64(digits_of(be64toh(bits) >> 16));
        memcpy(to, &bits, sizeof(bits));
    }
    for (; len >= 3; len -= 3, in += 3) {
        *to++ = digits[in[0] >> 2];
        *to++ = digits[(in[0] & 0x03) << 4 | in[1] >> 4];
        *to++ = digits[(in[1] & 0x0f) << 2 | in[2] >> 6];
        *to++ = digits[in[2] & 0x3f];
    }
    if (len > 0) {
        const unsigned char second = len == 2 ? in[1] : 0;
        *to++ = digits[in[0] >> 2];
        *to++ = digits[(in[0] & 0x03) << 4 | second >> 4];
        if (len == 2)
            *to = digits[(second & 0x0f) << 2];
    }
}

/* ---- decoding ---- */

size_t base64url_decoded_len(size_t len)
{
    return len / 4 * 3 + (len % 4 > 0 ? len % 4 - 1 : 0);
}

bool base64url_decode_into(const char *text, size_t len, unsigned char *out)
{
    const unsigned char *in = (const unsigned char *)text, *const end = in + len;
    uint32_t bits = 0, all = 0;
    if (len % 4 == 1)
        return false;
    for (; end - in >= 4; in += 4, out += 3) {
        const uint32_t a = digit_values[in[0]] - 1u, b = digit_values[in[1]] - 1u,
                       c = digit_values[in[2]] - 1u, d = digit_values[in[3]] - 1u;
        bits = a << 18 | b << 12 | c << 6 | d;
        all |= bits; /* an invalid digit sets bits above the lowest 24 */
        out[0] = (unsigned char)(bits >> 16);
        out[1] = (unsigned char)(bits >> 8);
        out[2] = (unsigned char)bits;
    }
    if (all >> 24 != 0)
        return false;
    for (bits = 0; in < end; in++) {
        if (digit_values[*in] == 0)
            return false;
        bits = bits << 6 | (digit_values[*in] - 1u);
    }
    if (len % 4 == 2)
        *out = (unsigned char)(bits >> 4);
    if (len % 4 == 3) {
        *out++ = (unsigned char)(bits >> 10);
        *out = (unsigned char)(bits >> 2);
    }
    return (len % 4 != 2 || (bits & 0x0f) == 0) && (len % 4 != 3 || (bits & 0x03) == 0);
}

enum status base64url_decode(const char *text, size_t len, struct buf *out)
{
    const size_t before = out->len;
    char *into = buf_extend(out, base64url_decoded_len(len));
    if (!into)
        return ST_TOO_LARGE;
    if (base64url_decode_into(text, len, (unsigned char *)into))
        return ST_OK;
    buf_truncate(out, before);
    return ST_INVALID;
}
