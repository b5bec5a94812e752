/* SPDX-License-Identifier: MIT */
/*
 * api_ops: what an orchestrator and a monitoring system ask.
 *
 * /livez touches nothing. /readyz is 200 unless the process is starting (for a second at most it
 * waits for its backends) or draining, whatever the backends do: a dead Redis must not take every
 * pod out of the load balancer, because buyers need our 503 with Retry-After. The state of the backends is in the body; ?deep=1 makes it count.
 * /openapi.json is docs/openapi.json as it was built in, so it fits this very binary.
 * Called by: api's route table.
 */
#include "api/api_internal.h"

#include "base/embed.h"
#include "base/metrics.h"

#include <stdio.h>
#include <string.h>

#define SETTLE_MS 1000

static enum status livez_start(struct api_call *call)
{
    static const char body[] = "{\"status\":\"alive\"}";
    api_answer(call, 200, body, sizeof(body) - 1);
    return ST_OK;
}

/* The links to the backends are made after the listener: for these few milliseconds whoever came would be
 * told 503. */
static bool has_settled(struct api *api, bool reached)
{
    if (!api->settled)
        api->settled = reached || loop_now_ms(api->loop) - api->opened_ms >= SETTLE_MS;
    return api->settled;
}

static enum status readyz_start(struct api_call *call)
{
    struct api *api = call->api;
    const char *deep = http_req_query(call->req, "deep");
    const bool redis = redis_up(api->redis), db = db_up(api->db);
    const bool ready =
        has_settled(api, redis && db) && api->health->ready && !api->health->draining;
    const bool bad = !ready || (deep != NULL && strcmp(deep, "1") == 0 && !(redis && db));
    struct json *body = json_new_object();
    json_set_str(body, "status", api->health->draining ? "draining" : ready ? "ready" : "starting");
    json_set_str(body, "redis", redis ? "up" : "down");
    json_set_str(body, "postgres", db ? "up" : "down");
    if (bad)
        http_req_add_header(call->req, "Retry-After", "1");
    struct buf *out = &call->api->text;
    buf_reset(out);
    json_write(body, out);
    json_free(body);
    api_answer(call, bad ? 503 : 200, buf_str(out), out->len);
    return ST_OK;
}

/* ---- metrics ---- */

struct gauge {
    struct buf *out;
    const char *name;
    int64_t (*read)(const struct rank_index *index);
};

static int64_t read_queue_size(const struct rank_index *index)
{
    return (int64_t)index->queue_size;
}

static int64_t read_active(const struct rank_index *index)
{
    return (int64_t)index->active;
}

static int64_t read_threshold(const struct rank_index *index)
{
    return (int64_t)index->threshold;
}

static void write_gauge(void *arg, const struct event *event, const struct rank_index *index)
{
    const struct gauge *gauge = arg;
    if (index != NULL)
        metrics_write_sample(gauge->out, gauge->name, "eventId", event->id,
                             (double)gauge->read(index));
}

static enum status metrics_start(struct api_call *call)
{
    static const struct {
        const char *name, *help;
        int64_t (*read)(const struct rank_index *index);
    } gauges[] = {
        {"tiketi_queue_size", "Buyers waiting.", read_queue_size},
        {"tiketi_active_users", "Buyers inside.", read_active},
        {"tiketi_threshold", "Effective threshold.", read_threshold},
    };
    struct buf *out = &call->api->text;
    buf_reset(out);
    metrics_write(out);
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++) {
        struct gauge gauge = {.out = out, .name = gauges[i].name, .read = gauges[i].read};
        metrics_write_header(out, gauges[i].name, "gauge", gauges[i].help);
        catalog_each(call->api->catalog, write_gauge, &gauge);
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
    {"GET", "/livez", AUTH_NONE, 0, livez_start, false},
    {"GET", "/readyz", AUTH_NONE, 0, readyz_start, false},
    {"GET", "/health", AUTH_NONE, 0, readyz_start, false},
    {"GET", "/metrics", AUTH_NONE, 0, metrics_start, false},
    {"GET", "/openapi.json", AUTH_NONE, 0, openapi_start, false},
    {0},
};
