/* SPDX-License-Identifier: MIT */
/* client_ip: a forged X-Forwarded-For must not decide which address a request counts under. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/client_ip.h"

#include <stdio.h>
#include <string.h>

static struct client_ip *make(const char *trusted)
{
    struct client_ip *made = NULL;
    char error[160];
    assert_int_equal(client_ip_new(trusted, &made, error, sizeof(error)), ST_OK);
    return made;
}

static void expect(const char *trusted, const char *peer, const char *forwarded, const char *want)
{
    char out[CLIENT_IP_SIZE];
    struct client_ip *client_ip = make(trusted);
    client_ip_of(client_ip, peer, forwarded, out);
    assert_string_equal(out, want);
    client_ip_free(client_ip);
}

static void untrusted_peer_cannot_choose(void **state)
{
    (void)state;
    expect(NULL, "203.0.113.9", "1.2.3.4", "203.0.113.9");
    expect("10.0.0.0/8", "203.0.113.9", "1.2.3.4", "203.0.113.9");
}

static void rightmost_untrusted_counts(void **state)
{
    (void)state;
    expect("10.0.0.0/8", "10.1.2.3", "198.51.100.7", "198.51.100.7");
    expect("10.0.0.0/8", "10.1.2.3", "6.6.6.6, 198.51.100.7, 10.9.9.9", "198.51.100.7");
    expect("10.0.0.0/8", "10.1.2.3", "10.0.0.1", "10.0.0.1");
    expect("10.0.0.0/8", "10.1.2.3", NULL, "10.1.2.3");
}

static void nonsense_is_not_believed(void **state)
{
    (void)state;
    expect("10.0.0.0/8", "10.1.2.3", "198.51.100.7, evil", "10.1.2.3");
    expect("10.0.0.0/8", "10.1.2.3", ",,,", "10.1.2.3");
    char longer[4096];
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    expect("10.0.0.0/8", "10.1.2.3", longer, "10.1.2.3");
}

static void ipv6_and_single_addresses(void **state)
{
    (void)state;
    expect("2001:db8::/32", "2001:db8::5", "2001:db9::1", "2001:db9::1");
    expect("127.0.0.1", "127.0.0.1", "192.0.2.1", "192.0.2.1");
    expect("127.0.0.1", "127.0.0.2", "192.0.2.1", "127.0.0.2");
}

static void a_port_is_no_part_of_an_address(void **state)
{
    (void)state;
    expect("10.0.0.0/8", "10.1.2.3", "198.51.100.7:50123", "198.51.100.7");
    expect("10.0.0.0/8", "10.1.2.3", "198.51.100.7:50123, 10.0.0.9:1", "198.51.100.7");
    expect("10.0.0.0/8", "10.1.2.3", "[2001:db8::7]:50123", "2001:db8::7");
    expect("10.0.0.0/8", "10.1.2.3", "[2001:db8::7]", "2001:db8::7");
    expect("10.0.0.0/8", "10.1.2.3", "2001:db8::7", "2001:db8::7");
    expect("10.0.0.0/8", "10.1.2.3", "[2001:0db8:0000:0000:0000:0000:192.168.100.200]:65535",
           "2001:db8::c0a8:64c8");
    expect("10.0.0.0/8", "10.1.2.3", "2001:0DB8::07", "2001:db8::7");
    expect("10.0.0.0/8", "10.1.2.3", "::ffff:198.51.100.7", "198.51.100.7");
    expect("10.0.0.0/8", "10.1.2.3", "[", "10.1.2.3");
    expect("10.0.0.0/8", "10.1.2.3", "[]", "10.1.2.3");
    expect("10.0.0.0/8", "10.1.2.3", ":", "10.1.2.3");
    expect("10.0.0.0/8", "10.1.2.3", "evil:80", "10.1.2.3");
}

/* Each case: an address, the one that limits count, the network that places count for. */
static void a_network_is_one_client(void **state)
{
    static const char *const cases[][3] = {
        {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", "2001:db8:1:2::/64"},
        {"2001:db8::7", "2001:db8::", "2001:db8::/64"},
        {"::1", "::", "::/64"},
        {"fe80::1", "fe80::", "fe80::/64"},
        {"192.0.2.7", "192.0.2.7", "192.0.2.0/24"},
        {"", "", ""},
        {"nonsense", "nonsense", "nonsense"},
        /* IPv6 addresses that carry an IPv4 one: mapped, NAT64, 6to4 */
        {"::ffff:192.0.2.7", "192.0.2.7", "192.0.2.0/24"},
        {"64:ff9b::192.0.2.7", "192.0.2.7", "192.0.2.0/24"},
        {"64:ff9b::c000:207", "192.0.2.7", "192.0.2.0/24"},
        {"2002:c000:207::1", "192.0.2.7", "192.0.2.0/24"},
        {"2002:c000:207:ffff:1:2:3:4", "192.0.2.7", "192.0.2.0/24"},
        /* and their neighbours, which carry none */
        {"64:ff9b:1::192.0.2.7", "64:ff9b:1::", "64:ff9b:1::/64"},
        {"64:ff9b:0:1::192.0.2.7", "64:ff9b:0:1::", "64:ff9b:0:1::/64"},
        {"2003:c000:207::1", "2003:c000:207::", "2003:c000:207::/64"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
         "ffff:ffff:ffff:ffff::", "ffff:ffff:ffff:ffff::/64"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char address[CLIENT_IP_SIZE], network[CLIENT_NETWORK_SIZE];
        (void)snprintf(address, sizeof(address), "%s", cases[i][0]);
        client_ip_network(address, network);
        client_ip_to_counted(address);
        assert_string_equal(address, cases[i][1]);
        assert_string_equal(network, cases[i][2]);
    }
}

/* An address that carries a proxy's IPv4 address is not that proxy: it must not choose its client. */
static void a_carried_address_is_not_trusted(void **state)
{
    (void)state;
    expect("10.0.0.0/8", "2002:a01:203::1", "192.0.2.1", "2002:a01:203::1");
    expect("10.0.0.0/8", "64:ff9b::10.1.2.3", "192.0.2.1", "64:ff9b::10.1.2.3");
}

static void the_machine_itself_is_loopback(void **state)
{
    (void)state;
    assert_true(client_ip_is_loopback("127.0.0.1"));
    assert_true(client_ip_is_loopback("127.9.9.9"));
    assert_true(client_ip_is_loopback("::1"));
    assert_false(client_ip_is_loopback("128.0.0.1"));
    assert_false(client_ip_is_loopback("12.7.0.0"));
    assert_false(client_ip_is_loopback("::"));
    assert_false(client_ip_is_loopback(""));
}

static void bad_lists_are_refused(void **state)
{
    static const char *const bad[] = {"10.0.0.0/33", "nonsense",    "10.0.0.0/", "::1/129",
                                      "1.2.3",       "10.0.0.0/+8", "::1/ 8"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct client_ip *made = NULL;
        char error[160] = "";
        assert_int_equal(client_ip_new(bad[i], &made, error, sizeof(error)), ST_INVALID);
        assert_non_null(strstr(error, bad[i])); /* the message names the item */
    }
}

static void a_host_is_the_same_at_any_port(void **state)
{
    static const struct {
        const char *one, *other;
        bool same;
    } cases[] = {
        {"shop.example", "SHOP.example:8080", true},  {"[::1]:8080", "[::1]", true},
        {"[::1]:8080", "[::2]:8080", false},          {"[2001:db8::1]", "[2001:db8::2]", false},
        {"shop.example", "shop.example.evil", false}, {"", "", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(client_ip_same_host(cases[i].one, cases[i].other), cases[i].same);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(untrusted_peer_cannot_choose),
        cmocka_unit_test(rightmost_untrusted_counts),
        cmocka_unit_test(nonsense_is_not_believed),
        cmocka_unit_test(ipv6_and_single_addresses),
        cmocka_unit_test(a_port_is_no_part_of_an_address),
        cmocka_unit_test(a_network_is_one_client),
        cmocka_unit_test(a_carried_address_is_not_trusted),
        cmocka_unit_test(the_machine_itself_is_loopback),
        cmocka_unit_test(bad_lists_are_refused),
        cmocka_unit_test(a_host_is_the_same_at_any_port),
    };
    return cmocka_run_group_tests_name("client_ip", tests, NULL, NULL);
}
