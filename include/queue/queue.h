/* SPDX-License-Identifier: MIT */
/*
 * queue: the waiting room of each event, as Redis has it: joining, leaving, heartbeats; the processor's calls; the
 * live copy of the settings; the channel.
 *
 * Every function with a callback: a status other than ST_OK means that nothing was started and the callback never
 * runs; ST_OK means that it runs exactly once, later, from the loop. Texts passed in are copied, results passed to a
 * callback are borrowed until it returns. When Redis is gone calls are refused with ST_UNAVAILABLE, and those under
 * way end with ST_UNAVAILABLE or ST_TIMEOUT: their outcome is unknown, and repeating them is harmless.
 *
 * ST_NOT_FOUND in a callback: Redis has no live copy of the event. queue_join, queue_is_inside, queue_leave,
 * queue_promote and queue_publish_index then have it loaded (queue_set_loader) and repeat the call once: for them
 * it means that there is no such event.
 */
#ifndef TIKETI_QUEUE_H
#define TIKETI_QUEUE_H

#include "auth/token.h"
#include "base/buf.h"
#include "base/status.h"
#include "net/loop.h"
#include "net/redis.h"
#include "queue/event.h"

#include <stdbool.h>
#include <stdint.h>

#define QUEUE_CHANNEL    "tiketi:queue-events"
#define QUEUE_JOIN_BATCH 128 /* buyers in one call of joins */
#define QUEUE_CALL_MAX   500 /* buyers in any other call: Lua's unpack has a limit */

struct queue;

/* ---- life ---- */

/* Prepares the scripts for redis_opts.scripts; once, before threads start. With test hooks, files in TIKETI_LUA_DIR
 * replace scripts of the same name. */
void queue_scripts_init(bool test_hooks);
struct redis_script *const *queue_scripts(size_t *ret_count); /* static */

/* Borrows loop, redis and config. */
struct queue *queue_new(struct loop *loop, struct redis *redis, const struct config *config);
/* Ends with ST_UNAVAILABLE what has not been sent yet and refuses new calls; what is under way ends with redis. */
void queue_stop(struct queue *queue);
/* After redis is closed: every callback has run. NULL is fine. */
void queue_free(struct queue *queue);

/* ---- buyers ---- */

enum queue_state {
    QUEUE_GONE, /* has no place here */
    QUEUE_WAITING,
    QUEUE_PARKED, /* waits, but was silent when their turn came */
    QUEUE_ACTIVE, /* inside */
    QUEUE_CLOSED  /* not inside, and the event is over */
};

/* The event at the time of the call; in every reply. */
struct queue_numbers {
    enum event_status status; /* in force now */
    bool restoring;
    uint64_t version, epoch;
    uint64_t queue_size, active, threshold;
    int64_t now_ms; /* by Redis' clock */
};

struct queue_place {
    enum queue_state state;
    /* The queue number of a waiting, parked or active buyer; 0 for a waiting one in the answer to a heartbeat. */
    uint64_t number;
    uint64_t position; /* of a waiting buyer, from 1; else 0 */
    int64_t since_ms;  /* when an active buyer was admitted; else 0 */
    bool direct;       /* this very call admitted the buyer, who did not wait */
};

enum queue_join_mode {
    QUEUE_JOIN,  /* takes a new place when the buyer has none */
    QUEUE_RESUME /* never does */
};

/* What the buyer has shown, verified by the caller to be of this event and buyer; zero: nothing. */
struct queue_proof {
    uint64_t ticket_place, ticket_epoch;
    uint64_t pass_place, pass_epoch;
    int64_t pass_since_ms; /* iat of a pass that has not expired */
};

struct queue_buyer {
    const char *event_id, *id;
    const struct queue_proof *proof; /* NULL: none */
};

/* place and numbers are NULL unless status is ST_OK. */
typedef void (*queue_join_cb)(void *arg, enum status status, const struct queue_place *place,
                              const struct queue_numbers *numbers);
/* Where the buyer stands after joining, or resuming. Counts as a heartbeat. Joins are batched: see queue.c. */
MUST_CHECK enum status queue_join(struct queue *queue, enum queue_join_mode mode,
                                  const struct queue_buyer *buyer, queue_join_cb cb, void *arg);
/* Where the buyer stands; QUEUE_ACTIVE: inside. Counts as a heartbeat. Takes no proof and restores nothing. */
MUST_CHECK enum status queue_is_inside(struct queue *queue, const char *event_id,
                                       const char *buyer_id, queue_join_cb cb, void *arg);

enum queue_leave_reason {
    QUEUE_LEFT, /* the buyer gives up whatever place they have */
    QUEUE_COMPLETED /* they have bought: the admission that `proof` names ends, and no later one. An event that
                     * Redis does not know has no slot to free: it is not loaded for this. */
};
/* Idempotent. The place in the callback is what the buyer had (QUEUE_GONE: nothing). */
MUST_CHECK enum status queue_leave(struct queue *queue, const struct queue_buyer *buyer,
                                   enum queue_leave_reason reason, queue_join_cb cb, void *arg);

/* Notes a heartbeat; it is sent with the next second's batch, or dropped when Redis is away then. Of each buyer in
 * an answered batch `cb` is given where they stand. One callback per queue. */
typedef void (*queue_heartbeat_cb)(void *arg, const char *event_id, const char *buyer_id,
                                   const struct queue_place *place);
void queue_heartbeat(struct queue *queue, const char *event_id, const char *buyer_id);
void queue_on_heartbeat(struct queue *queue, queue_heartbeat_cb cb, void *arg);

/* The highest place this worker has seen of an event (in tickets, joins, the index). It goes with each join and
 * promote, so that a failover that lost writes is noticed. */
void queue_note_place(struct queue *queue, const char *event_id, uint64_t place);

/* The answers of a batch come one after the other. Before each one, `prefetch` is called for those that come up to
 * three later and whose callback is `cb`, with their `arg` and how far ahead they are (1 to QUEUE_PREFETCH). It
 * may prefetch what the callback will touch, and nothing else. One pair per queue; NULL, NULL: none. */
#define QUEUE_PREFETCH 3
typedef void (*queue_prefetch_cb)(void *arg, unsigned ahead);
void queue_set_prefetch(struct queue *queue, queue_join_cb cb, queue_prefetch_cb prefetch);

/* ---- events that Redis does not know ---- */

typedef void (*queue_loaded_cb)(void *arg, enum status status);
/* Loads an event from its record into Redis, then calls `cb`, once, later; the same contract as above. */
typedef enum status (*queue_loader)(void *arg, const char *event_id, queue_loaded_cb cb,
                                    void *cb_arg);
/* The catalog sets it. Single-flight: it is called once for all who need the event at the same time. */
void queue_set_loader(struct queue *queue, queue_loader loader, void *arg);
/* Has the event loaded, for callers that found no live copy themselves. */
MUST_CHECK enum status queue_ensure_known(struct queue *queue, const char *event_id,
                                          queue_loaded_cb cb, void *arg);

/* ---- the live copy ---- */

/* applied: something was changed; false: as new a version (or epoch ...) was there already. cb may be NULL. */
typedef void (*queue_done_cb)(void *arg, enum status status, bool applied);
/* Writes all settings of `event`, unless as new a version is there. Restores a lost event: see lua/configure.lua. */
MUST_CHECK enum status queue_configure(struct queue *queue, const struct event *event,
                                       queue_done_cb cb, void *arg);
/* Begins `epoch`, which PostgreSQL has already committed: everybody is out. */
MUST_CHECK enum status queue_clear(struct queue *queue, const char *event_id, uint64_t epoch,
                                   queue_done_cb cb, void *arg);

/* Both in one round trip. config is NULL when there is none; else without owner and last_place. index: the text
 * of lua/index.lua; NULL when there is none. */
typedef void (*queue_live_cb)(void *arg, enum status status, const struct event *config,
                              const char *index, size_t index_len);
MUST_CHECK enum status queue_read_live(struct queue *queue, const char *event_id, queue_live_cb cb,
                                       void *arg);

/* The ids of open events that Redis remembers, a cache for when PostgreSQL is away: cb per id, then once with a
 * NULL id and the status. */
typedef void (*queue_events_cb)(void *arg, enum status status, const char *event_id);
MUST_CHECK enum status queue_read_events(struct queue *queue, queue_events_cb cb, void *arg);
void queue_note_event(struct queue *queue, const char *event_id, bool open); /* adds or removes */

/* ---- the lease: what happens under it passes its whole value, which the script compares ---- */

struct lease_value { /* the whole value of lease:{id}: "fencing token:owner" */
    char text[96];
};
/* need_consumed: the event is being restored and waits for queue_load_consumed. */
typedef void (*queue_lease_cb)(void *arg, enum status status, bool held,
                               const struct lease_value *lease, bool need_consumed);
/* owner: random text of the caller. held: the lease is the caller's now. */
MUST_CHECK enum status queue_lease_take(struct queue *queue, const char *event_id,
                                        const char *owner, queue_lease_cb cb, void *arg);
MUST_CHECK enum status queue_lease_renew(struct queue *queue, const char *event_id,
                                         const struct lease_value *lease, queue_lease_cb cb,
                                         void *arg);
MUST_CHECK enum status queue_lease_release(struct queue *queue, const char *event_id,
                                           const struct lease_value *lease, queue_lease_cb cb,
                                           void *arg);

/* ---- the processor's calls ---- */

struct queue_tick {
    uint64_t admitted, evicted_idle, evicted_session, parked;
    bool more;          /* the call's bound was reached: call again at once */
    bool lease_lost;    /* nothing was changed; all else is 0 */
    uint64_t seq;       /* last place given */
    uint64_t log_count; /* admissions so far: the highest n of the log */
    struct queue_numbers numbers;
};
/* tick is NULL unless status is ST_OK. */
typedef void (*queue_tick_cb)(void *arg, enum status status, const struct queue_tick *tick);
/* One bounded step of a tick. admit > 0: admit so many now, whatever the outflow limit says, but never above the
 * threshold; 0: as the settings say. */
MUST_CHECK enum status queue_promote(struct queue *queue, const char *event_id,
                                     const struct lease_value *lease, uint64_t admit,
                                     queue_tick_cb cb, void *arg);

/* The measured admission rate, in buyers per second; it is published with the index. */
struct queue_rate {
    double mean, spread;
    uint64_t ticks; /* measured over so many */
};
/* Takes and publishes the rank index. In the callback config is NULL. ST_STALE: the lease is lost. */
MUST_CHECK enum status queue_publish_index(struct queue *queue, const char *event_id,
                                           const struct lease_value *lease,
                                           const struct queue_rate *rate, queue_live_cb cb,
                                           void *arg);

/* ---- consumed places, loaded from PostgreSQL in a restore window ---- */

struct queue_consumed {
    const char *buyer_id;
    uint64_t place;
};
struct queue_consumed_chunk {
    uint64_t epoch;
    const char *run; /* text that no other load has */
    uint64_t number; /* of the chunk in its run; number 0 is sent before PostgreSQL is asked */
    bool last;       /* marks the consumed places as loaded */
    const struct queue_consumed *list;
    size_t count; /* at most QUEUE_CALL_MAX, else ST_TOO_LARGE */
};
/* Not applied: another epoch is in force, or Redis does not have the earlier chunks of this run: begin a new one. */
MUST_CHECK enum status queue_load_consumed(struct queue *queue, const char *event_id,
                                           const struct queue_consumed_chunk *chunk,
                                           queue_done_cb cb, void *arg);

/* ---- the admission log ---- */

enum log_kind { LOG_KIND_DIRECT, LOG_KIND_PROMOTE, LOG_KIND_RESTORED, LOG_KIND_DEPARTED };
struct log_entry {
    char id[48]; /* of the stream */
    enum log_kind kind;
    const char *
        kind_name; /* direct, promote, restored, left, idle, timeout, completed, withdrawn, cleared */
    const char *buyer;
    uint64_t place, epoch;
    int64_t at_ms;
    uint64_t inside, threshold; /* number inside after it; threshold it was decided by */
    uint64_t n;                 /* admissions so far */
    bool active_now;            /* still inside, by this very admission */
};
struct queue_log_range {
    const char *after; /* id of the stream; "0" or "": from the start */
    size_t limit;      /* entries; at most QUEUE_CALL_MAX are read */
    /* `after` is the cursor of the log's consumer, who has consumed everything up to it. Entries at or below it in
     * the answer: Redis lost its last writes and has written these since; the cursor must go back below them. */
    bool is_cursor;
};
typedef void (*queue_log_cb)(void *arg, enum status status, const struct log_entry *entries,
                             size_t count);
MUST_CHECK enum status queue_read_log(struct queue *queue, const char *event_id,
                                      const struct queue_log_range *range, queue_log_cb cb,
                                      void *arg);

struct queue_free_seats {
    int64_t count;
    uint64_t admitted;       /* count `n` of the log as of which it holds */
    const char *consumed_id; /* of the last log entry consumed */
};
/* What the log's consumer says after its commit; lets the log be trimmed. An older one never replaces a newer. */
MUST_CHECK enum status queue_write_free(struct queue *queue, const char *event_id,
                                        const struct queue_free_seats *seats, queue_done_cb cb,
                                        void *arg);

/* ---- counters ---- */

struct queue_stat {
    const char *name;
    int64_t value;
    const char *text; /* of a minute of the diary: see lua/index.lua */
};
typedef void (*queue_stats_cb)(void *arg, enum status status, const struct queue_stat *list,
                               size_t count);
MUST_CHECK enum status queue_read_stats(struct queue *queue, const char *event_id,
                                        queue_stats_cb cb, void *arg);

/* ---- the cached seat map: see lua/seats.lua ---- */

struct queue_seats {
    bool cached;
    uint64_t version;
    int64_t age_ms;  /* since the map was last known to be current */
    const char *map; /* "" when the caller's version is as new */
    size_t len;
};
typedef void (*queue_seats_cb)(void *arg, enum status status, const struct queue_seats *seats);
/* version: what the caller has; -1: nothing. */
MUST_CHECK enum status queue_read_seats(struct queue *queue, const char *event_id, int64_t version,
                                        queue_seats_cb cb, void *arg);
/* Stores a map unless a newer one is there; says that this version is current. There is no answer. */
MUST_CHECK enum status queue_put_seats(struct queue *queue, const char *event_id, uint64_t version,
                                       const char *map, size_t len);
MUST_CHECK enum status queue_confirm_seats(struct queue *queue, const char *event_id,
                                           uint64_t version);

/* ---- channel messages ---- */
/* Between pods, on QUEUE_CHANNEL; a hint: the state in Redis is the truth. The kinds and their payloads:
 * docs/redis-keys.md. */

/* One message; the payload (a JSON object, not checked) is borrowed from the received text. */
struct queue_message {
    char event[EVENT_ID_MAX + 1];
    char kind[32];
    const char *payload;
    size_t len;
};
/* Splits a received message without parsing its payload. ST_INVALID: not of our form. */
MUST_CHECK enum status queue_message_read(const char *data, size_t len,
                                          struct queue_message *ret_message);
/* Publishes to all pods, this one too. `payload`: a JSON object; borrowed for the call. */
MUST_CHECK enum status queue_publish(struct queue *queue, const char *event_id, const char *kind,
                                     const char *payload, size_t len);
/* A kind whose payload is the event's version and status. */
MUST_CHECK enum status queue_publish_version(struct queue *queue, const char *kind,
                                             const struct event *event);

#endif
