/* SPDX-License-Identifier: MIT */
/* crowd_purchases: compares the seats sold, as PostgreSQL has them, with the seats that the buyers remember buying. */
#ifndef TIKETI_CROWD_PURCHASES_H
#define TIKETI_CROWD_PURCHASES_H

#include "crowd/crowd_state.h"
#include "net/db.h"

struct crowd_purchases;

/* Returns new; borrows all three. */
struct crowd_purchases *crowd_purchases_new(struct crowd *crowd, struct db *db,
                                            struct crowd_findings *findings);
void crowd_purchases_free(struct crowd_purchases *purchases); /* NULL: does nothing */
/* Each call begins from the start, so it may be repeated after a failure. `cb` runs once, later; with ST_OK the
 * findings are complete. */
void crowd_purchases_check(struct crowd_purchases *purchases, crowd_done_cb cb, void *arg);

#endif
