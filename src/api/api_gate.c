/* SPDX-License-Identifier: MIT */
/*
 * api_gate: tells an integrator's proxy whether the buyer of a request is inside now, and publishes the keys that
 * verify passes.
 *
 *   GET /api/gate/{eventId}              the original request is in headers; 204, or 401 not-admitted
 *       ?redirect=1                      302 to the waiting page where a page may be the answer
 *       ?join=1                          a newcomer goes straight in while nobody waits and there is room
 *   *   /api/gate/{eventId}/envoy/…      the original method and path; 200, 302, 401 or 503 and nothing else
 *   *   /api/gate/{eventId}/envoy-join/… the same, and as with ?join=1
 *
 *   pass (or JWT, or guest cookie) -> event known -> Redis: inside? -> 204, or 401 not-admitted
 *
 * Why this way: the pass names the buyer. If no pass is sent, or the one in a cookie is no longer valid, a JWT or guest
 * cookie names them. Redis decides, and a pass counts only for its own admission: a pass of an earlier admission or
 * another epoch is refused, even if its buyer is inside again. The request claims: it is made for a page that the buyer
 * has opened. An answer of 204 counts as a heartbeat. Whoever is not inside gets one answer, 401, also for an event that
 * does not exist: what a proxy has to do is the same, and the waiting page says what is wrong. nginx takes no 302 from its auth_request, so 401 has the page's address in X-Tiketi-Wait.
 * With ?join=1 one script decides (QUEUE_DIRECT): inside, or no place at all. It is asked only for a page that a person opens
 * (api_visitor.c). The answer goes to a proxy that may forward one cookie, so it sets one at most: the pass, which then
 * names the guest as well, until our own pages have set the guest's cookie. A browser that keeps no cookies would take another
 * slot with each page: of an address one newcomer at a time may be unproven (client_newcomer_begin).
 * A hand-over token in the original URL (auth/handoff.h) is redeemed here, where the proxy asks about a page: the answer leads to
 * the URL without it, and sets the pass. So a shop on another host needs no code. One that does not hold is passed over.
 * Called by: api's route table. Owns nothing. With Redis gone: 503, the gate stays closed.
 */
#include "api/api_gate_request.h"

#include "auth/handoff.h"
#include "auth/identity.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/metrics.h"
#include "base/shared_clock.h"
#include "net/client_limit.h"

#include <stdio.h>
#include <string.h>

/* A key is published before it signs (operations.md), for longer than this. */
#define KEYS_MAX_AGE "public, max-age=300"

/* A token that holds, and the URL that it leads to. From http_req_alloc. */
struct hand_over {
    struct handoff token;
    struct return_url url;
};

struct gate {
    /* The admission in Redis must be that of the pass: only the pass names this buyer, or it was sent in a header. */
    bool must_match;
    bool known;                  /* the request names a buyer; false: a newcomer without a cookie */
    bool guest;                  /* who names themselves by our cookies alone */
    bool joins;                  /* as the proxy wants it */
    bool visits;                 /* it joins, and a person opens a page */
    bool has_pass;               /* a valid one, in a cookie */
    bool asked;                  /* for a direct admission */
    bool on_trial;               /* client_newcomer_begin was true */
    bool redeemed;               /* the token of `hand_over` */
    struct hand_over *hand_over; /* NULL: no token that holds was brought */
};

static enum gate_way way_of(const struct api_call *call)
{
    return api_takes_any_method(call->route) ? GATE_BY_PATH : GATE_BY_HEADERS;
}

/* ---- refusing ---- */

static bool redirects(const struct api_call *call)
{
    const char *flag = http_req_query(call->req, "redirect");
    return way_of(call) == GATE_BY_PATH || (flag && strcmp(flag, "1") == 0);
}

/* Tells a proxy where the visitor goes. True: by a redirect, which is the answer. */
static bool lead_to(struct api_call *call, const char *url)
{
    if (!redirects(call) || !gate_request_takes_page(call)) {
        http_req_add_header(call->req, "X-Tiketi-Wait", url);
        return false;
    }
    http_req_add_header(call->req, "Location", url);
    api_answer(call, 302, "", 0);
    return true;
}

/* Leads to the waiting page, or to the URL that a redeemed token was brought for. */
static bool lead_on(struct api_call *call)
{
    const struct gate *gate = call->state;
    struct buf *url = &call->api->header;
    if (gate && gate->redeemed)
        return lead_to(call, gate->hand_over->url.text);
    if (call->param[0] == '\0')
        return false;
    buf_reset(url);
    gate_request_add_wait(call, way_of(call), url);
    return buf_status(url) == ST_OK && lead_to(call, buf_str(url));
}

/* Was the request refused before it was a request? Then its status stays. */
static bool is_early(const struct api_problem *problem)
{
    switch (problem->status) {
    case 408:
    case 413:
    case 414:
    case 431:
    case 505:
        return true;
    default:
        return strcmp(problem->code, "malformed") == 0;
    }
}

static bool gate_instead(struct api_call *call, const struct api_problem *problem)
{
    struct api_problem other = *problem;
    call->guest = false; /* also when the handler has not run */
    if (way_of(call) == GATE_BY_PATH && !is_early(problem))
        other.status = problem->status == 429 || problem->status >= 500 ? 503 : 401;
    if (other.status == 401 && lead_on(call))
        return true;
    if (other.status == problem->status)
        return false;
    if (other.status == 503)
        other.code = problem->status == 429 ? "overloaded" : "unavailable";
    else
        other.code = "not-admitted";
    api_answer_problem(call, &other);
    return true;
}

const struct api_presenter api_gate_presenter = {.instead = gate_instead};

/* ---- letting pass ---- */

/* Names the buyer. Their id may be any text: what is not visible ASCII, and "%", is percent-encoded. */
static void add_buyer(struct api_call *call)
{
    struct buf *text = &call->api->header;
    const char *at = call->buyer;
    while (*at > ' ' && *at < 0x7f && *at != '%')
        at++;
    if (*at == '\0') {
        http_req_add_header(call->req, "X-Tiketi-Buyer", call->buyer);
        return;
    }
    buf_reset(text);
    for (at = call->buyer; *at != '\0'; at++) {
        if (*at > ' ' && *at < 0x7f && *at != '%')
            buf_add_char(text, *at);
        else
            buf_printf(text, "%%%02X", (unsigned char)*at);
    }
    http_req_add_header(call->req, "X-Tiketi-Buyer", buf_str(text));
}

/* When the turn ends, at the latest; as `turnEndsAt` of the buyer's own answers. */
static void add_end(struct api_call *call, const struct queue_place *place)
{
    const struct event *event = catalog_event(call->api->catalog, call->param);
    char text[CLOCK_RFC3339_SIZE];
    if (!event)
        return; /* it was forgotten meanwhile */
    clock_format_rfc3339(api_turn_end(event, place), text);
    http_req_add_header(call->req, "X-Tiketi-Pass-Expires", text);
}

/* Sets the pass as a cookie. False: it cannot be signed. */
static bool write_pass(struct api_call *call, const struct event *event,
                       const struct queue_place *place, uint64_t epoch)
{
    struct buf *text = &call->api->pass;
    int64_t expires_ms;
    buf_reset(text);
    if (api_write_pass(call, event, place, epoch, text, &expires_ms) != ST_OK)
        return false;
    const int64_t left_s = (expires_ms - shared_clock_ms()) / 1000;
    call->other_host = !gate_request_in_domain(call, way_of(call));
    api_set_proof(call, COOKIE_PASS, buf_str(text), left_s > 1 ? left_s : 1);
    call->proof_bytes = 0; /* no other cookie is removed */
    return true;
}

/* Does a pass in a cookie alone name the buyer, as on a host that has no other cookie of ours? Then it is renewed in time. */
static bool by_pass_alone(const struct gate *gate)
{
    return gate->has_pass && gate->must_match;
}

/* Sets the pass: of who was let in now; of who opens a page without one; and in time, because it may be all that names them. */
static void set_pass(struct api_call *call, const struct queue_place *place,
                     const struct queue_numbers *numbers)
{
    const struct gate *gate = call->state;
    const struct event *event = catalog_event(call->api->catalog, call->param);
    const bool is_due = gate->has_pass ? api_pass_is_due(call, event, place) : gate->visits;
    if (!(gate->joins || by_pass_alone(gate)) || !event || !(place->direct || is_due))
        return;
    call->one_cookie = !gate->known || call->passed_guest;
    (void)write_pass(call, event, place, numbers->epoch);
}

static void let_pass(struct api_call *call, const struct queue_place *place,
                     const struct queue_numbers *numbers)
{
    const struct api *api = call->api;
    if (place->direct) {
        metrics_add(METRIC_JOINS, 1);
        metrics_add(METRIC_ADMISSIONS_DIRECT, 1);
        presence_put(api->presence, call->param, call->buyer, place->state, loop_now_ms(api->loop));
    }
    set_pass(call, place, numbers);
    add_buyer(call);
    add_end(call, place);
    api_answer(call, way_of(call) == GATE_BY_PATH ? 200 : 204, "", 0);
}

/* ---- asking ---- */

static void gate_answered(void *arg, enum status status, const struct queue_place *place,
                          const struct queue_numbers *numbers);

/* May the buyer be let straight in, as far as it is not the queue that decides? */
static bool may_enter(struct api_call *call, const struct event *event)
{
    struct gate *gate = call->state;
    const int64_t now_ms = shared_clock_ms();
    if (!gate->visits || !event || (gate->guest && !event->allow_guests))
        return false;
    if (gate->known || !call->counts)
        return true;
    gate->on_trial = client_newcomer_begin(call->api->limit, call->client, call->buyer, now_ms,
                                           now_ms + event->idle_timeout_ms);
    return gate->on_trial;
}

static enum status gate_ask(struct api_call *call)
{
    struct gate *gate = call->state;
    const struct event *event = catalog_event(call->api->catalog, call->param);
    char network[CLIENT_NETWORK_SIZE];
    if (!gate->asked && may_enter(call, event)) {
        const struct queue_buyer buyer = {call->param, call->buyer, &call->proof,
                                          api_places_network(call, event, network)};
        gate->asked = true;
        return queue_join(call->api->queue, QUEUE_DIRECT, &buyer, gate_answered, call);
    }
    return gate->known ? api_ask_inside(call, call->param, gate_answered) : ST_NOT_FOUND;
}

static void gate_checked(struct api_call *call, enum status status, const struct queue_place *place,
                         const struct queue_numbers *numbers)
{
    const struct gate *gate = call->state;
    const struct queue_proof *proof = &call->proof;
    if (status != ST_OK && status != ST_NOT_FOUND) {
        api_fail(call, status);
        return;
    }
    const bool inside = status == ST_OK && place->state == QUEUE_ACTIVE;
    const bool matches = inside && (place->direct || (proof->pass_place == place->number &&
                                                      proof->pass_epoch == numbers->epoch));
    if (inside && (matches || !gate->must_match))
        let_pass(call, place, numbers);
    else if (status == ST_OK && place->state == QUEUE_BANNED)
        api_refuse_banned(call);
    else if (status == ST_OK && !inside && numbers->restoring && proof->pass_place > 0)
        api_fail(call, ST_UNAVAILABLE); /* the pass counts once consumed places are loaded */
    else
        api_problem(call, 401, "not-admitted", "The buyer is not inside: join the queue.", NULL);
}

static void gate_answered(void *arg, enum status status, const struct queue_place *place,
                          const struct queue_numbers *numbers)
{
    struct api_call *call = arg;
    struct gate *gate = call->state;
    if (gate->on_trial && !(status == ST_OK && place->direct)) {
        client_newcomer_end(call->api->limit, call->client, call->buyer);
        gate->on_trial = false;
    }
    /* Newcomers are refused for load; those inside are not: they are asked for once more. */
    if (status == ST_FULL && gate->asked) {
        status = gate_ask(call);
        if (status == ST_OK)
            return;
    }
    gate_checked(call, status, place, numbers);
}

/* Unknown ids are refused here: a flood of them must not cost Redis memory. */
static void gate_loaded(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status == ST_OK)
        status = gate_ask(call);
    if (status != ST_OK)
        gate_answered(call, status, NULL, NULL);
}

/* False: a flag is neither 1 nor 0, and was answered. Of Envoy's requests the query is that of the original. */
static bool read_flags(struct api_call *call, struct gate *gate)
{
    struct json_error error = {0};
    const enum gate_way way = way_of(call);
    bool redirect;
    if (way == GATE_BY_PATH) {
        gate->joins = strstr(call->route->path, "/envoy-join/") != NULL;
    } else if (!api_read_flag(call, "redirect", &redirect, &error) ||
               !api_read_flag(call, "join", &gate->joins, &error)) {
        api_invalid(call, &error);
        return false;
    }
    gate->visits = gate->joins && gate_request_is_visit(call, way);
    return true;
}

/* Reads the pass, of any buyer. */
static bool read_pass(struct api_call *call, struct pass *ret_pass, bool *ret_header)
{
    struct cookie list[COOKIE_TRIES];
    const size_t count =
        api_sent_proofs(call, "X-Tiketi-Pass", COOKIE_PASS, call->param, list, ret_header);
    for (size_t i = 0; i < count; i++) {
        const struct identity_proof proof = {
            .text = list[i].value, .len = list[i].len, .event = call->param};
        if (identity_read_pass(call->api->keys, &proof, shared_clock_ms(), ret_pass) == ST_OK)
            return true;
    }
    return false;
}

/* ---- a hand-over ---- */

static enum status gate_go_on(struct api_call *call);

/* Keeps the token of the original URL, if it holds. */
static void read_hand_over(struct api_call *call, struct gate *gate)
{
    struct hand_over *order = NULL;
    for (int other = 0; other < 2; other++) {
        struct return_url url;
        const char *token = gate_request_handoff(call, way_of(call), other == 1, &url);
        if (!token || !gate_request_takes_page(call))
            return;
        if (!order)
            order = http_req_alloc(call->req, sizeof(*order));
        order->url = url;
        if (handoff_read(call->api->keys, token, strlen(token), shared_clock_ms(), &order->token) !=
                ST_OK ||
            strcmp(order->token.event, call->param) != 0)
            return;
        if (handoff_leads_to(&order->token, &order->url)) {
            gate->hand_over = order;
            return;
        }
    }
}

/* The visitor has the pass now, and goes to the URL without the token. */
static bool take_over(struct api_call *call, const struct queue_redeemed *redeemed)
{
    struct gate *gate = call->state;
    const struct event *event = catalog_event(call->api->catalog, call->param);
    (void)snprintf(call->buyer, sizeof(call->buyer), "%s", gate->hand_over->token.buyer);
    gate->redeemed = event && write_pass(call, event, &redeemed->place, redeemed->numbers.epoch);
    return gate->redeemed;
}

static void hand_over_redeemed(void *arg, enum status status, const struct queue_redeemed *redeemed)
{
    struct api_call *call = arg;
    const bool holds = status == ST_OK && redeemed->place.state == QUEUE_ACTIVE && !redeemed->used;
    if (status != ST_OK) {
        api_fail(call, status == ST_NOT_FOUND ? ST_UNAVAILABLE : status);
    } else if (holds && take_over(call, redeemed)) {
        api_problem(call, 401, "not-admitted", "Go on at the URL without the token.", NULL);
    } else {
        status = gate_go_on(call);
        if (status != ST_OK)
            api_fail(call, status);
    }
}

static void hand_over_loaded(void *arg, enum status status)
{
    struct api_call *call = arg;
    const struct gate *gate = call->state;
    const struct handoff *token = &gate->hand_over->token;
    const struct queue_handoff once = {.event_id = call->param,
                                       .buyer_id = token->buyer,
                                       .jti = token->jti,
                                       .place = token->place,
                                       .epoch = token->epoch,
                                       .expires_ms = token->exp_s * 1000};
    if (status == ST_OK)
        status = queue_redeem(call->api->queue, &once, hand_over_redeemed, call);
    if (status != ST_OK)
        gate_answered(call, status, NULL, NULL);
}

static enum status gate_start(struct api_call *call)
{
    struct gate *gate = http_req_alloc(call->req, sizeof(*gate));
    call->state = gate;
    gate->guest = call->guest;
    gate->known = !call->new_guest;
    call->guest = false; /* no cookie of the guest */
    if (!read_flags(call, gate))
        return ST_OK;
    read_hand_over(call, gate);
    return gate->hand_over ? api_with_event(call, call->param, hand_over_loaded) : gate_go_on(call);
}

static enum status gate_go_on(struct api_call *call)
{
    struct gate *gate = call->state;
    struct pass pass;
    bool in_header;
    const bool valid = read_pass(call, &pass, &in_header);
    const bool own = valid && strcmp(pass.buyer, call->buyer) == 0;
    if (valid && (own || !call->has_user)) {
        gate->must_match = in_header || !own || call->passed_guest;
        gate->has_pass = !in_header;
        gate->known = true;
        memcpy(call->buyer, pass.buyer, sizeof(call->buyer));
        call->proof = (struct queue_proof){
            .pass_place = pass.place, .pass_epoch = pass.epoch, .pass_since_ms = pass.iat_s * 1000};
        call->pass_expires_ms = pass.exp_s * 1000;
    } else if (in_header || (!gate->known && !gate->visits)) {
        /* A pass in a header must be valid. An invalid one in a cookie is ignored if a JWT or guest cookie names the
         * buyer. */
        return ST_UNAUTHORIZED;
    }
    return api_with_event(call, call->param, gate_loaded);
}

/* ---- the keys of passes ---- */

/* Answers with a text that changes only with the keys, and that caches keep for KEYS_MAX_AGE. */
static void answer_keys(struct api_call *call, const char *type)
{
    const struct buf *out = &call->api->text;
    char etag[32];
    (void)snprintf(etag, sizeof(etag), "\"%016llx\"",
                   (unsigned long long)hash_pair(0, buf_str(out), out->len, NULL, 0));
    if (!api_not_modified(call, etag, KEYS_MAX_AGE))
        api_answer_text(call, type, buf_str(out), out->len);
}

static enum status jwks_start(struct api_call *call)
{
    struct buf *out = &call->api->text;
    buf_reset(out);
    token_write_jwks(call->api->keys, out);
    answer_keys(call, "application/json");
    return ST_OK;
}

/* One key, because what reads PEM (HAProxy) takes one from a file. */
static enum status pem_start(struct api_call *call)
{
    struct buf *out = &call->api->text;
    buf_reset(out);
    const enum status st = token_write_pem(call->api->keys, http_req_query(call->req, "kid"), out);
    if (st == ST_NOT_FOUND)
        api_problem(call, 404, "not-found", "No key of passes has this kid: jwks.json lists them.",
                    "kid");
    else if (st == ST_OK)
        answer_keys(call, "application/x-pem-file");
    return st == ST_NOT_FOUND ? ST_OK : st;
}

const struct api_route api_gate_routes[] = {
    {"GET", "/api/gate/{eventId}", AUTH_BUYER, 0, gate_start, API_BODY_NONE},
    {"*", "/api/gate/{eventId}/envoy/{path*}", AUTH_BUYER, 0, gate_start, API_BODY_NONE},
    {"*", "/api/gate/{eventId}/envoy-join/{path*}", AUTH_BUYER, 0, gate_start, API_BODY_NONE},
    {0},
};

const struct api_route api_key_routes[] = {
    {"GET", "/.well-known/jwks.json", AUTH_NONE, 0, jwks_start, API_BODY_NONE},
    {"GET", "/.well-known/pass-key.pem", AUTH_NONE, 0, pem_start, API_BODY_NONE},
    {0},
};
