/* SPDX-License-Identifier: MIT */
/*
 * api_gate: what an integrator's proxy asks: is the buyer of this request inside now?
 *
 * The pass names the buyer (or a JWT or guest cookie does, where none is sent or a cookie's no longer
 * fits); active:{id} decides, and a pass counts only for the admission it was given for.
 * 204 is also a sign of life. 401 otherwise; 503 when Redis cannot answer: the gate fails closed.
 * Called by: api's route table.
 */
#include "api/api_internal.h"

#include "auth/identity.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>

struct gate {
    bool must_match; /* the pass alone speaks for the buyer, or was sent as a claim */
};

/* Is the buyer inside, and by the admission his pass is of? One of an earlier admission or of
 * another epoch is worth nothing, though its buyer may be inside again. */
static bool holds_admission(const struct api_call *call, const struct queue_place *place,
                            const struct queue_numbers *numbers)
{
    const struct gate *gate = call->state;
    const struct queue_proof *proof = &call->proof;
    if (place->state != QUEUE_ACTIVE || numbers->status == EVENT_CLOSED)
        return false;
    return !gate->must_match ||
           (proof->pass_place == place->place && proof->pass_epoch == numbers->epoch);
}

static void gate_checked(void *arg, enum status status, const struct queue_place *place,
                         const struct queue_numbers *numbers)
{
    struct api_call *call = arg;
    if (status != ST_OK && status != ST_NOT_FOUND)
        api_fail(call, status);
    else if (status == ST_OK && holds_admission(call, place, numbers))
        api_answer(call, 204, "", 0);
    else if (status == ST_OK && place->state != QUEUE_ACTIVE && numbers->restoring &&
             call->proof.pass_place > 0)
        api_fail(call,
                 ST_UNAVAILABLE); /* his pass counts as soon as the consumed places are known */
    else
        api_problem(call, 401, "not-admitted", "Not inside: take a place in the queue.", NULL);
}

/* An id that nobody knows ends here: it must cost no memory. */
static void gate_loaded(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status == ST_OK)
        status = api_ask_inside(call, call->param, gate_checked);
    if (status != ST_OK)
        gate_checked(call, status, NULL, NULL);
}

/* False: the pass does not hold, or is somebody else's than the one logged in. */
static bool take_pass(struct api_call *call, const char *text, size_t len, bool in_header)
{
    struct gate *gate = call->state;
    const struct identity_proof sent = {.text = text, .len = len, .event = call->param};
    struct pass pass;
    if (identity_read_pass(call->api->keys, &sent, clock_wall_ms(), &pass) != ST_OK)
        return false;
    const bool own = strcmp(pass.buyer, call->buyer) == 0;
    if (call->has_user && !own)
        return false;
    gate->must_match = in_header || !own;
    (void)snprintf(call->buyer, sizeof(call->buyer), "%s", pass.buyer);
    call->proof = (struct queue_proof){
        .pass_place = pass.place, .pass_epoch = pass.epoch, .pass_since_ms = pass.iat_s * 1000};
    return true;
}

static enum status gate_start(struct api_call *call)
{
    size_t len;
    bool in_header;
    const char *text =
        api_sent_proof(call, "X-Tiketi-Pass", IDENTITY_PASS_COOKIE, call->param, &len, &in_header);
    const bool stranger = call->new_guest;
    call->state = http_req_alloc(call->req, sizeof(struct gate));
    const bool taken = text != NULL && take_pass(call, text, len, in_header);
    call->guest = false; /* the answer goes to a proxy: no cookie */
    if (!taken && (in_header || stranger))
        return ST_UNAUTHORIZED; /* a claim must hold; a cookie that no longer fits is passed over */
    if (catalog_event(call->api->catalog, call->param) == NULL)
        return catalog_load(call->api->catalog, call->param, false, gate_loaded, call);
    return api_ask_inside(call, call->param, gate_checked);
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
    {"GET", "/api/gate/{eventId}", AUTH_BUYER, 0, gate_start, false},
    {"GET", "/.well-known/jwks.json", AUTH_NONE, 0, jwks_start, false},
    {0},
};
