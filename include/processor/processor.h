/* SPDX-License-Identifier: MIT */
/*
 * processor: admits buyers. For each live event whose lease this process holds: the tick (admits buyers, every
 * interval) and the upkeep (rank index, ledger, reconciling with PostgreSQL; once a second). For all events: ends
 * expired holds and frees slots after a purchase. The failure of one event never stops another: each has its own
 * runner.
 */
#ifndef TIKETI_PROCESSOR_H
#define TIKETI_PROCESSOR_H

#include "base/config.h"
#include "net/db.h"
#include "net/loop.h"
#include "processor/shop_health.h"
#include "queue/queue.h"

struct processor;

struct processor_opts {
    struct loop *loop;
    const struct config *config;
    struct queue *queue;
    struct db *db;
    struct shop_health *shop; /* taken: closed by processor_close; NULL: no Prometheus is asked */
};
/* Returns new, running. Copies the opts, borrows what else they point to until processor_close has called back. */
struct processor *processor_new(const struct processor_opts *opts);
/* A message of the channel between pods: a request for a tick, or a hint that settings or seats changed. Borrowed for the call. */
void processor_on_message(struct processor *processor, const struct queue_message *message);
/* The connection to Redis was lost (false) or is back (true). */
void processor_on_redis(struct processor *processor, bool up);
/* Stops ticking, releases the leases and frees the processor; then `cb` (may be NULL) runs, once, later. */
void processor_close(struct processor *processor, loop_cb cb, void *arg);

#endif
