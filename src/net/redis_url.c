/* SPDX-License-Identifier: MIT */
/*
 * redis_url: where Redis is and how to log in, read from a URL.
 *
 * Why this way: a wrong URL is a mistake in the configuration and must be named at start, so nothing
 * is guessed: every part must be well-formed, and what this program cannot do (rediss://) is refused.
 * Called by: redis_link.c alone. Pure. Owns nothing; user and password are wiped when cleared.
 */
#include "net/redis_link.h"

#include <ctype.h>
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

/* New, percent-decoded; NULL on a bad escape or an escaped NUL. */
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

/* [user]:password */
static bool parse_login(struct redis_endpoint *endpoint, const char *text, size_t len)
{
    const char *colon = memchr(text, ':', len);
    if (!colon)
        return false;
    endpoint->user = decode_new(text, (size_t)(colon - text));
    endpoint->password = decode_new(colon + 1, len - (size_t)(colon + 1 - text));
    return endpoint->user && endpoint->password;
}

/* host, host:port, [v6], [v6]:port */
static bool parse_host(struct redis_endpoint *endpoint, const char *text, size_t len)
{
    const char *end = text + len;
    const char *host = text, *host_end, *colon = NULL;
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

/* "?db=n", or nothing */
static bool parse_query(struct redis_endpoint *endpoint, const char *query)
{
    if (*query == '\0')
        return true;
    return strncmp(query, "?db=", 4) == 0 &&
           parse_number(query + 4, strlen(query + 4), 65535, &endpoint->db);
}

/* redis://[[user]:password@]host[:port][/db] */
static bool parse_tcp(struct redis_endpoint *endpoint, const char *text, size_t len)
{
    const char *rest = text + len;
    endpoint->path = xstrdup("");
    if (!parse_host(endpoint, text, len))
        return false;
    if (*rest == '/')
        rest++;
    size_t digits = strcspn(rest, "?");
    if (digits && !parse_number(rest, digits, 65535, &endpoint->db))
        return false;
    return parse_query(endpoint, rest + digits);
}

/* unix://[[user]:password@]/path[?db=n] */
static bool parse_unix(struct redis_endpoint *endpoint, const char *path)
{
    size_t len = strcspn(path, "?");
    if (*path != '/' || len >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return false;
    endpoint->path = decode_new(path, len);
    return endpoint->path && parse_query(endpoint, path + len);
}

static bool parse_url(struct redis_endpoint *endpoint, const char *url)
{
    bool tcp = strncmp(url, "redis://", 8) == 0;
    if (!tcp && strncmp(url, "unix://", 7) != 0)
        return false;
    const char *text = url + (tcp ? 8 : 7);
    size_t len = strcspn(text, "/?");
    const char *at = memrchr(text, '@', len);
    if (at) {
        if (!parse_login(endpoint, text, (size_t)(at - text)))
            return false;
        len -= (size_t)(at + 1 - text);
        text = at + 1;
    }
    return tcp ? parse_tcp(endpoint, text, len) : len == 0 && parse_unix(endpoint, text);
}

enum status redis_url_parse(struct redis_endpoint *endpoint, const char *url)
{
    memset(endpoint, 0, sizeof(*endpoint));
    if (parse_url(endpoint, url))
        return ST_OK;
    redis_endpoint_clear(endpoint);
    return ST_INVALID;
}
