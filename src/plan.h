/* SPDX-License-Identifier: MIT */
/* plan: the command that says what a sale needs, for the table of commands in main.c. */
#ifndef TIKETI_PLAN_H
#define TIKETI_PLAN_H

#include "base/program.h"

struct plan_options {
    int64_t buyers, arrive_ms, threshold, visit_ms, seats;
    int64_t cores, memory_mib, files, api_pool, gateway_pool;
    double sockets, load;
    bool direct, json, figures;
};
extern const struct option_row plan_rows[];
int plan(struct config *config, const void *arg); /* returns the exit code */

#endif
