/* SPDX-License-Identifier: MIT */
/*
 * api_health: POST /api/admin/events/{eventId}/health: the shop says how it is.
 *
 *   p95Ms, errorRate -> config:{id} (lua/feedback.lua) -> the lease holder judges it (processor_feedback)
 *
 * Why this way: a report changes nothing by itself, so any pod takes it, and one alone decides. Where nobody reports, a
 * Prometheus may be asked instead (processor_health).
 * Called by: api's route table. Owns nothing. With Redis or PostgreSQL gone: 503, and the limit stays as it is.
 */
#include "api/api_internal.h"

#include <math.h>

#define P95_MAX_MS 3600000

static void reported(void *arg, enum status status, const struct queue_feedback *feedback)
{
    struct api_call *call = arg;
    if (status != ST_OK) {
        api_fail(call, status);
        return;
    }
    struct json *body = json_new_object();
    json_set_str(body, "eventId", call->param);
    json_set_int(body, "threshold", (int64_t)feedback->numbers.threshold);
    json_set_int(body, "mostThreshold", feedback->most);
    json_set_int(body, "currentUsers", (int64_t)feedback->numbers.active);
    api_answer_json(call, 200, body);
    json_free(body);
}

static enum status event_found(struct api_call *call, const struct event *event)
{
    if (event->status == EVENT_DRAFT) {
        api_problem(call, 409, "wrong-state", "Publish the event first: a draft has no queue.",
                    "status");
        return ST_OK;
    }
    if (event->threshold_min == 0) {
        api_problem(call, 409, "feedback-off",
                    "Set thresholdMin first: with 0 the shop's health changes nothing.",
                    "thresholdMin");
        return ST_OK;
    }
    return queue_report_health(call->api->queue, call->param, call->state, reported, call);
}

static enum status read_report(const struct json *body, struct feedback_health *health,
                               struct json_error *error)
{
    static const char *const keys[] = {"p95Ms", "errorRate", NULL};
    if (!json_is_object(body))
        return json_refuse(error, "", "body-needed",
                           "A JSON object is needed, with p95Ms and errorRate.");
    if (json_known_keys(body, keys, error) != ST_OK)
        return ST_INVALID;
    const double p95 = json_double(body, "p95Ms", NAN), rate = json_double(body, "errorRate", NAN);
    if (!(p95 >= 0 && p95 <= P95_MAX_MS))
        return json_refuse(error, "p95Ms", "not-in-range",
                           "%s must be a number of milliseconds from %d to %d.", "p95Ms", 0,
                           P95_MAX_MS);
    if (!(rate >= 0 && rate <= 1))
        return json_refuse(error, "errorRate", "not-in-range",
                           "%s must be the share of requests that failed, from %d to %d.",
                           "errorRate", 0, 1);
    *health = (struct feedback_health){.p95_ms = llround(p95), .error_rate = rate};
    return ST_OK;
}

static enum status health_start(struct api_call *call)
{
    struct json_error error = {0};
    call->state = http_req_alloc(call->req, sizeof(struct feedback_health));
    if (read_report(call->body, call->state, &error) != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, event_found);
}

const struct api_route api_health_routes[] = {
    {"POST", "/api/admin/events/{eventId}/health", AUTH_STAFF, API_OPERATORS, health_start,
     API_BODY_JSON},
    {0},
};
