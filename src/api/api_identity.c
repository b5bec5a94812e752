/* SPDX-License-Identifier: MIT */
/*
 * api_identity: who sends a request, and whether they may: a user by their token, a member of staff by token or session, a
 * buyer who has signed in, or a guest by cookie.
 *
 * Why this way: an invalid token is refused, because its sender would lose their place if they became a guest. A token of a
 * key that is not known yet waits for the keys to be fetched.
 * Called by: api, handlers. Owns nothing: the limit of bad tokens is in struct api.
 */
#include "api/api_internal.h"

#include "auth/identity.h"
#include "base/config.h"
#include "base/log.h"
#include "base/shared_clock.h"
#include "net/client_limit.h"

#include <string.h>

bool api_origin_is_foreign(const struct api_call *call)
{
    const char *origin = http_req_header(call->req, "Origin");
    return origin && strcmp(http_req_method(call->req), "GET") != 0 &&
           !api_takes_any_method(call->route) && /* the method is that of another request */
           !identity_origin_allowed(call->api->config->allowed_origins, origin,
                                    api_authority(call));
}

enum status api_identify_user(struct api_call *call)
{
    const char *header = http_req_header(call->req, "Authorization");
    if (!header)
        return ST_NOT_FOUND;
    const char *jwt = identity_bearer(header);
    if (!jwt)
        return ST_NOT_FOUND;
    const enum status st = identity_read_user(call->api->keys, jwt, strlen(jwt), shared_clock_ms(),
                                              &call->user, call->buyer);
    call->has_user = st == ST_OK;
    return st;
}

void api_identify_visitor(struct api_call *call)
{
    if (call->api->oidc && call->api->config->oidc_buyers &&
        cookie_jar_signed_in(api_jar(call), call->api->keys, shared_clock_ms(), call->buyer))
        return;
    call->guest = true;
    if (cookie_jar_guest(api_jar(call), call->api->keys, call->buyer, &call->guest_day))
        return;
    if (cookie_jar_passed_guest(api_jar(call), call->api->keys, call->param, shared_clock_ms(),
                                call->buyer)) {
        call->passed_guest = true;
        if (call->counts)
            client_newcomer_end(call->api->limit, call->client, call->buyer);
        return;
    }
    token_new_guest(call->buyer);
    call->new_guest = true;
}

/* Answers that the bearer token is not valid. A network that sends many is guessing: it gets 429, and the log a line a
 * minute. Valid tokens of the same network are not counted. */
static void refuse_token(struct api_call *call)
{
    struct api *api = call->api;
    const uint64_t now_ms = loop_now_ms(api->loop);
    if (!call->counts || client_limit_take(api->limit, CLIENT_BAD_TOKENS, call->client, now_ms)) {
        api_problem(call, 401, "unauthorized", token_refusal(api->keys), NULL);
        return;
    }
    client_limit_met_tokens(api->limit, call->client, now_ms);
    api_problem(call, 429, "too-many-requests",
                "Too many invalid bearer tokens from this address: try again in a second.", NULL);
}

bool api_role_allows(struct api_call *call)
{
    if ((call->route->roles & (1u << call->user.role)) != 0)
        return true;
    char roles[96] = "";
    struct json_error error;
    api_add_roles(call->route->roles, ", ", roles, sizeof(roles));
    (void)json_refuse(&error, "", "role",
                      "Your role does not allow this request. It takes one of: %s", roles);
    api_refuse(call, 403, "forbidden", &error);
    return false;
}

/* The keys were fetched again, or cannot be: whether the token's is one of them is not known then. */
static void on_keys(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status != ST_OK && status != ST_NOT_FOUND) {
        api_fail(call, status);
        return;
    }
    const enum status st = status == ST_OK ? api_identify_user(call) : ST_UNAUTHORIZED;
    if (st != ST_OK)
        refuse_token(call);
    else if (call->route->auth != AUTH_STAFF || api_role_allows(call))
        api_proceed(call);
}

bool api_identify(struct api_call *call)
{
    const struct api_route *route = call->route;
    if (route->auth == AUTH_NONE)
        return true;
    const enum status st = call->body_dropped ? ST_UNAVAILABLE : api_identify_user(call);
    if (st == ST_UNAVAILABLE) {
        api_fail(call, st);
        return false;
    }
    if (st == ST_OK)
        return route->auth != AUTH_STAFF || api_role_allows(call);
    if (st == ST_NOT_FOUND && route->auth == AUTH_STAFF)
        return api_staff_identify(call);
    if (st == ST_BUSY) {
        jwks_renew(call->api->jwks, &call->keys_wait, on_keys, call);
        return false;
    }
    if (st != ST_NOT_FOUND) {
        refuse_token(call);
        return false;
    }
    if (api_origin_is_foreign(call)) {
        api_problem(call, 403, "foreign-origin",
                    "Pages of this origin may not act for a guest: it is not this host, and not in "
                    "ALLOWED_ORIGINS.",
                    NULL);
        return false;
    }
    api_identify_visitor(call);
    return true;
}

bool api_allows_buyer(struct api_call *call, const struct event *event)
{
    if (!call->guest || !event || event->allow_guests)
        return true;
    call->guest = false; /* a guest who must log in needs no guest cookie */
    api_problem(call, 401, "login-required", "This event requires you to be logged in.", NULL);
    return false;
}

static void on_staff_event(void *arg, enum status status, const struct event *event)
{
    struct api_call *call = arg;
    if (status != ST_OK) {
        api_fail_event(call, status);
        return;
    }
    const enum staff_right least = api_route_right(call->route);
    call->right = api_staff_right(call, event);
    if (call->right == RIGHT_NONE) {
        api_problem(call, 403, "not-yours", "This event belongs to another organizer.", NULL);
        return;
    }
    if (call->right < least) {
        struct json_error error;
        (void)json_refuse(&error, "", least == RIGHT_EDITOR ? "right-editor" : "right-owner",
                          "You share this event as its %s, which does not allow this request. It "
                          "takes one of: %sowner.",
                          right_name(call->right), least == RIGHT_EDITOR ? "editor, " : "");
        api_refuse(call, 403, "forbidden", &error);
        return;
    }
    status = call->staff_step(call, event);
    if (status != ST_OK)
        api_fail(call, status);
}

enum status api_staff_event(struct api_call *call, api_event_step step)
{
    call->staff_step = step;
    return catalog_fetch_for(call->api->db, call->param, call->user.sub, on_staff_event, call);
}
