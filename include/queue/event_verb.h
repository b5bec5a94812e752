/* SPDX-License-Identifier: MIT */
/*
 * event_verb: what an organizer may do with an event in each of its states, and what that changes.
 *
 *   draft -> scheduled -> open <-> paused -> closed
 *            scheduled <-> paused           closed -> what it was (reopen)
 *
 * docs/organizer.md has the diagram. `sold_out` is an open event without an unsold seat; SQL function event_settle
 * decides that. Pure: no Redis, no PostgreSQL.
 */
#ifndef TIKETI_EVENT_VERB_H
#define TIKETI_EVENT_VERB_H

#include "queue/event.h"

enum event_verb {
    EVENT_VERB_PUBLISH, /* a draft becomes public: it opens at opensAt, at once if that has passed */
    EVENT_VERB_OPEN,    /* opens now: opensAt is now, unless it has passed */
    EVENT_VERB_PAUSE,
    EVENT_VERB_RESUME,
    EVENT_VERB_CLOSE,
    EVENT_VERB_REOPEN, /* takes the closing back; a closesAt that has passed is removed */
    EVENT_VERBS
};
/* "publish": its name in routes and audit entries. Static. */
const char *event_verb_name(enum event_verb verb);
/* Reads such a name. ST_INVALID: there is no such verb. */
MUST_CHECK enum status event_verb_parse(const char *name, enum event_verb *ret_verb);

/* The status in force at `now_ms` (wall time): the stored one, brought up to date with opensAt and closesAt, as
 * lua/shared.lua does it. */
enum event_status event_status_at(const struct event *event, int64_t now_ms);

/* Applies the verb at `now_ms` to *event: its status and times. ST_CONFLICT with *error, which says what is possible
 * instead; *event is then unchanged. */
MUST_CHECK enum status event_apply(struct event *event, enum event_verb verb, int64_t now_ms,
                                   struct json_error *error);

/* Checks a change of the fields of an event at `now_ms`; of a new event `before` is what event_init made. ST_INVALID
 * (a value that cannot be meant) or ST_CONFLICT (the state does not allow it), with *error. A value that the change
 * leaves as it was is not looked at. */
MUST_CHECK enum status event_check_change(const struct event *before, const struct event *after,
                                          int64_t now_ms, struct json_error *error);

#endif
