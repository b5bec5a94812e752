/* SPDX-License-Identifier: MIT */
/*
 * event: one ticketed event: its fields and settings, their limits, its states, and the verbs (open,
 * pause, resume, close) that change them.
 * Pure: no Redis, no PostgreSQL. In JSON an event is one flat object.
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
/* "sold_out", as in JSON, SQL and Redis. Static. */
const char *event_status_name(enum event_status status);
/* The other way round. ST_INVALID: no such status. */
MUST_CHECK enum status event_status_parse(const char *text, enum event_status *ret_status);

#define EVENT_TEXT_MAX      200
#define EVENT_MESSAGE_MAX   2000 /* bytes: 500 characters */
#define EVENT_SURGE_MAX     16
#define EVENT_BRAND_MAX     80 /* bytes of the seller's name */
#define EVENT_COLOUR_SIZE   8  /* "#a0b1c2" */
#define EVENT_LOGO_MAX      (32 * 1024)
#define EVENT_STREAM_ID_MAX 41 /* two 64-bit numbers and a dash */

/*
 * The one list of an event's settings that are whole numbers. Each line: name in JSON, in PostgreSQL's
 * `settings` and in Redis' config:{id}; member of struct event; least and greatest value; the value of a
 * new event, where `config` is the process' struct config. Reading, writing, storing and the live copy all
 * follow this list. docs/add-a-setting.md shows what else a new line needs.
 */
#define EVENT_SETTINGS(SETTING)                                                                    \
    SETTING("threshold", threshold, LIMITS_THRESHOLD, config->queue_threshold)                     \
    SETTING("intervalMs", interval_ms, LIMITS_INTERVAL_MS, config->queue_interval_ms)              \
    SETTING("idleTimeoutMs", idle_timeout_ms, LIMITS_IDLE_TIMEOUT_MS,                              \
            config->queue_idle_timeout_ms)                                                         \
    SETTING("sessionLimitMs", session_limit_ms, LIMITS_SESSION_LIMIT_MS,                           \
            config->queue_session_limit_ms)                                                        \
    SETTING("holdMs", hold_ms, LIMITS_HOLD_MS, config->hold_ms)                                    \
    /* without a heartbeat for so long a waiting buyer is parked when their turn comes */          \
    SETTING("silentMs", silent_ms, LIMITS_SILENT_MS, config->queue_silent_ms)                      \
    /* admissions a minute; 0: no limit */                                                         \
    SETTING("outflowPerMinute", outflow_per_minute, LIMITS(0, 100000000), 0)                       \
    /* seats held for each buyer at their admission; 0: none */                                    \
    SETTING("autoHold", auto_hold, LIMITS(0, 100), 1)                                              \
    /* seats of one buyer in all */                                                                \
    SETTING("maxSeats", max_seats, LIMITS(1, 100), 4)

/* While more than queue_above wait, the threshold is `threshold`. */
struct surge_rule {
    int64_t queue_above;
    int64_t threshold;
};

/* How the pages of the event look; "" and 0: tiketi's own look. */
struct event_brand {
    char name[EVENT_BRAND_MAX + 1];
    char primary[EVENT_COLOUR_SIZE], background[EVENT_COLOUR_SIZE];
    int64_t logo; /* the event's version that brought the logo */
};

#define EVENT_SETTING_MEMBER(name, member, limits, initial) int64_t member;

struct event {
    char id[EVENT_ID_MAX + 1];
    char owner[BUYER_ID_MAX + 1]; /* the organizer: `sub` of their JWT */
    char title[EVENT_TEXT_MAX + 1], artist[EVENT_TEXT_MAX + 1], venue[EVENT_TEXT_MAX + 1];
    char message[EVENT_MESSAGE_MAX + 1];             /* shown to waiting buyers; "": none */
    int64_t starts_at_ms, opens_at_ms, closes_at_ms; /* 0: none */
    enum event_status status;
    int64_t version, epoch;
    EVENT_SETTINGS(EVENT_SETTING_MEMBER)
    struct surge_rule surge[EVENT_SURGE_MAX]; /* ascending by queue_above */
    int surge_count;
    bool allow_guests;
    struct event_brand brand;
    /* Of a change under way: a data: URL, "" to remove the logo, NULL to keep it. Borrowed from the body. */
    const char *new_logo;
    int64_t seats;       /* how many seats the event has; 0: a pure waiting room */
    uint64_t last_place; /* highest place that PostgreSQL knows of */
    int64_t free_seats;  /* seats free as of admission number free_admitted, log entry free_id */
    uint64_t free_admitted;
    char free_id[EVENT_STREAM_ID_MAX + 1];
    bool opened; /* places have been given: a missing live copy was lost, not never written */
};

#undef EVENT_SETTING_MEMBER

/* A new draft with the defaults of `config`: version 1, epoch 1, all settings of EVENT_SETTINGS. */
void event_init(struct event *event, const struct config *config);

/* Applies the fields of an organizer's JSON body that are present; `creating` allows `id` and requires
 * `title`. ST_INVALID with *error naming the field (unknown fields too); *event is then unchanged.
 * Borrows `body` for new_logo. */
MUST_CHECK enum status event_read_json(struct event *event, const struct json *body, bool creating,
                                       struct json_error *error);
/* Reads {"text"}, the organizer's message to waiting buyers: 1 to 500 characters, or null or "" for none.
 * ST_INVALID with *error. */
MUST_CHECK enum status event_read_message(struct event *event, const struct json *body,
                                          struct json_error *error);
/* The image type of "data:image/png;base64,…", static, and in *ret_base64 where its base64 begins; NULL
 * when the text is not such a logo. */
const char *event_logo_type(const char *logo, const char **ret_base64);
/* Reads the row that SQL function event_row() returns: all fields flat, plus owner, seats, lastPlace,
 * opened, epoch, freeSeats, freeAdmitted, freeId. Values outside today's limits are kept: they were valid
 * when they were stored. ST_INVALID when a field is missing or malformed; *event is then unchanged. */
MUST_CHECK enum status event_read_row(struct event *event, const struct json *row);
/* Returns new: the fields that everybody may see, flat. */
struct json *event_write_json(const struct event *event);

enum event_verb { EVENT_VERB_OPEN, EVENT_VERB_PAUSE, EVENT_VERB_RESUME, EVENT_VERB_CLOSE };
/* The status after the verb, or ST_CONFLICT when the verb does not apply to the present one. `now_ms`, wall
 * time, decides between scheduled and open. */
MUST_CHECK enum status event_apply(const struct event *event, enum event_verb verb, int64_t now_ms,
                                   enum event_status *ret_status);

#endif
