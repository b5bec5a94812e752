/* SPDX-License-Identifier: MIT */
/*
 * ws_handshake: checks the HTTP head of a WebSocket handshake before libwebsockets sees any of it, and writes the head
 * that libwebsockets gets instead.
 *
 * Why this way: libwebsockets 4.1.6 drops a handshake that it does not accept without a response, an unknown value of
 * Upgrade makes it use freed memory, and it does not join a list that comes in several lines. So every handshake is judged
 * here. A refused one gets an HTTP status that says why; for a good one the library gets a head of our making.
 * Called by: ws_accept. Pure: owns nothing.
 */
#include "net/ws_handshake_internal.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "net/http_text.h"

#define TARGET_MAX 1024
#define KEY_LEN    24

size_t ws_head_len(const char *data, size_t len)
{
    const char *end = memmem(data, len, "\r\n\r\n", 4);
    return end ? (size_t)(end - data) + 4 : 0;
}

/* ---- parsing ---- */

/* Replaces the CRLF of the line by a NUL and returns the next line; NULL when the line has a byte that is not allowed
 * in a header value. */
static char *line_end(char *line)
{
    while (*line == '\t' || ((unsigned char)*line >= 0x20 && *line != 0x7f))
        line++;
    if (line[0] != '\r' || line[1] != '\n')
        return NULL;
    *line = '\0';
    return line + 2;
}

/* Splits text[0..len) into the request line and fields. False when it is not exactly HTTP. */
static bool head_parse(struct ws_head *head, size_t len, char **ret_line)
{
    head->text[len] = '\0';
    head->field_count = head->joined_len = 0;
    if (memchr(head->text, '\0', len))
        return false;
    char *next = line_end(head->text);
    *ret_line = head->text;
    while (next && strcmp(next, "\r\n") != 0) {
        char *line = next;
        next = line_end(line);
        char *colon = next ? strchr(line, ':') : NULL;
        if (!colon || !http_is_token(line, (size_t)(colon - line)) ||
            head->field_count == WS_FIELDS_MAX)
            return false;
        *colon = '\0';
        char *value = colon + 1;
        value += strspn(value, " \t");
        size_t value_len = strlen(value);
        while (value_len > 0 && (value[value_len - 1] == ' ' || value[value_len - 1] == '\t'))
            value_len--;
        value[value_len] = '\0';
        head->fields[head->field_count++] = (struct ws_field){.name = line, .value = value};
    }
    return next != NULL;
}

/* ---- looking up ---- */

static unsigned field_count(const struct ws_head *head, const char *name)
{
    unsigned count = 0;
    for (size_t i = 0; i < head->field_count; i++)
        count += strcasecmp(head->fields[i].name, name) == 0;
    return count;
}

/* Returns the value of the first field of that name; "" when there is none. */
static const char *field(const struct ws_head *head, const char *name)
{
    for (size_t i = 0; i < head->field_count; i++)
        if (strcasecmp(head->fields[i].name, name) == 0)
            return head->fields[i].value;
    return "";
}

/* Returns the values of all fields of that name, joined. They fit into head->joined, because together they are shorter
 * than the head. */
static const char *field_joined(struct ws_head *head, const char *name, const char *separator)
{
    if (field_count(head, name) < 2)
        return field(head, name);
    char *start = head->joined + head->joined_len;
    char *at = start;
    for (size_t i = 0; i < head->field_count; i++) {
        if (strcasecmp(head->fields[i].name, name) != 0)
            continue;
        if (at > start)
            at = stpcpy(at, separator);
        at = stpcpy(at, head->fields[i].value);
    }
    head->joined_len = (size_t)(at - head->joined) + 1;
    return start;
}

/* Is `word` an item of the comma-separated list? */
static bool list_has(const char *list, const char *word, bool same_case)
{
    size_t len = strlen(word);
    while (*list) {
        list += strspn(list, ", \t");
        size_t item = strcspn(list, ", \t");
        if (item == len && (same_case ? strncmp : strncasecmp)(list, word, len) == 0)
            return true;
        list += item;
    }
    return false;
}

/* ---- checking ---- */

/* Could a proxy and this server read this handshake differently? Then it must be refused. Lists may come in several
 * lines, which are joined (RFC 9110, 5.3). */
static bool is_ambiguous(const struct ws_head *head)
{
    static const char *const once[] = {"Host", "Origin", "Sec-WebSocket-Key",
                                       "Sec-WebSocket-Version"};
    for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++)
        if (field_count(head, once[i]) > 1)
            return true;
    const char *length = field(head, "Content-Length");
    return field_count(head, "Transfer-Encoding") > 0 || field_count(head, "Content-Length") > 1 ||
           (length[0] && strcmp(length, "0") != 0);
}

/* Returns the endpoint of the target, and its query ("" when there is none); NULL: there is none of that path. */
static const struct ws_endpoint *find_endpoint(const struct ws_endpoint *endpoints, size_t count,
                                               const char *target, const char **ret_query)
{
    const size_t len = strcspn(target, "?");
    *ret_query = target[len] ? target + len + 1 : "";
    for (size_t i = 0; i < count; i++)
        if (len == strlen(endpoints[i].path) && memcmp(target, endpoints[i].path, len) == 0)
            return &endpoints[i];
    return NULL;
}

unsigned ws_head_check(struct ws_head *head, size_t len, const struct ws_endpoint *endpoints,
                       size_t count, struct ws_handshake *ret_handshake)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *line;
    head->refusal = NULL;
    if (len > WS_HEAD_MAX)
        return 431;
    if (!head_parse(head, len, &line))
        return 400;

    char *target = strchr(line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;
    if (!version || strcmp(version, " HTTP/1.1") != 0)
        return 400;
    *target++ = '\0';
    *version = '\0';
    const char *query;
    const struct ws_endpoint *endpoint = find_endpoint(endpoints, count, target, &query);
    if (endpoint && endpoint->refuse)
        head->refusal = endpoint->refuse(line, query);
    if (head->refusal)
        return 400;
    if (strcmp(line, "GET") != 0)
        return 405;
    if (!endpoint)
        return 404;
    if (strlen(target) > TARGET_MAX)
        return 414;

    const char *host = field(head, "Host");
    if (is_ambiguous(head) || !http_is_authority(host, strlen(host)))
        return 400;
    if (!list_has(field_joined(head, "Upgrade", ", "), "websocket", false) ||
        strcmp(field(head, "Sec-WebSocket-Version"), "13") != 0)
        return 426;
    if (!list_has(field_joined(head, "Connection", ", "), "upgrade", false))
        return 400;
    const char *key = field(head, "Sec-WebSocket-Key"); /* must be 16 bytes in base64 */
    if (strlen(key) != KEY_LEN || strspn(key, base64) != KEY_LEN - 2 ||
        strcmp(key + KEY_LEN - 2, "==") != 0)
        return 400;
    if (endpoint->subprotocol &&
        !list_has(field_joined(head, "Sec-WebSocket-Protocol", ", "), endpoint->subprotocol, true))
        return 400;

    *ret_handshake = (struct ws_handshake){
        .endpoint = (unsigned)(endpoint - endpoints),
        .origin = field(head, "Origin"),
        .host = host,
        .cookie = field_joined(head, "Cookie", "; "),
        .forwarded_for = field_joined(head, "X-Forwarded-For", ", "),
        .forwarded_host = field_joined(head, "X-Forwarded-Host", ", "),
        .forwarded = field_joined(head, "Forwarded", ", "),
        .key = key,
        .peer = "",
    };
    return 0;
}

/* ---- accepting ---- */

size_t ws_head_write(const struct ws_handshake *handshake, const struct ws_endpoint *endpoint,
                     char out[WS_HEAD_OWN_MAX])
{
    const bool named = endpoint->subprotocol != NULL;
    const int len =
        snprintf(out, WS_HEAD_OWN_MAX,
                 "GET %s HTTP/1.1\r\nHost: ws\r\nUpgrade: websocket\r\n"
                 "Connection: Upgrade\r\nSec-WebSocket-Key: %.24s\r\n"
                 "Sec-WebSocket-Version: 13\r\n%s%s%s\r\n",
                 endpoint->path, handshake->key, named ? "Sec-WebSocket-Protocol: " : "",
                 named ? endpoint->subprotocol : "", named ? "\r\n" : "");
    return len > 0 && len < WS_HEAD_OWN_MAX ? (size_t)len : 0;
}

/* ---- refusing ---- */

/* A response whose body is a problem document; the end of the connection ends the body. */
#define REFUSAL(code, title, extra)                                                                \
    {                                                                                              \
        code, "HTTP/1.1 " #code " " title "\r\n" extra                                             \
              "Connection: close\r\nCache-Control: no-store\r\n"                                   \
              "Content-Type: application/problem+json\r\n\r\n"                                     \
              "{\"title\":\"" title "\",\"status\":" #code "}\n"                                   \
    }

static const struct refusal {
    unsigned status;
    const char *text;
} refusals[] = {
    REFUSAL(400, "Bad Request", ""),
    REFUSAL(403, "Forbidden", ""),
    REFUSAL(404, "Not Found", ""),
    REFUSAL(405, "Method Not Allowed", "Allow: GET\r\n"),
    REFUSAL(408, "Request Timeout", ""),
    REFUSAL(414, "URI Too Long", ""),
    REFUSAL(426, "Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
    REFUSAL(429, "Too Many Requests", "Retry-After: 10\r\n"),
    REFUSAL(431, "Request Header Fields Too Large", ""),
    REFUSAL(503, "Service Unavailable", "Retry-After: 2\r\n"),
};

const char *ws_refusal(unsigned status)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        if (refusals[i].status == status)
            return refusals[i].text;
    return refusals[0].text;
}
