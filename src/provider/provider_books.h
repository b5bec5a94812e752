/* SPDX-License-Identifier: MIT */
/* provider_books: the money that the payment provider has taken and given back. */
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

/* A call to the webhook; its fields belong to provider_calls. A charge has space for all its calls, so that none is
 * ever allocated. */
struct provider_call {
    struct agenda_item due;
    struct provider_calls *calls;
    struct provider_charge *charge;
    struct provider_call *next; /* in the queue */
    struct dial *conn;
    uint16_t attempts;
    uint8_t state;
    const struct provider_part *part; /* reports this part as returned; NULL: the whole */
    bool refund;                      /* reports "refunded", else "paid" */
    bool once;                        /* a duplicate: not made again when it fails */
    bool answer_lost;                 /* the answer of the current attempt is to be ignored */
};
enum { PROVIDER_PAID, PROVIDER_DUPLICATE, PROVIDER_REFUNDED, PROVIDER_CALLS };

#define PROVIDER_PARTS_MAX PROVIDER_CHARGES_MAX /* of all charges together */

/* A part of a charge that was given back. */
struct provider_part {
    struct provider_part *next;
    int64_t amount;
    char id[65];
    struct provider_call call;
};

/* The order that a buyer brings; all texts are borrowed. */
struct provider_order {
    const char *reference, *reservation, *provider, *currency, *expires, *signature;
    int64_t amount;
};

struct provider_charge {
    struct table_node node;
    uint32_t number; /* 1 for the first charge, and so on */
    int64_t at_ms;
    int64_t amount;
    char *reference, *reservation, *provider;
    char currency[4];
    bool refunded;               /* all of it was given back */
    int64_t returned;            /* how much was */
    struct provider_part *parts; /* the last one first */
    char outcome[16]; /* the payment's state in the service's last answer; "": none yet */
    struct provider_call calls[PROVIDER_CALLS];
};

struct provider_books;

struct provider_books *provider_books_new(void);
void provider_books_free(struct provider_books *books); /* NULL is fine */
uint32_t provider_books_count(const struct provider_books *books);
/* By number, from 1, or by reference; NULL if there is none. Borrowed: entries never move. */
struct provider_charge *provider_books_at(const struct provider_books *books, uint32_t number);
struct provider_charge *provider_books_find(const struct provider_books *books,
                                            const char *reference);
/* Takes the money, once per reference; copies the order. ST_OK: *ret_charge is new; ST_CONFLICT: *ret_charge is the
 * earlier charge of this reference; ST_FULL: PROVIDER_CHARGES_MAX charges. */
MUST_CHECK enum status provider_books_take(struct provider_books *books,
                                           const struct provider_order *order, int64_t now_ms,
                                           struct provider_charge **ret_charge);
/* Gives a part back, under an id that the caller chooses. ST_OK: *ret_part is new, or (*ret_new false) known with this
 * amount; ST_CONFLICT: more than is left, or this id has another amount; ST_FULL. */
MUST_CHECK enum status provider_books_return(struct provider_books *books,
                                             struct provider_charge *charge, const char *id,
                                             int64_t amount, struct provider_part **ret_part,
                                             bool *ret_new);

#endif
