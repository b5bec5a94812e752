/* SPDX-License-Identifier: MIT */
/* utf8: the length of a sequence; overlong, cut and out-of-range sequences have none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/utf8.h"

static void utf8_lengths(void **state)
{
    (void)state;
    assert_int_equal(utf8_len("", 0), 0);
    assert_int_equal(utf8_len("a", 1), 1);
    assert_int_equal(utf8_len("\0", 1), 1);
    assert_int_equal(utf8_len("\xc3\xa9", 2), 2);
    assert_int_equal(utf8_len("\xc3\xa9", 1), 0);
    assert_int_equal(utf8_len("\xc1\x81", 2), 0);
    assert_int_equal(utf8_len("\xf5\x80\x80\x80", 4), 0);
}

static void characters_are_written(void **state)
{
    (void)state;
    static const uint32_t characters[] = {0,      1,      0x7f,   0x80,    0x7ff,   0x800,
                                          0xd7ff, 0xe000, 0xffff, 0x10000, 0x1f3ab, 0x10ffff};
    static const size_t lengths[] = {1, 1, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        char out[4];
        assert_int_equal(utf8_write(characters[i], out), lengths[i]);
        assert_int_equal(utf8_len(out, lengths[i]), lengths[i]);
    }
    char ticket[4];
    assert_int_equal(utf8_write(0x1f3ab, ticket), 4);
    assert_memory_equal(ticket, "\xf0\x9f\x8e\xab", 4);
}

static void texts(void **state)
{
    (void)state;
    assert_true(utf8_is_valid("", 0));
    assert_true(utf8_is_valid("a\xc3\xa9\xe2\x82\xac", 6));
    assert_false(utf8_is_valid("a\xc3\xa9\xe2\x82\xac", 5));
    assert_false(utf8_is_valid("a\xff", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_lengths),
        cmocka_unit_test(characters_are_written),
        cmocka_unit_test(texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
