/* SPDX-License-Identifier: MIT */
/*
 * forecast: plays a sale under given settings, to know beforehand how long buyers wait.
 *
 *   next of: departure, arrival, tick, refill -> the state changes by the scripts' rules -> until nothing is left to happen
 *
 * Why this way: the rules work together (an interval leaves freed slots empty, an offer that nobody claims holds a slot,
 * surge rules follow the queue, seats come back), so no formula gives the answer, but playing it does: a buyer costs some
 * 50 ns a move. Choices are not random: buyer n takes the n-th point of a sequence that fills the cube evenly (R3), so
 * that two forecasts differ by their settings alone. Ticks in which nothing can change are skipped.
 * Called by: api_forecast, tiketi-simulate. Pure. Owns: the planned departures and the kept waits.
 * Invariant: the rules are those of lua/shared.lua (capacity, outflow_tokens, apply_surge), lua/join.lua (newcomer),
 * lua/promote.lua (take) and processor_tick.c (when there is a refill); test/lua/forecast.test.mjs runs forecast and
 * scripts, and compares every tick and refill.
 */
#include "queue/forecast.h"

#include "base/memory.h"
#include "queue/departures.h"
#include "queue/feedback.h"
#include "queue/forecast_visits.h"

#include <math.h>
#include <stdlib.h>

#define TICK_MOVES 500 /* of one step of a tick, as in lua/promote.lua */
#define FIRST_STEP 100 /* ms between points of the timeline, until there are too many */
#define NO_TIME    INT64_MAX
#define REPORT_MS  10000            /* between two reports of the shop */
#define SETTLED_MS INT64_C(1800000) /* from here on the limit is told */
#define REFILL_GAP 100              /* ms from one promote to a refill, as in processor_tick.c */
#define CHECK_MS   1000 /* so often promotion `continuous` looks for offers that ran out */
#define TOKEN      INT64_C(60000000) /* of outflowPerMinute, as in lua/shared.lua */

struct forecast {
    struct forecast_input in;
    forecast_move_cb on_move;
    void *arg;
    struct forecast_result result;

    int64_t now, next_tick;
    int64_t begun;      /* of those who were inside when it began, so many have their end planned */
    int64_t arrived;    /* buyers with a number of 0 or above who have come */
    int64_t head, tail; /* the numbers from head to tail - 1 wait */
    int64_t inside, threshold, surge_at;
    int64_t most; /* the threshold without the limit of feedback */
    struct feedback feedback;
    int64_t next_report, reports, slow_reports;
    int64_t free, held; /* seats */
    bool done;

    int64_t tokens, tokens_at; /* what the bucket of outflowPerMinute holds, and when */
    int64_t next_refill;       /* NO_TIME: there is no reason to admit between two ticks */
    int64_t promoted_at;       /* the last tick or refill */

    struct departures departures;
    struct visits visits;

    int64_t stride; /* every stride-th buyer's wait is kept */
    int64_t waits[FORECAST_WAITS + 1];
    int64_t busy_ms, busy_since; /* time in which buyers waited */

    struct forecast_point points[FORECAST_POINTS];
    size_t point_count;
    int64_t point_step, point_next;
};

/* ---- the buyers' choices ---- */

enum choice { CHOICE_END, CHOICE_VISIT, CHOICE_BUY };

/* A number from 0 to 1, evenly spread over the buyers and independent of the buyer's other choices. */
static double choose(int64_t buyer, enum choice choice)
{
    /* powers of 1/g, where g^4 = g + 1 */
    static const double steps[] = {0.81917251339616444, 0.67104360670378920, 0.54970047790197026};
    double whole;
    const double at = 0.5 + steps[choice] * (double)(buyer < 0 ? -buyer : buyer + 1);
    return modf(at, &whole);
}

/* ---- the rules of lua/shared.lua ---- */

static int64_t waiting(const struct forecast *f)
{
    return f->tail - f->head;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* As apply_surge and bring_up_to_date: in force is the greater one of base and rule, and last the limit of feedback. */
static void apply_surge(struct forecast *f)
{
    int64_t level = 0, threshold = f->in.threshold;
    for (int i = 0; i < f->in.surge_count; i++) {
        const struct surge_rule *rule = &f->in.surge[i];
        const bool on =
            waiting(f) > rule->queue_above ||
            (f->surge_at >= rule->queue_above && waiting(f) * 10 >= rule->queue_above * 8);
        if (on && rule->queue_above >= level) {
            level = rule->queue_above;
            threshold = rule->threshold;
        }
    }
    f->surge_at = level;
    f->most = f->threshold = threshold > f->in.threshold ? threshold : f->in.threshold;
    if (f->feedback.limit > 0)
        f->threshold = least(f->threshold, f->feedback.limit);
}

/* As outflow_tokens: the tokens there are now, in TOKEN-ths. */
static int64_t outflow_tokens(struct forecast *f)
{
    const int64_t rate = f->in.outflow_per_minute;
    const int64_t size = rate * 1000000 > TOKEN ? rate * 1000000 : TOKEN;
    const int64_t passed_us = least(f->now - f->tokens_at, TOKEN / 1000) * 1000;
    f->tokens = least(size, f->tokens + passed_us * rate);
    f->tokens_at = f->now;
    return f->tokens;
}

static int64_t capacity(struct forecast *f)
{
    int64_t left = f->threshold - f->inside;
    if (left > 0 && f->in.outflow_per_minute > 0)
        left = least(left, outflow_tokens(f) / TOKEN);
    if (left > 0 && f->in.seats >= 0 && f->in.auto_hold > 0)
        left = least(left, (f->free + f->in.auto_hold - 1) / f->in.auto_hold);
    return left > 0 ? left : 0;
}

/* The first time after `at` that comes every `period`. */
static int64_t next_after(const struct forecast *f, int64_t at, int64_t period)
{
    if (at < f->in.first_tick_ms)
        return f->in.first_tick_ms;
    return at + period - (at - f->in.first_tick_ms) % period;
}

/* The first tick after `at`. */
static int64_t tick_after(const struct forecast *f, int64_t at)
{
    return next_after(f, at, f->in.interval_ms);
}

/* When an offer that runs out at `at` is ended. */
static int64_t check_after(const struct forecast *f, int64_t at)
{
    const int64_t tick = tick_after(f, at);
    return f->in.continuous ? least(tick, next_after(f, at, CHECK_MS)) : tick;
}

/* As refill_at in processor_tick.c. */
static void refill_at(struct forecast *f, int64_t at)
{
    const int64_t earliest = f->promoted_at + REFILL_GAP;
    f->next_refill = least(f->next_refill, at > earliest ? at : earliest);
}

/* ---- moves ---- */

static void tell(struct forecast *f, enum forecast_move_kind kind, int64_t buyer)
{
    if (f->on_move)
        f->on_move(f->arg, &(struct forecast_move){.kind = kind,
                                                   .at_ms = f->now,
                                                   .buyer = buyer,
                                                   .waiting = waiting(f),
                                                   .inside = f->inside,
                                                   .threshold = f->threshold,
                                                   .free = f->in.seats >= 0 ? f->free : -1});
}

static uint16_t hold_seats(struct forecast *f)
{
    if (f->in.seats < 0)
        return 0;
    const int64_t count = least(f->in.auto_hold, f->free);
    f->free -= count;
    f->held += count;
    return (uint16_t)count;
}

/* How a visit that begins now ends, and when. claims: the share of buyers in this situation who begin one. */
static struct departure plan_visit(const struct forecast *f, int64_t buyer, double claims)
{
    const struct forecast_input *in = &f->in;
    struct departure end = {.buyer = buyer, .kind = FORECAST_LEFT};
    if (choose(buyer, CHOICE_END) >= 1 - in->idle * claims && in->idle_timeout_ms > 0) {
        end.kind = FORECAST_IDLE;
        end.at = tick_after(f, f->now + in->idle_timeout_ms);
    } else {
        end.at = f->now + llround(visits_length(&f->visits, choose(buyer, CHOICE_VISIT)));
        if (choose(buyer, CHOICE_BUY) < in->buy)
            end.kind = FORECAST_BOUGHT;
    }
    const int64_t limit =
        in->session_limit_ms > 0 ? tick_after(f, f->now + in->session_limit_ms) : NO_TIME;
    if (limit < end.at) {
        end.at = limit;
        end.kind = FORECAST_TIMEOUT;
    }
    return end;
}

static void enter(struct forecast *f, enum forecast_move_kind kind, struct departure end)
{
    f->inside++;
    f->result.entered++;
    if (f->inside > f->result.peak_inside)
        f->result.peak_inside = f->inside;
    if (f->in.outflow_per_minute > 0)
        f->tokens = outflow_tokens(f) - TOKEN;
    end.held = hold_seats(f);
    departures_push(&f->departures, end);
    tell(f, kind, end.buyer);
}

/* When buyer `number` arrives. */
static int64_t arrival_ms(const struct forecast *f, int64_t number)
{
    if (number < f->in.waiting || f->in.arrive_ms == 0)
        return 0;
    return (int64_t)(((double)(number - f->in.waiting) + 0.5) * (double)f->in.arrive_ms /
                     (double)f->in.arrivals);
}

/* Keeps the wait of a buyer who enters now. */
static void keep_wait(struct forecast *f, int64_t buyer)
{
    if (buyer % f->stride == 0)
        f->waits[buyer / f->stride] = f->now - arrival_ms(f, buyer);
}

static void arrive(struct forecast *f)
{
    const int64_t buyer = f->arrived++;
    apply_surge(f);
    if (f->now > 0 && waiting(f) == 0 && capacity(f) > 0) {
        f->head = f->tail = f->arrived;
        f->result.direct++;
        keep_wait(f, buyer);
        enter(f, FORECAST_DIRECT, plan_visit(f, buyer, 1));
        return;
    }
    if (waiting(f) == 0) {
        f->head = buyer;
        f->busy_since = f->now;
        f->result.drain_ms = FORECAST_NEVER;
        if (f->next_tick == NO_TIME)
            f->next_tick =
                f->now <= f->in.first_tick_ms ? f->in.first_tick_ms : tick_after(f, f->now - 1);
        if (f->now > 0 && f->in.outflow_per_minute > 0 && f->inside < f->threshold)
            refill_at(f, f->now); /* the first in line waits for a token */
    }
    f->tail = f->arrived;
    if (waiting(f) > f->result.peak_waiting)
        f->result.peak_waiting = waiting(f);
    tell(f, FORECAST_JOINED, buyer);
}

/* The buyer at the head is offered a turn, or parked because they have gone. Returns how many entered. */
static int64_t take(struct forecast *f)
{
    const struct forecast_input *in = &f->in;
    const int64_t buyer = f->head++, waited = f->now - arrival_ms(f, buyer);
    const double share = choose(buyer, CHOICE_END);
    double gone = 0, gone_lately = 0; /* gave up: long enough ago to be silent; since then */
    if (in->abandon > 0) {
        const double a_ms = -log1p(-fmin(in->abandon, 1 - 1e-9)) / 60000;
        gone = waited > in->silent_ms ? -expm1(-a_ms * (double)(waited - in->silent_ms)) : 0;
        gone_lately = -expm1(-a_ms * (double)waited) - gone;
    }
    if (buyer == in->waiting - 1)
        f->result.last_wait_ms = f->now;
    if (waiting(f) == 0) {
        f->result.drain_ms = f->now;
        f->busy_ms += f->now - f->busy_since;
    }
    if (share < gone) {
        f->result.parked++;
        tell(f, FORECAST_PARKED, buyer);
        return 0;
    }
    keep_wait(f, buyer);
    struct departure end;
    const double misses = gone_lately + in->no_show * (1 - gone - gone_lately);
    if (share < gone + misses)
        end = (struct departure){.buyer = buyer,
                                 .kind = FORECAST_UNCLAIMED,
                                 .at = check_after(f, f->now + in->claim_ms)};
    else
        end = plan_visit(f, buyer, 1 - gone - misses);
    enter(f, FORECAST_OFFERED, end);
    return 1;
}

static void note_sold_out(struct forecast *f)
{
    if (f->in.seats < 0 || f->free > 0 || f->held > 0)
        return;
    f->result.sold_out_ms = f->now;
    f->done = true;
}

static void depart(struct forecast *f)
{
    const struct departure end = departures_pop(&f->departures);
    struct forecast_result *result = &f->result;
    int64_t sold = 0;
    enum forecast_move_kind kind = (enum forecast_move_kind)end.kind;
    f->inside--;
    if (kind == FORECAST_BOUGHT && f->in.seats >= 0) {
        /* The n-th purchase takes what brings the sum to n times the mean. */
        const double per = f->in.seats_per_sale, n = (double)result->bought;
        sold = least((int64_t)(floor((n + 1) * per + 1e-9) - floor(n * per + 1e-9)),
                     end.held + f->free);
        if (sold == 0)
            kind = FORECAST_LEFT;
    }
    f->held -= end.held;
    f->free += end.held - sold;
    result->sold += sold;
    int64_t *const counts[] = {[FORECAST_LEFT] = &result->left,
                               [FORECAST_BOUGHT] = &result->bought,
                               [FORECAST_UNCLAIMED] = &result->unclaimed,
                               [FORECAST_IDLE] = &result->idle,
                               [FORECAST_TIMEOUT] = &result->timeout};
    ++*counts[kind];
    tell(f, kind, end.buyer);
    note_sold_out(f);
    if (f->in.continuous && waiting(f) > 0 && kind == FORECAST_UNCLAIMED)
        f->next_refill = f->now; /* the check that ends it admits as well */
    else if (f->in.continuous && waiting(f) > 0)
        refill_at(f, f->now);
}

/* When there is a token, if outflowPerMinute alone keeps the first in line out; else NO_TIME. */
static int64_t token_at(struct forecast *f)
{
    const int64_t rate = f->in.outflow_per_minute;
    if (waiting(f) == 0 || rate == 0 || f->inside >= f->threshold || outflow_tokens(f) >= TOKEN)
        return NO_TIME;
    return f->now + (TOKEN - f->tokens + rate * 1000 - 1) / (rate * 1000);
}

/* The next tick in which something can change; NO_TIME: none does by itself. */
static int64_t plan_tick(struct forecast *f)
{
    const int64_t next = tick_after(f, f->now);
    const bool arrivals = f->arrived < f->in.waiting + f->in.arrivals;
    if (waiting(f) == 0)
        return NO_TIME; /* arrive() plans one when somebody has to wait */
    if (capacity(f) > 0 || (f->in.surge_count > 0 && arrivals))
        return next;
    const int64_t change =
        least(f->departures.count > 0 ? f->departures.heap[0].at : NO_TIME, token_at(f));
    if (change == NO_TIME)
        return NO_TIME;
    return change <= next ? next : tick_after(f, change - 1);
}

/* One step of a tick or a refill: as promote, up to TICK_MOVES moves. Returns how many it made. */
static int64_t promote(struct forecast *f, enum forecast_move_kind kind)
{
    apply_surge(f);
    int64_t left = capacity(f), moves = 0;
    for (; left > 0 && moves < TICK_MOVES && waiting(f) > 0; moves++)
        left -= take(f);
    if (moves < TICK_MOVES) { /* else the same promote goes on */
        tell(f, kind, 0);
        f->promoted_at = f->now;
        f->next_refill = NO_TIME;
        f->next_tick = plan_tick(f);
        if (token_at(f) != NO_TIME)
            refill_at(f, token_at(f));
    }
    return moves;
}

/* ---- the shop's health ---- */

/* As processor_feedback: the shop reports how slow it is now, and the limit follows. */
static void report_health(struct forecast *f)
{
    const struct feedback_rule rule = {.min = f->in.threshold_min,
                                       .most = f->most,
                                       .target_p95_ms = f->in.target_p95_ms,
                                       .target_error_rate = 1};
    /* A report at 0 would count as none. */
    const struct feedback_health health = {
        .at_ms = f->now + 1,
        .p95_ms = llround(feedback_shop_p95_ms((double)f->inside, (double)f->in.shop_bears,
                                               (double)f->in.target_p95_ms))};
    const struct feedback_room room = {f->inside, waiting(f), f->now + 1};
    f->reports++;
    f->slow_reports += health.p95_ms > f->in.target_p95_ms;
    f->next_report = f->now + REPORT_MS;
    apply_surge(f);
    if (feedback_step(&f->feedback, &rule, &health, &room) == FEEDBACK_WELL) {
        apply_surge(f);
        if (waiting(f) > 0)
            f->next_refill = f->now;
    }
    if (f->now < SETTLED_MS || f->feedback.limit == 0)
        return;
    struct forecast_result *result = &f->result;
    if (result->limit_most == 0)
        result->limit_least = f->feedback.limit;
    result->limit_least = least(result->limit_least, f->feedback.limit);
    result->limit_most =
        f->feedback.limit > result->limit_most ? f->feedback.limit : result->limit_most;
}

/* When the shop reports next; NO_TIME: nothing is left that a report could change. */
static int64_t report_at(const struct forecast *f)
{
    return f->in.shop_bears > 0 && f->in.threshold_min > 0 && (f->inside > 0 || waiting(f) > 0)
               ? f->next_report
               : NO_TIME;
}

/* ---- the timeline ---- */

static struct forecast_point point_now(const struct forecast *f, int64_t at)
{
    return (struct forecast_point){.at_ms = at,
                                   .waiting = waiting(f),
                                   .inside = f->inside,
                                   .threshold = f->threshold,
                                   .entered = f->result.entered,
                                   .sold = f->result.sold};
}

/* Notes the state at all moments before `until` that are due. When there are too many, every other one is dropped. */
static void note_points(struct forecast *f, int64_t until)
{
    while (f->point_next < until) {
        if (f->point_count == FORECAST_POINTS - 1) {
            for (size_t i = 0; 2 * i < f->point_count; i++)
                f->points[i] = f->points[2 * i];
            f->point_count = (f->point_count + 1) / 2;
            f->point_step *= 2;
            f->point_next = (int64_t)f->point_count * f->point_step;
            continue;
        }
        f->points[f->point_count++] = point_now(f, f->point_next);
        f->point_next += f->point_step;
    }
}

/* ---- life ---- */

/* Plans the rest of the visit of one who is inside already. Long visits are met more often than short ones, and
 * somewhere between their begin and their end. */
static void plan_rest(struct forecast *f, int64_t buyer)
{
    double visit = visits_length_met(&f->visits, choose(buyer, CHOICE_VISIT));
    if (f->in.session_limit_ms > 0)
        visit = fmin(visit, (double)f->in.session_limit_ms);
    departures_push(&f->departures,
                    (struct departure){.buyer = buyer,
                                       .kind = choose(buyer, CHOICE_BUY) < f->in.buy
                                                   ? FORECAST_BOUGHT
                                                   : FORECAST_LEFT,
                                       .at = 1 + (int64_t)(visit * choose(buyer, CHOICE_END)),
                                       .held = f->in.seats >= 0 ? (uint16_t)f->in.auto_hold : 0});
}

struct forecast *forecast_new(const struct forecast_input *input, forecast_move_cb on_move,
                              void *arg)
{
    struct forecast *f = xcalloc(1, sizeof(*f));
    f->in = *input;
    f->on_move = on_move;
    f->arg = arg;
    f->threshold = input->threshold;
    f->free = input->seats > 0 ? input->seats : 0;
    f->next_tick = f->next_refill = NO_TIME;
    f->tokens = INT64_MAX / 2; /* full, and more cannot come of it */
    f->promoted_at = -REFILL_GAP;
    f->next_report = REPORT_MS;
    f->most = input->threshold;
    f->point_step = FIRST_STEP;
    f->stride = (input->waiting + input->arrivals) / FORECAST_WAITS + 1;
    for (size_t i = 0; i <= FORECAST_WAITS; i++)
        f->waits[i] = FORECAST_NEVER;
    f->result = (struct forecast_result){.last_wait_ms = input->waiting > 0 ? FORECAST_NEVER : 0,
                                         .sold_out_ms = FORECAST_NEVER};
    f->inside = f->result.peak_inside = input->inside;
    f->held = input->seats >= 0 ? input->inside * input->auto_hold : 0;
    visits_fill(&f->visits, &(struct visits_known){.mean_ms = input->visit_mean_ms,
                                                   .spread_ms = input->visit_spread_ms,
                                                   .quantiles_ms = input->visit_quantiles_ms,
                                                   .quantile_count = input->visit_quantile_count});
    note_sold_out(f);
    return f;
}

void forecast_free(struct forecast *forecast)
{
    if (!forecast)
        return;
    free(forecast->departures.heap);
    free(forecast);
}

bool forecast_step(struct forecast *f, int64_t steps)
{
    const int64_t buyers = f->in.waiting + f->in.arrivals;
    for (; steps > 0 && f->begun < f->in.inside; steps--)
        plan_rest(f, -++f->begun);
    for (; steps > 0 && !f->done; steps--) {
        const int64_t departs = f->departures.count > 0 ? f->departures.heap[0].at : NO_TIME;
        const int64_t arrives = f->arrived < buyers ? arrival_ms(f, f->arrived) : NO_TIME;
        const int64_t report = report_at(f);
        const int64_t next =
            least(least(least(departs, arrives), least(f->next_tick, f->next_refill)),
                  report > f->now ? report : NO_TIME);
        if (next > f->in.horizon_ms) { /* NO_TIME: nothing is left to happen */
            f->done = true;
            break;
        }
        note_points(f, next);
        f->now = next;
        if (departs == next) {
            depart(f);
        } else if (arrives == next) {
            arrive(f);
        } else if (report == next) {
            report_health(f);
        } else {
            steps -= promote(f, f->next_tick == next ? FORECAST_TICK : FORECAST_REFILL);
        }
    }
    return f->done;
}

static int compare_waits(const void *a, const void *b)
{
    const int64_t one = *(const int64_t *)a, other = *(const int64_t *)b;
    return one < other ? -1 : one > other;
}

void forecast_result(struct forecast *f, struct forecast_result *ret)
{
    int64_t sorted[FORECAST_WAITS + 1];
    size_t count = 0;
    *ret = f->result;
    ret->end_ms = f->now;
    ret->still_waiting = waiting(f);
    ret->slow_share = f->reports > 0 ? (double)f->slow_reports / (double)f->reports : 0;
    ret->seats_left = f->in.seats >= 0 ? f->free + f->held : -1;
    int64_t busy_ms = f->busy_ms;
    if (waiting(f) > 0) {
        ret->drain_ms = FORECAST_NEVER;
        busy_ms += f->now - f->busy_since;
    }
    if (busy_ms > 0)
        ret->entered_per_minute = (double)(ret->entered - ret->direct) * 60000 / (double)busy_ms;
    for (size_t i = 0; i <= FORECAST_WAITS; i++) {
        if (f->waits[i] != FORECAST_NEVER)
            sorted[count++] = f->waits[i];
    }
    qsort(sorted, count, sizeof(sorted[0]), compare_waits);
    ret->wait_p50_ms = count > 0 ? sorted[(count - 1) / 2] : FORECAST_NEVER;
    ret->wait_p90_ms = count > 0 ? sorted[(count - 1) * 9 / 10] : FORECAST_NEVER;
    ret->wait_p99_ms = count > 0 ? sorted[(count - 1) * 99 / 100] : FORECAST_NEVER;
    ret->wait_max_ms = count > 0 ? sorted[count - 1] : FORECAST_NEVER;
    if (f->point_count == 0 || f->points[f->point_count - 1].at_ms < f->now)
        f->points[f->point_count++] = point_now(f, f->now);
}

int64_t forecast_wait_ms(const struct forecast *f, int64_t buyer)
{
    /* A kept buyer may have given up: the next one did enter. */
    for (int64_t at = buyer / f->stride; at * f->stride < f->arrived; at++) {
        if (f->waits[at] != FORECAST_NEVER)
            return f->waits[at];
    }
    return FORECAST_NEVER;
}

const struct forecast_point *forecast_points(const struct forecast *forecast, size_t *ret_count)
{
    *ret_count = forecast->point_count;
    return forecast->points;
}
