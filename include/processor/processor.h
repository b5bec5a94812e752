/* SPDX-License-Identifier: MIT */
/*
 * processor: for each live event whose lease this process holds: the upkeep (index, once a second),
 * the tick (promote, every interval), the ledger, settling with PostgreSQL (every 5 s), sweeping
 * of expired holds. One event's trouble never stops another: each has its own chain.
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
struct processor *processor_new(const struct processor_opts *opts);
/* Each message of QUEUE_CHANNEL: "process" requests and config-changed hints. */
void processor_on_message(struct processor *processor, const struct queue_message *message);
void processor_on_redis(struct processor *processor, bool up);
/* Stops ticking, releases the leases, frees, then cb. */
void processor_close(struct processor *processor, loop_cb cb, void *arg);

#endif
