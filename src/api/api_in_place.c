/* SPDX-License-Identifier: MIT */
/*
 * api_in_place: the waiting page at the address that the visitor asked the shop for, where a proxy shows it in the place of the
 * shop's page: GET /wait/{eventId}?return=URL with the header X-Tiketi-In-Place: 1 and the original request as for the
 * gate (api_gate_request).
 *
 *   a script, a part of a page     401 not-admitted, with X-Tiketi-Wait
 *   another method than GET, HEAD  401, the page that says that nothing was passed on ("unsent")
 *   a robot; any problem           503 with Retry-After: the address is the shop's, and is neither gone nor to be left out
 *   a browser without our cookie   303 to /wait/{eventId}?in-place=1&cookies=TIME, which leads back once the cookie has come
 *   a person                       the waiting page, whose own links lead to /wait/{eventId}?return=URL
 *
 * Why this way: the address stays the shop's, so a reload asks the gate again, and the button leads to what was asked for. The
 * headers are believed whoever sends them: they decide about the sender's own answer alone, which no cache keeps.
 * Called by: api_wait. Owns nothing.
 */
#include "api/api_in_place.h"

#include "api/api_gate_request.h"
#include "api/api_page.h"

#include <stdio.h>
#include <string.h>

#define LATER_S 60

bool api_in_place_unsent(const struct api_call *call)
{
    const char *method = gate_request_method(call, GATE_BY_HEADERS);
    return gate_request_in_place(call) && strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0;
}

bool api_in_place_refuses(struct api_call *call)
{
    if (!gate_request_in_place(call) || gate_request_takes_page(call))
        return false;
    http_req_add_header(
        call->req, "X-Tiketi-Wait",
        http_req_concat(call->req, api_prefix(call->api), api_wait_address(call, NULL)));
    call->guest = false; /* nobody visits */
    call->present = NULL;
    api_problem(call, 401, "not-admitted", "The buyer is not inside: join the queue.", NULL);
    return true;
}

unsigned api_in_place_status(struct api_call *call, unsigned status, int64_t retry_s)
{
    char text[16];
    if (!gate_request_in_place(call) || status < 400)
        return status;
    if (retry_s <= 0) {
        (void)snprintf(text, sizeof(text), "%d", LATER_S);
        http_req_add_header(call->req, "Retry-After", text);
    }
    return 503;
}

bool api_in_place_comes_back(const struct api_call *call)
{
    const char *flag = http_req_query(call->req, "in-place");
    return flag && strcmp(flag, "1") == 0 && !call->new_guest &&
           http_req_query(call->req, "cookies");
}

bool api_in_place_lead_back(struct api_call *call)
{
    if (!call->target || call->target->origin_len > 0)
        return false;
    api_page_redirect_away(call, call->target->text);
    return true;
}
