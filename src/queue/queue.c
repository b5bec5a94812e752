/* SPDX-License-Identifier: MIT */
/*
 * queue: the calls of buyers: join, is inside, leave, heartbeats.
 *
 * Why this way: a script call costs Redis more than each buyer in it. So the joins of an event that come in one loop
 * turn are sent as one call. Joins that come while a call for the event is under way, or in the same millisecond,
 * wait for more joins, unless they fill a call. The more joins come, the larger the batches; a single join is sent at
 * once. Heartbeats are collected for a second. Nothing is decided here: the scripts do that.
 * Called by: api, gateway, processor, catalog.
 * Owns: the events that have calls under way, the batches, the operations. The caller owns its `arg`.
 * Invariants: a call that was accepted ends with its callback, once, never from inside the call. An event is kept as
 * long as an operation points to it.
 * When Redis is gone: calls are refused at once (ST_UNAVAILABLE) and heartbeats are dropped. No buyer is evicted for
 * that, since the time of an outage does not count as idle.
 */
#include "queue/queue_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/metrics.h"

#define SECOND_MS     1000
#define EVENT_KEEP_MS 60000
#define NETWORK_MAX   63 /* bytes; one is at most 49 */

/* ---- events ---- */

#define KEY_TEXT(name_, text_) [QUEUE_KEY_##name_] = (text_),
static const char *const key_texts[] = {QUEUE_KEYS(KEY_TEXT) QUEUE_OWN_KEYS(KEY_TEXT)};

static const char *prefix_of(const struct config *config)
{
    return config->redis_prefix ? config->redis_prefix : "";
}

void queue_key_write(const struct queue *queue, char *out, enum queue_key key, const char *event_id)
{
    (void)snprintf(out, QUEUE_KEY_SIZE, "%.*s%s:{%.*s}", CONFIG_PREFIX_MAX,
                   prefix_of(queue->config), key_texts[key], EVENT_ID_MAX, event_id);
}

void queue_channel_write(char *out, const struct config *config)
{
    (void)snprintf(out, QUEUE_CHANNEL_SIZE, "%.*stiketi:%d:queue-events", CONFIG_PREFIX_MAX,
                   prefix_of(config), redis_server_database(config->redis_url));
}

static void items_init(struct queue_items *items)
{
    *items = (struct queue_items){.tail = &items->head};
}

struct queue_event *queue_event_of(struct queue *queue, const char *event_id)
{
    const size_t len = strnlen(event_id, EVENT_ID_MAX);
    const uint32_t hash = table_hash(&queue->table, event_id, len, "", 0);
    struct table_node *node = table_first(&queue->table, hash);
    struct queue_event *event = (struct queue_event *)node;
    while (event && (strlen(event->id) != len || memcmp(event->id, event_id, len) != 0)) {
        node = table_next(node);
        event = (struct queue_event *)node;
    }
    if (!event) {
        event = xcalloc(1, sizeof(*event));
        memcpy(event->id, event_id, len);
        for (size_t i = 0; i < QUEUE_KEY_COUNT; i++)
            queue_key_write(queue, event->keys[i], (enum queue_key)i, event->id);
        event->overload.most_ms = (uint32_t)queue->config->redis_timeout_ms / 2;
        event->flights_max = QUEUE_FLIGHTS_MAX;
        items_init(&event->claims);
        items_init(&event->joins);
        items_init(&event->asks);
        event->waiting_end = &event->waiting;
        table_add(&queue->table, &event->node, hash);
        if (!queue->events)
            loop_timer_set(queue->second, SECOND_MS);
        event->next = queue->events;
        queue->events = event;
    }
    event->used_ms = loop_now_ms(queue->loop);
    return event;
}

void queue_note_place(struct queue *queue, const char *event_id, uint64_t place)
{
    struct queue_event *event = queue_event_of(queue, event_id);
    if (place > event->known_place)
        event->known_place = place;
}

static void heartbeats_free(struct queue_heartbeats *heartbeats)
{
    for (struct queue_heartbeats *next; heartbeats; heartbeats = next) {
        next = heartbeats->next;
        free(heartbeats->buyers);
        free(heartbeats);
    }
}

struct queue_op *queue_op_new(struct queue *queue, struct queue_event *event, void *arg)
{
    struct queue_op *op = xcalloc(1, sizeof(*op));
    op->queue = queue;
    op->event = event;
    op->arg = arg;
    items_init(&op->items);
    if (event)
        event->ops++;
    return op;
}

void queue_op_free(struct queue_op *op)
{
    if (op->event)
        op->event->ops--;
    heartbeats_free(op->heartbeats);
    free(op->config);
    free(op);
}

/* ---- items ---- */

static struct queue_item *item_new(const char *buyer_id, const struct queue_proof *proof,
                                   const char *network, queue_join_cb cb, void *arg)
{
    const size_t len = strnlen(buyer_id, BUYER_ID_MAX);
    const size_t network_len = network ? strnlen(network, NETWORK_MAX) : 0;
    struct queue_item *item = xcalloc(1, sizeof(*item) + len + 1 + network_len);
    item->cb = cb;
    item->arg = arg;
    if (proof)
        item->proof = *proof;
    item->len = len;
    item->network_len = network_len;
    memcpy(item->buyer, buyer_id, len);
    if (network)
        memcpy(item->buyer + len + 1, network, network_len);
    return item;
}

static void items_add(struct queue_items *items, struct queue_item *item)
{
    *items->tail = item;
    items->tail = &item->next;
    items->count++;
}

/* Moves the first `limit` items, or all if they are fewer. */
static void items_cut(struct queue_items *from, struct queue_items *to, size_t limit)
{
    while (from->head && to->count < limit) {
        struct queue_item *item = from->head;
        from->head = item->next;
        item->next = NULL;
        from->count--;
        items_add(to, item);
    }
    if (!from->head)
        from->tail = &from->head;
}

static void items_fail(struct queue_items *items, enum status status)
{
    while (items->head) {
        struct queue_item *item = items->head;
        items->head = item->next;
        item->cb(item->arg, status, NULL, NULL);
        free(item);
    }
    items_init(items);
}

/* The reply of join, is inside and leave: calls the callback of every buyer of the batch. */
static void on_answer(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    struct queue_numbers numbers;
    const enum status st = queue_decode(op->event, status, reply, 1, &numbers);
    if (st != ST_OK) {
        items_fail(&op->items, st);
        queue_op_free(op);
        return;
    }
    struct queue_answer answer = queue_answer_of(reply);
    for (struct queue_item *item = op->items.head, *next; item; item = next) {
        struct queue_place place;
        next = item->next;
        const enum status read = queue_answer_next(&answer, &place);
        item->cb(item->arg, read, read == ST_OK ? &place : NULL, &numbers);
        free(item);
    }
    queue_op_free(op);
}

/* ---- load ---- */

static bool is_newcomer(const struct queue_item *item)
{
    return (item->mode == QUEUE_JOIN || item->mode == QUEUE_DIRECT) && !item->proof.known &&
           item->proof.ticket_place == 0 && item->proof.pass_place == 0;
}

/* Of one who claims a turn, or was inside: they are never refused. */
static bool is_claim(const struct queue_item *item)
{
    return item->mode == QUEUE_CLAIM || item->proof.pass_place != 0;
}

/* Must this buyer, who is none of those, come again, if the oldest join is of this age, and so many others want to be in the
 * next call? */
static bool is_refused(struct queue_event *event, const struct queue_item *item, uint64_t age_ms,
                       size_t others, uint64_t now_ms)
{
    return overload_refuses(&event->overload,
                            is_newcomer(item) ? OVERLOAD_NEWCOMER : OVERLOAD_RETURNING,
                            others < QUEUE_JOIN_BATCH, age_ms, now_ms);
}

/* How long the oldest join waits to be sent, or the oldest call for its answer. */
static uint64_t joins_age_ms(const struct queue_event *event, uint64_t now_ms)
{
    const struct queue_op *call = event->first_flight;
    const struct queue_item *item = event->joins.head;
    const uint64_t unanswered_ms = call ? now_ms - call->sent_ms : 0;
    const uint64_t unsent_ms = item ? now_ms - item->since_ms : 0;
    return unanswered_ms > unsent_ms ? unanswered_ms : unsent_ms;
}

/* May another call follow those under way? While Redis is slow the others wait here, where they can still be refused. */
static bool flies_another(const struct queue *queue, const struct queue_event *event)
{
    return !event->first_flight ||
           (event->joins_under_way < event->flights_max &&
            loop_now_ms(queue->loop) - event->first_flight->sent_ms <= QUEUE_FLIGHT_SLOW_MS);
}

/* Moves the joins of one call. Refuses those that have waited too long. */
static void joins_cut(struct queue *queue, struct queue_event *event, struct queue_items *to)
{
    const uint64_t now_ms = loop_now_ms(queue->loop);
    items_cut(&event->claims, to, QUEUE_JOIN_BATCH);
    while (event->joins.head && to->count < QUEUE_JOIN_BATCH) {
        struct queue_items one;
        items_init(&one);
        items_cut(&event->joins, &one, 1);
        struct queue_item *item = one.head;
        if (is_refused(event, item, now_ms - item->since_ms, to->count + event->joins.count,
                       now_ms)) {
            items_fail(&one, ST_FULL);
            continue;
        }
        if (is_newcomer(item))
            comeback_taken(&queue->comeback, now_ms);
        items_add(to, item);
    }
}

/* ---- batches ---- */

static bool has_proof(const struct queue_item *item)
{
    return item->proof.ticket_place || item->proof.pass_place;
}

/* The letter that announces what add_joins sends of this buyer: a capital a network and a proof, `n` a network. */
static char join_letter(const struct queue_item *item)
{
    const bool with_network = item->network_len > 0;
    if (has_proof(item) || (item->mode == QUEUE_DIRECT && with_network))
        return "JCRD"[item->mode];
    if (item->mode == QUEUE_JOIN && with_network)
        return 'n';
    return "jcrd"[item->mode];
}

/* Without printf: each question of the gate has a proof. */
static char *put_uint(char *at, uint64_t value)
{
    char digits[20];
    size_t len = 0;
    do
        digits[len++] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    while (len > 0)
        *at++ = digits[--len];
    return at;
}

static void add_proof(const struct queue_proof *proof, struct redis_args *args)
{
    const uint64_t numbers[] = {proof->ticket_place, proof->ticket_epoch, proof->pass_place,
                                proof->pass_epoch,
                                proof->pass_since_ms > 0 ? (uint64_t)proof->pass_since_ms : 0};
    char text[128], *at = text;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (i > 0)
            *at++ = ' ';
        at = put_uint(at, numbers[i]);
    }
    redis_args_add_copy(args, text, (size_t)(at - text));
}

/* Most buyers are newcomers: of them Redis gets the id alone, and the network where one counts. */
static void add_joins(struct queue_op *op, struct redis_args *args)
{
    char letters[QUEUE_JOIN_BATCH];
    size_t count = 0;
    for (const struct queue_item *item = op->items.head; item; item = item->next)
        letters[count++] = join_letter(item);
    redis_args_add_uint(args, op->event->known_place);
    redis_args_add_copy(args, letters, count);
    for (const struct queue_item *item = op->items.head; item; item = item->next)
        redis_args_add_len(args, item->buyer, item->len);
    for (const struct queue_item *item = op->items.head; item; item = item->next) {
        const char letter = join_letter(item);
        if (letter == 'n' || letter < 'a')
            redis_args_add_len(args, item->buyer + item->len + 1, item->network_len);
        if (letter < 'a' && has_proof(item))
            add_proof(&item->proof, args);
        else if (letter < 'a')
            redis_args_add(args, "");
    }
}

static void add_asks(struct queue_op *op, struct redis_args *args)
{
    for (const struct queue_item *item = op->items.head; item; item = item->next)
        redis_args_add_len(args, item->buyer, item->len);
    redis_args_add(args, "1"); /* they claim */
}

/* Sends the first items of a list as one call. If it cannot be sent, their callbacks run here with the status. */
static void send_batch(struct queue *queue, struct queue_event *event, enum queue_script script)
{
    const bool joins = script == QUEUE_SCRIPT_JOIN;
    struct queue_op *op = queue_op_new(queue, event, NULL);
    if (joins)
        joins_cut(queue, event, &op->items);
    else
        items_cut(&event->asks, &op->items, QUEUE_CALL_MAX);
    if (op->items.count == 0) { /* all were refused */
        queue_op_free(op);
        return;
    }
    if (joins) {
        metrics_observe(HISTOGRAM_JOIN_BATCH, (double)op->items.count);
        event->joins_sent_ms = loop_now_ms(queue->loop);
    }
    struct queue_items items = op->items;
    const enum status st = queue_run_known(op, script, joins ? add_joins : add_asks, on_answer);
    if (st != ST_OK)
        items_fail(&items, st);
}

static void mark_unsent(struct queue *queue, struct queue_event *event)
{
    if (event->is_unsent)
        return;
    event->is_unsent = true;
    event->next_unsent = queue->unsent;
    queue->unsent = event;
}

/* Should joins that do not fill a call wait for more joins? If true, the answer under way or the timer flushes them
 * later. */
static bool joins_wait(struct queue *queue, struct queue_event *event)
{
    if (event->joins_under_way)
        return true; /* they wait for the answer of the call under way */
    if (event->joins_sent_ms != loop_now_ms(queue->loop))
        return false;
    mark_unsent(queue, event);
    loop_timer_set(queue->pace, 1);
    return true;
}

/* Sends what this event has. A callback may add a call, which is sent in the next turn, so that each turn ends. */
static void event_flush(struct queue *queue, struct queue_event *event)
{
    const size_t joins = event->claims.count + event->joins.count, asks = event->asks.count;
    for (size_t sent = 0; sent < joins; sent += QUEUE_JOIN_BATCH) {
        if (!flies_another(queue, event) ||
            (joins - sent < QUEUE_JOIN_BATCH && joins_wait(queue, event)))
            break;
        send_batch(queue, event, QUEUE_SCRIPT_JOIN);
    }
    for (size_t sent = 0; sent < asks; sent += QUEUE_CALL_MAX)
        send_batch(queue, event, QUEUE_SCRIPT_SEEN);
}

static void on_flush(void *arg)
{
    struct queue *queue = arg;
    struct queue_event *event = queue->unsent;
    queue->unsent = NULL;
    for (struct queue_event *next; event; event = next) {
        next = event->next_unsent;
        event->is_unsent = false;
        event_flush(queue, event);
    }
}

void queue_flush_soon(struct queue *queue, struct queue_event *event)
{
    mark_unsent(queue, event);
    loop_defer(queue->loop, &queue->flush);
}

unsigned queue_retry_s(struct queue *queue, uint32_t random)
{
    return comeback_refused(&queue->comeback, random, loop_now_ms(queue->loop));
}

enum status queue_join(struct queue *queue, enum queue_join_mode mode,
                       const struct queue_buyer *buyer, queue_join_cb cb, void *arg)
{
    if (queue->stopped || !redis_up(queue->redis))
        return ST_UNAVAILABLE;
    struct queue_event *event = queue_event_of(queue, buyer->event_id);
    struct queue_item *item = item_new(buyer->id, buyer->proof, buyer->network, cb, arg);
    item->mode = mode;
    item->since_ms = loop_now_ms(queue->loop);
    const bool claims = is_claim(item);
    if (!claims && is_refused(event, item, joins_age_ms(event, item->since_ms), event->joins.count,
                              item->since_ms)) {
        free(item);
        return ST_FULL;
    }
    items_add(claims ? &event->claims : &event->joins, item);
    queue_flush_soon(queue, event);
    return ST_OK;
}

enum status queue_is_inside(struct queue *queue, const char *event_id, const char *buyer_id,
                            queue_join_cb cb, void *arg)
{
    if (queue->stopped || !redis_up(queue->redis))
        return ST_UNAVAILABLE;
    struct queue_event *event = queue_event_of(queue, event_id);
    items_add(&event->asks, item_new(buyer_id, NULL, NULL, cb, arg));
    queue_flush_soon(queue, event);
    return ST_OK;
}

/* ---- leave ---- */

static void add_leave(struct queue_op *op, struct redis_args *args)
{
    static const char *const reasons[] = {
        [QUEUE_LEFT] = "left", [QUEUE_COMPLETED] = "completed", [QUEUE_RELEASED] = "released"};
    const struct queue_item *item = op->items.head;
    const struct queue_proof *proof = &item->proof;
    /* the higher place is the later one */
    const bool by_pass = proof->pass_place > proof->ticket_place;
    redis_args_add(args, reasons[op->reason]);
    redis_args_add_len(args, item->buyer, item->len);
    redis_args_add_uint(args, by_pass ? proof->pass_place : proof->ticket_place);
    redis_args_add_uint(args, by_pass ? proof->pass_epoch : proof->ticket_epoch);
}

enum status queue_leave(struct queue *queue, const struct queue_buyer *buyer,
                        enum queue_leave_reason reason, queue_join_cb cb, void *arg)
{
    struct queue_event *event = queue_event_of(queue, buyer->event_id);
    struct queue_op *op = queue_op_new(queue, event, NULL);
    struct queue_item *item = item_new(buyer->id, buyer->proof, NULL, cb, arg);
    enum status st;
    items_add(&op->items, item);
    op->reason = reason;
    if (reason == QUEUE_COMPLETED) {
        add_leave(op, queue_args(queue, event));
        st = queue_run(op, QUEUE_SCRIPT_LEAVE, on_answer);
    } else {
        st = queue_run_known(op, QUEUE_SCRIPT_LEAVE, add_leave, on_answer);
    }
    if (st != ST_OK)
        free(item);
    return st;
}

/* ---- staff look a buyer up ---- */

static void on_found(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    struct queue_found found = {.buyer = NULL};
    enum status st = queue_decode(op->event, status, reply, 2, NULL);
    if (st == ST_OK) {
        struct queue_answer answer = queue_answer_of(reply);
        st = queue_answer_next(&answer, &found.place);
        found.buyer = redis_reply_str(queue_item_at(reply, 1), NULL);
    }
    if (st == ST_OK && !found.buyer)
        st = ST_INTERNAL;
    op->cb.find(op->arg, st, st == ST_OK ? &found : NULL);
    queue_op_free(op);
}

enum status queue_find(struct queue *queue, const char *event_id, const char *buyer_id,
                       uint64_t place, queue_find_cb cb, void *arg)
{
    struct queue_event *event = queue_event_of(queue, event_id);
    struct queue_op *op = queue_op_new(queue, event, arg);
    op->cb.find = cb;
    struct redis_args *args = queue_args(queue, event);
    redis_args_add_copy(args, buyer_id, strlen(buyer_id));
    redis_args_add_uint(args, place);
    return queue_run(op, QUEUE_SCRIPT_FIND, on_found);
}

/* ---- payments ---- */

enum status queue_pay(struct queue *queue, const char *event_id, const char *buyer_id,
                      const struct queue_payment *payment, queue_join_cb cb, void *arg)
{
    struct queue_event *event = queue_event_of(queue, event_id);
    struct queue_op *op = queue_op_new(queue, event, NULL);
    struct queue_item *item = item_new(buyer_id, NULL, NULL, cb, arg);
    items_add(&op->items, item);
    struct redis_args *args = queue_args(queue, event);
    redis_args_add(args, item->buyer);
    redis_args_add_int(args, payment->deadline_ms);
    redis_args_add(args, payment->claims ? "1" : "0");
    const enum status st = queue_run(op, QUEUE_SCRIPT_PAY, on_answer);
    if (st != ST_OK)
        free(item);
    return st;
}

/* ---- heartbeats ---- */

void queue_on_heartbeat(struct queue *queue, queue_heartbeat_cb cb, void *arg)
{
    queue->on_heartbeat = cb;
    queue->on_heartbeat_arg = arg;
}

void queue_heartbeat(struct queue *queue, const char *event_id, const char *buyer_id)
{
    struct queue_event *event = queue_event_of(queue, event_id);
    struct queue_heartbeats *batch = event->heartbeats;
    if (!batch || batch->count == QUEUE_CALL_MAX) {
        batch = xcalloc(1, sizeof(*batch));
        batch->next = event->heartbeats;
        event->heartbeats = batch;
    }
    const size_t size = strnlen(buyer_id, BUYER_ID_MAX) + 1;
    if (batch->len + size > batch->cap) {
        batch->cap = (batch->cap ? 2 * batch->cap : 512) + size;
        batch->buyers = xrealloc(batch->buyers, batch->cap);
    }
    memcpy(batch->buyers + batch->len, buyer_id, size - 1);
    batch->buyers[batch->len + size - 1] = '\0';
    batch->len += size;
    batch->count++;
}

static void on_heartbeats(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    const struct queue *queue = op->queue;
    struct queue_numbers numbers;
    enum status st = queue_decode(op->event, status, reply, 1, &numbers);
    const char *buyer = op->heartbeats->buyers;
    struct queue_answer answer = queue_answer_of(reply);
    for (size_t i = 0; queue->on_heartbeat && i < op->heartbeats->count; i++) {
        struct queue_place place;
        if (st == ST_OK)
            st = queue_answer_next(&answer, &place);
        if (st != ST_OK)
            break;
        queue->on_heartbeat(queue->on_heartbeat_arg, op->event->id, buyer, &place, &numbers);
        buyer += strlen(buyer) + 1;
    }
    queue_op_free(op);
}

static void send_heartbeats(struct queue *queue, struct queue_event *event)
{
    while (event->heartbeats) {
        struct queue_op *op = queue_op_new(queue, event, NULL);
        op->heartbeats = event->heartbeats;
        event->heartbeats = op->heartbeats->next;
        op->heartbeats->next = NULL;
        struct redis_args *args = queue_args(queue, event);
        const char *buyer = op->heartbeats->buyers;
        for (size_t i = 0; i < op->heartbeats->count; i++) {
            const size_t len = strlen(buyer);
            redis_args_add_len(args, buyer, len);
            buyer += len + 1;
        }
        redis_args_add(args, "0"); /* they do not claim */
        const enum status st = queue_run(op, QUEUE_SCRIPT_SEEN, on_heartbeats);
        (void)st; /* with Redis away the heartbeats are dropped */
    }
}

static void on_second(void *arg)
{
    struct queue *queue = arg;
    const uint64_t now = loop_now_ms(queue->loop);
    for (struct queue_event **at = &queue->events; *at;) {
        struct queue_event *event = *at;
        send_heartbeats(queue, event);
        if (event->ops || event->is_unsent || event->claims.head || event->joins.head ||
            event->asks.head || now - event->used_ms < EVENT_KEEP_MS) {
            at = &event->next;
            continue;
        }
        *at = event->next;
        table_remove(&queue->table, &event->node);
        free(event);
    }
    if (queue->events)
        loop_timer_set(queue->second, SECOND_MS);
}

/* ---- life ---- */

struct queue *queue_new(struct loop *loop, struct redis *redis, const struct config *config)
{
    struct queue *queue = xcalloc(1, sizeof(*queue));
    queue->loop = loop;
    queue->redis = redis;
    queue->config = config;
    queue_channel_write(queue->channel, config);
    (void)snprintf(queue->events_key, sizeof(queue->events_key), "%.*s" QUEUE_EVENTS_KEY,
                   CONFIG_PREFIX_MAX, prefix_of(config));
    redis_args_init(&queue->args);
    table_init(&queue->table);
    queue->flush = (struct loop_task){.cb = on_flush, .arg = queue};
    queue->pace = loop_timer_new(loop, on_flush, queue);
    queue->second = loop_timer_new(loop, on_second, queue);
    return queue;
}

void queue_stop(struct queue *queue)
{
    queue->stopped = true;
    for (struct queue_event *event = queue->events; event; event = event->next) {
        items_fail(&event->claims, ST_UNAVAILABLE);
        items_fail(&event->joins, ST_UNAVAILABLE);
        items_fail(&event->asks, ST_UNAVAILABLE);
    }
}

void queue_free(struct queue *queue)
{
    if (!queue)
        return;
    queue_stop(queue);
    loop_undefer(queue->loop, &queue->flush);
    loop_timer_close(queue->pace);
    loop_timer_close(queue->second);
    for (struct queue_event *event = queue->events, *next; event; event = next) {
        next = event->next;
        heartbeats_free(event->heartbeats);
        free(event);
    }
    table_clear(&queue->table);
    redis_args_clear(&queue->args);
    free(queue);
}
