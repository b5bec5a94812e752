/* SPDX-License-Identifier: MIT */
/*
 * ledger: the consumer of one event's admission log.
 *
 *   chain    [state] -> [stats] -> log -> consume -> free -> publish -> log ... until the log is consumed
 *   state    ledger_state reads the cursor, if it is not known: the lease was gained, or a call had no answer. If Redis was
 *            told of a later one, PostgreSQL has lost commits, and is reviewed first (ledger_review.c)
 *   stats    reads the number of admissions, once a second: if the log then has nothing new, free:{id} is renewed
 *   outage   log -> publish without reservations, each entry once
 *
 * Why this way: ledger_consume compares and moves the cursor in the transaction that copies the entries and holds the
 * seats. So an entry has its effect once, however often and by whichever pod it is read. free:{id} and the messages
 * only report that effect, and may be repeated or lost:
 *   - crash before the commit: nothing happened; the next lease holder reads the same entries.
 *   - crash after the commit: the cursor is behind them. The next holder renews free:{id} within a second; until then
 *     there seem to be fewer free seats than there are, never more. The message is lost: gateways find out that
 *     the buyer is active, and the buyer's page reads the reservation by HTTP.
 *   - PostgreSQL down or slower than two seconds: entries are published without reservations. The holds follow in a
 *     second message when PostgreSQL is back, in smaller batches if it is only slow.
 *   - Redis has lost its last writes: the entries it wrote since then are below the cursor, so the cursor is
 *     moved back (lua/log.lua). Entries that are read twice have one effect.
 *   - lease lost during a chain: the new holder moves the cursor, and our call is refused.
 *
 * Called by: processor_runner. Owns: its chain; one call under way, and one of ledger_consumed.c.
 * Redis gone: the chain ends; the next poke begins another.
 */
#include "processor/ledger_internal.h"

#include "base/crash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "base/shared_clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONSUME_MS     2000
#define FREE_EVERY_MS  900  /* a freed seat can admit a buyer within about a second */
#define OUTAGE_BACK_MS 5000 /* without a cursor, entries of the last so many ms are published */
#define BATCH_MIN      10   /* smallest limit of a batch */
#define ENTRIES_MAX    (1 << 20)  /* bytes of one batch as JSON */
#define PAYLOADS_MAX   (16 << 20) /* bytes of the messages of one batch */
#define PLAIN_CHUNK    50         /* buyers in one message */

/* Columns of ledger_state and ledger_consume. */
enum { COL_OUTCOME, COL_BODY, COL_CONSUMED, COL_ADMITTED, COL_FREE, COL_HELD };

static void start_chain(struct ledger *ledger);
static void read_log(struct ledger *ledger);
static void publish_without_cursor(struct ledger *ledger);

/* ---- life of a chain ---- */

void ledger_collect(struct ledger *ledger)
{
    if (ledger->closing && !ledger->busy && !ledger->consumed.active)
        loop_defer(ledger->opts.loop, &ledger->closed);
}

/* May begin the next chain: the caller must return at once. */
static void end_chain(struct ledger *ledger)
{
    ledger->busy = false;
    if (ledger->consumed.waits)
        ledger_consumed_continue(ledger);
    if (ledger->again && ledger->running && !ledger->closing)
        start_chain(ledger);
    else
        ledger_collect(ledger);
}

/* False, and the chain is over: the lease was lost since it began, or the ledger closes. */
static bool chain_continues(struct ledger *ledger)
{
    if (!ledger->closing && ledger->running && ledger->chain_generation == ledger->generation)
        return true;
    end_chain(ledger);
    return false;
}

/* ---- stream ids: "ms-seq" ---- */

static void copy_id(char *out, const char *id)
{
    (void)snprintf(out, LEDGER_ID_SIZE, "%s", id);
}

/* Compares the numbers: as texts, 999-0 would come after 1000-0. */
static bool is_after(const char *a, const char *b)
{
    char *rest_a, *rest_b;
    const uint64_t ms_a = strtoull(a, &rest_a, 10), ms_b = strtoull(b, &rest_b, 10);
    if (ms_a != ms_b)
        return ms_a > ms_b;
    const uint64_t seq_a = *rest_a == '-' ? strtoull(rest_a + 1, NULL, 10) : 0;
    const uint64_t seq_b = *rest_b == '-' ? strtoull(rest_b + 1, NULL, 10) : 0;
    return seq_a > seq_b;
}

/* Writes the highest id below `id`. The sequence number goes up to PostgreSQL's highest bigint. */
static void id_before(char *out, const char *id)
{
    char *rest;
    const uint64_t ms = strtoull(id, &rest, 10);
    const uint64_t seq = *rest == '-' ? strtoull(rest + 1, NULL, 10) : 0;
    if (seq > 0)
        (void)snprintf(out, LEDGER_ID_SIZE, "%" PRIu64 "-%" PRIu64, ms, seq - 1);
    else
        (void)snprintf(out, LEDGER_ID_SIZE, "%" PRIu64 "-%" PRId64, ms > 0 ? ms - 1 : 0,
                       ms > 0 ? INT64_MAX : 0);
}

/* ---- messages ---- */

/* Publishes NUL-ended payloads as `admitted`. A lost message is not repeated: the state in Redis is the truth. */
static void publish_all(struct ledger *ledger, const struct buf *payloads)
{
    if (payloads->failed)
        return;
    for (size_t at = 0; at < payloads->len;) {
        const char *payload = payloads->data + at;
        const size_t len = strlen(payload);
        if (queue_publish(ledger->opts.queue, ledger->event, "admitted", payload, len) != ST_OK)
            return;
        at += len + 1;
    }
}

/* Prepares messages without reservations, in case PostgreSQL does not answer: of the entries that were not published
 * so before. Without auto-hold it prepares none, since lua/promote.lua has published the entries. */
static void write_without_holds(struct ledger *ledger, const struct log_entry *entries,
                                size_t count)
{
    struct buf *out = &ledger->without_holds;
    size_t in_message = 0;
    buf_reset(out);
    for (size_t i = 0; ledger->holds && i < count; i++) {
        const struct log_entry *entry = &entries[i];
        if (!entry->active_now || !is_after(entry->id, ledger->published))
            continue;
        buf_add_str(out, in_message == 0 ? "{\"buyers\":[{\"buyer\":" : ",{\"buyer\":");
        buf_add_json_str(out, entry->buyer, strlen(entry->buyer));
        buf_printf(out,
                   ",\"place\":\"%" PRIu64 "\",\"since\":%" PRId64 ",\"epoch\":%" PRIu64
                   ",\"claimed\":%s}",
                   entry->place, entry->at_ms, entry->epoch,
                   entry->kind == LOG_KIND_OFFERED ? "false" : "true");
        if (++in_message == PLAIN_CHUNK) {
            buf_add(out, "]}", 3); /* with its NUL */
            in_message = 0;
        }
    }
    if (in_message > 0)
        buf_add(out, "]}", 3);
}

/* PostgreSQL cannot hold seats now: publishes the prepared messages. */
static void publish_without_holds(struct ledger *ledger)
{
    publish_all(ledger, &ledger->without_holds);
    if (is_after(ledger->last, ledger->published))
        copy_id(ledger->published, ledger->last);
}

/* ---- free, publish, next batch ---- */

static void batch_done(struct ledger *ledger)
{
    if (ledger->seats_changed &&
        queue_publish(ledger->opts.queue, ledger->event, "seats-changed", "{}", 2) != ST_OK)
        buf_reset(
            &ledger->with_holds); /* Redis is gone: these messages cannot be published either */
    publish_all(ledger, &ledger->with_holds);
    if (ledger->batch)
        crash_point("ledger-after-publish");
    if (!chain_continues(ledger))
        return;
    if (ledger->full && ledger->cursor_known)
        read_log(ledger);
    else
        end_chain(ledger);
}

static void free_seats_written(void *arg, enum status status, bool applied)
{
    struct ledger *ledger = arg;
    (void)applied;
    if (status == ST_OK)
        ledger->free_ms = loop_now_ms(ledger->opts.loop);
    if (ledger->batch)
        crash_point("ledger-after-free");
    batch_done(ledger);
}

/* With Redis gone free:{id} stays as it is: fewer free seats than there are, never more. */
static void write_free_seats(struct ledger *ledger, int64_t free_seats, uint64_t admitted)
{
    const struct queue_free_seats seats = {free_seats, admitted, ledger->cursor};
    if (queue_write_free(ledger->opts.queue, ledger->event, &seats, free_seats_written, ledger) !=
        ST_OK)
        batch_done(ledger);
}

/* ---- consume ---- */

static void consumed(void *arg, enum status status, const struct db_result *result)
{
    struct ledger *ledger = arg;
    /* PostgreSQL needed too long for this batch, so the next ones are smaller until it keeps up. */
    if (status == ST_TIMEOUT)
        ledger->limit = ledger->limit / 2 > BATCH_MIN ? ledger->limit / 2 : BATCH_MIN;
    else if (status == ST_OK)
        ledger->limit =
            ledger->limit * 2 < QUEUE_CALL_MAX ? ledger->limit * 2 : (size_t)QUEUE_CALL_MAX;
    if (status != ST_OK || db_rows(result) < 1) {
        ledger->cursor_known = false; /* the batch may have been committed all the same */
        publish_without_holds(ledger);
        end_chain(ledger);
        return;
    }
    if (strcmp(db_text(result, 0, COL_OUTCOME), "consumed") != 0) {
        ledger->cursor_known = false; /* another consumer has moved it: read it again */
        end_chain(ledger);
        return;
    }
    crash_point("ledger-after-commit");
    ledger->batch = true;
    ledger->seats_changed = db_int(result, 0, COL_HELD) > 0;
    copy_id(ledger->cursor, ledger->last);
    buf_reset(&ledger->with_holds);
    for (int row = 0; row < db_rows(result); row++) {
        if (db_is_null(result, row, COL_BODY))
            continue;
        buf_add_json_compact(&ledger->with_holds, db_text(result, row, COL_BODY),
                             db_len(result, row, COL_BODY));
        buf_add_char(&ledger->with_holds, '\0');
    }
    metrics_add(METRIC_OVER_ADMISSIONS, ledger->over_admissions);
    metrics_add(METRIC_AUTO_HOLDS, (uint64_t)db_int(result, 0, COL_HELD));
    write_free_seats(ledger, db_int(result, 0, COL_FREE),
                     (uint64_t)db_int(result, 0, COL_ADMITTED));
}

/* The promise that must never be broken, as replay.c checks it: nobody enters above the threshold in force. */
static uint64_t count_over_admissions(const struct log_entry *entries, size_t count)
{
    uint64_t over = 0;
    for (size_t i = 0; i < count; i++) {
        const enum log_kind kind = entries[i].kind;
        const bool enters =
            kind == LOG_KIND_DIRECT || kind == LOG_KIND_OFFERED || kind == LOG_KIND_RESTORED;
        over += enters && entries[i].inside > entries[i].threshold;
    }
    return over;
}

static void write_entries(struct buf *out, const struct log_entry *entries, size_t count)
{
    buf_reset(out);
    for (size_t i = 0; i < count; i++) {
        const struct log_entry *entry = &entries[i];
        buf_printf(
            out, "%s{\"id\":\"%s\",\"kind\":\"%s\",\"departed\":%s,\"buyer\":", i == 0 ? "[" : ",",
            entry->id, entry->kind_name,
            entry->kind == LOG_KIND_DEPARTED || entry->kind == LOG_KIND_KEPT ? "true" : "false");
        buf_add_json_str(out, entry->buyer, strlen(entry->buyer));
        buf_printf(out,
                   ",\"place\":%" PRIu64 ",\"epoch\":%" PRIu64 ",\"at\":%" PRId64
                   ",\"inside\":%" PRIu64 ",\"threshold\":%" PRIu64 ",\"n\":%" PRIu64
                   ",\"active\":%s}",
                   entry->place, entry->epoch, entry->at_ms, entry->inside, entry->threshold,
                   entry->n, entry->active_now ? "true" : "false");
    }
    buf_add_char(out, ']');
}

/* ---- nothing new: renew free:{id} ---- */

static enum status ask_state(struct ledger *ledger, const char *first, db_cb cb)
{
    static const struct db_stmt stmt = {
        .name = "ledger_state",
        .sql = "SELECT outcome, body, consumed, admitted, free FROM ledger_state($1, $2)",
        .param_count = 2};
    const char *const params[] = {ledger->event, first};
    return db_query_within(ledger->opts.db, CONSUME_MS, &stmt, params, cb, ledger);
}

static void free_counted(void *arg, enum status status, const struct db_result *result)
{
    struct ledger *ledger = arg;
    if (!chain_continues(ledger))
        return;
    if (status != ST_OK || db_rows(result) != 1) {
        end_chain(ledger);
        return;
    }
    if (strcmp(db_text(result, 0, COL_CONSUMED), ledger->cursor) != 0) {
        ledger->cursor_known = false;
        end_chain(ledger);
        return;
    }
    /* The log had nothing new, so every admission that was counted before it was read has been consumed. */
    buf_reset(&ledger->with_holds);
    ledger->batch = ledger->full = ledger->seats_changed = false;
    write_free_seats(ledger, db_int(result, 0, COL_FREE), ledger->admitted);
}

/* ---- the log ---- */

static void cursor_moved(void *arg, enum status status, const struct db_result *result)
{
    struct ledger *ledger = arg;
    (void)result;
    ledger->again = ledger->again || status == ST_OK;
    end_chain(ledger); /* the next chain reads the cursor */
}

static void log_read(void *arg, enum status status, const struct log_entry *entries, size_t count)
{
    static const struct db_stmt rewind_stmt = {.name = "ledger_rewind",
                                               .sql =
                                                   "SELECT outcome FROM ledger_rewind($1, $2, $3)",
                                               .param_count = 3};
    static const struct db_stmt consume_stmt = {
        .name = "ledger_consume",
        .sql = "SELECT outcome, body, consumed, admitted, free, held "
               "FROM ledger_consume($1, $2, $3, $4::jsonb)",
        .param_count = 4};
    struct ledger *ledger = arg;
    if (!chain_continues(ledger))
        return;
    if (status != ST_OK || (count == 0 && !ledger->renew)) {
        end_chain(ledger);
        return;
    }
    if (count == 0) {
        if (ask_state(ledger, NULL, free_counted) != ST_OK)
            end_chain(ledger);
        return;
    }
    if (!is_after(entries[0].id, ledger->cursor)) {
        /* Redis has lost its last writes, and has written this entry below the cursor since then. */
        char before[LEDGER_ID_SIZE];
        id_before(before, entries[0].id);
        const char *const params[] = {ledger->event, ledger->cursor, before};
        ledger->cursor_known = false;
        ledger->published[0] = '\0'; /* its entry is lost */
        if (db_query(ledger->opts.db, &rewind_stmt, params, cursor_moved, ledger) != ST_OK)
            end_chain(ledger);
        return;
    }
    ledger->renew = false; /* consuming writes free:{id} too */
    ledger->full = count == ledger->limit;
    ledger->over_admissions = count_over_admissions(entries, count);
    copy_id(ledger->last, entries[count - 1].id);
    write_without_holds(ledger, entries, count);
    write_entries(&ledger->entries, entries, count);
    crash_point("ledger-before-commit");
    const char *const params[] = {ledger->event, ledger->cursor, ledger->last,
                                  buf_str(&ledger->entries)};
    if (buf_status(&ledger->entries) == ST_OK &&
        db_query_within(ledger->opts.db, CONSUME_MS, &consume_stmt, params, consumed, ledger) ==
            ST_OK)
        return;
    publish_without_holds(ledger);
    end_chain(ledger);
}

static void read_log(struct ledger *ledger)
{
    const struct queue_log_range range = {ledger->cursor, ledger->limit, true};
    if (queue_read_log(ledger->opts.queue, ledger->event, &range, log_read, ledger) != ST_OK)
        end_chain(ledger);
}

static void stats_read(void *arg, enum status status, const struct queue_stat *list, size_t count)
{
    struct ledger *ledger = arg;
    if (!chain_continues(ledger))
        return;
    ledger->admitted = 0;
    for (size_t i = 0; status == ST_OK && i < count; i++) {
        if (strcmp(list[i].name, "admitted") == 0)
            ledger->admitted = (uint64_t)list[i].value;
    }
    ledger->renew = status == ST_OK;
    read_log(ledger);
}

/* Called when the cursor is known. */
static void read_stats(struct ledger *ledger)
{
    ledger->renew = false;
    if (!ledger->holds || loop_now_ms(ledger->opts.loop) - ledger->free_ms < FREE_EVERY_MS)
        read_log(ledger);
    else if (queue_read_stats(ledger->opts.queue, ledger->event, stats_read, ledger) != ST_OK)
        end_chain(ledger);
}

/* ---- the cursor ---- */

/* PostgreSQL's cursor is behind what Redis was told after a commit: it has lost that commit. It is asked once more, since
 * another pod may have moved it between the two answers. */
static void consumed_id_read(void *arg, enum status status, const char *consumed_id)
{
    struct ledger *ledger = arg;
    if (!chain_continues(ledger))
        return;
    if (status != ST_OK || !is_after(consumed_id, ledger->cursor)) {
        ledger->suspected = false;
        read_stats(ledger);
    } else if (!ledger->suspected) {
        ledger->suspected = true;
        ledger->cursor_known = false;
        ledger->again = true;
        end_chain(ledger);
    } else {
        log_error("postgresql is older than redis", LOG_TEXT("event", ledger->event),
                  LOG_TEXT("consumed", ledger->cursor), LOG_TEXT("redis", consumed_id));
        if (ledger_review(ledger) != ST_OK)
            ledger_reviewed(ledger, ST_UNAVAILABLE);
    }
}

void ledger_reviewed(struct ledger *ledger, enum status status)
{
    ledger->suspected = false;
    if (!chain_continues(ledger))
        return;
    if (status == ST_OK) {
        read_stats(ledger);
        return;
    }
    ledger->cursor_known = false; /* nothing is consumed before it is reviewed */
    end_chain(ledger);
}

static void state_read(void *arg, enum status status, const struct db_result *result)
{
    static const struct db_stmt reset_stmt = {.name = "ledger_reset",
                                              .sql = "SELECT outcome FROM ledger_reset($1, $2)",
                                              .param_count = 2};
    struct ledger *ledger = arg;
    if (!chain_continues(ledger))
        return;
    if (status != ST_OK || db_rows(result) != 1) {
        publish_without_cursor(ledger);
        return;
    }
    const char *stored = db_text(result, 0, COL_CONSUMED);
    if (strcmp(db_text(result, 0, COL_OUTCOME), "restarted") == 0) {
        /* Redis has lost the log and begun another one below the cursor: read all of it again. */
        const char *const params[] = {ledger->event, stored};
        if (db_query(ledger->opts.db, &reset_stmt, params, cursor_moved, ledger) != ST_OK)
            end_chain(ledger);
        return;
    }
    copy_id(ledger->cursor, stored);
    ledger->cursor_known = true;
    if (queue_read_consumed_id(ledger->opts.queue, ledger->event, consumed_id_read, ledger) !=
        ST_OK)
        end_chain(ledger);
}

static void first_read(void *arg, enum status status, const struct log_entry *entries, size_t count)
{
    struct ledger *ledger = arg;
    if (!chain_continues(ledger))
        return;
    if (status != ST_OK)
        end_chain(ledger);
    else if (ask_state(ledger, count > 0 ? entries[0].id : NULL, state_read) != ST_OK)
        publish_without_cursor(ledger);
}

static void start_chain(struct ledger *ledger)
{
    const struct queue_log_range first = {"0", 1, false};
    ledger->busy = true;
    ledger->again = false;
    ledger->chain_generation = ledger->generation;
    if (ledger->cursor_known)
        read_stats(ledger);
    else if (queue_read_log(ledger->opts.queue, ledger->event, &first, first_read, ledger) != ST_OK)
        end_chain(ledger);
}

/* ---- outage of PostgreSQL: the cursor is not known ---- */

static void log_read_without_cursor(void *arg, enum status status, const struct log_entry *entries,
                                    size_t count)
{
    struct ledger *ledger = arg;
    if (!chain_continues(ledger))
        return;
    if (status != ST_OK || count == 0) {
        end_chain(ledger);
        return;
    }
    copy_id(ledger->last, entries[count - 1].id);
    write_without_holds(ledger, entries, count);
    publish_without_holds(ledger);
    if (count == QUEUE_CALL_MAX)
        publish_without_cursor(ledger);
    else
        end_chain(ledger);
}

/* Continues after the last entry that was published; the first time with those of the last OUTAGE_BACK_MS, by Redis'
 * clock, which gave the entries their ids. */
static void publish_without_cursor(struct ledger *ledger)
{
    if (ledger->published[0] == '\0')
        (void)snprintf(ledger->published, sizeof(ledger->published), "%" PRId64 "-0",
                       shared_clock_ms() - OUTAGE_BACK_MS);
    const struct queue_log_range range = {ledger->published, QUEUE_CALL_MAX, false};
    if (!ledger->holds || queue_read_log(ledger->opts.queue, ledger->event, &range,
                                         log_read_without_cursor, ledger) != ST_OK)
        end_chain(ledger);
}

/* ---- life ---- */

static void ledger_gone(void *arg)
{
    struct ledger *ledger = arg;
    const loop_cb cb = ledger->close_cb;
    void *cb_arg = ledger->close_arg;
    buf_clear(&ledger->entries);
    buf_clear(&ledger->with_holds);
    buf_clear(&ledger->without_holds);
    free(ledger);
    if (cb)
        cb(cb_arg);
}

struct ledger *ledger_new(const struct ledger_opts *opts)
{
    struct ledger *ledger = xcalloc(1, sizeof(*ledger));
    ledger->opts = *opts;
    (void)snprintf(ledger->event, sizeof(ledger->event), "%s", opts->event);
    ledger->opts.event = ledger->event;
    ledger->limit = QUEUE_CALL_MAX;
    ledger->closed = (struct loop_task){.cb = ledger_gone, .arg = ledger};
    buf_init(&ledger->entries, ENTRIES_MAX);
    buf_init(&ledger->with_holds, PAYLOADS_MAX);
    buf_init(&ledger->without_holds, PAYLOADS_MAX);
    return ledger;
}

void ledger_start(struct ledger *ledger)
{
    ledger->running = true;
    ledger->generation++;
    ledger->cursor_known = false;
    ledger->free_ms = 0;
}

void ledger_stop(struct ledger *ledger)
{
    ledger->running = false;
    ledger->generation++;
}

void ledger_poke(struct ledger *ledger, const struct event *config)
{
    if (!ledger->running || ledger->closing)
        return;
    ledger->holds = config->auto_hold > 0 && config->seats > 0;
    if (ledger->busy)
        ledger->again = true;
    else
        start_chain(ledger);
}

void ledger_close(struct ledger *ledger, loop_cb cb, void *arg)
{
    ledger->closing = true;
    ledger->running = false;
    ledger->close_cb = cb;
    ledger->close_arg = arg;
    ledger_collect(ledger);
}
