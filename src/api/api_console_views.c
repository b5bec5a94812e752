/* SPDX-License-Identifier: MIT */
/*
 * api_console_views: the pages of the console.
 *
 *   GET /console                    the events that this person may see; without a session: how to sign in
 *   GET /console/new                a new event
 *   GET /console/events/{eventId}   its night: figures and controls; also …/setup, …/hall, …/people, …/report
 *
 * Why this way: a page carries who asks, what they may do and what the event is; its script reads the rest from the API,
 * with the session's cookie, as any integrator would. So the console can do nothing that the API does not allow, and
 * refuses nothing by itself. What a role must not press is left out of the page; the API refuses it all the same.
 * Called by: api's route table. PostgreSQL gone: 503, and the page says so.
 */
#include "api/api_console.h"

#include "base/clock.h"
#include "base/shared_clock.h"
#include "queue/event_warning.h"

#include <stdio.h>
#include <string.h>

#define ROWS_MAX   (512 * 1024)
#define LIST_MAX   (4 * 1024 * 1024) /* bytes of a page of events */
#define LIST_LIMIT 100

const char *api_role_text(struct page *page, enum user_role role)
{
    char key[32];
    (void)snprintf(key, sizeof(key), "role_%s", role_name(role));
    return message(page->language, key);
}

static bool has_role(const struct api_call *call, unsigned roles)
{
    return (roles & (1u << call->user.role)) != 0;
}

/* Begins a page: who asks, and what they may do. `at`: the name of the value that marks this view in the menus. */
static void begin_view(struct page *page, struct api_call *call, const char *at)
{
    api_page_begin(page, call);
    api_page_set(page, "person", call->session ? call->session->name : call->user.sub);
    api_page_set(page, "role_text", api_role_text(page, call->user.role));
    api_page_set(page, "csrf", api_csrf(call));
    api_page_set(page, "may_create",
                 has_role(call, API_OWNERS) && !api_staff_invited(call) ? "1" : NULL);
    api_page_set(page, at, "1");
}

static void set_status(struct page *page, const char *status)
{
    api_page_set(page, "status", status);
    api_page_set(page, "status_text",
                 message(page->language, api_page_printf(page, "state_%s", status ? status : "")));
}

/* ---- warnings ---- */

/* A warning in the language of the page. Lives as long as the process. */
static const char *warning_text(struct page *page, const struct json *item)
{
    char key[64];
    (void)snprintf(key, sizeof(key), "console_warning_%s", json_str(item, "code"));
    for (char *at = key; *at != '\0'; at++) {
        if (*at == '-')
            *at = '_';
    }
    return message(page->language, key);
}

/* {"warnings"}, new. */
static struct json *warnings_of(const struct event *event)
{
    struct json *body = json_new_object();
    event_write_warnings(event, shared_clock_ms(), body);
    return body;
}

static void set_warnings(struct page *page, const struct event *event)
{
    struct json *body = warnings_of(event);
    const struct json *list = json_get(body, "warnings");
    struct buf rows;
    buf_init(&rows, ROWS_MAX);
    for (size_t i = 0; i < json_array_len(list); i++) {
        struct page row = *page;
        api_page_set(&row, "warning", warning_text(page, json_array_at(list, i)));
        const size_t before = rows.len;
        if (api_page_fill(&row, "console_warning.html", &rows) != ST_OK)
            buf_truncate(&rows, before);
    }
    api_page_set_buf(page, "warnings", &rows);
    json_free(body);
}

/* ---- all events ---- */

static void set_ms(struct page *row, const struct json *event, const char *key, const char *name)
{
    const char *text = json_str(event, key);
    int64_t ms;
    if (text && clock_parse_rfc3339(text, &ms) == ST_OK)
        api_page_set_number(row, name, ms);
}

/* The first warning of an event of the list. */
static void set_first_warning(struct page *row, const struct json *json)
{
    struct event event;
    if (event_read_row(&event, json) != ST_OK)
        return;
    struct json *body = warnings_of(&event);
    const struct json *first = json_array_at(json_get(body, "warnings"), 0);
    if (first)
        api_page_set(row, "warning", warning_text(row, first));
    json_free(body);
}

static void add_event(const struct page *page, const struct json *event, bool door,
                      struct buf *rows)
{
    const char *zone = json_str(event, "timeZone"), *starts = json_str(event, "startsAt");
    const size_t before = rows->len;
    struct page row = *page;
    int64_t ms;
    api_page_set(&row, "id", json_str(event, "id"));
    api_page_set(&row, "title", json_str(event, "title"));
    api_page_set(&row, "place", json_str(event, "venue"));
    api_page_set(&row, "rehearsal", json_bool(event, "rehearsal", false) ? "1" : NULL);
    api_page_set(&row, "door", door ? "1" : NULL);
    set_status(&row, json_str(event, "status"));
    set_ms(&row, event, "opensAt", "opens_ms");
    set_ms(&row, event, "closesAt", "closes_ms");
    if (starts && clock_parse_rfc3339(starts, &ms) == ST_OK)
        api_page_set(&row, "starts_text", api_page_clock(&row, zone, ms, LOCALE_FULL));
    if (!door)
        set_first_warning(&row, event);
    if (api_page_fill(&row, "console_event.html", rows) != ST_OK)
        buf_truncate(rows, before);
}

static void listed(void *arg, enum status status, const char *json, size_t len)
{
    struct api_call *call = arg;
    struct json *body = status == ST_OK ? json_parse(json, len, LIST_MAX, NULL) : NULL;
    const struct json *events = json_get(body, "events");
    struct page page;
    struct buf rows;
    if (status == ST_OK && !body)
        status = ST_INTERNAL;
    if (status != ST_OK) {
        api_fail(call, status);
        return;
    }
    begin_view(&page, call, "at_sales");
    buf_init(&rows, ROWS_MAX);
    for (size_t i = 0; i < json_array_len(events); i++)
        add_event(&page, json_array_at(events, i), call->user.role == USER_DOOR, &rows);
    api_page_set_buf(&page, "events", &rows);
    const char *next = json_str(body, "next");
    if (next)
        api_page_set(&page, "next", api_page_own(&page, "/console?before=%s", next));
    api_page_answer(&page, 200, "console.html");
    json_free(body);
}

static enum status list_start(struct api_call *call)
{
    const struct catalog_choice choice = api_staff_choice(call);
    const char *before = http_req_query(call->req, "before");
    if (before && !api_is_cursor(before))
        before = NULL;
    return catalog_list(call->api->db, &choice, before, LIST_LIMIT, listed, call);
}

static enum status new_start(struct api_call *call)
{
    struct page page;
    if (api_staff_invited(call)) {
        api_problem(call, 403, "forbidden", "Who was invited to an event creates no others.", NULL);
        return ST_OK;
    }
    begin_view(&page, call, "at_new");
    api_page_answer(&page, 200, "console_setup.html");
    return ST_OK;
}

/* ---- one event ---- */

/* May the sender use a route about this event that takes these roles and this right? */
static bool may(const struct api_call *call, unsigned roles, enum staff_right least)
{
    return has_role(call, roles) && call->right >= least;
}

/* What the script offers, the least of role and right: "operate" and "own" stand for the roles of the API's routes that
 * editors may use, "read" for those of owners that only read, "all" for what only an owner of the event may do. */
static const char *may_of(struct page *page, const struct api_call *call)
{
    return api_page_printf(page, "%s%s%s%s", may(call, API_OWNERS, RIGHT_VIEWER) ? "read " : "",
                           may(call, API_OPERATORS, RIGHT_EDITOR) ? "operate " : "",
                           may(call, API_OWNERS, RIGHT_EDITOR) ? "own " : "",
                           may(call, API_OWNERS, RIGHT_OWNER) ? "all" : "");
}

static void show_event(struct api_call *call, const struct event *event, const char *at,
                       const char *template)
{
    struct page page;
    begin_view(&page, call, at);
    set_warnings(&page, event);
    page.framing = PAGE_WITH_OWN_FRAME;
    api_page_event(&page, event);
    set_status(&page, event_status_name(event->status));
    api_page_set_number(&page, "threshold", event->threshold);
    api_page_set(&page, "message", api_page_copy(&page, event_message(event, page.language)));
    bool failed;
    api_page_set(&page, "notice", api_form_notice(&page, &failed));
    api_page_set(&page, "notice_kind", failed ? "bad" : "good");
    api_page_set(&page, "may", may_of(&page, call));
    api_page_set(&page, "may_operate", may(call, API_OPERATORS, RIGHT_EDITOR) ? "1" : NULL);
    api_page_set(&page, "may_own", may(call, API_OWNERS, RIGHT_EDITOR) ? "1" : NULL);
    api_page_set(&page, "may_all", may(call, API_OWNERS, RIGHT_OWNER) ? "1" : NULL);
    api_page_answer(&page, 200, template);
}

static enum status night_fetched(struct api_call *call, const struct event *event)
{
    show_event(call, event, "at_night", "console_sale.html");
    return ST_OK;
}

static enum status setup_fetched(struct api_call *call, const struct event *event)
{
    show_event(call, event, "at_setup", "console_setup.html");
    return ST_OK;
}

static enum status hall_fetched(struct api_call *call, const struct event *event)
{
    show_event(call, event, "at_hall", "console_hall.html");
    return ST_OK;
}

static enum status people_fetched(struct api_call *call, const struct event *event)
{
    show_event(call, event, "at_people", "console_people.html");
    return ST_OK;
}

static enum status report_fetched(struct api_call *call, const struct event *event)
{
    show_event(call, event, "at_report", "console_report.html");
    return ST_OK;
}

static enum status night_start(struct api_call *call)
{
    return api_staff_event(call, night_fetched);
}

static enum status setup_start(struct api_call *call)
{
    return api_staff_event(call, setup_fetched);
}

static enum status hall_start(struct api_call *call)
{
    return api_staff_event(call, hall_fetched);
}

static enum status people_start(struct api_call *call)
{
    return api_staff_event(call, people_fetched);
}

static enum status report_start(struct api_call *call)
{
    return api_staff_event(call, report_fetched);
}

const struct api_route api_console_view_routes[] = {
    {"GET", "/console", AUTH_STAFF, API_STAFF, list_start, API_BODY_NONE},
    {"GET", "/console/new", AUTH_STAFF, API_OWNERS, new_start, API_BODY_NONE},
    {"GET", "/console/events/{eventId}", AUTH_STAFF, API_READERS, night_start, API_BODY_NONE},
    {"GET", "/console/events/{eventId}/setup", AUTH_STAFF, API_READERS, setup_start, API_BODY_NONE},
    {"GET", "/console/events/{eventId}/hall", AUTH_STAFF, API_READERS, hall_start, API_BODY_NONE},
    {"GET", "/console/events/{eventId}/people", AUTH_STAFF, API_READERS, people_start,
     API_BODY_NONE},
    {"GET", "/console/events/{eventId}/report", AUTH_STAFF, API_READERS, report_start,
     API_BODY_NONE},
    {0},
};
