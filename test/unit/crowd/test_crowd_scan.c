/* SPDX-License-Identifier: MIT */
/* crowd_scan: the fields that it finds, and the texts that it leaves to a real parser. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "crowd/crowd_scan.h"

static const char *const keys[] = {"a", "b", "ticket"};
static struct crowd_span spans[3];

static bool scan(const char *text)
{
    return crowd_scan(text, strlen(text), keys, spans, 3);
}

static void values_of_wanted_keys_are_found(void **state)
{
    (void)state;
    assert_true(
        scan(" { \"a\" : 12 ,\"x\":{\"a\":[1,\"}\\\"\",{}]},\"ticket\":\"e.y.z\", \"b\":true}"));
    assert_int_equal(crowd_span_int(spans[0]), 12);
    assert_true(crowd_span_is(spans[1], "true"));
    assert_true(crowd_span_is(spans[2], "e.y.z"));
    assert_false(crowd_span_is(spans[2], "e.y"));
    assert_true(scan("{\"payload\":{\"b\":1},\"a\":{\"k\":[]}}"));
    assert_null(spans[1].text);
    assert_true(crowd_span_is(spans[0], "{\"k\":[]}"));
    assert_true(scan("{}"));
    assert_null(spans[0].text);
    assert_true(scan("{\"x\":\"\\u0041\\\"\",\"a\":\"\"}"));
    assert_true(crowd_span_is(spans[0], ""));
}

static void a_text_that_is_not_plain_is_left_to_the_parser(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "[]",
                                        "{",
                                        "{\"a\"",
                                        "{\"a\":",
                                        "{\"a\":1",
                                        "{\"a\":}",
                                        "{\"a\" 1}",
                                        "{a:1}",
                                        "{\"a\":\"x}",
                                        "{\"a\":{}",
                                        "{\"a\":[1}",
                                        "{\"a\":1,",
                                        "{\"a\":1 2",
                                        "{\"a\":\"x\\",
                                        "{\"a\":\"\\n\"}",
                                        "{\"a\":[\"]}",
                                        "{\"a\":1]"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_false(scan(texts[i]));
}

static void spans_are_read_as_numbers(void **state)
{
    (void)state;
    assert_int_equal(crowd_span_int((struct crowd_span){"1795257575084218", 16}), 1795257575084218);
    assert_int_equal(crowd_span_int((struct crowd_span){"null", 4}), 0);
    assert_int_equal(crowd_span_int((struct crowd_span){"9999999999999999999", 19}), 0);
    assert_int_equal(crowd_span_int((struct crowd_span){NULL, 0}), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_wanted_keys_are_found),
        cmocka_unit_test(a_text_that_is_not_plain_is_left_to_the_parser),
        cmocka_unit_test(spans_are_read_as_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
