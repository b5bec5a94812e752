/* SPDX-License-Identifier: MIT */
/*
 * catalog_lookup: the events that Redis does not have, looked up in PostgreSQL for all who ask together.
 *
 *   ask -> the line -> at most every 20 ms, one statement at a time, up to 1,000 ids each -> all are told
 *
 * Why this way: anybody may send ids, as many as he likes. Random ones never repeat, so to remember which
 * were not there bounds nothing; and so many a second and no more would refuse the buyer of an event opened
 * this moment, or of one that Redis lost: before PostgreSQL is asked, his id looks like the flood's. So
 * nobody is refused, but PostgreSQL hears of them together: what a flood costs it is 50 statements a second
 * and worker, and a step in the index for each id, less than the request costs us. A question alone goes
 * out at once.
 * Called by: catalog.c. Owns: the line, one timer. Its memory is its askers': as many as there are requests
 * under way. PostgreSQL gone or hanging: all who are asked about or stand in line are told at the one
 * statement's deadline; nobody waits for two.
 */
#include "queue/catalog_lookup.h"

#include "base/buf.h"
#include "base/memory.h"
#include "base/metrics.h"

#include <stdlib.h>
#include <string.h>

#define EVERY_MS 20
#define IDS_MAX  1000

struct catalog_lookup {
    struct loop *loop;
    struct db *db;
    struct loop_timer *timer;
    struct catalog_asked *line, **line_end; /* not yet asked about; first come, first asked */
    struct catalog_asked *batch;            /* asked about now */
    uint64_t next_ms;                       /* no statement before */
    bool asking, stopped;
};

/* ---- the line ---- */

static struct catalog_asked *take_line(struct catalog_lookup *lookup)
{
    struct catalog_asked *line = lookup->line;
    lookup->line = NULL;
    lookup->line_end = &lookup->line;
    return line;
}

/* The first of the line become the batch, and their ids an array literal. */
static void take_batch(struct catalog_lookup *lookup, struct buf *ids)
{
    struct catalog_asked **end = &lookup->line;
    for (size_t n = 0; *end != NULL && n < IDS_MAX; n++, end = &(*end)->next) {
        buf_add_str(ids, n > 0 ? ",\"" : "{\""); /* in quotes: an event may be called NULL */
        buf_add_str(ids, (*end)->id);
        buf_add_char(ids, '"');
    }
    buf_add_char(ids, '}');
    lookup->batch = lookup->line;
    lookup->line = *end;
    if (lookup->line == NULL)
        lookup->line_end = &lookup->line;
    *end = NULL;
}

static void tell_all(struct catalog_asked *list, enum status status)
{
    for (struct catalog_asked *next; list != NULL; list = next) {
        next = list->next;
        list->cb(list->arg, status, NULL);
    }
}

/* ---- a statement ---- */

static void ask_next(struct catalog_lookup *lookup);

static void fail(struct catalog_lookup *lookup, enum status status)
{
    struct catalog_asked *batch = lookup->batch, *line = take_line(lookup);
    lookup->batch = NULL;
    tell_all(batch, status);
    tell_all(line, status);
}

static void tell_found(struct catalog_lookup *lookup, enum status status, const struct event *event)
{
    struct catalog_asked **at = &lookup->batch;
    while (*at != NULL && strcmp((*at)->id, event->id) != 0)
        at = &(*at)->next;
    struct catalog_asked *asked = *at;
    if (asked == NULL)
        return;
    *at = asked->next;
    asked->cb(asked->arg, status, status == ST_OK ? event : NULL);
}

static void answered(void *arg, enum status status, const struct event *event)
{
    struct catalog_lookup *lookup = arg;
    if (event != NULL) {
        tell_found(lookup, status, event);
        return;
    }
    lookup->asking = false;
    if (status == ST_OK) {
        struct catalog_asked *rest = lookup->batch;
        lookup->batch = NULL;
        tell_all(rest, ST_NOT_FOUND);
    } else {
        fail(lookup, status);
    }
    ask_next(lookup);
}

static void ask_next(struct catalog_lookup *lookup)
{
    const uint64_t now_ms = loop_now_ms(lookup->loop);
    struct buf ids;
    if (lookup->asking || lookup->stopped || lookup->line == NULL)
        return;
    if (now_ms < lookup->next_ms) {
        loop_timer_set(lookup->timer, lookup->next_ms - now_ms);
        return;
    }
    lookup->next_ms = now_ms + EVERY_MS;
    lookup->asking = true;
    buf_init(&ids, IDS_MAX * (EVENT_ID_MAX + 3) + 2);
    take_batch(lookup, &ids);
    metrics_add(METRIC_EVENT_LOOKUPS, 1);
    const enum status st = catalog_fetch_among(lookup->db, buf_str(&ids), answered, lookup);
    buf_clear(&ids);
    if (st != ST_OK) {
        lookup->asking = false;
        fail(lookup, st);
    }
}

static void on_time(void *arg)
{
    ask_next(arg);
}

void catalog_lookup_ask(struct catalog_lookup *lookup, struct catalog_asked *asked)
{
    if (lookup->stopped) {
        asked->cb(asked->arg, ST_UNAVAILABLE, NULL);
        return;
    }
    const bool first = lookup->line == NULL;
    asked->next = NULL;
    *lookup->line_end = asked;
    lookup->line_end = &asked->next;
    if (first) /* else the timer is set, or a statement under way */
        ask_next(lookup);
}

/* ---- life ---- */

struct catalog_lookup *catalog_lookup_new(struct loop *loop, struct db *db)
{
    struct catalog_lookup *lookup = xcalloc(1, sizeof(*lookup));
    lookup->loop = loop;
    lookup->db = db;
    lookup->line_end = &lookup->line;
    lookup->timer = loop_timer_new(loop, on_time, lookup);
    return lookup;
}

void catalog_lookup_stop(struct catalog_lookup *lookup)
{
    if (lookup == NULL || lookup->stopped)
        return;
    lookup->stopped = true;
    loop_timer_close(lookup->timer);
    tell_all(take_line(lookup), ST_UNAVAILABLE);
}

void catalog_lookup_free(struct catalog_lookup *lookup)
{
    if (lookup != NULL)
        catalog_lookup_stop(lookup);
    free(lookup);
}
