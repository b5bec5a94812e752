/* SPDX-License-Identifier: MIT */
/*
 * provider_books: the money that the payment provider has taken and given back.
 *
 * Why this way: one entry per reference, in memory, kept to the end of the process: the tests compare all of it with the
 * service's payments. Called by: provider. Owns: the entries, at most PROVIDER_CHARGES_MAX. They never move,
 * because calls point at them. Pure.
 */
#include "provider/provider_books.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct provider_books {
    struct table by_reference;
    struct provider_charge **list;
    uint32_t count, cap, parts;
};

struct provider_books *provider_books_new(void)
{
    struct provider_books *books = xcalloc(1, sizeof(*books));
    table_init(&books->by_reference);
    return books;
}

void provider_books_free(struct provider_books *books)
{
    if (!books)
        return;
    for (uint32_t i = 0; i < books->count; i++) {
        free(books->list[i]->reference);
        free(books->list[i]->reservation);
        free(books->list[i]->provider);
        for (struct provider_part *part = books->list[i]->parts, *next; part; part = next) {
            next = part->next;
            free(part);
        }
        free(books->list[i]);
    }
    free(books->list);
    table_clear(&books->by_reference);
    free(books);
}

uint32_t provider_books_count(const struct provider_books *books)
{
    return books->count;
}

struct provider_charge *provider_books_at(const struct provider_books *books, uint32_t number)
{
    return number >= 1 && number <= books->count ? books->list[number - 1] : NULL;
}

static uint32_t hash_of(const struct provider_books *books, const char *reference)
{
    return table_hash(&books->by_reference, reference, strlen(reference), "", 0);
}

struct provider_charge *provider_books_find(const struct provider_books *books,
                                            const char *reference)
{
    const uint32_t hash = hash_of(books, reference);
    struct table_node *node = table_first(&books->by_reference, hash);
    for (; node; node = table_next(node)) {
        struct provider_charge *charge =
            (struct provider_charge *)((char *)node - offsetof(struct provider_charge, node));
        if (strcmp(charge->reference, reference) == 0)
            return charge;
    }
    return NULL;
}

enum status provider_books_take(struct provider_books *books, const struct provider_order *order,
                                int64_t now_ms, struct provider_charge **ret_charge)
{
    *ret_charge = provider_books_find(books, order->reference);
    if (*ret_charge)
        return ST_CONFLICT;
    if (books->count == PROVIDER_CHARGES_MAX)
        return ST_FULL;
    if (books->count == books->cap) {
        books->cap = books->cap > 0 ? 2 * books->cap : 64;
        books->list = xrealloc(books->list, books->cap * sizeof(struct provider_charge *));
    }
    struct provider_charge *charge = xcalloc(1, sizeof(*charge));
    books->list[books->count++] = charge;
    charge->number = books->count;
    charge->at_ms = now_ms;
    charge->amount = order->amount;
    charge->reference = xstrdup(order->reference);
    charge->reservation = xstrdup(order->reservation);
    charge->provider = xstrdup(order->provider);
    (void)snprintf(charge->currency, sizeof(charge->currency), "%s", order->currency);
    table_add(&books->by_reference, &charge->node, hash_of(books, order->reference));
    *ret_charge = charge;
    return ST_OK;
}

enum status provider_books_return(struct provider_books *books, struct provider_charge *charge,
                                  const char *id, int64_t amount, struct provider_part **ret_part,
                                  bool *ret_new)
{
    struct provider_part *part = charge->parts;
    while (part && strcmp(part->id, id) != 0)
        part = part->next;
    *ret_part = part;
    *ret_new = false;
    if (part)
        return part->amount == amount ? ST_OK : ST_CONFLICT;
    if (charge->returned + amount > charge->amount)
        return ST_CONFLICT;
    if (books->parts == PROVIDER_PARTS_MAX)
        return ST_FULL;
    books->parts++;
    part = xcalloc(1, sizeof(*part));
    part->amount = amount;
    (void)snprintf(part->id, sizeof(part->id), "%s", id);
    part->next = charge->parts;
    charge->parts = *ret_part = part;
    charge->returned += amount;
    charge->refunded = charge->returned == charge->amount;
    *ret_new = true;
    return ST_OK;
}
