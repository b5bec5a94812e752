/* SPDX-License-Identifier: MIT */
/*
 * stock_cache: this worker's counts of the seats that are left.
 *
 * Why this way: a hundred thousand waiting buyers ask, and the answer is the same for all and changes slowly. So each
 * worker counts the seat map, which it shares with those who choose seats, at most every REFRESH_MS for an event that
 * somebody asks about; no answer waits for that.
 * Called by: api_queue, api_seats, api_wait. Owns: the counts. Redis or PostgreSQL gone: counts of the last minute.
 */
#include "selling/stock_cache.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFRESH_MS 10000
#define KEEP_MS    60000

struct entry {
    struct table_node node; /* must be the first member: find() casts it to struct entry */
    struct entry *next;
    struct counted_stock counted;
    uint64_t counted_ms, asked_ms, looked_ms; /* asked: the seat map; looked: by a caller */
    bool reading;
    char id[EVENT_ID_MAX + 1];
};

struct stock_cache {
    struct loop *loop;
    struct seat_maps *maps;
    struct table table;
    struct entry *entries;
    uint64_t swept_ms;
};

static struct entry *find(const struct stock_cache *cache, const char *event)
{
    const uint32_t hash = table_hash(&cache->table, event, strlen(event), "", 0);
    struct table_node *node = table_first(&cache->table, hash);
    while (node && strcmp(((struct entry *)node)->id, event) != 0)
        node = table_next(node);
    return (struct entry *)node;
}

static void entry_free(struct entry *entry)
{
    shared_text_unref(entry->counted.text);
    stock_sections_clear(&entry->counted.sections);
    free(entry);
}

/* Frees the counts of events that nobody has asked about for a minute. */
static void sweep(struct stock_cache *cache, uint64_t now_ms)
{
    if (now_ms - cache->swept_ms < REFRESH_MS)
        return;
    cache->swept_ms = now_ms;
    for (struct entry **at = &cache->entries; *at;) {
        struct entry *entry = *at;
        if (entry->reading || now_ms - entry->looked_ms < KEEP_MS) {
            at = &entry->next;
            continue;
        }
        *at = entry->next;
        table_remove(&cache->table, &entry->node);
        entry_free(entry);
    }
}

static struct entry *find_or_add(struct stock_cache *cache, const char *event)
{
    struct entry *entry = find(cache, event);
    if (entry)
        return entry;
    sweep(cache, loop_now_ms(cache->loop));
    entry = xcalloc(1, sizeof(*entry));
    (void)snprintf(entry->id, sizeof(entry->id), "%s", event);
    table_add(&cache->table, &entry->node, table_hash(&cache->table, event, strlen(event), "", 0));
    entry->next = cache->entries;
    cache->entries = entry;
    return entry;
}

static bool count(const struct stock_cache *cache, struct entry *entry,
                  const struct shared_text *map)
{
    struct buf text;
    struct stock stock;
    const uint64_t now_ms = loop_now_ms(cache->loop);
    if (entry->counted.text && entry->counted.text->version == map->version) {
        entry->counted_ms = now_ms;
        return true;
    }
    if (!stock_read(&stock, map->data, map->len)) {
        log_error("seats not counted: seat map unreadable", LOG_TEXT("event", entry->id));
        return false;
    }
    buf_init(&text, 4096);
    buf_add_str(&text, "{\"bands\":");
    stock_write(&stock, &text);
    buf_add_char(&text, '}');
    shared_text_unref(entry->counted.text);
    entry->counted.text = shared_text_new(map->version, buf_str(&text), text.len);
    entry->counted.stock = stock;
    stock_sections_clear(&entry->counted.sections);
    stock_sections_read(&entry->counted.sections, map->data, map->len);
    entry->counted_ms = now_ms;
    buf_clear(&text);
    return true;
}

static void map_read(void *arg, const char *event, enum status status,
                     const struct shared_text *map)
{
    struct stock_cache *cache = arg;
    struct entry *entry = find(cache, event);
    entry->reading = false;
    if (status == ST_OK)
        (void)count(cache, entry, map);
}

const struct counted_stock *stock_cache_look(struct stock_cache *cache, const char *event)
{
    const uint64_t now_ms = loop_now_ms(cache->loop);
    struct entry *entry = find_or_add(cache, event);
    const bool due = entry->asked_ms == 0 || now_ms - entry->asked_ms >= REFRESH_MS;
    entry->looked_ms = now_ms;
    if (due && !entry->reading) {
        entry->asked_ms = now_ms;
        entry->reading = seat_maps_get(cache->maps, event, map_read, cache) == ST_OK;
    }
    return entry->counted.text && now_ms - entry->counted_ms < KEEP_MS ? &entry->counted : NULL;
}

const struct counted_stock *stock_cache_count(struct stock_cache *cache, const char *event,
                                              const struct shared_text *map)
{
    struct entry *entry = find_or_add(cache, event);
    return count(cache, entry, map) ? &entry->counted : NULL;
}

struct stock_cache *stock_cache_new(struct loop *loop, struct seat_maps *maps)
{
    struct stock_cache *cache = xcalloc(1, sizeof(*cache));
    cache->loop = loop;
    cache->maps = maps;
    table_init(&cache->table);
    return cache;
}

void stock_cache_free(struct stock_cache *cache)
{
    if (!cache)
        return;
    while (cache->entries) {
        struct entry *entry = cache->entries;
        cache->entries = entry->next;
        entry_free(entry);
    }
    table_clear(&cache->table);
    free(cache);
}
