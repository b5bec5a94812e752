/* SPDX-License-Identifier: MIT */
/*
 * crowd_shop: a shop behind the waiting room that gets slower the more buyers are inside, and reports its health:
 * --shop N. With N inside the 95th percentile of its response times is a second (feedback_shop_p95_ms).
 */
#ifndef TIKETI_CROWD_SHOP_H
#define TIKETI_CROWD_SHOP_H

#include "crowd/crowd_state.h"

struct crowd_shop;

/* Returns new; reports until crowd_shop_stop, and writes what became of the threshold into the crowd's tally. Borrows the
 * crowd. Needs JWT secrets: it reports as staff. */
struct crowd_shop *crowd_shop_new(struct crowd *crowd);
void crowd_shop_stop(struct crowd_shop *shop); /* NULL is fine */
void crowd_shop_free(struct crowd_shop *shop); /* NULL is fine; stopped before */

#endif
