/* SPDX-License-Identifier: MIT */
/*
 * queue_internal: what the files of the queue module share; nobody else includes it.
 *
 *   queue.c         rooms (one per event), and the calls of many buyers, batched: join, seen, leave
 *   queue_script.c  the scripts, their replies
 *   queue_live.c    the live copy: configure, clear, what is read
 *   queue_channel.c messages between pods
 *   queue_tick.c    the processor's calls: lease, promote, index, consumed, log, free
 */
#ifndef TIKETI_QUEUE_INTERNAL_H
#define TIKETI_QUEUE_INTERNAL_H

#include "base/config.h"
#include "base/table.h"
#include "queue/queue.h"

#define QUEUE_KEY_COUNT 16
#define QUEUE_KEY_SIZE  (EVENT_ID_MAX + 16) /* "active:since:{" id "}" */

enum queue_key { /* some of them by name; the order is that of lua/shared.lua */
                 QUEUE_KEY_CONFIG = 0,
                 QUEUE_KEY_STATS = 11,
                 QUEUE_KEY_INDEX = 15
};

enum queue_script {
    QUEUE_SCRIPT_JOIN,
    QUEUE_SCRIPT_SEEN,
    QUEUE_SCRIPT_LEAVE,
    QUEUE_SCRIPT_PROMOTE,
    QUEUE_SCRIPT_CONFIGURE,
    QUEUE_SCRIPT_CLEAR,
    QUEUE_SCRIPT_LEASE,
    QUEUE_SCRIPT_INDEX,
    QUEUE_SCRIPT_CONSUMED,
    QUEUE_SCRIPT_FREE,
    QUEUE_SCRIPT_LOG,
    QUEUE_SCRIPT_SEATS,
    QUEUE_SCRIPT_COUNT
};

/* One buyer's call, waiting for its batch or for the reply. */
struct queue_item {
    struct queue_item *next;
    queue_join_cb cb;
    void *arg;
    enum queue_join_mode mode;
    struct queue_proof proof;
    size_t len;
    char buyer[];
};

struct queue_items {
    struct queue_item *head, **tail;
    size_t count;
};

/* Buyers with their signs of life, one after the other in `text`, each with its NUL. */
struct queue_signs {
    struct queue_signs *next;
    size_t count, len, cap;
    char *text;
};

/* What this worker knows of one event. Kept while anything is under way, then for a while. */
struct queue_room {
    struct table_node node;
    struct queue_room *next; /* in the list of all */
    char id[EVENT_ID_MAX + 1];
    char keys[QUEUE_KEY_COUNT][QUEUE_KEY_SIZE];
    uint64_t known;     /* highest place ever seen */
    uint64_t used_ms;   /* of the loop's clock */
    unsigned in_flight; /* operations that point here */
    unsigned joins_in_flight;
    uint64_t joined_ms; /* when the last call of joins went out, of the loop's clock */
    struct queue_items joins, checks;
    struct queue_signs *signs; /* the newest first */
    struct queue_room *dirty;  /* the next one with something to send at the end of this turn */
    bool is_dirty;
};

struct queue {
    struct loop *loop;
    struct redis *redis;
    const struct config *config;
    struct redis_args args; /* of the call being built */
    struct table table;
    struct queue_room *rooms, *dirty;
    struct loop_task flush;    /* sends what this turn has collected */
    struct loop_timer *pace;   /* the same, for joins that wait for others */
    struct loop_timer *second; /* sends signs of life; armed while there are rooms */
    queue_join_cb soon_for;
    queue_soon_cb soon;
    queue_seen_cb on_seen;
    void *on_seen_arg;
    bool stopped;
};

/* An operation under way. */
struct queue_op {
    struct queue *queue;
    struct queue_room *room;
    union {
        queue_join_cb join;
        queue_done_cb done;
        queue_live_cb live;
        queue_events_cb events;
        queue_tick_cb tick;
        queue_lease_cb lease;
        queue_log_cb log;
        queue_stats_cb stats;
        queue_seats_cb seats;
    } cb;
    void *arg;
    struct queue_items items;  /* of a batch */
    struct queue_signs *signs; /* of a batch of signs of life */
    struct event *event;       /* read_live: what the first of its two replies said */
    enum status status;        /* read_live: of the first reply; or the second call was not sent */
    bool single;               /* read_live: no second reply will come */
};

/* `out` holds QUEUE_KEY_SIZE. */
void queue_key_write(char *out, enum queue_key key, const char *event);
/* Finds or makes the room: only for events that exist, else strangers could fill our memory. */
struct queue_room *queue_room(struct queue *queue, const char *event);
/* A new operation on it, and back. */
struct queue_op *queue_op_new(struct queue *queue, struct queue_room *room, void *arg);
void queue_op_free(struct queue_op *op);

/* The empty argument list with the room's keys in front; then the arguments; then run. On a status
 * other than ST_OK `op` is freed and the callback never runs. */
struct redis_args *queue_args(struct queue *queue, const struct queue_room *room);
MUST_CHECK enum status queue_run(struct queue_op *op, enum queue_script script, redis_cb cb);
/* The same for a script with other keys than a room's: they stand in queue->args already. */
MUST_CHECK enum status queue_run_keys(struct queue_op *op, enum queue_script script, size_t keys,
                                      redis_cb cb);
/* The same for a plain command that is already in queue->args. */
MUST_CHECK enum status queue_send(struct queue_op *op, redis_cb cb);

/* Items before those of the script itself in an OK reply: the code and the numbers. */
#define QUEUE_REPLY_HEAD 10
/* What a script replied: ST_OK with *ret_numbers (may be NULL) and at least `items` more; NOCONFIG
 * is ST_NOT_FOUND, LEASE is ST_STALE. Notes the last place given. */
enum status queue_decode(struct queue_room *room, enum status status,
                         const struct redis_reply *reply, size_t items,
                         struct queue_numbers *ret_numbers);
/* Its i-th own item; places and counts are never negative. */
const struct redis_reply *queue_item_at(const struct redis_reply *reply, size_t i);
uint64_t queue_uint_at(const struct redis_reply *reply, size_t i);
/* Is this reply the text? */
bool queue_is(const struct redis_reply *reply, const char *text);

/* The plain end of a call that says only whether it was applied. */
void queue_on_applied(void *arg, enum status status, const struct redis_reply *reply);

#endif
