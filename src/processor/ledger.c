/* SPDX-License-Identifier: MIT */
/*
 * ledger: the consumer of one event's admission log.
 *
 *   chain   [state] -> [stats] -> log -> consume -> free -> publish -> log … until it is consumed
 *   state   ledger_state: the cursor, when it is not known (lease gained, outcome of a call unknown)
 *   stats   admissions so far, once a second: with an empty log after it, free:{id} can be renewed
 *   outage  log -> publish without reservations, each entry once
 *
 * Why this way: ledger_consume compares and moves the cursor in the transaction that copies the
 * entries and holds the seats, so an entry has its effect once, whoever reads the log how often.
 * What is last_sent afterwards (free:{id}, the message) is only news of it and may be last_sent again, or
 * never:
 *   - crash before the commit: nothing happened; the next lease holder reads the same entries.
 *   - crash after the commit: the cursor stands behind them. free:{id} is renewed by the next
 *     holder within a second; until then there seem to be fewer seats, never more. The message is
 *     lost: gateways learn "active" by themselves, and the buyer's page fetches its reservation.
 *   - PostgreSQL down or slower than two seconds: whoever came is last_sent so without a reservation;
 *     the holds follow, and a second message with them, when it is back; in smaller batches, if it
 *     is only slow.
 *   - Redis has lost writes: what it wrote since then stands below the cursor, which goes back
 *     (lua/log.lua); entries read twice have one effect.
 * A lease lost in mid-chain needs no care: the other holder moves the cursor, and ours is refused.
 *
 * Called by: processor. Owns: its chain; one call is under way at a time, another for consumed places.
 * Redis gone: the chain ends, the next poke begins another.
 */
#include "processor/ledger.h"

#include "auth/token.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/memory.h"
#include "base/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONSUME_MS     2000
#define FREE_EVERY_MS  900  /* so that a freed seat opens its place within a second or so */
#define OUTAGE_BACK_MS 5000 /* without a cursor: entries of the last seconds are last_sent */
#define BATCH_MIN      10
#define ENTRIES_MAX    (1 << 20) /* bytes of one batch as JSON */
#define OUTBOX_MAX     (16 << 20)
#define PLAIN_CHUNK    50
#define ID_SIZE        48

struct consumed_load {
    bool active;
    bool waits;   /* for the chain under way, which may have read a log that is gone */
    char run[33]; /* tells this reload from any other */
    struct queue_consumed_chunk chunk;
    char after[BUYER_ID_MAX + 1];
    queue_done_cb cb;
    void *arg;
};

struct ledger {
    struct ledger_opts opts;
    char event[EVENT_ID_MAX + 1];
    bool running;
    bool holds;          /* seats are held for those who come */
    bool busy;           /* a chain is under way */
    bool again;          /* poked meanwhile */
    unsigned generation; /* of the lease; a chain of an older one ends at its next step */
    unsigned chain;      /* generation of the chain under way */

    char cursor[ID_SIZE];
    bool cursor_known;
    char last_sent[ID_SIZE]; /* entries up to here were published without reservations */
    uint64_t free_ms;        /* when free:{id} was last written */
    size_t limit;            /* entries of the next batch, at most */

    /* the step under way */
    bool renew;        /* this chain renews free:{id} if the log has nothing new */
    bool batch;        /* entries were consumed in this step */
    bool departures;   /* some of them: seats may have been given back */
    bool full;         /* the batch was as long as it may be: there is more */
    uint64_t admitted; /* stats: admissions before the log was read */
    char last[ID_SIZE];
    struct buf entries; /* the batch as JSON */
    bool seats_changed; /* the batch held seats or gave some back */
    struct buf outbox;  /* payloads of `admitted`, each ended by a NUL */
    struct buf plain;   /* those of an outage: without reservations */

    struct consumed_load consumed;
    struct loop_task closed;
    bool closing;
    loop_cb close_cb;
    void *close_arg;
};

static void start_chain(struct ledger *ledger);
static void ask_log(struct ledger *ledger);
static void ask_log_blind(struct ledger *ledger);
static void await_batches(struct ledger *ledger);

static uint64_t now_ms(const struct ledger *ledger)
{
    return loop_now_ms(ledger->opts.loop);
}

/* ---- life of a chain ---- */

static void maybe_closed(struct ledger *ledger)
{
    if (ledger->closing && !ledger->busy && !ledger->consumed.active)
        loop_defer(ledger->opts.loop, &ledger->closed);
}

/* Last statement of its callers. */
static void end_chain(struct ledger *ledger)
{
    ledger->busy = false;
    if (ledger->consumed.waits)
        await_batches(ledger);
    if (ledger->again && ledger->running && !ledger->closing)
        start_chain(ledger);
    else
        maybe_closed(ledger);
}

/* False, and the chain is over: the lease was lost, or we close. */
static bool goes_on(struct ledger *ledger)
{
    if (!ledger->closing && ledger->running && ledger->chain == ledger->generation)
        return true;
    end_chain(ledger);
    return false;
}

/* ---- stream ids ---- */

static void copy_id(char *out, const char *id)
{
    (void)snprintf(out, ID_SIZE, "%s", id);
}

/* As two numbers: as texts, 999-0 would come after 1000-0. */
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

/* The highest id below that of an entry, as far as PostgreSQL's bigint goes. */
static void id_before(char *out, const char *id)
{
    char *rest;
    const uint64_t ms = strtoull(id, &rest, 10);
    const uint64_t seq = *rest == '-' ? strtoull(rest + 1, NULL, 10) : 0;
    if (seq > 0)
        (void)snprintf(out, ID_SIZE, "%" PRIu64 "-%" PRIu64, ms, seq - 1);
    else
        (void)snprintf(out, ID_SIZE, "%" PRIu64 "-%" PRId64, ms > 0 ? ms - 1 : 0,
                       ms > 0 ? INT64_MAX : 0);
}

/* ---- messages ---- */

/* Publishes payloads of `admitted`, each ended by a NUL. A message that is not delivered is no failure:
 * the state in Redis is the truth. */
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

static void add_plain_buyer(struct buf *out, const struct log_entry *entry)
{
    buf_add_str(out, "{\"buyer\":");
    buf_add_json_str(out, entry->buyer, strlen(entry->buyer));
    buf_printf(out, ",\"place\":\"%" PRIu64 "\",\"since\":%" PRId64 ",\"epoch\":%" PRIu64 "}",
               entry->place, entry->at_ms, entry->epoch);
}

/* The messages about those who came, without reservations; of nobody who was last_sent already. */
static void write_plain(struct ledger *ledger, const struct log_entry *entries, size_t count)
{
    struct buf *out = &ledger->plain;
    size_t in_message = 0;
    buf_reset(out);
    for (size_t i = 0; ledger->holds && i < count; i++) {
        const struct log_entry *entry = &entries[i];
        if (entry->kind == LOG_KIND_DEPARTED || !entry->active_now ||
            !is_after(entry->id, ledger->last_sent))
            continue;
        buf_add_str(out, in_message == 0 ? "{\"buyers\":[" : ",");
        add_plain_buyer(out, entry);
        if (++in_message == PLAIN_CHUNK) {
            buf_add(out, "]}", 3); /* with its NUL */
            in_message = 0;
        }
    }
    if (in_message > 0)
        buf_add(out, "]}", 3);
}

/* PostgreSQL cannot hold seats now: those who came are last_sent all the same, once. */
static void publish_plain(struct ledger *ledger)
{
    publish_all(ledger, &ledger->plain);
    if (is_after(ledger->last, ledger->last_sent))
        copy_id(ledger->last_sent, ledger->last);
}

/* ---- free, publish, and on ---- */

static void batch_done(struct ledger *ledger)
{
    if (ledger->seats_changed &&
        queue_publish(ledger->opts.queue, ledger->event, "seats-changed", "{}", 2) != ST_OK)
        buf_reset(&ledger->outbox); /* Redis is gone: nor would the rest be published */
    publish_all(ledger, &ledger->outbox);
    if (ledger->batch)
        crash_point("ledger-after-publish");
    if (!goes_on(ledger))
        return;
    if (ledger->full && ledger->cursor_known)
        ask_log(ledger);
    else
        end_chain(ledger);
}

static void freed(void *arg, enum status status, bool applied)
{
    struct ledger *ledger = arg;
    (void)applied;
    if (status == ST_OK)
        ledger->free_ms = now_ms(ledger);
    if (ledger->batch)
        crash_point("ledger-after-free");
    batch_done(ledger);
}

/* Redis out of reach: free:{id} stays as it is, which is fewer seats, never more. */
static void write_free(struct ledger *ledger, int64_t free_seats, uint64_t admitted, const char *id)
{
    const struct queue_free_seats seats = {free_seats, admitted, id};
    if (queue_write_free(ledger->opts.queue, ledger->event, &seats, freed, ledger) != ST_OK)
        batch_done(ledger);
}

/* ---- consume ---- */

/* Columns of ledger_state and ledger_consume. */
enum { COL_OUTCOME, COL_BODY, COL_CONSUMED, COL_ADMITTED, COL_FREE, COL_HELD };

static void take_messages(struct ledger *ledger, const struct db_result *result)
{
    buf_reset(&ledger->outbox);
    ledger->seats_changed = ledger->departures || db_int(result, 0, COL_HELD) > 0;
    for (int row = 0; row < db_rows(result); row++) {
        if (db_is_null(result, row, COL_BODY))
            continue;
        buf_add_json_compact(&ledger->outbox, db_text(result, row, COL_BODY),
                             db_len(result, row, COL_BODY));
        buf_add_char(&ledger->outbox, '\0');
    }
}

/* A batch that takes PostgreSQL longer than it may would take it as long the next time: smaller
 * ones until it keeps up again. */
static void adapt_limit(struct ledger *ledger, enum status status)
{
    if (status == ST_TIMEOUT)
        ledger->limit /= 2;
    else if (status == ST_OK)
        ledger->limit *= 2;
    if (ledger->limit < BATCH_MIN)
        ledger->limit = BATCH_MIN;
    if (ledger->limit > QUEUE_CALL_MAX)
        ledger->limit = QUEUE_CALL_MAX;
}

static void consumed(void *arg, enum status status, const struct db_result *result)
{
    struct ledger *ledger = arg;
    adapt_limit(ledger, status);
    if (status != ST_OK || db_rows(result) < 1) {
        ledger->cursor_known = false; /* it may have been committed after all */
        publish_plain(ledger);
        end_chain(ledger);
        return;
    }
    if (strcmp(db_text(result, 0, COL_OUTCOME), "consumed") != 0) {
        ledger->cursor_known = false; /* another one was faster: ask where it stands */
        end_chain(ledger);
        return;
    }
    crash_point("ledger-after-commit");
    ledger->batch = true;
    copy_id(ledger->cursor, ledger->last);
    take_messages(ledger, result);
    metrics_add(METRIC_AUTO_HOLDS, (uint64_t)db_int(result, 0, COL_HELD));
    write_free(ledger, db_int(result, 0, COL_FREE), (uint64_t)db_int(result, 0, COL_ADMITTED),
               ledger->cursor);
}

static void write_entries(struct ledger *ledger, const struct log_entry *entries, size_t count)
{
    struct buf *out = &ledger->entries;
    buf_reset(out);
    for (size_t i = 0; i < count; i++) {
        const struct log_entry *entry = &entries[i];
        buf_printf(
            out, "%s{\"id\":\"%s\",\"kind\":\"%s\",\"departed\":%s,\"buyer\":", i == 0 ? "[" : ",",
            entry->id, entry->kind_name, entry->kind == LOG_KIND_DEPARTED ? "true" : "false");
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

static void consume(struct ledger *ledger)
{
    static const struct db_stmt stmt = {.name = "ledger_consume",
                                        .sql =
                                            "SELECT outcome, body, consumed, admitted, free, held "
                                            "FROM ledger_consume($1, $2, $3, $4::jsonb)",
                                        .param_count = 4};
    const char *const params[] = {ledger->event, ledger->cursor, ledger->last,
                                  buf_str(&ledger->entries)};
    crash_point("ledger-before-commit");
    if (buf_status(&ledger->entries) == ST_OK &&
        db_query_within(ledger->opts.db, CONSUME_MS, &stmt, params, consumed, ledger) == ST_OK)
        return;
    publish_plain(ledger);
    end_chain(ledger);
}

/* ---- nothing new: renew free:{id} ---- */

static void free_counted(void *arg, enum status status, const struct db_result *result)
{
    struct ledger *ledger = arg;
    if (!goes_on(ledger))
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
    /* All admissions counted before the log was read have been consumed: it had nothing new. */
    buf_reset(&ledger->outbox);
    ledger->batch = ledger->full = ledger->seats_changed = false;
    write_free(ledger, db_int(result, 0, COL_FREE), ledger->admitted, ledger->cursor);
}

static enum status ask_state(struct ledger *ledger, const char *first, db_cb cb)
{
    static const struct db_stmt stmt = {
        .name = "ledger_state",
        .sql = "SELECT outcome, body, consumed, admitted, free FROM ledger_state($1, $2)",
        .param_count = 2};
    const char *const params[] = {ledger->event, first};
    return db_query_within(ledger->opts.db, CONSUME_MS, &stmt, params, cb, ledger);
}

/* ---- the cursor moves back ---- */

static void moved_back(void *arg, enum status status, const struct db_result *result)
{
    struct ledger *ledger = arg;
    (void)status; /* the next poke asks where the cursor is */
    (void)result;
    ledger->again = ledger->again || status == ST_OK;
    end_chain(ledger);
}

/* Redis has lost the stream and begun another below the cursor: all of it is read again. What was
 * copied before has no second effect. */
static void reset_cursor(struct ledger *ledger, const char *stored)
{
    static const struct db_stmt stmt = {.name = "ledger_reset",
                                        .sql = "SELECT outcome FROM ledger_reset($1, $2)",
                                        .param_count = 2};
    const char *const params[] = {ledger->event, stored};
    if (db_query(ledger->opts.db, &stmt, params, moved_back, ledger) != ST_OK)
        end_chain(ledger);
}

/* Redis has lost its last writes, and `first` was written below the cursor since then. */
static void rewind_cursor(struct ledger *ledger, const char *first)
{
    static const struct db_stmt stmt = {.name = "ledger_rewind",
                                        .sql = "SELECT outcome FROM ledger_rewind($1, $2, $3)",
                                        .param_count = 3};
    char before[ID_SIZE];
    id_before(before, first);
    const char *const params[] = {ledger->event, ledger->cursor, before};
    ledger->cursor_known = false;
    ledger->last_sent[0] = '\0'; /* it stands for entries of what was lost */
    if (db_query(ledger->opts.db, &stmt, params, moved_back, ledger) != ST_OK)
        end_chain(ledger);
}

/* ---- the log ---- */

static void log_read(void *arg, enum status status, const struct log_entry *entries, size_t count)
{
    struct ledger *ledger = arg;
    if (!goes_on(ledger))
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
        rewind_cursor(ledger, entries[0].id);
        return;
    }
    ledger->renew = false; /* consuming does */
    ledger->full = count == ledger->limit;
    copy_id(ledger->last, entries[count - 1].id);
    write_plain(ledger, entries, count);
    write_entries(ledger, entries, count);
    consume(ledger);
}

static void ask_log(struct ledger *ledger)
{
    const struct queue_log_range range = {ledger->cursor, ledger->limit, true};
    if (queue_read_log(ledger->opts.queue, ledger->event, &range, log_read, ledger) != ST_OK)
        end_chain(ledger);
}

static void stats_read(void *arg, enum status status, const struct queue_stat *list, size_t count)
{
    struct ledger *ledger = arg;
    if (!goes_on(ledger))
        return;
    ledger->admitted = 0;
    for (size_t i = 0; status == ST_OK && i < count; i++) {
        if (strcmp(list[i].name, "admitted") == 0)
            ledger->admitted = (uint64_t)list[i].value;
    }
    ledger->renew = status == ST_OK;
    ask_log(ledger);
}

static void ask_stats(struct ledger *ledger)
{
    ledger->renew = false;
    if (!ledger->holds || now_ms(ledger) - ledger->free_ms < FREE_EVERY_MS)
        ask_log(ledger);
    else if (queue_read_stats(ledger->opts.queue, ledger->event, stats_read, ledger) != ST_OK)
        end_chain(ledger);
}

/* ---- the cursor ---- */

static void state_read(void *arg, enum status status, const struct db_result *result)
{
    struct ledger *ledger = arg;
    if (!goes_on(ledger))
        return;
    if (status != ST_OK || db_rows(result) != 1) {
        ask_log_blind(ledger);
        return;
    }
    if (strcmp(db_text(result, 0, COL_OUTCOME), "restarted") == 0) {
        reset_cursor(ledger, db_text(result, 0, COL_CONSUMED));
        return;
    }
    copy_id(ledger->cursor, db_text(result, 0, COL_CONSUMED));
    ledger->cursor_known = true;
    ask_stats(ledger);
}

static void first_read(void *arg, enum status status, const struct log_entry *entries, size_t count)
{
    struct ledger *ledger = arg;
    if (!goes_on(ledger))
        return;
    if (status != ST_OK)
        end_chain(ledger);
    else if (ask_state(ledger, count > 0 ? entries[0].id : NULL, state_read) != ST_OK)
        ask_log_blind(ledger);
}

static void start_chain(struct ledger *ledger)
{
    ledger->busy = true;
    ledger->again = false;
    ledger->chain = ledger->generation;
    if (ledger->cursor_known)
        ask_stats(ledger);
    else if (queue_read_log(ledger->opts.queue, ledger->event, &(struct queue_log_range){"0", 1, 0},
                            first_read, ledger) != ST_OK)
        end_chain(ledger);
}

/* ---- outage: where the cursor stands is not known ---- */

static void blind_read(void *arg, enum status status, const struct log_entry *entries, size_t count)
{
    struct ledger *ledger = arg;
    if (!goes_on(ledger))
        return;
    if (status != ST_OK || count == 0) {
        end_chain(ledger);
        return;
    }
    copy_id(ledger->last, entries[count - 1].id);
    write_plain(ledger, entries, count);
    publish_plain(ledger);
    if (count == QUEUE_CALL_MAX)
        ask_log_blind(ledger);
    else
        end_chain(ledger);
}

/* From where this process has last_sent; at first only the last seconds (by our clock: one that is off
 * tells a few buyers twice, or leaves them to learn it from the gateway). */
static void ask_log_blind(struct ledger *ledger)
{
    if (ledger->last_sent[0] == '\0')
        (void)snprintf(ledger->last_sent, sizeof(ledger->last_sent), "%" PRId64 "-0",
                       clock_wall_ms() - OUTAGE_BACK_MS);
    const struct queue_log_range range = {ledger->last_sent, QUEUE_CALL_MAX, false};
    if (!ledger->holds ||
        queue_read_log(ledger->opts.queue, ledger->event, &range, blind_read, ledger) != ST_OK)
        end_chain(ledger);
}

/* ---- consumed places: page by page, as chunks of one run. The run begins in Redis before the first page is
 * read, and ends when a chunk is refused: Redis has lost those before it. What was read of a log that is gone
 * may still be on its way into PostgreSQL, from here or from another pod: the pages are read after it. ---- */

static void ask_consumed(struct ledger *ledger);

static void consumed_end(struct ledger *ledger, enum status status, bool applied)
{
    const struct consumed_load load = ledger->consumed;
    ledger->consumed.active = false;
    maybe_closed(ledger); /* defers */
    load.cb(load.arg, status, applied);
}

static void consumed_loaded(void *arg, enum status status, bool applied)
{
    struct ledger *ledger = arg;
    if (status == ST_OK && !applied)
        status = ST_STALE; /* another epoch is in force, or Redis has lost data again */
    ledger->consumed.chunk.number++;
    if (status == ST_OK && ledger->consumed.chunk.number == 1 && !ledger->closing)
        await_batches(ledger);
    else if (status == ST_OK && !ledger->consumed.chunk.last && !ledger->closing)
        ask_consumed(ledger);
    else if (status == ST_OK && !ledger->consumed.chunk.last)
        consumed_end(ledger, ST_UNAVAILABLE, false);
    else
        consumed_end(ledger, status, status == ST_OK);
}

static enum status load_chunk(struct ledger *ledger, const struct queue_consumed *list,
                              size_t count)
{
    struct queue_consumed_chunk chunk = ledger->consumed.chunk;
    chunk.list = list;
    chunk.count = count;
    return queue_load_consumed(ledger->opts.queue, ledger->event, &chunk, consumed_loaded, ledger);
}

static void consumed_read(void *arg, enum status status, const struct db_result *result)
{
    struct ledger *ledger = arg;
    struct queue_consumed list[QUEUE_CALL_MAX];
    size_t count = 0;
    if (status == ST_OK && ledger->closing)
        status = ST_UNAVAILABLE;
    for (int row = 0; status == ST_OK && row < db_rows(result) && count < QUEUE_CALL_MAX; row++)
        list[count++] =
            (struct queue_consumed){db_text(result, row, 0), (uint64_t)db_int(result, row, 1)};
    if (status == ST_OK) {
        ledger->consumed.chunk.last = count < QUEUE_CALL_MAX;
        if (count > 0)
            (void)snprintf(ledger->consumed.after, sizeof(ledger->consumed.after), "%s",
                           list[count - 1].buyer_id);
        status = load_chunk(ledger, list, count);
    }
    if (status != ST_OK)
        consumed_end(ledger, status, false);
}

static void ask_consumed(struct ledger *ledger)
{
    static const struct db_stmt stmt = {
        .name = "consumed_places",
        .sql = "SELECT buyer, place FROM consumed_places($1, $2::bigint, $3, $4::integer)",
        .param_count = 4};
    char epoch[24], limit[16];
    (void)snprintf(epoch, sizeof(epoch), "%" PRIu64, ledger->consumed.chunk.epoch);
    (void)snprintf(limit, sizeof(limit), "%d", QUEUE_CALL_MAX);
    const char *const params[] = {ledger->event, epoch, ledger->consumed.after, limit};
    const enum status st = db_query(ledger->opts.db, &stmt, params, consumed_read, ledger);
    if (st != ST_OK)
        consumed_end(ledger, st, false);
}

static void batches_over(void *arg, enum status status, const struct db_result *result)
{
    struct ledger *ledger = arg;
    (void)result;
    if (status == ST_OK && !ledger->closing)
        ask_consumed(ledger);
    else
        consumed_end(ledger, status == ST_OK ? ST_UNAVAILABLE : status, false);
}

/* A batch moves the cursor before all else: whose lock can be had, no batch is under way. */
static void await_batches(struct ledger *ledger)
{
    static const struct db_stmt stmt = {
        .name = "ledger_cursor_wait",
        .sql = "SELECT 1 FROM ledger_cursors WHERE event_id = $1 FOR SHARE",
        .param_count = 1};
    const char *const params[] = {ledger->event};
    ledger->consumed.waits = ledger->busy;
    if (ledger->busy)
        return;
    const enum status st = db_query(ledger->opts.db, &stmt, params, batches_over, ledger);
    if (st != ST_OK)
        consumed_end(ledger, st, false);
}

enum status ledger_reload_consumed(struct ledger *ledger, uint64_t epoch, queue_done_cb cb,
                                   void *arg)
{
    if (ledger->consumed.active)
        return ST_CONFLICT;
    if (ledger->closing)
        return ST_UNAVAILABLE;
    ledger->consumed =
        (struct consumed_load){.active = true, .chunk = {.epoch = epoch}, .cb = cb, .arg = arg};
    token_random_hex(ledger->consumed.run);
    ledger->consumed.chunk.run = ledger->consumed.run;
    const enum status st = load_chunk(ledger, NULL, 0);
    if (st != ST_OK)
        ledger->consumed.active = false;
    return st;
}

/* ---- life ---- */

static void ledger_gone(void *arg)
{
    struct ledger *ledger = arg;
    const loop_cb cb = ledger->close_cb;
    void *cb_arg = ledger->close_arg;
    buf_clear(&ledger->entries);
    buf_clear(&ledger->outbox);
    buf_clear(&ledger->plain);
    free(ledger);
    if (cb != NULL)
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
    buf_init(&ledger->outbox, OUTBOX_MAX);
    buf_init(&ledger->plain, OUTBOX_MAX);
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
    maybe_closed(ledger);
}
