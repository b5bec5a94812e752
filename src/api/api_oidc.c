/* SPDX-License-Identifier: MIT */
/*
 * api_oidc: signing in by the identity provider: staff for the console, buyers for events that forbid guests.
 *
 *   GET /console/sign-in          303 to the provider
 *   GET /wait/{eventId}/sign-in   the same for a buyer, who comes back to the waiting page
 *   POST /wait/{eventId}/sign-out the buyer is forgotten by this browser
 *   GET /oidc/callback            where the provider leads back to: a session of staff, or the cookie of a buyer
 *
 * Why this way: what must be the same on the way back (state, nonce, PKCE's verifier, where to) travels in a signed cookie of ten
 * minutes, so any pod can take the answer, and only the browser that went can bring it. The answer uses the cookie up. It is
 * SameSite=Lax, because the provider leads here from its own site; so the session's Strict cookie would not be sent with a
 * redirect from here, and staff get a page that goes on by itself.
 * A buyer needs no row anywhere: their cookie is signed, their id a hash of issuer and subject.
 * Called by: api's route table. The provider gone: a page that says so; whoever is signed in goes on.
 */
#include "api/api_console.h"

#include "auth/oidc.h"
#include "base/log.h"
#include "base/shared_clock.h"
#include "net/client_limit.h"

#include <stdio.h>
#include <string.h>

#define COOKIE       "tiketi_sign_in"
#define ERRAND_MS    (10 * 60 * 1000)
#define COOKIE_MAX   1024
#define CODE_MAX     2048
#define BUYERS_SCOPE "openid"

/* A visit to the provider; call->state. */
struct journey {
    struct sign_in_errand errand;
    struct staff_grant session;
};

static bool is_staff(const struct sign_in_errand *errand)
{
    return errand->event[0] == '\0';
}

static void show(struct api_call *call, unsigned code, const char *state)
{
    const struct journey *journey = call->state;
    api_show_sign_in(call, code, state, journey ? journey->errand.event : NULL);
}

/* Fills what the provider is asked for. False: our own address is not known. */
static bool fill_visit(struct api_call *call, const struct sign_in_errand *errand,
                       struct oidc_visit *visit)
{
    const char *own_url = api_own_url(call);
    char text[640];
    const int len = snprintf(text, sizeof(text), "%s/oidc/callback", own_url ? own_url : "");
    *visit = (struct oidc_visit){.errand = errand,
                                 .redirect_uri = http_req_strdup(call->req, text, (size_t)len),
                                 .scope = is_staff(errand) ? call->api->config->oidc_scope
                                                           : BUYERS_SCOPE};
    return own_url;
}

/* ---- to the provider ---- */

static void on_url(void *arg, enum status status, const char *url)
{
    if (status == ST_OK)
        api_page_redirect_away(arg, url);
    else
        show(arg, 503, "oidc_down");
}

static enum status leave(struct api_call *call, struct journey *journey)
{
    struct sign_in_errand *errand = &journey->errand;
    struct oidc_visit visit;
    struct buf cookie;
    char half[33];
    call->state = journey;
    token_random_hex(errand->state);
    token_random_hex(errand->nonce);
    token_random_hex(half);
    (void)snprintf(errand->verifier, sizeof(errand->verifier), "%s", half);
    token_random_hex(half);
    (void)snprintf(errand->verifier + 32, sizeof(errand->verifier) - 32, "%s", half);
    errand->expires_ms = shared_clock_ms() + ERRAND_MS;
    if (!fill_visit(call, errand, &visit))
        return ST_INVALID;
    buf_init(&cookie, COOKIE_MAX);
    const enum status st =
        sign_in_errand_write(token_sign_in_keys(call->api->keys), errand, &cookie);
    if (st == ST_OK)
        api_set_host_cookie(call, COOKIE, buf_str(&cookie), ERRAND_MS / 1000, "Lax");
    buf_clear(&cookie);
    if (st == ST_OK)
        oidc_begin(call->api->oidc, &visit, on_url, call);
    return st;
}

static void answer_off(struct api_call *call)
{
    api_problem(call, 404, "not-found", "Signing in by an identity provider is not set up.", NULL);
}

static enum status staff_leave_start(struct api_call *call)
{
    struct journey *journey = http_req_alloc(call->req, sizeof(*journey));
    struct staff_grant previous;
    if (!call->api->oidc || !call->api->config->oidc_staff) {
        answer_off(call);
        return ST_OK;
    }
    if (api_sent_session(call, &previous))
        memcpy(journey->errand.previous, previous.id, sizeof(previous.id));
    return leave(call, journey);
}

static enum status buyer_leave_start(struct api_call *call)
{
    struct journey *journey = http_req_alloc(call->req, sizeof(*journey));
    if (!call->api->oidc || !call->api->config->oidc_buyers) {
        answer_off(call);
        return ST_OK;
    }
    (void)snprintf(journey->errand.event, sizeof(journey->errand.event), "%s", call->param);
    api_keep_return(call);
    return leave(call, journey);
}

/* Their place stays theirs: whoever signs in as them again has it. The provider is not told. */
static enum status buyer_sign_out_start(struct api_call *call)
{
    api_clear_buyer(call);
    api_page_redirect(call, api_wait_address(call, NULL));
    return ST_OK;
}

/* ---- back ---- */

static void refuse(struct api_call *call, unsigned code, const char *state)
{
    api_count_try(call);
    show(call, code, state);
}

static void entered(void *arg, enum status status, const char *json, size_t len)
{
    struct api_call *call = arg;
    const struct journey *journey = call->state;
    (void)json, (void)len;
    if (status == ST_OK)
        status = api_set_session(call, &journey->session);
    if (status != ST_OK) {
        api_fail(call, status);
        return;
    }
    log_info("staff signed in", LOG_TEXT("name", journey->session.name),
             LOG_TEXT("role", role_name(journey->session.role)),
             LOG_TEXT("subject", journey->session.subject));
    api_show_signed_in(call);
}

static void enter_staff(struct api_call *call, const struct oidc_person *person)
{
    const struct config *config = call->api->config;
    struct journey *journey = call->state;
    struct staff_grant *session = &journey->session;
    if (config->oidc_domains && !oidc_in_domains(person->claims, config->oidc_domains)) {
        refuse(call, 403, "oidc_domain");
        return;
    }
    if (!oidc_read_role(person->claims, config->oidc_role_claim, config->oidc_roles,
                        &session->role)) {
        refuse(call, 403, "oidc_no_role");
        return;
    }
    (void)snprintf(session->subject, sizeof(session->subject), "%s", person->id);
    oidc_read_name(person->claims, person->id, session->name);
    api_begin_session(session);
    const char *previous = journey->errand.previous;
    const enum status st =
        staff_enter(call->api->db, session, NULL, *previous ? previous : NULL, entered, call);
    if (st != ST_OK)
        api_fail(call, st);
}

static void enter_buyer(struct api_call *call, const struct oidc_person *person)
{
    const struct journey *journey = call->state;
    struct buf location;
    const enum status st = api_set_buyer(call, person->id);
    if (st != ST_OK) {
        api_fail(call, st);
        return;
    }
    const char *way = api_kept_return(call, journey->errand.event);
    buf_init(&location, (size_t)8 * RETURN_URL_MAX);
    buf_printf(&location, "/wait/%s%s%s", journey->errand.event, way ? "?" : "", way ? way : "");
    api_page_redirect(call, buf_str(&location));
    buf_clear(&location);
}

static void on_person(void *arg, enum status status, const struct oidc_person *person)
{
    struct api_call *call = arg;
    const struct journey *journey = call->state;
    if (status == ST_UNAUTHORIZED)
        refuse(call, 403, "oidc_refused");
    else if (status != ST_OK)
        show(call, 503, "oidc_down");
    else if (is_staff(&journey->errand))
        enter_staff(call, person);
    else
        enter_buyer(call, person);
}

/* Reads the cookie that the browser went with, and uses it up. False: this answer belongs to no visit of this browser. */
static bool take_errand(struct api_call *call, struct journey *journey)
{
    const char *state = http_req_query(call->req, "state");
    size_t len;
    const char *text = api_host_cookie(call, COOKIE, &len);
    if (!text)
        return false;
    api_set_host_cookie(call, COOKIE, NULL, 0, "Lax");
    return state &&
           sign_in_errand_read(token_sign_in_keys(call->api->keys), text, len, shared_clock_ms(),
                               &journey->errand) == ST_OK &&
           token_equal(state, strlen(state), journey->errand.state, strlen(journey->errand.state));
}

static enum status callback_start(struct api_call *call)
{
    struct journey *journey = http_req_alloc(call->req, sizeof(*journey));
    const char *code = http_req_query(call->req, "code"),
               *error = http_req_query(call->req, "error");
    const char *issuer = http_req_query(call->req, "iss"); /* RFC 9207 */
    struct oidc_visit visit;
    if (!call->api->oidc) {
        answer_off(call);
        return ST_OK;
    }
    if (!api_may_try(call))
        return ST_OK;
    if (!take_errand(call, journey)) {
        refuse(call, 400, "oidc_state");
        return ST_OK;
    }
    call->state = journey;
    const bool other_issuer = issuer && strcmp(issuer, call->api->config->oidc_issuer) != 0;
    if (error && !other_issuer) {
        log_info("identity provider returned an error", LOG_TEXT("error", error));
        show(call, 403, strcmp(error, "access_denied") == 0 ? "oidc_cancelled" : "oidc_refused");
    } else if (other_issuer || !code || strlen(code) > CODE_MAX ||
               !fill_visit(call, &journey->errand, &visit)) {
        refuse(call, 400, "oidc_refused");
    } else {
        oidc_redeem(call->api->oidc, &visit, code, is_staff(&journey->errand), on_person, call);
    }
    return ST_OK;
}

const struct api_route api_oidc_routes[] = {
    {"GET", "/console/sign-in", AUTH_NONE, 0, staff_leave_start, API_BODY_NONE},
    {"GET", "/wait/{eventId}/sign-in", AUTH_NONE, 0, buyer_leave_start, API_BODY_NONE},
    {"POST", "/wait/{eventId}/sign-out", AUTH_BUYER, 0, buyer_sign_out_start, API_BODY_NONE},
    {"GET", "/oidc/callback", AUTH_NONE, 0, callback_start, API_BODY_NONE},
    {0},
};
