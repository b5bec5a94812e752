/* SPDX-License-Identifier: MIT */
/*
 * api: the HTTP side of one worker: the route table, and the steps of every request.
 *
 *   request -> CORS -> route -> refusals of httpd -> rate limit -> parameter -> identity -> body -> handler
 *
 * Why this way: each step before the handler either lets the request pass or answers it with a problem, so that
 * handlers (api_*.c, each with its part of the route table) see only requests that are allowed and well-formed. A
 * handler answers at once, or starts one operation whose callback answers; any status other than ST_OK that it
 * returns is answered here, by api_fail.
 * Called by: worker, and httpd for each request. Owns: the httpd, presence, the ticket memo, the logos, the
 * rate limit and the scratch buffers of struct api.
 * Invariants: every request is answered once; a request that httpd refused is answered before on_request
 * returns. With a backend gone, requests that need it are answered 503 with Retry-After: nobody is admitted on a guess.
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

/* A registered route, with the parts of its path before and after the parameter. */
static struct bound_route {
    const struct api_route *route;
    const struct api_presenter *present; /* NULL: answers are JSON */
    const char *suffix;                  /* NULL: no parameter */
    size_t prefix_len;
    unsigned metric;
    bool api;  /* part of the API: not a page or one of its files */
    bool rest; /* the parameter is the rest of the path, slashes included */
} route_table[ROUTES_MAX];
static size_t route_count;
static unsigned unknown_metric;

static void register_routes(const struct api_route *routes, const struct api_presenter *present,
                            bool api)
{
    for (; routes->method && route_count < ROUTES_MAX; routes++) {
        struct bound_route *bound = &route_table[route_count++];
        const char *open = strchr(routes->path, '{');
        bound->route = routes;
        bound->present = present;
        bound->api = api;
        bound->prefix_len = open ? (size_t)(open - routes->path) : strlen(routes->path);
        bound->suffix = open ? strchr(open, '}') + 1 : NULL;
        bound->rest = bound->suffix && bound->suffix[-2] == '*';
        bound->metric = metrics_register_route(routes->method, routes->path);
    }
}

void api_register_routes(bool ops_only)
{
    static const struct {
        const struct api_route *routes;
        const struct api_presenter *present;
        bool api;
    } parts[] = {
        {api_queue_routes, NULL, true}, /* the most frequent first */
        {api_gate_routes, NULL, true},        {api_wait_routes, &api_wait_presenter, false},
        {api_asset_routes, NULL, false},      {api_brand_routes, NULL, false},
        {api_reservation_routes, NULL, true}, {api_seats_routes, NULL, true},
        {api_payment_routes, NULL, true},     {api_home_routes, &api_home_presenter, false},
        {api_admin_routes, NULL, true},       {api_buy_routes, &api_buy_presenter, false},
        {api_operate_routes, NULL, true},     {api_csv_routes, NULL, true},
    };
    for (size_t i = 0; !ops_only && i < sizeof(parts) / sizeof(parts[0]); i++)
        register_routes(parts[i].routes, parts[i].present, parts[i].api);
    if (!ops_only)
        messages_load();
    register_routes(api_ops_routes, NULL, true);
    unknown_metric = metrics_register_route("*", "(unmatched)");
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
        if (!route_table[i].api)
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

/* Does the path fit the route? If so, and the route has a parameter, it is in *ret_param and *ret_len. */
static bool route_fits(const struct bound_route *bound, const char *path, const char **ret_param,
                       size_t *ret_len)
{
    if (strncmp(path, bound->route->path, bound->prefix_len) != 0)
        return false;
    path += bound->prefix_len;
    if (!bound->suffix)
        return *path == '\0';
    const size_t len = strlen(path), suffix_len = strlen(bound->suffix);
    if (len <= suffix_len || strcmp(path + len - suffix_len, bound->suffix) != 0)
        return false;
    *ret_param = path;
    *ret_len = len - suffix_len;
    return bound->rest || !memchr(path, '/', *ret_len);
}

/* The route for a method and path, and its parameter (see route_fits); NULL: none. HEAD uses the route of GET. */
static const struct bound_route *find_route(const char *method, const char *path,
                                            const char **ret_param, size_t *ret_len)
{
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    for (size_t i = 0; i < route_count; i++) {
        const struct bound_route *bound = &route_table[i];
        if (route_fits(bound, path, ret_param, ret_len) &&
            strcmp(method, bound->route->method) == 0)
            return bound;
    }
    return NULL;
}

/* No route fits. 404 if the path is unknown; else OPTIONS gets the list of methods, and others get 405. */
static void answer_unrouted(struct api_call *call)
{
    const char *param;
    size_t param_len;
    struct buf allow;
    buf_init(&allow, 128);
    for (size_t i = 0; i < route_count; i++) {
        if (!route_fits(&route_table[i], http_req_path(call->req), &param, &param_len))
            continue;
        if (allow.len > 0)
            buf_add_str(&allow, ", ");
        buf_add_str(&allow, route_table[i].route->method);
    }
    const bool known = allow.len > 0;
    if (known)
        http_req_add_header(call->req, "Allow", buf_str(&allow));
    buf_clear(&allow);
    if (!known) {
        api_problem(call, 404, "not-found", "There is no route for this path.", NULL);
    } else if (strcmp(http_req_method(call->req), "OPTIONS") == 0) {
        http_req_add_header(call->req, "Access-Control-Allow-Methods", "GET, POST, PATCH, OPTIONS");
        http_req_add_header(call->req, "Access-Control-Allow-Headers",
                            "Authorization, Content-Type, Idempotency-Key, If-Match, "
                            "X-Tiketi-Ticket, X-Tiketi-Pass");
        http_req_add_header(call->req, "Access-Control-Max-Age", "600");
        api_answer(call, 204, "", 0);
    } else {
        api_problem(call, 405, "method-not-allowed",
                    "This path does not take this method; Allow lists those that it takes.", NULL);
    }
}

/* ---- other origins ---- */

static void add_cors(struct api_call *call)
{
    const char *allowed = call->api->config->allowed_origins;
    if (!allowed)
        return;
    const char *origin = http_req_header(call->req, "Origin");
    http_req_add_header(call->req, "Vary", "Origin");
    if (!origin || !client_ip_origin_listed(allowed, origin))
        return;
    http_req_add_header(call->req, "Access-Control-Allow-Origin", origin);
    http_req_add_header(call->req, "Access-Control-Allow-Credentials", "true");
    http_req_add_header(call->req, "Access-Control-Expose-Headers",
                        "ETag, Retry-After, X-Request-Id");
}

/* Was it sent by a page of another site, which must not act with a guest's cookie? */
static bool foreign_origin(const struct api_call *call)
{
    const char *origin = http_req_header(call->req, "Origin");
    return origin && strcmp(http_req_method(call->req), "GET") != 0 &&
           !identity_origin_allowed(call->api->config->allowed_origins, origin,
                                    http_req_header(call->req, "Host"));
}

/* ---- identity ---- */

/* Reads the user from `Authorization: Bearer …`. ST_NOT_FOUND: there is no such header. */
static enum status identify_user(struct api_call *call)
{
    const char *header = http_req_header(call->req, "Authorization");
    if (!header)
        return ST_NOT_FOUND;
    const char *jwt = identity_bearer(header);
    if (!jwt)
        return ST_UNAUTHORIZED;
    const enum status st = identity_read_user(call->api->keys, jwt, strlen(jwt), clock_wall_ms(),
                                              &call->user, call->buyer);
    call->has_user = st == ST_OK;
    return st;
}

/* Reads the guest from the cookie, or makes a new one. */
static void identify_guest(struct api_call *call)
{
    size_t len;
    const char *cookie = http_req_cookie(call->req, IDENTITY_GUEST_COOKIE, &len);
    call->guest = true;
    if (cookie && token_read_guest(cookie, len, call->buyer, &call->guest_day))
        return;
    token_new_guest(call->buyer);
    call->new_guest = true;
}

/* Reads the sender's identity and checks that they may use the route. False: refused, and the problem was answered. An
 * invalid bearer token is refused: its sender does not become a guest. */
static bool identify(struct api_call *call)
{
    const struct api_route *route = call->route;
    if (route->auth == AUTH_NONE)
        return true;
    const enum status st = identify_user(call);
    if (st == ST_OK && route->auth == AUTH_STAFF && (route->roles & (1u << call->user.role)) == 0) {
        api_problem(call, 403, "forbidden", "Your role does not allow this request.", NULL);
        return false;
    }
    if (st == ST_OK)
        return true;
    if (st != ST_NOT_FOUND || route->auth == AUTH_STAFF) {
        api_problem(call, 401, "unauthorized",
                    "A valid bearer token is needed in the Authorization header.", NULL);
        return false;
    }
    if (foreign_origin(call)) {
        api_problem(call, 403, "foreign-origin",
                    "Pages of this origin may not act for a guest: it is not this host, and not in "
                    "ALLOWED_ORIGINS.",
                    NULL);
        return false;
    }
    identify_guest(call);
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
    if (status == ST_OK && call->user.role == USER_ORGANIZER &&
        strcmp(event->owner, call->user.sub) != 0) {
        api_problem(call, 403, "not-yours", "This event belongs to another organizer.", NULL);
        return;
    }
    if (status == ST_OK)
        status = call->staff_step(call, event);
    if (status != ST_OK)
        api_fail(call, status);
}

enum status api_staff_event(struct api_call *call, api_event_step step)
{
    call->staff_step = step;
    return catalog_fetch(call->api->db, call->param, on_staff_event, call);
}

/* ---- parameters and bodies ---- */

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
    int64_t wanted = most;
    if (limit)
        wanted = api_is_number(limit) ? strtoll(limit, NULL, 10) : 0;
    if (before && !api_is_number(before)) {
        (void)json_refuse(error, "before", "before must be an id of this list.");
        return false;
    }
    if (wanted < 1 || wanted > most) {
        (void)json_refuse(error, "limit", "limit must be an integer from 1 to %lld.",
                          (long long)most);
        return false;
    }
    *ret_limit = wanted;
    return true;
}

bool api_body_is_empty(struct api_call *call)
{
    static const char *const no_keys[] = {NULL};
    struct json_error error = {0};
    if (!call->body || json_known_keys(call->body, no_keys, &error) == ST_OK)
        return true;
    api_invalid(call, &error);
    return false;
}

/* False: the body is not valid, and 400 was answered. */
static bool parse_body(struct api_call *call)
{
    size_t len;
    const char *body = http_req_body(call->req, &len);
    if (len == 0)
        return true;
    struct json_error error = {0};
    call->body = json_parse(body, len, HTTP_BODY_MAX, &error);
    if (call->body && json_is_object(call->body))
        return true;
    if (call->body)
        (void)snprintf(error.detail, sizeof(error.detail), "The body must be a JSON object.");
    api_invalid(call, &error);
    return false;
}

enum status api_with_event(struct api_call *call, const char *event, catalog_cb cb)
{
    if (!catalog_event(call->api->catalog, event))
        return catalog_load(call->api->catalog, event, false, cb, call);
    cb(call, ST_OK);
    return ST_OK;
}

/* ---- one request ---- */

static struct api_call *begin_call(struct api *api, struct http_req *req)
{
    struct api_call *call = http_req_alloc(req, sizeof(*call));
    call->api = api;
    call->req = req;
    call->metric = unknown_metric;
    call->started_ns = httpd_turn_ns(api->httpd);
    call->request_number = api->request_seq++;
    api->open_calls++;
    http_req_set_user(req, call);
    return call;
}

/* Two kinds of path have no rate limit: probes, because an orchestrator that gets 429 would kill the pod; and the files
 * of the pages, because a page needs all ten of its files. */
static bool within_rate(struct api_call *call)
{
    static const char *const free_paths[] = {"/livez", "/readyz", "/health", "/metrics"};
    const struct api *api = call->api;
    const char *path = http_req_path(call->req);
    if (!api->limit || strncmp(path, "/assets/", 8) == 0)
        return true;
    for (size_t i = 0; i < sizeof(free_paths) / sizeof(free_paths[0]); i++) {
        if (strcmp(path, free_paths[i]) == 0)
            return true;
    }
    char address[CLIENT_IP_SIZE];
    client_ip_of(api->client_ip, http_req_peer(call->req),
                 http_req_header_list(call->req, "X-Forwarded-For"), address);
    client_ip_to_network(address);
    return rate_limit_take(api->limit, address, loop_now_ms(api->loop));
}

/* Answers a request that does not reach its handler. A new guest still gets a cookie, so that their next request is the
 * same buyer's. */
static void refuse(struct api_call *call, unsigned status, const char *code, const char *detail,
                   const char *field)
{
    if (call->route && call->route->auth == AUTH_BUYER &&
        !http_req_header(call->req, "Authorization") && !foreign_origin(call))
        identify_guest(call);
    api_problem(call, status, code, detail, field);
}

/* Answers a request that httpd refused before it was complete, with the status `refusal`. */
static void refuse_early(struct api_call *call, unsigned refusal)
{
    if (refusal == 413)
        refuse(call, refusal, "too-large", "The body is larger than this route accepts.", NULL);
    else if (refusal == 431)
        refuse(call, refusal, "malformed", "The header is larger than the server accepts.", NULL);
    else if (refusal == 503)
        refuse(call, refusal, "overloaded", "The server is overloaded: try again shortly.", NULL);
    else
        refuse(call, refusal, "malformed",
               "The request is malformed: its address, or a header such as Host, Content-Length or "
               "Transfer-Encoding is missing, repeated or not valid.",
               NULL);
}

/* Answers that the parameter is not an id; the field is its name in the route, such as eventId. */
static void refuse_param(struct api_call *call)
{
    const char *open = strchr(call->route->path, '{') + 1;
    char name[32];
    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(open, "}"), open);
    refuse(call, 400, "invalid", "An id has 1 to 64 characters of A-Z, a-z, 0-9, _ and -.", name);
}

static void on_request(void *arg, struct http_req *req, unsigned refusal)
{
    struct api_call *call = http_req_user(req); /* set if on_head has begun the call */
    const char *param = NULL;
    size_t param_len = 0;
    if (!call)
        call = begin_call(arg, req);
    add_cors(call);
    const struct bound_route *bound =
        find_route(http_req_method(req), http_req_path(req), &param, &param_len);
    const bool has_id = bound && bound->suffix && !bound->rest;
    if (bound) {
        call->route = bound->route;
        call->present = bound->present;
        call->metric = bound->metric;
    }
    if (has_id && token_is_event_id(param, param_len))
        memcpy(call->param, param, param_len);

    if (refusal != 0) {
        refuse_early(call, refusal);
    } else if (!within_rate(call)) {
        refuse(call, 429, "too-many-requests",
               "Too many requests from this address: try again in a second.", NULL);
    } else if (!bound) {
        answer_unrouted(call);
    } else if (has_id && call->param[0] == '\0') {
        refuse_param(call);
    } else if (identify(call) && (!call->route->takes_body || parse_body(call))) {
        call->handled = true;
        const enum status st = call->route->handler(call);
        if (st != ST_OK)
            api_fail(call, st);
    }
}

/* A CSV body is read while it arrives, so its call begins when the head has arrived, and the sender's role is checked
 * now. on_request checks everything again when the body is complete. */
static void on_head(void *arg, struct http_req *req)
{
    const char *param;
    size_t param_len;
    if (!api_sends_csv(req))
        return;
    const struct bound_route *bound =
        find_route(http_req_method(req), http_req_path(req), &param, &param_len);
    if (!bound || bound->route->takes_body != API_BODY_JSON_OR_CSV)
        return;
    struct api_call *call = begin_call(arg, req);
    api_import_begin(call, identify_user(call) == ST_OK &&
                               (bound->route->roles & (1u << call->user.role)) != 0);
}

static void on_done(void *arg, struct http_req *req)
{
    struct api *api = arg;
    struct api_call *call = http_req_user(req);
    if (!call)
        return;
    api_process_forget(call);
    api_import_end(call);
    json_free(call->body);
    call->body = NULL;
    api->open_calls--;
}

/* ---- messages, heartbeats, timer ---- */

static void on_loaded(void *arg, enum status status)
{
    (void)arg, (void)status; /* a load that failed is tried again every LIVE_EVENTS_EVERY_S */
}

/* Every worker loads every live event, so that each answers /metrics with all of them. */
static void on_live_event(void *arg, enum status status, const char *id)
{
    struct api *api = arg;
    if (status != ST_OK || !id || catalog_event(api->catalog, id))
        return;
    const enum status st = catalog_load(api->catalog, id, false, on_loaded, NULL);
    if (st != ST_OK)
        log_debug("live event not loaded", LOG_TEXT("event", id),
                  LOG_TEXT("status", status_name(st)));
}

static void every_second(void *arg)
{
    struct api *api = arg;
    if (api->seconds++ % LIVE_EVENTS_EVERY_S == 0) {
        const enum status st = queue_read_events(api->queue, on_live_event, api);
        if (st != ST_OK)
            log_debug("live events not read", LOG_TEXT("status", status_name(st)));
    }
    loop_timer_set(api->second, 1000);
}

void api_on_heartbeat(struct api *api, const char *event, const char *buyer,
                      const struct queue_place *place)
{
    presence_put(api->presence, event, buyer, place->state, loop_now_ms(api->loop));
}

void api_on_message(struct api *api, const struct queue_message *message)
{
    const char *kind = message->kind;
    if (strcmp(kind, "config-changed") == 0 || strcmp(kind, "event-status-changed") == 0 ||
        strcmp(kind, "queue-cleared") == 0)
        catalog_hint(api->catalog, message->event);
    const bool is_admitted = strcmp(kind, "admitted") == 0;
    if (is_admitted ? presence_is_empty(api->presence)
                    : strcmp(kind, "processed") != 0 || !api->processing)
        return; /* this pod does not need the payload */
    struct json *payload = json_parse(message->payload, message->len, CHANNEL_PAYLOAD_MAX, NULL);
    if (!payload) {
        log_warn("channel message malformed", LOG_TEXT("event", message->event),
                 LOG_TEXT("kind", kind), LOG_NUM("bytes", message->len));
    } else if (is_admitted) {
        /* These buyers are inside, but the rank index, up to a second old, may still say that they wait: ask Redis. */
        const struct json *buyers = json_get(payload, "buyers");
        for (size_t i = 0; buyers && i < json_array_len(buyers); i++) {
            const char *buyer = json_str(json_array_at(buyers, i), "buyer");
            if (buyer)
                presence_drop(api->presence, message->event, buyer);
        }
    } else {
        api_process_on_message(api, payload);
    }
    json_free(payload);
}

/* ---- life ---- */

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
        log_error("invalid setting", LOG_TEXT("detail", error));
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

static void on_httpd_closed(void *arg)
{
    struct api *api = arg;
    const loop_cb cb = api->close_cb;
    void *cb_arg = api->close_arg;
    free_api(api);
    if (cb)
        cb(cb_arg);
}

void api_close(struct api *api, loop_cb cb, void *arg)
{
    api->close_cb = cb;
    api->close_arg = arg;
    httpd_close(api->httpd, on_httpd_closed, api);
}
