/* SPDX-License-Identifier: MIT */
/*
 * catalog: this pod's live copy of the events it was asked about.
 *
 *   load     Redis has the event? -> PostgreSQL (catalog_lookup.c) -> queue_configure -> known; one for all who ask
 *   refresh  once a second per event: config:{id} and index:{id} in one round trip
 *
 * Why this way: requests read plain memory; what one event costs Redis is one HGETALL and one GET a
 * second and pod, whoever asks. The config is read itself, not when the index names another version:
 * the index is a second old at worst before it is read, and a change would take two. Pub/Sub is a
 * hint that only makes the refresh sooner.
 * Called by: api_*.c, gateway, worker. Owns: the entries, their indexes, one timer. The stored
 * events are catalog_store.c's.
 * Invariants: an entry with a call under way is never freed; an id nobody knows costs no memory
 * beyond its slot in a fixed table. That table is for those who ask again (a page left open, a link that is
 * wrong); what bounds ids that never come twice is catalog_lookup.c. With Redis gone entries stay and
 * indexes grow stale; with PostgreSQL gone known events go on.
 */
#include "queue/catalog.h"

#include "auth/token.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "base/table.h"
#include "queue/catalog_lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFRESH_MS    900  /* so that a change is in force within a second */
#define STALE_MS      5000 /* an index older than this says nothing */
#define UNUSED_MS     (10 * 60 * 1000)
#define UNKNOWN_MS    1000
#define UNKNOWN_SLOTS 1024

struct waiter {
    struct waiter *next;
    catalog_cb cb;
    void *arg;
    enum status status; /* of a deferred answer */
};

struct entry {
    struct table_node node;   /* first: a node is its entry */
    struct entry *next, **at; /* what points to it */
    struct catalog *catalog;
    struct catalog_asked asked;
    char id[EVENT_ID_MAX + 1];
    bool known;
    struct event event; /* valid when known; while loading: what is to be configured */
    struct rank_index *index;
    uint64_t index_ms; /* when this index was first seen */
    uint64_t used_ms;
    bool reading; /* a refresh is under way */
    bool again;   /* a hint came meanwhile */
    bool loading;
    bool hinted;                           /* while loading: what was read may be older */
    struct waiter *waiters, **waiters_end; /* first come, first answered */
};

/* Ids that PostgreSQL does not know; by hash, the newer replaces the older. */
struct unknown {
    char id[EVENT_ID_MAX + 1];
    uint64_t until_ms;
};

struct catalog {
    struct catalog_opts opts;
    struct table table;
    struct catalog_lookup *lookup; /* NULL: no PostgreSQL */
    struct entry *entries;
    struct entry *last; /* asked for: the next request is of the same event, as a rule */
    struct loop_timer *timer;
    struct loop_task answer; /* runs `deferred` */
    struct waiter *deferred, **deferred_end;
    struct unknown unknown[UNKNOWN_SLOTS];
    bool stopped;
};

static uint64_t now_ms(const struct catalog *catalog)
{
    return loop_now_ms(catalog->opts.loop);
}

static uint32_t hash_of(const struct catalog *catalog, const char *id)
{
    return table_hash(&catalog->table, id, strlen(id), "", 0);
}

/* ---- entries ---- */

static struct entry *find(struct catalog *catalog, const char *id)
{
    if (catalog->last != NULL && strcmp(catalog->last->id, id) == 0)
        return catalog->last;
    struct table_node *node = table_first(&catalog->table, hash_of(catalog, id));
    while (node != NULL && strcmp(((struct entry *)node)->id, id) != 0)
        node = table_next(node);
    if (node != NULL) /* an id nobody knows pushes out no event */
        catalog->last = (struct entry *)node;
    return (struct entry *)node;
}

static struct entry *add(struct catalog *catalog, const char *id)
{
    struct entry *entry = xcalloc(1, sizeof(*entry));
    (void)snprintf(entry->id, sizeof(entry->id), "%s", id);
    entry->catalog = catalog;
    entry->waiters_end = &entry->waiters;
    entry->used_ms = now_ms(catalog);
    entry->next = catalog->entries;
    entry->at = &catalog->entries;
    if (entry->next != NULL)
        entry->next->at = &entry->next;
    catalog->entries = entry;
    table_add(&catalog->table, &entry->node, hash_of(catalog, id));
    return entry;
}

static void free_entry(struct entry *entry)
{
    while (entry->waiters != NULL) {
        struct waiter *waiter = entry->waiters;
        entry->waiters = waiter->next;
        free(waiter);
    }
    index_free(entry->index);
    free(entry);
}

static void drop(struct catalog *catalog, struct entry *entry)
{
    *entry->at = entry->next;
    if (entry->next != NULL)
        entry->next->at = entry->at;
    if (catalog->last == entry)
        catalog->last = NULL;
    table_remove(&catalog->table, &entry->node);
    free_entry(entry);
}

static struct unknown *unknown_slot(struct catalog *catalog, const char *id)
{
    return &catalog->unknown[hash_of(catalog, id) % UNKNOWN_SLOTS];
}

static bool is_unknown(struct catalog *catalog, const char *id)
{
    const struct unknown *slot = unknown_slot(catalog, id);
    return slot->until_ms > now_ms(catalog) && strcmp(slot->id, id) == 0;
}

static void note_unknown(struct catalog *catalog, const char *id)
{
    struct unknown *slot = unknown_slot(catalog, id);
    (void)snprintf(slot->id, sizeof(slot->id), "%s", id);
    slot->until_ms = now_ms(catalog) + UNKNOWN_MS;
}

/* ---- what was read ---- */

/* Owner and last place are the record's alone: the live copy has none. */
static void take_config(struct entry *entry, const struct event *config)
{
    struct event next = *config;
    if (entry->known) {
        memcpy(next.owner, entry->event.owner, sizeof(next.owner));
        next.last_place = entry->event.last_place;
    }
    entry->event = next;
    entry->known = true;
}

/* True when it is a new one. */
static bool take_index(struct entry *entry, const char *text, size_t len)
{
    struct rank_index *index = NULL;
    if (text == NULL || index_decode(text, len, &index) != ST_OK)
        return false;
    if (entry->index != NULL && entry->index->time_ms == index->time_ms) {
        index_free(index); /* the same again: nobody takes one at the moment */
        return false;
    }
    index_free(entry->index);
    entry->index = index;
    entry->index_ms = now_ms(entry->catalog);
    return true;
}

static void tell_refreshed(struct entry *entry)
{
    const struct catalog_opts *opts = &entry->catalog->opts;
    if (opts->on_refresh != NULL)
        opts->on_refresh(opts->arg, entry->id);
}

/* ---- refresh ---- */

static void refresh(struct entry *entry);

static void refreshed(void *arg, enum status status, const struct event *config, const char *text,
                      size_t len)
{
    struct entry *entry = arg;
    const bool again = entry->again;
    entry->reading = entry->again = false;
    if (status == ST_OK) {
        bool news = take_index(entry, text, len);
        if (config == NULL) { /* Redis has lost the event, and all who wait with it */
            index_free(entry->index);
            entry->index = NULL;
        } else {
            news = news || config->version != entry->event.version ||
                   config->epoch != entry->event.epoch;
            take_config(entry, config);
        }
        if (news)
            tell_refreshed(entry);
    }
    if (again)
        refresh(entry);
}

static void refresh(struct entry *entry)
{
    if (!entry->known || entry->loading)
        return;
    if (entry->reading)
        entry->again = true;
    else
        entry->reading =
            queue_read_live(entry->catalog->opts.queue, entry->id, refreshed, entry) == ST_OK;
}

static void on_second(void *arg)
{
    struct catalog *catalog = arg;
    const uint64_t now = now_ms(catalog);
    loop_timer_set(catalog->timer, REFRESH_MS);
    for (struct entry *next, *entry = catalog->entries; entry != NULL; entry = next) {
        next = entry->next;
        if (now - entry->used_ms > UNUSED_MS && !entry->reading && !entry->loading)
            drop(catalog, entry);
        else
            refresh(entry);
    }
}

/* ---- load ---- */

/* Answers all who wait. An event that is not there leaves nothing behind. */
static void loaded(struct entry *entry, enum status status)
{
    struct catalog *catalog = entry->catalog;
    struct waiter *waiters = entry->waiters;
    entry->waiters = NULL;
    entry->waiters_end = &entry->waiters;
    entry->loading = false;
    if (status == ST_NOT_FOUND) {
        metrics_add(METRIC_UNKNOWN_EVENTS, 1);
        if (!entry->hinted)
            note_unknown(catalog, entry->id);
        entry->known = false;
    }
    entry->hinted = false;
    if (!entry->known && !entry->reading)
        drop(catalog, entry);
    else if (status == ST_OK)
        tell_refreshed(entry);
    while (waiters != NULL) {
        struct waiter *waiter = waiters;
        waiters = waiter->next;
        waiter->cb(waiter->arg, status);
        free(waiter);
    }
}

static void load_configured(void *arg, enum status status, bool applied)
{
    struct entry *entry = arg;
    (void)applied; /* another pod may have been first; the next refresh reads what is in force */
    entry->known = entry->known || status == ST_OK;
    loaded(entry, status);
}

static void load_fetched(void *arg, enum status status, const struct event *event)
{
    struct entry *entry = arg;
    if (status == ST_OK && event->status == EVENT_DRAFT)
        status = ST_NOT_FOUND;
    if (status == ST_OK) {
        entry->event = *event;
        status = queue_configure(entry->catalog->opts.queue, event, load_configured, entry);
    }
    if (status != ST_OK)
        loaded(entry, status);
}

static void load_read(void *arg, enum status status, const struct event *config, const char *text,
                      size_t len)
{
    struct entry *entry = arg;
    struct catalog_lookup *lookup = entry->catalog->lookup;
    if (entry->catalog->stopped)
        status = ST_UNAVAILABLE; /* the database is closed already */
    if (status == ST_OK && config != NULL) {
        take_config(entry, config);
        (void)take_index(entry, text, len);
        loaded(entry, ST_OK);
        return;
    }
    if (status == ST_OK && lookup != NULL) {
        entry->asked = (struct catalog_asked){.id = entry->id, .cb = load_fetched, .arg = entry};
        catalog_lookup_ask(lookup, &entry->asked);
        return;
    }
    loaded(entry, status == ST_OK ? ST_NOT_FOUND : status);
}

static struct waiter *new_waiter(catalog_cb cb, void *arg)
{
    struct waiter *waiter = xcalloc(1, sizeof(*waiter));
    waiter->cb = cb;
    waiter->arg = arg;
    return waiter;
}

static void answer_deferred(void *arg)
{
    struct catalog *catalog = arg;
    struct waiter *waiters = catalog->deferred;
    catalog->deferred = NULL;
    catalog->deferred_end = &catalog->deferred;
    while (waiters != NULL) {
        struct waiter *waiter = waiters;
        waiters = waiter->next;
        waiter->cb(waiter->arg, waiter->status);
        free(waiter);
    }
}

/* The answer is known already; but no callback runs from within its start. */
static enum status answer_later(struct catalog *catalog, enum status status, catalog_cb cb,
                                void *arg)
{
    struct waiter *waiter = new_waiter(cb, arg);
    waiter->status = status;
    *catalog->deferred_end = waiter;
    catalog->deferred_end = &waiter->next;
    loop_defer(catalog->opts.loop, &catalog->answer);
    return ST_OK;
}

enum status catalog_load(struct catalog *catalog, const char *id, bool fresh, catalog_cb cb,
                         void *arg)
{
    struct entry *entry = find(catalog, id);
    if (catalog->stopped)
        return ST_UNAVAILABLE;
    if (entry != NULL && entry->known && !entry->loading && !fresh)
        return answer_later(catalog, ST_OK, cb, arg);
    if (!token_is_event_id(id, strlen(id)) ||
        (is_unknown(catalog, id) && (!entry || !entry->loading)))
        return answer_later(catalog, ST_NOT_FOUND, cb, arg);
    if (entry == NULL)
        entry = add(catalog, id);
    entry->used_ms = now_ms(catalog);
    if (!entry->loading) {
        enum status st = queue_read_live(catalog->opts.queue, id, load_read, entry);
        if (st != ST_OK) {
            if (!entry->known && !entry->reading)
                drop(catalog, entry);
            return st;
        }
        entry->loading = true;
    }
    struct waiter *waiter = new_waiter(cb, arg);
    *entry->waiters_end = waiter;
    entry->waiters_end = &waiter->next;
    return ST_OK;
}

/* ---- what it is for ---- */

const struct event *catalog_event(struct catalog *catalog, const char *id)
{
    struct entry *entry = find(catalog, id);
    if (entry == NULL || !entry->known)
        return NULL;
    entry->used_ms = now_ms(catalog);
    return &entry->event;
}

static const struct rank_index *fresh_index(const struct entry *entry)
{
    const bool fresh = entry->index != NULL && now_ms(entry->catalog) - entry->index_ms <= STALE_MS;
    return fresh ? entry->index : NULL;
}

const struct rank_index *catalog_index(struct catalog *catalog, const char *id)
{
    struct entry *entry = find(catalog, id);
    if (entry == NULL || !entry->known)
        return NULL;
    entry->used_ms = now_ms(catalog);
    return fresh_index(entry);
}

void catalog_hint(struct catalog *catalog, const char *id)
{
    struct entry *entry = find(catalog, id);
    unknown_slot(catalog, id)->until_ms = 0; /* it may have been opened just now */
    if (entry == NULL)
        return;
    entry->hinted = entry->loading;
    refresh(entry);
}

void catalog_each(struct catalog *catalog,
                  void (*visit)(void *arg, const struct event *event,
                                const struct rank_index *index),
                  void *arg)
{
    for (const struct entry *entry = catalog->entries; entry != NULL; entry = entry->next) {
        if (entry->known)
            visit(arg, &entry->event, fresh_index(entry));
    }
}

/* ---- life ---- */

/* queue's loader: Redis has lost this event. */
static enum status load_lost(void *arg, const char *id, queue_loaded_cb cb, void *cb_arg)
{
    return catalog_load(arg, id, true, cb, cb_arg);
}

struct catalog *catalog_new(const struct catalog_opts *opts)
{
    struct catalog *catalog = xcalloc(1, sizeof(*catalog));
    catalog->opts = *opts;
    table_init(&catalog->table);
    catalog->deferred_end = &catalog->deferred;
    catalog->answer = (struct loop_task){.cb = answer_deferred, .arg = catalog};
    catalog->timer = loop_timer_new(opts->loop, on_second, catalog);
    loop_timer_set(catalog->timer, REFRESH_MS);
    if (opts->db != NULL)
        catalog->lookup = catalog_lookup_new(opts->loop, opts->db);
    queue_set_loader(opts->queue, load_lost, catalog);
    return catalog;
}

void catalog_stop(struct catalog *catalog)
{
    loop_timer_close(catalog->timer);
    catalog->timer = NULL;
    catalog->stopped = true;
    catalog_lookup_stop(catalog->lookup);
}

void catalog_free(struct catalog *catalog)
{
    if (catalog == NULL)
        return;
    loop_undefer(catalog->opts.loop, &catalog->answer);
    loop_timer_close(catalog->timer);
    for (struct entry *next, *entry = catalog->entries; entry != NULL; entry = next) {
        next = entry->next;
        free_entry(entry);
    }
    for (struct waiter *next, *waiter = catalog->deferred; waiter != NULL; waiter = next) {
        next = waiter->next;
        free(waiter);
    }
    catalog_lookup_free(catalog->lookup);
    table_clear(&catalog->table);
    free(catalog);
}
