/* SPDX-License-Identifier: MIT */
/*
 * api_seats: the seat map over HTTP: one counted piece of memory that all answers are sent from.
 *
 *   fresh here -> answer; else: an event known to this pod? -> catalog_load -> seat_maps_get -> answer
 *
 * Its ETag is its version; a client that has it is told so (304) without a byte of the map. The map is a
 * second old at most (src/seat_map.c): whoever holds a seat by it may still be told that somebody was
 * faster. For an id that is no event's the catalog answers, which is made for floods of them; so maps are
 * asked for, and kept, of events alone. (With Redis gone a pod just started knows none: 503.)
 * Called by: api's route table.
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
    struct seat_maps *maps = call->api->seat_maps;
    const struct seat_map *map = seat_maps_fresh(maps, call->param);
    if (map == NULL && catalog_event(call->api->catalog, call->param) == NULL)
        return catalog_load(call->api->catalog, call->param, false, map_known, call);
    if (map == NULL)
        return seat_maps_get(maps, call->param, map_found, call);
    answer_map(call, map);
    return ST_OK;
}

const struct api_route api_seats_routes[] = {
    {"GET", "/api/seats/{eventId}", AUTH_NONE, 0, map_start, false},
    {0},
};
