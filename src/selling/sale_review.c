/* SPDX-License-Identifier: MIT */
/*
 * sale_review: one review, from the live copy to the last sale.
 *
 * Why this way: Redis' copies may be many, so they are read page by page, and of each page only those that PostgreSQL lacks are
 * kept. Refunds are put back before sales, since their seats may have been sold again.
 * Called by: tiketi reconcile, ledger_review. Owns: the copies that PostgreSQL lacks, until they are put back.
 * PostgreSQL or Redis gone: the review ends with their status.
 */
#include "selling/sale_review.h"

#include "base/buf.h"
#include "base/memory.h"
#include "selling/sale.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_MAX  ((size_t)4 << 20)  /* bytes of copies that are put back by one call, about */
#define REPORT_MAX ((size_t)64 << 20) /* bytes of its answer */

struct copy {
    struct copy *next;
    bool refunded;
    size_t len;
    char id[64];
    char text[];
};

struct review {
    struct sale_review_opts opts;
    char event[EVENT_ID_MAX + 1];
    struct copy *page;  /* what is being compared */
    struct copy *newer; /* what PostgreSQL lacks: refunds first */
    char cursor[32];
    size_t copies, lacking; /* read, and lacking, so far */
};

static enum status read_page(struct review *review);
static void put_back(struct review *review);

/* ---- the end ---- */

static void free_copies(struct copy **list)
{
    while (*list) {
        struct copy *copy = *list;
        *list = copy->next;
        free(copy);
    }
}

static void end(struct review *review, enum status status, const char *what)
{
    const struct sale_review_opts opts = review->opts;
    free_copies(&review->page);
    free_copies(&review->newer);
    free(review);
    opts.done(opts.arg, status, status == ST_OK ? NULL : what);
}

const char *sale_review_meaning(const char *what, bool *ret_left)
{
    static const struct {
        const char *what;
        bool left;
        const char *means;
    } meanings[] = {
        {"missing", false, "sold, and not here"},
        {"older", false, "here in an earlier state"},
        {"conflict", true, "a seat was sold again: the money is due back"},
        {"seat-gone", true, "a seat is not here: nothing was changed; add it, and repeat this"},
        {"sold", false, "charged, and not recorded here: sold"},
        {"due-back", true,
         "charged, and not recorded here; the seats are gone: the money is due back"},
        {"refunded", false, "returned by the provider, and not recorded here"},
        {"unknown-reservation", true,
         "charged for a reservation that is not here: return the money"},
        {"wrong-amount", true, "charged with another amount than the reservation's"},
        {"not-returned", true, "refunded here, and not in the books"},
        {"not-in-books", true, "paid here, and not in the books"},
    };
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
        if (strcmp(meanings[i].what, what) != 0)
            continue;
        if (ret_left)
            *ret_left = meanings[i].left;
        return meanings[i].means;
    }
    if (ret_left)
        *ret_left = true;
    return "to be looked at";
}

/* ---- putting back ---- */

static const char not_put_back[] = "the sales were not put back";

static void on_put_back(void *arg, enum status status, const char *outcome, const char *body,
                        size_t len)
{
    struct review *review = arg;
    struct json *answer = status == ST_OK ? json_parse(body, len, REPORT_MAX, NULL) : NULL;
    const struct json *list = json_get(answer, "differences");
    (void)outcome;
    if (!answer) {
        end(review, status == ST_OK ? ST_INTERNAL : status, not_put_back);
        return;
    }
    for (size_t i = 0; i < json_array_len(list); i++)
        review->opts.found(review->opts.arg, SALE_REVIEW_SALE, json_array_at(list, i));
    json_free(answer);
    put_back(review);
}

/* Puts back the next part of what PostgreSQL lacks. */
static void put_back(struct review *review)
{
    struct buf text;
    if (!review->newer) {
        end(review, ST_OK, NULL);
        return;
    }
    buf_init(&text, 2 * CHUNK_MAX);
    while (review->newer && text.len < CHUNK_MAX) {
        struct copy *copy = review->newer;
        buf_add_char(&text, text.len == 0 ? '[' : ',');
        buf_add(&text, copy->text, copy->len);
        review->newer = copy->next;
        free(copy);
    }
    buf_add_char(&text, ']');
    enum status st = buf_status(&text);
    if (st == ST_OK)
        st = sale_reconcile(review->opts.db, buf_str(&text), review->opts.apply, on_put_back,
                            review);
    buf_clear(&text);
    if (st != ST_OK)
        end(review, st, not_put_back);
}

static void count_copies(struct review *review)
{
    struct json *item = json_new_object();
    json_set_int(item, "copies", (int64_t)review->copies);
    json_set_int(item, "lacking", (int64_t)review->lacking);
    review->opts.found(review->opts.arg, SALE_REVIEW_COUNTED, item);
    json_free(item);
}

/* ---- comparing ---- */

static bool is_refunded(const struct copy *copy)
{
    struct json *sale = json_parse(copy->text, copy->len, CHUNK_MAX, NULL);
    const char *status = json_str(json_get(sale, "reservation"), "status");
    const bool refunded = status && strcmp(status, "refunded") == 0;
    json_free(sale);
    return refunded;
}

static void keep(struct review *review, struct copy *copy)
{
    struct copy **at = &review->newer;
    copy->refunded = is_refunded(copy);
    while (!copy->refunded && *at && (*at)->refunded)
        at = &(*at)->next;
    copy->next = *at;
    *at = copy;
    review->lacking++;
}

static void keep_newer(struct review *review, const struct json *newer)
{
    for (size_t i = 0; i < json_array_len(newer); i++) {
        const char *id = json_str_value(json_array_at(newer, i));
        struct copy **at = &review->page;
        while (*at && (!id || strcmp((*at)->id, id) != 0))
            at = &(*at)->next;
        if (!*at)
            continue;
        struct copy *copy = *at;
        *at = copy->next;
        keep(review, copy);
    }
    free_copies(&review->page);
}

static const char not_compared[] = "the sales were not compared";

static void on_compared(void *arg, enum status status, const char *outcome, const char *body,
                        size_t len)
{
    struct review *review = arg;
    struct json *answer = status == ST_OK ? json_parse(body, len, CHUNK_MAX, NULL) : NULL;
    (void)outcome;
    if (!answer) {
        end(review, status == ST_OK ? ST_INTERNAL : status, not_compared);
        return;
    }
    keep_newer(review, json_get(answer, "newer"));
    json_free(answer);
    if (strcmp(review->cursor, "0") == 0) {
        count_copies(review);
        put_back(review);
        return;
    }
    const enum status st = read_page(review);
    if (st != ST_OK)
        end(review, st, not_compared);
}

static void on_page(void *arg, enum status status, const struct queue_sale *list, size_t count,
                    const char *next)
{
    struct review *review = arg;
    struct buf text;
    if (status != ST_OK) {
        end(review, status, "Redis' copies of sales cannot be read");
        return;
    }
    (void)snprintf(review->cursor, sizeof(review->cursor), "%s", next);
    buf_init(&text, CHUNK_MAX);
    buf_add_char(&text, '[');
    for (size_t i = 0; i < count; i++) {
        struct copy *copy = xcalloc(1, sizeof(*copy) + list[i].len + 1);
        (void)snprintf(copy->id, sizeof(copy->id), "%s", list[i].id);
        memcpy(copy->text, list[i].text, list[i].len);
        copy->len = list[i].len;
        copy->next = review->page;
        review->page = copy;
        buf_add_str(&text, i > 0 ? ",{\"id\":" : "{\"id\":");
        buf_add_json_str(&text, copy->id, strlen(copy->id));
        buf_printf(&text, ",\"version\":%" PRIu64 "}", list[i].version);
    }
    review->copies += count;
    buf_add_char(&text, ']');
    enum status st = buf_status(&text);
    if (st == ST_OK)
        st = sale_compare(review->opts.db, buf_str(&text), on_compared, review);
    buf_clear(&text);
    if (st != ST_OK)
        end(review, st, not_compared);
}

static enum status read_page(struct review *review)
{
    return queue_read_sales(review->opts.queue, review->event, review->cursor, on_page, review);
}

/* ---- the record ---- */

static void on_event(void *arg, enum status status, const char *outcome, const char *body,
                     size_t len)
{
    struct review *review = arg;
    if (status == ST_NOT_FOUND) {
        review->opts.found(review->opts.arg, SALE_REVIEW_NO_RECORD, NULL);
    } else if (status != ST_OK) {
        end(review, status, "the event was not compared");
        return;
    } else if (strcmp(outcome, "older") == 0) {
        struct json *answer = json_parse(body, len, CHUNK_MAX, NULL);
        review->opts.found(review->opts.arg, SALE_REVIEW_OLDER, answer);
        json_free(answer);
    }
    const enum status st = read_page(review);
    if (st != ST_OK)
        end(review, st, not_compared);
}

static void on_live(void *arg, enum status status, const struct event *live, const char *index,
                    size_t index_len)
{
    struct review *review = arg;
    struct buf text;
    (void)index, (void)index_len;
    if (status == ST_OK &&
        !live) /* Redis does not know the event: there may be copies all the same */
        status = read_page(review);
    if (status != ST_OK) {
        end(review, status, "Redis' live copy of the event cannot be read");
        return;
    }
    if (!live)
        return;
    struct json *body = event_write_json(live);
    buf_init(&text, 65536);
    json_write(body, &text);
    json_free(body);
    enum status st = buf_status(&text);
    const struct sale_event event = {buf_str(&text), live->version, live->epoch};
    if (st == ST_OK)
        st = sale_reconcile_event(review->opts.db, &event, review->opts.apply, on_event, review);
    buf_clear(&text);
    if (st != ST_OK)
        end(review, st, "the event was not compared");
}

enum status sale_review_start(const struct sale_review_opts *opts)
{
    struct review *review = xcalloc(1, sizeof(*review));
    review->opts = *opts;
    (void)snprintf(review->event, sizeof(review->event), "%s", opts->event);
    (void)snprintf(review->cursor, sizeof(review->cursor), "0");
    const enum status st = queue_read_live(opts->queue, review->event, on_live, review);
    if (st != ST_OK)
        free(review);
    return st;
}
