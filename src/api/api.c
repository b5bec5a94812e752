/* SPDX-License-Identifier: MIT */
/*
 * api: the HTTP face of one worker.
 *
 * A request passes, in this order: CORS -> route -> rate limit -> identity -> body -> handler. The
 * handler answers at once or starts one operation whose callback answers; whatever it returns other
 * than ST_OK is answered here, by the only map from enum status to HTTP. Handlers stand in
 * api_*.c, each with its own part of the route table. Called by: worker.
 *
 * Owns: the httpd, the scratch buffers, presence, the memo of tickets, the rate limit. A backend that is
 * gone becomes 503 with Retry-After: nobody enters on a guess.
 */
#include "api/api_internal.h"

#include "auth/identity.h"
#include "auth/ticket_memo.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "net/client_ip.h"
#include "net/rate_limit.h"
#include "page/messages.h"
#include "selling/logos.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUTES_MAX          64
#define ANSWER_MAX          (8 * 1024 * 1024) /* a seat map of a large hall */
#define API_TOKEN_MAX       8192
#define PAGE_MAX            (1024 * 1024)
#define LIVE_EVENTS_EVERY_S 5
#define CHANNEL_PAYLOAD_MAX (4 * 1024 * 1024)

/* ---- the route table ---- */

/* One row per route, with its template cut into what stands before and after the parameter. */
static struct bound_route {
    const struct api_route *route;
    const struct api_presenter *present; /* NULL: answers are JSON */
    size_t prefix_len;
    const char *suffix; /* NULL: no parameter */
    bool rest;          /* the parameter is all that is left, slashes and all */
    unsigned metric;
} route_table[ROUTES_MAX];
static size_t route_count;
static unsigned unknown_metric;

static void register_routes(const struct api_route *routes, const struct api_presenter *present)
{
    for (; routes->method != NULL && route_count < ROUTES_MAX; routes++) {
        struct bound_route *bound = &route_table[route_count++];
        const char *open = strchr(routes->path, '{');
        bound->route = routes;
        bound->present = present;
        bound->prefix_len = open != NULL ? (size_t)(open - routes->path) : strlen(routes->path);
        bound->suffix = open != NULL ? strchr(open, '}') + 1 : NULL;
        bound->rest = bound->suffix != NULL && bound->suffix[-2] == '*';
        bound->metric = metrics_register_route(routes->method, routes->path);
    }
}

void api_register_routes(bool ops_only)
{
    static const struct {
        const struct api_route *routes;
        const struct api_presenter *present;
    } parts[] = {
        {api_queue_routes, NULL}, /* the hot ones first */
        {api_gate_routes, NULL},        {api_wait_routes, &api_wait_presenter},
        {api_asset_routes, NULL},       {api_brand_routes, NULL},
        {api_reservation_routes, NULL}, {api_seats_routes, NULL},
        {api_payment_routes, NULL},     {api_home_routes, &api_home_presenter},
        {api_admin_routes, NULL},       {api_buy_routes, &api_buy_presenter},
        {api_operate_routes, NULL},     {api_csv_routes, NULL},
    };
    for (size_t i = 0; !ops_only && i < sizeof(parts) / sizeof(parts[0]); i++)
        register_routes(parts[i].routes, parts[i].present);
    if (!ops_only)
        messages_load();
    register_routes(api_ops_routes, NULL);
    unknown_metric = metrics_register_route("*", "(unmatched)");
}

/* Pages and what they load are no part of the API. */
static bool is_page(const struct bound_route *bound)
{
    return bound->present != NULL || strncmp(bound->route->path, "/assets/", 8) == 0 ||
           strncmp(bound->route->path, "/brand/", 7) == 0;
}

void api_print_routes(FILE *out)
{
    static const char *const roles[] = {[USER_BUYER] = NULL,
                                        [USER_VIEWER] = "viewer",
                                        [USER_SRE] = "sre",
                                        [USER_ORGANIZER] = "organizer",
                                        [USER_ADMIN] = "admin"};
    for (size_t i = 0; i < route_count; i++) {
        const struct api_route *route = route_table[i].route;
        if (is_page(&route_table[i]))
            continue;
        (void)fprintf(out, "%s %s", route->method, route->path);
        if (route->auth != AUTH_STAFF)
            (void)fputs(route->auth == AUTH_BUYER ? " buyer" : " none", out);
        for (size_t r = USER_VIEWER; route->auth == AUTH_STAFF && r <= USER_ADMIN; r++) {
            if ((route->roles & (1u << r)) != 0)
                (void)fprintf(out, " %s", roles[r]);
        }
        (void)fputc('\n', out);
    }
}

/* Does `path` fit the template? The parameter, if any, is then in *ret_param / *ret_len. */
static bool route_fits(const struct bound_route *bound, const char *path, const char **ret_param,
                       size_t *ret_len)
{
    if (strncmp(path, bound->route->path, bound->prefix_len) != 0)
        return false;
    path += bound->prefix_len;
    if (bound->suffix == NULL)
        return *path == '\0';
    const size_t len = strlen(path), suffix_len = strlen(bound->suffix);
    if (len <= suffix_len || strcmp(path + len - suffix_len, bound->suffix) != 0)
        return false;
    *ret_param = path;
    *ret_len = len - suffix_len;
    return bound->rest || memchr(path, '/', *ret_len) == NULL;
}

/* The route for a method and path; when only the method is wrong, the methods that would do are
 * written into `allow`. */
static const struct bound_route *find_route(const char *method, const char *path,
                                            const char **ret_param, size_t *ret_len,
                                            struct buf *allow)
{
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    for (size_t i = 0; i < route_count; i++) {
        const struct bound_route *bound = &route_table[i];
        if (!route_fits(bound, path, ret_param, ret_len))
            continue;
        if (strcmp(method, bound->route->method) == 0)
            return bound;
        if (allow->len > 0)
            buf_add_str(allow, ", ");
        buf_add_str(allow, bound->route->method);
    }
    return NULL;
}

/* ---- other origins ---- */

static void add_cors(struct api_call *call)
{
    const char *allowed = call->api->config->allowed_origins;
    if (allowed == NULL)
        return;
    const char *origin = http_req_header(call->req, "Origin");
    http_req_add_header(call->req, "Vary", "Origin");
    if (origin == NULL || !client_ip_origin_listed(allowed, origin))
        return;
    http_req_add_header(call->req, "Access-Control-Allow-Origin", origin);
    http_req_add_header(call->req, "Access-Control-Allow-Credentials", "true");
    http_req_add_header(call->req, "Access-Control-Expose-Headers",
                        "ETag, Retry-After, X-Request-Id");
}

/* ---- identity ---- */

/* `Authorization: Bearer …`; an invalid one is 401, never a guest. */
static enum status identify_user(struct api_call *call)
{
    const char *header = http_req_header(call->req, "Authorization");
    if (header == NULL)
        return ST_NOT_FOUND;
    const char *jwt = identity_bearer(header);
    if (!jwt)
        return ST_UNAUTHORIZED;
    const enum status st = identity_read_user(call->api->keys, jwt, strlen(jwt), clock_wall_ms(),
                                              &call->user, call->buyer);
    call->has_user = st == ST_OK;
    return st;
}

static void identify_guest(struct api_call *call)
{
    size_t len;
    const char *cookie = http_req_cookie(call->req, IDENTITY_GUEST_COOKIE, &len);
    call->guest = true;
    if (cookie != NULL && token_read_guest(cookie, len, call->buyer, &call->guest_day))
        return;
    token_new_guest(call->buyer);
    call->new_guest = true;
}

/* A page of another site must not act with a guest's cookie. */
static bool foreign_origin(const struct api_call *call)
{
    const char *origin = http_req_header(call->req, "Origin");
    return origin && strcmp(http_req_method(call->req), "GET") != 0 &&
           !identity_origin_allowed(call->api->config->allowed_origins, origin,
                                    http_req_header(call->req, "Host"));
}

/* False: answered. */
static bool identify(struct api_call *call)
{
    if (call->route->auth == AUTH_NONE)
        return true;
    const enum status st = identify_user(call);
    if (st == ST_OK && call->route->auth == AUTH_STAFF &&
        (call->route->roles & (1u << call->user.role)) == 0) {
        api_problem(call, 403, "forbidden", "Your role does not allow this.", NULL);
        return false;
    }
    if (st == ST_OK)
        return true;
    if (st != ST_NOT_FOUND || call->route->auth == AUTH_STAFF) {
        api_problem(call, 401, "unauthorized", "A valid bearer token is needed.", NULL);
        return false;
    }
    if (foreign_origin(call)) {
        api_problem(call, 403, "foreign-origin", "This origin may not act for a guest.", NULL);
        return false;
    }
    identify_guest(call);
    return true;
}

/* A guest is given his cookie even with an answer that comes before anybody asks who he is: his
 * next request is then the same buyer's. */
static void greet_guest(struct api_call *call)
{
    if (call->route != NULL && call->route->auth == AUTH_BUYER &&
        http_req_header(call->req, "Authorization") == NULL && !foreign_origin(call))
        identify_guest(call);
}

bool api_admits_buyer(struct api_call *call, const struct event *event)
{
    if (!call->guest || event == NULL || event->allow_guests)
        return true;
    call->guest = false; /* no cookie for somebody who must log in */
    api_problem(call, 401, "login-required", "This event needs you to be logged in.", NULL);
    return false;
}

bool api_staff_may(struct api_call *call, const struct event *event)
{
    if (call->user.role != USER_ORGANIZER || strcmp(event->owner, call->user.sub) == 0)
        return true;
    api_problem(call, 403, "not-yours", "This event belongs to another organizer.", NULL);
    return false;
}

bool api_is_number(const char *text)
{
    const size_t len = strlen(text);
    return len > 0 && len <= 18 && strspn(text, "0123456789") == len;
}

bool api_read_page(struct api_call *call, int64_t most, int64_t *ret_limit,
                   struct json_error *error)
{
    const char *before = http_req_query(call->req, "before");
    const char *limit = http_req_query(call->req, "limit");
    const int64_t wanted = limit == NULL          ? most
                           : api_is_number(limit) ? strtoll(limit, NULL, 10)
                                                  : 0;
    if (before != NULL && !api_is_number(before))
        return json_refuse(error, "before", "before must be an id of this list.") == ST_OK;
    if (wanted < 1 || wanted > most)
        return json_refuse(error, "limit", "limit must be from 1 to %lld.", (long long)most) ==
               ST_OK;
    *ret_limit = wanted;
    return true;
}

/* ---- one request ---- */

static void begin_call(struct api *api, struct api_call *call, struct http_req *req)
{
    call->api = api;
    call->req = req;
    call->metric = unknown_metric;
    call->started_ns = httpd_turn_ns(api->httpd);
    call->request_number = api->request_seq++;
    api->open_calls++;
    http_req_set_user(req, call);
}

/* False: answered. */
static bool parse_body(struct api_call *call)
{
    size_t len;
    const char *body = http_req_body(call->req, &len);
    if (len == 0)
        return true;
    struct json_error error = {0};
    call->body = json_parse(body, len, HTTPD_BODY_MAX, &error);
    if (call->body != NULL && json_is_object(call->body))
        return true;
    if (call->body != NULL)
        (void)snprintf(error.detail, sizeof(error.detail), "The body must be a JSON object.");
    api_invalid(call, &error);
    return false;
}

bool api_takes_nothing(struct api_call *call)
{
    static const char *const no_keys[] = {NULL};
    struct json_error error = {0};
    if (call->body == NULL || json_known_keys(call->body, no_keys, &error) == ST_OK)
        return true;
    api_invalid(call, &error);
    return false;
}

static void answer_preflight(struct api_call *call)
{
    http_req_add_header(call->req, "Access-Control-Allow-Methods", "GET, POST, PATCH, OPTIONS");
    http_req_add_header(call->req, "Access-Control-Allow-Headers",
                        "Authorization, Content-Type, Idempotency-Key, If-Match, X-Tiketi-Ticket, "
                        "X-Tiketi-Pass");
    http_req_add_header(call->req, "Access-Control-Max-Age", "600");
    api_answer(call, 204, "", 0);
}

/* An orchestrator that is told 429 would kill the pod; a page is worth its ten files or none. */
static bool is_unlimited(const char *path)
{
    static const char *const probes[] = {"/livez", "/readyz", "/health", "/metrics"};
    if (strncmp(path, "/assets/", 8) == 0)
        return true;
    for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
        if (strcmp(path, probes[i]) == 0)
            return true;
    }
    return false;
}

static bool within_rate(struct api_call *call)
{
    struct api *api = call->api;
    if (api->limit == NULL || is_unlimited(http_req_path(call->req)))
        return true;
    char address[CLIENT_IP_SIZE];
    client_ip_of(api->client_ip, http_req_peer(call->req),
                 http_req_header_list(call->req, "X-Forwarded-For"), address);
    client_ip_to_network(address);
    return rate_limit_take(api->limit, address, loop_now_ms(api->loop));
}

static const char *refusal_slug(unsigned code)
{
    return code == 413 ? "too-large" : code == 503 ? "overloaded" : "malformed";
}

/* Where a path leads. */
struct destination {
    const struct bound_route *bound; /* NULL: nowhere, or `allow` says with which other methods */
    const char *param;               /* NULL: the route has none */
    size_t param_len;
    struct buf allow;
};

static void find_destination(struct api_call *call, struct destination *to)
{
    *to = (struct destination){0};
    buf_init(&to->allow, 128);
    to->bound = find_route(http_req_method(call->req), http_req_path(call->req), &to->param,
                           &to->param_len, &to->allow);
    if (to->bound == NULL)
        return;
    call->route = to->bound->route;
    call->present = to->bound->present;
    call->metric = to->bound->metric;
    if (to->param != NULL && !to->bound->rest && token_is_event_id(to->param, to->param_len))
        memcpy(call->param, to->param, to->param_len);
}

/* False: answered. */
static bool check_param(struct api_call *call, const struct destination *to)
{
    if (to->param == NULL || to->bound->rest || call->param[0] != '\0')
        return true;
    const char *open = strchr(call->route->path, '{') + 1;
    char name[32];
    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(open, "}"), open);
    greet_guest(call);
    api_problem(call, 400, "invalid", "An id is 1 to 64 of A-Z a-z 0-9 _ -.", name);
    return false;
}

static void answer_unrouted(struct api_call *call, const struct destination *to)
{
    if (to->allow.len == 0) {
        api_problem(call, 404, "not-found", "There is no such route.", NULL);
        return;
    }
    http_req_add_header(call->req, "Allow", buf_str(&to->allow));
    if (strcmp(http_req_method(call->req), "OPTIONS") == 0)
        answer_preflight(call);
    else
        api_problem(call, 405, "method-not-allowed", "This route has other methods.", NULL);
}

/* False: answered. */
static bool admit_request(struct api_call *call, const struct destination *to, unsigned refusal)
{
    if (refusal != 0) {
        greet_guest(call);
        api_problem(call, refusal, refusal_slug(refusal),
                    "The request is malformed or over a limit.", NULL);
    } else if (!within_rate(call)) {
        greet_guest(call);
        api_problem(call, 429, "too-many-requests", "Too many requests from this address.", NULL);
    } else if (to->bound == NULL) {
        answer_unrouted(call, to);
    } else {
        return check_param(call, to);
    }
    return false;
}

/* A body that is read while it arrives: the call begins with the head, and who it is matters before he
 * is answered. Everything is asked again when the body is complete. */
static void on_head(void *arg, struct http_req *req)
{
    const char *param;
    size_t param_len;
    struct buf allow;
    if (!api_sends_csv(req))
        return;
    buf_init(&allow, 128);
    const struct bound_route *bound =
        find_route(http_req_method(req), http_req_path(req), &param, &param_len, &allow);
    buf_clear(&allow);
    if (bound == NULL || bound->route->takes_body != API_BODY_JSON_OR_CSV)
        return;
    struct api_call *call = http_req_alloc(req, sizeof(*call));
    begin_call(arg, call, req);
    api_import_begin(call, identify_user(call) == ST_OK &&
                               (bound->route->roles & (1u << call->user.role)) != 0);
}

static void on_request(void *arg, struct http_req *req, unsigned refusal)
{
    struct api *api = arg;
    struct api_call *call = http_req_user(req);
    struct destination to;
    if (call == NULL) {
        call = http_req_alloc(req, sizeof(*call));
        begin_call(api, call, req);
    }
    add_cors(call);
    find_destination(call, &to);
    const bool admitted = admit_request(call, &to, refusal);
    buf_clear(&to.allow);
    if (!admitted || !identify(call) || (call->route->takes_body && !parse_body(call)))
        return;
    call->handled = true;
    const enum status st = call->route->handler(call);
    if (st != ST_OK)
        api_fail(call, st);
}

static void on_done(void *arg, struct http_req *req)
{
    struct api *api = arg;
    struct api_call *call = http_req_user(req);
    if (call == NULL)
        return;
    api_process_forget(call);
    api_import_end(call);
    json_free(call->body);
    call->body = NULL;
    api->open_calls--;
}

/* ---- life ---- */

static void on_known(void *arg, enum status status)
{
    (void)arg, (void)status; /* the next look tries again */
}

/* Every worker knows every live event, so that /metrics says the same whoever answers. */
static void on_live_event(void *arg, enum status status, const char *id)
{
    struct api *api = arg;
    if (status == ST_OK && id != NULL && catalog_event(api->catalog, id) == NULL &&
        catalog_load(api->catalog, id, false, on_known, NULL) != ST_OK)
        log_debug("an event is not yet known", LOG_TEXT("event", id));
}

static void every_second(void *arg)
{
    struct api *api = arg;
    if (api->seconds++ % LIVE_EVENTS_EVERY_S == 0 &&
        queue_read_events(api->queue, on_live_event, api) != ST_OK)
        log_debug("the live events were not read");
    loop_timer_set(api->second, 1000);
}

void api_on_seen(struct api *api, const char *event, const char *buyer,
                 const struct queue_place *place)
{
    presence_put(api->presence, event, buyer, place->state, loop_now_ms(api->loop));
}

/* Who was let in waits no more, whatever the index, which is a second old, makes of him. */
static void forget_waiting(struct api *api, const char *event, const struct json *payload)
{
    const struct json *buyers = json_get(payload, "buyers");
    for (size_t i = 0; buyers != NULL && i < json_array_len(buyers); i++) {
        const char *buyer = json_str(json_array_at(buyers, i), "buyer");
        if (buyer != NULL)
            presence_drop(api->presence, event, buyer);
    }
}

void api_on_message(struct api *api, const struct queue_message *message)
{
    const char *kind = message->kind;
    if (strcmp(kind, "config-changed") == 0 || strcmp(kind, "event-status-changed") == 0 ||
        strcmp(kind, "queue-cleared") == 0)
        catalog_hint(api->catalog, message->event);
    const bool is_admitted = strcmp(kind, "admitted") == 0;
    if (is_admitted ? presence_is_empty(api->presence)
                    : strcmp(kind, "processed") != 0 || api->processing == NULL)
        return; /* nobody here needs the payload */
    struct json *payload = json_parse(message->payload, message->len, CHANNEL_PAYLOAD_MAX, NULL);
    if (payload == NULL)
        log_warn("channel message malformed", LOG_TEXT("event", message->event),
                 LOG_TEXT("kind", kind), LOG_NUM("bytes", message->len));
    else if (is_admitted)
        forget_waiting(api, message->event, payload);
    else
        api_process_on_message(api, payload);
    json_free(payload);
}

static void free_api(struct api *api)
{
    loop_timer_close(api->second);
    presence_free(api->presence);
    ticket_memo_free(api->tickets);
    logos_free(api->logos);
    rate_limit_free(api->limit);
    client_ip_free(api->client_ip);
    buf_clear(&api->text);
    buf_clear(&api->ticket);
    buf_clear(&api->pass);
    buf_clear(&api->header);
    buf_clear(&api->page);
    buf_clear(&api->event_info.json);
    free(api);
}

enum status api_open(const struct api_opts *opts, struct api **ret_api)
{
    struct api *api = xcalloc(1, sizeof(*api));
    char error[160] = "";
    char random[33];
    api->loop = opts->loop;
    api->opened_ms = loop_now_ms(opts->loop);
    api->config = opts->config;
    api->redis = opts->redis;
    api->queue = opts->queue;
    api->db = opts->db;
    api->catalog = opts->catalog;
    api->seat_maps = opts->seat_maps;
    api->keys = opts->keys;
    api->health = opts->health;
    api->presence = presence_new();
    api->tickets = ticket_memo_new();
    api->logos = logos_new(opts->db);
    api->limit = rate_limit_new(opts->config->rate_limit_per_ip);
    buf_init(&api->text, ANSWER_MAX);
    buf_init(&api->ticket, API_TOKEN_MAX);
    buf_init(&api->pass, API_TOKEN_MAX);
    buf_init(&api->header, 4096);
    buf_init(&api->page, PAGE_MAX);
    buf_init(&api->event_info.json, ANSWER_MAX);
    token_random_hex(random);
    memcpy(api->request_prefix, random, sizeof(api->request_prefix) - 1);
    enum status st =
        client_ip_new(opts->config->trusted_proxies, &api->client_ip, error, sizeof(error));
    if (st != ST_OK)
        log_error("bad setting", LOG_TEXT("detail", error));
    if (st == ST_OK)
        st = httpd_open(&(struct httpd_opts){.loop = opts->loop,
                                             .host = opts->config->http_host,
                                             .port = opts->port,
                                             .connection_limit = opts->connection_limit,
                                             .idle_timeout_s = 75,
                                             .on_request = on_request,
                                             .on_head = on_head,
                                             .on_done = on_done,
                                             .arg = api},
                        &api->httpd);
    if (st != ST_OK) {
        free_api(api);
        return st;
    }
    api_queue_open(api);
    api->second = loop_timer_new(opts->loop, every_second, api);
    loop_timer_set(api->second, 1000);
    *ret_api = api;
    return ST_OK;
}

void api_quiesce(struct api *api)
{
    httpd_quiesce(api->httpd);
}

unsigned api_busy(const struct api *api)
{
    return api->open_calls;
}

struct closing {
    struct api *api;
    loop_cb cb;
    void *arg;
};

static void on_httpd_closed(void *arg)
{
    struct closing *closing = arg;
    free_api(closing->api);
    if (closing->cb != NULL)
        closing->cb(closing->arg);
    free(closing);
}

void api_close(struct api *api, loop_cb cb, void *arg)
{
    struct closing *closing = xcalloc(1, sizeof(*closing));
    *closing = (struct closing){.api = api, .cb = cb, .arg = arg};
    httpd_close(api->httpd, on_httpd_closed, closing);
}
