/* SPDX-License-Identifier: MIT */
/*
 * processor_feedback: the loop between the shop's health and the threshold of one live event.
 *
 *   once a second, where thresholdMin is set: read the last report -> feedback_step -> write the limit -> audit, log
 *
 * Why this way: the lease holder alone decides, so a step is taken once, whatever pod got the report. Its state is in
 * Redis beside the limit, so the next lease holder goes on with it. After a loss of Redis the limit is gone, and the
 * first report that the shop is not well brings it back.
 * Called by: processor_runner. Owns: at most one call under way. Redis gone: the limit stays as it is. PostgreSQL gone:
 * the limit changes all the same, and its audit entry is missing; the log has it.
 */
#include "processor/processor_internal.h"

#include "base/log.h"
#include "base/memory.h"
#include "queue/catalog_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define ASK_EVERY_MS 5000 /* a Prometheus, where one is set */

/* A step on its way into Redis, and then into the audit. */
struct feedback_change {
    struct event_runner *runner;
    enum feedback_cause cause;
    struct feedback_health health;
    int64_t before, after; /* thresholds in force */
};

static void audited(void *arg, enum status status, const char *json, size_t len)
{
    struct feedback_change *change = arg;
    (void)json, (void)len;
    if (status != ST_OK)
        log_warn("audit entry of feedback not written", LOG_TEXT("event", change->runner->id),
                 LOG_TEXT("status", status_name(status)));
    (void)event_runner_arrived(change->runner);
    free(change);
}

static void tell(struct feedback_change *change)
{
    struct event_runner *runner = change->runner;
    char after[256];
    log_info("threshold changed by the shop's health", LOG_TEXT("event", runner->id),
             LOG_TEXT("cause", feedback_cause_name(change->cause)),
             LOG_NUM("before", change->before), LOG_NUM("after", change->after),
             LOG_NUM("p95Ms", change->health.p95_ms),
             LOG_NUM("errorsPerMillion", change->health.error_rate * 1e6));
    (void)snprintf(after, sizeof(after),
                   "{\"cause\":\"%s\",\"from\":%" PRId64 ",\"to\":%" PRId64 ",\"p95Ms\":%" PRId64
                   ",\"errorRate\":%.4f}",
                   feedback_cause_name(change->cause), change->before, change->after,
                   change->health.p95_ms, change->health.error_rate);
    const struct catalog_audit_entry entry = {
        .event = runner->id, .who = "tiketi", .verb = "feedback", .after = after};
    runner->pending++;
    const enum status st = catalog_audit_note(runner->processor->opts.db, &entry, audited, change);
    if (st != ST_OK)
        audited(change, st, NULL, 0);
}

static void written(void *arg, enum status status, const struct queue_feedback *feedback)
{
    struct feedback_change *change = arg;
    struct event_runner *runner = change->runner;
    (void)feedback;
    runner->feeding_back = false;
    if (!event_runner_arrived(runner) || status != ST_OK) {
        free(change); /* the report is judged again in a second, by whoever has the lease then */
        return;
    }
    runner->judged_ms = change->health.at_ms;
    if (change->after > change->before)
        event_runner_tick_now(runner, 0, NULL);
    tell(change);
}

static int64_t in_force(int64_t limit, int64_t most)
{
    return limit > 0 && limit < most ? limit : most;
}

/* Judges the report; true: the limit changed, and is on its way into Redis. */
static bool judge(struct event_runner *runner, const struct queue_feedback *found)
{
    const struct event *event = &runner->live;
    const struct feedback_rule rule = {.min = event->threshold_min,
                                       .most = found->most,
                                       .target_p95_ms = event->target_p95_ms,
                                       .target_error_rate =
                                           (double)event->target_error_percent / 100};
    const struct feedback_room room = {.inside = (int64_t)found->numbers.active,
                                       .waiting = (int64_t)found->numbers.queue_size,
                                       .now_ms = found->numbers.now_ms};
    struct feedback state = found->state;
    if (state.judged_ms < runner->judged_ms && found->health.at_ms >= runner->judged_ms)
        state.judged_ms = runner->judged_ms;
    const enum feedback_cause cause = feedback_step(&state, &rule, &found->health, &room);
    runner->feedback_ended = state.limit == 0 && rule.min == 0;
    if (cause == FEEDBACK_NONE) {
        runner->judged_ms = state.judged_ms;
        return false;
    }
    struct feedback_change *change = xcalloc(1, sizeof(*change));
    *change = (struct feedback_change){.runner = runner,
                                       .cause = cause,
                                       .health = found->health,
                                       .before = in_force(found->state.limit, found->most),
                                       .after = in_force(state.limit, found->most)};
    if (queue_write_feedback(runner->processor->opts.queue, runner->id, lease_value(runner->lease),
                             &state, written, change) == ST_OK)
        return true;
    free(change);
    return false;
}

static void feedback_read(void *arg, enum status status, const struct queue_feedback *feedback)
{
    struct event_runner *runner = arg;
    runner->feeding_back = false;
    if (!event_runner_arrived(runner) || !runner->ready || status != ST_OK)
        return;
    if (judge(runner, feedback)) {
        runner->feeding_back = true;
        runner->pending++;
    }
}

/* ---- a Prometheus that knows the shop ---- */

static void report_kept(void *arg, enum status status, const struct queue_feedback *feedback)
{
    struct event_runner *runner = arg;
    (void)status, (void)feedback; /* lost with Redis: the next one comes soon */
    runner->asking_shop = false;
    (void)event_runner_arrived(runner);
}

static void shop_told(void *arg, enum status status, const struct feedback_health *health)
{
    struct event_runner *runner = arg;
    runner->asking_shop = false;
    if (!event_runner_arrived(runner) || status != ST_OK || !runner->held)
        return;
    if (queue_report_health(runner->processor->opts.queue, runner->id, health, report_kept,
                            runner) != ST_OK)
        return;
    runner->asking_shop = true;
    runner->pending++;
}

static void ask_shop(struct event_runner *runner)
{
    struct shop_health *shop = runner->processor->opts.shop;
    const uint64_t now = loop_now_ms(runner->processor->opts.loop);
    if (!shop || runner->asking_shop || now - runner->asked_ms < ASK_EVERY_MS)
        return;
    runner->asked_ms = now;
    if (shop_health_ask(shop, runner->id, shop_told, runner) != ST_OK)
        return;
    runner->asking_shop = true;
    runner->pending++;
}

void event_runner_feedback(struct event_runner *runner)
{
    if (runner->live.threshold_min > 0) {
        runner->feedback_ended = false;
        ask_shop(runner);
    }
    if (runner->feedback_ended || runner->feeding_back)
        return;
    if (queue_read_feedback(runner->processor->opts.queue, runner->id, feedback_read, runner) !=
        ST_OK)
        return;
    runner->feeding_back = true;
    runner->pending++;
}
