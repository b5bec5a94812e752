/* SPDX-License-Identifier: MIT */
/*
 * provider_calls: the payment provider's calls to the webhook, as unreliable as its options ask for.
 *
 *   announce -> delayed (late, or held until another call was made) -> due -> queued -> sent
 *            -> 2xx: delivered | anything else, or lost: delayed again, with backoff
 *
 * Why this way: everything that the service must withstand is produced here: a call that is never sent, one whose answer
 * is lost, duplicates at the same time, "refunded" before "paid". Every call is delivered in the end.
 * Called by: provider. Owns: its connections, at most OPEN_MAX at once. While the service is gone, calls wait.
 */
#include "provider/provider_calls.h"

#include "auth/webhook.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_MAX       32
#define ANSWER_MS      10000
#define BACKOFF_MS     200
#define BACKOFF_MAX_MS 5000
#define HELD_MS        1000 /* a reordered call waits at most this long for another one */
#define DUPLICATE_MS   3000 /* a duplicate follows within this time */

enum call_state { CALL_IDLE, CALL_DELAYED, CALL_QUEUED, CALL_SENT };

struct provider_calls {
    struct provider_calls_opts opts;
    struct dial_net *net;
    struct agenda *agenda;
    struct provider_call *queue_head, *queue_tail;
    struct provider_call *held; /* a reordered call; NULL: none */
    struct provider_call *sent[OPEN_MAX];
    unsigned sent_count, undelivered;
    uint64_t random; /* state of the generator */
    struct buf body, text;
    bool closed;
};

static void send_queued(struct provider_calls *calls);

/* ---- chance ---- */

static uint64_t roll(struct provider_calls *calls)
{
    uint64_t x = calls->random += 0x9e3779b97f4a7c15ULL; /* splitmix64 */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

static bool chance(struct provider_calls *calls, double share)
{
    return (double)(roll(calls) >> 11) / 9007199254740992.0 < share;
}

/* ---- one call ---- */

static void delay(struct provider_calls *calls, struct provider_call *call, uint64_t ms)
{
    call->state = CALL_DELAYED;
    agenda_set(calls->agenda, &call->due, ms);
}

static void close_connection(struct provider_calls *calls, struct provider_call *call)
{
    dial_close(call->conn);
    call->conn = NULL;
    agenda_drop(calls->agenda, &call->due);
    for (unsigned i = 0; i < calls->sent_count; i++) {
        if (calls->sent[i] == call)
            calls->sent[i] = calls->sent[--calls->sent_count];
    }
}

static void delivered(struct provider_calls *calls, struct provider_call *call)
{
    call->state = CALL_IDLE;
    if (!call->once)
        calls->undelivered--;
}

static void failed(struct provider_calls *calls, struct provider_call *call, int64_t at_least_ms)
{
    uint64_t most = BACKOFF_MAX_MS;
    if (call->once) {
        delivered(calls, call);
        return;
    }
    if (call->attempts < 5)
        most = BACKOFF_MS << call->attempts;
    if (call->attempts < UINT16_MAX)
        call->attempts++;
    delay(calls, call,
          (at_least_ms > 0 ? (uint64_t)at_least_ms : 0) + most / 2 + roll(calls) % (most / 2));
}

/* An attempt has ended: a held call may go now, and the next one of the queue. */
static void attempt_ended(struct provider_calls *calls, const struct provider_call *call)
{
    if (calls->held && calls->held != call) {
        delay(calls, calls->held, 0);
        calls->held = NULL;
    }
    send_queued(calls);
}

static void on_answer(void *arg, const struct dial_answer *answer)
{
    struct provider_call *call = arg;
    struct provider_calls *calls = call->calls;
    const bool accepted = answer->code >= 200 && answer->code < 300;
    if (accepted && !call->answer_lost) {
        struct json *body = json_parse(answer->body, answer->len, DIAL_BODY_MAX, NULL);
        const char *outcome = json_str(body, "payment");
        (void)snprintf(call->charge->outcome, sizeof(call->charge->outcome), "%s",
                       outcome ? outcome : "");
        json_free(body);
    }
    close_connection(calls, call);
    if (accepted && !call->answer_lost)
        delivered(calls, call);
    else
        failed(calls, call, answer->retry_after_ms);
    attempt_ended(calls, call);
}

static void on_end(void *arg, enum dial_end how, unsigned code)
{
    struct provider_call *call = arg;
    struct provider_calls *calls = call->calls;
    (void)how, (void)code;
    call->conn = NULL;
    close_connection(calls, call);
    failed(calls, call, 0);
    attempt_ended(calls, call);
}

static const struct dial_ops call_ops = {.on_answer = on_answer, .on_end = on_end};

static void send_call(struct provider_calls *calls, struct provider_call *call)
{
    const bool lost = chance(calls, calls->opts.options->lose);
    call->answer_lost = lost && chance(calls, 0.5);
    if (lost && !call->answer_lost) { /* the call itself is lost: it is never sent */
        failed(calls, call, 0);
        return;
    }
    call->state = CALL_SENT;
    calls->sent[calls->sent_count++] = call;
    call->conn = dial_open(calls->net, calls->opts.webhook, call->charge->number, &call_ops, call);

    struct buf *body = &calls->body, *text = &calls->text;
    const struct provider_charge *charge = call->charge;
    const struct {
        const char *key, *text;
    } texts[] = {{"reservationId", charge->reservation},
                 {"provider", charge->provider},
                 {"reference", charge->reference},
                 {"currency", charge->currency},
                 {"status", call->refund ? "refunded" : "paid"}};
    buf_reset(body);
    buf_printf(body, "{\"amount\":%" PRId64, call->part ? call->part->amount : charge->amount);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        buf_printf(body, ",\"%s\":", texts[i].key);
        buf_add_json_str(body, texts[i].text, strlen(texts[i].text));
    }
    if (call->part) {
        buf_add_str(body, ",\"refundId\":");
        buf_add_json_str(body, call->part->id, strlen(call->part->id));
    }
    buf_add_char(body, '}');

    buf_reset(text);
    buf_printf(text,
               "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: tiketi-provider\r\n"
               "Content-Type: application/json\r\nContent-Length: %zu\r\nX-Tiketi-Signature: ",
               calls->opts.webhook->path, calls->opts.webhook->host, body->len);
    const enum status st =
        webhook_write_header(token_webhook_keys(calls->opts.keys), clock_wall_ms() / 1000,
                             buf_str(body), body->len, text);
    if (st != ST_OK)
        log_error("webhook not signed", LOG_TEXT("status", status_name(st)));
    buf_printf(text, "\r\n\r\n%s", buf_str(body));
    dial_request(call->conn, buf_str(text), text->len);
    agenda_set(calls->agenda, &call->due, ANSWER_MS);
}

static void send_queued(struct provider_calls *calls)
{
    while (!calls->closed && calls->queue_head && calls->sent_count < OPEN_MAX) {
        struct provider_call *call = calls->queue_head;
        calls->queue_head = call->next;
        if (!calls->queue_head)
            calls->queue_tail = NULL;
        call->next = NULL;
        send_call(calls, call);
    }
}

static void on_due(void *arg, struct agenda_item *due)
{
    struct provider_calls *calls = arg;
    struct provider_call *call =
        (struct provider_call *)((char *)due - offsetof(struct provider_call, due));
    if (call->state == CALL_SENT) { /* the answer is late */
        close_connection(calls, call);
        failed(calls, call, 0);
        attempt_ended(calls, call);
        return;
    }
    if (calls->held == call)
        calls->held = NULL;
    call->state = CALL_QUEUED;
    if (calls->queue_tail)
        calls->queue_tail->next = call;
    else
        calls->queue_head = call;
    calls->queue_tail = call;
    send_queued(calls);
}

/* ---- all of them ---- */

struct provider_calls *provider_calls_new(const struct provider_calls_opts *opts)
{
    struct provider_calls *calls = xcalloc(1, sizeof(*calls));
    const struct dial_net_opts net = {
        .loop = opts->loop, .open_max = OPEN_MAX, .seed = (uint64_t)opts->options->seed};
    calls->opts = *opts;
    calls->random = (uint64_t)opts->options->seed;
    calls->net = dial_net_new(&net);
    calls->agenda = agenda_new(
        opts->loop, PROVIDER_CALLS * PROVIDER_CHARGES_MAX + PROVIDER_PARTS_MAX, on_due, calls);
    buf_init(&calls->body, 4096);
    buf_init(&calls->text, 8192);
    return calls;
}

/* `call` is one of the charge or of its part. */
static void announce(struct provider_calls *calls, struct provider_charge *charge,
                     struct provider_call *call, bool refund, const struct provider_part *part)
{
    const struct provider_options *options = calls->opts.options;
    struct provider_call *duplicate = &charge->calls[PROVIDER_DUPLICATE];
    const uint64_t spread = (uint64_t)(options->late_max_ms - options->late_min_ms) + 1;
    uint64_t delay_ms = 0;
    if (chance(calls, options->late))
        delay_ms = (uint64_t)options->late_min_ms + roll(calls) % spread;
    *call =
        (struct provider_call){.charge = charge, .refund = refund, .part = part, .calls = calls};
    calls->undelivered++;
    if (duplicate->state == CALL_IDLE && chance(calls, options->repeat)) {
        *duplicate = (struct provider_call){
            .charge = charge, .refund = refund, .part = part, .once = true, .calls = calls};
        delay(calls, duplicate, delay_ms + (chance(calls, 0.5) ? 0 : roll(calls) % DUPLICATE_MS));
    }
    if (delay_ms == 0 && !calls->held && chance(calls, options->reorder)) {
        calls->held = call;
        delay_ms = HELD_MS;
    }
    delay(calls, call, delay_ms);
}

void provider_calls_announce(struct provider_calls *calls, struct provider_charge *charge,
                             bool refund)
{
    announce(calls, charge, &charge->calls[refund ? PROVIDER_REFUNDED : PROVIDER_PAID], refund,
             NULL);
}

void provider_calls_announce_part(struct provider_calls *calls, struct provider_charge *charge,
                                  struct provider_part *part)
{
    announce(calls, charge, &part->call, true, part);
}

unsigned provider_calls_undelivered(const struct provider_calls *calls)
{
    return calls->undelivered;
}

void provider_calls_close(struct provider_calls *calls)
{
    if (!calls)
        return;
    calls->closed = true;
    while (calls->sent_count > 0)
        close_connection(calls, calls->sent[0]);
    agenda_free(calls->agenda);
    calls->agenda = NULL;
}

void provider_calls_free(struct provider_calls *calls)
{
    if (!calls)
        return;
    dial_net_free(calls->net);
    buf_clear(&calls->body);
    buf_clear(&calls->text);
    free(calls);
}
