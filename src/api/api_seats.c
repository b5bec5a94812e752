/* SPDX-License-Identifier: MIT */
/*
 * api_seats: the seat map over HTTP, and what is left by price.
 *
 *   map    a fresh map in this worker -> answer; else the event must exist -> seat_maps_get -> answer
 *   stock  a count of the last minute -> answer; else seat_maps_get -> count -> answer
 *
 * Why this way: one reference-counted copy of a map is sent to all who ask, and one compressed copy to those who accept
 * gzip. Its ETag is its version: a client that has this version gets 304. A map is up to a second old (selling/seat_map.h), so a hold may still find a seat taken.
 * ?form=rows asks for the short form of a map (selling/seat_rows.h), which the pages read.
 * The catalog refuses unknown ids from its negative cache, so that maps are read and kept only for events that exist.
 * Called by: api's route table. Owns nothing. With Redis gone: events in the catalog keep their maps, others get 503.
 */
#include "api/api_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void answer_map(struct api_call *call, const struct shared_text *map)
{
    const char *form = http_req_query(call->req, "form");
    const struct shared_text *rows = form && strcmp(form, "rows") == 0 ? seat_map_rows(map) : NULL;
    char tag[32];
    (void)snprintf(tag, sizeof(tag), "%" PRIu64 "%s", map->version, rows ? "-rows" : "");
    api_answer_shared(call, "application/json", tag, rows ? rows : map);
}

static void map_found(void *arg, const char *event, enum status status,
                      const struct shared_text *map)
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
    const struct shared_text *map = seat_maps_fresh(call->api->seat_maps, call->param);
    if (!map)
        return api_with_event(call, call->param, map_known);
    answer_map(call, map);
    return ST_OK;
}

/* ---- stock ---- */

static void answer_stock(struct api_call *call, const struct counted_stock *counted)
{
    char tag[24];
    (void)snprintf(tag, sizeof(tag), "%" PRIu64, counted->text->version);
    api_answer_shared(call, "application/json", tag, counted->text);
}

static void stock_map_found(void *arg, const char *event, enum status status,
                            const struct shared_text *map)
{
    struct api_call *call = arg;
    const struct counted_stock *counted =
        status == ST_OK ? stock_cache_count(call->api->stock, event, map) : NULL;
    if (counted)
        answer_stock(call, counted);
    else
        api_fail(call, status == ST_OK ? ST_INTERNAL : status);
}

static void stock_event_known(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status == ST_OK) {
        const struct counted_stock *counted = stock_cache_look(call->api->stock, call->param);
        if (counted) {
            answer_stock(call, counted);
            return;
        }
        status = seat_maps_get(call->api->seat_maps, call->param, stock_map_found, call);
    }
    if (status != ST_OK)
        api_fail(call, status);
}

static enum status stock_start(struct api_call *call)
{
    return api_with_event(call, call->param, stock_event_known);
}

const struct api_route api_seats_routes[] = {
    {"GET", "/api/events/{eventId}/stock", AUTH_NONE, 0, stock_start, API_BODY_NONE},
    {"GET", "/api/seats/{eventId}", AUTH_NONE, 0, map_start, API_BODY_NONE},
    {0},
};
