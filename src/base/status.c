/* SPDX-License-Identifier: MIT */
/* status: the names of the outcomes, for logs. Called by: all folders. */
#include "base/status.h"

const char *status_name(enum status st)
{
    static const char *const names[] = {
        [ST_OK] = "ok",
        [ST_INVALID] = "invalid",
        [ST_UNAUTHORIZED] = "unauthorized",
        [ST_DENIED] = "denied",
        [ST_NOT_FOUND] = "not-found",
        [ST_CONFLICT] = "conflict",
        [ST_STALE] = "stale",
        [ST_GONE] = "gone",
        [ST_BUSY] = "busy",
        [ST_FULL] = "full",
        [ST_TOO_LARGE] = "too-large",
        [ST_TIMEOUT] = "timeout",
        [ST_UNAVAILABLE] = "unavailable",
        [ST_INTERNAL] = "internal",
    };
    return (unsigned)st < sizeof(names) / sizeof(names[0]) ? names[st] : "unknown";
}
