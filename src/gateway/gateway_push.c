/* SPDX-License-Identifier: MIT */
/*
 * gateway_push: what the sockets are told: each waiting buyer his own position, the admitted buyer
 * his entry and pass, the room its news.
 *
 * Why this way: a position is computed here from the rank index the pod has anyway, so telling
 * everyone where he stands costs Redis nothing; and it is sent only where it changed enough to be
 * read. A fan-out is a walk of the room in steps of WALK_STEP sockets, one per loop turn, so that
 * joins and entries pass between them; news that comes meanwhile goes with the next walk.
 * Called by: the gateway's other files. Invariants: a shown position never rises; nothing about
 * another buyer is sent; a socket is told of an admission once, and once more when its reservation
 * comes. With Redis gone the index ages, and after 5 s nothing is pushed.
 */
#include "gateway/gateway_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "queue/admission.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WALK_STEP         128
#define WALK_STEP_MIN     4     /* of each room, however many others walk */
#define WALK_PERIOD_MS    950   /* walks with positions: about one a second */
#define QUIET_MAX_MS      15000 /* a position that changed at all is sent after so long */
#define WORTH_SHARE       50    /* a step of so small a share of his position is not told */
#define NEAR_POSITION     1000
#define FAR_NUMBERS_MS    15000
#define ASKED_PER_SECOND  2000 /* `seen` questions of one room */
#define GOODBYE_SPREAD_MS 5000 /* clients come back to other pods over so long */

static void send_text(struct visitor *visitor, const char *text, size_t len)
{
    if (visitor->state == VISITOR_NOWHERE)
        return;
    if (ws_send(visitor->conn, text, len) != ST_OK)
        log_debug("a reader is too slow"); /* ws closes it; on_close follows */
}

static void send_buf(struct visitor *visitor, const struct buf *text)
{
    if (text->failed)
        log_error("a message is too long to be sent", LOG_NUM("bytes", text->len));
    else
        send_text(visitor, buf_str(text), text->len);
}

void visitor_send(struct visitor *visitor, const struct buf *text)
{
    send_buf(visitor, text);
}

static struct buf *begin(struct gateway *gateway, const char *event)
{
    struct buf *text = &gateway->text;
    buf_reset(text);
    buf_add_str(text, "{\"event\":\"");
    buf_add_str(text, event);
    buf_add_str(text, "\",\"payload\":{");
    return text;
}

static void add_member(struct buf *text, const char *key, const char *value)
{
    buf_add_str(text, text->data[text->len - 1] == '{' ? "\"" : ",\"");
    buf_add_str(text, key);
    buf_add_str(text, "\":");
    buf_add_json_str(text, value, strlen(value));
}

/* ---- short answers ---- */

void visitor_error(struct gateway *gateway, struct visitor *visitor, const char *code,
                   const char *message)
{
    struct buf *text = begin(gateway, "error");
    add_member(text, "code", code);
    add_member(text, "message", message);
    buf_add_str(text, "}}");
    send_buf(visitor, text);
}

void visitor_ack(struct gateway *gateway, struct visitor *visitor)
{
    struct buf *text = begin(gateway, "heartbeat-ack");
    buf_add_str(text, "}}");
    send_buf(visitor, text);
}

static void write_status(struct buf *text, const struct room *room, enum event_status status)
{
    add_member(text, "eventId", room->id);
    add_member(text, "status", event_status_name(status));
    buf_add_str(text, "}}");
}

void visitor_status(struct gateway *gateway, struct visitor *visitor, enum event_status status)
{
    struct buf *text = begin(gateway, "event-status-changed");
    write_status(text, visitor->room, status);
    send_buf(visitor, text);
}

void visitor_goodbye(struct gateway *gateway, struct visitor *visitor)
{
    struct buf *text = begin(gateway, "error");
    add_member(text, "code", "draining");
    add_member(text, "message", "This server is about to stop. Connect again: your place is kept.");
    buf_printf(text, ",\"retryMs\":%u}}", 500 + gateway_random(gateway) % GOODBYE_SPREAD_MS);
    send_buf(visitor, text);
}

/* ---- positions ---- */

static struct wait_estimate estimate(const struct room *room, uint64_t position)
{
    const struct rank_index *index = catalog_index(room->gateway->opts.catalog, room->id);
    if (!index || index->status != EVENT_OPEN)
        return (struct wait_estimate){.known = false};
    return admission_wait(index->rate_mean, index->rate_spread, index->rate_ticks, position);
}

static void add_number(struct buf *text, const char *key, uint64_t value)
{
    buf_add_str(text, ",\"");
    buf_add_str(text, key);
    buf_add_str(text, "\":");
    buf_add_uint(text, value);
}

static void write_estimate(struct buf *text, const struct wait_estimate *wait)
{
    if (!wait->known) {
        buf_add_str(text, ",\"estimatedWait\":null,\"estimatedWaitRange\":null");
        return;
    }
    buf_add_str(text, ",\"estimatedWait\":");
    buf_add_int(text, wait->seconds);
    buf_add_str(text, ",\"estimatedWaitRange\":[");
    buf_add_int(text, wait->low);
    buf_add_char(text, ',');
    buf_add_int(text, wait->high);
    buf_add_char(text, ']');
}

/* The ticket carries the lowest position shown, so that a reload shows no higher one. */
static void write_ticket(struct gateway *gateway, struct visitor *visitor, struct buf *text)
{
    struct ticket ticket;
    ticket.place = visitor->place;
    ticket.epoch = visitor->epoch;
    ticket.lowest = visitor->lowest;
    memcpy(ticket.event, visitor->room->id, strlen(visitor->room->id) + 1);
    memcpy(ticket.buyer, visitor->buyer, strlen(visitor->buyer) + 1);
    buf_reset(&gateway->token);
    if (ticket_sign(gateway->opts.keys, &ticket, &gateway->token) == ST_OK)
        add_member(text, "ticket", buf_str(&gateway->token));
}

static void send_position(struct gateway *gateway, struct visitor *visitor, uint64_t queue_size,
                          const struct wait_estimate *wait)
{
    struct buf *text = begin(gateway, "queue-position");
    add_member(text, "eventId", visitor->room->id);
    add_number(text, "position", visitor->lowest);
    write_estimate(text, wait);
    add_number(text, "queueSize", queue_size > visitor->lowest ? queue_size : visitor->lowest);
    write_ticket(gateway, visitor, text);
    buf_add_str(text, "}}");
    visitor->pushed = visitor->lowest;
    visitor->at_ms = gateway_now(gateway);
    if (wait->known)
        visitor->flags |= FLAG_TOLD_ESTIMATE;
    send_buf(visitor, text);
}

/* Takes a computed position (0: unknown) into the lowest one shown. */
static void lower(struct visitor *visitor, uint64_t position)
{
    if (position > UINT32_MAX)
        position = UINT32_MAX;
    if (position && (!visitor->lowest || position < visitor->lowest))
        visitor->lowest = (uint32_t)position;
}

void visitor_position(struct gateway *gateway, struct visitor *visitor, uint64_t position,
                      uint64_t queue_size)
{
    lower(visitor, position);
    if (!visitor->lowest)
        visitor->lowest = 1;
    struct wait_estimate wait = estimate(visitor->room, visitor->lowest);
    send_position(gateway, visitor, queue_size, &wait);
}

/* What a walk is to know of the event; borrowed for this turn of the loop. */
struct view {
    const struct rank_index *index; /* NULL: none, or too old */
    uint64_t epoch;
};

static struct view view_of(const struct room *room)
{
    struct catalog *catalog = room->gateway->opts.catalog;
    const struct event *event = catalog_event(catalog, room->id);
    struct view view = {.index = catalog_index(catalog, room->id)};
    if (event)
        view.epoch = (uint64_t)event->epoch;
    if (view.index && view.index->epoch > view.epoch)
        view.epoch = view.index->epoch;
    return view;
}

/* Near the head every step counts; at position 50,000 only thousands do: nobody reads more of it, and
 * 100,000 sockets told twice as often cost twice as much. */
static bool worth_sending(const struct visitor *visitor, uint32_t now,
                          const struct wait_estimate *wait)
{
    if (!visitor->pushed || (wait->known && !(visitor->flags & FLAG_TOLD_ESTIMATE)))
        return true;
    uint32_t moved = visitor->pushed - visitor->lowest;
    if (!moved)
        return false;
    return moved >= visitor->pushed / WORTH_SHARE || now - visitor->at_ms > QUIET_MAX_MS;
}

/* His place is at or before the head: is he inside by now? Redis knows. */
static void ask(struct room *room, const struct visitor *visitor)
{
    if (room->asked >= ASKED_PER_SECOND)
        return;
    room->asked++;
    queue_seen(room->gateway->opts.queue, room->id, visitor->buyer);
}

static void refresh_position(struct room *room, struct visitor *visitor,
                             const struct rank_index *index)
{
    uint64_t position = 0;
    switch (index_position(index, visitor->place, &position)) {
    case INDEX_AHEAD:
        ask(room, visitor);
        if (!index->count || index->samples[0].place != visitor->place)
            return;
        break; /* the head itself: first, as of the index */
    case INDEX_BEYOND:
        return;
    default:
        break;
    }
    lower(visitor, position);
    struct wait_estimate wait = {.known = false};
    if (index->status == EVENT_OPEN)
        wait = admission_wait(index->rate_mean, index->rate_spread, index->rate_ticks,
                              visitor->lowest);
    if (worth_sending(visitor, gateway_now(room->gateway), &wait))
        send_position(room->gateway, visitor, index->queue_size, &wait);
}

/* Redis has lost what it knew, and this socket can give his place back. Once is enough, but for one
 * who was inside: his pass counts only when the consumed places are known again. */
static void restore(struct room *room, struct visitor *visitor)
{
    bool returned = visitor->flags & FLAG_RESTORED;
    if (visitor->state == VISITOR_WAITING && visitor->since_ms)
        returned = false;
    visitor->flags |= FLAG_RESTORED;
    if (!returned)
        visitor_resume(room->gateway, visitor);
}

static void refresh(struct room *room, struct visitor *visitor, const struct view *view)
{
    if (visitor->state < VISITOR_PENDING)
        return;
    if (visitor->epoch && visitor->epoch < view->epoch) {
        visitor_cleared(room->gateway, visitor);
        return;
    }
    if (!view->index || view->index->epoch != visitor->epoch)
        return;
    if (view->index->restoring) {
        restore(room, visitor);
        return;
    }
    visitor_unflag(visitor, FLAG_RESTORED);
    if (visitor->state == VISITOR_WAITING)
        refresh_position(room, visitor, view->index);
}

/* ---- entry ---- */

#define ENTRY_MESSAGE "It is your turn: you may enter now."

static enum status write_pass(struct room *room, const char *buyer,
                              const struct admission *admission, struct buf *text)
{
    struct gateway *gateway = room->gateway;
    const struct event *event = catalog_event(gateway->opts.catalog, room->id);
    int64_t expires_ms = clock_wall_ms() + gateway->opts.config->pass_ttl_ms;
    if (event && event->session_limit_ms > 0 &&
        admission->since_ms + event->session_limit_ms < expires_ms)
        expires_ms = admission->since_ms + event->session_limit_ms;
    struct pass pass = {.place = admission->place,
                        .epoch = admission->epoch,
                        .iat_s = admission->since_ms / 1000,
                        .exp_s = expires_ms / 1000};
    (void)snprintf(pass.event, sizeof(pass.event), "%s", room->id);
    (void)snprintf(pass.buyer, sizeof(pass.buyer), "%s", buyer);
    buf_reset(&gateway->token);
    enum status st = pass_sign(gateway->opts.keys, &pass, &gateway->token);
    if (st != ST_OK)
        return st;
    char until[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(pass.exp_s * 1000, until);
    add_member(text, "pass", buf_str(&gateway->token));
    add_member(text, "passExpiresAt", until);
    return ST_OK;
}

static enum status write_entry(struct room *room, const char *buyer,
                               const struct admission *admission)
{
    static const char member[] = ",\"reservation\":", end[] = "}}";
    struct buf *text = begin(room->gateway, "queue-entry-allowed");
    add_member(text, "eventId", room->id);
    add_member(text, "message", ENTRY_MESSAGE);
    enum status st = write_pass(room, buyer, admission, text);
    const size_t len = text->len + strlen(member) + admission->reservation_len + strlen(end);
    if (admission->reservation && len <= WS_SEND_QUEUE_MAX) { /* else he fetches it */
        buf_add_str(text, member);
        buf_add(text, admission->reservation, admission->reservation_len);
    }
    buf_add_str(text, end);
    return st;
}

/* Is this admission news to the visitor? Brings him up to it. */
static bool take_admission(struct visitor *visitor, const struct admission *admission)
{
    bool same = visitor->epoch == admission->epoch && visitor->place == admission->place;
    if (visitor->epoch > admission->epoch)
        return false;
    if (visitor->state == VISITOR_IDLE && visitor->epoch == admission->epoch &&
        visitor->place >= admission->place)
        return false; /* he has left it meanwhile */
    if (visitor->state != VISITOR_ACTIVE || !same)
        visitor_unflag(visitor, FLAG_TOLD_ENTRY | FLAG_TOLD_RESERVATION);
    visitor->state = VISITOR_ACTIVE;
    visitor->place = admission->place;
    visitor->epoch = (uint32_t)admission->epoch;
    visitor->since_ms = admission->since_ms;
    unsigned wanted = FLAG_TOLD_ENTRY | (admission->reservation ? FLAG_TOLD_RESERVATION : 0);
    if ((visitor->flags & wanted) == wanted && !(visitor->flags & FLAG_ASKED))
        return false;
    visitor->flags |= (uint16_t)wanted;
    visitor_unflag(visitor, FLAG_SEEN_ACTIVE | FLAG_ASKED);
    return true;
}

void room_admit(struct room *room, const char *buyer, const struct admission *admission)
{
    enum status written = ST_NOT_FOUND; /* signing costs more than all else: once for all sockets */
    if (admission->epoch < view_of(room).epoch)
        return; /* the queue was cleared since */
    struct visitor *visitor = room_first(room, buyer);
    for (; visitor; visitor = room_next(visitor)) {
        if (!take_admission(visitor, admission))
            continue;
        if (written == ST_NOT_FOUND)
            written = write_entry(room, buyer, admission);
        if (written == ST_OK)
            send_buf(visitor, &room->gateway->text);
    }
    if (written != ST_OK && written != ST_NOT_FOUND)
        log_error("no pass could be signed", LOG_TEXT("event", room->id));
}

/* ---- news ---- */

static void add_note(struct room *room, enum note_audience audience, const struct buf *text)
{
    struct note *note = xcalloc(1, sizeof(*note) + text->len);
    note->audience = audience;
    note->len = text->len;
    memcpy(note->text, text->data, text->len);
    *room->due_notes.tail = note;
    room->due_notes.tail = &note->next;
}

void room_note(struct room *room, enum note_audience audience, const struct buf *text)
{
    if (text->failed)
        return;
    add_note(room, audience, text);
    room_walk(room);
}

void room_status_news(struct room *room, enum event_status status, int64_t version, int64_t time_ms)
{
    if (version < room->status_version ||
        (version == room->status_version && time_ms < room->status_time_ms))
        return; /* older than what was told */
    if (time_ms > room->status_time_ms)
        room->status_time_ms = time_ms;
    bool changed = room->status_known && room->status != status;
    room->status_known = true;
    room->status = status;
    room->status_version = version;
    if (!changed)
        return;
    struct buf *text = begin(room->gateway, "event-status-changed");
    write_status(text, room, status);
    room_note(room, NOTE_ALL, text);
}

void room_message_news(struct room *room, const char *message)
{
    struct buf *text = begin(room->gateway, "message");
    add_member(text, "eventId", room->id);
    add_member(text, "text", message);
    buf_add_str(text, "}}");
    room_note(room, NOTE_ALL, text);
}

static void numbers_news(struct room *room, const struct rank_index *index)
{
    if (room->queue_size == index->queue_size && room->active == index->active &&
        room->threshold == index->threshold)
        return;
    room->queue_size = index->queue_size;
    room->active = index->active;
    room->threshold = index->threshold;
    if (!++room->numbers)
        room->numbers = 1; /* 0 means: none yet */
}

static void write_numbers(const struct room *room, struct buf *text)
{
    buf_reset(text);
    buf_add_str(text, "{\"event\":\"queue-updated\",\"payload\":{\"eventId\":");
    buf_add_json_str(text, room->id, strlen(room->id));
    add_number(text, "queueSize", room->queue_size);
    add_number(text, "currentUsers", room->active);
    add_number(text, "threshold", room->threshold);
    buf_add_str(text, "}}");
}

/* Who waits far back reads them with his next position, or when they are some seconds old: a message a
 * second to each of 100,000 would cost more than all else. */
static void tell_numbers(struct room *room, struct visitor *visitor, uint32_t now)
{
    bool far = visitor->state == VISITOR_WAITING && visitor->lowest > NEAR_POSITION;
    if (visitor->numbers == room->numbers || visitor->state < VISITOR_PENDING)
        return;
    if (far && visitor->at_ms != now && now - visitor->numbers_ms < FAR_NUMBERS_MS)
        return;
    visitor->numbers = room->numbers;
    visitor->numbers_ms = now;
    send_buf(visitor, &room->gateway->numbers);
}

/* ---- walks ---- */

void room_refresh(struct room *room)
{
    const struct rank_index *index = catalog_index(room->gateway->opts.catalog, room->id);
    room->due_positions = true;
    if (index)
        room_status_news(room, index->status, (int64_t)index->version, index->time_ms);
    room_walk(room);
}

void room_walk(struct room *room)
{
    struct gateway *gateway = room->gateway;
    uint64_t now = loop_now_ms(gateway->opts.loop);
    bool positions = room->due_positions && now - room->walked_ms >= WALK_PERIOD_MS;
    if (room->walking || !gateway->redis_up || (!positions && !room->due_notes.head))
        return;
    const struct rank_index *index = catalog_index(gateway->opts.catalog, room->id);
    if (positions && index)
        numbers_news(room, index);
    if (positions) {
        room->walked_ms = now;
        room->due_positions = false;
    }
    room->walk_positions = positions;
    room->walk_notes = room->due_notes;
    if (!room->walk_notes.head)
        notes_init(&room->walk_notes);
    notes_init(&room->due_notes);
    room->walking = true;
    room->walk_at = room->visitors;
    if (!gateway->idling)
        loop_idle_start(gateway->idle);
    gateway->idling = true;
}

static bool concerns(const struct note *note, const struct visitor *visitor)
{
    switch (note->audience) {
    case NOTE_WATCHERS:
        return visitor->flags & FLAG_WATCH;
    default:
        return true;
    }
}

/* All that there is to tell leaves in one piece. */
static void visit(struct room *room, struct visitor *visitor, const struct view *view)
{
    struct ws_conn *conn = visitor->conn;
    ws_cork(conn);
    for (const struct note *note = room->walk_notes.head; note; note = note->next)
        if (concerns(note, visitor))
            send_text(visitor, note->text, note->len);
    if (room->walk_positions) {
        refresh(room, visitor, view);
        tell_numbers(room, visitor, gateway_now(room->gateway));
    }
    ws_uncork(conn);
}

/* Returns how many sockets were visited. */
static unsigned step_room(struct room *room, unsigned budget)
{
    struct view view = view_of(room);
    unsigned visited = 0;
    if (room->walk_positions)
        write_numbers(room, &room->gateway->numbers);
    while (room->walk_at && visited < budget) {
        struct visitor *visitor = room->walk_at;
        room->walk_at = visitor->next;
        visit(room, visitor, &view);
        visited++;
    }
    if (!room->walk_at) {
        room->walking = false;
        notes_free(&room->walk_notes);
    }
    return visited;
}

void gateway_step(void *arg)
{
    struct gateway *gateway = arg;
    unsigned left = WALK_STEP;
    bool more = false;
    for (struct room *room = gateway->rooms; room; room = room->next) {
        if (room->walking) {
            unsigned visited = step_room(room, left > WALK_STEP_MIN ? left : WALK_STEP_MIN);
            left -= visited < left ? visited : left;
        }
        if (!room->walking)
            room_walk(room); /* what came meanwhile */
        more = more || room->walking;
    }
    gateway->idling = more;
    if (!more)
        loop_idle_stop(gateway->idle);
}
