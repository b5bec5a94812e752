/* SPDX-License-Identifier: MIT */
/* crowd_money: compares the provider's books with the payments and the purchases in PostgreSQL. */
#ifndef TIKETI_CROWD_MONEY_H
#define TIKETI_CROWD_MONEY_H

#include "crowd/crowd_state.h"
#include "net/db.h"

struct crowd_money;

struct crowd_money *crowd_money_new(struct crowd *crowd, struct db *db,
                                    struct crowd_findings *findings);
void crowd_money_free(
    struct crowd_money *money); /* closed, and the loop has run on; NULL is fine */
void crowd_money_close(struct crowd_money *money);
/* Waits until the provider's webhook calls are delivered, then compares. Begins from the start each time, so that it
 * may be repeated after a failure. cb runs once, later. */
void crowd_money_check(struct crowd_money *money, crowd_done_cb cb, void *arg);

#endif
