/* SPDX-License-Identifier: MIT */
/*
 * api_compat: the two routes of the predecessor, the JavaScript service, that its consoles and scripts call and that have another place
 * here. They exist only with COMPAT_TIKETI_NODE (api_route.c).
 *
 *   GET  /api/queue/admin/{eventId}        the five numbers, as `stats` has them
 *   POST /api/queue/admin/clear/{eventId}  as `clear`, without a confirmation: its clients send none
 *
 * Called by: api's route table. Owns nothing. Roles and shares are those of the routes that they stand for.
 */
#include "api/api_internal.h"

static void numbers_loaded(void *arg, enum status status)
{
    struct api_call *call = arg;
    const struct event *event = catalog_event(call->api->catalog, call->param);
    const struct rank_index *index = catalog_index(call->api->catalog, call->param);
    if (status == ST_OK && !event)
        status = ST_UNAVAILABLE;
    if (status != ST_OK) {
        api_fail(call, status);
        return;
    }
    const int64_t threshold = index ? (int64_t)index->threshold : event->threshold,
                  inside = index ? (int64_t)index->active : 0;
    struct json *body = json_new_object();
    json_set_str(body, "eventId", call->param);
    json_set_int(body, "queueSize", index ? (int64_t)index->queue_size : 0);
    json_set_int(body, "currentUsers", inside);
    json_set_int(body, "threshold", threshold);
    json_set_int(body, "available", threshold > inside ? threshold - inside : 0);
    api_answer_json(call, 200, body);
    json_free(body);
}

static enum status numbers_fetched(struct api_call *call, const struct event *event)
{
    if (event->status == EVENT_DRAFT) {
        api_refuse_as(call, 409, "wrong-state", "is-draft",
                      "The event is a draft: it has no queue.", "status");
        return ST_OK;
    }
    return catalog_load(call->api->catalog, call->param, false, numbers_loaded, call);
}

static enum status numbers_start(struct api_call *call)
{
    return api_staff_event(call, numbers_fetched);
}

const struct api_route api_compat_routes[] = {
    {"GET", "/api/queue/admin/{eventId}", AUTH_STAFF, API_READERS | API_OF_PREDECESSOR,
     numbers_start, API_BODY_NONE},
    {"POST", "/api/queue/admin/clear/{eventId}", AUTH_STAFF,
     API_OWNERS | API_OF_OWNER | API_OF_PREDECESSOR, api_clear, API_BODY_JSON},
    {0},
};
