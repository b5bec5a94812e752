/* SPDX-License-Identifier: MIT */
/*
 * queue_internal: what the files of queue share.
 *
 *   queue.c         the calls of buyers, batched: join, is inside, leave, heartbeats
 *   queue_answer.c  what a script says of each buyer
 *   queue_script.c  the scripts: their texts, calls and replies; events that Redis does not know
 *   queue_live.c    the live copy of the settings; plain commands
 *   queue_channel.c messages between pods
 *   queue_tick.c    the processor's calls: lease, promote, index; consumed places; the admission log
 *   queue_feedback.c  the shop's health, and the limit that follows from it
 *   queue_sales.c   the copies of sales
 *   queue_personal.c  what is known of one buyer; the end of an event's keys
 */
#ifndef TIKETI_QUEUE_INTERNAL_H
#define TIKETI_QUEUE_INTERNAL_H

#include "base/config.h"
#include "base/table.h"
#include "net/overload.h"
#include "queue/queue.h"
#include "queue/queue_keys.h"

#define QUEUE_KEY_SIZE (CONFIG_PREFIX_MAX + EVENT_ID_MAX + 16) /* prefix "active:since:{" id "}" */

#define QUEUE_FLIGHTS_MAX                                                                          \
    8 /* join calls of an event under way: enough to keep a Redis busy that is 1 ms away */
#define QUEUE_FLIGHT_SLOW_MS 20 /* a call that takes longer */

#define QUEUE_KEY_ENUM(name_, text_) QUEUE_KEY_##name_,
enum queue_key {
    QUEUE_KEYS(QUEUE_KEY_ENUM) QUEUE_KEY_COUNT, /* number of the keys that every script is given */
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
    QUEUE_SCRIPT_SALES,
    QUEUE_SCRIPT_NETWORKS,
    QUEUE_SCRIPT_PAY,
    QUEUE_SCRIPT_FIND,
    QUEUE_SCRIPT_FEEDBACK,
    QUEUE_SCRIPT_PROBE,
    QUEUE_SCRIPT_EXPIRE,
    QUEUE_SCRIPT_PERSON,
    QUEUE_SCRIPT_HANDOFF,
    QUEUE_SCRIPT_BAN,
    QUEUE_SCRIPT_COUNT
};

/* The call of one buyer, until it is answered. */
struct queue_item {
    struct queue_item *next;
    queue_join_cb cb;
    void *arg;
    uint64_t since_ms; /* when the call came, by loop_now_ms */
    enum queue_join_mode mode;
    struct queue_proof proof;
    size_t len, network_len;
    char buyer[]; /* and a NUL; then the network, which is empty where none counts */
};

struct queue_items {
    struct queue_item *head, **tail;
    size_t count;
};

/* The buyers of one batch of heartbeats: their ids one after the other, each with its NUL. */
struct queue_heartbeats {
    struct queue_heartbeats *next;
    size_t count, len, cap;
    char *buyers;
};

/* What this worker has under way for one event. It is kept for a minute after the last call has ended. */
struct queue_event {
    struct table_node node;   /* must be the first member: a node is cast to its event */
    struct queue_event *next; /* in queue->events */
    char id[EVENT_ID_MAX + 1];
    char keys[QUEUE_KEY_COUNT][QUEUE_KEY_SIZE];
    uint64_t known_place;     /* the highest place seen so far */
    uint64_t used_ms;         /* time of the last use, by loop_now_ms */
    unsigned ops;             /* number of operations that point here */
    unsigned joins_under_way; /* number of script calls */
    uint64_t joins_sent_ms;   /* when the last join call was sent, by loop_now_ms */
    struct queue_op *first_flight, *last_flight; /* join calls under way, the oldest first */
    unsigned flights_max; /* how many there may be: one while Redis is slow */
    struct overload overload;
    /* calls not yet sent; claims: joins that are never refused, and go first; asks: those of queue_is_inside */
    struct queue_items claims, joins, asks;
    struct queue_heartbeats *heartbeats;     /* batches not yet sent, newest first */
    struct queue_op *waiting, **waiting_end; /* operations that wait until Redis knows the event */
    struct queue_event *next_unsent;
    bool is_unsent;
};

struct queue {
    struct loop *loop;
    struct redis *redis;
    const struct config *config;
    char channel[QUEUE_CHANNEL_SIZE];
    struct redis_sub *sub;           /* NULL: nobody follows events */
    char events_key[QUEUE_KEY_SIZE]; /* QUEUE_EVENTS_KEY with the prefix */
    struct redis_args args;          /* scratch: arguments of the call being built */
    struct table table;
    struct queue_event *events;
    struct queue_event *unsent; /* events with something to send at the end of this loop turn */
    struct loop_task flush;     /* sends what the events in `unsent` have */
    struct loop_timer *pace;    /* sends joins that waited for more joins to come */
    struct loop_timer *second;  /* sends heartbeats; armed while there are events */
    struct comeback comeback;   /* of all events */
    queue_loader loader;
    void *loader_arg;
    queue_heartbeat_cb on_heartbeat;
    void *on_heartbeat_arg;
    bool stopped;
};

struct queue_op;
typedef void (*queue_args_fn)(struct queue_op *op, struct redis_args *args);

/* An operation under way: one call of a script, or one or two commands. */
struct queue_op {
    struct queue *queue;
    struct queue_event *event; /* NULL: the operation needs none */
    enum queue_script script;
    redis_cb on_reply;
    /* writes the arguments, for the first call and a repetition; NULL: not repeated */
    queue_args_fn add_args;
    bool repeated;
    struct queue_op *next; /* in event->waiting */
    /* Of a join call under way: its neighbours in event->first_flight …, and when it was sent, by loop_now_ms. */
    struct queue_op *before, *after;
    uint64_t sent_ms;

    union {
        queue_join_cb join;
        queue_done_cb done;
        queue_live_cb live;
        queue_events_cb events;
        queue_tick_cb tick;
        queue_lease_cb lease;
        queue_published_cb published;
        queue_log_cb log;
        queue_stats_cb stats;
        queue_networks_cb networks;
        queue_find_cb find;
        queue_feedback_cb feedback;
        queue_seats_cb seats;
        queue_sales_cb sales;
        queue_consumed_id_cb consumed_id;
        queue_loaded_cb loaded;
        queue_expire_cb expired;
        queue_personal_cb personal;
        queue_redeem_cb redeemed;
    } cb;
    void *arg;

    struct queue_items items;            /* join, is inside, leave: the buyers of the batch */
    struct queue_heartbeats *heartbeats; /* heartbeats: the batch */
    enum queue_leave_reason reason;      /* leave */
    struct lease_value lease;            /* promote, index, feedback */
    uint64_t admit;                      /* promote */
    enum queue_promote_part part;        /* promote */
    struct queue_rate rate;              /* index */
    struct {
        bool lifts;
        char *buyer; /* owned */
        uint64_t place, epoch;
    } ban;                         /* ban, unban */
    struct feedback_health health; /* feedback: a report */
    struct feedback feedback;      /* feedback: the limit to write */
    /* read_live: the settings, from the first of two replies */
    struct event *config;
    enum status status; /* read_live: of the first reply, or why the second command was not sent */
    bool single;        /* read_live: no second reply will come */
};

/* Writes the key's name for this event into out[QUEUE_KEY_SIZE]. */
void queue_key_write(const struct queue *queue, char *out, enum queue_key key,
                     const char *event_id);
/* Finds the event, or adds it. Call it only for events that exist: invented ids must not fill the memory. */
struct queue_event *queue_event_of(struct queue *queue, const char *event_id);
/* Sends what waits for this event at the end of this turn. */
void queue_flush_soon(struct queue *queue, struct queue_event *event);

/* Returns a new operation. The event (may be NULL) is kept until the operation is freed. */
struct queue_op *queue_op_new(struct queue *queue, struct queue_event *event, void *arg);
void queue_op_free(struct queue_op *op);

/* Writes the channel on which the scripts publish for this event into out[QUEUE_CHANNEL_SIZE]. */
void queue_scripts_channel(const struct queue *queue, const char *event_id, char *out);

/* Resets queue->args, adds the event's keys, which are the first arguments of every script call, and returns it. */
struct redis_args *queue_args(struct queue *queue, const struct queue_event *event);
/* Calls a script with the arguments of queue_args. On a status other than ST_OK `op` is freed and the callback never
 * runs. */
MUST_CHECK enum status queue_run(struct queue_op *op, enum queue_script script, redis_cb cb);
/* Like queue_run, but `add_args` adds the arguments. If Redis does not know the event, it is loaded and the call
 * repeated once. */
MUST_CHECK enum status queue_run_known(struct queue_op *op, enum queue_script script,
                                       queue_args_fn add_args, redis_cb cb);
/* Like queue_run, for a script whose keys are not those of queue_args: the first `keys` arguments in queue->args are
 * its keys. */
MUST_CHECK enum status queue_run_keys(struct queue_op *op, enum queue_script script, size_t keys,
                                      redis_cb cb);
/* Sends the plain command in queue->args. On a status other than ST_OK `op` is freed and the callback never runs. */
MUST_CHECK enum status queue_send(struct queue_op *op, redis_cb cb);

/* An OK reply begins with so many items that all scripts have, the code and the numbers; the script's own items
 * follow. */
#define QUEUE_REPLY_HEAD 10
/* Checks the reply of a script and notes the last place given. ST_OK: *ret_numbers (may be NULL) is filled, and the
 * script's own items are at least `items`. ST_NOT_FOUND: the reply is NOCONFIG; ST_STALE: the reply is LEASE. */
enum status queue_decode(struct queue_event *event, enum status status,
                         const struct redis_reply *reply, size_t items,
                         struct queue_numbers *ret_numbers);
/* The i-th of the script's own items, as a reply and as a number, which is never negative. */
const struct redis_reply *queue_item_at(const struct redis_reply *reply, size_t i);
uint64_t queue_uint_at(const struct redis_reply *reply, size_t i);
/* Is this reply equal to `text`? */
bool queue_is(const struct redis_reply *reply, const char *text);

/* What a script says of the buyers of its call (lua/shared.lua, answer; lua/join.lua for newcomers). Borrows the text from
 * the reply. */
struct queue_answer {
    const char *at, *end;
    /* All are newcomers in a row: the next buyer's place and position. 0: four words per buyer follow. */
    uint64_t place, position;
};

/* An answer without a text is empty. */
struct queue_answer queue_answer_of(const struct redis_reply *reply);
/* Reads what it says of the next buyer; the caller asks for as many as were in the call. ST_INTERNAL: the text has
 * ended, or it has a state that this build does not know; *ret_place is left alone then. */
enum status queue_answer_next(struct queue_answer *answer, struct queue_place *ret_place);

/* Ends an operation whose reply says only whether it was applied. */
void queue_on_applied(void *arg, enum status status, const struct redis_reply *reply);

#endif
