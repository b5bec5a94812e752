/* SPDX-License-Identifier: MIT */
/*
 * api_console_preview: the waiting page as buyers would see it, for the console's frame: in any state, with colours that
 * are not saved yet, and of drafts, which buyers do not see.
 *
 *   GET /console/events/{eventId}/preview         ?state= ?name= ?primary= ?background=
 *   GET /console/events/{eventId}/preview.css     ?primary= ?background=
 *   GET /console/events/{eventId}/preview/logo    as saved; also …/preview/image
 *
 * Why this way: it is the buyers' own template and style, so what is shown is what will be seen. It has no scripts, gives
 * no place and asks no queue: the numbers are examples.
 * Called by: api's route table. Owns nothing. PostgreSQL gone: 503.
 */
#include "api/api_console.h"

#include "base/shared_clock.h"
#include "selling/brand.h"
#include "selling/pictures.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Example numbers. */
#define POSITION     1204
#define WAIT_MINUTES "12"
#define REFERENCE    "7KQ2-M4XD"

static bool is_state(const char *state)
{
    static const char *const states[] = {"scheduled", "waiting",  "admitted", "paused",
                                         "unlikely",  "sold_out", "closed",   "unavailable"};
    for (size_t i = 0; state && i < sizeof(states) / sizeof(states[0]); i++) {
        if (strcmp(states[i], state) == 0)
            return true;
    }
    return false;
}

/* The colours of the query, or those of the event where the query has none that is valid. */
static struct event_brand chosen_brand(struct api_call *call, const struct event *event)
{
    struct event_brand brand = event->brand;
    const struct {
        const char *name;
        char *colour;
    } colours[] = {{"primary", brand.primary}, {"background", brand.background}};
    for (size_t i = 0; i < sizeof(colours) / sizeof(colours[0]); i++) {
        const char *text = http_req_query(call->req, colours[i].name);
        if (!text)
            continue;
        const size_t digits = *text == '#' ? strspn(text + 1, "0123456789abcdefABCDEF") : 0;
        const bool valid = digits == 6 && text[7] == '\0';
        (void)snprintf(colours[i].colour, EVENT_COLOUR_SIZE, "%s", valid ? text : "");
    }
    return brand;
}

static const char *style_url(struct page *page, const struct event *event)
{
    struct buf url;
    buf_init(&url, 512);
    buf_printf(&url, "%s/console/events/%s/preview.css?primary=", api_prefix(page->call->api),
               event->id);
    buf_add_query(&url, event->brand.primary);
    buf_add_str(&url, "&background=");
    buf_add_query(&url, event->brand.background);
    const char *copy = api_page_copy(page, buf_str(&url));
    buf_clear(&url);
    return copy;
}

static void set_examples(struct page *page, const char *state)
{
    struct buf number;
    const struct message_value minutes[] = {{"n", WAIT_MINUTES}, {NULL, NULL}};
    if (strcmp(state, "admitted") == 0 || strcmp(state, "closed") == 0 ||
        strcmp(state, "unavailable") == 0)
        return;
    buf_init(&number, 32);
    locale_number(&number, page->language, POSITION);
    api_page_set_buf(page, "position", &number);
    api_page_set(page, "ahead", api_page_count(page, "ahead", POSITION - 1));
    api_page_set(page, "estimate", api_page_message(page, "estimate_about", minutes));
    api_page_set(page, "reference", REFERENCE);
}

static enum status preview_fetched(struct api_call *call, const struct event *event)
{
    const char *asked = http_req_query(call->req, "state");
    const char *name = http_req_query(call->req, "name");
    const char *state = is_state(asked) ? asked : "waiting";
    struct event *shown = http_req_alloc(call->req, sizeof(*shown));
    struct page page;
    *shown = *event;
    shown->brand = chosen_brand(call, event);
    if (name && strlen(name) < sizeof(shown->brand.name))
        (void)snprintf(shown->brand.name, sizeof(shown->brand.name), "%s", name);
    api_page_begin(&page, call);
    page.framing = PAGE_IN_OWN_FRAME;
    api_page_event(&page, shown);
    api_page_set(&page, "state", state);
    api_page_set(&page, "heading",
                 message(page.language, api_page_printf(&page, "wait_%s_title", state)));
    api_page_set(&page, "lead",
                 message(page.language, api_page_printf(&page, "wait_%s_lead", state)));
    api_page_set(&page, "no_script", "1");
    api_page_set(&page, "message", api_page_copy(&page, event_message(event, page.language)));
    api_page_set(&page, "brand_css", style_url(&page, shown));
    if (event->brand.logo > 0)
        api_page_set(&page, "logo",
                     api_page_own(&page, "/console/events/%s/preview/logo?v=%" PRId64, event->id,
                                  event->brand.logo));
    if (event->brand.image > 0)
        api_page_set(&page, "image",
                     api_page_own(&page, "/console/events/%s/preview/image?v=%" PRId64, event->id,
                                  event->brand.image));
    set_examples(&page, state);
    api_page_answer(&page, 200, "wait.html");
    return ST_OK;
}

static enum status style_fetched(struct api_call *call, const struct event *event)
{
    const struct event_brand brand = chosen_brand(call, event);
    struct buf *out = &call->api->text;
    buf_reset(out);
    brand_write_css(&brand, out);
    api_answer_text(call, "text/css; charset=utf-8", buf_str(out), out->len);
    return ST_OK;
}

static enum status logo_fetched(struct api_call *call, const struct event *event)
{
    pictures_get(call->api->pictures, event, EVENT_LOGO, api_answer_picture, call);
    return ST_OK;
}

static enum status image_fetched(struct api_call *call, const struct event *event)
{
    pictures_get(call->api->pictures, event, EVENT_IMAGE, api_answer_picture, call);
    return ST_OK;
}

static enum status preview_start(struct api_call *call)
{
    return api_staff_event(call, preview_fetched);
}

static enum status style_start(struct api_call *call)
{
    return api_staff_event(call, style_fetched);
}

static enum status logo_start(struct api_call *call)
{
    return api_staff_event(call, logo_fetched);
}

static enum status image_start(struct api_call *call)
{
    return api_staff_event(call, image_fetched);
}

const struct api_route api_console_preview_routes[] = {
    {"GET", "/console/events/{eventId}/preview", AUTH_STAFF, API_READERS, preview_start,
     API_BODY_NONE},
    {"GET", "/console/events/{eventId}/preview.css", AUTH_STAFF, API_READERS, style_start,
     API_BODY_NONE},
    {"GET", "/console/events/{eventId}/preview/logo", AUTH_STAFF, API_READERS, logo_start,
     API_BODY_NONE},
    {"GET", "/console/events/{eventId}/preview/image", AUTH_STAFF, API_READERS, image_start,
     API_BODY_NONE},
    {0},
};
