/* SPDX-License-Identifier: MIT */
/*
 * api_metrics: /metrics: the numbers of the process, and those of the events that it works on.
 *
 * Called by: api's route table, also in processes without the api role. Owns nothing.
 */
#include "api/api_internal.h"

#include "base/clock.h"
#include "base/metrics.h"
#include "base/metrics_http.h"
#include "base/process_stats.h"
#include "base/worker_stats.h"
#include "net/redis.h"
#include "queue/event_stats.h"
#include "queue/silence.h"

#include <string.h>

#define SHARDS_MAX 64 /* that have series */

/* The shards of a Redis Cluster, as this worker reaches them; none are told of a single server. */
static void write_shards(const struct metrics_text *text, const struct api *api)
{
    static const char up[] = "tiketi_redis_shard_up", slots[] = "tiketi_redis_shard_slots";
    struct redis_shard shard;
    struct buf label;
    if (!redis_shard(api->redis, 0, &shard))
        return;
    buf_init(&label, 1024);
    for (int family = 0; family < 2; family++) {
        metrics_text_family(text, family ? slots : up, "gauge",
                            family ? "Slots that the shard serves."
                                   : "1 while this shard of the Redis Cluster is reached.");
        for (size_t i = 0; i < SHARDS_MAX && redis_shard(api->redis, i, &shard); i++) {
            buf_reset(&label);
            metrics_text_label(&label, "shard", shard.name);
            metrics_text_count(text, family ? slots : up, buf_str(&label),
                               family ? shard.slots : shard.up);
        }
    }
    buf_clear(&label);
}

static enum status metrics_start(struct api_call *call)
{
    static const char silent[] = "tiketi_events_silent";
    struct buf *out = &call->api->text;
    const char *accept = http_req_header(call->req, "Accept");
    const struct metrics_text text = {
        .out = out, .openmetrics = accept && strstr(accept, "application/openmetrics-text")};
    buf_reset(out);
    process_stats_write(&text);
    worker_stats_write(&text);
    metrics_write(&text);
    metrics_http_write(&text);
    write_shards(&text, call->api);
    metrics_text_family(&text, silent, "gauge",
                        "Open events that no processor has ticked for three intervals.");
    metrics_text_count(&text, silent, "", silence_count(clock_mono_ns()));
    event_stats_write(&text, clock_mono_ns());
    metrics_text_end(&text);
    api_answer_text(call,
                    text.openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                     : "text/plain; version=0.0.4; charset=utf-8",
                    buf_str(out), out->len);
    return ST_OK;
}

const struct api_route api_metrics_routes[] = {
    {"GET", "/metrics", AUTH_NONE, 0, metrics_start, API_BODY_NONE},
    {0},
};
