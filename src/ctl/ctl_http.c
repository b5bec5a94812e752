/* SPDX-License-Identifier: MIT */
/*
 * ctl_http: requests to the service by libcurl's easy interface.
 *
 * Why this way: a command does one thing and may wait for it, so nothing of the service's loop is needed.
 * Called by: ctl_event, ctl_forecast, ctl_hall, ctl_list, ctl_login, ctl_record, ctl_top. Owns nothing between two calls.
 * The service gone: CTL_UNREACHABLE, after CONNECT_S, or TOTAL_S or the request's seconds, at the latest.
 */
#include "ctl/ctl_http.h"

#include <curl/curl.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define CONNECT_S  5L
#define TOTAL_S    30L
#define ANSWER_MAX (64u << 20)

void ctl_http_escape(const char *text, struct buf *out)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text != '\0'; text++) {
        if (strchr(plain, *text))
            buf_add_char(out, *text);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct buf *text = arg;
    buf_add(text, data, size * count);
    return text->failed ? 0 : size * count;
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    static const char name[] = "ETag:";
    struct ctl_answer *answer = arg;
    const size_t len = size * count;
    char line[CTL_ETAG_SIZE + sizeof(name)];
    if (len < sizeof(line) && strncasecmp(data, name, sizeof(name) - 1) == 0) {
        (void)snprintf(line, sizeof(line), "%.*s", (int)len, data);
        (void)sscanf(line + sizeof(name) - 1, " %63[^\r\n]", answer->etag);
    }
    return len;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
    char line[8192];
    if (!value || *value == '\0' ||
        snprintf(line, sizeof(line), "%s: %s", name, value) >= (int)sizeof(line))
        return list;
    struct curl_slist *longer = curl_slist_append(list, line);
    return longer ? longer : list;
}

static enum ctl_exit exit_of(unsigned code)
{
    if (code >= 200 && code < 300)
        return CTL_OK;
    if (code == 401 || code == 403)
        return CTL_NOT_ALLOWED;
    if (code == 409 || code == 412)
        return CTL_CONFLICT;
    if (code == 429 || code == 502 || code == 503 || code == 504 || code == 0)
        return CTL_UNREACHABLE;
    return CTL_REFUSED;
}

static void tell_problem(const struct ctl_run *run, const struct ctl_answer *answer,
                         enum ctl_exit exit)
{
    const char *detail = json_str(answer->json, "detail");
    const char *field = json_str(answer->json, "field");
    const int64_t line = json_int(answer->json, "line", 0);
    if (!detail)
        detail = json_str(answer->json, "title");
    if (!detail) {
        (void)ctl_fail(run, exit, "%s answered %u: is it the address of tiketi?", run->url,
                       answer->code);
        return;
    }
    char at[64] = "";
    if (line > 0)
        (void)snprintf(at, sizeof(at), "line %lld: ", (long long)line);
    (void)ctl_fail(run, exit, "%s%s%s%s%s", at, detail, field && *field ? " (" : "",
                   field && *field ? field : "", field && *field ? ")" : "");
    if (answer->code == 401)
        (void)fputs("`tiketi ctl login` stores a new token.\n", stderr);
    if (run->options.json)
        (void)printf("%s\n", buf_str(&answer->text));
}

/* That an event has no seats is told when it is made: for a waiting room alone it is right, and stays so. */
static void tell_warnings(const struct json *body, bool created)
{
    const struct json *warnings = json_get(body, "warnings");
    for (size_t i = 0; i < json_array_len(warnings); i++) {
        const struct json *warning = json_array_at(warnings, i);
        const char *code = json_str(warning, "code"), *message = json_str(warning, "message");
        if (message && (created || !code || strcmp(code, "no-seats") != 0))
            (void)fprintf(stderr, "warning: %s\n", message);
    }
}

/* Fills answer->code, ->text, ->etag, or ->error. */
static void perform(const struct ctl_run *run, const struct ctl_request *request, CURL *easy,
                    struct ctl_answer *answer)
{
    struct buf url, body;
    char error[CURL_ERROR_SIZE] = "", bearer[8192];
    long code = 0;
    buf_init(&url, 8192);
    buf_init(&body, 1u << 20);
    buf_printf(&url, "%s%s%s%s", run->url, request->event ? "/api/admin/events/" : "",
               request->event ? request->event : "", request->rest);
    if (request->body)
        json_write(request->body, &body);
    (void)snprintf(bearer, sizeof(bearer), "Bearer %s", run->token ? run->token : "");
    struct curl_slist *headers = add_header(NULL, "Accept", "application/json, text/csv");
    headers = add_header(headers, "Authorization", run->token ? bearer : NULL);
    headers = add_header(headers, "If-Match", request->if_match);
    headers =
        add_header(headers, "Content-Type", request->text ? request->type : "application/json");
    (void)curl_easy_setopt(easy, CURLOPT_URL, buf_str(&url));
    (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    if (request->body || request->text || strcmp(request->method, "POST") == 0) {
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                               request->text ? request->text : buf_str(&body));
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                               (curl_off_t)(request->text ? request->text_len : body.len));
    }
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "tiketi-ctl");
    (void)curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT,
                           request->seconds > 0 ? request->seconds : TOTAL_S);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer->text);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, answer);
    const CURLcode result = buf_status(&url) == ST_OK && buf_status(&body) == ST_OK
                                ? curl_easy_perform(easy)
                                : CURLE_URL_MALFORMAT;
    if (result == CURLE_OK)
        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    else
        (void)snprintf(answer->error, sizeof(answer->error), "%s",
                       *error ? error : curl_easy_strerror(result));
    answer->code = (unsigned)code;
    curl_slist_free_all(headers);
    buf_clear(&url);
    buf_clear(&body);
}

enum ctl_exit ctl_http(const struct ctl_run *run, const struct ctl_request *request,
                       struct ctl_answer *answer)
{
    *answer = (struct ctl_answer){0};
    buf_init(&answer->text, ANSWER_MAX);
    CURL *easy = curl_easy_init();
    if (!easy)
        (void)snprintf(answer->error, sizeof(answer->error), "libcurl cannot be used");
    else
        perform(run, request, easy, answer);
    curl_easy_cleanup(easy);
    answer->json = json_parse(buf_str(&answer->text), answer->text.len, ANSWER_MAX, NULL);
    const enum ctl_exit exit = exit_of(answer->code);
    if (!request->quiet)
        ctl_http_tell(run, answer, exit);
    return exit;
}

void ctl_http_tell(const struct ctl_run *run, const struct ctl_answer *answer, enum ctl_exit exit)
{
    if (answer->code == 0)
        (void)ctl_fail(run, exit, "%s: %s", run->url, answer->error);
    else if (exit != CTL_OK)
        tell_problem(run, answer, exit);
    else
        tell_warnings(answer->json, answer->code == 201);
}

void ctl_answer_clear(struct ctl_answer *answer)
{
    json_free(answer->json);
    buf_clear(&answer->text);
}
