/* SPDX-License-Identifier: MIT */
/*
 * event: one ticketed event: its fields and settings, their limits, its states. The verbs that lead from one state to
 * another: event_verb.h.
 * Pure: no Redis, no PostgreSQL. In JSON an event is one flat object.
 */
#ifndef TIKETI_EVENT_H
#define TIKETI_EVENT_H

#include "auth/return_url.h"
#include "auth/role.h"
#include "auth/token.h"
#include "base/config.h"
#include "base/json.h"
#include "base/locale.h"
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
/* Reads such a name. ST_INVALID: there is no such status. */
MUST_CHECK enum status event_status_parse(const char *text, enum event_status *ret_status);

#define EVENT_TEXT_MAX      200        /* characters */
#define EVENT_MESSAGE_MAX   TEXT_LIMIT /* characters */
#define EVENT_SURGE_MAX     16
#define EVENT_BRAND_MAX     80 /* characters of the seller's name */
#define EVENT_COLOUR_SIZE   8  /* "#a0b1c2" */
#define EVENT_TEXT_SIZE     (TEXT_BYTES(EVENT_TEXT_MAX) + 1)
#define EVENT_LOGO_MAX      (32 * 1024)  /* bytes */
#define EVENT_IMAGE_MAX     (256 * 1024) /* bytes */
#define EVENT_LINK_MAX      300          /* bytes of a link */
#define EVENT_LANGUAGE_SIZE 36           /* "pt-BR", a tag of BCP 47 */
#define EVENT_CURRENCY_SIZE 4            /* "EUR" */
#define EVENT_STREAM_ID_MAX 41           /* two 64-bit numbers and a dash */
#define EVENT_GRACE_MAX_MS  INT64_C(604800000)
#define EVENT_GRACE_NONE    INT64_C(-1)

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
    /* an offered turn that is not claimed within this time goes to the next buyer */              \
    SETTING("claimMs", claim_ms, LIMITS_CLAIM_MS, config->queue_claim_ms)                          \
    /* admissions a minute; 0: no limit */                                                         \
    SETTING("outflowPerMinute", outflow_per_minute, LIMITS(0, 100000000), 0)                       \
    /* the shop's health may lower the threshold as far as this; 0: it does not (feedback.h) */    \
    SETTING("thresholdMin", threshold_min, LIMITS_THRESHOLD, 0)                                    \
    SETTING("targetP95Ms", target_p95_ms, LIMITS(1, 600000), 1000)                                 \
    SETTING("targetErrorPercent", target_error_percent, LIMITS(1, 100), 1)                         \
    /* seats held for each buyer at their admission; 0: none */                                    \
    SETTING("autoHold", auto_hold, LIMITS(0, 100), 1)                                              \
    /* seats of one buyer in all */                                                                \
    SETTING("maxSeats", max_seats, LIMITS(1, 100), 4)                                              \
    /* new places of one network (IPv4 /24, IPv6 /64) in an epoch; 0: no limit */                  \
    SETTING("placesPerNetwork", places_per_network, LIMITS_NETWORK_PLACES,                         \
            config->queue_places_per_network)

/* Is the buyer asked for an e-mail address before they pay? */
enum event_ask { EVENT_ASK_NO, EVENT_ASK_OPTIONAL, EVENT_ASK_REQUIRED };

/* When freed slots are offered to those who wait. */
enum event_promotion {
    EVENT_CONTINUOUS, /* at once, at most ten times a second */
    EVENT_INTERVAL    /* at the ticks alone */
};

/* While more than queue_above wait, the threshold is `threshold`. */
struct surge_rule {
    int64_t queue_above;
    int64_t threshold;
};

/* How the pages of the event look; "" and 0: tiketi's own look. */
struct event_brand {
    char name[TEXT_BYTES(EVENT_BRAND_MAX) + 1];
    char primary[EVENT_COLOUR_SIZE], background[EVENT_COLOUR_SIZE];
    int64_t logo, image; /* the event's versions that brought them; 0: none */
};

enum event_picture { EVENT_LOGO, EVENT_IMAGE };

/* Pages of the seller that the pages of the event link to. */
enum event_link {
    EVENT_LINK_SELLER, /* who sells: the imprint */
    EVENT_LINK_HELP,
    EVENT_LINK_TERMS,
    EVENT_LINK_REFUNDS,
    EVENT_LINK_PRIVACY,
    EVENT_LINKS
};
/* "seller": its name in `links` and in templates. Static. */
const char *event_link_name(enum event_link link);

#define EVENT_SETTING_MEMBER(name, member, limits, initial) int64_t member;

struct event {
    char id[EVENT_ID_MAX + 1];
    char owner[BUYER_ID_MAX + 1]; /* the organizer: `sub` of their JWT */
    char title[EVENT_TEXT_SIZE], artist[EVENT_TEXT_SIZE], venue[EVENT_TEXT_SIZE];
    /* Shown to waiting buyers; "": none. `message` is for readers of other languages than `messages` has. */
    char message[TEXT_BYTES(EVENT_MESSAGE_MAX) + 1];
    char messages[LANGUAGE_COUNT][TEXT_BYTES(EVENT_MESSAGE_MAX) + 1];
    char language
        [EVENT_LANGUAGE_SIZE]; /* of title, artist, venue, sections, `message`; "": not known */
    char links[EVENT_LINKS][EVENT_LINK_MAX + 1]; /* URLs; "": none */
    char login_url[EVENT_LINK_MAX + 1];          /* where buyers sign in; "": not known */
    char return_urls
        [RETURN_LIST_SIZE]; /* where buyers may be led beside this origin (return_url.h) */
    int64_t starts_at_ms, opens_at_ms, closes_at_ms; /* 0: none */
    char time_zone
        [LOCALE_ZONE_SIZE]; /* of the venue, an IANA name; "": none, its times are shown in UTC */
    enum event_status status;
    /* What closing does to those inside: EVENT_GRACE_NONE: their turns run to their ends; 0: everybody is out at once;
     * else for so many ms at most. lua/shared.lua decides; C reads it only to say when turns end (event_turns_end_ms). */
    int64_t close_grace_ms;
    int64_t closed_at_ms; /* when PostgreSQL noted that it is closed; 0: it has not, or it is not */
    int64_t version, epoch;
    EVENT_SETTINGS(EVENT_SETTING_MEMBER)
    struct surge_rule surge[EVENT_SURGE_MAX]; /* ascending by queue_above */
    int surge_count;
    bool allow_guests;
    bool rehearsal; /* its buyers rehearse: pages say so, and `reset` takes everything back */
    enum event_ask ask_email;
    enum event_promotion promotion;
    struct event_brand brand;
    /* Of a change under way: a data: URL, "" to remove the logo, NULL to keep it. Borrowed from the body. */
    const char *new_logo, *new_image;
    int64_t price_from; /* the lowest price of a seat, in minor units; -1: the event has no seats */
    char currency[EVENT_CURRENCY_SIZE];
    int64_t seats;       /* how many seats the event has; 0: a pure waiting room */
    uint64_t last_place; /* highest place that PostgreSQL knows of */
    /* Seats free as of admission number free_admitted, log entry free_id; -1: not asked. */
    int64_t free_seats;
    uint64_t free_admitted;
    char free_id[EVENT_STREAM_ID_MAX + 1];
    int64_t
        ticked_ms; /* when a processor last ticked, by Redis' clock; 0: never, or not from Redis */
    int64_t bans,
        ban_seq; /* how many buyers are banned; of a live copy: how often that has changed */
    /* Which buyers are banned, as a number; of a live copy: as of change number bans_mark_seq. */
    int64_t bans_mark, bans_mark_seq;
    bool opened; /* places have been given: a missing live copy was lost, not never written */
    bool closed_paused;     /* of a closed event: it was paused, and will be when it is reopened */
    enum staff_right right; /* what the team's list gives to the subject of catalog_fetch_for */
};

#undef EVENT_SETTING_MEMBER

/* A new draft with the defaults of `config`: version 1, epoch 1, all settings of EVENT_SETTINGS. */
void event_init(struct event *event, const struct config *config);

/* When the turns of those inside end, since the event closes or has closed: no pass is good for longer. 0: closing ends
 * no turn. */
int64_t event_turns_end_ms(const struct event *event);

/* Has it prices, but no seat that can be sold? False too if the seats were not counted (free_seats -1). */
bool event_has_nothing_to_sell(const struct event *event);

/* "no", "optional", "required". Static. */
const char *event_ask_name(enum event_ask ask);
/* ST_INVALID, with *ret unchanged: the text is none of them. */
MUST_CHECK enum status event_ask_parse(const char *text, enum event_ask *ret);

/* "continuous", "interval". Static. */
const char *event_promotion_name(enum event_promotion promotion);
/* ST_INVALID, with *ret unchanged: the text is none of them. */
MUST_CHECK enum status event_promotion_parse(const char *text, enum event_promotion *ret);

/* How often buyers are admitted at least, ms: each interval, or each second. */
int64_t event_promote_ms(const struct event *event);

/* Applies the fields of an organizer's JSON body that are present; `creating` allows `id` and requires
 * `title`. ST_INVALID with *error naming the field (unknown fields too); *event is then unchanged.
 * Borrows `body` for new_logo and new_image. */
MUST_CHECK enum status event_read_json(struct event *event, const struct json *body, bool creating,
                                       struct json_error *error);
/* Reads `id`, if the body has it. ST_INVALID with *error: it is no id. Borrowed from the body. */
MUST_CHECK enum status event_read_id(const struct json *body, const char **ret_id,
                                     struct json_error *error);
/* Reads {"text"}, the organizer's message to waiting buyers: 1 to 500 characters, or an object with such a text for each
 * of some languages ("en"), or null or "" for none. ST_INVALID with *error. */
MUST_CHECK enum status event_read_message(struct event *event, const struct json *body,
                                          struct json_error *error);
/* The message for a reader of this language; "": none. Borrowed. */
const char *event_message(const struct event *event, enum language language);
/* The language of that message; "": not known. Borrowed. */
const char *event_message_language(const struct event *event, enum language language);
/* {"en": …}: the messages by language. Returns new; NULL: the message is not given by language. */
struct json *event_write_messages(const struct event *event);
/* The image type of "data:image/png;base64,…", static, and in *ret_base64 where its base64 begins; NULL
 * when the text is no such picture. */
const char *event_picture_type(const char *url, const char **ret_base64);
/* Reads the row that SQL function event_row() returns: all fields flat, plus owner, seats, lastPlace,
 * opened, closedPaused, epoch, freeSeats, freeAdmitted, freeId. Values outside today's limits are kept: they were valid
 * when they were stored. ST_INVALID when a field is missing or malformed; *event is then unchanged. */
MUST_CHECK enum status event_read_row(struct event *event, const struct json *row);
/* Returns new: the fields that everybody may see, flat. */
struct json *event_write_public(const struct event *event);
/* Returns new: these, and the settings that are for its staff alone. */
struct json *event_write_json(const struct event *event);

#endif
