/* SPDX-License-Identifier: MIT */
/*
 * api_gate: tells an integrator's proxy whether the buyer of a request is inside now, and publishes the keys that
 * verify passes.
 *
 *   pass (or JWT, or guest cookie) -> event known -> Redis: inside? -> 204, or 401 not-admitted
 *
 * Why this way: the pass names the buyer. If no pass is sent, or the one in a cookie is no longer valid, a JWT or guest
 * cookie names them. Redis decides, and a pass counts only for its own admission: a pass of an earlier admission or
 * another epoch is refused, even if its buyer is inside again. The answer goes to a proxy, so it sets no cookies. The
 * request claims: it is made for a page that the buyer has opened. An answer of 204 counts as a heartbeat.
 * Called by: api's route table. Owns nothing. With Redis gone: 503, the gate stays closed.
 */
#include "api/api_internal.h"

#include "auth/identity.h"
#include "base/shared_clock.h"

#include <stdio.h>
#include <string.h>

struct gate {
    /* The admission in Redis must be that of the pass: only the pass names this buyer, or it was sent in a header. */
    bool must_match;
};

static void gate_checked(void *arg, enum status status, const struct queue_place *place,
                         const struct queue_numbers *numbers)
{
    struct api_call *call = arg;
    const struct gate *gate = call->state;
    const struct queue_proof *proof = &call->proof;
    if (status != ST_OK && status != ST_NOT_FOUND) {
        api_fail(call, status);
        return;
    }
    const bool inside = status == ST_OK && place->state == QUEUE_ACTIVE;
    const bool matches =
        inside && proof->pass_place == place->number && proof->pass_epoch == numbers->epoch;
    if (inside && numbers->status != EVENT_CLOSED && (matches || !gate->must_match))
        api_answer(call, 204, "", 0);
    else if (status == ST_OK && !inside && numbers->restoring && proof->pass_place > 0)
        api_fail(call, ST_UNAVAILABLE); /* the pass counts once consumed places are loaded */
    else
        api_problem(call, 401, "not-admitted", "The buyer is not inside: join the queue.", NULL);
}

/* Unknown ids are refused here: a flood of them must not cost Redis memory. */
static void gate_loaded(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status == ST_OK)
        status = api_ask_inside(call, call->param, gate_checked);
    if (status != ST_OK)
        gate_checked(call, status, NULL, NULL);
}

static enum status gate_start(struct api_call *call)
{
    struct gate *gate = http_req_alloc(call->req, sizeof(*gate));
    struct cookie list[COOKIE_TRIES];
    struct pass pass;
    bool in_header;
    call->state = gate;
    call->guest = false; /* no cookie: the answer goes to a proxy */
    const size_t count =
        api_sent_proofs(call, "X-Tiketi-Pass", COOKIE_PASS, call->param, list, &in_header);
    bool valid = false;
    for (size_t i = 0; i < count && !valid; i++) {
        const struct identity_proof proof = {
            .text = list[i].value, .len = list[i].len, .event = call->param}; /* of any buyer */
        valid = identity_read_pass(call->api->keys, &proof, shared_clock_ms(), &pass) == ST_OK;
    }
    const bool own = valid && strcmp(pass.buyer, call->buyer) == 0;
    if (valid && (own || !call->has_user)) {
        gate->must_match = in_header || !own;
        memcpy(call->buyer, pass.buyer, sizeof(call->buyer));
        call->proof = (struct queue_proof){
            .pass_place = pass.place, .pass_epoch = pass.epoch, .pass_since_ms = pass.iat_s * 1000};
    } else if (in_header || call->new_guest) {
        /* A pass in a header must be valid. An invalid one in a cookie is ignored if a JWT or guest cookie names the
         * buyer. */
        return ST_UNAUTHORIZED;
    }
    return api_with_event(call, call->param, gate_loaded);
}

static enum status jwks_start(struct api_call *call)
{
    struct buf *out = &call->api->text;
    buf_reset(out);
    token_write_jwks(call->api->keys, out);
    api_answer(call, 200, buf_str(out), out->len);
    return ST_OK;
}

const struct api_route api_gate_routes[] = {
    {"GET", "/api/gate/{eventId}", AUTH_BUYER, 0, gate_start, API_BODY_NONE},
    {"GET", "/.well-known/jwks.json", AUTH_NONE, 0, jwks_start, API_BODY_NONE},
    {0},
};
