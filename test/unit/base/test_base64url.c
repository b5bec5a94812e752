/* SPDX-License-Identifier: MIT */
/* base64url: every length and every digit survives; text that no encoder writes is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base64url.h"

#include <string.h>

#define TEXT_MAX 128

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void known_values(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg"},
        {"fo", "Zm8"},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg"},
        {"fooba", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "-_-_"},
        {"any carnal pleasure", "YW55IGNhcm5hbCBwbGVhc3VyZQ"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct buf text, back;
        buf_init(&text, 64);
        buf_init(&back, 64);
        base64url_encode(pairs[i][0], strlen(pairs[i][0]), &text);
        assert_string_equal(buf_str(&text), pairs[i][1]);
        assert_int_equal(base64url_decode(pairs[i][1], strlen(pairs[i][1]), &back), ST_OK);
        assert_string_equal(buf_str(&back), pairs[i][0]);
        buf_clear(&text);
        buf_clear(&back);
    }
}

/* The definition, bit by bit. */
static void slow_encode(const unsigned char *in, size_t len, char *out)
{
    unsigned bits = 0, count = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | in[i];
        for (count += 8; count >= 6; count -= 6)
            *out++ = digits[bits >> (count - 6) & 63];
    }
    if (count > 0)
        *out++ = digits[bits << (6 - count) & 63];
    *out = '\0';
}

static void every_length_is_encoded_and_decoded(void **state)
{
    unsigned char bytes[96], back[96];
    char wanted[TEXT_MAX + 1];
    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 167 + 13);
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        struct buf text;
        buf_init(&text, TEXT_MAX);
        slow_encode(bytes, len, wanted);
        base64url_encode(bytes, len, &text);
        assert_string_equal(buf_str(&text), wanted);
        assert_int_equal(base64url_decoded_len(text.len), len);
        assert_true(base64url_decode_into(wanted, text.len, back));
        assert_memory_equal(back, bytes, len);
        buf_clear(&text);
    }
}

/* Each digit at each position of a block. */
static void every_digit_works_at_every_position(void **state)
{
    (void)state;
    for (size_t turn = 0; turn < 64; turn++) {
        char text[TEXT_MAX + 1];
        struct buf bytes, back;
        for (size_t i = 0; i < TEXT_MAX; i++)
            text[i] = digits[(i + turn) % 64];
        buf_init(&bytes, 96);
        buf_init(&back, TEXT_MAX);
        assert_int_equal(base64url_decode(text, TEXT_MAX, &bytes), ST_OK);
        base64url_encode(buf_str(&bytes), bytes.len, &back);
        assert_int_equal(back.len, TEXT_MAX);
        assert_memory_equal(buf_str(&back), text, TEXT_MAX);
        buf_clear(&bytes);
        buf_clear(&back);
    }
}

/* Each byte that is no digit, at each position of a block, of a group of four and of the rest. */
static void every_other_byte_is_refused_at_every_position(void **state)
{
    unsigned char out[32];
    (void)state;
    for (int c = 0; c < 256; c++) {
        if (c != 0 && strchr(digits, c))
            continue;
        for (size_t at = 0; at < 23; at++) {
            char text[] = "AAAAAAAAAAAAAAAAAAAAAAA";
            text[at] = (char)c;
            assert_false(base64url_decode_into(text, 23, out));
        }
    }
}

static void text_of_no_encoder_is_refused(void **state)
{
    static const char *const bad[] = {"Z",    "Zm9vY", "Zg==",   "Zh",   "Zm9",       "Zm9v Yg",
                                      "Zm+v", "Zm/v",  "Zm9v\n", "Zm.v", "\xc3\xa4gg"};
    (void)state;
    struct buf out;
    buf_init(&out, 64);
    buf_add_str(&out, "kept");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(base64url_decode(bad[i], strlen(bad[i]), &out), ST_INVALID);
        assert_string_equal(buf_str(&out), "kept");
    }
    buf_clear(&out);
}

static void obeys_the_buffers_maximum(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 2);
    assert_int_equal(base64url_decode("Zm9v", 4, &out), ST_TOO_LARGE);
    assert_int_equal(out.len, 0);
    base64url_encode("foo", 3, &out);
    assert_int_equal(buf_status(&out), ST_TOO_LARGE);
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(every_length_is_encoded_and_decoded),
        cmocka_unit_test(every_digit_works_at_every_position),
        cmocka_unit_test(every_other_byte_is_refused_at_every_position),
        cmocka_unit_test(text_of_no_encoder_is_refused),
        cmocka_unit_test(obeys_the_buffers_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
