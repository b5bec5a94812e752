/* SPDX-License-Identifier: MIT */
/*
 * api_page: what all pages share: the language, the values of a template, and the headers that limit what a
 * page may do in the browser.
 *
 * Why this way: a page shows the answer of the JSON API. Its route has the handler of the API, and a
 * presenter (api_wait_presenter …) that writes the handler's struct as HTML instead of JSON. So a page
 * without JavaScript shows what the script would have read, problems included, and nothing is decided
 * twice. The Content-Security-Policy allows scripts, styles, images and connections of our own origin, and
 * the gateway's URL; nothing inline.
 * Called by: api_home, api_wait, api_buy. Owns nothing.
 */
#include "api/api_page.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/embed.h"
#include "base/log.h"
#include "page/page.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LANGUAGE_COOKIE "tiketi_lang"
#define TEXT_MAX        (256 * 1024)

/* ---- values ---- */

void api_page_set(struct page *page, const char *name, const char *value)
{
    if (page->count == PAGE_VALUES_MAX) {
        log_error("page has too many values", LOG_TEXT("name", name),
                  LOG_NUM("limit", PAGE_VALUES_MAX));
        return;
    }
    page->values[page->count].name = name;
    page->values[page->count++].value = value;
}

void api_page_set_number(struct page *page, const char *name, int64_t value)
{
    api_page_set(page, name, api_page_printf(page, "%" PRId64, value));
}

/* Copies the text for the life of the request, and clears the buffer. */
static const char *move_text(struct page *page, struct buf *text)
{
    const char *kept = http_req_strdup(page->call->req, buf_str(text), text->len);
    buf_clear(text);
    return kept;
}

void api_page_set_buf(struct page *page, const char *name, struct buf *text)
{
    api_page_set(page, name, move_text(page, text));
}

const char *api_page_copy(struct page *page, const char *text)
{
    return http_req_strdup(page->call->req, text, strlen(text));
}

const char *api_page_printf(struct page *page, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return api_page_copy(page, text);
}

const char *api_page_message(struct page *page, const char *key, const struct message_value *values)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    message_write(&text, page->language, key, values);
    return move_text(page, &text);
}

const char *api_page_count(struct page *page, const char *key, uint64_t n)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    message_count(&text, page->language, key, n);
    return move_text(page, &text);
}

/* ---- a page ---- */

/* The gateway's URL: PUBLIC_WS_URL, or the host of this request with WS_PORT. NULL: neither is usable. */
static const char *ws_url(struct page *page)
{
    struct api_call *call = page->call;
    const struct config *config = call->api->config;
    const char *host = http_req_header(call->req, "Host");
    if (config->public_ws_url)
        return config->public_ws_url;
    /* Only the characters of a host are accepted: the URL goes into the Content-Security-Policy, where others could
     * begin a new directive. */
    if (!host || *host == '\0' || strlen(host) >= 256 ||
        host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]")])
        return NULL;
    const char *bracket = strchr(host, ']'); /* [::1]:8080 */
    const char *colon = strchr(bracket ? bracket : host, ':');
    const size_t len = colon ? (size_t)(colon - host) : strlen(host);
    return api_page_printf(page, "%s://%.*s:%" PRId64 "/ws", api_over_https(call) ? "wss" : "ws",
                           (int)len, host, config->ws_port);
}

static enum language choose_language(struct api_call *call)
{
    enum language language;
    size_t len;
    const char *asked = http_req_query(call->req, "lang");
    if (asked && language_parse(asked, strlen(asked), &language)) {
        api_set_preference(call, LANGUAGE_COOKIE, language_code(language));
        return language;
    }
    const char *cookie = http_req_cookie(call->req, LANGUAGE_COOKIE, &len);
    if (cookie && language_parse(cookie, len, &language))
        return language;
    return language_accept(http_req_header(call->req, "Accept-Language"));
}

void api_page_begin(struct page *page, struct api_call *call)
{
    static const char *const current[] = {"current_en", "current_ko", "current_ja"};
    *page = (struct page){.call = call};
    page->language = choose_language(call);
    page->ws_url = ws_url(page);
    api_page_set(page, "lang", language_code(page->language));
    api_page_set(page, current[page->language], "page");
    api_page_set(page, "path", http_req_path(call->req));
    api_page_set(page, "assets", api_page_printf(page, "/assets/%s", embed_web_hash));
    api_page_set(page, "ws_url", page->ws_url);
    api_page_set(page, "event_id", call->param);
    api_page_set_number(page, "now_ms", clock_wall_ms());
}

/* Sets a time, and in `text_name` the same as text in UTC for pages without JavaScript. The script replaces that by the
 * time in the reader's zone. */
static void set_time(struct page *page, const char *name, const char *text_name, int64_t ms)
{
    char text[CLOCK_RFC3339_SIZE];
    if (ms == 0)
        return;
    clock_format_rfc3339(ms, text);
    api_page_set(page, name, api_page_copy(page, text));
    api_page_set(page, text_name, api_page_printf(page, "%.10s %.5s UTC", text, text + 11));
}

void api_page_event(struct page *page, const struct event *event)
{
    if (!event)
        return;
    api_page_set(page, "title", api_page_copy(page, event->title));
    api_page_set(page, "artist", api_page_copy(page, event->artist));
    api_page_set(page, "venue", api_page_copy(page, event->venue));
    set_time(page, "starts_at", "starts_text", event->starts_at_ms);
    set_time(page, "opens_at", "opens_text", event->opens_at_ms);
    api_page_set_number(page, "opens_ms", event->opens_at_ms);
    api_page_set_number(page, "interval_ms", event->interval_ms);
    api_page_set_number(page, "max_seats", event->max_seats);
    api_page_set_number(page, "version", event->version);
    api_page_set(page, "auto_hold", event->seats > 0 && event->auto_hold > 0 ? "1" : "");
    api_page_set(page, "brand_name", api_page_copy(page, event->brand.name));
    if (event->brand.logo > 0)
        api_page_set(
            page, "logo",
            api_page_printf(page, "/brand/%s/logo?v=%" PRId64, event->id, event->brand.logo));
}

/* ---- filling ---- */

/* Of equal names the last one counts: so a page can replace a value that all pages have. */
static const char *value_of(void *arg, const char *name)
{
    const struct page *page = arg;
    if (strncmp(name, "t.", 2) == 0)
        return message(page->language, name + 2);
    for (size_t i = page->count; i-- > 0;) {
        if (strcmp(page->values[i].name, name) == 0)
            return page->values[i].value;
    }
    return NULL;
}

static const char *part_of(void *arg, const char *name, size_t *ret_len)
{
    const struct embed *file = embed_find(embed_web, embed_web_count, name);
    (void)arg;
    *ret_len = file ? file->len : 0;
    return file ? file->data : NULL;
}

enum status api_page_fill(struct page *page, const char *name, struct buf *out)
{
    const struct page_source source = {.value = value_of, .part = part_of, .arg = page};
    size_t len;
    const char *text = part_of(NULL, name, &len);
    return text ? page_fill(out, text, len, &source) : ST_NOT_FOUND;
}

static void add_security_headers(struct page *page)
{
    struct http_req *req = page->call->req;
    struct buf *policy = &page->call->api->header;
    buf_reset(policy);
    buf_add_str(policy, "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' "
                        "data:; font-src 'self'; connect-src 'self'");
    if (page->ws_url) {
        buf_add_char(policy, ' ');
        buf_add_str(policy, page->ws_url);
    }
    buf_add_str(policy, "; form-action 'self'");
    if (page->form_origin) { /* browsers apply form-action to the redirects after a form as well */
        buf_add_char(policy, ' ');
        buf_add_str(policy, page->form_origin);
    }
    buf_add_str(policy, "; base-uri 'none'; frame-ancestors 'none'");
    http_req_add_header(req, "Content-Security-Policy", buf_str(policy));
    http_req_add_header(req, "X-Content-Type-Options", "nosniff");
    http_req_add_header(req, "Referrer-Policy", "same-origin");
    http_req_add_header(req, "Cross-Origin-Opener-Policy", "same-origin");
    http_req_add_header(req, "Permissions-Policy",
                        "camera=(), geolocation=(), microphone=(), payment=(), usb=()");
}

void api_page_answer(struct page *page, unsigned code, const char *name)
{
    struct api_call *call = page->call;
    struct buf *out = &call->api->page;
    buf_reset(out);
    const enum status st = api_page_fill(page, name, out);
    if (st != ST_OK) {
        log_error("page template not filled", LOG_TEXT("template", name),
                  LOG_TEXT("status", status_name(st)));
        api_fail(call, ST_INTERNAL);
        return;
    }
    add_security_headers(page);
    http_req_add_header(call->req, "Content-Language", language_code(page->language));
    http_req_add_header(call->req, "Vary", "Accept-Language, Cookie");
    api_answer_page(call, code, buf_str(out), out->len);
}

void api_page_redirect(struct api_call *call, const char *location)
{
    http_req_add_header(call->req, "Location", location);
    api_answer_page(call, 303, "", 0);
}
