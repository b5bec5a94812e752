/* SPDX-License-Identifier: MIT */
/*
 * processor_runner: runs one live event: tries for its lease, and ticks while the lease is held.
 *
 *   lease gained -> read the live copy -> tick at once -> tick every interval -> lease lost
 *   tick    queue_promote until there is nothing more to do -> rate, index, ledger; publish
 *           queue-updated; answer those who asked for a tick
 *   upkeep  after each renewal of the lease, once a second: index, ledger, consumed places; every 5 s: reconciling
 *           with PostgreSQL
 *
 * Three things belong to an event: the runner (struct event_runner); `live`, the settings as Redis has them, which
 * the scripts work by; and `record`, the settings as PostgreSQL has them, which replace the live copy when they are
 * newer.
 *
 * Why this way: each step calls one script, which compares the whole lease value, and the next step follows from its
 * answer. So a process that was stopped in the middle of a tick and continues later changes nothing. The steps are
 * bounded; between two of them the loop and Redis do other work.
 * Called by: processor.c. Owns: the runner, its lease, ledger and timer.
 * Invariants: one tick at a time; the memory stays until the last callback has run. Redis gone: ticks fail and are
 * repeated within a second. PostgreSQL gone: only reconciling and the ledger wait.
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

/* How long a request for a tick is kept while the lease is not held: its API request waits two seconds. */
#define REQUEST_KEEP_MS 1800
#define RECONCILE_MS    5000
#define TICK_RETRY_MS   1000
#define LOAD_RETRY_MS   1000

static void read_live_copy(struct event_runner *runner);
static void publish_index(struct event_runner *runner);

/* Every callback counted in runner->pending begins with this. False: the runner is closing and may be freed, so the
 * caller must only return. */
static bool arrived(struct event_runner *runner)
{
    runner->pending--;
    if (!runner->closing)
        return true;
    processor_collect(runner->processor);
    return false;
}

static uint64_t now_ms(const struct event_runner *runner)
{
    return loop_now_ms(runner->processor->opts.loop);
}

static struct queue *queue_of(const struct event_runner *runner)
{
    return runner->processor->opts.queue;
}

/* ---- logging and publishing ---- */

/* Logs the first failure and the first success after it, not the repeated failures between them. */
static void report(struct event_runner *runner, enum failure failure, enum status status)
{
    static const struct {
        const char *failed, *ended;
    } messages[] = {
        [FAILURE_TICK] = {"tick failed", "tick succeeded again"},
        [FAILURE_INDEX] = {"rank index not published", "rank index published again"},
        [FAILURE_LOAD] = {"event not loaded into redis", "event loaded into redis again"},
        [FAILURE_CONSUMED] = {"consumed places not loaded", "consumed places loaded again"},
    };
    const unsigned bit = 1U << failure;
    const bool was_failing = runner->failing & bit;
    if (status == ST_OK) {
        runner->failing &= ~bit;
        if (was_failing)
            log_info(messages[failure].ended, LOG_TEXT("event", runner->id));
        return;
    }
    runner->failing |= bit;
    if (!was_failing)
        log_error(messages[failure].failed, LOG_TEXT("event", runner->id),
                  LOG_TEXT("status", status_name(status)));
}

/* A lost message is not repeated: it is only a hint, and the state in Redis is the truth. */
static void publish(struct event_runner *runner, const char *kind, const struct buf *payload)
{
    if (queue_publish(queue_of(runner), runner->id, kind, buf_str(payload), payload->len) != ST_OK)
        log_debug("channel message not published", LOG_TEXT("event", runner->id),
                  LOG_TEXT("kind", kind));
}

static void publish_numbers(struct event_runner *runner, const struct queue_numbers *numbers)
{
    struct queue_numbers *last = &runner->published;
    if (runner->numbers_published && last->queue_size == numbers->queue_size &&
        last->active == numbers->active && last->threshold == numbers->threshold)
        return;
    runner->numbers_published = true;
    *last = *numbers;
    struct buf payload;
    buf_init(&payload, 256);
    buf_printf(&payload,
               "{\"queueSize\":%" PRIu64 ",\"currentUsers\":%" PRIu64 ",\"threshold\":%" PRIu64 "}",
               numbers->queue_size, numbers->active, numbers->threshold);
    publish(runner, "queue-updated", &payload);
    buf_clear(&payload);
}

static void publish_processed(struct event_runner *runner, const char *reply)
{
    struct buf payload;
    buf_init(&payload, 512);
    buf_printf(&payload, "{\"reply\":%s,\"promoted\":%" PRIu64 ",\"evicted\":%" PRIu64 "}", reply,
               runner->tick.promoted, runner->tick.evicted);
    publish(runner, "processed", &payload);
    buf_clear(&payload);
}

/* ---- the tick ---- */

static int64_t interval_ms(const struct event_runner *runner)
{
    return runner->ready && runner->live.interval_ms > 0
               ? runner->live.interval_ms
               : runner->processor->opts.config->queue_interval_ms;
}

/* Sets the timer for the next regular tick: an interval after the last regular one began, so that ticks on request do
 * not delay it, and that a changed interval counts from the same moment. */
static void arm_timer(struct event_runner *runner)
{
    if (!runner->ready || runner->closing || runner->tick.running)
        return;
    const uint64_t now = now_ms(runner);
    const uint64_t due =
        runner->retry_ms ? runner->retry_ms : runner->regular_ms + (uint64_t)interval_ms(runner);
    loop_timer_set(runner->tick_timer, due > now ? due - now : 0);
}

static void drop_requests(struct event_runner *runner)
{
    runner->due.asked = runner->due.regular = false;
    runner->due.admit = 0;
    runner->due.reply_count = 0;
}

static void tick_begin(struct event_runner *runner)
{
    struct tick *tick = &runner->tick;
    loop_timer_stop(runner->tick_timer);
    tick->running = true;
    tick->started_ns = clock_mono_ns();
    tick->promoted = tick->evicted = 0;
    tick->request = runner->due;
    drop_requests(runner);
    if (!tick->request.admit)
        tick->request.regular = true;
    if (tick->request.regular) {
        runner->regular_ms = now_ms(runner);
        runner->retry_ms = 0;
    }
    loop_defer(runner->processor->opts.loop,
               &runner->tick_task); /* later: the caller may be in the middle of something */
}

static void tick_end(struct event_runner *runner)
{
    runner->tick.running = false;
    if (runner->due.asked && runner->ready)
        tick_begin(runner);
    else
        arm_timer(runner);
}

static void tick_failed(struct event_runner *runner, enum status status)
{
    const int64_t wait_ms = interval_ms(runner);
    report(runner, FAILURE_TICK, status);
    if (runner->tick.request.regular)
        runner->retry_ms =
            now_ms(runner) + (uint64_t)(wait_ms < TICK_RETRY_MS ? wait_ms : TICK_RETRY_MS);
    tick_end(runner);
}

static void tick_finish(struct event_runner *runner, const struct queue_numbers *numbers)
{
    struct tick *tick = &runner->tick;
    crash_point("tick-after-promote");
    if (!runner->ready) { /* the lease was lost meanwhile, and its next holder goes on */
        tick->running = false;
        return;
    }
    metrics_add(METRIC_TICKS, 1);
    metrics_add(METRIC_ADMISSIONS_PROMOTED, tick->promoted);
    metrics_add(METRIC_EVICTIONS, tick->evicted);
    metrics_observe(HISTOGRAM_TICK, (double)(clock_mono_ns() - tick->started_ns) / 1e9);
    report(runner, FAILURE_TICK, ST_OK);
    /* A tick without admissions counts for the rate only if somebody could have been admitted. */
    if (tick->promoted ||
        (numbers->status == EVENT_OPEN && !numbers->restoring && numbers->queue_size))
        admission_rate_add(&runner->rate, tick->promoted, numbers->now_ms);
    else
        runner->rate.last_ms = numbers->now_ms;
    if (tick->promoted || tick->evicted) {
        log_debug("tick done", LOG_TEXT("event", runner->id), LOG_NUM("promoted", tick->promoted),
                  LOG_NUM("evicted", tick->evicted), LOG_NUM("inside", numbers->active),
                  LOG_NUM("waiting", numbers->queue_size));
        ledger_poke(runner->ledger, &runner->live);
        publish_index(runner);
    }
    publish_numbers(runner, numbers);
    for (size_t i = 0; i < tick->request.reply_count; i++)
        publish_processed(runner, tick->request.replies[i]);
    tick_end(runner);
}

static void tick_step_done(void *arg, enum status status, const struct queue_tick *result)
{
    struct event_runner *runner = arg;
    struct tick *tick = &runner->tick;
    struct tick_request *request = &tick->request;
    if (!arrived(runner))
        return;
    if (status != ST_OK) {
        tick_failed(runner, status);
        return;
    }
    if (result->lease_lost) {
        tick->running = false;
        lease_lost(runner->lease);
        return;
    }
    tick->promoted += result->admitted;
    tick->evicted += result->evicted_idle + result->evicted_session;
    if (result->seq > runner->last_place)
        runner->last_place = result->seq;
    runner->status = result->numbers.status;
    bool more = result->more;
    if (request->admit) {
        request->admit -= result->admitted < request->admit ? result->admitted : request->admit;
        if (!request->admit || !more) { /* all asked for are admitted, or nobody is left to admit */
            request->admit = 0;
            more = request->regular;
        }
    }
    if (more && runner->held)
        loop_defer(runner->processor->opts.loop, &runner->tick_task);
    else
        tick_finish(runner, &result->numbers);
}

static void tick_step(void *arg)
{
    struct event_runner *runner = arg;
    if (!runner->held) {
        runner->tick.running = false;
        return;
    }
    crash_point("tick-before-promote");
    enum status st = queue_promote(queue_of(runner), runner->id, lease_value(runner->lease),
                                   runner->tick.request.admit, tick_step_done, runner);
    if (st == ST_OK)
        runner->pending++;
    else
        tick_failed(runner, st);
}

static void on_tick_timer(void *arg)
{
    struct event_runner *runner = arg;
    if (runner->ready && !runner->tick.running)
        tick_begin(runner);
}

void event_runner_tick_now(struct event_runner *runner, uint64_t admit, const char *reply)
{
    struct tick_request *due = &runner->due;
    if (runner->closing || (!runner->ready && !reply))
        return;
    if (!runner->ready && now_ms(runner) >= runner->due_until_ms) {
        /* The lease holder answers the request. This pod keeps it, in case it gains the lease in time. */
        drop_requests(runner);
        runner->due_until_ms = now_ms(runner) + REQUEST_KEEP_MS;
    }
    if (reply && (due->reply_count == TICK_REPLIES_MAX || strlen(reply) >= TICK_REPLY_SIZE))
        return;
    if (reply)
        memcpy(due->replies[due->reply_count++], reply, strlen(reply) + 1);
    due->asked = true;
    due->regular = due->regular || admit == 0;
    due->admit += admit;
    if (runner->ready && !runner->tick.running)
        tick_begin(runner);
}

/* Notes the status in force. When the event opens it ticks at once: buyers who waited for the opening need not wait
 * for the interval too. The live copy shows an opening by the organizer; one by its time has no message, and the
 * index shows it. */
static void note_status(struct event_runner *runner, enum event_status status)
{
    const bool opens = status == EVENT_OPEN && runner->status != EVENT_OPEN;
    runner->status = status;
    if (opens)
        event_runner_tick_now(runner, 0, NULL);
}

/* ---- the live copy ---- */

static void loaded(void *arg, enum status status)
{
    struct event_runner *runner = arg;
    runner->loading = false;
    if (!arrived(runner))
        return;
    report(runner, FAILURE_LOAD, status);
    if (status != ST_OK)
        return;
    log_info("event loaded into redis", LOG_TEXT("event", runner->id));
    event_runner_changed(runner);
}

static void live_copy_read(void *arg, enum status status, const struct event *live,
                           const char *text, size_t len)
{
    struct event_runner *runner = arg;
    const uint64_t now = now_ms(runner);
    struct rank_index *index = NULL;
    runner->reading = false;
    if (!arrived(runner) || !runner->held)
        return;
    if (runner->read_again) {
        runner->read_again = false;
        read_live_copy(runner);
    }
    if (status != ST_OK)
        return; /* the next renewal of the lease reads again */
    if (!live) {
        /* Redis does not know the event: load it from PostgreSQL. */
        if (runner->loading || (runner->load_ms && now - runner->load_ms < LOAD_RETRY_MS))
            return;
        runner->load_ms = now;
        if (queue_ensure_known(queue_of(runner), runner->id, loaded, runner) != ST_OK)
            return;
        runner->loading = true;
        runner->pending++;
        return;
    }
    const bool status_changed = live->status != runner->live.status;
    runner->live = *live;
    if (!runner->ready) {
        runner->ready = true;
        /* The rate that the lease's last holder measured is in its index, and the measurement goes on from there. */
        if (text && index_decode(text, len, &index) == ST_OK)
            runner->rate =
                (struct admission_rate){.mean = index->rate_mean,
                                        .variance = index->rate_spread * index->rate_spread,
                                        .ticks = index->rate_ticks,
                                        .last_ms = index->time_ms};
        index_free(index);
        if (now >= runner->due_until_ms)
            drop_requests(runner); /* their API requests have timed out */
        event_runner_tick_now(runner, 0, NULL);
    } else if (status_changed) {
        note_status(runner, live->status);
    }
    arm_timer(runner);
}

static void read_live_copy(struct event_runner *runner)
{
    if (runner->reading) {
        runner->read_again = true;
        return;
    }
    if (queue_read_live(queue_of(runner), runner->id, live_copy_read, runner) != ST_OK)
        return;
    runner->reading = true;
    runner->pending++;
}

void event_runner_changed(struct event_runner *runner)
{
    if (runner->held && !runner->closing)
        read_live_copy(runner);
}

/* ---- reconciling with PostgreSQL ---- */

/* A live copy that is being replaced by the record. */
struct replacement {
    struct event_runner *runner;
    struct event record;
    bool status_changed;
};

static void live_copy_replaced(void *arg, enum status status, bool applied)
{
    struct replacement *replacement = arg;
    struct event_runner *runner = replacement->runner;
    if (arrived(runner) && status == ST_OK && applied) {
        enum status st =
            queue_publish_version(queue_of(runner), "config-changed", &replacement->record);
        if (st == ST_OK && replacement->status_changed)
            st = queue_publish_version(queue_of(runner), "event-status-changed",
                                       &replacement->record);
        if (st != ST_OK)
            log_debug("channel message not published", LOG_TEXT("event", runner->id),
                      LOG_TEXT("kind", "config-changed"));
        event_runner_changed(runner);
    }
    free(replacement);
}

/* PostgreSQL has opened, closed or sold out the event where that was due. Replaces the live copy if the record is
 * newer. */
static void reconciled(void *arg, enum status status, const struct event *record)
{
    struct event_runner *runner = arg;
    runner->reconciling = false;
    if (!arrived(runner) || status != ST_OK || !runner->ready)
        return;
    queue_note_event(queue_of(runner), runner->id, record->status != EVENT_CLOSED);
    if (record->version <= runner->live.version && record->epoch <= runner->live.epoch)
        return;
    struct replacement *replacement = xcalloc(1, sizeof(*replacement));
    replacement->runner = runner;
    replacement->record = *record;
    replacement->status_changed = record->status != runner->live.status;
    if (queue_configure(queue_of(runner), record, live_copy_replaced, replacement) != ST_OK)
        free(replacement); /* repeated by the next reconcile_begin */
    else
        runner->pending++;
}

static void reconcile_begin(struct event_runner *runner)
{
    runner->reconcile_ms = now_ms(runner);
    if (catalog_settle(runner->processor->opts.db, runner->id, runner->last_place, reconciled,
                       runner) != ST_OK)
        return;
    runner->reconciling = true;
    runner->pending++;
}

void event_runner_seats_changed(struct event_runner *runner)
{
    runner->reconcile_ms = 0;
}

/* ---- upkeep: once a second, while the lease is held ---- */

static void index_published(void *arg, enum status status, const struct event *none,
                            const char *text, size_t len)
{
    struct event_runner *runner = arg;
    struct rank_index *index = NULL;
    (void)none;
    runner->indexing = false;
    if (!arrived(runner) || !runner->held)
        return;
    if (status == ST_STALE) {
        lease_lost(runner->lease);
        return;
    }
    report(runner, FAILURE_INDEX, status);
    if (status != ST_OK || !text || index_decode(text, len, &index) != ST_OK)
        return;
    if (index->seq > runner->last_place)
        runner->last_place = index->seq;
    if ((int64_t)index->version != runner->live.version ||
        (int64_t)index->epoch != runner->live.epoch)
        read_live_copy(runner);
    note_status(runner, index->status);
    index_free(index);
}

static void publish_index(struct event_runner *runner)
{
    if (runner->indexing || !runner->ready)
        return;
    const struct queue_rate rate = {runner->rate.mean, sqrt(runner->rate.variance),
                                    runner->rate.ticks};
    if (queue_publish_index(queue_of(runner), runner->id, lease_value(runner->lease), &rate,
                            index_published, runner) != ST_OK)
        return;
    runner->indexing = true;
    runner->pending++;
}

static void consumed_loaded(void *arg, enum status status, bool applied)
{
    struct event_runner *runner = arg;
    (void)applied;
    runner->loading_consumed = false;
    if (!arrived(runner))
        return;
    report(runner, FAILURE_CONSUMED, status);
    if (status == ST_OK)
        log_info("consumed places loaded", LOG_TEXT("event", runner->id));
}

static void on_lease_renewed(void *arg, bool need_consumed)
{
    struct event_runner *runner = arg;
    if (runner->closing)
        return;
    if (!runner->ready) {
        read_live_copy(runner);
        return;
    }
    publish_index(runner);
    /* Each time, since direct admissions and departures are logged without a tick. */
    ledger_poke(runner->ledger, &runner->live);
    if (need_consumed && !runner->loading_consumed &&
        ledger_load_consumed(runner->ledger, (uint64_t)runner->live.epoch, consumed_loaded,
                             runner) == ST_OK) {
        runner->loading_consumed = true;
        runner->pending++;
    }
    if (!runner->reconciling && now_ms(runner) - runner->reconcile_ms >= RECONCILE_MS)
        reconcile_begin(runner);
}

/* ---- the lease ---- */

static void on_lease_change(void *arg, bool held)
{
    struct event_runner *runner = arg;
    if (runner->closing || runner->held == held)
        return;
    runner->held = held;
    if (held) {
        log_info("lease gained", LOG_TEXT("event", runner->id),
                 LOG_TEXT("lease", lease_value(runner->lease)->text));
        runner->rate = (struct admission_rate){.mean = 0};
        runner->numbers_published = false;
        runner->reconcile_ms = 0;
        ledger_start(runner->ledger);
        read_live_copy(runner);
    } else {
        log_info("lease lost", LOG_TEXT("event", runner->id));
        runner->ready = false;
        drop_requests(runner);
        loop_timer_stop(runner->tick_timer);
        ledger_stop(runner->ledger);
    }
}

/* ---- life ---- */

struct event_runner *event_runner_new(struct processor *processor, const char *id)
{
    const struct processor_opts *opts = &processor->opts;
    struct event_runner *runner = xcalloc(1, sizeof(*runner));
    runner->processor = processor;
    memcpy(runner->id, id, strlen(id) + 1);
    runner->tick_task = (struct loop_task){.cb = tick_step, .arg = runner};
    runner->tick_timer = loop_timer_new(opts->loop, on_tick_timer, runner);
    runner->ledger = ledger_new(&(struct ledger_opts){
        .loop = opts->loop, .queue = opts->queue, .db = opts->db, .event = id});
    runner->lease = lease_new(&(struct lease_opts){.loop = opts->loop,
                                                   .queue = opts->queue,
                                                   .event = id,
                                                   .owner = processor->owner,
                                                   .on_change = on_lease_change,
                                                   .on_renewed = on_lease_renewed,
                                                   .arg = runner});
    return runner;
}

static void lease_gone(void *arg)
{
    struct event_runner *runner = arg;
    runner->lease_closed = true;
    processor_collect(runner->processor);
}

static void ledger_gone(void *arg)
{
    struct event_runner *runner = arg;
    runner->ledger_closed = true;
    processor_collect(runner->processor);
}

void event_runner_close(struct event_runner *runner)
{
    if (runner->closing)
        return;
    runner->closing = true;
    runner->held = runner->ready = false;
    loop_undefer(runner->processor->opts.loop, &runner->tick_task);
    loop_timer_close(runner->tick_timer);
    ledger_close(runner->ledger, ledger_gone, runner);
    lease_close(runner->lease, lease_gone, runner);
}
