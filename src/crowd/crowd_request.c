/* SPDX-License-Identifier: MIT */
/*
 * crowd_request: the texts that a virtual buyer sends, one table row per request. Called by: the buyer's files.
 * Writes into the crowd's scratch buffer, so that ten thousand buyers keep no requests. A user's JWT is signed anew
 * for each request: that is cheaper than keeping it.
 */
#include "crowd/crowd_request.h"

#include "crowd/crowd_memory.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>

#define JWT_TTL_MS (24LL * 3600 * 1000)

static void write_no_body(const struct crowd_buyer *buyer, struct buf *out);
static void write_order(const struct crowd_buyer *buyer, struct buf *out);
static void write_charge(const struct crowd_buyer *buyer, struct buf *out);

enum tail { TAIL_NONE, TAIL_EVENT, TAIL_RESERVATION, TAIL_PAY, TAIL_REFERENCE };

static const struct {
    const char *method, *path;
    void (*body)(const struct crowd_buyer *buyer, struct buf *out);
    const char *name;
    enum tail tail;   /* what goes after the path */
    bool at_provider; /* gets no credentials of the buyer */
} requests[STEP_COUNT] = {
    [STEP_CHECK] = {"POST", "/api/queue/check/", write_no_body, "POST /api/queue/check/{eventId}",
                    TAIL_EVENT, false},
    [STEP_STATUS] = {"GET", "/api/queue/status/", NULL, "GET /api/queue/status/{eventId}",
                     TAIL_EVENT, false},
    [STEP_HEARTBEAT] = {"POST", "/api/queue/heartbeat/", write_no_body,
                        "POST /api/queue/heartbeat/{eventId}", TAIL_EVENT, false},
    [STEP_LEAVE] = {"POST", "/api/queue/leave/", write_no_body, "POST /api/queue/leave/{eventId}",
                    TAIL_EVENT, false},
    [STEP_LIST] = {"GET", "/api/reservations", NULL, "GET /api/reservations", TAIL_NONE, false},
    [STEP_RESERVE] = {"POST", "/api/reservations", write_order, "POST /api/reservations", TAIL_NONE,
                      false},
    [STEP_PAY] = {"POST", "/api/reservations/", write_no_body, "POST /api/reservations/{id}/pay",
                  TAIL_PAY, false},
    [STEP_CHARGE] = {"POST", "/charges", write_charge, "POST /charges", TAIL_NONE, true},
    [STEP_OUTCOME] = {"GET", "/api/reservations/", NULL, "GET /api/reservations/{id}",
                      TAIL_RESERVATION, false},
    [STEP_CHARGED] = {"GET", "/charges/", NULL, "GET /charges/{reference}", TAIL_REFERENCE, true},
};

const char *crowd_step_name(enum crowd_step step)
{
    return requests[step].name;
}

const struct dial_target *crowd_step_target(const struct crowd_buyer *buyer, enum crowd_step step)
{
    return requests[step].at_provider ? &buyer->crowd->provider : crowd_buyer_http(buyer);
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

/* The order as the service has signed it. */
static void write_charge(const struct crowd_buyer *buyer, struct buf *out)
{
    buf_add_str(out, buyer->order);
}

/* ---- headers ---- */

static void write_credentials(const struct crowd_buyer *buyer, struct buf *out)
{
    struct crowd *crowd = buyer->crowd;
    char id[BUYER_ID_MAX + 1];
    if (!crowd->users) {
        if (buyer->guest)
            buf_printf(out, "Cookie: tiketi_guest=%s\r\n", buyer->guest);
        return;
    }
    crowd_buyer_id(buyer, id);
    buf_reset(&crowd->token);
    if (token_write_user(crowd->keys, id + 2, "buyer", clock_wall_ms(), JWT_TTL_MS,
                         &crowd->token) == ST_OK)
        buf_printf(out, "Authorization: Bearer %s\r\n", buf_str(&crowd->token));
}

void crowd_write_request(const struct crowd_buyer *buyer, enum crowd_step step)
{
    struct crowd *crowd = buyer->crowd;
    struct buf *out = &crowd->text;
    struct buf body;
    const char *const tails[] = {[TAIL_NONE] = "",
                                 [TAIL_EVENT] = crowd->options->event,
                                 [TAIL_RESERVATION] = buyer->reservation,
                                 [TAIL_PAY] = buyer->reservation,
                                 [TAIL_REFERENCE] = buyer->reference};
    const enum tail tail = requests[step].tail;
    const struct dial_target *target = crowd_step_target(buyer, step);
    buf_init(&body, 4096);
    buf_reset(out);
    buf_printf(out, "%s %s%s%s%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: tiketi-crowd\r\n",
               requests[step].method, target->path, requests[step].path,
               tails[tail] ? tails[tail] : "", tail == TAIL_PAY ? "/pay" : "", target->host);
    if (requests[step].body) {
        requests[step].body(buyer, &body);
        buf_printf(out, "Content-Length: %zu\r\n", body.len);
        if (body.len > 0)
            buf_add_str(out, "Content-Type: application/json\r\n");
    }
    if (!requests[step].at_provider) {
        write_credentials(buyer, out);
        if (buyer->ticket)
            buf_printf(out, "X-Tiketi-Ticket: %s\r\n", buyer->ticket);
        if (buyer->pass)
            buf_printf(out, "X-Tiketi-Pass: %s\r\n", buyer->pass);
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
    if (buyer->ticket)
        buf_printf(out, ",\"ticket\":\"%s\"", buyer->ticket);
    crowd_buyer_id(buyer, id);
    buf_reset(&crowd->token);
    if (crowd->users && token_write_user(crowd->keys, id + 2, "buyer", clock_wall_ms(), JWT_TTL_MS,
                                         &crowd->token) == ST_OK)
        buf_printf(out, ",\"token\":\"%s\"", buf_str(&crowd->token));
    buf_add_str(out, "}}");
}

void crowd_write_claim(const struct crowd_buyer *buyer)
{
    struct buf *out = &buyer->crowd->text;
    buf_reset(out);
    buf_printf(out, "{\"event\":\"heartbeat\",\"payload\":{\"eventId\":\"%s\",\"claim\":true}}",
               buyer->crowd->options->event);
}
