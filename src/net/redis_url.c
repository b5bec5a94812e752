/* SPDX-License-Identifier: MIT */
/*
 * redis_url: where Redis listens and how to log in, read from a URL.
 *
 * Why this way: a wrong URL is a mistake in the configuration and must be reported at start, so nothing
 * is guessed: every part must be well-formed, and what this program cannot do (rediss://) is refused.
 * Called by: redis_link. Pure. Owns nothing; user and password are wiped when cleared.
 */
#include "net/redis_url.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/memory.h"

static void secret_free(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

void redis_endpoint_clear(struct redis_endpoint *endpoint)
{
    free(endpoint->host);
    free(endpoint->path);
    secret_free(endpoint->user);
    secret_free(endpoint->password);
    memset(endpoint, 0, sizeof(*endpoint));
}

/* Returns new, percent-decoded; NULL on a bad escape or an escaped NUL. */
static char *decode_new(const char *text, size_t len)
{
    char *out = xcalloc(len + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '%') {
            char hex[3] = {0};
            if (i + 2 >= len || !isxdigit((unsigned char)text[i + 1]) ||
                !isxdigit((unsigned char)text[i + 2])) {
                secret_free(out);
                return NULL;
            }
            memcpy(hex, text + i + 1, 2);
            c = (char)strtol(hex, NULL, 16);
            i += 2;
        }
        if (c == '\0') {
            secret_free(out);
            return NULL;
        }
        out[n++] = c;
    }
    return out;
}

/* The whole text must be a number within [0, max]. */
static bool parse_number(const char *text, size_t len, int max, int *ret_value)
{
    int value = 0;
    if (len == 0 || len > 6)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i]))
            return false;
        value = value * 10 + (text[i] - '0');
    }
    if (value > max)
        return false;
    *ret_value = value;
    return true;
}

/* host, host:port, [v6], [v6]:port */
static bool parse_host(struct redis_endpoint *endpoint, const char *text, size_t len)
{
    const char *end = text + len;
    const char *host = text, *host_end, *colon;
    if (len && *text == '[') {
        host = text + 1;
        host_end = memchr(text, ']', len);
        if (!host_end)
            return false;
        colon = host_end + 1 < end ? host_end + 1 : NULL;
        if (colon && *colon != ':')
            return false;
    } else {
        colon = memchr(text, ':', len);
        host_end = colon ? colon : end;
    }
    if (host_end == host)
        return false;
    endpoint->host = strndup(host, (size_t)(host_end - host));
    endpoint->port = 6379;
    return endpoint->host &&
           (!colon || (parse_number(colon + 1, (size_t)(end - colon - 1), 65535, &endpoint->port) &&
                       endpoint->port > 0));
}

/* redis://[[user]:password@]host[:port][/db][?db=n] or unix://[[user]:password@]/path[?db=n] */
static bool parse_url(struct redis_endpoint *endpoint, const char *url)
{
    const bool tcp = strncmp(url, "redis://", 8) == 0;
    if (!tcp && strncmp(url, "unix://", 7) != 0)
        return false;

    const char *text = url + (tcp ? 8 : 7);
    size_t len = strcspn(text, "/?");
    const char *at = memrchr(text, '@', len);
    if (at) {
        const char *colon = memchr(text, ':', (size_t)(at - text));
        if (!colon)
            return false;
        endpoint->user = decode_new(text, (size_t)(colon - text));
        endpoint->password = decode_new(colon + 1, (size_t)(at - colon - 1));
        if (!endpoint->user || !endpoint->password)
            return false;
        len -= (size_t)(at + 1 - text);
        text = at + 1;
    }

    const char *query;
    if (tcp) {
        if (!parse_host(endpoint, text, len))
            return false;
        endpoint->path = xstrdup("");
        const char *db = text + len;
        db += *db == '/';
        const size_t digits = strcspn(db, "?");
        if (digits && !parse_number(db, digits, 65535, &endpoint->db))
            return false;
        query = db + digits;
    } else {
        const size_t path_len = strcspn(text, "?");
        if (len > 0 || *text != '/' || path_len >= sizeof(((struct sockaddr_un *)0)->sun_path))
            return false;
        endpoint->path = decode_new(text, path_len);
        if (!endpoint->path)
            return false;
        query = text + path_len;
    }
    return *query == '\0' || (strncmp(query, "?db=", 4) == 0 &&
                              parse_number(query + 4, strlen(query + 4), 65535, &endpoint->db));
}

enum status redis_url_parse(struct redis_endpoint *endpoint, const char *url)
{
    memset(endpoint, 0, sizeof(*endpoint));
    if (parse_url(endpoint, url))
        return ST_OK;
    redis_endpoint_clear(endpoint);
    return ST_INVALID;
}
