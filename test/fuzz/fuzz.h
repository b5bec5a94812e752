/* SPDX-License-Identifier: MIT */
/* What the fuzz targets share: the entry point, a check that ends the process, and a copy of the input as a string. */
#ifndef TIKETI_FUZZ_H
#define TIKETI_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void check(bool holds)
{
    if (!holds)
        abort();
}

/* Returns new: the bytes and a NUL. Ends at the first NUL for a reader of strings. Freed with free(). */
static inline char *text_new(const void *data, size_t size)
{
    char *text = malloc(size + 1);
    check(text);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

/* Cuts the next line off the input; false at its end. A line's text is not NUL-terminated. */
static inline bool next_line(const uint8_t **data, size_t *size, const char **ret_line,
                             size_t *ret_len)
{
    if (*size == 0)
        return false;
    const uint8_t *newline = memchr(*data, '\n', *size);
    const size_t len = newline ? (size_t)(newline - *data) : *size;
    *ret_line = (const char *)*data;
    *ret_len = len;
    *data += len + (newline ? 1 : 0);
    *size -= len + (newline ? 1 : 0);
    return true;
}

#endif
