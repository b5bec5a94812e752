/* SPDX-License-Identifier: MIT */
/*
 * processor_runner: runs one live event: tries for its lease, and ticks while the lease is held.
 *
 *   lease gained -> read the live copy -> tick at once -> tick every interval -> lease lost
 *   tick    and what is admitted between two ticks: processor_tick.c
 *   upkeep  after each renewal of the lease, once a second: index, ledger, consumed places, finished minutes
 *           (processor_minutes.c); every 5 s: reconciling with PostgreSQL
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

#define RECONCILE_MS  5000
#define LOAD_RETRY_MS 1000

static void read_live_copy(struct event_runner *runner);

bool event_runner_arrived(struct event_runner *runner)
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

/* ---- logging ---- */

void event_runner_report(struct event_runner *runner, enum failure failure, enum status status)
{
    static const struct {
        const char *failed, *ended;
    } messages[] = {
        [FAILURE_TICK] = {"tick failed", "tick succeeded again"},
        [FAILURE_INDEX] = {"rank index not published", "rank index published again"},
        [FAILURE_LOAD] = {"event not loaded into redis", "loading events into redis works again"},
        [FAILURE_CONSUMED] = {"consumed places not loaded", "loading consumed places works again"},
        [FAILURE_BANS] = {"bans not loaded", "loading bans works again"},
        [FAILURE_MINUTES] = {"minutes not copied to postgres", "minutes copied to postgres again"},
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

/* Notes the status in force. When the event opens it ticks at once: buyers who waited for the opening need not wait
 * for the interval too. So it does when it closes, since its turns may be over (closeGraceMs). The live copy shows an opening by the organizer; one by its time has no message, and the
 * index shows it. */
static void note_status(struct event_runner *runner, enum event_status status)
{
    const bool turns = (status == EVENT_OPEN || status == EVENT_CLOSED) && runner->status != status;
    runner->status = status;
    if (turns)
        event_runner_tick_now(runner, 0, NULL);
}

/* ---- the live copy ---- */

static void loaded(void *arg, enum status status)
{
    struct event_runner *runner = arg;
    runner->loading = false;
    if (!event_runner_arrived(runner))
        return;
    event_runner_report(runner, FAILURE_LOAD, status);
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
    if (!event_runner_arrived(runner) || !runner->held)
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
    if (live->status == EVENT_DRAFT) { /* a rehearsal that was taken back */
        event_runner_close(runner);
        return;
    }
    const bool status_changed = live->status != runner->live.status;
    const bool changed = live->version != runner->live.version;
    runner->live = *live;
    if (!runner->ready) {
        runner->ready = true;
        /* The rate that the lease's last holder measured is in its index, and the measurement goes on from there. */
        if (text && index_decode(text, len, &index) == ST_OK)
            runner->rate =
                (struct admission_rate){.mean = index->rate_mean,
                                        .variance = index->rate_spread * index->rate_spread,
                                        .ticks = index->rate_ticks,
                                        .last_ms = index->time_ms,
                                        .active = index->active,
                                        .threshold = index->threshold};
        index_free(index);
        if (now >= runner->due_until_ms)
            event_runner_drop_requests(runner); /* their API requests have timed out */
        event_runner_tick_now(runner, 0, NULL);
    } else if (status_changed) {
        note_status(runner, live->status);
    } else if (changed && live->promotion == EVENT_CONTINUOUS) { /* perhaps a higher threshold */
        event_runner_hint(runner);
    }
    event_runner_arm(runner);
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
    if (event_runner_arrived(runner) && status == ST_OK && applied) {
        enum status st =
            queue_publish_version(queue_of(runner), "config-changed", &replacement->record);
        if (st == ST_OK && replacement->status_changed)
            st = queue_publish_version(queue_of(runner), "event-status-changed",
                                       &replacement->record);
        if (st != ST_OK)
            log_debug("channel message not published", LOG_TEXT("event", runner->id),
                      LOG_TEXT("kind", "config-changed"), LOG_TEXT("status", status_name(st)));
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
    if (!event_runner_arrived(runner) || status != ST_OK || !runner->ready)
        return;
    queue_note_event(queue_of(runner), runner->id, record->status != EVENT_CLOSED);
    event_runner_compare_bans(runner, record);
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

static void index_published(void *arg, enum status status, const struct queue_published *published)
{
    struct event_runner *runner = arg;
    struct rank_index *index = NULL;
    runner->indexing = false;
    if (!event_runner_arrived(runner) || !runner->held)
        return;
    if (status == ST_STALE) {
        lease_lost(runner->lease);
        return;
    }
    event_runner_report(runner, FAILURE_INDEX, status);
    if (status != ST_OK || index_decode(published->index, published->index_len, &index) != ST_OK)
        return;
    if (index->seq > runner->last_place)
        runner->last_place = index->seq;
    if ((int64_t)index->version != runner->live.version ||
        (int64_t)index->epoch != runner->live.epoch)
        read_live_copy(runner);
    runner->waiting = index->queue_size;
    admission_rate_scale(&runner->rate, index->threshold, index->active);
    note_status(runner, index->status);
    event_runner_stats_index(runner, index, published);
    event_runner_copy_minutes(runner, index->time_ms / 60000);
    index_free(index);
}

void event_runner_publish_index(struct event_runner *runner)
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
    if (!event_runner_arrived(runner))
        return;
    event_runner_report(runner, FAILURE_CONSUMED, status);
    if (status == ST_OK)
        log_info("consumed places loaded", LOG_TEXT("event", runner->id));
}

/* The bans are in Redis: the passes that the restore window then believes are no banned buyer's. */
static void load_consumed(struct event_runner *runner, enum status status)
{
    if (status != ST_OK || runner->loading_consumed || !runner->held ||
        ledger_load_consumed(runner->ledger, (uint64_t)runner->live.epoch, consumed_loaded,
                             runner) != ST_OK)
        return;
    runner->loading_consumed = true;
    runner->pending++;
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
    event_runner_publish_index(runner);
    event_runner_check(runner);
    event_runner_feedback(runner);
    /* Each time, since direct admissions and departures are logged without a tick. */
    ledger_poke(runner->ledger, &runner->live);
    if (need_consumed && !runner->loading_consumed)
        event_runner_load_bans(runner, load_consumed);
    if (!runner->reconciling && now_ms(runner) - runner->reconcile_ms >= RECONCILE_MS)
        reconcile_begin(runner);
}

/* ---- the lease ---- */

static void on_lease_gained(void *arg)
{
    struct event_runner *runner = arg;
    if (runner->closing || runner->held)
        return;
    runner->held = true;
    log_info("lease gained", LOG_TEXT("event", runner->id),
             LOG_TEXT("lease", lease_value(runner->lease)->text));
    event_runner_stats_hold(runner, true);
    runner->rate = (struct admission_rate){.mean = 0};
    runner->unmeasured = 0;
    runner->refill_ms = 0;
    runner->numbers_published = false;
    runner->reconcile_ms = 0;
    runner->feedback_ended = false;
    runner->judged_ms = 0;
    runner->minutes_until = 0; /* the last holder may not have copied the last hour */
    ledger_start(runner->ledger);
    read_live_copy(runner);
}

static void on_lease_lost(void *arg, enum lease_loss loss)
{
    static const enum metric metrics[] = {[LEASE_EXPIRED] = METRIC_LEASE_EXPIRED,
                                          [LEASE_TAKEN] = METRIC_LEASE_TAKEN,
                                          [LEASE_REDIS] = METRIC_LEASE_REDIS};
    struct event_runner *runner = arg;
    if (runner->closing || !runner->held)
        return;
    runner->held = false;
    log_warn("lease lost", LOG_TEXT("event", runner->id),
             LOG_TEXT("reason", lease_loss_name(loss)));
    metrics_add(metrics[loss], 1);
    event_runner_stats_hold(runner, false);
    runner->ready = false;
    event_runner_drop_requests(runner);
    loop_timer_stop(runner->tick_timer);
    ledger_stop(runner->ledger);
}

/* Whoever has the lease, somebody must tick; and while somebody is inside, someone has to end their turns. */
static void on_lease_seen(void *arg, const struct queue_lease *lease)
{
    struct event_runner *runner = arg;
    if (lease->inside > 0)
        (void)processor_look_after(runner->processor, runner->id);
    (void)silence_see(&runner->silence, &(struct silence_look){.event = runner->id,
                                                               .open = lease->open,
                                                               .ticked_ms = lease->ticked_ms,
                                                               .interval_ms = lease->interval_ms,
                                                               .now_ms = now_ms(runner)});
}

/* ---- life ---- */

struct event_runner *event_runner_new(struct processor *processor, const char *id)
{
    const struct processor_opts *opts = &processor->opts;
    struct event_runner *runner = xcalloc(1, sizeof(*runner));
    runner->processor = processor;
    memcpy(runner->id, id, strlen(id) + 1);
    queue_follow(opts->queue, id);
    runner->stats.out = event_stats_open(id);
    runner->tick_task = (struct loop_task){.cb = event_runner_tick_step, .arg = runner};
    runner->tick_timer = loop_timer_new(opts->loop, event_runner_on_timer, runner);
    runner->ledger = ledger_new(&(struct ledger_opts){
        .loop = opts->loop, .queue = opts->queue, .db = opts->db, .event = id});
    runner->lease = lease_new(&(struct lease_opts){.loop = opts->loop,
                                                   .queue = opts->queue,
                                                   .event = id,
                                                   .owner = processor->owner,
                                                   .on_gained = on_lease_gained,
                                                   .on_lost = on_lease_lost,
                                                   .on_seen = on_lease_seen,
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
    queue_unfollow(runner->processor->opts.queue, runner->id);
    runner->held = runner->ready = false;
    event_stats_close(runner->stats.out);
    runner->stats.out = NULL;
    silence_forget(&runner->silence, runner->id);
    loop_undefer(runner->processor->opts.loop, &runner->tick_task);
    loop_timer_close(runner->tick_timer);
    ledger_close(runner->ledger, ledger_gone, runner);
    lease_close(runner->lease, lease_gone, runner);
}
