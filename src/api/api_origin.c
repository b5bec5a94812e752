/* SPDX-License-Identifier: MIT */
/*
 * api_origin: the scheme and the host by which the buyer's browser reached this service.
 *
 * Why this way: cookies, links and the Content-Security-Policy must be those of the address in the browser, and between
 * the browser and this process there may be proxies. Only what a proxy of TRUSTED_PROXIES says is believed; without one
 * the Host header counts, which httpd has checked to be an authority.
 * Called by: api, api_answer, the pages. Owns nothing.
 */
#include "api/api_internal.h"

#include "base/config.h"
#include "net/client_ip.h"
#include "net/forwarded.h"
#include "net/http_text.h"

#include <stdio.h>
#include <string.h>

/* Most requests have none of the headers, so these are looked up before the peer is. */
static bool read_forwarded(const struct api_call *call, struct forwarded *ret)
{
    if (!call->api->config->trusted_proxies)
        return false;
    *ret = (struct forwarded){.proto = http_req_header(call->req, "X-Forwarded-Proto"),
                              .host = http_req_header(call->req, "X-Forwarded-Host"),
                              .forwarded = http_req_header(call->req, "Forwarded")};
    return (ret->proto || ret->host || ret->forwarded) &&
           client_ip_trusted(call->api->client_ip, http_req_peer(call->req));
}

bool api_over_https(const struct api_call *call)
{
    struct forwarded headers;
    return read_forwarded(call, &headers) && forwarded_is_https(&headers);
}

const char *api_authority(const struct api_call *call)
{
    struct forwarded headers;
    const char *host;
    size_t len;
    if (read_forwarded(call, &headers) && forwarded_host(&headers, &host, &len))
        return http_req_strdup(call->req, host, len);
    host = http_req_header(call->req, "Host");
    return host && http_is_authority(host, strlen(host)) ? host : NULL;
}

const char *api_prefix(const struct api *api)
{
    return config_prefix(api->config);
}

const char *api_own_url(const struct api_call *call)
{
    const char *origin = api_public_url(call), *prefix = api_prefix(call->api);
    if (!origin || !*prefix)
        return origin;
    return http_req_concat(call->req, origin, prefix);
}

const char *api_public_url(const struct api_call *call)
{
    const char *configured = call->api->config->public_url;
    const char *authority = configured ? NULL : api_authority(call);
    char url[512];
    if (configured)
        return configured;
    if (!authority)
        return NULL;
    const int len =
        snprintf(url, sizeof(url), "%s://%s", api_over_https(call) ? "https" : "http", authority);
    return http_req_strdup(call->req, url, (size_t)len);
}
