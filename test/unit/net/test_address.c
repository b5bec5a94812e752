/* SPDX-License-Identifier: MIT */
/* address: what is public, at the edges of each range, and what IPv6 addresses carry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/address.h"

static void public_addresses_are_public(void **state)
{
    static const char *const list[] = {
        "1.1.1.1",          "9.255.255.255",   "11.0.0.0",    "100.63.255.255",
        "100.128.0.0",      "126.255.255.255", "128.0.0.0",   "169.253.255.255",
        "169.255.0.0",      "172.15.255.255",  "172.32.0.0",  "192.167.255.255",
        "192.169.0.0",      "198.17.255.255",  "198.20.0.0",  "223.255.255.255",
        "2606:4700::1",     "2a00:1450::1",    "2001:200::1", "::ffff:8.8.8.8",
        "64:ff9b::808:808", "2002:808:808::1"};
    (void)state;
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        if (!address_is_public(list[i]))
            fail_msg("%s is public", list[i]);
    }
}

static void all_others_are_not(void **state)
{
    static const char *const list[] = {"0.0.0.0",
                                       "0.255.255.255",
                                       "10.0.0.0",
                                       "10.255.255.255",
                                       "100.64.0.1",
                                       "100.127.255.255",
                                       "127.0.0.1",
                                       "127.255.255.255",
                                       "169.254.169.254",
                                       "172.16.0.1",
                                       "172.31.255.255",
                                       "192.0.0.1",
                                       "192.0.2.1",
                                       "192.168.0.1",
                                       "198.18.0.1",
                                       "198.19.255.255",
                                       "198.51.100.1",
                                       "203.0.113.1",
                                       "224.0.0.1",
                                       "240.0.0.1",
                                       "255.255.255.255",
                                       "::",
                                       "::1",
                                       "fe80::1",
                                       "febf::1",
                                       "fc00::1",
                                       "fd12:3456::1",
                                       "ff02::1",
                                       "fec0::1",
                                       "2001::1",
                                       "2001:db8::1",
                                       "::ffff:127.0.0.1",
                                       "::ffff:10.1.2.3",
                                       "64:ff9b::7f00:1",
                                       "64:ff9b:1::1",
                                       "2002:a00:1::1",
                                       "2002:7f00:1::",
                                       "::7f00:1",
                                       "4000::1",
                                       "",
                                       "localhost",
                                       "127.1",
                                       "0x7f000001",
                                       "1.1.1.1 ",
                                       "[::1]",
                                       "fe80::1%lo"};
    (void)state;
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        if (address_is_public(list[i]))
            fail_msg("%s is not public", list[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_addresses_are_public),
        cmocka_unit_test(all_others_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
