/* SPDX-License-Identifier: MIT */
/*
 * catalog: what this worker knows of the events it was asked about.
 *
 *   load     the live copy in Redis, or else PostgreSQL (catalog_lookup.c) -> queue_configure; single-flight
 *   refresh  each event, once a second: config:{id} and index:{id} in one round trip
 *
 * Why this way: requests read plain memory; each event costs Redis one HGETALL and one GET per second and worker,
 * however many buyers ask. The settings are read every time, not only when the index names another version, because
 * the index may be a second old already and a change must be in force within a second. Messages on the channel are
 * hints: they only make a refresh earlier.
 * Called by: api, gateway, worker; by queue, when Redis has lost an event. Owns: the entries with their indexes, one
 * timer. catalog_store.c reads and writes the stored events.
 * Invariants: an entry with a call under way is never freed. An id without an event takes a slot in a negative cache
 * of fixed size, and no other memory. That cache helps with ids that are asked for again (a page left open, a wrong
 * link); catalog_lookup.c limits the cost of ids that never repeat.
 * With Redis gone, entries stay and their indexes become stale. With PostgreSQL gone, known events go on.
 */
#include "queue/catalog.h"

#include "auth/token.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "base/shared_clock.h"
#include "base/table.h"
#include "queue/catalog_lookup.h"
#include "queue/event_verb.h"
#include "queue/silence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFRESH_MS    900  /* less than a second, so that a change is in force within one */
#define STALE_MS      5000 /* an older index is not used */
#define UNUSED_MS     (10 * 60 * 1000)
#define UNKNOWN_MS    1000
#define UNKNOWN_SLOTS 1024

struct waiter {
    struct waiter *next;
    catalog_cb cb;
    void *arg;
    enum status status; /* the status to pass to `cb` */
};

struct entry {
    struct table_node node;   /* must be the first member: a node is cast to its entry */
    struct entry *next, **at; /* at: the pointer that points to this entry */
    struct catalog *catalog;
    /* the question that PostgreSQL is asked while the event loads */
    struct catalog_question question;
    char id[EVENT_ID_MAX + 1];
    bool known;
    uint64_t known_ms;  /* since when */
    struct event event; /* valid when known; while loading: the settings being written to Redis */
    struct rank_index *index;
    uint64_t index_ms; /* when this index was first read */
    struct silence silence;
    int64_t silent_ms;
    uint64_t used_ms;
    bool refreshing;
    bool refresh_again; /* a hint came while the refresh ran: refresh once more */
    bool loading;
    bool followed; /* its messages are received */
    bool hinted;   /* a hint came while loading: what was read may be older than the change */
    /* calls that wait for the load, in the order they came */
    struct waiter *waiters, **waiters_end;
};

/* A slot of the negative cache, which has ids without an event. The hash of an id selects its slot; a newer id
 * replaces an older one. */
struct unknown {
    char id[EVENT_ID_MAX + 1];
    uint64_t until_ms;
};

struct catalog {
    struct catalog_opts opts;
    struct table table;
    struct catalog_lookup *lookup; /* NULL: there is no PostgreSQL */
    struct entry *entries;
    struct entry *last; /* the entry found last: most requests are for the same event */
    struct loop_timer *timer;
    struct loop_task answer_deferred;
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
    if (catalog->last && strcmp(catalog->last->id, id) == 0)
        return catalog->last;
    struct table_node *node = table_first(&catalog->table, hash_of(catalog, id));
    while (node && strcmp(((struct entry *)node)->id, id) != 0)
        node = table_next(node);
    if (node) /* an id without an entry must not clear `last` */
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
    if (entry->next)
        entry->next->at = &entry->next;
    catalog->entries = entry;
    table_add(&catalog->table, &entry->node, hash_of(catalog, id));
    return entry;
}

static void waiters_free(struct waiter *waiters)
{
    for (struct waiter *next; waiters; waiters = next) {
        next = waiters->next;
        free(waiters);
    }
}

static void drop(struct entry *entry)
{
    struct catalog *catalog = entry->catalog;
    *entry->at = entry->next;
    if (entry->next)
        entry->next->at = entry->at;
    if (catalog->last == entry)
        catalog->last = NULL;
    table_remove(&catalog->table, &entry->node);
    silence_forget(&entry->silence, entry->id);
    if (entry->followed)
        queue_unfollow(catalog->opts.queue, entry->id);
    waiters_free(entry->waiters);
    index_free(entry->index);
    free(entry);
}

static struct unknown *unknown_slot(struct catalog *catalog, const char *id)
{
    return &catalog->unknown[hash_of(catalog, id) % UNKNOWN_SLOTS];
}

/* ---- taking settings and index from a reply ---- */

static void take_config(struct entry *entry, const struct event *config)
{
    struct event next = *config;
    if (entry->known) { /* only PostgreSQL has these two, the live copy does not */
        memcpy(next.owner, entry->event.owner, sizeof(next.owner));
        next.last_place = entry->event.last_place;
    }
    entry->event = next;
    if (!entry->known)
        entry->known_ms = now_ms(entry->catalog);
    entry->known = true;
}

/* Decodes the index. True: it is a newer one than before. */
static bool take_index(struct entry *entry, const char *text, size_t len)
{
    struct rank_index *index = NULL;
    if (!text || index_decode(text, len, &index) != ST_OK)
        return false;
    if (entry->index && entry->index->time_ms == index->time_ms) {
        index_free(index); /* the same index as before: no processor takes one at the moment */
        return false;
    }
    index_free(entry->index);
    entry->index = index;
    entry->index_ms = now_ms(entry->catalog);
    return true;
}

/* Looks whether somebody ticks the event. */
static void look_at_ticks(struct entry *entry)
{
    const struct event *event = &entry->event;
    entry->silent_ms = silence_see(
        &entry->silence,
        &(struct silence_look){.event = entry->id,
                               .open = event_status_at(event, shared_clock_ms()) == EVENT_OPEN,
                               .ticked_ms = event->ticked_ms,
                               .interval_ms = event->interval_ms,
                               .now_ms = now_ms(entry->catalog)});
}

static void call_on_refresh(struct entry *entry)
{
    const struct catalog_opts *opts = &entry->catalog->opts;
    if (opts->on_refresh)
        opts->on_refresh(opts->arg, entry->id);
}

/* ---- refresh ---- */

static void refresh(struct entry *entry);

static void on_refreshed(void *arg, enum status status, const struct event *config,
                         const char *text, size_t len)
{
    struct entry *entry = arg;
    const bool again = entry->refresh_again;
    entry->refreshing = entry->refresh_again = false;
    if (status == ST_OK && config && config->status == EVENT_DRAFT) {
        /* a rehearsal that was taken back: for buyers there is no such event any more */
        entry->known = false;
        call_on_refresh(entry);
        if (!entry->loading)
            drop(entry);
        return;
    }
    if (status == ST_OK) {
        bool changed = take_index(entry, text, len);
        if (config) {
            changed = changed || config->version != entry->event.version ||
                      config->epoch != entry->event.epoch;
            take_config(entry, config);
            look_at_ticks(entry);
        } else { /* Redis has lost the event, and its queue */
            index_free(entry->index);
            entry->index = NULL;
        }
        if (changed)
            call_on_refresh(entry);
    } else {
        silence_forget(&entry->silence, entry->id);
        entry->silent_ms = 0;
    }
    if (again)
        refresh(entry);
}

static void refresh(struct entry *entry)
{
    if (!entry->known || entry->loading)
        return;
    if (entry->refreshing)
        entry->refresh_again = true;
    else
        entry->refreshing =
            queue_read_live(entry->catalog->opts.queue, entry->id, on_refreshed, entry) == ST_OK;
    if (!entry->refreshing) {
        silence_forget(&entry->silence, entry->id);
        entry->silent_ms = 0;
    }
}

static void on_timer(void *arg)
{
    struct catalog *catalog = arg;
    const uint64_t now = now_ms(catalog);
    loop_timer_set(catalog->timer, REFRESH_MS);
    for (struct entry *next, *entry = catalog->entries; entry; entry = next) {
        next = entry->next;
        if (now - entry->used_ms > UNUSED_MS && !entry->refreshing && !entry->loading)
            drop(entry);
        else
            refresh(entry);
    }
}

/* ---- load ---- */

static void answer_waiters(struct waiter *waiters)
{
    for (struct waiter *next; waiters; waiters = next) {
        next = waiters->next;
        waiters->cb(waiters->arg, waiters->status);
        free(waiters);
    }
}

/* Answers all waiters. Frees the entry if the event does not exist. */
static void load_ended(struct entry *entry, enum status status)
{
    struct catalog *catalog = entry->catalog;
    struct waiter *waiters = entry->waiters;
    entry->waiters = NULL;
    entry->waiters_end = &entry->waiters;
    entry->loading = false;
    if (status == ST_NOT_FOUND) {
        metrics_add(METRIC_UNKNOWN_EVENTS, 1);
        if (!entry->hinted) {
            struct unknown *slot = unknown_slot(catalog, entry->id);
            memcpy(slot->id, entry->id, sizeof(slot->id));
            slot->until_ms = now_ms(catalog) + UNKNOWN_MS;
        }
        entry->known = false;
    }
    entry->hinted = false;
    if (entry->known && !entry->followed) {
        queue_follow(catalog->opts.queue, entry->id);
        entry->followed = true;
    }
    if (!entry->known && !entry->refreshing)
        drop(entry);
    else if (status == ST_OK)
        call_on_refresh(entry);
    for (struct waiter *waiter = waiters; waiter; waiter = waiter->next)
        waiter->status = status;
    answer_waiters(waiters);
}

static void on_load_configured(void *arg, enum status status, bool applied)
{
    struct entry *entry = arg;
    (void)applied; /* false if another pod was first; the next refresh reads its settings */
    entry->known = entry->known || status == ST_OK;
    load_ended(entry, status);
}

static void on_load_fetched(void *arg, enum status status, const struct event *event)
{
    struct entry *entry = arg;
    if (status == ST_OK && event->status == EVENT_DRAFT)
        status = ST_NOT_FOUND;
    if (status == ST_OK) {
        entry->event = *event;
        status = queue_configure(entry->catalog->opts.queue, event, on_load_configured, entry);
    }
    if (status != ST_OK)
        load_ended(entry, status);
}

static void on_load_read(void *arg, enum status status, const struct event *config,
                         const char *text, size_t len)
{
    struct entry *entry = arg;
    struct catalog_lookup *lookup = entry->catalog->lookup;
    if (entry->catalog->stopped)
        status = ST_UNAVAILABLE; /* the catalog is stopped, and the database may be closed */
    if (status == ST_OK && config && config->status != EVENT_DRAFT) {
        take_config(entry, config);
        (void)take_index(entry, text, len);
    } else if (status == ST_OK && !config && lookup) {
        entry->question =
            (struct catalog_question){.id = entry->id, .cb = on_load_fetched, .arg = entry};
        catalog_lookup_ask(lookup, &entry->question);
        return;
    } else if (status == ST_OK) {
        status = ST_NOT_FOUND;
    }
    load_ended(entry, status);
}

static struct waiter *waiter_new(catalog_cb cb, void *arg, enum status status)
{
    struct waiter *waiter = xcalloc(1, sizeof(*waiter));
    waiter->cb = cb;
    waiter->arg = arg;
    waiter->status = status;
    return waiter;
}

static void on_deferred(void *arg)
{
    struct catalog *catalog = arg;
    struct waiter *waiters = catalog->deferred;
    catalog->deferred = NULL;
    catalog->deferred_end = &catalog->deferred;
    answer_waiters(waiters);
}

/* Passes an answer that is known already on the next loop turn, since callbacks never run inside catalog_load. */
static enum status answer_later(struct catalog *catalog, enum status status, catalog_cb cb,
                                void *arg)
{
    struct waiter *waiter = waiter_new(cb, arg, status);
    *catalog->deferred_end = waiter;
    catalog->deferred_end = &waiter->next;
    loop_defer(catalog->opts.loop, &catalog->answer_deferred);
    return ST_OK;
}

enum status catalog_load(struct catalog *catalog, const char *id, bool fresh, catalog_cb cb,
                         void *arg)
{
    struct entry *entry = find(catalog, id);
    if (catalog->stopped)
        return ST_UNAVAILABLE;
    if (entry && entry->known && !entry->loading && !fresh)
        return answer_later(catalog, ST_OK, cb, arg);
    if (!token_is_event_id(id, strlen(id)))
        return answer_later(catalog, ST_NOT_FOUND, cb, arg);
    const struct unknown *unknown = unknown_slot(catalog, id);
    if (unknown->until_ms > now_ms(catalog) && strcmp(unknown->id, id) == 0 &&
        (!entry || !entry->loading))
        return answer_later(catalog, ST_NOT_FOUND, cb, arg);
    if (!entry)
        entry = add(catalog, id);
    entry->used_ms = now_ms(catalog);
    if (!entry->loading) {
        const enum status st = queue_read_live(catalog->opts.queue, id, on_load_read, entry);
        if (st != ST_OK) {
            if (!entry->known && !entry->refreshing)
                drop(entry);
            return st;
        }
        entry->loading = true;
    }
    struct waiter *waiter = waiter_new(cb, arg, ST_OK);
    *entry->waiters_end = waiter;
    entry->waiters_end = &waiter->next;
    return ST_OK;
}

/* The loader of queue, which calls it when Redis has lost this event. */
static enum status load_lost(void *arg, const char *id, queue_loaded_cb cb, void *cb_arg)
{
    return catalog_load(arg, id, true, cb, cb_arg);
}

/* ---- reading what is known ---- */

const struct event *catalog_event(struct catalog *catalog, const char *id)
{
    struct entry *entry = find(catalog, id);
    if (!entry || !entry->known)
        return NULL;
    entry->used_ms = now_ms(catalog);
    return &entry->event;
}

static const struct rank_index *fresh_index(const struct entry *entry)
{
    const bool fresh = entry->index && now_ms(entry->catalog) - entry->index_ms <= STALE_MS;
    return fresh ? entry->index : NULL;
}

const struct rank_index *catalog_index(struct catalog *catalog, const char *id)
{
    struct entry *entry = find(catalog, id);
    if (!entry || !entry->known)
        return NULL;
    entry->used_ms = now_ms(catalog);
    return fresh_index(entry);
}

uint64_t catalog_known_for_ms(struct catalog *catalog, const char *id)
{
    const struct entry *entry = find(catalog, id);
    return entry && entry->known ? now_ms(catalog) - entry->known_ms : 0;
}

int64_t catalog_silent_ms(struct catalog *catalog, const char *id)
{
    const struct entry *entry = find(catalog, id);
    return entry && entry->known ? entry->silent_ms : 0;
}

void catalog_hint(struct catalog *catalog, const char *id)
{
    struct entry *entry = find(catalog, id);
    /* the event may have been created or opened since the id was unknown */
    unknown_slot(catalog, id)->until_ms = 0;
    if (!entry)
        return;
    entry->hinted = entry->loading;
    refresh(entry);
}

void catalog_each(struct catalog *catalog,
                  void (*visit)(void *arg, const struct event *event,
                                const struct rank_index *index),
                  void *arg)
{
    for (const struct entry *entry = catalog->entries; entry; entry = entry->next) {
        if (entry->known)
            visit(arg, &entry->event, fresh_index(entry));
    }
}

/* ---- life ---- */

struct catalog *catalog_new(const struct catalog_opts *opts)
{
    struct catalog *catalog = xcalloc(1, sizeof(*catalog));
    catalog->opts = *opts;
    table_init(&catalog->table);
    catalog->deferred_end = &catalog->deferred;
    catalog->answer_deferred = (struct loop_task){.cb = on_deferred, .arg = catalog};
    catalog->timer = loop_timer_new(opts->loop, on_timer, catalog);
    loop_timer_set(catalog->timer, REFRESH_MS);
    if (opts->db)
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
    if (!catalog)
        return;
    loop_undefer(catalog->opts.loop, &catalog->answer_deferred);
    loop_timer_close(catalog->timer);
    for (struct entry *next, *entry = catalog->entries; entry; entry = next) {
        next = entry->next;
        drop(entry);
    }
    waiters_free(catalog->deferred);
    catalog_lookup_free(catalog->lookup);
    table_clear(&catalog->table);
    free(catalog);
}
