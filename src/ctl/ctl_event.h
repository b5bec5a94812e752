/* SPDX-License-Identifier: MIT */
/* ctl_event: the commands about events that are one request, or two. Each returns the exit code. */
#ifndef TIKETI_CTL_EVENT_H
#define TIKETI_CTL_EVENT_H

#include "ctl/ctl_run.h"

int ctl_events(struct ctl_run *run);
int ctl_show(struct ctl_run *run);
int ctl_create(struct ctl_run *run);
int ctl_set(struct ctl_run *run);
/* publish, open, pause, resume, reopen, process: POST …/{verb}, without a body. */
int ctl_verb(struct ctl_run *run);
/* close, clear, reset, delete: asked first, unless --yes is given. */
int ctl_verb_asked(struct ctl_run *run);
int ctl_copy(struct ctl_run *run);
int ctl_admit(struct ctl_run *run);
int ctl_message(struct ctl_run *run);
int ctl_report(struct ctl_run *run);
int ctl_refund(struct ctl_run *run);
int ctl_release(struct ctl_run *run);
int ctl_ban(struct ctl_run *run);
int ctl_unban(struct ctl_run *run);
int ctl_resend(struct ctl_run *run); /* mails that could not be delivered are due again */

#endif
