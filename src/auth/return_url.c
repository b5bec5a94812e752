/* SPDX-License-Identifier: MIT */
/*
 * return_url: where a buyer goes after their admission.
 *
 * Why this way: a URL of a stranger's making ends up in a Location header and in a link, and behind them stand a browser,
 * proxies and a shop that may each read it in their own way. So what two of them read differently is refused: "//" at the
 * start (another host), a backslash (browsers take it for a slash), control characters (browsers drop some of them), dot
 * segments in every disguise ("..", "%2e%2e", "%252e", "..;x", "..%2f"), because a prefix of a path would mean nothing with
 * them. A browser that follows a link sends none of these. All else stays byte for byte: a deep link stays one.
 * Called by: event_body (the setting), api_return, the gateway, handoff. Owns nothing. Pure.
 */
#include "auth/return_url.h"

#include "net/http_text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DECODE_ROUNDS 3 /* "%25252e" is a dot for somebody */

const char *return_verdict_reason(enum return_verdict verdict)
{
    static const char *const reasons[] = {
        [RETURN_OK] = NULL,
        [RETURN_TOO_LONG] = "return-too-long",
        [RETURN_NOT_A_URL] = "return-not-a-url",
        [RETURN_SCHEME] = "return-scheme",
        [RETURN_HOST] = "return-host",
        [RETURN_AMBIGUOUS] = "return-ambiguous",
        [RETURN_NOT_ALLOWED] = "return-not-allowed",
    };
    return reasons[verdict];
}

const char *return_verdict_detail(enum return_verdict verdict)
{
    static const char *const details[] = {
        [RETURN_OK] = NULL,
        [RETURN_TOO_LONG] = "return may have 1500 bytes.",
        [RETURN_NOT_A_URL] = "return must be a path such as /shop/x?y=1, or an absolute URL, "
                             "percent-encoded as a value of a query.",
        [RETURN_SCHEME] = "return must be an http or https URL.",
        [RETURN_HOST] = "return must have a plain host: no user, no characters beyond ASCII.",
        [RETURN_AMBIGUOUS] =
            "return must not have // at its start, backslashes, control characters, or "
            "dot segments such as /../ or %2e%2e.",
        [RETURN_NOT_ALLOWED] = "return leads to an address that the event does not allow: its "
                               "setting returnUrls must name it.",
    };
    return details[verdict];
}

/* ---- characters ---- */

static bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The byte of an escape "%41" at `text`; -1: there is none. */
static int escape_at(const char *text, const char *end)
{
    if (end - text < 3 || text[0] != '%' || hex_digit(text[1]) < 0 || hex_digit(text[2]) < 0)
        return -1;
    return hex_digit(text[1]) * 16 + hex_digit(text[2]);
}

/* A byte that URLs have only escaped; browsers escape it too. */
static bool needs_escape(unsigned char c)
{
    return c <= ' ' || c > 126 || strchr("\"<>\\^`{|}", c);
}

/* Copies a text, escaped. Returns where it ends; NULL: it does not fit. */
static char *copy_escaped(char *out, const char *last, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)text[i];
        const size_t need = needs_escape(c) ? 3 : 1;
        if ((size_t)(last - out) < need)
            return NULL;
        if (need == 3)
            (void)snprintf(out, 4, "%%%02X", c);
        else
            *out = (char)c;
        out += need;
    }
    *out = '\0';
    return out;
}

/* ---- paths ---- */

/* Is a segment "." or ".." (also with parameters behind a ';', which some servers cut off)? */
static bool is_dot_segment(const char *text, size_t len)
{
    const size_t dots = strspn(text, ".") < len ? strspn(text, ".") : len;
    return (dots == 1 || dots == 2) && (dots == len || text[dots] == ';');
}

static bool has_dot_segment(const char *path)
{
    while (*path) {
        const size_t len = strcspn(path, "/\\");
        if (is_dot_segment(path, len))
            return true;
        path += len;
        path += *path != '\0';
    }
    return false;
}

/* Decodes the escapes once, in place; bad ones stay. False: there was none. */
static bool decode_once(char *text)
{
    const char *in = text, *const end = text + strlen(text);
    bool any = false;
    while (in < end) {
        const int byte = escape_at(in, end);
        *text = *in;
        if (byte == 0) /* it would hide the rest; so it is refused as a control character */
            *text = '\x01';
        else if (byte > 0)
            *text = (char)byte;
        text++;
        in += byte < 0 ? 1 : 3;
        any |= byte >= 0;
    }
    *text = '\0';
    return any;
}

/* May the path be read in more than one way? */
static bool is_ambiguous_path(const char *path, size_t len)
{
    char text[RETURN_URL_MAX + 1];
    (void)snprintf(text, sizeof(text), "%.*s", (int)len, path);
    for (int round = 0; round <= DECODE_ROUNDS; round++) {
        for (const char *c = text; *c; c++) {
            if (is_control((unsigned char)*c))
                return true;
        }
        if (has_dot_segment(text))
            return true;
        if (!decode_once(text))
            return false;
    }
    return true; /* nobody escapes so often */
}

/* ---- origins ---- */

/* Writes scheme and authority of an absolute URL in their normal form. Returns the length of what was read; 0: *ret_verdict
 * says why not. */
static size_t read_origin(const char *text, char *out, size_t size,
                          enum return_verdict *ret_verdict)
{
    const bool secure = strncasecmp(text, "https://", 8) == 0;
    const size_t scheme = secure ? 8 : 7;
    *ret_verdict = RETURN_HOST;
    if (!secure && strncasecmp(text, "http://", 7) != 0) {
        *ret_verdict = RETURN_SCHEME;
        return 0;
    }
    const size_t len = strcspn(text + scheme, "/?#\\");
    const char *host = text + scheme;
    if (len == 0 || !http_is_authority(host, len))
        return 0;
    const char *bracket = memchr(host, ']', len);
    const char *colon =
        memchr(bracket ? bracket : host, ':', len - (bracket ? (size_t)(bracket - host) : 0));
    const size_t host_len = colon ? (size_t)(colon - host) : len;
    const long port = colon ? strtol(colon + 1, NULL, 10) : 0;
    if (colon && colon + 1 < host + len && port == 0)
        return 0;
    const bool is_default = port == 0 || port == (secure ? 443 : 80);
    const int written = is_default ? snprintf(out, size, "%s://%.*s", secure ? "https" : "http",
                                              (int)host_len, host)
                                   : snprintf(out, size, "%s://%.*s:%ld", secure ? "https" : "http",
                                              (int)host_len, host, port);
    if (written < 0 || (size_t)written >= size)
        return 0;
    for (char *c = out; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return scheme + len;
}

/* ---- a return ---- */

/* Does it begin as "javascript:" does? */
static bool has_scheme(const char *text)
{
    size_t len = 0;
    while (isalnum((unsigned char)text[len]) || (len > 0 && strchr("+-.", text[len]) && text[len]))
        len++;
    return len > 0 && isalpha((unsigned char)text[0]) && text[len] == ':';
}

static bool has_forbidden(const char *text)
{
    for (const char *c = text; *c; c++) {
        if (is_control((unsigned char)*c))
            return true;
    }
    return strcspn(text, "\\") < strcspn(text, "?#"); /* in a query it is only escaped */
}

/* Writes what follows the origin, "/path?query#fragment", to `out`. */
static enum return_verdict read_rest(const char *rest, char *out, const char *last)
{
    const size_t path = strcspn(rest, "?#");
    if (path == 0 && out < last) /* "https://host?x" is "https://host/?x" */
        *out++ = '/';
    if (is_ambiguous_path(rest, path))
        return RETURN_AMBIGUOUS;
    return copy_escaped(out, last, rest, strlen(rest)) ? RETURN_OK : RETURN_TOO_LONG;
}

static bool is_own(const char *origin, const char *own)
{
    char text[RETURN_ORIGIN_MAX + 1];
    enum return_verdict verdict;
    return own && read_origin(own, text, sizeof(text), &verdict) > 0 && strcmp(text, origin) == 0;
}

enum return_verdict return_url_parse(const char *text, const char *own, struct return_url *ret)
{
    char *const last = ret->text + RETURN_URL_MAX;
    char origin[RETURN_ORIGIN_MAX + 1];
    enum return_verdict verdict;
    if (strlen(text) > RETURN_URL_MAX)
        return RETURN_TOO_LONG;
    if (has_forbidden(text) || (text[0] == '/' && text[1] == '/'))
        return RETURN_AMBIGUOUS;
    ret->origin_len = 0;
    if (text[0] == '/')
        return read_rest(text, ret->text, last);
    if (!has_scheme(text))
        return RETURN_NOT_A_URL;
    const size_t read = read_origin(text, origin, sizeof(origin), &verdict);
    if (read == 0)
        return verdict;
    const size_t len = is_own(origin, own) ? 0 : strlen(origin);
    /* "https://own//evil" would become "//evil" */
    if (len == 0 && text[read] == '/' && text[read + 1] == '/')
        return RETURN_AMBIGUOUS;
    memcpy(ret->text, origin, len);
    ret->origin_len = len;
    return read_rest(text + read, ret->text + len, last);
}

/* The next character of a path, with the escape of an unreserved one decoded, and the digits of others in upper case. */
static int next_unit(const char **at, const char *end)
{
    const int byte = escape_at(*at, end);
    const int plain = (unsigned char)**at;
    *at += byte < 0 ? 1 : 3;
    if (byte < 0)
        return plain;
    return isalnum(byte) || (byte > 0 && strchr("-._~", byte)) ? byte : 256 + byte;
}

/* Does the rest of a URL, behind its origin, lie below this prefix of a path? */
static bool is_below(const char *rest, const char *prefix, size_t prefix_len)
{
    const char *end = rest + strcspn(rest, "?#"), *const prefix_end = prefix + prefix_len;
    bool slash = true; /* the prefix ends with a slash, or is empty */
    while (prefix < prefix_end) {
        if (rest == end)
            return false;
        slash = *prefix == '/';
        if (next_unit(&rest, end) != next_unit(&prefix, prefix_end))
            return false;
    }
    return slash || rest == end || *rest == '/';
}

bool return_url_allowed(const struct return_url *url, const char *list)
{
    const char *entry;
    size_t len;
    if (url->origin_len == 0)
        return true;
    while ((entry = return_entry_next(&list, &len)) != NULL) {
        if (len >= url->origin_len && strncmp(entry, url->text, url->origin_len) == 0 &&
            (len == url->origin_len || entry[url->origin_len] == '/') &&
            is_below(url->text + url->origin_len, entry + url->origin_len, len - url->origin_len))
            return true;
    }
    return false;
}

enum return_verdict return_url_read(const char *text, const char *own, const char *list,
                                    struct return_url *ret)
{
    const enum return_verdict verdict = return_url_parse(text, own, ret);
    if (verdict != RETURN_OK)
        return verdict;
    return return_url_allowed(ret, list) ? RETURN_OK : RETURN_NOT_ALLOWED;
}

bool return_url_in_domain(const struct return_url *url, const char *domain)
{
    if (url->origin_len == 0)
        return false;
    domain += *domain == '.';
    const char *host = strstr(url->text, "://") + 3;
    const size_t host_len = strcspn(host, ":/"), len = strlen(domain);
    if (host_len < len || strncasecmp(host + host_len - len, domain, len) != 0)
        return false;
    return host_len == len || host[host_len - len - 1] == '.';
}

/* ---- parameters ---- */

void return_url_with(const char *url, const char *name, const char *value, struct buf *out)
{
    const size_t before = strcspn(url, "#");
    const char *query = memchr(url, '?', before);
    buf_add(out, url, before);
    if (!query)
        buf_add_char(out, '?');
    else if (query + 1 < url + before)
        buf_add_char(out, '&');
    buf_add_str(out, name);
    buf_add_char(out, '=');
    buf_add_str(out, value);
    buf_add_str(out, url + before);
}

/* Finds the first parameter of this name from `query` on; NULL: none. *ret_len: of the whole parameter. */
static const char *find_parameter(const char *query, const char *end, const char *name,
                                  size_t *ret_len)
{
    const size_t name_len = strlen(name);
    while (query < end) {
        const char *amp = memchr(query, '&', (size_t)(end - query));
        const size_t len = amp ? (size_t)(amp - query) : (size_t)(end - query);
        if (len >= name_len && strncmp(query, name, name_len) == 0 &&
            (len == name_len || query[name_len] == '=')) {
            *ret_len = len;
            return query;
        }
        query += len + 1;
    }
    return NULL;
}

void return_url_without(const char *url, const char *name, struct buf *out)
{
    const char *end = url + strcspn(url, "#");
    const char *query = memchr(url, '?', (size_t)(end - url)), *found;
    size_t len;
    bool any = false;
    if (!query || !find_parameter(query + 1, end, name, &len)) {
        buf_add_str(out, url);
        return;
    }
    buf_add(out, url, (size_t)(query - url));
    for (query++; query < end; query = found + len + 1) {
        found = find_parameter(query, end, name, &len);
        if (!found) {
            found = end;
            len = 0;
        }
        size_t kept = (size_t)(found - query);
        if (kept > 0 && found < end) /* the & before the parameter */
            kept--;
        if (kept == 0)
            continue;
        buf_add_char(out, any ? '&' : '?');
        buf_add(out, query, kept);
        any = true;
    }
    buf_add_str(out, end);
}

const char *return_url_find(const char *url, const char *name, size_t *ret_len)
{
    const char *end = url + strcspn(url, "#");
    const char *query = memchr(url, '?', (size_t)(end - url));
    size_t len;
    const char *found = query ? find_parameter(query + 1, end, name, &len) : NULL;
    const size_t name_len = strlen(name);
    while (found && len == name_len) /* it has no value */
        found = find_parameter(found + len, end, name, &len);
    if (!found)
        return NULL;
    *ret_len = len - name_len - 1;
    return found + name_len + 1;
}

void return_url_escape(const char *text, struct buf *out)
{
    for (; *text; text++) {
        if (needs_escape((unsigned char)*text) || strchr("%&#+'", *text))
            buf_printf(out, "%%%02X", (unsigned char)*text);
        else
            buf_add_char(out, *text);
    }
}

/* ---- returnUrls ---- */

const char *return_entry_next(const char **at, size_t *ret_len)
{
    const char *entry = *at + strspn(*at, " ");
    *ret_len = strcspn(entry, " ");
    *at = entry + *ret_len;
    return *ret_len > 0 ? entry : NULL;
}

static bool list_has(const char *list, const char *text)
{
    const char *entry;
    size_t len;
    while ((entry = return_entry_next(&list, &len)) != NULL) {
        if (strlen(text) == len && strncmp(entry, text, len) == 0)
            return true;
    }
    return false;
}

enum return_entry return_entry_add(char *list, const char *text)
{
    struct return_url url;
    const size_t before = strlen(list);
    if (strchr(text, '*'))
        return RETURN_ENTRY_PATTERN;
    if (strpbrk(text, "?#"))
        return RETURN_ENTRY_QUERY;
    if (return_url_parse(text, NULL, &url) != RETURN_OK || url.origin_len == 0 ||
        strlen(url.text) > RETURN_ENTRY_MAX)
        return RETURN_ENTRY_NOT_A_URL;
    if (strcmp(url.text + url.origin_len, "/") == 0) /* every path */
        url.text[url.origin_len] = '\0';
    if (list_has(list, url.text))
        return RETURN_ENTRY_TWICE;
    if (before + 1 + strlen(url.text) >= RETURN_LIST_SIZE)
        return RETURN_ENTRY_FULL;
    (void)snprintf(list + before, RETURN_LIST_SIZE - before, "%s%s", before > 0 ? " " : "",
                   url.text);
    return RETURN_ENTRY_OK;
}
