/* SPDX-License-Identifier: MIT */
/*
 * processor_sale: one live event of the processor.
 *
 *   lease gained -> read the live copy -> tick at once -> tick every interval -> lease lost
 *   tick   queue_promote until there is no more -> rate, index, ledger, queue-updated, replies
 *   upkeep once a second: index, ledger, lost places, settling with PostgreSQL every 5 s
 *
 * Why this way: every step of the chain asks one script, which compares the whole lease value, and
 * goes on only from its answer; so a holder that was stopped in mid-tick and comes back changes
 * nothing. Between two bounded steps the loop turns, and so does Redis.
 * Called by: processor.c. Owns: the sale, its lease, ledger and timer.
 * Invariants: one tick at a time; memory stays until the last callback has come. With Redis gone
 * ticks fail and are tried again within a second; with PostgreSQL gone only settling waits.
 */
#include "processor/processor_internal.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "queue/catalog.h"
#include "queue/index.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_KEEP_MS    1800 /* the asker waits for two seconds */
#define SETTLE_MS          5000
#define TICK_RETRY_MS      1000
#define CONFIGURE_RETRY_MS 1000

static void sale_read(struct sale *sale);
static void sale_configure(struct sale *sale);
static void sale_index(struct sale *sale);

/* ---- life ---- */

/* A callback has come. False: the sale is closing, and may be gone now. */
static bool arrived(struct sale *sale)
{
    sale->pending--;
    if (!sale->closing)
        return true;
    processor_settle(sale->processor);
    return false;
}

static uint64_t now_ms(const struct sale *sale)
{
    return loop_now_ms(sale->processor->opts.loop);
}

static struct queue *queue_of(const struct sale *sale)
{
    return sale->processor->opts.queue;
}

/* ---- what is published ---- */

static void publish(struct sale *sale, const struct buf *text)
{
    if (queue_publish(queue_of(sale), buf_str(text), text->len) != ST_OK)
        log_debug("not published", LOG_TEXT("event", sale->id)); /* a hint; state is the truth */
}

static void publish_numbers(struct sale *sale, const struct queue_numbers *numbers)
{
    if (sale->told_size == numbers->queue_size && sale->told_active == numbers->active &&
        sale->told_threshold == numbers->threshold)
        return;
    sale->told_size = numbers->queue_size;
    sale->told_active = numbers->active;
    sale->told_threshold = numbers->threshold;
    struct buf text;
    buf_init(&text, 512);
    buf_printf(&text,
               "{\"event\":\"queue-updated\",\"payload\":{\"eventId\":\"%s\",\"queueSize\":%" PRIu64
               ",\"currentUsers\":%" PRIu64 ",\"threshold\":%" PRIu64 "}}",
               sale->id, numbers->queue_size, numbers->active, numbers->threshold);
    publish(sale, &text);
    buf_clear(&text);
}

static void publish_change(struct sale *sale, const char *kind, const struct event *record)
{
    struct buf text;
    buf_init(&text, 512);
    buf_printf(&text,
               "{\"event\":\"%s\",\"payload\":{\"eventId\":\"%s\",\"version\":%" PRId64
               ",\"status\":\"%s\"}}",
               kind, sale->id, record->version, event_status_name(record->status));
    publish(sale, &text);
    buf_clear(&text);
}

static void publish_processed(struct sale *sale, const char *reply)
{
    struct buf text;
    buf_init(&text, 512);
    buf_printf(&text,
               "{\"event\":\"processed\",\"payload\":{\"eventId\":\"%s\",\"reply\":%s,"
               "\"promoted\":%" PRIu64 ",\"evicted\":%" PRIu64 "}}",
               sale->id, reply, sale->tick.promoted, sale->tick.evicted);
    publish(sale, &text);
    buf_clear(&text);
}

/* ---- the tick ---- */

static int64_t interval_ms(const struct sale *sale)
{
    return sale->ready && sale->config.interval_ms > 0
               ? sale->config.interval_ms
               : sale->processor->opts.config->queue_interval_ms;
}

/* A regular tick is due an interval after the last one began: so a changed interval counts from
 * there too, and ticks by hand put nothing off. */
static void arm(struct sale *sale)
{
    if (!sale->ready || sale->closing || sale->tick.running)
        return;
    uint64_t due = sale->retry_ms ? sale->retry_ms : sale->regular_ms + (uint64_t)interval_ms(sale);
    uint64_t now = now_ms(sale);
    loop_timer_set(sale->timer, due > now ? due - now : 0);
}

static void report(struct sale *sale, enum sale_trouble trouble, const char *what,
                   enum status status)
{
    bool known = sale->failing & trouble;
    if (status == ST_OK) {
        sale->failing &= ~(unsigned)trouble;
        if (known)
            log_info("works again", LOG_TEXT("event", sale->id), LOG_TEXT("what", what));
        return;
    }
    sale->failing |= trouble;
    if (!known)
        log_error("failed", LOG_TEXT("event", sale->id), LOG_TEXT("what", what),
                  LOG_TEXT("status", status_name(status)));
}

static void tick_begin(struct sale *sale);

static void tick_end(struct sale *sale)
{
    sale->tick.running = false;
    if (sale->due && sale->ready)
        tick_begin(sale);
    else
        arm(sale);
}

static void tick_failed(struct sale *sale, enum status status)
{
    int64_t wait_ms = interval_ms(sale);
    if (status == ST_NOT_FOUND)
        sale_configure(sale); /* Redis has lost the event */
    report(sale, TROUBLE_TICK, "tick", status);
    if (sale->tick.regular)
        sale->retry_ms =
            now_ms(sale) + (uint64_t)(wait_ms < TICK_RETRY_MS ? wait_ms : TICK_RETRY_MS);
    tick_end(sale);
}

/* An empty queue or a pause says nothing about how fast buyers are let in. */
static void measure(struct sale *sale, const struct queue_numbers *numbers)
{
    bool flows = numbers->status == EVENT_OPEN && !numbers->restoring;
    if (sale->tick.promoted || (flows && numbers->queue_size))
        admission_rate_add(&sale->rate, sale->tick.promoted, numbers->now_ms);
    else
        sale->rate.last_ms = numbers->now_ms;
}

static void tick_finish(struct sale *sale, const struct queue_numbers *numbers)
{
    struct sale_tick *tick = &sale->tick;
    crash_point("tick-after-promote");
    if (!sale->ready) {
        tick->running = false; /* done while the lease was lost: the next holder goes on */
        return;
    }
    metrics_add(METRIC_TICKS, 1);
    metrics_add(METRIC_ADMISSIONS_PROMOTED, tick->promoted);
    metrics_add(METRIC_EVICTIONS, tick->evicted);
    metrics_observe(HISTOGRAM_TICK, (double)(clock_mono_ns() - tick->started_ns) / 1e9);
    report(sale, TROUBLE_TICK, "tick", ST_OK);
    measure(sale, numbers);
    if (tick->promoted || tick->evicted) {
        log_debug("tick", LOG_TEXT("event", sale->id), LOG_NUM("promoted", tick->promoted),
                  LOG_NUM("evicted", tick->evicted), LOG_NUM("inside", numbers->active),
                  LOG_NUM("waiting", numbers->queue_size));
        ledger_poke(sale->ledger, &sale->config);
        sale_index(sale);
    }
    publish_numbers(sale, numbers);
    for (size_t i = 0; i < tick->replies.count; i++)
        publish_processed(sale, tick->replies.text[i]);
    tick_end(sale);
}

/* Whether another step follows this one. */
static bool tick_goes_on(struct sale_tick *tick, const struct queue_tick *result)
{
    if (!tick->admit)
        return result->more;
    tick->admit -= result->admitted < tick->admit ? result->admitted : tick->admit;
    if (tick->admit && result->more)
        return true;
    tick->admit = 0;
    return tick->regular;
}

static void tick_done(void *arg, enum status status, const struct queue_tick *result)
{
    struct sale *sale = arg;
    struct sale_tick *tick = &sale->tick;
    if (!arrived(sale))
        return;
    if (status == ST_OK && result->lease_lost) {
        tick->running = false;
        lease_lost(sale->lease);
        return;
    }
    if (status != ST_OK) {
        tick_failed(sale, status);
        return;
    }
    tick->promoted += result->admitted;
    tick->evicted += result->evicted_idle + result->evicted_session;
    if (result->seq > sale->seq)
        sale->seq = result->seq;
    sale->in_force = result->numbers.status;
    if (tick_goes_on(tick, result) && sale->held)
        loop_defer(sale->processor->opts.loop, &sale->again);
    else
        tick_finish(sale, &result->numbers);
}

static void tick_step(void *arg)
{
    struct sale *sale = arg;
    if (!sale->held) {
        sale->tick.running = false;
        return;
    }
    crash_point("tick-before-promote");
    enum status st = queue_promote(queue_of(sale), sale->id, lease_value(sale->lease),
                                   sale->tick.admit, tick_done, sale);
    if (st == ST_OK)
        sale->pending++;
    else
        tick_failed(sale, st);
}

static void forget_due(struct sale *sale)
{
    sale->due = sale->due_regular = false;
    sale->due_admit = 0;
    sale->due_replies.count = 0;
}

static void tick_begin(struct sale *sale)
{
    struct sale_tick *tick = &sale->tick;
    loop_timer_stop(sale->timer);
    *tick = (struct sale_tick){.running = true,
                               .started_ms = now_ms(sale),
                               .started_ns = clock_mono_ns(),
                               .admit = sale->due_admit,
                               .regular = sale->due_regular || !sale->due_admit};
    if (tick->regular) {
        sale->regular_ms = tick->started_ms;
        sale->retry_ms = 0;
    }
    tick->replies = sale->due_replies;
    forget_due(sale);
    loop_defer(sale->processor->opts.loop, &sale->again); /* never from inside a caller */
}

static void on_timer(void *arg)
{
    struct sale *sale = arg;
    if (sale->ready && !sale->tick.running)
        tick_begin(sale);
}

void sale_tick_now(struct sale *sale, uint64_t admit, const char *reply)
{
    struct sale_replies *replies = &sale->due_replies;
    if (sale->closing || (!sale->ready && !reply))
        return;
    if (!sale->ready && now_ms(sale) >= sale->due_until_ms) {
        /* The holder answers. If that will be us, before the asker gives up, so will we. */
        forget_due(sale);
        sale->due_until_ms = now_ms(sale) + REQUEST_KEEP_MS;
    }
    if (reply && (replies->count == SALE_REPLIES_MAX || strlen(reply) >= SALE_REPLY_SIZE))
        return;
    if (reply)
        memcpy(replies->text[replies->count++], reply, strlen(reply) + 1);
    sale->due = true;
    sale->due_regular = sale->due_regular || admit == 0;
    sale->due_admit += admit;
    if (sale->ready && !sale->tick.running)
        tick_begin(sale);
}

/* Who waits is not to wait for the interval, too, when the doors open. By hand, the settings tell; by its
 * time, the index does: there is no message about that. */
static void note_status(struct sale *sale, enum event_status in_force)
{
    const bool opens = in_force == EVENT_OPEN && sale->in_force != EVENT_OPEN;
    sale->in_force = in_force;
    if (opens)
        sale_tick_now(sale, 0, NULL);
}

/* ---- the live copy ---- */

static void take_rate(struct sale *sale, const struct rank_index *index)
{
    sale->rate = (struct admission_rate){.mean = index->rate_mean,
                                         .variance = index->rate_spread * index->rate_spread,
                                         .ticks = index->rate_ticks,
                                         .last_ms = index->time_ms};
}

static void read_done(void *arg, enum status status, const struct event *config, const char *text,
                      size_t len)
{
    struct sale *sale = arg;
    struct rank_index *index = NULL;
    sale->reading = false;
    if (!arrived(sale) || !sale->held)
        return;
    if (sale->read_again) {
        sale->read_again = false;
        sale_read(sale);
    }
    if (status != ST_OK || !config) {
        if (status == ST_OK)
            sale_configure(sale);
        return; /* else: the next upkeep reads again */
    }
    const bool status_changed = config->status != sale->config.status;
    sale->config = *config;
    if (!sale->ready) {
        sale->ready = true;
        if (text && index_decode(text, len, &index) == ST_OK)
            take_rate(sale, index); /* go on where the last holder stopped */
        index_free(index);
        if (now_ms(sale) >= sale->due_until_ms)
            forget_due(sale); /* whoever asked has been told 503 */
        sale_tick_now(sale, 0, NULL);
    } else if (status_changed) {
        note_status(sale, config->status);
    }
    arm(sale);
}

static void sale_read(struct sale *sale)
{
    if (sale->reading) {
        sale->read_again = true;
        return;
    }
    if (queue_read_live(queue_of(sale), sale->id, read_done, sale) != ST_OK)
        return;
    sale->reading = true;
    sale->pending++;
}

void sale_changed(struct sale *sale)
{
    if (sale->held && !sale->closing)
        sale_read(sale);
}

/* ---- from PostgreSQL ---- */

static void configured(void *arg, enum status status, bool applied)
{
    struct sale *sale = arg;
    sale->configuring = false;
    if (!arrived(sale))
        return;
    report(sale, TROUBLE_CONFIGURE, "writing the live copy", status);
    if (status == ST_OK)
        sale_changed(sale);
    if (applied)
        log_info("configured", LOG_TEXT("event", sale->id));
}

static void fetched(void *arg, enum status status, const struct event *record)
{
    struct sale *sale = arg;
    sale->configuring = false;
    if (!arrived(sale))
        return;
    report(sale, TROUBLE_CONFIGURE, "fetching the event", status);
    if (status != ST_OK || queue_configure(queue_of(sale), record, configured, sale) != ST_OK)
        return;
    sale->configuring = true;
    sale->pending++;
}

/* Redis does not know the event: PostgreSQL does. */
static void sale_configure(struct sale *sale)
{
    uint64_t now = now_ms(sale);
    if (sale->configuring || (sale->configure_ms && now - sale->configure_ms < CONFIGURE_RETRY_MS))
        return;
    sale->configure_ms = now;
    if (catalog_fetch(sale->processor->opts.db, sale->id, fetched, sale) != ST_OK)
        return;
    sale->configuring = true;
    sale->pending++;
}

struct settlement {
    struct sale *sale;
    struct event record;
    bool status_changed;
};

static void settlement_configured(void *arg, enum status status, bool applied)
{
    struct settlement *settlement = arg;
    struct sale *sale = settlement->sale;
    if (arrived(sale) && status == ST_OK && applied) {
        publish_change(sale, "config-changed", &settlement->record);
        if (settlement->status_changed)
            publish_change(sale, "event-status-changed", &settlement->record);
        sale_changed(sale);
    }
    free(settlement);
}

/* What PostgreSQL has is newer than the live copy: carry it over. */
static void settled(void *arg, enum status status, const struct event *record)
{
    struct sale *sale = arg;
    sale->settling = false;
    if (!arrived(sale) || status != ST_OK || !sale->ready)
        return;
    queue_note_event(queue_of(sale), sale->id, record->status != EVENT_CLOSED);
    if (record->version <= sale->config.version && record->epoch <= sale->config.epoch)
        return;
    struct settlement *settlement = xcalloc(1, sizeof(*settlement));
    settlement->sale = sale;
    settlement->record = *record;
    settlement->status_changed = record->status != sale->config.status;
    if (queue_configure(queue_of(sale), record, settlement_configured, settlement) != ST_OK)
        free(settlement); /* in five seconds again */
    else
        sale->pending++;
}

static void sale_settle(struct sale *sale)
{
    if (sale->settling || !sale->ready)
        return;
    sale->settle_ms = now_ms(sale);
    if (catalog_settle(sale->processor->opts.db, sale->id, sale->seq, settled, sale) != ST_OK)
        return;
    sale->settling = true;
    sale->pending++;
}

void sale_seats_changed(struct sale *sale)
{
    sale->settle_ms = 0; /* the next upkeep looks whether all are sold, or no longer */
}

/* ---- upkeep: once a second, while the lease is held ---- */

static void indexed(void *arg, enum status status, const struct event *none, const char *text,
                    size_t len)
{
    struct sale *sale = arg;
    struct rank_index *index = NULL;
    (void)none;
    sale->indexing = false;
    if (!arrived(sale) || !sale->held)
        return;
    if (status == ST_STALE) {
        lease_lost(sale->lease);
        return;
    }
    if (status == ST_NOT_FOUND)
        sale_configure(sale);
    report(sale, TROUBLE_INDEX, "rank index", status);
    if (status != ST_OK || !text || index_decode(text, len, &index) != ST_OK)
        return;
    if (index->seq > sale->seq)
        sale->seq = index->seq;
    if ((int64_t)index->version != sale->config.version ||
        (int64_t)index->epoch != sale->config.epoch)
        sale_read(sale);
    note_status(sale, index->status);
    index_free(index);
}

static void sale_index(struct sale *sale)
{
    if (sale->indexing || !sale->ready)
        return;
    if (queue_publish_index(queue_of(sale), sale->id, lease_value(sale->lease), sale->rate.mean,
                            sqrt(sale->rate.variance), sale->rate.ticks, indexed, sale) != ST_OK)
        return;
    sale->indexing = true;
    sale->pending++;
}

static void consumed_loaded(void *arg, enum status status, bool applied)
{
    struct sale *sale = arg;
    (void)applied;
    sale->loading = false;
    if (!arrived(sale))
        return;
    report(sale, TROUBLE_CONSUMED, "loading consumed places", status);
    if (status == ST_OK)
        log_info("consumed places loaded", LOG_TEXT("event", sale->id));
}

static void load_consumed(struct sale *sale)
{
    if (sale->loading)
        return;
    if (ledger_reload_consumed(sale->ledger, (uint64_t)sale->config.epoch, consumed_loaded, sale) !=
        ST_OK)
        return;
    sale->loading = true;
    sale->pending++;
}

static void on_renewed(void *arg, bool need_consumed)
{
    struct sale *sale = arg;
    if (sale->closing)
        return;
    if (!sale->ready) {
        sale_read(sale);
        return;
    }
    sale_index(sale);
    ledger_poke(sale->ledger,
                &sale->config); /* direct admissions and departures are in the log too */
    if (need_consumed)
        load_consumed(sale);
    if (now_ms(sale) - sale->settle_ms >= SETTLE_MS)
        sale_settle(sale);
}

/* ---- the lease ---- */

static void gained(struct sale *sale)
{
    log_info("lease gained", LOG_TEXT("event", sale->id),
             LOG_TEXT("lease", lease_value(sale->lease)->text));
    sale->rate = (struct admission_rate){.mean = 0};
    sale->told_size = sale->told_active = sale->told_threshold = UINT64_MAX;
    sale->settle_ms = 0;
    ledger_start(sale->ledger);
    sale_read(sale);
}

static void lost(struct sale *sale)
{
    log_info("lease lost", LOG_TEXT("event", sale->id));
    sale->ready = false;
    forget_due(sale);
    loop_timer_stop(sale->timer);
    ledger_stop(sale->ledger);
}

static void on_change(void *arg, bool held)
{
    struct sale *sale = arg;
    if (sale->closing || sale->held == held)
        return;
    sale->held = held;
    if (held)
        gained(sale);
    else
        lost(sale);
}

/* ---- birth and end ---- */

struct sale *sale_new(struct processor *processor, const char *id)
{
    const struct processor_opts *opts = &processor->opts;
    struct sale *sale = xcalloc(1, sizeof(*sale));
    sale->processor = processor;
    memcpy(sale->id, id, strlen(id) + 1);
    sale->again = (struct loop_task){.cb = tick_step, .arg = sale};
    sale->timer = loop_timer_new(opts->loop, on_timer, sale);
    sale->ledger = ledger_new(&(struct ledger_opts){
        .loop = opts->loop, .queue = opts->queue, .db = opts->db, .event = id});
    sale->lease = lease_new(&(struct lease_opts){.loop = opts->loop,
                                                 .queue = opts->queue,
                                                 .event = id,
                                                 .owner = processor->owner,
                                                 .on_change = on_change,
                                                 .on_renewed = on_renewed,
                                                 .arg = sale});
    return sale;
}

static void lease_gone(void *arg)
{
    struct sale *sale = arg;
    sale->lease_closed = true;
    processor_settle(sale->processor);
}

static void ledger_gone(void *arg)
{
    struct sale *sale = arg;
    sale->ledger_closed = true;
    processor_settle(sale->processor);
}

void sale_close(struct sale *sale)
{
    if (sale->closing)
        return;
    sale->closing = true;
    sale->held = sale->ready = false;
    loop_undefer(sale->processor->opts.loop, &sale->again);
    loop_timer_close(sale->timer);
    ledger_close(sale->ledger, ledger_gone, sale);
    lease_close(sale->lease, lease_gone, sale);
}
