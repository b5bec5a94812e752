/* SPDX-License-Identifier: MIT */
/*
 * api_history: staff routes that read the record of a sale: its minutes.
 *
 * Why this way: PostgreSQL has the record and writes the answers; the statements are of the kind DB_STAFF, so however slow
 * they are, buyers keep their connections.
 * Called by: api's route table. Owns nothing. With PostgreSQL gone: 503.
 */
#include "api/api_internal.h"

#include "base/clock.h"
#include "selling/history.h"

#include <stdio.h>
#include <stdlib.h>

#define STEP_MAX_S 86400

/* ---- minutes ---- */

/* Reads a query argument that is a time. False: it is none, and *error is filled. */
static bool read_time(struct api_call *call, const char *name, const char **ret,
                      struct json_error *error)
{
    int64_t ms;
    *ret = http_req_query(call->req, name);
    if (!*ret || clock_parse_rfc3339(*ret, &ms) == ST_OK)
        return true;
    (void)json_refuse(error, name, "not-a-time", "%s must be a time such as 2026-11-21T20:00:00Z.",
                      name);
    return false;
}

static enum status minutes_fetched(struct api_call *call, const struct event *event)
{
    struct history_range *range = call->state;
    range->event = event->id;
    return history_minutes(call->api->db, range, api_answer_stored, call);
}

static enum status minutes_start(struct api_call *call)
{
    struct json_error error = {0};
    struct history_range *range = http_req_alloc(call->req, sizeof(*range));
    call->state = range;
    bool valid =
        read_time(call, "from", &range->from, &error) && read_time(call, "to", &range->to, &error);
    range->step = http_req_query(call->req, "step");
    if (valid && range->step) {
        const long long step = api_is_number(range->step) ? strtoll(range->step, NULL, 10) : 0;
        valid = step >= 60 && step <= STEP_MAX_S && step % 60 == 0;
        if (!valid)
            (void)json_refuse(&error, "step", "not-a-step",
                              "step must be a multiple of 60 seconds, from 60 to %d.", STEP_MAX_S);
    }
    if (!valid) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, minutes_fetched);
}

const struct api_route api_history_routes[] = {
    {"GET", "/api/admin/events/{eventId}/minutes", AUTH_STAFF, API_READERS, minutes_start,
     API_BODY_NONE},
    {0},
};
