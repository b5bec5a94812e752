/* SPDX-License-Identifier: MIT */
/*
 * readiness: what should be right before an event opens, as far as the event and its hall tell it: a list of checks,
 * each {code, verdict, value, field?}. The program that shows them says them in its own words. Pure.
 */
#ifndef TIKETI_READINESS_H
#define TIKETI_READINESS_H

#include "base/json.h"
#include "queue/event.h"

#include <stdint.h>

/* bad: buyers cannot buy, or not when they should. warn: legal, but to be looked at. */
enum readiness_verdict { READINESS_GOOD, READINESS_WARN, READINESS_BAD };

/* Appends a check. value: an object; taken. field: the field to change, or NULL. */
void readiness_add(struct json *checks, const char *code, enum readiness_verdict verdict,
                   struct json *value, const char *field);
/* The worst verdict of the checks: "good", "warn" or "bad". Static. */
const char *readiness_worst(const struct json *checks);

/* Appends `published`, `times` and `time-zone`, at `now_ms`, wall time. */
void readiness_of_event(const struct event *event, int64_t now_ms, struct json *checks);
/* Appends `hall` and, if there are seats, `currency`. hall: {"seats","blocked","free","unpriced","currencies"}, as
 * sql/functions/readiness.sql counts them. */
void readiness_of_hall(const struct json *hall, struct json *checks);
/* Appends `webhooks`, if there are any. hooks: {"webhooks","failing","parked"}, as hook_count of sql/functions/hook.sql
 * counts them. */
void readiness_of_hooks(const struct json *hooks, struct json *checks);

#endif
