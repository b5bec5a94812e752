/* SPDX-License-Identifier: MIT */
/*
 * seat_map: this worker's seat maps.
 *
 *   confirmed here within a second?   -> done
 *   else Redis (seats.lua get):
 *     confirmed there within a second -> done
 *     else this worker must ask       -> SQL function seat_map_text on the replica, else the primary:
 *                                        unchanged: seats.lua confirm -> done
 *                                        new map:   seats.lua put -> done
 *
 * Why this way: thousands of buyers look at one hall. So a map is one reference-counted piece of memory
 * that answers are sent from. Redis lets one pod ask PostgreSQL once a second (lua/seats.lua), and
 * PostgreSQL builds the text only if its version differs. The version is the sum of the seats' versions, so
 * it only rises: an older map, for example from a replica that lags, is recognised here and in Redis.
 * Called by: api_seats and gateway_seats, only for events that the catalog knows, so invented ids take no
 * memory here. Owns: the maps, and the callbacks that wait for one.
 * Redis gone: each worker asks PostgreSQL itself, once a second. Both gone: a map confirmed within the last
 * minute is used; after that, ST_UNAVAILABLE.
 */
#include "selling/seat_map.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "base/table.h"
#include "selling/seat_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRESH_MS  1000  /* as in lua/seats.lua */
#define ROWS_HEAD 64    /* bytes by which the short form of an empty hall is longer */
#define KEEP_MS   60000 /* how long an unconfirmed map may still be used */

struct waiter {
    struct waiter *next;
    seat_map_cb cb;
    void *arg;
};

struct entry {
    struct table_node node; /* must be the first member: find() casts it to struct entry */
    struct entry *next;
    struct seat_maps *maps;
    struct shared_text *map;        /* NULL: none yet */
    uint64_t confirmed_ms;          /* when Redis or PostgreSQL last said that `map` is current */
    uint64_t asked_ms;              /* when seat_maps_get was last called */
    struct waiter *waiters, **tail; /* in the order in which they asked */
    struct loop_task deferred;      /* calls the waiters with deferred_status on the next turn */
    enum status deferred_status;
    bool loading;    /* a read is under way, or its result waits for on_deferred */
    bool on_replica; /* the query under way went to the replica */
    char id[EVENT_ID_MAX + 1];
};

struct seat_maps {
    struct seat_maps_opts opts;
    struct table table;
    struct entry *entries;
    uint64_t swept_ms; /* when sweep last ran */
};

/* ---- entries ---- */

static uint32_t hash_of(const struct seat_maps *maps, const char *event)
{
    return table_hash(&maps->table, event, strlen(event), "", 0);
}

static struct entry *find(const struct seat_maps *maps, const char *event, uint32_t hash)
{
    struct table_node *node = table_first(&maps->table, hash);
    while (node && strcmp(((struct entry *)node)->id, event) != 0)
        node = table_next(node);
    return (struct entry *)node;
}

static bool is_fresh(const struct entry *entry, uint64_t now_ms)
{
    return entry->map && now_ms - entry->confirmed_ms < FRESH_MS;
}

/* The map, if it was confirmed within KEEP_MS; otherwise NULL. It may be used while Redis and PostgreSQL are
 * gone. */
static const struct shared_text *usable_map(const struct entry *entry)
{
    return loop_now_ms(entry->maps->opts.loop) - entry->confirmed_ms < KEEP_MS ? entry->map : NULL;
}

/* The version of this worker's map, which Redis and PostgreSQL compare with theirs; -1: it has no map. */
static int64_t known_version(const struct entry *entry)
{
    const struct shared_text *map = usable_map(entry);
    return map ? (int64_t)map->version : -1;
}

/* Stores a copy of the map if it is newer than the present one: it may come from a replica that lags. */
static void store_newer(struct entry *entry, uint64_t version, const char *json, size_t len)
{
    const struct shared_text *known = usable_map(entry);
    if (known && version <= known->version)
        return;
    shared_text_unref(entry->map);
    entry->map = shared_text_new(version, json, len);
}

/* At most once a second: frees entries that nobody asked for in a minute, and at once those whose event
 * turned out not to exist. */
static void sweep(struct seat_maps *maps, uint64_t now_ms)
{
    if (now_ms - maps->swept_ms < FRESH_MS)
        return;
    maps->swept_ms = now_ms;
    for (struct entry **at = &maps->entries; *at;) {
        struct entry *entry = *at;
        if (entry->loading || now_ms - entry->asked_ms < (entry->map ? KEEP_MS : FRESH_MS)) {
            at = &entry->next;
            continue;
        }
        *at = entry->next;
        table_remove(&maps->table, &entry->node);
        shared_text_unref(entry->map);
        free(entry);
    }
}

/* ---- the end of a read ---- */

static void call_waiters(struct entry *entry, enum status status)
{
    struct waiter *waiter = entry->waiters;
    entry->loading = false;
    entry->waiters = NULL;
    entry->tail = &entry->waiters;
    if (status != ST_OK && status != ST_NOT_FOUND && usable_map(entry))
        status = ST_OK;
    struct shared_text *map = status == ST_OK ? shared_text_ref(entry->map) : NULL;
    char id[EVENT_ID_MAX + 1];
    /* A copy, because a callback may call seat_maps_get, which may free the entry (sweep). */
    memcpy(id, entry->id, sizeof(id));
    for (struct waiter *next; waiter; waiter = next) {
        next = waiter->next;
        waiter->cb(waiter->arg, id, status, map);
        free(waiter);
    }
    shared_text_unref(map);
}

static void finish_confirmed(struct entry *entry)
{
    entry->confirmed_ms = loop_now_ms(entry->maps->opts.loop);
    call_waiters(entry, ST_OK);
}

/* Calls the waiters on the next turn of the loop: callbacks never run before seat_maps_get returns. */
static void defer(struct entry *entry, enum status status)
{
    entry->deferred_status = status;
    loop_defer(entry->maps->opts.loop, &entry->deferred);
}

static void on_deferred(void *arg)
{
    struct entry *entry = arg;
    call_waiters(entry, entry->deferred_status);
}

/* ---- PostgreSQL ---- */

static void database_answered(void *arg, enum status status, const struct db_result *result);

static enum status query_map(struct entry *entry, struct db *db)
{
    static const struct db_stmt stmt = {
        .name = "seat_map_text",
        .sql = "SELECT outcome, body, version FROM seat_map_text($1, $2::bigint)",
        .param_count = 2,
        .kind = DB_PUBLIC};
    char known[24];
    (void)snprintf(known, sizeof(known), "%" PRId64, known_version(entry));
    return db_query(db, &stmt, (const char *const[]){entry->id, known}, database_answered, entry);
}

/* Asks the replica if entry->on_replica is set; if it is not, or if that fails at once, the primary. */
static void ask_database(struct entry *entry)
{
    const struct seat_maps_opts *opts = &entry->maps->opts;
    if (entry->on_replica && query_map(entry, opts->replica) == ST_OK)
        return;
    entry->on_replica = false;
    const enum status st = query_map(entry, opts->db);
    if (st != ST_OK)
        defer(entry, st);
}

static void database_answered(void *arg, enum status status, const struct db_result *result)
{
    struct entry *entry = arg;
    struct queue *queue = entry->maps->opts.queue;
    const char *outcome = status == ST_OK && db_rows(result) == 1 ? db_text(result, 0, 0) : "";
    if (status != ST_OK && entry->on_replica) {
        entry->on_replica = false;
        ask_database(entry);
        return;
    }
    if (status != ST_OK) {
        call_waiters(entry, status);
        return;
    }
    enum status cached;
    if (strcmp(outcome, "unchanged") == 0 && entry->map) {
        cached = queue_confirm_seats(queue, entry->id, entry->map->version);
    } else if (strcmp(outcome, "found") == 0) {
        metrics_add(METRIC_SEAT_MAPS, 1);
        store_newer(entry, (uint64_t)db_int(result, 0, 2), db_text(result, 0, 1),
                    db_len(result, 0, 1));
        cached = queue_put_seats(queue, entry->id, entry->map->version, entry->map->data,
                                 entry->map->len);
    } else {
        call_waiters(entry, strcmp(outcome, "not-found") == 0 ? ST_NOT_FOUND : ST_INTERNAL);
        return;
    }
    if (cached != ST_OK) /* harmless: another pod will ask PostgreSQL itself */
        log_debug("seat map not cached in redis", LOG_TEXT("event", entry->id));
    finish_confirmed(entry);
}

static void begin_database(struct entry *entry)
{
    struct db *replica = entry->maps->opts.replica;
    entry->on_replica = replica && db_up(replica);
    ask_database(entry);
}

/* ---- Redis ---- */

static void redis_answered(void *arg, enum status status, const struct queue_seats *seats)
{
    struct entry *entry = arg;
    if (status == ST_OK && seats->len > 0)
        store_newer(entry, seats->version, seats->map, seats->len);
    if (status == ST_OK && entry->map && seats->cached && seats->age_ms < FRESH_MS)
        finish_confirmed(entry);
    else
        begin_database(entry);
}

/* ---- public ---- */

const struct shared_text *seat_maps_fresh(const struct seat_maps *maps, const char *event)
{
    const struct entry *entry = find(maps, event, hash_of(maps, event));
    return entry && is_fresh(entry, loop_now_ms(maps->opts.loop)) ? entry->map : NULL;
}

enum status seat_maps_get(struct seat_maps *maps, const char *event, seat_map_cb cb, void *arg)
{
    const uint64_t now_ms = loop_now_ms(maps->opts.loop);
    const uint32_t hash = hash_of(maps, event);
    struct entry *entry = find(maps, event, hash);
    if (!entry) {
        sweep(maps, now_ms);
        entry = xcalloc(1, sizeof(*entry));
        (void)snprintf(entry->id, sizeof(entry->id), "%s", event);
        entry->maps = maps;
        entry->tail = &entry->waiters;
        entry->deferred = (struct loop_task){.cb = on_deferred, .arg = entry};
        table_add(&maps->table, &entry->node, hash);
        entry->next = maps->entries;
        maps->entries = entry;
    }
    entry->asked_ms = now_ms;

    struct waiter *waiter = xcalloc(1, sizeof(*waiter));
    *waiter = (struct waiter){.cb = cb, .arg = arg};
    *entry->tail = waiter;
    entry->tail = &waiter->next;
    if (entry->loading)
        return ST_OK;
    entry->loading = true;
    if (is_fresh(entry, now_ms))
        defer(entry, ST_OK);
    else if (queue_read_seats(maps->opts.queue, entry->id, known_version(entry), redis_answered,
                              entry) != ST_OK)
        begin_database(entry);
    return ST_OK;
}

struct seat_maps *seat_maps_new(const struct seat_maps_opts *opts)
{
    struct seat_maps *maps = xcalloc(1, sizeof(*maps));
    maps->opts = *opts;
    table_init(&maps->table);
    return maps;
}

void seat_maps_free(struct seat_maps *maps)
{
    if (!maps)
        return;
    while (maps->entries) {
        struct entry *entry = maps->entries;
        maps->entries = entry->next;
        loop_undefer(maps->opts.loop, &entry->deferred);
        for (struct waiter *next; entry->waiters; entry->waiters = next) {
            next = entry->waiters->next;
            free(entry->waiters);
        }
        shared_text_unref(entry->map);
        free(entry);
    }
    table_clear(&maps->table);
    free(maps);
}

const struct shared_text *seat_map_rows(const struct shared_text *map)
{
    struct shared_text *kept = (struct shared_text *)map; /* the content stays as it is */
    struct buf rows;
    if (kept->short_form)
        return kept->short_form;
    buf_init(&rows, map->len + ROWS_HEAD);
    if (seat_rows_write(map->data, map->len, &rows))
        kept->short_form = shared_text_new(map->version, buf_str(&rows), rows.len);
    buf_clear(&rows);
    return kept->short_form;
}
