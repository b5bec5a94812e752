/* SPDX-License-Identifier: MIT */
/*
 * logos: a bounded cache of event logos, one per worker.
 *
 * Why this way: a hundred thousand browsers ask for one logo within seconds, so it must not come from
 * PostgreSQL each time. A few slots are enough; one query per event runs at a time (single-flight).
 * Called by: api_brand. Owns: the decoded images, and the callbacks that wait for them.
 * PostgreSQL gone: a cached logo of an older version is used; without one, its status is passed on.
 */
#include "selling/logos.h"

#include "base/json.h"
#include "base/memory.h"
#include "queue/catalog_store.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS 32

struct waiter {
    struct waiter *next;
    logos_cb cb;
    void *arg;
};

struct logo {
    struct logos *logos;
    char event[EVENT_ID_MAX + 1];
    int64_t version; /* of `data`; 0: nothing is cached */
    int64_t loading; /* the version that the pending query was sent for; 0: no query is pending */
    uint64_t used;   /* value of logos->uses when this logo was last requested */
    const char *type;
    char *data;
    size_t len;
    struct waiter *waiters;
};

struct logos {
    struct db *db;
    uint64_t uses; /* number of requests so far */
    struct logo slots[SLOTS];
};

struct logos *logos_new(struct db *db)
{
    struct logos *logos = xcalloc(1, sizeof(*logos));
    logos->db = db;
    for (int i = 0; i < SLOTS; i++)
        logos->slots[i].logos = logos;
    return logos;
}

void logos_free(struct logos *logos)
{
    if (!logos)
        return;
    for (int i = 0; i < SLOTS; i++)
        free(logos->slots[i].data);
    free(logos);
}

/* Decodes base64 that event.c validated before it was stored. `out` has space for 3 bytes for each 4
 * characters. Returns the length. */
static size_t decode_base64(const char *text, char *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned bits = 0, have = 0;
    size_t len = 0;
    const char *digit;
    for (; *text && (digit = strchr(alphabet, *text)); text++) { /* ends at the padding, "=" */
        bits = bits << 6 | (unsigned)(digit - alphabet);
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[len++] = (char)(bits >> have & 255);
        }
    }
    return len;
}

/* Calls `cb` with the image. If the query failed, an image of an older version is better than none. */
static void answer(const struct logo *logo, enum status status, logos_cb cb, void *arg)
{
    if (status == ST_OK || (status != ST_NOT_FOUND && logo->version > 0))
        cb(arg, ST_OK, logo->type, logo->data, logo->len);
    else
        cb(arg, status, NULL, NULL, 0);
}

/* The answer of catalog_logo: {"data":"data:image/png;base64,…"}. */
static void loaded(void *arg, enum status status, const char *json, size_t len)
{
    struct logo *logo = arg;
    struct json *body = status == ST_OK ? json_parse(json, len, len, NULL) : NULL;
    const char *url = json_str(body, "data");
    const char *base64;
    const char *type = url ? event_logo_type(url, &base64) : NULL;
    if (type) {
        free(logo->data);
        logo->data = xcalloc(1, strlen(base64) + 1);
        logo->len = decode_base64(base64, logo->data);
        logo->type = type;
        logo->version = logo->loading;
    } else if (status == ST_OK) {
        status = ST_NOT_FOUND;
    }
    json_free(body);

    struct waiter *waiter = logo->waiters;
    logo->waiters = NULL;
    logo->loading = 0;
    while (waiter) {
        struct waiter *next = waiter->next;
        answer(logo, status, waiter->cb, waiter->arg);
        free(waiter);
        waiter = next;
    }
}

/* The slot of the event, or the least recently used one that is not loading, emptied; NULL: all slots are
 * loading other logos. */
static struct logo *find_slot(struct logos *logos, const char *event)
{
    struct logo *oldest = NULL;
    for (int i = 0; i < SLOTS; i++) {
        struct logo *logo = &logos->slots[i];
        if (strcmp(logo->event, event) == 0)
            return logo;
        if (logo->loading == 0 && (!oldest || logo->used < oldest->used))
            oldest = logo;
    }
    if (oldest) {
        free(oldest->data);
        *oldest = (struct logo){.logos = logos};
        memcpy(oldest->event, event, strlen(event) + 1);
    }
    return oldest;
}

void logos_get(struct logos *logos, const struct event *event, logos_cb cb, void *arg)
{
    struct logo *logo = event->brand.logo > 0 ? find_slot(logos, event->id) : NULL;
    if (!logo) {
        cb(arg, event->brand.logo > 0 ? ST_FULL : ST_NOT_FOUND, NULL, NULL, 0);
        return;
    }
    logo->used = ++logos->uses;
    if (logo->version == event->brand.logo) {
        answer(logo, ST_OK, cb, arg);
        return;
    }
    if (logo->loading == 0) {
        logo->loading = event->brand.logo;
        const enum status st = catalog_logo(logos->db, event->id, loaded, logo);
        if (st != ST_OK) {
            logo->loading = 0;
            answer(logo, st, cb, arg);
            return;
        }
    }
    struct waiter *waiter = xcalloc(1, sizeof(*waiter));
    *waiter = (struct waiter){.next = logo->waiters, .cb = cb, .arg = arg};
    logo->waiters = waiter;
}
