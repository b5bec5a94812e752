/* SPDX-License-Identifier: MIT */
/*
 * silence: open events that no processor ticks.
 *
 * Why this way: who does not tick does not tell either, so everybody else must. The live copy says when somebody last ticked
 * (tickedAt, by lua/promote.lua). A worker only watches whether that changes, so a clock that is wrong alarms nobody.
 * Workers of one process see the same event: the table counts it once, and logs it once.
 * Called by: catalog, processor_runner; read by api_metrics. Owns: the table, under a lock, which a worker takes only for an
 * event that is silent or has just been.
 * Redis gone: nobody knows, and nobody is called silent; that Redis is gone has a metric of its own.
 */
#include "queue/silence.h"

#include "auth/token.h"
#include "base/clock.h"
#include "base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define EVENTS_MAX   256                  /* told at once; further ones are not */
#define KEEP_NS      UINT64_C(3000000000) /* an entry that nobody repeats ends */
#define LOG_EVERY_NS UINT64_C(60000000000)

static struct entry {
    char event[EVENT_ID_MAX + 1];
    uint64_t seen_ns;   /* when a worker last said so; 0: free */
    uint64_t logged_ns; /* when it was logged */
    uint64_t
        ended_ns; /* a worker has seen a tick since; another one may say the contrary for a second */
} entries[EVENTS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct entry *find(const char *event, uint64_t now)
{
    struct entry *unused = NULL;
    for (size_t i = 0; i < EVENTS_MAX; i++) {
        struct entry *entry = &entries[i];
        if (entry->seen_ns != 0 && strcmp(entry->event, event) == 0)
            return entry;
        if (!unused && (entry->seen_ns == 0 || now - entry->seen_ns > LOG_EVERY_NS))
            unused = entry;
    }
    if (unused) {
        *unused = (struct entry){.seen_ns = 0};
        (void)snprintf(unused->event, sizeof(unused->event), "%s", event);
    }
    return unused;
}

static void tell(const char *event, int64_t silent_ms)
{
    const uint64_t now = clock_mono_ns();
    bool logs = false;
    pthread_mutex_lock(&lock);
    struct entry *entry = find(event, now);
    if (entry && (entry->ended_ns == 0 || now - entry->ended_ns > KEEP_NS)) {
        entry->ended_ns = 0;
        entry->seen_ns = now;
        logs = entry->logged_ns == 0 || now - entry->logged_ns >= LOG_EVERY_NS;
        if (logs)
            entry->logged_ns = now;
    }
    pthread_mutex_unlock(&lock);
    if (logs)
        log_error("no processor ticks the event, nobody is let in", LOG_TEXT("event", event),
                  LOG_NUM("silentForMs", silent_ms));
}

static void end(const char *event, bool ticked)
{
    const uint64_t now = clock_mono_ns();
    bool logs = false;
    pthread_mutex_lock(&lock);
    struct entry *entry = find(event, now);
    if (entry && entry->seen_ns != 0 && entry->ended_ns == 0) {
        entry->ended_ns = now;
        entry->logged_ns = 0;
        logs = ticked;
    }
    pthread_mutex_unlock(&lock);
    if (logs)
        log_info("a processor ticks the event again", LOG_TEXT("event", event));
}

int64_t silence_see(struct silence *silence, const struct silence_look *look)
{
    const int64_t limit = look->interval_ms * SILENCE_INTERVALS;
    const bool ticked = silence->ticked_ms != look->ticked_ms;
    if (!look->open || ticked || silence->since_ms == 0) {
        if (silence->silent)
            end(look->event, look->open);
        *silence = (struct silence){.ticked_ms = look->ticked_ms,
                                    .since_ms = look->open ? look->now_ms : 0};
        return 0;
    }
    const int64_t since = (int64_t)(look->now_ms - silence->since_ms);
    if (since < (limit > SILENCE_MIN_MS ? limit : SILENCE_MIN_MS))
        return 0;
    silence->silent = true;
    tell(look->event, since);
    return since;
}

void silence_forget(struct silence *silence, const char *event)
{
    if (silence->silent)
        end(event, false);
    *silence = (struct silence){.since_ms = 0};
}

unsigned silence_count(uint64_t now_ns)
{
    unsigned count = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < EVENTS_MAX; i++)
        count += entries[i].seen_ns != 0 && entries[i].ended_ns == 0 &&
                 (now_ns < entries[i].seen_ns || now_ns - entries[i].seen_ns <= KEEP_NS);
    pthread_mutex_unlock(&lock);
    return count;
}
