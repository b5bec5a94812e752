/* SPDX-License-Identifier: MIT */
/*
 * api_home: "/": the list of events, each with a link to its waiting page.
 *
 * Called by: api's route table. PostgreSQL gone: 503, and the page says that the list cannot be read.
 */
#include "api/api_page.h"

#include <stdio.h>
#include <string.h>

#define LIST_MAX (256 * 1024)

static void show_problem(struct api_call *call, const struct api_problem *problem)
{
    struct page page;
    api_page_begin(&page, call);
    api_page_set(&page, "lead", message(page.language, "home_unavailable"));
    api_page_answer(&page, problem->status, "home.html");
}

const struct api_presenter api_home_presenter = {.problem = show_problem};

/* `json`: an array of events, as PostgreSQL wrote it. Closed events are not shown. */
static void listed(void *arg, enum status status, const char *json, size_t len)
{
    static const char *const fields[] = {"id", "title", "artist", "venue", "status"};
    struct api_call *call = arg;
    struct json *list = status == ST_OK ? json_parse(json, len, len, NULL) : NULL;
    struct page page;
    struct buf rows;
    if (!list) {
        api_fail(call, status == ST_OK ? ST_INTERNAL : status);
        return;
    }
    buf_init(&rows, LIST_MAX);
    api_page_begin(&page, call);
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json *event = json_array_at(list, i);
        const char *event_status = json_str(event, "status");
        const size_t before = rows.len;
        struct page row = page;
        char key[64];
        if (!event_status || strcmp(event_status, "closed") == 0)
            continue;
        for (size_t k = 0; k < sizeof(fields) / sizeof(fields[0]); k++)
            api_page_set(&row, fields[k], json_str(event, fields[k]));
        (void)snprintf(key, sizeof(key), "home_%s", event_status);
        api_page_set(&row, "status_text", message(page.language, key));
        if (api_page_fill(&row, "home_event.html", &rows) != ST_OK) {
            buf_truncate(&rows, before);
            break;
        }
    }
    json_free(list);
    api_page_set(&page, "lead", message(page.language, "home_empty"));
    api_page_set_buf(&page, "events", &rows); /* empty: the page shows `lead` */
    api_page_answer(&page, 200, "home.html");
}

static enum status home_start(struct api_call *call)
{
    return catalog_list(call->api->db, NULL, true, listed, call);
}

const struct api_route api_home_routes[] = {
    {"GET", "/", AUTH_NONE, 0, home_start, API_BODY_NONE},
    {0},
};
