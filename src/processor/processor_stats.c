/* SPDX-License-Identifier: MIT */
/*
 * processor_stats: tells the metrics what is known of one live event.
 *
 *   index published   the event's numbers; an estimate is noted; PostgreSQL is asked for the stock, if it is time
 *   tick              the waits of those whom it admitted, and how wrong the estimates were that they reach
 *
 * Why this way: ticks and indexes bring nearly all numbers anyway; nothing here grows with the number of buyers who wait. A
 * wait follows from the place, which is the time at which it was given. The error of an estimate is measured with what the last
 * in line was told: when somebody at that place or behind it is admitted, the time since then is what that buyer has waited.
 * At most TOLD_MAX estimates are noted; when they are too many, every second one is dropped, and they are noted half as often.
 * Called by: processor_runner. Owns: the noted estimates; at most one call to PostgreSQL. Redis or PostgreSQL gone: the numbers
 * stay as they are, and their ages grow.
 */
#include "processor/processor_internal.h"

#include "base/locale.h"
#include "queue/estimate.h"
#include "selling/history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TOLD_EVERY_MS  2000
#define STOCK_EVERY_MS 5000
#define STOCK_SHARE    50 /* counting takes at most one part in so many of the time */
#define STOCK_JSON_MAX 4096

void event_runner_stats_hold(struct event_runner *runner, bool held)
{
    struct runner_stats *stats = &runner->stats;
    /* The fencing token of the first holder is 1. */
    event_stats_hold(stats->out, held, strncmp(lease_value(runner->lease)->text, "1:", 2) != 0);
    stats->told_count = 0;
    stats->told_every_ms = TOLD_EVERY_MS;
    stats->stock_ms = 0;
}

/* ---- estimates ---- */

/* Returns the wait that the last in line is told; below 0: no estimate, or nobody enters whatever it says: every seat is
 * held, or places are being restored. Notes it, if it is time. */
static double note_estimate(struct event_runner *runner, const struct rank_index *index)
{
    struct runner_stats *stats = &runner->stats;
    if (stats->told_epoch != index->epoch)
        stats->told_count = 0;
    stats->told_epoch = index->epoch;
    const struct wait_estimate wait = estimate_wait(index, &runner->live, index->queue_size);
    if (index->queue_size == 0 || index->count == 0 || !wait.known || index->seats_left == 0 ||
        index->restoring)
        return -1;
    if (wait.low_confidence) /* a guess: its error is not that of the measurement */
        return (double)wait.seconds;
    const struct told_estimate told = {.place = index->samples[index->count - 1].place,
                                       .at_ms = index->time_ms,
                                       .seconds = (double)wait.seconds};
    const struct told_estimate *last =
        stats->told_count ? &stats->told[stats->told_count - 1] : NULL;
    if (last && (told.place <= last->place || told.at_ms - last->at_ms < stats->told_every_ms))
        return told.seconds;
    if (stats->told_count == TOLD_MAX) {
        for (size_t i = 0; i < TOLD_MAX / 2; i++)
            stats->told[i] = stats->told[2 * i];
        stats->told_count = TOLD_MAX / 2;
        stats->told_every_ms *= 2;
    }
    stats->told[stats->told_count++] = told;
    return told.seconds;
}

/* Somebody with this place was admitted at `now_ms`. */
static void judge_estimates(struct runner_stats *stats, uint64_t place, int64_t now_ms)
{
    size_t reached = 0;
    while (reached < stats->told_count && stats->told[reached].place <= place) {
        const struct told_estimate *told = &stats->told[reached++];
        event_stats_erred(stats->out, (double)(now_ms - told->at_ms) / 1000 - told->seconds);
    }
    stats->told_count -= reached;
    memmove(stats->told, stats->told + reached, stats->told_count * sizeof(stats->told[0]));
    if (stats->told_count == 0)
        stats->told_every_ms = TOLD_EVERY_MS;
}

void event_runner_stats_tick(struct event_runner *runner, const struct queue_tick *result)
{
    const int64_t now_ms = result->numbers.now_ms;
    uint64_t highest = 0;
    char *end;
    for (const char *at = result->places; *at != '\0'; at = end) {
        const uint64_t place = strtoull(at, &end, 10);
        if (end == at)
            break;
        event_stats_waited(runner->stats.out, (double)(now_ms - (int64_t)(place / 1000)) / 1000);
        highest = place > highest ? place : highest;
    }
    if (highest > 0)
        judge_estimates(&runner->stats, highest, now_ms);
}

/* ---- the stock ---- */

static void stock_counted(void *arg, enum status status, const char *outcome, const char *body,
                          size_t len)
{
    struct event_runner *runner = arg;
    struct runner_stats *stats = &runner->stats;
    const uint64_t now = loop_now_ms(runner->processor->opts.loop);
    const uint64_t took = (now - stats->stock_began_ms) * STOCK_SHARE;
    (void)outcome;
    stats->counting_stock = false;
    stats->stock_ms = now + (took > STOCK_EVERY_MS ? took : STOCK_EVERY_MS);
    if (!event_runner_arrived(runner) || !runner->held || status != ST_OK)
        return;
    struct json *result = json_parse(body, len, STOCK_JSON_MAX, NULL);
    const char *currency = json_str(result, "currency");
    if (currency && strlen(currency) < EVENT_CURRENCY_SIZE) {
        struct event_stock stock = {.free = json_int(result, "free", 0),
                                    .held = json_int(result, "held", 0),
                                    .sold = json_int(result, "sold", 0),
                                    .blocked = json_int(result, "blocked", 0)};
        const int decimals = locale_currency_decimals(currency);
        memcpy(stock.currency, currency, strlen(currency) + 1);
        stock.revenue =
            (double)json_int(result, "revenue", 0) / pow(10, decimals > 0 ? decimals : 0);
        event_stats_note_stock(stats->out, &stock);
    }
    json_free(result);
}

static void count_stock(struct event_runner *runner)
{
    struct runner_stats *stats = &runner->stats;
    const uint64_t now = loop_now_ms(runner->processor->opts.loop);
    if (runner->live.seats == 0 || stats->counting_stock || now < stats->stock_ms ||
        history_stock(runner->processor->opts.db, runner->id, stock_counted, runner) != ST_OK)
        return;
    stats->counting_stock = true;
    stats->stock_began_ms = now;
    runner->pending++;
}

/* ---- once a second ---- */

void event_runner_stats_index(struct event_runner *runner, const struct rank_index *index,
                              const struct queue_published *published)
{
    const bool open = index->status == EVENT_OPEN && !index->restoring;
    struct event_numbers numbers = {
        .status = index->status,
        .admissions_per_second = open && isfinite(index->rate_mean) ? index->rate_mean : 0,
        .estimate_s = note_estimate(runner, index),
    };
    const char *shard = queue_shard(runner->processor->opts.queue, runner->id);
    if (shard)
        (void)snprintf(numbers.shard, sizeof(numbers.shard), "%.*s", (int)sizeof(numbers.shard) - 1,
                       shard);
    if (admission_limit_parse(published->limit, &numbers.limit) == ST_OK &&
        event_counts_parse(published->counts, numbers.counts) == ST_OK)
        event_stats_note(runner->stats.out, &numbers);
    count_stock(runner);
}
