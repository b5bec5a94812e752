/* SPDX-License-Identifier: MIT */
/*
 * crowd_request: the texts a virtual buyer sends. One table row per request. Called by:
 * crowd_buyer. Writes into the crowd's scratch buffer, so that ten thousand buyers hold no
 * requests. A user's JWT is signed again for each request: cheaper than keeping it.
 */
#include "crowd_request.h"

#include "clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define JWT_TTL_MS (24LL * 3600 * 1000)

static void write_no_body(const struct crowd_buyer *buyer, struct buf *out);
static void write_order(const struct crowd_buyer *buyer, struct buf *out);
static void write_payment(const struct crowd_buyer *buyer, struct buf *out);

static const struct {
    const char *method, *path; /* the event's id goes after a path that ends with a slash */
    void (*body)(const struct crowd_buyer *buyer, struct buf *out);
    const char *name;
} requests[STEP_COUNT] = {
    [STEP_CHECK] = {"POST", "/api/queue/check/", write_no_body, "POST /api/queue/check/{eventId}"},
    [STEP_STATUS] = {"GET", "/api/queue/status/", NULL, "GET /api/queue/status/{eventId}"},
    [STEP_HEARTBEAT] = {"POST", "/api/queue/heartbeat/", write_no_body,
                        "POST /api/queue/heartbeat/{eventId}"},
    [STEP_LEAVE] = {"POST", "/api/queue/leave/", write_no_body, "POST /api/queue/leave/{eventId}"},
    [STEP_LIST] = {"GET", "/api/reservations", NULL, "GET /api/reservations"},
    [STEP_RESERVE] = {"POST", "/api/reservations", write_order, "POST /api/reservations"},
    [STEP_PAY] = {"POST", "/api/payments/webhook", write_payment, "POST /api/payments/webhook"},
};

const char *crowd_step_name(enum crowd_step step)
{
    return requests[step].name;
}

/* ---- bodies ---- */

static void write_no_body(const struct crowd_buyer *buyer, struct buf *out)
{
    (void)buyer;
    (void)out;
}

static void write_order(const struct crowd_buyer *buyer, struct buf *out)
{
    buf_printf(out, "{\"eventId\":\"%s\",\"quantity\":1}", buyer->crowd->options->event);
}

/* The reference is the same at each repetition: a payment whose answer was lost is not paid twice. */
static void write_payment(const struct crowd_buyer *buyer, struct buf *out)
{
    buf_printf(out,
               "{\"reservationId\":\"%s\",\"provider\":\"crowd\",\"reference\":\"%s-%s\","
               "\"amount\":%" PRId64 ",\"currency\":\"%s\",\"status\":\"paid\"}",
               buyer->reservation, buyer->crowd->tag, buyer->reservation, buyer->amount,
               buyer->currency);
}

/* ---- headers ---- */

static void write_credentials(const struct crowd_buyer *buyer, struct buf *out)
{
    struct crowd *crowd = buyer->crowd;
    char id[BUYER_ID_MAX + 1];
    if (!crowd->users) {
        if (buyer->guest != NULL)
            buf_printf(out, "Cookie: tiketi_guest=%s\r\n", buyer->guest);
        return;
    }
    crowd_buyer_id(buyer, id);
    buf_reset(&crowd->token);
    if (token_write_user(crowd->keys, id + 2, "buyer", clock_wall_ms(), JWT_TTL_MS,
                         &crowd->token) == ST_OK)
        buf_printf(out, "Authorization: Bearer %s\r\n", buf_str(&crowd->token));
}

static void write_proofs(const struct crowd_buyer *buyer, struct buf *out)
{
    if (buyer->ticket != NULL)
        buf_printf(out, "X-Tiketi-Ticket: %s\r\n", buyer->ticket);
    if (buyer->pass != NULL)
        buf_printf(out, "X-Tiketi-Pass: %s\r\n", buyer->pass);
}

static void write_signature(const struct crowd_buyer *buyer, const struct buf *body,
                            struct buf *out)
{
    struct crowd *crowd = buyer->crowd;
    const int64_t now_s = clock_wall_ms() / 1000;
    char mac[65] = "";
    buf_reset(&crowd->token);
    buf_printf(&crowd->token, "%" PRId64 ".", now_s);
    buf_add(&crowd->token, buf_str(body), body->len);
    if (token_webhook_mac(crowd->keys, buf_str(&crowd->token), crowd->token.len, mac) == ST_OK)
        buf_printf(out, "X-Tiketi-Signature: t=%" PRId64 ",v1=%s\r\n", now_s, mac);
}

void crowd_write_request(const struct crowd_buyer *buyer, enum crowd_step step)
{
    struct crowd *crowd = buyer->crowd;
    struct buf *out = &crowd->text;
    const char *path = requests[step].path;
    const bool of_event = path[strlen(path) - 1] == '/';
    struct buf body;
    buf_init(&body, 1024);
    buf_reset(out);
    buf_printf(out, "%s %s%s%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: tiketi-crowd\r\n",
               requests[step].method, crowd->http.path, path, of_event ? crowd->options->event : "",
               crowd->http.host);
    if (requests[step].body != NULL) {
        requests[step].body(buyer, &body);
        buf_printf(out, "Content-Length: %zu\r\n", body.len);
        if (body.len > 0)
            buf_add_str(out, "Content-Type: application/json\r\n");
    }
    if (step == STEP_PAY) {
        write_signature(buyer, &body, out); /* the provider has no other credential */
    } else {
        write_credentials(buyer, out);
        write_proofs(buyer, out);
    }
    if (step == STEP_RESERVE)
        buf_printf(out, "Idempotency-Key: %s-%" PRIu64 "\r\n", crowd->tag, buyer->place);
    buf_add_str(out, "\r\n");
    buf_add(out, buf_str(&body), body.len);
    buf_clear(&body);
}

void crowd_write_handshake(const struct crowd_buyer *buyer)
{
    struct buf *out = &buyer->crowd->text;
    buf_reset(out);
    if (!buyer->crowd->users)
        write_credentials(buyer, out);
}

void crowd_write_join(const struct crowd_buyer *buyer)
{
    struct crowd *crowd = buyer->crowd;
    struct buf *out = &crowd->text;
    char id[BUYER_ID_MAX + 1];
    buf_reset(out);
    buf_printf(out, "{\"event\":\"join-queue\",\"payload\":{\"eventId\":\"%s\"",
               crowd->options->event);
    if (buyer->ticket != NULL)
        buf_printf(out, ",\"ticket\":\"%s\"", buyer->ticket);
    crowd_buyer_id(buyer, id);
    buf_reset(&crowd->token);
    if (crowd->users && token_write_user(crowd->keys, id + 2, "buyer", clock_wall_ms(), JWT_TTL_MS,
                                         &crowd->token) == ST_OK)
        buf_printf(out, ",\"token\":\"%s\"", buf_str(&crowd->token));
    buf_add_str(out, "}}");
}
