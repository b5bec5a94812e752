/* SPDX-License-Identifier: MIT */
/*
 * gateway_room: who is here: one room per event with sockets on this worker, one visitor per
 * socket, and for each room the table from a buyer to all of his sockets.
 *
 * Why this way: a message about one event touches the sockets of that room alone, and one about a
 * buyer only his own, however many others wait. Ids are interned: a visitor points to his room.
 * Called by: the gateway's other files. Owns: rooms; the visitors' memory is their sockets'.
 * Invariants: a visitor is in exactly one list (a room's or the fresh ones') until he is nowhere;
 * cursors of walks never point to one who has gone; an empty room does not stay.
 */
#include "gateway/gateway_internal.h"

#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- notes ---- */

void notes_init(struct note_list *list)
{
    list->head = NULL;
    list->tail = &list->head;
}

void notes_free(struct note_list *list)
{
    while (list->head) {
        struct note *note = list->head;
        list->head = note->next;
        free(note);
    }
    notes_init(list);
}

/* ---- rooms ---- */

struct room *room_find(struct gateway *gateway, const char *id)
{
    const struct table *table = &gateway->room_table;
    struct table_node *node = table_first(table, table_hash(table, id, strlen(id), "", 0));
    while (node && strcmp(((struct room *)node)->id, id) != 0)
        node = table_next(node);
    return (struct room *)node;
}

static struct room *room_new(struct gateway *gateway, const char *id)
{
    struct room *room = xcalloc(1, sizeof(*room));
    size_t len = strlen(id);
    assert(len <= EVENT_ID_MAX);
    memcpy(room->id, id, len + 1);
    room->gateway = gateway;
    table_init(&room->buyers);
    notes_init(&room->walk_notes);
    notes_init(&room->due_notes);
    table_add(&gateway->room_table, &room->node, table_hash(&gateway->room_table, id, len, "", 0));
    room->next = gateway->rooms;
    if (room->next)
        room->next->prev = room;
    gateway->rooms = room;
    return room;
}

static void room_free(struct gateway *gateway, struct room *room)
{
    *(room->prev ? &room->prev->next : &gateway->rooms) = room->next;
    if (room->next)
        room->next->prev = room->prev;
    table_remove(&gateway->room_table, &room->node);
    table_clear(&room->buyers);
    notes_free(&room->walk_notes);
    notes_free(&room->due_notes);
    seat_list_clear(&room->seats);
    free(room);
}

void room_settle(struct gateway *gateway, struct room *room)
{
    if (!room->visitors && !room->loading)
        room_free(gateway, room);
}

/* ---- lists ---- */

static void room_unlink(struct room *room, struct visitor *visitor)
{
    if (room->walk_at == visitor)
        room->walk_at = visitor->next;
    if (room->resume_at == visitor)
        room->resume_at = visitor->prev;
    *(visitor->prev ? &visitor->prev->next : &room->visitors) = visitor->next;
    *(visitor->next ? &visitor->next->prev : &room->visitors_last) = visitor->prev;
    visitor->prev = visitor->next = NULL;
}

/* At the head: a walk under way does not meet him; he has just been told everything. */
static void room_link(struct room *room, struct visitor *visitor)
{
    visitor->prev = NULL;
    visitor->next = room->visitors;
    *(visitor->next ? &visitor->next->prev : &room->visitors_last) = visitor;
    room->visitors = visitor;
}

static void fresh_unlink(struct gateway *gateway, struct visitor *visitor)
{
    *(visitor->prev ? &visitor->prev->next : &gateway->fresh) = visitor->next;
    *(visitor->next ? &visitor->next->prev : &gateway->fresh_last) = visitor->prev;
    visitor->prev = visitor->next = NULL;
}

static void fresh_append(struct gateway *gateway, struct visitor *visitor)
{
    visitor->prev = gateway->fresh_last;
    visitor->next = NULL;
    *(gateway->fresh_last ? &gateway->fresh_last->next : &gateway->fresh) = visitor;
    gateway->fresh_last = visitor;
}

/* ---- buyers ---- */

static void table_enter(struct visitor *visitor)
{
    struct room *room = visitor->room;
    if (!room || !visitor->buyer)
        return;
    const char *buyer = visitor->buyer;
    table_add(&room->buyers, &visitor->node,
              table_hash(&room->buyers, buyer, strlen(buyer), "", 0));
}

static void table_leave(struct visitor *visitor)
{
    if (visitor->room && visitor->buyer)
        table_remove(&visitor->room->buyers, &visitor->node);
}

void visitor_set_buyer(struct visitor *visitor, const char *buyer)
{
    if (visitor->buyer && strcmp(visitor->buyer, buyer) == 0)
        return;
    table_leave(visitor);
    free(visitor->buyer);
    visitor->buyer = xstrdup(buyer);
    table_enter(visitor);
}

static struct visitor *same_buyer(struct table_node *node, const char *buyer)
{
    while (node && strcmp(((struct visitor *)node)->buyer, buyer) != 0)
        node = table_next(node);
    return (struct visitor *)node;
}

struct visitor *room_first(const struct room *room, const char *buyer)
{
    uint32_t hash = table_hash(&room->buyers, buyer, strlen(buyer), "", 0);
    return same_buyer(table_first(&room->buyers, hash), buyer);
}

struct visitor *room_next(const struct visitor *visitor)
{
    return same_buyer(table_next(&visitor->node), visitor->buyer);
}

/* ---- moves ---- */

static void leave_room(struct gateway *gateway, struct visitor *visitor)
{
    struct room *room = visitor->room;
    table_leave(visitor);
    room_unlink(room, visitor);
    if (visitor->flags & FLAG_WATCH)
        room->watchers--;
    visitor->flags &= FLAG_GUEST;
    visitor->room = NULL;
    visitor->place = 0;
    visitor->since_ms = 0;
    visitor->epoch = visitor->lowest = visitor->pushed = 0;
    visitor->generation = 0;
    room_settle(gateway, room);
}

void visitor_enter(struct gateway *gateway, struct visitor *visitor, const char *id)
{
    if (visitor->room && strcmp(visitor->room->id, id) == 0)
        return;
    visitor_detach(gateway, visitor);
    struct room *room = room_find(gateway, id);
    if (!room)
        room = room_new(gateway, id);
    visitor->room = room;
    visitor->state = VISITOR_IDLE;
    visitor->numbers = room->numbers; /* he is told his position; these when they change */
    visitor->numbers_ms = gateway_now(gateway);
    room_link(room, visitor);
    table_enter(visitor);
}

void visitor_to_fresh(struct gateway *gateway, struct visitor *visitor)
{
    visitor_detach(gateway, visitor);
    visitor->state = VISITOR_FRESH;
    visitor->at_ms = gateway_now(gateway);
    fresh_append(gateway, visitor);
}

void visitor_watch(struct visitor *visitor)
{
    if (visitor->flags & FLAG_WATCH)
        return;
    visitor->flags |= FLAG_WATCH;
    visitor->room->watchers++;
}

void visitor_detach(struct gateway *gateway, struct visitor *visitor)
{
    if (visitor->call) {
        visitor->call->visitor = NULL;
        visitor->call = NULL;
    }
    if (visitor->room)
        leave_room(gateway, visitor);
    else if (visitor->state == VISITOR_FRESH)
        fresh_unlink(gateway, visitor);
    visitor->state = VISITOR_NOWHERE;
}
