/* SPDX-License-Identifier: MIT */
/*
 * forecast_input: what a forecast is made from, and what cannot be forecast.
 *
 * Called by: api_forecast, tiketi-simulate, and who else makes a forecast. Pure. Owns nothing.
 */
#include "queue/forecast.h"

#include <string.h>

void forecast_take_settings(struct forecast_input *input, const struct event *event)
{
    input->threshold = event->threshold;
    input->interval_ms = event->interval_ms;
    input->continuous = event->promotion == EVENT_CONTINUOUS;
    input->claim_ms = event->claim_ms;
    input->silent_ms = event->silent_ms;
    input->idle_timeout_ms = event->idle_timeout_ms;
    input->session_limit_ms = event->session_limit_ms;
    input->outflow_per_minute = event->outflow_per_minute;
    input->auto_hold = event->auto_hold;
    memcpy(input->surge, event->surge, sizeof(input->surge));
    input->surge_count = event->surge_count;
    input->threshold_min = event->threshold_min;
    input->target_p95_ms = event->target_p95_ms;
}

static bool is_share(double value)
{
    return value >= 0 && value <= 1;
}

/* Is 0 to `most`. */
static bool is_count(int64_t value, int64_t most)
{
    return value >= 0 && value <= most;
}

static bool visits_valid(const struct forecast_input *in)
{
    if (in->visit_quantile_count == 0)
        return in->visit_mean_ms >= 1 && in->visit_mean_ms <= 1e9 && in->visit_spread_ms >= 0 &&
               in->visit_spread_ms <= 20 * in->visit_mean_ms;
    if (in->visit_quantile_count == 1 || in->visit_quantile_count > FORECAST_QUANTILES_MAX)
        return false;
    for (size_t i = 0; i < in->visit_quantile_count; i++) {
        if (!(in->visit_quantiles_ms[i] >= (i > 0 ? in->visit_quantiles_ms[i - 1] : 0)) ||
            in->visit_quantiles_ms[i] > 1e9)
            return false;
    }
    return true;
}

enum status forecast_check(const struct forecast_input *in, const char **ret_field)
{
    const int64_t most = FORECAST_BUYERS_MAX, day_ms = INT64_C(86400000);
    const struct {
        const char *field;
        bool valid;
    } rows[] = {
        {"waiting", is_count(in->waiting, most)},
        {"inside", is_count(in->inside, most)},
        {"arrivals", is_count(in->arrivals, most - in->waiting)},
        {"arriveMs", is_count(in->arrive_ms, 366 * day_ms)},
        {"abandon", is_share(in->abandon)},
        {"noShow", is_share(in->no_show)},
        {"idle", is_share(in->idle)},
        {"buy", is_share(in->buy)},
        {"seatsPerSale", in->seats_per_sale >= 1 && in->seats_per_sale <= 100},
        {"visit", visits_valid(in)},
        {"threshold", is_count(in->threshold, INT64_C(10000000))},
        {"intervalMs", in->interval_ms >= 1 && in->interval_ms <= day_ms},
        {"claimMs", is_count(in->claim_ms, day_ms)},
        {"silentMs", is_count(in->silent_ms, day_ms)},
        {"idleTimeoutMs", is_count(in->idle_timeout_ms, 366 * day_ms)},
        {"sessionLimitMs", is_count(in->session_limit_ms, 366 * day_ms)},
        {"outflowPerMinute", is_count(in->outflow_per_minute, INT64_C(100000000))},
        {"autoHold", is_count(in->auto_hold, 100)},
        {"surge", in->surge_count >= 0 && in->surge_count <= EVENT_SURGE_MAX},
        {"seats", in->seats >= -1},
        {"shopBears", is_count(in->shop_bears, most)},
        {"thresholdMin", is_count(in->threshold_min, INT64_C(10000000))},
        {"targetP95Ms", in->shop_bears == 0 || is_count(in->target_p95_ms - 1, day_ms)},
        {"firstTickMs", is_count(in->first_tick_ms, day_ms)},
        {"horizonMs", is_count(in->horizon_ms, 366 * day_ms)},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].valid)
            continue;
        *ret_field = rows[i].field;
        return ST_INVALID;
    }
    return ST_OK;
}
