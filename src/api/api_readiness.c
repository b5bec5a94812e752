/* SPDX-License-Identifier: MIT */
/*
 * api_readiness: is an event ready to open? A list of checks, made when staff ask for it.
 *
 *   event -> its row and hall -> payment page, with an order signed rightly and one wrongly -> mail server -> processor
 *         -> the log of the last rehearsal -> the answer
 *
 * Why this way: a setting that reads well may still be wrong, so each neighbour is asked for what a buyer will need of
 * it. The orders name a reservation that does not exist, so nothing can be paid with them: a page that takes the right one
 * and refuses the wrong one has our secret. That is the only outgoing call of an API worker about payments; no buyer
 * waits for one (decision 36). What cannot be reached is a verdict of its check, not an error of the request.
 * Called by: api's route table. Owns: the two clients, made at the first check; the checks under way. PostgreSQL gone: 503;
 * Redis gone: the check of the processor says so.
 */
#include "api/api_promises.h"

#include "base/clock.h"
#include "base/shared_clock.h"
#include "net/http_client.h"
#include "queue/readiness.h"
#include "selling/history.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define CHECK_MS      3000 /* of one neighbour */
#define ORDER_MS      600000
#define URL_MAX       4096
#define PAGE_MAX      (256 * 1024)
#define ANYBODY       "00000000-0000-0000-0000-000000000000" /* a reservation that does not exist */
#define CHECK_AMOUNT  100
#define CHECKS_QUEUED 8

struct readiness {
    struct event event;
    struct json *facts; /* of history_readiness */
    struct json *checks;
    int64_t deadline_ms; /* of the check under way */
    int64_t began_ms;
    unsigned ours; /* what the payment page answered to the right order */
    char reference[40], expires_at[CLOCK_RFC3339_SIZE];
    bool counted; /* in api->reports */
};

static void check_mail(struct api_call *call);
static void check_processor(struct api_call *call);
static void check_rehearsal(struct api_call *call);

static void end_readiness(struct api_call *call)
{
    struct readiness *readiness = call->state;
    if (readiness->counted)
        call->api->reports--;
    json_free(readiness->facts);
    json_free(readiness->checks);
}

static void answer_readiness(struct api_call *call)
{
    struct readiness *readiness = call->state;
    struct json *body = json_new_object();
    char at[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(shared_clock_ms(), at);
    json_set_str(body, "eventId", readiness->event.id);
    json_set_str(body, "at", at);
    json_set_str(body, "verdict", readiness_worst(readiness->checks));
    json_set(body, "checks", readiness->checks);
    readiness->checks = NULL;
    end_readiness(call);
    api_answer_json(call, 200, body);
    json_free(body);
}

/* A client that is made when it is first needed; NULL: there can be none. */
static struct http_client *client_of(struct api *api, struct http_client **client,
                                     const char *ca_file)
{
    if (!*client && !api->close_cb &&
        http_client_new(&(struct http_client_opts){.loop = api->loop,
                                                   .at_once = 2,
                                                   .queue_max = CHECKS_QUEUED,
                                                   .allow = api->config->outbound_allow,
                                                   .ca_file = ca_file},
                        client) != ST_OK)
        *client = NULL;
    return *client;
}

void api_readiness_stop(struct api *api)
{
    struct http_client *payment = api->payment_check, *mail = api->mail_check;
    api->payment_check = api->mail_check = NULL;
    http_client_close(payment);
    http_client_close(mail);
}

/* Why a neighbour was not reached. */
static const char *reason_of(enum status status)
{
    return status == ST_DENIED    ? "private-address"
           : status == ST_TIMEOUT ? "timeout"
           : status == ST_INVALID ? "invalid-url"
                                  : "unreachable";
}

/* ---- payment ---- */

static void payment_judged(struct api_call *call, enum readiness_verdict verdict,
                           const char *reason, const unsigned *forged)
{
    struct readiness *readiness = call->state;
    const struct config *config = call->api->config;
    struct json *value = json_new_object();
    json_set_str(value, "reason", reason);
    json_set_str(value, "provider", config->payment_provider);
    json_set_str(value, "url", config->payment_url);
    if (readiness->ours)
        json_set_int(value, "signedStatus", readiness->ours);
    else
        json_set_null(value, "signedStatus");
    if (forged)
        json_set_int(value, "forgedStatus", *forged);
    else
        json_set_null(value, "forgedStatus");
    if (readiness->began_ms > 0)
        json_set_int(value, "ms", clock_wall_ms() - readiness->began_ms);
    else
        json_set_null(value, "ms");
    readiness_add(readiness->checks, "payment", verdict, value, NULL);
    check_mail(call);
}

/* Loads the payment page with an order of ours, signed rightly or wrongly. */
static enum status load_page(struct api_call *call, bool forged, http_client_cb cb)
{
    struct readiness *readiness = call->state;
    const struct config *config = call->api->config;
    struct http_client *client =
        client_of(call->api, &call->api->payment_check, config->outbound_ca_file);
    struct api_order order = {.reservation = ANYBODY,
                              .provider = config->payment_provider,
                              .reference = readiness->reference,
                              .amount = CHECK_AMOUNT,
                              .currency = json_str_value(json_array_at(
                                  json_get(json_get(readiness->facts, "hall"), "currencies"), 0)),
                              .expires_at = readiness->expires_at,
                              .payment_url = config->payment_url};
    struct buf url;
    enum status st = client ? api_sign_order(call, &order) : ST_UNAVAILABLE;
    if (st != ST_OK)
        return st;
    if (forged)
        order.signature[0] = order.signature[0] == '0' ? '1' : '0';
    buf_init(&url, URL_MAX);
    api_order_url(&order, "en", NULL, &url);
    const int64_t left_ms = readiness->deadline_ms - clock_wall_ms();
    st = buf_status(&url);
    if (st == ST_OK)
        st = http_client_start(
            client,
            &(struct http_client_request){.url = buf_str(&url),
                                          .plain = true,
                                          .answer_max = PAGE_MAX,
                                          .timeout_ms = left_ms > 0 ? left_ms : 1},
            cb, call);
    buf_clear(&url);
    return st;
}

static void forged_answered(void *arg, enum status status, const struct http_client_answer *answer)
{
    struct api_call *call = arg;
    const struct readiness *readiness = call->state;
    const unsigned ours = readiness->ours, forged = answer->code;
    const bool told = status == ST_OK && ours < 400 && forged >= 400 && forged < 500;
    payment_judged(call, told ? READINESS_GOOD : READINESS_WARN, told ? NULL : "untold",
                   status == ST_OK ? &forged : NULL);
}

static void ours_answered(void *arg, enum status status, const struct http_client_answer *answer)
{
    struct api_call *call = arg;
    struct readiness *readiness = call->state;
    readiness->ours = answer->code;
    if (status != ST_OK && status != ST_TOO_LARGE)
        payment_judged(call, READINESS_BAD, reason_of(status), NULL);
    else if (answer->code == 401 || answer->code == 403)
        payment_judged(call, READINESS_BAD, "refused", NULL);
    else if (answer->code >= 500)
        payment_judged(call, READINESS_BAD, "failing", NULL);
    else if (status == ST_TOO_LARGE || load_page(call, true, forged_answered) != ST_OK)
        payment_judged(call, READINESS_WARN, "untold", NULL);
}

static void check_payment(struct api_call *call)
{
    struct readiness *readiness = call->state;
    const struct config *config = call->api->config;
    if (json_int(json_get(readiness->facts, "hall"), "priced", 0) == 0) {
        check_mail(call); /* there is nothing to pay */
        return;
    }
    if (!config->payment_webhook_secrets || !config->payment_url) {
        /* Without a page a shop leads its buyers to the provider itself. */
        const bool secret = config->payment_webhook_secrets != NULL;
        payment_judged(call, secret ? READINESS_WARN : READINESS_BAD,
                       secret ? "no-url" : "no-secret", NULL);
        return;
    }
    readiness->began_ms = clock_wall_ms();
    readiness->deadline_ms = readiness->began_ms + CHECK_MS;
    (void)snprintf(readiness->reference, sizeof(readiness->reference), "check-");
    token_random_hex(readiness->reference + strlen("check-"));
    clock_format_rfc3339(shared_clock_ms() + ORDER_MS, readiness->expires_at);
    const enum status st = load_page(call, false, ours_answered);
    if (st != ST_OK)
        payment_judged(call, READINESS_BAD, reason_of(st), NULL);
}

/* ---- mail ---- */

static void mail_judged(struct api_call *call, enum readiness_verdict verdict, const char *reason)
{
    struct readiness *readiness = call->state;
    const struct json *mail = json_get(readiness->facts, "mail");
    struct json *value = json_new_object();
    const int64_t parked = json_int(mail, "parked", 0);
    if (verdict == READINESS_GOOD && parked > 0) {
        verdict = READINESS_WARN;
        reason = "parked";
    }
    json_set_str(value, "reason", reason);
    json_set_int(value, "pending", json_int(mail, "pending", 0));
    json_set_int(value, "parked", parked);
    readiness_add(readiness->checks, "mail", verdict, value, "askEmail");
    check_processor(call);
}

static void mail_dialled(void *arg, enum status status, struct http_client_line *line,
                         const char *error)
{
    (void)error;
    http_client_line_close(line);
    mail_judged(arg, status == ST_OK ? READINESS_GOOD : READINESS_BAD,
                status == ST_OK ? NULL : reason_of(status));
}

/* Greets the mail server, with TLS and log-in, as the sender of mails does. */
static void check_mail(struct api_call *call)
{
    const struct readiness *readiness = call->state;
    const struct config *config = call->api->config;
    if (readiness->event.ask_email == EVENT_ASK_NO) {
        check_processor(call);
        return;
    }
    if (!config->mail_url) {
        mail_judged(call, READINESS_BAD, "not-set");
        return;
    }
    struct http_client *client = client_of(call->api, &call->api->mail_check, config->mail_ca_file);
    const struct http_client_dial dial = {
        .url = config->mail_url,
        .tls = config->mail_tls_required || strncasecmp(config->mail_url, "smtps://", 8) == 0 ||
               strchr(config->mail_url, '@'),
        .timeout_ms = CHECK_MS};
    const enum status st =
        client ? http_client_dial(client, &dial, mail_dialled, call) : ST_UNAVAILABLE;
    if (st != ST_OK)
        mail_judged(call, READINESS_BAD, reason_of(st));
}

/* ---- the processor ---- */

static void processor_judged(struct api_call *call, enum readiness_verdict verdict,
                             const char *reason)
{
    struct readiness *readiness = call->state;
    struct json *value = json_new_object();
    json_set_str(value, "reason", reason);
    readiness_add(readiness->checks, "processor", verdict, value, NULL);
    check_rehearsal(call);
}

static void note_index(void *arg, const struct event *event, const struct rank_index *index)
{
    bool *found = arg;
    (void)event;
    *found = *found || index != NULL;
}

static void live_loaded(void *arg, enum status status)
{
    struct api_call *call = arg;
    /* The holder of the lease takes an index each second. */
    if (status == ST_OK && catalog_index(call->api->catalog, call->param))
        processor_judged(call, READINESS_GOOD, NULL);
    else
        processor_judged(call, READINESS_BAD, status == ST_OK ? "none" : "redis");
}

/* Nobody holds the lease of a draft: then it counts that this pod has a processor, or that one is at work elsewhere. */
static void check_processor(struct api_call *call)
{
    const struct readiness *readiness = call->state;
    struct api *api = call->api;
    if (readiness->event.status == EVENT_DRAFT) {
        bool found = (api->config->roles & ROLE_PROCESSOR) != 0;
        if (!found)
            catalog_each(api->catalog, note_index, &found);
        processor_judged(call, found ? READINESS_GOOD : READINESS_WARN, found ? NULL : "not-seen");
        return;
    }
    if (catalog_load(api->catalog, call->param, false, live_loaded, call) != ST_OK)
        processor_judged(call, READINESS_BAD, "redis");
}

/* ---- the last rehearsal ---- */

static void log_replayed(struct api_call *call, enum status status, struct json *promises)
{
    static const char *const names[] = {"overLimit", "outOfOrder", "overOutflow", "seatsSoldTwice",
                                        "admissions"};
    struct readiness *readiness = call->state;
    const struct json *rehearsal = json_get(readiness->facts, "rehearsal");
    struct json *value = json_new_object();
    const char *found = json_str(rehearsal, "eventId") ? "unproven" : "none";
    if (status == ST_OK && promises)
        found = json_str(promises, "verdict");
    const enum readiness_verdict verdict = strcmp(found, "kept") == 0     ? READINESS_GOOD
                                           : strcmp(found, "broken") == 0 ? READINESS_BAD
                                                                          : READINESS_WARN;
    json_set_str(value, "promises", found);
    json_set_str(value, "eventId", json_str(rehearsal, "eventId"));
    json_set_str(value, "title", json_str(rehearsal, "title"));
    json_set_str(value, "at", json_str(rehearsal, "at"));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        json_set_int(value, names[i], json_int(promises, names[i], 0));
    readiness_add(readiness->checks, "rehearsal", verdict, value, NULL);
    json_free(promises);
    answer_readiness(call);
}

static void check_rehearsal(struct api_call *call)
{
    struct readiness *readiness = call->state;
    const struct json *rehearsal = json_get(readiness->facts, "rehearsal");
    const char *id = json_str(rehearsal, "eventId");
    if (readiness->event.rehearsal) {
        answer_readiness(call);
        return;
    }
    enum status st = ST_FULL;
    if (id && call->api->reports < API_REPORTS_MAX) {
        call->api->reports++;
        readiness->counted = true;
        st = api_promises_start(call, id, json_int(rehearsal, "seatsSoldTwice", 0), log_replayed);
    }
    if (st != ST_OK)
        log_replayed(call, st, NULL);
}

/* ---- the request ---- */

static void facts_read(void *arg, enum status status, const char *outcome, const char *json,
                       size_t len)
{
    struct api_call *call = arg;
    struct readiness *readiness = call->state;
    (void)outcome;
    if (status == ST_OK && !(readiness->facts = json_parse(json, len, HTTP_BODY_MAX, NULL)))
        status = ST_INTERNAL;
    if (status != ST_OK) {
        api_fail(call, status);
        return;
    }
    readiness->checks = json_new_array();
    readiness_of_event(&readiness->event, shared_clock_ms(), readiness->checks);
    readiness_of_hall(json_get(readiness->facts, "hall"), readiness->checks);
    readiness_of_hooks(json_get(readiness->facts, "webhooks"), readiness->checks);
    check_payment(call);
}

static enum status readiness_fetched(struct api_call *call, const struct event *event)
{
    struct readiness *readiness = call->state;
    readiness->event = *event;
    return history_readiness(call->api->db, event->id, facts_read, call);
}

static enum status readiness_start(struct api_call *call)
{
    call->state = http_req_alloc(call->req, sizeof(struct readiness));
    return api_staff_event(call, readiness_fetched);
}

const struct api_route api_readiness_routes[] = {
    {"GET", "/api/admin/events/{eventId}/readiness", AUTH_STAFF, API_READERS, readiness_start,
     API_BODY_NONE},
    {0},
};
