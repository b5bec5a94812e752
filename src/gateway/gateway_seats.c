/* SPDX-License-Identifier: MIT */
/*
 * gateway_seats: changes of the seat map, sent to the subscribers who watch it.
 *
 * Why this way: nothing about a single seat crosses Redis. Each second an audience with watchers reads the seat map
 * (cached for the whole worker, and most often unchanged) and sends the difference from the last one. So an expired
 * hold, which nobody writes anywhere, is a change like any other; a lost message loses nothing; and a thousand holds
 * in a second are one message. Only statuses are sent, never the buyer of a seat. A delta names the version it starts
 * from and the one it leads to. A client with another version reads the map again, which its ETag makes cheap. A map
 * is used only while the event is known: a client may invent an id.
 * Called by: gateway.c (each tick), gateway_join. Owns: each audience's list of seat ids and statuses.
 */
#include "gateway/gateway_internal.h"

#include "base/log.h"

#include <inttypes.h>
#include <string.h>

#define LOOK_MS   1000
#define DELTA_MAX 250 /* seats in one message; above it reading the map again is cheaper */

/* Begins a seats-changed message in the scratch buffer, from the version that the watchers have to `version`. */
static struct buf *begin_delta(struct audience *audience, uint64_t version)
{
    struct buf *text = &audience->gateway->text;
    buf_reset(text);
    buf_printf(text,
               "{\"event\":\"seats-changed\",\"payload\":{\"eventId\":\"%s\",\"from\":%" PRIu64
               ",\"version\":%" PRIu64,
               audience->id, audience->seats_version, version);
    return text;
}

/* An empty delta: tells the version that the next delta starts from. */
static const struct buf *write_start(struct audience *audience)
{
    struct buf *text = begin_delta(audience, audience->seats_version);
    buf_add_str(text, ",\"seats\":[]}}");
    return text;
}

static void on_map(void *arg, const char *event, enum status status, const struct shared_text *map)
{
    struct gateway *gateway = arg;
    struct audience *audience =
        audience_find(gateway, event); /* NULL: its last socket was closed */
    struct seat_list now;
    if (!audience || status != ST_OK || !audience->known || audience->watchers == 0 ||
        (audience->seats_known && audience->seats_version >= map->version)) {
        gateway_call_ended(gateway);
        return;
    }
    if (!seat_list_read(&now, map->data, map->len)) {
        log_error("seats-changed not sent: seat map unreadable", LOG_TEXT("event", audience->id));
        gateway_call_ended(gateway);
        return;
    }
    if (audience->seats_known) {
        struct buf *text = begin_delta(audience, map->version);
        const size_t head = text->len;
        buf_add_str(text, ",\"seats\":");
        if (!seat_list_diff(&audience->seats, &now, DELTA_MAX, text)) {
            buf_truncate(text, head);
            buf_add_str(text, ",\"reload\":true");
        }
        buf_add_str(text, "}}");
        audience_broadcast(audience, TO_WATCHERS, text);
    }
    seat_list_clear(&audience->seats);
    audience->seats = now;
    audience->seats_version = map->version;
    if (!audience->seats_known)
        audience_broadcast(audience, TO_WATCHERS, write_start(audience));
    audience->seats_known = true;
    gateway_call_ended(gateway);
}

void audience_look_at_seats(struct audience *audience)
{
    struct gateway *gateway = audience->gateway;
    const uint64_t now_ms = loop_now_ms(gateway->opts.loop);
    if (audience->watchers == 0 && audience->seats_known) {
        seat_list_clear(&audience->seats);
        audience->seats_known = false;
    }
    if (audience->watchers == 0 ||
        (audience->seats_ms != 0 && now_ms - audience->seats_ms < LOOK_MS))
        return;
    audience->seats_ms = now_ms;
    if (seat_maps_get(gateway->opts.seat_maps, audience->id, on_map, gateway) == ST_OK)
        gateway->calls++;
}

void subscriber_start_seats(struct subscriber *subscriber)
{
    struct audience *audience = subscriber->audience;
    if (audience->seats_known)
        subscriber_send(subscriber, write_start(audience));
    else
        audience_look_at_seats(audience);
}
