/* SPDX-License-Identifier: MIT */
/* ctl_print: answers of the service as text for people. */
#ifndef TIKETI_CTL_PRINT_H
#define TIKETI_CTL_PRINT_H

#include "base/json.h"

#include <stddef.h>
#include <stdint.h>

#define CTL_CELL_SIZE 256

/* A table of texts with as many columns as `heads` has. Columns are as wide as their widest cell on a terminal, numbers
 * (a head that begins with '>') are at the right. */
struct ctl_table;
/* Returns new; borrows the heads. */
struct ctl_table *ctl_table_new(const char *const *heads, size_t columns);
/* Appends a row; copies the cells, and shows control characters as '?'. NULL: an empty cell. */
void ctl_table_add(struct ctl_table *table, const char *const *cells);
/* Prints it to stdout and frees it. */
void ctl_table_print(struct ctl_table *table);
void ctl_table_free(struct ctl_table *table); /* without printing it */

/* "€50.00" into out[CTL_CELL_SIZE]: minor units of the currency. `currency` NULL: the number alone. Returns out. */
const char *ctl_money(int64_t amount, const char *currency, char *out);

/* Prints the members of an object, a line each; objects inside as "outer.inner", lists as JSON, null members not at
 * all. */
void ctl_print_members(const struct json *object);
/* Prints JSON as the service has sent it, with a line end. */
void ctl_print_json(const struct json *value);
/* A scalar, or compact JSON, into out[CTL_CELL_SIZE]; "" for null or nothing. Returns out. */
const char *ctl_text(const struct json *value, char *out);

#endif
