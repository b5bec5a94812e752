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
#include "gateway/socketio_packet.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/shared_clock.h"
#include "queue/estimate.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Subscribers served per loop turn: by all fan-outs together, and by each of them at least. */
#define FANOUT_STEP      128
#define FANOUT_STEP_MIN  4
#define FANOUT_PERIOD_MS 950 /* positions are sent about once a second */
/* A position that fell by less than 1/POSITION_SHARE is sent only when the last one sent is POSITION_MAX_AGE_MS old. */
#define POSITION_SHARE      50
#define POSITION_MAX_AGE_MS 15000
#define ESTIMATE_MIN_AGE_MS 2000 /* an estimate that is wrong by now is sent anew so soon */
#define ESTIMATE_SLACK_S    10
/* Up to NEAR_POSITION every change of queue-updated is sent; behind it only with a position, or when the last one
 * sent is NUMBERS_MAX_AGE_MS old. */
#define NEAR_POSITION      1000
#define NUMBERS_MAX_AGE_MS 15000
#define ASKED_PER_SECOND   2000 /* extra heartbeats of one audience */
#define RETRY_MIN_MS       500  /* retryMs of a drain is between these two */
#define RETRY_MAX_MS       5500

/* ---- messages ---- */

/* The message is lost. This is a bug of the gateway: everything that may be long is bounded before it is written. */
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
    char framed[WS_SEND_QUEUE_MAX];
    if (text->failed)
        log_too_large(text->len);
    else if (subscriber->framing == FRAMING_RAW)
        send_text(subscriber, buf_str(text), text->len);
    else if (subscriber->framing == FRAMING_SOCKETIO)
        send_text(subscriber, framed, socketio_frame(buf_str(text), text->len, framed));
}

/* The same for a message that goes to many, which was framed for all of them. */
static void send_framed(struct subscriber *subscriber, const char *text, size_t len,
                        const char *framed, size_t framed_len)
{
    if (subscriber->framing == FRAMING_RAW)
        send_text(subscriber, text, len);
    else if (subscriber->framing == FRAMING_SOCKETIO)
        send_text(subscriber, framed, framed_len);
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

/* A page ignores what is older than what it has: by the event's version, then by the time of the script or index that
 * the message comes from, by Redis' clock. */
static void add_revision(struct buf *text, int64_t version, int64_t time_ms)
{
    buf_add_str(text, ",\"version\":");
    buf_add_int(text, version);
    buf_add_str(text, ",\"revision\":");
    buf_add_int(text, time_ms);
}

static void add_time(struct buf *text, const char *key, int64_t time_ms)
{
    char value[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(time_ms, value);
    add_string(text, key, value);
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
    add_revision(text, audience->status_version, audience->status_time_ms);
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
static struct wait_estimate estimate(const struct audience *audience,
                                     const struct rank_index *index, uint64_t position)
{
    return estimate_wait(index, catalog_event(audience->gateway->opts.catalog, audience->id),
                         position);
}

/* Sends subscriber->lowest as the position. The ticket carries it too, so that a reload shows no higher position.
 * claim_from_ms: as in struct queue_place. */
static void send_position(struct subscriber *subscriber, int64_t claim_from_ms,
                          const struct queue_numbers *numbers, const struct wait_estimate *wait)
{
    struct gateway *gateway = subscriber->audience->gateway;
    const struct identity_place place = {.event = subscriber->audience->id,
                                         .buyer = subscriber->buyer,
                                         .place = subscriber->place,
                                         .epoch = subscriber->epoch};
    struct buf *text = begin(gateway, "queue-position");
    add_string(text, "eventId", subscriber->audience->id);
    add_revision(text, (int64_t)numbers->version, numbers->now_ms);
    if (subscriber->flags & FLAG_UNCLAIMED)
        buf_add_str(text, ",\"unclaimed\":true");
    if (claim_from_ms > 0)
        add_time(text, "claimFrom", claim_from_ms);
    add_number(text, "position", subscriber->lowest);
    if (wait->known) {
        add_number(text, "estimatedWait", (uint64_t)wait->seconds);
        buf_add_str(text, ",\"estimatedWaitRange\":[");
        buf_add_int(text, wait->low);
        buf_add_char(text, ',');
        buf_add_int(text, wait->high);
        buf_add_str(text, wait->low_confidence ? "],\"estimateConfidence\":\"low\""
                                               : "],\"estimateConfidence\":\"high\"");
        if (!wait->low_confidence)
            subscriber->flags |= FLAG_ESTIMATE_SENT;
    } else {
        buf_add_str(text, ",\"estimatedWait\":null,\"estimatedWaitRange\":null,"
                          "\"estimateConfidence\":null");
    }
    add_number(text, "queueSize",
               numbers->queue_size > subscriber->lowest ? numbers->queue_size : subscriber->lowest);
    buf_reset(&gateway->token);
    if (identity_write_ticket(gateway->opts.keys, NULL, &place, subscriber->lowest,
                              &gateway->token) == ST_OK)
        add_string(text, "ticket", buf_str(&gateway->token));
    buf_add_str(text, "}}");
    subscriber->sent_position = subscriber->lowest;
    subscriber->sent_wait =
        wait->known && wait->seconds <= UINT32_MAX ? (uint32_t)wait->seconds : 0;
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

void subscriber_send_position(struct subscriber *subscriber, uint64_t position,
                              int64_t claim_from_ms, const struct queue_numbers *numbers)
{
    const struct audience *audience = subscriber->audience;
    lower_position(subscriber, position);
    if (!subscriber->lowest)
        subscriber->lowest = 1; /* only a guard: Redis tells every waiting buyer's position */
    const struct wait_estimate wait = estimate(
        audience, catalog_index(audience->gateway->opts.catalog, audience->id), subscriber->lowest);
    send_position(subscriber, claim_from_ms, numbers, &wait);
}

/* A limit was changed: the estimate that the buyer sees is wrong by more than a factor of two. */
static bool misleads(const struct subscriber *subscriber, uint32_t now,
                     const struct wait_estimate *wait)
{
    const int64_t sent = subscriber->sent_wait;
    return wait->known && sent > 0 && now - subscriber->sent_ms >= ESTIMATE_MIN_AGE_MS &&
           (wait->seconds > 2 * sent + ESTIMATE_SLACK_S ||
            2 * wait->seconds + ESTIMATE_SLACK_S < sent);
}

/* Near the head every step matters, at position 50,000 only a thousand does; and sending twice as often to 100,000
 * sockets costs twice as much. */
static bool worth_sending(const struct subscriber *subscriber, uint32_t now,
                          const struct wait_estimate *wait)
{
    if (!subscriber->sent_position || misleads(subscriber, now, wait) ||
        (wait->known && !wait->low_confidence && !(subscriber->flags & FLAG_ESTIMATE_SENT)))
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
    const struct wait_estimate wait = estimate(audience, index, subscriber->lowest);
    const struct queue_numbers numbers = {
        .version = index->version, .queue_size = index->queue_size, .now_ms = index->time_ms};
    if (worth_sending(subscriber, gateway_now(gateway), &wait))
        send_position(subscriber, 0, &numbers, &wait);
}

/* What a fan-out needs to know of the event. Borrowed, valid in this loop turn. */
struct view {
    const struct rank_index *index; /* NULL: there is none, or it is too old */
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
    /* A buyer who was set aside is before the head for as long as they do not claim. */
    if (subscriber->state == SUBSCRIBER_WAITING && !(subscriber->flags & FLAG_UNCLAIMED))
        update_position(subscriber, view->index);
}

/* ---- entry ---- */

struct identity_admission audience_session(const struct audience *audience, int64_t since_ms)
{
    const struct gateway *gateway = audience->gateway;
    const struct event *event = catalog_event(gateway->opts.catalog, audience->id);
    return (struct identity_admission){.since_ms = since_ms,
                                       .session_limit_ms = event ? event->session_limit_ms : 0,
                                       .turns_end_ms = event ? event_turns_end_ms(event) : 0,
                                       .pass_ttl_ms = gateway->opts.config->pass_ttl_ms};
}

/* Adds what a claimed turn has: the pass, and the times at which it ends. */
static enum status add_turn(struct audience *audience, struct buf *text, const char *buyer,
                            const struct admission *admission)
{
    struct gateway *gateway = audience->gateway;
    const struct event *event = catalog_event(gateway->opts.catalog, audience->id);
    const struct identity_place place = {.event = audience->id,
                                         .buyer = buyer,
                                         .place = admission->place,
                                         .epoch = admission->epoch};
    const struct identity_admission session = audience_session(audience, admission->since_ms);
    int64_t expires_ms;
    buf_reset(&gateway->token);
    const enum status st = identity_write_pass(gateway->opts.keys, &place, &session,
                                               shared_clock_ms(), &gateway->token, &expires_ms);
    if (st != ST_OK)
        return st;
    buf_add_str(text, ",\"claimed\":true");
    add_string(text, "pass", buf_str(&gateway->token));
    add_time(text, "passExpiresAt", expires_ms);
    add_time(text, "turnEndsAt", identity_turn_end(&session, admission->pay_until_ms));
    if (event)
        add_number(text, "idleTimeoutMs", (uint64_t)event->idle_timeout_ms);
    return ST_OK;
}

/* Where the buyer goes next, if the event allows it. */
static void add_return(struct buf *text, const struct config *config, const struct event *event,
                       const struct subscriber *subscriber)
{
    struct return_url url;
    if (subscriber->return_url && event &&
        return_url_read(subscriber->return_url, config->public_url, event->return_urls, &url) ==
            RETURN_OK)
        add_string(text, "returnUrl", url.text);
}

/* Do the tabs of these two lead to the same place? */
static bool same_return(const struct subscriber *a, const struct subscriber *b)
{
    const char *one = a && a->return_url ? a->return_url : "";
    const char *other = b->return_url ? b->return_url : "";
    return strcmp(one, other) == 0;
}

/* Writes queue-entry-allowed or turn-claimed into the scratch buffer. A reservation that does not fit into one message is
 * left out: the page reads it by HTTP. */
static enum status write_entry(struct audience *audience, const char *kind,
                               const struct subscriber *subscriber,
                               const struct admission *admission)
{
    static const char reservation[] = ",\"reservation\":", end[] = "}}";
    const struct gateway *gateway = audience->gateway;
    const struct event *event = catalog_event(gateway->opts.catalog, audience->id);
    const int64_t claim_ms = event ? event->claim_ms : gateway->opts.config->queue_claim_ms;
    const char *buyer = subscriber->buyer;
    enum status st = ST_OK;
    struct buf *text = begin(audience->gateway, kind);
    add_string(text, "eventId", audience->id);
    /* The entry may come after newer news: with its own time the page would ignore it then. */
    add_revision(text, audience->status_version,
                 admission->since_ms > audience->status_time_ms ? admission->since_ms
                                                                : audience->status_time_ms);
    add_string(text, "userId", strncmp(buyer, "u:", 2) == 0 ? buyer + 2 : buyer);
    add_string(text, "message", "It is your turn: you may enter now.");
    if (admission->claimed) {
        st = add_turn(audience, text, buyer, admission);
    } else {
        buf_add_str(text, ",\"claimed\":false");
        add_time(text, "claimExpiresAt", admission->since_ms + claim_ms);
    }
    add_return(text, gateway->opts.config, event, subscriber);
    const size_t len = text->len + strlen(reservation) + admission->reservation_len + strlen(end);
    if (admission->reservation && len <= WS_SEND_QUEUE_MAX) {
        buf_add_str(text, reservation);
        buf_add(text, admission->reservation, admission->reservation_len);
    }
    buf_add_str(text, end);
    return st;
}

/* Is this news of an admission older than what the subscriber knows? */
static bool is_old_news(const struct subscriber *subscriber, const struct admission *admission)
{
    const bool same =
        subscriber->epoch == admission->epoch && subscriber->place == admission->place;
    if (subscriber->epoch > admission->epoch)
        return true;
    if (subscriber->state == SUBSCRIBER_IDLE && subscriber->epoch == admission->epoch &&
        subscriber->place >= admission->place)
        return true; /* the buyer has left this place meanwhile */
    /* an offer that was claimed meanwhile, or after which there was another one */
    return same && subscriber->state == SUBSCRIBER_ACTIVE && !admission->claimed &&
           admission->since_ms < subscriber->since_ms;
}

/* What a subscriber is to be sent. */
enum entry { ENTRY_NONE, ENTRY_ALLOWED, ENTRY_CLAIMED };

/* Makes the subscriber active at the admission's place. */
static enum entry take_admission(struct subscriber *subscriber, const struct admission *admission)
{
    const bool same = subscriber->state == SUBSCRIBER_ACTIVE &&
                      subscriber->epoch == admission->epoch &&
                      subscriber->place == admission->place;
    if (is_old_news(subscriber, admission))
        return ENTRY_NONE;
    const bool was_offered = same && (subscriber->flags & FLAG_OFFERED);
    if (!same || (!admission->claimed && admission->since_ms != subscriber->since_ms))
        subscriber_unflag(subscriber, FLAG_ENTRY_SENT | FLAG_RESERVATION_SENT);
    subscriber->state = SUBSCRIBER_ACTIVE;
    subscriber->place = admission->place;
    subscriber->epoch = (uint32_t)admission->epoch;
    subscriber->since_ms = admission->since_ms;
    subscriber_unflag(subscriber, FLAG_UNCLAIMED | FLAG_OFFERED);
    if (!admission->claimed)
        subscriber->flags |= FLAG_OFFERED;
    const bool claims = was_offered && admission->claimed;
    const unsigned wanted = FLAG_ENTRY_SENT | (admission->reserved ? FLAG_RESERVATION_SENT : 0);
    if ((subscriber->flags & wanted) == wanted && !(subscriber->flags & FLAG_ANSWER_DUE) && !claims)
        return ENTRY_NONE;
    const bool answers = subscriber->flags & FLAG_ANSWER_DUE;
    subscriber->flags |= (uint16_t)wanted;
    subscriber_unflag(subscriber, FLAG_ENTRY_AWAITED | FLAG_ANSWER_DUE);
    return claims && !answers ? ENTRY_CLAIMED : ENTRY_ALLOWED;
}

/* The subscriber's buyer has claimed this offer before its reservation was known: it is told as that of their turn. */
static bool claimed_before(const struct subscriber *subscriber, const struct admission *admission,
                           struct admission *ret_claimed)
{
    if (!admission->reserved || admission->claimed || subscriber->state != SUBSCRIBER_ACTIVE ||
        (subscriber->flags & FLAG_OFFERED) || subscriber->place != admission->place ||
        subscriber->epoch != admission->epoch || subscriber->since_ms < admission->since_ms)
        return false;
    *ret_claimed = *admission;
    ret_claimed->claimed = true;
    ret_claimed->since_ms = subscriber->since_ms;
    return true;
}

void audience_admit(struct audience *audience, const char *buyer, const struct admission *admission)
{
    struct admission claimed;
    static const char *const kinds[] = {
        [ENTRY_ALLOWED] = "queue-entry-allowed", [ENTRY_CLAIMED] = "turn-claimed"};
    enum entry written = ENTRY_NONE; /* signing is expensive: tabs of the buyer share a message */
    const struct subscriber *written_for = NULL;
    enum status st = ST_OK;
    if (admission->epoch < view_of(audience).epoch)
        return; /* the queue was cleared since */
    struct subscriber *subscriber = audience_first_of_buyer(audience, buyer);
    for (; subscriber; subscriber = audience_next_of_buyer(subscriber)) {
        const bool before = claimed_before(subscriber, admission, &claimed);
        const struct admission *news = before ? &claimed : admission;
        const enum entry entry = take_admission(subscriber, news);
        if (entry == ENTRY_NONE)
            continue;
        if (written != entry || before || !same_return(written_for, subscriber))
            st = write_entry(audience, kinds[entry], subscriber, news);
        written = before ? ENTRY_NONE : entry;
        written_for = subscriber;
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
    struct broadcast *broadcast = xcalloc(1, sizeof(*broadcast) + 2 * text->len);
    broadcast->to = to;
    broadcast->len = text->len;
    memcpy(broadcast->text, text->data, text->len);
    broadcast->framed_len = socketio_frame(text->data, text->len, broadcast->text + text->len);
    *audience->due_broadcasts.tail = broadcast;
    audience->due_broadcasts.tail = &broadcast->next;
    audience_start_fanout(audience);
}

/* The turns may be over (closeGraceMs): asks again for those who are inside. */
static void audience_ask_inside(struct audience *audience)
{
    audience->resumed = 0;
    for (struct subscriber *each = audience->subscribers; each; each = each->next) {
        if (each->state == SUBSCRIBER_ACTIVE)
            each->generation = 0;
    }
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
    if (changed && status == EVENT_CLOSED)
        audience_ask_inside(audience);
}

/* The version of the news that the audience has; before the first news, that of the catalog's copy. */
static int64_t version_of(const struct audience *audience)
{
    const struct event *event = catalog_event(audience->gateway->opts.catalog, audience->id);
    return audience->status_version > 0 || !event ? audience->status_version : event->version;
}

void audience_send_message(struct audience *audience, const char *message, const struct json *texts)
{
    struct buf *text = begin(audience->gateway, "message");
    add_string(text, "eventId", audience->id);
    add_string(text, "text", message);
    add_revision(text, version_of(audience), audience->status_time_ms);
    if (texts) {
        buf_add_str(text, ",\"texts\":");
        json_write(texts, text);
    }
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
    const struct buf *text = &audience->gateway->numbers,
                     *framed = &audience->gateway->numbers_framed;
    send_framed(subscriber, buf_str(text), text->len, buf_str(framed), framed->len);
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

/* Writes queue-updated into the scratch buffers, in both framings. */
static void write_numbers(const struct audience *audience)
{
    struct buf *numbers = &audience->gateway->numbers, *framed = &audience->gateway->numbers_framed;
    buf_reset(numbers);
    buf_add_str(numbers, "{\"event\":\"queue-updated\",\"payload\":{");
    add_string(numbers, "eventId", audience->id);
    add_revision(numbers, audience->status_version, audience->status_time_ms);
    add_number(numbers, "queueSize", audience->queue_size);
    add_number(numbers, "currentUsers", audience->active);
    add_number(numbers, "threshold", audience->threshold);
    buf_add_str(numbers, "}}");
    buf_reset(framed);
    char *text = buf_extend(framed, numbers->len);
    if (text)
        buf_truncate(framed, socketio_frame(buf_str(numbers), numbers->len, text));
}

/* Continues the fan-out with at most `budget` subscribers. Returns how many were visited. */
static unsigned fanout_step(struct audience *audience, unsigned budget)
{
    const struct view view = view_of(audience);
    unsigned visited = 0;
    if (audience->fanout_positions)
        write_numbers(audience);
    for (; audience->fanout_at && visited < budget; visited++) {
        struct subscriber *subscriber = audience->fanout_at;
        audience->fanout_at = subscriber->next;
        ws_cork(subscriber->conn); /* all messages leave in one system call */
        const struct broadcast *broadcast = audience->fanout_broadcasts.head;
        for (; broadcast; broadcast = broadcast->next)
            if (broadcast->to == TO_ALL || (subscriber->flags & FLAG_WATCHES_SEATS))
                send_framed(subscriber, broadcast->text, broadcast->len,
                            broadcast->text + broadcast->len, broadcast->framed_len);
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
