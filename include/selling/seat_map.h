/* SPDX-License-Identifier: MIT */
/*
 * seat_map: the seat maps this worker has, at most a second old, each in one piece that all who ask
 * share. Behind it Redis (seats:{id}), behind that PostgreSQL: a replica where there is one.
 */
#ifndef TIKETI_SEAT_MAP_H
#define TIKETI_SEAT_MAP_H

#include "base/status.h"
#include "net/db.h"
#include "net/loop.h"
#include "queue/queue.h"

#include <stddef.h>
#include <stdint.h>

/* Never changed once made. Counted: whoever keeps it beyond the callback holds it. */
struct seat_map {
    unsigned refs;
    uint64_t version;
    size_t len;
    char json[]; /* {"version":…,"seats":[…]} */
};
struct seat_map *seat_map_hold(const struct seat_map *map);
void seat_map_release(void *map); /* NULL is fine */

struct seat_maps;
struct seat_maps_opts {
    struct loop *loop;
    struct queue *queue;
    struct db *db;
    struct db *replica; /* NULL: none */
};
struct seat_maps *seat_maps_new(const struct seat_maps_opts *opts);
/* After the backends were stopped, so that nothing is under way. NULL is fine. */
void seat_maps_free(struct seat_maps *maps);

/* The map, if it was found to be true within the last second; else NULL. Borrowed until the caller
 * returns. */
const struct seat_map *seat_maps_fresh(const struct seat_maps *maps, const char *event);

/* ST_OK with the map (borrowed); ST_NOT_FOUND; or why there is none: ST_UNAVAILABLE, ST_TIMEOUT…
 * With the databases gone, the map of the last minute. */
typedef void (*seat_map_cb)(void *arg, const char *event, enum status status,
                            const struct seat_map *map);
/* Looks again if need be; all who ask meanwhile share the answer. Callback promise as in redis.h. */
MUST_CHECK enum status seat_maps_get(struct seat_maps *maps, const char *event, seat_map_cb cb,
                                     void *arg);

#endif
