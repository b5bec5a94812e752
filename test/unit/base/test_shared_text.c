/* SPDX-License-Identifier: MIT */
/* shared_text: references, and the gzip form, which is made once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/shared_text.h"

static void test_references(void **state)
{
    (void)state;
    char data[] = "abc";
    struct shared_text *text = shared_text_new(7, data, 3);
    data[0] = 'x';
    assert_string_equal(text->data, "abc"); /* a copy */
    assert_int_equal(text->version, 7);
    assert_ptr_equal(shared_text_ref(text), text);
    shared_text_unref(text);
    assert_string_equal(text->data, "abc");
    shared_text_unref(text);
    shared_text_unref(NULL);
}

static void test_compressed_once(void **state)
{
    (void)state;
    static char data[100000];
    memset(data, 'a', sizeof(data));
    struct shared_text *text = shared_text_new(1, data, sizeof(data));
    assert_null(text->gz);
    assert_true(shared_text_compress(text));
    const char *gz = text->gz;
    assert_true(text->gz_len < 1000);
    assert_memory_equal(gz, "\x1f\x8b", 2);
    assert_true(shared_text_compress(text));
    assert_ptr_equal(text->gz, gz);
    assert_int_equal(text->data[sizeof(data) - 1], 'a');
    shared_text_unref(text);
}

static void test_short_is_left(void **state)
{
    (void)state;
    struct shared_text *text = shared_text_new(1, "{\"events\":[]}", 13);
    assert_false(shared_text_compress(text));
    assert_null(text->gz);
    shared_text_unref(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_compressed_once),
        cmocka_unit_test(test_short_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
