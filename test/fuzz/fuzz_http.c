/* SPDX-License-Identifier: MIT */
/* What httpd reads of a stranger: the input is a head and what follows it, read whole and byte by byte, which must
 * come to the same; then chunks; then each value as cookies, as a form and as an escaped text. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_head.h"
#include "net/http_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_cookies(const char *text, size_t len)
{
    static const char *const names[] = {"tiketi_guest", "a", "", "a b"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t value_len = SIZE_MAX;
        const char *value = http_cookie_find(text, names[i], &value_len);
        if (!value)
            continue;
        assert(value > text && value_len <= (size_t)(text + len - value));
        assert(!memchr(value, ';', value_len));
    }
}

static void check_forms(const char *text, size_t len)
{
    static const char *const names[] = {"a", "action", ""};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t value_len = SIZE_MAX;
        const char *value = http_form_find(text, len, names[i], &value_len);
        if (value)
            assert(value > text && value_len <= (size_t)(text + len - value) &&
                   !memchr(value, '&', value_len));
    }
}

static void check_escapes(const char *text, size_t len)
{
    char *out = malloc(len + 1);
    if (out && http_percent_decode(text, len, out)) {
        assert(strlen(out) <= len);
        assert(memchr(text, '%', len) || memcmp(out, text, len) == 0);
    }
    free(out);
}

static void check_value(const char *value, size_t len)
{
    char *text = malloc(len + 1);
    if (!text)
        return;
    memcpy(text, value, len);
    text[len] = '\0';
    check_cookies(text, strlen(text));
    check_forms(text, len);
    if (!memchr(text, '\0', len))
        check_escapes(text, len);
    free(text);
}

/* It lies in what is copied of the head: the whole of it, or what is known of one that is refused. */
static void check_span(struct http_span span, const struct http_head *head)
{
    assert(span.at + span.len <= (head->scanned > head->at ? head->scanned : head->at));
}

static void check_head(const char *text, size_t len)
{
    static struct http_head head, slow;
    unsigned status = 0;
    http_head_init(&head);
    http_head_init(&slow);
    const unsigned whole = http_head_read(&head, text, len);
    for (size_t n = 0; n <= len && status == 0; n++)
        status = http_head_read(&slow, text, n);
    assert(status == whole);
    check_span(head.method, &head);
    check_span(head.target, &head);
    check_span(head.path, &head);
    check_span(head.query, &head);
    check_span(head.authority, &head);
    for (unsigned i = 0; i < head.field_count; i++) {
        check_span(head.fields[i].name, &head);
        check_span(head.fields[i].value, &head);
        assert(http_is_token(text + head.fields[i].name.at, head.fields[i].name.len));
    }
    if (whole != HTTP_HEAD_COMPLETE)
        return;
    /* What passes has one way to be read. */
    assert(head.at >= 4 && head.at <= len && memcmp(text + head.at - 4, "\r\n\r\n", 4) == 0);
    assert(!memchr(text, '\0', head.at));
    assert(!(head.chunked && head.has_length) && (head.http11 || !head.chunked));
    assert(head.hosts <= 1 && (!head.http11 || head.hosts == 1));
    assert(slow.at == head.at && slow.field_count == head.field_count);
}

/* The body that the chunks come to, in `out`; its length and how it ended. */
static enum http_chunks_step dechunk(const char *text, size_t len, size_t step, char *out,
                                     size_t *ret_len)
{
    struct http_chunks chunks = {0};
    size_t at = 0;
    *ret_len = 0;
    for (size_t end = 0; at < len;) {
        end = end + step < len ? end + step : len;
        for (;;) {
            const char *data = NULL;
            size_t n = 0;
            const enum http_chunks_step got = http_chunks_read(&chunks, text, end, &at, &data, &n);
            assert(at <= end);
            if (got == HTTP_CHUNKS_MORE)
                break;
            if (got != HTTP_CHUNKS_DATA)
                return got;
            assert(n > 0 && data >= text && data + n <= text + end);
            memcpy(out + *ret_len, data, n);
            *ret_len += n;
        }
    }
    return HTTP_CHUNKS_MORE;
}

static void check_chunks(const char *text, size_t len)
{
    size_t one_len, other_len;
    char *one = malloc(2 * len + 2), *other = one + len + 1;
    if (!one)
        return;
    const enum http_chunks_step whole = dechunk(text, len, len + 1, one, &one_len);
    const enum http_chunks_step slow = dechunk(text, len, 1, other, &other_len);
    assert(whole == slow && one_len == other_len && memcmp(one, other, one_len) == 0);
    free(one);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *end = text + size;
    check_head(text, size);
    check_chunks(text, size);
    for (const char *at = text; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const size_t len = (size_t)((stop ? stop : end) - at);
        const char *colon = memchr(at, ':', len);
        const char *value = colon ? colon + 1 : at;
        check_value(value, len - (size_t)(value - at));
        at += len + 1;
    }
    return 0;
}
