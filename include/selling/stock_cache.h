/* SPDX-License-Identifier: MIT */
/*
 * stock_cache: what is left of each event's tickets, as this worker last counted it: some seconds old. A look-up never
 * waits, so that answers about a buyer's place cost no more with it.
 */
#ifndef TIKETI_STOCK_CACHE_H
#define TIKETI_STOCK_CACHE_H

#include "base/shared_text.h"
#include "net/loop.h"
#include "selling/seat_map.h"
#include "selling/stock.h"

struct stock_cache;
/* Borrows both. */
struct stock_cache *stock_cache_new(struct loop *loop, struct seat_maps *maps);
/* Call it after seat_maps_free, which drops the reads under way. NULL is fine. */
void stock_cache_free(struct stock_cache *cache);

struct counted_stock {
    struct stock stock;
    struct stock_sections sections;
    struct shared_text *text; /* {"bands":[…]}; its version is the map's */
};
/* The stock, if it was counted within the last minute, otherwise NULL; borrowed until the caller returns to the loop.
 * Starts to count when the last count is old. Only for events that the catalog knows. */
const struct counted_stock *stock_cache_look(struct stock_cache *cache, const char *event);
/* Counts this map of the event now. NULL: it is not a map. Borrowed as above. */
const struct counted_stock *stock_cache_count(struct stock_cache *cache, const char *event,
                                              const struct shared_text *map);

#endif
