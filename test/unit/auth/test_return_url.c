/* SPDX-License-Identifier: MIT */
/* return_url: which URLs a buyer may be led to, and that their text stays as it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/return_url.h"

#include <stdio.h>
#include <string.h>

#define OWN "https://queue.example"

/* 40 letters of three bytes each: 360 bytes in the normal form, which is what is stored and read again. */
#define TEN_LETTERS       "\uac00\uac00\uac00\uac00\uac00\uac00\uac00\uac00\uac00\uac00"
#define LONG_WHEN_ESCAPED "https://shop.example/" TEN_LETTERS TEN_LETTERS TEN_LETTERS TEN_LETTERS

/* Makes a list of what is between the blanks. */
static void make_list(char *list, const char *entries)
{
    char text[RETURN_LIST_SIZE];
    (void)snprintf(text, sizeof(text), "%s", entries);
    list[0] = '\0';
    for (char *at = text, *word; (word = strtok_r(at, " ", &at)) != NULL;)
        assert_int_equal(return_entry_add(list, word), RETURN_ENTRY_OK);
}

static void paths_of_this_origin_stay_as_they_are(void **state)
{
    static const struct {
        const char *text, *normal;
    } rows[] = {
        {"/", "/"},
        {"/shop/x?y=1", "/shop/x?y=1"},
        {"/shop/x?y=1&z=a+b%20c#seats", "/shop/x?y=1&z=a+b%20c#seats"},
        {"/shop/%ea%b3%b5?q=%EC%97%B0", "/shop/%ea%b3%b5?q=%EC%97%B0"},
        {"/shop/\xea\xb3\xb5 x", "/shop/%EA%B3%B5%20x"},
        {"/?next=//evil.example/..&to=\\\\x", "/?next=//evil.example/..&to=%5C%5Cx"},
        {"/shop//x", "/shop//x"},
        {"/shop/...", "/shop/..."},
        {"/shop/.well-known/x..y", "/shop/.well-known/x..y"},
        {"/100%", "/100%"},
        {"/x?u=https://user@evil.example", "/x?u=https://user@evil.example"},
        {"/x#..//", "/x#..//"},
        {"https://queue.example/shop?x", "/shop?x"},
        {"HTTPS://Queue.Example:443/shop", "/shop"},
        {"https://queue.example", "/"},
        {"https://queue.example?x#y", "/?x#y"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct return_url url;
        const enum return_verdict verdict = return_url_read(rows[i].text, OWN "/ignored", "", &url);
        if (verdict != RETURN_OK || url.origin_len != 0 || strcmp(url.text, rows[i].normal) != 0)
            fail_msg("%s: %d %s", rows[i].text, verdict, url.text);
    }
}

static void tricks_are_refused(void **state)
{
    static const struct {
        const char *text;
        enum return_verdict verdict;
    } rows[] = {
        {"//evil.example/x", RETURN_AMBIGUOUS},
        {"///evil.example", RETURN_AMBIGUOUS},
        {"/\\evil.example", RETURN_AMBIGUOUS},
        {"\\\\evil.example", RETURN_AMBIGUOUS},
        {"/\t/evil.example", RETURN_AMBIGUOUS},
        {"/x\r\nSet-Cookie: a=b", RETURN_AMBIGUOUS},
        {"/x?\n", RETURN_AMBIGUOUS},
        {"/x%0d%0ay", RETURN_AMBIGUOUS},
        {"/x%00y", RETURN_AMBIGUOUS},
        {"/x%2500y", RETURN_AMBIGUOUS},
        {"https://queue.example//evil.example", RETURN_AMBIGUOUS},
        {"https://shop.example/tickets/../admin", RETURN_AMBIGUOUS},
        {"https://shop.example/tickets/%2e%2e/admin", RETURN_AMBIGUOUS},
        {"https://shop.example/tickets/.%2E/admin", RETURN_AMBIGUOUS},
        {"https://shop.example/tickets/%252e%252e/admin", RETURN_AMBIGUOUS},
        {"https://shop.example/tickets/%25252e%25252e/admin", RETURN_AMBIGUOUS},
        {"https://shop.example/tickets/%2525252525252e/admin", RETURN_AMBIGUOUS},
        {"https://shop.example/tickets/..%2fadmin", RETURN_AMBIGUOUS},
        {"https://shop.example/tickets/..%5cadmin", RETURN_AMBIGUOUS},
        {"https://shop.example/tickets/..;/admin", RETURN_AMBIGUOUS},
        {"https://shop.example/tickets\\..\\admin", RETURN_AMBIGUOUS},
        {"/shop/..", RETURN_AMBIGUOUS},
        {"/./x", RETURN_AMBIGUOUS},
        {"javascript:alert(1)", RETURN_SCHEME},
        {"data:text/html,x", RETURN_SCHEME},
        {"ftp://shop.example/", RETURN_SCHEME},
        {"https:shop.example", RETURN_SCHEME},
        {"https:/shop.example", RETURN_SCHEME},
        {"https:///shop.example", RETURN_HOST},
        {"https://", RETURN_HOST},
        {"https://user@shop.example/tickets", RETURN_HOST},
        {"https://shop.example@evil.example/tickets", RETURN_HOST},
        {"https://shop.example:0/tickets", RETURN_HOST},
        {"https://shop.example:99999/tickets", RETURN_HOST},
        {"https://sh\xc3\xb6p.example/tickets", RETURN_HOST},
        {"https://shop.example%2eevil.example/tickets", RETURN_HOST},
        {"https://[::1/tickets", RETURN_HOST},
        {"", RETURN_NOT_A_URL},
        {"shop/x", RETURN_NOT_A_URL},
        {" /x", RETURN_NOT_A_URL},
        {"?x=1", RETURN_NOT_A_URL},
        {"1https://shop.example/tickets", RETURN_NOT_A_URL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct return_url url;
        const enum return_verdict verdict =
            return_url_read(rows[i].text, OWN, "https://shop.example/tickets", &url);
        if (verdict != rows[i].verdict)
            fail_msg("%s: %d", rows[i].text, verdict);
        assert_non_null(return_verdict_reason(verdict));
        assert_non_null(return_verdict_detail(verdict));
    }
}

static void only_what_the_list_names_is_allowed(void **state)
{
    static const struct {
        const char *list, *text;
        bool allowed;
    } rows[] = {
        {"", "https://shop.example/", false},
        {"https://shop.example", "https://shop.example", true},
        {"https://shop.example/", "https://shop.example/a/b?c#d", true},
        {"https://shop.example", "https://SHOP.example:443/a", true},
        {"https://shop.example:443", "https://shop.example/a", true},
        {"https://shop.example", "http://shop.example/a", false},
        {"https://shop.example", "https://shop.example:8443/a", false},
        {"https://shop.example:8443", "https://shop.example:8443/a", true},
        {"https://shop.example", "https://shop.example.evil.example/a", false},
        {"https://shop.example", "https://www.shop.example/a", false},
        {"https://shop.example", "https://shop.example./a", false},
        {"http://[::1]:8080", "http://[::1]:8080/a", true},
        {"https://shop.example/tickets", "https://shop.example/tickets", true},
        {"https://shop.example/tickets", "https://shop.example/tickets/7?seat=1", true},
        {"https://shop.example/tickets", "https://shop.example/tickets?x", true},
        {"https://shop.example/tickets", "https://shop.example/tickets#x", true},
        {"https://shop.example/tickets", "https://shop.example/tickets-old", false},
        {"https://shop.example/tickets", "https://shop.example/tickets%2fold", false},
        {"https://shop.example/tickets", "https://shop.example/Tickets", false},
        {"https://shop.example/tickets", "https://shop.example/", false},
        {"https://shop.example/tickets/", "https://shop.example/tickets", false},
        {"https://shop.example/tickets/", "https://shop.example/tickets/7", true},
        {"https://shop.example/%7euser", "https://shop.example/~user/x", true},
        {"https://shop.example/caf%c3%a9", "https://shop.example/caf%C3%A9", true},
        {"https://shop.example/caf\xc3\xa9", "https://shop.example/caf%c3%a9/x", true},
        {"https://a.example https://shop.example/b https://c.example:9", "https://c.example:9/x",
         true},
        {"https://a.example https://shop.example/b", "https://a.example/x", true},
        {"https://a.example https://shop.example/b", "https://shop.example/x", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char list[RETURN_LIST_SIZE];
        struct return_url url;
        make_list(list, rows[i].list);
        const enum return_verdict verdict = return_url_read(rows[i].text, OWN, list, &url);
        if (verdict != (rows[i].allowed ? RETURN_OK : RETURN_NOT_ALLOWED))
            fail_msg("%s of %s: %d", rows[i].text, rows[i].list, verdict);
        if (rows[i].allowed)
            assert_true(url.origin_len > 0 && strncmp(url.text, "http", 4) == 0);
    }
}

static void entries_are_checked(void **state)
{
    static const struct {
        const char *text;
        enum return_entry outcome;
    } rows[] = {
        {"https://shop.example", RETURN_ENTRY_OK},
        {"https://shop.example/", RETURN_ENTRY_TWICE},
        {"HTTPS://SHOP.example:443", RETURN_ENTRY_TWICE},
        {"http://localhost:8000/shop", RETURN_ENTRY_OK},
        {"https://*.shop.example", RETURN_ENTRY_PATTERN},
        {"https://shop.example/?x=1", RETURN_ENTRY_QUERY},
        {"https://shop.example/#x", RETURN_ENTRY_QUERY},
        {"/shop", RETURN_ENTRY_NOT_A_URL},
        {"shop.example", RETURN_ENTRY_NOT_A_URL},
        {"https://u@shop.example", RETURN_ENTRY_NOT_A_URL},
        {"https://shop.example/a/../b", RETURN_ENTRY_NOT_A_URL},
        {"ftp://shop.example", RETURN_ENTRY_NOT_A_URL},
        {LONG_WHEN_ESCAPED, RETURN_ENTRY_NOT_A_URL},
        {"", RETURN_ENTRY_NOT_A_URL},
    };
    char list[RETURN_LIST_SIZE] = "";
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const enum return_entry outcome = return_entry_add(list, rows[i].text);
        if (outcome != rows[i].outcome)
            fail_msg("%s: %d", rows[i].text, outcome);
    }
    assert_string_equal(list, "https://shop.example http://localhost:8000/shop");
    for (int i = 0; i < 100; i++) {
        char text[RETURN_ENTRY_MAX + 1];
        (void)snprintf(text, sizeof(text), "https://shop-%d.example/%0200d", i, i);
        if (return_entry_add(list, text) == RETURN_ENTRY_FULL)
            break;
        assert_int_not_equal(i, 99);
    }
    assert_true(strlen(list) < RETURN_LIST_SIZE);
}

static void a_url_has_a_bound(void **state)
{
    char text[RETURN_URL_MAX + 3];
    struct return_url url;
    (void)state;
    memset(text, 'x', sizeof(text));
    text[0] = '/';
    text[RETURN_URL_MAX] = '\0';
    assert_int_equal(return_url_read(text, OWN, "", &url), RETURN_OK);
    assert_string_equal(url.text, text);
    text[RETURN_URL_MAX - 1] = ' '; /* its escape no longer fits */
    assert_int_equal(return_url_read(text, OWN, "", &url), RETURN_TOO_LONG);
    text[RETURN_URL_MAX - 1] = text[RETURN_URL_MAX] = 'x';
    text[RETURN_URL_MAX + 1] = '\0';
    assert_int_equal(return_url_read(text, OWN, "", &url), RETURN_TOO_LONG);
}

static void a_domain_has_its_hosts(void **state)
{
    static const struct {
        const char *text, *domain;
        bool in;
    } rows[] = {
        {"https://shop.example/x", "shop.example", true},
        {"https://www.shop.example:8443/x", ".shop.example", true},
        {"https://wwwshop.example/x", "shop.example", false},
        {"https://shop.example.evil/x", "shop.example", false},
        {"https://evil.test/shop.example", "shop.example", false},
        {"/x", "queue.example", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct return_url url;
        assert_int_equal(return_url_parse(rows[i].text, NULL, &url), RETURN_OK);
        assert_int_equal(return_url_in_domain(&url, rows[i].domain), rows[i].in);
    }
}

static void a_parameter_comes_and_goes(void **state)
{
    static const struct {
        const char *without, *with;
    } rows[] = {
        {"/x", "/x?t=v"},
        {"/x?a=1", "/x?a=1&t=v"},
        {"/x?a=1&b=#f?g&h", "/x?a=1&b=&t=v#f?g&h"},
        {"https://shop.example/#f", "https://shop.example/?t=v#f"},
        {"/x?a=1&tt=2", "/x?a=1&tt=2&t=v"},
    };
    struct buf text;
    size_t len;
    (void)state;
    buf_init(&text, 1000);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        buf_reset(&text);
        return_url_with(rows[i].without, "t", "v", &text);
        assert_string_equal(buf_str(&text), rows[i].with);
        buf_reset(&text);
        return_url_without(rows[i].with, "t", &text);
        assert_string_equal(buf_str(&text), rows[i].without);
        assert_null(return_url_find(rows[i].without, "t", &len));
        const char *value = return_url_find(rows[i].with, "t", &len);
        assert_true(value && len == 1 && *value == 'v');
    }
    const char *valued = return_url_find("/x?t&a=1&t&t=v&t=w", "t", &len);
    assert_true(valued && len == 1 && *valued == 'v');
    assert_null(return_url_find("/x?t&a=1&t", "t", &len));
    static const char *const more[] = {"/x?t=1&a=2&t=3&b&t&c=", "/x?t=1&t=2", "/x?#f"};
    static const char *const less[] = {"/x?a=2&b&c=", "/x", "/x?#f"};
    for (size_t i = 0; i < 3; i++) {
        buf_reset(&text);
        return_url_without(more[i], "t", &text);
        assert_string_equal(buf_str(&text), less[i]);
    }
    buf_reset(&text);
    return_url_escape("/x?a=1&b=%20+'\xc3\xa9 \\#f", &text);
    assert_string_equal(buf_str(&text), "/x?a=1%26b=%2520%2B%27%C3%A9%20%5C%23f");
    buf_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_of_this_origin_stay_as_they_are),
        cmocka_unit_test(tricks_are_refused),
        cmocka_unit_test(only_what_the_list_names_is_allowed),
        cmocka_unit_test(entries_are_checked),
        cmocka_unit_test(a_url_has_a_bound),
        cmocka_unit_test(a_domain_has_its_hosts),
        cmocka_unit_test(a_parameter_comes_and_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
