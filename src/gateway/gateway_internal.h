/* SPDX-License-Identifier: MIT */
/*
 * gateway_internal: the structures that the gateway's files share.
 *
 *   gateway.c           life of the gateway and its sockets; messages of the channel
 *   gateway_audience.c  audiences (one per event), subscribers (one per socket), buyer -> subscribers
 *   gateway_client.c    messages of a client: their rate, and which function takes which
 *   gateway_socketio.c  the framing of Socket.IO, and the messages that only its clients send
 *   gateway_join.c      identity and place of a subscriber: join-queue, leaving, resuming, heartbeats
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

/* How the messages of a socket are written and read. */
enum framing {
    FRAMING_RAW,    /* {"event", "payload"} */
    FRAMING_ENGINE, /* Engine.IO, whose client has not connected to the namespace: gets no message */
    FRAMING_SOCKETIO, /* 42["event", payload] */
};

/* From SUBSCRIBER_PENDING on the subscriber has a buyer who wants or holds a place. */
enum subscriber_state {
    SUBSCRIBER_DETACHED,   /* in no list: its socket has just opened, or is closing */
    SUBSCRIBER_UNASSIGNED, /* in no audience: has not sent a valid first message yet */
    SUBSCRIBER_IDLE,       /* in an audience, without a place: only watches seats, or has left */
    SUBSCRIBER_PENDING,    /* sent join-queue; Redis has not answered yet */
    SUBSCRIBER_WAITING,
    SUBSCRIBER_ACTIVE
};

enum subscriber_flag {
    FLAG_ANSWER_DUE = 1,    /* sent join-queue: gets an answer even when nothing changed */
    FLAG_WATCHES_SEATS = 2, /* wants seats-changed */
    /* a heartbeat was answered with active, so the entry with its reservation should follow */
    FLAG_ENTRY_AWAITED = 4,
    FLAG_ENTRY_SENT = 8,        /* queue-entry-allowed was sent for the admission in `place` */
    FLAG_RESERVATION_SENT = 16, /* that message had the reservation */
    FLAG_ESTIMATE_SENT = 32,
    FLAG_GUEST = 64,
    FLAG_RESTORED = 128, /* has given its place back to Redis in the current restore window */
    FLAG_WAITING_UNCONFIRMED = 256, /* active, but one answer said waiting, perhaps an old one */
    FLAG_OFFERED = 512,             /* active, but the turn is not claimed yet */
    FLAG_UNCLAIMED = 1024,          /* waiting, but set aside: only a claim brings the buyer back */
    FLAG_CLAIM_DUE = 2048,          /* the client has claimed while a call was under way */
    FLAG_ROOM_DUE = 4096            /* gets room-info as soon as the event is known */
};

struct gateway;
struct audience;
struct subscriber;

/* A script call under way for one subscriber. Freed when its callback runs. */
struct gateway_call {
    struct gateway *gateway;
    struct subscriber *subscriber; /* NULL: it has closed or made a newer call; ignore the answer */
};

/* One socket: the user bytes of its ws_conn. Kept small: a pod has 100,000 of them. Times are the low 32 bits
 * of the loop's clock, in ms. */
struct subscriber {
    struct table_node node; /* must be first; in audience->buyers if buyer and audience are set */
    struct ws_conn *conn;
    struct audience *audience;      /* NULL: unassigned or detached */
    struct subscriber *prev, *next; /* in the list of the audience or in gateway->unassigned */
    struct gateway_call *call;      /* the latest call; NULL: none under way */
    char *buyer;                    /* own copy; NULL: unknown */
    char *return_url;               /* own copy of where the buyer goes next; NULL: not named */
    uint64_t place; /* WAITING, ACTIVE: the place held; IDLE: the last one, which is consumed */
    /* When the session began or, with FLAG_OFFERED, when the offer was made, ms since 1970; 0: not admitted in this
     * epoch. */
    int64_t since_ms;
    uint32_t epoch;         /* epoch of `place` */
    uint32_t lowest;        /* lowest position shown to the buyer; 0: none */
    uint32_t sent_position; /* the position last sent on this socket; 0: none */
    uint32_t sent_wait;     /* the estimate that was sent with it, s; 0: none */
    uint32_t sent_ms; /* when it was sent; UNASSIGNED: when the wait for a first message began */
    uint32_t allowance_ms;    /* when the token bucket of messages is full again; 0: it is full */
    uint32_t numbers_sent_ms; /* when the audience's numbers were last sent */
    uint32_t heartbeat_ms;    /* when the last heartbeat was passed to Redis */
    uint16_t numbers;         /* the value of audience->numbers that was sent last */
    uint16_t flags;           /* bits of enum subscriber_flag */
    uint8_t state;            /* enum subscriber_state */
    uint8_t strikes;          /* invalid messages so far */
    uint8_t generation;       /* gateway->generation of the last answer; 0: Redis must be asked */
    uint8_t framing;          /* enum framing */
};

/* Subscribers in no audience, oldest first. */
struct subscriber_list {
    struct subscriber *first, *last;
};

/* One message to an audience, queued for a fan-out. */
enum broadcast_to { TO_ALL, TO_WATCHERS };
struct broadcast {
    struct broadcast *next;
    enum broadcast_to to;
    size_t len, framed_len;
    char text[]; /* as it is, then in the framing of Socket.IO */
};
struct broadcast_list {
    struct broadcast *head, **tail;
};

/* All sockets of one event on this worker. It exists while there is a socket, or while the event loads. */
struct audience {
    struct table_node node; /* must be first; in gateway->audience_table */
    struct gateway *gateway;
    struct audience *prev, *next;
    struct subscriber *subscribers, *subscribers_last; /* newest first */
    struct table buyers;                               /* buyer -> subscribers, one per tab */
    size_t subscriber_count;
    size_t watchers; /* subscribers with FLAG_WATCHES_SEATS */
    /* A heartbeat of a waiting buyer is passed to Redis only if the last one was so long ago. */
    uint32_t heartbeat_rest_ms;

    bool known;       /* Redis and the catalog have the event */
    bool loading;     /* a catalog_load is under way */
    uint64_t load_ms; /* when the last attempt to load began or ended; 0: load at once */

    /* fanout_: the fan-out under way; due_: what the next fan-out sends */
    struct subscriber *fanout_at; /* the next subscriber to send to */
    bool fanout_running, fanout_positions, due_positions;
    struct broadcast_list fanout_broadcasts, due_broadcasts;
    uint64_t fanout_ms; /* when the last fan-out with positions began */

    /* After an outage Redis is asked for every place, in passes over the list. */
    struct subscriber *resume_at; /* the next subscriber of this pass */
    bool resuming;                /* a pass is under way */
    bool resume_missed;           /* Redis could not be asked for some place in this pass */
    uint8_t resumed;    /* gateway->generation whose pass is complete; 0: another pass is needed */
    uint64_t resume_ms; /* when the last pass began; 0: begin the next one at once */

    /* what is known of the event: later news replaces it */
    int64_t status_version; /* version of the config that `status` comes from */
    int64_t status_time_ms; /* when `status` was read, by Redis' clock; 0: unknown */
    uint64_t queue_size, active, threshold;
    uint16_t numbers; /* goes up when one of these three changes, skips 0; 0: none known yet */
    struct seat_list seats; /* as last sent to the watchers; gateway_seats.c */
    uint64_t seats_version; /* version of the map that `seats` was read from */
    uint64_t seats_ms;      /* when the map was last asked for; 0: never */
    enum event_status status;
    /* extra heartbeats of this second: they ask whether a buyer at the head is inside */
    unsigned asked;
    bool status_known, seats_known;

    char id[EVENT_ID_MAX + 1];
};

enum { ENDPOINT_RAW, ENDPOINT_SOCKETIO, ENDPOINTS };

struct gateway {
    struct gateway_opts opts;
    struct ws_server *ws;
    struct ws_endpoint endpoints[ENDPOINTS];
    char paths[ENDPOINTS][CONFIG_PATH_PREFIX_MAX + 16];
    struct table audience_table; /* event id -> audience */
    struct audience *audiences;
    struct subscriber_list unassigned; /* have 5 s to send a valid first message */
    struct subscriber_list connected;  /* clients of Socket.IO that have connected, and may wait */
    struct loop_timer *tick;
    struct loop_idle *idle; /* calls gateway_fanout_step while some audience has a fan-out */
    bool idling;            /* `idle` is started */
    bool draining;          /* no new sockets; the open ones are closed step by step */
    bool closed;            /* the WebSocket server is closed and freed */
    unsigned drain_step;    /* sockets that each tick of a drain closes */
    bool redis_up;
    uint8_t generation; /* counts connections to Redis and subscriptions of its channel; skips 0 */
    unsigned calls;     /* outstanding callbacks; the gateway is not freed before all have run */
    uint32_t random;    /* state of the jitter's random numbers */
    uint64_t second_ms; /* when the once-a-second work was last done */
    int64_t ping_ms;    /* duration of a round of pings */
    struct buf text, token, extra; /* scratch: a message, a pass or ticket, a reservation */
    struct buf numbers; /* scratch: the queue-updated message of the running fan-out step ... */
    struct buf numbers_framed; /* ... and in the framing of Socket.IO */
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

/* Every callback counted in gateway->calls ends with this. After gateway_close the last one frees the gateway, so the
 * caller must not touch it afterwards. */
void gateway_call_ended(struct gateway *gateway);
/* The client sent an invalid message: sends `error`, and closes the socket at the tenth. */
void subscriber_strike(struct gateway *gateway, struct subscriber *subscriber, const char *code,
                       const char *message);
/* The same without a message. */
void subscriber_count_strike(struct gateway *gateway, struct subscriber *subscriber,
                             const char *reason);
/* Detaches the subscriber and begins the closing handshake; its memory lives until on_close. */
void subscriber_close(struct gateway *gateway, struct subscriber *subscriber, uint16_t code,
                      const char *reason);
/* Decides how often sockets are pinged, and which pongs are passed to Redis as heartbeats. Called when an audience is made,
 * when its event becomes known, and every second. */
void gateway_plan_heartbeats(struct gateway *gateway);

/* ---- gateway_client.c ---- */

/* Takes a token from the bucket of client messages. False: it is empty; that was a strike. */
bool subscriber_may_send(struct gateway *gateway, struct subscriber *subscriber);
/* A message of a raw socket: text[0..len), borrowed. */
void gateway_on_text(struct gateway *gateway, struct subscriber *subscriber, const char *text,
                     size_t len);
/* One message of a client in any framing. `event` NULL: the message was of no such shape. Borrows all. */
void gateway_take_message(struct gateway *gateway, struct subscriber *subscriber, const char *event,
                          const struct json *payload);

/* ---- gateway_socketio.c ---- */

/* A handshake of Engine.IO: sends the open packet. */
void gateway_open_engine(struct gateway *gateway, struct subscriber *subscriber);
/* A packet of a client: text[0..len), borrowed. */
void gateway_on_packet(struct gateway *gateway, struct subscriber *subscriber, const char *text,
                       size_t len);
/* Before a connection is closed for good: a client of Socket.IO is told not to come back by itself. */
void subscriber_disconnect(struct subscriber *subscriber);
/* Answers join-event with room-info, if that is due and the event is known. */
void subscriber_send_room(struct subscriber *subscriber);

/* ---- gateway_audience.c ---- */

struct audience *audience_find(struct gateway *gateway,
                               const char *id); /* NULL: no socket of this event here */
/* Frees the audience when it has no subscriber and is not loading. */
void audience_release_if_unused(struct audience *audience);
/* The first subscriber of a buyer, and the next one of the same buyer; NULL at the end. */
struct subscriber *audience_first_of_buyer(const struct audience *audience, const char *buyer);
struct subscriber *audience_next_of_buyer(const struct subscriber *subscriber);
/* Moves the subscriber into the audience of event `id`, in state IDLE. Creates the audience if there is none. Does
 * nothing when the subscriber is in that audience already. */
void subscriber_enter(struct gateway *gateway, struct subscriber *subscriber, const char *id);
/* Moves the subscriber to the unassigned, where it has 5 s to send a valid message; when it has connected by Socket.IO, to the
 * connected: such a client connects when its page loads, and joins later. */
void subscriber_unassign(struct gateway *gateway, struct subscriber *subscriber);
/* Takes the subscriber out of its list, forgets its place and ignores the answer to its call. Frees the audience if
 * it is empty now. */
void subscriber_detach(struct gateway *gateway, struct subscriber *subscriber);
void subscriber_set_buyer(struct subscriber *subscriber, const char *buyer); /* copies */
void subscriber_watch_seats(struct subscriber *subscriber);
void broadcasts_init(struct broadcast_list *list);
void broadcasts_free(struct broadcast_list *list);

/* ---- gateway_join.c ---- */

/* Returns payload.eventId, borrowed. NULL: it is missing or invalid, and the client was sent an error. */
const char *gateway_read_event_id(struct gateway *gateway, struct subscriber *subscriber,
                                  const struct json *payload);
/* The text of a member, borrowed. "": it is absent or null; NULL: it is not a string. */
const char *gateway_optional_text(const struct json *payload, const char *key);
/* Finds the buyer by the token (NULL: it was no text) or, if that is "", by what the socket has: the handshake's cookie.
 * ret_buyer has BUYER_ID_MAX + 1 bytes. ST_BUSY: the keys of the shop are being fetched; ST_UNAUTHORIZED: neither is
 * valid, and *ret_refusal (static) says why. */
enum status gateway_identify(struct gateway *gateway, const struct subscriber *subscriber,
                             const char *token, char *ret_buyer, bool *ret_guest,
                             const char **ret_refusal);
/* Enters the audience of the event without a place, unless the socket waits for another event: false, and the client was sent
 * an error. */
bool subscriber_look_on(struct gateway *gateway, struct subscriber *subscriber, const char *id);

/* Handlers of client messages; `payload` is borrowed, NULL when absent. */
void gateway_join_queue(struct gateway *gateway, struct subscriber *subscriber,
                        const struct json *payload);
void gateway_leave_queue(struct gateway *gateway, struct subscriber *subscriber,
                         const struct json *payload);
void gateway_watch_seats(struct gateway *gateway, struct subscriber *subscriber,
                         const struct json *payload);
/* The socket is alive: passes a heartbeat to Redis, unless one was passed on within the rest time. */
void subscriber_heartbeat(struct gateway *gateway, struct subscriber *subscriber);
/* The buyer is there: claims an offer, and brings back a buyer who was set aside. Otherwise a heartbeat. */
void subscriber_claim(struct gateway *gateway, struct subscriber *subscriber);
/* Asks Redis where the buyer stands. The question carries the place as proof, so that a Redis that has lost its data
 * restores it. */
void subscriber_resume(struct gateway *gateway, struct subscriber *subscriber);
/* Every tick: loads events that are not known, and asks Redis for up to RESUMED_PER_TICK places. */
void gateway_resume_some(struct gateway *gateway);
/* The queue was cleared: forgets the place of the old epoch and sends queue-cleared. */
void subscriber_queue_cleared(struct gateway *gateway, struct subscriber *subscriber);

/* ---- gateway_push.c ---- */

/* Sends one message. A message that cannot be sent is logged and lost: nothing is returned. */
void subscriber_send(struct subscriber *subscriber, const struct buf *text);
void subscriber_send_error(struct gateway *gateway, struct subscriber *subscriber, const char *code,
                           const char *message);
void subscriber_send_ack(struct gateway *gateway, struct subscriber *subscriber);
void subscriber_send_status(struct subscriber *subscriber, enum event_status status);
void subscriber_send_draining(struct gateway *gateway, struct subscriber *subscriber);
/* Sends the lower of `position` (0: unknown) and the lowest position shown so far. claim_from_ms: as in struct
 * queue_place. */
void subscriber_send_position(struct subscriber *subscriber, uint64_t position,
                              int64_t claim_from_ms, const struct queue_numbers *numbers);

/* The limits of an admission of this event that began at `since_ms`. */
/* Tells a buyer's sockets that staff have shut them out, and closes them. It may free the audience. */
void audience_shut_out(struct audience *audience, const char *buyer);
void subscriber_shut_out(struct gateway *gateway, struct subscriber *subscriber);
struct identity_admission audience_session(const struct audience *audience, int64_t since_ms);

struct admission {
    uint64_t place, epoch;
    int64_t since_ms; /* when the session began; when the offer was made, if it is not claimed */
    bool claimed;
    int64_t pay_until_ms;    /* deadline of a pending payment; 0: none */
    bool reserved;           /* seats are held for the buyer */
    const char *reservation; /* as JSON, borrowed; NULL: none, or too long for a message */
    size_t reservation_len;
};
/* The buyer has an offer, or has claimed it. Each of their sockets gets queue-entry-allowed once, a second time if the
 * reservation comes later, and turn-claimed when an offer that it knows was claimed. Ignored when the buyer has left this
 * place since, when the offer has been claimed or has run out, or when it is of an old epoch. */
void audience_admit(struct audience *audience, const char *buyer,
                    const struct admission *admission);
/* Notes the status, and broadcasts it if it changed. Ignores a status older than the known one: by `version` of the
 * config, then by `time_ms` of Redis' clock (0: unknown). */
void audience_set_status(struct audience *audience, enum event_status status, int64_t version,
                         int64_t time_ms);
/* Broadcasts the organizer's message. */
void audience_send_message(struct audience *audience, const char *message,
                           const struct json *texts);
/* Queues a copy of the message for the next fan-out to these subscribers. */
void audience_broadcast(struct audience *audience, enum broadcast_to to, const struct buf *text);
/* The catalog has read a new rank index or config: the next fan-out sends positions and numbers. */
void audience_refresh(struct audience *audience);
/* Begins a fan-out, unless one is running or nothing is due. */
void audience_start_fanout(struct audience *audience);
void gateway_fanout_step(
    void *arg); /* callback of gateway->idle: sends to the next subscribers of each fan-out */

/* ---- gateway_seats.c ---- */

/* Called every tick; asks for the seat map once a second while anybody watches it. */
void audience_look_at_seats(struct audience *audience);
/* Sends a new watcher the version that the next changes start from, as soon as it is known. */
void subscriber_start_seats(struct subscriber *subscriber);

#endif
