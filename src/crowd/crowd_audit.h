/* SPDX-License-Identifier: MIT */
/*
 * crowd_audit: checks the promises against Redis and PostgreSQL: it reads the admission log during the run, and at
 * the end the places of the buyers who still wait, the seats sold and the money.
 */
#ifndef TIKETI_CROWD_AUDIT_H
#define TIKETI_CROWD_AUDIT_H

#include "base/status.h"
#include "crowd/crowd_state.h"

#include <stdint.h>

struct crowd_audit;

/* ST_INVALID when REDIS_URL or DATABASE_URL cannot be used, with a sentence in `error`. */
MUST_CHECK enum status crowd_audit_open(struct crowd *crowd, struct crowd_audit **ret_audit,
                                        char *error, size_t error_size);
/* Reads where the log stands, before the first buyer arrives. cb runs once, later: ST_OK, or why not. */
void crowd_audit_begin(struct crowd_audit *audit, crowd_done_cb cb, void *arg);
/* Reads the log's new entries, unless a read is under way. Called once a second. */
void crowd_audit_follow(struct crowd_audit *audit);
/* Reads the rest of the log and judges. cb runs once, later. */
void crowd_audit_finish(struct crowd_audit *audit, crowd_done_cb cb, void *arg);
const struct crowd_check *crowd_audit_check(const struct crowd_audit *audit);
const struct crowd_findings *crowd_audit_findings(const struct crowd_audit *audit);
void crowd_audit_close(struct crowd_audit *audit, loop_cb cb, void *arg); /* NULL: cb at once */
void crowd_audit_free(struct crowd_audit *audit); /* after it is closed; NULL is fine */

#endif
