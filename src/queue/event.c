/* SPDX-License-Identifier: MIT */
/*
 * event: one ticketed event: its fields and settings, their limits, its states.
 *
 * Why this way: EVENT_SETTINGS lists the integer settings once; bodies, rows and answers are read and
 * written by looping over it, so that none of them can forget one.
 * Called by: catalog (rows), queue_live (the live copy), whoever answers with an event. Pure. Owns nothing.
 */
#include "queue/event_internal.h"

#include "base/clock.h"

#include <string.h>

/* ---- the fields ---- */

#define SETTING_ROW(name_, member_, limits_, initial_)                                             \
    {(name_), offsetof(struct event, member_), limits_},

const struct event_setting event_settings[EVENT_SETTING_COUNT] = {EVENT_SETTINGS(SETTING_ROW)};

const struct event_field event_times[EVENT_TIMES] = {
    {"startsAt", offsetof(struct event, starts_at_ms)},
    {"opensAt", offsetof(struct event, opens_at_ms)},
    {"closesAt", offsetof(struct event, closes_at_ms)},
};

const struct event_field event_texts[EVENT_TEXTS] = {
    {"title", offsetof(struct event, title)},
    {"artist", offsetof(struct event, artist)},
    {"venue", offsetof(struct event, venue)},
};

int64_t *event_number(struct event *event, size_t at)
{
    return (int64_t *)(void *)((char *)event + at);
}

int64_t event_number_in(const struct event *event, size_t at)
{
    return *(const int64_t *)(const void *)((const char *)event + at);
}

/* ---- statuses ---- */

static const char *const status_names[] = {
    [EVENT_DRAFT] = "draft",   [EVENT_SCHEDULED] = "scheduled", [EVENT_OPEN] = "open",
    [EVENT_PAUSED] = "paused", [EVENT_SOLD_OUT] = "sold_out",   [EVENT_CLOSED] = "closed",
};

const char *event_status_name(enum event_status status)
{
    return (size_t)status < COUNT(status_names) ? status_names[status] : "?";
}

enum status event_status_parse(const char *text, enum event_status *ret_status)
{
    for (size_t i = 0; i < COUNT(status_names); i++) {
        if (strcmp(text, status_names[i]) == 0) {
            *ret_status = (enum event_status)i;
            return ST_OK;
        }
    }
    return ST_INVALID;
}

bool event_has_nothing_to_sell(const struct event *event)
{
    return event->price_from >= 0 && event->free_seats == 0;
}

/* ---- settings that are one of some words ---- */

static const char *const ask_names[] = {
    [EVENT_ASK_NO] = "no", [EVENT_ASK_OPTIONAL] = "optional", [EVENT_ASK_REQUIRED] = "required"};
static const char *const promotion_names[] = {
    [EVENT_CONTINUOUS] = "continuous", [EVENT_INTERVAL] = "interval"};

/* Returns the index; `count`: the text is none of the words. */
static size_t word_index(const char *text, const char *const *words, size_t count)
{
    size_t i = 0;
    while (i < count && strcmp(text, words[i]) != 0)
        i++;
    return i;
}

const char *event_ask_name(enum event_ask ask)
{
    return (size_t)ask < COUNT(ask_names) ? ask_names[ask] : "?";
}

enum status event_ask_parse(const char *text, enum event_ask *ret)
{
    const size_t i = word_index(text, ask_names, COUNT(ask_names));
    if (i == COUNT(ask_names))
        return ST_INVALID;
    *ret = (enum event_ask)i;
    return ST_OK;
}

const char *event_promotion_name(enum event_promotion promotion)
{
    return (size_t)promotion < COUNT(promotion_names) ? promotion_names[promotion] : "?";
}

enum status event_promotion_parse(const char *text, enum event_promotion *ret)
{
    const size_t i = word_index(text, promotion_names, COUNT(promotion_names));
    if (i == COUNT(promotion_names))
        return ST_INVALID;
    *ret = (enum event_promotion)i;
    return ST_OK;
}

int64_t event_turns_end_ms(const struct event *event)
{
    int64_t closes_ms = event->closes_at_ms;
    if (event->status == EVENT_CLOSED && event->closed_at_ms > 0 &&
        (closes_ms == 0 || event->closed_at_ms < closes_ms))
        closes_ms = event->closed_at_ms;
    return event->close_grace_ms >= 0 && closes_ms > 0 ? closes_ms + event->close_grace_ms : 0;
}

int64_t event_promote_ms(const struct event *event)
{
    return event->promotion == EVENT_CONTINUOUS && event->interval_ms > 1000 ? 1000
                                                                             : event->interval_ms;
}

/* ---- defaults ---- */

void event_init(struct event *event, const struct config *config)
{
#define SETTING_INITIAL(name_, member_, limits_, initial_) .member_ = (initial_),
    *event = (struct event){.status = EVENT_DRAFT,
                            .version = 1,
                            .epoch = 1,
                            .allow_guests = true,
                            .close_grace_ms = EVENT_GRACE_NONE,
                            .price_from = -1,
                            EVENT_SETTINGS(SETTING_INITIAL)};
}

/* ---- reading a row ---- */

bool event_copy_text(char *out, size_t size, const struct json *row, const char *key)
{
    const char *text = json_str(row, key);
    if (!text || strlen(text) >= size)
        return false;
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static void row_surge(struct event *event, const struct json *row)
{
    const struct json *list = json_get(row, "surge");
    for (size_t i = 0; i < json_array_len(list) && event->surge_count < EVENT_SURGE_MAX; i++) {
        const struct json *rule = json_array_at(list, i);
        event->surge[event->surge_count++] =
            (struct surge_rule){json_int(rule, "queueAbove", 0), json_int(rule, "threshold", 0)};
    }
}

static bool row_texts(struct event *event, const struct json *row)
{
    const struct json *messages = json_get(row, "messages");
    const struct json *price = json_get(row, "priceFrom");
    for (int i = 0; i < LANGUAGE_COUNT; i++) {
        const char *code = language_code((enum language)i);
        if (json_str(messages, code) &&
            !event_copy_text(event->messages[i], sizeof(event->messages[i]), messages, code))
            return false;
    }
    if (json_str(row, "language") &&
        !event_copy_text(event->language, sizeof(event->language), row, "language"))
        return false;
    event->price_from = json_int(price, "amount", -1);
    return event->price_from < 0 ||
           event_copy_text(event->currency, sizeof(event->currency), price, "currency");
}

enum status event_read_row(struct event *event, const struct json *row)
{
    struct event next = {.version = json_int(row, "version", 0),
                         .epoch = json_int(row, "epoch", 0),
                         .seats = json_int(row, "seats", 0),
                         .last_place = (uint64_t)json_int(row, "lastPlace", 0),
                         .opened = json_bool(row, "opened", false),
                         .closed_paused = json_bool(row, "closedPaused", false),
                         .bans = json_int(row, "bans", 0),
                         .bans_mark = json_int(row, "bansMark", 0),
                         .free_seats = json_int(row, "freeSeats", -1),
                         .free_admitted = (uint64_t)json_int(row, "freeAdmitted", 0),
                         .close_grace_ms = json_int(row, "closeGraceMs", EVENT_GRACE_NONE),
                         .right = right_read(json_str(row, "right")),
                         .rehearsal = json_bool(row, "rehearsal", false),
                         .allow_guests = json_bool(row, "allowGuests", true)};
    const char *status = json_str(row, "status"), *ask = json_str(row, "askEmail"),
               *promotion = json_str(row, "promotion");
    struct json_error error;
    if ((json_str(row, "timeZone") &&
         !event_copy_text(next.time_zone, sizeof(next.time_zone), row, "timeZone")) ||
        (json_str(row, "message") &&
         !event_copy_text(next.message, sizeof(next.message), row, "message")) ||
        !event_copy_text(next.id, sizeof(next.id), row, "id") ||
        !event_copy_text(next.owner, sizeof(next.owner), row, "owner") || !status ||
        (json_has(row, "freeId") &&
         !event_copy_text(next.free_id, sizeof(next.free_id), row, "freeId")) ||
        event_status_parse(status, &next.status) != ST_OK ||
        (ask && event_ask_parse(ask, &next.ask_email) != ST_OK) ||
        (promotion && event_promotion_parse(promotion, &next.promotion) != ST_OK) ||
        json_read_time(row, "closedAt", &next.closed_at_ms, &error) != ST_OK || next.version < 1 ||
        next.epoch < 1)
        return ST_INVALID;
    for (size_t i = 0; i < EVENT_TEXTS; i++) {
        if (!event_copy_text((char *)&next + event_texts[i].at, EVENT_TEXT_SIZE, row,
                             event_texts[i].name))
            return ST_INVALID;
    }
    for (size_t i = 0; i < EVENT_TIMES; i++) {
        if (json_read_time(row, event_times[i].name, event_number(&next, event_times[i].at),
                           &error) != ST_OK)
            return ST_INVALID;
    }
    for (size_t i = 0; i < EVENT_SETTING_COUNT; i++)
        *event_number(&next, event_settings[i].at) =
            json_int(row, event_settings[i].name, event_settings[i].min);
    row_surge(&next, row);
    if (!event_row_brand(&next, row) || !event_row_links(&next, row) || !row_texts(&next, row) ||
        !event_row_return_urls(&next, row))
        return ST_INVALID;
    *event = next;
    return ST_OK;
}

/* ---- writing ---- */

static struct json *write_surge(const struct event *event)
{
    struct json *list = json_new_array();
    for (int i = 0; i < event->surge_count; i++) {
        struct json *rule = json_new_object();
        json_set_int(rule, "queueAbove", event->surge[i].queue_above);
        json_set_int(rule, "threshold", event->surge[i].threshold);
        json_append(list, rule);
    }
    return list;
}

static void write_price(struct json *out, const struct event *event)
{
    if (event->price_from < 0) {
        json_set_null(out, "priceFrom");
        return;
    }
    struct json *price = json_new_object();
    json_set_int(price, "amount", event->price_from);
    json_set_str(price, "currency", event->currency);
    json_set(out, "priceFrom", price);
}

/* The settings that say what a buyer may do, and how long; the others are the organizer's business. */
static bool is_public(const char *setting)
{
    static const char *const names[] = {"idleTimeoutMs", "sessionLimitMs", "holdMs", "claimMs",
                                        "maxSeats"};
    for (size_t i = 0; i < COUNT(names); i++) {
        if (strcmp(setting, names[i]) == 0)
            return true;
    }
    return false;
}

struct json *event_write_json(const struct event *event)
{
    struct json *out = event_write_public(event);
    for (size_t i = 0; i < EVENT_SETTING_COUNT; i++)
        json_set_int(out, event_settings[i].name, event_number_in(event, event_settings[i].at));
    if (event->close_grace_ms == EVENT_GRACE_NONE)
        json_set_null(out, "closeGraceMs");
    else
        json_set_int(out, "closeGraceMs", event->close_grace_ms);
    json_set(out, "surge", write_surge(event));
    json_set_str(out, "promotion", event_promotion_name(event->promotion));
    json_set(out, "returnUrls", event_write_return_urls(event));
    return out;
}

struct json *event_write_public(const struct event *event)
{
    struct json *out = json_new_object();
    json_set_str(out, "id", event->id);
    for (size_t i = 0; i < EVENT_TEXTS; i++)
        json_set_str(out, event_texts[i].name, (const char *)event + event_texts[i].at);
    for (size_t i = 0; i < EVENT_TIMES; i++) {
        char text[CLOCK_RFC3339_SIZE];
        const int64_t ms = event_number_in(event, event_times[i].at);
        if (ms != 0)
            clock_format_rfc3339(ms, text);
        json_set_str(out, event_times[i].name, ms != 0 ? text : NULL);
    }
    json_set_str(out, "timeZone", event->time_zone[0] != '\0' ? event->time_zone : NULL);
    json_set_str(out, "status", event_status_name(event->status));
    json_set_str(out, "message", event->message[0] != '\0' ? event->message : NULL);
    struct json *messages = event_write_messages(event);
    if (messages)
        json_set(out, "messages", messages);
    else
        json_set_null(out, "messages");
    json_set_int(out, "version", event->version);
    for (size_t i = 0; i < EVENT_SETTING_COUNT; i++) {
        if (is_public(event_settings[i].name))
            json_set_int(out, event_settings[i].name, event_number_in(event, event_settings[i].at));
    }
    json_set_bool(out, "rehearsal", event->rehearsal);
    json_set_bool(out, "allowGuests", event->allow_guests);
    json_set_str(out, "loginUrl", event->login_url[0] != '\0' ? event->login_url : NULL);
    json_set_str(out, "language", event->language[0] != '\0' ? event->language : NULL);
    json_set_str(out, "askEmail", event_ask_name(event->ask_email));
    json_set(out, "branding", event_write_brand(event));
    json_set(out, "links", event_write_links(event));
    write_price(out, event);
    return out;
}
