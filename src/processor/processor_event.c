/* SPDX-License-Identifier: MIT */
/*
 * processor_event: one live event of the processor.
 *
 *   lease gained -> read the live copy -> tick at once -> tick every interval -> lease lost
 *   tick    queue_promote until there is nothing more to do -> rate, index, ledger, queue-updated, answers
 *   upkeep  after each renewal of the lease, once a second: index, ledger, consumed places; settling with
 *           PostgreSQL every 5 s
 *
 * Why this way: every step of the chain calls one script, which compares the whole lease value, and goes on only from
 * its answer: a holder that was stopped in the middle of a tick and continues later changes nothing. Between two
 * bounded steps the loop runs other work, and so does Redis.
 * Called by: processor.c. Owns: the event, its lease, ledger and timer.
 * Invariants: one tick at a time; the memory stays until the last callback has come. Redis gone: ticks fail and are
 * repeated within a second. PostgreSQL gone: only settling and the ledger wait.
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

#define REQUEST_KEEP_MS 1800 /* an API request for a tick waits two seconds for the answer */
#define SETTLE_MS       5000
#define TICK_RETRY_MS   1000
#define LOAD_RETRY_MS   1000

static void read_live_copy(struct processor_event *event);
static void publish_index(struct processor_event *event);

/* Counts a callback that has come. False: the event is closing, and may be gone now. */
static bool arrived(struct processor_event *event)
{
    event->pending--;
    if (!event->closing)
        return true;
    processor_collect(event->processor);
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

/* ---- what is logged and published ---- */

/* Logs a failure once, when it begins, and its end. */
static void report(struct processor_event *event, enum failure failure, enum status status)
{
    static const struct {
        const char *failed, *ended;
    } messages[] = {
        [FAILURE_TICK] = {"tick failed", "tick works again"},
        [FAILURE_INDEX] = {"rank index not published", "rank index published again"},
        [FAILURE_LOAD] = {"event not loaded into redis", "event loaded into redis again"},
        [FAILURE_CONSUMED] = {"consumed places not loaded", "consumed places load again"},
    };
    const unsigned bit = 1U << failure;
    const bool was_failing = event->failing & bit;
    if (status == ST_OK) {
        event->failing &= ~bit;
        if (was_failing)
            log_info(messages[failure].ended, LOG_TEXT("event", event->id));
        return;
    }
    event->failing |= bit;
    if (!was_failing)
        log_error(messages[failure].failed, LOG_TEXT("event", event->id),
                  LOG_TEXT("status", status_name(status)));
}

/* A message that cannot be published is no failure: it is a hint, and the state in Redis is the truth. */
static void publish(struct processor_event *event, const char *kind, const struct buf *payload)
{
    if (queue_publish(queue_of(event), event->id, kind, buf_str(payload), payload->len) != ST_OK)
        log_debug("channel message not published", LOG_TEXT("event", event->id),
                  LOG_TEXT("kind", kind));
}

static void publish_numbers(struct processor_event *event, const struct queue_numbers *numbers)
{
    struct queue_numbers *last = &event->last_sent;
    if (event->sent && last->queue_size == numbers->queue_size && last->active == numbers->active &&
        last->threshold == numbers->threshold)
        return;
    event->sent = true;
    *last = *numbers;
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

/* ---- the tick ---- */

static int64_t interval_ms(const struct processor_event *event)
{
    return event->ready && event->config.interval_ms > 0
               ? event->config.interval_ms
               : event->processor->opts.config->queue_interval_ms;
}

/* Sets the timer for the next regular tick, an interval after the last one began: so a changed interval counts from
 * there too, and ticks on request put nothing off. */
static void arm(struct processor_event *event)
{
    if (!event->ready || event->closing || event->tick.running)
        return;
    const uint64_t now = now_ms(event);
    const uint64_t due =
        event->retry_ms ? event->retry_ms : event->regular_ms + (uint64_t)interval_ms(event);
    loop_timer_set(event->timer, due > now ? due - now : 0);
}

static void forget_requests(struct processor_event *event)
{
    event->due.asked = event->due.regular = false;
    event->due.admit = 0;
    event->due.reply_count = 0;
}

static void tick_begin(struct processor_event *event)
{
    struct tick *tick = &event->tick;
    loop_timer_stop(event->timer);
    tick->running = true;
    tick->started_ns = clock_mono_ns();
    tick->promoted = tick->evicted = 0;
    tick->request = event->due;
    forget_requests(event);
    if (!tick->request.admit)
        tick->request.regular = true;
    if (tick->request.regular) {
        event->regular_ms = now_ms(event);
        event->retry_ms = 0;
    }
    loop_defer(event->processor->opts.loop, &event->step); /* never from inside a caller */
}

static void tick_end(struct processor_event *event)
{
    event->tick.running = false;
    if (event->due.asked && event->ready)
        tick_begin(event);
    else
        arm(event);
}

static void tick_failed(struct processor_event *event, enum status status)
{
    const int64_t wait_ms = interval_ms(event);
    report(event, FAILURE_TICK, status);
    if (event->tick.request.regular)
        event->retry_ms =
            now_ms(event) + (uint64_t)(wait_ms < TICK_RETRY_MS ? wait_ms : TICK_RETRY_MS);
    tick_end(event);
}

static void tick_finish(struct processor_event *event, const struct queue_numbers *numbers)
{
    struct tick *tick = &event->tick;
    crash_point("tick-after-promote");
    if (!event->ready) { /* the lease was lost meanwhile: the next holder goes on */
        tick->running = false;
        return;
    }
    metrics_add(METRIC_TICKS, 1);
    metrics_add(METRIC_ADMISSIONS_PROMOTED, tick->promoted);
    metrics_add(METRIC_EVICTIONS, tick->evicted);
    metrics_observe(HISTOGRAM_TICK, (double)(clock_mono_ns() - tick->started_ns) / 1e9);
    report(event, FAILURE_TICK, ST_OK);
    /* A tick without admissions says something about the rate only if there was somebody to admit. */
    if (tick->promoted ||
        (numbers->status == EVENT_OPEN && !numbers->restoring && numbers->queue_size))
        admission_rate_add(&event->rate, tick->promoted, numbers->now_ms);
    else
        event->rate.last_ms = numbers->now_ms;
    if (tick->promoted || tick->evicted) {
        log_debug("tick done", LOG_TEXT("event", event->id), LOG_NUM("promoted", tick->promoted),
                  LOG_NUM("evicted", tick->evicted), LOG_NUM("inside", numbers->active),
                  LOG_NUM("waiting", numbers->queue_size));
        ledger_poke(event->ledger, &event->config);
        publish_index(event);
    }
    publish_numbers(event, numbers);
    for (size_t i = 0; i < tick->request.reply_count; i++)
        publish_processed(event, tick->request.replies[i]);
    tick_end(event);
}

static void tick_step_done(void *arg, enum status status, const struct queue_tick *result)
{
    struct processor_event *event = arg;
    struct tick *tick = &event->tick;
    struct tick_request *request = &tick->request;
    if (!arrived(event))
        return;
    if (status != ST_OK) {
        tick_failed(event, status);
        return;
    }
    if (result->lease_lost) {
        tick->running = false;
        lease_lost(event->lease);
        return;
    }
    tick->promoted += result->admitted;
    tick->evicted += result->evicted_idle + result->evicted_session;
    if (result->seq > event->seq)
        event->seq = result->seq;
    event->in_force = result->numbers.status;
    bool more = result->more;
    if (request->admit) {
        request->admit -= result->admitted < request->admit ? result->admitted : request->admit;
        if (!request->admit || !more) { /* admitted on request, or nobody is left to admit */
            request->admit = 0;
            more = request->regular;
        }
    }
    if (more && event->held)
        loop_defer(event->processor->opts.loop, &event->step);
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
                                   event->tick.request.admit, tick_step_done, event);
    if (st == ST_OK)
        event->pending++;
    else
        tick_failed(event, st);
}

static void on_timer(void *arg)
{
    struct processor_event *event = arg;
    if (event->ready && !event->tick.running)
        tick_begin(event);
}

void processor_event_tick_now(struct processor_event *event, uint64_t admit, const char *reply)
{
    struct tick_request *due = &event->due;
    if (event->closing || (!event->ready && !reply))
        return;
    if (!event->ready && now_ms(event) >= event->due_until_ms) {
        /* The lease holder answers. This pod may become it before the asker gives up. */
        forget_requests(event);
        event->due_until_ms = now_ms(event) + REQUEST_KEEP_MS;
    }
    if (reply && (due->reply_count == TICK_REPLIES_MAX || strlen(reply) >= TICK_REPLY_SIZE))
        return;
    if (reply)
        memcpy(due->replies[due->reply_count++], reply, strlen(reply) + 1);
    due->asked = true;
    due->regular = due->regular || admit == 0;
    due->admit += admit;
    if (event->ready && !event->tick.running)
        tick_begin(event);
}

/* When the event opens, waiting buyers do not wait for the interval as well. An opening by the organizer comes with
 * the settings; one by its time has no message, and comes with the index. */
static void note_status(struct processor_event *event, enum event_status in_force)
{
    const bool opens = in_force == EVENT_OPEN && event->in_force != EVENT_OPEN;
    event->in_force = in_force;
    if (opens)
        processor_event_tick_now(event, 0, NULL);
}

/* ---- the live copy ---- */

static void loaded(void *arg, enum status status)
{
    struct processor_event *event = arg;
    event->loading = false;
    if (!arrived(event))
        return;
    report(event, FAILURE_LOAD, status);
    if (status != ST_OK)
        return;
    log_info("event loaded into redis", LOG_TEXT("event", event->id));
    processor_event_changed(event);
}

static void live_copy_read(void *arg, enum status status, const struct event *config,
                           const char *text, size_t len)
{
    struct processor_event *event = arg;
    const uint64_t now = now_ms(event);
    struct rank_index *index = NULL;
    event->reading = false;
    if (!arrived(event) || !event->held)
        return;
    if (event->read_again) {
        event->read_again = false;
        read_live_copy(event);
    }
    if (status != ST_OK)
        return; /* the next upkeep reads again */
    if (!config) {
        /* Redis does not know the event: PostgreSQL does. */
        if (event->loading || (event->load_ms && now - event->load_ms < LOAD_RETRY_MS))
            return;
        event->load_ms = now;
        if (queue_ensure_known(queue_of(event), event->id, loaded, event) != ST_OK)
            return;
        event->loading = true;
        event->pending++;
        return;
    }
    const bool status_changed = config->status != event->config.status;
    event->config = *config;
    if (!event->ready) {
        event->ready = true;
        if (text &&
            index_decode(text, len, &index) == ST_OK) /* the last holder's measurement goes on */
            event->rate =
                (struct admission_rate){.mean = index->rate_mean,
                                        .variance = index->rate_spread * index->rate_spread,
                                        .ticks = index->rate_ticks,
                                        .last_ms = index->time_ms};
        index_free(index);
        if (now >= event->due_until_ms)
            forget_requests(event); /* the askers have given up */
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
    if (queue_read_live(queue_of(event), event->id, live_copy_read, event) != ST_OK)
        return;
    event->reading = true;
    event->pending++;
}

void processor_event_changed(struct processor_event *event)
{
    if (event->held && !event->closing)
        read_live_copy(event);
}

/* ---- settling with PostgreSQL ---- */

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
        enum status st =
            queue_publish_version(queue_of(event), "config-changed", &settlement->record);
        if (st == ST_OK && settlement->status_changed)
            st =
                queue_publish_version(queue_of(event), "event-status-changed", &settlement->record);
        if (st != ST_OK)
            log_debug("channel message not published", LOG_TEXT("event", event->id));
        processor_event_changed(event);
    }
    free(settlement);
}

/* Copies the record in PostgreSQL to the live copy, if it is newer. */
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
        free(settlement); /* repeated with the next settling */
    else
        event->pending++;
}

void processor_event_seats_changed(struct processor_event *event)
{
    event->settle_ms = 0;
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
    report(event, FAILURE_INDEX, status);
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
    event->loading_consumed = false;
    if (!arrived(event))
        return;
    report(event, FAILURE_CONSUMED, status);
    if (status == ST_OK)
        log_info("consumed places loaded", LOG_TEXT("event", event->id));
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
                &event->config); /* direct admissions and departures are logged too */
    if (need_consumed && !event->loading_consumed &&
        ledger_load_consumed(event->ledger, (uint64_t)event->config.epoch, consumed_loaded,
                             event) == ST_OK) {
        event->loading_consumed = true;
        event->pending++;
    }
    if (!event->settling && now_ms(event) - event->settle_ms >= SETTLE_MS) {
        event->settle_ms = now_ms(event);
        if (catalog_settle(event->processor->opts.db, event->id, event->seq, settled, event) ==
            ST_OK) {
            event->settling = true;
            event->pending++;
        }
    }
}

/* ---- the lease ---- */

static void on_change(void *arg, bool held)
{
    struct processor_event *event = arg;
    if (event->closing || event->held == held)
        return;
    event->held = held;
    if (held) {
        log_info("lease gained", LOG_TEXT("event", event->id),
                 LOG_TEXT("lease", lease_value(event->lease)->text));
        event->rate = (struct admission_rate){.mean = 0};
        event->sent = false;
        event->settle_ms = 0;
        ledger_start(event->ledger);
        read_live_copy(event);
    } else {
        log_info("lease lost", LOG_TEXT("event", event->id));
        event->ready = false;
        forget_requests(event);
        loop_timer_stop(event->timer);
        ledger_stop(event->ledger);
    }
}

/* ---- life ---- */

struct processor_event *processor_event_new(struct processor *processor, const char *id)
{
    const struct processor_opts *opts = &processor->opts;
    struct processor_event *event = xcalloc(1, sizeof(*event));
    event->processor = processor;
    memcpy(event->id, id, strlen(id) + 1);
    event->step = (struct loop_task){.cb = tick_step, .arg = event};
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
    processor_collect(event->processor);
}

static void ledger_gone(void *arg)
{
    struct processor_event *event = arg;
    event->ledger_closed = true;
    processor_collect(event->processor);
}

void processor_event_close(struct processor_event *event)
{
    if (event->closing)
        return;
    event->closing = true;
    event->held = event->ready = false;
    loop_undefer(event->processor->opts.loop, &event->step);
    loop_timer_close(event->timer);
    ledger_close(event->ledger, ledger_gone, event);
    lease_close(event->lease, lease_gone, event);
}
