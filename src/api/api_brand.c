/* SPDX-License-Identifier: MIT */
/*
 * api_brand: how the pages of an event look: its stylesheet and its logo.
 *
 * Why this way: both are addressed with the version that brought them, and are kept by browsers. The
 * stylesheet is made of the settings this pod has anyway. A logo may be an SVG that somebody sent: it
 * is an image and nothing else, so its own policy lets it run and load nothing, should it
 * ever be opened by itself. Called by: api's route table.
 */
#include "api/api_internal.h"

#include "selling/brand.h"
#include "selling/logos.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A pod that has not yet heard of a change may answer with what was before: not for ever. */
#define FOR_MINUTES "public, max-age=300"

/* The event is known, or why not. */
static enum status brand_start(struct api_call *call, catalog_cb known)
{
    if (catalog_event(call->api->catalog, call->param) == NULL)
        return catalog_load(call->api->catalog, call->param, false, known, call);
    known(call, ST_OK);
    return ST_OK;
}

static void style_known(void *arg, enum status status)
{
    struct api_call *call = arg;
    const struct event *event = catalog_event(call->api->catalog, call->param);
    struct buf *out = &call->api->text;
    char etag[48];
    if (status != ST_OK || event == NULL) {
        api_fail(call, status != ST_OK ? status : ST_UNAVAILABLE);
        return;
    }
    (void)snprintf(etag, sizeof(etag), "\"%" PRId64 "\"", event->version);
    if (api_not_modified(call, etag, FOR_MINUTES))
        return;
    http_req_add_header(call->req, "X-Content-Type-Options", "nosniff");
    buf_reset(out);
    brand_write_css(&event->brand, out);
    api_answer_text(call, "text/css; charset=utf-8", buf_str(out), out->len);
}

static enum status style_start(struct api_call *call)
{
    return brand_start(call, style_known);
}

static void logo_read(void *arg, enum status status, const char *type, const char *data, size_t len)
{
    struct api_call *call = arg;
    if (status != ST_OK) {
        api_fail(call, status);
        return;
    }
    call->cacheable = true;
    http_req_add_header(call->req, "Cache-Control", FOR_MINUTES);
    http_req_add_header(call->req, "X-Content-Type-Options", "nosniff");
    http_req_add_header(call->req, "Content-Security-Policy",
                        "default-src 'none'; style-src 'unsafe-inline'; sandbox");
    api_answer_text(call, type, data, len);
}

static void logo_known(void *arg, enum status status)
{
    struct api_call *call = arg;
    const struct event *event = catalog_event(call->api->catalog, call->param);
    if (status != ST_OK || event == NULL)
        api_fail(call, status != ST_OK ? status : ST_UNAVAILABLE);
    else
        logos_get(call->api->logos, event, logo_read, call);
}

static enum status logo_start(struct api_call *call)
{
    return brand_start(call, logo_known);
}

const struct api_route api_brand_routes[] = {
    {"GET", "/brand/{eventId}.css", AUTH_NONE, 0, style_start, false},
    {"GET", "/brand/{eventId}/logo", AUTH_NONE, 0, logo_start, false},
    {0},
};
