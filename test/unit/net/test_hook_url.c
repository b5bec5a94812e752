/* SPDX-License-Identifier: MIT */
/* The address of a webhook: https, or http to an address that the operator has named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/hook_url.h"

static struct client_ip *allowed;

static bool is_taken(const char *url, bool expect_plain)
{
    const char *reason;
    bool plain;
    const bool taken = hook_url_check(url, allowed, &plain, &reason);
    if (taken)
        assert_int_equal(plain, expect_plain);
    else
        assert_non_null(strstr(reason, "url "));
    return taken;
}

static void https_leads_anywhere_public(void **state)
{
    (void)state;
    assert_true(is_taken("https://crm.example/hook?a=b", false));
    assert_true(is_taken("https://203.0.114.7:8443", false));
    assert_true(is_taken("https://10.1.2.3/", false)); /* it is named */
    assert_true(is_taken("https://[fd00::7]:9/x", false));
    assert_false(is_taken("https://10.1.2.4/", false));
    assert_false(is_taken("https://127.0.0.1/", false));
    assert_false(is_taken("https://localhost/", false));
    assert_false(is_taken("https://user@crm.example/", false));
    assert_false(is_taken("https://crm.example/#x", false));
    assert_false(is_taken("https://crm.example\\@10.1.2.3/", false));
    assert_false(is_taken("https:/crm.example/", false));
    assert_false(is_taken("ftp://crm.example/", false));
    assert_false(is_taken("", false));
}

static void http_leads_only_to_named_addresses(void **state)
{
    (void)state;
    assert_true(is_taken("http://10.1.2.3:8080/hook", true));
    assert_true(is_taken("http://[fd00::7]/", true));
    assert_false(is_taken("http://10.1.2.4/", true));
    assert_false(is_taken("http://203.0.114.7/", true));
    assert_false(is_taken("http://crm.example/", true));
    assert_false(is_taken("http://", true));
}

static void a_long_one_is_refused_and_not_cut(void **state)
{
    char url[1200] = "https://crm.example/";
    (void)state;
    memset(url + 20, 'x', 1100);
    url[1024] = '\0';
    assert_true(is_taken(url, false));
    url[1024] = 'x';
    assert_false(is_taken(url, false));
}

static int set_up(void **state)
{
    char error[160];
    (void)state;
    return client_ip_new("10.1.2.3,fd00::/64", &allowed, error, sizeof(error)) == ST_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    client_ip_free(allowed);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(https_leads_anywhere_public),
        cmocka_unit_test(http_leads_only_to_named_addresses),
        cmocka_unit_test(a_long_one_is_refused_and_not_cut),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
