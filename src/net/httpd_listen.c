/* SPDX-License-Identifier: MIT */
/*
 * httpd_listen: a listening socket of one worker, and a polite word for those it has no room for.
 *
 * Why this way: libmicrohttpd at its connection limit just stops to accept, and the peer hangs until
 * it gives up. Here the socket is accepted, told 503 with Retry-After, and kept for a moment: closing
 * it at once would reset it (its request is unread) and might take the answer away again.
 * The kernel cuts a queue of new connections at net.core.somaxconn (4,096) and drops who does not fit,
 * so that he tries again after a second, then three: in a rush of 20,000 a second that is where
 * the latency comes from. Several sockets on the same port (SO_REUSEPORT) are as many queues; and we take
 * no more in a turn than we answer in it, so that who waits waits there, in order.
 * Called by: httpd.c. Owns: the listeners and the few refused sockets.
 * Invariants: at most REFUSED_MAX refused sockets are kept; the oldest goes first. Without a free
 * descriptor accepting pauses for a second instead of spinning.
 */
#include "net/httpd_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"

#define BACKLOG         4096 /* the kernel cuts it to net.core.somaxconn */
#define QUEUES          8
#define ACCEPTS_A_TURN  8 /* of each */
#define REFUSED_MAX     32
#define REFUSED_KEEP_MS 1000
#define PAUSE_MS        1000

/* In the form of the api's own problems. */
#define REFUSAL_BODY                                                                               \
    "{\"type\":\"urn:tiketi:problem:no-room\",\"title\":\"Service Unavailable\",\"status\":503,"   \
    "\"code\":\"no-room\",\"detail\":\"No room for another connection: try again shortly.\"}"
static const char refusal[] = "HTTP/1.1 503 Service Unavailable\r\n"
                              "Content-Type: application/problem+json\r\n"
                              "Content-Length: 159\r\n"
                              "Retry-After: 1\r\n"
                              "Connection: close\r\n"
                              "\r\n" REFUSAL_BODY;
_Static_assert(sizeof(REFUSAL_BODY) - 1 == 159, "the length in the head");

struct httpd_listen;

/* One of the sockets that listen. */
struct door {
    struct httpd_listen *listener;
    int fd; /* -1: stopped */
    struct loop_watch *watch;
};

struct httpd_listen {
    struct loop *loop;
    struct door doors[QUEUES];
    bool stopped;
    uint16_t port;
    struct loop_timer *timer; /* the oldest refused socket, or the end of a pause */
    httpd_accept_cb cb;
    void *arg;
    struct {
        int fd;
        uint64_t until_ms;
    } refused[REFUSED_MAX]; /* a ring, oldest first */
    unsigned refused_at, refused_count;
};

/* ---- those without room ---- */

static void refused_drop_oldest(struct httpd_listen *listener)
{
    close(listener->refused[listener->refused_at].fd);
    listener->refused_at = (listener->refused_at + 1) % REFUSED_MAX;
    listener->refused_count--;
}

static void refuse(struct httpd_listen *listener, int fd)
{
    ssize_t sent = send(fd, refusal, sizeof(refusal) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 || shutdown(fd, SHUT_WR) < 0) {
        close(fd);
        return;
    }
    if (listener->refused_count == REFUSED_MAX)
        refused_drop_oldest(listener);
    unsigned at = (listener->refused_at + listener->refused_count++) % REFUSED_MAX;
    listener->refused[at].fd = fd;
    listener->refused[at].until_ms = loop_now_ms(listener->loop) + REFUSED_KEEP_MS;
    loop_timer_set(listener->timer, REFUSED_KEEP_MS);
    log_warn("httpd: no room for a connection");
}

/* Closes those whose time is up, and goes on accepting after a pause. */
static void on_listen_timer(void *arg)
{
    struct httpd_listen *listener = arg;
    uint64_t now = loop_now_ms(listener->loop);
    while (listener->refused_count && listener->refused[listener->refused_at].until_ms <= now)
        refused_drop_oldest(listener);
    if (listener->refused_count)
        loop_timer_set(listener->timer, listener->refused[listener->refused_at].until_ms - now);
    for (int i = 0; i < QUEUES && !listener->stopped; i++)
        loop_watch_set(listener->doors[i].watch, LOOP_READ);
}

/* ---- accepting ---- */

/* No descriptors, no memory: all look again when some may be back. */
static void pause_accepting(struct httpd_listen *listener)
{
    for (int i = 0; i < QUEUES; i++)
        if (listener->doors[i].watch)
            loop_watch_set(listener->doors[i].watch, 0);
    loop_timer_set(listener->timer, PAUSE_MS);
}

/* False when nothing waits any more, or nothing can be taken. */
static bool accept_one(struct door *door)
{
    struct httpd_listen *listener = door->listener;
    struct sockaddr_storage addr;
    socklen_t len = sizeof(addr);
    int fd = accept4(door->fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        if (!listener->cb(listener->arg, fd, (struct sockaddr *)&addr, len))
            refuse(listener, fd);
        return true;
    }
    if (errno == ECONNABORTED || errno == EINTR)
        return true;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return false;
    log_error("httpd: cannot accept", LOG_TEXT("reason", strerrordesc_np(errno)));
    if (door->watch)
        pause_accepting(listener);
    return false;
}

static void on_listen_ready(void *arg, int events)
{
    struct door *door = arg;
    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN && door->fd >= 0; i++)
        if (!accept_one(door))
            return;
}

/* ---- binding ---- */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* The length of the address; 0 when `host` is neither an IPv4 nor an IPv6 literal. */
static socklen_t address_parse(const char *host, uint16_t port, union address *out)
{
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        return sizeof(out->v4);
    }
    if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(port);
        return sizeof(out->v6);
    }
    return 0;
}

/* A listening socket, or -1 with errno. */
static int listen_fd(const union address *addr, socklen_t len)
{
    int one = 1, zero = 0;
    int fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (addr->any.sa_family == AF_INET6) /* "::" takes IPv4 as well */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0 ||
        bind(fd, &addr->any, len) < 0 || listen(fd, BACKLOG) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static enum status listen_failed(const char *host, uint16_t port)
{
    int error = errno;
    log_error("httpd: cannot listen", LOG_TEXT("host", host), LOG_NUM("port", port),
              LOG_TEXT("reason", strerrordesc_np(error)));
    return error == EADDRINUSE ? ST_CONFLICT : ST_UNAVAILABLE;
}

/* The first takes the port, the others share it. False: errno says why. */
static bool doors_open(struct httpd_listen *listener, union address *addr, socklen_t len)
{
    for (int i = 0; i < QUEUES; i++) {
        struct door *door = &listener->doors[i];
        door->listener = listener;
        door->fd = listen_fd(addr, len);
        if (door->fd < 0 || getsockname(door->fd, &addr->any, &len) < 0)
            return false;
        door->watch = loop_watch_new(listener->loop, door->fd, on_listen_ready, door);
        loop_watch_set(door->watch, LOOP_READ);
    }
    return true;
}

static void doors_close(struct httpd_listen *listener)
{
    for (int i = 0; i < QUEUES; i++) {
        struct door *door = &listener->doors[i];
        loop_watch_close(door->watch);
        door->watch = NULL;
        while (listener->port && door->fd >= 0 && accept_one(door))
            ;
        if (door->fd >= 0)
            close(door->fd);
        door->fd = -1;
    }
    listener->stopped = true;
}

enum status httpd_listen_open(struct loop *loop, const char *host, uint16_t port,
                              httpd_accept_cb cb, void *arg, struct httpd_listen **ret_listen)
{
    union address addr;
    socklen_t len = address_parse(host, port, &addr);
    if (!len)
        return ST_INVALID;
    struct httpd_listen *listener = xcalloc(1, sizeof(*listener));
    listener->loop = loop;
    listener->cb = cb;
    listener->arg = arg;
    for (int i = 0; i < QUEUES; i++)
        listener->doors[i].fd = -1;
    if (!doors_open(listener, &addr, len)) {
        enum status st = listen_failed(host, port);
        doors_close(listener);
        free(listener);
        return st;
    }
    listener->port = ntohs(addr.any.sa_family == AF_INET6 ? addr.v6.sin6_port : addr.v4.sin_port);
    listener->timer = loop_timer_new(loop, on_listen_timer, listener);
    *ret_listen = listener;
    return ST_OK;
}

uint16_t httpd_listen_port(const struct httpd_listen *listener)
{
    return listener->port;
}

void httpd_listen_stop(struct httpd_listen *listener)
{
    if (!listener->stopped)
        doors_close(listener);
}

void httpd_listen_close(struct httpd_listen *listener)
{
    if (!listener)
        return;
    httpd_listen_stop(listener);
    while (listener->refused_count)
        refused_drop_oldest(listener);
    loop_timer_close(listener->timer);
    free(listener);
}
