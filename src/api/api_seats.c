/* SPDX-License-Identifier: MIT */
/*
 * api_seats: the seat map over HTTP.
 *
 *   a fresh map in this worker -> answer; else the event must exist -> seat_maps_get -> answer
 *
 * Why this way: one reference-counted copy of a map is sent to all who ask. Its ETag is its version: a client that has
 * this version gets 304. A map is up to a second old (selling/seat_map.h), so a hold may still find a seat taken.
 * The catalog refuses unknown ids from its negative cache, so that maps are read and kept only for events that exist.
 * Called by: api's route table. Owns nothing. With Redis gone: events in the catalog keep their maps, others get 503.
 */
#include "api/api_internal.h"

#include <inttypes.h>
#include <stdio.h>

static void answer_map(struct api_call *call, const struct seat_map *map)
{
    char etag[24];
    (void)snprintf(etag, sizeof(etag), "\"%" PRIu64 "\"", map->version);
    if (!api_not_modified(call, etag, "no-cache"))
        api_answer_shared(call, map->json, map->len, seat_map_unref, seat_map_ref(map));
}

static void map_found(void *arg, const char *event, enum status status, const struct seat_map *map)
{
    (void)event;
    if (status == ST_OK)
        answer_map(arg, map);
    else
        api_fail(arg, status);
}

static void map_known(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status == ST_OK)
        status = seat_maps_get(call->api->seat_maps, call->param, map_found, call);
    if (status != ST_OK)
        api_fail(call, status);
}

static enum status map_start(struct api_call *call)
{
    const struct seat_map *map = seat_maps_fresh(call->api->seat_maps, call->param);
    if (!map)
        return api_with_event(call, call->param, map_known);
    answer_map(call, map);
    return ST_OK;
}

const struct api_route api_seats_routes[] = {
    {"GET", "/api/seats/{eventId}", AUTH_NONE, 0, map_start, API_BODY_NONE},
    {0},
};
