/* SPDX-License-Identifier: MIT */
/*
 * http_text: the parts of HTTP that we parse ourselves: framing, cookies, forms, percent-encoding.
 *
 * Why this way: libmicrohttpd takes the first of several Content-Length headers, silently prefers
 * Transfer-Encoding to it, reads an unknown encoding as "until the connection ends" and accepts a space in
 * a header name. A proxy in front may decide otherwise; then one request can be smuggled inside another.
 * So every header is visited, and whatever is ambiguous is refused. Its cookie parser also splits at
 * commas.
 * Called by: http_req and httpd. Pure; fuzzed by test/fuzz/fuzz_http.c.
 */
#include "net/http_text.h"

#include <string.h>
#include <strings.h>

/* RFC 9110 5.6.2: the characters of a token. A table, since every header name is checked. */
static const bool token_chars[256] = {
    ['!'] = true,         ['#' ... '\''] = true, ['*' ... '+'] = true,
    ['-' ... '.'] = true, ['0' ... '9'] = true,  ['A' ... 'Z'] = true,
    ['^' ... 'z'] = true, ['|'] = true,          ['~'] = true};

bool http_is_token(const char *text, size_t len)
{
    bool all = len > 0;
    for (size_t i = 0; i < len; i++)
        all &= token_chars[(unsigned char)text[i]];
    return all;
}

/* Digits only: no sign, no space, no list. */
static bool parse_length(const char *text, size_t len, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (len == 0 || len > 18)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *ret_value = value;
    return true;
}

#define IS_NAME(name, len, literal)                                                                \
    ((len) == sizeof(literal) - 1 && strncasecmp(name, literal, sizeof(literal) - 1) == 0)

void http_framing_add(struct http_framing *framing, const char *name, size_t name_len,
                      const char *value, size_t value_len)
{
    if (!http_is_token(name, name_len) || (value_len && memchr(value, '\0', value_len)))
        framing->malformed = true;
    if (IS_NAME(name, name_len, "host")) {
        framing->hosts++;
    } else if (IS_NAME(name, name_len, "content-length")) {
        framing->lengths++;
        if (!parse_length(value, value_len, &framing->length))
            framing->malformed = true;
    } else if (IS_NAME(name, name_len, "transfer-encoding")) {
        framing->encodings++;
        framing->chunked = IS_NAME(value, value_len, "chunked");
    } else if (IS_NAME(name, name_len, "expect")) {
        framing->expects = true;
    }
}

bool http_framing_ambiguous(const struct http_framing *framing, bool http11)
{
    if (framing->malformed || framing->hosts > 1 || framing->lengths > 1)
        return true;
    if (framing->encodings == 0)
        return false;
    return framing->encodings > 1 || framing->lengths || !framing->chunked || !http11;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* "a=1; b=2": only semicolons separate the pairs; a comma belongs to the value. */
const char *http_cookie_find(const char *header, const char *name, size_t *ret_len)
{
    size_t name_len = strlen(name);
    const char *pair = header;
    for (;;) {
        while (is_blank(*pair) || *pair == ';')
            pair++;
        if (*pair == '\0')
            return NULL;
        size_t len = (size_t)(strchrnul(pair, ';') - pair);
        if (len > name_len && pair[name_len] == '=' && memcmp(pair, name, name_len) == 0) {
            const char *value = pair + name_len + 1;
            len -= name_len + 1;
            while (len && is_blank(value[len - 1]))
                len--;
            if (len >= 2 && value[0] == '"' && value[len - 1] == '"') {
                value++;
                len -= 2;
            }
            *ret_len = len;
            return value;
        }
        pair += len;
    }
}

/* "a=1&b=2" */
const char *http_form_find(const char *form, size_t len, const char *name, size_t *ret_len)
{
    const size_t name_len = strlen(name);
    const char *end = form + len;
    while (form < end) {
        const char *stop = memchr(form, '&', (size_t)(end - form));
        const size_t pair_len = (size_t)((stop ? stop : end) - form);
        if (pair_len > name_len && form[name_len] == '=' && memcmp(form, name, name_len) == 0) {
            *ret_len = pair_len - name_len - 1;
            return form + name_len + 1;
        }
        form += pair_len + 1;
    }
    return NULL;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_percent_decode(const char *text, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '%') {
            if (len - i < 3)
                return false;
            int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
            if (high < 0 || low < 0 || (high | low) == 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        *out++ = c;
    }
    *out = '\0';
    return true;
}
