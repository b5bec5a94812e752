/* SPDX-License-Identifier: MIT */
/*
 * api_feed: what happened at an event, as lines of JSON (CloudEvents 1.0).
 *
 *   GET …/feed?after=NUMBER&types=…&limit=…   the events after this number
 *
 * Why this way: the reader keeps the number of the last line that it has dealt with, and the service keeps nothing of the
 * reader; a page ends at its limit, so no answer grows with the feed. docs/integrate/events.md is for the readers.
 * Called by: api's route table. Owns nothing. PostgreSQL gone: 503.
 */
#include "api/api_internal.h"

#include "selling/feed.h"

#include <string.h>

static void page_answered(void *arg, enum status status, const char *lines, size_t len)
{
    struct api_call *call = arg;
    if (status == ST_GONE)
        api_refuse_as(call, 410, "gone", "feed-forgotten",
                      "Events after this number have been deleted. Read what is kept: after=0.",
                      "after");
    else if (status != ST_OK)
        api_fail(call, status);
    else
        api_answer_text(call, "application/x-ndjson", lines, len);
}

static enum status page_fetched(struct api_call *call, const struct event *event)
{
    struct feed_query *query = call->state;
    query->event = event->id;
    return feed_page(call->api->db, query, page_answered, call);
}

/* Reads ?types=a,b. False: *error is filled. */
static bool read_types(struct api_call *call, struct feed_query *query, struct json_error *error)
{
    const char *list = http_req_query(call->req, "types"), *wrong;
    struct buf types;
    size_t len;
    if (!list || *list == '\0')
        return true;
    buf_init(&types, FEED_TYPES_MAX);
    const enum status st = feed_types_read(list, &types, &wrong, &len);
    if (st == ST_OK)
        query->types = http_req_strdup(call->req, buf_str(&types), types.len);
    else
        (void)json_refuse(error, "types", "not-an-event-type",
                          "'%.*s' is no type of events: docs/integrate/events.md lists them.",
                          (int)(len < 40 ? len : 40), wrong);
    buf_clear(&types);
    return st == ST_OK;
}

static enum status page_start(struct api_call *call)
{
    struct json_error error = {0};
    struct feed_query *query = http_req_alloc(call->req, sizeof(*query));
    call->state = query;
    query->after = http_req_query(call->req, "after");
    bool valid = !query->after || api_is_number(query->after);
    if (!valid)
        (void)json_refuse(&error, "after", "not-a-number",
                          "after must be the `sequence` of the last event that was read, or 0.");
    if (!query->after)
        query->after = "0";
    valid = valid && api_read_page(call, api_is_number, FEED_PAGE_MAX, &query->limit, &error) &&
            read_types(call, query, &error);
    if (!valid) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, page_fetched);
}

const struct api_route api_feed_routes[] = {
    {"GET", "/api/admin/events/{eventId}/feed", AUTH_STAFF, API_OWNERS | API_ROLE(SERVICE),
     page_start, API_BODY_NONE},
    {0},
};
