/* SPDX-License-Identifier: MIT */
/* money: an amount as people write it. Pure. */
#ifndef TIKETI_MONEY_H
#define TIKETI_MONEY_H

#include "base/buf.h"

#include <stdint.h>

/* The most that is ever to pay at once: a hundred seats of the highest price. */
#define MONEY_AMOUNT_MAX INT64_C(100000000000000)

/* Appends "50.00 EUR", "9,900 KRW": minor units, with the decimals that the currency has (ISO 4217). */
void money_write(struct buf *out, int64_t amount, const char *currency);

#endif
