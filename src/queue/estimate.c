/* SPDX-License-Identifier: MIT */
/*
 * estimate: how long a buyer waits.
 *
 * Why this way: the index has the measured rate and the numbers, the event its settings; admission has the arithmetic.
 * api, gateway and processor ask here, so that an answer, a message and a metric say the same.
 * Called by: api_queue, gateway_push, processor_stats. Pure: owns nothing.
 */
#include "queue/estimate.h"

struct wait_estimate estimate_wait(const struct rank_index *index, const struct event *event,
                                   uint64_t position)
{
    if (!event || (index ? index->status : event->status) != EVENT_OPEN)
        return (struct wait_estimate){.known = false};
    struct admission_pace pace = {
        .interval_ms = event_promote_ms(event),
        .inside = (uint64_t)event->threshold, /* somebody waits, so it is full */
        .threshold = (uint64_t)event->threshold,
        .outflow_per_minute = (uint64_t)event->outflow_per_minute,
        .session_limit_ms = event->session_limit_ms,
        .stock = UINT64_MAX,
    };
    if (index) {
        const uint64_t hold = event->auto_hold > 0 ? (uint64_t)event->auto_hold : 1;
        pace.mean = index->rate_mean;
        pace.spread = index->rate_spread;
        pace.ticks = index->rate_ticks;
        pace.inside = index->active;
        pace.threshold = index->threshold;
        if (index->seats_left != UINT64_MAX)
            pace.stock = (index->seats_left + hold - 1) / hold;
    }
    return admission_wait(&pace, position);
}
