/* SPDX-License-Identifier: MIT */
/* buf: the maximum is exact, failure is sticky and changes nothing, JSON strings are valid JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"

#include <string.h>

static void a_cleared_buffer_can_be_used_again(void **state)
{
    struct buf buf;
    (void)state;
    buf_init(&buf, 8);
    assert_null(buf.data);
    assert_string_equal(buf_str(&buf), "");
    assert_int_equal(buf_status(&buf), ST_OK);
    buf_add(&buf, NULL, 0);
    assert_string_equal(buf_str(&buf), "");
    buf_clear(&buf);
    buf_add_str(&buf, "again");
    assert_string_equal(buf_str(&buf), "again");
    buf_clear(&buf);
    assert_null(buf.data);
}

static void the_maximum_is_exact(void **state)
{
    struct buf buf;
    (void)state;
    buf_init(&buf, 1000);
    for (int i = 0; i < 1000; i++)
        buf_add_char(&buf, (char)('a' + i % 26));
    assert_int_equal(buf_status(&buf), ST_OK);
    assert_int_equal(buf.len, 1000);
    assert_int_equal(strlen(buf_str(&buf)), 1000);
    assert_true(buf.cap <= 1001);
    buf_add_char(&buf, 'x');
    assert_int_equal(buf_status(&buf), ST_TOO_LARGE);
    assert_int_equal(buf.len, 1000);
    assert_int_equal(buf.data[999], 'a' + 999 % 26);
    buf_clear(&buf);
}

static void failure_sticks_and_changes_nothing(void **state)
{
    struct buf buf;
    (void)state;
    buf_init(&buf, 8);
    buf_add_str(&buf, "1234");
    buf_add_str(&buf, "56789");
    buf_add_str(&buf, "5");
    buf_add_uint(&buf, 5);
    buf_printf(&buf, "%d", 5);
    buf_add_json_str(&buf, "", 0);
    assert_null(buf_extend(&buf, 1));
    assert_true(buf.failed);
    assert_string_equal(buf_str(&buf), "1234");
    assert_int_equal(buf.len, 4);
    buf_reset(&buf);
    assert_false(buf.failed);
    assert_string_equal(buf_str(&buf), "");
    buf_add_str(&buf, "12345678");
    assert_string_equal(buf_str(&buf), "12345678");
    buf_clear(&buf);
}

static void a_maximum_of_zero_holds_nothing(void **state)
{
    struct buf buf;
    (void)state;
    buf_init(&buf, 0);
    buf_add_str(&buf, "");
    assert_int_equal(buf_status(&buf), ST_OK);
    buf_add_char(&buf, 'x');
    assert_int_equal(buf_status(&buf), ST_TOO_LARGE);
    assert_string_equal(buf_str(&buf), "");
    buf_clear(&buf);
}

static void a_huge_length_is_refused(void **state)
{
    struct buf buf;
    (void)state;
    buf_init(&buf, 100);
    buf_add_str(&buf, "abc");
    assert_null(buf_extend(&buf, SIZE_MAX));
    assert_string_equal(buf_str(&buf), "abc");
    buf_clear(&buf);
}

static void extend_and_truncate(void **state)
{
    struct buf buf;
    (void)state;
    buf_init(&buf, 16);
    memcpy(buf_extend(&buf, 6), "abcdef", 6);
    assert_string_equal(buf_str(&buf), "abcdef");
    buf_truncate(&buf, 2);
    assert_string_equal(buf_str(&buf), "ab");
    buf_truncate(&buf, 5);
    assert_int_equal(buf.len, 2);
    buf_clear(&buf);
    buf_truncate(&buf, 0);
}

static void numbers_are_decimal(void **state)
{
    struct buf buf;
    (void)state;
    buf_init(&buf, 200);
    buf_add_uint(&buf, 0);
    buf_add_char(&buf, ' ');
    buf_add_uint(&buf, UINT64_MAX);
    buf_add_char(&buf, ' ');
    buf_add_int(&buf, INT64_MIN);
    buf_add_char(&buf, ' ');
    buf_add_int(&buf, INT64_MAX);
    buf_add_char(&buf, ' ');
    buf_add_int(&buf, -7);
    assert_string_equal(buf_str(&buf), "0 18446744073709551615 -9223372036854775808 "
                                       "9223372036854775807 -7");
    buf_clear(&buf);
}

/* The text must be complete wherever it meets the capacity of the buffer. */
static void printf_grows_the_buffer(void **state)
{
    (void)state;
    for (size_t before = 0; before < 300; before++) {
        struct buf buf;
        buf_init(&buf, 320);
        for (size_t i = 0; i < before; i++)
            buf_add_char(&buf, '.');
        buf_printf(&buf, "%s-%d", "text", 12345);
        assert_int_equal(buf.len, before + 10);
        assert_string_equal(buf_str(&buf) + before, "text-12345");
        buf_clear(&buf);
    }
}

static void printf_obeys_the_maximum(void **state)
{
    struct buf buf;
    (void)state;
    buf_init(&buf, 10);
    buf_printf(&buf, "%s", "0123456789");
    assert_string_equal(buf_str(&buf), "0123456789");
    buf_reset(&buf);
    buf_add_str(&buf, "ab");
    buf_printf(&buf, "%s", "cdefghijk"); /* one too many */
    assert_int_equal(buf_status(&buf), ST_TOO_LARGE);
    assert_string_equal(buf_str(&buf), "ab");
    buf_clear(&buf);
}

static void expect_json(const char *text, size_t len, const char *want)
{
    struct buf buf;
    buf_init(&buf, 256);
    buf_add_json_str(&buf, text, len);
    assert_string_equal(buf_str(&buf), want);
    buf_clear(&buf);
}

#define EXPECT_JSON(text, want) expect_json(text, sizeof(text) - 1, want)
#define BAD                     "\xef\xbf\xbd"

static void json_strings_are_escaped(void **state)
{
    (void)state;
    EXPECT_JSON("", "\"\"");
    EXPECT_JSON("plain", "\"plain\"");
    EXPECT_JSON("a\"b\\c/", "\"a\\\"b\\\\c/\"");
    EXPECT_JSON("\b\t\n\f\r", "\"\\b\\t\\n\\f\\r\"");
    EXPECT_JSON("\0a\x01\x1f\x7f", "\"\\u0000a\\u0001\\u001f\\u007f\"");
    EXPECT_JSON("<\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\xab>",
                "\"<\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\xab>\"");
    EXPECT_JSON("\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"");
}

static void json_loses_whitespace_outside_of_strings(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", ""},
        {" [ ] ", "[]"},
        {"{\"a\" : 1, \"b c\" : [true , null, \n \"x\\\\\"\t,\r-1.5e3]}",
         "{\"a\":1,\"b c\":[true,null,\"x\\\\\",-1.5e3]}"},
        {"{\"say \\\" : \" : \"\\\\\\\" , \"}", "{\"say \\\" : \":\"\\\\\\\" , \"}"},
        {"[\"\xec\x84\x9c \xec\x9a\xb8\", 2]", "[\"\xec\x84\x9c \xec\x9a\xb8\",2]"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct buf buf;
        buf_init(&buf, 256);
        buf_add_str(&buf, "> ");
        buf_add_json_compact(&buf, pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(buf_str(&buf) + 2, pairs[i][1]);
        assert_int_equal(buf.len, 2 + strlen(pairs[i][1]));
        buf_clear(&buf);
    }
    struct buf small;
    buf_init(&small, 3);
    buf_add_json_compact(&small, "[1, 2]", 6);
    assert_int_equal(buf_status(&small), ST_TOO_LARGE);
    assert_int_equal(small.len, 0);
    buf_clear(&small);
}

static void json_strings_replace_invalid_utf8(void **state)
{
    (void)state;
    EXPECT_JSON("\x80", "\"" BAD "\"");
    EXPECT_JSON("a\xff"
                "b",
                "\"a" BAD "b\"");
    EXPECT_JSON("\xc0\xaf", "\"" BAD BAD "\"");                 /* overlong */
    EXPECT_JSON("\xe0\x80\xaf", "\"" BAD BAD BAD "\"");         /* overlong */
    EXPECT_JSON("\xed\xa0\x80", "\"" BAD BAD BAD "\"");         /* a surrogate */
    EXPECT_JSON("\xf4\x90\x80\x80", "\"" BAD BAD BAD BAD "\""); /* over U+10FFFF */
    EXPECT_JSON("\xe2\x82", "\"" BAD BAD "\"");                 /* cut */
    EXPECT_JSON("\xe2\x82x", "\"" BAD BAD "x\"");
    EXPECT_JSON("\xc3", "\"" BAD "\"");
}

static void values_of_queries_are_encoded(void **state)
{
    struct buf buf;
    (void)state;
    buf_init(&buf, 64);
    buf_add_query(&buf, "aZ09-._~ &=+%/\xea\xb9\x80");
    assert_string_equal(buf_str(&buf), "aZ09-._~%20%26%3D%2B%25%2F%EA%B9%80");
    buf_clear(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cleared_buffer_can_be_used_again),
        cmocka_unit_test(the_maximum_is_exact),
        cmocka_unit_test(failure_sticks_and_changes_nothing),
        cmocka_unit_test(a_maximum_of_zero_holds_nothing),
        cmocka_unit_test(a_huge_length_is_refused),
        cmocka_unit_test(extend_and_truncate),
        cmocka_unit_test(numbers_are_decimal),
        cmocka_unit_test(printf_grows_the_buffer),
        cmocka_unit_test(printf_obeys_the_maximum),
        cmocka_unit_test(json_strings_are_escaped),
        cmocka_unit_test(values_of_queries_are_encoded),
        cmocka_unit_test(json_strings_replace_invalid_utf8),
        cmocka_unit_test(json_loses_whitespace_outside_of_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
