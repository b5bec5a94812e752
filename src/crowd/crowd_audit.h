/* SPDX-License-Identifier: MIT */
/*
 * crowd_audit: checks the promises against Redis and PostgreSQL. It reads the admission log during the run; at the
 * end it reads the places of the buyers who still wait, the seats sold and the money.
 */
#ifndef TIKETI_CROWD_AUDIT_H
#define TIKETI_CROWD_AUDIT_H

#include "base/status.h"
#include "crowd/crowd_state.h"

#include <stdint.h>

struct crowd_audit;

/* *ret_audit is new. ST_INVALID: REDIS_URL or DATABASE_URL cannot be used, and `error` says why in a sentence. */
MUST_CHECK enum status crowd_audit_open(struct crowd *crowd, struct crowd_audit **ret_audit,
                                        char *error, size_t error_size);
/* Notes the end of the log before the first buyer arrives. `cb` runs once, later: ST_OK, or why that failed. */
void crowd_audit_begin(struct crowd_audit *audit, crowd_done_cb cb, void *arg);
/* Called once a second: reads the log's new entries, unless a read is under way. */
void crowd_audit_follow(struct crowd_audit *audit);
/* Reads the rest of the log and checks all promises. `cb` runs once, later. */
void crowd_audit_finish(struct crowd_audit *audit, crowd_done_cb cb, void *arg);
/* Both are borrowed until crowd_audit_free. */
const struct replay *crowd_audit_check(const struct crowd_audit *audit);
const struct crowd_findings *crowd_audit_findings(const struct crowd_audit *audit);
/* Closes the connections, then runs `cb`: at once when `audit` is NULL. */
void crowd_audit_close(struct crowd_audit *audit, loop_cb cb, void *arg);
void crowd_audit_free(struct crowd_audit *audit); /* only when closed; NULL: does nothing */

#endif
