/* SPDX-License-Identifier: MIT */
/* clock: RFC 3339 to the millisecond; every other text is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void expect(const char *text, int64_t ms)
{
    int64_t got = -1;
    assert_int_equal(clock_parse_rfc3339(text, &got), ST_OK);
    assert_true(got == ms);
}

static void known_times_are_read(void **state)
{
    (void)state;
    expect("1970-01-01T00:00:00Z", 0);
    expect("1970-01-01t00:00:00z", 0);
    expect("2026-11-21T20:00:00Z", INT64_C(1795291200000));
    expect("2026-11-21T20:00:00.5Z", INT64_C(1795291200500));
    expect("2026-11-21T20:00:00.007Z", INT64_C(1795291200007));
    expect("2026-11-21T20:00:00.123456789Z", INT64_C(1795291200123));
    expect("2026-11-21T21:30:00+01:30", INT64_C(1795291200000));
    expect("2026-11-21T12:00:00-08:00", INT64_C(1795291200000));
    expect("2026-11-22T00:00:00+04:00", INT64_C(1795291200000));
    expect("2026-11-21T20:00:00-00:00", INT64_C(1795291200000));
    expect("2000-02-29T00:00:00Z", INT64_C(951782400000));
    expect("9999-12-31T23:59:59.999Z", INT64_C(253402300799999));
    expect("2016-12-31T23:59:60Z", INT64_C(1483228800000)); /* a real leap second */
    expect("2017-01-01T00:59:60+01:00", INT64_C(1483228800000));
}

static void other_texts_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "now",
        "2026-11-21",
        "2026-11-21T20:00Z",
        "2026-11-21T20:00:00",
        "2026-11-21 20:00:00Z",
        "2026-11-21T20:00:00 Z",
        "2026-11-21T20:00:00Z ",
        " 2026-11-21T20:00:00Z",
        "2026-11-21T20:00:00ZZ",
        "2026-11-21T20:00:00.Z",
        "2026-11-21T20:00:00,5Z",
        "2026-11-21T20:00:00.1234567890Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T20:60:00Z",
        "2026-11-21T20:00:61Z",
        "2026-11-21T20:00:60Z", /* not at the end of a UTC day */
        "2026-11-21T20:00:00+24:00",
        "2026-11-21T20:00:00+0100",
        "2026-11-21T20:00:00+01",
        "2026-11-21T20:00:00+01:60",
        "2026-00-21T20:00:00Z",
        "2026-13-21T20:00:00Z",
        "2026-11-00T20:00:00Z",
        "2026-11-31T20:00:00Z",
        "2026-02-29T20:00:00Z",
        "2100-02-29T20:00:00Z",
        "26-11-21T20:00:00Z",
        "2026-1-21T20:00:00Z",
        "+2026-11-21T20:00:00Z",
        "12026-11-21T20:00:00Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01", /* 1969 in UTC */
        "9999-12-31T23:59:59-00:01", /* 10000 in UTC */
        "2026-11-21T20:00:00Z\n",
        "20a6-11-21T20:00:00Z",
        "2026/11/21T20:00:00Z",
        "\xd9\xa2\xd9\xa0\xd9\xa2\xd9\xa6-11-21T20:00:00Z", /* Arabic digits */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t got = 77;
        assert_int_equal(clock_parse_rfc3339(bad[i], &got), ST_INVALID);
        assert_int_equal(got, 77);
    }
}

static void cut_times_are_refused(void **state)
{
    static const char whole[] = "2026-11-21T20:00:00.000+01:00";
    char text[sizeof(whole)];
    int64_t got;
    (void)state;
    for (size_t len = 0; len < sizeof(whole) - 1; len++) {
        memcpy(text, whole, len);
        text[len] = '\0';
        assert_int_equal(clock_parse_rfc3339(text, &got), ST_INVALID);
    }
}

static void times_are_written(void **state)
{
    char out[CLOCK_RFC3339_SIZE];
    (void)state;
    clock_format_rfc3339(0, out);
    assert_string_equal(out, "1970-01-01T00:00:00.000Z");
    clock_format_rfc3339(INT64_C(1795291200007), out);
    assert_string_equal(out, "2026-11-21T20:00:00.007Z");
    clock_format_rfc3339(-1, out);
    assert_string_equal(out, "1969-12-31T23:59:59.999Z");
    clock_format_rfc3339(INT64_MAX, out); /* not a date, but it must fit into the buffer */
    assert_true(strlen(out) < CLOCK_RFC3339_SIZE);
    clock_format_rfc3339(INT64_MIN, out);
    assert_true(strlen(out) < CLOCK_RFC3339_SIZE);
}

/* One moment of every day from 1970 to 2170. */
static void writing_and_reading_agree(void **state)
{
    char out[CLOCK_RFC3339_SIZE];
    (void)state;
    for (int64_t day = 0; day < 73050; day++) {
        const int64_t ms = day * 86400000 + day * 7919 % 86400000;
        int64_t got;
        clock_format_rfc3339(ms, out);
        assert_int_equal(clock_parse_rfc3339(out, &got), ST_OK);
        assert_true(got == ms);
    }
}

static void the_clocks_agree_with_the_system(void **state)
{
    (void)state;
    const int64_t wall = clock_wall_ms();
    const uint64_t before = clock_mono_ns();
    assert_true(llabs(wall - (int64_t)time(NULL) * 1000) < 5000);
    assert_true(clock_mono_ns() >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_times_are_read),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(cut_times_are_refused),
        cmocka_unit_test(times_are_written),
        cmocka_unit_test(writing_and_reading_agree),
        cmocka_unit_test(the_clocks_agree_with_the_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
