/* SPDX-License-Identifier: MIT */
/*
 * processor_bans: makes the bans in Redis those of PostgreSQL.
 *
 *   read the live copy (its number of changes) -> does it differ? -> ban_all (PostgreSQL) -> queue_sync_bans, which does
 *   nothing if there was a change in between
 *
 * Why this way: PostgreSQL has a ban first, and Redis follows at once (api_ban). Where Redis could not, or has lost its data,
 * the mark of the list differs, or is older than the last change: the runner sees that when it reconciles. Before the
 * consumed places are loaded in a restore window it is done in any case, so that no pass of a banned buyer counts again.
 * Called by: processor_runner. Owns nothing but the step under way, whose state is the runner's.
 * Redis or PostgreSQL gone: the step ends with the status, and is repeated.
 */
#include "processor/processor_internal.h"

#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "selling/ban.h"

#include <stdlib.h>
#include <string.h>

#define LIST_MAX (1 << 20) /* bytes of the JSON of QUEUE_BANS_MAX bans */

static void bans_end(struct event_runner *runner, enum status status)
{
    event_runner_report(runner, FAILURE_BANS, status);
    runner->bans.cb(runner, status);
}

static void bans_synced(void *arg, enum status status, bool applied)
{
    struct event_runner *runner = arg;
    runner->bans.running = false;
    if (!event_runner_arrived(runner))
        return;
    if (status == ST_OK && applied) {
        log_info("bans loaded into redis", LOG_TEXT("event", runner->id));
        event_runner_changed(runner);
    }
    bans_end(runner, status);
}

static void bans_read(void *arg, enum status status, const char *outcome, const char *json,
                      size_t len)
{
    struct event_runner *runner = arg;
    (void)outcome;
    runner->bans.running = false;
    if (!event_runner_arrived(runner)) /* may have freed it */
        return;
    struct json *body = status == ST_OK ? json_parse(json, len, LIST_MAX, NULL) : NULL;
    const struct json *bans = json_get(body, "bans");
    const size_t count = json_array_len(bans);
    struct queue_ban *list = xcalloc(count + 1, sizeof(*list));
    for (size_t i = 0; i < count; i++) {
        const struct json *ban = json_array_at(bans, i);
        const char *place = json_str(ban, "place"), *epoch = json_str(ban, "epoch");
        list[i] = (struct queue_ban){.buyer = json_str(ban, "buyer"),
                                     .place = place ? strtoull(place, NULL, 10) : 0,
                                     .epoch = epoch ? strtoull(epoch, NULL, 10) : 0};
        if (!list[i].buyer)
            status = ST_INTERNAL;
    }
    if (status == ST_OK)
        status = queue_sync_bans(runner->processor->opts.queue, runner->id,
                                 &(struct queue_ban_list){.seq = runner->bans.seq,
                                                          .mark = json_int(body, "mark", 0),
                                                          .list = list,
                                                          .count = count},
                                 bans_synced, runner);
    free(list);
    json_free(body);
    if (status == ST_OK) {
        runner->bans.running = true;
        runner->pending++;
        return;
    }
    bans_end(runner, status);
}

/* Is the list of banned buyers in Redis the one of the record? */
static bool bans_agree(const struct event_runner *runner, const struct event *live)
{
    if (live->bans != runner->bans.count)
        return false;
    return live->bans == 0 ||
           (live->bans_mark == runner->bans.mark && live->bans_mark_seq == live->ban_seq);
}

static void live_read(void *arg, enum status status, const struct event *live, const char *index,
                      size_t len)
{
    struct event_runner *runner = arg;
    (void)index, (void)len;
    runner->bans.running = false;
    if (!event_runner_arrived(runner)) /* may have freed it */
        return;
    if (runner->bans.compares && (status != ST_OK || !live || bans_agree(runner, live)))
        return;
    if (status == ST_OK && !live)
        status = ST_NOT_FOUND;
    if (status == ST_OK) {
        runner->bans.seq = live->ban_seq;
        status = ban_all(runner->processor->opts.db, runner->id, bans_read, runner);
    }
    if (status == ST_OK) {
        runner->bans.running = true;
        runner->pending++;
        return;
    }
    bans_end(runner, status);
}

static void load_begin(struct event_runner *runner, bool compares,
                       void (*cb)(struct event_runner *runner, enum status status))
{
    if (runner->bans.running ||
        queue_read_live(runner->processor->opts.queue, runner->id, live_read, runner) != ST_OK)
        return;
    runner->bans.running = true;
    runner->bans.compares = compares;
    runner->bans.cb = cb;
    runner->pending++;
}

void event_runner_load_bans(struct event_runner *runner,
                            void (*cb)(struct event_runner *runner, enum status status))
{
    load_begin(runner, false, cb);
}

static void compared(struct event_runner *runner, enum status status)
{
    (void)runner, (void)status; /* reported; the next reconciling compares again */
}

void event_runner_compare_bans(struct event_runner *runner, const struct event *record)
{
    if (runner->bans.running)
        return;
    runner->bans.count = record->bans;
    runner->bans.mark = record->bans_mark;
    load_begin(runner, true, compared);
}
