/* SPDX-License-Identifier: MIT */
/*
 * proxy_resolve: names to addresses, and whether a service is behind them.
 *
 * Why this way: nginx reads names when it starts; this program looks them up again and again, and compares: so the
 * addresses are sorted. The question to the service is one short request over a plain socket, before there is any visitor.
 * Called by: proxy. Owns nothing.
 */
#include "proxy/proxy_resolve.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ASK_S      2
#define ANSWER_MAX 16384

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void add_server(struct proxy_servers *servers, const struct addrinfo *info, const char *port)
{
    char host[48];
    char *item = servers->items[servers->count];
    if (servers->count == PROXY_SERVER_MAX ||
        getnameinfo(info->ai_addr, info->ai_addrlen, host, sizeof(host), NULL, 0, NI_NUMERICHOST) !=
            0 ||
        strchr(host, '%')) /* a link-local address with its interface */
        return;
    (void)snprintf(item, sizeof(servers->items[0]), strchr(host, ':') ? "[%s]:%s" : "%s:%s", host,
                   port);
    for (size_t i = 0; i < servers->count; i++)
        if (strcmp(servers->items[i], item) == 0)
            return;
    servers->count++;
}

static enum status resolve(const struct proxy_url *url, struct proxy_servers *ret,
                           struct options_error *error)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    const int code = getaddrinfo(url->host, url->port, &hints, &list);
    for (const struct addrinfo *info = list; code == 0 && info; info = info->ai_next)
        add_server(ret, info, url->port);
    if (list)
        freeaddrinfo(list);
    if (ret->count == 0) {
        (void)options_refuse(error, "%.200s has no address: %s", url->host,
                             code ? gai_strerror(code) : "none that can be used");
        return ST_UNAVAILABLE;
    }
    qsort(ret->items, ret->count, sizeof(ret->items[0]), compare);
    return ST_OK;
}

enum status proxy_resolve(const struct proxy_settings *settings, struct proxy_addresses *ret,
                          struct options_error *error)
{
    memset(ret, 0, sizeof(*ret)); /* also what is behind the texts: callers compare the whole */
    enum status st = resolve(&settings->origin, &ret->origin, error);
    if (st == ST_OK)
        st = resolve(&settings->service, &ret->service, error);
    return st == ST_OK ? resolve(&settings->socket, &ret->socket, error) : st;
}

/* ---- what the last looks found ---- */

static void forget(struct proxy_remembered *known, size_t i)
{
    known->items[i] = known->items[--known->count];
}

static bool has(const struct proxy_servers *servers, const char *address)
{
    for (size_t i = 0; i < servers->count; i++)
        if (strcmp(servers->items[i], address) == 0)
            return true;
    return false;
}

/* Room for one more: where there is none, the one that was missed for longest goes. */
static void make_room(struct proxy_remembered *known)
{
    size_t oldest = 0;
    if (known->count < PROXY_SERVER_MAX)
        return;
    for (size_t i = 1; i < known->count; i++)
        if (known->items[i].missed > known->items[oldest].missed)
            oldest = i;
    forget(known, oldest);
}

static void remember(struct proxy_remembered *known, struct proxy_servers *found)
{
    for (size_t i = known->count; i-- > 0;) {
        known->items[i].missed++;
        if (has(found, known->items[i].address) || known->items[i].missed > PROXY_KEPT_LOOKS)
            forget(known, i);
    }
    for (size_t i = 0; i < found->count; i++) {
        make_room(known);
        known->items[known->count].missed = 0;
        memcpy(known->items[known->count++].address, found->items[i], PROXY_ADDRESS_SIZE);
    }
    memset(found, 0, sizeof(*found));
    for (; found->count < known->count; found->count++)
        memcpy(found->items[found->count], known->items[found->count].address, PROXY_ADDRESS_SIZE);
    qsort(found->items, found->count, sizeof(found->items[0]), compare);
}

void proxy_remember(struct proxy_memory *memory, struct proxy_addresses *found)
{
    remember(&memory->origin, &found->origin);
    remember(&memory->service, &found->service);
    remember(&memory->socket, &found->socket);
}

/* ---- a question to the service ---- */

static int connect_to(const struct proxy_url *url)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    const struct timeval limit = {.tv_sec = ASK_S};
    struct addrinfo *list = NULL;
    int fd = -1;
    if (getaddrinfo(url->host, url->port, &hints, &list) != 0)
        return -1;
    for (const struct addrinfo *info = list; fd < 0 && info; info = info->ai_next) {
        fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        if (connect(fd, info->ai_addr, info->ai_addrlen) != 0) {
            (void)close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

/* The first bytes of the answer to a GET of this path below the prefix. */
static bool ask(const struct proxy_settings *settings, const char *path, char answer[ANSWER_MAX])
{
    char request[512];
    size_t got = 0;
    const int fd = connect_to(&settings->service);
    const int len = snprintf(request, sizeof(request),
                             "GET %s%s HTTP/1.1\r\nHost: asked.invalid\r\n"
                             "X-Forwarded-Host: told.invalid\r\nConnection: close\r\n\r\n",
                             settings->prefix, path);
    answer[0] = '\0';
    if (fd < 0)
        return false;
    ssize_t n = send(fd, request, (size_t)len, MSG_NOSIGNAL);
    while (n > 0 && got < ANSWER_MAX - 1) {
        n = recv(fd, answer + got, ANSWER_MAX - 1 - got, 0);
        got += n > 0 ? (size_t)n : 0;
    }
    (void)close(fd);
    answer[got] = '\0';
    return strncmp(answer, "HTTP/1.1 ", 9) == 0;
}

/* The page that is shown without a network has the address of the socket in its policy, by the host as it is believed. */
enum proxy_answer proxy_ask_service(const struct proxy_settings *settings)
{
    static char answer[ANSWER_MAX];
    char path[96];
    if (settings->service.https)
        return PROXY_ANSWERS;
    if (!ask(settings, "/offline", answer))
        return PROXY_SILENT;
    if (strncmp(answer + 9, "404", 3) == 0)
        return PROXY_WRONG_PREFIX;
    if (strstr(answer, "://asked.invalid"))
        return PROXY_NOT_TRUSTED;
    (void)snprintf(path, sizeof(path), "/api/events/%s", settings->event);
    return ask(settings, path, answer) && strncmp(answer + 9, "404", 3) == 0 ? PROXY_NO_EVENT
                                                                             : PROXY_ANSWERS;
}

bool proxy_is_there(const struct proxy_url *url)
{
    const int fd = connect_to(url);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

/* ---- a proxy in front of itself ---- */

/* Is it an address of this machine? Only such a one can be bound. */
static bool is_own(const struct addrinfo *info)
{
    const int fd = socket(info->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const bool own = fd >= 0 && bind(fd, info->ai_addr, info->ai_addrlen) == 0;
    if (fd >= 0)
        (void)close(fd);
    return own;
}

static bool is_any(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "[::]") == 0;
}

bool proxy_meets_itself(const struct proxy_settings *settings)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
    struct addrinfo *list = NULL;
    char host[48], listen[sizeof(settings->listen_host)];
    bool meets = false;
    (void)snprintf(listen, sizeof(listen), "%s",
                   settings->listen_host + (settings->listen_host[0] == '['));
    listen[strcspn(listen, "]")] = '\0';
    if (strcmp(settings->origin.port, settings->listen_port) != 0 ||
        getaddrinfo(settings->origin.host, NULL, &hints, &list) != 0)
        return false;
    for (const struct addrinfo *info = list; info && !meets; info = info->ai_next) {
        if (is_any(settings->listen_host))
            meets = is_own(info);
        else
            meets = getnameinfo(info->ai_addr, info->ai_addrlen, host, sizeof(host), NULL, 0,
                                NI_NUMERICHOST) == 0 &&
                    strcmp(host, listen) == 0;
    }
    freeaddrinfo(list);
    return meets;
}
