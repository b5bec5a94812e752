/* SPDX-License-Identifier: MIT */
/*
 * event_body: an event as the organizer sends it: which fields a body may have, and their limits.
 *
 * Called by: api_admin and api_change. Pure. Owns nothing.
 * Invariant: a body is applied as a whole or not at all.
 */
#include "queue/event_internal.h"

#include "base/locale.h"

#include <stdio.h>
#include <string.h>

bool event_field_is_null(const struct json *body, const char *key)
{
    return json_has(body, key) && json_is_null(json_get(body, key));
}

enum status event_read_id(const struct json *body, const char **ret_id, struct json_error *error)
{
    const char *id = NULL;
    const enum status st = json_read_str(body, "id", EVENT_ID_MAX, &id, error);
    if (st == ST_OK && id && !token_is_event_id(id, strlen(id)))
        return json_refuse(error, "id", "not-an-id", "id is 1 to 64 of A-Z a-z 0-9 _ -.");
    if (st == ST_OK && id)
        *ret_id = id;
    return st;
}

static enum status read_texts(struct event *event, const struct json *body,
                              struct json_error *error)
{
    for (size_t i = 0; i < EVENT_TEXTS; i++) {
        char *out = (char *)event + event_texts[i].at;
        if (event_field_is_null(body, event_texts[i].name))
            out[0] = '\0';
        const enum status st =
            json_read_text(body, event_texts[i].name, TEXT_LINE, EVENT_TEXT_MAX, out, error);
        if (st != ST_OK)
            return st;
    }
    if (event->title[0] == '\0')
        return json_refuse(error, "title", "needed", "title is needed: not blanks alone.");
    return ST_OK;
}

/* Reads the times that the body has; null removes a time. */
static enum status read_times(struct event *event, const struct json *body,
                              struct json_error *error)
{
    for (size_t i = 0; i < EVENT_TIMES; i++) {
        int64_t *ms = event_number(event, event_times[i].at);
        if (event_field_is_null(body, event_times[i].name))
            *ms = 0;
        enum status st = json_read_time(body, event_times[i].name, ms, error);
        if (st != ST_OK)
            return st;
    }
    if (event->closes_at_ms != 0 && event->closes_at_ms <= event->opens_at_ms)
        return json_refuse(error, json_has(body, "closesAt") ? "closesAt" : "opensAt",
                           "closes-before-opening", "closesAt must be after opensAt.");
    return ST_OK;
}

static enum status read_zone(struct event *event, const struct json *body, struct json_error *error)
{
    const char *zone = event_field_is_null(body, "timeZone") ? "" : NULL;
    const enum status st = json_read_str(body, "timeZone", LOCALE_ZONE_SIZE - 1, &zone, error);
    if (st != ST_OK || !zone)
        return st;
    if (*zone != '\0' && !locale_is_zone(zone))
        return json_refuse(error, "timeZone", "unknown-time-zone",
                           "timeZone is the IANA name of a time zone, such as Asia/Seoul.");
    (void)snprintf(event->time_zone, sizeof(event->time_zone), "%s", zone);
    return ST_OK;
}

/* Is it the tag of a language, such as "ja" or "pt-BR"? (BCP 47, without its rarer forms.) */
static bool is_language_tag(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz");
    if (len < 2 || len > 3)
        return false;
    for (text += len; *text; text += len) {
        if (*text++ != '-')
            return false;
        len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
        if (len < 2 || len > 8)
            return false;
    }
    return true;
}

static enum status read_language(struct event *event, const struct json *body,
                                 struct json_error *error)
{
    const char *tag = event_field_is_null(body, "language") ? "" : NULL;
    const enum status st = json_read_str(body, "language", EVENT_LANGUAGE_SIZE - 1, &tag, error);
    if (st != ST_OK || !tag)
        return st;
    if (*tag != '\0' && !is_language_tag(tag))
        return json_refuse(error, "language", "not-a-language",
                           "language is a tag such as ja or pt-BR.");
    (void)snprintf(event->language, sizeof(event->language), "%s", tag);
    return ST_OK;
}

static enum status read_flag(const struct json *body, const char *key, bool *flag,
                             struct json_error *error)
{
    if (event_field_is_null(body, key))
        return json_refuse(error, key, "not-a-boolean", "true or false is needed, not null.");
    return json_read_bool(body, key, flag, error);
}

static enum status read_settings(struct event *event, const struct json *body,
                                 struct json_error *error)
{
    for (size_t i = 0; i < EVENT_SETTING_COUNT; i++) {
        const struct event_setting *setting = &event_settings[i];
        if (event_field_is_null(body, setting->name))
            return json_refuse(error, setting->name, "needed", "A number is needed, not null.");
        const enum status st = json_read_int(body, setting->name, setting->min, setting->max,
                                             event_number(event, setting->at), error);
        if (st != ST_OK)
            return st;
    }
    enum status st = read_flag(body, "allowGuests", &event->allow_guests, error);
    if (st == ST_OK)
        st = read_flag(body, "rehearsal", &event->rehearsal, error);
    if (event_field_is_null(body, "closeGraceMs"))
        event->close_grace_ms = EVENT_GRACE_NONE;
    else if (st == ST_OK)
        st = json_read_int(body, "closeGraceMs", 0, EVENT_GRACE_MAX_MS, &event->close_grace_ms,
                           error);
    if (st == ST_OK && event->auto_hold > event->max_seats)
        return json_refuse(error, json_has(body, "autoHold") ? "autoHold" : "maxSeats",
                           "auto-hold-above-seats", "autoHold must be at most maxSeats.");
    return st;
}

static enum status read_promotion(struct event *event, const struct json *body,
                                  struct json_error *error)
{
    const char *text = NULL;
    const enum status st = json_read_str(body, "promotion", 16, &text, error);
    if (st != ST_OK || (!text && !event_field_is_null(body, "promotion")))
        return st;
    if (!text || event_promotion_parse(text, &event->promotion) != ST_OK)
        return json_refuse(error, "promotion", "not-one-of",
                           "promotion must be continuous or interval.");
    return ST_OK;
}

static enum status read_ask(struct event *event, const struct json *body, struct json_error *error)
{
    const char *text = NULL;
    const enum status st = json_read_str(body, "askEmail", 16, &text, error);
    if (st != ST_OK || (!text && !event_field_is_null(body, "askEmail")))
        return st;
    if (!text || event_ask_parse(text, &event->ask_email) != ST_OK)
        return json_refuse(error, "askEmail", "not-one-of",
                           "askEmail must be no, optional or required.");
    return ST_OK;
}

/* Reads one rule and inserts it in ascending order of queue_above, so that the last rule that applies is in force. */
static enum status read_surge_rule(struct event *event, const struct json *value,
                                   struct json_error *error)
{
    static const char *const keys[] = {"queueAbove", "threshold", NULL};
    struct surge_rule rule = {-1, -1};
    if (!json_is_object(value))
        return json_refuse(error, "", "surge-rule", "A rule is {\"queueAbove\", \"threshold\"}.");
    enum status st = json_known_keys(value, keys, error);
    if (st == ST_OK)
        st = json_read_int(value, "queueAbove", 1, 1000000000, &rule.queue_above, error);
    if (st == ST_OK)
        st = json_read_int(value, "threshold", 0, 10000000, &rule.threshold, error);
    if (st != ST_OK)
        return st;
    if (rule.queue_above < 0)
        return json_refuse(error, "queueAbove", "needed", "queueAbove is needed.");
    if (rule.threshold < 0)
        return json_refuse(error, "threshold", "needed", "threshold is needed.");
    int at = event->surge_count;
    while (at > 0 && event->surge[at - 1].queue_above > rule.queue_above) {
        event->surge[at] = event->surge[at - 1];
        at--;
    }
    if (at > 0 && event->surge[at - 1].queue_above == rule.queue_above)
        return json_refuse(error, "queueAbove", "surge-twice",
                           "Two rules begin at the same number.");
    if (rule.threshold < event->threshold)
        return json_refuse(
            error, "threshold", "surge-too-low",
            "A rule raises the limit: its threshold must be at least the event's, %lld.",
            (long long)event->threshold);
    event->surge[at] = rule;
    event->surge_count++;
    return ST_OK;
}

static enum status read_surge(struct event *event, const struct json *body,
                              struct json_error *error)
{
    const struct json *list = json_get(body, "surge");
    if (!list)
        return ST_OK;
    if (!json_is_null(list) && !json_is_array(list))
        return json_refuse(error, "surge", "not-a-list", "surge must be a list of rules.");
    if (json_array_len(list) > EVENT_SURGE_MAX)
        return json_refuse(error, "surge", "surge-too-many", "surge has at most 16 rules.");
    event->surge_count = 0;
    for (size_t i = 0; i < json_array_len(list); i++) {
        if (read_surge_rule(event, json_array_at(list, i), error) != ST_OK) {
            char parent[32];
            (void)snprintf(parent, sizeof(parent), "surge[%zu]", i);
            return json_refuse_in(error, parent);
        }
    }
    return ST_OK;
}

/* Fields that an answer has, but that are changed in another way: says which. */
static enum status refuse_read_only(const struct json *body, bool creating,
                                    struct json_error *error)
{
    static const struct {
        const char *name, *detail;
    } fields[] = {
        {"id", "The id of an event cannot be changed."},
        {"status",
         "The status is changed by POST …/publish, open, pause, resume, close or reopen."},
        {"message", "The message to buyers is set by POST …/message."},
        {"messages", "The message to buyers is set by POST …/message."},
        {"seats", "Seats are added and changed by …/seats."},
        {"priceFrom", "The lowest price follows from the seats: …/seats."},
        {"version", "The version that you have read is sent as the header If-Match."},
        {"owner", "The owner of an event cannot be changed."},
        {"epoch", "A new epoch is begun by POST …/clear."},
    };
    for (size_t i = creating ? 1 : 0; i < COUNT(fields); i++) {
        if (json_has(body, fields[i].name))
            return json_refuse(error, fields[i].name, "read-only", "%s", fields[i].detail);
    }
    return ST_OK;
}

enum status event_read_json(struct event *event, const struct json *body, bool creating,
                            struct json_error *error)
{
#define SETTING_NAME(name_, member_, limits_, initial_) (name_),
    /* `id` is accepted only when the event is created. */
    static const char *const keys[] = {
        "id",        "title",     "artist",       "venue",      "startsAt",
        "opensAt",   "closesAt",  "timeZone",     "links",      "askEmail",
        "promotion", "surge",     "allowGuests",  "loginUrl",   "language",
        "branding",  "rehearsal", "closeGraceMs", "returnUrls", EVENT_SETTINGS(SETTING_NAME) NULL};
    struct event next = *event;
    if (!json_is_object(body))
        return json_refuse(error, "", "body-needed", "A JSON object is needed.");
    enum status st = refuse_read_only(body, creating, error);
    if (st == ST_OK)
        st = json_known_keys(body, creating ? keys : keys + 1, error);
    const char *id = "";
    if (st == ST_OK && creating)
        st = event_read_id(body, &id, error);
    if (*id != '\0')
        (void)snprintf(next.id, sizeof(next.id), "%s", id);
    if (st == ST_OK)
        st = read_texts(&next, body, error);
    if (st == ST_OK)
        st = read_times(&next, body, error);
    if (st == ST_OK)
        st = read_zone(&next, body, error);
    if (st == ST_OK)
        st = read_settings(&next, body, error);
    if (st == ST_OK)
        st = read_ask(&next, body, error);
    if (st == ST_OK)
        st = read_promotion(&next, body, error);
    if (st == ST_OK)
        st = read_surge(&next, body, error);
    if (st == ST_OK)
        st = event_read_brand(&next, body, error);
    if (st == ST_OK)
        st = event_read_links(&next, body, error);
    if (st == ST_OK)
        st = event_read_login_url(&next, body, error);
    if (st == ST_OK)
        st = event_read_return_urls(&next, body, error);
    if (st == ST_OK)
        st = read_language(&next, body, error);
    if (st == ST_OK)
        *event = next;
    return st;
}
