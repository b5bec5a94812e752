/* SPDX-License-Identifier: MIT */
/* ctl_forecast: `ctl forecast`: what a change of settings would do. */
#ifndef TIKETI_CTL_FORECAST_H
#define TIKETI_CTL_FORECAST_H

#include "ctl/ctl_run.h"

/* The names of what may be assumed about buyers, beside settings. NULL ends the list. Static. */
extern const char *const ctl_forecast_names[];

/* Returns the exit code. */
int ctl_forecast(struct ctl_run *run);

#endif
