/* SPDX-License-Identifier: MIT */
/*
 * messages: the words of the pages, from web/messages/<language>.json: the same files the browser
 * reads. Read-only after messages_load, shared by all threads.
 */
#ifndef TIKETI_MESSAGES_H
#define TIKETI_MESSAGES_H

#include "base/buf.h"
#include "page/language.h"

#include <stdint.h>

/* Once, before threads start. A file that cannot be read is a mistake of the build: it aborts. */
void messages_load(void);

/* NULL where there is none. Static. */
const char *message(enum language language, const char *key);

/* A value for a {name} of a message. */
struct message_value {
    const char *name;
    const char *text;
};
/* Appends the message with its {name}s replaced; `values` ends with a NULL name. A message that is
 * not there appends nothing. */
void message_write(struct buf *out, enum language language, const char *key,
                   const struct message_value *values);
/* The same for key.one or key.other, as the language counts `n`; {n} is the number. */
void message_count(struct buf *out, enum language language, const char *key, uint64_t n);
/* Appends 1,234,567: all our languages write it so. */
void message_number(struct buf *out, uint64_t n);

#endif
