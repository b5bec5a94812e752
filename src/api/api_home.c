/* SPDX-License-Identifier: MIT */
/*
 * api_home: "/": the sales there are, each with the way to its waiting room.
 *
 * Called by: api's route table. With PostgreSQL gone the list is empty, and the page says so.
 */
#include "api/api_page.h"

#include <stdio.h>
#include <string.h>

#define LIST_MAX (256 * 1024)

/* One row of the list; those that are over are left out. */
static bool add_row(const struct page *page, const struct json *event, struct buf *out)
{
    struct page row = *page;
    char key[64];
    const char *status = json_str(event, "status");
    if (status == NULL || strcmp(status, "closed") == 0)
        return false;
    static const char *const fields[] = {"id", "title", "artist", "venue"};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        api_page_set(&row, fields[i], json_str(event, fields[i]));
    (void)snprintf(key, sizeof(key), "home_%s", status);
    api_page_set(&row, "status", status);
    api_page_set(&row, "status_text", message(page->language, key));
    return api_page_fill(&row, "home_event.html", out) == ST_OK;
}

static void present_json(struct api_call *call, unsigned code, const char *json, size_t len)
{
    struct page page;
    struct buf rows;
    struct json *list = json_parse(json, len, len, NULL);
    bool any = false;
    buf_init(&rows, LIST_MAX);
    api_page_begin(&page, call);
    if (list != NULL && json_is_array(list)) {
        for (size_t i = 0; i < json_array_len(list); i++)
            any |= add_row(&page, json_array_at(list, i), &rows);
    }
    json_free(list);
    api_page_set(&page, "lead",
                 message(page.language, code < 400 ? "home_empty" : "home_unavailable"));
    if (any)
        api_page_set_buf(&page, "events", &rows);
    else
        buf_clear(&rows);
    api_page_answer(&page, code, "home.html");
}

static void listed(void *arg, enum status status, const char *json, size_t len)
{
    if (status == ST_OK)
        api_answer(arg, 200, json, len);
    else
        api_fail(arg, status);
}

static enum status home_start(struct api_call *call)
{
    return catalog_list(call->api->db, NULL, true, listed, call);
}

const struct api_presenter api_home_presenter = {.json = present_json};

const struct api_route api_home_routes[] = {
    {"GET", "/", AUTH_NONE, 0, home_start, false},
    {0},
};
