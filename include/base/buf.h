/* SPDX-License-Identifier: MIT */
/*
 * buf: a growing byte buffer whose maximum is fixed at init. Overflow is sticky: after the first
 * write that does not fit, `failed` is set, the content is unchanged by further writes, and the
 * caller checks once at the end. The content is always NUL-terminated (the NUL is not counted).
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

void buf_init(struct buf *buf, size_t max);
void buf_clear(struct buf *buf); /* frees; the buffer may be used again */
void buf_reset(struct buf *buf); /* len = 0, failed = false; keeps the memory */

/* The content as a C string, "" when empty. Borrowed until the next write. */
const char *buf_str(const struct buf *buf);

void buf_add_slowly(struct buf *buf, const void *data, size_t len); /* where it has to grow */

/* Here, so that what is written of an answer piece by piece becomes plain stores: a literal's length
 * is known to the compiler. */
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
/* With thousands separators, 1,234,567: the languages of the pages all write it so. */
void buf_add_grouped(struct buf *buf, uint64_t value);
/* `len` more bytes for the caller to fill at once, all of them; NULL when they do not fit. */
char *buf_extend(struct buf *buf, size_t len);
/* Cuts the content back to `len` bytes. `failed` stays as it is. */
void buf_truncate(struct buf *buf, size_t len);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* JSON writers without a DOM, for the hot paths: a quoted, escaped string; bytes that are not
 * valid UTF-8 become U+FFFD. */
void buf_add_json_str(struct buf *buf, const char *text, size_t len);

/* ST_OK, or ST_TOO_LARGE when a write did not fit. */
MUST_CHECK enum status buf_status(const struct buf *buf);

#endif
