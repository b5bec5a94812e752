/* SPDX-License-Identifier: MIT */
/*
 * mailer: sends the mail of the outbox, and keeps the outbox in order: parks what nobody could send for three days, counts
 * what is pending and parked for the metrics. Every pod with the processor role has one; each mail is claimed by one of
 * them. Without MAIL_URL only the upkeep is done.
 */
#ifndef TIKETI_MAILER_H
#define TIKETI_MAILER_H

#include "base/config.h"
#include "base/status.h"
#include "net/db.h"
#include "net/loop.h"

struct mailer;

struct mailer_opts {
    struct loop *loop;
    const struct config *config;
    struct db *db;
};
/* Returns new, running. Borrows what the opts point to until mailer_close has called back. ST_FULL: there
 * can be no connections. */
MUST_CHECK enum status mailer_new(const struct mailer_opts *opts, struct mailer **ret);
/* Claims nothing more, waits up to three seconds for the mail server's answers, and frees the mailer; then `cb` runs,
 * once, later. */
void mailer_close(struct mailer *mailer, loop_cb cb, void *arg);

#endif
