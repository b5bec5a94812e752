/* SPDX-License-Identifier: MIT */
/*
 * ws_accept: accepts connections, waits for the whole handshake, then passes the connection to ws or refuses it.
 *
 * Why this way: each gateway worker has a listener of its own (SO_REUSEPORT), so that the kernel spreads
 * the connections. A handshake is read with MSG_PEEK, and taken off the socket when it is good. A socket counts for
 * its address from the moment it is accepted; behind a trusted proxy, from its handshake on. A refused connection gets a
 * response and is then read until the peer closes it,
 * because closing a socket with unread bytes resets the connection and may destroy the response.
 * Called by: ws alone. Owns: the listener and the descriptors of pending and refused connections.
 * Invariants: a handshake is pending for at most HANDSHAKE_MS; at most REFUSED_MAX refused connections are kept, each
 * for at most LINGER_MS; bytes that a peer sends are never stored per connection.
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
#include "base/metrics.h"
#include "net/forwarded.h"
#include "net/ws_handshake_internal.h"

#define HANDSHAKE_MS   5000
#define LINGER_MS      1000
#define SWEEP_MS       100
#define REFUSED_MAX    256
#define ACCEPTS_A_TURN 64
#define BACKLOG        4096
#define SOCKET_BUF     32768 /* bytes, doubled by the kernel: bounds the memory of one slow reader */

/* A connection whose handshake is pending, or which was refused. */
struct arrival {
    struct ws_accept *acceptor;
    struct arrival *next, *prev;
    struct loop_watch *watch;
    uint64_t deadline;
    struct client_share *share; /* NULL: it does not count, or not yet */
    size_t seen;                /* bytes of the handshake that have arrived */
    int fd;                     /* -1: ws has taken it */
    bool refused;
    char peer[INET6_ADDRSTRLEN];
};

/* Sorted by deadline, because the oldest is first. */
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
    struct ws_head head;     /* reused for each handshake */
    char taken[WS_HEAD_MAX]; /* bytes of a head that was read in `head` already */
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
    client_share_give(arrival->acceptor->opts.client_limit, arrival->share);
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

static void count_refusal(const struct ws_accept *acceptor, unsigned status)
{
    if (status == 503)
        metrics_add(acceptor->fd < 0 ? METRIC_WS_REFUSED_DRAINING : METRIC_WS_REFUSED_LIMIT, 1);
    else if (status == 403)
        metrics_add(METRIC_WS_REFUSED_ORIGIN, 1);
    else if (status == 408)
        metrics_add(METRIC_WS_REFUSED_TIMEOUT, 1);
    else if (status != 429) /* whoever met a limit of one address has counted it */
        metrics_add(METRIC_WS_REFUSED_INVALID, 1);
}

/* Sends the refusal, which is `text` (static; NULL: the usual one of the status); the connection is then read until the
 * peer closes it. May free the arrival. */
static void refuse_with(struct arrival *arrival, unsigned status, const char *text)
{
    struct ws_accept *acceptor = arrival->acceptor;
    if (!text)
        text = ws_refusal(status);
    count_refusal(acceptor, status);
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

static void refuse(struct arrival *arrival, unsigned status)
{
    refuse_with(arrival, status, NULL);
}

/* ---- limits of one address ---- */

/* Counts the socket for its address. False: it has all that it may have. */
static bool take_share(struct arrival *arrival, const char *forwarded_for)
{
    struct client_limit *limit = arrival->acceptor->opts.client_limit;
    char address[CLIENT_IP_SIZE];
    if (!limit || arrival->share ||
        !client_limit_address(limit, arrival->peer, forwarded_for, address) ||
        client_share_take(limit, CLIENT_SOCKETS, address, &arrival->share))
        return true;
    client_limit_met(limit, arrival->peer, forwarded_for,
                     loop_now_ms(arrival->acceptor->opts.loop));
    metrics_add(METRIC_WS_REFUSED_SOCKETS, 1);
    return false;
}

/* Does the address have a handshake, and a socket, left? Returns 0, else the status to refuse it with. */
static unsigned within_limits(struct arrival *arrival, const struct ws_handshake *handshake)
{
    struct client_limit *limit = arrival->acceptor->opts.client_limit;
    const uint64_t now = loop_now_ms(arrival->acceptor->opts.loop);
    char address[CLIENT_IP_SIZE], list[FORWARDED_FOR_SIZE];
    const char *from = handshake->forwarded_for;
    if (*from == '\0' && *handshake->forwarded) {
        forwarded_for(handshake->forwarded, list);
        from = list;
    }
    if (!limit || !client_limit_address(limit, arrival->peer, from, address))
        return 0;
    if (client_limit_take(limit, CLIENT_REQUESTS, address, now))
        return take_share(arrival, from) ? 0 : 429;
    client_limit_met(limit, arrival->peer, from, now);
    metrics_add(METRIC_WS_REFUSED_RATE, 1);
    return 429;
}

/* ---- handshakes ---- */

/* Peeks at the bytes of the handshake that have arrived. When it is complete, passes the connection to ws or refuses
 * it. Otherwise raises the low-water mark (SO_RCVLOWAT), so that the socket becomes readable only when more bytes
 * arrive. */
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
        const bool closed = seen > 0 && seen == arrival->seen; /* readable, but without new bytes */
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
    unsigned status = ws_head_check(head, len, opts->endpoints, opts->endpoint_count, &handshake);
    if (status == 0 && acceptor->fd < 0)
        status = 503;
    handshake.peer = arrival->peer;
    if (status == 0)
        status = within_limits(arrival, &handshake);
    /* The head is taken off the socket but for its last byte: that one makes the socket readable, so that the library
     * begins to read. The first frames follow it. */
    if (status == 0 &&
        recv(arrival->fd, acceptor->taken, len - 1, MSG_DONTWAIT) != (ssize_t)(len - 1)) {
        arrival_free(arrival);
        return;
    }
    if (status == 0) {
        const int one = 1;
        if (arrival->seen > 0)
            setsockopt(arrival->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
        loop_watch_close(arrival->watch); /* ws, the next owner, watches the fd itself */
        arrival->watch = NULL;
        status = opts->on_handshake(opts->arg, arrival->fd, &handshake, arrival->share);
    }
    if (status) {
        refuse_with(arrival, status, head->refusal);
        return;
    }
    arrival->fd = -1;
    arrival->share = NULL;
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
    struct sockaddr_in6
        v6; /* first, because {0} clears only the first member and this is the largest */
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
    if (fd < 0) { /* no descriptors or no memory are left: on_sweep tries again */
        log_warn("ws accept failed, tried again soon", LOG_TEXT("error", strerrordesc_np(errno)));
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
    } else if (!client_limit_forwards(opts->client_limit, arrival->peer) &&
               !take_share(arrival, NULL)) {
        refuse(arrival, 429);
        sweep_later(acceptor);
    } else {
        handshake_advance(arrival); /* usually the handshake has arrived already */
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

/* Returns a bound socket; -1 (logged) when the address cannot be used. Resolving the host blocks, but
 * only once, before the worker serves anything. */
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
        /* Accepted sockets inherit these options. */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) < 0) {
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
    *ret_acceptor = acceptor;
    return ST_OK;
}

enum status ws_accept_begin(struct ws_accept *acceptor)
{
    if (listen(acceptor->fd, BACKLOG) < 0) {
        log_error("ws listen failed", LOG_NUM("port", acceptor->port),
                  LOG_TEXT("error", strerrordesc_np(errno)));
        return ST_UNAVAILABLE;
    }
    acceptor->watch = loop_watch_new(acceptor->opts.loop, acceptor->fd, on_acceptable, acceptor);
    if (!acceptor->watch)
        return ST_UNAVAILABLE;
    loop_watch_set(acceptor->watch, LOOP_READ);
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
    /* Closing the listener would reset the connections in its queue, so they are accepted first and get 503. */
    acceptor->opts.limit = 0;
    for (int i = 0; i < BACKLOG && acceptor->watch && accept_one(acceptor); i++)
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
