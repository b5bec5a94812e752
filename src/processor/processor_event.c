/* SPDX-License-Identifier: MIT */
/*
 * processor_event: one live event of the processor.
 *
 *   lease gained -> read the live copy -> tick at once -> tick every interval -> lease lost
 *   tick   queue_promote until there is no more -> rate, index, ledger, queue-updated, replies
 *   upkeep once a second: index, ledger, lost places, settling with PostgreSQL every 5 s
 *
 * Why this way: every step of the chain asks one script, which compares the whole lease value, and
 * goes on only from its answer; so a holder that was stopped in mid-tick and comes back changes
 * nothing. Between two bounded steps the loop turns, and so does Redis.
 * Called by: processor.c. Owns: the event, its lease, ledger and timer.
 * Invariants: one tick at a time; memory stays until the last callback has come. With Redis gone
 * ticks fail and are tried again within a second; with PostgreSQL gone only settling waits.
 */
#include "processor/processor_internal.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "queue/catalog_store.h"
#include "queue/index.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_KEEP_MS    1800 /* the asker waits for two seconds */
#define SETTLE_MS          5000
#define TICK_RETRY_MS      1000
#define CONFIGURE_RETRY_MS 1000

static void read_live_copy(struct processor_event *event);
static void configure(struct processor_event *event);
static void publish_index(struct processor_event *event);

/* ---- life ---- */

/* A callback has come. False: the event is closing, and may be gone now. */
static bool arrived(struct processor_event *event)
{
    event->pending--;
    if (!event->closing)
        return true;
    processor_settle(event->processor);
    return false;
}

static uint64_t now_ms(const struct processor_event *event)
{
    return loop_now_ms(event->processor->opts.loop);
}

static struct queue *queue_of(const struct processor_event *event)
{
    return event->processor->opts.queue;
}

/* ---- what is published ---- */

/* A message that is not published is no failure: it is a hint, and Redis' state is the truth. */
static void publish(struct processor_event *event, const char *kind, const struct buf *payload)
{
    if (queue_publish(queue_of(event), event->id, kind, buf_str(payload), payload->len) != ST_OK)
        log_debug("message not published", LOG_TEXT("event", event->id), LOG_TEXT("kind", kind));
}

static void publish_numbers(struct processor_event *event, const struct queue_numbers *numbers)
{
    if (event->sent_size == numbers->queue_size && event->sent_active == numbers->active &&
        event->sent_threshold == numbers->threshold)
        return;
    event->sent_size = numbers->queue_size;
    event->sent_active = numbers->active;
    event->sent_threshold = numbers->threshold;
    struct buf payload;
    buf_init(&payload, 256);
    buf_printf(&payload,
               "{\"queueSize\":%" PRIu64 ",\"currentUsers\":%" PRIu64 ",\"threshold\":%" PRIu64 "}",
               numbers->queue_size, numbers->active, numbers->threshold);
    publish(event, "queue-updated", &payload);
    buf_clear(&payload);
}

static void publish_processed(struct processor_event *event, const char *reply)
{
    struct buf payload;
    buf_init(&payload, 512);
    buf_printf(&payload, "{\"reply\":%s,\"promoted\":%" PRIu64 ",\"evicted\":%" PRIu64 "}", reply,
               event->tick.promoted, event->tick.evicted);
    publish(event, "processed", &payload);
    buf_clear(&payload);
}

static void publish_change(struct processor_event *event, const char *kind,
                           const struct event *record)
{
    if (queue_publish_version(queue_of(event), kind, record) != ST_OK)
        log_debug("message not published", LOG_TEXT("event", event->id), LOG_TEXT("kind", kind));
}

/* ---- the tick ---- */

static int64_t interval_ms(const struct processor_event *event)
{
    return event->ready && event->config.interval_ms > 0
               ? event->config.interval_ms
               : event->processor->opts.config->queue_interval_ms;
}

/* A regular tick is due an interval after the last one began: so a changed interval counts from
 * there too, and ticks by hand put nothing off. */
static void arm(struct processor_event *event)
{
    if (!event->ready || event->closing || event->tick.running)
        return;
    uint64_t due =
        event->retry_ms ? event->retry_ms : event->regular_ms + (uint64_t)interval_ms(event);
    uint64_t now = now_ms(event);
    loop_timer_set(event->timer, due > now ? due - now : 0);
}

static void report(struct processor_event *event, enum failure failure, const char *what,
                   enum status status)
{
    bool known = event->failing & failure;
    if (status == ST_OK) {
        event->failing &= ~(unsigned)failure;
        if (known)
            log_info("works again", LOG_TEXT("event", event->id), LOG_TEXT("what", what));
        return;
    }
    event->failing |= failure;
    if (!known)
        log_error("failed", LOG_TEXT("event", event->id), LOG_TEXT("what", what),
                  LOG_TEXT("status", status_name(status)));
}

static void tick_begin(struct processor_event *event);

static void tick_end(struct processor_event *event)
{
    event->tick.running = false;
    if (event->due && event->ready)
        tick_begin(event);
    else
        arm(event);
}

static void tick_failed(struct processor_event *event, enum status status)
{
    int64_t wait_ms = interval_ms(event);
    report(event, FAILURE_TICK, "tick", status);
    if (event->tick.regular)
        event->retry_ms =
            now_ms(event) + (uint64_t)(wait_ms < TICK_RETRY_MS ? wait_ms : TICK_RETRY_MS);
    tick_end(event);
}

/* An empty queue or a pause says nothing about how fast buyers are let in. */
static void measure(struct processor_event *event, const struct queue_numbers *numbers)
{
    bool flows = numbers->status == EVENT_OPEN && !numbers->restoring;
    if (event->tick.promoted || (flows && numbers->queue_size))
        admission_rate_add(&event->rate, event->tick.promoted, numbers->now_ms);
    else
        event->rate.last_ms = numbers->now_ms;
}

static void tick_finish(struct processor_event *event, const struct queue_numbers *numbers)
{
    struct tick *tick = &event->tick;
    crash_point("tick-after-promote");
    if (!event->ready) {
        tick->running = false; /* done while the lease was lost: the next holder goes on */
        return;
    }
    metrics_add(METRIC_TICKS, 1);
    metrics_add(METRIC_ADMISSIONS_PROMOTED, tick->promoted);
    metrics_add(METRIC_EVICTIONS, tick->evicted);
    metrics_observe(HISTOGRAM_TICK, (double)(clock_mono_ns() - tick->started_ns) / 1e9);
    report(event, FAILURE_TICK, "tick", ST_OK);
    measure(event, numbers);
    if (tick->promoted || tick->evicted) {
        log_debug("tick", LOG_TEXT("event", event->id), LOG_NUM("promoted", tick->promoted),
                  LOG_NUM("evicted", tick->evicted), LOG_NUM("inside", numbers->active),
                  LOG_NUM("waiting", numbers->queue_size));
        ledger_poke(event->ledger, &event->config);
        publish_index(event);
    }
    publish_numbers(event, numbers);
    for (size_t i = 0; i < tick->replies.count; i++)
        publish_processed(event, tick->replies.text[i]);
    tick_end(event);
}

/* Whether another step follows this one. */
static bool tick_goes_on(struct tick *tick, const struct queue_tick *result)
{
    if (!tick->admit)
        return result->more;
    tick->admit -= result->admitted < tick->admit ? result->admitted : tick->admit;
    if (tick->admit && result->more)
        return true;
    tick->admit = 0;
    return tick->regular;
}

static void tick_done(void *arg, enum status status, const struct queue_tick *result)
{
    struct processor_event *event = arg;
    struct tick *tick = &event->tick;
    if (!arrived(event))
        return;
    if (status == ST_OK && result->lease_lost) {
        tick->running = false;
        lease_lost(event->lease);
        return;
    }
    if (status != ST_OK) {
        tick_failed(event, status);
        return;
    }
    tick->promoted += result->admitted;
    tick->evicted += result->evicted_idle + result->evicted_session;
    if (result->seq > event->seq)
        event->seq = result->seq;
    event->in_force = result->numbers.status;
    if (tick_goes_on(tick, result) && event->held)
        loop_defer(event->processor->opts.loop, &event->again);
    else
        tick_finish(event, &result->numbers);
}

static void tick_step(void *arg)
{
    struct processor_event *event = arg;
    if (!event->held) {
        event->tick.running = false;
        return;
    }
    crash_point("tick-before-promote");
    enum status st = queue_promote(queue_of(event), event->id, lease_value(event->lease),
                                   event->tick.admit, tick_done, event);
    if (st == ST_OK)
        event->pending++;
    else
        tick_failed(event, st);
}

static void forget_due(struct processor_event *event)
{
    event->due = event->due_regular = false;
    event->due_admit = 0;
    event->due_replies.count = 0;
}

static void tick_begin(struct processor_event *event)
{
    struct tick *tick = &event->tick;
    loop_timer_stop(event->timer);
    *tick = (struct tick){.running = true,
                          .started_ms = now_ms(event),
                          .started_ns = clock_mono_ns(),
                          .admit = event->due_admit,
                          .regular = event->due_regular || !event->due_admit};
    if (tick->regular) {
        event->regular_ms = tick->started_ms;
        event->retry_ms = 0;
    }
    tick->replies = event->due_replies;
    forget_due(event);
    loop_defer(event->processor->opts.loop, &event->again); /* never from inside a caller */
}

static void on_timer(void *arg)
{
    struct processor_event *event = arg;
    if (event->ready && !event->tick.running)
        tick_begin(event);
}

void processor_event_tick_now(struct processor_event *event, uint64_t admit, const char *reply)
{
    struct tick_replies *replies = &event->due_replies;
    if (event->closing || (!event->ready && !reply))
        return;
    if (!event->ready && now_ms(event) >= event->due_until_ms) {
        /* The holder answers. If that will be us, before the asker gives up, so will we. */
        forget_due(event);
        event->due_until_ms = now_ms(event) + REQUEST_KEEP_MS;
    }
    if (reply && (replies->count == TICK_REPLIES_MAX || strlen(reply) >= TICK_REPLY_SIZE))
        return;
    if (reply)
        memcpy(replies->text[replies->count++], reply, strlen(reply) + 1);
    event->due = true;
    event->due_regular = event->due_regular || admit == 0;
    event->due_admit += admit;
    if (event->ready && !event->tick.running)
        tick_begin(event);
}

/* Who waits is not to wait for the interval, too, when the doors open. By hand, the settings tell; by its
 * time, the index does: there is no message about that. */
static void note_status(struct processor_event *event, enum event_status in_force)
{
    const bool opens = in_force == EVENT_OPEN && event->in_force != EVENT_OPEN;
    event->in_force = in_force;
    if (opens)
        processor_event_tick_now(event, 0, NULL);
}

/* ---- the live copy ---- */

static void take_rate(struct processor_event *event, const struct rank_index *index)
{
    event->rate = (struct admission_rate){.mean = index->rate_mean,
                                          .variance = index->rate_spread * index->rate_spread,
                                          .ticks = index->rate_ticks,
                                          .last_ms = index->time_ms};
}

static void read_done(void *arg, enum status status, const struct event *config, const char *text,
                      size_t len)
{
    struct processor_event *event = arg;
    struct rank_index *index = NULL;
    event->reading = false;
    if (!arrived(event) || !event->held)
        return;
    if (event->read_again) {
        event->read_again = false;
        read_live_copy(event);
    }
    if (status != ST_OK || !config) {
        if (status == ST_OK)
            configure(event);
        return; /* else: the next upkeep reads again */
    }
    const bool status_changed = config->status != event->config.status;
    event->config = *config;
    if (!event->ready) {
        event->ready = true;
        if (text && index_decode(text, len, &index) == ST_OK)
            take_rate(event, index); /* go on where the last holder stopped */
        index_free(index);
        if (now_ms(event) >= event->due_until_ms)
            forget_due(event); /* whoever asked has been sent 503 */
        processor_event_tick_now(event, 0, NULL);
    } else if (status_changed) {
        note_status(event, config->status);
    }
    arm(event);
}

static void read_live_copy(struct processor_event *event)
{
    if (event->reading) {
        event->read_again = true;
        return;
    }
    if (queue_read_live(queue_of(event), event->id, read_done, event) != ST_OK)
        return;
    event->reading = true;
    event->pending++;
}

void processor_event_changed(struct processor_event *event)
{
    if (event->held && !event->closing)
        read_live_copy(event);
}

/* ---- from PostgreSQL ---- */

static void configured(void *arg, enum status status)
{
    struct processor_event *event = arg;
    event->configuring = false;
    if (!arrived(event))
        return;
    report(event, FAILURE_CONFIGURE, "writing the live copy", status);
    if (status != ST_OK)
        return;
    log_info("configured", LOG_TEXT("event", event->id));
    processor_event_changed(event);
}

/* Redis does not know the event: PostgreSQL does. */
static void configure(struct processor_event *event)
{
    uint64_t now = now_ms(event);
    if (event->configuring ||
        (event->configure_ms && now - event->configure_ms < CONFIGURE_RETRY_MS))
        return;
    event->configure_ms = now;
    if (queue_ensure_known(queue_of(event), event->id, configured, event) != ST_OK)
        return;
    event->configuring = true;
    event->pending++;
}

struct settlement {
    struct processor_event *event;
    struct event record;
    bool status_changed;
};

static void settlement_configured(void *arg, enum status status, bool applied)
{
    struct settlement *settlement = arg;
    struct processor_event *event = settlement->event;
    if (arrived(event) && status == ST_OK && applied) {
        publish_change(event, "config-changed", &settlement->record);
        if (settlement->status_changed)
            publish_change(event, "event-status-changed", &settlement->record);
        processor_event_changed(event);
    }
    free(settlement);
}

/* What PostgreSQL has is newer than the live copy: carry it over. */
static void settled(void *arg, enum status status, const struct event *record)
{
    struct processor_event *event = arg;
    event->settling = false;
    if (!arrived(event) || status != ST_OK || !event->ready)
        return;
    queue_note_event(queue_of(event), event->id, record->status != EVENT_CLOSED);
    if (record->version <= event->config.version && record->epoch <= event->config.epoch)
        return;
    struct settlement *settlement = xcalloc(1, sizeof(*settlement));
    settlement->event = event;
    settlement->record = *record;
    settlement->status_changed = record->status != event->config.status;
    if (queue_configure(queue_of(event), record, settlement_configured, settlement) != ST_OK)
        free(settlement); /* in five seconds again */
    else
        event->pending++;
}

static void settle(struct processor_event *event)
{
    if (event->settling || !event->ready)
        return;
    event->settle_ms = now_ms(event);
    if (catalog_settle(event->processor->opts.db, event->id, event->seq, settled, event) != ST_OK)
        return;
    event->settling = true;
    event->pending++;
}

void processor_event_seats_changed(struct processor_event *event)
{
    event->settle_ms = 0; /* the next upkeep looks whether all are sold, or no longer */
}

/* ---- upkeep: once a second, while the lease is held ---- */

static void indexed(void *arg, enum status status, const struct event *none, const char *text,
                    size_t len)
{
    struct processor_event *event = arg;
    struct rank_index *index = NULL;
    (void)none;
    event->indexing = false;
    if (!arrived(event) || !event->held)
        return;
    if (status == ST_STALE) {
        lease_lost(event->lease);
        return;
    }
    report(event, FAILURE_INDEX, "rank index", status);
    if (status != ST_OK || !text || index_decode(text, len, &index) != ST_OK)
        return;
    if (index->seq > event->seq)
        event->seq = index->seq;
    if ((int64_t)index->version != event->config.version ||
        (int64_t)index->epoch != event->config.epoch)
        read_live_copy(event);
    note_status(event, index->status);
    index_free(index);
}

static void publish_index(struct processor_event *event)
{
    if (event->indexing || !event->ready)
        return;
    const struct queue_rate rate = {event->rate.mean, sqrt(event->rate.variance),
                                    event->rate.ticks};
    if (queue_publish_index(queue_of(event), event->id, lease_value(event->lease), &rate, indexed,
                            event) != ST_OK)
        return;
    event->indexing = true;
    event->pending++;
}

static void consumed_loaded(void *arg, enum status status, bool applied)
{
    struct processor_event *event = arg;
    (void)applied;
    event->loading = false;
    if (!arrived(event))
        return;
    report(event, FAILURE_CONSUMED, "loading consumed places", status);
    if (status == ST_OK)
        log_info("consumed places loaded", LOG_TEXT("event", event->id));
}

static void load_consumed(struct processor_event *event)
{
    if (event->loading)
        return;
    if (ledger_reload_consumed(event->ledger, (uint64_t)event->config.epoch, consumed_loaded,
                               event) != ST_OK)
        return;
    event->loading = true;
    event->pending++;
}

static void on_renewed(void *arg, bool need_consumed)
{
    struct processor_event *event = arg;
    if (event->closing)
        return;
    if (!event->ready) {
        read_live_copy(event);
        return;
    }
    publish_index(event);
    ledger_poke(event->ledger,
                &event->config); /* direct admissions and departures are in the log too */
    if (need_consumed)
        load_consumed(event);
    if (now_ms(event) - event->settle_ms >= SETTLE_MS)
        settle(event);
}

/* ---- the lease ---- */

static void on_gained(struct processor_event *event)
{
    log_info("lease gained", LOG_TEXT("event", event->id),
             LOG_TEXT("lease", lease_value(event->lease)->text));
    event->rate = (struct admission_rate){.mean = 0};
    event->sent_size = event->sent_active = event->sent_threshold = UINT64_MAX;
    event->settle_ms = 0;
    ledger_start(event->ledger);
    read_live_copy(event);
}

static void on_lost(struct processor_event *event)
{
    log_info("lease lost", LOG_TEXT("event", event->id));
    event->ready = false;
    forget_due(event);
    loop_timer_stop(event->timer);
    ledger_stop(event->ledger);
}

static void on_change(void *arg, bool held)
{
    struct processor_event *event = arg;
    if (event->closing || event->held == held)
        return;
    event->held = held;
    if (held)
        on_gained(event);
    else
        on_lost(event);
}

/* ---- birth and end ---- */

struct processor_event *processor_event_new(struct processor *processor, const char *id)
{
    const struct processor_opts *opts = &processor->opts;
    struct processor_event *event = xcalloc(1, sizeof(*event));
    event->processor = processor;
    memcpy(event->id, id, strlen(id) + 1);
    event->again = (struct loop_task){.cb = tick_step, .arg = event};
    event->timer = loop_timer_new(opts->loop, on_timer, event);
    event->ledger = ledger_new(&(struct ledger_opts){
        .loop = opts->loop, .queue = opts->queue, .db = opts->db, .event = id});
    event->lease = lease_new(&(struct lease_opts){.loop = opts->loop,
                                                  .queue = opts->queue,
                                                  .event = id,
                                                  .owner = processor->owner,
                                                  .on_change = on_change,
                                                  .on_renewed = on_renewed,
                                                  .arg = event});
    return event;
}

static void lease_gone(void *arg)
{
    struct processor_event *event = arg;
    event->lease_closed = true;
    processor_settle(event->processor);
}

static void ledger_gone(void *arg)
{
    struct processor_event *event = arg;
    event->ledger_closed = true;
    processor_settle(event->processor);
}

void processor_event_close(struct processor_event *event)
{
    if (event->closing)
        return;
    event->closing = true;
    event->held = event->ready = false;
    loop_undefer(event->processor->opts.loop, &event->again);
    loop_timer_close(event->timer);
    ledger_close(event->ledger, ledger_gone, event);
    lease_close(event->lease, lease_gone, event);
}
