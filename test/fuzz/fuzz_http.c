/* SPDX-License-Identifier: MIT */
/* The parts of HTTP that httpd reads by itself: lines "name: value" as headers, each value as cookies
 * and as an escaped text. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

static void check_line(struct http_framing *framing, const char *line, size_t len)
{
    char *text = malloc(len + 1);
    if (!text)
        return;
    memcpy(text, line, len);
    text[len] = '\0';
    char *colon = memchr(text, ':', len);
    size_t name_len = colon ? (size_t)(colon - text) : len;
    const char *value = colon ? colon + 1 + strspn(colon + 1, " \t") : text + len;
    size_t value_len = (size_t)(text + len - value);
    http_framing_add(framing, text, name_len, value, value_len);
    check_cookies(value, strlen(value));
    check_forms(value, value_len);
    if (!memchr(value, '\0', value_len))
        check_escapes(value, value_len);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_framing framing = {0};
    const char *at = (const char *)data, *end = at + size;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop ? stop : end) - at);
        check_line(&framing, at, len);
        at += len + 1;
    }
    /* What passes has one way to be read. */
    if (!http_framing_ambiguous(&framing, true))
        assert(framing.encodings + framing.lengths <= 1 && framing.hosts <= 1);
    if (!http_framing_ambiguous(&framing, false))
        assert(framing.encodings == 0);
    return 0;
}
