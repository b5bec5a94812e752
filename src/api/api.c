/* SPDX-License-Identifier: MIT */
/*
 * api: the HTTP side of one worker: its ports, and the steps of every request.
 *
 *   request -> CORS -> route -> refusals of httpd -> load -> rate limit -> parameter -> identity -> body -> handler
 *
 * Why this way: each step before the handler either lets the request pass or answers it with a problem, so that
 * handlers (api_*.c, each with its part of the route table) see only requests that are allowed and well-formed. A
 * handler answers at once, or starts one operation whose callback answers; any status other than ST_OK that it
 * returns is answered here, by api_fail.
 * Called by: worker, and httpd for each request. Owns: the httpd, presence, the ticket memo, the pictures, the
 * scratch buffers of struct api.
 * Invariants: every request is answered once; a request that httpd refused is answered before on_request
 * returns. With a backend gone, requests that need it are answered 503 with Retry-After: nobody is admitted on a guess.
 */
#include "api/api_internal.h"

#include "auth/identity.h"
#include "auth/oidc.h"
#include "auth/ticket_memo.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics_http.h"
#include "base/shared_clock.h"
#include "net/client_ip.h"
#include "net/client_limit.h"
#include "net/forwarded.h"
#include "net/http_client.h"
#include "net/http_text.h"
#include "page/messages.h"
#include "selling/pictures.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX          (8 * 1024 * 1024) /* a seat map of a large hall */
#define API_TOKEN_MAX       8192
#define PAGE_MAX            (1024 * 1024)
#define LIVE_EVENTS_EVERY_S 5
#define EVENT_BODY_MAX      (512 * 1024) /* bytes: an event with its pictures in base64 */
#define PROBES_MAX          64           /* connections to the port of probes */
#define CHANNEL_PAYLOAD_MAX (4 * 1024 * 1024)

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
    call->origin_allowed = true;
    http_req_add_header(call->req, "Access-Control-Allow-Origin", origin);
    http_req_add_header(call->req, "Access-Control-Allow-Credentials", "true");
    http_req_add_header(call->req, "Access-Control-Expose-Headers",
                        "ETag, Retry-After, X-Request-Id");
}

/* ---- one connection ---- */

/* Of a peer on this machine, and of a trusted proxy, there may be any number: they carry others' requests. */
static bool on_connect(void *arg, const char *peer, void **ret_share)
{
    struct api *api = ((const struct api_door *)arg)->api;
    char address[CLIENT_IP_SIZE];
    struct client_share *share = NULL;
    if (client_ip_is_loopback(peer) || client_ip_trusted(api->client_ip, peer))
        return true;
    (void)snprintf(address, sizeof(address), "%s", peer);
    client_ip_to_counted(address);
    const bool has_room = client_share_take(api->limit, CLIENT_CONNECTIONS, address, &share);
    *ret_share = share;
    return has_room;
}

static void on_disconnect(void *arg, void *share)
{
    struct api *api = ((const struct api_door *)arg)->api;
    client_share_give(api->limit, share);
}

/* ---- one request ---- */

/* Names the request as its sender has named it, or anew, and takes over the sender's trace. */
static void begin_trace(struct api_call *call)
{
    struct api *api = call->api;
    const char *id = http_req_header(call->req, "X-Request-Id");
    if (trace_request_id_valid(id))
        memcpy(call->trace.request_id, id, strlen(id) + 1);
    else
        trace_request_id_write(&call->trace, api->request_prefix, api->request_seq++);
    (void)trace_parent_read(&call->trace, http_req_header_list(call->req, "traceparent"));
}

static struct api_call *begin_call(const struct api_door *door, struct http_req *req)
{
    struct api *api = door->api;
    struct api_call *call = http_req_alloc(req, sizeof(*call));
    call->api = api;
    call->door = door;
    call->req = req;
    call->metric = api_unknown_metric();
    call->started_ns = httpd_turn_ns(door->httpd);
    begin_trace(call);
    metrics_http_meter_set(&api->meter->in_flight, ++api->open_calls);
    http_req_set_user(req, call);
    return call;
}

/* The addresses that proxies have noted, in the form of X-Forwarded-For; NULL: none. */
static const char *forwarded_addresses(struct api_call *call)
{
    const char *list = http_req_header_list(call->req, "X-Forwarded-For");
    const char *forwarded = list || !call->api->config->trusted_proxies
                                ? NULL
                                : http_req_header_list(call->req, "Forwarded");
    if (!forwarded)
        return list;
    char *text = http_req_alloc(call->req, FORWARDED_FOR_SIZE);
    forwarded_for(forwarded, text);
    return text;
}

/* False: the client's address has met its limit of requests. Of routes without a limit, it is not even looked at. */
static bool within_rate(struct api_call *call, const struct bound_route *bound)
{
    const struct api *api = call->api;
    if (bound && bound->unlimited)
        return true;
    call->counts = client_limit_address(api->limit, http_req_peer(call->req),
                                        forwarded_addresses(call), call->client);
    if (!call->counts ||
        client_limit_take(api->limit, CLIENT_REQUESTS, call->client, loop_now_ms(api->loop)))
        return true;
    api_limit_met(call);
    return false;
}

void api_limit_met(struct api_call *call)
{
    client_limit_met(call->api->limit, http_req_peer(call->req), forwarded_addresses(call),
                     loop_now_ms(call->api->loop));
}

static bool sends_bearer(const struct api_call *call)
{
    const char *header = http_req_header(call->req, "Authorization");
    return header && identity_bearer(header);
}

/* Answers a request that does not reach its handler. A new guest still gets a cookie, so that their next request is the
 * same buyer's. */
static void refuse(struct api_call *call, unsigned status, const char *code, const char *detail,
                   const char *field)
{
    if (call->route && call->route->auth == AUTH_BUYER && !sends_bearer(call) &&
        !api_origin_is_foreign(call))
        api_identify_visitor(call);
    api_problem(call, status, code, detail, field);
}

/* Answers a request that httpd refused before it was complete, with the status `refusal`. */
static void refuse_early(struct api_call *call, unsigned refusal)
{
    static const struct {
        unsigned status;
        const char *code, *detail;
    } rows[] = {
        {400, "malformed",
         "The request is malformed: its address, or a header such as Host, Content-Length or "
         "Transfer-Encoding is missing, repeated or not valid."},
        {408, "too-slow", "The request did not arrive in time: send it again."},
        {413, "too-large", "The body is larger than this route accepts."},
        {414, "malformed", "The address is longer than the server accepts."},
        {431, "malformed", "The header is larger than the server accepts."},
        {503, "no-room", "The server is at its limit of connections: try again shortly."},
        {505, "malformed", "The server speaks HTTP/1.1."},
    };
    size_t i = 0;
    while (i + 1 < sizeof(rows) / sizeof(rows[0]) && rows[i].status != refusal)
        i++;
    if (refusal == 431)
        api_clear_proofs(call); /* or every request of this browser would be refused */
    struct json_error error = {0};
    if (refusal == 413 && call->route && call->route->takes_body == API_BODY_JSON_OR_CSV &&
        !api_sends_csv(call->req))
        api_hint_csv(call, &error);
    if (error.detail[0] != '\0')
        refuse(call, rows[i].status, rows[i].code, error.detail, error.field);
    else
        refuse(call, rows[i].status, rows[i].code, rows[i].detail, NULL);
}

/* Answers that the parameter is not an id; the field is its name in the route, such as eventId. */
static void refuse_param(struct api_call *call)
{
    const char *open = strchr(call->route->path, '{') + 1;
    char name[32];
    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(open, "}"), open);
    refuse(call, 400, "invalid", "An id has 1 to 64 characters of A-Z, a-z, 0-9, _ and -.", name);
}

static void handle(struct api_call *call, unsigned refusal)
{
    const struct http_req *req = call->req;
    const char *param = NULL;
    size_t param_len = 0;
    add_cors(call);
    call->outside =
        !http_req_enter(call->req, api_prefix(call->api)) && !api_is_probe(http_req_path(req));
    const struct bound_route *bound = call->outside
                                          ? NULL
                                          : api_find_route(call->door, http_req_method(req),
                                                           http_req_path(req), &param, &param_len);
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
    } else if (bound && bound->load != API_LOAD_NONE && api_load_refuses(call, bound->load)) {
        return;
    } else if (!within_rate(call, bound)) {
        refuse(call, 429, "too-many-requests",
               "Too many requests from this address: try again in a second.", NULL);
    } else if (!bound) {
        if (call->outside || !api_redirect_to_canonical(call))
            api_answer_unrouted(call);
    } else if (has_id && call->param[0] == '\0') {
        if (!api_redirect_to_canonical(call))
            refuse_param(call);
    } else if (api_identify(call)) {
        api_proceed(call);
    }
}

static void on_request(void *arg, struct http_req *req, unsigned refusal)
{
    struct api_call *call = http_req_user(req); /* set if on_head has begun the call */
    if (!call)
        call = begin_call(arg, req);
    trace_enter(&call->trace);
    handle(call, refusal);
    trace_enter(NULL);
}

void api_proceed(struct api_call *call)
{
    if (call->route->takes_body && !api_parse_body(call))
        return;
    call->handled = true;
    const enum status st = call->route->handler(call);
    if (st != ST_OK)
        api_fail(call, st);
}

enum status api_with_event(struct api_call *call, const char *event, catalog_cb cb)
{
    if (!catalog_event(call->api->catalog, event))
        return catalog_load(call->api->catalog, event, false, cb, call);
    cb(call, ST_OK);
    return ST_OK;
}

static bool on_large_body(void *arg, struct http_req *req, const char *data, size_t len)
{
    struct api_call *call = arg;
    (void)req;
    buf_add(&call->large, data, len);
    return buf_status(&call->large) == ST_OK;
}

/* Is a body announced that is larger than those that are kept? */
static bool sends_much(const struct http_req *req)
{
    const char *length = http_req_header(req, "Content-Length");
    return length && strtoull(length, NULL, 10) > HTTP_BODY_MAX;
}

/* A CSV body is read while it arrives, and so is an event with pictures. The call begins when the head has arrived, and
 * the sender's role is checked now. on_request checks everything again when the body is complete. */
static void on_head(void *arg, struct http_req *req)
{
    const char *param;
    size_t param_len;
    const bool csv = api_sends_csv(req);
    if ((!csv && !sends_much(req)) ||
        !http_req_enter(req, api_prefix(((const struct api_door *)arg)->api)))
        return;
    const struct bound_route *bound =
        api_find_route(arg, http_req_method(req), http_req_path(req), &param, &param_len);
    if (!bound || bound->route->takes_body != (csv ? API_BODY_JSON_OR_CSV : API_BODY_EVENT))
        return;
    struct api_call *call = begin_call(arg, req);
    const enum status st = api_identify_user(call);
    const bool allowed = st == ST_OK ? (bound->route->roles & (1u << call->user.role)) != 0
                                     : st == ST_NOT_FOUND && api_staff_may_send(call, bound->route);
    if (st == ST_BUSY) { /* a body is not kept for a sender who is not known: they send it again */
        call->body_dropped = true;
        (void)jwks_renews(call->api->jwks);
    }
    if (csv) {
        api_import_begin(call, allowed);
        return;
    }
    buf_init(&call->large, EVENT_BODY_MAX);
    http_req_stream_body(req, allowed ? EVENT_BODY_MAX : HTTP_BODY_MAX,
                         allowed ? on_large_body : NULL, call);
}

static void on_done(void *arg, struct http_req *req)
{
    struct api *api = ((const struct api_door *)arg)->api;
    struct api_call *call = http_req_user(req);
    if (!call)
        return;
    if (trace_current() == &call->trace)
        trace_enter(NULL);
    api_process_forget(call);
    api_forecast_forget(call);
    api_forget_hold(call);
    api_deep_forget(call);
    api_import_end(call);
    buf_clear(&call->large);
    json_free(call->body);
    call->body = NULL;
    metrics_http_meter_set(&api->meter->in_flight, --api->open_calls);
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
        log_debug("live event not loaded, metrics lack it", LOG_TEXT("event", id),
                  LOG_TEXT("status", status_name(st)));
}

static void every_second(void *arg)
{
    struct api *api = arg;
    if (api->seconds++ % LIVE_EVENTS_EVERY_S == 0) {
        const enum status st = queue_read_events(api->queue, on_live_event, api);
        if (st != ST_OK)
            log_debug("live events not read, metrics may lack some",
                      LOG_TEXT("status", status_name(st)));
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
    const bool is_banned = strcmp(kind, "banned") == 0;
    if (is_admitted || is_banned ? presence_is_empty(api->presence)
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
    } else if (is_banned) {
        const char *buyer = json_str(payload, "buyer");
        if (buyer) /* this pod answers no poll of theirs by itself any more */
            presence_drop(api->presence, message->event, buyer);
    } else {
        api_process_on_message(api, payload);
    }
    json_free(payload);
}

/* ---- life ---- */

static void free_api(struct api *api)
{
    loop_timer_close(api->second);
    loop_timer_close(api->busy_timer);
    presence_free(api->presence);
    ticket_memo_free(api->tickets);
    pictures_free(api->pictures);
    listing_free(api->listing);
    api_home_free(api->home);
    api_push_free(api->push);
    free(api->deep);
    staff_sessions_free(api->sessions);
    http_client_close(api->http); /* of an api that did not open */
    oidc_free(api->oidc);
    buf_clear(&api->text);
    buf_clear(&api->ticket);
    buf_clear(&api->pass);
    buf_clear(&api->header);
    buf_clear(&api->page);
    free(api);
}

static void on_probes_closed(void *arg)
{
    struct api *api = arg;
    const loop_cb cb = api->close_cb;
    void *cb_arg = api->close_arg;
    free_api(api);
    if (cb)
        cb(cb_arg);
}

/* Probes are answered to the end. */
static void on_httpd_closed(void *arg)
{
    struct api *api = arg;
    httpd_close(api->probes.httpd, on_probes_closed, api);
}

/* Probes have connections of their own, so that a flood of others does not take them. */
static enum status open_door(struct api_door *door, const struct api_opts *opts)
{
    const bool is_front = door == &door->api->front;
    return httpd_open(
        &(struct httpd_opts){.loop = opts->loop,
                             .host = opts->config->http_host,
                             .port = is_front ? opts->port : opts->metrics_port,
                             .deferred = is_front && opts->deferred,
                             .connection_limit = is_front ? opts->connection_limit : PROBES_MAX,
                             .limited_by_memory = opts->limited_by_memory,
                             .meter = is_front ? door->api->meter : NULL,
                             .idle_timeout_s = is_front ? 75 : 15,
                             .on_connect = is_front ? on_connect : NULL,
                             .on_disconnect = is_front ? on_disconnect : NULL,
                             .is_probe = is_front ? api_is_probe : NULL,
                             .on_request = on_request,
                             .on_head = on_head,
                             .on_done = on_done,
                             .arg = door},
        &door->httpd);
}

static enum status open_oidc(struct api *api)
{
    const struct config *config = api->config;
    if (!config->oidc_issuer)
        return ST_OK;
    if (config->oidc_roles && !oidc_roles_valid(config->oidc_roles)) {
        log_error("setting cannot be used", LOG_TEXT("setting", "OIDC_ROLES"),
                  LOG_TEXT("expected", "value=role,value=role, where a role is admin, organizer, "
                                       "sre, viewer or door"));
        return ST_INVALID;
    }
    const enum status st =
        http_client_new(&(struct http_client_opts){.loop = api->loop,
                                                   .at_once = 8,
                                                   .queue_max = 64,
                                                   .allow = config->outbound_allow,
                                                   .ca_file = config->outbound_ca_file},
                        &api->http);
    if (st != ST_OK)
        return st;
    api->oidc = oidc_new(&(struct oidc_opts){.loop = api->loop,
                                             .http = api->http,
                                             .issuer = config->oidc_issuer,
                                             .client_id = config->oidc_client_id,
                                             .client_secret = config->oidc_client_secret});
    return ST_OK;
}

void api_reconfigure(struct api *api, const struct config *config)
{
    api->config = config;
    api_push_reconfigure(api->push, config);
    /* It remembers what keys have verified that may be gone. */
    ticket_memo_free(api->tickets);
    api->tickets = ticket_memo_new();
}

enum status api_open(const struct api_opts *opts, struct api **ret_api)
{
    struct api *api = xcalloc(1, sizeof(*api));
    api->front.api = api->probes.api = api;
    api->front.end_route = opts->metrics_port > 0 ? api_metrics_routes_at() : api_routes_end();
    api->probes.first_route = api_ops_routes_at();
    api->probes.end_route = api_routes_end();
    char random[33];
    api->loop = opts->loop;
    api->config = opts->config;
    api->redis = opts->redis;
    api->queue = opts->queue;
    api->db = opts->db;
    api->catalog = opts->catalog;
    api->seat_maps = opts->seat_maps;
    api->stock = opts->stock;
    api->keys = opts->keys;
    api->jwks = opts->jwks;
    api->health = opts->health;
    api->limit = opts->client_limit;
    api->client_ip = client_limit_ip(opts->client_limit);
    api->meter = metrics_http_meter_take();
    api->presence = presence_new();
    api->sessions = staff_sessions_new(opts->loop, opts->db);
    api->tickets = ticket_memo_new();
    api->pictures = pictures_new(opts->db);
    api->listing = listing_new(opts->loop, opts->db);
    api->home = api_home_new();
    buf_init(&api->text, ANSWER_MAX);
    buf_init(&api->ticket, API_TOKEN_MAX);
    buf_init(&api->pass, API_TOKEN_MAX);
    buf_init(&api->header, 4096);
    buf_init(&api->page, PAGE_MAX);
    token_random_hex(random);
    memcpy(api->request_prefix, random, sizeof(api->request_prefix) - 1);
    enum status st = api_push_new(opts->config, &api->push);
    if (st == ST_OK)
        st = open_oidc(api);
    api->overload.most_ms = (uint32_t)opts->config->redis_timeout_ms / 2;
    if (st == ST_OK)
        st = open_door(&api->front, opts);
    if (st == ST_OK && opts->metrics_port > 0)
        st = open_door(&api->probes, opts);
    if (st != ST_OK) {
        httpd_close(api->front.httpd, on_httpd_closed, api);
        return st;
    }
    api->busy_timer = loop_timer_new(opts->loop, api_retry_holds, api);
    api->second = loop_timer_new(opts->loop, every_second, api);
    loop_timer_set(api->second, 1000);
    *ret_api = api;
    return ST_OK;
}

enum status api_listen(struct api *api)
{
    return httpd_listen_now(api->front.httpd);
}

void api_quiesce(struct api *api)
{
    httpd_quiesce(api->front.httpd);
}

unsigned api_connections(const struct api *api)
{
    return httpd_connections(api->front.httpd);
}

unsigned api_busy(const struct api *api)
{
    return api->open_calls;
}

void api_close(struct api *api, loop_cb cb, void *arg)
{
    api->close_cb = cb;
    api->close_arg = arg;
    api_end_holds(api); /* none may wait for a timer that is closed */
    oidc_stop(api->oidc);
    http_client_close(api->http);
    api->http = NULL;
    api_readiness_stop(api);
    httpd_close(api->front.httpd, on_httpd_closed, api);
}
