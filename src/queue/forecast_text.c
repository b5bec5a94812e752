/* SPDX-License-Identifier: MIT */
/*
 * forecast_text: a forecast in words: the names of its moves, its times rounded as they are told, and what a change of
 * settings does to the last in line.
 *
 * Called by: api_forecast, tiketi-simulate, tests. Pure. Owns nothing.
 */
#include "queue/forecast.h"

#include <inttypes.h>
#include <stdio.h>

const char *forecast_move_name(enum forecast_move_kind kind)
{
    static const char *const names[] = {
        [FORECAST_JOINED] = "joined",       [FORECAST_DIRECT] = "direct",
        [FORECAST_OFFERED] = "offered",     [FORECAST_PARKED] = "parked",
        [FORECAST_LEFT] = "left",           [FORECAST_BOUGHT] = "completed",
        [FORECAST_UNCLAIMED] = "unclaimed", [FORECAST_IDLE] = "idle",
        [FORECAST_TIMEOUT] = "timeout",     [FORECAST_TICK] = "tick",
        [FORECAST_REFILL] = "refill"};
    return names[kind];
}

/* As it is told: up to 90 s in seconds, else in minutes, rounded up. */
static int64_t rounded(int64_t ms)
{
    if (ms < 0)
        return FORECAST_NEVER;
    const int64_t unit = ms <= 90000 ? 1000 : 60000;
    return (ms + unit - 1) / unit * unit;
}

struct forecast_change forecast_compare(const struct forecast_result *now,
                                        const struct forecast_result *then)
{
    struct forecast_change change = {.kind = FORECAST_SAME,
                                     .now_ms = rounded(now->last_wait_ms),
                                     .then_ms = rounded(then->last_wait_ms)};
    if (now->last_wait_ms == 0 && then->last_wait_ms == 0)
        change.kind = FORECAST_NOBODY_WAITS;
    else if (change.then_ms == FORECAST_NEVER && then->sold_out_ms != FORECAST_NEVER)
        change.kind = FORECAST_SOLD_OUT_FIRST;
    else if (change.then_ms == FORECAST_NEVER)
        change.kind = FORECAST_NEVER_ENTERS;
    else if (change.now_ms == FORECAST_NEVER)
        change.kind = FORECAST_ENTERS;
    else if (change.then_ms < change.now_ms)
        change.kind = FORECAST_SHORTER;
    else if (change.then_ms > change.now_ms)
        change.kind = FORECAST_LONGER;
    return change;
}

const char *forecast_change_name(enum forecast_change_kind kind)
{
    static const char *const names[] = {[FORECAST_NOBODY_WAITS] = "nobody-waits",
                                        [FORECAST_SAME] = "same",
                                        [FORECAST_SHORTER] = "shorter",
                                        [FORECAST_LONGER] = "longer",
                                        [FORECAST_ENTERS] = "enters",
                                        [FORECAST_NEVER_ENTERS] = "never-enters",
                                        [FORECAST_SOLD_OUT_FIRST] = "sold-out-first"};
    return names[kind];
}

void forecast_write_duration(int64_t ms, char *out)
{
    const int64_t told = rounded(ms), minutes = told / 60000;
    if (told < 0)
        (void)snprintf(out, FORECAST_DURATION_SIZE, "never");
    else if (told <= 90000 && ms <= 90000)
        (void)snprintf(out, FORECAST_DURATION_SIZE, "%" PRId64 " s", told / 1000);
    else if (minutes < 60)
        (void)snprintf(out, FORECAST_DURATION_SIZE, "%" PRId64 " min", minutes);
    else if (minutes % 60 == 0)
        (void)snprintf(out, FORECAST_DURATION_SIZE, "%" PRId64 " h", minutes / 60);
    else
        (void)snprintf(out, FORECAST_DURATION_SIZE, "%" PRId64 " h %" PRId64 " min", minutes / 60,
                       minutes % 60);
}

void forecast_write_change(const struct forecast_change *change, char *out, size_t size)
{
    char now[FORECAST_DURATION_SIZE], then[FORECAST_DURATION_SIZE];
    forecast_write_duration(change->now_ms, now);
    forecast_write_duration(change->then_ms, then);
    switch (change->kind) {
    case FORECAST_NOBODY_WAITS:
        (void)snprintf(out, size, "nobody waits");
        return;
    case FORECAST_SAME:
        (void)snprintf(out, size, "the last in line waits %s, as now", then);
        return;
    case FORECAST_SHORTER:
    case FORECAST_LONGER:
        (void)snprintf(out, size, "the last in line waits %s instead of %s", then, now);
        return;
    case FORECAST_ENTERS:
        (void)snprintf(out, size, "the last in line waits %s instead of never entering", then);
        return;
    case FORECAST_NEVER_ENTERS:
        (void)snprintf(out, size, "the last in line never enters");
        return;
    case FORECAST_SOLD_OUT_FIRST:
        (void)snprintf(out, size, "all seats are sold before the last in line enters");
        return;
    }
}
