/* SPDX-License-Identifier: MIT */
/*
 * shop_health: the shop's health from a Prometheus.
 *
 *   shop_health_ask -> the query of p95 -> the query of errors, if there is one -> the callback
 *
 * Why this way: many shops are measured already, and then nothing has to be built into them. The queries are settings of
 * the process: an SRE writes them; an organizer sets thresholdMin and the targets. "{event}" in a query stands for the
 * event's id, which has no character that PromQL would take for anything else.
 * Called by: processor_feedback. Owns: the connections to Prometheus, the questions under way. Prometheus gone: the
 * question ends with an error within ASK_MS, and the threshold stays as it is.
 */
#include "processor/shop_health.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "net/http_client.h"
#include "queue/event.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS 4
#define WAITING_MAX 64 /* questions that wait for a connection */
#define ASK_MS      4000
#define ANSWER_MAX  65536
#define URL_MAX     8192
#define EVENT_MARK  "{event}"

struct shop_health {
    const struct config *config;
    struct http_client *http;
};

struct question {
    struct shop_health *shop;
    char event[EVENT_ID_MAX + 1];
    struct feedback_health health;
    bool errors; /* the second query is under way */
    shop_health_cb cb;
    void *arg;
};

enum status shop_health_read(const char *text, size_t len, double *ret)
{
    struct json *json = json_parse(text, len, ANSWER_MAX, NULL);
    const struct json *data = json_get(json, "data"), *list = json_get(data, "result");
    const char *kind = json_str(data, "resultType"), *status = json_str(json, "status");
    const char *number = NULL;
    enum status st = ST_INVALID;
    if (status && kind && strcmp(status, "success") == 0 && strcmp(kind, "scalar") == 0)
        number = json_str_value(json_array_at(list, 1));
    else if (status && kind && strcmp(status, "success") == 0 && strcmp(kind, "vector") == 0) {
        if (json_array_len(list) == 0)
            st = ST_NOT_FOUND;
        else if (json_array_len(list) == 1)
            number = json_str_value(json_array_at(json_get(json_array_at(list, 0), "value"), 1));
    }
    if (number) {
        char *end;
        const double value = strtod(number, &end);
        if (end != number && *end == '\0') {
            st = isfinite(value) ? ST_OK : ST_NOT_FOUND;
            *ret = value;
        }
    }
    json_free(json);
    return st;
}

static void end_question(struct question *question, enum status status)
{
    question->cb(question->arg, status, status == ST_OK ? &question->health : NULL);
    free(question);
}

static enum status send_query(struct question *question);

static void on_answer(void *arg, enum status status, const struct http_client_answer *answer)
{
    struct question *question = arg;
    double value = 0;
    if (status == ST_OK)
        status =
            answer->code == 200 ? shop_health_read(answer->body, answer->len, &value) : ST_INVALID;
    if (status != ST_OK && status != ST_NOT_FOUND) {
        log_warn("shop's health not known", LOG_TEXT("event", question->event),
                 LOG_TEXT("setting", question->errors ? "HEALTH_ERROR_QUERY" : "HEALTH_P95_QUERY"),
                 LOG_NUM("code", answer ? answer->code : 0),
                 LOG_TEXT("status", status_name(status)),
                 LOG_TEXT("error", answer ? answer->error : ""));
        status = ST_UNAVAILABLE;
    }
    if (status == ST_OK && question->errors)
        question->health.error_rate = fmin(fmax(value, 0), 1);
    else if (status == ST_OK)
        question->health.p95_ms = llround(fmin(fmax(value, 0), 3600) * 1000);
    if (status == ST_OK && !question->errors && question->shop->config->health_error_query) {
        question->errors = true;
        status = send_query(question);
        if (status == ST_OK)
            return;
    }
    end_question(question, status);
}

/* Adds the query with the event's id in it, percent-encoded. */
static void add_query(struct buf *url, const char *query, const char *event)
{
    struct buf text;
    buf_init(&text, URL_MAX);
    for (const char *mark; (mark = strstr(query, EVENT_MARK)); query = mark + strlen(EVENT_MARK)) {
        buf_add(&text, query, (size_t)(mark - query));
        buf_add_str(&text, event);
    }
    buf_add_str(&text, query);
    if (buf_status(&text) == ST_OK)
        buf_add_query(url, buf_str(&text));
    else
        url->failed = true;
    buf_clear(&text);
}

static enum status send_query(struct question *question)
{
    const struct config *config = question->shop->config;
    const char *base = config->health_url;
    size_t len = strlen(base);
    struct buf url;
    buf_init(&url, URL_MAX);
    while (len > 0 && base[len - 1] == '/')
        len--;
    buf_add(&url, base, len);
    buf_add_str(&url, "/api/v1/query?query=");
    add_query(&url, question->errors ? config->health_error_query : config->health_p95_query,
              question->event);
    const struct http_client_request request = {
        .url = buf_str(&url), .plain = true, .answer_max = ANSWER_MAX, .timeout_ms = ASK_MS};
    enum status st = buf_status(&url);
    if (st == ST_OK)
        st = http_client_start(question->shop->http, &request, on_answer, question);
    buf_clear(&url);
    return st;
}

enum status shop_health_ask(struct shop_health *shop, const char *event_id, shop_health_cb cb,
                            void *arg)
{
    struct question *question = xcalloc(1, sizeof(*question));
    question->shop = shop;
    question->cb = cb;
    question->arg = arg;
    memcpy(question->event, event_id, strlen(event_id) + 1);
    const enum status st = send_query(question);
    if (st != ST_OK)
        free(question);
    return st;
}

enum status shop_health_new(struct loop *loop, const struct config *config,
                            struct shop_health **ret)
{
    struct shop_health *shop = xcalloc(1, sizeof(*shop));
    shop->config = config;
    const struct http_client_opts http = {.loop = loop,
                                          .at_once = CONNECTIONS,
                                          .queue_max = WAITING_MAX,
                                          .allow = config->outbound_allow,
                                          .ca_file = config->outbound_ca_file};
    const enum status st = http_client_new(&http, &shop->http);
    if (st != ST_OK) {
        free(shop);
        return st;
    }
    *ret = shop;
    return ST_OK;
}

void shop_health_close(struct shop_health *shop)
{
    if (!shop)
        return;
    http_client_close(shop->http);
    free(shop);
}
