/* SPDX-License-Identifier: MIT */
/*
 * api_invitation: the link that shares an event with somebody.
 *
 *   GET  /console/invitation   ?link=: who invites to what, and a button. Changes nothing: previewers and scanners load it too
 *   POST /console/invitation   uses the link, once, then 303 to the event: with the session of this browser, else with a new
 *                              one of the name in the link
 *
 * Why this way: a link in a message is opened from another site, and then the session's cookie, which is SameSite=Strict, is
 * not sent; so only the POST knows whether somebody is signed in, and the page says what happens in both cases. Whose session
 * counts, and whether the link was used, PostgreSQL decides in one call (sql/functions/team.sql). A new person gets a random
 * subject, not their name: a link names anybody, and must not give the events of somebody else of that name.
 * Called by: api's route table. PostgreSQL gone: nobody is let in, and the page says so.
 */
#include "api/api_console.h"

#include "auth/team.h"
#include "base/log.h"
#include "base/shared_clock.h"

#include <stdio.h>
#include <string.h>

#define LINK_MAX 4096
#define BODY_MAX 8192

/* call->state */
struct acceptance {
    struct sign_in_invitation invitation;
    struct staff_grant session; /* of somebody who is not signed in */
    const char *link;
};

/* Reads the link that was sent. False: it is not valid, and the page that says so was answered. */
static bool read_link(struct api_call *call, const char *text)
{
    struct acceptance *acceptance = http_req_alloc(call->req, sizeof(*acceptance));
    call->state = acceptance;
    if (!api_may_try(call))
        return false;
    acceptance->link = text;
    const enum status st =
        text && strlen(text) <= LINK_MAX
            ? sign_in_invitation_read(token_sign_in_keys(call->api->keys), text, strlen(text),
                                      shared_clock_ms(), &acceptance->invitation)
            : ST_UNAUTHORIZED;
    if (st == ST_OK)
        return true;
    api_count_try(call);
    api_show_sign_in(call, st == ST_GONE ? 410 : 400,
                     st == ST_GONE ? "invitation_late" : "link_wrong", NULL);
    return false;
}

/* The page for an invitation that cannot be accepted. */
static void show_refusal(struct api_call *call, enum status status)
{
    if (status == ST_GONE)
        api_show_sign_in(call, 410, "invitation_used", NULL);
    else if (status == ST_NOT_FOUND)
        api_show_sign_in(call, 410, "invitation_late", NULL);
    else if (status == ST_DENIED)
        api_show_sign_in(call, 403, "invitation_door", NULL);
    else
        api_fail(call, status);
}

/* ---- the page ---- */

static void found(void *arg, enum status status, const char *outcome, const char *json, size_t len)
{
    struct api_call *call = arg;
    const struct acceptance *acceptance = call->state;
    const struct sign_in_invitation *invitation = &acceptance->invitation;
    struct json *body = status == ST_OK ? json_parse(json, len, BODY_MAX, NULL) : NULL;
    struct page page;
    char key[32];
    (void)outcome;
    if (!body) {
        show_refusal(call, status == ST_OK ? ST_INTERNAL : status);
        return;
    }
    api_page_begin(&page, call);
    const struct message_value values[] = {{"by", json_str(body, "by")},
                                           {"event", json_str(body, "title")},
                                           {"name", invitation->name},
                                           {NULL, NULL}};
    (void)snprintf(key, sizeof(key), "right_%s", right_name(invitation->right));
    api_page_set(&page, "state", "invitation");
    api_page_set(&page, "heading", api_page_message(&page, "signin_invitation_title", values));
    api_page_set(&page, "lead", api_page_message(&page, "signin_invitation_lead", values));
    api_page_set(&page, "role", message(page.language, key));
    api_page_set(&page, "invitation", acceptance->link);
    api_page_answer(&page, 200, "sign_in.html");
    json_free(body);
}

static enum status page_start(struct api_call *call)
{
    if (!read_link(call, http_req_query(call->req, "link")))
        return ST_OK;
    const struct acceptance *acceptance = call->state;
    return team_invitation(call->api->db, acceptance->invitation.id, found, call);
}

/* ---- accepting ---- */

static void accepted(void *arg, enum status status, const char *outcome, const char *json,
                     size_t len)
{
    struct api_call *call = arg;
    const struct acceptance *acceptance = call->state;
    const struct staff_grant *session = &acceptance->session;
    char location[96];
    (void)json, (void)len;
    if (status == ST_OK && strcmp(outcome, "entered") == 0) {
        status = api_set_session(call, session);
        log_info("staff signed in", LOG_TEXT("name", session->name),
                 LOG_TEXT("role", role_name(session->role)));
    }
    if (status != ST_OK) {
        if (status == ST_GONE)
            api_count_try(call);
        show_refusal(call, status);
        return;
    }
    (void)snprintf(location, sizeof(location), "/console/events/%s", acceptance->invitation.event);
    api_page_redirect(call, location);
}

static enum status accept_start(struct api_call *call)
{
    struct staff_grant current;
    /* Else another site could make its visitors members of an event of its own. */
    if (api_staff_foreign(call)) {
        api_show_sign_in(call, 403, "stale", NULL);
        return ST_OK;
    }
    if (!read_link(call, http_req_form(call->req, "link")))
        return ST_OK;
    struct acceptance *acceptance = call->state;
    struct staff_grant *session = &acceptance->session;
    char subject[STAFF_ID_SIZE];
    token_random_hex(subject);
    (void)snprintf(session->subject, sizeof(session->subject), API_INVITED "%s", subject);
    (void)snprintf(session->name, sizeof(session->name), "%s", acceptance->invitation.name);
    session->role = acceptance->invitation.right == RIGHT_VIEWER ? USER_VIEWER : USER_ORGANIZER;
    api_begin_session(session);
    return team_join(call->api->db, acceptance->invitation.id,
                     api_sent_session(call, &current) ? current.id : NULL, session, accepted, call);
}

const struct api_route api_invitation_routes[] = {
    {"GET", "/console/invitation", AUTH_NONE, 0, page_start, API_BODY_NONE},
    {"POST", "/console/invitation", AUTH_NONE, 0, accept_start, API_BODY_NONE},
    {0},
};
