/* SPDX-License-Identifier: MIT */
/*
 * watch: main's thread while the service runs.
 *
 * Why this way: a process that is alive may have a worker that hangs, and its buyers with it. So the manager's watchdog is
 * answered only while every worker answers: each is asked by a post to its loop, four times within the watchdog's time, and
 * answers in its next turn. That costs a loop one wake-up in several seconds; nothing is asked where there is no watchdog.
 * Called by: serve. Owns: the socket to the manager. Manager gone: the service goes on.
 */
#include "watch.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <time.h>

#define READY_POLL_MS  50
#define LOOKS          4    /* at the workers, within the watchdog's time */
#define STOP_MARGIN_MS 3000 /* a drain that is overdue is ended two seconds after its time */

static uint64_t now_ms(void)
{
    return clock_mono_ns() / 1000000;
}

void watch_open(struct watch *watch)
{
    *watch = (struct watch){0};
    notify_open(&watch->notify);
}

void watch_begin(struct watch *watch, struct worker *const *workers, size_t count,
                 const struct api_health *health)
{
    watch->workers = workers;
    watch->count = count;
    watch->health = health;
    notify_send(&watch->notify, "STATUS=waiting for Redis and PostgreSQL");
}

/* Each worker that has answered is asked again. Returns one that has not; NULL: all have. */
static const struct worker *ask_workers(const struct watch *watch)
{
    const struct worker *late = NULL;
    for (size_t i = 0; i < watch->count; i++) {
        if (!worker_ask(watch->workers[i]))
            late = watch->workers[i];
    }
    return late;
}

static void look_at_workers(struct watch *watch)
{
    const struct worker *late = ask_workers(watch);
    if (late && !watch->stuck)
        log_error("worker does not answer, the watchdog is not told",
                  LOG_TEXT("worker", worker_name(late)));
    else if (!late && watch->stuck)
        log_warn("worker answers again");
    if (!late)
        notify_send(&watch->notify, "WATCHDOG=1");
    watch->stuck = late != NULL;
}

/* What is due now. Sets watch->look_ms: when something is due again; 0: never. */
static void look(struct watch *watch)
{
    const uint64_t now = now_ms(), pause_ms = watch->notify.watchdog_ms / LOOKS;
    if (!watch->ready && watch->health->starting == 0) {
        watch->ready = true;
        notify_send(&watch->notify, "READY=1\nSTATUS=serving");
    } else if (watch->ready && pause_ms > 0 && now >= watch->look_ms) {
        look_at_workers(watch);
    } else if (watch->ready) {
        return;
    }
    watch->look_ms = !watch->ready ? now + READY_POLL_MS : pause_ms > 0 ? now + pause_ms : 0;
}

int watch_wait(struct watch *watch, const sigset_t *signals)
{
    for (;;) {
        int number;
        if (watch->notify.fd >= 0)
            look(watch);
        if (watch->look_ms == 0) {
            (void)sigwait(signals, &number);
            return number;
        }
        const uint64_t now = now_ms();
        const uint64_t ms = watch->look_ms > now ? watch->look_ms - now : 0;
        const struct timespec pause = {.tv_sec = (time_t)(ms / 1000),
                                       .tv_nsec = (long)(ms % 1000) * 1000000};
        number = sigtimedwait(signals, NULL, &pause);
        if (number > 0)
            return number;
    }
}

void watch_reloading(const struct watch *watch)
{
    if (watch->ready)
        notify_send(&watch->notify, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_mono_ns() / 1000);
}

void watch_reloaded(const struct watch *watch)
{
    if (watch->ready)
        notify_send(&watch->notify, "READY=1");
}

/* The longer time counts for the manager's watchdog, too. */
void watch_stopping(const struct watch *watch, int64_t drain_ms)
{
    notify_send(&watch->notify, "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=%" PRId64,
                (drain_ms + STOP_MARGIN_MS) * 1000);
}

void watch_close(struct watch *watch)
{
    notify_close(&watch->notify);
}
