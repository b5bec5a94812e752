/* SPDX-License-Identifier: MIT */
/* money: an amount as text, for pages that work without JavaScript. Pure. */
#ifndef TIKETI_MONEY_H
#define TIKETI_MONEY_H

#include "base/buf.h"

#include <stdint.h>

/* The largest amount of one payment, in minor units: a hundred seats of the highest price. */
#define MONEY_AMOUNT_MAX INT64_C(100000000000000)

/* Appends "50.00 EUR" or "9,900 KRW". `amount` is in minor units; `currency` is an ISO 4217 code, which
 * decides the number of decimals. */
void money_write(struct buf *out, int64_t amount, const char *currency);

#endif
