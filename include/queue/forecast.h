/* SPDX-License-Identifier: MIT */
/*
 * forecast: what becomes of a queue under given settings: how long buyers wait, when the queue is empty, when the seats
 * are sold. It plays the sale, buyer by buyer, by the rules of lua/join.lua, lua/promote.lua and lua/shared.lua.
 * Pure: no clock, no Redis, no PostgreSQL. The same input gives the same result.
 *
 * Times are ms; a forecast begins at 0, when the event is open. Numbers of buyers count from 0 in the order of their
 * places: first those who wait already, then those who arrive. Those who are inside already have numbers below 0.
 */
#ifndef TIKETI_FORECAST_H
#define TIKETI_FORECAST_H

#include "base/status.h"
#include "queue/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FORECAST_NEVER         (-1) /* of a time that does not come within the horizon */
#define FORECAST_BUYERS_MAX    5000000
#define FORECAST_QUANTILES_MAX 101
#define FORECAST_WAITS         4096 /* buyers, evenly spaced, whose waits are kept */
#define FORECAST_POINTS        512  /* moments of the timeline that are kept */
#define FORECAST_DURATION_SIZE 32

struct forecast_input {
    /* people */
    int64_t waiting;   /* wait when it begins, such as the rush before an opening */
    int64_t inside;    /* are inside when it begins, somewhere in their visits */
    int64_t arrivals;  /* arrive later, evenly over arrive_ms */
    int64_t arrive_ms; /* 0: they arrive at 0, one after the other */
    double abandon;    /* share of those who wait that give up in a minute: they close the page */
    double no_show; /* share of the offers that nobody claims, beside those of buyers who gave up */
    double idle;    /* share of those inside that fall silent, and stay until idle_timeout_ms */
    double buy;     /* share of the others that buy; they do so as they leave */
    double seats_per_sale; /* mean; at least 1 */
    /* How long the others stay: a log-normal distribution, or values at even steps of probability from the shortest to
     * the longest (ascending), with straight lines between them. */
    double visit_mean_ms,
        visit_spread_ms; /* the spread is the standard deviation; 0: all stay alike */
    double visit_quantiles_ms[FORECAST_QUANTILES_MAX];
    size_t visit_quantile_count; /* 0: mean and spread */

    /* the event's settings: as in struct event */
    bool continuous; /* promotion: freed slots are offered at once, not at the next tick */
    int64_t threshold, interval_ms, claim_ms, silent_ms, idle_timeout_ms, session_limit_ms;
    int64_t outflow_per_minute, auto_hold;
    struct surge_rule surge[EVENT_SURGE_MAX]; /* ascending by queue_above */
    int surge_count;
    int64_t
        seats; /* free when it begins, without those held for buyers inside; -1: seats are no limit */

    /* A shop that is slow with more than so many inside, and reports it every ten seconds; 0: it bears all. With
     * threshold_min, the threshold follows (feedback.h). */
    int64_t shop_bears;
    int64_t threshold_min, target_p95_ms; /* as in struct event */

    int64_t first_tick_ms; /* the first tick: 0 for an event that opens, else at most an interval */
    int64_t horizon_ms;    /* the forecast ends here, whatever is left */
};

/* Takes the settings of an event; the rest of *input stays as it is. */
void forecast_take_settings(struct forecast_input *input, const struct event *event);

/* What happens to a buyer, or a whole tick: for those who follow a forecast step by step. */
enum forecast_move_kind {
    FORECAST_JOINED, /* waits */
    FORECAST_DIRECT, /* inside at once */
    FORECAST_OFFERED,
    FORECAST_PARKED,    /* had given up: skipped at the head */
    FORECAST_LEFT,      /* without a purchase */
    FORECAST_BOUGHT,    /* and left */
    FORECAST_UNCLAIMED, /* the offer ran out */
    FORECAST_IDLE,      /* evicted */
    FORECAST_TIMEOUT,   /* evicted at the session limit */
    FORECAST_TICK,      /* a tick is over; no buyer */
    FORECAST_REFILL     /* buyers were admitted between two ticks; no buyer */
};
struct forecast_move {
    enum forecast_move_kind kind;
    int64_t at_ms, buyer;
    int64_t waiting, inside, threshold, free; /* after it; free: seats, -1 without */
};
/* "joined", "direct" and so on. Static. */
const char *forecast_move_name(enum forecast_move_kind kind);
typedef void (*forecast_move_cb)(void *arg, const struct forecast_move *move);

struct forecast_point {
    int64_t at_ms, waiting, inside, threshold;
    int64_t entered, sold; /* so far: admissions, seats */
};

struct forecast_result {
    int64_t last_wait_ms; /* of the last of those who waited when it began; 0: nobody did */
    int64_t drain_ms;     /* the queue is empty, and stays so */
    int64_t sold_out_ms;  /* no seat is free or held */
    int64_t end_ms;       /* where the forecast ended */
    /* waits of those who entered; FORECAST_NEVER: nobody did */
    int64_t wait_p50_ms, wait_p90_ms, wait_p99_ms, wait_max_ms;
    int64_t entered, direct, parked, unclaimed, idle, timeout, bought, left;
    int64_t still_waiting; /* when it ended */
    int64_t peak_waiting, peak_inside;
    int64_t limit_least, limit_most; /* of feedback, from half an hour on; 0: there was none */
    double slow_share;               /* of the shop's reports */
    int64_t sold, seats_left;        /* seats; seats_left -1: seats are no limit */
    double entered_per_minute;       /* from the queue, while buyers waited */
};

struct forecast;

/* Refuses what cannot be forecast: ST_INVALID, and *ret_field names the member of the input (static). */
MUST_CHECK enum status forecast_check(const struct forecast_input *input, const char **ret_field);
/* Returns new; copies the input, which forecast_check has accepted. on_move may be NULL; `arg` is borrowed. */
struct forecast *forecast_new(const struct forecast_input *input, forecast_move_cb on_move,
                              void *arg);
void forecast_free(struct forecast *forecast); /* NULL is fine */
/* Goes on by at most `steps` moves: some 50 ns each. True: it is finished. */
bool forecast_step(struct forecast *forecast, int64_t steps);
/* Of a finished forecast. */
void forecast_result(struct forecast *forecast, struct forecast_result *ret);
/* The wait of the buyer with this number, or of one near whose wait was kept. FORECAST_NEVER: they do not enter. */
int64_t forecast_wait_ms(const struct forecast *forecast, int64_t buyer);
/* The timeline, from 0 to the end. Borrowed from the forecast. */
const struct forecast_point *forecast_points(const struct forecast *forecast, size_t *ret_count);

/* How long the last of those who wait now will wait, with other settings: what a sentence about a change says. */
enum forecast_change_kind {
    FORECAST_NOBODY_WAITS,
    FORECAST_SAME, /* both times, rounded as they are told, are alike */
    FORECAST_SHORTER,
    FORECAST_LONGER,
    FORECAST_ENTERS,       /* would never have entered, and does now */
    FORECAST_NEVER_ENTERS, /* does not enter any more: the queue stands still, or ends at the horizon */
    FORECAST_SOLD_OUT_FIRST /* all seats are sold before their turn, with the new settings */
};
struct forecast_change {
    enum forecast_change_kind kind;
    int64_t now_ms,
        then_ms; /* waits, rounded up: to seconds up to 90 s, else to minutes; or FORECAST_NEVER */
};
struct forecast_change forecast_compare(const struct forecast_result *now,
                                        const struct forecast_result *then);
/* "shorter", "sold-out-first" and so on. Static. */
const char *forecast_change_name(enum forecast_change_kind kind);
/* "the last in line waits 42 min instead of 2 h 45 min", in English, for terminals. */
void forecast_write_change(const struct forecast_change *change, char *out, size_t size);
/* "45 s", "42 min", "2 h 45 min", "never" into out[FORECAST_DURATION_SIZE], rounded as in struct forecast_change. */
void forecast_write_duration(int64_t ms, char *out);

#endif
