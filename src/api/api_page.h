/* SPDX-License-Identifier: MIT */
/*
 * api_page: what all pages share: language, the values of a template, and the headers under which
 * a page may do no more than it must. For api_*.c alone.
 *
 *   struct page page;
 *   api_page_begin(&page, call);
 *   api_page_event(&page, event);
 *   api_page_set(&page, "state", "waiting");
 *   api_page_answer(&page, 200, "wait.html");
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
    struct {
        const char *name, *value;
    } values[PAGE_VALUES_MAX];
    size_t count;
};

/* Chooses the language (?lang=, which is remembered; else the cookie; else Accept-Language) and sets
 * the values of every page: lang, path, assets, event_id, ws_url, now_ms. `t.<key>` is a message. */
void api_page_begin(struct page *page, struct api_call *call);
/* Both must live as long as the request; a NULL value is none. */
void api_page_set(struct page *page, const char *name, const char *value);
void api_page_set_number(struct page *page, const char *name, int64_t value); /* 1234 */
/* A message with its {name}s replaced, see message_write. */
void api_page_set_message(struct page *page, const char *name, const char *key,
                          const struct message_value *values);
/* Takes the content of `text` as the value, and frees it. */
void api_page_set_buf(struct page *page, const char *name, struct buf *text);
/* title, artist, venue, starts_at, starts_text, version, opens_ms, session_ms, interval_ms, hold_ms,
 * max_seats, has_seats, auto_hold, brand_name, logo. NULL: none of them. */
void api_page_event(struct page *page, const struct event *event);
/* Fills a template of web/ and answers with it. */
void api_page_answer(struct page *page, unsigned code, const char *name);
/* Appends a template to `out`: for lists, to be set and then taken as {{&name}}. */
MUST_CHECK enum status api_page_fill(struct page *page, const char *name, struct buf *out);
/* 303 to an address of ours: after a form. */
void api_page_redirect(struct api_call *call, const char *location);

#endif
