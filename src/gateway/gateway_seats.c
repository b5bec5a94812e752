/* SPDX-License-Identifier: MIT */
/*
 * gateway_seats: what changes in a hall, told to those who watch it.
 *
 * Why this way: no word about one seat crosses Redis. Each second a room with watchers looks at the map
 * (src/seat_map.c: shared by all, most often found unchanged), and the difference to the last one is
 * sent. So a lapsed hold, which nobody writes anywhere, is told like any other change; a lost message
 * loses nothing; and a thousand holds in a second are one message. Statuses are all that is told:
 * never whose a seat is.
 * A delta says from which version to which it leads. Who has the map of another version than `from` reads
 * it anew: an ETag makes that cheap. Of a room whose event is not known (yet) no map is asked for: its id may
 * be anybody's invention.
 * Called by: gateway (each pulse), gateway_join. Owns: each room's list of ids and statuses.
 */
#include "gateway/gateway_internal.h"

#include "base/log.h"

#include <inttypes.h>
#include <string.h>

#define LOOK_MS 1000
#define MOST    250 /* seats in a delta; beyond it reading the map anew is cheaper */

static void write_head(struct room *room, struct buf *text, uint64_t from, uint64_t version)
{
    buf_reset(text);
    buf_printf(text,
               "{\"event\":\"seats-changed\",\"payload\":{\"eventId\":\"%s\",\"from\":%" PRIu64
               ",\"version\":%" PRIu64,
               room->id, from, version);
}

/* Nothing has changed: this is the version deltas start from. */
static const struct buf *write_start(struct room *room)
{
    struct buf *text = &room->gateway->text;
    write_head(room, text, room->seats_version, room->seats_version);
    buf_add_str(text, ",\"seats\":[]}}");
    return text;
}

static const struct buf *write_change(struct room *room, const struct seat_list *now,
                                      uint64_t version)
{
    struct buf *text = &room->gateway->text;
    write_head(room, text, room->seats_version, version);
    const size_t head = text->len;
    buf_add_str(text, ",\"seats\":");
    if (!seat_list_diff(&room->seats, now, MOST, text)) {
        buf_truncate(text, head);
        buf_add_str(text, ",\"reload\":true");
    }
    buf_add_str(text, "}}");
    return text;
}

static void take_map(struct room *room, const struct seat_map *map)
{
    struct seat_list now;
    if (!room->known || room->watchers == 0 ||
        (room->seats_known && room->seats_version >= map->version))
        return;
    if (!seat_list_read(&now, map->json, map->len)) {
        log_error("a seat map cannot be read", LOG_TEXT("event", room->id));
        return;
    }
    if (room->seats_known)
        room_note(room, NOTE_WATCHERS, write_change(room, &now, map->version));
    seat_list_clear(&room->seats);
    room->seats = now;
    room->seats_version = map->version;
    if (!room->seats_known)
        room_note(room, NOTE_WATCHERS, write_start(room));
    room->seats_known = true;
}

static void looked(void *arg, const char *event, enum status status, const struct seat_map *map)
{
    struct gateway *gateway = arg;
    struct room *room = room_find(gateway, event); /* it may have gone meanwhile */
    if (room != NULL && status == ST_OK)
        take_map(room, map);
    gateway_call_ended(gateway);
}

void room_seats_look(struct room *room)
{
    struct gateway *gateway = room->gateway;
    const uint64_t now_ms = loop_now_ms(gateway->opts.loop);
    if (room->watchers == 0 && room->seats_known) {
        seat_list_clear(&room->seats);
        room->seats_known = false;
    }
    if (room->watchers == 0 || (room->seats_ms != 0 && now_ms - room->seats_ms < LOOK_MS))
        return;
    room->seats_ms = now_ms;
    if (seat_maps_get(gateway->opts.seat_maps, room->id, looked, gateway) == ST_OK)
        gateway->calls++;
}

void visitor_seats_start(struct visitor *visitor)
{
    struct room *room = visitor->room;
    if (room->seats_known)
        visitor_send(visitor, write_start(room));
    else
        room_seats_look(room);
}
