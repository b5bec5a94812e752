/* SPDX-License-Identifier: MIT */
/*
 * api_params: parameters and bodies of requests: read, checked, or refused with the field's name.
 *
 * Called by: api (bodies), handlers. Owns nothing: a parsed body belongs to its call.
 */
#include "api/api_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool api_is_number(const char *text)
{
    const size_t len = strlen(text);
    return len > 0 && len <= 18 && strspn(text, "0123456789") == len;
}

bool api_is_cursor(const char *text)
{
    const size_t digits = strspn(text, "0123456789");
    const size_t len = text[digits] == '.' ? strlen(text + digits + 1) : 0;
    return digits > 0 && digits <= 18 && token_is_event_id(text + digits + 1, len);
}

bool api_read_page(struct api_call *call, bool (*is_before)(const char *text), int64_t most,
                   int64_t *ret_limit, struct json_error *error)
{
    const char *before = http_req_query(call->req, "before");
    const char *limit = http_req_query(call->req, "limit");
    int64_t wanted = most;
    if (limit)
        wanted = api_is_number(limit) ? strtoll(limit, NULL, 10) : 0;
    if (before && !is_before(before)) {
        (void)json_refuse(error, "before", "unknown-page",
                          "before must be the next of another page of this list.");
        return false;
    }
    if (wanted < 1 || wanted > most) {
        (void)json_refuse(error, "limit", "not-in-range",
                          "limit must be an integer from 1 to %lld.", (long long)most);
        return false;
    }
    *ret_limit = wanted;
    return true;
}

bool api_read_flag(struct api_call *call, const char *name, bool *ret, struct json_error *error)
{
    const char *text = http_req_query(call->req, name);
    *ret = text && strcmp(text, "1") == 0;
    if (!text || *ret || strcmp(text, "0") == 0)
        return true;
    (void)json_refuse(error, name, "not-a-flag", "%s must be 1 or 0.", name);
    return false;
}

const char *api_read_seat_id(struct api_call *call, const struct json *value)
{
    char text[24];
    const char *given = json_str_value(value);
    const int64_t number = json_int_value(value, 0);
    if (!given && number <= 0)
        return NULL;
    if (!given) {
        (void)snprintf(text, sizeof(text), "%" PRId64, number);
        given = text;
    }
    return api_is_number(given) ? http_req_strdup(call->req, given, strlen(given)) : NULL;
}

bool api_body_is_empty(struct api_call *call)
{
    static const char *const no_keys[] = {NULL};
    struct json_error error = {0};
    if (!call->body || json_known_keys(call->body, no_keys, &error) == ST_OK)
        return true;
    api_invalid(call, &error);
    return false;
}

void api_hint_csv(const struct api_call *call, struct json_error *error)
{
    const char *type = http_req_header(call->req, "Content-Type");
    if (type && strncasecmp(type, "multipart/", 10) == 0)
        (void)json_refuse(error, "Content-Type", "not-csv",
                          "This is a form: send the file by itself, with Content-Type: text/csv "
                          "(curl --data-binary @hall.csv -H 'Content-Type: text/csv').");
    else if (!type || strncasecmp(type, "application/json", 16) != 0)
        (void)json_refuse(error, "Content-Type", "not-csv",
                          "The body is not JSON. A CSV file needs Content-Type: text/csv "
                          "(curl --data-binary @hall.csv -H 'Content-Type: text/csv').");
}

bool api_parse_body(struct api_call *call)
{
    size_t len;
    const char *body = http_req_body(call->req, &len);
    if (call->large.len > 0) {
        body = buf_str(&call->large);
        len = call->large.len;
    }
    if (len == 0)
        return true;
    struct json_error error = {0};
    call->body = json_parse(body, len, len, &error);
    if (call->body && json_is_object(call->body))
        return true;
    if (call->body)
        (void)json_refuse(&error, "", "body-needed", "The body must be a JSON object.");
    if (!call->body && call->route->takes_body == API_BODY_JSON_OR_CSV)
        api_hint_csv(call, &error);
    api_invalid(call, &error);
    return false;
}
