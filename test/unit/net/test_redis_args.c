/* SPDX-License-Identifier: MIT */
/* redis_args: lists of arguments, SHA-1 names of scripts. No Redis needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/redis_args.h"

static void test_numbers_survive_growth(void **state)
{
    (void)state;
    struct redis_args args;
    char expected[32];
    redis_args_init(&args);
    for (int round = 0; round < 2; round++) {
        redis_args_reset(&args);
        for (int i = 0; i < 1000; i++) {
            redis_args_add_int(&args, -i);
            redis_args_add(&args, "fixed");
            redis_args_add_uint(&args, UINT64_MAX - (uint64_t)i);
            redis_args_add_copy(&args, "a\0b", 3);
        }
        assert_false(args.failed);
        assert_int_equal(args.count, 4000);
        for (size_t i = 0; i < 1000; i++) {
            snprintf(expected, sizeof(expected), "%d", -(int)i);
            assert_int_equal(args.lens[4 * i], strlen(expected));
            assert_memory_equal(args.argv[4 * i], expected, strlen(expected));
            assert_string_equal(args.argv[4 * i + 1], "fixed");
            snprintf(expected, sizeof(expected), "%llu", ~0ull - i);
            assert_memory_equal(args.argv[4 * i + 2], expected, strlen(expected));
            assert_memory_equal(args.argv[4 * i + 3], "a\0b", 3);
        }
    }
    redis_args_clear(&args);
}

static void test_too_many_or_too_long_is_sticky(void **state)
{
    (void)state;
    struct redis_args args;
    redis_args_init(&args);
    for (int i = 0; i < REDIS_ARGS_MAX; i++)
        redis_args_add(&args, "x");
    assert_false(args.failed);
    redis_args_add_int(&args, 1);
    assert_true(args.failed);
    assert_int_equal(args.count, REDIS_ARGS_MAX);
    redis_args_reset(&args);
    assert_false(args.failed);
    char *huge = calloc(1, 2 << 20);
    assert_non_null(huge);
    redis_args_add_copy(&args, huge, 2 << 20);
    assert_true(args.failed);
    redis_args_add(&args, "y");
    assert_int_equal(args.count, 0);
    free(huge);
    redis_args_clear(&args);
}

static void test_script_names(void **state)
{
    (void)state;
    struct redis_script script;
    char body[200];
    memset(body, 'a', sizeof(body));
    redis_script_init(&script, "one", "return 1", 8);
    assert_string_equal(script.sha, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    redis_script_init(&script, "empty", "", 0);
    assert_string_equal(script.sha, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    /* lengths around the end of a SHA-1 block */
    redis_script_init(&script, "55", body, 55);
    assert_string_equal(script.sha, "c1c8bbdc22796e28c0e15163d20899b65621d65a");
    redis_script_init(&script, "56", body, 56);
    assert_string_equal(script.sha, "c2db330f6083854c99d4b5bfb6e8f29f201be699");
    redis_script_init(&script, "64", body, 64);
    assert_string_equal(script.sha, "0098ba824b5c16427bd7a1122a5a442a25ec644d");
    redis_script_init(&script, "200", body, 200);
    assert_string_equal(script.sha, "e61cfffe0d9195a525fc6cf06ca2d77119c24a40");
}

static void test_form_on_the_wire(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 100);
    redis_format_head(&out, 2);
    redis_format_arg(&out, "GET", 3);
    redis_format_arg(&out, "", 0);
    assert_string_equal(buf_str(&out), "*2\r\n$3\r\nGET\r\n$0\r\n\r\n");
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_survive_growth),
        cmocka_unit_test(test_too_many_or_too_long_is_sticky),
        cmocka_unit_test(test_script_names),
        cmocka_unit_test(test_form_on_the_wire),
    };
    return cmocka_run_group_tests_name("redis_args", tests, NULL, NULL);
}
