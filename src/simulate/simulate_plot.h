/* SPDX-License-Identifier: MIT */
/* simulate_plot: a forecast as a picture (SVG): who waits, and who is inside, over the time. */
#ifndef TIKETI_SIMULATE_PLOT_H
#define TIKETI_SIMULATE_PLOT_H

#include "queue/forecast.h"

#include <stdio.h>

/* Writes a whole SVG document. `title` and `subtitle` have no characters that XML gives a meaning. */
void simulate_plot(const struct forecast *forecast, const struct forecast_result *result,
                   const char *title, const char *subtitle, FILE *out);

#endif
