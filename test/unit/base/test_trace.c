/* SPDX-License-Identifier: MIT */
/* trace: which ids and headers of a caller are taken over, and what is made of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/trace.h"

#include <string.h>

#define TRACE_ID "0af7651916cd43dd8448eb211c80319c"
#define PARENT   "b7ad6b7169203331"
#define HEADER   "00-" TRACE_ID "-" PARENT "-01"

static void ids_of_callers(void **state)
{
    char long_id[TRACE_REQUEST_ID_MAX + 2];
    (void)state;
    static const char *const good[] = {"a", "A-b_c.9", "5f0c9a1be2d34c780", "..."};
    static const char *const bad[] = {"",    "a b", "a\tb", "a\"b", "\xc3\xa9",
                                      "a/b", "a:b", "a,b",  " a"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(trace_request_id_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(trace_request_id_valid(bad[i]));
    assert_false(trace_request_id_valid(NULL));
    memset(long_id, 'x', sizeof(long_id));
    long_id[TRACE_REQUEST_ID_MAX] = '\0';
    assert_true(trace_request_id_valid(long_id));
    long_id[TRACE_REQUEST_ID_MAX] = 'x';
    long_id[TRACE_REQUEST_ID_MAX + 1] = '\0';
    assert_false(trace_request_id_valid(long_id));
}

static void ids_of_our_own(void **state)
{
    struct trace trace = {0};
    (void)state;
    trace_request_id_write(&trace, "0123456789abcdef", 0);
    assert_string_equal(trace.request_id, "0123456789abcdef0");
    trace_request_id_write(&trace, "0123456789abcdef", UINT64_MAX);
    assert_string_equal(trace.request_id, "0123456789abcdefffffffffffffffff");
    trace_request_id_write(&trace, "p", 0x1a2b);
    assert_string_equal(trace.request_id, "p1a2b");
    assert_true(trace_request_id_valid(trace.request_id));
}

static void a_good_parent_is_taken_over(void **state)
{
    struct trace trace = {0};
    char out[TRACE_PARENT_SIZE];
    (void)state;
    assert_false(trace_parent_write(&trace, out));
    assert_true(trace_parent_read(&trace, HEADER));
    assert_string_equal(trace.trace_id, TRACE_ID);
    assert_string_equal(trace.flags, "01");
    assert_int_equal(strlen(trace.span_id), 16);
    assert_int_equal(strspn(trace.span_id, "0123456789abcdef"), 16);
    assert_string_not_equal(trace.span_id, PARENT); /* what we call is called by us */
    assert_string_not_equal(trace.span_id, "0000000000000000");
    assert_true(trace_parent_write(&trace, out));
    assert_int_equal(strlen(out), TRACE_PARENT_SIZE - 1);
    assert_memory_equal(out, "00-" TRACE_ID "-", 36);
    assert_memory_equal(out + 36, trace.span_id, 16);
    assert_string_equal(out + 52, "-01");
    struct trace back = {0};
    assert_true(trace_parent_read(&back, out));
    assert_string_not_equal(back.span_id, trace.span_id);
    /* Only "sampled" is passed on of the flags. */
    assert_true(trace_parent_read(&trace, "00-" TRACE_ID "-" PARENT "-fe"));
    assert_true(trace_parent_write(&trace, out));
    assert_string_equal(out + 52, "-00");
    assert_true(trace_parent_read(&trace, "00-" TRACE_ID "-" PARENT "-ff"));
    assert_true(trace_parent_write(&trace, out));
    assert_string_equal(out + 52, "-01");
}

static void a_later_version_is_read_as_the_first(void **state)
{
    struct trace trace = {0};
    (void)state;
    assert_true(trace_parent_read(&trace, "01-" TRACE_ID "-" PARENT "-00"));
    assert_true(trace_parent_read(&trace, "cc-" TRACE_ID "-" PARENT "-00-what-will-be"));
    assert_false(trace_parent_read(&trace, "cc-" TRACE_ID "-" PARENT "-00.what-will-be"));
}

static void a_bad_parent_changes_nothing(void **state)
{
    static const char *const bad[] = {
        "",
        "00",
        "00-" TRACE_ID "-" PARENT,
        "00-" TRACE_ID "-" PARENT "-0",
        "00-" TRACE_ID "-" PARENT "-011",
        "00-" TRACE_ID "-" PARENT "-01-",
        " 00-" TRACE_ID "-" PARENT "-01",
        "ff-" TRACE_ID "-" PARENT "-01",
        "0g-" TRACE_ID "-" PARENT "-01",
        "00_" TRACE_ID "-" PARENT "-01",
        "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE_ID "-0000000000000000-01",
        "00-" TRACE_ID "-b7ad6b716920333-01x",
        "00-" TRACE_ID "-" PARENT "-0x",
        HEADER ", " HEADER,
    };
    struct trace trace = {0}, nothing = {0};
    (void)state;
    assert_false(trace_parent_read(&trace, NULL));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (trace_parent_read(&trace, bad[i]))
            fail_msg("taken over: %s", bad[i]);
    assert_memory_equal(&trace, &nothing, sizeof(trace));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_of_callers),
        cmocka_unit_test(ids_of_our_own),
        cmocka_unit_test(a_good_parent_is_taken_over),
        cmocka_unit_test(a_later_version_is_read_as_the_first),
        cmocka_unit_test(a_bad_parent_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
