/* SPDX-License-Identifier: MIT */
/* What Prometheus answers to a query of one number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "processor/shop_health.h"

#define VECTOR(list)                                                                               \
    "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[" list "]}}"
#define ELEMENT(value) "{\"metric\":{\"a\":\"b\"},\"value\":[1790000000.5," value "]}"

static void one_number_is_read_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum status status;
        double value;
    } rows[] = {
        {VECTOR(ELEMENT("\"0.25\"")), ST_OK, 0.25},
        {VECTOR(ELEMENT("\"2e-3\"")), ST_OK, 0.002},
        {"{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1.5,\"7\"]}}",
         ST_OK, 7},
        {VECTOR(""), ST_NOT_FOUND, 0},
        {VECTOR(ELEMENT("\"NaN\"")), ST_NOT_FOUND, 0},
        {VECTOR(ELEMENT("\"+Inf\"")), ST_NOT_FOUND, 0},
        {VECTOR(ELEMENT("\"1\"") "," ELEMENT("\"2\"")), ST_INVALID, 0}, /* which of them? */
        {VECTOR(ELEMENT("1")), ST_INVALID, 0},
        {VECTOR(ELEMENT("\"1x\"")), ST_INVALID, 0},
        {VECTOR(ELEMENT("\"\"")), ST_INVALID, 0},
        {"{\"status\":\"error\",\"data\":{\"resultType\":\"scalar\",\"result\":[1.5,\"7\"]}}",
         ST_INVALID, 0},
        {"{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[]}}", ST_INVALID,
         0},
        {"{\"status\":\"success\"}", ST_INVALID, 0},
        {"<html>", ST_INVALID, 0},
        {"", ST_INVALID, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        double value = -1;
        print_message("%s\n", rows[i].text);
        assert_int_equal(shop_health_read(rows[i].text, strlen(rows[i].text), &value),
                         rows[i].status);
        if (rows[i].status == ST_OK)
            assert_float_equal(value, rows[i].value, 1e-12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_number_is_read_and_nothing_else)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
