/* SPDX-License-Identifier: MIT */
/*
 * api_ops: probes, metrics and the description of the API.
 *
 *   /livez          200 while the loop runs; touches nothing
 *   /readyz /health 200 unless the process is starting (it waits for its backends, a second at most) or draining
 *   /metrics        counters of the process, gauges of every event this worker knows
 *   /openapi.json   docs/openapi.json as this binary was built with
 *
 * Why this way: /readyz reports the state of the backends, but only with ?deep=1 does it fail because of them. A dead
 * Redis must not take every pod out of the load balancer: buyers need our 503 with Retry-After.
 * Called by: api's route table, also in processes without the api role. Owns nothing.
 */
#include "api/api_internal.h"

#include "base/embed.h"
#include "base/metrics.h"

#include <stdio.h>
#include <string.h>

#define BACKEND_WAIT_MS 1000

static enum status livez_start(struct api_call *call)
{
    static const char body[] = "{\"status\":\"alive\"}";
    api_answer(call, 200, body, sizeof(body) - 1);
    return ST_OK;
}

static enum status readyz_start(struct api_call *call)
{
    struct api *api = call->api;
    const char *deep = http_req_query(call->req, "deep");
    const bool redis = redis_up(api->redis), db = db_up(api->db);
    /* The backends connect after the listener has opened. A buyer who comes before they are connected would get 503. */
    api->backends_awaited = api->backends_awaited || (redis && db) ||
                            loop_now_ms(api->loop) - api->opened_ms >= BACKEND_WAIT_MS;
    const bool ready = api->backends_awaited && api->health->ready && !api->health->draining;
    const bool ok = ready && (!deep || strcmp(deep, "1") != 0 || (redis && db));
    struct json *body = json_new_object();
    json_set_str(body, "status", api->health->draining ? "draining" : ready ? "ready" : "starting");
    json_set_str(body, "redis", redis ? "up" : "down");
    json_set_str(body, "postgres", db ? "up" : "down");
    if (!ok)
        http_req_add_header(call->req, "Retry-After", "1");
    api_answer_json(call, ok ? 200 : 503, body);
    json_free(body);
    return ST_OK;
}

/* ---- metrics ---- */

struct gauge {
    const char *name, *help;
    size_t offset; /* of its uint64_t in struct rank_index */
};

struct gauge_writer {
    struct buf *out;
    const struct gauge *gauge;
};

static void write_gauge(void *arg, const struct event *event, const struct rank_index *index)
{
    const struct gauge_writer *writer = arg;
    uint64_t value;
    if (!index)
        return;
    memcpy(&value, (const char *)index + writer->gauge->offset, sizeof(value));
    metrics_write_sample(writer->out, writer->gauge->name, "eventId", event->id, (double)value);
}

static enum status metrics_start(struct api_call *call)
{
    static const struct gauge gauges[] = {
        {"tiketi_queue_size", "Buyers waiting.", offsetof(struct rank_index, queue_size)},
        {"tiketi_active_users", "Buyers inside.", offsetof(struct rank_index, active)},
        {"tiketi_threshold", "Effective threshold.", offsetof(struct rank_index, threshold)},
    };
    struct buf *out = &call->api->text;
    buf_reset(out);
    metrics_write(out);
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
        struct gauge_writer writer = {.out = out, .gauge = &gauges[i]};
        metrics_write_header(out, gauges[i].name, "gauge", gauges[i].help);
        catalog_each(call->api->catalog, write_gauge, &writer);
    }
    api_answer_text(call, "text/plain; version=0.0.4; charset=utf-8", buf_str(out), out->len);
    return ST_OK;
}

/* ---- the description of all routes ---- */

static enum status openapi_start(struct api_call *call)
{
    const struct embed *document = &embed_docs[0];
    char etag[24];
    (void)snprintf(etag, sizeof(etag), "\"%s\"", document->hash);
    if (!api_not_modified(call, etag, "public, max-age=300"))
        api_answer(call, 200, document->data, document->len);
    return ST_OK;
}

const struct api_route api_ops_routes[] = {
    {"GET", "/livez", AUTH_NONE, 0, livez_start, API_BODY_NONE},
    {"GET", "/readyz", AUTH_NONE, 0, readyz_start, API_BODY_NONE},
    {"GET", "/health", AUTH_NONE, 0, readyz_start, API_BODY_NONE},
    {"GET", "/metrics", AUTH_NONE, 0, metrics_start, API_BODY_NONE},
    {"GET", "/openapi.json", AUTH_NONE, 0, openapi_start, API_BODY_NONE},
    {0},
};
