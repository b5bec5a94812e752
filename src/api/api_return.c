/* SPDX-License-Identifier: MIT */
/*
 * api_return: `?return=` of a request: where the buyer goes after their admission.
 *
 *   api_take_return   once the event is known: call->target, or 400 invalid
 *   api_return_query  the same parameter, for links between our own pages: the way is read anew at each of them
 *
 * Why this way: the URL travels in the address of our pages and nowhere else, so it survives whatever the address survives: a
 * reload, another language, a page without JavaScript, a link that somebody copies. It is read before anything is asked of the
 * queue, so a refused one takes no place and loses none.
 * Called by: api_queue, api_wait, api_enter, api_oidc, the pages. Owns nothing. Needs no backend beside the event.
 */
#include "api/api_internal.h"

#include "auth/handoff.h"
#include "base/base64url.h"

#include <stdio.h>
#include <string.h>

#define COOKIE   "tiketi_return"
#define COOKIE_S 600

/* The value as it was sent; NULL: none, or an empty one. */
static const char *sent(const struct api_call *call, size_t *ret_len)
{
    const char *value = return_url_find(http_req_query_text(call->req), "return", ret_len);
    return value && *ret_len > 0 ? value : NULL;
}

static const char *without_token(struct api_call *call, const char *url)
{
    struct buf text;
    buf_init(&text, strlen(url));
    return_url_without(url, HANDOFF_PARAMETER, &text);
    const char *kept = http_req_strdup(call->req, buf_str(&text), text.len);
    buf_clear(&text);
    return kept;
}

static void refuse(struct api_call *call, enum return_verdict verdict)
{
    call->return_refused = true;
    api_refuse_as(call, 400, "invalid", return_verdict_reason(verdict),
                  return_verdict_detail(verdict), "return");
}

bool api_take_return(struct api_call *call, const struct event *event)
{
    size_t len;
    if (call->target || !sent(call, &len))
        return true;
    const char *text = http_req_query(call->req, "return");
    struct return_url *url = http_req_alloc(call->req, sizeof(*url));
    if (text && strstr(text, HANDOFF_PARAMETER)) /* one that came too late: it has had its time */
        text = without_token(call, text);
    const enum return_verdict verdict =
        text ? return_url_read(text, api_public_url(call), event ? event->return_urls : "", url)
             : RETURN_NOT_A_URL; /* badly escaped */
    if (verdict != RETURN_OK) {
        refuse(call, verdict);
        return false;
    }
    call->target = url;
    return true;
}

const char *api_return_query(struct api_call *call)
{
    size_t len;
    const char *text =
        !call->return_refused && sent(call, &len) ? http_req_query(call->req, "return") : NULL;
    return text ? api_return_parameter(call, text) : NULL;
}

const char *api_return_parameter(struct api_call *call, const char *url)
{
    struct buf text;
    buf_init(&text, (size_t)4 * RETURN_URL_MAX);
    buf_add_str(&text, "return=");
    return_url_escape(url, &text);
    const char *kept =
        buf_status(&text) == ST_OK ? http_req_strdup(call->req, buf_str(&text), text.len) : NULL;
    buf_clear(&text);
    return kept;
}

const char *api_own_address(struct api_call *call, const char *path, const char *parameter)
{
    const char *query = api_return_query(call);
    struct buf text;
    buf_init(&text, (size_t)8 * RETURN_URL_MAX);
    buf_add_str(&text, path);
    if (parameter || query)
        buf_add_char(&text, '?');
    buf_add_str(&text, parameter ? parameter : "");
    if (parameter && query)
        buf_add_char(&text, '&');
    buf_add_str(&text, query ? query : "");
    const char *kept = http_req_strdup(call->req, buf_str(&text), text.len);
    buf_clear(&text);
    return kept;
}

/* The browser keeps it while its user is at the identity provider: "EVENT.URL", the URL in base64url. Nothing in it is believed:
 * the waiting page reads the URL anew. */
void api_keep_return(struct api_call *call)
{
    size_t len;
    const char *text = sent(call, &len) ? http_req_query(call->req, "return") : NULL;
    struct buf value;
    buf_init(&value, 4 * RETURN_URL_MAX);
    if (text && strlen(text) <= RETURN_URL_MAX) {
        buf_printf(&value, "%s.", call->param);
        base64url_encode(text, strlen(text), &value);
    }
    if (value.len > 0 || api_host_cookie(call, COOKIE, &len))
        api_set_host_cookie(call, COOKIE, value.len > 0 ? buf_str(&value) : NULL, COOKIE_S, "Lax");
    buf_clear(&value);
}

const char *api_kept_return(struct api_call *call, const char *event)
{
    size_t len;
    const char *value = api_host_cookie(call, COOKIE, &len);
    const size_t id = strlen(event);
    if (!value)
        return NULL;
    api_set_host_cookie(call, COOKIE, NULL, 0, "Lax");
    if (len <= id + 1 || len > 4 * RETURN_URL_MAX || strncmp(value, event, id) != 0 ||
        value[id] != '.')
        return NULL;
    struct buf text;
    buf_init(&text, RETURN_URL_MAX);
    const bool ok = base64url_decode(value + id + 1, len - id - 1, &text) == ST_OK &&
                    strlen(buf_str(&text)) == text.len;
    const char *kept = ok ? api_return_parameter(call, buf_str(&text)) : NULL;
    buf_clear(&text);
    return kept;
}

const char *api_wait_address(struct api_call *call, const char *parameter)
{
    char path[EVENT_ID_MAX + 8];
    (void)snprintf(path, sizeof(path), "/wait/%s", call->param);
    return api_own_address(call, path, parameter);
}

bool api_shares_cookies(struct api_call *call, const struct return_url *url)
{
    const char *domain = call->api->config->cookie_domain;
    const bool secure = strncmp(url->text, "https:", 6) == 0;
    return domain && return_url_in_domain(url, domain) && (secure || !api_over_https(call));
}
