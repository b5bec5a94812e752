/* SPDX-License-Identifier: MIT */
/*
 * minutes: what happened in each minute of a sale.
 *
 * lua/index.lua keeps an entry for each minute of the last hour, with the counters at the beginning of that minute.
 * What happened in a minute is the next entry minus its own; for the minute that runs, the counters of now minus its
 * own. When a counter is lower than before, Redis has lost it, and what it counts has happened since.
 * Called by: api_operate (the last hour), processor_minutes (the record of the whole sale). Pure.
 */
#include "queue/minutes.h"

#include <stdlib.h>
#include <string.h>

/* The name in answers, and that of the counter in stats:{id}. */
static const struct {
    const char *name, *counter;
} values[MINUTE_VALUES] = {
    [MINUTE_JOINED] = {"joined", "joined"},
    [MINUTE_ADMITTED] = {"admitted", "admitted"},
    [MINUTE_LEFT] = {"left", "left"},
    [MINUTE_WITHDRAWN] = {"withdrawn", "withdrawn"},
    [MINUTE_IDLE] = {"idle", "idle"},
    [MINUTE_TIMEOUT] = {"timeout", "timeout"},
    [MINUTE_COMPLETED] = {"completed", "completed"},
    [MINUTE_PARKED] = {"parked", "parked"},
    [MINUTE_DIRECT] = {"direct", "direct"},
    [MINUTE_CLAIMED] = {"claimed", "claimed"},
    [MINUTE_UNCLAIMED] = {"unclaimed", "unclaimed"},
    [MINUTE_IDLE_KEPT] = {"idleKept", "idle_kept"},
    [MINUTE_INSIDE] = {"currentUsers", ""},
    [MINUTE_WAITING] = {"queueSize", ""},
    [MINUTE_THRESHOLD] = {"threshold", ""},
    [MINUTE_QUEUE_PEAK] = {"queuePeak", ""},
};

const char *minute_name(enum minute_value value)
{
    return values[value].name;
}

/* The minute of an entry, whose name is "m<minutes since 1970>"; 0: it is another field. */
static int64_t minute_of(const struct queue_stat *stat)
{
    const char *digits = stat->name + 1;
    if (stat->name[0] != 'm' || strspn(digits, "0123456789") != strlen(digits))
        return 0;
    return strtoll(digits, NULL, 10);
}

bool minute_is_counter(const struct queue_stat *stat)
{
    return minute_of(stat) == 0 && strcmp(stat->name, "minute") != 0 &&
           strcmp(stat->name, "queuePeak") != 0 && strcmp(stat->name, "limit") != 0;
}

static int compare(const void *a, const void *b)
{
    const struct minute *one = a, *other = b;
    return one->at < other->at ? -1 : one->at > other->at;
}

/* Writes at most MINUTES_MAX entries in order of time; returns how many. */
static size_t read_entries(const struct queue_stat *list, size_t count,
                           struct minute out[MINUTES_MAX])
{
    size_t found = 0;
    for (size_t i = 0; i < count && found < MINUTES_MAX; i++) {
        struct minute entry = {.at = minute_of(&list[i])};
        const char *text = list[i].text;
        char *end;
        if (entry.at == 0 || !text)
            continue;
        for (size_t v = 0; v < MINUTE_VALUES; v++, text = end)
            entry.values[v] = strtoll(text, &end, 10);
        out[found++] = entry;
    }
    qsort(out, found, sizeof(*out), compare);
    return found;
}

/* Turns the counters of `from` into what happened until those of `to`. */
static void subtract(struct minute *from, const int64_t to[MINUTE_COUNTERS])
{
    for (size_t v = 0; v < MINUTE_COUNTERS; v++)
        from->values[v] = to[v] >= from->values[v] ? to[v] - from->values[v] : to[v];
}

size_t minutes_read(const struct queue_stat *list, size_t count, struct minute out[MINUTES_MAX])
{
    const size_t found = read_entries(list, count, out);
    for (size_t i = 0; i + 1 < found; i++) {
        subtract(&out[i], out[i + 1].values);
        memcpy(&out[i].values[MINUTE_COUNTERS], &out[i + 1].values[MINUTE_COUNTERS],
               (MINUTE_VALUES - MINUTE_COUNTERS) * sizeof(out[i].values[0]));
    }
    return found > 0 ? found - 1 : 0;
}

bool minutes_read_last(const struct queue_stat *list, size_t count, struct minute *out)
{
    struct minute entries[MINUTES_MAX];
    int64_t now[MINUTE_COUNTERS] = {0};
    const size_t found = read_entries(list, count, entries);
    if (found == 0)
        return false;
    *out = entries[found - 1];
    for (size_t i = 0; i < count; i++) {
        for (size_t v = 0; v < MINUTE_COUNTERS; v++) {
            if (strcmp(list[i].name, values[v].counter) == 0)
                now[v] = list[i].value;
        }
    }
    subtract(out, now);
    memset(&out->values[MINUTE_COUNTERS], 0,
           (MINUTE_VALUES - MINUTE_COUNTERS) * sizeof(out->values[0]));
    return true;
}

int64_t minutes_admitted(const struct queue_stat *list, size_t count, int64_t now_ms)
{
    struct minute minutes[MINUTES_MAX], last;
    const size_t found = minutes_read(list, count, minutes);
    const int64_t now = now_ms / 60000, left_ms = 60000 - now_ms % 60000;
    int64_t before = 0, running = 0;
    if (!minutes_read_last(list, count, &last))
        return 0;
    if (last.at == now) {
        running = last.values[MINUTE_ADMITTED];
        if (found > 0 && minutes[found - 1].at == now - 1)
            before = minutes[found - 1].values[MINUTE_ADMITTED];
    } else if (last.at == now - 1) {
        before = last.values[MINUTE_ADMITTED];
    }
    return running + (before * left_ms + 30000) / 60000;
}
