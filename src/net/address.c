/* SPDX-License-Identifier: MIT */
/*
 * address: which IP addresses are public.
 *
 * Why this way: IANA's special-purpose registries as a list of prefixes. Of IPv6 only 2000::/3 is given to anybody so
 * far, so everything else counts as not public, whatever it will be used for.
 * Called by: http_client, for the address to which a name led. Pure.
 */
#include "net/address.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static const struct {
    uint32_t prefix;
    unsigned bits;
} special_v4[] = {
    {0x00000000, 8},  /* "this network" */
    {0x0a000000, 8},  /* private */
    {0x64400000, 10}, /* shared, behind carriers' NAT */
    {0x7f000000, 8},  /* loopback */
    {0xa9fe0000, 16}, /* link-local: cloud providers' metadata */
    {0xac100000, 12}, /* private */
    {0xc0000000, 24}, /* protocol assignments */
    {0xc0000200, 24}, /* documentation */
    {0xc0586300, 24}, /* 6to4 relays */
    {0xc0a80000, 16}, /* private */
    {0xc6120000, 15}, /* benchmarking */
    {0xc6336400, 24}, /* documentation */
    {0xcb007100, 24}, /* documentation */
    {0xe0000000, 3},  /* multicast, reserved, broadcast */
};

static const struct {
    uint8_t prefix[6];
    unsigned bits;
} special_v6[] = {
    {{0x20, 0x01, 0x00, 0x00}, 23}, /* protocol assignments: Teredo, benchmarking, ORCHID */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x3f, 0xff, 0x00, 0x00}, 20}, /* documentation */
};

/* Prefixes of addresses that carry an IPv4 address, and where in them. */
static const struct {
    uint8_t prefix[12];
    size_t len, at;
} carriers[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 12, 12}, /* mapped */
    {{0x00, 0x64, 0xff, 0x9b}, 12, 12},                   /* NAT64 */
    {{0x20, 0x02}, 2, 2},                                 /* 6to4 */
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool v4_is_public(const uint8_t *bytes)
{
    uint32_t address;
    memcpy(&address, bytes, sizeof(address));
    address = ntohl(address);
    for (size_t i = 0; i < COUNT(special_v4); i++) {
        if ((address ^ special_v4[i].prefix) >> (32 - special_v4[i].bits) == 0)
            return false;
    }
    return true;
}

static bool has_prefix(const uint8_t *bytes, const uint8_t *prefix, unsigned bits)
{
    const size_t whole = bits / 8;
    const unsigned rest = bits % 8;
    return memcmp(bytes, prefix, whole) == 0 &&
           (rest == 0 || (bytes[whole] ^ prefix[whole]) >> (8 - rest) == 0);
}

bool address_is_public(const char *text)
{
    uint8_t bytes[16];
    if (inet_pton(AF_INET, text, bytes) == 1)
        return v4_is_public(bytes);
    if (inet_pton(AF_INET6, text, bytes) != 1)
        return false;
    for (size_t i = 0; i < COUNT(carriers); i++) {
        if (memcmp(bytes, carriers[i].prefix, carriers[i].len) == 0)
            return v4_is_public(bytes + carriers[i].at);
    }
    for (size_t i = 0; i < COUNT(special_v6); i++) {
        if (has_prefix(bytes, special_v6[i].prefix, special_v6[i].bits))
            return false;
    }
    return (bytes[0] & 0xe0) == 0x20;
}
