/* SPDX-License-Identifier: MIT */
/*
 * event: one ticketed event: its fields and settings, their limits, its states and the verbs between them.
 *
 * Why this way: EVENT_SETTINGS lists the integer settings once; bodies, rows and answers are read and
 * written by looping over it, so that none of them can forget one.
 * Called by: catalog (rows), api_admin (bodies, verbs), queue_live (the live copy). Pure.
 * Invariant: a body is applied as a whole or not at all.
 */
#include "queue/event.h"

#include "base/clock.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 32 KiB as base64, and what stands before it. */
#define LOGO_TEXT_MAX (EVENT_LOGO_MAX / 3 * 4 + 64)

/* ---- the fields ---- */

#define SETTING_ROW(name_, member_, limits_, initial_)                                             \
    {(name_), offsetof(struct event, member_), limits_},

static const struct setting {
    const char *name;
    size_t at; /* of an int64_t */
    int64_t min, max;
} settings[] = {EVENT_SETTINGS(SETTING_ROW)};

static const struct {
    const char *name;
    size_t at; /* of an int64_t, ms; 0: none */
} times[] = {
    {"startsAt", offsetof(struct event, starts_at_ms)},
    {"opensAt", offsetof(struct event, opens_at_ms)},
    {"closesAt", offsetof(struct event, closes_at_ms)},
};

static const struct {
    const char *name;
    size_t at; /* of EVENT_TEXT_MAX + 1 bytes */
} texts[] = {
    {"title", offsetof(struct event, title)},
    {"artist", offsetof(struct event, artist)},
    {"venue", offsetof(struct event, venue)},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int64_t *number_of(struct event *event, size_t at)
{
    return (int64_t *)(void *)((char *)event + at);
}

static int64_t number_in(const struct event *event, size_t at)
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

#define FROM(status) (1u << EVENT_##status)

static const unsigned verb_from[] = {
    [EVENT_VERB_OPEN] = FROM(DRAFT) | FROM(SCHEDULED),
    [EVENT_VERB_PAUSE] = FROM(SCHEDULED) | FROM(OPEN) | FROM(SOLD_OUT),
    [EVENT_VERB_RESUME] = FROM(PAUSED),
    [EVENT_VERB_CLOSE] = FROM(DRAFT) | FROM(SCHEDULED) | FROM(OPEN) | FROM(PAUSED) | FROM(SOLD_OUT),
};

enum status event_apply(const struct event *event, enum event_verb verb, int64_t now_ms,
                        enum event_status *ret_status)
{
    enum event_status next;
    if (!(verb_from[verb] & 1u << event->status))
        return ST_CONFLICT;
    if (verb == EVENT_VERB_CLOSE)
        next = EVENT_CLOSED;
    else if (verb == EVENT_VERB_PAUSE)
        next = EVENT_PAUSED;
    else if (event->closes_at_ms != 0 && event->closes_at_ms <= now_ms)
        return ST_CONFLICT; /* it would be closed again at once */
    else
        next = event->opens_at_ms > now_ms ? EVENT_SCHEDULED : EVENT_OPEN;
    if (next == event->status)
        return ST_CONFLICT;
    *ret_status = next;
    return ST_OK;
}

/* ---- defaults ---- */

void event_init(struct event *event, const struct config *config)
{
#define SETTING_INITIAL(name_, member_, limits_, initial_) .member_ = (initial_),
    *event = (struct event){.status = EVENT_DRAFT,
                            .version = 1,
                            .epoch = 1,
                            .allow_guests = true,
                            EVENT_SETTINGS(SETTING_INITIAL)};
}

/* ---- reading a body ---- */

static bool is_null_field(const struct json *body, const char *key)
{
    return json_has(body, key) && json_is_null(json_get(body, key));
}

static enum status read_id(struct event *event, const struct json *body, struct json_error *error)
{
    const char *id = NULL;
    enum status st = json_read_str(body, "id", EVENT_ID_MAX, &id, error);
    if (st != ST_OK || !id)
        return st;
    if (!token_is_event_id(id, strlen(id)))
        return json_refuse(error, "id", "id is 1 to 64 of A-Z a-z 0-9 _ -.");
    (void)snprintf(event->id, sizeof(event->id), "%s", id);
    return ST_OK;
}

static enum status read_texts(struct event *event, const struct json *body,
                              struct json_error *error)
{
    for (size_t i = 0; i < COUNT(texts); i++) {
        char *out = (char *)event + texts[i].at;
        const char *text = is_null_field(body, texts[i].name) ? "" : NULL;
        enum status st = json_read_str(body, texts[i].name, EVENT_TEXT_MAX, &text, error);
        if (st != ST_OK)
            return st;
        if (text)
            (void)snprintf(out, EVENT_TEXT_MAX + 1, "%s", text);
    }
    if (event->title[0] == '\0')
        return json_refuse(error, "title", "title is needed.");
    return ST_OK;
}

/* null removes a time. */
static enum status read_times(struct event *event, const struct json *body,
                              struct json_error *error)
{
    for (size_t i = 0; i < COUNT(times); i++) {
        int64_t *ms = number_of(event, times[i].at);
        if (is_null_field(body, times[i].name))
            *ms = 0;
        enum status st = json_read_time(body, times[i].name, ms, error);
        if (st != ST_OK)
            return st;
    }
    if (event->closes_at_ms != 0 && event->closes_at_ms <= event->opens_at_ms)
        return json_refuse(error, json_has(body, "closesAt") ? "closesAt" : "opensAt",
                           "closesAt must be after opensAt.");
    return ST_OK;
}

static enum status read_settings(struct event *event, const struct json *body,
                                 struct json_error *error)
{
    for (size_t i = 0; i < COUNT(settings); i++) {
        const struct setting *setting = &settings[i];
        if (is_null_field(body, setting->name))
            return json_refuse(error, setting->name, "A number is needed, not null.");
        const enum status st = json_read_int(body, setting->name, setting->min, setting->max,
                                             number_of(event, setting->at), error);
        if (st != ST_OK)
            return st;
    }
    if (is_null_field(body, "allowGuests"))
        return json_refuse(error, "allowGuests", "true or false is needed, not null.");
    const enum status st = json_read_bool(body, "allowGuests", &event->allow_guests, error);
    if (st == ST_OK && event->auto_hold > event->max_seats)
        return json_refuse(error, json_has(body, "autoHold") ? "autoHold" : "maxSeats",
                           "autoHold must be at most maxSeats.");
    return st;
}

/* Reads one rule into its sorted place: the highest rule that applies is the last one. */
static enum status read_surge_rule(struct event *event, const struct json *value,
                                   struct json_error *error)
{
    static const char *const keys[] = {"queueAbove", "threshold", NULL};
    struct surge_rule rule = {-1, -1};
    if (!json_is_object(value))
        return json_refuse(error, "", "A rule is {\"queueAbove\", \"threshold\"}.");
    enum status st = json_known_keys(value, keys, error);
    if (st == ST_OK)
        st = json_read_int(value, "queueAbove", 1, 1000000000, &rule.queue_above, error);
    if (st == ST_OK)
        st = json_read_int(value, "threshold", 0, 10000000, &rule.threshold, error);
    if (st != ST_OK)
        return st;
    if (rule.queue_above < 0)
        return json_refuse(error, "queueAbove", "queueAbove is needed.");
    if (rule.threshold < 0)
        return json_refuse(error, "threshold", "threshold is needed.");
    int at = event->surge_count;
    while (at > 0 && event->surge[at - 1].queue_above > rule.queue_above) {
        event->surge[at] = event->surge[at - 1];
        at--;
    }
    if (at > 0 && event->surge[at - 1].queue_above == rule.queue_above)
        return json_refuse(error, "queueAbove", "Two rules begin at the same number.");
    event->surge[at] = rule;
    event->surge_count++;
    return ST_OK;
}

/* Puts `parent` in front of the field that *error names: branding.logo, surge[2].threshold. */
static enum status refuse_in(struct json_error *error, const char *parent)
{
    char field[sizeof(error->field)];
    (void)snprintf(field, sizeof(field), "%.20s%s%.64s", parent, error->field[0] ? "." : "",
                   error->field);
    memcpy(error->field, field, sizeof(field));
    return ST_INVALID;
}

static enum status read_surge(struct event *event, const struct json *body,
                              struct json_error *error)
{
    const struct json *list = json_get(body, "surge");
    if (!list)
        return ST_OK;
    if (!json_is_null(list) && !json_is_array(list))
        return json_refuse(error, "surge", "surge must be a list of rules.");
    if (json_array_len(list) > EVENT_SURGE_MAX)
        return json_refuse(error, "surge", "surge has at most 16 rules.");
    event->surge_count = 0;
    for (size_t i = 0; i < json_array_len(list); i++) {
        if (read_surge_rule(event, json_array_at(list, i), error) != ST_OK) {
            char parent[32];
            (void)snprintf(parent, sizeof(parent), "surge[%zu]", i);
            return refuse_in(error, parent);
        }
    }
    return ST_OK;
}

/* ---- branding ---- */

static bool is_colour(const char *text)
{
    return text[0] == '#' && strlen(text) == EVENT_COLOUR_SIZE - 1 &&
           strspn(text + 1, "0123456789abcdefABCDEF") == EVENT_COLOUR_SIZE - 2;
}

const char *event_logo_type(const char *logo, const char **ret_base64)
{
    static const char *const types[] = {"image/png", "image/svg+xml", "image/jpeg", "image/webp"};
    if (strncmp(logo, "data:", 5) != 0)
        return NULL;
    for (size_t i = 0; i < COUNT(types); i++) {
        const size_t len = strlen(types[i]);
        if (strncmp(logo + 5, types[i], len) != 0 || strncmp(logo + 5 + len, ";base64,", 8) != 0)
            continue;
        *ret_base64 = logo + 5 + len + 8;
        return types[i];
    }
    return NULL;
}

static bool is_base64(const char *text)
{
    const size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789+/");
    const size_t padding = strspn(text + len, "=");
    return len > 0 && padding <= 2 && (len + padding) % 4 == 0 && text[len + padding] == '\0';
}

static enum status read_colour(char out[EVENT_COLOUR_SIZE], const struct json *brand,
                               const char *key, struct json_error *error)
{
    const char *text = is_null_field(brand, key) ? "" : NULL;
    enum status st = json_read_str(brand, key, 64, &text, error);
    if (st != ST_OK || !text)
        return st;
    if (*text != '\0' && !is_colour(text))
        return json_refuse(error, key, "A colour is # and six hex digits.");
    (void)snprintf(out, EVENT_COLOUR_SIZE, "%s", text);
    return ST_OK;
}

static enum status read_logo(struct event *event, const struct json *brand,
                             struct json_error *error)
{
    const char *base64;
    const char *logo = is_null_field(brand, "logo") ? "" : NULL;
    enum status st = json_read_str(brand, "logo", LOGO_TEXT_MAX, &logo, error);
    if (st != ST_OK || !logo)
        return st;
    if (*logo != '\0' && (!event_logo_type(logo, &base64) || !is_base64(base64)))
        return json_refuse(error, "logo",
                           "A logo is data:image/png, svg+xml, jpeg or webp;base64,…");
    if (*logo != '\0' && strlen(base64) / 4 * 3 > EVENT_LOGO_MAX + 2)
        return json_refuse(error, "logo", "A logo has at most 32 KiB.");
    event->new_logo = logo;
    return ST_OK;
}

/* Only the named parts change; null removes a part, and null as the whole removes all of it. */
static enum status read_brand(struct event *event, const struct json *body,
                              struct json_error *error)
{
    static const char *const keys[] = {"name", "primary", "background", "logo", NULL};
    const struct json *brand = json_get(body, "branding");
    if (!brand)
        return ST_OK;
    if (json_is_null(brand)) {
        event->brand = (struct event_brand){.logo = event->brand.logo};
        event->new_logo = "";
        return ST_OK;
    }
    if (!json_is_object(brand))
        return json_refuse(error, "branding", "branding must be an object.");
    const char *name = is_null_field(brand, "name") ? "" : NULL;
    enum status st = json_known_keys(brand, keys, error);
    if (st == ST_OK)
        st = json_read_str(brand, "name", EVENT_BRAND_MAX, &name, error);
    if (st == ST_OK && name)
        (void)snprintf(event->brand.name, sizeof(event->brand.name), "%s", name);
    if (st == ST_OK)
        st = read_colour(event->brand.primary, brand, "primary", error);
    if (st == ST_OK)
        st = read_colour(event->brand.background, brand, "background", error);
    if (st == ST_OK)
        st = read_logo(event, brand, error);
    return st == ST_OK ? ST_OK : refuse_in(error, "branding");
}

enum status event_read_json(struct event *event, const struct json *body, bool creating,
                            struct json_error *error)
{
#define SETTING_NAME(name_, member_, limits_, initial_) (name_),
    /* `id` only while creating. */
    static const char *const keys[] = {"id",
                                       "title",
                                       "artist",
                                       "venue",
                                       "startsAt",
                                       "opensAt",
                                       "closesAt",
                                       "surge",
                                       "allowGuests",
                                       "branding",
                                       EVENT_SETTINGS(SETTING_NAME) NULL};
    struct event next = *event;
    if (!json_is_object(body))
        return json_refuse(error, "", "A JSON object is needed.");
    enum status st = json_known_keys(body, creating ? keys : keys + 1, error);
    if (st == ST_OK && creating)
        st = read_id(&next, body, error);
    if (st == ST_OK)
        st = read_texts(&next, body, error);
    if (st == ST_OK)
        st = read_times(&next, body, error);
    if (st == ST_OK)
        st = read_settings(&next, body, error);
    if (st == ST_OK)
        st = read_surge(&next, body, error);
    if (st == ST_OK)
        st = read_brand(&next, body, error);
    if (st == ST_OK)
        *event = next;
    return st;
}

static size_t characters(const char *utf8)
{
    size_t count = 0;
    for (; *utf8; utf8++)
        count += (*utf8 & 0xc0) != 0x80;
    return count;
}

enum status event_read_message(struct event *event, const struct json *body,
                               struct json_error *error)
{
    static const char *const keys[] = {"text", NULL};
    const char *text = NULL;
    if (!json_is_object(body) || !json_has(body, "text"))
        return json_refuse(error, "text", "text is needed: a message, or null for none.");
    enum status st = json_known_keys(body, keys, error);
    if (st == ST_OK)
        st = json_read_str(body, "text", EVENT_MESSAGE_MAX, &text, error);
    if (st == ST_OK && text && characters(text) > 500)
        st = json_refuse(error, "text", "text must be at most 500 characters long.");
    if (st == ST_OK)
        (void)snprintf(event->message, sizeof(event->message), "%s", text ? text : "");
    return st;
}

/* ---- reading a row ---- */

static bool copy_text(char *out, size_t size, const struct json *row, const char *key)
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

static bool row_brand(struct event *event, const struct json *row)
{
    const struct json *brand = json_get(row, "branding");
    const char *logo = json_str(brand, "logo");
    const char *version = logo ? strstr(logo, "?v=") : NULL;
    if (!brand)
        return true;
    if (version)
        event->brand.logo = strtoll(version + 3, NULL, 10);
    return copy_text(event->brand.name, sizeof(event->brand.name), brand, "name") &&
           (!json_str(brand, "primary") ||
            copy_text(event->brand.primary, EVENT_COLOUR_SIZE, brand, "primary")) &&
           (!json_str(brand, "background") ||
            copy_text(event->brand.background, EVENT_COLOUR_SIZE, brand, "background"));
}

enum status event_read_row(struct event *event, const struct json *row)
{
    struct event next = {.version = json_int(row, "version", 0),
                         .epoch = json_int(row, "epoch", 0),
                         .seats = json_int(row, "seats", 0),
                         .last_place = (uint64_t)json_int(row, "lastPlace", 0),
                         .opened = json_bool(row, "opened", false),
                         .free_seats = json_int(row, "freeSeats", 0),
                         .free_admitted = (uint64_t)json_int(row, "freeAdmitted", 0),
                         .allow_guests = json_bool(row, "allowGuests", true)};
    const char *status = json_str(row, "status");
    struct json_error error;
    if ((json_str(row, "message") &&
         !copy_text(next.message, sizeof(next.message), row, "message")) ||
        !copy_text(next.id, sizeof(next.id), row, "id") ||
        !copy_text(next.owner, sizeof(next.owner), row, "owner") || !status ||
        (json_has(row, "freeId") &&
         !copy_text(next.free_id, sizeof(next.free_id), row, "freeId")) ||
        event_status_parse(status, &next.status) != ST_OK || next.version < 1 || next.epoch < 1)
        return ST_INVALID;
    for (size_t i = 0; i < COUNT(texts); i++) {
        if (!copy_text((char *)&next + texts[i].at, EVENT_TEXT_MAX + 1, row, texts[i].name))
            return ST_INVALID;
    }
    for (size_t i = 0; i < COUNT(times); i++) {
        if (json_read_time(row, times[i].name, number_of(&next, times[i].at), &error) != ST_OK)
            return ST_INVALID;
    }
    for (size_t i = 0; i < COUNT(settings); i++)
        *number_of(&next, settings[i].at) = json_int(row, settings[i].name, settings[i].min);
    row_surge(&next, row);
    if (!row_brand(&next, row))
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

static struct json *write_brand(const struct event *event)
{
    const struct event_brand *brand = &event->brand;
    struct json *out = json_new_object();
    char logo[EVENT_ID_MAX + 48];
    (void)snprintf(logo, sizeof(logo), "/brand/%s/logo?v=%lld", event->id, (long long)brand->logo);
    json_set_str(out, "name", brand->name);
    json_set_str(out, "primary", brand->primary[0] != '\0' ? brand->primary : NULL);
    json_set_str(out, "background", brand->background[0] != '\0' ? brand->background : NULL);
    json_set_str(out, "logo", brand->logo > 0 ? logo : NULL);
    return out;
}

struct json *event_write_json(const struct event *event)
{
    struct json *out = json_new_object();
    json_set_str(out, "id", event->id);
    for (size_t i = 0; i < COUNT(texts); i++)
        json_set_str(out, texts[i].name, (const char *)event + texts[i].at);
    for (size_t i = 0; i < COUNT(times); i++) {
        char text[CLOCK_RFC3339_SIZE];
        const int64_t ms = number_in(event, times[i].at);
        if (ms != 0)
            clock_format_rfc3339(ms, text);
        json_set_str(out, times[i].name, ms != 0 ? text : NULL);
    }
    json_set_str(out, "status", event_status_name(event->status));
    json_set_str(out, "message", event->message[0] != '\0' ? event->message : NULL);
    json_set_int(out, "version", event->version);
    for (size_t i = 0; i < COUNT(settings); i++)
        json_set_int(out, settings[i].name, number_in(event, settings[i].at));
    json_set(out, "surge", write_surge(event));
    json_set_bool(out, "allowGuests", event->allow_guests);
    json_set(out, "branding", write_brand(event));
    return out;
}
