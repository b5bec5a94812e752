/* SPDX-License-Identifier: MIT */
/*
 * client_ip: which client address a request counts under.
 *
 * Why this way: each proxy appends the address it saw to X-Forwarded-For. Only the entries that proxies of
 * ours appended can be trusted; everything to their left was written by the client. So the list is read
 * from the right.
 * Called by: api, auth. Pure. Owns: the list of trusted proxies.
 */
#include "net/client_ip.h"

#include "base/memory.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CIDR_MAX 64

/* IPv4 is stored as ::ffff:a.b.c.d, so that one comparison serves both. */
struct cidr {
    uint8_t address[16];
    unsigned bits;
};

struct client_ip {
    struct cidr list[CIDR_MAX];
    size_t count;
};

static bool parse_address(const char *text, uint8_t *out, bool *ret_v4)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct in_addr v4;
    if (inet_pton(AF_INET, text, &v4) == 1) {
        memcpy(out, mapped, sizeof(mapped));
        memcpy(out + sizeof(mapped), &v4, sizeof(v4));
        *ret_v4 = true;
        return true;
    }
    if (inet_pton(AF_INET6, text, out) != 1)
        return false;
    *ret_v4 = memcmp(out, mapped, sizeof(mapped)) == 0;
    return true;
}

static bool parse_cidr(const char *text, struct cidr *out)
{
    bool v4;
    char address[CLIENT_IP_SIZE];
    const size_t len = strcspn(text, "/");
    if (len >= sizeof(address))
        return false;
    memcpy(address, text, len);
    address[len] = '\0';
    if (!parse_address(address, out->address, &v4))
        return false;
    const unsigned max = v4 ? 32 : 128;
    unsigned bits = max;
    if (text[len] == '/') {
        const char *digits = text + len + 1;
        const size_t count = strspn(digits, "0123456789");
        if (count == 0 || count > 3 || digits[count] != '\0')
            return false;
        bits = (unsigned)strtoul(digits, NULL, 10);
        if (bits > max)
            return false;
    }
    out->bits = v4 ? bits + 96 : bits;
    return true;
}

/* Copies the next comma-separated item, trimmed, into item[size]. False at the end of the list. */
static bool next_item(const char **cursor, char *item, size_t size)
{
    const char *from = *cursor;
    while (*from == ' ' || *from == '\t' || *from == ',')
        from++;
    if (*from == '\0')
        return false;
    size_t len = strcspn(from, ",");
    *cursor = from + len;
    while (len > 0 && (from[len - 1] == ' ' || from[len - 1] == '\t'))
        len--;
    if (len >= size)
        len = size - 1;
    memcpy(item, from, len);
    item[len] = '\0';
    return true;
}

enum status client_ip_new(const char *trusted, struct client_ip **ret, char *error,
                          size_t error_size)
{
    struct client_ip *made = xcalloc(1, sizeof(*made));
    char item[CLIENT_IP_SIZE + 8];
    const char *cursor = trusted ? trusted : "";
    while (next_item(&cursor, item, sizeof(item))) {
        const bool full = made->count == CIDR_MAX;
        if (full || !parse_cidr(item, &made->list[made->count])) {
            (void)snprintf(error, error_size, "TRUSTED_PROXIES: '%s' %s", item,
                           full ? "is over the limit of 64 entries"
                                : "is not an IP address or CIDR");
            client_ip_free(made);
            return ST_INVALID;
        }
        made->count++;
    }
    *ret = made;
    return ST_OK;
}

void client_ip_free(struct client_ip *client_ip)
{
    free(client_ip);
}

static bool trusts(const struct client_ip *client_ip, const uint8_t *address)
{
    for (size_t i = 0; i < client_ip->count; i++) {
        const struct cidr *cidr = &client_ip->list[i];
        const unsigned bytes = cidr->bits / 8, rest = cidr->bits % 8;
        const uint8_t mask = (uint8_t)(0xff << (8 - rest));
        if (memcmp(cidr->address, address, bytes) == 0 &&
            (rest == 0 || (cidr->address[bytes] & mask) == (address[bytes] & mask)))
            return true;
    }
    return false;
}

bool client_ip_trusted(const struct client_ip *client_ip, const char *address)
{
    uint8_t bytes[16];
    bool v4;
    return parse_address(address, bytes, &v4) && trusts(client_ip, bytes);
}

void client_ip_of(const struct client_ip *client_ip, const char *peer, const char *forwarded_for,
                  char *out)
{
    (void)snprintf(out, CLIENT_IP_SIZE, "%s", peer);
    if (!forwarded_for || !client_ip_trusted(client_ip, peer))
        return;
    /* From the right: the first address that is not a trusted proxy's is the client's. */
    size_t end = strlen(forwarded_for);
    while (end > 0) {
        size_t from = end;
        while (from > 0 && forwarded_for[from - 1] != ',')
            from--;
        char item[CLIENT_IP_SIZE + 16];
        char part[CLIENT_IP_SIZE + 16];
        (void)snprintf(part, sizeof(part), "%.*s", (int)(end - from < 60 ? end - from : 60),
                       forwarded_for + from);
        const char *cursor = part;
        uint8_t address[16];
        bool v4;
        if (!next_item(&cursor, item, sizeof(item)))
            return;
        /* Some proxies (Azure, IIS) write the port as well: "192.0.2.1:443", "[2001:db8::1]:443". */
        char *colon = strchr(item, ':'), *bracket = strchr(item, ']');
        if (*item == '[' && bracket) {
            *bracket = '\0';
            memmove(item, item + 1, strlen(item));
        } else if (colon && !strchr(colon + 1, ':')) {
            *colon = '\0';
        }
        if (!parse_address(item, address, &v4))
            return; /* malformed: the last address that was valid stays */
        (void)inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? address + 12 : address, out, CLIENT_IP_SIZE);
        if (!trusts(client_ip, address))
            return;
        end = from > 0 ? from - 1 : 0;
    }
}

void client_ip_to_network(char *address)
{
    struct in6_addr v6;
    if (inet_pton(AF_INET6, address, &v6) != 1 || IN6_IS_ADDR_V4MAPPED(&v6))
        return;
    memset(&v6.s6_addr[8], 0, 8);
    (void)inet_ntop(AF_INET6, &v6, address, CLIENT_IP_SIZE);
}

bool client_ip_origin_listed(const char *list, const char *origin)
{
    const size_t len = strlen(origin);
    while (*list != '\0') {
        list += strspn(list, ", ");
        const size_t item = strcspn(list, ", ");
        if (item > 0 && item == len && strncasecmp(list, origin, len) == 0)
            return true;
        list += item;
    }
    return false;
}

/* The length of the host in an authority; a colon within brackets is part of it. */
static size_t host_len(const char *authority)
{
    const size_t bracket = *authority == '[' ? strcspn(authority, "]") : 0;
    return bracket + strcspn(authority + bracket, ":/");
}

bool client_ip_same_host(const char *one, const char *other)
{
    const size_t len = host_len(one);
    return len > 0 && len == host_len(other) && strncasecmp(one, other, len) == 0;
}
