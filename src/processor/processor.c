/* SPDX-License-Identifier: MIT */
/*
 * processor: which events are live, and the work that concerns all of them.
 *
 *   discover  every 5 s, and on a hint: live events from PostgreSQL (from Redis when it is down)
 *   sweep     every second: ends expired holds, publishes seats-changed
 *   free      every 5 s: frees the slots of buyers whose purchase is confirmed
 *   prune     every 10 s: deletes idempotency keys older than a day
 *
 * Why this way: every pod runs the same processor and tries for the lease of every event, so whichever is alive goes
 * on. The work above needs no lease: sweeping skips what another pod has locked, and leaving is idempotent.
 * Called by: worker. Owns: the events (processor_event.c), two timers.
 * Invariants: an event's failure stays within it. PostgreSQL gone: known events go on; the rest waits. Redis gone:
 * nobody is admitted; events are read again when it is back.
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
#define SWEEP_LIMIT       200
#define FREE_EVERY_S      5
#define FREE_LIMIT        100
#define PRUNE_EVERY_S     10
#define PRUNE_LIMIT       500
#define RESULT_MAX        (1 << 20) /* bytes of an SQL function's JSON */
#define PAYLOAD_MAX       4096      /* bytes of a `process` request */

/* ---- events ---- */

static struct processor_event *find_event(struct processor *processor, const char *id)
{
    struct processor_event *event = processor->events;
    while (event && (event->closing || strcmp(event->id, id) != 0))
        event = event->next;
    return event;
}

/* The event is live: begins it if it is new. */
static struct processor_event *want_event(struct processor *processor, const char *id)
{
    struct processor_event *event = find_event(processor, id);
    if (!event) {
        event = processor_event_new(processor, id);
        event->next = processor->events;
        processor->events = event;
    }
    event->wanted = true;
    return event;
}

static void processor_gone(void *arg)
{
    struct processor *processor = arg;
    loop_cb cb = processor->close_cb;
    void *cb_arg = processor->close_arg;
    free(processor);
    if (cb)
        cb(cb_arg);
}

void processor_collect(struct processor *processor)
{
    for (struct processor_event **at = &processor->events; *at;) {
        struct processor_event *event = *at;
        if (!event->closing || !event->lease_closed || !event->ledger_closed || event->pending) {
            at = &event->next;
            continue;
        }
        *at = event->next;
        free(event);
    }
    if (processor->closing && !processor->events && !processor->pending)
        loop_defer(processor->opts.loop, &processor->closed);
}

/* Counts a callback that has come. False: the processor is closing, and its events may be gone. */
static bool arrived(struct processor *processor)
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
        want_event(processor, id);
    if (!id && arrived(processor))
        discovery_done(processor, DISCOVER_RETRY_MS);
}

/* PostgreSQL does not answer: go on with the events that Redis remembers, and end none. */
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
            want_event(processor, record->id);
        return;
    }
    if (!arrived(processor))
        return;
    if (status != ST_OK) {
        discover_cached(processor);
        return;
    }
    for (struct processor_event *event = processor->events; event; event = event->next) {
        if (event->wanted || event->closing)
            continue;
        log_info("event over", LOG_TEXT("event", event->id));
        queue_note_event(processor->opts.queue, event->id, false);
        processor_event_close(event);
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
    for (struct processor_event *event = processor->events; event; event = event->next)
        event->wanted = false;
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
    if (!arrived(processor) || status != ST_OK)
        return;
    struct json *result = json_parse(body, len, RESULT_MAX, NULL);
    const struct json *events = json_get(result, "events");
    for (size_t i = 0; events && i < json_array_len(events); i++) {
        const char *id = json_str_value(json_array_at(events, i));
        if (id && token_is_event_id(id, strlen(id)) &&
            queue_publish(processor->opts.queue, id, "seats-changed", "{}", 2) != ST_OK)
            log_debug("seats-changed not published", LOG_TEXT("event", id)); /* only a hint */
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
    (void)status; /* if it failed, the next round lists the purchase again */
    (void)outcome;
    (void)body;
    (void)len;
    (void)arrived(arg);
}

static void slot_left(void *arg, enum status status, const struct queue_place *place,
                      const struct queue_numbers *numbers)
{
    struct purchase *purchase = arg;
    struct processor *processor = purchase->processor;
    (void)place;
    (void)numbers;
    if (arrived(processor)) {
        /* An event that is over and that Redis does not know has no slots any more. */
        const bool freed =
            status == ST_OK || (status == ST_NOT_FOUND && !find_event(processor, purchase->event));
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
    if (!arrived(processor) || status != ST_OK)
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
        if (queue_leave(processor->opts.queue, &(struct queue_buyer){event, buyer, &proof},
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
    if (!arrived(processor) || status != ST_OK)
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

/* ---- every second ---- */

static void on_second(void *arg)
{
    struct processor *processor = arg;
    loop_timer_set(processor->second_timer, 1000);
    processor->seconds++;
    bool holds_lease = false;
    for (const struct processor_event *event = processor->events; event; event = event->next)
        holds_lease = holds_lease || event->held;
    /* Pods without a lease sweep as well, only less often: holds must end without Redis, too. */
    if (holds_lease || processor->seconds % FREE_EVERY_S == 0)
        sweep(processor);
    if (processor->seconds % FREE_EVERY_S == 0 && !processor->freeing &&
        reservation_unfreed(processor->opts.db, NULL, FREE_LIMIT, unfreed_listed, processor) ==
            ST_OK) {
        processor->freeing = true;
        processor->pending++;
    }
    if (processor->seconds % PRUNE_EVERY_S == 0)
        prune(processor);
}

/* ---- channel messages ---- */

/* A request for a tick, or to admit some buyers now, that wants an answer. */
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
    struct processor_event *event = find_event(processor, message->event);
    if (!event)
        event = want_event(processor, message->event); /* new, and not discovered yet */
    buf_init(&reply, TICK_REPLY_SIZE - 1);
    if (asked && json_str_value(asked))
        buf_add_json_str(&reply, json_str_value(asked), strlen(json_str_value(asked)));
    else if (asked)
        buf_add_int(&reply, json_int_value(asked, 0));
    if (!reply.failed)
        processor_event_tick_now(event, admit > 0 ? (uint64_t)admit : 0,
                                 asked ? buf_str(&reply) : NULL);
    buf_clear(&reply);
    json_free(payload);
}

static void on_changed(struct processor *processor, const struct queue_message *message)
{
    struct processor_event *event = find_event(processor, message->event);
    if (event)
        processor_event_changed(event);
    else
        discover(processor); /* perhaps a new one */
}

static void on_seats(struct processor *processor, const struct queue_message *message)
{
    struct processor_event *event = find_event(processor, message->event);
    if (event)
        processor_event_seats_changed(event);
}

static const struct {
    const char *kind;
    void (*handle)(struct processor *processor, const struct queue_message *message);
} messages[] = {
    {"process", on_process},
    {"config-changed", on_changed},
    {"queue-cleared", on_changed},
    {"seats-changed", on_seats},
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
    for (struct processor_event *event = processor->events; event; event = event->next)
        processor_event_changed(event);
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
    for (struct processor_event *event = processor->events; event; event = event->next)
        processor_event_close(event);
    processor_collect(processor);
}
