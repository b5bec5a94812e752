/* SPDX-License-Identifier: MIT */
/* status: every outcome a caller treats differently. Detail goes to the log, not into new codes. */
#ifndef TIKETI_STATUS_H
#define TIKETI_STATUS_H

#define MUST_CHECK __attribute__((warn_unused_result))

enum status {
    ST_OK,
    ST_INVALID,      /* the input is wrong; nothing was changed */
    ST_UNAUTHORIZED, /* no valid credential */
    ST_DENIED,       /* known, but not allowed */
    ST_NOT_FOUND,
    ST_CONFLICT,    /* lost a race, or the state does not allow it */
    ST_STALE,       /* If-Match or lease no longer holds */
    ST_GONE,        /* the event is closed, the hold expired */
    ST_FULL,        /* a bounded resource has no room: try later */
    ST_TOO_LARGE,   /* input over its limit */
    ST_TIMEOUT,     /* deadline passed: the outcome is unknown, not "did not happen" */
    ST_UNAVAILABLE, /* the backend is out of reach */
    ST_INTERNAL     /* our own fault */
};

/* A short lower-case name for logs. Static string. */
const char *status_name(enum status st);

#endif
