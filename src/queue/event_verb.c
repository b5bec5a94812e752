/* SPDX-License-Identifier: MIT */
/*
 * event_verb: the states of an event and the verbs between them.
 *
 * Why this way: one table says which verbs a state allows, and one function what each of them does, so that the API,
 * the console and the command line cannot differ. A verb meets the status in force: an event whose closesAt passed a
 * second ago is closed, whether or not PostgreSQL knows already.
 * Called by: api_change. Pure.
 */
#include "queue/event_verb.h"

#include <string.h>

#define FROM(status) (1u << EVENT_##status)

static const struct {
    const char *name, *done; /* done: "it cannot be opened" */
    unsigned from;
} verbs[EVENT_VERBS] = {
    [EVENT_VERB_PUBLISH] = {"publish", "published", FROM(DRAFT)},
    [EVENT_VERB_OPEN] = {"open", "opened", FROM(DRAFT) | FROM(SCHEDULED)},
    [EVENT_VERB_PAUSE] = {"pause", "paused", FROM(SCHEDULED) | FROM(OPEN) | FROM(SOLD_OUT)},
    [EVENT_VERB_RESUME] = {"resume", "resumed", FROM(PAUSED)},
    [EVENT_VERB_CLOSE] = {"close", "closed",
                          FROM(SCHEDULED) | FROM(OPEN) | FROM(PAUSED) | FROM(SOLD_OUT)},
    [EVENT_VERB_REOPEN] = {"reopen", "reopened", FROM(CLOSED)},
};

/* What a state is called in a sentence, and what is possible in it. */
static const struct {
    const char *reason, *word, *way_out;
} states[] = {
    [EVENT_DRAFT] = {"is-draft", "a draft", "publish or open it, or remove it with DELETE."},
    [EVENT_SCHEDULED] = {"is-scheduled", "scheduled", "open, pause or close it."},
    [EVENT_OPEN] = {"is-open", "open", "pause or close it."},
    [EVENT_PAUSED] = {"is-paused", "paused", "resume or close it."},
    [EVENT_SOLD_OUT] = {"is-sold-out", "sold out", "pause or close it."},
    [EVENT_CLOSED] = {"is-closed", "closed", "reopen takes the closing back."},
};

const char *event_verb_name(enum event_verb verb)
{
    return (size_t)verb < EVENT_VERBS ? verbs[verb].name : "?";
}

enum status event_verb_parse(const char *name, enum event_verb *ret_verb)
{
    for (size_t i = 0; i < EVENT_VERBS; i++) {
        if (strcmp(name, verbs[i].name) == 0) {
            *ret_verb = (enum event_verb)i;
            return ST_OK;
        }
    }
    return ST_INVALID;
}

enum event_status event_status_at(const struct event *event, int64_t now_ms)
{
    const bool opens_later = event->opens_at_ms > now_ms;
    if (event->status == EVENT_DRAFT)
        return EVENT_DRAFT;
    if (event->status == EVENT_CLOSED ||
        (event->closes_at_ms != 0 && event->closes_at_ms <= now_ms))
        return EVENT_CLOSED;
    if (event->status == EVENT_OPEN && opens_later)
        return EVENT_SCHEDULED;
    if (event->status == EVENT_SCHEDULED && event->opens_at_ms != 0 && !opens_later)
        return EVENT_OPEN;
    return event->status;
}

/* The status of an event that is neither paused nor closed. */
static enum event_status by_time(const struct event *event, int64_t now_ms)
{
    return event->opens_at_ms == 0 || event->opens_at_ms > now_ms ? EVENT_SCHEDULED : EVENT_OPEN;
}

enum status event_apply(struct event *event, enum event_verb verb, int64_t now_ms,
                        struct json_error *error)
{
    const enum event_status now = event_status_at(event, now_ms);
    if (!(verbs[verb].from & 1u << now)) {
        (void)json_refuse(error, "status", states[now].reason,
                          "The event is %s, so it cannot be %s: %s", states[now].word,
                          verbs[verb].done, states[now].way_out);
        return ST_CONFLICT;
    }
    if (now == EVENT_DRAFT && event->closes_at_ms != 0 && event->closes_at_ms <= now_ms) {
        (void)json_refuse(error, "closesAt", "closes-in-the-past",
                          "closesAt has passed, so the event would close at once: set another "
                          "time, or null for none.");
        return ST_CONFLICT;
    }
    const bool opens = verb == EVENT_VERB_OPEN ||
                       (verb == EVENT_VERB_PUBLISH && by_time(event, now_ms) == EVENT_OPEN);
    if (opens && event_has_nothing_to_sell(event)) {
        (void)json_refuse(error, "seats", "nothing-to-sell",
                          "The event has prices, but no seat that can be sold: each is blocked, "
                          "sold or removed.");
        return ST_CONFLICT;
    }
    switch (verb) {
    case EVENT_VERB_OPEN:
        if (event->opens_at_ms == 0 || event->opens_at_ms > now_ms)
            event->opens_at_ms = now_ms;
        event->status = EVENT_OPEN;
        break;
    case EVENT_VERB_PAUSE:
        event->status = EVENT_PAUSED;
        break;
    case EVENT_VERB_CLOSE:
        event->status = EVENT_CLOSED;
        break;
    case EVENT_VERB_REOPEN:
        if (event->closes_at_ms <= now_ms)
            event->closes_at_ms = 0;
        /* stored as paused: closesAt has passed, and PostgreSQL has not noted it yet */
        event->status = event->closed_paused || event->status == EVENT_PAUSED
                            ? EVENT_PAUSED
                            : by_time(event, now_ms);
        break;
    default: /* publish, resume */
        event->status = by_time(event, now_ms);
        break;
    }
    return ST_OK;
}

enum status event_check_change(const struct event *before, const struct event *after,
                               int64_t now_ms, struct json_error *error)
{
    const enum event_status now = event_status_at(before, now_ms);
    const bool opens_moved = after->opens_at_ms != before->opens_at_ms;
    if (after->closes_at_ms != before->closes_at_ms && after->closes_at_ms != 0 &&
        after->closes_at_ms <= now_ms)
        return json_refuse(error, "closesAt", "closes-in-the-past",
                           "closesAt has passed. To close the event now: POST …/close.");
    if (opens_moved && (now == EVENT_OPEN || now == EVENT_SOLD_OUT)) {
        (void)json_refuse(error, "opensAt", "already-open",
                          "The event has opened, so opensAt cannot be changed: pause it first.");
        return ST_CONFLICT;
    }
    if ((opens_moved || after->starts_at_ms != before->starts_at_ms) && after->opens_at_ms != 0 &&
        after->starts_at_ms != 0 && after->opens_at_ms >= after->starts_at_ms)
        return json_refuse(error, opens_moved ? "opensAt" : "startsAt", "opens-after-start",
                           "opensAt must be before startsAt: nobody can buy before the event "
                           "starts.");
    if (after->rehearsal != before->rehearsal && now != EVENT_DRAFT) {
        (void)json_refuse(error, "rehearsal", "rehearsal-draft-only",
                          "Only a draft can become a rehearsal, or cease to be one: copy the "
                          "event.");
        return ST_CONFLICT;
    }
    return ST_OK;
}
