/* SPDX-License-Identifier: MIT */
/*
 * api_gate: what an integrator's proxy asks: is the buyer of this request inside now?
 *
 * The pass names the buyer (or a JWT or guest cookie does, where no pass is sent); active:{id} decides.
 * 204 is also a sign of life. 401 otherwise; 503 when Redis cannot answer: the gate fails closed.
 * Called by: api's route table.
 */
#include "api.h"

#include "clock.h"

#include <stdio.h>
#include <string.h>

struct gate {
    bool reloaded; /* the event was loaded again after a script missed it */
};

static void gate_checked(void *arg, enum status status, const struct queue_place *place,
                         const struct queue_numbers *numbers);

/* An id that nobody knows ends here: it must cost no memory. */
static void gate_loaded(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status == ST_OK)
        status = api_ask_inside(call, call->param, gate_checked);
    if (status != ST_OK)
        gate_checked(call, status, NULL, NULL);
}

static void gate_checked(void *arg, enum status status, const struct queue_place *place,
                         const struct queue_numbers *numbers)
{
    struct api_call *call = arg;
    struct gate *gate = call->state;
    if (status == ST_NOT_FOUND && !gate->reloaded) { /* Redis has lost the event: once more */
        gate->reloaded = true;
        status = catalog_load(call->api->catalog, call->param, true, gate_loaded, call);
        if (status == ST_OK)
            return;
    }
    if (status != ST_OK && status != ST_NOT_FOUND)
        api_fail(call, status);
    else if (status == ST_OK && place->state == QUEUE_ACTIVE && numbers->status != EVENT_CLOSED)
        api_answer(call, 204, "", 0);
    else if (status == ST_OK && numbers->restoring && call->proof.pass_place > 0)
        api_fail(call, ST_UNAVAILABLE); /* his pass counts as soon as what is spent is known */
    else
        api_problem(call, 401, "not-admitted", "Not inside: take a place in the queue.", NULL);
}

/* The pass of the request, from header or cookie; NULL when there is none. */
static const char *sent_pass(struct api_call *call, size_t *ret_len)
{
    const char *text = http_req_header(call->req, "X-Tiketi-Pass");
    char name[EVENT_ID_MAX + 32];
    if (text != NULL) {
        *ret_len = strlen(text);
        return text;
    }
    (void)snprintf(name, sizeof(name), "tiketi_pass_%s", call->param);
    return http_req_cookie(call->req, name, ret_len);
}

static enum status gate_start(struct api_call *call)
{
    size_t len;
    struct pass pass;
    const char *text = sent_pass(call, &len);
    call->state = http_req_alloc(call->req, sizeof(struct gate));
    if (text != NULL) {
        if (pass_read(call->api->keys, text, len, clock_wall_ms(), &pass) != ST_OK ||
            strcmp(pass.event, call->param) != 0)
            return ST_UNAUTHORIZED;
        if (call->has_user && strcmp(pass.buyer, call->buyer) != 0)
            return ST_UNAUTHORIZED; /* logged in as somebody else */
        (void)snprintf(call->buyer, sizeof(call->buyer), "%s", pass.buyer);
        call->guest = false; /* the answer goes to a proxy: no cookie */
        call->proof = (struct queue_proof){
            .pass_place = pass.place, .pass_epoch = pass.epoch, .pass_since_ms = pass.iat_s * 1000};
    } else if (call->new_guest) {
        call->guest = false;
        return ST_UNAUTHORIZED;
    }
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
