/* SPDX-License-Identifier: MIT */
/*
 * seat_map: this worker's seat maps, at most one second old. All answers with a map share its memory. A map
 * is read from Redis (seats:{id}) or from PostgreSQL (the replica, if there is one).
 */
#ifndef TIKETI_SEAT_MAP_H
#define TIKETI_SEAT_MAP_H

#include "base/status.h"
#include "net/db.h"
#include "net/loop.h"
#include "queue/queue.h"

#include <stddef.h>
#include <stdint.h>

/* Immutable. Reference counted: a user that keeps the map after the callback takes a reference. */
struct seat_map {
    unsigned refs;
    uint64_t version;
    size_t len;
    char json[]; /* {"version":…,"seats":[…]}; `len` bytes and a NUL */
};
/* Takes a reference; returns the same map. */
struct seat_map *seat_map_ref(const struct seat_map *map);
/* Drops a reference; the last one frees the map. Takes void * to be used as a release callback. NULL is
 * fine. */
void seat_map_unref(void *map);

struct seat_maps;
struct seat_maps_opts {
    struct loop *loop;
    struct queue *queue;
    struct db *db;
    struct db *replica; /* NULL: none */
};
/* Copies the options; borrows what they point to. */
struct seat_maps *seat_maps_new(const struct seat_maps_opts *opts);
/* Call it after Redis and the databases were closed, so that no query is pending. Callbacks that still
 * wait are dropped. NULL is fine. */
void seat_maps_free(struct seat_maps *maps);

/* The map, if it was confirmed within the last second, otherwise NULL. Borrowed until the caller returns
 * to the loop. Never blocks. */
const struct seat_map *seat_maps_fresh(const struct seat_maps *maps, const char *event);

/* `event` and `map` are borrowed. ST_OK: the map. ST_NOT_FOUND: PostgreSQL has no such event. Otherwise
 * ST_UNAVAILABLE, ST_TIMEOUT or ST_INTERNAL, with map NULL. With Redis and PostgreSQL both gone, a map
 * that was confirmed within the last minute is passed with ST_OK. */
typedef void (*seat_map_cb)(void *arg, const char *event, enum status status,
                            const struct seat_map *map);
/* Passes a fresh map to `cb`, reading it again if necessary. Concurrent calls for one event share one
 * read (single-flight). Copies `event`. Callback promise as in redis.h: `cb` runs exactly once, later. */
MUST_CHECK enum status seat_maps_get(struct seat_maps *maps, const char *event, seat_map_cb cb,
                                     void *arg);

#endif
