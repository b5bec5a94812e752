/* SPDX-License-Identifier: MIT */
/*
 * queue: the calls of buyers: join, seen, leave.
 *
 * Why this way: a script call costs Redis more than a buyer in it. So joins and checks of one turn
 * of the loop go out together, per event; and joins that come while a call of the same event is
 * under way, or in the millisecond of the last one, wait for more to come, unless they fill a call.
 * So the busier it is the larger the batches, and a lone join waits for nobody. Signs of life are
 * collected for a second. Decides nothing: Lua does.
 * Called by: api, gateway, processor, catalog, lease, ledger, presence.
 * Owns: the rooms, the batches and the operations under way; the caller owns its `arg`.
 * Invariants: every call that was accepted ends with its callback, once, never from inside the
 * call. A room lives as long as an operation points to it.
 * When Redis is gone: calls are refused at once (ST_UNAVAILABLE); signs of life are dropped, which
 * hurts nobody: time in which Redis is out of reach is not idleness.
 */
#include "queue/queue_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/metrics.h"

#define SECOND_MS    1000
#define ROOM_KEEP_MS 60000

/* ---- rooms ---- */

static const char *const key_names[QUEUE_KEY_COUNT] = {
    "config",       "queue",        "queue:seen", "parked", "active", "active:seen",
    "active:since", "active:place", "consumed",   "seq",    "free",   "stats",
    "log",          "lease",        "fence",      "index"};

static struct queue_room *room_find(struct queue *queue, const char *event, size_t len,
                                    uint32_t hash)
{
    for (struct table_node *node = table_first(&queue->table, hash); node;
         node = table_next(node)) {
        struct queue_room *room = (struct queue_room *)node; /* its first member */
        if (strlen(room->id) == len && memcmp(room->id, event, len) == 0)
            return room;
    }
    return NULL;
}

static void items_init(struct queue_items *items)
{
    *items = (struct queue_items){.tail = &items->head};
}

void queue_key_write(char *out, enum queue_key key, const char *event)
{
    (void)snprintf(out, QUEUE_KEY_SIZE, "%s:{%.*s}", key_names[key], EVENT_ID_MAX, event);
}

struct queue_room *queue_room(struct queue *queue, const char *event)
{
    size_t len = strnlen(event, EVENT_ID_MAX);
    uint32_t hash = table_hash(&queue->table, event, len, "", 0);
    struct queue_room *room = room_find(queue, event, len, hash);
    if (!room) {
        room = xcalloc(1, sizeof(*room));
        memcpy(room->id, event, len);
        for (size_t i = 0; i < QUEUE_KEY_COUNT; i++)
            queue_key_write(room->keys[i], (enum queue_key)i, room->id);
        items_init(&room->joins);
        items_init(&room->checks);
        table_add(&queue->table, &room->node, hash);
        if (!queue->rooms)
            loop_timer_set(queue->second, SECOND_MS);
        room->next = queue->rooms;
        queue->rooms = room;
    }
    room->used_ms = loop_now_ms(queue->loop);
    return room;
}

static void signs_free(struct queue_signs *signs)
{
    while (signs) {
        struct queue_signs *next = signs->next;
        free(signs->text);
        free(signs);
        signs = next;
    }
}

static void rooms_sweep(struct queue *queue, uint64_t now)
{
    for (struct queue_room **at = &queue->rooms; *at;) {
        struct queue_room *room = *at;
        if (room->in_flight || room->joins.head || room->checks.head || room->signs ||
            now - room->used_ms < ROOM_KEEP_MS) {
            at = &room->next;
            continue;
        }
        *at = room->next;
        table_remove(&queue->table, &room->node);
        free(room);
    }
}

struct queue_op *queue_op_new(struct queue *queue, struct queue_room *room, void *arg)
{
    struct queue_op *op = xcalloc(1, sizeof(*op));
    op->queue = queue;
    op->room = room;
    op->arg = arg;
    items_init(&op->items);
    if (room)
        room->in_flight++;
    return op;
}

void queue_op_free(struct queue_op *op)
{
    if (op->room)
        op->room->in_flight--;
    signs_free(op->signs);
    free(op->event);
    free(op);
}

void queue_note_place(struct queue *queue, const char *event, uint64_t place)
{
    struct queue_room *room = queue_room(queue, event);
    if (place > room->known)
        room->known = place;
}

/* ---- batches of one turn ---- */

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

/* Ends every item with this status. */
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

/* Words of a reply, one blank between them; not terminated. */
struct words {
    const char *at, *end;
};

static size_t word_next(struct words *words, const char **ret_word)
{
    const char *word = words->at;
    const char *blank = memchr(word, ' ', (size_t)(words->end - word));
    words->at = blank ? blank + 1 : words->end;
    *ret_word = word;
    return (size_t)((blank ? blank : words->end) - word);
}

static uint64_t word_uint(struct words *words)
{
    const char *word;
    uint64_t value = 0;
    size_t len = word_next(words, &word);
    for (size_t i = 0; i < len && word[i] >= '0' && word[i] <= '9'; i++)
        value = 10 * value + (uint64_t)(word[i] - '0');
    return value;
}

/* False: no word, or one this build does not know. */
static bool word_state(struct words *words, struct queue_place *place)
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
    size_t len = word_next(words, &word);
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (strlen(states[i].name) == len && memcmp(states[i].name, word, len) == 0) {
            place->state = states[i].state;
            place->direct = states[i].direct;
            return true;
        }
    return false;
}

static void words_of(struct words *words, const struct redis_reply *reply)
{
    size_t len = 0;
    words->at = redis_reply_str(queue_item_at(reply, 0), &len);
    if (!words->at)
        words->at = "";
    words->end = words->at + len;
}

/* The next buyer in the answer of join, seen or leave. */
static enum status read_place(struct words *words, struct queue_place *ret_place)
{
    struct queue_place place = {0};
    if (!word_state(words, &place))
        return ST_INTERNAL;
    place.place = word_uint(words);
    place.position = word_uint(words);
    place.since_ms = (int64_t)word_uint(words);
    *ret_place = place;
    return ST_OK;
}

void queue_on_soon(struct queue *queue, queue_join_cb cb, queue_soon_cb soon)
{
    queue->soon_for = cb;
    queue->soon = soon;
}

static void tell_soon(const struct queue *queue, const struct queue_item *item)
{
    for (unsigned ahead = 1; item && ahead <= QUEUE_AHEAD; ahead++, item = item->next)
        if (item->cb == queue->soon_for)
            queue->soon(item->arg, ahead);
}

static void on_answer(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    struct queue_numbers numbers;
    enum status st = queue_decode(op->room, status, reply, 1, &numbers);
    if (st == ST_OK) {
        struct words words;
        words_of(&words, reply);
        for (struct queue_item *item = op->items.head, *next; item; item = next) {
            struct queue_place place;
            next = item->next;
            tell_soon(op->queue, next);
            st = read_place(&words, &place);
            item->cb(item->arg, st, st == ST_OK ? &place : NULL, &numbers);
            free(item);
        }
    } else {
        items_fail(&op->items, st);
    }
    queue_op_free(op);
}

static void mark_dirty(struct queue *queue, struct queue_room *room)
{
    if (room->is_dirty)
        return;
    room->is_dirty = true;
    room->dirty = queue->dirty;
    queue->dirty = room;
}

static void flush_soon(struct queue *queue, struct queue_room *room);

static void on_joined(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    struct queue *queue = op->queue;
    struct queue_room *room = op->room;
    room->in_flight++; /* it outlives the operation */
    on_answer(op, status, reply);
    room->in_flight--;
    room->joins_in_flight--;
    if (room->joins.head)
        flush_soon(queue, room);
}

static void add_proof(struct redis_args *args, const struct queue_proof *proof)
{
    char text[128];
    int len = 0;
    if (proof->ticket_place || proof->pass_place)
        len = snprintf(text, sizeof(text), "%llu %llu %llu %llu %llu",
                       (unsigned long long)proof->ticket_place,
                       (unsigned long long)proof->ticket_epoch,
                       (unsigned long long)proof->pass_place, (unsigned long long)proof->pass_epoch,
                       (unsigned long long)(proof->pass_since_ms > 0 ? proof->pass_since_ms : 0));
    redis_args_add_copy(args, text, (size_t)len);
}

/* Runs a script on a batch; what was not even sent ends here. */
static bool batch_run(struct queue_op *op, enum queue_script script, redis_cb cb)
{
    struct queue_items items = op->items;
    enum status st = queue_run(op, script, cb);
    if (st != ST_OK)
        items_fail(&items, st);
    return st == ST_OK;
}

static void send_joins(struct queue *queue, struct queue_room *room)
{
    struct queue_op *op = queue_op_new(queue, room, NULL);
    items_cut(&room->joins, &op->items, QUEUE_JOIN_BATCH);
    metrics_observe(HISTOGRAM_JOIN_BATCH, (double)op->items.count);
    struct redis_args *args = queue_args(queue, room);
    redis_args_add_uint(args, room->known);
    for (struct queue_item *item = op->items.head; item; item = item->next) {
        redis_args_add_len(args, item->buyer, item->len);
        redis_args_add_len(args, item->mode == QUEUE_JOIN ? "j" : "r", 1);
        add_proof(args, &item->proof);
    }
    if (batch_run(op, QUEUE_SCRIPT_JOIN, on_joined))
        room->joins_in_flight++;
    room->joined_ms = loop_now_ms(queue->loop);
}

static void send_checks(struct queue *queue, struct queue_room *room)
{
    struct queue_op *op = queue_op_new(queue, room, NULL);
    items_cut(&room->checks, &op->items, QUEUE_CALL_MAX);
    struct redis_args *args = queue_args(queue, room);
    for (struct queue_item *item = op->items.head; item; item = item->next)
        redis_args_add_len(args, item->buyer, item->len);
    (void)batch_run(op, QUEUE_SCRIPT_SEEN, on_answer);
}

/* Less than a full call: is it worth waiting for more? Then somebody will look again. */
static bool joins_wait(struct queue *queue, struct queue_room *room)
{
    if (room->joins_in_flight)
        return true; /* until its answer */
    if (room->joined_ms != loop_now_ms(queue->loop))
        return false;
    mark_dirty(queue, room);
    loop_timer_set(queue->pace, 1);
    return true;
}

/* A callback may call again; that goes out in the next turn, so a turn always ends. */
static void room_flush(struct queue *queue, struct queue_room *room)
{
    size_t joins = room->joins.count;
    size_t checks = room->checks.count;
    for (size_t sent = 0; sent < joins; sent += QUEUE_JOIN_BATCH) {
        if (joins - sent < QUEUE_JOIN_BATCH && joins_wait(queue, room))
            break;
        send_joins(queue, room);
    }
    for (size_t sent = 0; sent < checks; sent += QUEUE_CALL_MAX)
        send_checks(queue, room);
}

static void on_flush(void *arg)
{
    struct queue *queue = arg;
    struct queue_room *room = queue->dirty;
    queue->dirty = NULL;
    while (room) {
        struct queue_room *next = room->dirty;
        room->is_dirty = false;
        room_flush(queue, room);
        room = next;
    }
}

static void flush_soon(struct queue *queue, struct queue_room *room)
{
    mark_dirty(queue, room);
    loop_defer(queue->loop, &queue->flush);
}

static struct queue_item *item_new(const char *buyer, queue_join_cb cb, void *arg)
{
    size_t len = strnlen(buyer, BUYER_ID_MAX);
    struct queue_item *item = xcalloc(1, sizeof(*item) + len + 1);
    item->cb = cb;
    item->arg = arg;
    item->len = len;
    memcpy(item->buyer, buyer, len);
    return item;
}

enum status queue_join(struct queue *queue, enum queue_join_mode mode, const char *event,
                       const char *buyer, const struct queue_proof *proof, queue_join_cb cb,
                       void *arg)
{
    if (queue->stopped || !redis_up(queue->redis))
        return ST_UNAVAILABLE;
    struct queue_room *room = queue_room(queue, event);
    struct queue_item *item = item_new(buyer, cb, arg);
    item->mode = mode;
    if (proof)
        item->proof = *proof;
    items_add(&room->joins, item);
    flush_soon(queue, room);
    return ST_OK;
}

enum status queue_is_inside(struct queue *queue, const char *event, const char *buyer,
                            queue_join_cb cb, void *arg)
{
    if (queue->stopped || !redis_up(queue->redis))
        return ST_UNAVAILABLE;
    struct queue_room *room = queue_room(queue, event);
    items_add(&room->checks, item_new(buyer, cb, arg));
    flush_soon(queue, room);
    return ST_OK;
}

/* The place he is known to have, and its epoch. */
static void add_known(struct redis_args *args, const struct queue_proof *proof)
{
    bool by_pass = proof && proof->pass_place > proof->ticket_place;
    redis_args_add_uint(args, !proof ? 0 : by_pass ? proof->pass_place : proof->ticket_place);
    redis_args_add_uint(args, !proof ? 0 : by_pass ? proof->pass_epoch : proof->ticket_epoch);
}

enum status queue_leave(struct queue *queue, const char *event, const char *buyer,
                        const struct queue_proof *proof, enum queue_leave_reason reason,
                        queue_join_cb cb, void *arg)
{
    struct queue_room *room = queue_room(queue, event);
    struct queue_op *op = queue_op_new(queue, room, NULL);
    struct queue_item *item = item_new(buyer, cb, arg);
    items_add(&op->items, item);
    struct redis_args *args = queue_args(queue, room);
    redis_args_add(args, reason == QUEUE_COMPLETED ? "completed" : "left");
    redis_args_add_len(args, item->buyer, item->len);
    add_known(args, proof);
    enum status st = queue_run(op, QUEUE_SCRIPT_LEAVE, on_answer);
    if (st != ST_OK)
        free(item);
    return st;
}

/* ---- signs of life ---- */

void queue_on_seen(struct queue *queue, queue_seen_cb cb, void *arg)
{
    queue->on_seen = cb;
    queue->on_seen_arg = arg;
}

void queue_seen(struct queue *queue, const char *event, const char *buyer)
{
    struct queue_room *room = queue_room(queue, event);
    struct queue_signs *signs = room->signs;
    if (!signs || signs->count == QUEUE_CALL_MAX) {
        signs = xcalloc(1, sizeof(*signs));
        signs->next = room->signs;
        room->signs = signs;
    }
    size_t size = strnlen(buyer, BUYER_ID_MAX) + 1;
    if (signs->len + size > signs->cap) {
        signs->cap = (signs->cap ? 2 * signs->cap : 512) + size;
        signs->text = xrealloc(signs->text, signs->cap);
    }
    memcpy(signs->text + signs->len, buyer, size - 1);
    signs->text[signs->len + size - 1] = '\0';
    signs->len += size;
    signs->count++;
}

static void on_seen_reply(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    struct queue *queue = op->queue;
    enum status st = queue_decode(op->room, status, reply, 1, NULL);
    const char *buyer = op->signs->text;
    struct words words;
    words_of(&words, reply);
    for (size_t i = 0; st == ST_OK && queue->on_seen && i < op->signs->count; i++) {
        struct queue_place place;
        st = read_place(&words, &place);
        if (st != ST_OK)
            break;
        queue->on_seen(queue->on_seen_arg, op->room->id, buyer, &place);
        buyer += strlen(buyer) + 1;
    }
    queue_op_free(op);
}

static void send_signs(struct queue *queue, struct queue_room *room)
{
    while (room->signs) {
        struct queue_op *op = queue_op_new(queue, room, NULL);
        op->signs = room->signs;
        room->signs = op->signs->next;
        op->signs->next = NULL;
        struct redis_args *args = queue_args(queue, room);
        const char *buyer = op->signs->text;
        for (size_t i = 0; i < op->signs->count; i++) {
            size_t len = strlen(buyer);
            redis_args_add_len(args, buyer, len);
            buyer += len + 1;
        }
        enum status st = queue_run(op, QUEUE_SCRIPT_SEEN, on_seen_reply);
        (void)st; /* Redis is away: they are dropped */
    }
}

static void on_second(void *arg)
{
    struct queue *queue = arg;
    for (struct queue_room *room = queue->rooms; room; room = room->next)
        send_signs(queue, room);
    rooms_sweep(queue, loop_now_ms(queue->loop));
    if (queue->rooms)
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
    for (struct queue_room *room = queue->rooms; room; room = room->next) {
        items_fail(&room->joins, ST_UNAVAILABLE);
        items_fail(&room->checks, ST_UNAVAILABLE);
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
    while (queue->rooms) {
        struct queue_room *room = queue->rooms;
        queue->rooms = room->next;
        signs_free(room->signs);
        free(room);
    }
    table_clear(&queue->table);
    redis_args_clear(&queue->args);
    free(queue);
}
