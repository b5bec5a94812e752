/* SPDX-License-Identifier: MIT */
/*
 * gateway_internal: the structures that the gateway's files share.
 *
 *   gateway.c           life of the gateway and its sockets; tables of client and channel messages
 *   gateway_audience.c  audiences (one per event), subscribers (one per socket), buyer -> subscribers
 *   gateway_join.c      identity and place of a subscriber: join-queue, leaving, resuming, `seen` answers
 *   gateway_push.c      messages to subscribers: positions, admissions, broadcasts; the fan-out
 *   gateway_seats.c     changes of the seat map, for subscribers who watch it
 *
 * The names of functions say what they work on: gateway_, audience_, subscriber_.
 */
#ifndef TIKETI_GATEWAY_INTERNAL_H
#define TIKETI_GATEWAY_INTERNAL_H

#include "auth/identity.h"
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

/* From SUBSCRIBER_PENDING on the subscriber has a buyer who wants or holds a place. */
enum subscriber_state {
    SUBSCRIBER_DETACHED,   /* in no list: just connected, or closing */
    SUBSCRIBER_UNASSIGNED, /* no valid first message yet: in no audience */
    SUBSCRIBER_IDLE,       /* in an audience without a place: only watches seats, or has left */
    SUBSCRIBER_PENDING,    /* sent join-queue; Redis has not answered yet */
    SUBSCRIBER_WAITING,
    SUBSCRIBER_ACTIVE
};

enum subscriber_flag {
    FLAG_ANSWER_DUE = 1,        /* sent join-queue: to be answered even when nothing changed */
    FLAG_WATCHES_SEATS = 2,     /* wants seats-changed */
    FLAG_SEEN_ACTIVE = 4,       /* one `seen` answer said active; the reservation may still come */
    FLAG_ENTRY_SENT = 8,        /* queue-entry-allowed was sent for the admission in `place` ... */
    FLAG_RESERVATION_SENT = 16, /* ... and with its reservation */
    FLAG_ESTIMATE_SENT = 32,
    FLAG_GUEST = 64,
    FLAG_RESTORED = 128, /* gave the place back to Redis in the restore window that is open now */
    FLAG_WAITING_UNCONFIRMED = 256 /* active, but one answer said waiting: perhaps an old answer */
};

struct gateway;
struct audience;
struct subscriber;

/* A script call under way for one subscriber. */
struct gateway_call {
    struct gateway *gateway;
    struct subscriber *subscriber; /* NULL: closed, or has a newer call */
};

/* One socket: the user bytes of its ws_conn. Kept small: a pod has 100,000 of them. Times are the low 32 bits
 * of the loop's clock, in ms. */
struct subscriber {
    struct table_node node; /* first; in audience->buyers while buyer and audience are set */
    struct ws_conn *conn;
    struct audience *audience;      /* NULL: unassigned or detached */
    struct subscriber *prev, *next; /* in the list of the audience, or of the unassigned */
    struct gateway_call *call;      /* the latest one; NULL: none under way */
    char *buyer;                    /* own copy; NULL: unknown */
    uint64_t place;         /* of the waiting or the active; of the idle: the last one, consumed */
    int64_t since_ms;       /* time of admission, ms since 1970; 0: none in this epoch */
    uint32_t epoch;         /* of `place` */
    uint32_t lowest;        /* lowest position shown to the buyer; 0: none */
    uint32_t sent_position; /* last sent on this socket; 0: none */
    uint32_t sent_ms;       /* when it was; of the unassigned: when they connected */
    uint32_t allowance_ms;  /* when the bucket of client messages will be full again */
    uint32_t numbers_sent_ms; /* when the audience's numbers were last sent */
    uint32_t heartbeat_ms;    /* when the last heartbeat was passed to Redis */
    uint16_t numbers;         /* the audience->numbers that were sent */
    uint16_t flags;           /* of enum subscriber_flag */
    uint8_t state, strikes;
    uint8_t generation; /* the gateway->generation in which the place was learned; 0: ask again */
};

/* One message on its way to a whole audience. */
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

/* All sockets of one event on this worker. It exists while there is a socket, or while the event loads. */
struct audience {
    struct table_node node; /* first; in gateway->audience_table */
    struct gateway *gateway;
    struct audience *prev, *next;
    struct subscriber *subscribers, *subscribers_last; /* newest first */
    struct table buyers;                               /* buyer -> subscribers, one per tab */
    size_t watchers;                                   /* subscribers with FLAG_WATCHES_SEATS */
    int64_t silent_ms; /* of the event: after so long without a heartbeat a buyer is parked */
    uint32_t heartbeat_rest_ms; /* shortest time between two heartbeats of a waiting buyer */

    /* known: Redis and the catalog have the event */
    bool known, loading;
    uint64_t load_ms; /* last attempt; 0: load at once */

    /* the fan-out under way, and what the next one will bring */
    struct subscriber *fanout_at; /* the next one to send to */
    bool fanout_running, fanout_positions, due_positions;
    struct broadcast_list fanout_broadcasts, due_broadcasts;
    uint64_t fanout_ms; /* when the last fan-out with positions began */

    /* asking Redis again for every place, in passes over the list */
    struct subscriber *resume_at; /* the next one of this pass */
    bool resuming;
    bool resume_missed; /* a place could not be asked for in this pass */
    uint8_t resumed;    /* generation whose pass is complete; 0: another pass is needed */
    uint64_t resume_ms; /* when the last pass began; 0: begin at once */

    /* the last news of the event */
    int64_t status_version, status_time_ms; /* version of the config; time by Redis' clock */
    uint64_t queue_size, active, threshold;
    uint16_t numbers;       /* counts changes of the three; 0: none yet */
    struct seat_list seats; /* as sent to the watchers; gateway_seats.c */
    uint64_t seats_version, seats_ms;
    enum event_status status;
    unsigned asked; /* `seen` questions of this second */
    bool status_known, seats_known;

    char id[EVENT_ID_MAX + 1];
};

struct gateway {
    struct gateway_opts opts;
    struct ws_server *ws;
    struct table audience_table; /* event id -> audience */
    struct audience *audiences;
    struct subscriber *unassigned, *unassigned_last; /* oldest first */
    struct loop_timer *tick;
    struct loop_idle *idle; /* runs while any fan-out does */
    bool idling, draining, closed;
    unsigned drain_step; /* sockets closed per tick */
    bool redis_up;
    uint8_t generation; /* counts (re)connections of Redis and of the channel; never 0 */
    unsigned calls;     /* callbacks that will still come: they keep the gateway's memory */
    uint32_t random;
    uint64_t second_ms;            /* when the work of each second was last done */
    struct buf text, token, extra; /* scratch for messages */
    struct buf numbers;            /* queue-updated of the audience whose fan-out makes a step */
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
static inline void subscriber_forget_place(struct subscriber *subscriber)
{
    subscriber->place = 0;
    subscriber->since_ms = 0;
    subscriber->epoch = subscriber->lowest = subscriber->sent_position = 0;
}

/* ---- gateway.c ---- */

/* A callback counted in gateway->calls has come. After gateway_close the last one frees the gateway: last
 * statement about it. */
void gateway_call_ended(struct gateway *gateway);
/* An invalid message: sends the error; the tenth closes the socket. */
void subscriber_strike(struct gateway *gateway, struct subscriber *subscriber, const char *code,
                       const char *message);
/* Detaches and closes. */
void subscriber_close(struct gateway *gateway, struct subscriber *subscriber, uint16_t code,
                      const char *reason);

/* ---- gateway_audience.c ---- */

struct audience *audience_find(struct gateway *gateway, const char *id); /* NULL: no socket here */
/* Frees the audience when it has no subscriber and is not loading. */
void audience_release_if_unused(struct audience *audience);
/* The first subscriber of a buyer, and the next one of the same buyer; NULL at the end. */
struct subscriber *audience_first_of_buyer(const struct audience *audience, const char *buyer);
struct subscriber *audience_next_of_buyer(const struct subscriber *subscriber);
/* Moves into the audience of this event, which is made when it does not exist; idle. No change when the
 * subscriber is there already. */
void subscriber_enter(struct gateway *gateway, struct subscriber *subscriber, const char *id);
/* Moves to the unassigned, with a new deadline for a valid message. */
void subscriber_unassign(struct gateway *gateway, struct subscriber *subscriber);
/* Takes out of every list and forgets place and call. An audience that becomes empty is freed. */
void subscriber_detach(struct gateway *gateway, struct subscriber *subscriber);
void subscriber_set_buyer(struct subscriber *subscriber, const char *buyer); /* copied */
void subscriber_watch_seats(struct subscriber *subscriber);
void broadcasts_init(struct broadcast_list *list);
void broadcasts_free(struct broadcast_list *list);

/* ---- gateway_join.c ---- */

/* Handlers of client messages; `payload` is borrowed, NULL when absent. */
void gateway_join_queue(struct gateway *gateway, struct subscriber *subscriber,
                        const struct json *payload);
void gateway_leave_queue(struct gateway *gateway, struct subscriber *subscriber,
                         const struct json *payload);
void gateway_watch_seats(struct gateway *gateway, struct subscriber *subscriber,
                         const struct json *payload);
/* The socket is alive: passed to Redis, unless that was done a moment ago. */
void subscriber_heartbeat(struct gateway *gateway, struct subscriber *subscriber);
/* Asks Redis where the buyer stands; a place that Redis has lost is given back to it. */
void subscriber_resume(struct gateway *gateway, struct subscriber *subscriber);
/* Loads events and asks for places that are not known: a bounded part of the work, called every tick. */
void gateway_resume_some(struct gateway *gateway);
/* The queue was cleared: forgets the place of the old epoch and says so. */
void subscriber_queue_cleared(struct gateway *gateway, struct subscriber *subscriber);

/* ---- gateway_push.c ---- */

void subscriber_send(struct subscriber *subscriber, const struct buf *text);
void subscriber_send_error(struct gateway *gateway, struct subscriber *subscriber, const char *code,
                           const char *message);
void subscriber_send_ack(struct gateway *gateway, struct subscriber *subscriber);
void subscriber_send_status(struct subscriber *subscriber, enum event_status status);
void subscriber_send_draining(struct gateway *gateway, struct subscriber *subscriber);
/* Sends the lowest position ever shown, `position` included (0: unknown). */
void subscriber_send_position(struct subscriber *subscriber, uint64_t position,
                              uint64_t queue_size);

/* How long an admission of this event lasts. */
struct identity_admission audience_session(const struct audience *audience, int64_t since_ms);

struct admission {
    uint64_t place, epoch;
    int64_t since_ms;
    const char *reservation; /* JSON; NULL: none */
    size_t reservation_len;
};
/* The buyer is admitted: each of their sockets gets the entry once, and once more when the reservation comes
 * later. An admission that the buyer has left again, or of an old epoch, is ignored. */
void audience_admit(struct audience *audience, const char *buyer,
                    const struct admission *admission);
/* The status as of this config version and time (Redis' clock; 0: unknown); older news is dropped. */
void audience_set_status(struct audience *audience, enum event_status status, int64_t version,
                         int64_t time_ms);
/* The organizer's message to everybody. */
void audience_send_message(struct audience *audience, const char *message);
/* Queues one message for the subscribers `to` names; copied. */
void audience_broadcast(struct audience *audience, enum broadcast_to to, const struct buf *text);
/* There is a new index: positions and numbers are sent with the next fan-out that is due. */
void audience_refresh(struct audience *audience);
/* Begins a fan-out, if there is something to send and none is running. */
void audience_start_fanout(struct audience *audience);
void gateway_fanout_step(void *arg); /* loop_idle: the next subscribers of each fan-out */

/* ---- gateway_seats.c ---- */

/* Every tick: reads the seat map once a second if anybody watches it. */
void audience_look_at_seats(struct audience *audience);
/* Tells a new watcher the version that later changes start from. */
void subscriber_start_seats(struct subscriber *subscriber);

#endif
