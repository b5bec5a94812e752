/* SPDX-License-Identifier: MIT */
/* qr: the path of a code has its finder patterns; what is too long is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "page/qr.h"

#include <string.h>

static void a_short_text(void **state)
{
    (void)state;
    struct buf out;
    int size = 0;
    buf_init(&out, 65536);
    assert_int_equal(qr_write_path("tiketi", 6, &out, &size), ST_OK);
    assert_int_equal(size, 21); /* version 1 */
    /* The top edges of the two upper finder patterns are the first and the last stroke of the first row. */
    assert_ptr_equal(strstr(buf_str(&out), "M0 0.5h7"), buf_str(&out));
    const char *second = strstr(buf_str(&out), "M0 1.5h1");
    assert_non_null(second);
    assert_memory_equal(second - 2, "h7", 2);
    assert_null(strstr(buf_str(&out), "h0"));
    buf_clear(&out);
}

static void a_text_of_any_length(void **state)
{
    (void)state;
    static char text[4000];
    struct buf out;
    int size = 0;
    memset(text, 'x', sizeof(text));
    buf_init(&out, 1 << 20);
    assert_int_equal(qr_write_path(text, 2000, &out, &size), ST_OK);
    assert_in_range(size, 150, 177);
    buf_reset(&out);
    assert_int_equal(qr_write_path(text, sizeof(text), &out, &size), ST_TOO_LARGE);
    assert_int_equal(out.len, 0);
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_text),
        cmocka_unit_test(a_text_of_any_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
