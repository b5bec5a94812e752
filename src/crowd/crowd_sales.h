/* SPDX-License-Identifier: MIT */
/* crowd_sales: compares the seats sold, as PostgreSQL has them, with what the buyers believe. */
#ifndef TIKETI_CROWD_SALES_H
#define TIKETI_CROWD_SALES_H

#include "crowd/crowd_audit.h"
#include "crowd/crowd_buyer.h"
#include "net/db.h"

struct crowd_sales;

struct crowd_sales *crowd_sales_new(struct crowd *crowd, struct db *db,
                                    struct crowd_findings *findings);
void crowd_sales_free(struct crowd_sales *sales); /* NULL is fine */
/* Begins from the start each time, so that it may be repeated after a failure. cb runs once,
 * later; with ST_OK the findings are complete. */
void crowd_sales_check(struct crowd_sales *sales, crowd_audit_cb cb, void *arg);

#endif
