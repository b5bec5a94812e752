/* SPDX-License-Identifier: MIT */
/* trial: `tiketi serve --check-config`: what only a try shows about settings. */
#ifndef TIKETI_TRIAL_H
#define TIKETI_TRIAL_H

#include "base/config.h"

#include <stdint.h>

/* Tries everything that `config` names: reads files, makes keys, connects. Prints a line for each on stdout: "ok", or
 * "problem" with the way out. A setting that is missing is passed over: that was said already. may_open: connections to
 * PostgreSQL that all workers of the process may open. Takes some seconds at most. Returns the number of problems. */
unsigned trial_run(const struct config *config, int64_t may_open);

#endif
