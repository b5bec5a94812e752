/* SPDX-License-Identifier: MIT */
/*
 * api_console: signing in to the console, and signing out.
 *
 *   GET  /console/enter      ?link=: who the link is for, and a button. Changes nothing: previewers and scanners load it too
 *   POST /console/enter      uses the link, once: a session, then 303 to /console
 *   POST /console/sign-out   ends the session, then 303 to /console
 *
 * Why this way: a link is signed by a key of the deployment, so `tiketi console-link` needs no database; that it is used
 * once only PostgreSQL can say, in the statement that stores the session. The session's cookie is SameSite=Strict: no page
 * of another site can send a request with it.
 * Called by: api's route table, api_oidc. PostgreSQL gone: nobody signs in, and the page says so; who is in stays in.
 */
#include "api/api_console.h"

#include "auth/sign_in.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/shared_clock.h"

#include <stdio.h>
#include <string.h>

#define LINK_MAX 4096

/* A sign-in that waits for PostgreSQL. */
struct entrance {
    struct staff_grant session;
};

/* ---- without a session ---- */

void api_show_sign_in(struct api_call *call, unsigned code, const char *state, const char *event)
{
    const struct config *config = call->api->config;
    struct page page;
    char key[64];
    call->present = NULL;
    api_page_begin(&page, call);
    api_page_set(&page, "state", state);
    (void)snprintf(key, sizeof(key), "signin_%s_title", state);
    api_page_set(&page, "heading", message(page.language, key));
    (void)snprintf(key, sizeof(key), "signin_%s_lead", state);
    api_page_set(&page, "lead", message(page.language, key));
    if (event && *event != '\0') {
        api_page_set(&page, "again", api_page_own(&page, "/wait/%s/sign-in", event));
        api_page_set(&page, "back", api_page_own(&page, "/wait/%s", event));
    } else {
        const bool may_return = strcmp(state, "unavailable") == 0 || strcmp(state, "stale") == 0 ||
                                strcmp(state, "forbidden") == 0 || strcmp(state, "tries") == 0;
        const bool invited = strncmp(state, "invitation", strlen("invitation")) == 0;
        if (may_return || !invited) /* an administrator does not help with an invitation */
            api_page_set(&page, may_return ? "retry" : "how", "1");
        if (call->api->oidc && config->oidc_staff && !invited)
            api_page_set(&page, "provider", api_page_own(&page, "/console/sign-in"));
    }
    api_page_answer(&page, code, "sign_in.html");
}

void api_show_signed_in(struct api_call *call)
{
    struct page page;
    call->present = NULL;
    api_page_begin(&page, call);
    api_page_set(&page, "state", "in");
    api_page_set(&page, "heading", message(page.language, "signin_in_title"));
    api_page_set(&page, "lead", message(page.language, "signin_in_lead"));
    api_page_set(&page, "go_on", api_page_own(&page, "/console"));
    api_page_answer(&page, 200, "sign_in.html");
}

/* The state of the page for a problem. */
static const char *problem_state(const struct api_problem *problem)
{
    static const struct {
        const char *code, *state;
    } states[] = {
        {"unauthorized", "needed"}, {"session-ended", "ended"},  {"forbidden", "forbidden"},
        {"csrf", "stale"},          {"foreign-origin", "stale"}, {"too-many-requests", "tries"},
    };
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (strcmp(states[i].code, problem->code) == 0)
            return states[i].state;
    }
    return "unavailable";
}

static void show_problem(struct api_call *call, const struct api_problem *problem)
{
    if (strcmp(problem->code, "session-ended") == 0)
        api_drop_session(call);
    api_show_sign_in(call, problem->status, problem_state(problem), NULL);
}

const struct api_presenter api_console_presenter = {.problem = show_problem};

/* ---- signing in ---- */

static void entered(void *arg, enum status status, const char *json, size_t len)
{
    struct api_call *call = arg;
    const struct entrance *entrance = call->state;
    const struct staff_grant *session = &entrance->session;
    (void)json, (void)len;
    if (status == ST_CONFLICT) {
        api_count_try(call);
        api_show_sign_in(call, 410, "link_used", NULL);
        return;
    }
    if (status == ST_OK)
        status = api_set_session(call, session);
    if (status != ST_OK) {
        api_fail(call, status);
        return;
    }
    log_info("staff signed in", LOG_TEXT("name", session->name),
             LOG_TEXT("role", role_name(session->role)));
    api_page_redirect(call, "/console");
}

void api_begin_session(struct staff_grant *session)
{
    token_random_hex(session->id);
    session->expires_ms = shared_clock_ms() + STAFF_SESSION_MS;
}

/* Reads the link that was sent. False: it is not valid, and the page that says so was answered. */
static bool read_link(struct api_call *call, const char *text, struct staff_grant *ret)
{
    if (!api_may_try(call))
        return false;
    const enum status st = text && strlen(text) <= LINK_MAX
                               ? sign_in_link_read(token_sign_in_keys(call->api->keys), text,
                                                   strlen(text), shared_clock_ms(), ret)
                               : ST_UNAUTHORIZED;
    if (st == ST_OK)
        return true;
    api_count_try(call);
    api_show_sign_in(call, st == ST_GONE ? 410 : 400, st == ST_GONE ? "link_late" : "link_wrong",
                     NULL);
    return false;
}

static enum status enter_page_start(struct api_call *call)
{
    const char *link = http_req_query(call->req, "link");
    struct staff_grant grant;
    struct page page;
    if (!read_link(call, link, &grant))
        return ST_OK;
    api_page_begin(&page, call);
    const struct message_value values[] = {{"name", grant.name}, {NULL, NULL}};
    api_page_set(&page, "state", "enter");
    api_page_set(&page, "heading", message(page.language, "signin_enter_title"));
    api_page_set(&page, "lead", api_page_message(&page, "signin_enter_lead", values));
    api_page_set(&page, "role", api_role_text(&page, grant.role));
    api_page_set(&page, "link", link);
    api_page_answer(&page, 200, "sign_in.html");
    return ST_OK;
}

static enum status enter_start(struct api_call *call)
{
    struct entrance *entrance = http_req_alloc(call->req, sizeof(*entrance));
    struct staff_grant *session = &entrance->session, link, previous;
    /* Else another site could sign its visitors in as somebody of its own. */
    if (api_staff_foreign(call)) {
        api_show_sign_in(call, 403, "stale", NULL);
        return ST_OK;
    }
    if (!read_link(call, http_req_form(call->req, "link"), &link))
        return ST_OK;
    *session = link;
    api_begin_session(session);
    call->state = entrance;
    return staff_enter(call->api->db, session, link.id,
                       api_sent_session(call, &previous) ? previous.id : NULL, entered, call);
}

/* ---- signing out ---- */

static void signed_out(void *arg, enum status status, const char *json, size_t len)
{
    struct api_call *call = arg;
    (void)json, (void)len;
    if (status != ST_OK) /* the browser forgets it all the same */
        log_warn("session not ended in postgresql", LOG_TEXT("name", call->session->name),
                 LOG_TEXT("status", status_name(status)));
    staff_sessions_forget(call->api->sessions, call->session->id);
    api_drop_session(call);
    api_page_redirect(call, "/console");
}

static enum status sign_out_start(struct api_call *call)
{
    if (!call->session) { /* a bearer token cannot be taken back */
        api_page_redirect(call, "/console");
        return ST_OK;
    }
    const enum status st = staff_sign_out(call->api->db, call->session->id, signed_out, call);
    if (st != ST_OK)
        signed_out(call, st, NULL, 0);
    return ST_OK;
}

const struct api_route api_console_routes[] = {
    {"GET", "/console/enter", AUTH_NONE, 0, enter_page_start, API_BODY_NONE},
    {"POST", "/console/enter", AUTH_NONE, 0, enter_start, API_BODY_NONE},
    {"POST", "/console/sign-out", AUTH_STAFF, API_STAFF, sign_out_start, API_BODY_NONE},
    {0},
};
