/* SPDX-License-Identifier: MIT */
/*
 * gateway_push: messages to subscribers: positions to waiting buyers, entry and pass to admitted ones, news to a
 * whole audience.
 *
 * Why this way: positions are computed here from the rank index, which the worker reads anyway, so they cost Redis
 * nothing; and a position is sent only when it changed enough to matter. A fan-out sends to FANOUT_STEP subscribers
 * per loop turn, so that joins and entries are handled between two steps; news that arrives during a fan-out is sent
 * with the next one.
 * Called by: the gateway's other files. Owns nothing. Invariants: a shown position never rises; nothing about
 * another buyer is sent; a socket gets an entry once, and once more when its reservation comes later.
 * Redis gone: no fan-out begins. A rank index older than 5 s is not used.
 */
#include "gateway/gateway_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "queue/admission.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Subscribers served per loop turn: by all fan-outs together, and by each of them at least. */
#define FANOUT_STEP      128
#define FANOUT_STEP_MIN  4
#define FANOUT_PERIOD_MS 950 /* positions are sent about once a second */
/* A position that fell by less than 1/POSITION_SHARE is not sent before the last one is so old. */
#define POSITION_SHARE      50
#define POSITION_MAX_AGE_MS 15000
/* Up to this position every change of queue-updated is sent; behind it only with a position, or after so long. */
#define NEAR_POSITION      1000
#define NUMBERS_MAX_AGE_MS 15000
#define ASKED_PER_SECOND   2000 /* extra heartbeats of one audience */
#define RETRY_MIN_MS       500  /* retryMs of a drain is between these two */
#define RETRY_MAX_MS       5500

/* ---- messages ---- */

/* Our own fault, and the message is lost: everything that may be long is bounded before it is written. */
static void log_too_large(size_t len)
{
    log_error("websocket message not sent", LOG_TEXT("status", status_name(ST_TOO_LARGE)),
              LOG_NUM("bytes", len), LOG_NUM("limit", WS_SEND_QUEUE_MAX));
}

static void send_text(struct subscriber *subscriber, const char *text, size_t len)
{
    if (subscriber->state == SUBSCRIBER_DETACHED)
        return;
    const enum status st = ws_send(subscriber->conn, text, len);
    if (st == ST_TOO_LARGE)
        log_too_large(len);
    else if (st != ST_OK) /* ws closes the socket (ST_FULL: too slow), and on_close follows */
        log_debug("websocket message not sent", LOG_TEXT("status", status_name(st)),
                  LOG_NUM("bytes", len));
}

void subscriber_send(struct subscriber *subscriber, const struct buf *text)
{
    if (text->failed)
        log_too_large(text->len);
    else
        send_text(subscriber, buf_str(text), text->len);
}

/* Begins a message in the scratch buffer. The caller adds the members of the payload and "}}". */
static struct buf *begin(struct gateway *gateway, const char *event)
{
    struct buf *text = &gateway->text;
    buf_reset(text);
    buf_add_str(text, "{\"event\":\"");
    buf_add_str(text, event);
    buf_add_str(text, "\",\"payload\":{");
    return text;
}

static void add_string(struct buf *text, const char *key, const char *value)
{
    buf_add_str(text, text->data[text->len - 1] == '{' ? "\"" : ",\"");
    buf_add_str(text, key);
    buf_add_str(text, "\":");
    buf_add_json_str(text, value, strlen(value));
}

/* Adds a member that is not the first one. */
static void add_number(struct buf *text, const char *key, uint64_t value)
{
    buf_add_str(text, ",\"");
    buf_add_str(text, key);
    buf_add_str(text, "\":");
    buf_add_uint(text, value);
}

void subscriber_send_error(struct gateway *gateway, struct subscriber *subscriber, const char *code,
                           const char *message)
{
    struct buf *text = begin(gateway, "error");
    add_string(text, "code", code);
    add_string(text, "message", message);
    buf_add_str(text, "}}");
    subscriber_send(subscriber, text);
}

void subscriber_send_ack(struct gateway *gateway, struct subscriber *subscriber)
{
    struct buf *text = begin(gateway, "heartbeat-ack");
    buf_add_str(text, "}}");
    subscriber_send(subscriber, text);
}

static struct buf *write_status(const struct audience *audience, enum event_status status)
{
    struct buf *text = begin(audience->gateway, "event-status-changed");
    add_string(text, "eventId", audience->id);
    add_string(text, "status", event_status_name(status));
    buf_add_str(text, "}}");
    return text;
}

void subscriber_send_status(struct subscriber *subscriber, enum event_status status)
{
    subscriber_send(subscriber, write_status(subscriber->audience, status));
}

void subscriber_send_draining(struct gateway *gateway, struct subscriber *subscriber)
{
    /* Jitter, so that the clients do not reach the other pods all at once. xorshift is enough: it is no secret. */
    uint32_t random = gateway->random;
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    gateway->random = random;
    struct buf *text = begin(gateway, "error");
    add_string(text, "code", "draining");
    add_string(text, "message", "This server is about to stop. Connect again: your place is kept.");
    add_number(text, "retryMs", RETRY_MIN_MS + random % (RETRY_MAX_MS - RETRY_MIN_MS));
    buf_add_str(text, "}}");
    subscriber_send(subscriber, text);
}

/* ---- positions ---- */

/* The estimated wait, which is known only while the event is open. `index` may be NULL. */
static struct wait_estimate estimate(const struct rank_index *index, uint64_t position)
{
    if (!index || index->status != EVENT_OPEN)
        return (struct wait_estimate){.known = false};
    return admission_wait(index->rate_mean, index->rate_spread, index->rate_ticks, position);
}

/* Sends subscriber->lowest as the position. The ticket carries it too, so that a reload shows no higher position. */
static void send_position(struct subscriber *subscriber, uint64_t queue_size,
                          const struct wait_estimate *wait)
{
    struct gateway *gateway = subscriber->audience->gateway;
    const struct identity_place place = {.event = subscriber->audience->id,
                                         .buyer = subscriber->buyer,
                                         .place = subscriber->place,
                                         .epoch = subscriber->epoch};
    struct buf *text = begin(gateway, "queue-position");
    add_string(text, "eventId", subscriber->audience->id);
    add_number(text, "position", subscriber->lowest);
    if (wait->known) {
        add_number(text, "estimatedWait", (uint64_t)wait->seconds);
        buf_add_str(text, ",\"estimatedWaitRange\":[");
        buf_add_int(text, wait->low);
        buf_add_char(text, ',');
        buf_add_int(text, wait->high);
        buf_add_char(text, ']');
        subscriber->flags |= FLAG_ESTIMATE_SENT;
    } else {
        buf_add_str(text, ",\"estimatedWait\":null,\"estimatedWaitRange\":null");
    }
    add_number(text, "queueSize",
               queue_size > subscriber->lowest ? queue_size : subscriber->lowest);
    buf_reset(&gateway->token);
    if (identity_write_ticket(gateway->opts.keys, NULL, &place, subscriber->lowest,
                              &gateway->token) == ST_OK)
        add_string(text, "ticket", buf_str(&gateway->token));
    buf_add_str(text, "}}");
    subscriber->sent_position = subscriber->lowest;
    subscriber->sent_ms = gateway_now(gateway);
    subscriber_send(subscriber, text);
}

/* Makes `position` (0: unknown) the lowest one shown, unless a lower one was. */
static void lower_position(struct subscriber *subscriber, uint64_t position)
{
    if (position > UINT32_MAX)
        position = UINT32_MAX;
    if (position && (!subscriber->lowest || position < subscriber->lowest))
        subscriber->lowest = (uint32_t)position;
}

void subscriber_send_position(struct subscriber *subscriber, uint64_t position, uint64_t queue_size)
{
    const struct audience *audience = subscriber->audience;
    lower_position(subscriber, position);
    if (!subscriber->lowest)
        subscriber->lowest = 1; /* only a guard: Redis tells every waiting buyer's position */
    const struct wait_estimate wait =
        estimate(catalog_index(audience->gateway->opts.catalog, audience->id), subscriber->lowest);
    send_position(subscriber, queue_size, &wait);
}

/* Near the head every step matters, at position 50,000 only a thousand does; and sending twice as often to 100,000
 * sockets costs twice as much. */
static bool worth_sending(const struct subscriber *subscriber, uint32_t now,
                          const struct wait_estimate *wait)
{
    if (!subscriber->sent_position || (wait->known && !(subscriber->flags & FLAG_ESTIMATE_SENT)))
        return true;
    const uint32_t moved = subscriber->sent_position - subscriber->lowest;
    return moved > 0 && (moved >= subscriber->sent_position / POSITION_SHARE ||
                         now - subscriber->sent_ms > POSITION_MAX_AGE_MS);
}

static void update_position(struct subscriber *subscriber, const struct rank_index *index)
{
    struct audience *audience = subscriber->audience;
    struct gateway *gateway = audience->gateway;
    uint64_t position = 0;
    const enum index_where where = index_position(index, subscriber->place, &position);
    if (where == INDEX_BEYOND)
        return;
    if (where == INDEX_AHEAD) {
        /* At or before the head: the buyer may have been admitted. gateway_on_heartbeat gets Redis' answer. */
        if (audience->asked < ASKED_PER_SECOND) {
            audience->asked++;
            queue_heartbeat(gateway->opts.queue, audience->id, subscriber->buyer);
        }
        if (!index->count || index->samples[0].place != subscriber->place)
            return;
    }
    lower_position(subscriber, position);
    const struct wait_estimate wait = estimate(index, subscriber->lowest);
    if (worth_sending(subscriber, gateway_now(gateway), &wait))
        send_position(subscriber, index->queue_size, &wait);
}

/* What a fan-out needs to know of the event. Borrowed, valid in this loop turn. */
struct view {
    const struct rank_index *index; /* NULL: none, or too old */
    uint64_t epoch;                 /* the highest one known; 0: unknown */
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

/* Tells one subscriber what the index says about its buyer. */
static void update_subscriber(struct subscriber *subscriber, const struct view *view)
{
    struct gateway *gateway = subscriber->audience->gateway;
    if (subscriber->state < SUBSCRIBER_PENDING)
        return;
    if (subscriber->epoch && subscriber->epoch < view->epoch) {
        subscriber_queue_cleared(gateway, subscriber);
        return;
    }
    if (!view->index || view->index->epoch != subscriber->epoch)
        return;
    if (view->index->restoring) {
        /* Redis has lost places, and this subscriber gives its own back. Once is enough, except for a buyer who was
         * inside: Redis takes their admission back only after the consumed places are loaded. */
        const bool was_inside = subscriber->state == SUBSCRIBER_WAITING && subscriber->since_ms;
        const bool restored = (subscriber->flags & FLAG_RESTORED) && !was_inside;
        subscriber->flags |= FLAG_RESTORED;
        if (!restored)
            subscriber_resume(gateway, subscriber);
        return;
    }
    subscriber_unflag(subscriber, FLAG_RESTORED);
    if (subscriber->state == SUBSCRIBER_WAITING)
        update_position(subscriber, view->index);
}

/* ---- entry ---- */

struct identity_admission audience_session(const struct audience *audience, int64_t since_ms)
{
    const struct gateway *gateway = audience->gateway;
    const struct event *event = catalog_event(gateway->opts.catalog, audience->id);
    return (struct identity_admission){.since_ms = since_ms,
                                       .session_limit_ms = event ? event->session_limit_ms : 0,
                                       .pass_ttl_ms = gateway->opts.config->pass_ttl_ms};
}

/* Writes the entry into the scratch buffer. A reservation that does not fit into one message is left out: the page
 * reads it by HTTP. */
static enum status write_entry(struct audience *audience, const char *buyer,
                               const struct admission *admission)
{
    static const char reservation[] = ",\"reservation\":", end[] = "}}";
    struct gateway *gateway = audience->gateway;
    const struct identity_place place = {.event = audience->id,
                                         .buyer = buyer,
                                         .place = admission->place,
                                         .epoch = admission->epoch};
    const struct identity_admission session = audience_session(audience, admission->since_ms);
    char until[CLOCK_RFC3339_SIZE];
    int64_t expires_ms;
    buf_reset(&gateway->token);
    enum status st = identity_write_pass(gateway->opts.keys, &place, &session, clock_wall_ms(),
                                         &gateway->token, &expires_ms);
    if (st != ST_OK)
        return st;
    clock_format_rfc3339(expires_ms, until);
    struct buf *text = begin(gateway, "queue-entry-allowed");
    add_string(text, "eventId", audience->id);
    add_string(text, "message", "It is your turn: you may enter now.");
    add_string(text, "pass", buf_str(&gateway->token));
    add_string(text, "passExpiresAt", until);
    const size_t len = text->len + strlen(reservation) + admission->reservation_len + strlen(end);
    if (admission->reservation && len <= WS_SEND_QUEUE_MAX) {
        buf_add_str(text, reservation);
        buf_add(text, admission->reservation, admission->reservation_len);
    }
    buf_add_str(text, end);
    return ST_OK;
}

/* Makes the subscriber active at the admission's place. True: the entry has to be sent. */
static bool take_admission(struct subscriber *subscriber, const struct admission *admission)
{
    const bool same =
        subscriber->epoch == admission->epoch && subscriber->place == admission->place;
    if (subscriber->epoch > admission->epoch)
        return false;
    if (subscriber->state == SUBSCRIBER_IDLE && subscriber->epoch == admission->epoch &&
        subscriber->place >= admission->place)
        return false; /* the buyer has left this place meanwhile */
    if (subscriber->state != SUBSCRIBER_ACTIVE || !same)
        subscriber_unflag(subscriber, FLAG_ENTRY_SENT | FLAG_RESERVATION_SENT);
    subscriber->state = SUBSCRIBER_ACTIVE;
    subscriber->place = admission->place;
    subscriber->epoch = (uint32_t)admission->epoch;
    subscriber->since_ms = admission->since_ms;
    const unsigned wanted = FLAG_ENTRY_SENT | (admission->reserved ? FLAG_RESERVATION_SENT : 0);
    if ((subscriber->flags & wanted) == wanted && !(subscriber->flags & FLAG_ANSWER_DUE))
        return false;
    subscriber->flags |= (uint16_t)wanted;
    subscriber_unflag(subscriber, FLAG_ENTRY_AWAITED | FLAG_ANSWER_DUE);
    return true;
}

void audience_admit(struct audience *audience, const char *buyer, const struct admission *admission)
{
    bool signed_once = false; /* signing is expensive: all tabs of the buyer get the same pass */
    enum status st = ST_OK;
    if (admission->epoch < view_of(audience).epoch)
        return; /* the queue was cleared since */
    struct subscriber *subscriber = audience_first_of_buyer(audience, buyer);
    for (; subscriber; subscriber = audience_next_of_buyer(subscriber)) {
        if (!take_admission(subscriber, admission))
            continue;
        if (!signed_once)
            st = write_entry(audience, buyer, admission);
        signed_once = true;
        if (st == ST_OK)
            subscriber_send(subscriber, &audience->gateway->text);
    }
    if (st != ST_OK)
        log_error("queue-entry-allowed not sent: pass not signed", LOG_TEXT("event", audience->id),
                  LOG_TEXT("status", status_name(st)));
}

/* ---- news for an audience ---- */

void audience_broadcast(struct audience *audience, enum broadcast_to to, const struct buf *text)
{
    if (text->failed) {
        log_too_large(text->len);
        return;
    }
    struct broadcast *broadcast = xcalloc(1, sizeof(*broadcast) + text->len);
    broadcast->to = to;
    broadcast->len = text->len;
    memcpy(broadcast->text, text->data, text->len);
    *audience->due_broadcasts.tail = broadcast;
    audience->due_broadcasts.tail = &broadcast->next;
    audience_start_fanout(audience);
}

void audience_set_status(struct audience *audience, enum event_status status, int64_t version,
                         int64_t time_ms)
{
    if (version < audience->status_version ||
        (version == audience->status_version && time_ms < audience->status_time_ms))
        return; /* older than the status that is known */
    if (time_ms > audience->status_time_ms)
        audience->status_time_ms = time_ms;
    const bool changed = audience->status_known && audience->status != status;
    audience->status_known = true;
    audience->status = status;
    audience->status_version = version;
    if (changed)
        audience_broadcast(audience, TO_ALL, write_status(audience, status));
}

void audience_send_message(struct audience *audience, const char *message)
{
    struct buf *text = begin(audience->gateway, "message");
    add_string(text, "eventId", audience->id);
    add_string(text, "text", message);
    buf_add_str(text, "}}");
    audience_broadcast(audience, TO_ALL, text);
}

/* Sends queue-updated if the numbers changed. Far behind the head it is sent only together with a position, or when
 * the last one is NUMBERS_MAX_AGE_MS old: one message a second to each of 100,000 sockets would cost more than all
 * else. */
static void send_numbers(const struct audience *audience, struct subscriber *subscriber)
{
    const uint32_t now = gateway_now(audience->gateway);
    const bool far = subscriber->state == SUBSCRIBER_WAITING && subscriber->lowest > NEAR_POSITION;
    if (subscriber->numbers == audience->numbers || subscriber->state < SUBSCRIBER_PENDING)
        return;
    if (far && subscriber->sent_ms != now && now - subscriber->numbers_sent_ms < NUMBERS_MAX_AGE_MS)
        return;
    subscriber->numbers = audience->numbers;
    subscriber->numbers_sent_ms = now;
    subscriber_send(subscriber, &audience->gateway->numbers);
}

/* ---- the fan-out ---- */

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
    const uint64_t now = loop_now_ms(gateway->opts.loop);
    const bool positions = audience->due_positions && now - audience->fanout_ms >= FANOUT_PERIOD_MS;
    if (audience->fanout_running || !gateway->redis_up ||
        (!positions && !audience->due_broadcasts.head))
        return;
    if (positions) {
        const struct rank_index *index = catalog_index(gateway->opts.catalog, audience->id);
        if (index &&
            (audience->queue_size != index->queue_size || audience->active != index->active ||
             audience->threshold != index->threshold)) {
            audience->queue_size = index->queue_size;
            audience->active = index->active;
            audience->threshold = index->threshold;
            if (!++audience->numbers)
                audience->numbers = 1; /* 0 stands for: none known yet */
        }
        audience->fanout_ms = now;
        audience->due_positions = false;
    }
    audience->fanout_positions = positions;
    audience->fanout_broadcasts = audience->due_broadcasts;
    if (!audience->fanout_broadcasts.head)
        broadcasts_init(
            &audience->fanout_broadcasts); /* the copied tail points into due_broadcasts */
    broadcasts_init(&audience->due_broadcasts);
    audience->fanout_running = true;
    audience->fanout_at = audience->subscribers;
    if (!gateway->idling)
        loop_idle_start(gateway->idle);
    gateway->idling = true;
}

/* Continues the fan-out with at most `budget` subscribers. Returns how many were visited. */
static unsigned fanout_step(struct audience *audience, unsigned budget)
{
    const struct view view = view_of(audience);
    struct buf *numbers = &audience->gateway->numbers;
    unsigned visited = 0;
    if (audience->fanout_positions) {
        buf_reset(numbers);
        buf_add_str(numbers, "{\"event\":\"queue-updated\",\"payload\":{");
        add_string(numbers, "eventId", audience->id);
        add_number(numbers, "queueSize", audience->queue_size);
        add_number(numbers, "currentUsers", audience->active);
        add_number(numbers, "threshold", audience->threshold);
        buf_add_str(numbers, "}}");
    }
    for (; audience->fanout_at && visited < budget; visited++) {
        struct subscriber *subscriber = audience->fanout_at;
        audience->fanout_at = subscriber->next;
        ws_cork(subscriber->conn); /* all messages leave in one system call */
        const struct broadcast *broadcast = audience->fanout_broadcasts.head;
        for (; broadcast; broadcast = broadcast->next)
            if (broadcast->to == TO_ALL || (subscriber->flags & FLAG_WATCHES_SEATS))
                send_text(subscriber, broadcast->text, broadcast->len);
        if (audience->fanout_positions) {
            update_subscriber(subscriber, &view);
            send_numbers(audience, subscriber);
        }
        ws_uncork(subscriber->conn);
    }
    if (!audience->fanout_at) {
        audience->fanout_running = false;
        broadcasts_free(&audience->fanout_broadcasts);
    }
    return visited;
}

void gateway_fanout_step(void *arg)
{
    struct gateway *gateway = arg;
    unsigned left = FANOUT_STEP;
    bool more = false;
    for (struct audience *audience = gateway->audiences; audience; audience = audience->next) {
        if (audience->fanout_running) {
            const unsigned visited =
                fanout_step(audience, left > FANOUT_STEP_MIN ? left : FANOUT_STEP_MIN);
            left -= visited < left ? visited : left;
        }
        if (!audience->fanout_running)
            audience_start_fanout(
                audience); /* the next one, if something became due while this one ran */
        more = more || audience->fanout_running;
    }
    gateway->idling = more;
    if (!more)
        loop_idle_stop(gateway->idle);
}
