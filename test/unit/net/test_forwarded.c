/* SPDX-License-Identifier: MIT */
/* forwarded: the first value counts, and a host that is no authority is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/forwarded.h"

#include <stdio.h>
#include <string.h>

static void https_is_said_by_the_first_value(void **state)
{
    static const struct {
        struct forwarded headers;
        bool https;
    } cases[] = {
        {{0}, false},
        {{.proto = ""}, false},
        {{.proto = "https"}, true},
        {{.proto = "HTTPS"}, true},
        {{.proto = "https, http"}, true},
        {{.proto = " https\t,http"}, true},
        {{.proto = "http, https"}, false},
        {{.proto = "httpsx"}, false},
        {{.proto = ",https"}, false},
        {{.forwarded = "for=192.0.2.1;proto=https"}, true},
        {{.forwarded = "for=192.0.2.1; Proto=HTTPS;by=10.0.0.1, proto=http"}, true},
        {{.forwarded = "proto=\"https\""}, true},
        {{.forwarded = "for=\"a,proto=https\", proto=http"}, false},
        {{.forwarded = "for=192.0.2.1, for=10.0.0.1;proto=https"}, false}, /* not the first one */
        {{.forwarded = "proto"}, false},
        {{.forwarded = "proto=\"https"}, false},
        {{.proto = "http", .forwarded = "proto=https"}, false},
        {{.host = "a.example", .forwarded = "proto=https"}, false}, /* passed on from the client */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (forwarded_is_https(&cases[i].headers) != cases[i].https)
            fail_msg("case %zu", i);
    }
}

static void a_host_is_an_authority(void **state)
{
    static const struct {
        struct forwarded headers;
        const char *host; /* NULL: none */
    } cases[] = {
        {{0}, NULL},
        {{.host = "a.example"}, "a.example"},
        {{.host = "a.example:8443, b.example"}, "a.example:8443"},
        {{.host = "[2001:db8::1]:80"}, "[2001:db8::1]:80"},
        {{.host = "a.example/x"}, NULL},
        {{.host = "a.example; script-src *"}, NULL},
        {{.host = "u@a.example"}, NULL},
        {{.forwarded = "host=a.example;for=192.0.2.1, host=b.example"}, "a.example"},
        {{.forwarded = "for=\"[2001:db8::1]\";host=\"a.example:8443\""}, "a.example:8443"},
        {{.forwarded = "for=192.0.2.1, host=b.example"}, NULL},
        {{.proto = "https", .forwarded = "host=evil.example"}, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *host = NULL;
        size_t len = 0;
        const bool found = forwarded_host(&cases[i].headers, &host, &len);
        if (found != (cases[i].host != NULL))
            fail_msg("case %zu", i);
        if (found && (len != strlen(cases[i].host) || memcmp(host, cases[i].host, len) != 0))
            fail_msg("case %zu: %.*s", i, (int)len, host);
    }
}

static void addresses_are_listed_as_in_x_forwarded_for(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"for=192.0.2.1", "192.0.2.1"},
        {"for=192.0.2.1;proto=http, For=\"[2001:db8::1]:443\"", "192.0.2.1, [2001:db8::1]:443"},
        {"proto=http;host=x, for=_hidden, for=unknown", "_hidden, unknown"},
        {"for=1, =, for=2", "1"}, /* malformed from there on */
        {"for=\"", ""},
        {"for", ""},
    };
    char out[FORWARDED_FOR_SIZE], many[4096] = "";
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        forwarded_for(cases[i][0], out);
        assert_string_equal(out, cases[i][1]);
    }
    for (int i = 0; i < 150; i++)
        (void)snprintf(many + strlen(many), sizeof(many) - strlen(many), "for=192.0.2.%d, ", i);
    (void)strcat(many, "for=198.51.100.7");
    forwarded_for(many, out);
    assert_string_equal(strrchr(out, ' '), " 198.51.100.7"); /* the proxy's own is never lost */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(https_is_said_by_the_first_value),
        cmocka_unit_test(a_host_is_an_authority),
        cmocka_unit_test(addresses_are_listed_as_in_x_forwarded_for),
    };
    return cmocka_run_group_tests_name("forwarded", tests, NULL, NULL);
}
