/* SPDX-License-Identifier: MIT */
/* ctl_record: the commands that read what has happened in a sale, and whether it may begin. Each returns the exit code. */
#ifndef TIKETI_CTL_RECORD_H
#define TIKETI_CTL_RECORD_H

#include "ctl/ctl_run.h"

/* Is it ready to open: the checks, with what was found. CTL_REFUSED when one of them is bad. */
int ctl_readiness(struct ctl_run *run);
int ctl_buyer(struct ctl_run *run);    /* one buyer's story */
int ctl_payments(struct ctl_run *run); /* all, or with --status or --due some */
int ctl_bans(struct ctl_run *run);     /* who is shut out, and why */
int ctl_audit(struct ctl_run *run);    /* the newest --limit changes, as sentences */
int ctl_minutes(struct ctl_run *run);  /* the sale minute by minute, and the changes in that time */

#endif
