/* SPDX-License-Identifier: MIT */
/*
 * queue: the calls of buyers: join, is inside, leave, heartbeats.
 *
 * Why this way: a script call costs Redis more than a buyer in it. So the joins of one turn of the loop go out
 * together, per event; and joins that come while a call for the same event is under way, or in the millisecond in
 * which one was sent, wait for more to come, unless they fill a call. The busier it is, the larger the batches; a
 * join alone waits for nobody. Heartbeats are collected for a second. Nothing is decided here: the scripts do that.
 * Called by: api, gateway, processor, catalog.
 * Owns: the events with something under way, the batches, the operations. The caller owns its `arg`.
 * Invariants: a call that was accepted ends with its callback, once, never from inside the call. An event is kept as
 * long as an operation points to it.
 * When Redis is gone: calls are refused at once (ST_UNAVAILABLE); heartbeats are dropped, which makes nobody idle,
 * since time in which Redis is out of reach does not count.
 */
#include "queue/queue_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/metrics.h"

#define SECOND_MS     1000
#define EVENT_KEEP_MS 60000

/* ---- events ---- */

#define KEY_TEXT(name_, text_) [QUEUE_KEY_##name_] = (text_),
static const char *const key_texts[] = {QUEUE_KEYS(KEY_TEXT) QUEUE_OWN_KEYS(KEY_TEXT)};

void queue_key_write(char *out, enum queue_key key, const char *event_id)
{
    (void)snprintf(out, QUEUE_KEY_SIZE, "%s:{%.*s}", key_texts[key], EVENT_ID_MAX, event_id);
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
            queue_key_write(event->keys[i], (enum queue_key)i, event->id);
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
                                   queue_join_cb cb, void *arg)
{
    const size_t len = strnlen(buyer_id, BUYER_ID_MAX);
    struct queue_item *item = xcalloc(1, sizeof(*item) + len + 1);
    item->cb = cb;
    item->arg = arg;
    if (proof)
        item->proof = *proof;
    item->len = len;
    memcpy(item->buyer, buyer_id, len);
    return item;
}

static void items_add(struct queue_items *items, struct queue_item *item)
{
    *items->tail = item;
    items->tail = &item->next;
    items->count++;
}

/* Moves up to `limit` items off the front. */
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

/* ---- the answer: one text of four words per buyer (lua/shared.lua, answer) ---- */

struct words {
    const char *at, *end;
};

static void words_of(struct words *words, const struct redis_reply *reply)
{
    size_t len = 0;
    words->at = redis_reply_str(queue_item_at(reply, 0), &len);
    if (!words->at)
        words->at = "";
    words->end = words->at + len;
}

static size_t next_word(struct words *words, const char **ret_word)
{
    const char *word = words->at;
    const char *blank = memchr(word, ' ', (size_t)(words->end - word));
    words->at = blank ? blank + 1 : words->end;
    *ret_word = word;
    return (size_t)((blank ? blank : words->end) - word);
}

static uint64_t next_uint(struct words *words)
{
    const char *word;
    uint64_t value = 0;
    const size_t len = next_word(words, &word);
    for (size_t i = 0; i < len && word[i] >= '0' && word[i] <= '9'; i++)
        value = 10 * value + (uint64_t)(word[i] - '0');
    return value;
}

/* ST_INTERNAL: the text has ended, or has a state that this build does not know. */
static enum status next_place(struct words *words, struct queue_place *ret_place)
{
    static const struct {
        const char *name;
        enum queue_state state;
        bool direct;
    } states[] = {
        {"waiting", QUEUE_WAITING, false}, {"active", QUEUE_ACTIVE, false},
        {"gone", QUEUE_GONE, false},       {"direct", QUEUE_ACTIVE, true},
        {"parked", QUEUE_PARKED, false},   {"closed", QUEUE_CLOSED, false},
    };
    const char *word;
    const size_t len = next_word(words, &word);
    size_t i = 0;
    while (i < sizeof(states) / sizeof(states[0]) &&
           (strlen(states[i].name) != len || memcmp(states[i].name, word, len) != 0))
        i++;
    if (i == sizeof(states) / sizeof(states[0]))
        return ST_INTERNAL;
    *ret_place = (struct queue_place){.state = states[i].state, .direct = states[i].direct};
    ret_place->number = next_uint(words);
    ret_place->position = next_uint(words);
    ret_place->since_ms = (int64_t)next_uint(words);
    return ST_OK;
}

/* Of join, is inside and leave: every buyer of the batch gets theirs. */
static void on_answer(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    const struct queue *queue = op->queue;
    struct queue_numbers numbers;
    const enum status st = queue_decode(op->event, status, reply, 1, &numbers);
    if (st != ST_OK) {
        items_fail(&op->items, st);
        queue_op_free(op);
        return;
    }
    struct words words;
    words_of(&words, reply);
    for (struct queue_item *item = op->items.head, *next; item; item = next) {
        struct queue_place place;
        next = item->next;
        unsigned ahead = 1;
        for (const struct queue_item *later = next; later && ahead <= QUEUE_PREFETCH;
             later = later->next, ahead++)
            if (later->cb == queue->prefetch_for)
                queue->prefetch(later->arg, ahead);
        const enum status read = next_place(&words, &place);
        item->cb(item->arg, read, read == ST_OK ? &place : NULL, &numbers);
        free(item);
    }
    queue_op_free(op);
}

void queue_set_prefetch(struct queue *queue, queue_join_cb cb, queue_prefetch_cb prefetch)
{
    queue->prefetch_for = cb;
    queue->prefetch = prefetch;
}

/* ---- batches ---- */

static void add_joins(struct queue_op *op, struct redis_args *args)
{
    redis_args_add_uint(args, op->event->known_place);
    for (const struct queue_item *item = op->items.head; item; item = item->next) {
        const struct queue_proof *proof = &item->proof;
        char text[128];
        int len = 0;
        redis_args_add_len(args, item->buyer, item->len);
        redis_args_add_len(args, item->mode == QUEUE_JOIN ? "j" : "r", 1);
        if (proof->ticket_place || proof->pass_place)
            len = snprintf(
                text, sizeof(text), "%llu %llu %llu %llu %llu",
                (unsigned long long)proof->ticket_place, (unsigned long long)proof->ticket_epoch,
                (unsigned long long)proof->pass_place, (unsigned long long)proof->pass_epoch,
                (unsigned long long)(proof->pass_since_ms > 0 ? proof->pass_since_ms : 0));
        redis_args_add_copy(args, text, (size_t)len);
    }
}

static void add_asks(struct queue_op *op, struct redis_args *args)
{
    for (const struct queue_item *item = op->items.head; item; item = item->next)
        redis_args_add_len(args, item->buyer, item->len);
}

/* Sends the first items of a list as one call; what cannot be sent ends here. */
static void send_batch(struct queue *queue, struct queue_event *event, enum queue_script script)
{
    const bool joins = script == QUEUE_SCRIPT_JOIN;
    struct queue_op *op = queue_op_new(queue, event, NULL);
    items_cut(joins ? &event->joins : &event->asks, &op->items,
              joins ? QUEUE_JOIN_BATCH : QUEUE_CALL_MAX);
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
    event->unsent = queue->unsent;
    queue->unsent = event;
}

/* Less than a full call of joins: is it worth waiting for more? Then somebody will look again. */
static bool joins_wait(struct queue *queue, struct queue_event *event)
{
    if (event->joins_under_way)
        return true; /* until its answer */
    if (event->joins_sent_ms != loop_now_ms(queue->loop))
        return false;
    mark_unsent(queue, event);
    loop_timer_set(queue->pace, 1);
    return true;
}

/* A callback may call again; that goes out in the next turn, so that a turn always ends. */
static void event_flush(struct queue *queue, struct queue_event *event)
{
    const size_t joins = event->joins.count, asks = event->asks.count;
    for (size_t sent = 0; sent < joins; sent += QUEUE_JOIN_BATCH) {
        if (joins - sent < QUEUE_JOIN_BATCH && joins_wait(queue, event))
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
        next = event->unsent;
        event->is_unsent = false;
        event_flush(queue, event);
    }
}

void queue_flush_soon(struct queue *queue, struct queue_event *event)
{
    mark_unsent(queue, event);
    loop_defer(queue->loop, &queue->flush);
}

enum status queue_join(struct queue *queue, enum queue_join_mode mode,
                       const struct queue_buyer *buyer, queue_join_cb cb, void *arg)
{
    if (queue->stopped || !redis_up(queue->redis))
        return ST_UNAVAILABLE;
    struct queue_event *event = queue_event_of(queue, buyer->event_id);
    struct queue_item *item = item_new(buyer->id, buyer->proof, cb, arg);
    item->mode = mode;
    items_add(&event->joins, item);
    queue_flush_soon(queue, event);
    return ST_OK;
}

enum status queue_is_inside(struct queue *queue, const char *event_id, const char *buyer_id,
                            queue_join_cb cb, void *arg)
{
    if (queue->stopped || !redis_up(queue->redis))
        return ST_UNAVAILABLE;
    struct queue_event *event = queue_event_of(queue, event_id);
    items_add(&event->asks, item_new(buyer_id, NULL, cb, arg));
    queue_flush_soon(queue, event);
    return ST_OK;
}

/* ---- leave ---- */

static void add_leave(struct queue_op *op, struct redis_args *args)
{
    const struct queue_item *item = op->items.head;
    const struct queue_proof *proof = &item->proof;
    const bool by_pass = proof->pass_place > proof->ticket_place; /* the later of the two */
    redis_args_add(args, op->reason == QUEUE_COMPLETED ? "completed" : "left");
    redis_args_add_len(args, item->buyer, item->len);
    redis_args_add_uint(args, by_pass ? proof->pass_place : proof->ticket_place);
    redis_args_add_uint(args, by_pass ? proof->pass_epoch : proof->ticket_epoch);
}

enum status queue_leave(struct queue *queue, const struct queue_buyer *buyer,
                        enum queue_leave_reason reason, queue_join_cb cb, void *arg)
{
    struct queue_event *event = queue_event_of(queue, buyer->event_id);
    struct queue_op *op = queue_op_new(queue, event, NULL);
    struct queue_item *item = item_new(buyer->id, buyer->proof, cb, arg);
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
    enum status st = queue_decode(op->event, status, reply, 1, NULL);
    const char *buyer = op->heartbeats->buyers;
    struct words words;
    words_of(&words, reply);
    for (size_t i = 0; queue->on_heartbeat && i < op->heartbeats->count; i++) {
        struct queue_place place;
        if (st == ST_OK)
            st = next_place(&words, &place);
        if (st != ST_OK)
            break;
        queue->on_heartbeat(queue->on_heartbeat_arg, op->event->id, buyer, &place);
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
        const enum status st = queue_run(op, QUEUE_SCRIPT_SEEN, on_heartbeats);
        (void)st; /* Redis is away: they are dropped */
    }
}

static void on_second(void *arg)
{
    struct queue *queue = arg;
    const uint64_t now = loop_now_ms(queue->loop);
    for (struct queue_event **at = &queue->events; *at;) {
        struct queue_event *event = *at;
        send_heartbeats(queue, event);
        if (event->ops || event->is_unsent || event->joins.head || event->asks.head ||
            now - event->used_ms < EVENT_KEEP_MS) {
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
