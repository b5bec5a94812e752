/* SPDX-License-Identifier: MIT */
/*
 * api_push: the browsers that buyers want to be called in.
 *
 *   GET     /api/queue/push             the key that a browser subscribes with
 *   PUT     /api/queue/push/{eventId}   keeps the subscription of this buyer's browser; `test` asks for a test call
 *   DELETE  /api/queue/push/{eventId}   forgets it
 *
 * Why this way: a subscription is kept only for a buyer with a ticket of this event, so their number is bounded by that of
 * the places. PostgreSQL has them, since the ledger writes calls in its transaction (sql/functions/push.sql). What is
 * sent is decided there, and by pusher.
 * Called by: api's route table, api_wait (the key). Owns: the keys. Without VAPID_KEYS: 404. PostgreSQL gone: 503.
 */
#include "api/api_internal.h"

#include "auth/push_seal.h"
#include "auth/vapid.h"
#include "base/log.h"
#include "base/memory.h"
#include "net/push_endpoint.h"
#include "selling/push.h"

#include <stdlib.h>
#include <string.h>

#define KEY_TEXT_MAX 128

struct api_push {
    struct vapid *vapid;
    struct client_ip *allowed; /* OUTBOUND_ALLOW */
};

/* ---- life ---- */

enum status api_push_new(const struct config *config, struct api_push **ret)
{
    char error[160];
    *ret = NULL;
    if (!config->vapid_keys)
        return ST_OK;
    struct api_push *push = xcalloc(1, sizeof(*push));
    enum status st = client_ip_new(config->outbound_allow, &push->allowed, error, sizeof(error));
    if (st == ST_OK)
        st = vapid_new(config->vapid_keys, config->vapid_subject, &push->vapid);
    if (st == ST_OK) {
        *ret = push;
        return ST_OK;
    }
    log_error("setting cannot be used", LOG_TEXT("setting", "VAPID_KEYS"),
              LOG_TEXT("expected", "keys of `tiketi vapid-key`, comma-separated"));
    api_push_free(push);
    return st;
}

void api_push_free(struct api_push *push)
{
    if (!push)
        return;
    vapid_free(push->vapid);
    client_ip_free(push->allowed);
    free(push);
}

void api_push_reconfigure(struct api_push *push, const struct config *config)
{
    if (push && config->vapid_keys && vapid_set_keys(push->vapid, config->vapid_keys) != ST_OK)
        log_error("keys of push messages not changed"); /* serve has tried them */
}

const char *api_push_key(const struct api *api)
{
    return api->push ? vapid_key(api->push->vapid) : NULL;
}

/* ---- reading a subscription ---- */

static enum status read_endpoint(struct api_call *call, struct push_subscription *subscription,
                                 struct json_error *error)
{
    const char *reason;
    const enum status st =
        json_read_str(call->body, "endpoint", PUSH_ENDPOINT_MAX, &subscription->endpoint, error);
    if (st != ST_OK)
        return st;
    if (!subscription->endpoint)
        return json_refuse(error, "endpoint", "needed", "endpoint is needed.");
    if (push_endpoint_check(subscription->endpoint, call->api->push->allowed, &reason) == 0)
        return json_refuse(error, "endpoint", "endpoint", "%s", reason);
    return ST_OK;
}

static enum status read_keys(struct api_call *call, struct push_subscription *subscription,
                             struct json_error *error)
{
    static const char *const names[] = {"p256dh", "auth", NULL};
    const struct json *keys = json_get(call->body, "keys");
    struct push_keys read;
    if (!json_is_object(keys))
        return json_refuse(error, "keys", "not-an-object",
                           "keys must be an object with p256dh and auth.");
    enum status st = json_known_keys(keys, names, error);
    if (st == ST_OK)
        st = json_read_str(keys, "p256dh", KEY_TEXT_MAX, &subscription->p256dh, error);
    if (st == ST_OK)
        st = json_read_str(keys, "auth", KEY_TEXT_MAX, &subscription->auth, error);
    if (st != ST_OK)
        return json_refuse_in(error, "keys");
    if (!subscription->p256dh || !push_keys_read_point(subscription->p256dh, &read))
        return json_refuse(error, "keys.p256dh", "not-a-key",
                           "p256dh must be a point of P-256: 65 bytes in base64url.");
    if (!subscription->auth || !push_keys_read_secret(subscription->auth, &read))
        return json_refuse(error, "keys.auth", "not-a-key", "auth must be 16 bytes in base64url.");
    return ST_OK;
}

static enum status read_subscription(struct api_call *call, struct push_subscription *subscription,
                                     struct json_error *error)
{
    static const char *const names[] = {"endpoint", "keys", "key", "test", NULL};
    const struct vapid *vapid = call->api->push->vapid;
    enum status st = json_known_keys(call->body, names, error);
    if (st == ST_OK)
        st = read_endpoint(call, subscription, error);
    if (st == ST_OK)
        st = read_keys(call, subscription, error);
    if (st == ST_OK)
        st = json_read_str(call->body, "key", KEY_TEXT_MAX, &subscription->key, error);
    if (st == ST_OK)
        st = json_read_bool(call->body, "test", &subscription->test, error);
    if (st != ST_OK)
        return st;
    if (!subscription->key)
        subscription->key = vapid_key(vapid);
    if (!vapid_has(vapid, subscription->key))
        return json_refuse(error, "key", "key-not-in-use",
                           "This key is not in use any more: subscribe with the one "
                           "that GET /api/queue/push answers.");
    return ST_OK;
}

/* ---- routes ---- */

/* False: no push messages are sent here, and 404 was answered. */
static bool is_on(struct api_call *call)
{
    if (call->api->push)
        return true;
    api_problem(call, 404, "push-off", "This service sends no push messages.", NULL);
    return false;
}

static enum status key_start(struct api_call *call)
{
    struct buf *out = &call->api->text;
    if (!is_on(call))
        return ST_OK;
    buf_reset(out);
    buf_printf(out, "{\"key\":\"%s\"}", api_push_key(call->api));
    api_answer(call, 200, buf_str(out), out->len);
    return ST_OK;
}

static void stored(void *arg, enum status status, const char *outcome, const char *json, size_t len)
{
    struct api_call *call = arg;
    if (status == ST_OK)
        api_answer(call, 204, "", 0);
    else
        api_answer_outcome(call, status, 200, outcome, json, len);
}

/* False: it is no JSON object of a buyer with a ticket of this event, and the problem was answered. */
static bool may_change(struct api_call *call, enum status *ret)
{
    struct json_error error = {0};
    *ret = ST_OK;
    if (!is_on(call))
        return false;
    if (!call->body) {
        (void)json_refuse(&error, "", "body-needed", "A JSON body is needed.");
        api_invalid(call, &error);
        return false;
    }
    *ret = api_read_proof(call, call->param);
    if (*ret != ST_OK)
        return false;
    if (call->proof.ticket_place > 0 || call->proof.pass_place > 0)
        return true;
    api_problem(call, 403, "no-place", "You have no place in this queue: join it first.", NULL);
    return false;
}

static enum status subscribe_start(struct api_call *call)
{
    struct json_error error = {0};
    struct push_subscription subscription = {.event = call->param, .buyer = call->buyer};
    enum status st;
    if (!may_change(call, &st))
        return st;
    if (read_subscription(call, &subscription, &error) != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return push_subscribe(call->api->db, &subscription, stored, call);
}

static enum status unsubscribe_start(struct api_call *call)
{
    static const char *const names[] = {"endpoint", NULL};
    struct json_error error = {0};
    struct push_subscription subscription = {0};
    enum status st;
    if (!may_change(call, &st))
        return st;
    st = json_known_keys(call->body, names, &error);
    if (st == ST_OK)
        st = read_endpoint(call, &subscription, &error);
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return push_unsubscribe(call->api->db, call->param, call->buyer, subscription.endpoint, stored,
                            call);
}

const struct api_route api_push_routes[] = {
    {"GET", "/api/queue/push", AUTH_NONE, 0, key_start, API_BODY_NONE},
    {"PUT", "/api/queue/push/{eventId}", AUTH_BUYER, 0, subscribe_start, API_BODY_JSON},
    {"DELETE", "/api/queue/push/{eventId}", AUTH_BUYER, 0, unsubscribe_start, API_BODY_JSON},
    {0},
};
