/* SPDX-License-Identifier: MIT */
/*
 * gateway_push: what the sockets are told: each waiting buyer his own position, the admitted buyer
 * his entry and pass, the audience its news.
 *
 * Why this way: a position is computed here from the rank index the pod has anyway, so telling
 * everyone where he stands costs Redis nothing; and it is sent only where it changed enough to be
 * read. A fan-out is a fan-out of the audience in steps of FANOUT_STEP sockets, one per loop turn, so that
 * joins and entries pass between them; news that comes meanwhile goes with the next fan-out.
 * Called by: the gateway's other files. Invariants: a shown position never rises; nothing about
 * another buyer is sent; a socket is told of an admission once, and once more when its reservation
 * comes. With Redis gone the index ages, and after 5 s nothing is sent_position.
 */
#include "gateway/gateway_internal.h"

#include "auth/identity.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "queue/admission.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FANOUT_STEP         128
#define FANOUT_STEP_MIN     4     /* of each audience, however many others fan-out */
#define FANOUT_PERIOD_MS    950   /* fan-outs with positions: about one a second */
#define QUIET_MAX_MS        15000 /* a position that changed at all is sent after so long */
#define WORTH_SHARE         50    /* a step of so small a share of his position is not told */
#define NEAR_POSITION       1000
#define FAR_NUMBERS_MS      15000
#define ASKED_PER_SECOND    2000 /* `seen` questions of one audience */
#define RECONNECT_SPREAD_MS 5000 /* clients come back to other pods over so long */

static void send_text(struct subscriber *subscriber, const char *text, size_t len)
{
    if (subscriber->state == SUBSCRIBER_DETACHED)
        return;
    if (ws_send(subscriber->conn, text, len) != ST_OK)
        log_debug("a reader is too slow"); /* ws closes it; on_close follows */
}

static void send_buf(struct subscriber *subscriber, const struct buf *text)
{
    if (text->failed)
        log_error("a message is too long to be sent", LOG_NUM("bytes", text->len));
    else
        send_text(subscriber, buf_str(text), text->len);
}

void subscriber_send(struct subscriber *subscriber, const struct buf *text)
{
    send_buf(subscriber, text);
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

void subscriber_send_error(struct gateway *gateway, struct subscriber *subscriber, const char *code,
                           const char *message)
{
    struct buf *text = begin(gateway, "error");
    add_member(text, "code", code);
    add_member(text, "message", message);
    buf_add_str(text, "}}");
    send_buf(subscriber, text);
}

void subscriber_send_ack(struct gateway *gateway, struct subscriber *subscriber)
{
    struct buf *text = begin(gateway, "heartbeat-ack");
    buf_add_str(text, "}}");
    send_buf(subscriber, text);
}

static void write_status(struct buf *text, const struct audience *audience,
                         enum event_status status)
{
    add_member(text, "eventId", audience->id);
    add_member(text, "status", event_status_name(status));
    buf_add_str(text, "}}");
}

void subscriber_send_status(struct gateway *gateway, struct subscriber *subscriber,
                            enum event_status status)
{
    struct buf *text = begin(gateway, "event-status-changed");
    write_status(text, subscriber->audience, status);
    send_buf(subscriber, text);
}

void subscriber_send_draining(struct gateway *gateway, struct subscriber *subscriber)
{
    struct buf *text = begin(gateway, "error");
    add_member(text, "code", "draining");
    add_member(text, "message", "This server is about to stop. Connect again: your place is kept.");
    buf_printf(text, ",\"retryMs\":%u}}", 500 + gateway_random(gateway) % RECONNECT_SPREAD_MS);
    send_buf(subscriber, text);
}

/* ---- positions ---- */

static struct wait_estimate estimate(const struct audience *audience, uint64_t position)
{
    const struct rank_index *index = catalog_index(audience->gateway->opts.catalog, audience->id);
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
static void write_ticket(struct gateway *gateway, struct subscriber *subscriber, struct buf *text)
{
    const struct identity_place place = {.event = subscriber->audience->id,
                                         .buyer = subscriber->buyer,
                                         .place = subscriber->place,
                                         .epoch = subscriber->epoch};
    buf_reset(&gateway->token);
    if (identity_write_ticket(gateway->opts.keys, NULL, &place, subscriber->lowest,
                              &gateway->token) == ST_OK)
        add_member(text, "ticket", buf_str(&gateway->token));
}

static void send_position(struct gateway *gateway, struct subscriber *subscriber,
                          uint64_t queue_size, const struct wait_estimate *wait)
{
    struct buf *text = begin(gateway, "queue-position");
    add_member(text, "eventId", subscriber->audience->id);
    add_number(text, "position", subscriber->lowest);
    write_estimate(text, wait);
    add_number(text, "queueSize",
               queue_size > subscriber->lowest ? queue_size : subscriber->lowest);
    write_ticket(gateway, subscriber, text);
    buf_add_str(text, "}}");
    subscriber->sent_position = subscriber->lowest;
    subscriber->sent_ms = gateway_now(gateway);
    if (wait->known)
        subscriber->flags |= FLAG_ESTIMATE_SENT;
    send_buf(subscriber, text);
}

/* Takes a computed position (0: unknown) into the lowest one shown. */
static void lower(struct subscriber *subscriber, uint64_t position)
{
    if (position > UINT32_MAX)
        position = UINT32_MAX;
    if (position && (!subscriber->lowest || position < subscriber->lowest))
        subscriber->lowest = (uint32_t)position;
}

void subscriber_send_position(struct gateway *gateway, struct subscriber *subscriber,
                              uint64_t position, uint64_t queue_size)
{
    lower(subscriber, position);
    if (!subscriber->lowest)
        subscriber->lowest = 1;
    struct wait_estimate wait = estimate(subscriber->audience, subscriber->lowest);
    send_position(gateway, subscriber, queue_size, &wait);
}

/* What a fan-out is to know of the event; borrowed for this turn of the loop. */
struct view {
    const struct rank_index *index; /* NULL: none, or too old */
    uint64_t epoch;
};

static struct view view_of(const struct audience *audience)
{
    struct catalog *catalog = audience->gateway->opts.catalog;
    const struct event *event = catalog_event(catalog, audience->id);
    struct view view = {.index = catalog_index(catalog, audience->id)};
    if (event)
        view.epoch = (uint64_t)event->epoch;
    if (view.index && view.index->epoch > view.epoch)
        view.epoch = view.index->epoch;
    return view;
}

/* Near the head every step counts; at position 50,000 only thousands do: nobody reads more of it, and
 * 100,000 sockets told twice as often cost twice as much. */
static bool worth_sending(const struct subscriber *subscriber, uint32_t now,
                          const struct wait_estimate *wait)
{
    if (!subscriber->sent_position || (wait->known && !(subscriber->flags & FLAG_ESTIMATE_SENT)))
        return true;
    uint32_t moved = subscriber->sent_position - subscriber->lowest;
    if (!moved)
        return false;
    return moved >= subscriber->sent_position / WORTH_SHARE ||
           now - subscriber->sent_ms > QUIET_MAX_MS;
}

/* His place is at or before the head: is he inside by now? Redis knows. */
static void ask(struct audience *audience, const struct subscriber *subscriber)
{
    if (audience->asked >= ASKED_PER_SECOND)
        return;
    audience->asked++;
    queue_heartbeat(audience->gateway->opts.queue, audience->id, subscriber->buyer);
}

static void refresh_position(struct audience *audience, struct subscriber *subscriber,
                             const struct rank_index *index)
{
    uint64_t position = 0;
    switch (index_position(index, subscriber->place, &position)) {
    case INDEX_AHEAD:
        ask(audience, subscriber);
        if (!index->count || index->samples[0].place != subscriber->place)
            return;
        break; /* the head itself: first, as of the index */
    case INDEX_BEYOND:
        return;
    default:
        break;
    }
    lower(subscriber, position);
    struct wait_estimate wait = {.known = false};
    if (index->status == EVENT_OPEN)
        wait = admission_wait(index->rate_mean, index->rate_spread, index->rate_ticks,
                              subscriber->lowest);
    if (worth_sending(subscriber, gateway_now(audience->gateway), &wait))
        send_position(audience->gateway, subscriber, index->queue_size, &wait);
}

/* Redis has lost what it knew, and this socket can give his place back. Once is enough, but for one
 * who was inside: his pass counts only when the consumed places are known again. */
static void restore(struct audience *audience, struct subscriber *subscriber)
{
    bool returned = subscriber->flags & FLAG_RESTORED;
    if (subscriber->state == SUBSCRIBER_WAITING && subscriber->since_ms)
        returned = false;
    subscriber->flags |= FLAG_RESTORED;
    if (!returned)
        subscriber_resume(audience->gateway, subscriber);
}

static void refresh(struct audience *audience, struct subscriber *subscriber,
                    const struct view *view)
{
    if (subscriber->state < SUBSCRIBER_PENDING)
        return;
    if (subscriber->epoch && subscriber->epoch < view->epoch) {
        subscriber_queue_cleared(audience->gateway, subscriber);
        return;
    }
    if (!view->index || view->index->epoch != subscriber->epoch)
        return;
    if (view->index->restoring) {
        restore(audience, subscriber);
        return;
    }
    subscriber_unflag(subscriber, FLAG_RESTORED);
    if (subscriber->state == SUBSCRIBER_WAITING)
        refresh_position(audience, subscriber, view->index);
}

/* ---- entry ---- */

#define ENTRY_MESSAGE "It is your turn: you may enter now."

static enum status write_pass(struct audience *audience, const char *buyer,
                              const struct admission *admission, struct buf *text)
{
    struct gateway *gateway = audience->gateway;
    const struct event *event = catalog_event(gateway->opts.catalog, audience->id);
    const struct identity_place place = {.event = audience->id,
                                         .buyer = buyer,
                                         .place = admission->place,
                                         .epoch = admission->epoch};
    const struct identity_admission lasts = {.since_ms = admission->since_ms,
                                             .session_limit_ms =
                                                 event ? event->session_limit_ms : 0,
                                             .pass_ttl_ms = gateway->opts.config->pass_ttl_ms};
    int64_t expires_ms;
    buf_reset(&gateway->token);
    enum status st = identity_write_pass(gateway->opts.keys, &place, &lasts, clock_wall_ms(),
                                         &gateway->token, &expires_ms);
    if (st != ST_OK)
        return st;
    char until[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(expires_ms, until);
    add_member(text, "pass", buf_str(&gateway->token));
    add_member(text, "passExpiresAt", until);
    return ST_OK;
}

static enum status write_entry(struct audience *audience, const char *buyer,
                               const struct admission *admission)
{
    static const char member[] = ",\"reservation\":", end[] = "}}";
    struct buf *text = begin(audience->gateway, "queue-entry-allowed");
    add_member(text, "eventId", audience->id);
    add_member(text, "message", ENTRY_MESSAGE);
    enum status st = write_pass(audience, buyer, admission, text);
    const size_t len = text->len + strlen(member) + admission->reservation_len + strlen(end);
    if (admission->reservation && len <= WS_SEND_QUEUE_MAX) { /* else he fetches it */
        buf_add_str(text, member);
        buf_add(text, admission->reservation, admission->reservation_len);
    }
    buf_add_str(text, end);
    return st;
}

/* Is this admission news to the subscriber? Brings him up to it. */
static bool take_admission(struct subscriber *subscriber, const struct admission *admission)
{
    bool same = subscriber->epoch == admission->epoch && subscriber->place == admission->place;
    if (subscriber->epoch > admission->epoch)
        return false;
    if (subscriber->state == SUBSCRIBER_IDLE && subscriber->epoch == admission->epoch &&
        subscriber->place >= admission->place)
        return false; /* he has left it meanwhile */
    if (subscriber->state != SUBSCRIBER_ACTIVE || !same)
        subscriber_unflag(subscriber, FLAG_ENTRY_SENT | FLAG_RESERVATION_SENT);
    subscriber->state = SUBSCRIBER_ACTIVE;
    subscriber->place = admission->place;
    subscriber->epoch = (uint32_t)admission->epoch;
    subscriber->since_ms = admission->since_ms;
    unsigned wanted = FLAG_ENTRY_SENT | (admission->reservation ? FLAG_RESERVATION_SENT : 0);
    if ((subscriber->flags & wanted) == wanted && !(subscriber->flags & FLAG_ANSWER_DUE))
        return false;
    subscriber->flags |= (uint16_t)wanted;
    subscriber_unflag(subscriber, FLAG_SEEN_ACTIVE | FLAG_ANSWER_DUE);
    return true;
}

void audience_admit(struct audience *audience, const char *buyer, const struct admission *admission)
{
    enum status written = ST_NOT_FOUND; /* signing costs more than all else: once for all sockets */
    if (admission->epoch < view_of(audience).epoch)
        return; /* the queue was cleared since */
    struct subscriber *subscriber = audience_first(audience, buyer);
    for (; subscriber; subscriber = audience_next(subscriber)) {
        if (!take_admission(subscriber, admission))
            continue;
        if (written == ST_NOT_FOUND)
            written = write_entry(audience, buyer, admission);
        if (written == ST_OK)
            send_buf(subscriber, &audience->gateway->text);
    }
    if (written != ST_OK && written != ST_NOT_FOUND)
        log_error("no pass could be signed", LOG_TEXT("event", audience->id));
}

/* ---- news ---- */

static void add_broadcast(struct audience *audience, enum broadcast_to to, const struct buf *text)
{
    struct broadcast *broadcast = xcalloc(1, sizeof(*broadcast) + text->len);
    broadcast->to = to;
    broadcast->len = text->len;
    memcpy(broadcast->text, text->data, text->len);
    *audience->due_broadcasts.tail = broadcast;
    audience->due_broadcasts.tail = &broadcast->next;
}

void audience_broadcast(struct audience *audience, enum broadcast_to to, const struct buf *text)
{
    if (text->failed)
        return;
    add_broadcast(audience, to, text);
    audience_start_fanout(audience);
}

void audience_set_status(struct audience *audience, enum event_status status, int64_t version,
                         int64_t time_ms)
{
    if (version < audience->status_version ||
        (version == audience->status_version && time_ms < audience->status_time_ms))
        return; /* older than what was told */
    if (time_ms > audience->status_time_ms)
        audience->status_time_ms = time_ms;
    bool changed = audience->status_known && audience->status != status;
    audience->status_known = true;
    audience->status = status;
    audience->status_version = version;
    if (!changed)
        return;
    struct buf *text = begin(audience->gateway, "event-status-changed");
    write_status(text, audience, status);
    audience_broadcast(audience, TO_ALL, text);
}

void audience_send_message(struct audience *audience, const char *message)
{
    struct buf *text = begin(audience->gateway, "message");
    add_member(text, "eventId", audience->id);
    add_member(text, "text", message);
    buf_add_str(text, "}}");
    audience_broadcast(audience, TO_ALL, text);
}

static void take_numbers(struct audience *audience, const struct rank_index *index)
{
    if (audience->queue_size == index->queue_size && audience->active == index->active &&
        audience->threshold == index->threshold)
        return;
    audience->queue_size = index->queue_size;
    audience->active = index->active;
    audience->threshold = index->threshold;
    if (!++audience->numbers)
        audience->numbers = 1; /* 0 means: none yet */
}

static void write_numbers(const struct audience *audience, struct buf *text)
{
    buf_reset(text);
    buf_add_str(text, "{\"event\":\"queue-updated\",\"payload\":{\"eventId\":");
    buf_add_json_str(text, audience->id, strlen(audience->id));
    add_number(text, "queueSize", audience->queue_size);
    add_number(text, "currentUsers", audience->active);
    add_number(text, "threshold", audience->threshold);
    buf_add_str(text, "}}");
}

/* Who waits far back reads them with his next position, or when they are some seconds old: a message a
 * second to each of 100,000 would cost more than all else. */
static void send_numbers(struct audience *audience, struct subscriber *subscriber, uint32_t now)
{
    bool far = subscriber->state == SUBSCRIBER_WAITING && subscriber->lowest > NEAR_POSITION;
    if (subscriber->numbers == audience->numbers || subscriber->state < SUBSCRIBER_PENDING)
        return;
    if (far && subscriber->sent_ms != now && now - subscriber->numbers_sent_ms < FAR_NUMBERS_MS)
        return;
    subscriber->numbers = audience->numbers;
    subscriber->numbers_sent_ms = now;
    send_buf(subscriber, &audience->gateway->numbers);
}

/* ---- fan-outs ---- */

void audience_refresh(struct audience *audience)
{
    const struct rank_index *index = catalog_index(audience->gateway->opts.catalog, audience->id);
    audience->due_positions = true;
    if (index)
        audience_set_status(audience, index->status, (int64_t)index->version, index->time_ms);
    audience_start_fanout(audience);
}

void audience_start_fanout(struct audience *audience)
{
    struct gateway *gateway = audience->gateway;
    uint64_t now = loop_now_ms(gateway->opts.loop);
    bool positions = audience->due_positions && now - audience->fanout_ms >= FANOUT_PERIOD_MS;
    if (audience->fanout_running || !gateway->redis_up ||
        (!positions && !audience->due_broadcasts.head))
        return;
    const struct rank_index *index = catalog_index(gateway->opts.catalog, audience->id);
    if (positions && index)
        take_numbers(audience, index);
    if (positions) {
        audience->fanout_ms = now;
        audience->due_positions = false;
    }
    audience->fanout_positions = positions;
    audience->fanout_broadcasts = audience->due_broadcasts;
    if (!audience->fanout_broadcasts.head)
        broadcasts_init(&audience->fanout_broadcasts);
    broadcasts_init(&audience->due_broadcasts);
    audience->fanout_running = true;
    audience->fanout_at = audience->subscribers;
    if (!gateway->idling)
        loop_idle_start(gateway->idle);
    gateway->idling = true;
}

static bool concerns(const struct broadcast *broadcast, const struct subscriber *subscriber)
{
    switch (broadcast->to) {
    case TO_WATCHERS:
        return subscriber->flags & FLAG_WATCHES_SEATS;
    default:
        return true;
    }
}

/* All that there is to tell leaves in one piece. */
static void send_updates(struct audience *audience, struct subscriber *subscriber,
                         const struct view *view)
{
    struct ws_conn *conn = subscriber->conn;
    ws_cork(conn);
    for (const struct broadcast *broadcast = audience->fanout_broadcasts.head; broadcast;
         broadcast = broadcast->next)
        if (concerns(broadcast, subscriber))
            send_text(subscriber, broadcast->text, broadcast->len);
    if (audience->fanout_positions) {
        refresh(audience, subscriber, view);
        send_numbers(audience, subscriber, gateway_now(audience->gateway));
    }
    ws_uncork(conn);
}

/* Returns how many sockets were sent. */
static unsigned fanout_step(struct audience *audience, unsigned budget)
{
    struct view view = view_of(audience);
    unsigned sent = 0;
    if (audience->fanout_positions)
        write_numbers(audience, &audience->gateway->numbers);
    while (audience->fanout_at && sent < budget) {
        struct subscriber *subscriber = audience->fanout_at;
        audience->fanout_at = subscriber->next;
        send_updates(audience, subscriber, &view);
        sent++;
    }
    if (!audience->fanout_at) {
        audience->fanout_running = false;
        broadcasts_free(&audience->fanout_broadcasts);
    }
    return sent;
}

void gateway_fanout_step(void *arg)
{
    struct gateway *gateway = arg;
    unsigned left = FANOUT_STEP;
    bool more = false;
    for (struct audience *audience = gateway->audiences; audience; audience = audience->next) {
        if (audience->fanout_running) {
            unsigned sent = fanout_step(audience, left > FANOUT_STEP_MIN ? left : FANOUT_STEP_MIN);
            left -= sent < left ? sent : left;
        }
        if (!audience->fanout_running)
            audience_start_fanout(audience); /* what came meanwhile */
        more = more || audience->fanout_running;
    }
    gateway->idling = more;
    if (!more)
        loop_idle_stop(gateway->idle);
}
