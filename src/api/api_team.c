/* SPDX-License-Identifier: MIT */
/*
 * api_team: who of the staff shares an event. For its owners alone.
 *
 *   GET    …/staff                     the team, and invitations that nobody has used yet
 *   POST   …/staff/invitations         {"role", "name"?} -> a signed link (auth/sign_in), which is stored by its hash -> its url
 *   DELETE …/staff/invitations/{id}    takes an invitation back
 *   DELETE …/staff/{subject}           takes the event from a person
 *
 * Why this way: rights are read with the event (api_staff_event), so a removal counts with the next request, on every pod.
 * Called by: api's route table. PostgreSQL gone: 503, and nothing has changed or the outcome is unknown.
 */
#include "api/api_internal.h"

#include "auth/team.h"
#include "base/shared_clock.h"
#include "net/http_text.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_CHARACTERS (STAFF_NAME_MAX / 4)
#define LINK_TEXT_MAX       2048

/* ---- list ---- */

static enum status list_fetched(struct api_call *call, const struct event *event)
{
    return team_list(call->api->db, event->id, api_answer_stored, call);
}

static enum status list_start(struct api_call *call)
{
    return api_staff_event(call, list_fetched);
}

/* ---- invite ---- */

static void invited(void *arg, enum status status, const char *outcome, const char *json,
                    size_t len)
{
    struct api_call *call = arg;
    const struct sign_in_invitation *invitation = call->state;
    const char *base = api_own_url(call);
    struct json *body = status == ST_OK ? json_parse(json, len, LINK_TEXT_MAX, NULL) : NULL;
    struct buf url;
    if (status != ST_OK) {
        api_answer_outcome(call, status, 201, outcome, json, len);
        return;
    }
    buf_init(&url, LINK_TEXT_MAX);
    buf_printf(&url, "%s/console/invitation?link=", base ? base : "");
    status = body ? sign_in_invitation_write(token_sign_in_keys(call->api->keys), invitation, &url)
                  : ST_INTERNAL;
    if (status == ST_OK)
        status = buf_status(&url);
    if (status == ST_OK) {
        json_set_str(body, "url", buf_str(&url));
        api_answer_json(call, 201, body);
    } else {
        api_fail(call, status);
    }
    buf_clear(&url);
    json_free(body);
}

static enum status invite_fetched(struct api_call *call, const struct event *event)
{
    struct sign_in_invitation *invitation = call->state;
    (void)snprintf(invitation->event, sizeof(invitation->event), "%s", event->id);
    return team_invite(call->api->db, invitation, api_actor(call), invited, call);
}

static enum status invite_start(struct api_call *call)
{
    static const char *const keys[] = {"role", "name", NULL};
    struct json_error error = {0};
    struct sign_in_invitation *invitation = http_req_alloc(call->req, sizeof(*invitation));
    const char *role = NULL;
    char name[TEXT_BYTES(NAME_MAX_CHARACTERS) + 1] = "";
    call->state = invitation;
    enum status st = call->body ? json_known_keys(call->body, keys, &error)
                                : json_refuse(&error, "", "body-needed", "A JSON body is needed.");
    if (st == ST_OK)
        st = json_read_str(call->body, "role", 16, &role, &error);
    if (st == ST_OK)
        st = json_read_text(call->body, "name", TEXT_LINE, NAME_MAX_CHARACTERS, name, &error);
    invitation->right = right_read(role);
    if (st == ST_OK && invitation->right == RIGHT_NONE)
        st = json_refuse(&error, "role", "not-one-of", "role must be owner, editor or viewer.");
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    (void)snprintf(invitation->name, sizeof(invitation->name), "%s", name[0] ? name : "guest");
    token_random_hex(invitation->id);
    invitation->expires_ms = shared_clock_ms() + STAFF_INVITATION_MS;
    return api_staff_event(call, invite_fetched);
}

/* ---- remove ---- */

static void removed(void *arg, enum status status, const char *outcome, const char *json,
                    size_t len)
{
    struct api_call *call = arg;
    if (status == ST_OK) {
        catalog_hint(call->api->catalog, call->param); /* it may have another owner */
        api_answer(call, 204, "", 0);
    } else {
        api_answer_outcome(call, status, 204, outcome, json, len);
    }
}

/* The last part of the path, decoded. NULL: it cannot be. */
static const char *last_part(struct api_call *call)
{
    const char *last = strrchr(http_req_path(call->req), '/') + 1;
    const size_t len = strlen(last);
    char *text = http_req_alloc(call->req, len + 1);
    return http_percent_decode(last, len, text) ? text : NULL;
}

static enum status remove_fetched(struct api_call *call, const struct event *event)
{
    return team_remove(call->api->db, event->id, call->state, api_actor(call), removed, call);
}

static enum status remove_start(struct api_call *call)
{
    char clean[TEXT_BYTES(STAFF_SUBJECT_MAX) + 1];
    const char *subject = last_part(call);
    call->state = (void *)subject;
    if (!subject ||
        text_clean(TEXT_LINE, subject, strlen(subject), STAFF_SUBJECT_MAX, clean) != ST_OK) {
        api_problem(call, 400, "invalid", "The path must end with a subject of the team.",
                    "subject");
        return ST_OK;
    }
    return api_staff_event(call, remove_fetched);
}

static enum status withdraw_fetched(struct api_call *call, const struct event *event)
{
    return team_withdraw(call->api->db, event->id, call->state, api_actor(call), removed, call);
}

static enum status withdraw_start(struct api_call *call)
{
    const char *id = last_part(call);
    call->state = (void *)id;
    if (!id || !api_is_number(id)) {
        api_problem(call, 400, "invalid", "The path must end with the id of an invitation.", "id");
        return ST_OK;
    }
    return api_staff_event(call, withdraw_fetched);
}

#define TEAM_ROUTE  "/api/admin/events/{eventId}/staff"
#define TEAM_OWNERS (API_OWNERS | API_OF_OWNER)

const struct api_route api_team_routes[] = {
    {"GET", TEAM_ROUTE, AUTH_STAFF, TEAM_OWNERS, list_start, API_BODY_NONE},
    {"POST", TEAM_ROUTE "/invitations", AUTH_STAFF, TEAM_OWNERS, invite_start, API_BODY_JSON},
    {"DELETE", TEAM_ROUTE "/invitations/{invitation}", AUTH_STAFF, TEAM_OWNERS, withdraw_start,
     API_BODY_NONE},
    {"DELETE", TEAM_ROUTE "/{subject}", AUTH_STAFF, TEAM_OWNERS, remove_start, API_BODY_NONE},
    {0},
};
