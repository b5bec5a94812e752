/* SPDX-License-Identifier: MIT */
/*
 * memory: allocators that never return NULL: when memory is out they log it and abort the process, since
 * nothing could be done without the object. For small objects of a fixed size and for arrays that the program itself
 * bounds. What an input sizes goes into a buf, which has a maximum.
 */
#ifndef TIKETI_MEMORY_H
#define TIKETI_MEMORY_H

#include <stddef.h>

/* All return new memory; release it with free(). */
void *xcalloc(size_t count, size_t size); /* zeroed; a size of 0 counts as 1 */
void *xrealloc(void *memory, size_t size);
char *xstrdup(const char *text);

#endif
