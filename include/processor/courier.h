/* SPDX-License-Identifier: MIT */
/*
 * courier: delivers the feeds of events to their webhooks. Every pod with the processor role has one; each webhook is claimed
 * by one of them.
 */
#ifndef TIKETI_COURIER_H
#define TIKETI_COURIER_H

#include "base/config.h"
#include "base/status.h"
#include "net/db.h"
#include "net/loop.h"

struct courier;

struct courier_opts {
    struct loop *loop;
    const struct config *config;
    struct db *db;
};
/* Returns new, running. Borrows what the opts point to until courier_close has called back. ST_INVALID: OUTBOUND_ALLOW cannot
 * be used. */
MUST_CHECK enum status courier_new(const struct courier_opts *opts, struct courier **ret);
/* Claims nothing more, waits up to three seconds for the answers of receivers, and frees the courier; then `cb` runs, once,
 * later. */
void courier_close(struct courier *courier, loop_cb cb, void *arg);

#endif
