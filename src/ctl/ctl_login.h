/* SPDX-License-Identifier: MIT */
/* ctl_login: which service `tiketi ctl` speaks to, and the token it shows there. */
#ifndef TIKETI_CTL_LOGIN_H
#define TIKETI_CTL_LOGIN_H

#include "ctl/ctl_run.h"

/* Finds the service's URL and token: --url, TIKETI_URL, TIKETI_TOKEN, then the file that `login` wrote. CTL_OK: run->url
 * and run->token are set, and live as long as the process. Other results were told. */
enum ctl_exit ctl_login_read(struct ctl_run *run);

/* The commands. Each returns the exit code. */
int ctl_login(struct ctl_run *run);
int ctl_logout(struct ctl_run *run);

#endif
