/* SPDX-License-Identifier: MIT */
/*
 * hook_url: checks the address of a webhook.
 *
 * Why this way: without TLS whoever stands between could read what is told, so http:// is for addresses that the operator has
 * named (OUTBOUND_ALLOW): a program beside the service. A name could lead elsewhere tomorrow.
 * Called by: api_hook, courier. Owns nothing.
 */
#include "net/hook_url.h"

#include "net/push_endpoint.h"

#include <stdio.h>
#include <string.h>

#define HTTP  "http://"
#define HTTPS "https://"

/* The numeric address in "https://ADDRESS[:port]", of which `origin` bytes are given, into out[CLIENT_IP_SIZE]. */
static bool read_host(const char *url, size_t origin, char *out)
{
    const char *host = url + strlen(HTTPS);
    size_t len = origin - strlen(HTTPS);
    if (host[0] == '[') {
        host++;
        len = strcspn(host, "]");
    } else {
        const char *colon = memchr(host, ':', len);
        len = colon ? (size_t)(colon - host) : len;
    }
    if (len == 0 || len >= CLIENT_IP_SIZE)
        return false;
    memcpy(out, host, len);
    out[len] = '\0';
    return true;
}

bool hook_url_check(const char *text, const struct client_ip *allowed, bool *ret_plain,
                    const char **ret_reason)
{
    char secure[HOOK_URL_MAX + 16], address[CLIENT_IP_SIZE];
    *ret_plain = strncmp(text, HTTP, strlen(HTTP)) == 0;
    *ret_reason = "url must be an https:// address of at most 1,024 characters.";
    if (strlen(text) > HOOK_URL_MAX || (!*ret_plain && strncmp(text, HTTPS, strlen(HTTPS)) != 0))
        return false;
    (void)snprintf(secure, sizeof(secure), HTTPS "%s",
                   text + (*ret_plain ? strlen(HTTP) : strlen(HTTPS)));
    const char *reason;
    const size_t origin = push_endpoint_check(secure, allowed, &reason);
    if (origin == 0) {
        *ret_reason = strstr(reason, "private") ? "url must not lead into a private network."
                                                : "url must name a host, and have no user in it.";
        return false;
    }
    *ret_reason = "url may be http:// only for an address that OUTBOUND_ALLOW names.";
    return !*ret_plain ||
           (read_host(secure, origin, address) && client_ip_trusted(allowed, address));
}
