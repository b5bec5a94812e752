/* SPDX-License-Identifier: MIT */
/* minutes: the admissions of the last sixty seconds. */
#include "queue/minutes.h"
#include "queue/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MINUTE INT64_C(60000)
#define AT     INT64_C(29000000) /* minutes since 1970 */

/* As lua/index.lua notes them: 10 admissions by the begin of AT - 1, 70 by that of AT, 100 by now. */
static const struct queue_stat list[] = {
    {.name = "m28999999", .text = "0 10 0 0 0 0 0 0 0 0 0 0 0 0 0 0"},
    {.name = "m29000000", .text = "0 70 0 0 0 0 0 0 0 0 0 0 0 0 0 0"},
    {.name = "admitted", .value = 100, .text = "100"},
};

static int64_t admitted(int64_t seconds)
{
    return minutes_admitted(list, 3, AT * MINUTE + seconds * 1000);
}

static void the_last_sixty_seconds_are_counted(void **state)
{
    (void)state;
    assert_int_equal(admitted(0), 30 + 60);
    assert_int_equal(admitted(30), 30 + 30);
    assert_int_equal(admitted(59), 30 + 1);
}

static void without_admissions_they_go_to_nothing(void **state)
{
    (void)state;
    assert_int_equal(admitted(60), 30); /* nothing was noted since */
    assert_int_equal(admitted(90), 15);
    assert_int_equal(admitted(120), 0);
    assert_int_equal(admitted(7200), 0);
    assert_int_equal(minutes_admitted(list, 0, AT * MINUTE), 0);
    assert_int_equal(minutes_admitted(list + 1, 2, AT * MINUTE + 30000), 30); /* the first minute */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_sixty_seconds_are_counted),
        cmocka_unit_test(without_admissions_they_go_to_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
