/* SPDX-License-Identifier: MIT */
/*
 * api_load: load shedding: who is told to come again when requests wait too long.
 *
 *   the oldest request waits in the kernel until it is read (httpd_age_ms)   -> api_load_refuses
 *   the oldest join waits for Redis (queue_join: ST_FULL)                    -> api_load_refuse
 *
 * Why this way: newcomers are refused first, who lose nothing but time; then buyers with a place, whose next poll or reload
 * asks the same again. Nobody is refused who claims a turn, sends a heartbeat, is inside, holds or pays: their routes
 * have no load, or their pass says so. A refusal is cheap: it comes before identity, cookies and Redis, so it looks only for
 * the name of a proof; whether the proof is right queue_join asks, which judges by what was verified.
 * Called by: api for each request of a route with a load, api_queue, api_route. Owns nothing: struct overload is the api's.
 */
#include "api/api_internal.h"

#include "base/metrics.h"

#include <string.h>

#define SPREAD 2654435761u /* 2^32 by the golden ratio: neighbours become far apart */

enum api_load api_load_of(const struct api_route *route)
{
    static const struct {
        const char *method, *path;
        enum api_load load;
    } rows[] = {
        {"POST", "/api/queue/check/{eventId}", API_LOAD_OPENING},
        {"GET", "/wait/{eventId}", API_LOAD_OPENING},
        {"GET", "/", API_LOAD_OPENING},
        {"GET", "/api/events", API_LOAD_OPENING},
        {"GET", "/api/events/{eventId}", API_LOAD_OPENING},
        {"GET", "/api/queue/status/{eventId}", API_LOAD_WAITING},
        {"GET", "/assets/{path*}", API_LOAD_WAITING},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].method, route->method) == 0 && strcmp(rows[i].path, route->path) == 0)
            return rows[i].load;
    }
    return API_LOAD_NONE;
}

static bool has_proof(const struct api_call *call, const char *header, const char *cookie)
{
    const char *cookies = http_req_cookies(call->req);
    return http_req_header(call->req, header) || (cookies && strstr(cookies, cookie));
}

void api_load_refuse(struct api_call *call, bool newcomer)
{
    struct api *api = call->api;
    const uint32_t random = (uint32_t)api->request_seq * SPREAD >> 12;
    if (newcomer)
        call->guest = false; /* they need no cookie before they have a place */
    metrics_add(newcomer ? METRIC_SHED_NEWCOMERS : METRIC_SHED_RETURNING, 1);
    api_answer_problem(
        call, &(struct api_problem){.status = 503,
                                    .code = "overloaded",
                                    .detail = "Too many requests at once: come again after the "
                                              "seconds that Retry-After says.",
                                    .retry_s = queue_retry_s(api->queue, random)});
}

bool api_load_refuses(struct api_call *call, enum api_load load)
{
    struct api *api = call->api;
    const uint64_t now_ms = loop_now_ms(api->loop);
    const uint64_t age_ms = httpd_age_ms(call->door->httpd);
    /* Most requests wait for nothing: no header is looked at. */
    if (!overload_refuses(&api->overload, OVERLOAD_NEWCOMER, false, age_ms, now_ms))
        return false;
    const bool newcomer =
        load == API_LOAD_OPENING && !has_proof(call, "X-Tiketi-Ticket", "tiketi_ticket_");
    if (has_proof(call, "X-Tiketi-Pass", "tiketi_pass_") ||
        (!newcomer && !overload_refuses(&api->overload, OVERLOAD_RETURNING, false, age_ms, now_ms)))
        return false;
    api_load_refuse(call, newcomer);
    return true;
}
