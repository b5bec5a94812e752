/* SPDX-License-Identifier: MIT */
/*
 * queue: the client of the waiting rooms in Redis: joining, leaving and heartbeats of buyers; the processor's calls;
 * the live copy of the settings; the channel.
 *
 * Every function with a callback: a status other than ST_OK means that nothing was started and the callback never
 * runs; ST_OK means that it runs exactly once, later, from the loop. Texts passed in are copied, results passed to a
 * callback are borrowed until it returns. When Redis is gone, calls are refused with ST_UNAVAILABLE, and calls under
 * way end with ST_UNAVAILABLE or ST_TIMEOUT; their outcome is unknown, and they may be repeated.
 *
 * ST_NOT_FOUND in a callback: Redis has no live copy of the event. queue_join, queue_is_inside, queue_leave,
 * queue_promote and queue_publish_index then load the event (queue_set_loader) and repeat the call once, so
 * ST_NOT_FOUND from them means that there is no such event.
 */
#ifndef TIKETI_QUEUE_H
#define TIKETI_QUEUE_H

#include "auth/token.h"
#include "base/buf.h"
#include "base/config.h"
#include "base/status.h"
#include "net/loop.h"
#include "net/redis.h"
#include "queue/admission_limit.h"
#include "queue/event.h"
#include "queue/feedback.h"

#include <stdbool.h>
#include <stdint.h>

/* Of a channel's name: "<REDIS_PREFIX>tiketi:<number of the database>:queue-events", since Pub/Sub knows no databases; that
 * of one event has ":{<id>}" at its end. */
#define QUEUE_CHANNEL_SIZE (CONFIG_PREFIX_MAX + 40 + EVENT_ID_MAX + 4)
#define QUEUE_JOIN_BATCH   128 /* most joins in one script call */
#define QUEUE_CALL_MAX     500 /* most buyers in any other script call: Lua's unpack has a limit */

struct queue;

/* ---- life ---- */

/* Prepares the scripts for redis_opts.scripts. Call it once, before threads start. With test hooks, files in
 * TIKETI_LUA_DIR replace scripts of the same name. */
void queue_scripts_init(bool test_hooks);
struct redis_script *const *queue_scripts(size_t *ret_count); /* what it returns is static */
/* For redis_opts.probe: lua/probe.lua, which is one of these scripts. */
const struct redis_script *queue_probe_script(void);
/* The channel of all events, into out[QUEUE_CHANNEL_SIZE]. */
void queue_channel_write(char *out, const struct config *config);

/* Borrows loop, redis and config. */
struct queue *queue_new(struct loop *loop, struct redis *redis, const struct config *config);
/* Refuses new calls, and ends calls that were not sent yet with ST_UNAVAILABLE. Calls under way end when redis is
 * closed. */
void queue_stop(struct queue *queue);
/* Call it after redis was closed, when every callback has run. NULL is fine. */
void queue_free(struct queue *queue);

/* ---- buyers ---- */

enum queue_state {
    QUEUE_GONE, /* has no place in this queue */
    QUEUE_WAITING,
    QUEUE_PARKED, /* waits, but was skipped: sent no heartbeat when their turn came */
    QUEUE_UNCLAIMED, /* let an offer run out, or was idle: keeps the place, and comes back by a claim */
    QUEUE_OFFERED, /* inside, but has not claimed the turn yet */
    QUEUE_ACTIVE,  /* inside, and has claimed */
    QUEUE_CLOSED,  /* not inside, or not any more (closeGraceMs), and the event is closed */
    QUEUE_REFUSED, /* has no place: their network has had as many as placesPerNetwork allows */
    QUEUE_BANNED   /* staff have shut them out: nothing that they have had or send counts */
};

/* The state of the event at the time of the call; every reply has it. */
struct queue_numbers {
    enum event_status status; /* the status in force: opening and closing times are applied */
    bool restoring;
    uint64_t version, epoch;
    uint64_t queue_size, active, threshold;
    int64_t now_ms; /* time of the call by Redis' clock, since 1970 */
};

struct queue_place {
    enum queue_state state;
    /* The place of a buyer who waits, was set aside or is inside; 0 for others, and for a waiting one in the answer to
     * a heartbeat. */
    uint64_t number;
    uint64_t position; /* position of a waiting buyer, from 1; 0 for others */
    /* When an active buyer's session began, by their claim, or when an offer was made, ms since 1970; 0 for others.
     * The session (or the offer) ends so long after it as the event's settings say. */
    int64_t since_ms;
    /* Until then a pending payment takes the place of the active buyer's idle and session limits; 0: none is pending */
    int64_t pay_until_ms;
    /* Before that no claim brings an unclaimed buyer back, who let several offers in a row run out; 0: any does */
    int64_t claim_from_ms;
    bool direct; /* this very call admitted the buyer, who did not wait */
};

/* A claim says that the buyer is there: an offer becomes their turn, and who was set aside waits again. */
enum queue_join_mode {
    QUEUE_JOIN,   /* claims, and takes a new place if the buyer has none */
    QUEUE_CLAIM,  /* claims, and never takes a new place */
    QUEUE_RESUME, /* does neither */
    QUEUE_DIRECT  /* claims, and takes a new place only if it is inside at once */
};

/* What the buyer has sent as proof. The caller has verified that it belongs to this event and buyer. Zero: nothing
 * was sent. */
struct queue_proof {
    uint64_t ticket_place, ticket_epoch;
    uint64_t pass_place, pass_epoch;
    int64_t pass_since_ms; /* iat of the pass, if it has not expired; ms since 1970 */
    bool known; /* this pod has seen the buyer in the queue: they are not refused as a newcomer */
};

struct queue_buyer {
    const char *event_id, *id;
    const struct queue_proof *proof; /* NULL: the buyer has sent none */
    /* The network that a new place counts for (client_ip_network); NULL: it counts for none. Only joins read it. */
    const char *network;
};

/* place and numbers are NULL unless status is ST_OK. */
typedef void (*queue_join_cb)(void *arg, enum status status, const struct queue_place *place,
                              const struct queue_numbers *numbers);
/* Joins or resumes, and tells where the buyer stands then. Counts as a heartbeat. Joins are batched: see queue.c.
 * ST_FULL: those before this one wait too long for Redis (net/overload.h), so newcomers are refused, and at worst those who
 * have a place; never who claims or sends a pass. */
MUST_CHECK enum status queue_join(struct queue *queue, enum queue_join_mode mode,
                                  const struct queue_buyer *buyer, queue_join_cb cb, void *arg);
/* After how many seconds somebody who is refused for load may come again: see comeback_refused. */
unsigned queue_retry_s(struct queue *queue, uint32_t random);
/* Claims, and tells where the buyer stands; QUEUE_ACTIVE: inside. It takes no proof, so it restores no place that
 * Redis has lost. */
MUST_CHECK enum status queue_is_inside(struct queue *queue, const char *event_id,
                                       const char *buyer_id, queue_join_cb cb, void *arg);

struct queue_payment {
    int64_t deadline_ms; /* ms since 1970; 0: no payment is pending any more */
    bool claims;         /* the buyer asked for this; false: the provider did */
};
/* A payment of a buyer inside begins, or is over. Until its deadline their admission ends neither for idleness nor at
 * the session limit. The callback gets QUEUE_ACTIVE, or QUEUE_GONE: not inside by a claimed turn, or QUEUE_CLOSED: the turns
 * of the closed event are over; then nothing was changed.
 * An event that Redis does not know is not loaded for this. */
MUST_CHECK enum status queue_pay(struct queue *queue, const char *event_id, const char *buyer_id,
                                 const struct queue_payment *payment, queue_join_cb cb, void *arg);

enum queue_leave_reason {
    QUEUE_LEFT, /* the buyer gives up whatever place they have */
    /* they have bought: ends the admission that `proof` names, but not a later one. An event that
     * Redis does not know has no slot to free, so it is not loaded for this. */
    QUEUE_COMPLETED,
    QUEUE_RELEASED /* staff end their turn: only what they have inside; a waiting buyer keeps the place */
};
/* Leaves the queue; idempotent. The callback gets the place that the buyer had (QUEUE_GONE: none). */
MUST_CHECK enum status queue_leave(struct queue *queue, const struct queue_buyer *buyer,
                                   enum queue_leave_reason reason, queue_join_cb cb, void *arg);

/* A token that hands a buyer over to a shop on another host (auth/handoff.h), verified by the caller. */
struct queue_handoff {
    const char *event_id, *buyer_id, *jti;
    uint64_t place, epoch; /* of the admission that it was made for */
    int64_t expires_ms;    /* ms since 1970 */
};
struct queue_redeemed {
    struct queue_place place; /* QUEUE_ACTIVE; QUEUE_GONE: that admission is over */
    bool used;                /* the token was redeemed before */
    struct queue_numbers numbers;
};
/* redeemed is NULL unless status is ST_OK. */
typedef void (*queue_redeem_cb)(void *arg, enum status status,
                                const struct queue_redeemed *redeemed);
/* Redeems a token, once: it is neither a heartbeat nor a claim. ST_NOT_FOUND in the callback: Redis does not know the event. */
MUST_CHECK enum status queue_redeem(struct queue *queue, const struct queue_handoff *handoff,
                                    queue_redeem_cb cb, void *arg);

struct queue_found {
    const char *buyer; /* "": nobody has this place */
    struct queue_place place;
};
/* found is NULL unless status is ST_OK. */
typedef void (*queue_find_cb)(void *arg, enum status status, const struct queue_found *found);
/* Looks a buyer up, or with buyer_id "" the one who has this place: neither a heartbeat nor a claim. Staff may ask for an
 * event that Redis does not know: it is not loaded for this, and the status is ST_NOT_FOUND. */
MUST_CHECK enum status queue_find(struct queue *queue, const char *event_id, const char *buyer_id,
                                  uint64_t place, queue_find_cb cb, void *arg);

/* Notes a heartbeat. It is sent with the batch of the next second, or dropped if Redis is away then. When a batch is
 * answered, the callback set by queue_on_heartbeat runs for each of its buyers. A queue has one such callback. */
typedef void (*queue_heartbeat_cb)(void *arg, const char *event_id, const char *buyer_id,
                                   const struct queue_place *place,
                                   const struct queue_numbers *numbers);
void queue_heartbeat(struct queue *queue, const char *event_id, const char *buyer_id);
void queue_on_heartbeat(struct queue *queue, queue_heartbeat_cb cb, void *arg);

/* Notes a place that this worker has seen (in a ticket, a join, the index). The highest one goes with each join and
 * promote, so that the script notices a failover in which Redis lost writes. */
void queue_note_place(struct queue *queue, const char *event_id, uint64_t place);

/* ---- bans ---- */

#define QUEUE_BANS_MAX 1000 /* of one event: bans_most in sql/functions/ban.sql */

struct queue_ban {
    const char *buyer;
    uint64_t place, epoch; /* what PostgreSQL has kept for them; 0: nothing */
};
/* Shuts a buyer out: turn and place end at once, and the place is kept for them. The callback gets what they had, and the
 * place that is kept; number 0: none. May be repeated. */
MUST_CHECK enum status queue_ban(struct queue *queue, const char *event_id,
                                 const struct queue_ban *ban, queue_join_cb cb, void *arg);
/* Takes that back: they are parked at the place that was kept, if it still counts; number 0: there is none. */
MUST_CHECK enum status queue_unban(struct queue *queue, const char *event_id,
                                   const struct queue_ban *ban, queue_join_cb cb, void *arg);

/* ---- events that Redis does not know ---- */

typedef void (*queue_loaded_cb)(void *arg, enum status status);
/* Loads an event from PostgreSQL into Redis. ST_OK: `cb` runs exactly once, later; otherwise it never runs. */
typedef enum status (*queue_loader)(void *arg, const char *event_id, queue_loaded_cb cb,
                                    void *cb_arg);
/* Sets the loader; the catalog does this. Single-flight: calls that need the same event at the same time share one
 * load. */
void queue_set_loader(struct queue *queue, queue_loader loader, void *arg);
/* Loads the event, for callers that have found no live copy themselves. */
MUST_CHECK enum status queue_ensure_known(struct queue *queue, const char *event_id,
                                          queue_loaded_cb cb, void *arg);

/* ---- the live copy ---- */

/* applied: true when something was changed; false when Redis had the same or a newer version, epoch or run already.
 * cb may be NULL. */
typedef void (*queue_done_cb)(void *arg, enum status status, bool applied);
/* Writes all settings of `event`, unless Redis has the same or a newer version. Restores a lost event: see
 * lua/configure.lua. */
MUST_CHECK enum status queue_configure(struct queue *queue, const struct event *event,
                                       queue_done_cb cb, void *arg);
/* Begins `epoch`, which PostgreSQL has already committed: all buyers lose their places and admissions. */
MUST_CHECK enum status queue_clear(struct queue *queue, const char *event_id, uint64_t epoch,
                                   queue_done_cb cb, void *arg);

/* Reads settings and rank index in one round trip. config: without owner and last_place; NULL: there is no live copy.
 * index: the text that lua/index.lua wrote; NULL: there is none. */
typedef void (*queue_live_cb)(void *arg, enum status status, const struct event *config,
                              const char *index, size_t index_len);
MUST_CHECK enum status queue_read_live(struct queue *queue, const char *event_id, queue_live_cb cb,
                                       void *arg);

/* Reads the ids of the open events that Redis remembers, for use when PostgreSQL is away. The callback runs for each
 * id, then once with a NULL id and the status. */
typedef void (*queue_events_cb)(void *arg, enum status status, const char *event_id);
MUST_CHECK enum status queue_read_events(struct queue *queue, queue_events_cb cb, void *arg);
/* Writes a key that belongs to no event, below `lease:`, so that no ACL needs a line for it, and that Redis deletes after a
 * minute. Same callback promise as redis_command. */
MUST_CHECK enum status queue_write_probe(struct queue *queue, redis_cb cb, void *arg);
/* adds the id (open) or removes it */
void queue_note_event(struct queue *queue, const char *event_id, bool open);

/* ---- the lease: calls made under it pass its whole value, and the script compares that ---- */

struct lease_value { /* the whole value of lease:{id}: "fencing token:owner" */
    char text[96];
};
struct queue_lease {
    bool held;                /* the caller has it now */
    struct lease_value value; /* if it is held */
    bool need_consumed;       /* the event is being restored and needs queue_load_consumed */
    /* Is the event open, when did somebody tick last (ms of Redis' clock; 0: never), and how often should they? */
    bool open;
    int64_t ticked_ms, interval_ms;
    uint64_t inside;
};
/* lease is NULL unless status is ST_OK. */
typedef void (*queue_lease_cb)(void *arg, enum status status, const struct queue_lease *lease);
/* Takes or renews the lease. owner: random text that names the caller. */
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
    uint64_t unclaimed, idle_kept; /* slots freed, of buyers who keep their places */
    bool more; /* one call does a bounded amount, and more is due: call again at once */
    /* another process has the lease: nothing was changed, and all other members are 0 */
    bool lease_lost;
    uint64_t seq;       /* the last place that was given */
    uint64_t log_count; /* admissions so far: the highest `n` in the log */
    struct queue_numbers numbers;
    struct admission_limit limit; /* why no more buyers entered */
    const char *places; /* of those admitted, in this order: decimal, with spaces between them */
};
/* tick is NULL unless status is ST_OK. */
typedef void (*queue_tick_cb)(void *arg, enum status status, const struct queue_tick *tick);
enum queue_promote_part {
    QUEUE_PROMOTE_TICK,  /* ends admissions, offers and payments that are over, then admits */
    QUEUE_PROMOTE_CHECK, /* ends offers that ran out, then admits */
    QUEUE_PROMOTE_REFILL /* only admits */
};
struct queue_promotion {
    const struct lease_value *lease; /* borrowed until the call returns */
    /* > 0: admits so many buyers now, whatever the outflow limit says, but never above the threshold; 0: admits as many
     * as the settings allow */
    uint64_t admit;
    enum queue_promote_part part;
};
/* Does one bounded step of a tick, or of what is done between two ticks. */
MUST_CHECK enum status queue_promote(struct queue *queue, const char *event_id,
                                     const struct queue_promotion *promotion, queue_tick_cb cb,
                                     void *arg);

/* The measured admission rate, in buyers per second; it is published with the index. */
struct queue_rate {
    double mean, spread;
    uint64_t ticks; /* number of ticks that were measured */
};
struct queue_published {
    const char *index; /* the text of the rank index, as other pods read it */
    size_t index_len;
    const char *limit;  /* why no more buyers enter: for admission_limit_parse */
    const char *counts; /* for event_counts_parse */
};
/* published is NULL unless status is ST_OK. */
typedef void (*queue_published_cb)(void *arg, enum status status,
                                   const struct queue_published *published);
/* Takes the rank index and publishes it. ST_STALE: another process has the lease. */
MUST_CHECK enum status queue_publish_index(struct queue *queue, const char *event_id,
                                           const struct lease_value *lease,
                                           const struct queue_rate *rate, queue_published_cb cb,
                                           void *arg);

/* ---- consumed places, loaded from PostgreSQL in a restore window ---- */

struct queue_consumed {
    const char *buyer_id;
    uint64_t place; /* consumed; 0: none */
    /* A later place that was left to the buyer when a turn ended for idleness; 0: none. Of this turn: the ms of its
     * session that were used, and when it began (ms since 1970). */
    uint64_t kept, kept_used_ms, kept_since_ms;
};
struct queue_consumed_chunk {
    uint64_t epoch;
    const char *run; /* random text that names this load */
    /* number of the chunk within its load; chunk 0 is empty and sent before PostgreSQL is asked */
    uint64_t number;
    bool last; /* marks the consumed places as loaded */
    const struct queue_consumed *list;
    size_t count; /* at most QUEUE_CALL_MAX, else ST_TOO_LARGE */
};
/* All who are banned, as they were read after ban_seq of the live copy was `seq`. mark: event.bans_mark of the list. */
struct queue_ban_list {
    int64_t seq, mark;
    const struct queue_ban *list;
    size_t count;
};
/* Makes exactly these the banned buyers, unless somebody was banned or not any more since then. applied: something was
 * changed. The list is copied. */
MUST_CHECK enum status queue_sync_bans(struct queue *queue, const char *event_id,
                                       const struct queue_ban_list *bans, queue_done_cb cb,
                                       void *arg);
/* applied false: another epoch is in force, or Redis has lost the earlier chunks of this run, and the caller must
 * begin a new one. */
MUST_CHECK enum status queue_load_consumed(struct queue *queue, const char *event_id,
                                           const struct queue_consumed_chunk *chunk,
                                           queue_done_cb cb, void *arg);

/* ---- the admission log ---- */

/* docs/redis-keys.md says what each kind means. */
enum log_kind {
    LOG_KIND_DIRECT,
    LOG_KIND_OFFERED,
    LOG_KIND_RESTORED,
    LOG_KIND_CLAIMED,
    LOG_KIND_KEPT,     /* unclaimed, idle_kept, banned: the admission ended, the place is kept */
    LOG_KIND_DEPARTED, /* left, idle, timeout, completed, withdrawn, cleared: the place is consumed */
    LOG_KIND_NOTED     /* parked, returned; whatever this build does not know */
};
struct log_entry {
    char id[48]; /* id in the stream */
    enum log_kind kind;
    const char *kind_name;
    const char *buyer;
    uint64_t place, epoch;
    int64_t at_ms;
    /* buyers inside after this entry; the threshold that it was decided by */
    uint64_t inside, threshold;
    /* the number of the admission that the entry concerns; if it concerns none, the number of admissions so far */
    uint64_t n;
    bool active_now; /* the buyer is still inside, through this admission */
};
struct queue_log_range {
    const char *after; /* reads the entries behind this stream id; "0" or "": from the start */
    size_t limit;      /* most entries to read; never more than QUEUE_CALL_MAX */
    /* `after` is the cursor of the log's consumer, which has consumed everything up to it. If the answer has entries
     * at or below the cursor, Redis has lost its last writes and wrote these entries afterwards: the cursor must be
     * moved back below them. */
    bool is_cursor;
};
typedef void (*queue_log_cb)(void *arg, enum status status, const struct log_entry *entries,
                             size_t count);
MUST_CHECK enum status queue_read_log(struct queue *queue, const char *event_id,
                                      const struct queue_log_range *range, queue_log_cb cb,
                                      void *arg);

struct queue_free_seats {
    int64_t count;
    uint64_t admitted;       /* it was counted after the admission with this `n` in the log */
    const char *consumed_id; /* id of the last log entry that was consumed */
};
/* Writes free:{id}; the log's consumer calls it after its commit. Entries up to consumed_id may be trimmed from the
 * log. An older value never replaces a newer one. */
MUST_CHECK enum status queue_write_free(struct queue *queue, const char *event_id,
                                        const struct queue_free_seats *seats, queue_done_cb cb,
                                        void *arg);

/* consumed_id: the last entry of the present log of which Redis was told that it is consumed; "0-0": none. */
typedef void (*queue_consumed_id_cb)(void *arg, enum status status, const char *consumed_id);
MUST_CHECK enum status queue_read_consumed_id(struct queue *queue, const char *event_id,
                                              queue_consumed_id_cb cb, void *arg);

/* ---- counters ---- */

struct queue_stat {
    const char *name;
    int64_t value;
    /* the value as text; an entry of one minute has several numbers (lua/index.lua) */
    const char *text;
};
typedef void (*queue_stats_cb)(void *arg, enum status status, const struct queue_stat *list,
                               size_t count);
MUST_CHECK enum status queue_read_stats(struct queue *queue, const char *event_id,
                                        queue_stats_cb cb, void *arg);

#define QUEUE_NETWORKS_MAX 10

struct queue_network {
    const char *name; /* borrowed, not terminated */
    size_t len;
    uint64_t places, refused;
};
/* The networks with the most new places, the busiest first: at most QUEUE_NETWORKS_MAX. */
typedef void (*queue_networks_cb)(void *arg, enum status status, const struct queue_network *list,
                                  size_t count);
MUST_CHECK enum status queue_read_networks(struct queue *queue, const char *event_id,
                                           queue_networks_cb cb, void *arg);

/* ---- the shop's health: see lua/feedback.lua ---- */

struct queue_feedback {
    struct feedback_health health; /* the last report */
    struct feedback state;
    int64_t most; /* the threshold that base and surge give */
    struct queue_numbers numbers;
};
/* feedback is NULL unless status is ST_OK. */
typedef void (*queue_feedback_cb)(void *arg, enum status status,
                                  const struct queue_feedback *feedback);
/* Keeps a report for the lease holder; its at_ms is not used: Redis' clock says when it came. */
MUST_CHECK enum status queue_report_health(struct queue *queue, const char *event_id,
                                           const struct feedback_health *health,
                                           queue_feedback_cb cb, void *arg);
MUST_CHECK enum status queue_read_feedback(struct queue *queue, const char *event_id,
                                           queue_feedback_cb cb, void *arg);
/* Puts a limit in force. ST_STALE: another process has the lease. */
MUST_CHECK enum status queue_write_feedback(struct queue *queue, const char *event_id,
                                            const struct lease_value *lease,
                                            const struct feedback *feedback, queue_feedback_cb cb,
                                            void *arg);

/* ---- one buyer's data, and the end of an event's keys. An event that Redis does not know is not loaded for this. ---- */

/* outcome: as lua/expire.lua says ("expired", "open", "inside", "leased", "unconsumed"); NULL unless ST_OK. */
typedef void (*queue_expire_cb)(void *arg, enum status status, const char *outcome);
/* Deletes the keys of an event that is over. cursor: the stream id up to which PostgreSQL has the log; sales: also the
 * copies of its sales. */
MUST_CHECK enum status queue_expire(struct queue *queue, const char *event_id, const char *cursor,
                                    bool sales, queue_expire_cb cb, void *arg);

#define QUEUE_PERSONAL_STEP                                                                        \
    200 /* log entries that one call looks at: half a millisecond of Redis */

struct queue_personal_call {
    bool erase; /* false: only reads */
    const char *event, *buyer;
    const char *after;  /* `next` of the call before; "0-0": the first call */
    const char *cursor; /* as for queue_expire */
    const char *places; /* erase: places that the buyer has had, "1 2 3" */
    const char *sales;  /* read: reservations that the buyer has bought, likewise; NULL: none */
    unsigned entries;   /* of the log, to look at; at most QUEUE_PERSONAL_STEP */
};
struct queue_personal {
    const char *state; /* "gone", "waiting", "parked", "offered", "active" or "paying" */
    const char *next;  /* where the next call goes on; "": everything was looked at */
    uint64_t found;    /* keys and log entries that name (erase: named) the buyer */
    uint64_t waiting;  /* log entries that PostgreSQL does not have yet, and which therefore stay */
    const char *json;  /* of a call that reads: objects {"key", "value"} with commas between them */
    size_t len;
};
/* personal is NULL unless status is ST_OK. ST_NOT_FOUND: Redis has nothing of this event. A buyer whose state is not "gone"
 * is not erased. */
typedef void (*queue_personal_cb)(void *arg, enum status status,
                                  const struct queue_personal *personal);
MUST_CHECK enum status queue_personal(struct queue *queue, const struct queue_personal_call *call,
                                      queue_personal_cb cb, void *arg);

/* ---- the cached seat map: see lua/seats.lua ---- */

struct queue_seats {
    bool cached;
    uint64_t version;
    int64_t age_ms;  /* time since the map was last confirmed as current */
    const char *map; /* "": the caller's version is not older */
    size_t len;
};
typedef void (*queue_seats_cb)(void *arg, enum status status, const struct queue_seats *seats);
/* Reads the cached map. version: of the map that the caller has; -1: it has none. */
MUST_CHECK enum status queue_read_seats(struct queue *queue, const char *event_id, int64_t version,
                                        queue_seats_cb cb, void *arg);
/* Stores a map, unless Redis has a newer one, and marks this version as current. No callback. */
MUST_CHECK enum status queue_put_seats(struct queue *queue, const char *event_id, uint64_t version,
                                       const char *map, size_t len);
MUST_CHECK enum status queue_confirm_seats(struct queue *queue, const char *event_id,
                                           uint64_t version);

/* ---- the copies of sales: see lua/sales.lua ---- */

#define QUEUE_SALES_MAX 100 /* of one queue_put_sales */

struct queue_sale {
    const char *id; /* of the reservation */
    uint64_t version;
    const char *text; /* JSON, as sql/functions/sale.sql makes it */
    size_t len;
};
/* Stores the copies, each unless Redis has it in this version or a newer one. ST_TOO_LARGE: more than QUEUE_SALES_MAX. */
MUST_CHECK enum status queue_put_sales(struct queue *queue, const char *event_id,
                                       const struct queue_sale *list, size_t count,
                                       queue_done_cb cb, void *arg);
/* `next` is the cursor to go on with, "0": that was the end, and NULL unless status is ST_OK. */
typedef void (*queue_sales_cb)(void *arg, enum status status, const struct queue_sale *list,
                               size_t count, const char *next);
/* Reads a part of the copies, about a hundred, from `cursor`; "0" begins. A sale may come twice. */
MUST_CHECK enum status queue_read_sales(struct queue *queue, const char *event_id,
                                        const char *cursor, queue_sales_cb cb, void *arg);

/* The name of the shard of a Redis Cluster that has this event, borrowed until the loop's next turn; NULL: Redis is a single
 * server, or the shard is not known. */
const char *queue_shard(const struct queue *queue, const char *event_id);

/* ---- channel messages ---- */
/* Messages between pods, on one channel; in a cluster, most are on one of the event's shard. They are hints: the state in
 * Redis is the truth. docs/redis-keys.md lists the kinds and their payloads. */

/* The subscription with which events are followed; borrowed. NULL, as at first: none is. */
void queue_set_sub(struct queue *queue, struct redis_sub *sub);
/* From now on the messages of this event are received, where they have a channel of their own. Each call must be followed by
 * one of queue_unfollow. */
void queue_follow(struct queue *queue, const char *event_id);
void queue_unfollow(struct queue *queue, const char *event_id);

/* One message; the payload (a JSON object, not checked) is borrowed from the received text. */
struct queue_message {
    char event[EVENT_ID_MAX + 1];
    char kind[32];
    const char *payload;
    size_t len;
};
/* Splits a received message without parsing its payload. ST_INVALID: it does not have the form that queue_publish
 * writes. */
MUST_CHECK enum status queue_message_read(const char *data, size_t len,
                                          struct queue_message *ret_message);
/* Publishes a message to all pods that follow the event, this one too; some kinds to all pods. `payload` is a JSON object, borrowed for the call. */
MUST_CHECK enum status queue_publish(struct queue *queue, const char *event_id, const char *kind,
                                     const char *payload, size_t len);
/* Publishes a message of a kind whose payload is the event's version and status. */
MUST_CHECK enum status queue_publish_version(struct queue *queue, const char *kind,
                                             const struct event *event);

#endif
