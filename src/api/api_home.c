/* SPDX-License-Identifier: MIT */
/*
 * api_home: "/": the events to come, by date, each with a link to its waiting page; 50 on a page.
 *
 *   ?q=words    those whose title, artist or venue has all of these words
 *   ?page=2     the next 50
 *
 * Why this way: everybody loads this page when a sale is announced. Its events are the worker's listing, at most a
 * second old. They are parsed and sorted once for each version of the list, and the first page is written once for each
 * version and language: most requests are answered from the same memory. A search and later pages are written for each
 * request, and no statement either.
 * An event leaves the page when it closes, and a day after it has begun; so a written page counts until the next time at
 * which one of its events opens, closes or is over.
 * Called by: api's route table. Owns: the sorted events and the written pages. PostgreSQL gone: the page of the last
 * minute, then 503, and the page says so and tries again.
 */
#include "api/api_page.h"

#include "base/clock.h"
#include "base/embed.h"
#include "base/memory.h"
#include "base/shared_clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_EVENTS    50
#define PAGES_MAX      100000
#define QUERY_MAX      100 /* characters of a search */
#define WORDS_MAX      8   /* words of a search that count */
#define ROWS_MAX       (512 * 1024)
#define EVENT_MAX      (64 * 1024)                 /* bytes of one event's JSON */
#define TAG_SIZE       41                          /* api_answer_shared takes 40 characters */
#define SHOWN_AFTER_MS (INT64_C(24) * 3600 * 1000) /* after its beginning; it may run for long */
#define RETRY_S        10

struct home_event {
    struct json *json;
    int64_t starts_ms, opens_ms, closes_ms; /* 0: none */
    char *search;                           /* title, artist and venue, folded */
};

struct home_pages {
    char version[33]; /* of the listing that `events` was made from; "": none */
    struct home_event *events;
    size_t count;
    /* The first page in each language. */
    struct first_page {
        char tag[TAG_SIZE];
        struct shared_text *text; /* NULL: not written yet */
    } first[LANGUAGE_COUNT];
    int64_t changes_ms; /* the written pages count until then */
};

struct home_pages *api_home_new(void)
{
    return xcalloc(1, sizeof(struct home_pages));
}

static void drop_events(struct home_pages *home)
{
    for (size_t i = 0; i < home->count; i++) {
        json_free(home->events[i].json);
        free(home->events[i].search);
    }
    free(home->events);
    home->events = NULL;
    home->count = 0;
    home->version[0] = '\0';
}

void api_home_free(struct home_pages *home)
{
    if (!home)
        return;
    for (size_t i = 0; i < LANGUAGE_COUNT; i++)
        shared_text_unref(home->first[i].text);
    drop_events(home);
    free(home);
}

/* ---- the events, sorted ---- */

static int64_t time_of(const struct json *event, const char *key)
{
    const char *text = json_str(event, key);
    int64_t ms = 0;
    return text && clock_parse_rfc3339(text, &ms) == ST_OK ? ms : 0;
}

/* By date; those without one at the end. */
static int by_date(const void *one, const void *other)
{
    const struct home_event *a = one, *b = other;
    if (a->starts_ms != b->starts_ms)
        return a->starts_ms == 0             ? 1
               : b->starts_ms == 0           ? -1
               : a->starts_ms < b->starts_ms ? -1
                                             : 1;
    return strcmp(json_str(a->json, "id"), json_str(b->json, "id"));
}

static char *search_text(const struct json *event)
{
    static const char *const keys[] = {"title", "artist", "venue"};
    struct buf text;
    buf_init(&text, EVENT_MAX);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *value = json_str(event, keys[i]);
        locale_fold(&text, value ? value : "");
        buf_add_char(&text, '\n');
    }
    char *copy = xcalloc(1, text.len + 1);
    memcpy(copy, buf_str(&text), text.len);
    buf_clear(&text);
    return copy;
}

static void take_list(struct home_pages *home, const struct event_list *list)
{
    if (strcmp(home->version, list->version) == 0)
        return;
    drop_events(home);
    home->events = xcalloc(list->count + 1, sizeof(*home->events));
    for (size_t i = 0; i < list->count; i++) {
        struct json *json = json_parse(list->events[i].json, list->events[i].len, EVENT_MAX, NULL);
        if (!json_str(json, "id")) {
            json_free(json);
            continue;
        }
        home->events[home->count++] = (struct home_event){.json = json,
                                                          .starts_ms = time_of(json, "startsAt"),
                                                          .opens_ms = time_of(json, "opensAt"),
                                                          .closes_ms = time_of(json, "closesAt"),
                                                          .search = search_text(json)};
    }
    qsort(home->events, home->count, sizeof(*home->events), by_date);
    memcpy(home->version, list->version, sizeof(home->version));
    home->changes_ms = 0;
}

static bool is_over(const struct home_event *event, int64_t now_ms)
{
    return (event->closes_ms != 0 && event->closes_ms <= now_ms) ||
           (event->starts_ms != 0 && event->starts_ms + SHOWN_AFTER_MS <= now_ms);
}

/* The next time, after now, at which an event opens, closes or is over. */
static int64_t next_change(const struct home_pages *home, int64_t now_ms)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < home->count; i++) {
        const struct home_event *event = &home->events[i];
        const int64_t times[] = {event->opens_ms, event->closes_ms,
                                 event->starts_ms != 0 ? event->starts_ms + SHOWN_AFTER_MS : 0};
        for (size_t t = 0; t < sizeof(times) / sizeof(times[0]); t++) {
            if (times[t] > now_ms && times[t] < next)
                next = times[t];
        }
    }
    return next;
}

/* ---- the page ---- */

static void show_problem(struct api_call *call, const struct api_problem *problem)
{
    struct page page;
    api_page_begin(&page, call);
    api_page_set(&page, "lead", message(page.language, "home_unavailable"));
    api_page_set(&page, "failed", "1");
    api_page_set_number(&page, "refresh", RETRY_S);
    api_page_answer(&page, problem->status, "home.html");
}

const struct api_presenter api_home_presenter = {.problem = show_problem};

/* Sets a time of an event in its zone, with the name of the zone; `key`: the message around it, NULL: none. */
static void set_time(struct page *row, const struct json *json, const char *name, int64_t ms,
                     const char *key)
{
    const char *zone = json_str(json, "timeZone");
    const struct message_value parts[] = {{"time", api_page_clock(row, zone, ms, LOCALE_FULL)},
                                          {"zone", api_page_clock(row, zone, ms, LOCALE_ZONE)},
                                          {NULL, NULL}};
    const char *text = api_page_message(row, "time_in_zone", parts);
    const struct message_value around[] = {{"time", text}, {NULL, NULL}};
    api_page_set(row, name, key ? api_page_message(row, key, around) : text);
}

/* Appends an event as an item of the list. Its row is whole, or the buffer is as it was and false is returned. */
static bool add_row(const struct page *page, const struct home_event *event, int64_t now_ms,
                    struct buf *rows)
{
    static const char *const fields[] = {"id", "title", "artist", "venue", "status"};
    const struct json *json = event->json, *price = json_get(json, "priceFrom");
    const char *status = json_str(json, "status"), *zone = json_str(json, "timeZone");
    const size_t before = rows->len;
    struct page row = *page;
    char key[64];
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        api_page_set(&row, fields[i], json_str(json, fields[i]));
    (void)snprintf(key, sizeof(key), "home_%s", status ? status : "");
    api_page_set(&row, "status_text", message(page->language, key));
    api_page_set(&row, "text_language", json_str(json, "language"));
    const char *image = json_str(json_get(json, "branding"), "image");
    api_page_set(&row, "image", image ? api_page_own(&row, "%s", image) : NULL);
    if (event->starts_ms != 0) {
        api_page_set(&row, "starts_at", json_str(json, "startsAt"));
        set_time(&row, json, "starts_text", event->starts_ms, NULL);
        api_page_set(&row, "month", api_page_clock(&row, zone, event->starts_ms, LOCALE_MONTH));
        api_page_set(&row, "day", api_page_clock(&row, zone, event->starts_ms, LOCALE_DAY));
        api_page_set(&row, "weekday", api_page_clock(&row, zone, event->starts_ms, LOCALE_WEEKDAY));
    }
    if (event->opens_ms > now_ms)
        set_time(&row, json, "opens_text", event->opens_ms, "home_opens");
    if (price && !json_is_null(price)) {
        const struct message_value value[] = {
            {"price",
             api_page_money(&row, json_int(price, "amount", 0), json_str(price, "currency"))},
            {NULL, NULL}};
        api_page_set(&row, "price_from", api_page_message(&row, "buy_from", value));
    }
    const bool whole = api_page_fill(&row, "home_event.html", rows) == ST_OK;
    if (!whole)
        buf_truncate(rows, before);
    return whole;
}

/* Does the event have all words of the search? `words`: folded, a NULL ends them. */
static bool is_found(const struct home_event *event, char *const words[])
{
    for (size_t i = 0; words[i]; i++) {
        if (!strstr(event->search, words[i]))
            return false;
    }
    return true;
}

/* Sets the link to a page of this list. */
static void set_page_link(struct page *page, const char *name, const char *query, int64_t number)
{
    struct buf link;
    buf_init(&link, 8 * QUERY_MAX * 4);
    buf_printf(&link, "%s/?page=%" PRId64, api_prefix(page->call->api), number);
    if (query) {
        buf_add_str(&link, "&q=");
        buf_add_query(&link, query);
    }
    api_page_set_buf(page, name, &link);
}

/* Sets the values of a page, from 1, of the events that are found. `query` NULL: of all. */
static void set_list(struct page *page, const struct home_pages *home, const char *query,
                     int64_t number)
{
    const int64_t now_ms = shared_clock_ms();
    char *words[WORDS_MAX + 1] = {NULL};
    size_t found = 0, shown = 0;
    struct buf rows, folded;
    buf_init(&rows, ROWS_MAX);
    buf_init(&folded, EVENT_MAX);
    if (query) {
        char *rest = NULL;
        size_t n = 0;
        locale_fold(&folded, query);
        char *text = http_req_strdup(page->call->req, buf_str(&folded), folded.len);
        for (char *word = strtok_r(text, " \t", &rest); word && n < WORDS_MAX;
             word = strtok_r(NULL, " \t", &rest))
            words[n++] = word;
    }
    const size_t first = (size_t)(number - 1) * PAGE_EVENTS;
    bool full = false;
    for (size_t i = 0; i < home->count; i++) {
        const struct home_event *event = &home->events[i];
        if (is_over(event, now_ms) || !is_found(event, words))
            continue;
        if (found >= first && shown < PAGE_EVENTS && !full) {
            full = !add_row(page, event, now_ms, &rows);
            shown += !full;
        }
        found++;
    }
    if (first + shown < found && shown > 0)
        set_page_link(page, "next", query, number + 1);
    if (number > 1)
        set_page_link(page, "previous", query, number - 1);
    if (query) {
        const struct message_value value[] = {{"query", query}, {NULL, NULL}};
        api_page_set(page, "query", query);
        api_page_set(page, "found",
                     found > 0 ? api_page_count(page, "home_found", found)
                               : api_page_message(page, "home_none_found", value));
    }
    api_page_set(page, "lead", query ? "" : message(page->language, "home_empty"));
    api_page_set_buf(page, "events", &rows); /* empty: the page shows `lead` */
    buf_clear(&folded);
}

/* The first page of all events, from the memory that everybody's answer shares. */
static void show_first(struct api_call *call, struct page *page)
{
    struct home_pages *home = call->api->home;
    struct first_page *first = &home->first[page->language];
    const int64_t now_ms = shared_clock_ms();
    char tag[TAG_SIZE];
    if (home->changes_ms <= now_ms)
        home->changes_ms = next_change(home, now_ms);
    (void)snprintf(tag, sizeof(tag), "%.16s-%.8s-%s-%010" PRId64, home->version, embed_web_hash,
                   language_code(page->language), home->changes_ms / 1000 % INT64_C(10000000000));
    if (!first->text || strcmp(first->tag, tag) != 0) {
        struct page filled = *page;
        api_page_set_common(&filled);
        set_list(&filled, home, NULL, 1);
        api_page_set(&filled, "language_link",
                     api_page_own(&filled, "/?")); /* everybody gets this text */
        shared_text_unref(first->text);
        first->text = api_page_text(&filled, "home.html");
        memcpy(first->tag, tag, sizeof(tag));
    }
    if (first->text)
        api_page_answer_shared(page, tag, first->text);
    else
        api_fail(call, ST_INTERNAL);
}

static void show_list(struct api_call *call, const struct event_list *list)
{
    const char *query = http_req_query(call->req, "q"), *text = http_req_query(call->req, "page");
    const int64_t wanted = text && api_is_number(text) ? strtoll(text, NULL, 10) : 1;
    const int64_t number = wanted >= 1 && wanted <= PAGES_MAX ? wanted : 1;
    struct page page;
    api_page_choose_language(&page, call);
    take_list(call->api->home, list);
    if (query && (*query == '\0' || strlen(query) > TEXT_BYTES(QUERY_MAX)))
        query = NULL;
    if (!query && number == 1) {
        show_first(call, &page);
        return;
    }
    api_page_set_common(&page);
    set_list(&page, call->api->home, query, number);
    api_page_answer(&page, 200, "home.html");
}

static void listed(void *arg, enum status status, const struct event_list *list)
{
    if (status == ST_OK)
        show_list(arg, list);
    else
        api_fail(arg, status);
}

static enum status home_start(struct api_call *call)
{
    const struct event_list *list = listing_fresh(call->api->listing);
    if (list)
        show_list(call, list);
    else
        listing_get(call->api->listing, listed, call);
    return ST_OK;
}

const struct api_route api_home_routes[] = {
    {"GET", "/", AUTH_NONE, 0, home_start, API_BODY_NONE},
    {0},
};
