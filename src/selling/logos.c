/* SPDX-License-Identifier: MIT */
/*
 * logos: the events' logos, as this worker has read them from PostgreSQL.
 *
 * Why this way: a logo is asked for once by each of a hundred thousand browsers within seconds, so
 * PostgreSQL must not be. A handful of slots, the longest unused one given up; one query per event at
 * a time. With PostgreSQL gone, a logo of another version is better than none.
 * Called by: api_brand. Owns the decoded images and those who wait for them.
 */
#include "selling/logos.h"

#include "base/json.h"
#include "base/memory.h"
#include "queue/catalog.h"

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
    int64_t version; /* of the data; 0: none yet */
    int64_t wanted;  /* of the query under way; 0: none is */
    uint64_t used;
    const char *type;
    char *data;
    size_t len;
    struct waiter *waiters;
};

struct logos {
    struct db *db;
    uint64_t uses;
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
    if (logos == NULL)
        return;
    for (int i = 0; i < SLOTS; i++)
        free(logos->slots[i].data);
    free(logos);
}

/* ---- base64 ---- */

static unsigned digit(char c)
{
    return c >= 'a'   ? (unsigned)(c - 'a' + 26)
           : c >= 'A' ? (unsigned)(c - 'A')
           : c >= '0' ? (unsigned)(c - '0' + 52)
           : c == '+' ? 62
                      : 63;
}

/* Of text that was checked when it was stored. `out` has room for 3 bytes of each 4. */
static size_t decode(const char *text, char *out)
{
    unsigned bits = 0, have = 0;
    size_t len = 0;
    for (; *text != '\0' && *text != '='; text++) {
        bits = bits << 6 | digit(*text);
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[len++] = (char)(bits >> have & 255);
        }
    }
    return len;
}

static enum status take(struct logo *logo, const char *json, size_t len)
{
    struct json *body = json_parse(json, len, len, NULL);
    const char *url = json_str(body, "data");
    const char *base64;
    const char *type = url != NULL ? event_logo_type(url, &base64) : NULL;
    if (type != NULL) {
        free(logo->data);
        logo->data = xcalloc(1, strlen(base64) + 1);
        logo->len = decode(base64, logo->data);
        logo->type = type;
        logo->version = logo->wanted;
    }
    json_free(body);
    return type != NULL ? ST_OK : ST_NOT_FOUND;
}

/* ---- asking ---- */

static void answer(const struct logo *logo, enum status status, logos_cb cb, void *arg)
{
    const bool there = status == ST_OK || (status != ST_NOT_FOUND && logo->version > 0);
    cb(arg, there ? ST_OK : status, there ? logo->type : NULL, there ? logo->data : NULL,
       there ? logo->len : 0);
}

static void loaded(void *arg, enum status status, const char *json, size_t len)
{
    struct logo *logo = arg;
    if (status == ST_OK)
        status = take(logo, json, len);
    struct waiter *waiter = logo->waiters;
    logo->waiters = NULL;
    logo->wanted = 0;
    while (waiter != NULL) {
        struct waiter *next = waiter->next;
        answer(logo, status, waiter->cb, waiter->arg);
        free(waiter);
        waiter = next;
    }
}

/* The slot of the event, or the longest unused one that nobody waits for; NULL: all are awaited. */
static struct logo *find_slot(struct logos *logos, const char *event)
{
    struct logo *oldest = NULL;
    for (int i = 0; i < SLOTS; i++) {
        struct logo *logo = &logos->slots[i];
        if (strcmp(logo->event, event) == 0)
            return logo;
        if (logo->wanted == 0 && (oldest == NULL || logo->used < oldest->used))
            oldest = logo;
    }
    if (oldest != NULL) {
        free(oldest->data);
        *oldest = (struct logo){.logos = logos};
        memcpy(oldest->event, event, strlen(event) + 1);
    }
    return oldest;
}

void logos_get(struct logos *logos, const struct event *event, logos_cb cb, void *arg)
{
    struct logo *logo = event->brand.logo > 0 ? find_slot(logos, event->id) : NULL;
    if (logo == NULL) {
        cb(arg, event->brand.logo > 0 ? ST_FULL : ST_NOT_FOUND, NULL, NULL, 0);
        return;
    }
    logo->used = ++logos->uses;
    if (logo->version == event->brand.logo) {
        answer(logo, ST_OK, cb, arg);
        return;
    }
    if (logo->wanted == 0) {
        logo->wanted = event->brand.logo;
        const enum status st = catalog_logo(logos->db, event->id, loaded, logo);
        if (st != ST_OK) {
            logo->wanted = 0;
            answer(logo, st, cb, arg);
            return;
        }
    }
    struct waiter *waiter = xcalloc(1, sizeof(*waiter));
    *waiter = (struct waiter){.next = logo->waiters, .cb = cb, .arg = arg};
    logo->waiters = waiter;
}
