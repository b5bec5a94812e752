/* SPDX-License-Identifier: MIT */
/* http_text: cookies, escapes and framing, by tables. */
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

static bool refused(const char *const (*headers)[2], size_t count, bool http11)
{
    struct http_framing framing = {0};
    for (size_t i = 0; i < count; i++)
        http_framing_add(&framing, headers[i][0], strlen(headers[i][0]), headers[i][1],
                         strlen(headers[i][1]));
    return http_framing_ambiguous(&framing, http11);
}

static void test_framing(void **state)
{
    (void)state;
    static const char *const length[][2] = {{"Host", "x"}, {"CONTENT-LENGTH", "65536"}};
    static const char *const chunked[][2] = {{"transfer-encoding", "Chunked"}, {"Host", "x"}};
    static const char *const both[][2] = {{"Content-Length", "0"},
                                          {"Transfer-Encoding", "chunked"}};
    static const char *const twice[][2] = {{"Content-Length", "5"}, {"Content-Length", "5"}};
    static const char *const hosts[][2] = {{"Host", "x"}, {"hOST", "x"}};
    static const char *const gzip[][2] = {{"Transfer-Encoding", "gzip, chunked"}};
    assert_false(refused(length, 2, true));
    assert_false(refused(chunked, 2, true));
    assert_true(refused(chunked, 2, false)); /* HTTP/1.0 has no chunked coding */
    assert_true(refused(both, 2, true));
    assert_true(refused(twice, 2, true));
    assert_true(refused(hosts, 2, true));
    assert_true(refused(gzip, 1, true));
    static const char *const lengths[] = {
        "", "+1", "-1", " 1", "1 ", "1,1", "1x", "0x10", "9999999999999999999", "1.0"};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const char *const one[][2] = {{"Content-Length", lengths[i]}};
        assert_true(refused(one, 1, true));
    }
    static const char *const names[] = {"", " Host", "Host ", "a b", "a\tb", "a(b)", "\x80"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *const one[][2] = {{names[i], "x"}};
        assert_true(refused(one, 1, true));
    }
    struct http_framing framing = {0};
    http_framing_add(&framing, "X", 1, "a\0b", 3);
    assert_true(http_framing_ambiguous(&framing, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cookies),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_framing),
    };
    return cmocka_run_group_tests_name("http_text", tests, NULL, NULL);
}
