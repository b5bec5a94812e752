/* SPDX-License-Identifier: MIT */
/* httpd_pace: the connections of an httpd that are too slow, and those that are idle. For the loop's own thread. */
#ifndef TIKETI_HTTPD_PACE_H
#define TIKETI_HTTPD_PACE_H

#include "net/httpd_intake.h"

/* Refuses with 408 what is too slow, ends connections whose client reads too slowly, and gives back memory of those that
 * have long been idle. Returns whether the library has to run. */
bool intake_sweep(struct intake_lists *lists, uint64_t now_ms);
/* Refuses with 503 the oldest connection that holds a reserved place; false when there is none. */
bool intake_push_out(struct intake_lists *lists);
/* The connection that has been idle longest, if that is long enough to close it for another; else NULL. */
struct intake *intake_longest_idle(const struct intake_lists *lists, uint64_t now_ms);
/* Closes an idle connection: the library does so when it next runs. A request that has come meanwhile is still answered. */
void intake_shed(struct intake *intake);
bool intake_is_shed(const struct intake *intake);

#endif
