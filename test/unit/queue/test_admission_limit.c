/* SPDX-License-Identifier: MIT */
/* What the scripts say about the limit in force. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "queue/admission_limit.h"

static void every_number_is_read(void **state)
{
    (void)state;
    struct admission_limit limit;
    assert_int_equal(admission_limit_parse("outflow 503 45 75 50 60 61 12", &limit), ST_OK);
    assert_int_equal(limit.by, LIMITED_BY_OUTFLOW);
    assert_string_equal(admission_limited_by_name(limit.by), "outflow");
    struct json *body = json_new_object();
    admission_limit_write(&limit, body);
    const struct json *limits = json_get(body, "limits");
    assert_int_equal(json_int(limits, "waiting", -1), 503);
    assert_int_equal(json_int(limits, "inside", -1), 45);
    assert_int_equal(json_int(limits, "threshold", -1), 75);
    assert_int_equal(json_int(limits, "baseThreshold", -1), 50);
    assert_int_equal(json_int(limits, "outflowPerMinute", -1), 60);
    assert_int_equal(json_int(limits, "outflowWaitMs", -1), 61);
    assert_int_equal(json_int(limits, "seatsLeft", -1), 12);
    json_free(body);
}

static void a_text_is_printed_as_it_was_read(void **state)
{
    (void)state;
    static const char *const texts[] = {"threshold 503 45 75 50 60 61 12", "closed 0 0 1 2 0 0 -"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct admission_limit limit;
        struct buf out;
        buf_init(&out, 256);
        assert_int_equal(admission_limit_parse(texts[i], &limit), ST_OK);
        admission_limit_print(&limit, &out);
        assert_string_equal(buf_str(&out), texts[i]);
        buf_clear(&out);
    }
}

static void seats_that_do_not_limit_are_null(void **state)
{
    (void)state;
    struct admission_limit limit;
    assert_int_equal(admission_limit_parse("empty 0 1 2 2 0 0 -", &limit), ST_OK);
    assert_int_equal(limit.by, LIMITED_BY_EMPTY);
    assert_int_equal(limit.seats_left, -1);
    struct json *body = json_new_object();
    admission_limit_write(&limit, body);
    assert_true(json_is_null(json_get(json_get(body, "limits"), "seatsLeft")));
    json_free(body);
}

static void what_is_malformed_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "threshold",
        "thresh 1 2 3 4 5 6 7",
        "thresholds 1 2 3 4 5 6 7",
        "threshold 1 2 3 4 5 6",
        "threshold 1 2 3 4 5 6 7 8",
        "threshold 1 2 3 4 5 6 ",
        "threshold 1 2 x 4 5 6 7",
        "threshold - 2 3 4 5 6 7",
        "threshold 1 2 3 4 5 6 -1",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct admission_limit limit = {.inside = 77};
        assert_int_equal(admission_limit_parse(texts[i], &limit), ST_INVALID);
        assert_int_equal(limit.inside, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_is_read),
        cmocka_unit_test(a_text_is_printed_as_it_was_read),
        cmocka_unit_test(seats_that_do_not_limit_are_null),
        cmocka_unit_test(what_is_malformed_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
