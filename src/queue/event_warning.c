/* SPDX-License-Identifier: MIT */
/*
 * event_warning: the unlikely about an event.
 *
 * Why this way: warnings follow from the event and the clock alone, so that every answer has them, not only that of
 * the change that brought them about: who looks at an event in the evening sees what was forgotten in the morning.
 * Alerts follow from what is measured as well, so only the statistics have them.
 * Called by: api_admin, api_operate, api_console_views. Pure.
 */
#include "queue/event_warning.h"

#include "queue/event_verb.h"

#define SESSION_SHORT_MS 60000
/* Near sold out: one seat of so many is left. */
#define FEW_SEATS 20

static void warn(struct json *list, const char *code, const char *field, const char *message)
{
    struct json *item = json_new_object();
    json_set_str(item, "code", code);
    json_set_str(item, "field", field);
    json_set_str(item, "message", message);
    json_append(list, item);
}

/* What keeps the event from opening when it should. */
static void warn_of_opening(struct json *list, const struct event *event, enum event_status now,
                            int64_t now_ms)
{
    if (now == EVENT_DRAFT && event->opens_at_ms != 0 && event->opens_at_ms <= now_ms)
        warn(list, "overdue", "opensAt",
             "opensAt has passed, but the event is a draft, so buyers do not see it: publish it, "
             "and it opens at once.");
    else if (now == EVENT_DRAFT && event->opens_at_ms != 0)
        warn(list, "unpublished", "status",
             "The event is a draft: it does not open at opensAt unless it is published.");
    if (now == EVENT_SCHEDULED && event->opens_at_ms == 0)
        warn(list, "no-opening", "opensAt",
             "The event does not open by itself: set opensAt, or open it.");
    if (now == EVENT_DRAFT || now == EVENT_SCHEDULED) {
        if (event_has_nothing_to_sell(event))
            warn(list, "nothing-to-sell", "seats",
                 "The event has prices, but no seat that can be sold.");
        if (event->starts_at_ms != 0 && event->starts_at_ms <= now_ms)
            warn(list, "started", "startsAt", "startsAt has passed: the event has begun already.");
    }
}

static void warn_of_settings(struct json *list, const struct event *event)
{
    if (event->threshold == 0 && event->surge_count == 0)
        warn(list, "nobody-enters", "threshold", "With a threshold of 0 nobody enters.");
    if (event->session_limit_ms < SESSION_SHORT_MS)
        warn(list, "short-session", "sessionLimitMs",
             "Buyers have less than a minute inside, to choose seats and to pay.");
    if (event->hold_ms > event->session_limit_ms)
        warn(list, "hold-outlives-session", "holdMs",
             "Seats are held for longer than their buyer may stay inside.");
    if (event->seats == 0)
        warn(list, "no-seats", "seats",
             "The event has no seats: whoever enters can buy nothing here. That is right for a "
             "waiting room in front of another shop.");
    if (event->threshold_min > 0 && event->threshold_min >= event->threshold)
        warn(list, "feedback-without-effect", "thresholdMin",
             "thresholdMin is not below the threshold, so the shop's health changes nothing.");
    for (int i = 0; i < event->surge_count; i++) {
        if (event->surge[i].threshold > event->threshold)
            continue;
        warn(list, "surge-without-effect", "surge",
             "A surge rule is not above the threshold, so it changes nothing.");
        break;
    }
}

void event_write_warnings(const struct event *event, int64_t now_ms, struct json *body)
{
    const enum event_status now = event_status_at(event, now_ms);
    struct json *list = json_new_array();
    warn_of_opening(list, event, now, now_ms);
    if (now != EVENT_CLOSED)
        warn_of_settings(list, event);
    json_set(body, "warnings", list);
}

/* ---- alerts ---- */

/* Does something stand in the way of the next buyer that is meant to? */
static bool is_limited(const struct event_facts *facts)
{
    switch (facts->limited_by) {
    case LIMITED_BY_THRESHOLD:
        return facts->inside >= facts->threshold;
    case LIMITED_BY_BACKEND:
        return false;
    default:
        return true;
    }
}

static void alert_of_queue(struct json *list, const struct event_facts *facts)
{
    if (facts->status != EVENT_OPEN)
        return;
    if (!facts->has_index && facts->has_begun && facts->limited_by != LIMITED_BY_STARTING)
        warn(list, "no-processor", "status",
             "No processor works on the event, so nobody is let in; everybody keeps their place. "
             "See to the pods with the role processor.");
    if (facts->has_index && !facts->restoring && facts->still && facts->waiting > 0 &&
        !is_limited(facts))
        warn(list, "nobody-let-in", "threshold",
             "Nobody was let in for a minute, although people wait and no limit is reached.");
}

void event_write_alerts(const struct event_facts *facts, struct json *body)
{
    struct json *list = json_new_array();
    const struct json *others = json_get(body, "warnings");
    if (facts->has_index && facts->restoring)
        warn(list, "restoring", "status",
             "Redis has lost its data, and places are being restored: nobody is let in until then, "
             "and nobody loses their place.");
    alert_of_queue(list, facts);
    if (facts->refunds_due > 0)
        warn(list, "refunds-due", "payments",
             "Money was taken that must be returned: see the payments with due=true.");
    if (facts->mail_parked > 0)
        warn(list, "mail-parked", "mail",
             "Mails to buyers were given up: see to the mail server, then send them again.");
    if (facts->status == EVENT_OPEN && facts->free_seats > 0 &&
        facts->free_seats * FEW_SEATS <= facts->seats)
        warn(list, "near-sold-out", "seats", "Few seats are left.");
    for (size_t i = 0; i < json_array_len(others); i++) {
        const struct json *item = json_array_at(others, i);
        warn(list, json_str(item, "code"), json_str(item, "field"), json_str(item, "message"));
    }
    json_set(body, "warnings", list);
}
