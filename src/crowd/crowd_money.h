/* SPDX-License-Identifier: MIT */
/* crowd_money: compares the provider's books with the payments and the purchases in PostgreSQL. */
#ifndef TIKETI_CROWD_MONEY_H
#define TIKETI_CROWD_MONEY_H

#include "crowd/crowd_state.h"
#include "net/db.h"

struct crowd_money;

/* Returns new; borrows all three. */
struct crowd_money *crowd_money_new(struct crowd *crowd, struct db *db,
                                    struct crowd_findings *findings);
void crowd_money_close(struct crowd_money *money);
/* After crowd_money_close, in a later turn of the loop. NULL: does nothing. */
void crowd_money_free(struct crowd_money *money);
/* Waits until the provider's webhook calls are delivered, then compares. Each call begins from the start, so it may
 * be repeated after a failure. `cb` runs once, later; with ST_OK the findings are complete. */
void crowd_money_check(struct crowd_money *money, crowd_done_cb cb, void *arg);

#endif
