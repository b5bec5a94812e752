/* SPDX-License-Identifier: MIT */
/*
 * api_gate_request: the request that a shop's proxy asks the gate about.
 *
 *   URL      X-Original-URL (absolute: ingress-nginx), X-Original-URI (nginx), X-Forwarded-Uri (Traefik, Caddy)
 *   host     that of X-Original-URL, X-Forwarded-Host, Forwarded, Host
 *   method   X-Original-Method (ingress-nginx), X-Forwarded-Method (Traefik, Caddy)
 *   Envoy    sends the original method, its Host, and the path behind ours
 *
 * Why this way: these headers are believed whoever sends them, because they decide nothing but the sender's own way back,
 * which the waiting page checks against the event's returnUrls, and whether the sender's own newcomer is let straight in,
 * which anybody may ask for. What others rely on (the client's address, HTTPS) is believed of TRUSTED_PROXIES alone, as
 * everywhere. The original path is passed on as it was sent, undecoded.
 * Called by: api_gate. Pure, apart from the request. Owns nothing.
 */
#include "api/api_gate_request.h"

#include "api/api_page.h"
#include "auth/handoff.h"
#include "auth/identity.h"
#include "base/config.h"
#include "net/forwarded.h"
#include "net/http_text.h"

#include <string.h>
#include <strings.h>

#define TARGET_ROOM ((size_t)20 * 1024) /* bytes: the head of a request has less */
#define RETURN_MAX  1500 /* bytes, encoded: the head of an answer has room for 3 KiB */

/* An address in parts; NULL: not known. All borrowed. */
struct address {
    const char *scheme, *authority, *target; /* target: path and query */
    size_t authority_len;
};

/* ---- what was asked for ---- */

const char *gate_request_method(const struct api_call *call, enum gate_way way)
{
    if (way == GATE_BY_PATH)
        return http_req_method(call->req);
    const char *method = http_req_header(call->req, "X-Original-Method");
    if (!method)
        method = http_req_header(call->req, "X-Forwarded-Method");
    return method ? method : "GET";
}

static bool only_reads(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static const char *scheme_of(const char *text)
{
    return strncasecmp(text, "https://", 8) == 0  ? "https"
           : strncasecmp(text, "http://", 7) == 0 ? "http"
                                                  : NULL;
}

/* Reads an absolute URL. False: it is none of HTTP, and nothing was written. */
static bool read_url(const char *text, struct address *ret)
{
    const char *scheme = scheme_of(text);
    if (!scheme)
        return false;
    const char *authority = text + strlen(scheme) + 3;
    const size_t len = strcspn(authority, "/?#");
    if (!http_is_authority(authority, len) || authority[len] == '?' || authority[len] == '#')
        return false;
    *ret = (struct address){.scheme = scheme,
                            .authority = authority,
                            .authority_len = len,
                            .target = authority[len] == '/' ? authority + len : "/"};
    return true;
}

/* The path of the original request and its query, behind the path of our own route. */
static const char *target_behind(const struct api_call *call)
{
    const char *path = http_req_path(call->req), *query = http_req_query_text(call->req);
    const char *open = strchr(call->route->path, '{');
    const char *words = strchr(open, '}') + 1; /* "/envoy/{path*}" */
    const size_t skipped = (size_t)(open - call->route->path) + strlen(call->param) +
                           (size_t)(strchr(words, '{') - words) - 1;
    return http_req_concat(call->req, path + skipped, query);
}

/* Who was asked for, and by which scheme, where no X-Original-URL says it. */
static void read_host(const struct api_call *call, struct address *address)
{
    const struct forwarded headers = {.proto = http_req_header(call->req, "X-Forwarded-Proto"),
                                      .host = http_req_header(call->req, "X-Forwarded-Host"),
                                      .forwarded = http_req_header(call->req, "Forwarded")};
    const char *host = http_req_header(call->req, "Host");
    const char *own = call->api->config->public_url;
    if (!forwarded_host(&headers, &address->authority, &address->authority_len) && host &&
        http_is_authority(host, strlen(host))) {
        address->authority = host;
        address->authority_len = strlen(host);
    }
    if (forwarded_is_https(&headers))
        address->scheme = "https";
    else if (headers.proto || headers.forwarded || !own)
        address->scheme = "http";
    else /* nothing is said: most likely that of the waiting page */
        address->scheme = scheme_of(own);
}

static void read_original(const struct api_call *call, enum gate_way way, struct address *ret)
{
    const char *url = way == GATE_BY_HEADERS ? http_req_header(call->req, "X-Original-URL") : NULL;
    *ret = (struct address){.target = NULL};
    if (url && read_url(url, ret))
        return;
    read_host(call, ret);
    if (way == GATE_BY_PATH)
        ret->target = target_behind(call);
    else
        ret->target = http_req_header(call->req, "X-Original-URI");
    if (!ret->target)
        ret->target = http_req_header(call->req, "X-Forwarded-Uri");
}

/* ---- who asks ---- */

bool gate_request_takes_page(const struct api_call *call)
{
    const char *mode = http_req_header(call->req, "Sec-Fetch-Mode");
    const char *accept = http_req_header(call->req, "Accept");
    const char *authorization = http_req_header(call->req, "Authorization");
    if (http_req_header(call->req, "Sec-WebSocket-Key")) /* proxies keep it, but not Upgrade */
        return false;
    if (mode)
        return strcasecmp(mode, "navigate") == 0;
    if (http_req_header(call->req, "X-Requested-With") ||
        (authorization && identity_bearer(authorization)))
        return false;
    return !accept || strcasestr(accept, "text/html") || strstr(accept, "*/*");
}

bool gate_request_is_visit(const struct api_call *call, enum gate_way way)
{
    const char *accept = http_req_header(call->req, "Accept");
    return strcmp(gate_request_method(call, way), "GET") == 0 && accept &&
           strcasestr(accept, "text/html") && gate_request_takes_page(call) &&
           api_loaded_by_person(call);
}

/* ---- the way to the waiting page ---- */

/* The length of an authority without the port that its scheme has anyway. */
static size_t bare_len(const char *authority, size_t len)
{
    static const char *const ports[] = {":443", ":80"};
    for (size_t i = 0; i < 2; i++) {
        const size_t n = strlen(ports[i]);
        if (len > n && memcmp(authority + len - n, ports[i], n) == 0)
            return len - n;
    }
    return len;
}

static bool is_same_host(const struct address *a, const struct address *b)
{
    if (!a->authority || !b->authority)
        return false;
    const size_t len = bare_len(a->authority, a->authority_len);
    return len == bare_len(b->authority, b->authority_len) &&
           strncasecmp(a->authority, b->authority, len) == 0;
}

/* Browsers read "//host" and "/\host" as other hosts. */
static bool is_path(const char *target)
{
    return target && target[0] == '/' && target[1] != '/' && !strpbrk(target, "\\#");
}

/* Is there a token somewhere? Nearly always there is none, and the gate is asked about every request. */
static bool names_token(const struct api_call *call, enum gate_way way)
{
    static const char *const headers[] = {"X-Original-URI", "X-Forwarded-Uri", "X-Original-URL"};
    if (way == GATE_BY_PATH)
        return strstr(http_req_query_text(call->req), HANDOFF_PARAMETER) != NULL;
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        const char *value = http_req_header(call->req, headers[i]);
        if (value)
            return strstr(value, HANDOFF_PARAMETER) != NULL;
    }
    return false;
}

const char *gate_request_handoff(const struct api_call *call, enum gate_way way, bool other_scheme,
                                 struct return_url *ret)
{
    struct address back;
    struct buf url;
    size_t len = 0;
    if (!names_token(call, way) || strcmp(gate_request_method(call, way), "GET") != 0)
        return NULL;
    read_original(call, way, &back);
    const char *token = back.target ? return_url_find(back.target, HANDOFF_PARAMETER, &len) : NULL;
    if (!token || !back.authority || !back.scheme || !is_path(back.target))
        return NULL;
    const bool secure = (strcmp(back.scheme, "https") == 0) != other_scheme;
    buf_init(&url, TARGET_ROOM);
    buf_add_str(&url, secure ? "https://" : "http://");
    buf_add(&url, back.authority, back.authority_len);
    return_url_without(back.target, HANDOFF_PARAMETER, &url);
    const bool ok =
        buf_status(&url) == ST_OK && return_url_parse(buf_str(&url), NULL, ret) == RETURN_OK;
    buf_clear(&url);
    return ok ? http_req_strdup(call->req, token, len) : NULL;
}

bool gate_request_in_domain(const struct api_call *call, enum gate_way way)
{
    const char *domain = call->api->config->cookie_domain;
    struct address back;
    struct return_url url;
    struct buf text;
    if (!domain)
        return true;
    read_original(call, way, &back);
    if (!back.authority)
        return true;
    buf_init(&text, RETURN_URL_MAX);
    buf_add_str(&text, "https://");
    buf_add(&text, back.authority, back.authority_len);
    const bool in = return_url_parse(buf_str(&text), NULL, &url) != RETURN_OK ||
                    return_url_in_domain(&url, domain);
    buf_clear(&text);
    return in;
}

/* Reads the address to return to, without a token that was not taken: the waiting page's button makes a new one. False: the
 * waiting page would refuse it. */
static bool read_return(const struct api_call *call, const struct address *back, bool is_path_alone,
                        struct return_url *ret)
{
    const struct event *event = catalog_event(call->api->catalog, call->param);
    const char *own = call->api->config->public_url;
    struct buf text;
    if (!is_path_alone && !back->authority)
        return false;
    buf_init(&text, TARGET_ROOM);
    if (!is_path_alone) {
        buf_add_str(&text, back->scheme);
        buf_add_str(&text, "://");
        buf_add(&text, back->authority, back->authority_len);
    }
    return_url_without(back->target, HANDOFF_PARAMETER, &text);
    /* Of an event that is not loaded yet the waiting page decides about the host. */
    const bool ok = buf_status(&text) == ST_OK &&
                    return_url_parse(buf_str(&text), own, ret) == RETURN_OK &&
                    (!event || return_url_allowed(ret, event->return_urls));
    buf_clear(&text);
    return ok;
}

bool gate_request_in_place(const struct api_call *call)
{
    const char *flag = http_req_header(call->req, "X-Tiketi-In-Place");
    return flag && strcmp(flag, "1") == 0;
}

/* Is the waiting page on the host that was asked for? It is where it is shown in the place of the shop's page. */
static bool is_own_host(const struct api_call *call, const struct address *back)
{
    const char *own = call->api->config->public_url;
    struct address page;
    return !own || gate_request_in_place(call) ||
           (read_url(own, &page) && is_same_host(&page, back));
}

void gate_request_add_wait(const struct api_call *call, enum gate_way way, struct buf *out)
{
    const char *own = call->api->config->public_url;
    const char *referer = http_req_header(call->req, "Referer");
    struct address back, from;
    struct return_url url;
    buf_add_str(out, own ? own : "");
    buf_add_str(out, api_prefix(call->api));
    buf_add_str(out, "/wait/");
    buf_add_str(out, call->param);
    read_original(call, way, &back);
    if (!only_reads(gate_request_method(call, way))) {
        /* What was sent is not sent again: the page that sent it is where to go on. */
        if (!referer || !read_url(referer, &from) || !is_same_host(&from, &back))
            return;
        back = from;
    }
    if (!is_path(back.target) || !read_return(call, &back, is_own_host(call, &back), &url))
        return;
    const size_t before = out->len;
    buf_add_str(out, "?return=");
    buf_add_query(out, url.text);
    if (out->len - before > RETURN_MAX)
        buf_truncate(out, before);
}
