/* SPDX-License-Identifier: MIT */
/*
 * catalog_lookup: asks PostgreSQL about events that Redis does not have, for all callers together.
 *
 * ask -> line of questions -> one statement at a time, at most one in 20 ms, up to 1,000 ids each -> answers
 *
 * Why this way: anybody may send any number of invented ids. Random ids never repeat, so a negative cache does not
 * limit their cost. A limit on lookups would also refuse buyers of an event that was opened just now, or that Redis
 * has lost: only PostgreSQL can tell their id from an invented one. So nobody is refused, but the ids are collected:
 * a flood costs PostgreSQL at most 50 statements per second and worker, and one index look-up per id, which is less
 * than the request costs this process. A single question is sent at once.
 * Called by: catalog.c. Owns: the line, one timer. The questions are its callers' memory: one per request. PostgreSQL
 * gone or hanging: when the statement under way reaches its deadline, all questions end, those in the line too; no
 * question waits for two statements.
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
    struct catalog_question *line, **line_end; /* questions not sent yet, in the order they came */
    struct catalog_question *batch;            /* the questions of the statement under way */
    uint64_t next_ms;                          /* the earliest time for the next statement */
    bool asking, stopped;
};

static void answer_all(struct catalog_question *list, enum status status)
{
    for (struct catalog_question *next; list; list = next) {
        next = list->next;
        list->cb(list->arg, status, NULL);
    }
}

/* Empties the line and returns its questions, so that a question that a callback adds is not
 * answered along with them. */
static struct catalog_question *take_line(struct catalog_lookup *lookup)
{
    struct catalog_question *line = lookup->line;
    lookup->line = NULL;
    lookup->line_end = &lookup->line;
    return line;
}

static void fail(struct catalog_lookup *lookup, enum status status)
{
    struct catalog_question *batch = lookup->batch, *line = take_line(lookup);
    lookup->batch = NULL;
    lookup->asking = false;
    answer_all(batch, status);
    answer_all(line, status);
}

static void answer_one(struct catalog_lookup *lookup, enum status status, const struct event *event)
{
    struct catalog_question **at = &lookup->batch;
    while (*at && strcmp((*at)->id, event->id) != 0)
        at = &(*at)->next;
    struct catalog_question *question = *at;
    if (!question)
        return;
    *at = question->next;
    question->cb(question->arg, status, status == ST_OK ? event : NULL);
}

static void ask_next(struct catalog_lookup *lookup);

static void on_event(void *arg, enum status status, const struct event *event)
{
    struct catalog_lookup *lookup = arg;
    if (event) {
        answer_one(lookup, status, event);
        return;
    }
    if (status == ST_OK) {
        struct catalog_question *rest = lookup->batch;
        lookup->batch = NULL;
        lookup->asking = false;
        answer_all(rest, ST_NOT_FOUND);
    } else {
        fail(lookup, status);
    }
    ask_next(lookup);
}

/* Sends the first questions of the line as the next batch, if no statement is under way and next_ms has come. */
static void ask_next(struct catalog_lookup *lookup)
{
    const uint64_t now_ms = loop_now_ms(lookup->loop);
    struct catalog_question **end = &lookup->line;
    struct buf ids;
    if (lookup->asking || lookup->stopped || !lookup->line)
        return;
    if (now_ms < lookup->next_ms) {
        loop_timer_set(lookup->timer, lookup->next_ms - now_ms);
        return;
    }
    buf_init(&ids, IDS_MAX * (EVENT_ID_MAX + 3) + 2);
    for (size_t n = 0; *end && n < IDS_MAX; n++, end = &(*end)->next) {
        buf_add_str(&ids, n > 0 ? ",\"" : "{\""); /* in quotes, because an event's id may be NULL */
        buf_add_str(&ids, (*end)->id);
        buf_add_char(&ids, '"');
    }
    buf_add_char(&ids, '}');
    lookup->batch = lookup->line;
    lookup->line = *end;
    if (!lookup->line)
        lookup->line_end = &lookup->line;
    *end = NULL;
    lookup->next_ms = now_ms + EVERY_MS;
    lookup->asking = true;
    metrics_add(METRIC_EVENT_LOOKUPS, 1);
    const enum status st = catalog_fetch_among(lookup->db, buf_str(&ids), on_event, lookup);
    buf_clear(&ids);
    if (st != ST_OK)
        fail(lookup, st);
}

static void on_timer(void *arg)
{
    ask_next(arg);
}

void catalog_lookup_ask(struct catalog_lookup *lookup, struct catalog_question *question)
{
    if (lookup->stopped) {
        question->cb(question->arg, ST_UNAVAILABLE, NULL);
        return;
    }
    const bool first = !lookup->line;
    question->next = NULL;
    *lookup->line_end = question;
    lookup->line_end = &question->next;
    if (first) /* otherwise the timer is set or a statement is under way */
        ask_next(lookup);
}

struct catalog_lookup *catalog_lookup_new(struct loop *loop, struct db *db)
{
    struct catalog_lookup *lookup = xcalloc(1, sizeof(*lookup));
    lookup->loop = loop;
    lookup->db = db;
    lookup->line_end = &lookup->line;
    lookup->timer = loop_timer_new(loop, on_timer, lookup);
    return lookup;
}

void catalog_lookup_stop(struct catalog_lookup *lookup)
{
    if (!lookup || lookup->stopped)
        return;
    lookup->stopped = true;
    loop_timer_close(lookup->timer);
    answer_all(take_line(lookup), ST_UNAVAILABLE);
}

void catalog_lookup_free(struct catalog_lookup *lookup)
{
    catalog_lookup_stop(lookup);
    free(lookup);
}
