/* SPDX-License-Identifier: MIT */
/*
 * admission_limit: why no more buyers enter an event now, and by which numbers, as lua/shared.lua finds it out
 * (limit_text) with each tick and each rank index. For people: who enters is decided in Lua alone. Pure.
 */
#ifndef TIKETI_ADMISSION_LIMIT_H
#define TIKETI_ADMISSION_LIMIT_H

#include "base/buf.h"
#include "base/json.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum admission_limited_by {
    LIMITED_BY_THRESHOLD,
    LIMITED_BY_OUTFLOW,
    LIMITED_BY_SEATS,
    LIMITED_BY_PAUSED,
    LIMITED_BY_SCHEDULED,
    LIMITED_BY_RESTORING,
    LIMITED_BY_CLOSED,
    LIMITED_BY_EMPTY, /* nobody waits */
    /* never said by Lua: */
    LIMITED_BY_STARTING, /* the event is new, and no processor has begun to work on it yet */
    LIMITED_BY_BACKEND   /* no processor works on the event, or Redis does not answer */
};
/* "threshold": its name in JSON and in Lua. Static. */
const char *admission_limited_by_name(enum admission_limited_by by);

struct admission_limit {
    enum admission_limited_by by;
    int64_t waiting, inside;
    int64_t threshold, base; /* in force; without surge rules */
    int64_t outflow,
        outflow_wait_ms; /* outflowPerMinute; ms until it allows one more, 0: it does */
    int64_t seats_left;  /* -1: seats do not limit admissions */
};

/* Reads limit_text. ST_INVALID: malformed; *ret_limit is then unchanged. */
MUST_CHECK enum status admission_limit_parse(const char *text, struct admission_limit *ret_limit);
/* Appends the text that admission_limit_parse reads. */
void admission_limit_print(const struct admission_limit *limit, struct buf *out);
/* Adds the member `limits` with the numbers. */
void admission_limit_write(const struct admission_limit *limit, struct json *body);

#endif
