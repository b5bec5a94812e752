/* SPDX-License-Identifier: MIT */
/*
 * processor_minutes: the record of the whole sale, minute by minute, in PostgreSQL.
 *
 *   a minute has ended -> read the statistics from Redis -> minutes_store (at most an hour in one call)
 *
 * Why this way: Redis keeps an hour, and may lose it; the report of a sale is wanted the next day. A finished minute
 * does not change, so whoever holds the lease writes the same rows, and a row that is there stays.
 * Called by: processor_runner. Owns: at most one call under way. PostgreSQL gone: repeated each second, and nothing is
 * missing if it is back within the hour that Redis keeps. Redis gone: what it loses with that hour is not copied.
 */
#include "processor/processor_internal.h"

#include "base/clock.h"
#include "queue/minutes.h"
#include "selling/history.h"

#include <inttypes.h>

#define MINUTES_JSON_MAX 65536

static void stored(void *arg, enum status status, const char *outcome, const char *body, size_t len)
{
    struct event_runner *runner = arg;
    (void)outcome, (void)body, (void)len;
    runner->copying_minutes = false;
    if (!event_runner_arrived(runner))
        return;
    event_runner_report(runner, FAILURE_MINUTES, status);
    if (status == ST_OK)
        runner->minutes_until = runner->minutes_copying;
}

/* Writes those of `first` and later; "" if there are none. */
static void write_minutes(struct buf *out, const struct minute *minutes, size_t count,
                          int64_t first)
{
    const char *before = "[";
    for (size_t i = 0; i < count; i++) {
        char at[CLOCK_RFC3339_SIZE];
        if (minutes[i].at < first)
            continue;
        clock_format_rfc3339(minutes[i].at * 60000, at);
        buf_printf(out, "%s{\"at\":\"%s\"", before, at);
        for (enum minute_value value = 0; value < MINUTE_VALUES; value++)
            buf_printf(out, ",\"%s\":%" PRId64, minute_name(value), minutes[i].values[value]);
        buf_add_char(out, '}');
        before = ",";
    }
    if (out->len > 0)
        buf_add_char(out, ']');
}

static void stats_read(void *arg, enum status status, const struct queue_stat *list, size_t count)
{
    struct event_runner *runner = arg;
    struct minute minutes[MINUTES_MAX];
    struct buf text;
    runner->copying_minutes = false;
    if (!event_runner_arrived(runner) || !runner->held || status != ST_OK)
        return; /* Redis is gone or another pod has the lease: the next second tries again */
    const size_t found = minutes_read(list, count, minutes);
    buf_init(&text, MINUTES_JSON_MAX);
    write_minutes(&text, minutes, found, runner->minutes_until);
    if (text.len == 0) {
        runner->minutes_until = runner->minutes_copying;
        buf_clear(&text);
        return;
    }
    enum status st = buf_status(&text);
    if (st == ST_OK)
        st = history_store_minutes(runner->processor->opts.db, runner->id, buf_str(&text), stored,
                                   runner);
    buf_clear(&text);
    if (st == ST_OK) {
        runner->copying_minutes = true;
        runner->pending++;
    } else {
        event_runner_report(runner, FAILURE_MINUTES, st);
    }
}

void event_runner_copy_minutes(struct event_runner *runner, int64_t minute)
{
    if (runner->copying_minutes || minute <= runner->minutes_until)
        return;
    if (queue_read_stats(runner->processor->opts.queue, runner->id, stats_read, runner) != ST_OK)
        return;
    runner->minutes_copying = minute;
    runner->copying_minutes = true;
    runner->pending++;
}
