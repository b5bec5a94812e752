/* SPDX-License-Identifier: MIT */
/*
 * queue_live: the live copy of an event's settings in Redis; counters; the cached seat map.
 *
 * Why this way: one table maps members of struct event to fields of config:{id}. Writing and reading both use it, so
 * neither can forget a field. Reading changes nothing, so it needs no script.
 * Called by: catalog, api, processor, selling/seat_map. Owns: operations under way.
 * When Redis is gone: every call ends with an error; the catalog keeps what it has read.
 */
#include "queue/queue_internal.h"

#include "base/memory.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- config:{id} <-> struct event ---- */

enum field_kind {
    FIELD_TEXT,
    FIELD_INT,
    FIELD_BOOL,
    FIELD_STATUS,
    FIELD_ASK,
    FIELD_PROMOTION,
    FIELD_SURGE
};

#define FIELD(name_, kind_, member_)                                                               \
    {                                                                                              \
        .name = (name_), .kind = (kind_), .at = offsetof(struct event, member_),                   \
        .size = sizeof(((struct event *)NULL)->member_)                                            \
    }

#define SETTING_FIELD(name_, member_, limits_, initial_) FIELD(name_, FIELD_INT, member_),

static const struct field {
    const char *name;
    enum field_kind kind;
    size_t at, size;
} fields[] = {
    FIELD("status", FIELD_STATUS, status),
    FIELD("title", FIELD_TEXT, title),
    FIELD("artist", FIELD_TEXT, artist),
    FIELD("venue", FIELD_TEXT, venue),
    FIELD("message", FIELD_TEXT, message),
    FIELD("messageEn", FIELD_TEXT, messages[LANGUAGE_EN]),
    FIELD("messageKo", FIELD_TEXT, messages[LANGUAGE_KO]),
    FIELD("messageJa", FIELD_TEXT, messages[LANGUAGE_JA]),
    FIELD("linkSeller", FIELD_TEXT, links[EVENT_LINK_SELLER]),
    FIELD("linkHelp", FIELD_TEXT, links[EVENT_LINK_HELP]),
    FIELD("linkTerms", FIELD_TEXT, links[EVENT_LINK_TERMS]),
    FIELD("linkRefunds", FIELD_TEXT, links[EVENT_LINK_REFUNDS]),
    FIELD("linkPrivacy", FIELD_TEXT, links[EVENT_LINK_PRIVACY]),
    FIELD("loginUrl", FIELD_TEXT, login_url),
    FIELD("returnUrls", FIELD_TEXT, return_urls),
    FIELD("language", FIELD_TEXT, language),
    FIELD("priceFrom", FIELD_INT, price_from),
    FIELD("currency", FIELD_TEXT, currency),
    FIELD("startsAt", FIELD_INT, starts_at_ms),
    FIELD("opensAt", FIELD_INT, opens_at_ms),
    FIELD("closesAt", FIELD_INT, closes_at_ms),
    FIELD("closeGraceMs", FIELD_INT, close_grace_ms),
    FIELD("closedAt", FIELD_INT, closed_at_ms),
    FIELD("timeZone", FIELD_TEXT, time_zone),
    FIELD("allowGuests", FIELD_BOOL, allow_guests),
    FIELD("rehearsal", FIELD_BOOL, rehearsal),
    FIELD("askEmail", FIELD_ASK, ask_email),
    FIELD("promotion", FIELD_PROMOTION, promotion),
    FIELD("opened", FIELD_BOOL, opened),
    FIELD("seats", FIELD_INT, seats),
    EVENT_SETTINGS(SETTING_FIELD) FIELD("surge", FIELD_SURGE, surge),
    FIELD("brandName", FIELD_TEXT, brand.name),
    FIELD("brandPrimary", FIELD_TEXT, brand.primary),
    FIELD("brandBackground", FIELD_TEXT, brand.background),
    FIELD("brandLogo", FIELD_INT, brand.logo),
    FIELD("brandImage", FIELD_INT, brand.image),
};
/* Fields that are only read here; lua/configure.lua writes them itself. */
static const struct field read_only[] = {
    FIELD("version", FIELD_INT, version),
    FIELD("epoch", FIELD_INT, epoch),
    FIELD("tickedAt", FIELD_INT, ticked_ms),
    FIELD("bans", FIELD_INT, bans),
    FIELD("banSeq", FIELD_INT, ban_seq),
    FIELD("bansMark", FIELD_INT, bans_mark),
    FIELD("bansMarkSeq", FIELD_INT, bans_mark_seq),
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void add_field(struct redis_args *args, const struct event *event, const struct field *field)
{
    const void *value = (const char *)event + field->at;
    redis_args_add(args, field->name);
    switch (field->kind) {
    case FIELD_TEXT:
        redis_args_add(args, value);
        break;
    case FIELD_INT:
        redis_args_add_int(args, *(const int64_t *)value);
        break;
    case FIELD_BOOL:
        redis_args_add(args, *(const bool *)value ? "1" : "0");
        break;
    case FIELD_STATUS:
        redis_args_add(args, event_status_name(*(const enum event_status *)value));
        break;
    case FIELD_ASK:
        redis_args_add(args, event_ask_name(*(const enum event_ask *)value));
        break;
    case FIELD_PROMOTION:
        redis_args_add(args, event_promotion_name(*(const enum event_promotion *)value));
        break;
    case FIELD_SURGE: {
        char text[EVENT_SURGE_MAX * 48]; /* "queueAbove:threshold,..." */
        size_t len = 0;
        for (int i = 0; i < event->surge_count && i < EVENT_SURGE_MAX; i++) {
            const struct surge_rule *rule = &event->surge[i];
            const int n = snprintf(text + len, sizeof(text) - len, "%s%lld:%lld", i ? "," : "",
                                   (long long)rule->queue_above, (long long)rule->threshold);
            if (n > 0 && (size_t)n < sizeof(text) - len)
                len += (size_t)n;
        }
        redis_args_add_copy(args, text, len);
        break;
    }
    }
}

static void read_surge(struct event *event, const char *text)
{
    event->surge_count = 0;
    while (text && *text && event->surge_count < EVENT_SURGE_MAX) {
        char *end;
        struct surge_rule rule;
        rule.queue_above = strtoll(text, &end, 10);
        if (*end != ':')
            return;
        rule.threshold = strtoll(end + 1, &end, 10);
        event->surge[event->surge_count++] = rule;
        text = *end == ',' ? end + 1 : NULL;
    }
}

static void read_field(struct event *event, const struct field *field,
                       const struct redis_reply *reply)
{
    void *value = (char *)event + field->at;
    size_t len;
    const char *text = redis_reply_str(reply, &len);
    switch (field->kind) {
    case FIELD_TEXT:
        if (text) {
            len = len < field->size ? len : field->size - 1;
            memcpy(value, text, len);
            ((char *)value)[len] = '\0';
        }
        break;
    case FIELD_INT:
        *(int64_t *)value = redis_reply_int(reply);
        break;
    case FIELD_BOOL:
        *(bool *)value = redis_reply_int(reply) != 0;
        break;
    case FIELD_STATUS:
        if (!text || event_status_parse(text, value) != ST_OK)
            *(enum event_status *)value = EVENT_CLOSED;
        break;
    case FIELD_ASK:
        if (!text || event_ask_parse(text, value) != ST_OK)
            *(enum event_ask *)value = EVENT_ASK_NO;
        break;
    case FIELD_PROMOTION:
        if (!text || event_promotion_parse(text, value) != ST_OK)
            *(enum event_promotion *)value = EVENT_CONTINUOUS;
        break;
    case FIELD_SURGE:
        read_surge(event, text);
        break;
    }
}

/* Reads the reply of HGETALL config:{id}. False: there is no live copy. */
static bool read_config(struct event *event, const struct redis_reply *reply)
{
    bool found = false;
    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2) {
        const struct redis_reply *name = redis_reply_at(reply, i);
        const struct redis_reply *value = redis_reply_at(reply, i + 1);
        for (size_t f = 0; f < COUNT(fields); f++)
            if (queue_is(name, fields[f].name))
                read_field(event, &fields[f], value);
        for (size_t f = 0; f < COUNT(read_only); f++)
            if (queue_is(name, read_only[f].name))
                read_field(event, &read_only[f], value);
        found = found || queue_is(name, "version");
    }
    return found;
}

/* ---- writing ---- */

enum status queue_configure(struct queue *queue, const struct event *event, queue_done_cb cb,
                            void *arg)
{
    struct queue_event *live = queue_event_of(queue, event->id);
    struct queue_op *op = queue_op_new(queue, live, arg);
    op->cb.done = cb;
    struct redis_args *args = queue_args(queue, live);
    redis_args_add_int(args, event->version);
    redis_args_add_int(args, event->epoch);
    redis_args_add_int(args, event->opened ? 1 : 0);
    redis_args_add_uint(args, event->last_place);
    redis_args_add_int(args, queue->config->restore_ms);
    redis_args_add_int(args, event->free_seats);
    redis_args_add_uint(args, event->free_admitted);
    redis_args_add(args, event->free_id);
    for (size_t i = 0; i < COUNT(fields); i++)
        add_field(args, event, &fields[i]);
    redis_args_add(args, "channel"); /* where the scripts publish */
    char channel[QUEUE_CHANNEL_SIZE];
    queue_scripts_channel(queue, event->id, channel);
    redis_args_add_copy(args, channel, strlen(channel));
    const enum status st = queue_run(op, QUEUE_SCRIPT_CONFIGURE, queue_on_applied);
    /* So a processor finds the event in Redis even if PostgreSQL is gone. */
    if (st == ST_OK)
        queue_note_event(queue, event->id,
                         event->status != EVENT_CLOSED && event->status != EVENT_DRAFT);
    return st;
}

enum status queue_clear(struct queue *queue, const char *event_id, uint64_t epoch, queue_done_cb cb,
                        void *arg)
{
    struct queue_event *event = queue_event_of(queue, event_id);
    struct queue_op *op = queue_op_new(queue, event, arg);
    op->cb.done = cb;
    redis_args_add_uint(queue_args(queue, event), epoch);
    return queue_run(op, QUEUE_SCRIPT_CLEAR, queue_on_applied);
}

/* ---- reading: plain commands ---- */

/* Begins a command in queue->args. It keeps no memory for the event, which may not exist. */
static void command(struct queue *queue, const char *name, enum queue_key key, const char *event_id)
{
    char text[QUEUE_KEY_SIZE];
    queue_key_write(queue, text, key, event_id);
    redis_args_reset(&queue->args);
    redis_args_add(&queue->args, name);
    redis_args_add_copy(&queue->args, text, strlen(text));
}

/* The last reply: of the second command, or of the first if the second was not sent. */
static void on_index(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    size_t len = 0;
    enum status st = op->status != ST_OK ? op->status : status;
    const char *index = st == ST_OK ? redis_reply_str(reply, &len) : NULL;
    op->cb.live(op->arg, st, st == ST_OK ? op->config : NULL, index, len);
    queue_op_free(op);
}

static void on_config(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    if (op->single) {
        on_index(op, op->status, NULL);
        return;
    }
    op->status = status;
    if (status != ST_OK || !read_config(op->config, reply)) {
        free(op->config);
        op->config = NULL;
    }
}

enum status queue_read_live(struct queue *queue, const char *event_id, queue_live_cb cb, void *arg)
{
    struct queue_op *op = queue_op_new(queue, NULL, arg);
    op->cb.live = cb;
    op->config = xcalloc(1, sizeof(*op->config));
    op->config->close_grace_ms = EVENT_GRACE_NONE; /* a copy that an older release wrote has none */
    (void)snprintf(op->config->id, sizeof(op->config->id), "%s", event_id);
    command(queue, "HGETALL", QUEUE_KEY_CONFIG, event_id);
    enum status st = queue_send(op, on_config);
    if (st != ST_OK)
        return st;
    command(queue, "GET", QUEUE_KEY_INDEX, event_id);
    op->status = redis_command(queue->redis, &queue->args, on_index, op);
    op->single = op->status != ST_OK;
    return ST_OK;
}

static void on_events(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    for (size_t i = 0; status == ST_OK && i < redis_reply_count(reply); i++) {
        size_t len;
        const char *id = redis_reply_str(redis_reply_at(reply, i), &len);
        if (id && token_is_event_id(id, len))
            op->cb.events(op->arg, ST_OK, id);
    }
    op->cb.events(op->arg, status, NULL);
    queue_op_free(op);
}

enum status queue_read_events(struct queue *queue, queue_events_cb cb, void *arg)
{
    struct queue_op *op = queue_op_new(queue, NULL, arg);
    op->cb.events = cb;
    redis_args_reset(&queue->args);
    redis_args_add(&queue->args, "SMEMBERS");
    redis_args_add(&queue->args, queue->events_key);
    return queue_send(op, on_events);
}

enum status queue_write_probe(struct queue *queue, redis_cb cb, void *arg)
{
    char key[QUEUE_KEY_SIZE];
    queue_key_write(queue, key, QUEUE_KEY_LEASE, ".probe"); /* no event has a dot in its id */
    redis_args_reset(&queue->args);
    redis_args_add(&queue->args, "SET");
    redis_args_add(&queue->args, key);
    redis_args_add(&queue->args, "1");
    redis_args_add(&queue->args, "EX");
    redis_args_add(&queue->args, "60");
    return redis_command(queue->redis, &queue->args, cb, arg);
}

void queue_note_event(struct queue *queue, const char *event_id, bool open)
{
    redis_args_reset(&queue->args);
    redis_args_add(&queue->args, open ? "SADD" : "SREM");
    redis_args_add(&queue->args, queue->events_key);
    redis_args_add(&queue->args, event_id);
    const enum status st = redis_command(queue->redis, &queue->args, NULL, NULL);
    (void)st; /* if it fails, the processor notes the event again later */
}

static void on_consumed_id(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    const char *id = status == ST_OK ? redis_reply_str(reply, NULL) : NULL;
    op->cb.consumed_id(op->arg, status, id ? id : "0-0");
    queue_op_free(op);
}

enum status queue_read_consumed_id(struct queue *queue, const char *event_id,
                                   queue_consumed_id_cb cb, void *arg)
{
    struct queue_op *op = queue_op_new(queue, NULL, arg);
    op->cb.consumed_id = cb;
    command(queue, "HGET", QUEUE_KEY_FREE, event_id);
    redis_args_add(&queue->args, "id");
    return queue_send(op, on_consumed_id);
}

static void on_stats(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    size_t count = status == ST_OK ? redis_reply_count(reply) / 2 : 0;
    struct queue_stat *list = xcalloc(count + 1, sizeof(*list));
    for (size_t i = 0; i < count; i++) {
        size_t len;
        list[i].name = redis_reply_str(redis_reply_at(reply, 2 * i), &len);
        list[i].value = redis_reply_int(redis_reply_at(reply, 2 * i + 1));
        list[i].text = redis_reply_str(redis_reply_at(reply, 2 * i + 1), &len);
        if (!list[i].name)
            list[i].name = "";
    }
    op->cb.stats(op->arg, status, list, count);
    free(list);
    queue_op_free(op);
}

enum status queue_read_stats(struct queue *queue, const char *event_id, queue_stats_cb cb,
                             void *arg)
{
    struct queue_op *op = queue_op_new(queue, NULL, arg);
    op->cb.stats = cb;
    command(queue, "HGETALL", QUEUE_KEY_STATS, event_id);
    return queue_send(op, on_stats);
}

const char *queue_shard(const struct queue *queue, const char *event_id)
{
    char key[QUEUE_KEY_SIZE];
    queue_key_write(queue, key, QUEUE_KEY_CONFIG, event_id);
    return redis_shard_of(queue->redis, key);
}

/* ---- networks ---- */

static void on_networks(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    struct queue_network list[QUEUE_NETWORKS_MAX];
    size_t count = 0;
    const enum status st = queue_decode(op->event, status, reply, 0, NULL);
    for (size_t i = QUEUE_REPLY_HEAD;
         st == ST_OK && i + 2 < redis_reply_count(reply) && count < QUEUE_NETWORKS_MAX;
         i += 3, count++) {
        struct queue_network *network = &list[count];
        network->name = redis_reply_str(redis_reply_at(reply, i), &network->len);
        network->places = (uint64_t)redis_reply_int(redis_reply_at(reply, i + 1));
        network->refused = (uint64_t)redis_reply_int(redis_reply_at(reply, i + 2));
        if (!network->name)
            *network = (struct queue_network){.name = ""};
    }
    op->cb.networks(op->arg, st, list, count);
    queue_op_free(op);
}

enum status queue_read_networks(struct queue *queue, const char *event_id, queue_networks_cb cb,
                                void *arg)
{
    struct queue_event *event = queue_event_of(queue, event_id);
    struct queue_op *op = queue_op_new(queue, event, arg);
    op->cb.networks = cb;
    (void)queue_args(queue, event);
    return queue_run(op, QUEUE_SCRIPT_NETWORKS, on_networks);
}

/* ---- the cached seat map ---- */

static void on_seats(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    struct queue_seats seats = {.map = ""};
    if (status == ST_OK && redis_reply_count(reply) != 3)
        status = ST_INTERNAL;
    if (status == ST_OK) {
        const int64_t version = redis_reply_int(redis_reply_at(reply, 0));
        seats.cached = version >= 0;
        seats.version = seats.cached ? (uint64_t)version : 0;
        seats.age_ms = redis_reply_int(redis_reply_at(reply, 1));
        seats.map = redis_reply_str(redis_reply_at(reply, 2), &seats.len);
        if (!seats.map)
            seats.map = "";
    }
    if (op->cb.seats)
        op->cb.seats(op->arg, status, &seats);
    queue_op_free(op);
}

static struct redis_args *seats_args(struct queue *queue, const char *event_id, const char *verb,
                                     int64_t version)
{
    char key[QUEUE_KEY_SIZE];
    queue_key_write(queue, key, QUEUE_KEY_SEATS, event_id);
    redis_args_reset(&queue->args);
    redis_args_add_copy(&queue->args, key, strlen(key));
    redis_args_add(&queue->args, verb);
    redis_args_add_int(&queue->args, version);
    return &queue->args;
}

enum status queue_read_seats(struct queue *queue, const char *event_id, int64_t version,
                             queue_seats_cb cb, void *arg)
{
    struct queue_op *op = queue_op_new(queue, NULL, arg);
    op->cb.seats = cb;
    (void)seats_args(queue, event_id, "get", version);
    return queue_run_keys(op, QUEUE_SCRIPT_SEATS, 1, on_seats);
}

enum status queue_put_seats(struct queue *queue, const char *event_id, uint64_t version,
                            const char *map, size_t len)
{
    redis_args_add_len(seats_args(queue, event_id, "put", (int64_t)version), map, len);
    return queue_run_keys(queue_op_new(queue, NULL, NULL), QUEUE_SCRIPT_SEATS, 1, on_seats);
}

enum status queue_confirm_seats(struct queue *queue, const char *event_id, uint64_t version)
{
    (void)seats_args(queue, event_id, "confirm", (int64_t)version);
    return queue_run_keys(queue_op_new(queue, NULL, NULL), QUEUE_SCRIPT_SEATS, 1, on_seats);
}
