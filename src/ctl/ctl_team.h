/* SPDX-License-Identifier: MIT */
/* ctl_team: the commands about who shares an event. Each returns the exit code. */
#ifndef TIKETI_CTL_TEAM_H
#define TIKETI_CTL_TEAM_H

#include "ctl/ctl_run.h"

int ctl_team(struct ctl_run *run);        /* its team, and the invitations that are open */
int ctl_team_invite(struct ctl_run *run); /* ROLE [NAME]: prints the link, which works once */
int ctl_team_remove(struct ctl_run *run); /* a person by subject, or an invitation by its id */

#endif
