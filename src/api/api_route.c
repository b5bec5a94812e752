/* SPDX-License-Identifier: MIT */
/*
 * api_route: the route table: which handler answers a method and path, and what is said when none does.
 *
 * Why this way: each file of handlers has its own routes (api_internal.h); they are put together once, at start, before
 * any worker runs. The most frequent come first, because the table is searched from its beginning.
 * Called by: main (registration), api. Owns: the table, which does not change afterwards.
 */
#include "api/api_page.h"

#include "auth/token.h"
#include "base/log.h"
#include "base/metrics_http.h"
#include "net/http_text.h"
#include "page/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ROUTES_MAX 192

static struct bound_route route_table[ROUTES_MAX];
static size_t route_count, ops_routes_at,
    metrics_routes_at; /* those of api_ops.c and api_metrics.c are the last ones */
static unsigned unknown_metric;

bool api_is_probe(const char *path)
{
    return strcmp(path, "/livez") == 0 || strcmp(path, "/readyz") == 0 ||
           strcmp(path, "/health") == 0 || strcmp(path, "/metrics") == 0;
}

static void register_routes(const struct api_route *routes, const struct api_presenter *present,
                            bool api)
{
    for (; routes->method; routes++) {
        if (route_count == ROUTES_MAX) {
            log_error("aborting: more routes than ROUTES_MAX", LOG_TEXT("path", routes->path));
            abort();
        }
        struct bound_route *bound = &route_table[route_count++];
        const char *open = strchr(routes->path, '{');
        bound->route = routes;
        bound->present = present;
        bound->api = api;
        bound->prefix_len = open ? (size_t)(open - routes->path) : strlen(routes->path);
        bound->suffix = open ? strchr(open, '}') + 1 : NULL;
        bound->rest = bound->suffix && bound->suffix[-2] == '*';
        const char *second = bound->suffix ? strchr(bound->suffix, '{') : NULL;
        bound->middle_len = second ? (size_t)(second - bound->suffix) : 0;
        bound->end = second ? strchr(second, '}') + 1 : NULL;
        bound->rest_second = second && second[strlen(second) - 2] == '*';
        bound->unlimited = api_is_probe(routes->path) ||
                           strncmp(routes->path, "/assets/", 8) == 0 ||
                           strcmp(routes->path, "/turn.js") == 0;
        bound->load = api_load_of(routes);
        /* Staff ask rarely: their durations are not worth a hundred series from the start. */
        bound->metric =
            metrics_register_route(routes->method, routes->path, routes->auth != AUTH_STAFF);
    }
}

void api_register_routes(bool ops_only)
{
    static const struct {
        const struct api_route *routes;
        const struct api_presenter *present;
        bool api;
    } parts[] = {
        {api_queue_routes, NULL, true}, /* the most frequent first */
        {api_gate_routes, &api_gate_presenter, true},
        {api_key_routes, NULL, true},
        {api_handoff_routes, NULL, true},
        {api_wait_routes, &api_wait_presenter, false},
        {api_enter_routes, &api_enter_presenter, false},
        {api_asset_routes, NULL, false},
        {api_brand_routes, NULL, false},
        {api_reservation_routes, NULL, true},
        {api_seats_routes, NULL, true},
        {api_payment_routes, NULL, true},
        {api_home_routes, &api_home_presenter, false},
        {api_admin_routes, NULL, true},
        {api_change_routes, NULL, true},
        {api_buy_routes, &api_buy_presenter, false},
        {api_ticket_routes, &api_ticket_presenter, false},
        {api_push_routes, NULL, true},
        {api_operate_routes, NULL, true},
        {api_compat_routes, NULL, true},
        {api_health_routes, NULL, true},
        {api_hall_routes, NULL, true},
        {api_export_routes, NULL, true},
        {api_forecast_routes, NULL, true},
        {api_feed_routes, NULL, true},
        {api_hook_routes, NULL, true},
        {api_history_routes, NULL, true},
        {api_report_routes, NULL, true},
        {api_people_routes, NULL, true},
        {api_ban_routes, NULL, true},
        {api_mail_routes, NULL, true},
        {api_readiness_routes, NULL, true},
        {api_team_routes, NULL, true},
        {api_checkin_routes, NULL, true},
        {api_door_routes, &api_console_presenter, false},
        {api_staff_routes, NULL, true},
        {api_console_routes, &api_console_presenter, false},
        {api_oidc_routes, &api_console_presenter, false},
        {api_invitation_routes, &api_console_presenter, false},
        {api_console_form_routes, &api_console_form_presenter, false},
        {api_console_view_routes, &api_console_presenter, false},
        {api_console_preview_routes, NULL, false},
        {api_root_routes, NULL, false},
    };
    for (size_t i = 0; !ops_only && i < sizeof(parts) / sizeof(parts[0]); i++)
        register_routes(parts[i].routes, parts[i].present, parts[i].api);
    if (!ops_only)
        messages_load();
    ops_routes_at = route_count;
    register_routes(api_ops_routes, NULL, true);
    metrics_routes_at = route_count;
    register_routes(api_metrics_routes, NULL, true);
    unknown_metric = metrics_register_route("*", "(unmatched)", true);
}

size_t api_ops_routes_at(void)
{
    return ops_routes_at;
}

size_t api_metrics_routes_at(void)
{
    return metrics_routes_at;
}

size_t api_routes_end(void)
{
    return route_count;
}

unsigned api_unknown_metric(void)
{
    return unknown_metric;
}

void api_add_roles(unsigned roles, const char *between, char *text, size_t size)
{
    const char *before = "";
    for (unsigned r = USER_DOOR; r <= USER_ADMIN; r++) {
        const size_t len = strlen(text);
        if ((roles & (1u << r)) == 0)
            continue;
        (void)snprintf(text + len, size - len, "%s%s", before, role_name((enum user_role)r));
        before = between;
    }
}

void api_print_routes(FILE *out)
{
    for (size_t i = 0; i < route_count; i++) {
        const struct api_route *route = route_table[i].route;
        if (!route_table[i].api)
            continue;
        char roles[64] = "";
        if (route->auth == AUTH_STAFF)
            api_add_roles(route->roles, " ", roles, sizeof(roles));
        (void)fprintf(out, "%s %s %s\n", route->method, route->path,
                      route->auth == AUTH_STAFF   ? roles
                      : route->auth == AUTH_BUYER ? "buyer"
                                                  : "none");
    }
}

/* Does the path fit the route? If so, and the route has a parameter, it is in *ret_param and *ret_len. */
static bool route_fits(const struct bound_route *bound, const char *path, const char **ret_param,
                       size_t *ret_len)
{
    if (strncmp(path, bound->route->path, bound->prefix_len) != 0)
        return false;
    path += bound->prefix_len;
    if (!bound->suffix)
        return *path == '\0';
    if (bound->middle_len > 0) {
        const char *slash = strchr(path, '/');
        if (!slash || slash == path || strncmp(slash, bound->suffix, bound->middle_len) != 0)
            return false;
        *ret_param = path;
        *ret_len = (size_t)(slash - path);
        const char *second = slash + bound->middle_len;
        const size_t len = strcspn(second, "/");
        return bound->rest_second || (len > 0 && strcmp(second + len, bound->end) == 0);
    }
    const size_t len = strlen(path), suffix_len = strlen(bound->suffix);
    if (len <= suffix_len || strcmp(path + len - suffix_len, bound->suffix) != 0)
        return false;
    *ret_param = path;
    *ret_len = len - suffix_len;
    return bound->rest || !memchr(path, '/', *ret_len);
}

static bool route_exists(const struct api_door *door, const struct bound_route *bound)
{
    return !(bound->route->roles & API_OF_PREDECESSOR) || door->api->config->compat_tiketi_node;
}

bool api_takes_any_method(const struct api_route *route)
{
    return route->method[0] == '*';
}

const struct bound_route *api_find_route(const struct api_door *door, const char *method,
                                         const char *path, const char **ret_param, size_t *ret_len)
{
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    for (size_t i = door->first_route; i < door->end_route; i++) {
        const struct bound_route *bound = &route_table[i];
        if (route_fits(bound, path, ret_param, ret_len) && route_exists(door, bound) &&
            (strcmp(method, bound->route->method) == 0 || api_takes_any_method(bound->route)))
            return bound;
    }
    return NULL;
}

bool api_redirect_to_canonical(struct api_call *call)
{
    const char *path = http_req_path(call->req), *param;
    size_t param_len;
    char *canonical = http_req_alloc(call->req, strlen(path) + 1);
    if (!http_canonical_path(path, canonical))
        return false;
    const struct bound_route *bound =
        api_find_route(call->door, http_req_method(call->req), canonical, &param, &param_len);
    if (!bound || bound->rest || (bound->suffix && !token_is_event_id(param, param_len)))
        return false;
    struct buf *location = &call->api->text;
    buf_reset(location);
    buf_add_str(location, api_prefix(call->api));
    buf_add_str(location, canonical);
    buf_add_str(location, http_req_query_text(call->req));
    http_req_add_header(call->req, "Location", buf_str(location));
    api_answer(call, 308, "", 0);
    return true;
}

/* A browser's own request for a page, as opposed to a script's or another program's. */
static bool wants_page(const struct api_call *call)
{
    const char *accept = http_req_header(call->req, "Accept");
    return accept && strcasestr(accept, "text/html") && call->door->first_route == 0 &&
           strncmp(http_req_path(call->req), "/api/", strlen("/api/")) != 0;
}

static void answer_no_page(struct api_call *call)
{
    struct page page;
    api_page_begin(&page, call);
    api_page_answer(&page, 404, "not_found.html");
}

/* Adds a method of a path that has several routes. */
static void add_method(struct buf *allow, const char *method)
{
    const char *known = buf_str(allow), *at = strstr(known, method);
    const size_t len = strlen(method);
    while (at && ((at > known && at[-1] != ' ') || (at[len] != '\0' && at[len] != ',')))
        at = strstr(at + 1, method);
    if (at)
        return;
    if (allow->len > 0)
        buf_add_str(allow, ", ");
    buf_add_str(allow, method);
}

void api_answer_unrouted(struct api_call *call)
{
    const char *param;
    size_t param_len;
    struct buf allow;
    buf_init(&allow, 128);
    for (size_t i = call->door->first_route; !call->outside && i < call->door->end_route; i++) {
        if (route_fits(&route_table[i], http_req_path(call->req), &param, &param_len) &&
            route_exists(call->door, &route_table[i]))
            add_method(&allow, route_table[i].route->method);
    }
    const bool known = allow.len > 0;
    if (known)
        http_req_add_header(call->req, "Allow", buf_str(&allow));
    if (known && strcmp(http_req_method(call->req), "OPTIONS") == 0)
        http_req_add_header(call->req, "Access-Control-Allow-Methods", buf_str(&allow));
    buf_clear(&allow);
    if (!known && wants_page(call)) {
        answer_no_page(call);
    } else if (!known) {
        api_problem(call, 404, "not-found", "There is no route for this path.", NULL);
    } else if (strcmp(http_req_method(call->req), "OPTIONS") == 0) {
        http_req_add_header(call->req, "Access-Control-Allow-Headers",
                            "Authorization, Content-Type, Idempotency-Key, If-Match, "
                            "If-None-Match, X-Request-Id, X-Tiketi-Pass, X-Tiketi-Signature, "
                            "X-Tiketi-Ticket, traceparent, tracestate");
        http_req_add_header(call->req, "Access-Control-Max-Age", "600");
        api_answer(call, 204, "", 0);
    } else {
        api_problem(call, 405, "method-not-allowed",
                    "This path does not take this method; Allow lists those that it takes.", NULL);
    }
}
