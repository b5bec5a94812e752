/* SPDX-License-Identifier: MIT */
/*
 * pusher: sends the calls of the outbox to push services, which bring them to closed pages, and deletes calls and
 * subscriptions that are of no use any more. Every pod with the processor role has one; each call is claimed by one of
 * them. Without VAPID_KEYS only the upkeep is done.
 */
#ifndef TIKETI_PUSHER_H
#define TIKETI_PUSHER_H

#include "base/config.h"
#include "base/status.h"
#include "net/db.h"
#include "net/loop.h"

struct pusher;

struct pusher_opts {
    struct loop *loop;
    const struct config *config;
    struct db *db;
};
/* Returns new, running. Borrows what the opts point to until pusher_close has called back. ST_INVALID: a setting cannot be
 * used (logged). */
MUST_CHECK enum status pusher_new(const struct pusher_opts *opts, struct pusher **ret);
/* After a reload: other VAPID_KEYS. Borrows nothing. */
void pusher_reconfigure(struct pusher *pusher, const struct config *config);
/* Claims nothing more, waits up to three seconds for the answers of push services, and frees the pusher; then `cb` runs,
 * once, later. */
void pusher_close(struct pusher *pusher, loop_cb cb, void *arg);

#endif
