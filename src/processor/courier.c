/* SPDX-License-Identifier: MIT */
/*
 * courier: the sender of webhooks.
 *
 *   claim   twice a second, and when a round ended with more to send: hook_claim gives webhooks, each with what comes next
 *   round   a test call, if one is asked for; then one event after the other: sign (hook_sign) -> POST -> 2xx: the next one
 *   report  hook_sent: up to where it went, and why it went no further
 *   upkeep  every 5 s: how many fail, for the metrics
 *
 * Why this way: order is kept because a webhook has one sender and a sender one request; a failure ends the round, and what
 * follows waits for the next attempt. A round ends before its claim does (ROUND_MS and one attempt are well below CLAIM_MS),
 * so nobody else begins meanwhile. A sender that dies in a round has told nobody: the next one repeats it from its
 * beginning, with the same ids. Called by: worker, beside the processor. Owns: the connections to receivers, the
 * rounds under way. PostgreSQL gone: nothing is claimed. A receiver gone: its webhook waits; no other one does.
 */
#include "processor/courier.h"

#include "auth/hook_sign.h"
#include "auth/token.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "base/shared_clock.h"
#include "net/hook_url.h"
#include "net/http_client.h"
#include "selling/hook.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS    64
#define EVENTS         100   /* of a round */
#define CALL_MS        15000 /* for one attempt */
#define ROUND_MS       20000 /* no attempt begins after it */
#define CLAIM_MS       60000
#define CLAIM_EVERY_MS 500
#define UPKEEP_MS      5000
#define CLOSE_MS       3000
#define CLAIMED_MAX    ((size_t)64 << 20) /* bytes of a claim's JSON */
#define BODY_MAX       ((size_t)1 << 20)
#define ANSWER_MAX     65536 /* bytes of an answer, which nobody reads */
#define RETRY_MAX_S    3600  /* the longest Retry-After that is counted */
#define HEADER_MAX     512
#define NUMBER_SIZE    24

struct courier {
    struct courier_opts opts;
    struct http_client *http;
    struct client_ip *allowed;
    struct loop_timer *claim_timer, *upkeep_timer, *close_timer;
    bool claiming, keeping;
    unsigned rounds;  /* under way, until their reports are sent */
    unsigned pending; /* outstanding callbacks of the database */
    bool closing;
    struct loop_task closed;
    loop_cb close_cb;
    void *close_arg;
};

/* A claimed webhook. */
struct round {
    struct courier *courier;
    struct json *hook; /* of the claim: {"id","url","secrets","events", …} */
    char id[NUMBER_SIZE], claim[40], event[EVENT_ID_MAX + 1];
    char test[40];          /* the id of the test call that is to be sent first; "": none */
    bool testing;           /* it is under way */
    char sent[NUMBER_SIZE]; /* the number of the last event that was delivered; "": none */
    size_t at;              /* the event whose turn it is */
    unsigned count;         /* events that were delivered */
    uint64_t started_ms;
};

static void send_next(struct round *round);

/* ---- the end ---- */

static void courier_gone(void *arg)
{
    struct courier *courier = arg;
    const loop_cb cb = courier->close_cb;
    void *cb_arg = courier->close_arg;
    loop_timer_close(courier->close_timer);
    http_client_close(courier->http);
    client_ip_free(courier->allowed);
    free(courier);
    if (cb)
        cb(cb_arg);
}

static void collect(struct courier *courier)
{
    if (courier->closing && courier->rounds == 0 && courier->pending == 0)
        loop_defer(courier->opts.loop, &courier->closed);
}

/* Gives up what receivers have not answered: each round reports what was delivered. */
static void close_late(void *arg)
{
    struct courier *courier = arg;
    struct http_client *http = courier->http;
    courier->http = NULL;
    http_client_close(http);
    collect(courier);
}

/* ---- the report ---- */

static void reported(void *arg, enum status status, const char *outcome, const char *json,
                     size_t len)
{
    struct round *round = arg;
    struct courier *courier = round->courier;
    (void)json, (void)len;
    courier->pending--;
    if (status == ST_OK && strcmp(outcome, "parked") == 0)
        log_error("webhook parked", LOG_TEXT("event", round->event), LOG_TEXT("id", round->id));
    else if (status != ST_OK && status != ST_NOT_FOUND) /* it is due again when its claim ends */
        log_warn("outcome of a webhook not recorded", LOG_TEXT("id", round->id),
                 LOG_TEXT("status", status_name(status)));
    if (status == ST_OK && round->count > 0 && !courier->closing)
        loop_timer_set(courier->claim_timer, 0); /* there may be more */
    json_free(round->hook);
    free(round);
    collect(courier);
}

/* Ends the round. error: why the event whose turn it is was not delivered; NULL: none failed. */
static void report(struct round *round, const char *error, int64_t wait_ms, bool gone)
{
    struct courier *courier = round->courier;
    const bool all = !error && round->at == json_array_len(json_get(round->hook, "events"));
    const char *up_to = all ? json_str(round->hook, "upTo") : NULL;
    const struct hook_outcome outcome = {.id = round->id,
                                         .claim = round->claim,
                                         .sent = up_to ? up_to : round->sent,
                                         .count = round->count,
                                         .error = error,
                                         .wait_ms = wait_ms,
                                         .gone = gone};
    courier->rounds--;
    courier->pending++;
    const enum status st = hook_sent(courier->opts.db, &outcome, reported, round);
    if (st != ST_OK)
        reported(round, st, NULL, NULL, 0);
}

/* ---- one request ---- */

static void test_noted(void *arg, enum status status, const char *outcome, const char *json,
                       size_t len)
{
    struct courier *courier = arg;
    (void)outcome, (void)json, (void)len;
    courier->pending--;
    if (status != ST_OK && status != ST_NOT_FOUND)
        log_warn("outcome of a webhook's test not recorded",
                 LOG_TEXT("status", status_name(status)));
    collect(courier);
}

static void note_test(struct round *round, const char *error)
{
    struct courier *courier = round->courier;
    courier->pending++;
    const enum status st =
        hook_tested(courier->opts.db, round->id, round->test, error, test_noted, courier);
    if (st != ST_OK)
        test_noted(courier, st, NULL, NULL, 0);
    round->test[0] = '\0';
    round->testing = false;
}

static void delivered(struct round *round)
{
    const struct json *item = json_array_at(json_get(round->hook, "events"), round->at);
    (void)snprintf(round->sent, sizeof(round->sent), "%s", json_str(item, "sequence"));
    round->at++;
    round->count++;
    metrics_add(METRIC_HOOKS_SENT, 1);
}

static void failed(struct round *round, enum status status, const struct http_client_answer *answer)
{
    char error[160];
    const int64_t wait_s =
        answer->retry_after_s < RETRY_MAX_S ? answer->retry_after_s : RETRY_MAX_S;
    if (status == ST_OK || (status == ST_TOO_LARGE && answer->code > 0))
        (void)snprintf(error, sizeof(error), "answer %u", answer->code);
    else
        (void)snprintf(error, sizeof(error), "%s%s%.100s", status_name(status),
                       answer->error[0] ? ": " : "", answer->error);
    if (round->testing) {
        note_test(round, error);
        send_next(round);
        return;
    }
    metrics_add(METRIC_HOOKS_FAILED, 1);
    log_info("webhook not delivered", LOG_TEXT("event", round->event), LOG_TEXT("id", round->id),
             LOG_NUM("attempts", json_int(round->hook, "attempts", 0) + 1),
             LOG_TEXT("error", error));
    report(round, error, wait_s * 1000, answer->code == 410);
}

static void on_answer(void *arg, enum status status, const struct http_client_answer *answer)
{
    struct round *round = arg;
    struct courier *courier = round->courier;
    if (!courier->http) { /* close_late has given it up */
        report(round, NULL, 0, false);
        return;
    }
    /* What the receiver says beside its code is not read, so it may be long. */
    if ((status == ST_OK || status == ST_TOO_LARGE) && answer->code / 100 == 2) {
        if (round->testing)
            note_test(round, NULL);
        else
            delivered(round);
        send_next(round);
        return;
    }
    failed(round, status, answer);
}

/* Signs the body and sends it. `id`: of the message. */
static enum status post(struct round *round, const char *id, const struct buf *body)
{
    const struct json *secrets = json_get(round->hook, "secrets");
    const char *url = json_str(round->hook, "url"), *reason;
    const struct hook_message message = {id, shared_clock_s(), buf_str(body), body->len};
    char id_header[HEADER_MAX], time_header[HEADER_MAX];
    struct buf signatures, header;
    bool plain;
    if (!url || !hook_url_check(url, round->courier->allowed, &plain, &reason))
        return ST_DENIED;
    buf_init(&signatures, HEADER_MAX);
    buf_init(&header, 2 * HEADER_MAX);
    enum status st = ST_OK;
    for (size_t i = 0; st == ST_OK && i < json_array_len(secrets); i++) {
        const char *secret = json_str_value(json_array_at(secrets, i));
        st = secret ? hook_sign(secret, &message, &signatures) : ST_INVALID;
    }
    buf_printf(&header, "webhook-signature: %s", buf_str(&signatures));
    (void)snprintf(id_header, sizeof(id_header), "webhook-id: %s", id);
    (void)snprintf(time_header, sizeof(time_header), "webhook-timestamp: %" PRId64, message.time_s);
    const char *const headers[] = {"Content-Type: application/cloudevents+json; charset=utf-8",
                                   "User-Agent: tiketi",
                                   "Expect:",
                                   "Accept:",
                                   id_header,
                                   time_header,
                                   buf_str(&header),
                                   NULL};
    if (st == ST_OK)
        st = http_client_start(round->courier->http,
                               &(struct http_client_request){.url = url,
                                                             .plain = plain,
                                                             .headers = headers,
                                                             .body = message.body,
                                                             .body_len = message.len,
                                                             .answer_max = ANSWER_MAX,
                                                             .timeout_ms = CALL_MS},
                               on_answer, round);
    buf_clear(&signatures);
    buf_clear(&header);
    return st;
}

static void write_test(const struct round *round, struct buf *out)
{
    char now[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(shared_clock_ms(), now);
    buf_printf(out,
               "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"/api/events/%s\",\"type\":"
               "\"webhook.test\",\"subject\":\"%s\",\"time\":\"%s\",\"datacontenttype\":"
               "\"application/json\",\"data\":{\"eventId\":\"%s\"}}",
               round->test, round->event, round->event, now, round->event);
}

/* Sends the test call or the next event, or ends the round. */
static void send_next(struct round *round)
{
    struct courier *courier = round->courier;
    const struct json *events = json_get(round->hook, "events");
    const struct json *event = json_get(json_array_at(events, round->at), "event");
    const char *id = round->test[0] ? round->test : event ? json_str(event, "id") : NULL;
    struct buf body;
    if (!id || courier->closing || loop_now_ms(courier->opts.loop) - round->started_ms > ROUND_MS) {
        report(round, NULL, 0, false);
        return;
    }
    buf_init(&body, BODY_MAX);
    round->testing = round->test[0] != '\0';
    if (round->testing)
        write_test(round, &body);
    else
        json_write(event, &body);
    enum status st = buf_status(&body);
    if (st == ST_OK)
        st = post(round, id, &body);
    buf_clear(&body);
    if (st != ST_OK)
        failed(round, st, &(struct http_client_answer){.error = ""});
}

/* ---- claiming ---- */

static void begin_round(struct courier *courier, const struct json *hook, const char *claim)
{
    const char *id = json_str(hook, "id"), *event = json_str(hook, "eventId");
    const char *test = json_str(hook, "test");
    if (!id || !event || !claim)
        return;
    struct round *round = xcalloc(1, sizeof(*round));
    round->courier = courier;
    round->hook = json_new_copy(hook);
    round->started_ms = loop_now_ms(courier->opts.loop);
    (void)snprintf(round->id, sizeof(round->id), "%s", id);
    (void)snprintf(round->claim, sizeof(round->claim), "%s", claim);
    (void)snprintf(round->event, sizeof(round->event), "%s", event);
    (void)snprintf(round->test, sizeof(round->test), "%s", test ? test : "");
    courier->rounds++;
    send_next(round);
}

static void claimed(void *arg, enum status status, const char *outcome, const char *body,
                    size_t len)
{
    struct courier *courier = arg;
    (void)outcome;
    courier->claiming = false;
    courier->pending--;
    if (status == ST_OK && !courier->closing) {
        struct json *result = json_parse(body, len, CLAIMED_MAX, NULL);
        const struct json *hooks = json_get(result, "webhooks");
        for (size_t i = 0; i < json_array_len(hooks); i++)
            begin_round(courier, json_array_at(hooks, i), json_str(result, "claim"));
        json_free(result);
    }
    collect(courier);
}

static void on_claim(void *arg)
{
    struct courier *courier = arg;
    loop_timer_set(courier->claim_timer, CLAIM_EVERY_MS);
    if (courier->claiming || courier->rounds >= CONNECTIONS)
        return;
    const struct hook_claim claim = {
        .limit = CONNECTIONS - courier->rounds, .events = EVENTS, .claim_ms = CLAIM_MS};
    if (hook_claim(courier->opts.db, &claim, claimed, courier) != ST_OK)
        return;
    courier->claiming = true;
    courier->pending++;
}

/* ---- upkeep ---- */

static void counted(void *arg, enum status status, const char *outcome, const char *body,
                    size_t len)
{
    struct courier *courier = arg;
    (void)outcome;
    courier->keeping = false;
    courier->pending--;
    if (status == ST_OK) {
        struct json *result = json_parse(body, len, ANSWER_MAX, NULL);
        metrics_set(GAUGE_HOOKS_FAILING, (double)json_int(result, "failing", 0));
        metrics_set(GAUGE_HOOKS_PARKED, (double)json_int(result, "parked", 0));
        metrics_set(GAUGE_HOOKS_LATE, (double)json_int(result, "lateSeconds", 0));
        json_free(result);
    }
    collect(courier);
}

static void on_upkeep(void *arg)
{
    struct courier *courier = arg;
    loop_timer_set(courier->upkeep_timer, UPKEEP_MS);
    if (courier->keeping || hook_count(courier->opts.db, NULL, counted, courier) != ST_OK)
        return;
    courier->keeping = true;
    courier->pending++;
}

/* ---- life ---- */

enum status courier_new(const struct courier_opts *opts, struct courier **ret)
{
    const struct http_client_opts http = {.loop = opts->loop,
                                          .at_once = CONNECTIONS,
                                          .queue_max = CONNECTIONS,
                                          .allow = opts->config->outbound_allow,
                                          .ca_file = opts->config->outbound_ca_file};
    struct courier *courier = xcalloc(1, sizeof(*courier));
    char error[160];
    courier->opts = *opts;
    courier->closed = (struct loop_task){.cb = courier_gone, .arg = courier};
    enum status st = client_ip_new(http.allow, &courier->allowed, error, sizeof(error));
    if (st == ST_OK)
        st = http_client_new(&http, &courier->http);
    if (st != ST_OK) {
        courier_gone(courier);
        return st;
    }
    courier->claim_timer = loop_timer_new(opts->loop, on_claim, courier);
    courier->upkeep_timer = loop_timer_new(opts->loop, on_upkeep, courier);
    loop_timer_set(courier->claim_timer, 0);
    loop_timer_set(courier->upkeep_timer, 0);
    *ret = courier;
    return ST_OK;
}

void courier_close(struct courier *courier, loop_cb cb, void *arg)
{
    courier->closing = true;
    courier->close_cb = cb;
    courier->close_arg = arg;
    loop_timer_close(courier->claim_timer);
    loop_timer_close(courier->upkeep_timer);
    courier->claim_timer = courier->upkeep_timer = NULL;
    courier->close_timer = loop_timer_new(courier->opts.loop, close_late, courier);
    const uint64_t grace_ms = (uint64_t)courier->opts.config->drain_ms / 4;
    loop_timer_set(courier->close_timer, grace_ms < CLOSE_MS ? grace_ms : CLOSE_MS);
    collect(courier);
}
