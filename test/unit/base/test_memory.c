/* SPDX-License-Identifier: MIT */
/* memory: zeroed, copied, and never NULL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"

#include <stdlib.h>

static void allocators(void **state)
{
    (void)state;
    unsigned char *zeroed = xcalloc(3, 5);
    for (int i = 0; i < 15; i++)
        assert_int_equal(zeroed[i], 0);
    free(zeroed);
    free(xcalloc(0, 0));
    char *copy = xstrdup("text");
    copy = xrealloc(copy, 100);
    assert_string_equal(copy, "text");
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
