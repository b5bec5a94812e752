/* SPDX-License-Identifier: MIT */
/*
 * gateway_seats: what changes in a hall, told to those who watch it.
 *
 * Why this way: no word about one seat crosses Redis. Each second a audience with watchers looks at the map
 * (src/seat_map.c: shared by all, most often found unchanged), and the difference to the last one is
 * sent. So a lapsed hold, which nobody writes anywhere, is told like any other change; a lost message
 * loses nothing; and a thousand holds in a second are one message. Statuses are all that is told:
 * never whose a seat is.
 * A delta says from which version to which it leads. Who has the map of another version than `from` reads
 * it anew: an ETag makes that cheap. Of a audience whose event is not known (yet) no map is asked for: its id may
 * be anybody's invention.
 * Called by: gateway (each tick), gateway_join. Owns: each audience's list of ids and statuses.
 */
#include "gateway/gateway_internal.h"

#include "base/log.h"

#include <inttypes.h>
#include <string.h>

#define LOOK_MS 1000
#define MOST    250 /* seats in a delta; beyond it reading the map anew is cheaper */

static void write_head(struct audience *audience, struct buf *text, uint64_t from, uint64_t version)
{
    buf_reset(text);
    buf_printf(text,
               "{\"event\":\"seats-changed\",\"payload\":{\"eventId\":\"%s\",\"from\":%" PRIu64
               ",\"version\":%" PRIu64,
               audience->id, from, version);
}

/* Nothing has changed: this is the version deltas start from. */
static const struct buf *write_start(struct audience *audience)
{
    struct buf *text = &audience->gateway->text;
    write_head(audience, text, audience->seats_version, audience->seats_version);
    buf_add_str(text, ",\"seats\":[]}}");
    return text;
}

static const struct buf *write_change(struct audience *audience, const struct seat_list *now,
                                      uint64_t version)
{
    struct buf *text = &audience->gateway->text;
    write_head(audience, text, audience->seats_version, version);
    const size_t head = text->len;
    buf_add_str(text, ",\"seats\":");
    if (!seat_list_diff(&audience->seats, now, MOST, text)) {
        buf_truncate(text, head);
        buf_add_str(text, ",\"reload\":true");
    }
    buf_add_str(text, "}}");
    return text;
}

static void take_map(struct audience *audience, const struct seat_map *map)
{
    struct seat_list now;
    if (!audience->known || audience->watchers == 0 ||
        (audience->seats_known && audience->seats_version >= map->version))
        return;
    if (!seat_list_read(&now, map->json, map->len)) {
        log_error("a seat map cannot be read", LOG_TEXT("event", audience->id));
        return;
    }
    if (audience->seats_known)
        audience_broadcast(audience, TO_WATCHERS, write_change(audience, &now, map->version));
    seat_list_clear(&audience->seats);
    audience->seats = now;
    audience->seats_version = map->version;
    if (!audience->seats_known)
        audience_broadcast(audience, TO_WATCHERS, write_start(audience));
    audience->seats_known = true;
}

static void looked(void *arg, const char *event, enum status status, const struct seat_map *map)
{
    struct gateway *gateway = arg;
    struct audience *audience = audience_find(gateway, event); /* it may have gone meanwhile */
    if (audience != NULL && status == ST_OK)
        take_map(audience, map);
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
    if (seat_maps_get(gateway->opts.seat_maps, audience->id, looked, gateway) == ST_OK)
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
