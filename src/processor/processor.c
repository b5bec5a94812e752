/* SPDX-License-Identifier: MIT */
/*
 * processor: which events are live, and the work that concerns all of them.
 *
 *   discover  every 5 s, and on a hint: reads the live events from PostgreSQL, or from Redis when PostgreSQL is down
 *   sweep     every second: ends expired holds, publishes seats-changed; copies sales to Redis (processor_sales.c)
 *   free      every 5 s: frees the slots of buyers whose purchase is confirmed
 *   prune     every 10 s: deletes idempotency keys older than a day
 *   retain    processor_retention.c: ends what was kept long enough
 *
 * Why this way: every pod runs the same processor and tries for the lease of every event, so a pod that stops is
 * replaced within seconds. The work above needs no lease: sweeping skips rows that another pod has locked, and
 * leaving is idempotent.
 * Called by: worker. Owns: the runners (processor_runner.c), one per live event, and two timers.
 * Invariants: the failure of one event does not touch another. PostgreSQL gone: known events go on; the rest waits.
 * Redis gone: nobody is admitted; the events are read again when it is back.
 */
#include "processor/processor_internal.h"

#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "queue/catalog_store.h"
#include "selling/reservation.h"

#include <stdlib.h>
#include <string.h>

#define DISCOVER_MS       5000
#define DISCOVER_RETRY_MS 1000
#define LOOK_AFTER_MS     10000
#define SWEEP_LIMIT       200 /* holds ended by one call */
#define FREE_EVERY_S      5
#define FREE_LIMIT        100 /* purchases listed by one call */
#define PRUNE_EVERY_S     10
#define OVERDUE_EVERY_S   5
#define PRUNE_LIMIT       500       /* keys deleted by one call */
#define RESULT_MAX        (1 << 20) /* bytes of an SQL function's JSON */
#define PAYLOAD_MAX       4096      /* bytes of the payload of `process` */

/* ---- runners ---- */

static struct event_runner *find_runner(struct processor *processor, const char *id)
{
    struct event_runner *runner = processor->runners;
    while (runner && (runner->closing || strcmp(runner->id, id) != 0))
        runner = runner->next;
    return runner;
}

/* Notes that the event is live, and starts a runner if it has none. Returns the runner. */
static struct event_runner *want_runner(struct processor *processor, const char *id)
{
    struct event_runner *runner = find_runner(processor, id);
    if (!runner) {
        runner = event_runner_new(processor, id);
        runner->next = processor->runners;
        processor->runners = runner;
    }
    runner->wanted = true;
    return runner;
}

struct event_runner *processor_look_after(struct processor *processor, const char *event)
{
    struct event_runner *runner = want_runner(processor, event);
    runner->keep_until_ms = loop_now_ms(processor->opts.loop) + LOOK_AFTER_MS;
    return runner;
}

static void processor_gone(void *arg)
{
    struct processor *processor = arg;
    loop_cb cb = processor->close_cb;
    void *cb_arg = processor->close_arg;
    json_free(processor->retention.finished);
    free(processor);
    if (cb)
        cb(cb_arg);
}

void processor_collect(struct processor *processor)
{
    for (struct event_runner **at = &processor->runners; *at;) {
        struct event_runner *runner = *at;
        if (!runner->closing || !runner->lease_closed || !runner->ledger_closed ||
            runner->pending) {
            at = &runner->next;
            continue;
        }
        *at = runner->next;
        free(runner);
    }
    if (processor->closing && !processor->runners && !processor->pending)
        loop_defer(processor->opts.loop, &processor->closed);
}

bool processor_arrived(struct processor *processor)
{
    processor->pending--;
    if (processor->closing)
        processor_collect(processor);
    return !processor->closing;
}

/* ---- discovery ---- */

static void discovery_done(struct processor *processor, uint64_t next_ms)
{
    processor->discovering = false;
    if (processor->discover_again)
        next_ms = 0;
    processor->discover_again = false;
    loop_timer_set(processor->discover_timer, next_ms);
}

static void on_cached(void *arg, enum status status, const char *id)
{
    struct processor *processor = arg;
    if (status == ST_OK && id && !processor->closing)
        want_runner(processor, id);
    if (!id && processor_arrived(processor))
        discovery_done(processor, DISCOVER_RETRY_MS);
}

/* PostgreSQL does not answer: goes on with the events that Redis remembers, and closes no runner. */
static void discover_cached(struct processor *processor)
{
    if (queue_read_events(processor->opts.queue, on_cached, processor) == ST_OK)
        processor->pending++;
    else
        discovery_done(processor, DISCOVER_RETRY_MS);
}

static void on_live(void *arg, enum status status, const struct event *record)
{
    struct processor *processor = arg;
    if (status == ST_OK && record) {
        if (!processor->closing)
            want_runner(processor, record->id);
        return;
    }
    if (!processor_arrived(processor))
        return;
    if (status != ST_OK) {
        discover_cached(processor);
        return;
    }
    for (struct event_runner *runner = processor->runners; runner; runner = runner->next) {
        if (runner->wanted || runner->closing)
            continue;
        log_info("event is no longer live: runner stopped", LOG_TEXT("event", runner->id));
        queue_note_event(processor->opts.queue, runner->id, false);
        event_runner_close(runner);
    }
    processor_collect(processor);
    discovery_done(processor, DISCOVER_MS);
}

static void discover(struct processor *processor)
{
    if (processor->discovering) {
        processor->discover_again = true;
        return;
    }
    processor->discovering = true;
    for (struct event_runner *runner = processor->runners; runner; runner = runner->next)
        runner->wanted = loop_now_ms(processor->opts.loop) < runner->keep_until_ms;
    if (catalog_fetch_live(processor->opts.db, on_live, processor) == ST_OK)
        processor->pending++;
    else
        discover_cached(processor);
}

static void on_discover(void *arg)
{
    discover(arg);
}

/* ---- expired holds ---- */

static void sweep(struct processor *processor);

static void swept(void *arg, enum status status, const char *outcome, const char *body, size_t len)
{
    struct processor *processor = arg;
    (void)outcome;
    processor->sweeping = false;
    if (!processor_arrived(processor) || status != ST_OK)
        return;
    struct json *result = json_parse(body, len, RESULT_MAX, NULL);
    const struct json *events = json_get(result, "events");
    for (size_t i = 0; events && i < json_array_len(events); i++) {
        const char *id = json_str_value(json_array_at(events, i));
        if (!id || !token_is_event_id(id, strlen(id)))
            continue;
        const enum status st = queue_publish(processor->opts.queue, id, "seats-changed", "{}", 2);
        if (st != ST_OK) /* the message is only a hint, so it is not repeated */
            log_debug("channel message not published", LOG_TEXT("event", id),
                      LOG_TEXT("kind", "seats-changed"), LOG_TEXT("status", status_name(st)));
    }
    if (json_int(result, "expired", 0) >= SWEEP_LIMIT)
        sweep(processor);
    json_free(result);
}

static void sweep(struct processor *processor)
{
    if (processor->sweeping ||
        reservation_sweep(processor->opts.db, SWEEP_LIMIT, swept, processor) != ST_OK)
        return;
    processor->sweeping = true;
    processor->pending++;
}

/* ---- slots of buyers who have bought ---- */

/* A purchase whose slot is being freed. */
struct purchase {
    struct processor *processor;
    char reservation[64];
    char event[EVENT_ID_MAX + 1];
};

static void marked(void *arg, enum status status, const char *outcome, const char *body, size_t len)
{
    (void)status; /* after a failure the next reservation_unfreed lists the purchase again */
    (void)outcome;
    (void)body;
    (void)len;
    (void)processor_arrived(arg);
}

static void slot_left(void *arg, enum status status, const struct queue_place *place,
                      const struct queue_numbers *numbers)
{
    struct purchase *purchase = arg;
    struct processor *processor = purchase->processor;
    (void)place;
    (void)numbers;
    if (processor_arrived(processor)) {
        /* An event that is no longer live and that Redis does not know has no slots. */
        const bool freed =
            status == ST_OK || (status == ST_NOT_FOUND && !find_runner(processor, purchase->event));
        if (freed && reservation_mark_freed(processor->opts.db, purchase->reservation, marked,
                                            processor) == ST_OK)
            processor->pending++;
    }
    free(purchase);
}

static void unfreed_listed(void *arg, enum status status, const char *outcome, const char *body,
                           size_t len)
{
    struct processor *processor = arg;
    (void)outcome;
    processor->freeing = false;
    if (!processor_arrived(processor) || status != ST_OK)
        return;
    struct json *result = json_parse(body, len, RESULT_MAX, NULL);
    const struct json *list = json_get(result, "reservations");
    for (size_t i = 0; list && i < json_array_len(list); i++) {
        const struct json *item = json_array_at(list, i);
        const char *reservation = json_str(item, "id");
        const char *event = json_str(item, "eventId");
        const char *buyer = json_str(item, "buyer");
        const char *place = json_str(item, "place");
        struct purchase *purchase;
        if (!reservation || strlen(reservation) >= sizeof(purchase->reservation) || !event ||
            !token_is_event_id(event, strlen(event)) || !buyer || !place)
            continue;
        const struct queue_proof proof = {.ticket_place = strtoull(place, NULL, 10),
                                          .ticket_epoch = (uint64_t)json_int(item, "epoch", 0)};
        purchase = xcalloc(1, sizeof(*purchase));
        purchase->processor = processor;
        memcpy(purchase->reservation, reservation, strlen(reservation) + 1);
        memcpy(purchase->event, event, strlen(event) + 1);
        if (queue_leave(processor->opts.queue, &(struct queue_buyer){event, buyer, &proof, NULL},
                        QUEUE_COMPLETED, slot_left, purchase) == ST_OK)
            processor->pending++;
        else
            free(purchase);
    }
    json_free(result);
}

/* ---- old idempotency keys ---- */

static void prune(struct processor *processor);

static void pruned(void *arg, enum status status, const char *outcome, const char *body, size_t len)
{
    struct processor *processor = arg;
    (void)outcome;
    processor->pruning = false;
    if (!processor_arrived(processor) || status != ST_OK)
        return;
    struct json *result = json_parse(body, len, RESULT_MAX, NULL);
    if (json_int(result, "keys", 0) >= PRUNE_LIMIT)
        prune(processor);
    json_free(result);
}

static void prune(struct processor *processor)
{
    if (processor->pruning ||
        reservation_prune_keys(processor->opts.db, PRUNE_LIMIT, pruned, processor) != ST_OK)
        return;
    processor->pruning = true;
    processor->pending++;
}

/* ---- drafts whose time has come ---- */

/* Each pod says each of them once: when opensAt passes, and when the pod starts. */
static void overdue_listed(void *arg, enum status status, const char *json, size_t len)
{
    struct processor *processor = arg;
    processor->asking_overdue = false;
    if (!processor_arrived(processor) || status != ST_OK)
        return;
    struct json *result = json_parse(json, len, RESULT_MAX, NULL);
    const struct json *events = json_get(result, "events");
    const char *until = json_str(result, "until");
    for (size_t i = 0; i < json_array_len(events); i++) {
        const struct json *event = json_array_at(events, i);
        log_warn("draft not opened: opensAt has passed, but it was never published",
                 LOG_TEXT("event", json_str(event, "id")),
                 LOG_TEXT("opensAt", json_str(event, "opensAt")));
    }
    if (until)
        (void)snprintf(processor->overdue_until, sizeof(processor->overdue_until), "%s", until);
    json_free(result);
}

static void warn_of_overdue(struct processor *processor)
{
    if (processor->asking_overdue || catalog_overdue(processor->opts.db, processor->overdue_until,
                                                     overdue_listed, processor) != ST_OK)
        return;
    processor->asking_overdue = true;
    processor->pending++;
}

/* ---- every second ---- */

static void on_second(void *arg)
{
    struct processor *processor = arg;
    loop_timer_set(processor->second_timer, 1000);
    processor->seconds++;
    bool holds_lease = false;
    for (const struct event_runner *runner = processor->runners; runner; runner = runner->next)
        holds_lease = holds_lease || runner->held;
    /* Pods without a lease sweep as well, only less often: holds must also end when Redis is gone and no pod has a
     * lease. */
    if (holds_lease || processor->seconds % FREE_EVERY_S == 0) {
        sweep(processor);
        processor_copy_sales(processor);
    }
    if (processor->seconds % FREE_EVERY_S == 0 && !processor->freeing &&
        reservation_unfreed(processor->opts.db, NULL, FREE_LIMIT, unfreed_listed, processor) ==
            ST_OK) {
        processor->freeing = true;
        processor->pending++;
    }
    if (processor->seconds % OVERDUE_EVERY_S == 0)
        warn_of_overdue(processor);
    if (processor->seconds % PRUNE_EVERY_S == 0)
        prune(processor);
    processor_retain(processor);
    processor_feed(processor);
}

/* ---- channel messages ---- */

/* An API worker asks for a tick, or for `admit` admissions now. With `reply` it waits for an answer. */
static void on_process(struct processor *processor, const struct queue_message *message)
{
    struct json *payload = json_parse(message->payload, message->len, PAYLOAD_MAX, NULL);
    const struct json *asked = json_get(payload, "reply");
    const int64_t admit = json_int(payload, "admit", 0);
    struct buf reply;
    if (!payload) {
        log_warn("channel message malformed", LOG_TEXT("event", message->event),
                 LOG_TEXT("kind", message->kind));
        return;
    }
    struct event_runner *runner = find_runner(processor, message->event);
    if (!runner)
        runner = processor_look_after(processor, message->event); /* new, or over */
    buf_init(&reply, TICK_REPLY_SIZE - 1);
    if (asked && json_str_value(asked))
        buf_add_json_str(&reply, json_str_value(asked), strlen(json_str_value(asked)));
    else if (asked)
        buf_add_int(&reply, json_int_value(asked, 0));
    if (!reply.failed)
        event_runner_tick_now(runner, admit > 0 ? (uint64_t)admit : 0,
                              asked ? buf_str(&reply) : NULL);
    buf_clear(&reply);
    json_free(payload);
}

static void on_event_changed(struct processor *processor, const struct queue_message *message)
{
    struct event_runner *runner = find_runner(processor, message->event);
    if (runner)
        event_runner_changed(runner);
    else
        discover(processor); /* perhaps a new event */
}

static void on_seats_changed(struct processor *processor, const struct queue_message *message)
{
    struct event_runner *runner = find_runner(processor, message->event);
    if (runner)
        event_runner_seats_changed(runner);
}

/* A script has freed a slot for which buyers wait. */
static void on_hint(struct processor *processor, const struct queue_message *message)
{
    struct event_runner *runner = find_runner(processor, message->event);
    if (runner)
        event_runner_hint(runner);
}

static const struct {
    const char *kind;
    void (*handle)(struct processor *processor, const struct queue_message *message);
} messages[] = {
    {"process", on_process},
    {"hint", on_hint},
    {"config-changed", on_event_changed},
    {"queue-cleared", on_event_changed},
    {"seats-changed", on_seats_changed},
};

void processor_on_message(struct processor *processor, const struct queue_message *message)
{
    for (size_t i = 0; !processor->closing && i < sizeof(messages) / sizeof(messages[0]); i++)
        if (strcmp(message->kind, messages[i].kind) == 0)
            messages[i].handle(processor, message);
}

void processor_on_redis(struct processor *processor, bool up)
{
    if (!up || processor->closing)
        return;
    for (struct event_runner *runner = processor->runners; runner; runner = runner->next)
        event_runner_changed(runner);
    discover(processor);
}

/* ---- life ---- */

struct processor *processor_new(const struct processor_opts *opts)
{
    struct processor *processor = xcalloc(1, sizeof(*processor));
    processor->opts = *opts;
    processor->closed = (struct loop_task){.cb = processor_gone, .arg = processor};
    token_random_hex(processor->owner);
    processor->discover_timer = loop_timer_new(opts->loop, on_discover, processor);
    processor->second_timer = loop_timer_new(opts->loop, on_second, processor);
    loop_timer_set(processor->discover_timer, 0);
    loop_timer_set(processor->second_timer, 1000);
    return processor;
}

void processor_close(struct processor *processor, loop_cb cb, void *arg)
{
    processor->closing = true;
    processor->close_cb = cb;
    processor->close_arg = arg;
    loop_timer_close(processor->discover_timer);
    loop_timer_close(processor->second_timer);
    shop_health_close(processor->opts.shop);
    for (struct event_runner *runner = processor->runners; runner; runner = runner->next)
        event_runner_close(runner);
    processor_collect(processor);
}
