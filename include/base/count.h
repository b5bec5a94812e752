/* SPDX-License-Identifier: MIT */
/* count: whole numbers for people at a terminal. (Pages write them in the reader's language: locale.h.) */
#ifndef TIKETI_COUNT_H
#define TIKETI_COUNT_H

#include <stdint.h>

#define COUNT_SIZE 32

/* Writes 1234567 as "1,234,567" into out[COUNT_SIZE]. Returns out. */
const char *count_write(int64_t count, char *out);

#endif
