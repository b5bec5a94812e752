/* SPDX-License-Identifier: MIT */
/*
 * reconcile: tiketi reconcile: what a PostgreSQL that was restored from a backup lacks, and puts it back.
 *
 *   connect -> events of PostgreSQL, and of Redis -> [begin] -> for each event: sale_review -> books
 *
 * Why this way: Redis lives on while PostgreSQL goes back, so what was sold since is known there (processor_sales), and the
 * payment provider knows what was paid. SQL compares and changes; without --apply it does the same and takes it back, so the
 * report is what would happen.
 * Called by: main. Owns: the loop and everything on it. PostgreSQL or Redis gone: it says so and ends with 1; what was
 * done is done, and the command may be repeated.
 */
#include "reconcile.h"

#include "auth/token.h"
#include "backends.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "queue/catalog_store.h"
#include "selling/sale.h"
#include "selling/sale_review.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TRIES 100 /* of 100 ms, for a server that does not answer */
#define PROBLEM_TRIES 20  /* for one that says what is wrong */
#define BOOKS_MAX     ((size_t)16 << 20)
#define REPORT_MAX    ((size_t)64 << 20)
#define EXIT_DIFFERS  2

const struct option_row reconcile_rows[] = {
    {"event", OPT_TEXT, offsetof(struct reconcile_options, event), 0, 0, NULL, "ID",
     "only this event"},
    {"books", OPT_TEXT, offsetof(struct reconcile_options, books), 0, 0, NULL, "FILE",
     "all charges of the payment provider, as JSON: an array, or an object with the array "
     "\"charges\", "
     "of objects with reference, reservationId, provider, amount (minor units), currency, and "
     "status: "
     "paid or refunded; -: standard input"},
    {"apply", OPT_FLAG, offsetof(struct reconcile_options, apply), 0, 0, NULL, NULL,
     "put back what is lacking; without it nothing is changed"},
    {0},
};

struct event_name {
    struct event_name *next;
    char id[EVENT_ID_MAX + 1];
};

struct run {
    const struct reconcile_options *options;
    struct loop *loop;
    struct backends backends;
    struct loop_timer *begin; /* waits for the connections */
    unsigned tries;
    struct event_name *events; /* still to be compared; the first one is */
    struct buf books;
    unsigned live, known;       /* events that are not closed; events that Redis knows */
    unsigned differences, left; /* left: for people */
    int code;
};

static void next_event(struct run *run);

/* ---- the end ---- */

static void end(struct run *run, int code)
{
    run->code = code;
    loop_timer_close(run->begin);
    backends_close(&run->backends);
}

static void fail(struct run *run, const char *what, enum status status)
{
    end(run, program_fail("reconcile", 1, "%s: %s. Repeat the command: what was done is done", what,
                          status_name(status)));
}

static void sum_up(struct run *run)
{
    if (run->differences == 0)
        (void)puts("Nothing differs.");
    else if (!run->options->apply)
        (void)printf("%u differences. Nothing was changed: --apply puts back what can be.\n",
                     run->differences);
    else
        (void)printf("%u differences, %u of them left for people.\n", run->differences, run->left);
    end(run, run->differences == 0 || (run->options->apply && run->left == 0) ? 0 : EXIT_DIFFERS);
}

/* ---- the differences ---- */

static const char *text_of(const struct json *item, const char *key)
{
    const char *text = json_str(item, key);
    return text ? text : "-";
}

/* Counts a difference, and returns what it means. */
static const char *count_finding(struct run *run, const char *what)
{
    bool left;
    const char *means = sale_review_meaning(what, &left);
    run->differences++;
    run->left += left;
    return means;
}

static void on_books(void *arg, enum status status, const char *outcome, const char *body,
                     size_t len)
{
    struct run *run = arg;
    struct json *answer = status == ST_OK ? json_parse(body, len, REPORT_MAX, NULL) : NULL;
    (void)outcome;
    if (!answer) {
        fail(run, "the books were not compared", status);
        return;
    }
    const struct json *list = json_get(answer, "differences");
    (void)printf("books: %" PRId64 " charges, %zu differ\n", json_int(answer, "charges", 0),
                 json_array_len(list));
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json *item = json_array_at(list, i);
        const char *what = text_of(item, "what");
        (void)printf("  %s\t%s\t%s\t%" PRId64 " %s\t%s\n", what, text_of(item, "reference"),
                     text_of(item, "reservation"), json_int(item, "amount", 0),
                     text_of(item, "currency"), count_finding(run, what));
    }
    json_free(answer);
    sum_up(run);
}

static void print_value(const struct json *value)
{
    struct buf text;
    buf_init(&text, 65536);
    json_write(value, &text);
    (void)printf("%s", value ? buf_str(&text) : "null");
    buf_clear(&text);
}

static void print_older(const struct run *run, const struct json *item)
{
    const struct json *changes = json_get(item, "changes");
    (void)printf("event %s: PostgreSQL has version %" PRId64 " (epoch %" PRId64
                 "), in force is version %" PRId64 " (epoch %" PRId64 ")\n",
                 run->events->id, json_int(item, "version", 0), json_int(item, "epoch", 0),
                 json_int(item, "liveVersion", 0), json_int(item, "liveEpoch", 0));
    for (size_t i = 0; i < json_array_len(changes); i++) {
        const struct json *change = json_array_at(changes, i);
        (void)printf("  %s\t", text_of(change, "field"));
        print_value(json_get(change, "from"));
        (void)printf(" -> ");
        print_value(json_get(change, "to"));
        (void)putchar('\n');
    }
}

static void on_found(void *arg, enum sale_review_found found, const struct json *item)
{
    struct run *run = arg;
    const char *what = text_of(item, "what");
    switch (found) {
    case SALE_REVIEW_NO_RECORD:
        (void)printf("event %s: it is in Redis, and PostgreSQL has no record of it\n",
                     run->events->id);
        run->differences++;
        run->left++;
        break;
    case SALE_REVIEW_OLDER:
        print_older(run, item);
        run->differences++;
        break;
    case SALE_REVIEW_COUNTED:
        (void)printf("event %s: Redis has %" PRId64 " sales, PostgreSQL lacks %" PRId64
                     " of them\n",
                     run->events->id, json_int(item, "copies", 0), json_int(item, "lacking", 0));
        break;
    case SALE_REVIEW_SALE:
        (void)printf("  %s\t%s\t%s\t%s\t%" PRId64 " %s\t%s\t%s\n", what, text_of(item, "number"),
                     text_of(item, "status"), text_of(item, "seats"), json_int(item, "total", 0),
                     text_of(item, "currency"), text_of(item, "references"),
                     count_finding(run, what));
        break;
    }
}

static void on_reviewed(void *arg, enum status status, const char *what)
{
    struct run *run = arg;
    if (status != ST_OK) {
        fail(run, what, status);
        return;
    }
    struct event_name *event = run->events;
    run->events = event->next;
    free(event);
    next_event(run);
}

/* ---- events ---- */

static void next_event(struct run *run)
{
    enum status st;
    if (run->events) {
        st = sale_review_start(&(struct sale_review_opts){.queue = run->backends.queue,
                                                          .db = run->backends.db,
                                                          .event = run->events->id,
                                                          .apply = run->options->apply,
                                                          .found = on_found,
                                                          .done = on_reviewed,
                                                          .arg = run});
        if (st != ST_OK)
            fail(run, "Redis' live copy of the event cannot be read", st);
    } else if (run->books.len == 0) {
        sum_up(run);
    } else {
        st = sale_reconcile_books(run->backends.db, buf_str(&run->books), run->options->apply,
                                  on_books, run);
        if (st != ST_OK)
            fail(run, "the books were not compared", st);
    }
}

static void add_event(struct run *run, const char *id)
{
    struct event_name **at = &run->events;
    if (run->options->event && strcmp(run->options->event, id) != 0)
        return;
    while (*at && strcmp((*at)->id, id) < 0)
        at = &(*at)->next;
    if (*at && strcmp((*at)->id, id) == 0)
        return;
    struct event_name *event = xcalloc(1, sizeof(*event));
    (void)snprintf(event->id, sizeof(event->id), "%s", id);
    event->next = *at;
    *at = event;
}

static void on_begun(void *arg, enum status status, const char *outcome, const char *body,
                     size_t len)
{
    struct run *run = arg;
    (void)outcome, (void)body, (void)len;
    if (status == ST_OK)
        next_event(run);
    else
        fail(run, "nothing was changed", status);
}

static void on_known(void *arg, enum status status, const char *id)
{
    struct run *run = arg;
    if (id) {
        run->known++;
        add_event(run, id);
        return;
    }
    if (status == ST_OK && run->known == 0 && run->live > 0) {
        (void)printf(
            "Redis knows none of %u events that are not closed: is it the right one (REDIS_URL, "
            "REDIS_PREFIX)? If it has lost its data, only the books tell what is lacking.\n",
            run->live);
        run->differences++;
        run->left++;
    }
    if (status == ST_OK && run->options->event)
        add_event(run, run->options->event);
    if (status == ST_OK && run->options->apply)
        status = sale_begin(run->backends.db, on_begun, run);
    else if (status == ST_OK)
        next_event(run);
    if (status != ST_OK)
        fail(run, "Redis' events cannot be read", status);
}

static void on_record(void *arg, enum status status, const struct event *record)
{
    struct run *run = arg;
    if (record) {
        if (status == ST_OK) {
            run->live += record->status != EVENT_CLOSED;
            add_event(run, record->id);
        }
        return;
    }
    if (status == ST_OK)
        status = queue_read_events(run->backends.queue, on_known, run);
    if (status != ST_OK)
        fail(run, "the events cannot be read", status);
}

/* ---- the beginning ---- */

static void begin(void *arg)
{
    struct run *run = arg;
    const bool db = db_up(run->backends.db), redis = redis_up(run->backends.redis);
    const struct db_state db_is = db_state(run->backends.db);
    const struct redis_state redis_is = redis_state(run->backends.redis);
    const unsigned tries = *db_is.problem || *redis_is.problem ? PROBLEM_TRIES : CONNECT_TRIES;
    if (!(db && redis) && run->tries++ < tries) {
        loop_timer_set(run->begin, 100);
        return;
    }
    if (!db || !redis) {
        end(run, program_fail("reconcile", 1, "%s cannot be used: %s", db ? "Redis" : "PostgreSQL",
                              db ? redis_is.problem : db_is.problem));
        return;
    }
    const enum status st = catalog_fetch_live(run->backends.db, on_record, run);
    if (st != ST_OK)
        fail(run, "the events cannot be read", st);
}

/* Appends what PostgreSQL is given of a charge. False: it lacks a field, or one is wrong. */
static bool add_charge(const struct json *charge, struct buf *out)
{
    static const char *const texts[] = {"reference", "reservationId", "provider", "currency",
                                        "status"};
    struct json *copy = json_new_object();
    bool fine = json_is_integer(json_get(charge, "amount"));
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *text = json_str(charge, texts[i]);
        fine = fine && text && *text;
        json_set_str(copy, texts[i], text);
    }
    const char *status = json_str(charge, "status");
    fine = fine && (strcmp(status, "paid") == 0 || strcmp(status, "refunded") == 0);
    json_set_int(copy, "amount", json_int(charge, "amount", 0));
    buf_add_char(out, out->len == 0 ? '[' : ',');
    json_write(copy, out);
    json_free(copy);
    return fine;
}

/* Reads --books into run->books. Returns 0, or the exit code. */
static int read_books(struct run *run)
{
    const char *path = run->options->books;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    struct buf text;
    char part[65536];
    struct json_error error = {0};
    int code = 0;
    if (!file)
        return program_fail("reconcile", 1, "--books: %s cannot be read", path);
    buf_init(&text, BOOKS_MAX);
    for (size_t n; (n = fread(part, 1, sizeof(part), file)) > 0;)
        buf_add(&text, part, n);
    if (file != stdin)
        (void)fclose(file);
    struct json *whole =
        buf_status(&text) == ST_OK ? json_parse(buf_str(&text), text.len, BOOKS_MAX, &error) : NULL;
    const struct json *list = json_is_array(whole) ? whole : json_get(whole, "charges");
    if (!json_is_array(list))
        code = program_fail("reconcile", 1,
                            "--books: %s is no JSON array of charges of at most 16 MiB %s", path,
                            error.detail);
    for (size_t i = 0; code == 0 && i < json_array_len(list); i++) {
        if (!add_charge(json_array_at(list, i), &run->books))
            code = program_fail("reconcile", 1,
                                "--books: charge %zu of %s needs reference, reservationId, "
                                "provider, amount, currency, and a status: paid or refunded",
                                i + 1, path);
    }
    if (code == 0 && run->books.len == 0)
        buf_add_char(&run->books, '[');
    buf_add_char(&run->books, ']');
    json_free(whole);
    buf_clear(&text);
    return code;
}

int reconcile(struct config *config, const void *arg)
{
    struct run run = {.options = arg, .code = EXIT_CONFIG};
    const char *event = run.options->event;
    if (event && !token_is_event_id(event, strlen(event)))
        return program_fail("reconcile", EXIT_USAGE, "--event: '%.80s' is no id of an event",
                            event);
    if (!config->redis_url)
        return program_fail("reconcile", EXIT_CONFIG, "REDIS_URL: must be set");
    buf_init(&run.books, BOOKS_MAX + 4);
    const int code = run.options->books ? read_books(&run) : 0;
    run.loop = code == 0 ? loop_new() : NULL;
    if (!run.loop) {
        buf_clear(&run.books);
        return code != 0 ? code
                         : program_fail("reconcile", 1, "the system has no descriptors left");
    }
    log_set_level(LOG_LEVEL_OFF); /* the drivers' lines would say it again */
    if (backends_open(&run.backends, run.loop, config, "reconcile") == ST_OK) {
        run.begin = loop_timer_new(run.loop, begin, &run);
        loop_timer_set(run.begin, 0);
    } else {
        backends_close(&run.backends);
    }
    loop_run(run.loop);
    loop_free(run.loop);
    while (run.events) {
        struct event_name *name = run.events;
        run.events = name->next;
        free(name);
    }
    buf_clear(&run.books);
    return run.code;
}
