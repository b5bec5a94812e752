/* SPDX-License-Identifier: MIT */
/*
 * api_ops: probes and the description of the API.
 *
 *   /livez          200 while the loop runs; touches nothing
 *   /readyz /health 200 unless the process is starting (its workers wait for their backends, worker.c) or draining; what is
 *                   wrong with the backends in words on METRICS_PORT alone: it names hosts and users, and anybody may
 *                   ask HTTP_PORT
 *   /openapi.json, /asyncapi.json   the files of docs/ as this binary was built with
 *
 * Why this way: /readyz reports the state of the backends, but only with ?deep=1 (api_deep.c) does it fail because of them. A dead
 * Redis must not take every pod out of the load balancer: buyers need our 503 with Retry-After. A wrong clock fails
 * nothing: the pod corrects it, and if it is Redis' clock that is wrong, every pod sees the same.
 * Called by: api's route table, also in processes without the api role. Owns nothing.
 */
#include "api/api_internal.h"

#include "base/build.h"
#include "base/embed.h"
#include "base/shared_clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status livez_start(struct api_call *call)
{
    static const char body[] = "{\"status\":\"alive\"}";
    api_answer(call, 200, body, sizeof(body) - 1);
    return ST_OK;
}

bool api_tells_details(const struct api_call *call)
{
    return call->door == &call->api->probes;
}

struct json *api_ready_body(const struct api_call *call)
{
    const struct api *api = call->api;
    const struct redis_state redis = redis_state(api->redis);
    const struct db_state db = db_state(api->db);
    const int64_t skew_ms = shared_clock_skew_ms();
    struct json *body = json_new_object();
    json_set_str(body, "status",
                 api->health->draining        ? "draining"
                 : api->health->starting == 0 ? "ready"
                                              : "starting");
    json_set_str(body, "version", build_version);
    json_set_str(body, "commit", build_commit);
    json_set_str(body, "redis",
                 !redis.up              ? "down"
                 : redis.partial        ? "partial"
                 : redis.refuses_writes ? "read-only"
                                        : "up");
    json_set_str(body, "postgres", !db.up ? "down" : db.read_only ? "read-only" : "up");
    const bool details = api_tells_details(call);
    if (details && *redis.problem)
        json_set_str(body, "redisProblem", redis.problem);
    if (details && *redis.warning)
        json_set_str(body, "redisWarning", redis.warning);
    if (details && *db.problem)
        json_set_str(body, "postgresProblem", db.problem);
    if (llabs(skew_ms) > SHARED_CLOCK_SKEW_WARN_MS)
        json_set_int(body, "clockSkewMs", skew_ms);
    return body;
}

void api_answer_ready(struct api_call *call, bool ok, struct json *body)
{
    if (!ok)
        http_req_add_header(call->req, "Retry-After", "1");
    api_answer_json(call, ok ? 200 : 503, body);
    json_free(body);
}

static enum status readyz_start(struct api_call *call)
{
    const struct api_health *health = call->api->health;
    const char *deep = http_req_query(call->req, "deep");
    if (deep && strcmp(deep, "1") == 0)
        return api_deep_start(call);
    api_answer_ready(call, health->starting == 0 && !health->draining, api_ready_body(call));
    return ST_OK;
}

/* ---- the description of all routes ---- */

/* The document, with PATH_PREFIX as the server's URL. */
static void answer_document(struct api_call *call, const struct embed *document, const char *prefix)
{
    static const char root[] = "\"servers\": [{\"url\": \"/\"}]";
    const char *at = memmem(document->data, document->len, root, sizeof(root) - 1);
    struct buf *text = &call->api->page;
    if (!*prefix || !at) {
        api_answer_static(call, "application/json", document->data, document->len);
        return;
    }
    buf_reset(text);
    buf_add(text, document->data, (size_t)(at - document->data));
    buf_printf(text, "\"servers\": [{\"url\": \"%s\"}]", prefix);
    at += sizeof(root) - 1;
    buf_add(text, at, (size_t)(document->data + document->len - at));
    api_answer_text(call, "application/json", buf_str(text), text->len);
}

static enum status document_start(struct api_call *call)
{
    const struct embed *document =
        embed_find(embed_docs, embed_docs_count, strrchr(http_req_path(call->req), '/') + 1);
    char etag[24];
    if (!document)
        return ST_NOT_FOUND;
    (void)snprintf(etag, sizeof(etag), "\"%s\"", document->hash);
    if (!api_not_modified(call, etag, "public, max-age=300"))
        answer_document(call, document, api_prefix(call->api));
    return ST_OK;
}

const struct api_route api_ops_routes[] = {
    {"GET", "/livez", AUTH_NONE, 0, livez_start, API_BODY_NONE},
    {"GET", "/readyz", AUTH_NONE, 0, readyz_start, API_BODY_NONE},
    {"GET", "/health", AUTH_NONE, 0, readyz_start, API_BODY_NONE},
    {"GET", "/openapi.json", AUTH_NONE, 0, document_start, API_BODY_NONE},
    {"GET", "/asyncapi.json", AUTH_NONE, 0, document_start, API_BODY_NONE},
    {0},
};
