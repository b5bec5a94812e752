/* SPDX-License-Identifier: MIT */
/*
 * gateway_audience: the registry of a gateway's sockets: audiences (one per event), subscribers (one per socket), and
 * in each audience a table from a buyer to all of their sockets.
 *
 * Why this way: news of one event touches only the sockets of that event, and an admission only those of its buyer,
 * however many others are connected.
 * Called by: the gateway's other files. Owns: the audiences. A subscriber's memory belongs to its socket (ws_conn).
 * Invariants: a subscriber is in exactly one list (its audience's, or the unassigned) unless it is detached;
 * the cursors of fan-out and resume never point to a subscriber that has left; an empty audience is freed.
 */
#include "gateway/gateway_internal.h"

#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void broadcasts_init(struct broadcast_list *list)
{
    list->head = NULL;
    list->tail = &list->head;
}

void broadcasts_free(struct broadcast_list *list)
{
    while (list->head) {
        struct broadcast *broadcast = list->head;
        list->head = broadcast->next;
        free(broadcast);
    }
    broadcasts_init(list);
}

/* ---- audiences ---- */

struct audience *audience_find(struct gateway *gateway, const char *id)
{
    const struct table *table = &gateway->audience_table;
    struct table_node *node = table_first(table, table_hash(table, id, strlen(id), "", 0));
    while (node && strcmp(((struct audience *)node)->id, id) != 0)
        node = table_next(node);
    return (struct audience *)node;
}

static struct audience *audience_new(struct gateway *gateway, const char *id)
{
    struct audience *audience = xcalloc(1, sizeof(*audience));
    size_t len = strlen(id);
    assert(len <= EVENT_ID_MAX);
    memcpy(audience->id, id, len + 1);
    audience->gateway = gateway;
    table_init(&audience->buyers);
    broadcasts_init(&audience->fanout_broadcasts);
    broadcasts_init(&audience->due_broadcasts);
    table_add(&gateway->audience_table, &audience->node,
              table_hash(&gateway->audience_table, id, len, "", 0));
    audience->next = gateway->audiences;
    if (audience->next)
        audience->next->prev = audience;
    gateway->audiences = audience;
    gateway_plan_heartbeats(gateway);
    return audience;
}

void audience_release_if_unused(struct audience *audience)
{
    struct gateway *gateway = audience->gateway;
    if (audience->subscribers || audience->loading)
        return;
    *(audience->prev ? &audience->prev->next : &gateway->audiences) = audience->next;
    if (audience->next)
        audience->next->prev = audience->prev;
    table_remove(&gateway->audience_table, &audience->node);
    table_clear(&audience->buyers);
    broadcasts_free(&audience->fanout_broadcasts);
    broadcasts_free(&audience->due_broadcasts);
    seat_list_clear(&audience->seats);
    free(audience);
}

/* ---- buyer -> subscribers ---- */

static void buyers_add(struct subscriber *subscriber)
{
    struct audience *audience = subscriber->audience;
    const char *buyer = subscriber->buyer;
    if (audience && buyer)
        table_add(&audience->buyers, &subscriber->node,
                  table_hash(&audience->buyers, buyer, strlen(buyer), "", 0));
}

static void buyers_remove(struct subscriber *subscriber)
{
    if (subscriber->audience && subscriber->buyer)
        table_remove(&subscriber->audience->buyers, &subscriber->node);
}

void subscriber_set_buyer(struct subscriber *subscriber, const char *buyer)
{
    if (subscriber->buyer && strcmp(subscriber->buyer, buyer) == 0)
        return;
    buyers_remove(subscriber);
    free(subscriber->buyer);
    subscriber->buyer = xstrdup(buyer);
    buyers_add(subscriber);
}

/* The first node of this buyer, beginning with `node`: the list of a hash may contain other buyers. */
static struct subscriber *same_buyer(struct table_node *node, const char *buyer)
{
    while (node && strcmp(((struct subscriber *)node)->buyer, buyer) != 0)
        node = table_next(node);
    return (struct subscriber *)node;
}

struct subscriber *audience_first_of_buyer(const struct audience *audience, const char *buyer)
{
    uint32_t hash = table_hash(&audience->buyers, buyer, strlen(buyer), "", 0);
    return same_buyer(table_first(&audience->buyers, hash), buyer);
}

struct subscriber *audience_next_of_buyer(const struct subscriber *subscriber)
{
    return same_buyer(table_next(&subscriber->node), subscriber->buyer);
}

/* ---- moves ---- */

/* The list of a subscriber that is in no audience. */
static struct subscriber_list *list_of(struct gateway *gateway, const struct subscriber *subscriber)
{
    return subscriber->framing == FRAMING_SOCKETIO ? &gateway->connected : &gateway->unassigned;
}

void subscriber_detach(struct gateway *gateway, struct subscriber *subscriber)
{
    struct audience *audience = subscriber->audience;
    if (subscriber->call) {
        subscriber->call->subscriber = NULL;
        subscriber->call = NULL;
    }
    if (audience) {
        buyers_remove(subscriber);
        if (audience->fanout_at == subscriber)
            audience->fanout_at = subscriber->next;
        if (audience->resume_at == subscriber)
            audience->resume_at = subscriber->prev;
        *(subscriber->prev ? &subscriber->prev->next : &audience->subscribers) = subscriber->next;
        *(subscriber->next ? &subscriber->next->prev : &audience->subscribers_last) =
            subscriber->prev;
        audience->subscriber_count--;
        if (subscriber->flags & FLAG_WATCHES_SEATS)
            audience->watchers--;
        subscriber->flags &= FLAG_GUEST;
        subscriber->audience = NULL;
        subscriber_forget_place(subscriber);
        subscriber->generation = 0;
        audience_release_if_unused(audience);
    } else if (subscriber->state == SUBSCRIBER_UNASSIGNED) {
        struct subscriber_list *list = list_of(gateway, subscriber);
        *(subscriber->prev ? &subscriber->prev->next : &list->first) = subscriber->next;
        *(subscriber->next ? &subscriber->next->prev : &list->last) = subscriber->prev;
    }
    subscriber->prev = subscriber->next = NULL;
    subscriber->state = SUBSCRIBER_DETACHED;
}

void subscriber_enter(struct gateway *gateway, struct subscriber *subscriber, const char *id)
{
    if (subscriber->audience && strcmp(subscriber->audience->id, id) == 0)
        return;
    subscriber_detach(gateway, subscriber);
    struct audience *audience = audience_find(gateway, id);
    if (!audience)
        audience = audience_new(gateway, id);
    subscriber->audience = audience;
    subscriber->state = SUBSCRIBER_IDLE;
    /* The answer to a join has the position, so the numbers are not sent before they change. */
    subscriber->numbers = audience->numbers;
    subscriber->numbers_sent_ms = gateway_now(gateway);
    /* At the head of the list: a fan-out under way does not reach it, and does not have to. */
    subscriber->next = audience->subscribers;
    *(subscriber->next ? &subscriber->next->prev : &audience->subscribers_last) = subscriber;
    audience->subscribers = subscriber;
    audience->subscriber_count++;
    buyers_add(subscriber);
}

void subscriber_unassign(struct gateway *gateway, struct subscriber *subscriber)
{
    subscriber_detach(gateway, subscriber);
    subscriber->state = SUBSCRIBER_UNASSIGNED;
    subscriber->sent_ms = gateway_now(gateway);
    struct subscriber_list *list = list_of(gateway, subscriber);
    subscriber->prev = list->last;
    *(subscriber->prev ? &subscriber->prev->next : &list->first) = subscriber;
    list->last = subscriber;
}

void subscriber_watch_seats(struct subscriber *subscriber)
{
    if (subscriber->flags & FLAG_WATCHES_SEATS)
        return;
    subscriber->flags |= FLAG_WATCHES_SEATS;
    subscriber->audience->watchers++;
}
