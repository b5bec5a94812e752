/* SPDX-License-Identifier: MIT */
/*
 * queue_internal: what the files of queue share.
 *
 *   queue.c         the calls of buyers, batched: join, is inside, leave, heartbeats
 *   queue_script.c  the scripts: their texts, calls and replies; events that Redis does not know
 *   queue_live.c    the live copy of the settings; plain commands
 *   queue_channel.c messages between pods
 *   queue_tick.c    the processor's calls: lease, promote, index; consumed places; the admission log
 */
#ifndef TIKETI_QUEUE_INTERNAL_H
#define TIKETI_QUEUE_INTERNAL_H

#include "base/config.h"
#include "base/table.h"
#include "queue/queue.h"
#include "queue/queue_keys.h"

#define QUEUE_KEY_SIZE (EVENT_ID_MAX + 16) /* "active:since:{" id "}" */

#define QUEUE_KEY_ENUM(name_, text_) QUEUE_KEY_##name_,
enum queue_key {
    QUEUE_KEYS(QUEUE_KEY_ENUM) QUEUE_KEY_COUNT, /* of those that every script is given */
    QUEUE_OWN_KEYS(QUEUE_KEY_ENUM)
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

/* One buyer's call, until its answer. */
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

/* The buyers of one batch of heartbeats: ids one after the other, each with its NUL. */
struct queue_heartbeats {
    struct queue_heartbeats *next;
    size_t count, len, cap;
    char *buyers;
};

/* What this worker has under way for one event. Kept as long, then for a minute. */
struct queue_event {
    struct table_node node;   /* first: a node is its event */
    struct queue_event *next; /* in the list of all */
    char id[EVENT_ID_MAX + 1];
    char keys[QUEUE_KEY_COUNT][QUEUE_KEY_SIZE];
    uint64_t known_place;                    /* highest place ever seen */
    uint64_t used_ms;                        /* by the loop's clock */
    unsigned ops;                            /* that point here */
    unsigned joins_under_way;                /* calls */
    uint64_t joins_sent_ms;                  /* when the last one went out, by the loop's clock */
    struct queue_items joins, asks;          /* not yet sent; asks: of queue_is_inside */
    struct queue_heartbeats *heartbeats;     /* not yet sent; the newest batch first */
    struct queue_op *waiting, **waiting_end; /* until Redis knows the event */
    struct queue_event *unsent;              /* next in queue->unsent */
    bool is_unsent;
};

struct queue {
    struct loop *loop;
    struct redis *redis;
    const struct config *config;
    struct redis_args args; /* of the call being built */
    struct table table;
    struct queue_event *events;
    struct queue_event *unsent; /* those with something to send at the end of this turn */
    struct loop_task flush;     /* sends it */
    struct loop_timer *pace;    /* the same, for joins that wait for more to come */
    struct loop_timer *second;  /* sends heartbeats; armed while there are events */
    queue_loader loader;
    void *loader_arg;
    queue_join_cb prefetch_for;
    queue_prefetch_cb prefetch;
    queue_heartbeat_cb on_heartbeat;
    void *on_heartbeat_arg;
    bool stopped;
};

struct queue_op;
typedef void (*queue_args_fn)(struct queue_op *op, struct redis_args *args);

/* An operation under way: one call of a script, or one or two commands. */
struct queue_op {
    struct queue *queue;
    struct queue_event *event; /* NULL: of none that this worker keeps */
    enum queue_script script;
    redis_cb on_reply;
    queue_args_fn
        add_args; /* writes the arguments, again for the repetition; NULL: is not repeated */
    bool repeated;
    struct queue_op *next; /* in event->waiting */

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
        queue_loaded_cb loaded;
    } cb;
    void *arg;

    struct queue_items items;            /* join, is inside, leave: the batch */
    struct queue_heartbeats *heartbeats; /* the batch */
    enum queue_leave_reason reason;      /* leave */
    struct lease_value lease;            /* promote, index */
    uint64_t admit;                      /* promote */
    struct queue_rate rate;              /* index */
    struct event *config;                /* read_live: what the first of its two replies said */
    enum status status; /* read_live: of the first reply; or the second command was not sent */
    bool single;        /* read_live: no second reply will come */
};

/* `out` holds QUEUE_KEY_SIZE. */
void queue_key_write(char *out, enum queue_key key, const char *event_id);
/* Finds or makes it. Only for events that exist, else strangers could fill our memory. */
struct queue_event *queue_event_of(struct queue *queue, const char *event_id);
/* Sends what waits for this event at the end of this turn. */
void queue_flush_soon(struct queue *queue, struct queue_event *event);

/* A new operation, which keeps its event (may be NULL) alive; and its end. */
struct queue_op *queue_op_new(struct queue *queue, struct queue_event *event, void *arg);
void queue_op_free(struct queue_op *op);

/* The argument list of a script call with the event's keys in front. */
struct redis_args *queue_args(struct queue *queue, const struct queue_event *event);
/* Calls a script with the arguments of queue_args. On a status other than ST_OK `op` is freed and the callback never
 * runs. */
MUST_CHECK enum status queue_run(struct queue_op *op, enum queue_script script, redis_cb cb);
/* The same with arguments by `add_args`: if Redis does not know the event, it is loaded and the call repeated. */
MUST_CHECK enum status queue_run_known(struct queue_op *op, enum queue_script script,
                                       queue_args_fn add_args, redis_cb cb);
/* The same as queue_run for a script with `keys` keys of its own, which stand in queue->args already. */
MUST_CHECK enum status queue_run_keys(struct queue_op *op, enum queue_script script, size_t keys,
                                      redis_cb cb);
/* The same for a plain command that stands in queue->args already. */
MUST_CHECK enum status queue_send(struct queue_op *op, redis_cb cb);

/* Items before those of the script itself in an OK reply: the code and the numbers. */
#define QUEUE_REPLY_HEAD 10
/* ST_OK with *ret_numbers (may be NULL) and at least `items` more; NOCONFIG is ST_NOT_FOUND, LEASE is ST_STALE.
 * Notes the last place given. */
enum status queue_decode(struct queue_event *event, enum status status,
                         const struct redis_reply *reply, size_t items,
                         struct queue_numbers *ret_numbers);
/* The i-th of the script's own items. As a number: places and counts are never negative. */
const struct redis_reply *queue_item_at(const struct redis_reply *reply, size_t i);
uint64_t queue_uint_at(const struct redis_reply *reply, size_t i);
/* Is this reply the text? */
bool queue_is(const struct redis_reply *reply, const char *text);

/* The end of a call that says only whether it was applied. */
void queue_on_applied(void *arg, enum status status, const struct redis_reply *reply);

#endif
