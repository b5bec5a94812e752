/* SPDX-License-Identifier: MIT */
/*
 * ledger_consumed: loads the consumed places of an event from PostgreSQL into Redis, page by page.
 *
 *   empty first chunk -> Redis -> wait for batches under way -> sale_copy_again -> page -> chunk -> Redis -> page ... -> last chunk
 *
 * Why this way: a buyer whose place was consumed must not come back with their ticket after Redis has lost its data.
 * Which places have ended for idleness once is loaded with them: a place keeps its buyer once only. The copies of sales are
 * lost as well, so a processor is told to write them again (processor_sales.c).
 * The chunks of one load carry its random name and a number. Redis refuses a chunk if it does not have the chunks
 * before it: it has lost data again, and the load begins anew. The first chunk is sent before PostgreSQL is read.
 * Batches of the lost log may still be on their way into PostgreSQL, from here or from another pod, so the pages are
 * read after them.
 * Called by: processor_runner, through ledger.h. Owns: struct ledger_consumed of its ledger; one call under way.
 * Redis or PostgreSQL gone: the load ends with the status, and the next renewal of the lease begins another.
 */
#include "processor/ledger_internal.h"

#include "base/log.h"
#include "selling/sale.h"

#include <inttypes.h>
#include <stdio.h>

static void read_page(struct ledger *ledger);

static void end_load(struct ledger *ledger, enum status status)
{
    const struct ledger_consumed load = ledger->consumed;
    ledger->consumed.active = false;
    ledger_collect(ledger); /* the ledger is freed later, never inside */
    load.cb(load.arg, status, status == ST_OK);
}

static void chunk_loaded(void *arg, enum status status, bool applied)
{
    struct ledger *ledger = arg;
    const struct queue_consumed_chunk *chunk = &ledger->consumed.chunk;
    if (status == ST_OK && !applied)
        status = ST_STALE;
    else if (status == ST_OK && !chunk->last && ledger->closing)
        status = ST_UNAVAILABLE;
    if (status != ST_OK || chunk->last)
        end_load(ledger, status);
    else if (ledger->consumed.chunk.number++ == 0)
        ledger_consumed_continue(ledger);
    else
        read_page(ledger);
}

static enum status load_chunk(struct ledger *ledger, const struct queue_consumed *list,
                              size_t count)
{
    struct queue_consumed_chunk chunk = ledger->consumed.chunk;
    chunk.list = list;
    chunk.count = count;
    return queue_load_consumed(ledger->opts.queue, ledger->event, &chunk, chunk_loaded, ledger);
}

static void page_read(void *arg, enum status status, const struct db_result *result)
{
    struct ledger *ledger = arg;
    struct queue_consumed list[QUEUE_CALL_MAX];
    size_t count = 0;
    if (status == ST_OK && ledger->closing)
        status = ST_UNAVAILABLE;
    for (int row = 0; status == ST_OK && row < db_rows(result) && count < QUEUE_CALL_MAX; row++)
        list[count++] = (struct queue_consumed){.buyer_id = db_text(result, row, 0),
                                                .place = (uint64_t)db_int(result, row, 1),
                                                .kept = (uint64_t)db_int(result, row, 2),
                                                .kept_used_ms = (uint64_t)db_int(result, row, 3),
                                                .kept_since_ms = (uint64_t)db_int(result, row, 4)};
    if (status == ST_OK) {
        ledger->consumed.chunk.last = count < QUEUE_CALL_MAX;
        if (count > 0)
            (void)snprintf(ledger->consumed.after, sizeof(ledger->consumed.after), "%s",
                           list[count - 1].buyer_id);
        status = load_chunk(ledger, list, count);
    }
    if (status != ST_OK)
        end_load(ledger, status);
}

static void read_page(struct ledger *ledger)
{
    static const struct db_stmt stmt = {.name = "consumed_places",
                                        .sql =
                                            "SELECT buyer, place, kept, used, since "
                                            "FROM consumed_places($1, $2::bigint, $3, $4::integer)",
                                        .param_count = 4};
    char epoch[24], limit[16];
    (void)snprintf(epoch, sizeof(epoch), "%" PRIu64, ledger->consumed.chunk.epoch);
    (void)snprintf(limit, sizeof(limit), "%d", QUEUE_CALL_MAX);
    const char *const params[] = {ledger->event, epoch, ledger->consumed.after, limit};
    const enum status st = db_query(ledger->opts.db, &stmt, params, page_read, ledger);
    if (st != ST_OK)
        end_load(ledger, st);
}

/* The copies of sales are for the day of a restore, the places are for now: these do not wait for those. */
static void sales_noted(void *arg, enum status status, const char *outcome, const char *body,
                        size_t len)
{
    struct ledger *ledger = arg;
    (void)outcome, (void)body, (void)len;
    if (status != ST_OK)
        log_warn("copies of sales are not written again", LOG_TEXT("event", ledger->event),
                 LOG_TEXT("status", status_name(status)));
    if (!ledger->closing)
        read_page(ledger);
    else
        end_load(ledger, ST_UNAVAILABLE);
}

static void batches_over(void *arg, enum status status, const struct db_result *result)
{
    struct ledger *ledger = arg;
    (void)result;
    if (status == ST_OK && ledger->closing)
        status = ST_UNAVAILABLE;
    if (status == ST_OK)
        status = sale_copy_again(ledger->opts.db, ledger->event, sales_noted, ledger);
    if (status != ST_OK)
        end_load(ledger, status);
}

/* Waits for batches under way. A batch locks the cursor before it does anything else, so when this statement gets
 * that lock, no batch from before is under way in any pod. */
void ledger_consumed_continue(struct ledger *ledger)
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
        end_load(ledger, st);
}

enum status ledger_load_consumed(struct ledger *ledger, uint64_t epoch, queue_done_cb cb, void *arg)
{
    if (ledger->consumed.active)
        return ST_CONFLICT;
    if (ledger->closing)
        return ST_UNAVAILABLE;
    ledger->consumed =
        (struct ledger_consumed){.active = true, .chunk = {.epoch = epoch}, .cb = cb, .arg = arg};
    token_random_hex(ledger->consumed.run);
    ledger->consumed.chunk.run = ledger->consumed.run;
    const enum status st = load_chunk(ledger, NULL, 0);
    if (st != ST_OK)
        ledger->consumed.active = false;
    return st;
}
