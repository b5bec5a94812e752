/* SPDX-License-Identifier: MIT */
/*
 * http_text: the small parts of HTTP: tokens, authorities, cookies, forms, percent-encoding. The head as a whole is
 * http_head's.
 * Called by: http_head, http_req, ws_handshake, gateway, api. Pure; fuzzed by test/fuzz/fuzz_http.c.
 */
#include "net/http_text.h"

#include <ctype.h>
#include <string.h>

/* The characters of a token (RFC 9110 5.6.2). A table is fast, and every header name is checked. */
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

/* The characters of a host name; '_' is not allowed in one, but private names have it. */
static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
}

bool http_is_authority(const char *text, size_t len)
{
    size_t at = 0;
    if (len > 255)
        return false;
    if (len > 0 && text[0] == '[') {
        for (at = 1;
             at < len && (isxdigit((unsigned char)text[at]) || text[at] == ':' || text[at] == '.');)
            at++;
        if (at < 3 || at == len || text[at++] != ']')
            return false;
    } else {
        while (at < len && is_host_char(text[at]))
            at++;
        if (at == 0)
            return false;
    }
    if (at == len)
        return true;
    const size_t digits = len - at - 1;
    if (text[at++] != ':' || digits > 5)
        return false;
    unsigned port = 0;
    for (; at < len; at++) {
        if (text[at] < '0' || text[at] > '9')
            return false;
        port = port * 10 + (unsigned)(text[at] - '0');
    }
    return port <= 65535;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* In "a=1; b=2,3" only semicolons separate the pairs; a comma belongs to the value. */
bool http_cookie_next(const char **at, struct http_cookie *ret_cookie)
{
    const char *pair = *at;
    while (pair) {
        while (is_blank(*pair) || *pair == ';')
            pair++;
        if (*pair == '\0')
            break;
        const char *end = strchrnul(pair, ';');
        const char *equals = memchr(pair, '=', (size_t)(end - pair));
        if (!equals) {
            pair = end;
            continue;
        }
        const char *value = equals + 1;
        size_t len = (size_t)(end - value);
        while (len && is_blank(value[len - 1]))
            len--;
        if (len >= 2 && value[0] == '"' && value[len - 1] == '"') {
            value++;
            len -= 2;
        }
        *ret_cookie = (struct http_cookie){
            .name = pair, .name_len = (size_t)(equals - pair), .value = value, .len = len};
        *at = end;
        return true;
    }
    *at = pair;
    return false;
}

const char *http_cookie_find(const char *header, const char *name, size_t *ret_len)
{
    const size_t name_len = strlen(name);
    struct http_cookie cookie;
    while (http_cookie_next(&header, &cookie)) {
        if (cookie.name_len == name_len && memcmp(cookie.name, name, name_len) == 0) {
            *ret_len = cookie.len;
            return cookie.value;
        }
    }
    return NULL;
}

/* The form of the text: "a=1&b=2". */
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

bool http_canonical_path(const char *path, char *out)
{
    size_t len = 0;
    for (const char *at = path; *at != '\0'; at++) {
        const int high = *at == '%' ? hex_digit(at[1]) : -1;
        const int low = high >= 0 ? hex_digit(at[2]) : -1;
        const char plain = (char)(low >= 0 ? high << 4 | low : 0);
        if (is_host_char(plain) || plain == '~') {
            out[len++] = plain;
            at += 2;
        } else {
            out[len++] = *at;
        }
    }
    while (len > 1 && out[len - 1] == '/')
        len--;
    out[len] = '\0';
    return strcmp(path, out) != 0;
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
