/* SPDX-License-Identifier: MIT */
/* erase: the commands that export and erase the data of one buyer, for the table of commands in main.c. */
#ifndef TIKETI_ERASE_H
#define TIKETI_ERASE_H

#include "base/program.h"

struct erase_options {
    const char *buyer, *who;
    bool force; /* erase alone */
};
extern const struct option_row erase_rows[], export_rows[];
enum status erase_check(const void *arg, struct options_error *error);
/* Each returns the exit code. */
int erase_buyer(struct config *config, const void *options);
int export_buyer(struct config *config, const void *options);

#endif
