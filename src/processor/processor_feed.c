/* SPDX-License-Identifier: MIT */
/*
 * processor_feed: gives numbers to what waits for one in the feeds, and deletes what was kept long enough.
 *
 *   numbers  a batch each second, and at once another one while there is more
 *   prune    every 10 s, of one event at a time
 *
 * Why this way: it needs no lease. Whoever has locked the head of a feed counts on; the others go on to the next feed. A
 * reader gives numbers itself (feed_page), so nobody waits for this; it keeps what a reader finds short.
 * Called by: processor (each second). Owns nothing: its state is in struct processor.
 * PostgreSQL gone: the step ends, and is repeated.
 */
#include "processor/processor_internal.h"

#include "base/json.h"
#include "selling/feed.h"

#define NUMBER_LIMIT  2000
#define PRUNE_EVERY_S 10
#define PRUNE_LIMIT   2000
#define ANSWER_BYTES  256

static int64_t rows_of(enum status status, const char *body, size_t len)
{
    struct json *result = status == ST_OK ? json_parse(body, len, ANSWER_BYTES, NULL) : NULL;
    const int64_t rows = json_int(result, "rows", 0);
    json_free(result);
    return rows;
}

static void give_numbers(struct processor *processor);

static void numbered(void *arg, enum status status, const char *outcome, const char *body,
                     size_t len)
{
    struct processor *processor = arg;
    (void)outcome;
    processor->feed.numbering = false;
    if (!processor_arrived(processor))
        return;
    if (rows_of(status, body, len) >= NUMBER_LIMIT)
        give_numbers(processor);
}

static void give_numbers(struct processor *processor)
{
    if (processor->feed.numbering ||
        feed_number(processor->opts.db, NUMBER_LIMIT, numbered, processor) != ST_OK)
        return;
    processor->feed.numbering = true;
    processor->pending++;
}

static void pruned(void *arg, enum status status, const char *outcome, const char *body, size_t len)
{
    struct processor *processor = arg;
    (void)outcome;
    processor->feed.pruning = false;
    if (!processor_arrived(processor))
        return;
    processor->feed.more = rows_of(status, body, len) > 0;
}

void processor_feed(struct processor *processor)
{
    struct processor_feed *feed = &processor->feed;
    const int64_t days = processor->opts.config->keep_feed_days;
    give_numbers(processor);
    if ((processor->seconds % PRUNE_EVERY_S == 0 || feed->more) && days > 0 && !feed->pruning &&
        feed_prune(processor->opts.db, days, PRUNE_LIMIT, pruned, processor) == ST_OK) {
        feed->pruning = true;
        processor->pending++;
    }
}
