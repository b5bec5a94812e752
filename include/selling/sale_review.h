/* SPDX-License-Identifier: MIT */
/*
 * sale_review: compares what PostgreSQL has of one event with what Redis knows of it, and puts back what it lacks: the record
 * by the live copy, sales by their copies.
 *
 *   live copy -> sale_reconcile_event -> copies of sales, page by page, and which are newer -> sale_reconcile
 *
 * For a PostgreSQL that is older than Redis: restored from a backup, or a standby that lacked the last commits.
 */
#ifndef TIKETI_SALE_REVIEW_H
#define TIKETI_SALE_REVIEW_H

#include "base/json.h"
#include "net/db.h"
#include "queue/queue.h"

#include <stdbool.h>
#include <stddef.h>

enum sale_review_found {
    SALE_REVIEW_NO_RECORD, /* PostgreSQL has no record of the event; item: NULL */
    SALE_REVIEW_OLDER, /* the record is older than what is in force; item: as sale_reconcile_event says */
    SALE_REVIEW_COUNTED, /* the copies were compared; item: {"copies","lacking"} */
    SALE_REVIEW_SALE     /* a sale; item: one of the differences of sale_reconcile */
};

struct sale_review_opts {
    struct queue *queue; /* borrowed, as is db */
    struct db *db;
    const char *event; /* copied */
    bool apply;        /* false: nothing is changed, and what would be is told */
    /* Called any number of times before `done`; `item` is borrowed until it returns. */
    void (*found)(void *arg, enum sale_review_found found, const struct json *item);
    /* Called once, at last. ST_OK, or what a server did not answer (`what`: a static text; else NULL): what was put back
     * stays, and the review may be repeated. */
    void (*done)(void *arg, enum status status, const char *what);
    void *arg;
};

/* Begins; `done` is called later, not from within. Another status than ST_OK: nothing was begun, and no callback runs. */
MUST_CHECK enum status sale_review_start(const struct sale_review_opts *opts);

/* What a difference means, for people, and (ret_left, may be NULL) whether it is left for them. Static. */
const char *sale_review_meaning(const char *what, bool *ret_left);

#endif
