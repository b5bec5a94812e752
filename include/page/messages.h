/* SPDX-License-Identifier: MIT */
/*
 * messages: the texts of the pages, from web/messages/<language>.json, the files that the browser reads as
 * well. Read-only after messages_load, and shared by all threads.
 */
#ifndef TIKETI_MESSAGES_H
#define TIKETI_MESSAGES_H

#include "base/buf.h"
#include "base/language.h"

#include <stdint.h>

/* Parses the embedded files. Call it once, before threads start. Aborts on a file that is no JSON: the
 * build is broken. */
void messages_load(void);

/* The text as it is in the file, with its {name}s; NULL: there is no such key. Static. */
const char *message(enum language language, const char *key);

/* The value of one {name} of a message. */
struct message_value {
    const char *name;
    const char *text;
};
/* Appends the message with its {name}s replaced. A NULL name ends `values`; NULL: there are none. A {name}
 * without a value is left out; a message that does not exist appends nothing. */
void message_write(struct buf *out, enum language language, const char *key,
                   const struct message_value *values);
/* Appends <key>.one, <key>.other …, whichever the language uses for `n`; {n} is the number. */
void message_count(struct buf *out, enum language language, const char *key, uint64_t n);

#endif
