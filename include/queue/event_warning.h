/* SPDX-License-Identifier: MIT */
/*
 * event_warning: what is legal about an event, but probably not meant, and what its staff should see to while it runs.
 * Answers to them have it as `warnings`. Pure.
 */
#ifndef TIKETI_EVENT_WARNING_H
#define TIKETI_EVENT_WARNING_H

#include "queue/admission_limit.h"
#include "queue/event.h"

/* Adds the member `warnings`, a list of {code, field, message} about the event at `now_ms`, wall time. */
void event_write_warnings(const struct event *event, int64_t now_ms, struct json *body);

/* What is known of a running sale. */
struct event_facts {
    enum event_status status;
    bool
        has_index; /* a processor works on the event: waiting, inside, limited_by and restoring are known */
    bool restoring;
    bool still;     /* nobody was let in for a minute at least, and somebody waited all the while */
    bool has_begun; /* places have been given */
    int64_t waiting, inside, threshold;
    enum admission_limited_by limited_by;
    int64_t seats, free_seats; /* 0: it has none; -1: not known */
    int64_t refunds_due;       /* payments of which money must be returned */
    int64_t mail_parked;       /* mails that were given up */
};
/* Adds the alerts that follow to the member `warnings`, which event_write_warnings has written; the most urgent first, and
 * before the warnings that are there. */
void event_write_alerts(const struct event_facts *facts, struct json *body);

#endif
