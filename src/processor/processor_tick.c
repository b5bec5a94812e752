/* SPDX-License-Identifier: MIT */
/*
 * processor_tick: the ticks of one live event, and what is promoted between them.
 *
 *   due (interval, hint, second, token, request) -> queue_promote until there is nothing more to do
 *       -> rate, ledger; of a whole tick also index, queue-updated; answers to those who asked for it
 *
 * A whole tick comes every interval: it ends admissions that are over, admits, and publishes. Between two ticks a refill
 * only admits: when a script hints that slots have become free (promotion `continuous`), when outflowPerMinute has its
 * next token for those who wait, and once a second, then with a look for offers that ran out.
 *
 * Why this way: one timer and one promote at a time, so refills cannot pile up, however many hints come: they are at
 * least REFILL_GAP_MS after the promote before. What is published goes to the whole audience, so only a tick does it.
 * Called by: processor_runner (the lease, the live copy, the second), processor (hints, requests). Owns nothing: the
 * state is in struct event_runner. Redis gone: a tick is repeated within a second; a refill is not, the next tick does
 * its work.
 */
#include "processor/processor_internal.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/metrics.h"

#include <inttypes.h>
#include <string.h>

/* How long a request for a tick is kept while the lease is not held: its API request waits two seconds. */
#define REQUEST_KEEP_MS 1800
#define TICK_RETRY_MS   1000
#define REFILL_GAP_MS   100  /* ms from one promote to a refill, at least */
#define SAMPLE_MS       1000 /* of the rate, between two ticks */

static uint64_t now_ms(const struct event_runner *runner)
{
    return loop_now_ms(runner->processor->opts.loop);
}

/* A lost message is not repeated: it is only a hint, and the state in Redis is the truth. */
static void publish(struct event_runner *runner, const char *kind, const struct buf *payload)
{
    const enum status st = queue_publish(runner->processor->opts.queue, runner->id, kind,
                                         buf_str(payload), payload->len);
    if (st != ST_OK)
        log_debug("channel message not published", LOG_TEXT("event", runner->id),
                  LOG_TEXT("kind", kind), LOG_TEXT("status", status_name(st)));
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
    const struct tick *tick = &runner->tick;
    struct buf payload;
    buf_init(&payload, 1024);
    buf_printf(&payload,
               "{\"reply\":%s,\"promoted\":%" PRIu64 ",\"evicted\":%" PRIu64 ",\"limit\":\"", reply,
               tick->promoted, tick->evicted);
    admission_limit_print(&tick->limit, &payload);
    buf_add_str(&payload, "\"}");
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

/* When the next regular tick is due: an interval after the last regular one began, so that ticks on request do not delay
 * it, and that a changed interval counts from the same moment. */
static uint64_t regular_due(const struct event_runner *runner)
{
    return runner->retry_ms ? runner->retry_ms : runner->regular_ms + (uint64_t)interval_ms(runner);
}

void event_runner_arm(struct event_runner *runner)
{
    if (!runner->ready || runner->closing || runner->tick.running)
        return;
    const uint64_t now = now_ms(runner);
    uint64_t due = regular_due(runner);
    if (runner->refill_ms && runner->refill_ms < due)
        due = runner->refill_ms;
    loop_timer_set(runner->tick_timer, due > now ? due - now : 0);
}

/* Plans a refill at that time, or when the gap is over. */
static void refill_at(struct event_runner *runner, uint64_t at_ms, bool check)
{
    const uint64_t earliest = runner->promoted_ms + REFILL_GAP_MS;
    if (!runner->ready || runner->closing)
        return;
    if (at_ms < earliest)
        at_ms = earliest;
    if (!runner->refill_ms || at_ms < runner->refill_ms)
        runner->refill_ms = at_ms;
    runner->refill_checks = runner->refill_checks || check;
    event_runner_arm(runner);
}

void event_runner_hint(struct event_runner *runner)
{
    refill_at(runner, now_ms(runner), false);
}

void event_runner_check(struct event_runner *runner)
{
    if (runner->live.promotion == EVENT_CONTINUOUS && runner->waiting > 0)
        refill_at(runner, now_ms(runner), true);
}

void event_runner_drop_requests(struct event_runner *runner)
{
    runner->due.asked = runner->due.regular = false;
    runner->due.admit = 0;
    runner->due.reply_count = 0;
}

/* Begins what is due: `part` for a refill; else QUEUE_PROMOTE_TICK, which does the requests, or is a regular tick. */
static void tick_begin(struct event_runner *runner, enum queue_promote_part part)
{
    struct tick *tick = &runner->tick;
    loop_timer_stop(runner->tick_timer);
    tick->running = true;
    tick->part = part;
    tick->started_ns = clock_mono_ns();
    tick->promoted = tick->evicted = 0;
    tick->request = (struct tick_request){.asked = false};
    runner->promoted_ms = now_ms(runner);
    if (part == QUEUE_PROMOTE_TICK) {
        tick->request = runner->due;
        event_runner_drop_requests(runner);
        if (!tick->request.admit)
            tick->request.regular = true;
    }
    if (tick->request.regular) {
        runner->regular_ms = runner->promoted_ms;
        runner->retry_ms = 0;
    }
    if (tick->request.regular || part != QUEUE_PROMOTE_TICK) {
        runner->refill_ms = 0;
        runner->refill_checks = false;
    }
    loop_defer(runner->processor->opts.loop,
               &runner->tick_task); /* later: the caller may be in the middle of something */
}

static void tick_end(struct event_runner *runner)
{
    runner->tick.running = false;
    if (runner->due.asked && runner->ready)
        tick_begin(runner, QUEUE_PROMOTE_TICK);
    else
        event_runner_arm(runner);
}

static void tick_failed(struct event_runner *runner, enum status status)
{
    const int64_t wait_ms = interval_ms(runner);
    event_runner_report(runner, FAILURE_TICK, status);
    if (runner->tick.request.regular)
        runner->retry_ms =
            now_ms(runner) + (uint64_t)(wait_ms < TICK_RETRY_MS ? wait_ms : TICK_RETRY_MS);
    tick_end(runner);
}

/* A tick without admissions counts for the rate only if somebody could have been admitted. What was admitted between two
 * ticks is counted a second at a time. */
static void measure_rate(struct event_runner *runner, const struct queue_numbers *numbers)
{
    struct tick *tick = &runner->tick;
    runner->unmeasured += tick->promoted;
    if (tick->part != QUEUE_PROMOTE_TICK && numbers->now_ms - runner->rate.last_ms < SAMPLE_MS)
        return;
    if (runner->unmeasured ||
        (numbers->status == EVENT_OPEN && !numbers->restoring && numbers->queue_size)) {
        admission_rate_add(&runner->rate, &(struct admission_tick){.admitted = runner->unmeasured,
                                                                   .active = numbers->active,
                                                                   .threshold = numbers->threshold,
                                                                   .waiting = numbers->queue_size,
                                                                   .now_ms = numbers->now_ms});
    } else {
        runner->rate.last_ms = numbers->now_ms;
        runner->rate.active = numbers->active;
    }
    runner->unmeasured = 0;
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
    if (tick->part == QUEUE_PROMOTE_TICK)
        event_stats_ticked(runner->stats.out);
    event_runner_report(runner, FAILURE_TICK, ST_OK);
    measure_rate(runner, numbers);
    runner->waiting = numbers->queue_size;
    if (tick->promoted || tick->evicted) {
        log_debug("tick done", LOG_TEXT("event", runner->id), LOG_NUM("promoted", tick->promoted),
                  LOG_NUM("evicted", tick->evicted), LOG_NUM("inside", numbers->active),
                  LOG_NUM("waiting", numbers->queue_size));
        ledger_poke(runner->ledger, &runner->live);
        if (tick->part == QUEUE_PROMOTE_TICK)
            event_runner_publish_index(runner);
    }
    if (tick->part == QUEUE_PROMOTE_TICK)
        publish_numbers(runner, numbers);
    if (tick->limit.by == LIMITED_BY_OUTFLOW) /* the next token is for the first in line */
        refill_at(runner, now_ms(runner) + (uint64_t)tick->limit.outflow_wait_ms, false);
    for (size_t i = 0; i < tick->request.reply_count; i++)
        publish_processed(runner, tick->request.replies[i]);
    tick_end(runner);
}

static void tick_step_done(void *arg, enum status status, const struct queue_tick *result)
{
    struct event_runner *runner = arg;
    struct tick *tick = &runner->tick;
    struct tick_request *request = &tick->request;
    if (!event_runner_arrived(runner))
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
    tick->evicted +=
        result->evicted_idle + result->evicted_session + result->unclaimed + result->idle_kept;
    tick->limit = result->limit;
    event_runner_stats_tick(runner, result);
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

void event_runner_tick_step(void *arg)
{
    struct event_runner *runner = arg;
    if (!runner->held) {
        runner->tick.running = false;
        return;
    }
    crash_point("tick-before-promote");
    enum status st = queue_promote(runner->processor->opts.queue, runner->id,
                                   &(struct queue_promotion){.lease = lease_value(runner->lease),
                                                             .admit = runner->tick.request.admit,
                                                             .part = runner->tick.part},
                                   tick_step_done, runner);
    if (st == ST_OK)
        runner->pending++;
    else
        tick_failed(runner, st);
}

void event_runner_on_timer(void *arg)
{
    struct event_runner *runner = arg;
    if (!runner->ready || runner->tick.running)
        return;
    if (now_ms(runner) >= regular_due(runner) || !runner->refill_ms)
        tick_begin(runner, QUEUE_PROMOTE_TICK);
    else
        tick_begin(runner, runner->refill_checks ? QUEUE_PROMOTE_CHECK : QUEUE_PROMOTE_REFILL);
}

void event_runner_tick_now(struct event_runner *runner, uint64_t admit, const char *reply)
{
    struct tick_request *due = &runner->due;
    if (runner->closing || (!runner->ready && !reply))
        return;
    if (!runner->ready && now_ms(runner) >= runner->due_until_ms) {
        /* The lease holder answers the request. This pod keeps it, in case it gains the lease in time. */
        event_runner_drop_requests(runner);
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
        tick_begin(runner, QUEUE_PROMOTE_TICK);
}
