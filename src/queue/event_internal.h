/* SPDX-License-Identifier: MIT */
/*
 * event_internal: what the files of an event share. No other file includes it.
 *
 *   event.c          the fields, statuses and words; rows and answers
 *   event_body.c     a body of the organizer's
 *   event_brand.c    branding and links, in all three
 *   event_return.c   the list of addresses that buyers may be led to, in all three
 *   event_message.c  the message to buyers
 */
#ifndef TIKETI_EVENT_INTERNAL_H
#define TIKETI_EVENT_INTERNAL_H

#include "queue/event.h"

#include <stddef.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- event.c ---- */

#define EVENT_SETTING_INDEX(name_, member_, limits_, initial_) EVENT_INDEX_##member_,
enum { EVENT_SETTINGS(EVENT_SETTING_INDEX) EVENT_SETTING_COUNT };
enum { EVENT_TIMES = 3, EVENT_TEXTS = 3 };

struct event_setting {
    const char *name;
    size_t at; /* offset of an int64_t in struct event */
    int64_t min, max;
};
struct event_field {
    const char *name;
    size_t at; /* offset in struct event */
};
extern const struct event_setting event_settings[EVENT_SETTING_COUNT];
extern const struct event_field event_times[EVENT_TIMES]; /* int64_t: ms since 1970; 0: none */
extern const struct event_field event_texts[EVENT_TEXTS]; /* EVENT_TEXT_SIZE bytes */

/* The number at an offset. */
int64_t *event_number(struct event *event, size_t at);
int64_t event_number_in(const struct event *event, size_t at);
/* Copies a text of a row. False: there is none, or it is too long. */
bool event_copy_text(char *out, size_t size, const struct json *row, const char *key);

/* ---- event_body.c ---- */

/* The body has this field, and it is null. */
bool event_field_is_null(const struct json *body, const char *key);

/* ---- event_brand.c ---- */

/* Each reads a member of a body into the event. Only what it has is changed; null removes it. */
MUST_CHECK enum status event_read_brand(struct event *event, const struct json *body,
                                        struct json_error *error);
MUST_CHECK enum status event_read_links(struct event *event, const struct json *body,
                                        struct json_error *error);
MUST_CHECK enum status event_read_login_url(struct event *event, const struct json *body,
                                            struct json_error *error);
MUST_CHECK enum status event_read_return_urls(struct event *event, const struct json *body,
                                              struct json_error *error);
/* The same of a row. False: the row is not valid. */
bool event_row_brand(struct event *event, const struct json *row);
bool event_row_links(struct event *event, const struct json *row);
bool event_row_return_urls(struct event *event, const struct json *row);
/* Return new. */
struct json *event_write_brand(const struct event *event);
struct json *event_write_links(const struct event *event);
struct json *event_write_return_urls(const struct event *event);

#endif
