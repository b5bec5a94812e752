/* SPDX-License-Identifier: MIT */
/*
 * api_forecast: POST /api/admin/events/{eventId}/forecast: what becomes of the queue with the settings as they are, and
 * with those that the body names. Nothing is changed.
 *
 *   fetch (PostgreSQL) -> the queue's numbers (Redis) -> two forecasts, played in steps between other requests -> answer
 *
 * Why this way: a forecast of 100,000 buyers takes some 10 ms, too long for a loop that others wait for; so it runs in
 * steps of STEPS moves. What is known of the buyers is measured; the rest is assumed, and the answer says which is which.
 * Called by: api's route table. Owns: the list of forecasts that run. With Redis or PostgreSQL gone: 503.
 */
#include "api/api_internal.h"

#include "base/memory.h"
#include "queue/forecast.h"
#include "queue/minutes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEPS       2000 /* moves in one turn of the loop: about 0.1 ms */
#define AT_ONCE     4    /* forecasts of one worker */
#define WAITING_MAX 1000000
#define HORIZON_MS  INT64_C(86400000)
#define SAMPLE      50 /* buyers; a share of fewer is not taken for measured */
#define LATELY      10 /* finished minutes that are measured */

/* What a forecast needs to know of people, beside the settings. */
enum basis {
    BASIS_WAITING,
    BASIS_INSIDE,
    BASIS_SEATS, /* free; negative: seats are no limit */
    BASIS_ARRIVALS_PER_MINUTE,
    BASIS_ARRIVE_MS,
    BASIS_VISIT_MS,
    BASIS_VISIT_SPREAD_MS,
    BASIS_NO_SHOW,
    BASIS_IDLE,
    BASIS_ABANDON,
    BASIS_BUY,
    BASIS_SEATS_PER_SALE,
    BASIS_COUNT
};
enum source { SOURCE_ASSUMED, SOURCE_MEASURED, SOURCE_GIVEN };

static const struct {
    const char *name;
    double least, most, assumed;
    bool whole;
} basis_rows[BASIS_COUNT] = {
    [BASIS_WAITING] = {"waiting", 0, WAITING_MAX, 0, true},
    [BASIS_INSIDE] = {"inside", 0, WAITING_MAX, 0, true},
    [BASIS_SEATS] = {"seats", 0, WAITING_MAX, -1, true},
    [BASIS_ARRIVALS_PER_MINUTE] = {"arrivalsPerMinute", 0, WAITING_MAX, 0, false},
    [BASIS_ARRIVE_MS] = {"arriveMs", 0, 86400000, 30 * 60000, true},
    [BASIS_VISIT_MS] = {"visitMs", 100, 86400000, 180000, true},
    [BASIS_VISIT_SPREAD_MS] = {"visitSpreadMs", 0, 86400000, 90000, true},
    [BASIS_NO_SHOW] = {"noShow", 0, 1, 0.05, false},
    [BASIS_IDLE] = {"idle", 0, 1, 0.05, false},
    [BASIS_ABANDON] = {"abandon", 0, 1, 0, false},
    [BASIS_BUY] = {"buy", 0, 1, 0.7, false},
    [BASIS_SEATS_PER_SALE] = {"seatsPerSale", 1, 100, 2, false},
};

/* The settings that change a forecast. */
static const char *const settings[] = {
    "threshold", "intervalMs", "promotion",     "outflowPerMinute", "surge",  "autoHold",
    "claimMs",   "silentMs",   "idleTimeoutMs", "sessionLimitMs",   "assume", NULL};

struct forecast_call {
    struct event now, then; /* the event as it is, and with the body's settings */
    double basis[BASIS_COUNT];
    enum source source[BASIS_COUNT];
};

struct api_forecast {
    struct api_forecast *next;
    struct api_call *call;
    struct loop_idle *idle;
    struct forecast *now, *then;
};

/* ---- what is known of people ---- */

static void know(struct forecast_call *state, enum basis what, double value, enum source source)
{
    if (source < state->source[what] || !isfinite(value))
        return; /* what the caller gave counts before what was measured */
    state->basis[what] = value;
    state->source[what] = source;
}

/* Reads `assume`. ST_INVALID with *error. */
static enum status read_assumptions(struct forecast_call *state, const struct json *body,
                                    struct json_error *error)
{
    const char *names[BASIS_COUNT + 1] = {0};
    const struct json *assume = json_get(body, "assume");
    for (size_t i = 0; i < BASIS_COUNT; i++) {
        names[i] = basis_rows[i].name;
        state->basis[i] = basis_rows[i].assumed;
    }
    if (!assume || json_is_null(assume))
        return ST_OK;
    if (!json_is_object(assume))
        return json_refuse(error, "assume", "not-an-object", "assume must be an object.");
    if (json_known_keys(assume, names, error) != ST_OK)
        return ST_INVALID;
    for (size_t i = 0; i < BASIS_COUNT; i++) {
        if (!json_has(assume, names[i]))
            continue;
        const double value = json_double(assume, names[i], NAN);
        if (!(value >= basis_rows[i].least && value <= basis_rows[i].most) ||
            (basis_rows[i].whole && value != floor(value)))
            return json_refuse(error, names[i], "not-in-range", "%s from %.0f to %.0f is needed.",
                               basis_rows[i].whole ? "An integer" : "A number", basis_rows[i].least,
                               basis_rows[i].most);
        know(state, (enum basis)i, value, SOURCE_GIVEN);
    }
    return ST_OK;
}

static double counter(const struct queue_stat *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].name, name) == 0)
            return (double)list[i].value;
    }
    return 0;
}

/* What the counters of the whole sale say. */
static void measure_shares(struct forecast_call *state, const struct queue_stat *list, size_t count)
{
    const double claimed = counter(list, count, "claimed"),
                 unclaimed = counter(list, count, "unclaimed"),
                 silent = counter(list, count, "idle") + counter(list, count, "idle_kept"),
                 turns = claimed + counter(list, count, "direct"),
                 bought = counter(list, count, "completed"), left = counter(list, count, "left");
    if (unclaimed + claimed >= SAMPLE)
        know(state, BASIS_NO_SHOW, unclaimed / (unclaimed + claimed), SOURCE_MEASURED);
    if (turns >= SAMPLE)
        know(state, BASIS_IDLE, fmin(silent / turns, 1), SOURCE_MEASURED);
    if (bought + left >= SAMPLE)
        know(state, BASIS_BUY, bought / (bought + left), SOURCE_MEASURED);
}

/* The mean visit, by Little's law: minutes spent inside, over visits that ended. What no-shows and idle buyers spend inside
 * is known, and taken off. */
static void measure_visit(struct forecast_call *state, const struct minute *minutes, size_t count)
{
    static const enum minute_value ends[] = {MINUTE_LEFT,      MINUTE_IDLE,      MINUTE_TIMEOUT,
                                             MINUTE_COMPLETED, MINUTE_UNCLAIMED, MINUTE_IDLE_KEPT};
    const struct event *event = &state->now;
    double inside = 0, ended = 0;
    for (size_t i = 0; i < count; i++) {
        inside += (double)minutes[i].values[MINUTE_INSIDE];
        for (size_t e = 0; e < sizeof(ends) / sizeof(ends[0]); e++)
            ended += (double)minutes[i].values[ends[e]];
    }
    const double no_show = state->basis[BASIS_NO_SHOW];
    const double idle = state->basis[BASIS_IDLE] * (1 - no_show), rest = 1 - no_show - idle;
    if (ended < SAMPLE || rest < 0.05)
        return;
    const double late_ms = (double)event->interval_ms / 2; /* evictions wait for a tick */
    const double check_ms = (double)event_promote_ms(event) / 2;
    const double spent_ms = no_show * ((double)event->claim_ms + check_ms) +
                            idle * ((double)event->idle_timeout_ms + late_ms);
    const double visit_ms = (inside / ended * 60000 - spent_ms) / rest;
    const double least = basis_rows[BASIS_VISIT_MS].least, most = basis_rows[BASIS_VISIT_MS].most;
    know(state, BASIS_VISIT_MS, round(fmin(fmax(visit_ms, least), most)), SOURCE_MEASURED);
}

/* What the last minutes say. */
static void measure_minutes(struct forecast_call *state, const struct queue_stat *list,
                            size_t count)
{
    struct minute minutes[MINUTES_MAX];
    const size_t found = minutes_read(list, count, minutes);
    const size_t lately = found < LATELY ? found : LATELY;
    const struct minute *from = &minutes[found - lately];
    double joined = 0, waiting = 0, gave_up = 0;
    for (size_t i = 0; i < lately; i++) {
        joined += (double)from[i].values[MINUTE_JOINED];
        waiting += (double)from[i].values[MINUTE_WAITING];
        gave_up += (double)(from[i].values[MINUTE_WITHDRAWN] + from[i].values[MINUTE_PARKED]);
    }
    if (lately > 0)
        know(state, BASIS_ARRIVALS_PER_MINUTE, joined / (double)lately, SOURCE_MEASURED);
    if (waiting >= 10.0 * SAMPLE)
        know(state, BASIS_ABANDON, fmin(gave_up / waiting, 1), SOURCE_MEASURED);
    measure_visit(state, from, lately);
    if (state->source[BASIS_VISIT_SPREAD_MS] == SOURCE_ASSUMED)
        state->basis[BASIS_VISIT_SPREAD_MS] = round(state->basis[BASIS_VISIT_MS] / 2);
}

/* ---- the two forecasts ---- */

static void end_forecast(struct api *api, struct api_forecast *forecast)
{
    struct api_forecast **at = &api->forecasts;
    while (*at != forecast)
        at = &(*at)->next;
    *at = forecast->next;
    loop_idle_close(forecast->idle);
    forecast_free(forecast->now);
    forecast_free(forecast->then);
    free(forecast);
}

void api_forecast_forget(struct api_call *call)
{
    struct api_forecast *forecast = call->api->forecasts;
    while (forecast && forecast->call != call)
        forecast = forecast->next;
    if (forecast)
        end_forecast(call->api, forecast);
}

static void set_or_null(struct json *object, const char *key, int64_t value)
{
    if (value < 0)
        json_set_null(object, key);
    else
        json_set_int(object, key, value);
}

/* Takes the settings that change a forecast from the event as a whole. */
static struct json *write_settings(const struct event *event)
{
    struct json *all = event_write_json(event), *some = json_new_object();
    for (size_t i = 0; settings[i]; i++) {
        const struct json *value = json_get(all, settings[i]);
        if (value && json_is_integer(value))
            json_set_int(some, settings[i], json_int_value(value, 0));
        else if (json_str_value(value))
            json_set_str(some, settings[i], json_str_value(value));
    }
    struct json *surge = json_new_array();
    for (int i = 0; i < event->surge_count; i++) {
        struct json *rule = json_new_object();
        json_set_int(rule, "queueAbove", event->surge[i].queue_above);
        json_set_int(rule, "threshold", event->surge[i].threshold);
        json_append(surge, rule);
    }
    json_set(some, "surge", surge);
    json_free(all);
    return some;
}

static struct json *write_outcome(const struct event *event, const struct forecast_result *result)
{
    struct json *out = json_new_object();
    json_set(out, "settings", write_settings(event));
    set_or_null(out, "lastWaitMs", result->last_wait_ms);
    set_or_null(out, "waitP50Ms", result->wait_p50_ms);
    set_or_null(out, "waitP90Ms", result->wait_p90_ms);
    set_or_null(out, "waitP99Ms", result->wait_p99_ms);
    set_or_null(out, "waitMaxMs", result->wait_max_ms);
    set_or_null(out, "drainMs", result->drain_ms);
    set_or_null(out, "soldOutMs", result->sold_out_ms);
    json_set_int(out, "entered", result->entered);
    json_set_int(out, "bought", result->bought);
    json_set_int(out, "stillWaiting", result->still_waiting);
    json_set_int(out, "peakWaiting", result->peak_waiting);
    json_set_int(out, "peakInside", result->peak_inside);
    json_set_int(out, "admissionsPerMinute", llround(result->entered_per_minute));
    set_or_null(out, "seatsLeft", result->seats_left);
    return out;
}

static struct json *write_basis(const struct forecast_call *state)
{
    static const char *const names[] = {
        [SOURCE_ASSUMED] = "assumed", [SOURCE_MEASURED] = "measured", [SOURCE_GIVEN] = "given"};
    struct json *list = json_new_object();
    for (size_t i = 0; i < BASIS_COUNT; i++) {
        struct json *row = json_new_object();
        if (i == BASIS_SEATS && state->basis[i] < 0)
            json_set_null(row, "value");
        else if (basis_rows[i].whole)
            json_set_int(row, "value", llround(state->basis[i]));
        else
            json_set_real(row, "value", round(state->basis[i] * 1000) / 1000);
        json_set_str(row, "source", names[state->source[i]]);
        json_set(list, basis_rows[i].name, row);
    }
    return list;
}

static void answer_forecast(struct api_forecast *forecast)
{
    struct api_call *call = forecast->call;
    const struct forecast_call *state = call->state;
    struct forecast_result now, then;
    char sentence[160];
    forecast_result(forecast->now, &now);
    forecast_result(forecast->then, &then);
    end_forecast(call->api, forecast);
    const struct forecast_change change = forecast_compare(&now, &then);
    forecast_write_change(&change, sentence, sizeof(sentence));
    struct json *body = json_new_object(), *told = json_new_object();
    json_set_str(body, "eventId", call->param);
    json_set(body, "now", write_outcome(&state->now, &now));
    json_set(body, "then", write_outcome(&state->then, &then));
    json_set_str(told, "kind", forecast_change_name(change.kind));
    set_or_null(told, "nowMs", change.now_ms);
    set_or_null(told, "thenMs", change.then_ms);
    json_set_str(told, "sentence", sentence);
    json_set(body, "change", told);
    json_set(body, "basis", write_basis(state));
    api_answer_json(call, 200, body);
    json_free(body);
}

static void on_idle(void *arg)
{
    struct api_forecast *forecast = arg;
    if (forecast_step(forecast->now, STEPS) && forecast_step(forecast->then, STEPS))
        answer_forecast(forecast);
}

/* The input that both forecasts share, but for the settings. */
static struct forecast_input make_input(const struct forecast_call *state)
{
    const double *basis = state->basis;
    struct forecast_input input = {
        .waiting = (int64_t)basis[BASIS_WAITING],
        .inside = (int64_t)basis[BASIS_INSIDE],
        .arrivals = (int64_t)(basis[BASIS_ARRIVALS_PER_MINUTE] * basis[BASIS_ARRIVE_MS] / 60000),
        .arrive_ms = (int64_t)basis[BASIS_ARRIVE_MS],
        .abandon = basis[BASIS_ABANDON],
        .no_show = basis[BASIS_NO_SHOW],
        .idle = basis[BASIS_IDLE],
        .buy = basis[BASIS_BUY],
        .seats_per_sale = basis[BASIS_SEATS_PER_SALE],
        .visit_mean_ms = basis[BASIS_VISIT_MS],
        .visit_spread_ms = fmin(basis[BASIS_VISIT_SPREAD_MS], 20 * basis[BASIS_VISIT_MS]),
        .seats = (int64_t)basis[BASIS_SEATS],
        .horizon_ms = HORIZON_MS,
    };
    return input;
}

/* Begins with all that is known. A status other than ST_OK: nothing was begun. */
static enum status begin(struct api_call *call)
{
    struct api *api = call->api;
    const struct forecast_call *state = call->state;
    struct forecast_input now = make_input(state), then = now;
    const bool runs = state->now.status == EVENT_OPEN;
    const char *field;
    unsigned running = 0;
    for (const struct api_forecast *other = api->forecasts; other; other = other->next)
        running++;
    if (running == AT_ONCE)
        return ST_FULL;
    forecast_take_settings(&now, &state->now);
    forecast_take_settings(&then, &state->then);
    now.first_tick_ms = runs ? now.interval_ms : 0;
    then.first_tick_ms = runs ? then.interval_ms : 0;
    if (now.waiting + now.arrivals > WAITING_MAX || forecast_check(&now, &field) != ST_OK ||
        forecast_check(&then, &field) != ST_OK) {
        api_refuse_as(call, 400, "invalid", "forecast-too-large",
                      "Only a queue of up to 1,000,000 buyers can be forecast, those who arrive "
                      "later included.",
                      "assume");
        return ST_OK;
    }
    struct api_forecast *forecast = xcalloc(1, sizeof(*forecast));
    forecast->call = call;
    forecast->now = forecast_new(&now, NULL, NULL);
    forecast->then = forecast_new(&then, NULL, NULL);
    forecast->idle = loop_idle_new(api->loop, on_idle, forecast);
    forecast->next = api->forecasts;
    api->forecasts = forecast;
    loop_idle_start(forecast->idle);
    return ST_OK;
}

/* ---- the request ---- */

static void stats_read(void *arg, enum status status, const struct queue_stat *list, size_t count)
{
    struct api_call *call = arg;
    struct forecast_call *state = call->state;
    const struct rank_index *index = catalog_index(call->api->catalog, call->param);
    if (status == ST_OK) {
        if (index) {
            state->now.status = index->status;
            know(state, BASIS_WAITING, (double)index->queue_size, SOURCE_MEASURED);
            know(state, BASIS_INSIDE, (double)index->active, SOURCE_MEASURED);
            if (index->seats_left != UINT64_MAX)
                know(state, BASIS_SEATS, (double)index->seats_left, SOURCE_MEASURED);
        }
        measure_shares(state, list, count);
        measure_minutes(state, list, count);
        status = begin(call);
    }
    if (status != ST_OK)
        api_fail(call, status);
}

static void live_loaded(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status == ST_OK)
        status = queue_read_stats(call->api->queue, call->param, stats_read, call);
    if (status != ST_OK)
        api_fail_event(call, status);
}

static enum status forecast_fetched(struct api_call *call, const struct event *event)
{
    struct forecast_call *state = call->state;
    struct json_error error = {0};
    state->now = state->then = *event;
    if (call->body) {
        json_remove(call->body, "assume");
        if (event_read_json(&state->then, call->body, false, &error) != ST_OK) {
            api_invalid(call, &error);
            return ST_OK;
        }
    }
    if (event->status == EVENT_CLOSED) {
        api_refuse_as(call, 409, "wrong-state", "is-closed",
                      "A closed event has no queue to forecast.", "status");
        return ST_OK;
    }
    if (event->seats > 0)
        know(state, BASIS_SEATS, (double)event->free_seats, SOURCE_MEASURED);
    if (state->source[BASIS_SEATS_PER_SALE] == SOURCE_ASSUMED)
        state->basis[BASIS_SEATS_PER_SALE] =
            fmin(state->basis[BASIS_SEATS_PER_SALE], (double)event->max_seats);
    if (event->status == EVENT_DRAFT) /* Redis has no drafts */
        return begin(call);
    return catalog_load(call->api->catalog, event->id, false, live_loaded, call);
}

static enum status forecast_start(struct api_call *call)
{
    struct json_error error = {0};
    struct forecast_call *state = http_req_alloc(call->req, sizeof(*state));
    call->state = state;
    enum status st = ST_OK;
    if (call->body)
        st = json_known_keys(call->body, settings, &error);
    if (st == ST_OK)
        st = read_assumptions(state, call->body, &error);
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, forecast_fetched);
}

const struct api_route api_forecast_routes[] = {
    {"POST", "/api/admin/events/{eventId}/forecast", AUTH_STAFF, API_READERS | API_OF_VIEWER,
     forecast_start, API_BODY_JSON},
    {0},
};
