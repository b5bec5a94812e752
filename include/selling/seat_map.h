/* SPDX-License-Identifier: MIT */
/*
 * seat_map: this worker's seat maps, at most one second old. All answers with a map share its memory. A map
 * is read from Redis (seats:{id}) or from PostgreSQL (the replica, if there is one). The text of a map is
 * {"version":…,"seats":[…]}; users that keep it after the callback take a reference.
 */
#ifndef TIKETI_SEAT_MAP_H
#define TIKETI_SEAT_MAP_H

#include "base/shared_text.h"
#include "base/status.h"
#include "net/db.h"
#include "net/loop.h"
#include "queue/queue.h"

#include <stddef.h>
#include <stdint.h>

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
const struct shared_text *seat_maps_fresh(const struct seat_maps *maps, const char *event);

/* `event` and `map` are borrowed. ST_OK: the map. ST_NOT_FOUND: PostgreSQL has no such event. Otherwise
 * ST_UNAVAILABLE, ST_TIMEOUT or ST_INTERNAL, with map NULL. With Redis and PostgreSQL both gone, a map
 * that was confirmed within the last minute is passed with ST_OK. */
typedef void (*seat_map_cb)(void *arg, const char *event, enum status status,
                            const struct shared_text *map);
/* Passes a fresh map to `cb`, reading it again if necessary. Concurrent calls for one event share one
 * read (single-flight). Copies `event`. Callback promise as in redis.h: `cb` runs exactly once, later. */
MUST_CHECK enum status seat_maps_get(struct seat_maps *maps, const char *event, seat_map_cb cb,
                                     void *arg);

/* The map in its short form (selling/seat_rows.h), which is made when it is first asked for. Borrowed, as `map` is. NULL:
 * it has none. */
const struct shared_text *seat_map_rows(const struct shared_text *map);

#endif
