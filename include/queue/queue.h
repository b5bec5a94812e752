/* SPDX-License-Identifier: MIT */
/*
 * queue: Redis keys and script arguments of joining, seeing, leaving and promoting. Batches joins
 * per loop turn into one script call per event, signs of life into one call a second. Alone knows
 * key names, script arguments and channel messages. Decides nothing: Lua does.
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
#define QUEUE_JOIN_BATCH 128
#define QUEUE_CALL_MAX   500

struct queue;

/* Scripts for redis_opts.scripts. Call queue_scripts_init once before threads start (it reads
 * embed_lua, and TIKETI_LUA_DIR under test hooks). */
void queue_scripts_init(bool test_hooks);
struct redis_script *const *queue_scripts(size_t *ret_count);

/* Borrows loop, redis and config; restore_ms etc. come from config. */
struct queue *queue_new(struct loop *loop, struct redis *redis, const struct config *config);
/* Ends what has not been sent yet (ST_UNAVAILABLE) and refuses what comes; what is under way ends with redis. */
void queue_stop(struct queue *queue);
void queue_free(struct queue *queue); /* after redis is closed: every callback has run */

enum queue_state {
    QUEUE_GONE, /* holds no place here */
    QUEUE_WAITING,
    QUEUE_PARKED,
    QUEUE_ACTIVE,
    QUEUE_CLOSED /* the event is closed: nobody joins */
};

/* Numbers of the event at the time of the call, in every reply. */
struct queue_numbers {
    enum event_status status; /* in force now */
    bool restoring;
    uint64_t version, epoch;
    uint64_t queue_size, active, threshold;
    int64_t now_ms; /* Redis' clock */
};

struct queue_place {
    enum queue_state state;
    uint64_t place;    /* waiting (but 0 as `seen` says it), parked, active */
    uint64_t position; /* 1-based, of the waiting; 0 otherwise */
    int64_t since_ms;  /* of the active: time of admission */
    bool direct;       /* admitted by this very call without waiting */
};

enum queue_join_mode { QUEUE_JOIN, QUEUE_RESUME };

/* Proofs carried by the buyer, already verified and for this event and buyer; zero: none. */
struct queue_proof {
    uint64_t ticket_place, ticket_epoch;
    uint64_t pass_place, pass_epoch;
    int64_t pass_since_ms; /* iat of a pass that has not expired */
};

typedef void (*queue_join_cb)(void *arg, enum status status, const struct queue_place *place,
                              const struct queue_numbers *numbers);
/* ST_NOT_FOUND (in the callback): Redis has no config of this event; run queue_configure, then
 * repeat. `event` and `buyer` are copied. Joins of one loop turn go out together. */
MUST_CHECK enum status queue_join(struct queue *queue, enum queue_join_mode mode, const char *event,
                                  const char *buyer, const struct queue_proof *proof,
                                  queue_join_cb cb, void *arg);

/* The answers of a batch come one after the other. `soon` is told of each whose callback is `cb` while those before
 * are given: with `ahead` 3, 2 and 1, as far as there are as many. To prefetch what the callback touches; it may do
 * nothing else. One pair for a queue. */
#define QUEUE_AHEAD 3
typedef void (*queue_soon_cb)(void *arg, unsigned ahead);
void queue_on_soon(struct queue *queue, queue_join_cb cb, queue_soon_cb soon);

enum queue_leave_reason { QUEUE_LEFT, QUEUE_COMPLETED };
/* Gives up the place or the slot; idempotent. proof may be NULL. The place in the callback is what
 * he had (GONE: nothing). */
MUST_CHECK enum status queue_leave(struct queue *queue, const char *event, const char *buyer,
                                   const struct queue_proof *proof, enum queue_leave_reason reason,
                                   queue_join_cb cb, void *arg);

/* Collects a sign of life; sent with the next second's batch. on_seen is told each buyer's state. */
typedef void (*queue_seen_cb)(void *arg, const char *event, const char *buyer,
                              const struct queue_place *place);
void queue_on_seen(struct queue *queue, queue_seen_cb cb, void *arg);
void queue_seen(struct queue *queue, const char *event, const char *buyer);

/* Is the buyer inside now? One `seen` call, batched per turn like joins; refreshes his sign of
 * life. ST_NOT_FOUND when Redis has no config. */
MUST_CHECK enum status queue_is_inside(struct queue *queue, const char *event, const char *buyer,
                                       queue_join_cb cb, void *arg);

/* The highest place this pod has seen of an event (from tickets, joins, the index): passed to
 * join and promote, so that a failover that lost writes is noticed. */
void queue_note_place(struct queue *queue, const char *event, uint64_t place);

/* ---- the live copy ---- */
typedef void (*queue_done_cb)(void *arg, enum status status, bool applied);
/* lua/configure.lua with all fields of `event`. */
MUST_CHECK enum status queue_configure(struct queue *queue, const struct event *event,
                                       queue_done_cb cb, void *arg);
/* Epoch is the new one, already committed in PostgreSQL. */
MUST_CHECK enum status queue_clear(struct queue *queue, const char *event, uint64_t epoch,
                                   queue_done_cb cb, void *arg);

/* Reads config:{id} and index:{id} in one round trip. config: NULL when missing; else fields as
 * in struct event (owner and last_place are not there). index blob: NULL when missing. Borrowed. */
typedef void (*queue_live_cb)(void *arg, enum status status, const struct event *config,
                              const char *index, size_t index_len);
MUST_CHECK enum status queue_read_live(struct queue *queue, const char *event, queue_live_cb cb,
                                       void *arg);

/* Ids of the `events` set (a cache): cb per id, then once with NULL id and the status. */
typedef void (*queue_events_cb)(void *arg, enum status status, const char *id);
MUST_CHECK enum status queue_read_events(struct queue *queue, queue_events_cb cb, void *arg);
void queue_note_event(struct queue *queue, const char *event, bool open); /* SADD or SREM */

/* ---- the processor's part ---- */
struct lease_value { /* the whole value of lease:{id}: "fence:owner" */
    char text[96];
};

struct queue_tick {
    uint64_t admitted, evicted_idle, evicted_session, parked;
    bool more;       /* the call's bound was reached: call again at once */
    bool lease_lost; /* nothing was changed */
    uint64_t seq;
    uint64_t log_count; /* admissions so far (stats.admitted) */
    struct queue_numbers numbers;
};
typedef void (*queue_tick_cb)(void *arg, enum status status, const struct queue_tick *tick);
/* One bounded call of lua/promote.lua. `admit` > 0: admit so many now, ignoring outflow (never
 * the threshold); 0: as the settings say. */
MUST_CHECK enum status queue_promote(struct queue *queue, const char *event,
                                     const struct lease_value *lease, uint64_t admit,
                                     queue_tick_cb cb, void *arg);

/* lua/index.lua: takes and publishes the rank index; blob borrowed in the callback (queue_live_cb
 * with config NULL). ST_STALE when the lease is lost. */
MUST_CHECK enum status queue_publish_index(struct queue *queue, const char *event,
                                           const struct lease_value *lease, double rate_mean,
                                           double rate_spread, uint64_t rate_ticks,
                                           queue_live_cb cb, void *arg);

/* lua/lease.lua. Acquire, renew (a non-empty *lease) or release. */
enum lease_verb { LEASE_TAKE, LEASE_RENEW, LEASE_RELEASE };
typedef void (*queue_lease_cb)(void *arg, enum status status, bool held,
                               const struct lease_value *lease, bool need_consumed);
/* need_consumed: the event is restoring and waits for queue_load_consumed + done. */
MUST_CHECK enum status queue_lease(struct queue *queue, const char *event, enum lease_verb verb,
                                   const char *owner, const struct lease_value *lease,
                                   queue_lease_cb cb, void *arg);

/* lua/consumed.lua: up to QUEUE_CALL_MAX buyers and places. Not applied: another epoch is in force, or
 * Redis does not have the chunks of this run before this one: begin anew. */
struct queue_consumed {
    const char *buyer;
    uint64_t place;
};
struct queue_consumed_chunk {
    uint64_t epoch;
    const char *run; /* text that no other reload has */
    uint64_t number; /* of the chunk in it; 0 begins, before PostgreSQL is asked */
    bool last;       /* marks the consumed places as loaded */
};
MUST_CHECK enum status queue_load_consumed(struct queue *queue, const char *event,
                                           const struct queue_consumed_chunk *chunk,
                                           const struct queue_consumed *list, size_t count,
                                           queue_done_cb cb, void *arg);

/* The admission log. */
enum log_kind { LOG_KIND_DIRECT, LOG_KIND_PROMOTE, LOG_KIND_RESTORED, LOG_KIND_DEPARTED };
struct log_entry {
    char id[48]; /* stream id */
    enum log_kind kind;
    const char
        *kind_name; /* "direct", "promote", "restored", "left", "idle", "timeout", "completed" */
    const char *buyer;
    uint64_t place, epoch;
    int64_t at_ms;
    uint64_t inside, threshold; /* after it */
    uint64_t n;                 /* admissions so far */
    bool active_now;            /* still inside when read */
};
typedef void (*queue_log_cb)(void *arg, enum status status, const struct log_entry *entries,
                             size_t count);
/* Up to `limit` (<= QUEUE_CALL_MAX) entries after stream id `after` ("0" or "" from the start),
 * with active_now asked in the same round trip or the next. Borrowed. */
MUST_CHECK enum status queue_read_log(struct queue *queue, const char *event, const char *after,
                                      size_t limit, queue_log_cb cb, void *arg);
/* The same for who consumes the log and has consumed all of it up to `cursor`. Entries at or below
 * the cursor: Redis had lost its last writes, and these were written since then; the cursor has to
 * go back below the first of them. */
MUST_CHECK enum status queue_read_log_on(struct queue *queue, const char *event, const char *cursor,
                                         size_t limit, queue_log_cb cb, void *arg);
/* free:{id} and the trimming of the log up to the consumed id. admitted: count `n` as of which
 * `free_seats` holds; an older one never replaces a newer. */
MUST_CHECK enum status queue_write_free(struct queue *queue, const char *event, int64_t free_seats,
                                        uint64_t admitted, const char *consumed_id,
                                        queue_done_cb cb, void *arg);

/* Counters of the event (stats:{id}), for the organizer: name and value pairs, borrowed. */
struct queue_stat {
    const char *name;
    int64_t value;
    const char *text; /* of a minute: see lua/index.lua */
};
typedef void (*queue_stats_cb)(void *arg, enum status status, const struct queue_stat *list,
                               size_t count);
MUST_CHECK enum status queue_read_stats(struct queue *queue, const char *event, queue_stats_cb cb,
                                        void *arg);

/* ---- the cached seat map: see lua/seats.lua ---- */
struct queue_seats {
    bool cached;
    uint64_t version;
    int64_t age_ms;  /* of the word that it is true */
    const char *map; /* borrowed; "" when the caller's version is as new */
    size_t len;
};
typedef void (*queue_seats_cb)(void *arg, enum status status, const struct queue_seats *seats);
/* `known`: the version the caller has; -1: none. */
MUST_CHECK enum status queue_read_seats(struct queue *queue, const char *event, int64_t known,
                                        queue_seats_cb cb, void *arg);
/* Stores a map, unless a newer one is there; says that this version is true. No word comes back. */
MUST_CHECK enum status queue_put_seats(struct queue *queue, const char *event, uint64_t version,
                                       const char *map, size_t len);
MUST_CHECK enum status queue_true_seats(struct queue *queue, const char *event, uint64_t version);

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
MUST_CHECK enum status queue_publish(struct queue *queue, const char *event, const char *kind,
                                     const char *payload, size_t len);
/* A kind whose payload is the event's version and status. */
MUST_CHECK enum status queue_publish_version(struct queue *queue, const char *kind,
                                             const struct event *event);

#endif
