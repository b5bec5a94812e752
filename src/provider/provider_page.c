/* SPDX-License-Identifier: MIT */
/*
 * provider_page: the payment provider's page for buyers.
 *
 *   shop -> GET /pay?<the order that `pay` answered>&return=<a page of the shop>
 *        -> POST /pay, action=pay | cancel -> 303 to <return>?payment=paid | cancelled (307: --post-return)
 *
 * Why this way: plain forms without a script; the order is in the form, and its signature is checked each time. An open
 * redirect is prevented: `return` must be on the loopback or on the shop's origin. The page's policy names that
 * origin, because browsers apply form-action to the redirect after a form, too.
 * Called by: provider. Owns nothing: each page is rendered when it is requested. Texts: web/messages, keys pay_….
 */
#include "provider/provider_page.h"

#include "base/clock.h"
#include "base/embed.h"
#include "base/locale.h"
#include "base/log.h"
#include "page/messages.h"
#include "page/page.h"
#include "selling/reservation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_MAX   (256 * 1024)
#define RETURN_MAX 512
#define VALUES_MAX 24
#define AMOUNT_MAX 15 /* digits of MONEY_AMOUNT_MAX */

/* ---- reading ---- */

/* The length of scheme and authority of an http URL; 0 if it is not one, or has unusual characters there. */
static size_t origin_len(const char *url)
{
    static const char authority[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]";
    const size_t scheme = strncmp(url, "http://", 7) == 0    ? 7
                          : strncmp(url, "https://", 8) == 0 ? 8
                                                             : 0;
    const size_t len = scheme > 0 ? strspn(url + scheme, authority) : 0;
    return len > 0 && strchr("/?", url[scheme + len]) ? scheme + len : 0;
}

static bool is_loopback(const char *url, size_t len)
{
    const char *host = strstr(url, "://") + 3;
    size_t host_len = len - (size_t)(host - url);
    const char *port = memchr(host, ':', host_len);
    if (*host == '[')
        return strncmp(host, "[::1]", 5) == 0 && (host_len == 5 || host[5] == ':');
    if (port)
        host_len = (size_t)(port - host);
    return (host_len == 9 && memcmp(host, "localhost", 9) == 0) ||
           (host_len >= 9 && strncmp(host, "127.", 4) == 0 &&
            strspn(host, "0123456789.") == host_len);
}

static bool may_return(const char *url, const char *shop)
{
    const size_t len = origin_len(url);
    if (len == 0 || strlen(url) > RETURN_MAX || strpbrk(url, "#\\ \"<>"))
        return false;
    for (const char *c = url; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~')
            return false;
    }
    return is_loopback(url, len) ||
           (shop && origin_len(shop) == len && strncmp(url, shop, len) == 0);
}

static const char *field(struct http_req *req, const char *name)
{
    return strcmp(http_req_method(req), "POST") == 0 ? http_req_form(req, name)
                                                     : http_req_query(req, name);
}

enum status provider_page_read(struct http_req *req, const char *shop, struct provider_visit *ret)
{
    struct provider_order *order = &ret->order;
    const struct {
        const char *key, **text;
        size_t max;
    } texts[] = {{"reference", &order->reference, 64}, {"reservationId", &order->reservation, 64},
                 {"provider", &order->provider, 64},   {"currency", &order->currency, 3},
                 {"expiresAt", &order->expires, 40},   {"signature", &order->signature, 64},
                 {"amount", &ret->amount, AMOUNT_MAX}};
    const char *language = field(req, "lang"), *back = field(req, "return"),
               *action = field(req, "action"), *zone = field(req, "zone");
    enum status st = ST_OK;
    *ret = (struct provider_visit){0};
    if (!language || !language_parse(language, strlen(language), &ret->language))
        ret->language = language_accept(http_req_header(req, "Accept-Language"));
    ret->zone = zone && strlen(zone) < LOCALE_ZONE_SIZE && locale_is_zone(zone) ? zone : "";
    ret->back = back && may_return(back, shop) ? back : NULL;
    ret->pays = action && strcmp(action, "pay") == 0;
    ret->cancels = action && strcmp(action, "cancel") == 0;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *text = field(req, texts[i].key);
        if (!text || *text == '\0' || strlen(text) > texts[i].max)
            st = ST_INVALID;
        else
            *texts[i].text = text;
    }
    if (st != ST_OK || *ret->amount < '1' || *ret->amount > '9')
        return ST_INVALID;
    char *end;
    order->amount = strtoll(ret->amount, &end, 10); /* AMOUNT_MAX digits cannot overflow */
    return *end == '\0' && order->amount <= MONEY_AMOUNT_MAX ? ST_OK : ST_INVALID;
}

/* ---- showing ---- */

struct filling {
    enum language language;
    struct {
        const char *name, *value;
    } values[VALUES_MAX];
    size_t count;
};

static void set(struct filling *filling, const char *name, const char *value)
{
    if (filling->count == VALUES_MAX)
        return;
    filling->values[filling->count].name = name;
    filling->values[filling->count++].value = value;
}

static const char *value_of(void *arg, const char *name)
{
    const struct filling *filling = arg;
    if (strncmp(name, "t.", 2) == 0)
        return message(filling->language, name + 2);
    for (size_t i = 0; i < filling->count; i++) {
        if (strcmp(filling->values[i].name, name) == 0)
            return filling->values[i].value;
    }
    return NULL;
}

/* <back>?payment=<result>; lives as long as the request. */
static const char *return_url(struct http_req *req, const char *back, const char *result)
{
    char url[RETURN_MAX + 32];
    const int len =
        snprintf(url, sizeof(url), "%s%cpayment=%s", back, strchr(back, '?') ? '&' : '?', result);
    return http_req_strdup(req, url, (size_t)len);
}

/* "3F2A-91BC": the beginning of the payment reference, which a person can read out. */
static const char *number_of(struct http_req *req, const char *reference)
{
    char number[10];
    size_t len = 0;
    for (; *reference && len < sizeof(number) - 1; reference++) {
        const bool letter = (*reference >= 'a' && *reference <= 'z') ||
                            (*reference >= 'A' && *reference <= 'Z') ||
                            (*reference >= '0' && *reference <= '9');
        if (letter && len == 4)
            number[len++] = '-';
        if (letter)
            number[len++] = (char)(*reference & (*reference >= 'a' ? ~0x20 : ~0));
    }
    return http_req_strdup(req, number, len);
}

/* "7:30 PM (Korean Standard Time)": a time of the order as a clock at the event's venue shows it; NULL: it is no time. */
static const char *time_text(struct http_req *req, const struct provider_visit *visit,
                             const char *rfc3339)
{
    struct buf clock, zone, text;
    int64_t ms;
    if (clock_parse_rfc3339(rfc3339, &ms) != ST_OK)
        return NULL;
    buf_init(&clock, 256);
    buf_init(&zone, 256);
    buf_init(&text, 512);
    locale_time(&clock, visit->language, visit->zone, ms, LOCALE_TIME);
    locale_time(&zone, visit->language, visit->zone, ms, LOCALE_ZONE);
    message_write(&text, visit->language, "time_in_zone",
                  (const struct message_value[]){
                      {"time", buf_str(&clock)}, {"zone", buf_str(&zone)}, {NULL, NULL}});
    const char *kept = http_req_strdup(req, buf_str(&text), text.len);
    buf_clear(&clock);
    buf_clear(&zone);
    buf_clear(&text);
    return kept;
}

static void add_headers(struct http_req *req, const struct provider_visit *visit)
{
    char policy[RETURN_MAX + 160];
    const char *back = visit->back ? visit->back : "";
    (void)snprintf(policy, sizeof(policy),
                   "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' %.*s; "
                   "base-uri 'none'; frame-ancestors 'none'",
                   (int)origin_len(back), back);
    http_req_add_header(req, "Content-Security-Policy", policy);
    http_req_add_header(req, "X-Content-Type-Options", "nosniff");
    /* Its URL contains the order, so no other origin may see it; its own form must send an Origin. */
    http_req_add_header(req, "Referrer-Policy", "same-origin");
    http_req_add_header(req, "Cache-Control", "no-store");
}

static const struct {
    unsigned code;
    const char *name;
} views[] = {
    [PROVIDER_ASK] = {200, "ask"},         [PROVIDER_DONE] = {200, "done"},
    [PROVIDER_STOPPED] = {200, "stopped"}, [PROVIDER_EXPIRED] = {410, "over"},
    [PROVIDER_UNSIGNED] = {403, "forged"}, [PROVIDER_INVALID] = {400, "none"},
    [PROVIDER_FULL] = {503, "full"},
};

void provider_page_show(struct http_req *req, const struct provider_visit *visit,
                        enum provider_view view)
{
    struct filling filling = {.language = visit->language};
    const struct page_source source = {.value = value_of, .arg = &filling};
    const struct embed *file = embed_find(embed_web, embed_web_count, "pay.html");
    const char *back = visit->back;
    char title[32], lead[32];
    struct buf html;
    (void)snprintf(title, sizeof(title), "pay_%s_title", views[view].name);
    (void)snprintf(lead, sizeof(lead), "pay_%s_lead", views[view].name);
    set(&filling, "lang", language_code(visit->language));
    set(&filling, "title", message(visit->language, title));
    set(&filling, "lead", message(visit->language, lead));
    set(&filling, "view", views[view].name);
    if (view == PROVIDER_ASK || view == PROVIDER_DONE) {
        const struct provider_order *order = &visit->order;
        const struct {
            const char *name, *value;
        } texts[] = {{"reference", order->reference}, {"reservation", order->reservation},
                     {"provider", order->provider},   {"currency", order->currency},
                     {"expires", order->expires},     {"signature", order->signature},
                     {"amount", visit->amount},       {"return", back}};
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
            set(&filling, texts[i].name, texts[i].value);
        struct buf text;
        buf_init(&text, 64);
        locale_money(&text, visit->language, order->amount, order->currency);
        const char *price = http_req_strdup(req, buf_str(&text), text.len);
        set(&filling, "price", price);
        buf_clear(&text);
        buf_init(&text, 256);
        message_write(&text, visit->language, "pay_button",
                      (const struct message_value[]){{"amount", price}, {NULL, NULL}});
        set(&filling, "button", http_req_strdup(req, buf_str(&text), text.len));
        buf_clear(&text);
        set(&filling, "until", time_text(req, visit, order->expires));
        set(&filling, "number", number_of(req, order->reference));
        set(&filling, "zone", visit->zone);
    }
    if (view == PROVIDER_ASK)
        set(&filling, "ask", "1");
    else if (back)
        set(&filling, "back", return_url(req, back, view == PROVIDER_DONE ? "paid" : "cancelled"));
    buf_init(&html, PAGE_MAX);
    add_headers(req, visit);
    if (!file || page_fill(&html, file->data, file->len, &source) != ST_OK) {
        log_error("payment page not rendered: 500 answered", LOG_TEXT("view", views[view].name));
        http_reply(req, 500, NULL, "", 0);
    } else {
        http_reply(req, views[view].code, "text/html; charset=utf-8", buf_str(&html), html.len);
    }
    buf_clear(&html);
}

void provider_page_return(struct http_req *req, const struct provider_visit *visit,
                          const char *result, bool by_post)
{
    if (!visit->back) {
        provider_page_show(req, visit,
                           strcmp(result, "paid") == 0 ? PROVIDER_DONE : PROVIDER_STOPPED);
        return;
    }
    add_headers(req, visit);
    http_req_add_header(req, "Location", return_url(req, visit->back, result));
    /* at 307 the browser sends the form that led here again, to the other origin */
    http_reply(req, by_post ? 307 : 303, NULL, "", 0);
}

bool provider_page_asset(struct http_req *req, const char *path)
{
    static const struct {
        const char *path, *type;
    } assets[] = {{"/pay.css", "text/css; charset=utf-8"}, {"/icon.svg", "image/svg+xml"}};
    for (size_t i = 0; i < sizeof(assets) / sizeof(assets[0]); i++) {
        if (strcmp(assets[i].path, path) != 0)
            continue;
        const struct embed *file = embed_find(embed_web, embed_web_count, path + 1);
        if (!file)
            break;
        http_req_add_header(req, "Cache-Control", "public, max-age=300");
        http_reply_static(req, 200, assets[i].type, file->data, file->len);
        return true;
    }
    return false;
}
