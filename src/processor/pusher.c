/* SPDX-License-Identifier: MIT */
/*
 * pusher: the sender of calls.
 *
 *   claim   every second, and when half of the connections are free: as many calls as there are free ones
 *   send    seal (push_seal), sign (vapid) -> POST to the push service -> push_sent, together | push_failed
 *   upkeep  every 10 s
 *
 * Why this way: a call is of use for seconds, so an attempt is short (CALL_MS) and its repetition is soon; the SQL
 * functions decide whether it still helps. Turns are claimed before tests, and few tests at a time, so that nobody's tests
 * hold up a turn. The push service learns neither who is called nor where to: the message is encrypted for the browser,
 * always of one length, and its topic is a hash.
 * Called by: worker, beside the processor. Owns: the connections to push services, the calls under way.
 * PostgreSQL gone: nothing is claimed. A push service gone: its calls end with their offers; no tick waits for them.
 */
#include "processor/pusher.h"

#include "auth/push_seal.h"
#include "auth/vapid.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "base/shared_clock.h"
#include "net/http_client.h"
#include "net/push_endpoint.h"
#include "selling/push.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS    64
#define TESTS          8     /* of them, at most */
#define CALL_MS        8000  /* for one attempt */
#define CLAIM_MS       30000 /* far above CALL_MS and the time until the outcome is recorded */
#define CLAIM_EVERY_MS 1000
#define UPKEEP_MS      10000
#define UPKEEP_LIMIT   1000
#define CLOSE_MS       3000
#define CLAIMED_MAX    (1 << 20) /* bytes of a claim's JSON */
#define PADDED         256       /* bytes of every message */
#define ANSWER_MAX     4096
#define RETRY_MAX_S    3600 /* the longest Retry-After that is counted */
#define SENT_MAX       (CONNECTIONS * 24 + 2)

struct pusher {
    struct pusher_opts opts;
    struct http_client *http;
    struct vapid *vapid; /* NULL: VAPID_KEYS is not set */
    struct client_ip *allowed;
    struct loop_timer *claim_timer, *upkeep_timer, *close_timer;
    bool claiming, keeping;
    unsigned sending,
        testing;      /* calls that push services have not answered yet, and the tests among them */
    unsigned pending; /* outstanding callbacks of the database */
    struct buf sent;  /* ids of sent calls, to be recorded: "{1,2" */
    bool closing;
    struct loop_task closed;
    loop_cb close_cb;
    void *close_arg;
};

/* A claimed call on its way. */
struct call {
    struct pusher *pusher;
    char id[24], claim[40], event[65];
    char service[128]; /* the origin, for logs: the rest of the endpoint is a secret */
    int64_t attempts;
    bool test;
};

/* ---- the end ---- */

static void pusher_gone(void *arg)
{
    struct pusher *pusher = arg;
    const loop_cb cb = pusher->close_cb;
    void *cb_arg = pusher->close_arg;
    loop_timer_close(pusher->close_timer);
    http_client_close(pusher->http);
    vapid_free(pusher->vapid);
    client_ip_free(pusher->allowed);
    buf_clear(&pusher->sent);
    free(pusher);
    if (cb)
        cb(cb_arg);
}

static void record_sent(struct pusher *pusher);

static void collect(struct pusher *pusher)
{
    if (!pusher->closing || pusher->sending > 0)
        return;
    if (pusher->sent.len > 0)
        record_sent(pusher);
    if (pusher->pending == 0)
        loop_defer(pusher->opts.loop, &pusher->closed);
}

/* Gives up the calls that push services have not answered: they are due again when their claims end. */
static void close_late(void *arg)
{
    struct pusher *pusher = arg;
    struct http_client *http = pusher->http;
    pusher->http = NULL;
    http_client_close(http);
    collect(pusher);
}

/* ---- the outcome of a call ---- */

static void sent_recorded(void *arg, enum status status, const char *outcome, const char *json,
                          size_t len)
{
    struct pusher *pusher = arg;
    (void)outcome, (void)json, (void)len;
    pusher->pending--;
    if (status != ST_OK) /* they are sent again when their claims end, if they are still of use */
        log_warn("sent push messages not recorded", LOG_TEXT("status", status_name(status)));
    collect(pusher);
}

static void record_sent(struct pusher *pusher)
{
    buf_add_char(&pusher->sent, '}');
    const enum status st =
        push_sent(pusher->opts.db, buf_str(&pusher->sent), sent_recorded, pusher);
    buf_reset(&pusher->sent);
    pusher->pending++;
    if (st != ST_OK)
        sent_recorded(pusher, st, NULL, NULL, 0);
}

static void failure_recorded(void *arg, enum status status, const char *outcome, const char *json,
                             size_t len)
{
    struct call *call = arg;
    struct pusher *pusher = call->pusher;
    (void)json, (void)len;
    pusher->pending--;
    if (status == ST_OK && strcmp(outcome, "gone") == 0)
        metrics_add(METRIC_PUSHES_GONE, 1);
    else if (status == ST_OK && strcmp(outcome, "late") == 0)
        metrics_add(METRIC_PUSHES_EXPIRED, 1);
    else if (status != ST_OK && status != ST_NOT_FOUND) /* it is due again when its claim ends */
        log_warn("outcome of a push message not recorded", LOG_TEXT("id", call->id),
                 LOG_TEXT("status", status_name(status)));
    free(call);
    collect(pusher);
}

/* Frees the call when the failure is recorded. */
static void record_failure(struct call *call, struct push_failure *failure)
{
    struct pusher *pusher = call->pusher;
    failure->id = call->id;
    failure->claim = call->claim;
    pusher->pending++;
    const enum status st = push_failed(pusher->opts.db, failure, failure_recorded, call);
    if (st != ST_OK)
        failure_recorded(call, st, NULL, NULL, 0);
}

static void note_sent(struct call *call)
{
    struct pusher *pusher = call->pusher;
    metrics_add(METRIC_PUSHES_SENT, 1);
    log_debug("push message sent", LOG_TEXT("id", call->id), LOG_TEXT("event", call->event),
              LOG_TEXT("service", call->service), LOG_NUM("attempts", call->attempts));
    buf_add_char(&pusher->sent, pusher->sent.len == 0 ? '{' : ',');
    buf_add_str(&pusher->sent, call->id);
    free(call);
    if (pusher->sent.len > SENT_MAX / 2)
        record_sent(pusher);
}

static void on_answer(void *arg, enum status status, const struct http_client_answer *answer)
{
    struct call *call = arg;
    struct pusher *pusher = call->pusher;
    char error[160];
    pusher->sending--;
    pusher->testing -= call->test;
    if (!pusher->http) { /* close_late has given it up */
        free(call);
        return;
    }
    if (!pusher->closing && pusher->sending == CONNECTIONS / 2)
        loop_timer_set(pusher->claim_timer, 0);
    if (status == ST_OK && answer->code / 100 == 2) {
        note_sent(call);
        collect(pusher);
        return;
    }
    metrics_add(METRIC_PUSHES_FAILED, 1);
    (void)snprintf(error, sizeof(error), "%s, code %u: %s", status_name(status), answer->code,
                   answer->error);
    log_info("push message not sent", LOG_TEXT("id", call->id), LOG_TEXT("event", call->event),
             LOG_TEXT("service", call->service), LOG_NUM("attempts", call->attempts),
             LOG_NUM("code", answer->code), LOG_TEXT("status", status_name(status)),
             LOG_TEXT("error", answer->error));
    const int64_t wait_s =
        answer->retry_after_s < RETRY_MAX_S ? answer->retry_after_s : RETRY_MAX_S;
    struct push_failure failure = {.error = error,
                                   .wait_ms = wait_s * 1000,
                                   .gone = answer->code == 404 || answer->code == 410 ||
                                           status == ST_DENIED || status == ST_INVALID,
                                   .refused = answer->code >= 300 && answer->code < 500 &&
                                              answer->code != 429 && answer->code != 408};
    record_failure(call, &failure);
}

/* ---- sending ---- */

static void write_message(const struct json *json, struct buf *out)
{
    const char *event = json_str(json, "event"), *kind = json_str(json, "kind");
    buf_add_str(out, "{\"kind\":");
    buf_add_json_str(out, kind, strlen(kind));
    buf_add_str(out, ",\"event\":");
    buf_add_json_str(out, event, strlen(event));
    if (json_int(json, "until", 0) > 0)
        buf_printf(out, ",\"until\":%" PRId64, json_int(json, "until", 0));
    buf_add_char(out, '}');
}

/* ST_NOT_FOUND: the subscription cannot be used (any more). */
static enum status post(struct pusher *pusher, const struct json *json, struct call *call)
{
    const char *endpoint = json_str(json, "endpoint"), *key = json_str(json, "key");
    const char *p256dh = json_str(json, "p256dh"), *auth = json_str(json, "auth"), *reason;
    const int64_t ttl_ms = json_int(json, "ttlMs", 0);
    struct push_keys keys;
    struct buf message, body, authorization;
    char ttl[32], topic[32];
    const size_t origin = endpoint ? push_endpoint_check(endpoint, pusher->allowed, &reason) : 0;
    if (origin == 0 || !key || !p256dh || !auth || !push_keys_read_point(p256dh, &keys) ||
        !push_keys_read_secret(auth, &keys))
        return ST_NOT_FOUND;
    (void)snprintf(call->service, sizeof(call->service), "%.*s", (int)origin, endpoint);
    (void)snprintf(ttl, sizeof(ttl), "TTL: %" PRId64, (ttl_ms + 999) / 1000);
    /* A newer message of the event replaces one that the browser has not got yet. */
    (void)snprintf(topic, sizeof(topic), "Topic: %016" PRIx64,
                   hash_pair(0, call->event, strlen(call->event), "", 0));
    buf_init(&message, PUSH_SEAL_MAX);
    buf_init(&body, 2 * PUSH_SEAL_MAX);
    buf_init(&authorization, 8192);
    write_message(json, &message);
    buf_add_str(&authorization, "Authorization: ");
    enum status st =
        vapid_authorize(pusher->vapid, key, endpoint, origin, shared_clock_s(), &authorization);
    if (st == ST_OK)
        st = push_seal(&keys, buf_str(&message), message.len, PADDED, &body);
    if (st == ST_OK) {
        const char *const headers[] = {"Content-Type: application/octet-stream",
                                       "Content-Encoding: aes128gcm",
                                       "Urgency: high",
                                       "Expect:",
                                       "Accept:",
                                       ttl,
                                       topic,
                                       buf_str(&authorization),
                                       NULL};
        st = http_client_start(pusher->http,
                               &(struct http_client_request){.url = endpoint,
                                                             .headers = headers,
                                                             .body = buf_str(&body),
                                                             .body_len = body.len,
                                                             .answer_max = ANSWER_MAX,
                                                             .timeout_ms = CALL_MS},
                               on_answer, call);
    }
    buf_clear(&message);
    buf_clear(&body);
    buf_clear(&authorization);
    return st;
}

/* Sends one of the calls of a claim. */
static void send_call(struct pusher *pusher, const struct json *json, const char *claim)
{
    const char *id = json_str(json, "id"), *event = json_str(json, "event");
    const char *kind = json_str(json, "kind");
    struct call *call;
    if (!id || !event || !kind || !claim)
        return;
    call = xcalloc(1, sizeof(*call));
    call->pusher = pusher;
    call->attempts = json_int(json, "attempts", 0);
    call->test = strcmp(kind, "test") == 0;
    (void)snprintf(call->id, sizeof(call->id), "%s", id);
    (void)snprintf(call->claim, sizeof(call->claim), "%s", claim);
    (void)snprintf(call->event, sizeof(call->event), "%s", event);
    const enum status st = post(pusher, json, call);
    if (st == ST_OK) {
        pusher->sending++;
        pusher->testing += call->test;
        return;
    }
    metrics_add(METRIC_PUSHES_FAILED, 1);
    log_info("push message not written", LOG_TEXT("id", id), LOG_TEXT("event", event),
             LOG_TEXT("service", call->service), LOG_TEXT("status", status_name(st)));
    record_failure(call,
                   &(struct push_failure){.error = "not written", .gone = st == ST_NOT_FOUND});
}

static void claimed(void *arg, enum status status, const char *outcome, const char *body,
                    size_t len)
{
    struct pusher *pusher = arg;
    (void)outcome;
    pusher->claiming = false;
    pusher->pending--;
    if (status == ST_OK && !pusher->closing) {
        struct json *result = json_parse(body, len, CLAIMED_MAX, NULL);
        const struct json *calls = json_get(result, "calls");
        for (size_t i = 0; i < json_array_len(calls); i++)
            send_call(pusher, json_array_at(calls, i), json_str(result, "claim"));
        json_free(result);
    }
    collect(pusher);
}

static void on_claim(void *arg)
{
    struct pusher *pusher = arg;
    loop_timer_set(pusher->claim_timer, CLAIM_EVERY_MS);
    if (pusher->sent.len > 0)
        record_sent(pusher);
    if (pusher->claiming || pusher->sending >= CONNECTIONS)
        return;
    const struct push_claim claim = {.limit = CONNECTIONS - pusher->sending,
                                     .tests = pusher->testing < TESTS ? TESTS - pusher->testing : 0,
                                     .claim_ms = CLAIM_MS};
    if (push_claim(pusher->opts.db, &claim, claimed, pusher) != ST_OK)
        return;
    pusher->claiming = true;
    pusher->pending++;
}

/* ---- upkeep ---- */

static void kept(void *arg, enum status status, const char *outcome, const char *body, size_t len)
{
    struct pusher *pusher = arg;
    (void)outcome;
    pusher->keeping = false;
    pusher->pending--;
    if (status == ST_OK) {
        struct json *result = json_parse(body, len, CLAIMED_MAX, NULL);
        metrics_add(METRIC_PUSHES_EXPIRED, (uint64_t)json_int(result, "expired", 0));
        json_free(result);
    }
    collect(pusher);
}

static void on_upkeep(void *arg)
{
    struct pusher *pusher = arg;
    loop_timer_set(pusher->upkeep_timer, UPKEEP_MS);
    if (pusher->keeping || push_upkeep(pusher->opts.db, UPKEEP_LIMIT, kept, pusher) != ST_OK)
        return;
    pusher->keeping = true;
    pusher->pending++;
}

/* ---- life ---- */

static enum status open_client(struct pusher *pusher)
{
    const struct config *config = pusher->opts.config;
    const struct http_client_opts http = {.loop = pusher->opts.loop,
                                          .at_once = CONNECTIONS,
                                          .queue_max = CONNECTIONS,
                                          .allow = config->outbound_allow,
                                          .ca_file = config->outbound_ca_file};
    char error[160];
    enum status st = client_ip_new(config->outbound_allow, &pusher->allowed, error, sizeof(error));
    if (st == ST_OK)
        st = http_client_new(&http, &pusher->http);
    if (st != ST_OK)
        return st;
    st = vapid_new(config->vapid_keys, config->vapid_subject, &pusher->vapid);
    if (st != ST_OK)
        log_error("setting cannot be used", LOG_TEXT("setting", "VAPID_KEYS"));
    return st;
}

enum status pusher_new(const struct pusher_opts *opts, struct pusher **ret)
{
    struct pusher *pusher = xcalloc(1, sizeof(*pusher));
    pusher->opts = *opts;
    pusher->closed = (struct loop_task){.cb = pusher_gone, .arg = pusher};
    buf_init(&pusher->sent, SENT_MAX);
    const enum status st = opts->config->vapid_keys ? open_client(pusher) : ST_OK;
    if (st != ST_OK) {
        pusher_gone(pusher);
        return st;
    }
    pusher->upkeep_timer = loop_timer_new(opts->loop, on_upkeep, pusher);
    loop_timer_set(pusher->upkeep_timer, 0);
    if (pusher->vapid) {
        pusher->claim_timer = loop_timer_new(opts->loop, on_claim, pusher);
        loop_timer_set(pusher->claim_timer, 0);
    }
    *ret = pusher;
    return ST_OK;
}

void pusher_reconfigure(struct pusher *pusher, const struct config *config)
{
    if (pusher->vapid && config->vapid_keys &&
        vapid_set_keys(pusher->vapid, config->vapid_keys) != ST_OK)
        log_error("keys of push messages not changed"); /* serve has tried them */
}

void pusher_close(struct pusher *pusher, loop_cb cb, void *arg)
{
    pusher->closing = true;
    pusher->close_cb = cb;
    pusher->close_arg = arg;
    loop_timer_close(pusher->claim_timer);
    loop_timer_close(pusher->upkeep_timer);
    pusher->claim_timer = pusher->upkeep_timer = NULL;
    pusher->close_timer = loop_timer_new(pusher->opts.loop, close_late, pusher);
    const uint64_t grace_ms = (uint64_t)pusher->opts.config->drain_ms / 4;
    loop_timer_set(pusher->close_timer, grace_ms < CLOSE_MS ? grace_ms : CLOSE_MS);
    collect(pusher);
}
