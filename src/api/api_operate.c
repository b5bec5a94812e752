/* SPDX-License-Identifier: MIT */
/*
 * api_operate: a sale that runs: its numbers, a tick now, buyers let in by hand.
 *
 *   process, admit   owner -> a request on the channel -> the lease holder ticks -> `processed`
 *
 * Nothing is decided here: `admit` passes over interval and outflow, but the script never lets in more
 * than the threshold allows. With no processor there is no answer within two seconds: 503.
 * Called by: api's route table, and api for messages of the channel. Owns: the requests that wait.
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

struct admit_call {
    int64_t count, admitted;
};

/* ---- stats ---- */

/* The diary of the last hour (lua/index.lua): what the counters said when a minute began. A minute is
 * the difference to the next entry; the present one is still going on and is compared with now. */
enum { MINUTE_COUNTERS = 8, MINUTE_WORDS = 10, MINUTES_MAX = 64 };

static const char *const minute_words[MINUTE_WORDS] = {
    "joined",  "admitted",  "left",   "withdrawn",    "idle",
    "timeout", "completed", "parked", "currentUsers", "queueSize"};

struct minute {
    int64_t at; /* minutes since 1970 */
    int64_t words[MINUTE_WORDS];
};

static int64_t minute_of(const struct queue_stat *stat)
{
    const char *digits = stat->name + 1;
    if (stat->name[0] != 'm' || strspn(digits, "0123456789") != strlen(digits))
        return 0;
    return strtoll(digits, NULL, 10);
}

static int minute_compare(const void *a, const void *b)
{
    const struct minute *one = a, *other = b;
    return one->at < other->at ? -1 : one->at > other->at;
}

/* In order of time. */
static size_t read_minutes(const struct queue_stat *list, size_t count, struct minute *out)
{
    size_t found = 0;
    for (size_t i = 0; i < count && found < MINUTES_MAX; i++) {
        struct minute minute = {.at = minute_of(&list[i])};
        const char *text = list[i].text;
        char *end;
        if (minute.at == 0 || text == NULL)
            continue;
        for (size_t w = 0; w < MINUTE_WORDS; w++, text = end)
            minute.words[w] = strtoll(text, &end, 10);
        out[found++] = minute;
    }
    qsort(out, found, sizeof(*out), minute_compare);
    return found;
}

static struct json *write_minute(const struct minute *from, const struct minute *to)
{
    struct json *row = json_new_object();
    char at[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(from->at * 60000, at);
    json_set_str(row, "at", at);
    for (size_t w = 0; w < MINUTE_WORDS; w++) {
        int64_t value = to->words[w];
        if (w < MINUTE_COUNTERS && value >= from->words[w]) /* smaller: Redis began anew */
            value -= from->words[w];
        json_set_int(row, minute_words[w], value);
    }
    return row;
}

/* Now, in the shape of a minute: the counters, and the numbers of the index. */
static struct minute minute_now(const struct queue_stat *list, size_t count,
                                const struct rank_index *index)
{
    struct minute now = {0};
    for (size_t i = 0; i < count; i++) {
        for (size_t w = 0; w < MINUTE_COUNTERS; w++) {
            if (strcmp(list[i].name, minute_words[w]) == 0)
                now.words[w] = list[i].value;
        }
    }
    if (index != NULL) {
        now.words[MINUTE_COUNTERS] = (int64_t)index->active;
        now.words[MINUTE_COUNTERS + 1] = (int64_t)index->queue_size;
    }
    return now;
}

static struct json *write_minutes(const struct queue_stat *list, size_t count,
                                  const struct rank_index *index)
{
    struct json *out = json_new_array();
    struct minute minutes[MINUTES_MAX + 1];
    const size_t found = read_minutes(list, count, minutes);
    minutes[found] = minute_now(list, count, index);
    for (size_t i = 0; i < found; i++)
        json_append(out, write_minute(&minutes[i], &minutes[i + 1]));
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
    if (event != NULL)
        json_set_str(body, "status",
                     event_status_name(index != NULL ? index->status : event->status));
    if (index != NULL) {
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

static void stats_fetched(void *arg, enum status status, const struct event *event)
{
    struct api_call *call = arg;
    if (status == ST_OK && !api_staff_may(call, event))
        return;
    if (status == ST_OK && event->status == EVENT_DRAFT) {
        stats_read(call, ST_OK, NULL, 0);
        return;
    }
    if (status == ST_OK)
        status = catalog_load(call->api->catalog, call->param, false, stats_loaded, call);
    if (status != ST_OK)
        api_fail(call, status);
}

static enum status stats_start(struct api_call *call)
{
    return catalog_fetch(call->api->db, call->param, stats_fetched, call);
}

/* ---- process, admit: a request to the lease holder, answered over the channel ---- */

struct api_process {
    struct api_process *next;
    struct api_call *call;
    struct loop_timer *timer;
    int64_t admit; /* 0: a plain tick */
    char reply[33];
};

static void end_process(struct api *api, struct api_process *process)
{
    struct api_process **at = &api->processing;
    while (*at != NULL && *at != process)
        at = &(*at)->next;
    if (*at != NULL)
        *at = process->next;
    loop_timer_close(process->timer);
    free(process);
}

static void process_late(void *arg)
{
    struct api_process *process = arg;
    struct api_call *call = process->call;
    end_process(call->api, process);
    api_problem(call, 503, "no-processor", "No processor answered within two seconds.", NULL);
}

void api_process_forget(struct api_call *call)
{
    struct api_process *process = call->api->processing;
    while (process != NULL && process->call != call)
        process = process->next;
    if (process != NULL)
        end_process(call->api, process);
}

/* Recorded or not, they are in. */
static void admit_noted(void *arg, enum status status, const char *json, size_t len)
{
    struct api_call *call = arg;
    const struct admit_call *admit = call->state;
    char text[EVENT_ID_MAX + 64];
    (void)json, (void)len;
    if (status != ST_OK)
        log_error("an admission by hand was not recorded", LOG_TEXT("event", call->param),
                  LOG_TEXT("who", call->user.sub), LOG_NUM("admitted", (uint64_t)admit->admitted));
    const int written =
        snprintf(text, sizeof(text), "{\"eventId\":\"%s\",\"admitted\":%" PRId64 "}", call->param,
                 admit->admitted);
    api_answer(call, 200, text, (size_t)written);
}

static void admitted(struct api_call *call, int64_t count, int64_t promoted)
{
    struct admit_call *admit = call->state;
    char after[96];
    admit->admitted = promoted;
    (void)snprintf(after, sizeof(after), "{\"count\":%" PRId64 ",\"admitted\":%" PRId64 "}", count,
                   promoted);
    const struct catalog_audit_entry entry = {
        .event = call->param, .who = call->user.sub, .verb = "admit", .after = after};
    const enum status st = catalog_audit_note(call->api->db, &entry, admit_noted, call);
    if (st != ST_OK)
        admit_noted(call, st, NULL, 0);
}

void api_process_on_message(struct api *api, const struct json *payload)
{
    const char *reply = json_str(payload, "reply");
    struct api_process *process = api->processing;
    while (process != NULL && (reply == NULL || strcmp(process->reply, reply) != 0))
        process = process->next;
    if (process == NULL)
        return;
    struct api_call *call = process->call;
    const int64_t count = process->admit, promoted = json_int(payload, "promoted", 0);
    end_process(api, process);
    if (count > 0) {
        admitted(call, count, promoted);
        return;
    }
    struct json *body = json_new_object();
    json_set_str(body, "eventId", call->param);
    json_set_int(body, "promoted", promoted);
    json_set_int(body, "evicted", json_int(payload, "evicted", 0));
    api_answer_json(call, 200, body);
    json_free(body);
}

/* Asks over the channel; whoever holds the lease answers there. */
static enum status request_tick(struct api_call *call)
{
    struct api *api = call->api;
    const struct admit_call *admit = call->state;
    char payload[96];
    struct api_process *process = xcalloc(1, sizeof(*process));
    process->call = call;
    process->admit = admit->count;
    token_random_hex(process->reply);
    const int len = snprintf(payload, sizeof(payload), "{\"reply\":\"%s\",\"admit\":%" PRId64 "}",
                             process->reply, process->admit);
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

static void process_fetched(void *arg, enum status status, const struct event *event)
{
    struct api_call *call = arg;
    if (status == ST_OK && !api_staff_may(call, event))
        return;
    if (status == ST_OK && (event->status == EVENT_DRAFT || event->status == EVENT_CLOSED)) {
        api_problem(call, 409, "wrong-state", "Only an event on sale is processed.", "status");
        return;
    }
    if (status == ST_OK)
        status = request_tick(call);
    if (status != ST_OK)
        api_fail(call, status);
}

static enum status process_start(struct api_call *call)
{
    if (!api_takes_nothing(call))
        return ST_OK;
    call->state = http_req_alloc(call->req, sizeof(struct admit_call));
    return catalog_fetch(call->api->db, call->param, process_fetched, call);
}

static enum status admit_start(struct api_call *call)
{
    static const char *const keys[] = {"count", NULL};
    struct json_error error = {0};
    struct admit_call *admit = http_req_alloc(call->req, sizeof(*admit));
    call->state = admit;
    enum status st = call->body == NULL ? json_refuse(&error, "count", "count is needed.")
                                        : json_known_keys(call->body, keys, &error);
    if (st == ST_OK)
        st = json_read_int(call->body, "count", 1, ADMIT_MAX, &admit->count, &error);
    if (st == ST_OK && admit->count == 0)
        st = json_refuse(&error, "count", "count is needed.");
    if (st != ST_OK) {
        api_invalid(call, &error);
        return ST_OK;
    }
    return catalog_fetch(call->api->db, call->param, process_fetched, call);
}

const struct api_route api_operate_routes[] = {
    {"POST", "/api/admin/events/{eventId}/process", AUTH_STAFF, API_OPERATORS, process_start, true},
    {"POST", "/api/admin/events/{eventId}/admit", AUTH_STAFF, API_STAFF, admit_start, true},
    {"GET", "/api/admin/events/{eventId}/stats", AUTH_STAFF, API_READERS, stats_start, false},
    {0},
};
