/* SPDX-License-Identifier: MIT */
/*
 * api_handoff: a shop on another host redeems the token that a buyer has brought.
 *
 *   POST /api/gate/{eventId}/handoff {token, target}
 *     event known -> token verified -> of this event, and made for this target -> lua/handoff.lua: not used, and still inside -> the pass
 *
 * Why this way: whoever has the token may redeem it, as whoever has the pass may use it: it is the buyer's browser that brings
 * both. So the shop needs no key of ours, and the token is bound to all that the shop can tell: event, target, seconds, once.
 * Called by: api's route table. Redis gone: 503, and the shop sends the buyer back to the waiting page or tries again.
 */
#include "api/api_internal.h"

#include "auth/handoff.h"
#include "base/clock.h"
#include "base/shared_clock.h"

#include <stdio.h>
#include <string.h>

struct redemption {
    const char *token; /* borrowed from the body */
    struct handoff handoff;
    struct return_url target; /* as the shop has named it, without the token; text "": not named */
};

static void refuse_token(struct api_call *call, const char *reason, const char *detail,
                         const char *field)
{
    api_refuse_as(call, 401, "handoff-refused", reason, detail, field);
}

static void answer_pass(struct api_call *call, const struct queue_redeemed *redeemed)
{
    const struct redemption *order = call->state;
    const struct event *event = catalog_event(call->api->catalog, call->param);
    const char *target = order->target.text[0] != '\0' ? order->target.text : order->handoff.target;
    struct buf *pass = &call->api->pass;
    char text[CLOCK_RFC3339_SIZE];
    int64_t expires_ms;
    buf_reset(pass);
    (void)snprintf(call->buyer, sizeof(call->buyer), "%s", order->handoff.buyer);
    const enum status st = event ? api_write_pass(call, event, &redeemed->place,
                                                  redeemed->numbers.epoch, pass, &expires_ms)
                                 : ST_UNAVAILABLE;
    if (st != ST_OK) {
        api_fail(call, st);
        return;
    }
    struct json *body = json_new_object();
    clock_format_rfc3339(expires_ms, text);
    json_set_str(body, "buyer", order->handoff.buyer);
    json_set_str(body, "pass", buf_str(pass));
    json_set_str(body, "passExpiresAt", text);
    json_set_str(body, "target", target);
    api_answer_json(call, 200, body);
    json_free(body);
}

static void redeemed(void *arg, enum status status, const struct queue_redeemed *redeemed)
{
    struct api_call *call = arg;
    if (status == ST_NOT_FOUND) /* Redis has lost the event since it was loaded */
        status = ST_UNAVAILABLE;
    if (status != ST_OK)
        api_fail(call, status);
    else if (redeemed->place.state == QUEUE_ACTIVE && redeemed->used)
        refuse_token(call, "handoff-used", "The token was redeemed before: it holds once.",
                     "token");
    else if (redeemed->place.state == QUEUE_ACTIVE)
        answer_pass(call, redeemed);
    else if (redeemed->numbers.restoring)
        api_fail(call, ST_UNAVAILABLE); /* the admission may come back */
    else
        api_problem(call, 401, "not-admitted",
                    "The turn that the token was made for is over: join the queue.", NULL);
}

/* False: the token does not hold, and that was answered. */
static bool holds(struct api_call *call, struct redemption *order)
{
    const enum status st = handoff_read(call->api->keys, order->token, strlen(order->token),
                                        shared_clock_ms(), &order->handoff);
    if (st == ST_GONE)
        refuse_token(call, "handoff-expired", "The token has expired: it holds for a minute.",
                     "token");
    else if (st != ST_OK || strcmp(order->handoff.event, call->param) != 0)
        refuse_token(call, "handoff-not-valid", "The token is none of ours, or of another event.",
                     "token");
    else if (order->target.text[0] != '\0' && !handoff_leads_to(&order->handoff, &order->target))
        refuse_token(call, "handoff-target", "The token was made for another target.", "target");
    else
        return true;
    return false;
}

static void event_known(void *arg, enum status status)
{
    struct api_call *call = arg;
    struct redemption *order = call->state;
    const struct handoff *handoff = &order->handoff;
    if (status == ST_OK && !holds(call, order))
        return;
    const struct queue_handoff once = {.event_id = call->param,
                                       .buyer_id = handoff->buyer,
                                       .jti = handoff->jti,
                                       .place = handoff->place,
                                       .epoch = handoff->epoch,
                                       .expires_ms = handoff->exp_s * 1000};
    if (status == ST_OK)
        status = queue_redeem(call->api->queue, &once, redeemed, call);
    if (status != ST_OK)
        api_fail_event(call, status);
}

/* Reads `target`, which may still have the token. */
static enum status read_target(const struct json *body, struct return_url *ret,
                               struct json_error *error)
{
    const char *text = NULL;
    struct buf clean;
    enum status st = json_read_str(body, "target", RETURN_URL_MAX + HANDOFF_MAX + 32, &text, error);
    if (st != ST_OK || !text)
        return st;
    buf_init(&clean, RETURN_URL_MAX + HANDOFF_MAX + 32);
    return_url_without(text, HANDOFF_PARAMETER, &clean);
    const enum return_verdict verdict = return_url_parse(buf_str(&clean), NULL, ret);
    buf_clear(&clean);
    if (verdict != RETURN_OK || ret->origin_len == 0)
        return json_refuse(error, "target", "return-not-a-url",
                           "target must be the absolute URL that the buyer was led to.");
    return ST_OK;
}

static enum status handoff_start(struct api_call *call)
{
    static const char *const keys[] = {"token", "target", NULL};
    struct redemption *order = http_req_alloc(call->req, sizeof(*order));
    struct json_error error = {0};
    const char *token = NULL;
    enum status st = json_known_keys(call->body, keys, &error);
    if (st == ST_OK)
        st = json_read_str(call->body, "token", HANDOFF_MAX, &token, &error);
    if (st == ST_OK && !token)
        st = json_refuse(&error, "token", "needed", "token is needed.");
    if (st == ST_OK)
        st = read_target(call->body, &order->target, &error);
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    order->token = token;
    call->state = order;
    return api_with_event(call, call->param, event_known);
}

const struct api_route api_handoff_routes[] = {
    {"POST", "/api/gate/{eventId}/handoff", AUTH_NONE, 0, handoff_start, API_BODY_JSON},
    {0},
};
