/* SPDX-License-Identifier: MIT */
/*
 * buf: a growing byte buffer with a fixed maximum. Failure is sticky: a write that does not fit sets `failed`, and from
 * then on no write changes the content, so that the caller checks once, at the end. The content always ends
 * with a NUL that `len` does not count.
 */
#ifndef TIKETI_BUF_H
#define TIKETI_BUF_H

#include "base/status.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
    char *data; /* NULL until the first write */
    size_t len;
    size_t cap;
    size_t max;
    bool failed;
};

void buf_init(struct buf *buf, size_t max); /* at most `max` bytes of content; allocates nothing */
void buf_clear(struct buf *buf);            /* frees the memory; the buffer may be used again */
void buf_reset(struct buf *buf);            /* empties it and keeps the memory */

/* The content as a C string; "" when there is none. Borrowed until the next write. */
const char *buf_str(const struct buf *buf);

/* Only buf_add calls this: when the buffer must grow, or the data does not fit. */
void buf_add_slowly(struct buf *buf, const void *data, size_t len);

/* Inline, so that writing a literal compiles to plain stores: the compiler knows its length. */
static inline void buf_add(struct buf *buf, const void *data, size_t len)
{
    if (buf->failed || len >= buf->cap - buf->len || len == 0) {
        buf_add_slowly(buf, data, len);
        return;
    }
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

static inline void buf_add_str(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

static inline void buf_add_char(struct buf *buf, char c)
{
    buf_add(buf, &c, 1);
}

void buf_add_uint(struct buf *buf, uint64_t value);
void buf_add_int(struct buf *buf, int64_t value);
/* Adds `len` bytes of undefined content and returns them; the caller fills them before the next call on this
 * buffer. Returns NULL and sets `failed` if they do not fit. */
char *buf_extend(struct buf *buf, size_t len);
/* Cuts the content to `len` bytes if it is longer. `failed` stays as it is. */
void buf_truncate(struct buf *buf, size_t len);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds a JSON string: quoted and escaped, with U+FFFD for bytes that are not valid UTF-8. For hot paths, which
 * write JSON directly instead of building a tree of values (json.h). */
void buf_add_json_str(struct buf *buf, const char *text, size_t len);

/* Adds a value of a query or a form, percent-encoded. */
void buf_add_query(struct buf *buf, const char *value);

/* Adds JSON text without the whitespace between its tokens. `text` must be valid JSON; nothing is checked. It
 * is meant for what PostgreSQL returns. */
void buf_add_json_compact(struct buf *buf, const char *text, size_t len);

/* ST_OK, or ST_TOO_LARGE if a write did not fit. */
MUST_CHECK enum status buf_status(const struct buf *buf);

#endif
