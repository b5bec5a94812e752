/* SPDX-License-Identifier: MIT */
/*
 * memory: allocators that never return NULL: when no memory is left they log it and abort the process, because the
 * caller could not continue without the object. For small objects of a fixed size, and for arrays whose size the
 * program bounds. Data whose size an input determines goes into a buf, which has a maximum.
 */
#ifndef TIKETI_MEMORY_H
#define TIKETI_MEMORY_H

#include <stddef.h>

/* All return new memory; release it with free(). */
void *xcalloc(size_t count, size_t size); /* zeroed; a size of 0 counts as 1 */
void *xrealloc(void *memory, size_t size);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t max); /* at most `max` bytes of the text */

void secret_free(char *text); /* overwrites the text, then frees it; NULL is fine */

#endif
