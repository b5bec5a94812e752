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

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROCESS_WAIT_MS 2000
#define ADMIT_MAX       100000

/* ---- stats ---- */

/* lua/index.lua keeps an entry for each minute of the last hour, with the counters at the beginning of that minute.
 * What happened in a minute is the next entry minus its own; for the last minute, the counters of now minus its own. */
enum { MINUTE_COUNTERS = 8, MINUTE_WORDS = 10, MINUTES_MAX = 64 };

static const char *const minute_words[MINUTE_WORDS] = {
    "joined",  "admitted",  "left",   "withdrawn",    "idle",
    "timeout", "completed", "parked", "currentUsers", "queueSize"};

struct minute {
    int64_t at; /* minutes since 1970 */
    int64_t words[MINUTE_WORDS];
};

/* The minute of an entry, whose name is "m<minutes since 1970>"; 0: it is another counter. */
static int64_t minute_of(const struct queue_stat *stat)
{
    const char *digits = stat->name + 1;
    if (stat->name[0] != 'm' || strspn(digits, "0123456789") != strlen(digits))
        return 0;
    return strtoll(digits, NULL, 10);
}

static int compare_minutes(const void *a, const void *b)
{
    const struct minute *one = a, *other = b;
    return one->at < other->at ? -1 : one->at > other->at;
}

/* Writes at most MINUTES_MAX entries in order of time; returns how many. */
static size_t read_minutes(const struct queue_stat *list, size_t count, struct minute *out)
{
    size_t found = 0;
    for (size_t i = 0; i < count && found < MINUTES_MAX; i++) {
        struct minute minute = {.at = minute_of(&list[i])};
        const char *text = list[i].text;
        char *end;
        if (minute.at == 0 || !text)
            continue;
        for (size_t w = 0; w < MINUTE_WORDS; w++, text = end)
            minute.words[w] = strtoll(text, &end, 10);
        out[found++] = minute;
    }
    qsort(out, found, sizeof(*out), compare_minutes);
    return found;
}

static struct json *write_minutes(const struct queue_stat *list, size_t count,
                                  const struct rank_index *index)
{
    struct json *out = json_new_array();
    struct minute minutes[MINUTES_MAX + 1];
    const size_t found = read_minutes(list, count, minutes);
    struct minute *now = &minutes[found]; /* an entry with the counters of now */
    *now = (struct minute){0};
    for (size_t i = 0; i < count; i++) {
        for (size_t w = 0; w < MINUTE_COUNTERS; w++) {
            if (strcmp(list[i].name, minute_words[w]) == 0)
                now->words[w] = list[i].value;
        }
    }
    if (index) {
        now->words[MINUTE_COUNTERS] = (int64_t)index->active;
        now->words[MINUTE_COUNTERS + 1] = (int64_t)index->queue_size;
    }
    for (size_t i = 0; i < found; i++) {
        const struct minute *from = &minutes[i], *to = &minutes[i + 1];
        struct json *row = json_new_object();
        char at[CLOCK_RFC3339_SIZE];
        clock_format_rfc3339(from->at * 60000, at);
        json_set_str(row, "at", at);
        for (size_t w = 0; w < MINUTE_WORDS; w++) {
            int64_t value = to->words[w];
            if (w < MINUTE_COUNTERS &&
                value >= from->words[w]) /* if less, Redis has lost the counter */
                value -= from->words[w];
            json_set_int(row, minute_words[w], value);
        }
        json_append(out, row);
    }
    return out;
}

static void stats_read(void *arg, enum status status, const struct queue_stat *list, size_t count)
{
    struct api_call *call = arg;
    const struct rank_index *index = catalog_index(call->api->catalog, call->param);
    const struct event *event = catalog_event(call->api->catalog, call->param);
    if (status != ST_OK) {
        api_fail(call, status);
        return;
    }
    struct json *body = json_new_object();
    struct json *counters = json_new_object();
    json_set_str(body, "eventId", call->param);
    if (event)
        json_set_str(body, "status", event_status_name(index ? index->status : event->status));
    if (index) {
        json_set_int(body, "queueSize", (int64_t)index->queue_size);
        json_set_int(body, "currentUsers", (int64_t)index->active);
        json_set_int(body, "threshold", (int64_t)index->threshold);
        json_set_bool(body, "restoring", index->restoring);
        json_set_real(body, "admissionsPerMinute", index->rate_mean * 60.0);
        if (index->seats_left != UINT64_MAX)
            json_set_int(body, "seatsLeft", (int64_t)index->seats_left);
    }
    for (size_t i = 0; i < count; i++) {
        if (minute_of(&list[i]) == 0 && strcmp(list[i].name, "minute") != 0)
            json_set_int(counters, list[i].name, list[i].value);
    }
    json_set(body, "counters", counters);
    json_set(body, "minutes", write_minutes(list, count, index));
    api_answer_json(call, 200, body);
    json_free(body);
}

static void stats_loaded(void *arg, enum status status)
{
    struct api_call *call = arg;
    if (status == ST_OK)
        status = queue_read_stats(call->api->queue, call->param, stats_read, call);
    if (status != ST_OK)
        api_fail(call, status);
}

static enum status stats_fetched(struct api_call *call, const struct event *event)
{
    if (event->status != EVENT_DRAFT)
        return catalog_load(call->api->catalog, call->param, false, stats_loaded, call);
    stats_read(call, ST_OK, NULL, 0);
    return ST_OK;
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
};

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
    char text[EVENT_ID_MAX + 64];
    (void)json, (void)len;
    if (status != ST_OK)
        log_error("audit entry of admit not written", LOG_TEXT("event", call->param),
                  LOG_TEXT("status", status_name(status)), LOG_TEXT("who", call->user.sub),
                  LOG_NUM("admitted", (uint64_t)admit->admitted));
    const int written =
        snprintf(text, sizeof(text), "{\"eventId\":\"%s\",\"admitted\":%" PRId64 "}", call->param,
                 admit->admitted);
    api_answer(call, 200, text, (size_t)written);
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
    admit->admitted = json_int(payload, "promoted", 0);
    if (admit->count > 0) {
        char after[96];
        (void)snprintf(after, sizeof(after), "{\"count\":%" PRId64 ",\"admitted\":%" PRId64 "}",
                       admit->count, admit->admitted);
        const struct catalog_audit_entry entry = {
            .event = call->param, .who = call->user.sub, .verb = "admit", .after = after};
        const enum status st = catalog_audit_note(api->db, &entry, admit_audited, call);
        if (st != ST_OK)
            admit_audited(call, st, NULL, 0);
        return;
    }
    struct json *body = json_new_object();
    json_set_str(body, "eventId", call->param);
    json_set_int(body, "promoted", admit->admitted);
    json_set_int(body, "evicted", json_int(payload, "evicted", 0));
    api_answer_json(call, 200, body);
    json_free(body);
}

static enum status process_fetched(struct api_call *call, const struct event *event)
{
    struct api *api = call->api;
    const struct admit_call *admit = call->state;
    char payload[96];
    if (event->status == EVENT_DRAFT || event->status == EVENT_CLOSED) {
        api_problem(call, 409, "wrong-state", "Only an event on sale is processed.", "status");
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
        st = json_refuse(&error, "count", "count is needed.");
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
