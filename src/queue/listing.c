/* SPDX-License-Identifier: MIT */
/*
 * listing: the events that the public may see and that are not over, as this worker last read them.
 *
 *   confirmed within a second? -> done
 *   else SQL function events_listing: unchanged -> done; found -> a new list
 *
 * Why this way: when a sale is announced, everybody loads the home page. Before, each load was a statement that wrote
 * every event as JSON; two hundred clients who did nothing else made buyers' holds wait for most of a second. The whole
 * list is kept, not its first page alone, so that a later page is no statement either. It takes about a kilobyte an
 * event. Only organizers make events, so strangers cannot make it grow.
 * Called by: api_queue, api_home. Owns: the present list, and the callbacks that wait for the next one.
 * PostgreSQL gone: the list of the last minute; after that its status.
 */
#include "queue/listing.h"

#include "base/buf.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRESH_MS 1000
#define KEEP_MS  60000

struct waiter {
    struct waiter *next;
    listing_cb cb;
    void *arg;
};

struct listing {
    struct loop *loop;
    struct db *db;
    struct event_list list;
    bool known;      /* a list was read */
    struct buf text; /* what the list points into */
    uint64_t confirmed_ms;
    bool loading;
    struct waiter *waiters, **tail; /* in the order in which they asked */
    struct loop_task deferred;      /* calls the waiters with deferred_status on the next turn */
    enum status deferred_status;
};

/* ---- pages ---- */

/* Is `cursor` behind `before` in the list? Both are "<time>.<id>", and the list begins with the greatest. */
static bool is_behind(const char *cursor, const char *before)
{
    char *cursor_id, *before_id;
    const unsigned long long at = strtoull(cursor, &cursor_id, 10);
    const unsigned long long limit = strtoull(before, &before_id, 10);
    return at != limit ? at < limit : strcmp(cursor_id, before_id) < 0;
}

size_t listing_find(const struct event_list *list, const char *before)
{
    size_t low = 0, high = before ? list->count : 0;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (is_behind(list->events[middle].cursor, before))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void listing_write_page(const struct event_list *list, size_t from, size_t limit, struct buf *out)
{
    const size_t end = list->count - from > limit ? from + limit : list->count;
    buf_add_str(out, "{\"events\":[");
    for (size_t i = from; i < end; i++) {
        if (i > from)
            buf_add_char(out, ',');
        buf_add(out, list->events[i].json, list->events[i].len);
    }
    buf_add_str(out, "],\"next\":");
    if (end < list->count) {
        buf_add_char(out, '"');
        buf_add_str(out, list->events[end - 1].cursor);
        buf_add_char(out, '"');
    } else {
        buf_add_str(out, "null");
    }
    buf_add_char(out, '}');
}

/* ---- reading ---- */

static void drop_list(struct listing *listing)
{
    shared_text_unref((void *)listing->list.first);
    free((void *)listing->list.events);
    buf_clear(&listing->text);
    listing->list = (struct event_list){.count = 0};
    listing->known = false;
}

/* Replaces the list by the rows of events_listing: the first has the version, each other one an event. */
static void take_rows(struct listing *listing, const struct db_result *result)
{
    const int rows = db_rows(result);
    size_t size = 0;
    drop_list(listing);
    for (int row = 1; row < rows; row++)
        size += db_len(result, row, 2) + db_len(result, row, 3) + 2;
    buf_init(&listing->text, size + 1);
    (void)buf_extend(&listing->text, size); /* all of it at once, so that it never moves */
    buf_truncate(&listing->text, 0);
    struct listed_event *events = xcalloc((size_t)rows, sizeof(*events));
    for (int row = 1; row < rows; row++) {
        struct listed_event *event = &events[row - 1];
        const size_t start = listing->text.len;
        buf_add_json_compact(&listing->text, db_text(result, row, 3), db_len(result, row, 3));
        event->len = listing->text.len - start;
        event->json = listing->text.data + start;
        buf_add_char(&listing->text, '\0');
        event->cursor = listing->text.data + listing->text.len;
        buf_add(&listing->text, db_text(result, row, 2), db_len(result, row, 2) + 1);
    }
    struct event_list *list = &listing->list;
    (void)snprintf(list->version, sizeof(list->version), "%s", db_text(result, 0, 1));
    list->count = (size_t)rows - 1;
    list->events = events;
    struct buf page;
    buf_init(&page, size + 256);
    listing_write_page(list, 0, LISTING_PAGE, &page);
    list->first = shared_text_new(0, buf_str(&page), page.len);
    buf_clear(&page);
    listing->known = true;
}

static void call_waiters(struct listing *listing, enum status status)
{
    struct waiter *waiter = listing->waiters;
    const uint64_t age_ms = loop_now_ms(listing->loop) - listing->confirmed_ms;
    listing->loading = false;
    listing->waiters = NULL;
    listing->tail = &listing->waiters;
    if (status != ST_OK && listing->known && age_ms < KEEP_MS)
        status = ST_OK;
    for (struct waiter *next; waiter; waiter = next) {
        next = waiter->next;
        waiter->cb(waiter->arg, status, status == ST_OK ? &listing->list : NULL);
        free(waiter);
    }
}

static void on_deferred(void *arg)
{
    struct listing *listing = arg;
    call_waiters(listing, listing->deferred_status);
}

static void on_read(void *arg, enum status status, const struct db_result *result)
{
    struct listing *listing = arg;
    if (status == ST_OK && db_rows(result) < 1)
        status = ST_INTERNAL;
    if (status == ST_OK) {
        if (strcmp(db_text(result, 0, 0), "found") == 0)
            take_rows(listing, result);
        listing->confirmed_ms = loop_now_ms(listing->loop);
    }
    call_waiters(listing, status);
}

/* ---- public ---- */

const struct event_list *listing_fresh(const struct listing *listing)
{
    const bool fresh =
        listing->known && loop_now_ms(listing->loop) - listing->confirmed_ms < FRESH_MS;
    return fresh ? &listing->list : NULL;
}

void listing_get(struct listing *listing, listing_cb cb, void *arg)
{
    static const struct db_stmt stmt = {
        .name = "events_listing",
        .sql = "SELECT outcome, version, next, body FROM events_listing($1)",
        .param_count = 1,
        .kind = DB_PUBLIC};
    struct waiter *waiter = xcalloc(1, sizeof(*waiter));
    *waiter = (struct waiter){.cb = cb, .arg = arg};
    *listing->tail = waiter;
    listing->tail = &waiter->next;
    if (listing->loading)
        return;
    listing->loading = true;
    listing->deferred_status = ST_OK;
    if (!listing_fresh(listing))
        listing->deferred_status = db_query(
            listing->db, &stmt, (const char *const[]){listing->known ? listing->list.version : ""},
            on_read, listing);
    else
        loop_defer(listing->loop, &listing->deferred);
    if (listing->deferred_status != ST_OK)
        loop_defer(listing->loop, &listing->deferred);
}

struct listing *listing_new(struct loop *loop, struct db *db)
{
    struct listing *listing = xcalloc(1, sizeof(*listing));
    listing->loop = loop;
    listing->db = db;
    listing->tail = &listing->waiters;
    listing->deferred = (struct loop_task){.cb = on_deferred, .arg = listing};
    return listing;
}

void listing_free(struct listing *listing)
{
    if (!listing)
        return;
    loop_undefer(listing->loop, &listing->deferred);
    for (struct waiter *next; listing->waiters; listing->waiters = next) {
        next = listing->waiters->next;
        free(listing->waiters);
    }
    drop_list(listing);
    free(listing);
}
