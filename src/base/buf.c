/* SPDX-License-Identifier: MIT */
/*
 * buf: a growing byte buffer with a fixed maximum.
 *
 * Failure is sticky, so that a writer of many small pieces checks once, at the end. Called by: all folders.
 * Owns: the memory of each buffer.
 */
#include "base/buf.h"

#include "base/memory.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 128

void buf_init(struct buf *buf, size_t max)
{
    *buf = (struct buf){.max = max};
}

void buf_clear(struct buf *buf)
{
    free(buf->data);
    buf_init(buf, buf->max);
}

void buf_reset(struct buf *buf)
{
    buf->len = 0;
    buf->failed = false;
    if (buf->data)
        buf->data[0] = '\0';
}

const char *buf_str(const struct buf *buf)
{
    return buf->data ? buf->data : "";
}

/* Makes space for `extra` more bytes and the NUL. When they do not fit, sets `failed` and returns false. */
static bool reserve(struct buf *buf, size_t extra)
{
    if (buf->failed || extra > buf->max - buf->len) {
        buf->failed = true;
        return false;
    }
    const size_t need = buf->len + extra + 1;
    if (need <= buf->cap)
        return true;
    size_t cap = buf->cap > 0 ? buf->cap : FIRST_CAP;
    while (cap < need)
        cap *= 2;
    if (cap > buf->max + 1)
        cap = buf->max + 1;
    buf->data = xrealloc(buf->data, cap);
    buf->cap = cap;
    return true;
}

char *buf_extend(struct buf *buf, size_t len)
{
    if (!reserve(buf, len))
        return NULL;
    char *added = buf->data + buf->len;
    buf->len += len;
    buf->data[buf->len] = '\0';
    return added;
}

void buf_truncate(struct buf *buf, size_t len)
{
    if (len >= buf->len)
        return;
    buf->len = len;
    buf->data[len] = '\0';
}

void buf_add_slowly(struct buf *buf, const void *data, size_t len)
{
    char *added = buf_extend(buf, len);
    if (added && len > 0)
        memcpy(added, data, len);
}

void buf_add_uint(struct buf *buf, uint64_t value)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    char digits[20];
    size_t at = sizeof(digits);
    for (; value >= 100; value /= 100) {
        at -= 2;
        memcpy(digits + at, pairs + 2 * (value % 100), 2);
    }
    if (value >= 10) {
        at -= 2;
        memcpy(digits + at, pairs + 2 * value, 2);
    } else {
        digits[--at] = (char)('0' + value);
    }
    buf_add(buf, digits + at, sizeof(digits) - at);
}

void buf_add_int(struct buf *buf, int64_t value)
{
    if (value < 0)
        buf_add_char(buf, '-');
    buf_add_uint(buf, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *end = buf->data ? buf->data + buf->len : NULL;
    const size_t left = buf->data ? buf->cap - buf->len : 0;
    const int need = vsnprintf(end, left, format, args);
    va_end(args);
    if (need >= 0 && (size_t)need < left && !buf->failed) {
        buf->len += (size_t)need;
        return;
    }
    if (buf->data)
        buf->data[buf->len] = '\0'; /* undo the partial write */
    if (need < 0 || !reserve(buf, (size_t)need)) {
        buf->failed = true;
        return;
    }
    va_start(args, format);
    (void)vsnprintf(buf->data + buf->len, buf->cap - buf->len, format, args);
    va_end(args);
    buf->len += (size_t)need;
}

static void add_escape(struct buf *buf, unsigned char c)
{
    static const char short_form[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"'};
    if (c == '\\' || (c < sizeof(short_form) && short_form[c] != 0)) {
        buf_add_char(buf, '\\');
        buf_add(buf, c == '\\' ? "\\" : &short_form[c], 1);
        return;
    }
    buf_printf(buf, "\\u%04x", c);
}

/* Bytes that need no escape in a JSON string: printable ASCII except the quote and the backslash. */
static const bool json_plain[256] = {
    [' ' ... '!'] = true, ['#' ... '['] = true, [']' ... '~'] = true};

void buf_add_json_str(struct buf *buf, const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t plain = 0; /* start of the bytes that are not written yet */
    size_t i = 0;
    buf_add_char(buf, '"');
    while (i < len) {
        const unsigned char c = s[i];
        if (json_plain[c]) {
            i++;
            continue;
        }
        const size_t sequence = c >= 0x80 ? utf8_len(text + i, len - i) : 0;
        if (sequence > 0) {
            i += sequence;
            continue;
        }
        buf_add(buf, s + plain, i - plain);
        if (c >= 0x80)
            buf_add_str(buf, "\xef\xbf\xbd");
        else
            add_escape(buf, c);
        plain = ++i;
    }
    buf_add(buf, s + plain, i - plain);
    buf_add_char(buf, '"');
}

void buf_add_json_compact(struct buf *buf, const char *text, size_t len)
{
    const size_t before = buf->len;
    char *out = buf_extend(buf, len);
    size_t n = 0;
    bool quoted = false;
    if (!out)
        return;
    for (size_t i = 0; i < len; i++) {
        const char c = text[i];
        if (!quoted && (c == ' ' || c == '\n' || c == '\t' || c == '\r'))
            continue;
        out[n++] = c;
        if (c == '"')
            quoted = !quoted;
        else if (c == '\\' && i + 1 < len) /* inside a string: the next byte ends nothing */
            out[n++] = text[++i];
    }
    buf_truncate(buf, before + n);
}

enum status buf_status(const struct buf *buf)
{
    return buf->failed ? ST_TOO_LARGE : ST_OK;
}

void buf_add_query(struct buf *buf, const char *value)
{
    for (; *value; value++) {
        const bool plain = strchr("-._~", *value) || (*value >= '0' && *value <= '9') ||
                           (*value >= 'A' && *value <= 'Z') || (*value >= 'a' && *value <= 'z');
        if (plain)
            buf_add_char(buf, *value);
        else
            buf_printf(buf, "%%%02X", (unsigned char)*value);
    }
}
