/* SPDX-License-Identifier: MIT */
/*
 * crowd_buyer: one virtual buyer: what he does, and what he remembers of it.
 *
 *   arrives -> check -> let in at once -----------------------------> inside
 *                    -> queued: socket, join-queue, positions, entry -> inside
 *   inside  -> thinks -> (looks for his reservation, else makes one) -> begins the payment
 *           -> pays at the provider -> asks until the seats are his: bought
 *           -> thinks -> leaves
 *           -> goes silent -> evicted
 *   a socket that is lost comes back with the last ticket; a request that got no answer, or "not
 *   now", is made again; sold out and closed end it.
 *
 * Why this way: he waits for exactly one thing at a time, so he has one timer; he behaves as a
 * browser would, and believes nothing: what he was shown is kept and compared. He never asks for a
 * new place while he holds one, so a place that is gone is noticed. Called by: crowd, crowd_audit.
 * Owns: his two connections.
 */
#include "crowd_buyer.h"

#include "clock.h"
#include "crowd_memory.h"
#include "crowd_request.h"
#include "crowd_scan.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS      10000 /* a request or handshake without an answer for so long is given up */
#define QUIET_MS       75000 /* a socket without a word for three pings is dead */
#define HEARTBEAT_MS   20000 /* while thinking */
#define BACKOFF_MS     100   /* first retry; doubled each time, up to: */
#define BACKOFF_MAX_MS 3000
#define POLL_MS        5000 /* when the service does not say */
#define OUTCOME_MS     300  /* between two looks whether the payment has arrived */

enum plan { PLAN_BUY, PLAN_LEAVE, PLAN_SILENT };

/* What he waits for. */
enum waits {
    WAITS_NOTHING,
    WAITS_TO_ARRIVE,
    WAITS_FOR_ANSWER,
    WAITS_TO_RETRY,
    WAITS_TO_POLL,
    WAITS_FOR_SOCKET, /* handshake, or the answer to join-queue */
    WAITS_FOR_WORD,   /* on the socket */
    WAITS_TO_RECONNECT,
    WAITS_TO_SETTLE, /* before he opens his first socket */
    WAITS_THINKING,
};

static void ask(struct crowd_buyer *buyer, enum crowd_step step);
static void go_on_waiting(struct crowd_buyer *buyer, int64_t poll_ms);

bool crowd_done(const struct crowd *crowd)
{
    uint32_t ended = 0;
    for (int i = 0; i < BUYER_STATE_COUNT; i++)
        ended += buyer_state_ends((enum buyer_state)i) ? crowd->tally.states[i] : 0;
    return ended == crowd->count;
}

/* ---- small things ---- */

/* Up to and including `max`. */
static uint64_t random_up_to(struct crowd *crowd, uint64_t max)
{
    return crowd_mix(crowd->random += 0x9e3779b97f4a7c15ULL) % (max + 1);
}

static void wait_for(struct crowd_buyer *buyer, enum waits what, uint64_t at_most_ms)
{
    buyer->waits = what;
    agenda_set(buyer->crowd->agenda, &buyer->due, at_most_ms);
}

static void become(struct crowd_buyer *buyer, enum buyer_state state)
{
    buyer->crowd->tally.states[buyer->state]--;
    buyer->crowd->tally.states[state]++;
    buyer->state = state;
}

static void hang_up(struct dial **conn)
{
    dial_close(*conn);
    *conn = NULL;
}

/* The first answer of all tells how long it took until everybody knew where he stood. */
static void note_first_answer(struct crowd_buyer *buyer, bool queued)
{
    struct crowd *crowd = buyer->crowd;
    if (buyer->queued || buyer->straight)
        return;
    buyer->queued = queued;
    buyer->straight = !queued;
    crowd->tally.queued += queued;
    crowd->tally.allowed += !queued;
    crowd->tally.answered_ms = (clock_mono_ns() - crowd->begun_ns) / 1000000;
}

static void end(struct crowd_buyer *buyer, enum buyer_state state)
{
    crowd_buyer_stop(buyer);
    if (buyer->out_since_ms == 0) /* from here on nobody hears of him */
        buyer->out_since_ms = clock_wall_ms();
    become(buyer, state);
}

/* ---- failures ---- */

static uint64_t backoff(struct crowd_buyer *buyer, int64_t at_least_ms)
{
    uint64_t most = BACKOFF_MAX_MS;
    if (buyer->attempts < 5)
        most = BACKOFF_MS << buyer->attempts;
    if (buyer->attempts < UINT16_MAX)
        buyer->attempts++;
    return (at_least_ms > 0 ? (uint64_t)at_least_ms : 0) + random_up_to(buyer->crowd, most);
}

/* Something that will be tried again; with --strict it counts as an error. */
static void note_error(struct crowd_buyer *buyer, const char *what, const char *why)
{
    char id[BUYER_ID_MAX + 1], kind[120];
    crowd_buyer_id(buyer, id);
    (void)snprintf(kind, sizeof(kind), "%s: %s", what, why);
    buyer->crowd->tally.errors++;
    crowd_notes_add(&buyer->crowd->tally.failures, kind, "%s", id);
}

static void note_retry(struct crowd_buyer *buyer, const char *what, const char *why)
{
    buyer->crowd->tally.retries++;
    if (buyer->crowd->options->strict)
        note_error(buyer, what, why);
}

static void retry(struct crowd_buyer *buyer, const char *why, int64_t at_least_ms)
{
    note_retry(buyer, crowd_step_name(buyer->step), why);
    wait_for(buyer, WAITS_TO_RETRY, backoff(buyer, at_least_ms));
}

static void fail(struct crowd_buyer *buyer, const char *what, const char *why)
{
    note_error(buyer, what, why);
    end(buyer, BUYER_FAILED);
}

/* ---- inside ---- */

static void think(struct crowd_buyer *buyer)
{
    const uint64_t now = loop_now_ms(buyer->crowd->loop);
    const uint64_t left = buyer->think_until_ms > now ? buyer->think_until_ms - now : 0;
    wait_for(buyer, WAITS_THINKING, left < HEARTBEAT_MS ? left : HEARTBEAT_MS);
}

static void act(struct crowd_buyer *buyer)
{
    if (buyer->plan == PLAN_LEAVE)
        ask(buyer, STEP_LEAVE);
    else
        ask(buyer, buyer->reservation != NULL ? STEP_PAY : STEP_LIST);
}

static void enter(struct crowd_buyer *buyer, const struct json *news)
{
    const struct crowd_options *options = buyer->crowd->options;
    const struct json *reservation = json_get(news, "reservation");
    const bool again = buyer->state == BUYER_INSIDE;
    crowd_in_touch(buyer);
    crowd_keep_text(&buyer->pass, json_str(news, "pass"));
    if (reservation != NULL && json_is_object(reservation))
        (void)crowd_take_reservation(buyer, reservation);
    hang_up(&buyer->socket);
    if (again) { /* he had doubts, and has his answer */
        act(buyer);
        return;
    }
    buyer->told_ms = clock_wall_ms();
    buyer->attempts = 0;
    become(buyer, BUYER_INSIDE);
    if (buyer->plan == PLAN_SILENT) {
        hang_up(&buyer->http);
        crowd_out_of_touch(buyer);
        buyer->waits = WAITS_NOTHING;
        agenda_drop(buyer->crowd->agenda, &buyer->due);
        become(buyer, options->no_check || buyer->log_departed ? BUYER_EVICTED : BUYER_SILENT);
        return;
    }
    buyer->think_until_ms =
        loop_now_ms(buyer->crowd->loop) + (uint64_t)options->think_min_ms +
        random_up_to(buyer->crowd, (uint64_t)(options->think_max_ms - options->think_min_ms));
    think(buyer);
}

void crowd_buyer_departed(struct crowd_buyer *buyer)
{
    buyer->log_departed = true;
    if (buyer->state == BUYER_SILENT)
        end(buyer, BUYER_EVICTED);
}

/* ---- answers ---- */

static bool word_is(const struct json *body, const char *key, const char *word)
{
    const char *found = json_str(body, key);
    return found != NULL && strcmp(found, word) == 0;
}

static void wait_on(struct crowd_buyer *buyer, const char *ticket, int64_t position)
{
    crowd_in_touch(buyer);
    buyer->attempts = 0;
    if (buyer->state != BUYER_WAITING)
        become(buyer, BUYER_WAITING);
    crowd_take_ticket(buyer, ticket);
    crowd_take_position(buyer, position);
}

static void answer_waiting(struct crowd_buyer *buyer, const struct json *body)
{
    wait_on(buyer, json_str(body, "ticket"), json_int(body, "position", 0));
    if (word_is(body, "status", "sold_out"))
        end(buyer, BUYER_SOLD_OUT);
    else
        go_on_waiting(buyer, json_int(body, "nextPoll", 0) * 1000);
}

/* A span as a text, in the crowd's scratch. */
static const char *span_text(struct crowd *crowd, struct crowd_span span)
{
    buf_reset(&crowd->text);
    buf_add(&crowd->text, span.text, span.len);
    return buf_str(&crowd->text);
}

/* The answer of nearly all: he has to wait. False: it says something else. */
static bool took_place(struct crowd_buyer *buyer, const struct dial_answer *answer)
{
    static const char *const keys[] = {"queued", "status", "position", "ticket"};
    struct crowd_span spans[4];
    if (!crowd_scan(answer->body, answer->len, keys, spans, 4) ||
        !crowd_span_is(spans[0], "true") || !crowd_span_is(spans[1], "queued") ||
        spans[3].text == NULL)
        return false;
    note_first_answer(buyer, true);
    wait_on(buyer, span_text(buyer->crowd, spans[3]), crowd_span_int(spans[2]));
    go_on_waiting(buyer, 0);
    return true;
}

static void answered_check(struct crowd_buyer *buyer, const struct json *body)
{
    const bool queued = json_bool(body, "queued", true);
    note_first_answer(buyer, queued);
    if (queued) {
        answer_waiting(buyer, body);
        return;
    }
    crowd_take_ticket(buyer, json_str(body, "ticket"));
    enter(buyer, body);
}

static void answered_status(struct crowd_buyer *buyer, const struct json *body)
{
    const char *status = json_str(body, "status");
    const bool waited = buyer->state == BUYER_WAITING;
    if (status != NULL && strcmp(status, "active") == 0) {
        crowd_take_ticket(buyer, json_str(body, "ticket"));
        enter(buyer, body);
    } else if (status != NULL && strcmp(status, "not_in_queue") == 0) {
        crowd_in_touch(buyer);
        if (waited && !buyer->log_departed) /* the log's reader decides whether he had his turn */
            end(buyer, BUYER_LOST);
        else
            end(buyer, BUYER_EVICTED);
    } else {
        answer_waiting(buyer, body);
    }
}

static void answered_heartbeat(struct crowd_buyer *buyer, const struct json *body)
{
    (void)body;
    think(buyer);
}

static void answered_leave(struct crowd_buyer *buyer, const struct json *body)
{
    (void)body;
    end(buyer, BUYER_LEFT);
}

static void answered_list(struct crowd_buyer *buyer, const struct json *body)
{
    const struct json *list = json_is_array(body) ? body : json_get(body, "reservations");
    for (size_t i = 0; i < json_array_len(list); i++) {
        if (!crowd_take_reservation(buyer, json_array_at(list, i)))
            continue;
        ask(buyer, STEP_PAY);
        return;
    }
    ask(buyer, STEP_RESERVE);
}

static void answered_reserve(struct crowd_buyer *buyer, const struct json *body)
{
    if (crowd_take_reservation(buyer, body))
        ask(buyer, STEP_PAY);
    else
        fail(buyer, crowd_step_name(STEP_RESERVE), "the answer is not a held reservation");
}

/* He takes the order to the provider as it is. */
static void answered_pay(struct crowd_buyer *buyer, const struct json *body)
{
    struct buf text;
    if (word_is(body, "status", "confirmed")) { /* it cost nothing */
        end(buyer, BUYER_BOUGHT);
        return;
    }
    buf_init(&text, 4096);
    json_write(body, &text);
    crowd_keep_text(&buyer->order, buf_str(&text));
    buf_clear(&text);
    crowd_keep_text(&buyer->reference, json_str(body, "reference"));
    ask(buyer, STEP_CHARGE);
}

static void answered_charge(struct crowd_buyer *buyer, const struct json *body)
{
    (void)body;
    free(buyer->order);
    buyer->order = NULL;
    buyer->attempts = 0;
    ask(buyer, STEP_OUTCOME);
}

/* Not decided yet: he asks again. */
static void ask_later(struct crowd_buyer *buyer)
{
    buyer->step = STEP_OUTCOME;
    wait_for(buyer, WAITS_TO_RETRY, OUTCOME_MS + backoff(buyer, 0));
}

static void answered_outcome(struct crowd_buyer *buyer, const struct json *body)
{
    if (word_is(body, "status", "confirmed"))
        end(buyer, BUYER_BOUGHT);
    else if (word_is(body, "status", "held") || buyer->reference == NULL)
        ask_later(buyer);
    else
        ask(buyer, STEP_CHARGED);
}

/* The hold is over: a late word may still have sold the seats, else his money is due back. */
static void answered_charged(struct crowd_buyer *buyer, const struct json *body)
{
    if (word_is(body, "payment", "refund_due") || word_is(body, "payment", "refunded"))
        end(buyer, BUYER_REFUNDED);
    else
        ask_later(buyer);
}

typedef void (*answered_cb)(struct crowd_buyer *buyer, const struct json *body);

static answered_cb const answered[STEP_COUNT] = {
    [STEP_CHECK] = answered_check,
    [STEP_STATUS] = answered_status,
    [STEP_HEARTBEAT] = answered_heartbeat,
    [STEP_LEAVE] = answered_leave,
    [STEP_LIST] = answered_list,
    [STEP_RESERVE] = answered_reserve,
    [STEP_PAY] = answered_pay,
    [STEP_CHARGE] = answered_charge,
    [STEP_OUTCOME] = answered_outcome,
    [STEP_CHARGED] = answered_charged,
};

/* The word of a problem document: what follows the last colon of its type. */
static const char *problem_word(const struct json *body)
{
    const char *type = json_str(body, "type");
    const char *colon = type != NULL ? strrchr(type, ':') : NULL;
    return colon != NULL ? colon + 1 : "";
}

static void doubt(struct crowd_buyer *buyer)
{
    ask(buyer, STEP_STATUS);
}

static void told_sold_out(struct crowd_buyer *buyer)
{
    end(buyer, BUYER_SOLD_OUT);
}

static void told_closed(struct crowd_buyer *buyer)
{
    end(buyer, BUYER_CLOSED);
}

/* The hold has lapsed, or went with his admission. */
static void told_expired(struct crowd_buyer *buyer)
{
    end(buyer, BUYER_EXPIRED);
}

static void told_paid(struct crowd_buyer *buyer)
{
    ask(buyer, STEP_OUTCOME);
}

/* Refusals that are part of a sale; all others are errors. An empty word stands for any. */
static const struct {
    enum crowd_step step;
    unsigned code;
    const char *word;
    void (*react)(struct crowd_buyer *buyer);
} refusals[] = {
    {STEP_CHECK, 410, "", told_closed},           {STEP_STATUS, 410, "", told_closed},
    {STEP_HEARTBEAT, 410, "", told_closed},       {STEP_LEAVE, 410, "", told_closed},
    {STEP_RESERVE, 403, "not-admitted", doubt},   {STEP_RESERVE, 409, "", told_sold_out},
    {STEP_RESERVE, 410, "", told_closed},         {STEP_PAY, 410, "expired", told_expired},
    {STEP_PAY, 409, "not-payable", told_expired}, {STEP_PAY, 409, "already-paid", told_paid},
    {STEP_CHARGE, 410, "", told_expired},
};

static void refused(struct crowd_buyer *buyer, unsigned code, const struct json *body)
{
    const char *word = problem_word(body);
    char why[120];
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (refusals[i].step != buyer->step || refusals[i].code != code ||
            (refusals[i].word[0] != '\0' && strcmp(refusals[i].word, word) != 0))
            continue;
        crowd_in_touch(buyer);
        refusals[i].react(buyer);
        return;
    }
    (void)snprintf(why, sizeof(why), "%u %.80s", code, word);
    fail(buyer, crowd_step_name(buyer->step), why);
}

static bool is_not_now(unsigned code)
{
    return code == 503 || code == 429 || code == 502 || code == 504;
}

static void on_answer(void *arg, const struct dial_answer *answer)
{
    struct crowd_buyer *buyer = arg;
    struct crowd *crowd = buyer->crowd;
    struct json_error error;
    char why[32];
    crowd->tally.requests++;
    agenda_drop(crowd->agenda, &buyer->due);
    crowd_take_guest(buyer, answer->guest);
    if (crowd->options->connections > 0 || !dial_reusable(buyer->http))
        hang_up(&buyer->http);
    if (is_not_now(answer->code)) {
        crowd_out_of_touch(buyer);
        (void)snprintf(why, sizeof(why), "%u", answer->code);
        retry(buyer, why, answer->retry_after_ms);
        return;
    }
    if (buyer->step == STEP_CHECK)
        crowd_samples_add(&crowd->tally.join_us, (clock_mono_ns() - buyer->asked_ns) / 1000);
    if (buyer->step == STEP_CHECK && answer->code == 200 && !crowd->options->no_sockets &&
        took_place(buyer, answer))
        return;
    struct json *body = json_parse(answer->body, answer->len, DIAL_BODY_MAX, &error);
    if (answer->code < 200 || answer->code >= 300)
        refused(buyer, answer->code, body);
    else if (body == NULL)
        fail(buyer, crowd_step_name(buyer->step), "the answer is not JSON");
    else
        answered[buyer->step](buyer, body);
    json_free(body);
}

static void on_http_end(void *arg, enum dial_end how, unsigned code)
{
    static const char *const words[] = {"refused", "closed without an answer", "not HTTP"};
    struct crowd_buyer *buyer = arg;
    (void)code;
    buyer->http = NULL;
    if (buyer->waits != WAITS_FOR_ANSWER)
        return; /* an idle connection was closed: his right */
    if (how == DIAL_END_STALE) {
        ask(buyer, buyer->step); /* it was being closed when he asked: that is nobody's fault */
        return;
    }
    crowd_out_of_touch(buyer);
    retry(buyer, words[how], 0);
}

static const struct dial_ops http_ops = {.on_answer = on_answer, .on_end = on_http_end};

static void ask(struct crowd_buyer *buyer, enum crowd_step step)
{
    struct crowd *crowd = buyer->crowd;
    const struct dial_target *target = crowd_step_target(buyer, step);
    if (target != buyer->asked)
        hang_up(&buyer->http);
    buyer->asked = target;
    buyer->step = step;
    buyer->asked_ns = clock_mono_ns();
    if (buyer->http == NULL)
        buyer->http =
            dial_open(crowd->web_net, target, crowd_buyer_number(buyer), &http_ops, buyer);
    crowd_write_request(buyer, step);
    wait_for(buyer, WAITS_FOR_ANSWER, ANSWER_MS);
    dial_request(buyer->http, buf_str(&crowd->text), crowd->text.len);
}

/* ---- the socket ---- */

static void reconnect(struct crowd_buyer *buyer, const char *why, int64_t at_least_ms)
{
    hang_up(&buyer->socket);
    crowd_out_of_touch(buyer);
    note_retry(buyer, "socket", why);
    wait_for(buyer, WAITS_TO_RECONNECT, backoff(buyer, at_least_ms));
}

static void on_socket_open(void *arg)
{
    struct crowd_buyer *buyer = arg;
    struct crowd *crowd = buyer->crowd;
    crowd->tally.sockets++;
    hang_up(&buyer->http);
    crowd_write_join(buyer);
    wait_for(buyer, WAITS_FOR_SOCKET, ANSWER_MS);
    dial_send(buyer->socket, buf_str(&crowd->text), crowd->text.len);
}

/* The handshake was answered with something else. */
static void on_socket_answer(void *arg, const struct dial_answer *answer)
{
    struct crowd_buyer *buyer = arg;
    char why[32];
    (void)snprintf(why, sizeof(why), "handshake answered %u", answer->code);
    if (is_not_now(answer->code))
        reconnect(buyer, why, answer->retry_after_ms);
    else
        fail(buyer, "socket", why);
}

static void on_socket_end(void *arg, enum dial_end how, unsigned code)
{
    static const char *const words[] = {"refused", "closed", "not a WebSocket"};
    struct crowd_buyer *buyer = arg;
    char why[40];
    buyer->socket = NULL;
    (void)snprintf(why, sizeof(why), "%s %u", words[how], code);
    reconnect(buyer, why, 0);
}

static void heard(struct crowd_buyer *buyer)
{
    buyer->heard_ms = loop_now_ms(buyer->crowd->loop);
}

static void on_socket_sign(void *arg)
{
    heard(arg);
}

/* The last of all tells how long it took until everybody had a socket. */
static void note_joined(struct crowd_buyer *buyer)
{
    struct crowd *crowd = buyer->crowd;
    if (buyer->settled)
        return;
    buyer->settled = true;
    crowd->tally.joined++;
    crowd->tally.joined_ms = (clock_mono_ns() - crowd->begun_ns) / 1000000;
}

static void hear_position(struct crowd_buyer *buyer, const char *ticket, int64_t position)
{
    crowd_in_touch(buyer);
    buyer->attempts = 0;
    if (!buyer->joined) {
        buyer->joined = true;
        note_joined(buyer);
        wait_for(buyer, WAITS_FOR_WORD, QUIET_MS);
    }
    crowd_take_ticket(buyer, ticket);
    crowd_take_position(buyer, position);
}

static void news_position(struct crowd_buyer *buyer, const struct json *payload)
{
    hear_position(buyer, json_str(payload, "ticket"), json_int(payload, "position", 0));
}

/* The message of nearly all. False: it says something else. */
static bool heard_position(struct crowd_buyer *buyer, const char *text, size_t len)
{
    static const char *const outer[] = {"event", "payload"}, *const inner[] = {"position",
                                                                               "ticket"};
    struct crowd_span message[2], payload[2];
    if (!crowd_scan(text, len, outer, message, 2) || !crowd_span_is(message[0], "queue-position") ||
        message[1].text == NULL ||
        !crowd_scan(message[1].text, message[1].len, inner, payload, 2) || payload[1].text == NULL)
        return false;
    hear_position(buyer, span_text(buyer->crowd, payload[1]), crowd_span_int(payload[0]));
    return true;
}

static void news_entry(struct crowd_buyer *buyer, const struct json *payload)
{
    buyer->pushed = true;
    enter(buyer, payload);
}

static void news_status(struct crowd_buyer *buyer, const struct json *payload)
{
    const char *status = json_str(payload, "status");
    if (status != NULL && strcmp(status, "sold_out") == 0)
        end(buyer, BUYER_SOLD_OUT);
    else if (status != NULL && strcmp(status, "closed") == 0)
        end(buyer, BUYER_CLOSED);
}

/* Everybody has been sent away: he queues again, at a new place. */
static void news_cleared(struct crowd_buyer *buyer, const struct json *payload)
{
    (void)payload;
    hang_up(&buyer->socket);
    free(buyer->ticket);
    buyer->ticket = NULL;
    buyer->place = buyer->lowest = 0;
    wait_for(buyer, WAITS_TO_RETRY, backoff(buyer, 0));
    buyer->step = STEP_CHECK;
}

static void news_error(struct crowd_buyer *buyer, const struct json *payload)
{
    static const char *const passing[] = {"draining", "unavailable", "timeout", "full"};
    const char *code = json_str(payload, "code");
    if (code == NULL)
        code = "";
    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
        if (strcmp(code, passing[i]) != 0)
            continue;
        reconnect(buyer, code, json_int(payload, "retryMs", 0));
        return;
    }
    hang_up(&buyer->socket);
    if (strcmp(code, "not-in-queue") == 0)
        doubt(buyer);
    else if (strcmp(code, "event-closed") == 0)
        end(buyer, BUYER_CLOSED);
    else
        fail(buyer, "socket", code);
}

static const struct {
    const char *event;
    void (*react)(struct crowd_buyer *buyer, const struct json *payload);
} news[] = {
    {"queue-position", news_position},
    {"queue-entry-allowed", news_entry},
    {"event-status-changed", news_status},
    {"queue-cleared", news_cleared},
    {"error", news_error},
};

static void on_socket_text(void *arg, const char *text, size_t len)
{
    static const char numbers[] = "{\"event\":\"queue-updated\"";
    struct crowd_buyer *buyer = arg;
    struct json_error error;
    buyer->crowd->tally.messages++;
    heard(buyer);
    if (len >= sizeof(numbers) - 1 && memcmp(text, numbers, sizeof(numbers) - 1) == 0)
        return; /* for the eye alone */
    if (heard_position(buyer, text, len))
        return;
    struct json *message = json_parse(text, len, DIAL_MESSAGE_MAX, &error);
    const char *event = json_str(message, "event");
    if (event == NULL)
        fail(buyer, "socket", "a message is not JSON");
    for (size_t i = 0; event != NULL && i < sizeof(news) / sizeof(news[0]); i++) {
        if (strcmp(event, news[i].event) != 0)
            continue;
        news[i].react(buyer, json_get(message, "payload"));
        break;
    }
    json_free(message);
}

static const struct dial_ops socket_ops = {.on_answer = on_socket_answer,
                                           .on_open = on_socket_open,
                                           .on_text = on_socket_text,
                                           .on_sign = on_socket_sign,
                                           .on_end = on_socket_end};

static void open_socket(struct crowd_buyer *buyer)
{
    struct crowd *crowd = buyer->crowd;
    buyer->joined = false;
    buyer->socket =
        dial_open(crowd->net, crowd_buyer_ws(buyer), crowd_buyer_number(buyer), &socket_ops, buyer);
    crowd_write_handshake(buyer);
    wait_for(buyer, WAITS_FOR_SOCKET, ANSWER_MS);
    dial_upgrade(buyer->socket, buf_str(&crowd->text));
}

static void go_on_waiting(struct crowd_buyer *buyer, int64_t poll_ms)
{
    const struct crowd_options *options = buyer->crowd->options;
    if (!options->no_sockets && (buyer->settled || options->settle_max_ms == 0)) {
        open_socket(buyer);
    } else if (!options->no_sockets) {
        hang_up(&buyer->http); /* he cannot be told anything until then */
        crowd_out_of_touch(buyer);
        wait_for(buyer, WAITS_TO_SETTLE,
                 (uint64_t)options->settle_min_ms +
                     random_up_to(buyer->crowd,
                                  (uint64_t)(options->settle_max_ms - options->settle_min_ms)));
    } else {
        wait_for(buyer, WAITS_TO_POLL, poll_ms > 0 ? (uint64_t)poll_ms : POLL_MS);
    }
}

/* ---- what is due ---- */

static void due_nothing(struct crowd_buyer *buyer)
{
    (void)buyer;
}

static void due_arrival(struct crowd_buyer *buyer)
{
    become(buyer, BUYER_ARRIVING);
    crowd_out_of_touch(buyer); /* he may get a place before he hears of it */
    ask(buyer, STEP_CHECK);
}

static void due_answer(struct crowd_buyer *buyer)
{
    hang_up(&buyer->http);
    crowd_out_of_touch(buyer);
    retry(buyer, "no answer in time", 0);
}

static void due_retry(struct crowd_buyer *buyer)
{
    ask(buyer, buyer->step);
}

static void due_poll(struct crowd_buyer *buyer)
{
    ask(buyer, STEP_STATUS);
}

static void due_socket(struct crowd_buyer *buyer)
{
    reconnect(buyer, "no answer in time", 0);
}

/* The socket's watch is set once and looked after when it is due, not with each word. */
static void due_word(struct crowd_buyer *buyer)
{
    const uint64_t quiet = loop_now_ms(buyer->crowd->loop) - buyer->heard_ms;
    if (quiet < QUIET_MS)
        wait_for(buyer, WAITS_FOR_WORD, QUIET_MS - quiet);
    else
        reconnect(buyer, "silent for three pings", 0);
}

/* Now and then by HTTP: a gateway may be gone while the rest is well. */
static void due_reconnect(struct crowd_buyer *buyer)
{
    if (buyer->attempts % 3 == 0)
        ask(buyer, STEP_STATUS);
    else
        open_socket(buyer);
}

static void due_settling(struct crowd_buyer *buyer)
{
    open_socket(buyer);
}

static void due_thought(struct crowd_buyer *buyer)
{
    if (buyer->think_until_ms > loop_now_ms(buyer->crowd->loop))
        ask(buyer, STEP_HEARTBEAT);
    else
        act(buyer);
}

void crowd_buyer_due(void *arg, struct agenda_item *due)
{
    static void (*const on_due[])(struct crowd_buyer * buyer) = {
        [WAITS_NOTHING] = due_nothing,    [WAITS_TO_ARRIVE] = due_arrival,
        [WAITS_FOR_ANSWER] = due_answer,  [WAITS_TO_RETRY] = due_retry,
        [WAITS_TO_POLL] = due_poll,       [WAITS_FOR_SOCKET] = due_socket,
        [WAITS_FOR_WORD] = due_word,      [WAITS_TO_RECONNECT] = due_reconnect,
        [WAITS_TO_SETTLE] = due_settling, [WAITS_THINKING] = due_thought,
    };
    struct crowd_buyer *buyer =
        (struct crowd_buyer *)((char *)due - offsetof(struct crowd_buyer, due));
    (void)arg;
    on_due[buyer->waits](buyer);
}

/* ---- life ---- */

void crowd_buyer_init(struct crowd *crowd, uint32_t index)
{
    struct crowd_buyer *buyer = &crowd->buyers[index];
    char id[BUYER_ID_MAX + 1];
    const uint64_t die =
        crowd_mix((uint64_t)crowd->options->seed * 0x9e3779b97f4a7c15ULL + crowd->first + index);
    const double share = (double)(die >> 11) / 9007199254740992.0;
    buyer->crowd = crowd;
    buyer->plan = PLAN_SILENT;
    if (share < crowd->options->buy)
        buyer->plan = PLAN_BUY;
    else if (share < crowd->options->buy + crowd->options->abandon)
        buyer->plan = PLAN_LEAVE;
    crowd->tally.states[BUYER_ABSENT]++;
    if (!crowd->users)
        return;
    crowd_buyer_id(buyer, id);
    table_add(&crowd->roster, &buyer->node, table_hash(&crowd->roster, id, strlen(id), "", 0));
}

void crowd_buyer_arrive(struct crowd_buyer *buyer, uint64_t delay_ms)
{
    wait_for(buyer, WAITS_TO_ARRIVE, delay_ms);
}

void crowd_buyer_stop(struct crowd_buyer *buyer)
{
    hang_up(&buyer->http);
    hang_up(&buyer->socket);
    buyer->waits = WAITS_NOTHING;
    agenda_drop(buyer->crowd->agenda, &buyer->due);
}

void crowd_buyer_clear(struct crowd_buyer *buyer)
{
    free(buyer->guest);
    free(buyer->ticket);
    free(buyer->pass);
    free(buyer->reservation);
    free(buyer->order);
    free(buyer->reference);
}
