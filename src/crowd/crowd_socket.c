/* SPDX-License-Identifier: MIT */
/*
 * crowd_socket: the socket on which a virtual buyer waits.
 *
 *   open -> handshake -> join-queue -> positions, other messages -> entry: crowd_visit -> claim -> claimed: crowd_visit
 *   lost, or silent for three pings -> comes back with the last ticket
 *
 * Why this way: most messages are positions. They are read in one pass, without a JSON parser, and the timer that
 * finds a dead socket is set once, not with each message. Called by: the buyer's other files. Owns: the buyer's
 * socket. While no gateway answers, the buyer asks by HTTP now and then.
 */
#include "crowd/crowd_buyer_internal.h"

#include "base/clock.h"
#include "crowd/crowd_history.h"
#include "crowd/crowd_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUIET_MS 75000 /* a socket without a message or a ping for so long is dead: three pings */

void socket_reconnect(struct crowd_buyer *buyer, const char *why, int64_t at_least_ms)
{
    crowd_history_socket(buyer, "lost", 0, why);
    buyer_hang_up(&buyer->socket);
    crowd_out_of_touch(buyer);
    buyer_note_retry(buyer, "socket", why);
    buyer_wait(buyer, WAITS_TO_RECONNECT, buyer_backoff(buyer, at_least_ms));
}

/* ---- the connection ---- */

static void on_socket_open(void *arg)
{
    struct crowd_buyer *buyer = arg;
    struct crowd *crowd = buyer->crowd;
    crowd->tally.sockets++;
    crowd_history_socket(buyer, "open", 0, NULL);
    buyer_hang_up(&buyer->http);
    crowd_write_join(buyer);
    buyer_wait(buyer, WAITS_FOR_SOCKET, CROWD_ANSWER_MS);
    dial_send(buyer->socket, buf_str(&crowd->text), crowd->text.len);
}

/* The handshake was refused. */
static void on_socket_answer(void *arg, const struct dial_answer *answer)
{
    struct crowd_buyer *buyer = arg;
    char why[32];
    (void)snprintf(why, sizeof(why), "handshake answered %u", answer->code);
    crowd_history_socket(buyer, "refused", answer->code, NULL);
    if (web_is_not_now(answer->code))
        socket_reconnect(buyer, why, answer->retry_after_ms);
    else
        buyer_fail(buyer, "socket", why);
}

static void on_socket_end(void *arg, enum dial_end how, unsigned code)
{
    static const char *const words[] = {"refused", "closed", "not a WebSocket"};
    struct crowd_buyer *buyer = arg;
    char why[40];
    buyer->socket = NULL;
    (void)snprintf(why, sizeof(why), "%s %u", words[how], code);
    crowd_history_socket(buyer, "ended", code, words[how]);
    socket_reconnect(buyer, why, 0);
}

static void heard(struct crowd_buyer *buyer)
{
    buyer->heard_ms = loop_now_ms(buyer->crowd->loop);
}

static void on_socket_ping(void *arg)
{
    heard(arg);
}

/* ---- messages ---- */

static void take_position(struct crowd_buyer *buyer, const char *ticket, int64_t position)
{
    struct crowd *crowd = buyer->crowd;
    crowd_in_touch(buyer);
    buyer->attempts = buyer->unanswered = 0;
    if (!buyer->joined) {
        buyer->joined = true;
        if (!buyer->settled) { /* the last of these says when every waiting buyer had a socket */
            buyer->settled = true;
            crowd->tally.joined++;
            crowd->tally.joined_ms = (clock_mono_ns() - crowd->begun_ns) / 1000000;
        }
        buyer_wait(buyer, WAITS_FOR_MESSAGE, QUIET_MS);
    }
    crowd_take_ticket(buyer, ticket);
    crowd_take_position(buyer, position);
    (void)buyer_falls_asleep(buyer);
}

static void on_position(struct crowd_buyer *buyer, const struct json *payload)
{
    take_position(buyer, json_str(payload, "ticket"), json_int(payload, "position", 0));
    crowd_take_estimate(buyer, json_int(payload, "estimatedWait", -1),
                        crowd_word_is(payload, "estimateConfidence", "low") ? ESTIMATE_LOW
                                                                            : ESTIMATE_HIGH);
}

/* The most frequent message. False: it is another one. */
static bool took_position(struct crowd_buyer *buyer, const char *text, size_t len)
{
    static const char *const outer[] = {"event", "payload"}, *const inner[] = {
                                                                 "position", "ticket",
                                                                 "estimatedWait",
                                                                 "estimateConfidence"};
    struct crowd_span message[2], payload[4];
    if (!crowd_scan(text, len, outer, message, 2) || !crowd_span_is(message[0], "queue-position") ||
        !message[1].text || !crowd_scan(message[1].text, message[1].len, inner, payload, 4) ||
        !payload[1].text)
        return false;
    take_position(buyer, crowd_span_text(buyer->crowd, payload[1]), crowd_span_int(payload[0]));
    crowd_take_estimate(buyer, crowd_span_int(payload[2]), crowd_confidence(payload[3]));
    return true;
}

static void on_entry(struct crowd_buyer *buyer, const struct json *payload)
{
    buyer->pushed = true;
    buyer->unanswered = 0;
    visit_begin(buyer, payload);
}

/* The answer to socket_claim, or to a claim in another way. */
static void on_claimed(struct crowd_buyer *buyer, const struct json *payload)
{
    visit_begin(buyer, payload);
}

static void on_status(struct crowd_buyer *buyer, const struct json *payload)
{
    if (crowd_word_is(payload, "status", "sold_out"))
        buyer_end(buyer, BUYER_SOLD_OUT);
    else if (crowd_word_is(payload, "status", "closed"))
        buyer_end(buyer, BUYER_CLOSED);
}

/* The event was cleared: the buyer queues again, at a new place. */
static void on_cleared(struct crowd_buyer *buyer, const struct json *payload)
{
    (void)payload;
    buyer_hang_up(&buyer->socket);
    free(buyer->ticket);
    buyer->ticket = NULL;
    buyer->place = buyer->lowest = 0;
    buyer_wait(buyer, WAITS_TO_RETRY, buyer_backoff(buyer, 0));
    buyer->step = STEP_CHECK;
}

static void on_error(struct crowd_buyer *buyer, const struct json *payload)
{
    static const char *const passing[] = {"draining", "unavailable", "timeout", "full"};
    const char *code = json_str(payload, "code");
    if (!code)
        code = "";
    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
        if (strcmp(code, passing[i]) != 0)
            continue;
        socket_reconnect(buyer, code, json_int(payload, "retryMs", 0));
        return;
    }
    buyer_hang_up(&buyer->socket);
    if (strcmp(code, "not-in-queue") == 0)
        web_ask(buyer, STEP_STATUS);
    else if (strcmp(code, "event-closed") == 0)
        buyer_end(buyer, BUYER_CLOSED);
    else
        buyer_fail(buyer, "socket", code);
}

static const struct {
    const char *event;
    void (*react)(struct crowd_buyer *buyer, const struct json *payload);
} messages[] = {
    {"queue-position", on_position}, {"queue-entry-allowed", on_entry},
    {"turn-claimed", on_claimed},    {"event-status-changed", on_status},
    {"queue-cleared", on_cleared},   {"error", on_error},
};

static void on_socket_text(void *arg, const char *text, size_t len)
{
    static const char numbers[] = "{\"event\":\"queue-updated\"";
    struct crowd_buyer *buyer = arg;
    struct json_error error;
    buyer->crowd->tally.messages++;
    heard(buyer);
    crowd_history_message(buyer, text, len);
    if (len >= sizeof(numbers) - 1 && memcmp(text, numbers, sizeof(numbers) - 1) == 0)
        return; /* the event's numbers: only shown */
    if (took_position(buyer, text, len))
        return;
    struct json *message = json_parse(text, len, DIAL_MESSAGE_MAX, &error);
    const char *event = json_str(message, "event");
    if (!event)
        buyer_fail(buyer, "socket", "a message is not JSON");
    for (size_t i = 0; event && i < sizeof(messages) / sizeof(messages[0]); i++) {
        if (strcmp(event, messages[i].event) != 0)
            continue;
        messages[i].react(buyer, json_get(message, "payload"));
        break;
    }
    json_free(message);
}

/* ---- open ---- */

static const struct dial_ops socket_ops = {.on_answer = on_socket_answer,
                                           .on_open = on_socket_open,
                                           .on_text = on_socket_text,
                                           .on_ping = on_socket_ping,
                                           .on_end = on_socket_end};

void socket_open(struct crowd_buyer *buyer)
{
    struct crowd *crowd = buyer->crowd;
    buyer->joined = false;
    crowd_history_socket(buyer, "opening", 0, NULL);
    buyer->socket =
        dial_open(crowd->net, crowd_buyer_ws(buyer), crowd_buyer_number(buyer), &socket_ops, buyer);
    crowd_write_handshake(buyer);
    buyer_wait(buyer, WAITS_FOR_SOCKET, CROWD_ANSWER_MS);
    dial_upgrade(buyer->socket, buf_str(&crowd->text));
}

void socket_claim(struct crowd_buyer *buyer)
{
    crowd_history_socket(buyer, "claim", 0, NULL);
    crowd_write_claim(buyer);
    buyer_wait(buyer, WAITS_FOR_SOCKET, CROWD_ANSWER_MS);
    dial_send(buyer->socket, buf_str(&buyer->crowd->text), buyer->crowd->text.len);
}

void socket_due(struct crowd_buyer *buyer)
{
    const uint64_t quiet = loop_now_ms(buyer->crowd->loop) - buyer->heard_ms;
    if (quiet < QUIET_MS)
        buyer_wait(buyer, WAITS_FOR_MESSAGE, QUIET_MS - quiet);
    else
        socket_reconnect(buyer, "silent for three pings", 0);
}
