/* SPDX-License-Identifier: MIT */
/*
 * api_brand: the stylesheet, the logo and the image of an event's pages.
 *
 * Why this way: pages link to them with ?v=<version>, so browsers cache them. The stylesheet is made from the
 * event's settings, which the catalog has in memory. A logo may be an SVG from an organizer: its own
 * Content-Security-Policy keeps it from running scripts and loading files when it is opened directly.
 * Called by: api's route table. Owns nothing. PostgreSQL gone: a picture that this worker has cached, else 503.
 */
#include "api/api_internal.h"

#include "selling/brand.h"
#include "selling/pictures.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Minutes only: a pod that does not know of a change yet answers the new ?v= with the old content. */
#define FOR_MINUTES "public, max-age=300"

static void style_known(void *arg, enum status status)
{
    struct api_call *call = arg;
    const struct event *event = catalog_event(call->api->catalog, call->param);
    struct buf *out = &call->api->text;
    char etag[48];
    if (status != ST_OK || !event) {
        api_fail(call, status != ST_OK ? status : ST_UNAVAILABLE);
        return;
    }
    (void)snprintf(etag, sizeof(etag), "\"%" PRId64 "\"", event->version);
    if (api_not_modified(call, etag, FOR_MINUTES))
        return;
    buf_reset(out);
    brand_write_css(&event->brand, out);
    api_answer_text(call, "text/css; charset=utf-8", buf_str(out), out->len);
}

static enum status style_start(struct api_call *call)
{
    return api_with_event(call, call->param, style_known);
}

void api_answer_picture(void *arg, enum status status, const char *type, const char *data,
                        size_t len)
{
    struct api_call *call = arg;
    if (status != ST_OK) {
        api_fail(call, status);
        return;
    }
    call->cacheable = true;
    http_req_add_header(call->req, "Cache-Control", FOR_MINUTES);
    http_req_add_header(call->req, "Content-Security-Policy",
                        "default-src 'none'; style-src 'unsafe-inline'; sandbox");
    api_answer_text(call, type, data, len);
}

/* Answers with the picture of an event that is known. */
static void show_picture(struct api_call *call, enum status status, enum event_picture kind)
{
    const struct event *event = catalog_event(call->api->catalog, call->param);
    if (status != ST_OK || !event)
        api_fail(call, status != ST_OK ? status : ST_UNAVAILABLE);
    else
        pictures_get(call->api->pictures, event, kind, api_answer_picture, call);
}

static void logo_known(void *arg, enum status status)
{
    show_picture(arg, status, EVENT_LOGO);
}

static void image_known(void *arg, enum status status)
{
    show_picture(arg, status, EVENT_IMAGE);
}

static enum status logo_start(struct api_call *call)
{
    return api_with_event(call, call->param, logo_known);
}

static enum status image_start(struct api_call *call)
{
    return api_with_event(call, call->param, image_known);
}

const struct api_route api_brand_routes[] = {
    {"GET", "/brand/{eventId}.css", AUTH_NONE, 0, style_start, API_BODY_NONE},
    {"GET", "/brand/{eventId}/logo", AUTH_NONE, 0, logo_start, API_BODY_NONE},
    {"GET", "/brand/{eventId}/image", AUTH_NONE, 0, image_start, API_BODY_NONE},
    {0},
};
