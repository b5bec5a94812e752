/* SPDX-License-Identifier: MIT */
/*
 * prefetch: asks the CPU to load memory into its cache before it is needed. With thousands of connections the
 * memory of one is no longer in the cache when it is used again, and loading each line takes a tenth of a
 * microsecond. This is only a hint: nothing is read, so any address is allowed.
 */
#ifndef TIKETI_PREFETCH_H
#define TIKETI_PREFETCH_H

#include <stddef.h>

#define PREFETCH_LINE 64

static inline void prefetch(const void *start, size_t len)
{
    for (size_t at = 0; at < len; at += PREFETCH_LINE)
        __builtin_prefetch((const char *)start + at, 1); /* 1: it will be written */
}

#endif
