/* SPDX-License-Identifier: MIT */
/*
 * pictures: a bounded cache of the logos and images of events, one per worker.
 *
 * Why this way: a hundred thousand browsers ask for one picture within seconds, so it must not come from
 * PostgreSQL each time. A few slots are enough (at most 8 MiB of images in all); one query per picture runs at a
 * time (single-flight).
 * Called by: api_brand. Owns: the decoded pictures, and the callbacks that wait for them.
 * PostgreSQL gone: a cached picture of an older version is used; without one, its status is passed on.
 */
#include "selling/pictures.h"

#include "base/json.h"
#include "base/memory.h"
#include "queue/catalog_store.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS 32

struct waiter {
    struct waiter *next;
    pictures_cb cb;
    void *arg;
};

struct picture {
    struct pictures *pictures;
    char event[EVENT_ID_MAX + 1];
    enum event_picture kind;
    int64_t version; /* of `data`; 0: nothing is cached */
    int64_t loading; /* the version that the pending query was sent for; 0: no query is pending */
    uint64_t used;   /* value of pictures->uses when this picture was last requested */
    const char *type;
    char *data;
    size_t len;
    struct waiter *waiters;
};

struct pictures {
    struct db *db;
    uint64_t uses; /* number of requests so far */
    struct picture slots[SLOTS];
};

struct pictures *pictures_new(struct db *db)
{
    struct pictures *pictures = xcalloc(1, sizeof(*pictures));
    pictures->db = db;
    for (int i = 0; i < SLOTS; i++)
        pictures->slots[i].pictures = pictures;
    return pictures;
}

void pictures_free(struct pictures *pictures)
{
    if (!pictures)
        return;
    for (int i = 0; i < SLOTS; i++)
        free(pictures->slots[i].data);
    free(pictures);
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
static void answer(const struct picture *picture, enum status status, pictures_cb cb, void *arg)
{
    if (status == ST_OK || (status != ST_NOT_FOUND && picture->version > 0))
        cb(arg, ST_OK, picture->type, picture->data, picture->len);
    else
        cb(arg, status, NULL, NULL, 0);
}

/* The answer of catalog_picture: {"data":"data:image/png;base64,…"}. */
static void loaded(void *arg, enum status status, const char *json, size_t len)
{
    struct picture *picture = arg;
    struct json *body = status == ST_OK ? json_parse(json, len, len, NULL) : NULL;
    const char *url = json_str(body, "data");
    const char *base64;
    const char *type = url ? event_picture_type(url, &base64) : NULL;
    if (type) {
        free(picture->data);
        picture->data = xcalloc(1, strlen(base64) + 1);
        picture->len = decode_base64(base64, picture->data);
        picture->type = type;
        picture->version = picture->loading;
    } else if (status == ST_OK) {
        status = ST_NOT_FOUND;
    }
    json_free(body);

    struct waiter *waiter = picture->waiters;
    picture->waiters = NULL;
    picture->loading = 0;
    while (waiter) {
        struct waiter *next = waiter->next;
        answer(picture, status, waiter->cb, waiter->arg);
        free(waiter);
        waiter = next;
    }
}

/* The slot of the event, or the least recently used one that is not loading, emptied; NULL: all slots are
 * loading other pictures. */
static struct picture *find_slot(struct pictures *pictures, const char *event,
                                 enum event_picture kind)
{
    struct picture *oldest = NULL;
    for (int i = 0; i < SLOTS; i++) {
        struct picture *picture = &pictures->slots[i];
        if (picture->kind == kind && strcmp(picture->event, event) == 0)
            return picture;
        if (picture->loading == 0 && (!oldest || picture->used < oldest->used))
            oldest = picture;
    }
    if (oldest) {
        free(oldest->data);
        *oldest = (struct picture){.pictures = pictures, .kind = kind};
        memcpy(oldest->event, event, strlen(event) + 1);
    }
    return oldest;
}

void pictures_get(struct pictures *pictures, const struct event *event, enum event_picture kind,
                  pictures_cb cb, void *arg)
{
    const int64_t version = kind == EVENT_LOGO ? event->brand.logo : event->brand.image;
    struct picture *picture = version > 0 ? find_slot(pictures, event->id, kind) : NULL;
    if (!picture) {
        cb(arg, version > 0 ? ST_FULL : ST_NOT_FOUND, NULL, NULL, 0);
        return;
    }
    picture->used = ++pictures->uses;
    if (picture->version == version) {
        answer(picture, ST_OK, cb, arg);
        return;
    }
    if (picture->loading == 0) {
        picture->loading = version;
        const enum status st = catalog_picture(pictures->db, event->id, kind, loaded, picture);
        if (st != ST_OK) {
            picture->loading = 0;
            answer(picture, st, cb, arg);
            return;
        }
    }
    struct waiter *waiter = xcalloc(1, sizeof(*waiter));
    *waiter = (struct waiter){.next = picture->waiters, .cb = cb, .arg = arg};
    picture->waiters = waiter;
}
