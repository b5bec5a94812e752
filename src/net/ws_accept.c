/* SPDX-License-Identifier: MIT */
/*
 * ws_accept: accepts connections, waits for the whole handshake, hands it to ws or refuses it.
 *
 * Why this way: each gateway worker has a listener of its own (SO_REUSEPORT), so that the kernel spreads
 * the connections. A handshake is only peeked at: a good one stays in the socket, where libwebsockets
 * reads it. A refused connection gets an answer and is then read until the peer closes it, because
 * closing a socket with unread bytes resets the connection and may destroy the answer.
 * Called by: ws alone. Owns: the listener and the descriptors of pending and refused connections.
 * Invariants: a handshake is pending for at most HANDSHAKE_MS; refused connections linger for at most
 * LINGER_MS and are at most REFUSED_MAX; what a peer sends takes none of our memory.
 */
#include "net/ws_accept.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "net/ws_handshake_internal.h"

#define HANDSHAKE_MS   5000
#define LINGER_MS      1000
#define SWEEP_MS       100
#define REFUSED_MAX    256
#define ACCEPTS_A_TURN 64
#define BACKLOG        4096
#define SOCKET_BUF     32768 /* the kernel doubles it; bounds what one slow reader can cost */

/* A connection whose handshake is pending, or that was refused. */
struct arrival {
    struct ws_accept *acceptor;
    struct arrival *next, *prev;
    struct loop_watch *watch;
    uint64_t deadline;
    size_t seen; /* bytes of the handshake that have arrived */
    int fd;      /* -1: handed over */
    bool refused;
    char peer[INET6_ADDRSTRLEN];
};

/* Oldest first, and so sorted by deadline. */
struct arrival_list {
    struct arrival *head, *tail;
    unsigned count;
};

struct ws_accept {
    struct ws_accept_opts opts;
    int fd; /* -1: quiesced */
    uint16_t port;
    struct loop_watch *watch;
    struct loop_timer *sweep;
    bool sweeping;
    struct arrival_list pending, refused;
    struct ws_head head; /* scratch */
};

/* ---- arrivals ---- */

static struct arrival_list *list_of(struct arrival *arrival)
{
    return arrival->refused ? &arrival->acceptor->refused : &arrival->acceptor->pending;
}

static void arrival_link(struct arrival *arrival)
{
    struct arrival_list *list = list_of(arrival);
    arrival->next = NULL;
    arrival->prev = list->tail;
    *(list->tail ? &list->tail->next : &list->head) = arrival;
    list->tail = arrival;
    list->count++;
}

static void arrival_unlink(struct arrival *arrival)
{
    struct arrival_list *list = list_of(arrival);
    *(arrival->prev ? &arrival->prev->next : &list->head) = arrival->next;
    *(arrival->next ? &arrival->next->prev : &list->tail) = arrival->prev;
    list->count--;
}

static void arrival_free(struct arrival *arrival)
{
    arrival_unlink(arrival);
    loop_watch_close(arrival->watch);
    if (arrival->fd >= 0)
        close(arrival->fd);
    free(arrival);
}

static void arrivals_free(const struct arrival_list *list)
{
    struct arrival *after;
    for (struct arrival *at = list->head; at; at = after) {
        after = at->next;
        arrival_free(at);
    }
}

static void sweep_later(struct ws_accept *acceptor)
{
    if (acceptor->sweeping)
        return;
    acceptor->sweeping = true;
    loop_timer_set(acceptor->sweep, SWEEP_MS);
}

static void on_readable(void *arg, int events);

static bool arrival_watch(struct arrival *arrival)
{
    if (!arrival->watch)
        arrival->watch =
            loop_watch_new(arrival->acceptor->opts.loop, arrival->fd, on_readable, arrival);
    if (arrival->watch)
        loop_watch_set(arrival->watch, LOOP_READ);
    return arrival->watch != NULL;
}

/* Sends the refusal, then reads until the peer closes. May free the arrival. */
static void refuse(struct arrival *arrival, unsigned status)
{
    struct ws_accept *acceptor = arrival->acceptor;
    const char *text = ws_refusal(status);
    log_debug("ws handshake refused", LOG_NUM("status", status), LOG_TEXT("peer", arrival->peer));
    arrival_unlink(arrival);
    arrival->refused = true;
    arrival->deadline = loop_now_ms(acceptor->opts.loop) + LINGER_MS;
    arrival_link(arrival);
    const int one = 1;
    setsockopt(arrival->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
    if (send(arrival->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ||
        shutdown(arrival->fd, SHUT_WR) < 0 || acceptor->refused.count > REFUSED_MAX ||
        !arrival_watch(arrival))
        arrival_free(arrival);
}

/* ---- handshakes ---- */

/* Peeks at what has arrived of the handshake. When it is complete, the connection is handed over or refused;
 * if not, the low-water mark lets the socket become readable only when there is more. */
static void handshake_advance(struct arrival *arrival)
{
    struct ws_accept *acceptor = arrival->acceptor;
    const struct ws_accept_opts *opts = &acceptor->opts;
    struct ws_head *head = &acceptor->head;
    const ssize_t got = recv(arrival->fd, head->text, WS_HEAD_MAX, MSG_PEEK | MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        arrival_free(arrival);
        return;
    }

    const size_t seen = got > 0 ? (size_t)got : 0;
    const size_t len = ws_head_len(head->text, seen);
    if (len == 0 && seen == WS_HEAD_MAX) {
        refuse(arrival, 431);
        return;
    }
    if (len == 0) {
        const int low_water = (int)seen + 1;
        const bool closed = seen > 0 && seen == arrival->seen; /* readable, yet nothing new */
        arrival->seen = seen;
        if (closed || !arrival_watch(arrival) ||
            (seen > 0 &&
             setsockopt(arrival->fd, SOL_SOCKET, SO_RCVLOWAT, &low_water, sizeof(int)) < 0))
            arrival_free(arrival);
        else
            sweep_later(acceptor);
        return;
    }

    struct ws_handshake handshake;
    unsigned status = ws_head_check(head, len, opts->path, opts->subprotocol, &handshake);
    if (status == 0 && acceptor->fd < 0)
        status = 503;
    if (status == 0) {
        const int one = 1;
        if (arrival->seen > 0)
            setsockopt(arrival->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
        handshake.peer = arrival->peer;
        loop_watch_close(arrival->watch); /* the next owner watches the fd itself */
        arrival->watch = NULL;
        status = opts->on_handshake(opts->arg, arrival->fd, &handshake);
    }
    if (status) {
        refuse(arrival, status);
        return;
    }
    arrival->fd = -1;
    arrival_free(arrival);
}

static void on_readable(void *arg, int events)
{
    struct arrival *arrival = arg;
    (void)events;
    if (!arrival->refused) {
        handshake_advance(arrival);
        return;
    }
    char *scratch = arrival->acceptor->head.text;
    const ssize_t got = recv(arrival->fd, scratch, WS_HEAD_MAX, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        arrival_free(arrival);
}

/* ---- accepting ---- */

union address {
    struct sockaddr_in6 v6; /* first: the larger one is what {0} clears */
    struct sockaddr_in v4;
    struct sockaddr any;
};

/* False when no connection waits, or none can be accepted now. */
static bool accept_one(struct ws_accept *acceptor)
{
    union address addr = {0};
    socklen_t len = sizeof(addr);
    const int fd = accept4(acceptor->fd, &addr.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
        return errno != EAGAIN;
    if (fd < 0) { /* no descriptors or no memory: tries again when some may be back */
        log_warn("ws accept failed", LOG_TEXT("error", strerrordesc_np(errno)));
        loop_watch_set(acceptor->watch, 0);
        sweep_later(acceptor);
        return false;
    }
    const struct ws_accept_opts *opts = &acceptor->opts;
    const bool full = acceptor->pending.count + opts->open(opts->arg) >= opts->limit;
    struct arrival *arrival = xcalloc(1, sizeof(*arrival));
    arrival->acceptor = acceptor;
    arrival->fd = fd;
    arrival->deadline = loop_now_ms(opts->loop) + HANDSHAKE_MS;
    const struct in6_addr *v6 = &addr.v6.sin6_addr;
    if (addr.any.sa_family == AF_INET)
        inet_ntop(AF_INET, &addr.v4.sin_addr, arrival->peer, sizeof(arrival->peer));
    else if (IN6_IS_ADDR_V4MAPPED(v6))
        inet_ntop(AF_INET, &v6->s6_addr[12], arrival->peer, sizeof(arrival->peer));
    else
        inet_ntop(AF_INET6, v6, arrival->peer, sizeof(arrival->peer));
    arrival_link(arrival);
    if (full) {
        refuse(arrival, 503);
        sweep_later(acceptor);
    } else {
        handshake_advance(arrival); /* most often it has arrived already */
    }
    return true;
}

static void on_acceptable(void *arg, int events)
{
    struct ws_accept *acceptor = arg;
    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN && acceptor->fd >= 0; i++)
        if (!accept_one(acceptor))
            return;
}

/* ---- deadlines ---- */

static void on_sweep(void *arg)
{
    struct ws_accept *acceptor = arg;
    uint64_t now = loop_now_ms(acceptor->opts.loop);
    acceptor->sweeping = false;
    struct arrival *after;
    for (struct arrival *at = acceptor->refused.head; at && at->deadline <= now; at = after) {
        after = at->next;
        arrival_free(at);
    }
    for (struct arrival *at = acceptor->pending.head; at && at->deadline <= now; at = after) {
        after = at->next;
        refuse(at, 408);
    }
    if (acceptor->watch)
        loop_watch_set(acceptor->watch, LOOP_READ);
    if (acceptor->refused.head || acceptor->pending.head)
        sweep_later(acceptor);
}

/* ---- open, close ---- */

/* A listening socket; -1 (logged) when there can be none. Resolves the host blocking: once, before anything
 * is served. */
static int listener_open(const char *host, uint16_t port)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    const int one = 1, size = SOCKET_BUF;
    struct addrinfo *found = NULL;
    char text[8];
    snprintf(text, sizeof(text), "%u", port);
    const int rc = getaddrinfo(host, text, &hints, &found);
    int fd = rc ? -1 : socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        /* What is set here holds for every accepted socket. */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        log_error("ws listen failed", LOG_TEXT("host", host), LOG_NUM("port", port),
                  LOG_TEXT("error", rc ? gai_strerror(rc) : strerrordesc_np(errno)));
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    if (found)
        freeaddrinfo(found);
    return fd;
}

enum status ws_accept_open(const struct ws_accept_opts *opts, struct ws_accept **ret_acceptor)
{
    int fd = listener_open(opts->host, opts->port);
    if (fd < 0)
        return ST_UNAVAILABLE;
    struct ws_accept *acceptor = xcalloc(1, sizeof(*acceptor));
    acceptor->opts = *opts;
    acceptor->fd = fd;
    union address addr = {0};
    socklen_t len = sizeof(addr);
    if (getsockname(fd, &addr.any, &len) == 0)
        acceptor->port =
            ntohs(addr.any.sa_family == AF_INET6 ? addr.v6.sin6_port : addr.v4.sin_port);
    acceptor->sweep = loop_timer_new(opts->loop, on_sweep, acceptor);
    acceptor->watch = loop_watch_new(opts->loop, fd, on_acceptable, acceptor);
    if (!acceptor->watch) {
        ws_accept_close(acceptor);
        return ST_UNAVAILABLE;
    }
    loop_watch_set(acceptor->watch, LOOP_READ);
    *ret_acceptor = acceptor;
    return ST_OK;
}

uint16_t ws_accept_port(const struct ws_accept *acceptor)
{
    return acceptor->port;
}

static void listener_close(struct ws_accept *acceptor)
{
    loop_watch_close(acceptor->watch);
    acceptor->watch = NULL;
    if (acceptor->fd >= 0)
        close(acceptor->fd);
    acceptor->fd = -1;
}

void ws_accept_quiesce(struct ws_accept *acceptor)
{
    if (acceptor->fd < 0)
        return;
    /* Closing the listener resets the connections in its queue: they are accepted first and get 503. */
    acceptor->opts.limit = 0;
    for (int i = 0; i < BACKLOG && accept_one(acceptor); i++)
        continue;
    listener_close(acceptor);
    struct arrival *after;
    for (struct arrival *at = acceptor->pending.head; at; at = after) {
        after = at->next;
        refuse(at, 503);
    }
    sweep_later(acceptor);
}

void ws_accept_close(struct ws_accept *acceptor)
{
    if (!acceptor)
        return;
    listener_close(acceptor);
    arrivals_free(&acceptor->pending);
    arrivals_free(&acceptor->refused);
    loop_timer_close(acceptor->sweep);
    free(acceptor);
}
