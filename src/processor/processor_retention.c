/* SPDX-License-Identifier: MIT */
/*
 * processor_retention: how long data is kept: ends the keys of finished events in Redis, and forgets e-mail addresses and
 * buyers in PostgreSQL.
 *
 *   keys    every 5 s: personal_keys -> expire.lua for each event, one after the other
 *   people  a batch each second while there is more to do, else every 5 s
 *
 * Why this way: it needs no lease. PostgreSQL gives each event to the pod that asks first, and skips rows that others have
 * locked; both steps are small, may be repeated, and wait for a second between two, so that a sale that is on does not
 * notice them. An event whose log is not consumed, or where somebody is still inside, gets a runner for ten
 * seconds, which is enough to bring the log to PostgreSQL, and the keys go a day later.
 * Called by: processor (each second). Owns nothing: its state is in struct processor.
 * Redis or PostgreSQL gone: the step ends, and is repeated.
 */
#include "processor/processor_internal.h"

#include "base/json.h"
#include "base/log.h"
#include "queue/queue.h"
#include "selling/personal.h"

#include <stdio.h>
#include <string.h>

#define EVERY_S    5
#define KEYS_LIMIT 20   /* events of one step */
#define ROWS_LIMIT 500  /* rows of one step */
#define LIST_MAX   8192 /* bytes of the JSON of KEYS_LIMIT events */

/* ---- the keys of finished events ---- */

static void expire_next(struct processor *processor);

static void expired(void *arg, enum status status, const char *outcome)
{
    struct processor *processor = arg;
    struct retention *retention = &processor->retention;
    if (!processor_arrived(processor))
        return;
    const char *id =
        json_str(json_array_at(json_get(retention->finished, "events"), retention->at), "id");
    if (status == ST_OK && strcmp(outcome, "expired") == 0) {
        log_debug("finished event has no keys in redis", LOG_TEXT("event", id));
    } else if (status == ST_OK) {
        log_info("finished event keeps its keys in redis for another day", LOG_TEXT("event", id),
                 LOG_TEXT("reason", outcome));
        if (strcmp(outcome, "inside") == 0 || strcmp(outcome, "unconsumed") == 0)
            (void)processor_look_after(processor, id);
    }
    retention->at++;
    expire_next(processor);
}

static void expire_next(struct processor *processor)
{
    struct retention *retention = &processor->retention;
    const struct json *list = json_get(retention->finished, "events");
    const struct json *event = json_array_at(list, retention->at);
    const char *id = event ? json_str(event, "id") : NULL;
    const char *consumed = event ? json_str(event, "consumed") : NULL;
    if (id && consumed && token_is_event_id(id, strlen(id)) &&
        queue_expire(processor->opts.queue, id, consumed, json_bool(event, "forgotten", false),
                     expired, processor) == ST_OK) {
        processor->pending++;
        return;
    }
    json_free(retention->finished); /* the end of the list, or Redis is gone */
    retention->finished = NULL;
    retention->expiring = false;
}

static void keys_listed(void *arg, enum status status, const char *outcome, const char *body,
                        size_t len)
{
    struct processor *processor = arg;
    (void)outcome;
    if (!processor_arrived(processor))
        return;
    processor->retention.at = 0;
    processor->retention.finished = status == ST_OK ? json_parse(body, len, LIST_MAX, NULL) : NULL;
    expire_next(processor);
}

/* ---- e-mail addresses and buyers ---- */

static void people_forgotten(void *arg, enum status status, const char *outcome, const char *body,
                             size_t len)
{
    struct processor *processor = arg;
    (void)outcome;
    processor->retention.forgetting = false;
    if (!processor_arrived(processor) || status != ST_OK)
        return;
    struct json *result = json_parse(body, len, LIST_MAX, NULL);
    processor->retention.more = json_int(result, "rows", 0) > 0;
    json_free(result);
}

void processor_retain(struct processor *processor)
{
    struct retention *retention = &processor->retention;
    const struct config *config = processor->opts.config;
    const bool due = processor->seconds % EVERY_S == 0;
    if (due && config->keep_redis_days > 0 && !retention->expiring &&
        personal_keys(processor->opts.db, config->keep_redis_days, KEYS_LIMIT, keys_listed,
                      processor) == ST_OK) {
        retention->expiring = true;
        processor->pending++;
    }
    if ((due || retention->more) && !retention->forgetting &&
        (config->keep_emails_days > 0 || config->keep_buyers_days > 0) &&
        personal_upkeep(processor->opts.db, config->keep_emails_days, config->keep_buyers_days,
                        ROWS_LIMIT, people_forgotten, processor) == ST_OK) {
        retention->forgetting = true;
        processor->pending++;
    }
}
