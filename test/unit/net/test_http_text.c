/* SPDX-License-Identifier: MIT */
/* http_text: cookies, forms, escapes, authorities and paths, by tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "net/http_text.h"

static void test_cookies(void **state)
{
    (void)state;
    static const struct {
        const char *header, *name, *value; /* NULL: absent */
    } cases[] = {
        {"a=1", "a", "1"},
        {"a=1; b=2", "b", "2"},
        {"a=1;b=2", "b", "2"},
        {" ; a=1 ;\tb=2 ", "a", "1"},
        {" ; a=1 ;\tb=2 ", "b", "2"},
        {"a=", "a", ""},
        {"a", "a", NULL},
        {"", "a", NULL},
        {"aa=1; a=2", "a", "2"},
        {"xa=1", "a", NULL},
        {"A=1", "a", NULL}, /* names are case-sensitive */
        {"a=\"q\"", "a", "q"},
        {"a=\"", "a", "\""},
        {"a=\"x", "a", "\"x"},
        {"a=1,2; b=3", "a", "1,2"}, /* a comma does not separate */
        {"a=b=c", "a", "b=c"},
        {"a=1; a=2", "a", "1"},
        {"b=a=1; a=2", "a", "2"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len = 0;
        const char *value = http_cookie_find(cases[i].header, cases[i].name, &len);
        if (!cases[i].value != !value)
            fail_msg("%s in %s", cases[i].name, cases[i].header);
        if (!value)
            continue;
        assert_int_equal(len, strlen(cases[i].value));
        assert_memory_equal(value, cases[i].value, len);
    }
}

static void test_forms(void **state)
{
    (void)state;
    static const struct {
        const char *form, *name, *value; /* NULL: absent */
    } cases[] = {
        {"a=1", "a", "1"},      {"a=1&b=2", "b", "2"}, {"a=1&b=2", "a", "1"},
        {"a=", "a", ""},        {"a", "a", NULL},      {"", "a", NULL},
        {"aa=1&a=2", "a", "2"}, {"a=1&a=2", "a", "1"}, {"&&a=b%3Dc&", "a", "b%3Dc"},
        {"b=a=1", "a", NULL},   {"A=1", "a", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len = 0;
        const char *value =
            http_form_find(cases[i].form, strlen(cases[i].form), cases[i].name, &len);
        if (!value != !cases[i].value)
            fail_msg("%s in %s", cases[i].name, cases[i].form);
        if (!value)
            continue;
        assert_int_equal(len, strlen(cases[i].value));
        assert_memory_equal(value, cases[i].value, len);
    }
}

static void test_escapes(void **state)
{
    (void)state;
    static const char *const good[][2] = {
        {"", ""}, {"a+b", "a+b"}, {"%41%7a", "Az"}, {"%2F%2f", "//"}, {"100%25", "100%"},
    };
    static const char *const bad[] = {"%", "%4", "a%4", "%zz", "%4g", "%00", "x%00y"};
    char out[32];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(http_percent_decode(good[i][0], strlen(good[i][0]), out));
        assert_string_equal(out, good[i][1]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(http_percent_decode(bad[i], strlen(bad[i]), out));
}

static void test_authorities(void **state)
{
    (void)state;
    static const char *const good[] = {"a",  "a.example", "A-1.example:8443",    "127.0.0.1:80",
                                       "a:", "[::1]",     "[2001:db8::1]:65535", "pod_1.svc:0"};
    static const char *const bad[] = {"",
                                      ":80",
                                      "a:x",
                                      "a:65536",
                                      "a:123456",
                                      "a b",
                                      "a/b",
                                      "a,b",
                                      "a;b",
                                      "u@a",
                                      "a?b",
                                      "a#b",
                                      "a%41",
                                      "\"a\"",
                                      "'a'",
                                      "[]",
                                      "[::1",
                                      "[::1]x",
                                      "[::g]",
                                      "::1",
                                      "a:1:2",
                                      "a\\b",
                                      "\xc3\xa9.example",
                                      "*"};
    char longest[300];
    memset(longest, 'a', sizeof(longest));
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!http_is_authority(good[i], strlen(good[i])))
            fail_msg("%s is refused", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (http_is_authority(bad[i], strlen(bad[i])))
            fail_msg("%s is taken", bad[i]);
    assert_true(http_is_authority(longest, 255));
    assert_false(http_is_authority(longest, 256));
    assert_false(http_is_authority("a\0b", 3));
}

static void test_canonical_paths(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        /* a path, and its other way of writing; NULL: it is the same */
        {"/", NULL},
        {"/wait/a-b", NULL},
        {"/wait/a/", "/wait/a"},
        {"/wait/a///", "/wait/a"},
        {"//", "/"},
        {"/wait/a%2Db%5f%41", "/wait/a-b_A"},
        {"/wait/a%2F", NULL}, /* an escape that means something else than its character */
        {"/wait/a%00", NULL},
        {"/wait/a%0d%0aX", NULL},
        {"/wait/a%2", NULL},
        {"/wait/a%", NULL},
        {"/wait/%252D", NULL},
        {"/%2e%2E/x", "/../x"},
    };
    char out[64];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const bool differs = http_canonical_path(cases[i][0], out);
        if (differs != (cases[i][1] != NULL))
            fail_msg("%s", cases[i][0]);
        assert_string_equal(out, cases[i][1] ? cases[i][1] : cases[i][0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cookies),         cmocka_unit_test(test_forms),
        cmocka_unit_test(test_escapes),         cmocka_unit_test(test_authorities),
        cmocka_unit_test(test_canonical_paths),
    };
    return cmocka_run_group_tests_name("http_text", tests, NULL, NULL);
}
