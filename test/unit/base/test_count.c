/* SPDX-License-Identifier: MIT */
/* Whole numbers for people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/count.h"

static void three_digits_at_a_time(void **state)
{
    (void)state;
    char out[COUNT_SIZE];
    assert_string_equal(count_write(0, out), "0");
    assert_string_equal(count_write(999, out), "999");
    assert_string_equal(count_write(1000, out), "1,000");
    assert_string_equal(count_write(1234567, out), "1,234,567");
    assert_string_equal(count_write(-100, out), "-100");
    assert_string_equal(count_write(-1000, out), "-1,000");
    assert_string_equal(count_write(INT64_MIN, out), "-9,223,372,036,854,775,808");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(three_digits_at_a_time)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
