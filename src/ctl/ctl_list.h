/* SPDX-License-Identifier: MIT */
/* ctl_list: a list that the service answers in pages. */
#ifndef TIKETI_CTL_LIST_H
#define TIKETI_CTL_LIST_H

#include "ctl/ctl_run.h"

struct ctl_list {
    const char *event, *path; /* as in ctl_request: event, rest */
    const char *query;        /* "due=1&" before the page's own; NULL: none */
    const char *key;          /* of the array in each answer */
    size_t most;              /* entries; 0: all */
};

/* Reads page after page. *ret_all: a new array of the entries, which the caller frees in every case; after a failure, which
 * was told, it has those of the pages before. */
enum ctl_exit ctl_list(const struct ctl_run *run, const struct ctl_list *list,
                       struct json **ret_all);

#endif
