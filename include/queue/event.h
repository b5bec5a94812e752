/* SPDX-License-Identifier: MIT */
/*
 * event: one on-sale event: its fields, their validation, its states and allowed transitions.
 * Pure. An event is flat in JSON.
 */
#ifndef TIKETI_EVENT_H
#define TIKETI_EVENT_H

#include "auth/token.h"
#include "base/config.h"
#include "base/json.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum event_status {
    EVENT_DRAFT,
    EVENT_SCHEDULED,
    EVENT_OPEN,
    EVENT_PAUSED,
    EVENT_SOLD_OUT,
    EVENT_CLOSED
};
const char *event_status_name(enum event_status status); /* "sold_out" */
MUST_CHECK enum status event_status_parse(const char *text, enum event_status *ret_status);

#define EVENT_TEXT_MAX      200
#define EVENT_MESSAGE_MAX   2000 /* bytes: 500 characters */
#define EVENT_SURGE_MAX     16
#define EVENT_BRAND_MAX     80 /* bytes of the seller's name */
#define EVENT_COLOUR_SIZE   8  /* "#a0b1c2" */
#define EVENT_LOGO_MAX      (32 * 1024)
#define EVENT_STREAM_ID_MAX 41 /* two 64-bit numbers and a dash */

struct surge_rule {
    int64_t queue_above;
    int64_t threshold;
};

/* How the pages look; "" and 0: as they come. */
struct event_brand {
    char name[EVENT_BRAND_MAX + 1];
    char primary[EVENT_COLOUR_SIZE], background[EVENT_COLOUR_SIZE];
    int64_t logo; /* the version that brought it */
};

struct event {
    char id[EVENT_ID_MAX + 1];
    char owner[BUYER_ID_MAX + 1]; /* sub of the organizer */
    char title[EVENT_TEXT_MAX + 1], artist[EVENT_TEXT_MAX + 1], venue[EVENT_TEXT_MAX + 1];
    char message[EVENT_MESSAGE_MAX + 1];             /* to those who wait; "": none */
    int64_t starts_at_ms, opens_at_ms, closes_at_ms; /* 0: none */
    enum event_status status;
    int64_t version, epoch;
    int64_t threshold, interval_ms, idle_timeout_ms, session_limit_ms, hold_ms;
    struct surge_rule surge[EVENT_SURGE_MAX];
    int surge_count;
    int64_t outflow_per_minute; /* 0: no cap */
    int64_t auto_hold;          /* seats held for each admitted buyer; 0: off */
    int64_t max_seats;
    bool allow_guests;
    struct event_brand brand;
    const char
        *new_logo; /* of a change under way: a data: URL, or "" for none; NULL: it stays. Borrowed
                             from the body */
    int64_t seats; /* how many seats the event has; 0: a pure waiting room */
    uint64_t last_place; /* highest place PostgreSQL knows of */
    int64_t free_seats;  /* free as of admission number free_admitted, log entry free_id */
    uint64_t free_admitted;
    char free_id[EVENT_STREAM_ID_MAX + 1];
    bool opened; /* was ever open */
};

/* All defaults from the configuration; status draft, version 1, epoch 1. */
void event_init(struct event *event, const struct config *config);

/* Applies the fields of a JSON body that are present; `creating` allows `id` and requires `title`.
 * ST_INVALID with *error naming the field (unknown fields too); *event is then unchanged. */
MUST_CHECK enum status event_read_json(struct event *event, const struct json *body, bool creating,
                                       struct json_error *error);
/* {"text"}: 1 to 500 characters, or null or "" for none. */
MUST_CHECK enum status event_read_message(struct event *event, const struct json *body,
                                          struct json_error *error);
/* "data:image/png;base64,…": its image type, and where its base64 begins; NULL: not what a logo is. */
const char *event_logo_type(const char *logo, const char **ret_base64);
/* The row as SQL function event_row() gives it, in JSON (all fields flat, plus owner, seats,
 * lastPlace, opened, epoch, freeSeats, freeAdmitted, freeId). */
MUST_CHECK enum status event_read_row(struct event *event, const struct json *row);
/* New object with the public fields (flat, section 4 of the design). */
struct json *event_write_json(const struct event *event);

enum event_verb { EVENT_VERB_OPEN, EVENT_VERB_PAUSE, EVENT_VERB_RESUME, EVENT_VERB_CLOSE };
/* The status after the verb, or ST_CONFLICT. `now_ms` decides scheduled against open. */
MUST_CHECK enum status event_apply(const struct event *event, enum event_verb verb, int64_t now_ms,
                                   enum event_status *ret_status);

#endif
