/* SPDX-License-Identifier: MIT */
/*
 * api_console_form: the controls of an event's page without JavaScript.
 *
 *   POST /console/events/{eventId}   action=pause …: the API's own handler, with the form's fields as its body
 *                                    -> 303 back to the page, with ?done= or ?failed=
 *
 * Why this way: nothing is decided here. A form names a route of the API, its role is checked as if that route had been
 * asked, and its handler runs; only the answer is another. The redirect makes a reload repeat nothing.
 * Called by: api's route table. PostgreSQL gone: the page says that nothing was changed.
 */
#include "api/api_console.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a form may ask for, and how the page calls it afterwards. */
static const struct form_action {
    const char *name, *method, *suffix; /* of the API's route, behind the event's id */
    const char *done;                   /* the key of a message */
} actions[] = {
    {"publish", "POST", "/publish", "console_done_publish"},
    {"open", "POST", "/open", "console_done_open"},
    {"pause", "POST", "/pause", "console_done_pause"},
    {"resume", "POST", "/resume", "console_done_resume"},
    {"close", "POST", "/close", "console_done_close"},
    {"reopen", "POST", "/reopen", "console_done_reopen"},
    {"threshold", "PATCH", "", "console_done_settings"},
    {"message", "POST", "/message", "console_done_shown"},
    {"unmessage", "POST", "/message", "console_done_unmessage"},
};

static const struct form_action *find_action(const char *name)
{
    for (size_t i = 0; name && i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(actions[i].name, name) == 0)
            return &actions[i];
    }
    return NULL;
}

/* The words for a problem's code, or for its reason; NULL: there are none, or they need values. */
static const char *failure_text(enum language language, const char *name)
{
    static const char *const families[] = {"console_failed_", "refused_"};
    const char *text = NULL;
    for (size_t i = 0; i < 2 && !text; i++) {
        char key[64];
        (void)snprintf(key, sizeof(key), "%s%.40s", families[i], name);
        for (char *at = key; *at; at++) {
            if (*at == '-')
                *at = '_';
        }
        text = message(language, key);
    }
    return text && !strchr(text, '{') ? text : NULL;
}

const char *api_form_notice(struct page *page, bool *ret_failed)
{
    const char *failed = http_req_query(page->call->req, "failed");
    const struct form_action *done = find_action(http_req_query(page->call->req, "done"));
    *ret_failed = failed != NULL;
    if (!failed)
        return done ? message(page->language, done->done) : NULL;
    const char *text = failure_text(page->language, failed);
    return text ? text : message(page->language, "console_failed");
}

/* Leads back to the page. `failed`: the code of the problem, or its reason; NULL: it is done. */
static void lead_back(struct api_call *call, const char *failed)
{
    char location[EVENT_ID_MAX + 96];
    const char *action = http_req_form(call->req, "action");
    (void)snprintf(location, sizeof(location), "/console/events/%s?%s=%.40s", call->param,
                   failed ? "failed" : "done", failed ? failed : action);
    api_page_redirect(call, location);
}

static void show_problem(struct api_call *call, const struct api_problem *problem)
{
    const bool mistyped = problem->field && strcmp(problem->field, "confirm") == 0;
    const char *reason = json_str(problem->more, "reason");
    if (!reason || !failure_text(LANGUAGE_EN, reason))
        reason = problem->code;
    if (call->handled && strcmp(problem->code, "not-yours") != 0 && problem->status != 404)
        lead_back(call, mistyped ? "confirm-needed" : reason);
    else
        api_console_presenter.problem(call, problem);
}

static void show_event(struct api_call *call, const struct event *event)
{
    (void)event;
    lead_back(call, NULL);
}

const struct api_presenter api_console_form_presenter = {.problem = show_problem,
                                                         .event = show_event};

/* Makes the body that the API's route takes. */
static void make_body(struct api_call *call, const struct form_action *action)
{
    const char *text = http_req_form(call->req, "text"),
               *confirm = http_req_form(call->req, "confirm");
    const char *threshold = http_req_form(call->req, "threshold");
    call->body = json_new_object(); /* freed with the call */
    if (strcmp(action->name, "threshold") == 0) {
        if (threshold && api_is_number(threshold))
            json_set_int(call->body, "threshold", strtoll(threshold, NULL, 10));
        else /* the handler refuses it, and names the field */
            json_set_str(call->body, "threshold", threshold ? threshold : "");
    } else if (strcmp(action->name, "message") == 0) {
        json_set_str(call->body, "text", text ? text : "");
    } else if (strcmp(action->name, "unmessage") == 0) {
        json_set_null(call->body, "text");
    } else if (confirm && *confirm) {
        json_set_str(call->body, "confirm", confirm);
    }
}

static enum status form_start(struct api_call *call)
{
    const struct form_action *action = find_action(http_req_form(call->req, "action"));
    char path[EVENT_ID_MAX + 64];
    const char *param;
    size_t len;
    if (!action) {
        api_problem(call, 400, "invalid", "The form has no action that is known.", "action");
        return ST_OK;
    }
    (void)snprintf(path, sizeof(path), "/api/admin/events/%s%s", call->param, action->suffix);
    const struct bound_route *bound =
        api_find_route(call->door, action->method, path, &param, &len);
    if (!bound)
        return ST_INTERNAL;
    call->route = bound->route;
    if (!api_role_allows(call))
        return ST_OK;
    call->if_match = http_req_form(call->req, "version");
    make_body(call, action);
    return bound->route->handler(call);
}

const struct api_route api_console_form_routes[] = {
    {"POST", "/console/events/{eventId}", AUTH_STAFF, API_OPERATORS, form_start, API_BODY_NONE},
    {0},
};
