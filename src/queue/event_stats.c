/* SPDX-License-Identifier: MIT */
/*
 * event_stats: the numbers of the events that this process works on, for the metrics.
 *
 * Why this way: a scrape is answered by an api worker, and the numbers belong to a processor: they meet in this list, under a
 * lock that both hold for no longer than a copy takes. Ages are made of times when they are read, so that they grow when the
 * processor's thread stands still.
 * Called by: processor_runner and processor_stats (on their thread), api_metrics (any thread). Owns: the list.
 * Invariants: at most EVENT_STATS_MAX events are told, so a scrape is bounded; an event without series of its own is counted
 * as unexported. Two workers of one process may have the same event, but not at the same time its lease.
 */
#include "queue/event_stats.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_NS UINT64_C(60000000000) /* a closed event is told for so long after its last buyer */

/* What is told of one event. */
struct told {
    char id[EVENT_ID_MAX + 1];
    bool held, noted, stocked;
    struct event_numbers numbers; /* if noted */
    struct event_stock stock;     /* if stocked */
    uint64_t ticked_ns, noted_ns; /* 0: never, under this lease */
    int64_t direct;               /* direct admissions that waits counts already; -1: not known */
    uint64_t empty_ns;            /* since when it is closed, with nobody inside; 0: it is not */
    struct histogram waits, late, early;
};

struct event_stats {
    struct event_stats *next;
    bool exported;
    bool counted; /* as one that is not exported */
    struct told told;
};

static struct event_stats *first;
static unsigned exported;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- the processor ---- */

/* Gives the event series if there are some left, or if it is held and another one that has them is not. */
static void take_series(struct event_stats *stats)
{
    if (stats->exported)
        return;
    if (exported == EVENT_STATS_MAX && stats->told.held) {
        struct event_stats *other = first;
        while (other && !(other->exported && !other->told.held))
            other = other->next;
        if (other) {
            other->exported = false;
            exported--;
        }
    }
    if (exported < EVENT_STATS_MAX) {
        stats->exported = true;
        exported++;
    } else if (stats->told.held && !stats->counted) {
        stats->counted = true;
        metrics_add(METRIC_EVENTS_UNEXPORTED, 1);
    }
}

struct event_stats *event_stats_open(const char *id)
{
    struct event_stats *stats = xcalloc(1, sizeof(*stats));
    (void)snprintf(stats->told.id, sizeof(stats->told.id), "%s", id);
    pthread_mutex_lock(&lock);
    stats->next = first;
    first = stats;
    take_series(stats);
    pthread_mutex_unlock(&lock);
    return stats;
}

void event_stats_close(struct event_stats *stats)
{
    if (!stats)
        return;
    pthread_mutex_lock(&lock);
    struct event_stats **at = &first;
    while (*at != stats)
        at = &(*at)->next;
    *at = stats->next;
    exported -= stats->exported;
    pthread_mutex_unlock(&lock);
    free(stats);
}

void event_stats_hold(struct event_stats *stats, bool held, bool ever)
{
    pthread_mutex_lock(&lock);
    stats->told.direct = ever ? -1 : 0;
    stats->told.held = held;
    stats->told.noted = stats->told.stocked = false;
    stats->told.ticked_ns = stats->told.noted_ns = 0;
    take_series(stats);
    pthread_mutex_unlock(&lock);
}

void event_stats_ticked(struct event_stats *stats)
{
    pthread_mutex_lock(&lock);
    stats->told.ticked_ns = clock_mono_ns();
    pthread_mutex_unlock(&lock);
}

void event_stats_note(struct event_stats *stats, const struct event_numbers *numbers)
{
    struct told *told = &stats->told;
    const uint64_t now = clock_mono_ns();
    const int64_t direct = numbers->counts[EVENT_COUNT_DIRECT];
    pthread_mutex_lock(&lock);
    const int64_t before = told->direct >= 0 ? told->direct : direct;
    const bool over = numbers->status == EVENT_CLOSED && numbers->limit.inside == 0;
    take_series(stats); /* another event may have given its own back */
    told->empty_ns = !over ? 0 : told->empty_ns ? told->empty_ns : now;
    told->direct = direct;
    told->numbers = *numbers;
    told->noted = true;
    told->noted_ns = now;
    for (int64_t i = before; i < direct; i++)
        histogram_observe(&told->waits, histogram_long_s, 0);
    pthread_mutex_unlock(&lock);
}

void event_stats_note_stock(struct event_stats *stats, const struct event_stock *stock)
{
    pthread_mutex_lock(&lock);
    stats->told.stock = *stock;
    stats->told.stocked = true;
    pthread_mutex_unlock(&lock);
}

void event_stats_waited(struct event_stats *stats, double seconds)
{
    pthread_mutex_lock(&lock);
    histogram_observe(&stats->told.waits, histogram_long_s, seconds);
    pthread_mutex_unlock(&lock);
}

void event_stats_erred(struct event_stats *stats, double seconds)
{
    pthread_mutex_lock(&lock);
    histogram_observe(seconds < 0 ? &stats->told.early : &stats->told.late, histogram_long_s,
                      fabs(seconds));
    pthread_mutex_unlock(&lock);
}

enum status event_counts_parse(const char *text, int64_t counts[EVENT_COUNT_COUNT])
{
    for (size_t i = 0; i < EVENT_COUNT_COUNT; i++) {
        char *end;
        counts[i] = strtoll(text, &end, 10);
        if (end == text || *end != (i + 1 < EVENT_COUNT_COUNT ? ' ' : '\0'))
            return ST_INVALID;
        text = end + 1;
    }
    return ST_OK;
}

/* ---- writing ---- */

/* Everything that is told, of one moment. */
struct snapshot {
    const struct metrics_text *text;
    uint64_t now_ns;
    size_t count;
    struct told *events;
    char labels[EVENT_ID_MAX + 128];
};

/* Is more told than whether the lease is held? */
static bool is_told(const struct told *told)
{
    return told->held && told->noted;
}

/* name NULL: the event's label alone. An id has letters, digits, '-' and '_': nothing is to be escaped. */
static const char *label(struct snapshot *snapshot, const struct told *told, const char *name,
                         const char *value)
{
    if (name)
        (void)snprintf(snapshot->labels, sizeof(snapshot->labels), "event=\"%s\",%s=\"%s\"",
                       told->id, name, value);
    else
        (void)snprintf(snapshot->labels, sizeof(snapshot->labels), "event=\"%s\"", told->id);
    return snapshot->labels;
}

static struct snapshot take_snapshot(const struct metrics_text *text, uint64_t now_ns)
{
    struct snapshot snapshot = {.text = text, .now_ns = now_ns};
    pthread_mutex_lock(&lock);
    snapshot.events = xcalloc(exported + 1, sizeof(*snapshot.events));
    for (const struct event_stats *stats = first; stats; stats = stats->next) {
        const struct told *told = &stats->told;
        bool again = false; /* another worker of this process has the event */
        for (size_t i = 0; i < snapshot.count; i++)
            again = again || strcmp(snapshot.events[i].id, told->id) == 0;
        if (stats->exported && !again &&
            !(told->empty_ns && now_ns > told->empty_ns && now_ns - told->empty_ns > KEEP_NS))
            snapshot.events[snapshot.count++] = *told;
    }
    pthread_mutex_unlock(&lock);
    return snapshot;
}

/* ---- numbers: one sample for each event ---- */

enum number {
    NUMBER_WAITING,
    NUMBER_INSIDE,
    NUMBER_THRESHOLD,
    NUMBER_IN_FORCE,
    NUMBER_JOINED,
    NUMBER_PARKED,
    NUMBER_RATE,
    NUMBER_ESTIMATE,
    NUMBER_TICK_AGE,
    NUMBER_INDEX_AGE,
    NUMBER_LEDGER_LAG,
    NUMBER_COUNT
};

static const struct {
    const char *name, *type, *help;
} number_rows[NUMBER_COUNT] = {
    [NUMBER_WAITING] = {"tiketi_event_waiting", "gauge", "Buyers who wait."},
    [NUMBER_INSIDE] = {"tiketi_event_inside", "gauge",
                       "Buyers inside: with an offer, or with a turn."},
    [NUMBER_THRESHOLD] = {"tiketi_event_threshold", "gauge", "The base threshold."},
    [NUMBER_IN_FORCE] = {"tiketi_event_threshold_in_force", "gauge",
                         "The threshold in force, by surge rules and the shop's health."},
    [NUMBER_JOINED] = {"tiketi_event_joined_total", "counter", "Places given."},
    [NUMBER_PARKED] = {"tiketi_event_parked", "gauge",
                       "Waiting buyers who are set aside, and keep their places."},
    [NUMBER_RATE] = {"tiketi_event_admissions_per_second", "gauge",
                     "Admissions from the queue, as the ticks measured them."},
    [NUMBER_ESTIMATE] =
        {"tiketi_event_wait_estimate_seconds", "gauge",
         "The wait that the last in line is told; none while it is not known, or nobody enters."},
    [NUMBER_TICK_AGE] = {"tiketi_event_tick_age_seconds", "gauge", "Time since the last tick."},
    [NUMBER_INDEX_AGE] = {"tiketi_event_index_age_seconds", "gauge",
                          "Time since the rank index was published."},
    [NUMBER_LEDGER_LAG] = {"tiketi_event_ledger_lag_seconds", "gauge",
                           "Age of the oldest entry of the admission log that is not in "
                           "PostgreSQL; 0: all are."},
};

/* NAN: it has not happened under this lease. */
static double age_of(uint64_t now_ns, uint64_t at_ns)
{
    return at_ns == 0 ? (double)NAN : now_ns > at_ns ? (double)(now_ns - at_ns) / 1e9 : 0;
}

/* NAN: it is not known. */
static double read_number(const struct told *told, enum number number, uint64_t now_ns)
{
    const struct event_numbers *numbers = &told->numbers;
    switch (number) {
    case NUMBER_WAITING:
        return (double)numbers->limit.waiting;
    case NUMBER_INSIDE:
        return (double)numbers->limit.inside;
    case NUMBER_THRESHOLD:
        return (double)numbers->limit.base;
    case NUMBER_IN_FORCE:
        return (double)numbers->limit.threshold;
    case NUMBER_JOINED:
        return (double)numbers->counts[EVENT_COUNT_JOINED];
    case NUMBER_PARKED:
        return (double)numbers->counts[EVENT_COUNT_PARKED];
    case NUMBER_RATE:
        return numbers->admissions_per_second;
    case NUMBER_ESTIMATE:
        return numbers->estimate_s >= 0 ? numbers->estimate_s : (double)NAN;
    case NUMBER_TICK_AGE:
        return age_of(now_ns, told->ticked_ns);
    case NUMBER_INDEX_AGE:
        return age_of(now_ns, told->noted_ns);
    case NUMBER_LEDGER_LAG:
        return (double)numbers->counts[EVENT_COUNT_LEDGER_LAG] / 1000;
    case NUMBER_COUNT:
        break;
    }
    return (double)NAN;
}

static void write_numbers(struct snapshot *snapshot)
{
    for (size_t n = 0; n < NUMBER_COUNT; n++) {
        metrics_text_family(snapshot->text, number_rows[n].name, number_rows[n].type,
                            number_rows[n].help);
        for (size_t i = 0; i < snapshot->count; i++) {
            const struct told *told = &snapshot->events[i];
            const double value =
                is_told(told) ? read_number(told, (enum number)n, snapshot->now_ns) : (double)NAN;
            if (!isnan(value))
                metrics_text_number(snapshot->text, number_rows[n].name,
                                    label(snapshot, told, NULL, NULL), value);
        }
    }
}

/* ---- families with a second label ---- */

static void write_lease(struct snapshot *snapshot)
{
    static const char name[] = "tiketi_event_lease_held";
    metrics_text_family(snapshot->text, name, "gauge",
                        "1: this process works on the event; 0: it would if it could.");
    for (size_t i = 0; i < snapshot->count; i++)
        metrics_text_count(snapshot->text, name, label(snapshot, &snapshot->events[i], NULL, NULL),
                           snapshot->events[i].held);
}

static void write_status(struct snapshot *snapshot)
{
    static const char name[] = "tiketi_event_status";
    metrics_text_family(snapshot->text, name, "gauge", "1 for the status in force, 0 for others.");
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct told *told = &snapshot->events[i];
        for (int status = EVENT_SCHEDULED; is_told(told) && status <= EVENT_CLOSED; status++)
            metrics_text_count(
                snapshot->text, name,
                label(snapshot, told, "status", event_status_name((enum event_status)status)),
                told->numbers.status == (enum event_status)status);
    }
}

static void write_limited_by(struct snapshot *snapshot)
{
    static const char name[] = "tiketi_event_limited_by";
    metrics_text_family(snapshot->text, name, "gauge",
                        "1 for what keeps the next buyer out now, 0 for other reasons.");
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct told *told = &snapshot->events[i];
        for (int by = LIMITED_BY_THRESHOLD; is_told(told) && by < LIMITED_BY_STARTING; by++)
            metrics_text_count(snapshot->text, name,
                               label(snapshot, told, "reason",
                                     admission_limited_by_name((enum admission_limited_by)by)),
                               told->numbers.limit.by == (enum admission_limited_by)by);
    }
}

/* Only in a Redis Cluster. */
static void write_shard(struct snapshot *snapshot)
{
    static const char name[] = "tiketi_event_shard";
    bool any = false;
    for (size_t i = 0; i < snapshot->count; i++)
        any = any || *snapshot->events[i].numbers.shard;
    if (!any)
        return;
    metrics_text_family(snapshot->text, name, "gauge",
                        "1, with the shard of the Redis Cluster that has the event.");
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct told *told = &snapshot->events[i];
        if (is_told(told) && *told->numbers.shard)
            metrics_text_count(snapshot->text, name,
                               label(snapshot, told, "shard", told->numbers.shard), 1);
    }
}

struct kind {
    const char *name;
    enum event_count count;
};

static void write_kinds(struct snapshot *snapshot, const char *name, const char *help,
                        const struct kind *kinds, size_t count)
{
    metrics_text_family(snapshot->text, name, "counter", help);
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct told *told = &snapshot->events[i];
        for (size_t k = 0; is_told(told) && k < count; k++)
            metrics_text_number(snapshot->text, name, label(snapshot, told, "kind", kinds[k].name),
                                (double)told->numbers.counts[kinds[k].count]);
    }
}

static void write_seats(struct snapshot *snapshot)
{
    static const char name[] = "tiketi_event_seats", money[] = "tiketi_event_revenue";
    metrics_text_family(snapshot->text, name, "gauge", "Seats by what has become of them.");
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct told *told = &snapshot->events[i];
        const struct event_stock *stock = &told->stock;
        const struct {
            const char *state;
            int64_t count;
        } rows[] = {{"free", stock->free},
                    {"held", stock->held},
                    {"sold", stock->sold},
                    {"blocked", stock->blocked}};
        for (size_t r = 0; is_told(told) && told->stocked && r < 4; r++)
            metrics_text_number(snapshot->text, name, label(snapshot, told, "state", rows[r].state),
                                (double)rows[r].count);
    }
    metrics_text_family(snapshot->text, money, "gauge",
                        "Price of the sold seats, in units of the currency.");
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct told *told = &snapshot->events[i];
        if (is_told(told) && told->stocked)
            metrics_text_number(snapshot->text, money,
                                label(snapshot, told, "currency", told->stock.currency),
                                told->stock.revenue);
    }
}

static void write_histograms(struct snapshot *snapshot)
{
    static const char waits[] = "tiketi_event_wait_seconds";
    static const char errors[] = "tiketi_event_estimate_error_seconds";
    metrics_text_family(snapshot->text, waits, "histogram",
                        "Waits of admitted buyers, from the place to the admission.");
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct told *told = &snapshot->events[i];
        if (is_told(told))
            metrics_text_histogram(snapshot->text, waits, label(snapshot, told, NULL, NULL),
                                   &told->waits, histogram_long_s);
    }
    metrics_text_family(snapshot->text, errors, "histogram",
                        "By how much waits differed from the estimates at their beginning.");
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct told *told = &snapshot->events[i];
        if (!is_told(told))
            continue;
        metrics_text_histogram(snapshot->text, errors, label(snapshot, told, "wait", "longer"),
                               &told->late, histogram_long_s);
        metrics_text_histogram(snapshot->text, errors, label(snapshot, told, "wait", "shorter"),
                               &told->early, histogram_long_s);
    }
}

void event_stats_write(const struct metrics_text *text, uint64_t now_ns)
{
    static const struct kind admitted[] = {{"direct", EVENT_COUNT_DIRECT},
                                           {"promoted", EVENT_COUNT_OFFERED},
                                           {"restored", EVENT_COUNT_RESTORED}};
    static const struct kind ended[] = {
        {"completed", EVENT_COUNT_COMPLETED}, {"left", EVENT_COUNT_LEFT},
        {"idle", EVENT_COUNT_IDLE},           {"idle_kept", EVENT_COUNT_IDLE_KEPT},
        {"timeout", EVENT_COUNT_TIMEOUT},     {"unclaimed", EVENT_COUNT_UNCLAIMED},
        {"withdrawn", EVENT_COUNT_WITHDRAWN}};
    struct snapshot snapshot = take_snapshot(text, now_ns);
    write_lease(&snapshot);
    write_status(&snapshot);
    write_shard(&snapshot);
    write_limited_by(&snapshot);
    write_numbers(&snapshot);
    write_kinds(&snapshot, "tiketi_event_admitted_total", "Admissions.", admitted,
                sizeof(admitted) / sizeof(admitted[0]));
    write_kinds(&snapshot, "tiketi_event_ended_total",
                "Admissions that ended; withdrawn: waiting buyers who left.", ended,
                sizeof(ended) / sizeof(ended[0]));
    write_seats(&snapshot);
    write_histograms(&snapshot);
    free(snapshot.events);
}
