/* SPDX-License-Identifier: MIT */
/*
 * api_answer: how a request is answered: headers, cookies, problem documents; the only map from enum status
 * to HTTP, and from the outcome of an SQL function to a problem.
 *
 * Why this way: every answer passes through `begin_answer` once, which counts it and has it logged (api_log); so metrics
 * and logs miss none. A problem goes to the route's presenter, if it has one, and is JSON otherwise.
 * Called by: api and its handlers. Owns nothing; writes into the scratch buffers of struct api.
 */
#include "api/api_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics_http.h"
#include "base/shared_clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *api_request_id(struct api_call *call)
{
    return call->trace.request_id;
}

/* ---- headers ---- */

/* bytes: of the body; -1: not known yet. */
static void add_common_headers(struct api_call *call, int64_t bytes)
{
    /* So that the user can name the request and we can find it in the logs. */
    http_req_add_header(call->req, "X-Request-Id", api_request_id(call));
    /* Every answer is what its Content-Type says: browsers must not look for HTML in a title or a cell. */
    if (bytes != 0)
        http_req_add_header(call->req, "X-Content-Type-Options", "nosniff");
    /* Caches do not store the answer to a POST anyway. */
    if (!call->cacheable && strcmp(http_req_method(call->req), "POST") != 0)
        http_req_add_header(call->req, "Cache-Control", "no-store");
    api_add_cookies(call);
}

/* ---- answers ---- */

/* Adds the headers that all answers have, counts and logs the answer. `bytes` are those of its body; -1: not known yet. */
static void begin_answer(struct api_call *call, unsigned code, int64_t bytes)
{
    const uint64_t took_us = (clock_mono_ns() - call->started_ns) / 1000;
    add_common_headers(call, bytes);
    metrics_http(call->metric, code, took_us);
    api_log_answer(call,
                   &(struct api_answered){.status = code, .took_us = took_us, .bytes = bytes});
}

static void answer(struct api_call *call, unsigned code, const char *type, const char *body,
                   size_t len)
{
    begin_answer(call, code, (int64_t)len);
    http_reply(call->req, code, type, body, len);
}

void api_answer(struct api_call *call, unsigned code, const char *json, size_t len)
{
    answer(call, code, len > 0 ? "application/json" : NULL, json, len);
}

void api_answer_json(struct api_call *call, unsigned code, const struct json *body)
{
    struct buf *text = &call->api->text;
    buf_reset(text);
    json_write(body, text);
    api_answer(call, code, buf_str(text), text->len);
}

void api_answer_text(struct api_call *call, const char *type, const char *body, size_t len)
{
    answer(call, 200, type, body, len);
}

void api_answer_page(struct api_call *call, unsigned code, const char *html, size_t len)
{
    call->present = NULL;
    answer(call, code, "text/html; charset=utf-8", html, len);
}

void api_answer_static(struct api_call *call, const char *type, const char *body, size_t len)
{
    begin_answer(call, 200, (int64_t)len);
    http_reply_static(call->req, 200, type, body, len);
}

bool api_accepts(const struct api_call *call, const char *coding)
{
    const char *at = http_req_header(call->req, "Accept-Encoding");
    const size_t len = strlen(coding);
    while (at && *at != '\0') {
        at += strspn(at, ", \t");
        const size_t name_len = strcspn(at, ";, \t");
        const char *weight = at + name_len + strspn(at + name_len, "; \t");
        if (name_len == len && strncasecmp(at, coding, len) == 0) {
            if (strncasecmp(weight, "q=0", 3) != 0)
                return true;
            weight += 3 + strspn(weight + 3, ".0");
            return *weight >= '1' && *weight <= '9'; /* q=0.5 */
        }
        at += strcspn(at, ",");
    }
    return false;
}

void api_answer_stream(struct api_call *call, const char *type, http_more_cb more)
{
    begin_answer(call, 200, -1);
    http_reply_stream(call->req, 200, type, more, call);
}

bool api_not_modified(struct api_call *call, const char *etag, const char *cache_control)
{
    const char *known = http_req_header(call->req, "If-None-Match");
    call->cacheable = true;
    http_req_add_header(call->req, "Cache-Control", cache_control);
    http_req_add_header(call->req, "ETag", etag);
    if (!known || (strcmp(known, "*") != 0 && !strstr(known, etag)))
        return false;
    answer(call, 304, NULL, "", 0);
    return true;
}

void api_answer_shared(struct api_call *call, const char *type, const char *tag,
                       const struct shared_text *text)
{
    char etag[64];
    http_req_add_header(call->req, "Vary", "Accept-Encoding");
    const bool gzip = api_accepts(call, "gzip") && shared_text_compress(text);
    (void)snprintf(etag, sizeof(etag), "\"%s%s\"", tag, gzip ? "-gz" : "");
    if (gzip)
        http_req_add_header(call->req, "Content-Encoding", "gzip");
    if (api_not_modified(call, etag, "no-cache"))
        return;
    const size_t len = gzip ? text->gz_len : text->len;
    begin_answer(call, 200, (int64_t)len);
    http_reply_shared(call->req, 200, type,
                      &(struct http_shared_body){.data = gzip ? text->gz : text->data,
                                                 .len = len,
                                                 .release = shared_text_unref,
                                                 .owner = shared_text_ref(text)});
}

/* ---- problems ---- */

static const char *title_of(unsigned code)
{
    switch (code) {
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 410:
        return "Gone";
    case 412:
        return "Precondition Failed";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return code < 500 ? "Bad Request" : "Internal Server Error";
    }
}

static void add_member(struct buf *out, const char *key, const char *value)
{
    buf_printf(out, ",\"%s\":", key);
    buf_add_json_str(out, value, strlen(value));
}

/* Appends a member of problem->more, unless api_problem_write has written it already. */
static void add_more(void *arg, const char *key, const struct json *value)
{
    struct buf *out = arg;
    if (strcmp(key, "detail") == 0 || strcmp(key, "field") == 0)
        return;
    buf_printf(out, ",\"%s\":", key);
    json_write(value, out);
}

void api_problem_write(struct api_call *call, const struct api_problem *problem, struct buf *out)
{
    buf_printf(out, "{\"type\":\"urn:tiketi:problem:%s\"", problem->code);
    add_member(out, "title", title_of(problem->status));
    buf_printf(out, ",\"status\":%u,\"code\":\"%s\"", problem->status, problem->code);
    if (problem->detail)
        add_member(out, "detail", problem->detail);
    if (problem->field)
        add_member(out, "field", problem->field);
    if (problem->more)
        json_each(problem->more, add_more, out);
    add_member(out, "requestId", api_request_id(call));
    buf_add_char(out, '}');
}

void api_answer_problem(struct api_call *call, const struct api_problem *problem)
{
    const struct api_presenter *present = call->present;
    struct buf *out = &call->api->text;
    call->present = NULL; /* if the presenter itself fails, its problem is sent as JSON */
    if (present && present->instead && present->instead(call, problem))
        return;
    call->problem_code = http_req_strdup(call->req, problem->code, strlen(problem->code));
    if (problem->status == 503 || problem->status == 429) {
        char seconds[16];
        (void)snprintf(seconds, sizeof(seconds), "%u", problem->retry_s ? problem->retry_s : 1);
        http_req_add_header(call->req, "Retry-After", seconds);
    }
    if (problem->status == 401)
        http_req_add_header(call->req, "WWW-Authenticate", "Bearer");
    if (present && call->handled && present->late_problem) {
        present->late_problem(call, problem);
        return;
    }
    if (present && present->problem) {
        present->problem(call, problem);
        return;
    }
    buf_reset(out);
    api_problem_write(call, problem, out);
    answer(call, problem->status, "application/problem+json", buf_str(out), out->len);
}

void api_problem(struct api_call *call, unsigned status, const char *code, const char *detail,
                 const char *field)
{
    api_answer_problem(call, &(struct api_problem){
                                 .status = status, .code = code, .detail = detail, .field = field});
}

void api_fail(struct api_call *call, enum status status)
{
    static const struct {
        unsigned status;
        const char *code, *detail;
    } problems[] = {
        [ST_OK] = {500, "internal", "The request ended without an answer."},
        [ST_INVALID] = {400, "invalid", "The request is not valid."},
        [ST_UNAUTHORIZED] = {401, "unauthorized",
                             "A credential of this request (token, ticket, pass or signature) is "
                             "missing or not valid."},
        [ST_DENIED] = {403, "forbidden",
                       "You may not do this: it belongs to another buyer or event."},
        [ST_NOT_FOUND] = {404, "not-found", "What the request names does not exist."},
        [ST_CONFLICT] = {409, "conflict", "The current state does not allow this."},
        [ST_STALE] = {412, "version-changed",
                      "The event was changed meanwhile: read it again, and send its new version."},
        [ST_GONE] = {410, "event-closed", "The event is closed."},
        [ST_BUSY] = {503, "busy", "Another request is changing the same thing: try again shortly."},
        [ST_FULL] = {503, "overloaded", "The server is overloaded: try again shortly."},
        [ST_TOO_LARGE] = {413, "too-large", "The request is too large."},
        [ST_TIMEOUT] = {503, "timeout", "A backend did not answer in time: try again."},
        [ST_UNAVAILABLE] = {503, "unavailable", "A backend is unavailable: try again shortly."},
        [ST_INTERNAL] = {500, "internal", "An internal error occurred."},
    };
    api_problem(call, problems[status].status, problems[status].code, problems[status].detail,
                NULL);
}

void api_fail_event(struct api_call *call, enum status status)
{
    if (status == ST_NOT_FOUND)
        api_problem(call, 404, "unknown-event", "There is no such event.", "eventId");
    else
        api_fail(call, status);
}

void api_refuse(struct api_call *call, unsigned status, const char *code,
                const struct json_error *error)
{
    struct json *more = json_new_object();
    /* Of input that is wrong an empty field means the whole body. */
    const char *field = status == 400 || error->field[0] ? error->field : NULL;
    json_set_reason(more, error);
    api_answer_problem(
        call,
        &(struct api_problem){
            .status = status, .code = code, .detail = error->detail, .field = field, .more = more});
    json_free(more);
}

void api_refuse_as(struct api_call *call, unsigned status, const char *code, const char *reason,
                   const char *detail, const char *field)
{
    struct json_error error;
    (void)json_refuse(&error, field ? field : "", reason, "%s", detail);
    api_refuse(call, status, code, &error);
}

void api_invalid(struct api_call *call, const struct json_error *error)
{
    api_refuse(call, 400, "invalid", error);
}

void api_answer_outcome(struct api_call *call, enum status status, unsigned ok_code,
                        const char *outcome, const char *json, size_t len)
{
    static const unsigned code_of[] = {
        [ST_INVALID] = 400, [ST_DENIED] = 403, [ST_NOT_FOUND] = 404,   [ST_CONFLICT] = 409,
        [ST_STALE] = 412,   [ST_GONE] = 410,   [ST_UNAVAILABLE] = 503,
    };
    const struct api_presenter *present = call->present;
    if (status == ST_OK && present && present->reservation) {
        call->present = NULL;
        present->reservation(call);
        return;
    }
    if (status == ST_OK) {
        api_answer(call, ok_code, json, len);
        return;
    }
    const unsigned code = status < sizeof(code_of) / sizeof(code_of[0]) ? code_of[status] : 0;
    struct json *body =
        json && outcome && code > 0 ? json_parse(json, len, HTTP_BODY_MAX, NULL) : NULL;
    if (body && status != ST_STALE) /* which has a code of its own */
        api_answer_problem(call, &(struct api_problem){.status = code,
                                                       .code = outcome,
                                                       .detail = json_str(body, "detail"),
                                                       .field = json_str(body, "field"),
                                                       .more = body});
    else
        api_fail(call, status);
    json_free(body);
}

void api_answer_list(void *arg, enum status status, const char *json, size_t len)
{
    if (status == ST_OK)
        api_answer(arg, 200, json, len);
    else
        api_fail(arg, status);
}

void api_answer_stored(void *arg, enum status status, const char *outcome, const char *json,
                       size_t len)
{
    api_answer_outcome(arg, status, 200, outcome, json, len);
}

/* ---- channel ---- */

void api_publish_seats_changed(struct api *api, const char *event)
{
    /* If the message is lost, the pods see the change when they next read the map, within a second. */
    const enum status st = queue_publish(api->queue, event, "seats-changed", "{}", 2);
    if (st != ST_OK)
        log_debug("channel message not published", LOG_TEXT("event", event),
                  LOG_TEXT("kind", "seats-changed"), LOG_TEXT("status", status_name(st)));
}
