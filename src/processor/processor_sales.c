/* SPDX-License-Identifier: MIT */
/*
 * processor_sales: copies each sale to Redis, from which a PostgreSQL that was restored from a backup gets it back.
 *
 *   every second: sale_uncopied -> queue_put_sales, once for each event -> sale_copied -> again, while there are more
 *
 * Why this way: PostgreSQL notes in the transaction of a sale that its copy is due (sql/functions/sale.sql), so none is
 * forgotten, whoever dies, and buyers wait for nothing. Several processors may copy the same sale: the script keeps the
 * newest version (lua/sales.lua).
 * Called by: processor. Owns: one round under way. PostgreSQL or Redis gone: the round ends, and the next second begins
 * another; what waits meanwhile stands in PostgreSQL.
 */
#include "processor/processor_internal.h"

#include "base/json.h"
#include "base/memory.h"
#include "selling/sale.h"

#include <stdlib.h>
#include <string.h>

#define LIST_MAX (16 << 20) /* bytes of one round: a sale of 100 seats is about 12 KiB */

/* A round: up to QUEUE_SALES_MAX sales, written event by event. */
struct sale_round {
    struct processor *processor;
    struct json *list; /* of sale_uncopied */
    size_t count;
    enum { SALE_DUE, SALE_SENT, SALE_WRITTEN, SALE_FAILED } state[QUEUE_SALES_MAX];
};

static void write_next(struct sale_round *round);

static void end_round(struct sale_round *round)
{
    struct processor *processor = round->processor;
    processor->copying_sales = false;
    json_free(round->list);
    free(round);
}

/* The callback of every call of a round begins with this. False: the processor closes, and the round is gone. */
static bool round_goes_on(struct sale_round *round)
{
    struct processor *processor = round->processor;
    const bool closing = processor->closing;
    processor->pending--;
    if (closing) {
        end_round(round);
        processor_collect(processor);
    }
    return !closing;
}

static const struct json *item_at(const struct sale_round *round, size_t i)
{
    return json_array_at(json_get(round->list, "sales"), i);
}

static void on_marked(void *arg, enum status status, const char *outcome, const char *body,
                      size_t len)
{
    struct sale_round *round = arg;
    struct processor *processor = round->processor;
    (void)outcome, (void)body, (void)len;
    if (!round_goes_on(round))
        return;
    bool more = status == ST_OK && round->count == QUEUE_SALES_MAX;
    for (size_t i = 0; i < round->count; i++)
        more = more && round->state[i] == SALE_WRITTEN;
    end_round(round);
    if (more)
        processor_copy_sales(processor);
}

static void mark(struct sale_round *round)
{
    struct buf text;
    bool any = false;
    buf_init(&text, 65536);
    for (size_t i = 0; i < round->count; i++) {
        if (round->state[i] != SALE_WRITTEN)
            continue;
        buf_printf(&text, "%s{\"id\":\"%s\",\"version\":%lld}", any ? "," : "[",
                   json_str(item_at(round, i), "id"),
                   (long long)json_int(item_at(round, i), "version", 0));
        any = true;
    }
    buf_add_char(&text, ']');
    if (any && buf_status(&text) == ST_OK &&
        sale_copied(round->processor->opts.db, buf_str(&text), on_marked, round) == ST_OK)
        round->processor->pending++;
    else
        end_round(round);
    buf_clear(&text);
}

static void on_written(void *arg, enum status status, bool applied)
{
    struct sale_round *round = arg;
    (void)applied;
    if (!round_goes_on(round))
        return;
    for (size_t i = 0; i < round->count; i++) {
        if (round->state[i] == SALE_SENT)
            round->state[i] = status == ST_OK ? SALE_WRITTEN : SALE_FAILED;
    }
    if (status == ST_OK)
        write_next(round);
    else
        mark(round); /* Redis is gone: what was written before */
}

/* Writes the sales of one event that are due. */
static void write_next(struct sale_round *round)
{
    struct queue_sale list[QUEUE_SALES_MAX];
    size_t starts[QUEUE_SALES_MAX], count = 0;
    const char *event = NULL;
    struct buf texts;
    buf_init(&texts, LIST_MAX);
    for (size_t i = 0; i < round->count; i++) {
        const struct json *item = item_at(round, i);
        const char *own = json_str(item, "eventId");
        if (round->state[i] != SALE_DUE || (event && strcmp(event, own) != 0))
            continue;
        event = own;
        round->state[i] = SALE_SENT;
        list[count] = (struct queue_sale){.id = json_str(item, "id"),
                                          .version = (uint64_t)json_int(item, "version", 0)};
        starts[count] = texts.len;
        json_write(json_get(item, "sale"), &texts);
        list[count].len = texts.len - starts[count];
        count++;
    }
    for (size_t i = 0; i < count; i++)
        list[i].text = buf_str(&texts) + starts[i];
    if (count > 0 && buf_status(&texts) == ST_OK &&
        queue_put_sales(round->processor->opts.queue, event, list, count, on_written, round) ==
            ST_OK)
        round->processor->pending++;
    else
        mark(round);
    buf_clear(&texts);
}

static void on_listed(void *arg, enum status status, const char *outcome, const char *body,
                      size_t len)
{
    struct sale_round *round = arg;
    (void)outcome;
    if (!round_goes_on(round))
        return;
    round->list = status == ST_OK ? json_parse(body, len, LIST_MAX, NULL) : NULL;
    round->count = json_array_len(json_get(round->list, "sales"));
    if (round->count > QUEUE_SALES_MAX)
        round->count = QUEUE_SALES_MAX;
    for (size_t i = 0; i < round->count; i++) {
        const struct json *item = item_at(round, i);
        const char *event = json_str(item, "eventId");
        if (!json_str(item, "id") || !event || !token_is_event_id(event, strlen(event)))
            round->state[i] = SALE_FAILED;
        else if (json_is_null(json_get(item, "sale")))
            round->state[i] = SALE_WRITTEN; /* a rehearsal's */
    }
    if (round->count > 0)
        write_next(round);
    else
        end_round(round);
}

void processor_copy_sales(struct processor *processor)
{
    if (processor->copying_sales)
        return;
    struct sale_round *round = xcalloc(1, sizeof(*round));
    round->processor = processor;
    if (sale_uncopied(processor->opts.db, QUEUE_SALES_MAX, on_listed, round) != ST_OK) {
        free(round);
        return;
    }
    processor->copying_sales = true;
    processor->pending++;
}
