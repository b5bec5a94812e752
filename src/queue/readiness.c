/* SPDX-License-Identifier: MIT */
/*
 * readiness: the checks that follow from the event and the numbers of its hall.
 *
 * Why this way: a check says a code, numbers and times, never a sentence: the console has three languages. Each check is
 * there whatever its verdict, so that a person sees what was looked at.
 * Called by: api_readiness. Pure.
 */
#include "queue/readiness.h"

#include "base/clock.h"
#include "queue/event_verb.h"

#include <string.h>

static const char *const verdicts[] = {
    [READINESS_GOOD] = "good", [READINESS_WARN] = "warn", [READINESS_BAD] = "bad"};

void readiness_add(struct json *checks, const char *code, enum readiness_verdict verdict,
                   struct json *value, const char *field)
{
    struct json *check = json_new_object();
    json_set_str(check, "code", code);
    json_set_str(check, "verdict", verdicts[verdict]);
    json_set(check, "value", value);
    if (field)
        json_set_str(check, "field", field);
    json_append(checks, check);
}

const char *readiness_worst(const struct json *checks)
{
    enum readiness_verdict worst = READINESS_GOOD;
    for (size_t i = 0; i < json_array_len(checks); i++) {
        const char *verdict = json_str(json_array_at(checks, i), "verdict");
        while (worst < READINESS_BAD && strcmp(verdict, verdicts[worst]) != 0 &&
               strcmp(verdict, verdicts[READINESS_GOOD]) != 0)
            worst++;
    }
    return verdicts[worst];
}

static void set_time(struct json *value, const char *key, int64_t ms)
{
    char text[CLOCK_RFC3339_SIZE];
    if (ms == 0) {
        json_set_null(value, key);
        return;
    }
    clock_format_rfc3339(ms, text);
    json_set_str(value, key, text);
}

/* What is wrong with the times of an event in the state `now`; good: nothing. */
static enum readiness_verdict judge_times(const struct event *event, enum event_status now,
                                          int64_t now_ms, const char **ret_problem,
                                          const char **ret_field)
{
    const int64_t opens = event->opens_at_ms, closes = event->closes_at_ms,
                  starts = event->starts_at_ms;
    const bool waits = now == EVENT_DRAFT || now == EVENT_SCHEDULED;
    const struct {
        bool applies;
        enum readiness_verdict verdict;
        const char *problem, *field;
    } problems[] = {
        {waits && starts != 0 && starts <= now_ms, READINESS_BAD, "started", "startsAt"},
        {waits && closes != 0 && closes <= now_ms, READINESS_BAD, "closed", "closesAt"},
        {now == EVENT_DRAFT && opens != 0 && opens <= now_ms, READINESS_BAD, "overdue", "opensAt"},
        {opens != 0 && starts != 0 && opens >= starts, READINESS_BAD, "opens-late", "opensAt"},
        {opens != 0 && closes != 0 && closes <= opens, READINESS_BAD, "closes-early", "closesAt"},
        {waits && opens == 0, READINESS_WARN, "no-opening", "opensAt"},
        {starts == 0, READINESS_WARN, "no-start", "startsAt"},
        {closes != 0 && starts != 0 && closes > starts, READINESS_WARN, "closes-late", "closesAt"},
    };
    for (size_t i = 0; i < sizeof(problems) / sizeof(problems[0]); i++) {
        if (!problems[i].applies)
            continue;
        *ret_problem = problems[i].problem;
        *ret_field = problems[i].field;
        return problems[i].verdict;
    }
    return READINESS_GOOD;
}

void readiness_of_event(const struct event *event, int64_t now_ms, struct json *checks)
{
    const enum event_status now = event_status_at(event, now_ms);
    const char *problem = NULL, *field = NULL;
    struct json *value = json_new_object();
    json_set_str(value, "status", event_status_name(now));
    readiness_add(checks, "published",
                  now == EVENT_DRAFT || now == EVENT_CLOSED ? READINESS_BAD : READINESS_GOOD, value,
                  "status");
    const enum readiness_verdict verdict = judge_times(event, now, now_ms, &problem, &field);
    value = json_new_object();
    set_time(value, "opensAt", event->opens_at_ms);
    set_time(value, "startsAt", event->starts_at_ms);
    set_time(value, "closesAt", event->closes_at_ms);
    json_set_str(value, "problem", problem);
    readiness_add(checks, "times", verdict, value, field);
    value = json_new_object();
    json_set_str(value, "timeZone", event->time_zone[0] != '\0' ? event->time_zone : NULL);
    readiness_add(checks, "time-zone",
                  event->time_zone[0] != '\0' ? READINESS_GOOD : READINESS_WARN, value, "timeZone");
}

void readiness_of_hall(const struct json *hall, struct json *checks)
{
    static const char *const names[] = {"seats", "blocked", "free", "unpriced"};
    const int64_t seats = json_int(hall, "seats", 0);
    const struct json *currencies = json_get(hall, "currencies");
    const size_t count = json_array_len(currencies);
    enum readiness_verdict verdict = READINESS_GOOD;
    struct json *value = json_new_object();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        json_set_int(value, names[i], json_int(hall, names[i], 0));
    if (seats > 0 && json_int(hall, "free", 0) == 0)
        verdict = READINESS_BAD;
    else if (seats == 0 || json_int(hall, "unpriced", 0) > 0)
        verdict = READINESS_WARN;
    readiness_add(checks, "hall", verdict, value, "seats");
    if (seats == 0)
        return;
    value = json_new_object();
    json_set_str(value, "currency", json_str_value(json_array_at(currencies, 0)));
    json_set_int(value, "others", count > 0 ? (int64_t)count - 1 : 0);
    readiness_add(checks, "currency", count == 1 ? READINESS_GOOD : READINESS_BAD, value,
                  "currency");
}

void readiness_of_hooks(const struct json *hooks, struct json *checks)
{
    static const char *const names[] = {"webhooks", "failing", "parked"};
    const bool fails = json_int(hooks, "failing", 0) > 0 || json_int(hooks, "parked", 0) > 0;
    if (json_int(hooks, "webhooks", 0) == 0 && !fails)
        return;
    struct json *value = json_new_object();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        json_set_int(value, names[i], json_int(hooks, names[i], 0));
    readiness_add(checks, "webhooks", fails ? READINESS_WARN : READINESS_GOOD, value, NULL);
}
