/* SPDX-License-Identifier: MIT */
/*
 * processor: which events are live, and what concerns all of them.
 *
 *   discover  every 5 s, and on a hint: PostgreSQL (Redis' set `events` when it is down) -> events
 *   sweep     every second: expired holds -> seats-changed
 *   prune     every 10 s: keys of orders older than a day are forgotten
 *   free      every 5 s: confirmed reservations whose slot is not free yet -> leave(completed)
 *
 * Why this way: any number of processors run the same program; each tries for the lease of every
 * event, so that whichever lives goes on. What is done here needs no lease: sweeping skips what
 * another is at, and leaving is idempotent.
 * Called by: worker. Owns: the events (processor_event.c), two timers.
 * Invariants: an event's failure stays in its event. With PostgreSQL gone known events go on.
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
#define PAYLOAD_MAX       4096 /* bytes of a `process` request */

/* ---- events ---- */

static struct processor_event *find_event(struct processor *processor, const char *id)
{
    struct processor_event *event = processor->events;
    while (event && (event->closing || strcmp(event->id, id) != 0))
        event = event->next;
    return event;
}

static void mark_wanted(struct processor *processor, const char *id)
{
    struct processor_event *event = find_event(processor, id);
    if (!event) {
        event = processor_event_new(processor, id);
        event->next = processor->events;
        processor->events = event;
    }
    event->wanted = true;
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

void processor_settle(struct processor *processor)
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

/* A callback has come. False: closing, and perhaps gone. */
static bool arrived(struct processor *processor)
{
    processor->pending--;
    if (processor->closing)
        processor_settle(processor);
    return !processor->closing;
}

/* ---- discovery ---- */

static void discover(struct processor *processor);

static void discovered(struct processor *processor, uint64_t next_ms)
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
        mark_wanted(processor, id);
    if (!id && arrived(processor))
        discovered(processor, DISCOVER_RETRY_MS);
}

/* PostgreSQL does not answer: what Redis remembers is enough to go on with. */
static void discover_cached(struct processor *processor)
{
    if (queue_read_events(processor->opts.queue, on_cached, processor) == ST_OK)
        processor->pending++;
    else
        discovered(processor, DISCOVER_RETRY_MS);
}

static void close_unwanted(struct processor *processor)
{
    for (struct processor_event *next, *event = processor->events; event; event = next) {
        next = event->next; /* an event may be gone when it is closed */
        if (event->wanted || event->closing)
            continue;
        log_info("event is over", LOG_TEXT("event", event->id));
        queue_note_event(processor->opts.queue, event->id, false);
        processor_event_close(event);
    }
}

static void on_live(void *arg, enum status status, const struct event *event)
{
    struct processor *processor = arg;
    if (status == ST_OK && event) {
        if (!processor->closing)
            mark_wanted(processor, event->id);
        return;
    }
    if (!arrived(processor))
        return;
    if (status != ST_OK) {
        discover_cached(processor);
        return;
    }
    close_unwanted(processor);
    processor_settle(processor);
    discovered(processor, DISCOVER_MS);
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

static void publish_seats(struct processor *processor, const char *id)
{
    if (queue_publish(processor->opts.queue, id, "seats-changed", "{}", 2) != ST_OK)
        log_debug("seats-changed not published", LOG_TEXT("event", id));
}

static void sweep(struct processor *processor);

static void swept(void *arg, enum status status, const char *outcome, const char *body, size_t len)
{
    struct processor *processor = arg;
    struct json_error error = {{0}, {0}};
    (void)outcome;
    processor->sweeping = false;
    if (!arrived(processor) || status != ST_OK)
        return;
    struct json *result = json_parse(body, len, 1 << 20, &error);
    const struct json *events = result ? json_get(result, "events") : NULL;
    for (size_t i = 0; events && i < json_array_len(events); i++) {
        const char *id = json_str_value(json_array_at(events, i));
        if (id && token_is_event_id(id, strlen(id)))
            publish_seats(processor, id);
    }
    if (result && json_int(result, "expired", 0) >= SWEEP_LIMIT)
        sweep(processor);
    json_free(result);
}

static void sweep(struct processor *processor)
{
    if (processor->sweeping)
        return;
    if (reservation_sweep(processor->opts.db, SWEEP_LIMIT, swept, processor) != ST_OK)
        return;
    processor->sweeping = true;
    processor->pending++;
}

/* ---- slots of those who have bought ---- */

struct slot {
    struct processor *processor;
    char reservation[64];
    char event[EVENT_ID_MAX + 1];
};

static void marked(void *arg, enum status status, const char *outcome, const char *body, size_t len)
{
    (void)status; /* if it failed, the next round comes back to it */
    (void)outcome;
    (void)body;
    (void)len;
    (void)arrived(arg);
}

/* An event that is over and that Redis has forgotten has no slots any more. */
static void slot_left(void *arg, enum status status, const struct queue_place *place,
                      const struct queue_numbers *numbers)
{
    struct slot *slot = arg;
    struct processor *processor = slot->processor;
    (void)place;
    (void)numbers;
    if (arrived(processor) &&
        (status == ST_OK || (status == ST_NOT_FOUND && !find_event(processor, slot->event))) &&
        reservation_mark_freed(processor->opts.db, slot->reservation, marked, processor) == ST_OK)
        processor->pending++;
    free(slot);
}

static void free_slot(struct processor *processor, const struct json *item)
{
    const char *reservation = json_str(item, "id");
    const char *event = json_str(item, "eventId");
    const char *buyer = json_str(item, "buyer");
    const char *place = json_str(item, "place");
    if (!reservation || !event || !buyer || !place || strlen(reservation) >= 64 ||
        !token_is_event_id(event, strlen(event)))
        return;
    struct queue_proof proof = {.ticket_place = strtoull(place, NULL, 10),
                                .ticket_epoch = (uint64_t)json_int(item, "epoch", 0)};
    struct slot *slot = xcalloc(1, sizeof(*slot));
    slot->processor = processor;
    memcpy(slot->reservation, reservation, strlen(reservation) + 1);
    memcpy(slot->event, event, strlen(event) + 1);
    if (queue_leave(processor->opts.queue, &(struct queue_buyer){event, buyer, &proof},
                    QUEUE_COMPLETED, slot_left, slot) == ST_OK)
        processor->pending++;
    else
        free(slot);
}

static void listed(void *arg, enum status status, const char *outcome, const char *body, size_t len)
{
    struct processor *processor = arg;
    struct json_error error = {{0}, {0}};
    (void)outcome;
    processor->freeing = false;
    if (!arrived(processor) || status != ST_OK)
        return;
    struct json *result = json_parse(body, len, 1 << 20, &error);
    const struct json *list = result ? json_get(result, "reservations") : NULL;
    for (size_t i = 0; list && i < json_array_len(list); i++)
        free_slot(processor, json_array_at(list, i));
    json_free(result);
}

static void free_slots(struct processor *processor)
{
    if (processor->freeing)
        return;
    if (reservation_unfreed(processor->opts.db, NULL, FREE_LIMIT, listed, processor) != ST_OK)
        return;
    processor->freeing = true;
    processor->pending++;
}

/* ---- keys of old orders ---- */

static void prune(struct processor *processor);

static void pruned(void *arg, enum status status, const char *outcome, const char *body, size_t len)
{
    struct processor *processor = arg;
    struct json_error error = {{0}, {0}};
    (void)outcome;
    processor->pruning = false;
    if (!arrived(processor) || status != ST_OK)
        return;
    struct json *result = json_parse(body, len, 4096, &error);
    if (result && json_int(result, "keys", 0) >= PRUNE_LIMIT)
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

static bool holds_any(const struct processor *processor)
{
    for (const struct processor_event *event = processor->events; event; event = event->next)
        if (event->held)
            return true;
    return false;
}

static void on_second(void *arg)
{
    struct processor *processor = arg;
    loop_timer_set(processor->second_timer, 1000);
    processor->seconds++;
    if (holds_any(processor) || processor->seconds % FREE_EVERY_S == 0)
        sweep(processor);
    if (processor->seconds % FREE_EVERY_S == 0)
        free_slots(processor);
    if (processor->seconds % PRUNE_EVERY_S == 0)
        prune(processor);
}

/* ---- messages ---- */

/* Somebody asks for a tick, or to let `admit` buyers in, and for an answer. */
static void on_process(struct processor *processor, const struct queue_message *message)
{
    struct json *payload = json_parse(message->payload, message->len, PAYLOAD_MAX, NULL);
    const struct json *asked = json_get(payload, "reply");
    const int64_t admit = json_int(payload, "admit", 0);
    struct processor_event *event = find_event(processor, message->event);
    struct buf reply;
    if (!payload) {
        log_warn("channel message malformed", LOG_TEXT("event", message->event),
                 LOG_TEXT("kind", message->kind));
        return;
    }
    if (!event) { /* opened a moment ago, and not discovered yet */
        mark_wanted(processor, message->event);
        event = find_event(processor, message->event);
    }
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
        discover(processor); /* a new one */
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
    for (struct processor_event *next, *event = processor->events; event; event = next) {
        next = event->next;
        processor_event_close(event);
    }
    processor_settle(processor);
}
