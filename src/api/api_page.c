/* SPDX-License-Identifier: MIT */
/*
 * api_page: what all pages share: the language, the values of a template, and the headers that limit what a
 * page may do in the browser.
 *
 * Why this way: a page shows the answer of the JSON API. Its route has the handler of the API, and a
 * presenter (api_wait_presenter …) that writes the handler's struct as HTML instead of JSON. So a page
 * without JavaScript shows what the script would have read, problems included, and nothing is decided
 * twice. The Content-Security-Policy allows scripts, styles, images and connections of our own origin, the
 * assets of ASSETS_URL and the gateway's URL; nothing inline, and no text that a script makes into code or HTML (Trusted
 * Types; web/trusted.js has the one policy).
 * Called by: api_home, api_wait, api_buy. Owns nothing.
 */
#include "api/api_page.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/embed.h"
#include "base/log.h"
#include "base/shared_clock.h"
#include "page/page.h"
#include "selling/brand.h"

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
        log_error("page value left out: too many values", LOG_TEXT("name", name),
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

const char *api_page_own(struct page *page, const char *format, ...)
{
    char path[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(path, sizeof(path), format, args);
    va_end(args);
    return http_req_concat(page->call->req, api_prefix(page->call->api), path);
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

/* The gateway's URL, which goes into the Content-Security-Policy: PUBLIC_WS_URL, or the host of this request with
 * WS_PORT, or with PATH_PREFIX. NULL: neither is known. */
static const char *ws_url(struct page *page)
{
    struct api_call *call = page->call;
    const struct config *config = call->api->config;
    const char *host = config->public_ws_url ? NULL : api_authority(call);
    if (!host)
        return config->public_ws_url;
    const char *bracket = strchr(host, ']'); /* [::1]:8080 */
    const char *colon = strchr(bracket ? bracket : host, ':');
    const size_t len = colon ? (size_t)(colon - host) : strlen(host);
    if (*api_prefix(call->api)) /* a proxy divides the paths of one host */
        return api_page_printf(page, "%s://%s%s/ws", api_over_https(call) ? "wss" : "ws", host,
                               api_prefix(call->api));
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

void api_page_choose_language(struct page *page, struct api_call *call)
{
    *page = (struct page){.call = call};
    page->language = choose_language(call);
}

void api_page_begin(struct page *page, struct api_call *call)
{
    api_page_choose_language(page, call);
    api_page_set_common(page);
}

/* This page's path and query, to which `lang=` can be added: a change of the language shows the same state. What acts
 * (join) or is a step of the waiting page (cookies) is not kept. */
static const char *language_link(struct page *page)
{
    static const char *const dropped[] = {"lang", "join", "cookies"};
    const char *query = http_req_query_text(page->call->req);
    struct buf link;
    buf_init(&link, TEXT_MAX);
    buf_add_str(&link, api_prefix(page->call->api));
    buf_add_str(&link, http_req_path(page->call->req));
    buf_add_char(&link, '?');
    for (query += *query == '?'; *query;) {
        const size_t len = strcspn(query, "&"), name = strcspn(query, "=&");
        bool keeps = len > 0;
        for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++)
            keeps &= strlen(dropped[i]) != name || strncmp(query, dropped[i], name) != 0;
        if (keeps) {
            buf_add(&link, query, len);
            buf_add_char(&link, '&');
        }
        query += len + (query[len] == '&');
    }
    return move_text(page, &link);
}

void api_page_set_common(struct page *page)
{
    static const char *const current[] = {"current_en", "current_ko", "current_ja"};
    struct api_call *call = page->call;
    page->ws_url = ws_url(page);
    api_page_set(page, "lang", language_code(page->language));
    api_page_set(page, current[page->language], "page");
    api_page_set(page, "prefix", api_prefix(call->api));
    api_page_set(page, "path", api_page_own(page, "%s", http_req_path(call->req)));
    api_page_set(page, "language_link", language_link(page));
    const char *assets_url = call->api->config->assets_url;
    api_page_set(page, "assets",
                 api_page_printf(page, "%s%s/assets/%s", assets_url ? assets_url : "",
                                 api_prefix(call->api), embed_web_hash));
    api_page_set(page, "own_assets", api_page_own(page, "/assets/%s", embed_web_hash));
    api_page_set(page, "ws_url", page->ws_url);
    api_page_set(page, "event_id", call->param);
    api_page_set_number(page, "now_ms", shared_clock_ms());
}

const char *api_page_clock(struct page *page, const char *zone, int64_t ms, enum locale_form form)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    locale_time(&text, page->language, zone ? zone : "", ms, form);
    return move_text(page, &text);
}

const char *api_page_time(struct page *page, const struct event *event, int64_t ms,
                          enum locale_form form)
{
    return api_page_clock(page, event ? event->time_zone : NULL, ms, form);
}

/* Sets a time of the event: for programs, and as text that says in which zone it is. */
static void set_time(struct page *page, const struct event *event, const char *name,
                     const char *text_name, int64_t ms)
{
    char text[CLOCK_RFC3339_SIZE];
    if (ms == 0)
        return;
    clock_format_rfc3339(ms, text);
    const struct message_value values[] = {{"time", api_page_time(page, event, ms, LOCALE_FULL)},
                                           {"zone", api_page_time(page, event, ms, LOCALE_ZONE)},
                                           {NULL, NULL}};
    api_page_set(page, name, api_page_copy(page, text));
    api_page_set(page, text_name, api_page_message(page, "time_in_zone", values));
}

const char *api_page_money(struct page *page, int64_t amount, const char *currency)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    locale_money(&text, page->language, amount, currency);
    return move_text(page, &text);
}

/* Sets what the foot of the page leads to. */
static void set_links(struct page *page, const struct event *event)
{
    static const char *const names[EVENT_LINKS] = {
        [EVENT_LINK_SELLER] = "link_seller",   [EVENT_LINK_HELP] = "link_help",
        [EVENT_LINK_TERMS] = "link_terms",     [EVENT_LINK_REFUNDS] = "link_refunds",
        [EVENT_LINK_PRIVACY] = "link_privacy",
    };
    const struct message_value seller[] = {{"name", event->brand.name}, {NULL, NULL}};
    bool any = event->brand.name[0] != '\0';
    for (size_t i = 0; i < EVENT_LINKS; i++) {
        if (event->links[i][0] == '\0')
            continue;
        api_page_set(page, names[i], api_page_copy(page, event->links[i]));
        any = true;
    }
    if (event->brand.name[0] != '\0')
        api_page_set(page, "sold_by", api_page_message(page, "sold_by", seller));
    else if (event->links[EVENT_LINK_SELLER][0] != '\0')
        api_page_set(page, "sold_by", message(page->language, "link_seller"));
    api_page_set(page, "has_links", any ? "1" : "");
}

bool api_page_signs_in(const struct api_call *call, const struct event *event)
{
    return event && event->login_url[0] == '\0' && call->api->oidc &&
           call->api->config->oidc_buyers;
}

/* Where the buyer signs in, to come back to the waiting page: the seller's address with ?return=, else here. */
static const char *login_url(struct page *page, const struct event *event)
{
    const char *own_url = api_own_url(page->call);
    struct buf url;
    if (api_page_signs_in(page->call, event)) {
        char path[EVENT_ID_MAX + 24];
        (void)snprintf(path, sizeof(path), "/wait/%s/sign-in", event->id);
        return api_page_own(page, "%s", api_own_address(page->call, path, NULL));
    }
    if (event->login_url[0] == '\0')
        return NULL;
    buf_init(&url, TEXT_MAX);
    buf_add_str(&url, event->login_url);
    if (own_url) {
        buf_add_str(&url, strchr(event->login_url, '?') ? "&return=" : "?return=");
        buf_add_query(&url, own_url);
        buf_add_str(&url, "%2Fwait%2F");
        buf_add_str(&url, event->id); /* of characters that need no escape */
        const char *way = api_return_query(page->call);
        if (way) {
            buf_add_str(&url, "%3F");
            buf_add_query(&url, way);
        }
    }
    return move_text(page, &url);
}

/* Sets what programs show that make a preview of a link: "The Waiting Line · Tiketi Hall · May 14, 2027". */
static void set_summary(struct page *page, const struct event *event)
{
    struct buf text;
    const char *const parts[] = {event->artist, event->venue,
                                 event->starts_at_ms != 0
                                     ? api_page_time(page, event, event->starts_at_ms, LOCALE_DATE)
                                     : ""};
    buf_init(&text, TEXT_MAX);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (*parts[i] && text.len > 0)
            buf_add_str(&text, " · ");
        buf_add_str(&text, parts[i]);
    }
    api_page_set_buf(page, "summary", &text);
    api_page_set(page, "public_url", api_public_url(page->call));
}

void api_page_event(struct page *page, const struct event *event)
{
    if (!event)
        return;
    api_page_set(page, "title", api_page_copy(page, event->title));
    api_page_set(page, "artist", api_page_copy(page, event->artist));
    api_page_set(page, "venue", api_page_copy(page, event->venue));
    set_time(page, event, "starts_at", "starts_text", event->starts_at_ms);
    set_time(page, event, "opens_at", "opens_text", event->opens_at_ms);
    api_page_set(page, "time_zone",
                 event->time_zone[0] != '\0' ? api_page_copy(page, event->time_zone) : "UTC");
    api_page_set_number(page, "opens_ms", event->opens_at_ms);
    api_page_set_number(page, "interval_ms", event->interval_ms);
    api_page_set_number(page, "max_seats", event->max_seats);
    api_page_set_number(page, "version", event->version);
    api_page_set(page, "auto_hold", event->seats > 0 && event->auto_hold > 0 ? "1" : "");
    api_page_set(page, "colours",
                 *event->brand.primary != '\0' || *event->brand.background != '\0' ? "1" : "");
    api_page_set(page, "brand_css",
                 api_page_own(page, "/brand/%s.css?v=%" PRId64, event->id, event->version));
    api_page_set(page, "ask_email", event->ask_email != EVENT_ASK_NO ? "1" : "");
    api_page_set(page, "email_required", event->ask_email == EVENT_ASK_REQUIRED ? "1" : "");
    api_page_set(page, "brand_name", api_page_copy(page, event->brand.name));
    api_page_set(page, "ground", api_page_copy(page, event->brand.background));
    api_page_set(page, "theme", brand_is_light(&event->brand) ? "light" : "");
    api_page_set(page, "text_language", api_page_copy(page, event->language));
    api_page_set(page, "rehearsal", event->rehearsal ? "1" : "");
    api_page_set(page, "login_url", login_url(page, event));
    set_summary(page, event);
    set_links(page, event);
    if (event->price_from >= 0) {
        const struct message_value price[] = {
            {"price", api_page_money(page, event->price_from, event->currency)}, {NULL, NULL}};
        api_page_set(page, "price_from", api_page_message(page, "buy_from", price));
    }
    if (event->brand.image > 0)
        api_page_set(
            page, "image",
            api_page_own(page, "/brand/%s/image?v=%" PRId64, event->id, event->brand.image));
    if (event->brand.logo > 0)
        api_page_set(page, "logo",
                     api_page_own(page, "/brand/%s/logo?v=%" PRId64, event->id, event->brand.logo));
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

/* Browsers that have met it over HTTPS ask for no page of this host over HTTP any more. */
static void add_hsts(const struct api_call *call)
{
    char value[48];
    const int64_t seconds = call->api->config->hsts_max_age_s;
    if (seconds == 0 || !api_over_https(call))
        return;
    (void)snprintf(value, sizeof(value), "max-age=%" PRId64, seconds);
    http_req_add_header(call->req, "Strict-Transport-Security", value);
}

static void add_security_headers(struct page *page)
{
    struct http_req *req = page->call->req;
    const struct config *config = page->call->api->config;
    struct buf *policy = &page->call->api->header;
    const char *cdn =
        config->assets_url
            ? api_page_printf(page, " %s%s/assets/", config->assets_url, config_prefix(config))
            : "";
    buf_reset(policy);
    buf_printf(policy,
               "default-src 'none'; script-src 'self'%s; style-src 'self'%s; img-src 'self' "
               "data:%s; font-src 'self'%s; worker-src 'self'; manifest-src 'self'; "
               "connect-src 'self'",
               cdn, cdn, cdn, cdn);
    if (page->ws_url) {
        buf_add_char(policy, ' ');
        buf_add_str(policy, page->ws_url);
    }
    buf_add_str(policy, "; form-action 'self'");
    if (page->form_origin) { /* browsers apply form-action to the redirects after a form as well */
        buf_add_char(policy, ' ');
        buf_add_str(policy, page->form_origin);
    }
    buf_printf(policy,
               "%s; base-uri 'none'; frame-ancestors '%s'; require-trusted-types-for 'script'; "
               "trusted-types tiketi",
               page->framing == PAGE_WITH_OWN_FRAME ? "; frame-src 'self'" : "",
               page->framing == PAGE_IN_OWN_FRAME ? "self" : "none");
    http_req_add_header(req, "Content-Security-Policy", buf_str(policy));
    add_hsts(page->call);
    http_req_add_header(req, "Referrer-Policy", "same-origin");
    http_req_add_header(req, "Cross-Origin-Opener-Policy", "same-origin");
    http_req_add_header(req, "Permissions-Policy",
                        page->camera
                            ? "camera=(self), geolocation=(), microphone=(), payment=(), usb=()"
                            : "camera=(), geolocation=(), microphone=(), payment=(), usb=()");
}

/* The template, filled, in the scratch buffer; NULL: it cannot be filled (logged). */
static struct buf *fill_page(struct page *page, const char *name)
{
    struct buf *out = &page->call->api->page;
    buf_reset(out);
    const enum status st = api_page_fill(page, name, out);
    if (st == ST_OK)
        return out;
    log_error("page template not filled", LOG_TEXT("template", name),
              LOG_TEXT("status", status_name(st)));
    return NULL;
}

static void add_page_headers(struct page *page)
{
    add_security_headers(page);
    http_req_add_header(page->call->req, "Content-Language", language_code(page->language));
    http_req_add_header(page->call->req, "Vary", "Accept-Language, Cookie");
}

void api_page_answer(struct page *page, unsigned code, const char *name)
{
    const struct buf *text = fill_page(page, name);
    if (!text) {
        api_fail(page->call, ST_INTERNAL);
        return;
    }
    add_page_headers(page);
    api_answer_page(page->call, code, buf_str(text), text->len);
}

struct shared_text *api_page_text(struct page *page, const char *name)
{
    const struct buf *text = fill_page(page, name);
    return text ? shared_text_new(0, buf_str(text), text->len) : NULL;
}

void api_page_answer_shared(struct page *page, const char *tag, const struct shared_text *text)
{
    add_page_headers(page);
    page->call->present = NULL;
    api_answer_shared(page->call, "text/html; charset=utf-8", tag, text);
}

void api_page_redirect_away(struct api_call *call, const char *url)
{
    http_req_add_header(call->req, "Location", url);
    api_answer_page(call, 303, "", 0);
}

void api_page_redirect(struct api_call *call, const char *path)
{
    api_page_redirect_away(call, http_req_concat(call->req, api_prefix(call->api), path));
}
