/* SPDX-License-Identifier: MIT */
/*
 * api_staff: who of the staff sends a request, and what they may see.
 *
 *   Authorization: Bearer …   api.c: the shop's JWT
 *   cookie tiketi_staff       here: signature -> origin and form token of an unsafe method -> role -> is it still live?
 *
 * Why this way: every route of staff takes both, so the console, the terminal and curl use one API. A browser sends its
 * cookie by itself, so a request with a cookie that changes something must also carry the token of the session's forms
 * (X-CSRF-Token, or the form's field csrf) and must not come from another origin; a bearer token needs neither. Whether
 * the session was ended is asked of PostgreSQL, at most every two seconds; meanwhile and without it the signature counts
 * (auth/staff_session.c).
 * Called by: api, api_console, api_oidc. Owns nothing.
 */
#include "api/api_internal.h"

#include "auth/sign_in.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/shared_clock.h"
#include "net/client_limit.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define COOKIE     "tiketi_staff"
#define COOKIE_MAX 2200 /* the head of an answer may have 3 KiB */

/* ---- the cookie ---- */

bool api_sent_session(struct api_call *call, struct staff_grant *ret)
{
    size_t len;
    const char *text = api_host_cookie(call, COOKIE, &len);
    return text && sign_in_session_read(token_sign_in_keys(call->api->keys), text, len,
                                        shared_clock_ms(), ret) == ST_OK;
}

void api_drop_session(struct api_call *call)
{
    api_set_host_cookie(call, COOKIE, NULL, 0, "Strict");
}

enum status api_set_session(struct api_call *call, const struct staff_grant *session)
{
    struct buf text;
    buf_init(&text, COOKIE_MAX);
    const enum status st =
        sign_in_session_write(token_sign_in_keys(call->api->keys), session, &text);
    if (st == ST_OK)
        api_set_host_cookie(call, COOKIE, buf_str(&text),
                            (session->expires_ms - shared_clock_ms()) / 1000, "Strict");
    buf_clear(&text);
    return st;
}

/* ---- a request ---- */

static bool is_unsafe(const struct api_call *call)
{
    const char *method = http_req_method(call->req);
    return strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0;
}

/* ALLOWED_ORIGINS does not count here, nor another port of this host: those pages act for buyers. A GET counts as well,
 * because a page of a site below the same domain could read the form token. */
bool api_staff_foreign(const struct api_call *call)
{
    const char *origin = http_req_header(call->req, "Origin");
    const char *own_url = call->api->config->public_url, *host = api_authority(call);
    const char *authority = origin ? strstr(origin, "://") : NULL;
    if (!origin || (own_url && strcasecmp(origin, own_url) == 0))
        return false;
    return !authority || !host || strcasecmp(authority + 3, host) != 0;
}

static bool has_csrf(const struct api_call *call, const struct staff_grant *session, bool body)
{
    const char *token = http_req_header(call->req, "X-CSRF-Token");
    const char *type = http_req_header(call->req, "Content-Type");
    static const char form[] = "application/x-www-form-urlencoded";
    if (!token && body && type && strncasecmp(type, form, sizeof(form) - 1) == 0)
        token = http_req_form(call->req, "csrf");
    return token && sign_in_csrf_holds(token_sign_in_keys(call->api->keys), session->id, token);
}

static void take_session(struct api_call *call, const struct staff_grant *session)
{
    (void)snprintf(call->user.sub, sizeof(call->user.sub), "%s", session->subject);
    call->user.role = session->role;
    call->session = session;
}

static void refuse_ended(struct api_call *call)
{
    call->session = NULL;
    api_problem(call, 401, "session-ended", "Your session has ended: sign in again.", NULL);
}

static void asked(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status == ST_OK)
        api_proceed(call);
    else
        refuse_ended(call);
}

bool api_staff_identify(struct api_call *call)
{
    struct staff_sessions *sessions = call->api->sessions;
    struct staff_grant *session = http_req_alloc(call->req, sizeof(*session));
    size_t len;
    const char *text = api_host_cookie(call, COOKIE, &len);
    if (!text) {
        api_problem(call, 401, "unauthorized",
                    "A valid bearer token is needed in the Authorization header, or the session of "
                    "somebody who has signed in to the console.",
                    NULL);
        return false;
    }
    if (sign_in_session_read(token_sign_in_keys(call->api->keys), text, len, shared_clock_ms(),
                             session) != ST_OK) {
        refuse_ended(call);
        return false;
    }
    if (api_staff_foreign(call)) {
        api_problem(call, 403, "foreign-origin",
                    "Pages of this origin may not act for somebody who has signed in to the "
                    "console: it is neither this host nor PUBLIC_URL.",
                    NULL);
        return false;
    }
    if (is_unsafe(call) && !has_csrf(call, session, true)) {
        api_problem(call, 403, "csrf",
                    "A request with a session needs its token: the header X-CSRF-Token with the "
                    "csrf of GET /api/admin/session, or the field csrf of a form.",
                    NULL);
        return false;
    }
    take_session(call, session);
    if (!api_role_allows(call))
        return false;
    enum status st = staff_sessions_look(sessions, session->id);
    if (st == ST_NOT_FOUND) {
        if (staff_sessions_ask(sessions, session->id, asked, call) == ST_OK)
            return false;
        st = staff_sessions_look(sessions, session->id);
    }
    if (st == ST_UNAUTHORIZED)
        refuse_ended(call);
    return st != ST_UNAUTHORIZED;
}

bool api_staff_may_send(struct api_call *call, const struct api_route *route)
{
    struct staff_grant session;
    return api_sent_session(call, &session) && !api_staff_foreign(call) &&
           has_csrf(call, &session, false) && (route->roles & (1u << session.role)) != 0 &&
           staff_sessions_look(call->api->sessions, session.id) != ST_UNAUTHORIZED;
}

/* ---- what they may see ---- */

const char *api_actor(struct api_call *call)
{
    char text[STAFF_NAME_MAX + STAFF_SUBJECT_MAX + 32];
    if (call->actor)
        return call->actor;
    const char *name = call->session ? call->session->name : call->user.sub;
    const bool same = strcmp(name, call->user.sub) == 0;
    const int len = snprintf(text, sizeof(text), "%s\t%s%s%s", name, role_name(call->user.role),
                             same ? "" : "\t", same ? "" : call->user.sub);
    call->actor = http_req_strdup(call->req, text, (size_t)len);
    return call->actor;
}

const char *api_csrf(struct api_call *call)
{
    char text[STAFF_CSRF_SIZE];
    if (!call->session ||
        sign_in_csrf_write(token_sign_in_keys(call->api->keys), call->session->id, text) != ST_OK)
        return "";
    return http_req_strdup(call->req, text, strlen(text));
}

bool api_staff_invited(const struct api_call *call)
{
    return strncmp(call->user.sub, API_INVITED, strlen(API_INVITED)) == 0;
}

enum staff_right api_staff_right(const struct api_call *call, const struct event *event)
{
    const char *list = call->session ? call->session->events : "";
    /* A shop's server has the rights of whom its token names. */
    const bool organizer = call->user.role == USER_ORGANIZER || call->user.role == USER_SERVICE;
    if (organizer && strcmp(event->owner, call->user.sub) == 0)
        return RIGHT_OWNER;
    if (api_staff_invited(call))
        return event->right;
    if (*list != '\0' ? staff_events_have(list, event->id) : !organizer)
        return RIGHT_OWNER;
    return event->right;
}

enum staff_right api_route_right(const struct api_route *route)
{
    if ((route->roles & API_OF_OWNER) != 0)
        return RIGHT_OWNER;
    if ((route->roles & API_OF_VIEWER) != 0 || strcmp(route->method, "GET") == 0)
        return RIGHT_VIEWER;
    return RIGHT_EDITOR;
}

struct catalog_choice api_staff_choice(const struct api_call *call)
{
    const char *list = call->session ? call->session->events : "";
    return (struct catalog_choice){.owner =
                                       call->user.role == USER_ORGANIZER ? call->user.sub : NULL,
                                   .ids = *list != '\0'             ? list
                                          : api_staff_invited(call) ? ""
                                                                    : NULL,
                                   .subject = call->user.sub};
}

/* ---- tries to sign in ---- */

bool api_may_try(struct api_call *call)
{
    if (!call->counts || client_limit_has(call->api->limit, CLIENT_BAD_TRIES, call->client,
                                          loop_now_ms(call->api->loop)))
        return true;
    api_answer_problem(call, &(struct api_problem){.status = 429,
                                                   .code = "too-many-requests",
                                                   .detail = "Too many wrong tries to sign in from "
                                                             "this address: wait a minute.",
                                                   .retry_s = 60});
    return false;
}

void api_count_try(struct api_call *call)
{
    if (call->counts && !client_limit_take(call->api->limit, CLIENT_BAD_TRIES, call->client,
                                           loop_now_ms(call->api->loop)))
        log_warn("wrong tries to sign in over the limit", LOG_TEXT("client", call->client));
}

/* ---- routes ---- */

/* Who the sender is, for the console and `tiketi ctl`. */
static enum status session_start(struct api_call *call)
{
    const struct staff_grant *session = call->session;
    struct json *body = json_new_object();
    char expires[CLOCK_RFC3339_SIZE];
    json_set_str(body, "name", session ? session->name : call->user.sub);
    json_set_str(body, "role", role_name(call->user.role));
    if (session) {
        clock_format_rfc3339(session->expires_ms, expires);
        json_set_str(body, "csrf", api_csrf(call));
        json_set_str(body, "expiresAt", expires);
    } else {
        json_set_null(body, "csrf");
        json_set_null(body, "expiresAt");
    }
    api_answer_json(call, 200, body);
    json_free(body);
    return ST_OK;
}

const struct api_route api_staff_routes[] = {
    {"GET", "/api/admin/session", AUTH_STAFF, API_STAFF, session_start, API_BODY_NONE},
    {0},
};
