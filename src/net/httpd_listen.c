/* SPDX-License-Identifier: MIT */
/*
 * httpd_listen: the listening sockets of one worker, and the 503 for connections over its limit.
 *
 * Why this way: at its connection limit libmicrohttpd stops accepting, and clients wait without an answer. This file
 * accepts the connection, answers 503 with Retry-After, and keeps the socket open for a moment: closing it at once,
 * with its request unread, would reset the connection and might destroy the response on its way.
 * The kernel's queue of new connections has at most net.core.somaxconn (4,096) entries. Connections that do not fit
 * are dropped, and their clients try again after one second, then after three: in a rush of 20,000 connections a
 * second that would be most of the latency. Each listening socket on the same port (SO_REUSEPORT) has a queue of its
 * own, so there are several. A turn of the loop accepts no more connections than it can answer; the others wait in
 * the kernel's queue, in order.
 * When the worker's core is what is short, that queue would grow until each connection in it is answered too late, and
 * refusing costs nearly as much as answering. So while requests wait for longer than a second, a queue is cut to what half
 * a second takes: what does not fit costs nothing, and its client's kernel tries again.
 * Called by: httpd. Owns: the listening sockets and the few refused ones.
 * Invariants: at most REFUSED_MAX refused sockets are kept; a further one closes the oldest. When no descriptor is
 * free, accepting pauses for a second instead of busy-looping.
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
#include "net/tcp_progress.h"

#define BACKLOG         4096 /* the kernel cuts it to net.core.somaxconn */
#define BACKLOG_MIN     16
#define LONG_WAIT_MS    1000
#define SHORT_WAIT_MS   250
#define SOCKETS         8
#define ACCEPTS_A_TURN  8 /* connections per socket and turn of the loop */
#define REFUSED_MAX     32
#define REFUSED_KEEP_MS 1000
#define PAUSE_MS        1000

/* A problem document, like those of the api. */
#define REFUSAL_BODY                                                                               \
    "{\"type\":\"urn:tiketi:problem:no-room\",\"title\":\"Service Unavailable\",\"status\":503,"   \
    "\"code\":\"no-room\",\"detail\":\"The server is at its limit of connections: try again "      \
    "shortly.\"}"
static const char refusal[] = "HTTP/1.1 503 Service Unavailable\r\n"
                              "Content-Type: application/problem+json\r\n"
                              "Content-Length: 170\r\n"
                              "Retry-After: 1\r\n"
                              "Connection: close\r\n"
                              "\r\n" REFUSAL_BODY;
_Static_assert(sizeof(REFUSAL_BODY) - 1 == 170, "the length in the head");

/* One listening socket. */
struct queue {
    struct httpd_listen *listener;
    int fd; /* -1: stopped */
    struct loop_watch *watch;
};

struct httpd_listen {
    struct loop *loop;
    struct queue queues[SOCKETS];
    bool begun, stopped;
    uint16_t port;
    unsigned accepted;        /* in this second */
    int backlog;              /* of each socket */
    struct loop_timer *timer; /* closes refused sockets, and ends a pause of accepting */
    httpd_accept_cb cb;
    void *arg;
    struct {
        int fd;
        uint64_t until_ms;
    } refused[REFUSED_MAX]; /* a ring, oldest first */
    unsigned refused_at, refused_count;
};

/* ---- connections over the limit ---- */

static void refused_drop_oldest(struct httpd_listen *listener)
{
    close(listener->refused[listener->refused_at].fd);
    listener->refused_at = (listener->refused_at + 1) % REFUSED_MAX;
    listener->refused_count--;
}

void httpd_listen_linger(struct httpd_listen *listener, int fd)
{
    if (listener->refused_count == REFUSED_MAX)
        refused_drop_oldest(listener);
    const unsigned at = (listener->refused_at + listener->refused_count++) % REFUSED_MAX;
    listener->refused[at].fd = fd;
    listener->refused[at].until_ms = loop_now_ms(listener->loop) + REFUSED_KEEP_MS;
    if (listener->refused_count == 1)
        loop_timer_set(listener->timer, REFUSED_KEEP_MS);
}

static void refuse(struct httpd_listen *listener, int fd)
{
    const ssize_t sent = send(fd, refusal, sizeof(refusal) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 || shutdown(fd, SHUT_WR) < 0)
        close(fd);
    else
        httpd_listen_linger(listener, fd);
}

/* Closes the refused sockets whose time is over, and ends a pause of accepting. */
static void on_listen_timer(void *arg)
{
    struct httpd_listen *listener = arg;
    const uint64_t now = loop_now_ms(listener->loop);
    while (listener->refused_count && listener->refused[listener->refused_at].until_ms <= now)
        refused_drop_oldest(listener);
    if (listener->refused_count)
        loop_timer_set(listener->timer, listener->refused[listener->refused_at].until_ms - now);
    for (int i = 0; i < SOCKETS && !listener->stopped; i++)
        loop_watch_set(listener->queues[i].watch, LOOP_READ);
}

/* ---- accepting ---- */

/* Accepts one connection. False: no connection waits, or none can be accepted now. */
static bool accept_one(struct queue *queue)
{
    struct httpd_listen *listener = queue->listener;
    struct sockaddr_storage addr;
    socklen_t len = sizeof(addr);
    int fd = accept4(queue->fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        listener->accepted++;
        if (!listener->cb(listener->arg, fd, (struct sockaddr *)&addr, len))
            refuse(listener, fd);
        return true;
    }
    if (errno == ECONNABORTED || errno == EINTR)
        return true;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return false;
    log_error("http accept failed, paused for a second", LOG_TEXT("error", strerrordesc_np(errno)));
    /* No descriptors or no memory are left: all sockets pause, and accept again after a second. */
    if (queue->watch) {
        for (int i = 0; i < SOCKETS; i++)
            if (listener->queues[i].watch)
                loop_watch_set(listener->queues[i].watch, 0);
        loop_timer_set(listener->timer, PAUSE_MS);
    }
    return false;
}

static void on_listen_ready(void *arg, int events)
{
    struct queue *queue = arg;
    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN && queue->fd >= 0; i++)
        if (!accept_one(queue))
            return;
}

void httpd_listen_pace(struct httpd_listen *listener, uint64_t age_ms)
{
    const unsigned half = listener->accepted / SOCKETS / 2; /* what is accepted in half a second */
    int backlog = listener->backlog;
    listener->accepted = 0;
    if (age_ms > LONG_WAIT_MS)
        backlog = half < BACKLOG_MIN ? BACKLOG_MIN : half < BACKLOG ? (int)half : BACKLOG;
    else if (age_ms < SHORT_WAIT_MS)
        backlog = backlog < BACKLOG / 8 ? 8 * backlog : BACKLOG;
    if (backlog == listener->backlog || !listener->begun || listener->stopped)
        return;
    log_info("http queue of new connections changed", LOG_NUM("was", listener->backlog),
             LOG_NUM("is", backlog), LOG_NUM("waitMs", age_ms));
    listener->backlog = backlog;
    for (int i = 0; i < SOCKETS; i++)
        if (listener->queues[i].fd >= 0)
            (void)listen(listener->queues[i].fd,
                         backlog); /* it listens already: this cannot fail */
}

/* ---- binding ---- */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Returns a bound socket; or -1, with errno set. */
static int bound_fd(const union address *addr, socklen_t len)
{
    const int one = 1, zero = 0;
    const int fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    tcp_bound_unsent(fd);
    if (addr->any.sa_family == AF_INET6) /* "::" takes IPv4 as well */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0 ||
        bind(fd, &addr->any, len) < 0) {
        const int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static void queues_close(struct httpd_listen *listener)
{
    for (int i = 0; i < SOCKETS; i++) {
        struct queue *queue = &listener->queues[i];
        loop_watch_close(queue->watch);
        queue->watch = NULL;
        while (listener->begun && queue->fd >= 0 && accept_one(queue))
            continue;
        if (queue->fd >= 0)
            close(queue->fd);
        queue->fd = -1;
    }
    listener->stopped = true;
}

enum status httpd_listen_open(struct loop *loop, const char *host, uint16_t port,
                              httpd_accept_cb cb, void *arg, struct httpd_listen **ret_listen)
{
    union address addr;
    socklen_t len;
    memset(&addr, 0, sizeof(addr));
    if (inet_pton(AF_INET, host, &addr.v4.sin_addr) == 1) {
        addr.v4.sin_family = AF_INET;
        addr.v4.sin_port = htons(port);
        len = sizeof(addr.v4);
    } else if (inet_pton(AF_INET6, host, &addr.v6.sin6_addr) == 1) {
        addr.v6.sin6_family = AF_INET6;
        addr.v6.sin6_port = htons(port);
        len = sizeof(addr.v6);
    } else {
        return ST_INVALID;
    }

    struct httpd_listen *listener = xcalloc(1, sizeof(*listener));
    listener->loop = loop;
    listener->backlog = BACKLOG;
    listener->cb = cb;
    listener->arg = arg;
    for (int i = 0; i < SOCKETS; i++)
        listener->queues[i] = (struct queue){.listener = listener, .fd = -1};
    for (int i = 0; i < SOCKETS; i++) {
        struct queue *queue = &listener->queues[i];
        queue->fd = bound_fd(&addr, len);
        /* The first socket binds the port (any free one for 0); the others bind the same port. */
        if (queue->fd < 0 || getsockname(queue->fd, &addr.any, &len) < 0) {
            const int error = errno;
            log_error("http listen failed", LOG_TEXT("host", host), LOG_NUM("port", port),
                      LOG_TEXT("error", strerrordesc_np(error)));
            queues_close(listener);
            free(listener);
            return error == EADDRINUSE ? ST_CONFLICT : ST_UNAVAILABLE;
        }
    }
    listener->port = ntohs(addr.any.sa_family == AF_INET6 ? addr.v6.sin6_port : addr.v4.sin_port);
    listener->timer = loop_timer_new(loop, on_listen_timer, listener);
    *ret_listen = listener;
    return ST_OK;
}

enum status httpd_listen_begin(struct httpd_listen *listener)
{
    for (int i = 0; i < SOCKETS; i++) {
        struct queue *queue = &listener->queues[i];
        if (listen(queue->fd, listener->backlog) < 0) {
            log_error("http listen failed", LOG_NUM("port", listener->port),
                      LOG_TEXT("error", strerrordesc_np(errno)));
            return ST_UNAVAILABLE;
        }
        queue->watch = loop_watch_new(listener->loop, queue->fd, on_listen_ready, queue);
        loop_watch_set(queue->watch, LOOP_READ);
    }
    listener->begun = true;
    return ST_OK;
}

uint16_t httpd_listen_port(const struct httpd_listen *listener)
{
    return listener->port;
}

void httpd_listen_stop(struct httpd_listen *listener)
{
    if (!listener->stopped)
        queues_close(listener);
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
