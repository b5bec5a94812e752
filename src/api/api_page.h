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
#include "page/language.h"
#include "page/messages.h"

#define PAGE_VALUES_MAX 64

struct page {
    struct api_call *call;
    enum language language;
    const char *ws_url;      /* of the gateway; NULL: not known */
    const char *form_origin; /* where forms may lead besides here; NULL: nowhere */
    struct {
        const char *name, *value;
    } values[PAGE_VALUES_MAX];
    size_t count;
};

/* Chooses the language (?lang=, which is stored in a cookie; else the cookie; else Accept-Language) and sets
 * the values that every page has: lang, path, assets, event_id, ws_url, now_ms. */
void api_page_begin(struct page *page, struct api_call *call);
/* Sets the values of an event: title, artist, venue, starts_at, starts_text, opens_at, opens_text, opens_ms,
 * interval_ms, max_seats, version, auto_hold, brand_name, logo. Copies them: the catalog may replace the
 * event. NULL: sets none. */
void api_page_event(struct page *page, const struct event *event);

/* Borrows both, which must live until the page is answered. NULL: no value. */
void api_page_set(struct page *page, const char *name, const char *value);
void api_page_set_number(struct page *page, const char *name, int64_t value); /* 1234 */
/* Copies the content of `text` as the value, and clears it. */
void api_page_set_buf(struct page *page, const char *name, struct buf *text);

/* Texts that live as long as the request: a copy, printf, a message (see messages.h). */
const char *api_page_copy(struct page *page, const char *text);
const char *api_page_printf(struct page *page, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *api_page_message(struct page *page, const char *key,
                             const struct message_value *values);
const char *api_page_count(struct page *page, const char *key, uint64_t n);

/* Appends a template of web/ to `out`: for the items of a list, which the page then takes as {{&name}}. */
MUST_CHECK enum status api_page_fill(struct page *page, const char *name, struct buf *out);
/* Answers the request with a template of web/, filled. */
void api_page_answer(struct page *page, unsigned code, const char *name);
/* Answers the request with 303 to a URL: after a form. */
void api_page_redirect(struct api_call *call, const char *location);

#endif
