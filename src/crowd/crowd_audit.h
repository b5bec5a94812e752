/* SPDX-License-Identifier: MIT */
/*
 * crowd_audit: checks the promises against Redis and PostgreSQL themselves: the admission log read
 * along during the sale, and at the end the places of those who still wait, the seats sold and the money.
 */
#ifndef TIKETI_CROWD_AUDIT_H
#define TIKETI_CROWD_AUDIT_H

#include "base/status.h"
#include "crowd/crowd_buyer.h"

#include <stdint.h>

struct crowd_audit;

typedef void (*crowd_audit_cb)(void *arg, enum status status);

/* ST_INVALID when REDIS_URL or DATABASE_URL cannot be used, with a sentence in `error`. */
MUST_CHECK enum status crowd_audit_open(struct crowd *crowd, struct crowd_audit **ret_audit,
                                        char *error, size_t error_size);
/* Where the log stands before the first buyer comes. cb runs once, later: ST_OK, or why not. */
void crowd_audit_begin(struct crowd_audit *audit, crowd_audit_cb cb, void *arg);
/* Reads on, if it is not reading already: once a second. */
void crowd_audit_follow(struct crowd_audit *audit);
/* Reads the rest and judges. cb runs once, later. */
void crowd_audit_finish(struct crowd_audit *audit, crowd_audit_cb cb, void *arg);
const struct crowd_check *crowd_audit_check(const struct crowd_audit *audit);
struct crowd_findings *crowd_audit_findings(struct crowd_audit *audit);
void crowd_audit_close(struct crowd_audit *audit, loop_cb cb, void *arg); /* NULL: cb at once */
void crowd_audit_free(struct crowd_audit *audit); /* after it is closed; NULL is fine */

#endif
