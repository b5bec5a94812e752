/* SPDX-License-Identifier: MIT */
/*
 * api_page: what all pages share: language, the values of a template, and the headers under which
 * a page may do no more than it must.
 *
 * Why this way: a page is the answer of the JSON API, shown: its handler is the API's own, and a
 * presenter (api_wait_present …) writes HTML where JSON would have gone. So what a reader without
 * JavaScript sees is what the script would have read, errors included, and nothing is decided
 * twice. The policy allows scripts, styles, images and connections of our own origin alone, and the
 * socket's address by name; nothing inline. Called by: api_home, api_wait. Owns nothing.
 */
#include "api/api_page.h"

#include "base/clock.h"
#include "base/embed.h"
#include "base/log.h"
#include "page/page.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LANGUAGE_COOKIE "tiketi_lang"
#define VALUE_MAX       (256 * 1024)

/* ---- values ---- */

void api_page_set(struct page *page, const char *name, const char *value)
{
    if (page->count == PAGE_VALUES_MAX) {
        log_error("a page has too many values", LOG_TEXT("name", name));
        return;
    }
    page->values[page->count].name = name;
    page->values[page->count++].value = value;
}

void api_page_set_number(struct page *page, const char *name, int64_t value)
{
    char text[24];
    const int len = snprintf(text, sizeof(text), "%" PRId64, value);
    api_page_set(page, name, http_req_strdup(page->call->req, text, (size_t)len));
}

void api_page_set_buf(struct page *page, const char *name, struct buf *text)
{
    api_page_set(page, name, http_req_strdup(page->call->req, buf_str(text), text->len));
    buf_clear(text);
}

void api_page_set_message(struct page *page, const char *name, const char *key,
                          const struct message_value *values)
{
    struct buf text;
    buf_init(&text, VALUE_MAX);
    message_write(&text, page->language, key, values);
    api_page_set_buf(page, name, &text);
}

/* The last of equal names: what a page says goes before what all pages say. */
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
    (void)arg;
    for (size_t i = 0; i < embed_web_count; i++) {
        if (strcmp(embed_web[i].name, name) == 0) {
            *ret_len = embed_web[i].len;
            return embed_web[i].data;
        }
    }
    return NULL;
}

/* ---- language ---- */

static enum language choose_language(struct api_call *call)
{
    enum language language;
    size_t len;
    const char *asked = http_req_query(call->req, "lang");
    if (asked != NULL && language_parse(asked, strlen(asked), &language)) {
        api_set_preference(call, LANGUAGE_COOKIE, language_code(language));
        return language;
    }
    const char *cookie = http_req_cookie(call->req, LANGUAGE_COOKIE, &len);
    if (cookie != NULL && language_parse(cookie, len, &language))
        return language;
    return language_accept(http_req_header(call->req, "Accept-Language"));
}

static void set_languages(struct page *page)
{
    static const char *const current[] = {"current_en", "current_ko", "current_ja"};
    api_page_set(page, "lang", language_code(page->language));
    api_page_set(page, current[page->language], "page");
}

/* ---- addresses ---- */

/* What a Host may be made of; anything else would end the policy it is written into. */
static bool is_authority(const char *host)
{
    return *host != '\0' && strlen(host) < 256 &&
           strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]") ==
               strlen(host);
}

/* The socket's address: as set, or on the host of this request. */
static const char *ws_url(struct api_call *call)
{
    const struct config *config = call->api->config;
    const char *host = http_req_header(call->req, "Host");
    if (config->public_ws_url != NULL)
        return config->public_ws_url;
    if (host == NULL || !is_authority(host))
        return NULL;
    const char *bracket = strchr(host, ']');
    const char *colon = strchr(bracket != NULL ? bracket : host, ':');
    const int len = (int)(colon != NULL ? (size_t)(colon - host) : strlen(host));
    char url[320];
    const int url_len = snprintf(url, sizeof(url), "%s://%.*s:%" PRId64 "/ws",
                                 api_over_https(call) ? "wss" : "ws", len, host, config->ws_port);
    return http_req_strdup(call->req, url, (size_t)url_len);
}

static const char *assets_root(struct api_call *call)
{
    char root[32];
    const int len = snprintf(root, sizeof(root), "/assets/%s", embed_web_hash);
    return http_req_strdup(call->req, root, (size_t)len);
}

/* ---- headers ---- */

static void add_policy(struct page *page)
{
    struct buf *text = &page->call->api->header;
    const char *ws = value_of(page, "ws_url"), *form_to = value_of(page, "form_to");
    buf_reset(text);
    buf_add_str(text, "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' "
                      "data:; font-src 'self'; connect-src 'self'");
    if (ws != NULL) {
        buf_add_char(text, ' ');
        buf_add_str(text, ws);
    }
    buf_add_str(text, "; form-action 'self'");
    if (form_to != NULL) { /* browsers hold redirects of forms to it, too */
        buf_add_char(text, ' ');
        buf_add_str(text, form_to);
    }
    buf_add_str(text, "; base-uri 'none'; frame-ancestors 'none'");
    http_req_add_header(page->call->req, "Content-Security-Policy", buf_str(text));
    http_req_add_header(page->call->req, "X-Content-Type-Options", "nosniff");
    http_req_add_header(page->call->req, "Referrer-Policy", "same-origin");
    http_req_add_header(page->call->req, "Cross-Origin-Opener-Policy", "same-origin");
    http_req_add_header(page->call->req, "Permissions-Policy",
                        "camera=(), geolocation=(), microphone=(), payment=(), usb=()");
}

/* ---- a page ---- */

void api_page_begin(struct page *page, struct api_call *call)
{
    *page = (struct page){.call = call};
    page->language = choose_language(call);
    set_languages(page);
    api_page_set(page, "path", http_req_path(call->req));
    api_page_set(page, "assets", assets_root(call));
    api_page_set(page, "ws_url", ws_url(call));
    api_page_set(page, "event_id", call->param);
    api_page_set_number(page, "now_ms", clock_wall_ms());
}

static void set_time(struct page *page, const char *name, const char *text_name, int64_t ms)
{
    char text[CLOCK_RFC3339_SIZE];
    char plain[CLOCK_RFC3339_SIZE + 8];
    if (ms == 0)
        return;
    clock_format_rfc3339(ms, text);
    /* For readers without JavaScript; the script writes the time of their own zone. */
    const int len = snprintf(plain, sizeof(plain), "%.10s %.5s UTC", text, text + 11);
    api_page_set(page, name, http_req_strdup(page->call->req, text, strlen(text)));
    api_page_set(page, text_name, http_req_strdup(page->call->req, plain, (size_t)len));
}

static void set_brand(struct page *page, const struct event *event)
{
    struct api_call *call = page->call;
    const struct event_brand *brand = &event->brand;
    char logo[EVENT_ID_MAX + 48];
    const int len =
        snprintf(logo, sizeof(logo), "/brand/%s/logo?v=%" PRId64, event->id, brand->logo);
    if (brand->logo > 0)
        api_page_set(page, "logo", http_req_strdup(call->req, logo, (size_t)len));
    api_page_set(page, "brand_name", http_req_strdup(call->req, brand->name, strlen(brand->name)));
}

void api_page_event(struct page *page, const struct event *event)
{
    if (event == NULL)
        return;
    struct api_call *call = page->call;
    /* Copied: the catalogue's may be gone by the time the page is written. */
    api_page_set(page, "title", http_req_strdup(call->req, event->title, strlen(event->title)));
    api_page_set(page, "artist", http_req_strdup(call->req, event->artist, strlen(event->artist)));
    api_page_set(page, "venue", http_req_strdup(call->req, event->venue, strlen(event->venue)));
    set_time(page, "starts_at", "starts_text", event->starts_at_ms);
    set_time(page, "opens_at", "opens_text", event->opens_at_ms);
    api_page_set_number(page, "opens_ms", event->opens_at_ms);
    api_page_set_number(page, "session_ms", event->session_limit_ms);
    api_page_set_number(page, "interval_ms", event->interval_ms);
    api_page_set_number(page, "hold_ms", event->hold_ms);
    api_page_set_number(page, "max_seats", event->max_seats);
    api_page_set_number(page, "version", event->version);
    set_brand(page, event);
    api_page_set(page, "has_seats", event->seats > 0 ? "1" : "");
    api_page_set(page, "auto_hold", event->seats > 0 && event->auto_hold > 0 ? "1" : "");
}

enum status api_page_fill(struct page *page, const char *name, struct buf *out)
{
    const struct page_source source = {.value = value_of, .part = part_of, .arg = page};
    size_t len;
    const char *text = part_of(NULL, name, &len);
    if (text == NULL)
        return ST_NOT_FOUND;
    return page_fill(out, text, len, &source);
}

void api_page_answer(struct page *page, unsigned code, const char *name)
{
    struct api_call *call = page->call;
    struct buf *out = &call->api->page;
    call->present = NULL;
    buf_reset(out);
    const enum status st = api_page_fill(page, name, out);
    if (st != ST_OK) {
        log_error("a page could not be written", LOG_TEXT("template", name),
                  LOG_TEXT("status", status_name(st)));
        api_fail(call, ST_INTERNAL);
        return;
    }
    add_policy(page);
    http_req_add_header(call->req, "Content-Language", language_code(page->language));
    http_req_add_header(call->req, "Vary", "Accept-Language, Cookie");
    api_answer_page(call, code, buf_str(out), out->len);
}

void api_page_redirect(struct api_call *call, const char *location)
{
    http_req_add_header(call->req, "Location", location);
    api_answer_page(call, 303, "", 0);
}
