/* SPDX-License-Identifier: MIT */
/*
 * push_endpoint: checks the address of a push subscription.
 *
 * Why this way: what a URL library would repair, such as a host in octal or a backslash, is refused: browsers send none of
 * it, and two readers of one address must not find two hosts in it.
 * Called by: api_push, pusher. Owns nothing.
 */
#include "net/push_endpoint.h"

#include "net/address.h"

#include <arpa/inet.h>
#include <string.h>

static const char scheme[] = "https://";
#define SCHEME_LEN (sizeof(scheme) - 1)
#define HOST_MAX   253

static bool is_printable(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~' || strchr("\"'`<>\\^{|}#", text[i]))
            return false;
    }
    return true;
}

/* Is it an address in brackets or in dotted decimals? Written to ret[CLIENT_IP_SIZE]. */
static bool read_address(const char *host, size_t len, char *ret)
{
    struct in6_addr address;
    const bool v6 = host[0] == '[' && host[len - 1] == ']';
    if (v6) {
        host++;
        len -= 2;
    }
    if (len == 0 || len >= CLIENT_IP_SIZE)
        return false;
    memcpy(ret, host, len);
    ret[len] = '\0';
    return inet_pton(v6 ? AF_INET6 : AF_INET, ret, &address) == 1;
}

/* Labels of letters, digits and hyphens, at least two, of which the last one does not begin with a digit: a number there
 * would be an IPv4 address in some notation. */
static bool is_name(const char *host, size_t len)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
    const char *last = memrchr(host, '.', len);
    if (strspn(host, chars) < len || !last || host[0] == '.' || memmem(host, len, "..", 2))
        return false;
    return last + 1 < host + len && strchr(letters, last[1]);
}

static bool is_port(const char *text, size_t len)
{
    unsigned port = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    return len > 0 && len <= 5 && port > 0 && port <= 65535;
}

size_t push_endpoint_check(const char *text, const struct client_ip *allowed,
                           const char **ret_reason)
{
    char address[CLIENT_IP_SIZE];
    const size_t len = strlen(text);
    *ret_reason = "endpoint must be an https:// address of at most 1,024 characters.";
    if (len > PUSH_ENDPOINT_MAX || strncmp(text, scheme, SCHEME_LEN) != 0 ||
        !is_printable(text, len))
        return 0;
    const char *host = text + SCHEME_LEN;
    const size_t authority_len = strcspn(host, "/?");
    const size_t bracket = host[0] == '[' ? strcspn(host, "]") + 1 : 0;
    const size_t host_len =
        bracket > 0 && bracket <= authority_len ? bracket : strcspn(host, ":/?@");
    *ret_reason = "endpoint must name a host and have no user in it.";
    if (host_len == 0 || host_len > HOST_MAX || host_len > authority_len ||
        (host_len < authority_len &&
         (host[host_len] != ':' || !is_port(host + host_len + 1, authority_len - host_len - 1))))
        return 0;
    const bool is_address = read_address(host, host_len, address);
    if (!is_address && !is_name(host, host_len))
        return 0;
    *ret_reason = "endpoint must not lead into a private network.";
    if (is_address && !address_is_public(address) && !client_ip_trusted(allowed, address))
        return 0;
    return SCHEME_LEN + authority_len;
}
