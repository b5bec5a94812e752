/* SPDX-License-Identifier: MIT */
/*
 * api_promises: proves the promises by replaying the log of an event, entry by entry, with the code by which the crowd
 * proves them.
 *
 *   api_promises_start -> (page of the log -> replay)* -> promises -> the callback
 *
 * Why this way: the log is never whole in memory: a page of it is, and 24 bytes for each admission behind which nobody may
 * be left.
 * Called by: api_report, api_readiness. Owns: a replay for each call. With PostgreSQL gone: its status.
 */
#include "api/api_promises.h"

#include "base/memory.h"
#include "queue/reference.h"
#include "queue/replay.h"
#include "selling/history.h"

#include <stdlib.h>

#define EXAMPLES_MAX 10

struct promises {
    struct api_call *call;
    const char *event;
    api_promises_cb cb;
    int64_t sold_twice;
    struct json *examples;
    struct replay replay;
    uint64_t miscounts; /* of the replay, before the entry that is taken now */
    struct history_cursor at;
};

static void note_example(void *arg, const char *kind, const char *example)
{
    struct promises *promises = arg;
    if (json_array_len(promises->examples) >= EXAMPLES_MAX)
        return;
    struct json *row = json_new_object();
    json_set_str(row, "kind", kind);
    json_set_str(row, "example", example);
    json_append(promises->examples, row);
}

/* kept: the log is whole, and says so. broken: it proves a broken promise. unproven: entries are missing from it, because
 * Redis has lost data; what is there breaks no promise. */
static struct json *write_promises(struct promises *promises)
{
    const struct replay *replay = &promises->replay;
    const int64_t twice = promises->sold_twice;
    const uint64_t over = replay->over_admissions - replay->miscounts;
    struct json *body = json_new_object();
    json_set_str(body, "verdict",
                 over > 0 || replay->order_breaks > 0 || replay->outflow_breaks > 0 || twice > 0
                     ? "broken"
                 : replay->miscounts > 0 ? "unproven"
                                         : "kept");
    json_set_int(body, "overLimit", (int64_t)over);
    json_set_int(body, "outOfOrder", (int64_t)replay->order_breaks);
    json_set_int(body, "overOutflow", (int64_t)replay->outflow_breaks);
    json_set_int(body, "seatsSoldTwice", twice);
    json_set_int(body, "gaps", (int64_t)replay->miscounts);
    json_set_int(body, "setAside", (int64_t)replay->excused);
    json_set_int(body, "entries", (int64_t)replay->entries);
    json_set_int(body, "admissions", (int64_t)replay->admissions);
    json_set_int(body, "mostInside", (int64_t)replay->most_inside);
    json_set_int(body, "mostInTenSeconds", (int64_t)replay->flow.worst);
    json_set_int(body, "allowedInTenSeconds", (int64_t)replay->flow.worst_of);
    json_set(body, "examples", promises->examples);
    promises->examples = NULL;
    return body;
}

/* Frees the replay, then calls back. */
static void end_promises(struct promises *promises, enum status status)
{
    struct api_call *call = promises->call;
    const api_promises_cb cb = promises->cb;
    struct json *body = status == ST_OK ? write_promises(promises) : NULL;
    replay_clear(&promises->replay);
    json_free(promises->examples);
    free(promises);
    cb(call, status, body);
}

static void take_entry(struct promises *promises, const struct replay_entry *entry)
{
    char place[REFERENCE_SIZE];
    struct replay *replay = &promises->replay;
    if (entry->kind == REPLAY_KIND_COUNT)
        return;
    reference_write(entry->place, place);
    replay_take(replay, entry, place, NULL);
    if (replay->miscounts > promises->miscounts) {
        promises->miscounts = replay->miscounts;
        replay_loss(replay, entry->at_ms);
    }
}

static void log_page_read(void *arg, enum status status, const struct replay_entry *entries,
                          size_t count, const struct history_cursor *last)
{
    struct promises *promises = arg;
    if (status == ST_OK && count > 0) {
        for (size_t i = 0; i < count; i++)
            take_entry(promises, &entries[i]);
        promises->at = *last;
        status = history_read_log(promises->call->api->db, promises->event, &promises->at,
                                  log_page_read, promises);
        if (status == ST_OK)
            return;
    }
    end_promises(promises, status);
}

enum status api_promises_start(struct api_call *call, const char *event, int64_t sold_twice,
                               api_promises_cb cb)
{
    struct promises *promises = xcalloc(1, sizeof(*promises));
    promises->call = call;
    promises->event = event;
    promises->cb = cb;
    promises->sold_twice = sold_twice;
    const enum status st =
        history_read_log(call->api->db, event, &promises->at, log_page_read, promises);
    if (st != ST_OK) {
        free(promises);
        return st;
    }
    promises->examples = json_new_array();
    replay_init(&promises->replay, 0, note_example, promises);
    return ST_OK;
}
