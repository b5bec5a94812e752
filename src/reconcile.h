/* SPDX-License-Identifier: MIT */
/* reconcile: the command that compares a restored PostgreSQL with Redis and the provider's books, for the table of commands
 * in main.c. */
#ifndef TIKETI_RECONCILE_H
#define TIKETI_RECONCILE_H

#include "base/program.h"

struct reconcile_options {
    const char *event; /* NULL: every event */
    const char *books; /* a file; "-": standard input; NULL: none */
    bool apply;
};
extern const struct option_row reconcile_rows[];
/* Returns the exit code: 0 when nothing differs, or all was put back; 2 when something is left for people; 1 when a server
 * does not answer, or the books cannot be read. */
int reconcile(struct config *config, const void *arg);

#endif
