/* SPDX-License-Identifier: MIT */
/*
 * client_ip: finds the address of the client that sent a request.
 *
 * Why this way: each proxy appends the address of its peer to X-Forwarded-For. Only entries that a trusted proxy
 * appended are reliable; the client may have written everything to the left of them. So the list is read from the
 * right.
 * Called by: api, auth. Pure. Owns: the list of trusted proxies.
 */
#include "net/client_ip.h"

#include "base/cidr.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct client_ip {
    struct cidr_list trusted;
};

enum status client_ip_new(const char *trusted, struct client_ip **ret, char *error,
                          size_t error_size)
{
    struct client_ip *made = xcalloc(1, sizeof(*made));
    if (cidr_list_read(trusted, &made->trusted, error, error_size) != ST_OK) {
        client_ip_free(made);
        return ST_INVALID;
    }
    *ret = made;
    return ST_OK;
}

void client_ip_free(struct client_ip *client_ip)
{
    free(client_ip);
}

bool client_ip_trusted(const struct client_ip *client_ip, const char *address)
{
    uint8_t bytes[CIDR_ADDRESS_BYTES];
    bool v4;
    return client_ip->trusted.count > 0 && cidr_read_address(address, bytes, &v4) &&
           cidr_list_has(&client_ip->trusted, bytes);
}

/* The address in an entry of X-Forwarded-For: without the blanks around it, and without the port that some proxies (Azure,
 * IIS) append: "192.0.2.1:443", "[2001:db8::1]:443". Changes the text. */
static char *address_in(char *entry)
{
    entry += strspn(entry, " \t");
    size_t len = strlen(entry);
    while (len > 0 && (entry[len - 1] == ' ' || entry[len - 1] == '\t'))
        entry[--len] = '\0';
    char *colon = strchr(entry, ':'), *bracket = strchr(entry, ']');
    if (*entry == '[' && bracket) {
        *bracket = '\0';
        return entry + 1;
    }
    if (colon && !strchr(colon + 1, ':'))
        *colon = '\0';
    return entry;
}

void client_ip_of(const struct client_ip *client_ip, const char *peer, const char *forwarded_for,
                  char *out)
{
    if (!memccpy(out, peer, '\0', CLIENT_IP_SIZE)) /* without printf: on the way of every request */
        out[CLIENT_IP_SIZE - 1] = '\0';
    if (!forwarded_for || !client_ip_trusted(client_ip, peer))
        return;
    /* Read the list from the right: the first address that no trusted proxy has is the client's. */
    size_t end = strlen(forwarded_for);
    while (end > 0) {
        size_t from = end;
        while (from > 0 && forwarded_for[from - 1] != ',')
            from--;
        char entry[CLIENT_IP_SIZE + 16];
        (void)snprintf(entry, sizeof(entry), "%.*s", (int)(end - from < 60 ? end - from : 60),
                       forwarded_for + from);
        uint8_t address[CIDR_ADDRESS_BYTES];
        bool v4;
        if (!cidr_read_address(address_in(entry), address, &v4))
            return; /* it is malformed: `out` keeps the address to the right of it */
        (void)inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? address + 12 : address, out, CLIENT_IP_SIZE);
        if (!cidr_list_has(&client_ip->trusted, address))
            return;
        end = from > 0 ? from - 1 : 0;
    }
}

bool client_ip_is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

/* The IPv4 address that an IPv6 one carries; NULL: it carries none. Nobody can send from such an address without
 * the IPv4 one: a translator or relay makes the one from the other. */
static const uint8_t *carried_v4(const struct in6_addr *v6)
{
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    if (IN6_IS_ADDR_V4MAPPED(v6) || memcmp(v6->s6_addr, nat64, sizeof(nat64)) == 0)
        return &v6->s6_addr[12];
    return v6->s6_addr[0] == 0x20 && v6->s6_addr[1] == 0x02 ? &v6->s6_addr[2] : NULL;
}

void client_ip_to_counted(char *address)
{
    struct in6_addr v6;
    if (!strchr(address, ':') || inet_pton(AF_INET6, address, &v6) != 1)
        return;
    const uint8_t *v4 = carried_v4(&v6);
    if (!v4)
        memset(&v6.s6_addr[8], 0, 8);
    (void)inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? v4 : v6.s6_addr, address, CLIENT_IP_SIZE);
}

void client_ip_network(const char *address, char *out)
{
    char counted[CLIENT_IP_SIZE];
    (void)snprintf(counted, sizeof(counted), "%s", address);
    client_ip_to_counted(counted);
    const char *dot = strrchr(counted, '.');
    if (strchr(counted, ':'))
        (void)snprintf(out, CLIENT_NETWORK_SIZE, "%s/64", counted);
    else if (dot)
        (void)snprintf(out, CLIENT_NETWORK_SIZE, "%.*s.0/24", (int)(dot - counted), counted);
    else
        (void)snprintf(out, CLIENT_NETWORK_SIZE, "%s", counted);
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

/* Returns the length of the host in an authority. A colon inside brackets belongs to the host. */
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
