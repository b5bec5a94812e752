/* SPDX-License-Identifier: MIT */
/*
 * api_enter: the way in: where the waiting page's button leads.
 *
 *   GET /wait/{eventId}/enter?return=URL   claims the turn -> 303 to the URL, with a hand-over token where it is needed
 *                                          without a turn -> 303 to the waiting page, with the return
 *
 * Why this way: a token is made here and nowhere else: at the click, by somebody who is there, and never for an offer that
 * nobody has claimed. The page's link names only the URL, so a page that is open for an hour has no token that has expired, and
 * one that was copied has none at all. What is no person's load of a page, and who comes without a cookie, is sent to the waiting
 * page, which says what is to be said.
 * A token is made for another origin, unless our cookies reach it (COOKIE_DOMAIN).
 * Called by: api's route table. Redis gone: the waiting page's state "unavailable", which tries again by itself.
 */
#include "api/api_page.h"

#include "auth/handoff.h"
#include "base/shared_clock.h"

#include <stdio.h>
#include <string.h>

/* Leads to a URL of another origin, by a token. */
static void hand_over(struct api_call *call, const struct api_turn *turn)
{
    const int64_t now_s = shared_clock_ms() / 1000;
    struct handoff handoff = {.place = turn->place,
                              .epoch = turn->epoch,
                              .iat_s = now_s,
                              .exp_s = now_s + HANDOFF_MS / 1000};
    struct buf token, location;
    (void)snprintf(handoff.event, sizeof(handoff.event), "%s", call->param);
    (void)snprintf(handoff.buyer, sizeof(handoff.buyer), "%s", call->buyer);
    buf_init(&token, HANDOFF_MAX);
    buf_init(&location, RETURN_URL_MAX + HANDOFF_MAX + sizeof(HANDOFF_PARAMETER) + 2);
    const enum status st = handoff_sign(call->api->keys, &handoff, call->target, &token);
    if (st == ST_OK) {
        return_url_with(call->target->text, HANDOFF_PARAMETER, buf_str(&token), &location);
        api_page_redirect_away(call, buf_str(&location));
    } else {
        api_fail(call, st);
    }
    buf_clear(&token);
    buf_clear(&location);
}

static void show_turn(struct api_call *call, const struct api_turn *turn)
{
    const struct return_url *target = call->target;
    char own[EVENT_ID_MAX + 8];
    http_req_add_header(call->req, "Referrer-Policy", "no-referrer");
    if (turn->status != TURN_ACTIVE || turn->claim_expires_ms > 0) {
        api_page_redirect(call, api_wait_address(call, NULL));
        return;
    }
    (void)snprintf(own, sizeof(own), "/buy/%s", call->param);
    if (!target)
        api_page_redirect(call, own);
    else if (target->origin_len == 0 || api_shares_cookies(call, target))
        api_page_redirect_away(call, target->text);
    else
        hand_over(call, turn);
}

static void show_problem(struct api_call *call, const struct api_problem *problem)
{
    api_wait_presenter.problem(call, problem);
}

static void show_late_problem(struct api_call *call, const struct api_problem *problem)
{
    api_wait_presenter.late_problem(call, problem);
}

const struct api_presenter api_enter_presenter = {
    .problem = show_problem, .late_problem = show_late_problem, .turn = show_turn};

static void to_waiting_page(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status != ST_OK)
        api_fail_event(call, status);
    else if (api_take_return(call, catalog_event(call->api->catalog, call->param)))
        api_page_redirect(call, api_wait_address(call, NULL));
}

static enum status enter_start(struct api_call *call)
{
    if (api_loaded_ahead(call)) {
        call->guest = false;
        api_problem(call, 403, "speculative-load",
                    "The page is not loaded ahead: a turn is claimed when it is opened.", NULL);
        return ST_OK;
    }
    if (strcmp(http_req_method(call->req), "HEAD") == 0 || call->new_guest ||
        !api_loaded_by_person(call))
        return api_with_event(call, call->param, to_waiting_page);
    return api_status(call, true);
}

const struct api_route api_enter_routes[] = {
    {"GET", "/wait/{eventId}/enter", AUTH_BUYER, 0, enter_start, API_BODY_NONE},
    {0},
};
