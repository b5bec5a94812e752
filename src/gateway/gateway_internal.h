/* SPDX-License-Identifier: MIT */
/*
 * gateway_internal: what the gateway's own files share; nobody else includes it.
 *
 *   gateway.c        life of the gateway and of its sockets; client and channel messages by table
 *   gateway_audience.c   who is here: audiences (one per event), subscribers (one per socket), buyer -> subscribers
 *   gateway_join.c   who he is and where he stands: join-queue, resuming, leaving, `seen` answers
 *   gateway_push.c   what he is told: positions, entry, news; fan-out in steps
 */
#ifndef TIKETI_GATEWAY_INTERNAL_H
#define TIKETI_GATEWAY_INTERNAL_H

#include "base/buf.h"
#include "base/json.h"
#include "base/table.h"
#include "gateway/gateway.h"
#include "net/ws.h"
#include "queue/index.h"
#include "selling/seat_delta.h"

#include <stdbool.h>
#include <stdint.h>

#define GATEWAY_TICK_MS 100

enum subscriber_state {
    SUBSCRIBER_DETACHED,   /* in no list: not yet, or no longer (said goodbye) */
    SUBSCRIBER_UNASSIGNED, /* has not said what he wants; in no audience */
    SUBSCRIBER_IDLE,       /* in a audience, without a place: a watcher, or one who left */
    SUBSCRIBER_PENDING,    /* wants his place; Redis has not answered yet */
    SUBSCRIBER_WAITING,
    SUBSCRIBER_ACTIVE
};

enum subscriber_flag {
    FLAG_ANSWER_DUE = 1,        /* sent join-queue: answer even when nothing changed */
    FLAG_WATCHES_SEATS = 2,     /* wants seats-changed */
    FLAG_SEEN_ACTIVE = 4,       /* one `seen` answer said active; the reservation may still come */
    FLAG_ENTRY_SENT = 8,        /* for the admission in `place` */
    FLAG_RESERVATION_SENT = 16, /* with its reservation */
    FLAG_ESTIMATE_SENT = 32,
    FLAG_GUEST = 64,
    FLAG_RESTORED = 128, /* gave his place back in the restore window that is open now */
    FLAG_WAITING_UNCONFIRMED =
        256 /* one answer said that he waits again; it may be older than his entry */
};

struct gateway;
struct audience;
struct subscriber;

/* A question to Redis about a subscriber. */
struct gateway_call {
    struct gateway *gateway;
    struct subscriber *subscriber; /* NULL: he has gone, or asked something else */
};

/* One socket: the user bytes of its ws_conn. Small: there are 100,000 of them. */
struct subscriber {
    struct table_node node; /* first; in audience->buyers while he has a buyer and a audience */
    struct ws_conn *conn;
    struct audience *audience;      /* NULL: unassigned or nowhere */
    struct subscriber *prev, *next; /* of the audience, or of the gateway's unassigned ones */
    struct gateway_call *call;      /* the one question under way */
    char *buyer;                    /* own copy; NULL: unknown */
    uint64_t place;           /* waiting or inside with; of the idle: the last one, consumed */
    int64_t since_ms;         /* time of admission; 0: none in this epoch */
    uint32_t epoch;           /* of place */
    uint32_t lowest;          /* lowest position shown; 0: none */
    uint32_t sent_position;   /* position last sent on this socket; 0: none */
    uint32_t sent_ms;         /* unassigned: when he came; else when `sent_position` was sent */
    uint32_t allowance_ms;    /* messages: time at which his bucket is full again */
    uint32_t numbers_sent_ms; /* when he was last told the audience's numbers */
    uint32_t heartbeat_ms;    /* when Redis was last told of a sign of life */
    uint16_t numbers;         /* which: audience->numbers */
    uint16_t flags;
    uint8_t state, strikes;
    uint8_t generation; /* gateway->generation his place was learned in */
};

/* A text on its way to everyone of a audience it concerns. */
enum broadcast_to { TO_ALL, TO_WATCHERS };
struct broadcast {
    struct broadcast *next;
    enum broadcast_to to;
    size_t len;
    char text[];
};
struct broadcast_list {
    struct broadcast *head, **tail;
};

/* One event with at least one socket here. */
struct audience {
    struct table_node node; /* first; in gateway->audience_table */
    struct gateway *gateway;
    struct audience *prev, *next;
    struct subscriber *subscribers, *subscribers_last; /* newest first */
    struct table buyers;
    size_t watchers;
    int64_t silent_ms; /* of the event */
    uint32_t
        heartbeat_rest_ms; /* after a waiting buyer's heartbeat, no other is told to Redis for so long */

    /* known: Redis and the catalog have the event */
    bool known, loading;
    uint64_t load_ms;

    /* the fan-out under way, and what the next one is to bring */
    struct subscriber *fanout_at;
    bool fanout_running, fanout_positions, due_positions;
    struct broadcast_list fanout_broadcasts, due_broadcasts;
    uint64_t fanout_ms; /* when the last fan-out with positions began */

    /* after an outage everyone is asked for again */
    struct subscriber *resume_at;
    bool resuming;
    uint8_t resumed;    /* generation in which all were; 0: somebody is missing */
    bool resume_missed; /* somebody could not be asked for in this pass */
    uint64_t resume_ms; /* when the last pass began; 0: begin at once */

    /* what the audience was told last */
    int64_t status_version, status_time_ms; /* of the config; by Redis' clock */
    uint64_t queue_size, active, threshold;
    uint16_t numbers;       /* changes with them; 0: none yet */
    struct seat_list seats; /* as the watchers were told; see gateway_seats.c */
    uint64_t seats_version, seats_ms;
    enum event_status status;
    unsigned asked; /* `seen` questions of this second */
    bool status_known, seats_known;

    char id[EVENT_ID_MAX + 1];
};

struct gateway {
    struct gateway_opts opts;
    struct ws_server *ws;
    struct table audience_table;
    struct audience *audiences;
    struct subscriber *unassigned, *unassigned_last; /* oldest first */
    struct loop_timer *tick;
    struct loop_idle *idle;
    bool idling, draining, closed;
    unsigned drain_step; /* sockets closed per tick */
    bool redis_up;
    uint8_t generation;
    unsigned calls; /* callbacks that will still come */
    uint32_t random;
    uint64_t second_ms;
    struct buf text, token, extra; /* scratch */
    struct buf numbers;            /* scratch of a step: a audience's numbers as a message */
    loop_cb close_cb;
    void *close_arg;
};

static inline uint32_t gateway_now(const struct gateway *gateway)
{
    return (uint32_t)loop_now_ms(gateway->opts.loop);
}
static inline void subscriber_unflag(struct subscriber *subscriber, unsigned flags)
{
    subscriber->flags = (uint16_t)(subscriber->flags & ~flags);
}
uint32_t gateway_random(struct gateway *gateway);
/* A callback has come: when the gateway was closed meanwhile, frees it after the last one. */
void gateway_call_ended(struct gateway *gateway);
/* Nonsense: an error, and after ten of them the end. */
void subscriber_strike(struct gateway *gateway, struct subscriber *subscriber, const char *code,
                       const char *message);
/* Last statement about the subscriber. */
void subscriber_close(struct gateway *gateway, struct subscriber *subscriber, uint16_t code,
                      const char *reason);

/* ---- gateway_audience.c ---- */

struct audience *audience_find(struct gateway *gateway, const char *id);
/* Puts the subscriber into the audience of this event (made if need be), out of where he was. */
void subscriber_enter(struct gateway *gateway, struct subscriber *subscriber, const char *id);
/* Out of his audience to the unassigned ones, with their deadline. */
void subscriber_unassign(struct gateway *gateway, struct subscriber *subscriber);
/* Out of every list; forgets the call under way. The audience goes when it was the last one. */
void subscriber_detach(struct gateway *gateway, struct subscriber *subscriber);
void subscriber_set_buyer(struct subscriber *subscriber, const char *buyer);
void subscriber_watch_seats(struct subscriber *subscriber);
/* The subscribers of one buyer: the first, and the next after one. */
struct subscriber *audience_first(const struct audience *audience, const char *buyer);
struct subscriber *audience_next(const struct subscriber *subscriber);
/* Frees the audience if nobody and nothing needs it. */
void audience_release_if_unused(struct gateway *gateway, struct audience *audience);
void broadcasts_init(struct broadcast_list *list);
void broadcasts_free(struct broadcast_list *list);

/* ---- gateway_join.c ---- */

void gateway_join_queue(struct gateway *gateway, struct subscriber *subscriber,
                        const struct json *payload);
void gateway_leave_queue(struct gateway *gateway, struct subscriber *subscriber,
                         const struct json *payload);
void gateway_watch_seats(struct gateway *gateway, struct subscriber *subscriber,
                         const struct json *payload);
/* A sign of life: told to Redis, unless another one just was. */
void subscriber_heartbeat(struct gateway *gateway, struct subscriber *subscriber);
/* Asks Redis again where he stands, bringing back his place if it was lost. */
void subscriber_resume(struct gateway *gateway, struct subscriber *subscriber);
/* Loads audiences, resumes subscribers after an outage: a bounded part of the work. */
void gateway_resume_some(struct gateway *gateway);
/* The event's epoch is over. */
void subscriber_queue_cleared(struct gateway *gateway, struct subscriber *subscriber);

/* ---- gateway_push.c ---- */

void subscriber_send_error(struct gateway *gateway, struct subscriber *subscriber, const char *code,
                           const char *message);
void subscriber_send_ack(struct gateway *gateway, struct subscriber *subscriber);
void subscriber_send_status(struct gateway *gateway, struct subscriber *subscriber,
                            enum event_status status);
/* His position as computed now (0: unknown): sends the lowest ever shown, always. */
void subscriber_send_position(struct gateway *gateway, struct subscriber *subscriber,
                              uint64_t position, uint64_t queue_size);
/* He is in. Tells every socket of the buyer that was not told yet, or not with the reservation
 * (JSON, NULL: none). */
struct admission {
    uint64_t place, epoch;
    int64_t since_ms;
    const char *reservation;
    size_t reservation_len;
};
void audience_admit(struct audience *audience, const char *buyer,
                    const struct admission *admission);
void subscriber_send_draining(struct gateway *gateway, struct subscriber *subscriber);

/* News for everyone of the audience the audience names; `text` is copied. */
void audience_broadcast(struct audience *audience, enum broadcast_to to, const struct buf *text);
/* The status as of this config version and time (Redis' clock, 0: unknown); older news is dropped. */
void audience_set_status(struct audience *audience, enum event_status status, int64_t version,
                         int64_t time_ms);
/* Each tick: a look at the seat map, once a second, where anybody watches. */
void audience_look_at_seats(struct audience *audience);
/* To a new watcher: the version from which he is kept up to date. */
void subscriber_start_seats(struct subscriber *subscriber);
void subscriber_send(struct subscriber *subscriber, const struct buf *text);
void audience_send_message(struct audience *audience, const char *message);
/* New numbers and positions are there: a fan-out when the last one is a second ago. */
void audience_refresh(struct audience *audience);
/* Begins the fan-out that is due, if any. */
void audience_start_fanout(struct audience *audience);
void gateway_fanout_step(void *arg); /* loop_idle: some sockets of each fan-out */

#endif
