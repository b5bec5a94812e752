/* SPDX-License-Identifier: MIT */
/* status: the outcomes that callers treat differently. Details go to the log, not into new codes. */
#ifndef TIKETI_STATUS_H
#define TIKETI_STATUS_H

#define MUST_CHECK __attribute__((warn_unused_result))

enum status {
    ST_OK,
    ST_INVALID,      /* wrong input; nothing was changed */
    ST_UNAUTHORIZED, /* no valid credential */
    ST_DENIED,       /* known, but not allowed */
    ST_NOT_FOUND,
    ST_CONFLICT,    /* a lost race, or a state that does not allow it */
    ST_STALE,       /* the version or the lease is no longer the current one */
    ST_GONE,        /* the event is closed, or the hold has expired */
    ST_BUSY,        /* a lock was not to be had in time; nothing was changed: try again */
    ST_FULL,        /* a bounded resource is full: try again later */
    ST_TOO_LARGE,   /* input above its limit */
    ST_TIMEOUT,     /* the deadline passed. The outcome is unknown: it may have happened */
    ST_UNAVAILABLE, /* the backend cannot be reached */
    ST_INTERNAL     /* a fault of this program */
};

/* A short lower-case name for logs: "not-found". Static. */
const char *status_name(enum status st);

#endif
