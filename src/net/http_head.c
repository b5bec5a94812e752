/* SPDX-License-Identifier: MIT */
/*
 * http_head: reads the head of a request, and the chunks of a body, byte by byte and strictly.
 *
 * Why this way: where two servers in a row read the same bytes differently, one request can be smuggled inside
 * another. So there is one reader, on the bytes themselves, and it knows only one form of each thing: lines end
 * with CRLF, a name is a token and its colon follows at once, no line is continued, no value has a control character,
 * a length is digits, the only coding is chunked. Whatever else a proxy may have let through is refused.
 * A line is looked at once: the end of the text that is known to have no line end is remembered, so that a head
 * that comes byte by byte costs no more than one that comes at once. The end of a line and the check of its bytes
 * are the same search (control_find), eight bytes at a time.
 * Called by: httpd_intake. Pure; fuzzed by test/fuzz/fuzz_http.c.
 */
#include "net/http_head.h"

#include <string.h>
#include <strings.h>

#include "net/http_text.h"

#define METHOD_MAX       32
#define REQUEST_LINE_MAX (METHOD_MAX + 1 + HTTP_TARGET_MAX + sizeof(" HTTP/1.1") - 1)
#define BLANK_MAX        2 /* empty lines before a request: some clients end a body with one */
#define LENGTH_DIGITS    18
#define CHUNK_DIGITS     15
#define CHUNK_LINE_MAX   256 /* bytes of a chunk's size and extensions */
#define TRAILERS_MAX     8192

/* ---- lines ---- */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* The first byte from `at` on that may not stand in a header value: a control character other than a tab, which
 * includes both bytes of a line end. `len` when there is none. */
static size_t control_find(const char *text, size_t at, size_t len)
{
    for (;;) {
        for (; at + 8 <= len; at += 8) {
            uint64_t word;
            memcpy(&word, text + at, 8);
            const uint64_t not_del = word ^ EACH(0x7f);
            const uint64_t low = (word - EACH(0x20)) & ~word; /* high bit: the byte is below 0x20 */
            const uint64_t del = (not_del - EACH(1)) & ~not_del;
            if ((low | del) & EACH(0x80))
                break;
        }
        while (at < len && (unsigned char)text[at] >= 0x20 && text[at] != 0x7f)
            at++;
        if (at == len || text[at] != '\t')
            return at;
        at++;
    }
}

enum line { LINE_MORE, LINE_WHOLE, LINE_BAD };

/* Looks for the end of the line that begins at head->at; it is then the line text[head->at .. *ret_end). */
static enum line line_read(struct http_head *head, const char *text, size_t len, size_t *ret_end)
{
    const size_t end = control_find(text, head->scanned, len);
    head->scanned = (uint16_t)end;
    if (end == len || (text[end] == '\r' && end + 1 == len))
        return LINE_MORE;
    if (text[end] != '\r' || text[end + 1] != '\n')
        return LINE_BAD;
    *ret_end = end;
    return LINE_WHOLE;
}

static struct http_span span(size_t from, size_t to)
{
    return (struct http_span){.at = (uint16_t)from, .len = (uint16_t)(to - from)};
}

/* ---- the request line ---- */

static bool begins(const char *text, size_t len, const char *prefix)
{
    const size_t n = strlen(prefix);
    return len >= n && strncasecmp(text, prefix, n) == 0;
}

/* Splits the target into authority, path and query. */
static unsigned target_read(struct http_head *head, const char *text)
{
    const size_t end = (size_t)head->target.at + head->target.len;
    size_t at = head->target.at;
    if (head->target.len > HTTP_TARGET_MAX)
        return 414;
    /* Some servers end a path at '#'. After a blank in a target the version is not one. */
    if (head->target.len == 0 || memchr(text + at, '#', end - at))
        return 400;
    if (text[at] != '/' && text[at] != '*') {
        at += begins(text + at, end - at, "http://")    ? 7
              : begins(text + at, end - at, "https://") ? 8
                                                        : 0;
        if (at == head->target.at)
            return 400;
        const size_t from = at;
        while (at < end && text[at] != '/' && text[at] != '?')
            at++;
        if (!http_is_authority(text + from, at - from))
            return 400;
        head->authority = span(from, at);
    } else if (text[at] == '*' && (head->target.len > 1 || head->method.len != 7 ||
                                   memcmp(text + head->method.at, "OPTIONS", 7) != 0)) {
        return 400;
    }
    const char *mark = memchr(text + at, '?', end - at);
    const size_t path_end = mark ? (size_t)(mark - text) : end;
    head->path = span(at, path_end);
    if (mark)
        head->query = span(path_end + 1, end);
    return 0;
}

/* The line begins with a method and a space. False: it does not. */
static bool method_read(struct http_head *head, const char *text, size_t end)
{
    const size_t start = head->at;
    const char *space = memchr(text + start, ' ', end - start);
    const size_t len = space ? (size_t)(space - text) - start : 0;
    if (len > METHOD_MAX || !http_is_token(text + start, len))
        return false;
    head->method = span(start, start + len);
    return true;
}

/* method SP target SP HTTP/1.x */
static unsigned request_line_read(struct http_head *head, const char *text, size_t end)
{
    const size_t start = head->at;
    if (memchr(text + start, '\t', end - start) || !method_read(head, text, end))
        return 400;
    const size_t method_end = start + head->method.len;
    const char *space = text + method_end;
    const char *second = memchr(space + 1, ' ', end - method_end - 1);
    if (!second)
        return end - start > HTTP_TARGET_MAX ? 414 : 400;
    head->target = span(method_end + 1, (size_t)(second - text));
    const unsigned refusal = target_read(head, text);
    const char *version = second + 1;
    if (text + end - version != 8 || memcmp(version, "HTTP/", 5) != 0 || version[5] < '0' ||
        version[5] > '9' || version[6] != '.' || version[7] < '0' || version[7] > '9')
        return 400;
    if (version[5] != '1')
        return 505;
    head->http11 = version[7] != '0';
    return refusal;
}

/* ---- headers ---- */

/* Digits only: no sign, no space, no list. */
static bool parse_length(const char *text, size_t len, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (len == 0 || len > LENGTH_DIGITS)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *ret_value = value;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* "close", "keep-alive", or a list with one of them. */
static void connection_read(struct http_head *head, const char *value, size_t len)
{
    const char *end = value + len;
    while (value < end) {
        while (value < end && (is_blank(*value) || *value == ','))
            value++;
        const char *word = value;
        while (value < end && !is_blank(*value) && *value != ',')
            value++;
        const size_t word_len = (size_t)(value - word);
        head->close |= word_len == 5 && strncasecmp(word, "close", 5) == 0;
        head->keep_alive |= word_len == 10 && strncasecmp(word, "keep-alive", 10) == 0;
    }
}

#define IS(literal) (strncasecmp(name, literal, sizeof(literal) - 1) == 0)

/* What the server itself reads of a header. False: the request is ambiguous. */
static bool meaning_read(struct http_head *head, const char *name, size_t name_len,
                         const char *value, size_t len)
{
    switch (name_len) {
    case 4:
        return !IS("host") || (head->hosts++ == 0 && http_is_authority(value, len));
    case 6:
        if (IS("expect"))
            head->expects = len == 12 && strncasecmp(value, "100-continue", 12) == 0;
        return !IS("origin") || head->origins++ == 0;
    case 10:
        if (IS("connection"))
            connection_read(head, value, len);
        return true;
    case 12:
        return !IS("content-type") || head->types++ == 0;
    case 13:
        return !IS("authorization") || head->authorizations++ == 0;
    case 14:
        if (!IS("content-length"))
            return true;
        if (head->has_length || head->chunked || !parse_length(value, len, &head->length))
            return false;
        head->has_length = true;
        return true;
    case 17:
        if (!IS("transfer-encoding"))
            return true;
        if (head->has_length || head->chunked || !head->http11 || len != 7 ||
            strncasecmp(value, "chunked", 7) != 0)
            return false;
        head->chunked = true;
        return true;
    default:
        return true;
    }
}

/* Takes the line text[head->at..end) as a header. */
static unsigned field_read(struct http_head *head, const char *text, size_t end)
{
    const size_t start = head->at;
    const char *colon = memchr(text + start, ':', end - start);
    /* A continued line has a blank where the name should be. */
    if (!colon || !http_is_token(text + start, (size_t)(colon - text) - start))
        return 400;
    if (head->field_count == HTTP_FIELDS_MAX)
        return 431;
    const size_t name_end = (size_t)(colon - text);
    size_t from = name_end + 1, to = end;
    while (from < to && is_blank(text[from]))
        from++;
    while (from < to && is_blank(text[to - 1]))
        to--;
    head->fields[head->field_count++] =
        (struct http_field){.name = span(start, name_end), .value = span(from, to)};
    return meaning_read(head, text + start, name_end - start, text + from, to - from) ? 0 : 400;
}

/* ---- the head ---- */

void http_head_init(struct http_head *head)
{
    memset(head, 0, offsetof(struct http_head, fields));
}

unsigned http_head_read(struct http_head *head, const char *text, size_t len)
{
    const size_t seen = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
    /* Not HTTP at all, a TLS hello for one, may never have a line end to wait for. */
    if (!head->has_line && head->at == 0 && seen > 0 && text[0] != '\r' && !http_is_token(text, 1))
        return 400;
    for (;;) {
        size_t end;
        const enum line line = line_read(head, text, seen, &end);
        if (!head->has_line && (size_t)head->scanned - head->at > REQUEST_LINE_MAX) {
            (void)method_read(head, text, head->scanned); /* the answer to HEAD has no body */
            return 414;
        }
        if (line == LINE_BAD)
            return 400;
        if (line == LINE_MORE) {
            if (seen < HTTP_HEAD_MAX)
                return 0;
            /* What came of the last line can be read all the same: of too many cookies, for one, their names. */
            if (head->has_line)
                (void)field_read(head, text, head->scanned);
            return 431;
        }
        const bool empty = end == head->at;
        unsigned refusal = 0;
        if (!head->has_line && empty)
            refusal = head->blank++ < BLANK_MAX ? 0 : 400;
        else if (!head->has_line)
            refusal = request_line_read(head, text, end);
        else if (!empty)
            refusal = field_read(head, text, end);
        if (refusal)
            return refusal;
        const bool complete = head->has_line && empty;
        head->has_line |= !empty;
        head->at = head->scanned = (uint16_t)(end + 2);
        if (complete)
            return head->http11 && head->hosts == 0 ? 400 : HTTP_HEAD_COMPLETE;
    }
}

/* ---- chunks ---- */

enum {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILER_START, /* of a line */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    TRAILERS_LF,
    CHUNKS_END
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool in_value(char c)
{
    return c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
}

/* Takes one byte of the framing: the state after it, or -1. */
static int chunk_step(struct http_chunks *chunks, char c)
{
    switch (chunks->state) {
    case CHUNK_SIZE: {
        const int digit = hex_digit(c);
        if (digit < 0) {
            if (chunks->digits == 0 || (c != '\r' && c != ';'))
                return -1;
            return c == '\r' ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
        }
        if (++chunks->digits > CHUNK_DIGITS)
            return -1;
        chunks->left = chunks->left << 4 | (uint64_t)digit;
        return CHUNK_SIZE;
    }
    case CHUNK_EXTENSION:
        if (++chunks->overhead > CHUNK_LINE_MAX)
            return -1;
        return c == '\r' ? CHUNK_SIZE_LF : in_value(c) ? CHUNK_EXTENSION : -1;
    case CHUNK_SIZE_LF:
        chunks->digits = 0;
        chunks->overhead = 0;
        return c != '\n' ? -1 : chunks->left ? CHUNK_DATA : TRAILER_START;
    case CHUNK_DATA_CR:
        return c == '\r' ? CHUNK_DATA_LF : -1;
    case CHUNK_DATA_LF:
        return c == '\n' ? CHUNK_SIZE : -1;
    default:
        break;
    }
    if (++chunks->overhead > TRAILERS_MAX)
        return -1;
    switch (chunks->state) {
    case TRAILER_START:
        return c == '\r' ? TRAILERS_LF : http_is_token(&c, 1) ? TRAILER_NAME : -1;
    case TRAILER_NAME:
        return c == ':' ? TRAILER_VALUE : http_is_token(&c, 1) ? TRAILER_NAME : -1;
    case TRAILER_VALUE:
        return c == '\r' ? TRAILER_LF : in_value(c) ? TRAILER_VALUE : -1;
    case TRAILER_LF:
        return c == '\n' ? TRAILER_START : -1;
    default: /* TRAILERS_LF */
        return c == '\n' ? CHUNKS_END : -1;
    }
}

enum http_chunks_step http_chunks_read(struct http_chunks *chunks, const char *text, size_t len,
                                       size_t *at, const char **ret_data, size_t *ret_len)
{
    while (*at < len) {
        if (chunks->state == CHUNK_DATA) {
            const size_t rest = len - *at;
            const size_t part = chunks->left < rest ? (size_t)chunks->left : rest;
            *ret_data = text + *at;
            *ret_len = part;
            *at += part;
            chunks->left -= part;
            if (chunks->left == 0)
                chunks->state = CHUNK_DATA_CR;
            return HTTP_CHUNKS_DATA;
        }
        const int next = chunk_step(chunks, text[(*at)++]);
        if (next < 0)
            return HTTP_CHUNKS_BAD;
        chunks->state = (uint8_t)next;
        if (next == CHUNKS_END)
            return HTTP_CHUNKS_END;
    }
    return HTTP_CHUNKS_MORE;
}
