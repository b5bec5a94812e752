/* SPDX-License-Identifier: MIT */
/*
 * gateway_internal: what the gateway's own files share; nobody else includes it.
 *
 *   gateway.c        life of the gateway and of its sockets; client and channel messages by table
 *   gateway_room.c   who is here: rooms (one per event), visitors (one per socket), buyer -> visitors
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

#define GATEWAY_PULSE_MS 100

enum visitor_state {
    VISITOR_NOWHERE, /* in no list: not yet, or no longer (said goodbye) */
    VISITOR_FRESH,   /* has not said what he wants; in no room */
    VISITOR_IDLE,    /* in a room, without a place: a watcher, or one who left */
    VISITOR_PENDING, /* wants his place; Redis has not answered yet */
    VISITOR_WAITING,
    VISITOR_ACTIVE
};

enum visitor_flag {
    FLAG_ASKED = 1,             /* sent join-queue: answer even when nothing changed */
    FLAG_WATCH = 2,             /* wants seats-changed */
    FLAG_SEEN_ACTIVE = 4,       /* one `seen` answer said active; the reservation may still come */
    FLAG_TOLD_ENTRY = 8,        /* for the admission in `place` */
    FLAG_TOLD_RESERVATION = 16, /* with its reservation */
    FLAG_TOLD_ESTIMATE = 32,
    FLAG_GUEST = 64,
    FLAG_RESTORED = 128, /* gave his place back in the restore window that is open now */
    FLAG_DOUBTED = 256   /* one answer said that he waits again; it may be older than his entry */
};

struct gateway;
struct room;
struct visitor;

/* A question to Redis about a visitor. */
struct gateway_call {
    struct gateway *gateway;
    struct visitor *visitor; /* NULL: he has gone, or asked something else */
};

/* One socket: the user bytes of its ws_conn. Small: there are 100,000 of them. */
struct visitor {
    struct table_node node; /* first; in room->buyers while he has a buyer and a room */
    struct ws_conn *conn;
    struct room *room;           /* NULL: fresh or nowhere */
    struct visitor *prev, *next; /* of the room, or of the gateway's fresh ones */
    struct gateway_call *call;   /* the one question under way */
    char *buyer;                 /* own copy; NULL: unknown */
    uint64_t place;              /* waiting or inside with; of the idle: the last one, consumed */
    int64_t since_ms;            /* time of admission; 0: none in this epoch */
    uint32_t epoch;              /* of place */
    uint32_t lowest;             /* lowest position shown; 0: none */
    uint32_t pushed;             /* position last sent on this socket; 0: none */
    uint32_t at_ms;              /* fresh: when he came; else when `pushed` was sent */
    uint32_t allowance_ms;       /* messages: time at which his bucket is full again */
    uint32_t numbers_ms;         /* when he was last told the room's numbers */
    uint32_t sign_ms;            /* when Redis was last told of a sign of life */
    uint16_t numbers;            /* which: room->numbers */
    uint16_t flags;
    uint8_t state, strikes;
    uint8_t generation; /* gateway->generation his place was learned in */
};

/* A text on its way to everyone of a room it concerns. */
enum note_audience { NOTE_ALL, NOTE_WATCHERS };
struct note {
    struct note *next;
    enum note_audience audience;
    size_t len;
    char text[];
};
struct note_list {
    struct note *head, **tail;
};

/* One event with at least one socket here. */
struct room {
    struct table_node node; /* first; in gateway->room_table */
    struct gateway *gateway;
    struct room *prev, *next;
    struct visitor *visitors, *visitors_last; /* newest first */
    struct table buyers;
    size_t watchers;

    /* known: Redis and the catalog have the event */
    bool known, loading, load_fresh;
    uint64_t load_ms;

    /* the walk under way, and what the next one is to bring */
    struct visitor *walk_at;
    bool walking, walk_positions, due_positions;
    struct note_list walk_notes, due_notes;
    uint64_t walked_ms; /* when the last walk with positions began */

    /* after an outage everyone is asked for again */
    struct visitor *resume_at;
    bool resuming;
    uint8_t resumed;    /* generation in which all were; 0: somebody is missing */
    bool resume_missed; /* somebody could not be asked for in this pass */
    uint64_t resume_ms; /* when the last pass began; 0: begin at once */

    /* what the room was told last */
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
    struct table room_table;
    struct room *rooms;
    struct visitor *fresh, *fresh_last; /* oldest first */
    struct loop_timer *pulse;
    struct loop_idle *idle;
    bool idling, draining, closed;
    unsigned drain_step;   /* sockets closed per pulse */
    uint32_t sign_rest_ms; /* so long after one, no other sign of who waits is told to Redis */
    bool redis_up;
    uint8_t generation;
    unsigned calls; /* callbacks that will still come */
    uint32_t random;
    uint64_t second_ms;
    struct buf text, token, extra; /* scratch */
    struct buf numbers;            /* scratch of a step: a room's numbers as a message */
    loop_cb close_cb;
    void *close_arg;
};

static inline uint32_t gateway_now(const struct gateway *gateway)
{
    return (uint32_t)loop_now_ms(gateway->opts.loop);
}
static inline void visitor_unflag(struct visitor *visitor, unsigned flags)
{
    visitor->flags = (uint16_t)(visitor->flags & ~flags);
}
uint32_t gateway_random(struct gateway *gateway);
/* A callback has come: when the gateway was closed meanwhile, frees it after the last one. */
void gateway_call_ended(struct gateway *gateway);
/* Nonsense: an error, and after ten of them the end. */
void visitor_strike(struct gateway *gateway, struct visitor *visitor, const char *code,
                    const char *message);
/* Last statement about the visitor. */
void visitor_close(struct gateway *gateway, struct visitor *visitor, uint16_t code,
                   const char *reason);

/* ---- gateway_room.c ---- */

struct room *room_find(struct gateway *gateway, const char *id);
/* Puts the visitor into the room of this event (made if need be), out of where he was. */
void visitor_enter(struct gateway *gateway, struct visitor *visitor, const char *id);
/* Out of his room to the fresh ones, with their deadline. */
void visitor_to_fresh(struct gateway *gateway, struct visitor *visitor);
/* Out of every list; forgets the call under way. The room goes when it was the last one. */
void visitor_detach(struct gateway *gateway, struct visitor *visitor);
void visitor_set_buyer(struct visitor *visitor, const char *buyer);
void visitor_watch(struct visitor *visitor);
/* The visitors of one buyer: the first, and the next after one. */
struct visitor *room_first(const struct room *room, const char *buyer);
struct visitor *room_next(const struct visitor *visitor);
/* Frees the room if nobody and nothing needs it. */
void room_settle(struct gateway *gateway, struct room *room);
void notes_init(struct note_list *list);
void notes_free(struct note_list *list);

/* ---- gateway_join.c ---- */

void gateway_join_queue(struct gateway *gateway, struct visitor *visitor,
                        const struct json *payload);
void gateway_leave_queue(struct gateway *gateway, struct visitor *visitor,
                         const struct json *payload);
void gateway_watch_seats(struct gateway *gateway, struct visitor *visitor,
                         const struct json *payload);
/* A sign of life: told to Redis, unless another one just was. */
void visitor_alive(struct gateway *gateway, struct visitor *visitor);
/* Asks Redis again where he stands, bringing back his place if it was lost. */
void visitor_resume(struct gateway *gateway, struct visitor *visitor);
/* Loads rooms, resumes visitors after an outage: a bounded part of the work. */
void gateway_resume_some(struct gateway *gateway);
/* The event's epoch is over. */
void visitor_cleared(struct gateway *gateway, struct visitor *visitor);

/* ---- gateway_push.c ---- */

void visitor_error(struct gateway *gateway, struct visitor *visitor, const char *code,
                   const char *message);
void visitor_ack(struct gateway *gateway, struct visitor *visitor);
void visitor_status(struct gateway *gateway, struct visitor *visitor, enum event_status status);
/* His position as computed now (0: unknown): sends the lowest ever shown, always. */
void visitor_position(struct gateway *gateway, struct visitor *visitor, uint64_t position,
                      uint64_t queue_size);
/* He is in. Tells every socket of the buyer that was not told yet, or not with the reservation
 * (JSON, NULL: none). */
struct admission {
    uint64_t place, epoch;
    int64_t since_ms;
    const char *reservation;
    size_t reservation_len;
};
void room_admit(struct room *room, const char *buyer, const struct admission *admission);
void visitor_goodbye(struct gateway *gateway, struct visitor *visitor);

/* News for everyone of the room the audience names; `text` is copied. */
void room_note(struct room *room, enum note_audience audience, const struct buf *text);
/* The status as of this config version and time (Redis' clock, 0: unknown); older news is dropped. */
void room_status_news(struct room *room, enum event_status status, int64_t version,
                      int64_t time_ms);
/* Each pulse: a look at the seat map, once a second, where anybody watches. */
void room_seats_look(struct room *room);
/* To a new watcher: the version from which he is kept up to date. */
void visitor_seats_start(struct visitor *visitor);
void visitor_send(struct visitor *visitor, const struct buf *text);
void room_message_news(struct room *room, const char *message);
/* New numbers and positions are there: a walk when the last one is a second ago. */
void room_refresh(struct room *room);
/* Begins the walk that is due, if any. */
void room_walk(struct room *room);
void gateway_step(void *arg); /* loop_idle: some sockets of each walk */

#endif
