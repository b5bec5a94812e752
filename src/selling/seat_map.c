/* SPDX-License-Identifier: MIT */
/*
 * seat_map: the seat maps of this worker.
 *
 *   fresh here (a second) -> Redis: seats.lua get -> fresh there -> done
 *                                                 -> ours to look again: seat_map_text on the replica, else
 *                                                    the primary -> unchanged | new: seats.lua put -> done
 *
 * Why this way: thousands look at one hall; so the map is one counted piece of memory that answers are
 * sent from, asked for once a second by one of all pods (lua/seats.lua), and built only when its
 * version is another. The version is the sum of its seats' (table seats in sql/migrations): it only rises, so an
 * older map, of a replica that lags, is known as such here and in Redis.
 * Called by: api_seats, gateway_seats; both ask for events alone that the catalog knows, so the ids in here are
 * not anybody's invention. Owns: the maps, and a note of each who waits for one.
 * Redis gone: PostgreSQL is asked by each worker, once a second. Both gone: the map of the last minute is
 * given; after that ST_UNAVAILABLE.
 */
#include "selling/seat_map.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "base/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRESH_MS 1000  /* as in lua/seats.lua */
#define KEEP_MS  60000 /* without a word that it is still true */

struct waiter {
    struct waiter *next;
    seat_map_cb cb;
    void *arg;
};

struct entry {
    struct table_node node; /* first */
    struct entry *next;
    struct seat_maps *maps;
    struct seat_map *map; /* NULL: none yet */
    uint64_t true_ms;     /* when it was last found to be true */
    uint64_t asked_ms;    /* by anybody */
    struct waiter *waiters, **tail;
    struct loop_task end; /* the answer, when it was found inside a start */
    enum status end_status;
    bool loading, on_replica;
    char id[EVENT_ID_MAX + 1];
};

struct seat_maps {
    struct seat_maps_opts opts;
    struct table table;
    struct entry *entries;
    uint64_t swept_ms;
};

/* ---- maps ---- */

static struct seat_map *map_new(uint64_t version, const char *json, size_t len)
{
    struct seat_map *map = xrealloc(NULL, sizeof(*map) + len + 1);
    *map = (struct seat_map){.refs = 1, .version = version, .len = len};
    memcpy(map->json, json, len);
    map->json[len] = '\0';
    return map;
}

struct seat_map *seat_map_hold(const struct seat_map *map)
{
    struct seat_map *own = (struct seat_map *)map; /* the count is no part of its meaning */
    own->refs++;
    return own;
}

void seat_map_release(void *map)
{
    struct seat_map *own = map;
    if (own != NULL && --own->refs == 0)
        free(own);
}

/* ---- entries ---- */

static struct entry *find(const struct seat_maps *maps, const char *event, uint32_t hash)
{
    struct table_node *node = table_first(&maps->table, hash);
    while (node != NULL && strcmp(((struct entry *)node)->id, event) != 0)
        node = table_next(node);
    return (struct entry *)node;
}

static uint32_t hash_of(const struct seat_maps *maps, const char *event)
{
    return table_hash(&maps->table, event, strlen(event), "", 0);
}

static void entry_free(struct entry *entry)
{
    seat_map_release(entry->map);
    free(entry);
}

/* Once a second: forgets what nobody has asked for in a minute; also ids that turned out to be nobody's. */
static void sweep(struct seat_maps *maps, uint64_t now_ms)
{
    if (now_ms - maps->swept_ms < FRESH_MS)
        return;
    maps->swept_ms = now_ms;
    for (struct entry **at = &maps->entries; *at != NULL;) {
        struct entry *entry = *at;
        if (entry->loading ||
            now_ms - entry->asked_ms < (entry->map != NULL ? KEEP_MS : FRESH_MS)) {
            at = &entry->next;
            continue;
        }
        *at = entry->next;
        table_remove(&maps->table, &entry->node);
        entry_free(entry);
    }
}

static void on_end(void *arg);

static struct entry *entry_of(struct seat_maps *maps, const char *event)
{
    const uint32_t hash = hash_of(maps, event);
    const uint64_t now_ms = loop_now_ms(maps->opts.loop);
    struct entry *entry = find(maps, event, hash);
    if (entry == NULL) {
        sweep(maps, now_ms);
        entry = xcalloc(1, sizeof(*entry));
        (void)snprintf(entry->id, sizeof(entry->id), "%s", event);
        entry->maps = maps;
        entry->tail = &entry->waiters;
        entry->end = (struct loop_task){.cb = on_end, .arg = entry};
        table_add(&maps->table, &entry->node, hash);
        entry->next = maps->entries;
        maps->entries = entry;
    }
    entry->asked_ms = now_ms;
    return entry;
}

static bool is_fresh(const struct entry *entry, uint64_t now_ms)
{
    return entry->map != NULL && now_ms - entry->true_ms < FRESH_MS;
}

/* What may still be given when nobody can be asked, and whose version still counts; NULL: nothing. */
static const struct seat_map *kept(const struct entry *entry)
{
    return loop_now_ms(entry->maps->opts.loop) - entry->true_ms < KEEP_MS ? entry->map : NULL;
}

/* -1: none. */
static int64_t known_version(const struct entry *entry)
{
    const struct seat_map *map = kept(entry);
    return map != NULL ? (int64_t)map->version : -1;
}

static void take(struct entry *entry, uint64_t version, const char *json, size_t len)
{
    const struct seat_map *map = kept(entry);
    if (map != NULL && version <= map->version)
        return; /* of a replica that lags */
    seat_map_release(entry->map);
    entry->map = map_new(version, json, len);
}

/* ---- the end of a look ---- */

static void finish(struct entry *entry, enum status status)
{
    struct waiter *waiter = entry->waiters;
    entry->loading = false;
    entry->waiters = NULL;
    entry->tail = &entry->waiters;
    if (status != ST_OK && status != ST_NOT_FOUND && kept(entry) != NULL)
        status = ST_OK;
    struct seat_map *map = status == ST_OK ? seat_map_hold(entry->map) : NULL;
    char id[EVENT_ID_MAX + 1];
    memcpy(id, entry->id, sizeof(id)); /* a callback may ask, and so sweep, again */
    for (struct waiter *next; waiter != NULL; waiter = next) {
        next = waiter->next;
        waiter->cb(waiter->arg, id, status, map);
        free(waiter);
    }
    seat_map_release(map);
}

static void found_true(struct entry *entry)
{
    entry->true_ms = loop_now_ms(entry->maps->opts.loop);
    finish(entry, ST_OK);
}

static void on_end(void *arg)
{
    struct entry *entry = arg;
    finish(entry, entry->end_status);
}

/* ---- PostgreSQL ---- */

static void build(struct entry *entry);

/* Tells Redis; whether it hears is of no matter. */
static void tell_redis(struct entry *entry, bool is_new)
{
    const enum status st =
        is_new ? queue_put_seats(entry->maps->opts.queue, entry->id, entry->map->version,
                                 entry->map->json, entry->map->len)
               : queue_true_seats(entry->maps->opts.queue, entry->id, entry->map->version);
    if (st != ST_OK)
        log_debug("a seat map was not cached", LOG_TEXT("event", entry->id));
}

static void built(void *arg, enum status status, const struct db_result *result)
{
    struct entry *entry = arg;
    const char *outcome = status == ST_OK && db_rows(result) == 1 ? db_text(result, 0, 0) : "";
    if (status != ST_OK && entry->on_replica) {
        entry->on_replica = false; /* the primary is asked instead */
        build(entry);
    } else if (status != ST_OK) {
        finish(entry, status);
    } else if (strcmp(outcome, "not-found") == 0) {
        finish(entry, ST_NOT_FOUND);
    } else if (strcmp(outcome, "unchanged") == 0 && entry->map != NULL) {
        tell_redis(entry, false);
        found_true(entry);
    } else if (strcmp(outcome, "found") == 0) {
        metrics_add(METRIC_SEAT_MAPS, 1);
        take(entry, (uint64_t)db_int(result, 0, 2), db_text(result, 0, 1), db_len(result, 0, 1));
        tell_redis(entry, true);
        found_true(entry);
    } else {
        finish(entry, ST_INTERNAL);
    }
}

static enum status ask_database(struct entry *entry, struct db *db)
{
    static const struct db_stmt stmt = {
        .name = "seat_map_text",
        .sql = "SELECT outcome, body, version FROM seat_map_text($1, $2::bigint)",
        .param_count = 2};
    char known[24];
    (void)snprintf(known, sizeof(known), "%" PRId64, known_version(entry));
    return db_query(db, &stmt, (const char *const[]){entry->id, known}, built, entry);
}

static void build(struct entry *entry)
{
    const struct seat_maps_opts *opts = &entry->maps->opts;
    enum status st = ST_UNAVAILABLE;
    if (entry->on_replica)
        st = ask_database(entry, opts->replica);
    if (st != ST_OK) {
        entry->on_replica = false;
        st = ask_database(entry, opts->db);
    }
    if (st == ST_OK)
        return;
    entry->end_status = st; /* never from inside the caller's start */
    loop_defer(opts->loop, &entry->end);
}

static void begin_build(struct entry *entry)
{
    entry->on_replica = entry->maps->opts.replica != NULL && db_up(entry->maps->opts.replica);
    build(entry);
}

/* ---- Redis ---- */

static void cached(void *arg, enum status status, const struct queue_seats *seats)
{
    struct entry *entry = arg;
    if (status == ST_OK && seats->len > 0)
        take(entry, seats->version, seats->map, seats->len);
    if (status == ST_OK && entry->map != NULL && seats->cached && seats->age_ms < FRESH_MS)
        found_true(entry);
    else
        begin_build(entry);
}

/* ---- asking ---- */

const struct seat_map *seat_maps_fresh(const struct seat_maps *maps, const char *event)
{
    const struct entry *entry = find(maps, event, hash_of(maps, event));
    return entry != NULL && is_fresh(entry, loop_now_ms(maps->opts.loop)) ? entry->map : NULL;
}

enum status seat_maps_get(struct seat_maps *maps, const char *event, seat_map_cb cb, void *arg)
{
    struct entry *entry = entry_of(maps, event);
    struct waiter *waiter = xcalloc(1, sizeof(*waiter));
    *waiter = (struct waiter){.cb = cb, .arg = arg};
    *entry->tail = waiter;
    entry->tail = &waiter->next;
    if (entry->loading)
        return ST_OK;
    entry->loading = true;
    if (is_fresh(entry, entry->asked_ms)) {
        entry->end_status = ST_OK;
        loop_defer(maps->opts.loop, &entry->end);
    } else if (queue_read_seats(maps->opts.queue, entry->id, known_version(entry), cached, entry) !=
               ST_OK) {
        begin_build(entry);
    }
    return ST_OK;
}

/* ---- life ---- */

struct seat_maps *seat_maps_new(const struct seat_maps_opts *opts)
{
    struct seat_maps *maps = xcalloc(1, sizeof(*maps));
    maps->opts = *opts;
    table_init(&maps->table);
    return maps;
}

void seat_maps_free(struct seat_maps *maps)
{
    if (maps == NULL)
        return;
    while (maps->entries != NULL) {
        struct entry *entry = maps->entries;
        maps->entries = entry->next;
        loop_undefer(maps->opts.loop, &entry->end);
        for (struct waiter *next; entry->waiters != NULL; entry->waiters = next) {
            next = entry->waiters->next;
            free(entry->waiters);
        }
        entry_free(entry);
    }
    table_clear(&maps->table);
    free(maps);
}
