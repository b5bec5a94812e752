/* SPDX-License-Identifier: MIT */
/*
 * crowd_web: a virtual buyer's HTTP requests, and what the answers mean for them.
 *
 *   ask -> answer -> queued: wait | inside: crowd_visit | a request made inside: crowd_visit
 *                 -> "later", or no answer: the same request again, later
 *                 -> an expected refusal: as the table says; any other is an error
 *
 * Why this way: a buyer has one request under way, so their step says what an answer belongs to. The most frequent
 * answer, "wait", is read without a JSON parser. Called by: the buyer's other files. Owns: the buyer's HTTP
 * connection. Without an answer the buyer asks again, another pod each time.
 */
#include "crowd/crowd_buyer_internal.h"

#include "base/clock.h"
#include "crowd/crowd_history.h"
#include "crowd/crowd_memory.h"

#include <stdio.h>
#include <string.h>

#define POLL_MS 5000 /* when the service does not say */

/* ---- failures ---- */

static void retry(struct crowd_buyer *buyer, const char *why, int64_t at_least_ms)
{
    buyer_note_retry(buyer, crowd_step_name(buyer->step), why);
    buyer_wait(buyer, WAITS_TO_RETRY, buyer_backoff(buyer, at_least_ms));
}

bool web_is_not_now(unsigned code)
{
    return code == 503 || code == 429 || code == 502 || code == 504 || code == 408;
}

void web_due(struct crowd_buyer *buyer)
{
    crowd_history_none(buyer, buyer->step, "no answer in time");
    buyer_hang_up(&buyer->http);
    crowd_out_of_touch(buyer);
    retry(buyer, "no answer in time", 0);
}

/* ---- the place ---- */

/* The last of these says how long it took until every buyer had an answer. */
static void note_first_answer(struct crowd_buyer *buyer, bool queued)
{
    struct crowd *crowd = buyer->crowd;
    if (buyer->queued || buyer->direct)
        return;
    buyer->queued = queued;
    buyer->direct = !queued;
    crowd->tally.queued += queued;
    crowd->tally.allowed += !queued;
    crowd->tally.answered_ms = (clock_mono_ns() - crowd->begun_ns) / 1000000;
}

static void wait_on(struct crowd_buyer *buyer, const char *ticket, int64_t position)
{
    crowd_in_touch(buyer);
    buyer->attempts = 0;
    if (buyer->state != BUYER_WAITING)
        buyer_become(buyer, BUYER_WAITING);
    crowd_take_ticket(buyer, ticket);
    crowd_take_position(buyer, position);
}

static void go_on_waiting(struct crowd_buyer *buyer, int64_t poll_ms)
{
    const struct crowd_options *options = buyer->crowd->options;
    if (buyer_falls_asleep(buyer))
        return;
    if (!buyer->settled && options->settle_max_ms > 0) {
        buyer_hang_up(&buyer->http); /* so that nothing reaches the buyer until then */
        crowd_out_of_touch(buyer);
        buyer->settled = options->no_sockets;
        buyer_wait(buyer, options->no_sockets ? WAITS_TO_POLL : WAITS_TO_SETTLE,
                   (uint64_t)options->settle_min_ms +
                       crowd_random(buyer->crowd,
                                    (uint64_t)(options->settle_max_ms - options->settle_min_ms)));
    } else if (!options->no_sockets) {
        socket_open(buyer);
    } else {
        buyer_wait(buyer, WAITS_TO_POLL, poll_ms > 0 ? (uint64_t)poll_ms : POLL_MS);
    }
}

static void answer_waiting(struct crowd_buyer *buyer, const struct json *body)
{
    wait_on(buyer, json_str(body, "ticket"), json_int(body, "position", 0));
    crowd_take_estimate(buyer, json_int(body, "estimatedWait", -1),
                        crowd_word_is(body, "estimateConfidence", "low") ? ESTIMATE_LOW
                                                                         : ESTIMATE_HIGH);
    if (crowd_word_is(body, "status", "sold_out"))
        buyer_end(buyer, BUYER_SOLD_OUT);
    else
        go_on_waiting(buyer, json_int(body, "nextPoll", 0) * 1000);
}

/* The most frequent answer: wait. False: it is another answer. */
static bool took_place(struct crowd_buyer *buyer, const struct dial_answer *answer)
{
    static const char *const keys[] = {"queued", "status",        "position",
                                       "ticket", "estimatedWait", "estimateConfidence"};
    struct crowd_span spans[6];
    if (!crowd_scan(answer->body, answer->len, keys, spans, 6) ||
        !crowd_span_is(spans[0], "true") || !crowd_span_is(spans[1], "queued") || !spans[3].text)
        return false;
    note_first_answer(buyer, true);
    wait_on(buyer, crowd_span_text(buyer->crowd, spans[3]), crowd_span_int(spans[2]));
    crowd_take_estimate(buyer, crowd_span_int(spans[4]), crowd_confidence(spans[5]));
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
    visit_begin(buyer, body);
}

static void answered_status(struct crowd_buyer *buyer, const struct json *body)
{
    const char *status = json_str(body, "status");
    const bool waited = buyer->state == BUYER_WAITING;
    if (status && strcmp(status, "active") == 0) {
        crowd_take_ticket(buyer, json_str(body, "ticket"));
        visit_begin(buyer, body);
    } else if (status && strcmp(status, "not_in_queue") == 0) {
        crowd_in_touch(buyer);
        if (waited &&
            !crowd_buyer_consumed(buyer)) /* only the log tells whether they were admitted */
            buyer_end(buyer, BUYER_LOST);
        else
            buyer_end(buyer, BUYER_EVICTED);
    } else if (json_bool(body, "unclaimed",
                         false)) { /* their turn has passed: only what claims brings them back */
        crowd_in_touch(buyer);
        crowd_take_ticket(buyer, json_str(body, "ticket"));
        crowd_take_position(buyer, json_int(body, "position", 0));
        web_ask(buyer, STEP_CHECK);
    } else {
        answer_waiting(buyer, body);
    }
}

static void answered_heartbeat(struct crowd_buyer *buyer, const struct json *body)
{
    (void)body;
    visit_think(buyer);
}

static void answered_leave(struct crowd_buyer *buyer, const struct json *body)
{
    (void)body;
    buyer_end(buyer, BUYER_LEFT);
}

typedef void (*answered_cb)(struct crowd_buyer *buyer, const struct json *body);

static answered_cb const answered[STEP_COUNT] = {
    [STEP_CHECK] = answered_check,           [STEP_STATUS] = answered_status,
    [STEP_HEARTBEAT] = answered_heartbeat,   [STEP_LEAVE] = answered_leave,
    [STEP_LIST] = visit_answered_list,       [STEP_RESERVE] = visit_answered_reserve,
    [STEP_PAY] = visit_answered_pay,         [STEP_CHARGE] = visit_answered_charge,
    [STEP_OUTCOME] = visit_answered_outcome, [STEP_CHARGED] = visit_answered_charged,
};

/* ---- refusals ---- */

static void ask_status(struct crowd_buyer *buyer)
{
    web_ask(buyer, STEP_STATUS);
}

static void end_sold_out(struct crowd_buyer *buyer)
{
    buyer_end(buyer, BUYER_SOLD_OUT);
}

static void end_closed(struct crowd_buyer *buyer)
{
    buyer_end(buyer, BUYER_CLOSED);
}

/* The hold has expired, or ended with the admission. */
static void end_expired(struct crowd_buyer *buyer)
{
    buyer_end(buyer, BUYER_EXPIRED);
}

static void ask_outcome(struct crowd_buyer *buyer)
{
    web_ask(buyer, STEP_OUTCOME);
}

/* The expected refusals; all others are errors. An empty word stands for any. */
static const struct {
    enum crowd_step step;
    unsigned code;
    const char *word;
    void (*react)(struct crowd_buyer *buyer);
} refusals[] = {
    {STEP_CHECK, 410, "", end_closed},
    {STEP_STATUS, 410, "", end_closed},
    {STEP_HEARTBEAT, 410, "", end_closed},
    {STEP_LEAVE, 410, "", end_closed},
    {STEP_RESERVE, 403, "not-admitted", ask_status},
    {STEP_RESERVE, 409, "", end_sold_out},
    {STEP_RESERVE, 410, "", end_closed},
    {STEP_PAY, 410, "expired", end_expired},
    {STEP_PAY, 409, "not-payable", end_expired},
    {STEP_PAY, 409, "already-paid", ask_outcome},
    {STEP_CHARGE, 410, "", end_expired},
};

static void refused(struct crowd_buyer *buyer, unsigned code, const struct json *body)
{
    const char *type = json_str(body, "type"); /* urn:tiketi:problem:<word> */
    const char *colon = type ? strrchr(type, ':') : NULL;
    const char *word = colon ? colon + 1 : "";
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
    buyer_fail(buyer, crowd_step_name(buyer->step), why);
}

/* ---- the connection ---- */

static void on_answer(void *arg, const struct dial_answer *answer)
{
    struct crowd_buyer *buyer = arg;
    struct crowd *crowd = buyer->crowd;
    struct json_error error;
    char why[32];
    crowd->tally.requests++;
    agenda_drop(crowd->agenda, &buyer->due);
    crowd_take_guest(buyer, answer->guest);
    crowd_history_answer(buyer, buyer->step, answer);
    if (crowd->options->connections > 0 || !dial_reusable(buyer->http))
        buyer_hang_up(&buyer->http);
    if (web_is_not_now(answer->code)) {
        crowd_out_of_touch(buyer);
        (void)snprintf(why, sizeof(why), "%u", answer->code);
        retry(buyer, why, answer->retry_after_ms);
        return;
    }
    buyer->unanswered = 0;
    if (buyer->step == STEP_CHECK)
        crowd_samples_add(&crowd->tally.join_us, (clock_mono_ns() - buyer->asked_ns) / 1000);
    if (buyer->step == STEP_CHECK && answer->code == 200 && !crowd->options->no_sockets &&
        took_place(buyer, answer))
        return;
    struct json *body = json_parse(answer->body, answer->len, DIAL_BODY_MAX, &error);
    if (answer->code < 200 || answer->code >= 300)
        refused(buyer, answer->code, body);
    else if (!body)
        buyer_fail(buyer, crowd_step_name(buyer->step), "the answer is not JSON");
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
        return; /* an idle connection was closed: any server may do that */
    crowd_history_none(buyer, buyer->step, how == DIAL_END_STALE ? "stale" : words[how]);
    if (how == DIAL_END_STALE) {
        web_ask(buyer, buyer->step); /* it was being closed when the request left: not an error */
        return;
    }
    crowd_out_of_touch(buyer);
    retry(buyer, words[how], 0);
}

static const struct dial_ops http_ops = {.on_answer = on_answer, .on_end = on_http_end};

void web_ask(struct crowd_buyer *buyer, enum crowd_step step)
{
    struct crowd *crowd = buyer->crowd;
    const struct dial_target *target = crowd_step_target(buyer, step);
    if (target != buyer->asked)
        buyer_hang_up(&buyer->http);
    buyer->asked = target;
    buyer->step = step;
    buyer->asked_ns = clock_mono_ns();
    if (!buyer->http)
        buyer->http =
            dial_open(crowd->web_net, target, crowd_buyer_number(buyer), &http_ops, buyer);
    crowd_history_ask(buyer, step);
    crowd_write_request(buyer, step);
    buyer_wait(buyer, WAITS_FOR_ANSWER, CROWD_ANSWER_MS);
    dial_request(buyer->http, buf_str(&crowd->text), crowd->text.len);
}
