/* SPDX-License-Identifier: MIT */
/*
 * api_operate: staff routes for an event on sale: its statistics, a tick at once, admission by hand.
 *
 *   process, admit   role and owner -> `process` on the channel -> the lease holder ticks -> `processed` on the channel
 *
 * Why this way: only the lease holder may tick, and no pod calls another: they meet on the channel. `admit` ignores
 * the interval and the outflow limit, but the script never admits more than the threshold allows.
 * Called by: api's route table, and api for messages of the channel. Owns: the list of requests that wait for the
 * processor. Without a processor there is no answer within two seconds: 503.
 */
#include "api/api_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/shared_clock.h"
#include "net/client_ip.h"
#include "queue/event_warning.h"
#include "queue/minutes.h"
#include "selling/history.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROCESS_WAIT_MS 2000
#define ADMIT_MAX       100000
#define STARTING_MS     10000                 /* a new event has its first rank index long before */
#define END_MAX_MS      (30 * 86400 * 1000.0) /* an expected end beyond a month says nothing */

/* ---- stats ---- */

static void append_minute(struct json *list, const struct minute *minute)
{
    struct json *row = json_new_object();
    char at[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(minute->at * 60000, at);
    json_set_str(row, "at", at);
    for (enum minute_value value = 0; value < MINUTE_VALUES; value++)
        json_set_int(row, minute_name(value), minute->values[value]);
    json_append(list, row);
}

/* The last hour, and the minute that runs. */
static struct json *write_minutes(const struct queue_stat *list, size_t count,
                                  const struct rank_index *index)
{
    struct json *out = json_new_array();
    struct minute minutes[MINUTES_MAX], last;
    const size_t found = minutes_read(list, count, minutes);
    for (size_t i = 0; i < found; i++)
        append_minute(out, &minutes[i]);
    if (!minutes_read_last(list, count, &last))
        return out;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].name, "queuePeak") == 0)
            last.values[MINUTE_QUEUE_PEAK] = list[i].value;
    }
    if (index) {
        last.values[MINUTE_INSIDE] = (int64_t)index->active;
        last.values[MINUTE_WAITING] = (int64_t)index->queue_size;
        last.values[MINUTE_THRESHOLD] = (int64_t)index->threshold;
    }
    append_minute(out, &last);
    return out;
}

static void copy_number(void *arg, const char *key, const struct json *value)
{
    json_set_int(arg, key, json_int_value(value, 0));
}

static int64_t counter_of(const struct queue_stat *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].name, name) == 0)
            return list[i].value;
    }
    return 0;
}

/* Adds the mail's numbers, and what became of those who came: `conversion` is the share of the claimed turns that ended
 * with `completed`. */
static void write_sale(struct json *body, struct json *sale, const struct queue_stat *list,
                       size_t count)
{
    static const char *const parts[] = {"mail", "holds"};
    const int64_t turns = counter_of(list, count, "claimed") + counter_of(list, count, "direct");
    const int64_t done = counter_of(list, count, "completed");
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const struct json *from = json_get(sale, parts[i]);
        struct json *to = json_new_object();
        json_each(from, copy_number, to);
        json_set(body, parts[i], to);
    }
    json_set_int(body, "turns", turns);
    if (turns > 0)
        json_set_real(body, "conversion", round((double)done * 10000.0 / (double)turns) / 10000.0);
    else
        json_set_null(body, "conversion");
    const double visit = json_double(sale, "visit", -1);
    if (visit >= 0)
        json_set_real(body, "meanVisit", visit);
    else
        json_set_null(body, "meanVisit");
}

/* Adds when, at the measured rate, the last in line enters, or the seats are given before that. */
static void write_end(struct json *body, const struct event *event, const struct rank_index *index)
{
    double buyers = (double)index->queue_size;
    const char *by = "queue";
    char at[CLOCK_RFC3339_SIZE];
    if (index->status != EVENT_OPEN || buyers < 1 || index->rate_mean <= 0)
        return;
    if (index->seats_left != UINT64_MAX && event->auto_hold > 0 &&
        (double)index->seats_left / (double)event->auto_hold < buyers) {
        buyers = (double)index->seats_left / (double)event->auto_hold;
        by = "seats";
    }
    const double ms = buyers / index->rate_mean * 1000;
    if (ms > END_MAX_MS)
        return;
    clock_format_rfc3339(index->time_ms + (int64_t)ms, at);
    json_set_str(body, "expectedEnd", at);
    json_set_str(body, "expectedEndBy", by);
}

/* What is read before the counters, until stats_read has written it. */
struct stats_call {
    struct json *body;     /* the answer, as far as it is known */
    struct json *sale;     /* the numbers of PostgreSQL: history_sale_now */
    struct json *networks; /* NULL: there is no queue yet */
    bool has_queue;        /* it is no draft */
    enum event_status status;
    int64_t seats, free_seats;
    uint64_t known_for_ms; /* this worker knows the event for so long */
    int64_t silent_ms;     /* no processor has ticked for so long; 0: one does */
    int64_t threshold_min; /* 0: the shop's health is not asked for */
};

static void fail_stats(struct api_call *call, enum status status)
{
    struct stats_call *stats = call->state;
    json_free(stats->body);
    json_free(stats->sale);
    json_free(stats->networks);
    api_fail(call, status);
}

/* Why no more buyers enter. The rank index and the text are written by the same script: without a fresh index nobody
 * works on the event, and what the text says has passed. An event that has never had a text is new, for a while. */
static enum admission_limited_by write_limit(struct json *body, const struct stats_call *stats,
                                             const struct rank_index *index,
                                             const struct queue_stat *list, size_t count)
{
    const char *text = NULL;
    for (size_t i = 0; i < count && !text; i++) {
        if (strcmp(list[i].name, "limit") == 0)
            text = list[i].text;
    }
    const bool is_new = !index && !text && stats->known_for_ms < STARTING_MS;
    struct admission_limit limit = {.by = is_new ? LIMITED_BY_STARTING : LIMITED_BY_BACKEND};
    if (index && text && stats->silent_ms == 0 && admission_limit_parse(text, &limit) == ST_OK)
        admission_limit_write(&limit, body);
    json_set_str(body, "limitedBy", admission_limited_by_name(limit.by));
    return limit.by;
}

/* Was nobody let in during the last whole minute and the one that runs, with somebody waiting at the end of the first? */
static bool is_still(const struct queue_stat *list, size_t count)
{
    struct minute minutes[MINUTES_MAX], last = {0};
    const size_t found = minutes_read(list, count, minutes);
    if (found == 0 || !minutes_read_last(list, count, &last))
        return false;
    const int64_t *whole = minutes[found - 1].values;
    return whole[MINUTE_WAITING] > 0 && whole[MINUTE_ADMITTED] + whole[MINUTE_DIRECT] == 0 &&
           last.values[MINUTE_ADMITTED] + last.values[MINUTE_DIRECT] == 0;
}

static void write_alerts(const struct stats_call *stats, const struct rank_index *index,
                         enum admission_limited_by limited_by, const struct queue_stat *list,
                         size_t count)
{
    struct event_facts facts = {
        .status = index ? index->status : stats->status,
        .has_index = index != NULL && stats->silent_ms == 0,
        .still = is_still(list, count),
        .has_begun = counter_of(list, count, "joined") > 0,
        .limited_by = limited_by,
        .seats = stats->seats,
        .free_seats = stats->free_seats,
        .refunds_due = json_int(stats->sale, "refundsDue", 0),
        .mail_parked = json_int(json_get(stats->sale, "mail"), "parked", 0),
    };
    if (index) {
        facts.restoring = index->restoring;
        facts.waiting = (int64_t)index->queue_size;
        facts.inside = (int64_t)index->active;
        facts.threshold = (int64_t)index->threshold;
    }
    event_write_alerts(&facts, stats->body);
}

static void stats_read(void *arg, enum status status, const struct queue_stat *list, size_t count)
{
    struct api_call *call = arg;
    struct stats_call *stats = call->state;
    struct catalog *catalog = call->api->catalog;
    const struct rank_index *index = catalog_index(catalog, call->param);
    const struct event *event = catalog_event(catalog, call->param);
    stats->known_for_ms = catalog_known_for_ms(catalog, call->param);
    stats->silent_ms = stats->has_queue ? catalog_silent_ms(catalog, call->param) : 0;
    if (status != ST_OK) {
        fail_stats(call, status);
        return;
    }
    struct json *body = stats->body;
    struct json *counters = json_new_object();
    if (event)
        json_set_str(body, "status", event_status_name(index ? index->status : event->status));
    enum admission_limited_by limited_by = LIMITED_BY_BACKEND;
    if (stats->has_queue)
        limited_by = write_limit(body, stats, index, list, count);
    if (stats->silent_ms > 0)
        json_set_int(body, "silentForMs", stats->silent_ms);
    write_alerts(stats, index, limited_by, list, count);
    if (index) {
        json_set_int(body, "queueSize", (int64_t)index->queue_size);
        json_set_int(body, "currentUsers", (int64_t)index->active);
        json_set_int(body, "threshold", (int64_t)index->threshold);
        json_set_bool(body, "restoring", index->restoring);
        /* An event that is not open admits nobody. */
        json_set_int(body, "admissionsPerMinute",
                     index->status == EVENT_OPEN ? minutes_admitted(list, count, index->time_ms)
                                                 : 0);
        if (index->seats_left != UINT64_MAX)
            json_set_int(body, "seatsLeft", (int64_t)index->seats_left);
    }
    for (size_t i = 0; i < count; i++) {
        if (minute_is_counter(&list[i]))
            json_set_int(counters, list[i].name, list[i].value);
    }
    json_set(body, "counters", counters);
    json_set(body, "minutes", write_minutes(list, count, index));
    json_set(body, "networks", stats->networks ? stats->networks : json_new_array());
    write_sale(body, stats->sale, list, count);
    if (event && index)
        write_end(body, event, index);
    json_free(stats->sale);
    api_answer_json(call, 200, body);
    json_free(body);
}

static enum status read_counters(struct api_call *call)
{
    return queue_read_stats(call->api->queue, call->param, stats_read, call);
}

static void feedback_read(void *arg, enum status status, const struct queue_feedback *feedback)
{
    struct api_call *call = arg;
    const struct stats_call *stats = call->state;
    if (status == ST_OK && feedback->health.at_ms > 0) {
        struct json *health = json_new_object();
        json_set_int(health, "p95Ms", feedback->health.p95_ms);
        json_set_real(health, "errorRate", round(feedback->health.error_rate * 10000.0) / 10000.0);
        json_set_int(health, "ageMs", feedback->numbers.now_ms - feedback->health.at_ms);
        json_set_int(health, "thresholdMin", stats->threshold_min);
        if (feedback->state.limit > 0)
            json_set_int(health, "limit", feedback->state.limit);
        else
            json_set_null(health, "limit");
        json_set(stats->body, "health", health);
    }
    if (status == ST_OK || status == ST_NOT_FOUND)
        status = read_counters(call);
    if (status != ST_OK)
        fail_stats(call, status);
}

static void networks_read(void *arg, enum status status, const struct queue_network *list,
                          size_t count)
{
    struct api_call *call = arg;
    struct stats_call *stats = call->state;
    struct json *networks = stats->networks = json_new_array();
    for (size_t i = 0; i < count; i++) {
        struct json *row = json_new_object();
        char name[CLIENT_NETWORK_SIZE];
        (void)snprintf(name, sizeof(name), "%.*s", (int)list[i].len, list[i].name);
        json_set_str(row, "network", name);
        json_set_int(row, "places", (int64_t)list[i].places);
        json_set_int(row, "refused", (int64_t)list[i].refused);
        json_append(networks, row);
    }
    if (status == ST_OK || status == ST_NOT_FOUND)
        status = stats->threshold_min > 0
                     ? queue_read_feedback(call->api->queue, call->param, feedback_read, call)
                     : read_counters(call);
    if (status != ST_OK)
        fail_stats(call, status);
}

static void stats_loaded(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status == ST_OK)
        status = queue_read_networks(call->api->queue, call->param, networks_read, call);
    if (status != ST_OK)
        fail_stats(call, status);
}

static void sale_read(void *arg, enum status status, const char *outcome, const char *json,
                      size_t len)
{
    struct api_call *call = arg;
    struct stats_call *stats = call->state;
    (void)outcome;
    if (status == ST_OK && !(stats->sale = json_parse(json, len, HTTP_BODY_MAX, NULL)))
        status = ST_INTERNAL;
    if (status == ST_OK && stats->has_queue)
        status = catalog_load(call->api->catalog, call->param, false, stats_loaded, call);
    else if (status == ST_OK)
        stats_read(call, ST_OK, NULL, 0);
    if (status != ST_OK)
        fail_stats(call, status);
}

static enum status stats_fetched(struct api_call *call, const struct event *event)
{
    struct stats_call *stats = http_req_alloc(call->req, sizeof(*stats));
    stats->has_queue = event->status != EVENT_DRAFT;
    stats->status = event->status;
    stats->seats = event->seats;
    stats->free_seats = event->free_seats;
    stats->threshold_min = event->threshold_min;
    stats->body = json_new_object();
    json_set_str(stats->body, "eventId", event->id);
    json_set_str(stats->body, "status", event_status_name(event->status));
    event_write_warnings(event, shared_clock_ms(), stats->body);
    json_set_null(stats->body, "health");
    call->state = stats;
    const enum status st = history_sale_now(call->api->db, call->param, sale_read, call);
    if (st != ST_OK)
        json_free(stats->body);
    return st;
}

static enum status stats_start(struct api_call *call)
{
    return api_staff_event(call, stats_fetched);
}

/* ---- process, admit: a request to the lease holder, answered over the channel ---- */

/* A `process` or `admit` request, for its answer and audit entry. */
struct admit_call {
    int64_t count; /* buyers to admit; 0: `process`, an ordinary tick */
    int64_t admitted;
    struct admission_limit limit; /* after it */
};

/* Why no more were admitted; null: as many as were asked for. */
static void write_reason(struct json *body, const struct admit_call *admit)
{
    const bool all = admit->count > 0 && admit->admitted >= admit->count;
    json_set_str(body, "limitedBy", all ? NULL : admission_limited_by_name(admit->limit.by));
    admission_limit_write(&admit->limit, body);
}

struct api_process {
    struct api_process *next;
    struct api_call *call;
    struct loop_timer *timer;
    char reply[33]; /* names this request on the channel */
};

static void end_process(struct api *api, struct api_process *process)
{
    struct api_process **at = &api->processing;
    while (*at && *at != process)
        at = &(*at)->next;
    if (*at)
        *at = process->next;
    loop_timer_close(process->timer);
    free(process);
}

static void process_late(void *arg)
{
    struct api_process *process = arg;
    struct api_call *call = process->call;
    end_process(call->api, process);
    api_problem(call, 503, "no-processor", "No processor answered within two seconds: try again.",
                NULL);
}

void api_process_forget(struct api_call *call)
{
    struct api_process *process = call->api->processing;
    while (process && process->call != call)
        process = process->next;
    if (process)
        end_process(call->api, process);
}

/* The buyers are inside even if the audit entry could not be written, so the answer is 200. */
static void admit_audited(void *arg, enum status status, const char *json, size_t len)
{
    struct api_call *call = arg;
    const struct admit_call *admit = call->state;
    (void)json, (void)len;
    if (status != ST_OK)
        log_error("audit entry of admit not written", LOG_TEXT("event", call->param),
                  LOG_TEXT("status", status_name(status)), LOG_TEXT("who", call->user.sub),
                  LOG_NUM("admitted", (uint64_t)admit->admitted));
    struct json *body = json_new_object();
    json_set_str(body, "eventId", call->param);
    json_set_int(body, "admitted", admit->admitted);
    write_reason(body, admit);
    api_answer_json(call, 200, body);
    json_free(body);
}

void api_process_on_message(struct api *api, const struct json *payload)
{
    const char *reply = json_str(payload, "reply");
    struct api_process *process = api->processing;
    while (process && (!reply || strcmp(process->reply, reply) != 0))
        process = process->next;
    if (!process)
        return; /* the request of another pod, or one that was already answered 503 */
    struct api_call *call = process->call;
    struct admit_call *admit = call->state;
    end_process(api, process);
    const char *limit = json_str(payload, "limit");
    admit->admitted = json_int(payload, "promoted", 0);
    if (!limit || admission_limit_parse(limit, &admit->limit) != ST_OK) {
        api_fail(call, ST_INTERNAL);
        return;
    }
    if (admit->count > 0) {
        char after[96];
        (void)snprintf(after, sizeof(after), "{\"count\":%" PRId64 ",\"admitted\":%" PRId64 "}",
                       admit->count, admit->admitted);
        const struct catalog_audit_entry entry = {
            .event = call->param, .who = api_actor(call), .verb = "admit", .after = after};
        const enum status st = catalog_audit_note(api->db, &entry, admit_audited, call);
        if (st != ST_OK)
            admit_audited(call, st, NULL, 0);
        return;
    }
    struct json *body = json_new_object();
    json_set_str(body, "eventId", call->param);
    json_set_int(body, "promoted", admit->admitted);
    json_set_int(body, "evicted", json_int(payload, "evicted", 0));
    write_reason(body, admit);
    api_answer_json(call, 200, body);
    json_free(body);
}

static enum status process_fetched(struct api_call *call, const struct event *event)
{
    struct api *api = call->api;
    const struct admit_call *admit = call->state;
    char payload[96];
    if (event->status == EVENT_DRAFT || event->status == EVENT_CLOSED) {
        api_refuse_as(call, 409, "wrong-state", "not-on-sale",
                      "Only an event on sale is processed.", "status");
        return ST_OK;
    }
    struct api_process *process = xcalloc(1, sizeof(*process));
    process->call = call;
    token_random_hex(process->reply);
    const int len = snprintf(payload, sizeof(payload), "{\"reply\":\"%s\",\"admit\":%" PRId64 "}",
                             process->reply, admit->count);
    const enum status st = queue_publish(api->queue, call->param, "process", payload, (size_t)len);
    if (st != ST_OK) {
        free(process);
        return st;
    }
    process->timer = loop_timer_new(api->loop, process_late, process);
    loop_timer_set(process->timer, PROCESS_WAIT_MS);
    process->next = api->processing;
    api->processing = process;
    return ST_OK;
}

static enum status process_start(struct api_call *call)
{
    if (!api_body_is_empty(call))
        return ST_OK;
    call->state = http_req_alloc(call->req, sizeof(struct admit_call));
    return api_staff_event(call, process_fetched);
}

static enum status admit_start(struct api_call *call)
{
    static const char *const keys[] = {"count", NULL};
    struct json_error error = {0};
    struct admit_call *admit = http_req_alloc(call->req, sizeof(*admit));
    call->state = admit;
    enum status st = ST_OK;
    if (call->body)
        st = json_known_keys(call->body, keys, &error);
    if (st == ST_OK && call->body)
        st = json_read_int(call->body, "count", 1, ADMIT_MAX, &admit->count, &error);
    if (st == ST_OK && admit->count == 0)
        st = json_refuse(&error, "count", "needed", "count is needed.");
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return api_staff_event(call, process_fetched);
}

const struct api_route api_operate_routes[] = {
    {"POST", "/api/admin/events/{eventId}/process", AUTH_STAFF, API_OPERATORS, process_start,
     API_BODY_JSON},
    {"POST", "/api/admin/events/{eventId}/admit", AUTH_STAFF, API_OWNERS, admit_start,
     API_BODY_JSON},
    {"GET", "/api/admin/events/{eventId}/stats", AUTH_STAFF, API_READERS, stats_start,
     API_BODY_NONE},
    {0},
};
