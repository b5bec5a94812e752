/* SPDX-License-Identifier: MIT */
/*
 * processor: admits buyers. For each live event whose lease this process holds: the tick (promote, every interval),
 * the upkeep (rank index, ledger, settling with PostgreSQL; once a second). For all events: sweeping of expired
 * holds, freeing of slots after a purchase. An event's failure never stops another: each has its own chain of work.
 */
#ifndef TIKETI_PROCESSOR_H
#define TIKETI_PROCESSOR_H

#include "base/config.h"
#include "net/db.h"
#include "net/loop.h"
#include "queue/queue.h"

struct processor;

struct processor_opts {
    struct loop *loop;
    const struct config *config;
    struct queue *queue;
    struct db *db;
};
/* Starts at once. Copies the opts, borrows what they point to until processor_close has called back. */
struct processor *processor_new(const struct processor_opts *opts);
/* A message of QUEUE_CHANNEL, borrowed: requests for a tick, and hints that settings or seats changed. */
void processor_on_message(struct processor *processor, const struct queue_message *message);
/* The connection to Redis was lost or is back. */
void processor_on_redis(struct processor *processor, bool up);
/* Stops ticking, releases the leases and frees the processor; then `cb` (may be NULL) runs, once, later. */
void processor_close(struct processor *processor, loop_cb cb, void *arg);

#endif
