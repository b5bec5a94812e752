/* SPDX-License-Identifier: MIT */
/*
 * provider_calls: the payment provider's calls to the webhook, as unreliable as was asked for.
 *
 *   announce -> (late? held back for the next one?) -> due -> room for a connection -> sent
 *            -> 2xx: delivered | anything else, or lost: due again, later each time
 *
 * Why this way: a charge has room for its few calls, so nothing is allocated for one. What the
 * service must stand is all here: a call that never leaves, one whose answer never arrives, the same
 * word twice at once, "refunded" before "paid". But it is always delivered in the end.
 * Called by: provider. Owns: its connections, at most OPEN_MAX at once; the others queue.
 */
#include "provider/provider_calls.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_MAX       32
#define ANSWER_MS      10000
#define BACKOFF_MS     200
#define BACKOFF_MAX_MS 5000
#define HELD_MS        1000 /* so long a call waits to be overtaken */
#define AGAIN_MS       3000 /* within so long a repetition follows */

enum call_state { CALL_IDLE, CALL_WAITS, CALL_QUEUED, CALL_OUT };

struct provider_calls {
    struct provider_calls_opts opts;
    struct dial_net *net;
    struct agenda *agenda;
    struct provider_call *queue_head, *queue_tail;
    struct provider_call *held; /* to be overtaken */
    struct provider_call *out[OPEN_MAX];
    unsigned out_count, undelivered;
    uint64_t random;
    struct buf body, text;
    bool closed;
};

static void queue_go_on(struct provider_calls *calls);

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

static void put_off(struct provider_calls *calls, struct provider_call *call, uint64_t delay_ms)
{
    call->state = CALL_WAITS;
    agenda_set(calls->agenda, &call->due, delay_ms);
}

static void hang_up(struct provider_calls *calls, struct provider_call *call)
{
    dial_close(call->conn);
    call->conn = NULL;
    agenda_drop(calls->agenda, &call->due);
    for (unsigned i = 0; i < calls->out_count; i++) {
        if (calls->out[i] == call)
            calls->out[i] = calls->out[--calls->out_count];
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
    put_off(calls, call,
            (at_least_ms > 0 ? (uint64_t)at_least_ms : 0) + most / 2 + roll(calls) % (most / 2));
}

/* An attempt is over: who was held back for it may go, and the next in the queue. */
static void attempt_over(struct provider_calls *calls, const struct provider_call *call)
{
    if (calls->held != NULL && calls->held != call) {
        put_off(calls, calls->held, 0);
        calls->held = NULL;
    }
    queue_go_on(calls);
}

static void on_answer(void *arg, const struct dial_answer *answer)
{
    struct provider_call *call = arg;
    struct provider_calls *calls = call->calls;
    struct json_error error;
    const bool good = answer->code >= 200 && answer->code < 300;
    if (good && !call->answer_lost) {
        struct json *body = json_parse(answer->body, answer->len, DIAL_BODY_MAX, &error);
        const char *outcome = json_str(body, "payment");
        (void)snprintf(call->charge->outcome, sizeof(call->charge->outcome), "%s",
                       outcome != NULL ? outcome : "");
        json_free(body);
    }
    hang_up(calls, call);
    if (good && !call->answer_lost)
        delivered(calls, call);
    else
        failed(calls, call, answer->retry_after_ms);
    attempt_over(calls, call);
}

static void on_end(void *arg, enum dial_end how, unsigned code)
{
    struct provider_call *call = arg;
    struct provider_calls *calls = call->calls;
    (void)how, (void)code;
    call->conn = NULL;
    hang_up(calls, call);
    failed(calls, call, 0);
    attempt_over(calls, call);
}

static const struct dial_ops call_ops = {.on_answer = on_answer, .on_end = on_end};

static void write_body(struct provider_calls *calls, const struct provider_call *call)
{
    const struct provider_charge *charge = call->charge;
    const struct {
        const char *key, *text;
    } texts[] = {{"reservationId", charge->reservation},
                 {"provider", charge->provider},
                 {"reference", charge->reference},
                 {"currency", charge->currency},
                 {"status", call->refund ? "refunded" : "paid"}};
    buf_reset(&calls->body);
    buf_printf(&calls->body, "{\"amount\":%" PRId64, charge->amount);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        buf_printf(&calls->body, ",\"%s\":", texts[i].key);
        buf_add_json_str(&calls->body, texts[i].text, strlen(texts[i].text));
    }
    buf_add_char(&calls->body, '}');
}

static void write_request(struct provider_calls *calls, const struct provider_call *call)
{
    struct buf *text = &calls->text;
    const int64_t now_s = clock_wall_ms() / 1000;
    char mac[65] = "";
    write_body(calls, call);
    buf_reset(text);
    buf_printf(text, "%" PRId64 ".%s", now_s, buf_str(&calls->body));
    const enum status st = token_webhook_mac(calls->opts.keys, buf_str(text), text->len, mac);
    buf_reset(text);
    buf_printf(text,
               "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: tiketi-provider\r\n"
               "Content-Type: application/json\r\nContent-Length: %zu\r\n",
               calls->opts.webhook->path, calls->opts.webhook->host, calls->body.len);
    buf_printf(text, "X-Tiketi-Signature: t=%" PRId64 ",v1=%s\r\n\r\n%s", now_s,
               st == ST_OK ? mac : "", buf_str(&calls->body));
}

static void send_call(struct provider_calls *calls, struct provider_call *call)
{
    const bool lost = chance(calls, calls->opts.options->lose);
    call->answer_lost = lost && chance(calls, 0.5);
    if (lost && !call->answer_lost) { /* it never leaves */
        failed(calls, call, 0);
        return;
    }
    call->state = CALL_OUT;
    calls->out[calls->out_count++] = call;
    call->conn = dial_open(calls->net, calls->opts.webhook, call->charge->number, &call_ops, call);
    write_request(calls, call);
    dial_request(call->conn, buf_str(&calls->text), calls->text.len);
    agenda_set(calls->agenda, &call->due, ANSWER_MS);
}

static void queue_go_on(struct provider_calls *calls)
{
    while (!calls->closed && calls->queue_head != NULL && calls->out_count < OPEN_MAX) {
        struct provider_call *call = calls->queue_head;
        calls->queue_head = call->next;
        if (calls->queue_head == NULL)
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
    if (call->state == CALL_OUT) { /* no answer in time */
        hang_up(calls, call);
        failed(calls, call, 0);
        attempt_over(calls, call);
        return;
    }
    if (calls->held == call)
        calls->held = NULL;
    call->state = CALL_QUEUED;
    if (calls->queue_tail != NULL)
        calls->queue_tail->next = call;
    else
        calls->queue_head = call;
    calls->queue_tail = call;
    queue_go_on(calls);
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
    calls->agenda = agenda_new(opts->loop, PROVIDER_CALLS * PROVIDER_CHARGES_MAX, on_due, calls);
    buf_init(&calls->body, 4096);
    buf_init(&calls->text, 8192);
    return calls;
}

void provider_calls_announce(struct provider_calls *calls, struct provider_charge *charge,
                             bool refund)
{
    const struct provider_options *options = calls->opts.options;
    struct provider_call *call = &charge->calls[refund ? PROVIDER_REFUNDED : PROVIDER_PAID];
    struct provider_call *again = &charge->calls[PROVIDER_AGAIN];
    const uint64_t spread = (uint64_t)(options->late_max_ms - options->late_min_ms) + 1;
    uint64_t delay = 0;
    if (chance(calls, options->late))
        delay = (uint64_t)options->late_min_ms + roll(calls) % spread;
    *call = (struct provider_call){.charge = charge, .refund = refund, .calls = calls};
    calls->undelivered++;
    if (again->state == CALL_IDLE && chance(calls, options->repeat)) {
        *again = (struct provider_call){
            .charge = charge, .refund = refund, .once = true, .calls = calls};
        put_off(calls, again, delay + (chance(calls, 0.5) ? 0 : roll(calls) % AGAIN_MS));
    }
    if (delay == 0 && calls->held == NULL && chance(calls, options->reorder)) {
        calls->held = call;
        delay = HELD_MS;
    }
    put_off(calls, call, delay);
}

unsigned provider_calls_undelivered(const struct provider_calls *calls)
{
    return calls->undelivered;
}

void provider_calls_close(struct provider_calls *calls)
{
    if (calls == NULL)
        return;
    calls->closed = true;
    while (calls->out_count > 0)
        hang_up(calls, calls->out[0]);
    agenda_free(calls->agenda);
    calls->agenda = NULL;
}

void provider_calls_free(struct provider_calls *calls)
{
    if (calls == NULL)
        return;
    dial_net_free(calls->net);
    buf_clear(&calls->body);
    buf_clear(&calls->text);
    free(calls);
}
