/* SPDX-License-Identifier: MIT */
/*
 * redis_url: reads from a URL where Redis is.
 *
 * Why this way: a wrong URL is a mistake in the configuration, which must be reported at start. So every part must be
 * well-formed, and each fault has a sentence of its own.
 * Called by: redis_dial, redis. Pure. Owns nothing; redis_target_clear overwrites user and password.
 */
#include "net/redis_url.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/memory.h"

#define REDIS_PORT    6379
#define SENTINEL_PORT 26379
#define DB_MAX        65535

static const struct scheme {
    const char *text;
    enum redis_mode mode;
    bool tls, path;
} schemes[] = {
    {"redis://", REDIS_SINGLE, false, false},
    {"rediss://", REDIS_SINGLE, true, false},
    {"unix://", REDIS_SINGLE, false, true},
    {"redis+sentinel://", REDIS_SENTINEL, false, false},
    {"rediss+sentinel://", REDIS_SENTINEL, true, false},
    {"redis+cluster://", REDIS_CLUSTER, false, false},
    {"rediss+cluster://", REDIS_CLUSTER, true, false},
};

void redis_target_clear(struct redis_target *target)
{
    for (size_t i = 0; i < target->host_count; i++)
        free(target->hosts[i].name);
    free(target->hosts);
    free(target->path);
    free(target->master);
    secret_free(target->user);
    secret_free(target->password);
    memset(target, 0, sizeof(*target));
}

/* Returns new: the text percent-decoded; NULL when an escape is malformed or stands for a NUL. */
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

/* Reads a number. False unless the whole text is digits and their value is at most `max`. */
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

/* Reads "host", "host:port", "[v6]" or "[v6]:port" as one more host of the target. */
static const char *parse_host(struct redis_target *target, const char *text, size_t len, int port)
{
    const char *end = text + len;
    const char *host = text, *host_end, *colon;
    if (len && *text == '[') {
        host = text + 1;
        host_end = memchr(text, ']', len);
        if (!host_end)
            return "the bracket of an IPv6 address is not closed";
        colon = host_end + 1 < end ? host_end + 1 : NULL;
        if (colon && *colon != ':')
            return "only :port may follow an IPv6 address in brackets";
    } else {
        colon = memchr(text, ':', len);
        host_end = colon ? colon : end;
    }
    if (host_end == host)
        return "a host is missing";
    if (colon && (!parse_number(colon + 1, (size_t)(end - colon - 1), 65535, &port) || port == 0))
        return "a port must be a number from 1 to 65535 (an IPv6 address stands in brackets)";
    target->hosts[target->host_count++] =
        (struct redis_host){.name = xstrndup(host, (size_t)(host_end - host)), .port = port};
    return NULL;
}

static const char *parse_hosts(struct redis_target *target, const char *text, size_t len)
{
    const int port = target->mode == REDIS_SENTINEL ? SENTINEL_PORT : REDIS_PORT;
    target->hosts = xcalloc(REDIS_HOSTS_MAX, sizeof(*target->hosts));
    for (;;) {
        const char *comma = memchr(text, ',', len);
        if (target->host_count == REDIS_HOSTS_MAX)
            return "it has more than 32 hosts";
        if (comma && target->mode == REDIS_SINGLE)
            return "several hosts need redis+sentinel:// or redis+cluster://";
        const char *problem = parse_host(target, text, comma ? (size_t)(comma - text) : len, port);
        if (problem || !comma)
            return problem;
        len -= (size_t)(comma + 1 - text);
        text = comma + 1;
    }
}

/* Reads [user]:password@ and moves *text behind it. */
static const char *parse_credentials(struct redis_target *target, const char **text, size_t *len)
{
    const char *at = memrchr(*text, '@', *len);
    if (!at)
        return NULL;
    const char *colon = memchr(*text, ':', (size_t)(at - *text));
    if (!colon)
        return "before the @ there must be user:password, or :password without a user";
    target->user = decode_new(*text, (size_t)(colon - *text));
    target->password = decode_new(colon + 1, (size_t)(at - colon - 1));
    if (!target->user || !target->password)
        return "the user or the password has a % that is no escape (%25 stands for %)";
    *len -= (size_t)(at + 1 - *text);
    *text = at + 1;
    return NULL;
}

/* Reads /master, and moves *text to what follows. Sentinel itself allows no other characters in a name. */
static const char *parse_master(struct redis_target *target, const char **text)
{
    const char *name = *text + (**text == '/');
    const size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "0123456789._-");
    if (len == 0 || len > 255 || !strchr("/?", name[len]))
        return "the name of the primary must follow the Sentinels, as in "
               "redis+sentinel://s1,s2,s3/mymaster";
    target->master = xstrndup(name, len);
    *text = name + len;
    return NULL;
}

/* When it returns a problem, the target may be filled in part. */
static const char *parse_url(struct redis_target *target, const char *url)
{
    const struct scheme *scheme = NULL;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]) && !scheme; i++)
        if (strncmp(url, schemes[i].text, strlen(schemes[i].text)) == 0)
            scheme = &schemes[i];
    if (!scheme)
        return "it must begin with redis://, rediss:// (TLS), unix://, redis+sentinel://, "
               "rediss+sentinel://, redis+cluster:// or rediss+cluster://";
    target->mode = scheme->mode;
    target->tls = scheme->tls;

    const char *text = url + strlen(scheme->text);
    size_t len = strcspn(text, "/?");
    const char *problem = parse_credentials(target, &text, &len);
    if (problem)
        return problem;
    if (scheme->path) {
        const size_t path_len = strcspn(text, "?");
        if (len > 0 || *text != '/')
            return "the path of a Unix socket begins with /, as in unix:///run/redis.sock";
        if (path_len >= sizeof(((struct sockaddr_un *)0)->sun_path))
            return "the path of the Unix socket is too long for the system";
        target->path = decode_new(text, path_len);
        if (!target->path)
            return "the path has a % that is no escape (%25 stands for %)";
        text += path_len;
    } else {
        problem = parse_hosts(target, text, len);
        text += len;
        if (!problem && target->mode == REDIS_SENTINEL)
            problem = parse_master(target, &text);
        if (problem)
            return problem;
        text += *text == '/';
        const size_t digits = strcspn(text, "?");
        if (digits && !parse_number(text, digits, DB_MAX, &target->db))
            return "the number of the database must be from 0 to 65535";
        text += digits;
    }
    if (*text != '\0' && strncmp(text, "?db=", 4) != 0)
        return "after ? only db=n is known";
    if (*text != '\0' && !parse_number(text + 4, strlen(text + 4), DB_MAX, &target->db))
        return "the number of the database must be from 0 to 65535";
    if (target->mode == REDIS_CLUSTER && target->db != 0)
        return "a Redis Cluster has no database but 0";
    return NULL;
}

enum status redis_url_parse(struct redis_target *target, const char *url, const char **ret_problem)
{
    memset(target, 0, sizeof(*target));
    *ret_problem = parse_url(target, url);
    if (!*ret_problem)
        return ST_OK;
    redis_target_clear(target);
    return ST_INVALID;
}
