/* SPDX-License-Identifier: MIT */
/* provider_books: the money the payment provider has taken and given back. Pure. */
#ifndef TIKETI_PROVIDER_BOOKS_H
#define TIKETI_PROVIDER_BOOKS_H

#include "base/status.h"
#include "base/table.h"
#include "client/agenda.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dial;
struct provider_calls;

#define PROVIDER_CHARGES_MAX 200000

/* A call to the webhook that is to be made; provider_calls' own. */
struct provider_call {
    struct agenda_item due;
    struct provider_calls *calls;
    struct provider_charge *charge;
    struct provider_call *next; /* in the queue */
    struct dial *conn;
    uint16_t attempts;
    uint8_t state;
    bool refund;      /* it says "refunded", else "paid" */
    bool once;        /* a repetition: not made again when it fails */
    bool answer_lost; /* of the attempt under way */
};
enum { PROVIDER_PAID, PROVIDER_AGAIN, PROVIDER_REFUNDED, PROVIDER_CALLS };

/* What the buyer ordered; texts are borrowed. */
struct provider_order {
    const char *reference, *reservation, *provider, *currency, *expires, *signature;
    int64_t amount;
};

struct provider_charge {
    struct table_node node;
    uint32_t number; /* in the order they were made, from 1 */
    int64_t at_ms;
    int64_t amount;
    char *reference, *reservation, *provider;
    char currency[4];
    bool refunded;
    char outcome[16]; /* what the service last said has become of it; "": nothing yet */
    struct provider_call calls[PROVIDER_CALLS];
};

struct provider_books;

struct provider_books *provider_books_new(void);
void provider_books_free(struct provider_books *books); /* NULL is fine */
uint32_t provider_books_count(const struct provider_books *books);
/* NULL where there is none; by number from 1. */
struct provider_charge *provider_books_at(const struct provider_books *books, uint32_t number);
struct provider_charge *provider_books_find(const struct provider_books *books,
                                            const char *reference);
/* Takes the money, once per reference. ST_OK: a new charge; ST_CONFLICT: this reference was charged
 * before (*ret_charge); ST_FULL: the books are. */
MUST_CHECK enum status provider_books_take(struct provider_books *books,
                                           const struct provider_order *order, int64_t now_ms,
                                           struct provider_charge **ret_charge);

#endif
