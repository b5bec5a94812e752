/* SPDX-License-Identifier: MIT */
/*
 * shop_health: asks a Prometheus how the shop is: two queries of its HTTP API (GET /api/v1/query), one for the 95th
 * percentile of the response times in seconds, one for the share of requests that fail. All calls are for the loop's own
 * thread.
 */
#ifndef TIKETI_SHOP_HEALTH_H
#define TIKETI_SHOP_HEALTH_H

#include "base/config.h"
#include "base/status.h"
#include "net/loop.h"
#include "queue/feedback.h"

#include <stddef.h>

struct shop_health;

/* Returns new; borrows the config. ST_FULL: there can be no connections. */
MUST_CHECK enum status shop_health_new(struct loop *loop, const struct config *config,
                                       struct shop_health **ret);
/* Callbacks of questions under way get ST_UNAVAILABLE before this returns. NULL is fine. */
void shop_health_close(struct shop_health *shop);

/* ST_OK: `health` is set, without its time; borrowed until the callback returns. ST_NOT_FOUND: Prometheus has no such
 * number now, such as of a shop without requests. ST_UNAVAILABLE: it does not answer, or not as Prometheus does. */
typedef void (*shop_health_cb)(void *arg, enum status status, const struct feedback_health *health);
/* ST_OK: cb runs exactly once, later. ST_FULL: too many questions are under way. */
MUST_CHECK enum status shop_health_ask(struct shop_health *shop, const char *event_id,
                                       shop_health_cb cb, void *arg);

/* Reads the one number of an answer to a query: a scalar, or a vector of one element. ST_NOT_FOUND: an empty vector, or
 * NaN. ST_INVALID: anything else. */
MUST_CHECK enum status shop_health_read(const char *json, size_t len, double *ret);

#endif
