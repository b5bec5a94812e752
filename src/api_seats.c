/* SPDX-License-Identifier: MIT */
/*
 * api_seats: the seat map over HTTP: one counted piece of memory that all answers are sent from.
 *
 * Its ETag is its version; a client that has it is told so (304) without a byte of the map. The map is a
 * second old at most (src/seat_map.c): whoever holds a seat by it may still be told that somebody was
 * faster. Called by: api's route table.
 */
#include "api.h"

#include <inttypes.h>
#include <stdio.h>

static void answer_map(struct api_call *call, const struct seat_map *map)
{
    char etag[24];
    (void)snprintf(etag, sizeof(etag), "\"%" PRIu64 "\"", map->version);
    if (!api_not_modified(call, etag, "no-cache"))
        api_answer_shared(call, map->json, map->len, seat_map_release, seat_map_hold(map));
}

static void map_found(void *arg, const char *event, enum status status, const struct seat_map *map)
{
    (void)event;
    if (status == ST_OK)
        answer_map(arg, map);
    else
        api_fail(arg, status);
}

static enum status map_start(struct api_call *call)
{
    struct seat_maps *maps = call->api->seat_maps;
    const struct seat_map *map = seat_maps_fresh(maps, call->param);
    if (map == NULL)
        return seat_maps_get(maps, call->param, map_found, call);
    answer_map(call, map);
    return ST_OK;
}

const struct api_route api_seats_routes[] = {
    {"GET", "/api/seats/{eventId}", AUTH_NONE, 0, map_start, false},
    {0},
};
