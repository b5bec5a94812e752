/* SPDX-License-Identifier: MIT */
/*
 * api_page: what all pages share: the language, the values of a template, and the headers that limit what a
 * page may do in the browser. For the pages in src/api only.
 *
 *   struct page page;
 *   api_page_begin(&page, call);
 *   api_page_event(&page, event);
 *   api_page_set(&page, "state", "waiting");
 *   api_page_answer(&page, 200, "wait.html");
 *
 * A value of `t.<key>` in a template is the message of that key.
 */
#ifndef TIKETI_API_PAGE_H
#define TIKETI_API_PAGE_H

#include "api/api_internal.h"
#include "base/language.h"
#include "base/locale.h"
#include "page/messages.h"

#define PAGE_VALUES_MAX 112

/* Whether a page may be in a frame, or have one. */
enum page_framing { PAGE_UNFRAMED, PAGE_IN_OWN_FRAME, PAGE_WITH_OWN_FRAME };

struct page {
    struct api_call *call;
    enum language language;
    const char *ws_url;      /* of the gateway; NULL: not known */
    const char *form_origin; /* where forms may lead besides here; NULL: nowhere */
    enum page_framing framing;
    bool camera; /* the page may use it */
    struct {
        const char *name, *value;
    } values[PAGE_VALUES_MAX];
    size_t count;
};

/* Is the page loaded before anybody wants to see it? */
bool api_loaded_ahead(const struct api_call *call);
/* Is it not loaded ahead, nor as a part of another page (an image, a frame), nor by a program that makes previews or by
 * a crawler? */
bool api_loaded_by_person(const struct api_call *call);

/* api_page_choose_language, then api_page_set_common. */
void api_page_begin(struct page *page, struct api_call *call);
/* Chooses the language (?lang=, which is stored in a cookie; else the cookie; else Accept-Language). The page
 * has no values yet. */
void api_page_choose_language(struct page *page, struct api_call *call);
/* Sets the values that every page has: lang, path, language_link (before `lang=`), assets (of
 * ASSETS_URL), own_assets (of this host), event_id, ws_url, now_ms. */
void api_page_set_common(struct page *page);
/* Sets the values of an event: title, artist, venue, starts_at, starts_text, opens_at, opens_text, opens_ms,
 * time_zone, summary, public_url, image, price_from, sold_by, has_links, text_language,
 * login_url, theme ("light" where the brand's ground is), ground, link_<name>, interval_ms, max_seats, version, auto_hold, colours (whether its brand has some), brand_css, brand_name, logo.
 * Copies them: the catalog may replace the
 * event. NULL: sets none. */
void api_page_event(struct page *page, const struct event *event);

/* Do buyers of the event sign in here, by the identity provider? */
bool api_page_signs_in(const struct api_call *call, const struct event *event);

/* Borrows both, which must live until the page is answered. NULL: no value. */
void api_page_set(struct page *page, const char *name, const char *value);
void api_page_set_number(struct page *page, const char *name, int64_t value); /* 1234 */
/* Copies the content of `text` as the value, and clears it. */
void api_page_set_buf(struct page *page, const char *name, struct buf *text);

/* Texts that live as long as the request: a copy, printf, a message (see messages.h). */
const char *api_page_copy(struct page *page, const char *text);
const char *api_page_printf(struct page *page, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same for a path of ours: with PATH_PREFIX in front. */
const char *api_page_own(struct page *page, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *api_page_message(struct page *page, const char *key,
                             const struct message_value *values);
const char *api_page_count(struct page *page, const char *key, uint64_t n);
const char *api_page_money(struct page *page, int64_t amount, const char *currency);
/* A time, ms since 1970, as a clock at the event's venue shows it; in UTC without an event or its zone. */
const char *api_page_time(struct page *page, const struct event *event, int64_t ms,
                          enum locale_form form);
/* The same of a zone by name; NULL or "": UTC. */
const char *api_page_clock(struct page *page, const char *zone, int64_t ms, enum locale_form form);

/* Appends a template of web/ to `out`: for the items of a list, which the page then takes as {{&name}}. */
MUST_CHECK enum status api_page_fill(struct page *page, const char *name, struct buf *out);
/* Answers the request with a template of web/, filled. */
void api_page_answer(struct page *page, unsigned code, const char *name);
/* Fills a template of web/, to be answered from many times. Returns new; NULL: it cannot be filled (logged). */
struct shared_text *api_page_text(struct page *page, const char *name);
/* Answers 200 with such a text; `tag` stands for its content (api_answer_shared). */
void api_page_answer_shared(struct page *page, const char *tag, const struct shared_text *text);
/* Answers the request with 303 to a URL: after a form. */
void api_page_redirect(struct api_call *call, const char *path);
void api_page_redirect_away(struct api_call *call, const char *url);

#endif
