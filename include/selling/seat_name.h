/* SPDX-License-Identifier: MIT */
/* seat_name: the names of sections and rows, and the currency of a hall, as staff send them. Names identify seats, so they
 * are stored and compared in one form, TEXT_NAME of base/text.h. Pure. */
#ifndef TIKETI_SEAT_NAME_H
#define TIKETI_SEAT_NAME_H

#include "base/json.h"
#include "base/status.h"

#include <stdbool.h>

#define SEAT_NAME_MAX 64 /* characters */
#define SEAT_NAME_RULE                                                                             \
    " must be a text of 1 to 64 characters, without control characters and such as turn the "      \
    "direction of text."

/* Cleans the names in the body of POST /seats. *ret_changed: one of them was written in another form. Refuses a currency
 * that is none. Members that are absent or of another type are left to the SQL function, which refuses them. ST_INVALID
 * with *error. */
MUST_CHECK enum status seat_names_clean(struct json *body, bool *ret_changed,
                                        struct json_error *error);

/* Is `code` a currency in use? ST_INVALID with *error, which names `field`. */
MUST_CHECK enum status seat_currency_check(const char *code, const char *field,
                                           struct json_error *error);

#endif
