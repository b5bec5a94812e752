/* SPDX-License-Identifier: MIT */
/*
 * ws_accept: the door of ws: accepts, waits for the whole handshake, hands it on or turns it away.
 *
 * Why this way: each gateway worker has a listener of its own (SO_REUSEPORT), so the kernel spreads
 * the arrivals. A handshake is only peeked at: what is good stays in the socket and libwebsockets
 * reads it there. Who is turned away gets an answer, then is read until he hangs up, because
 * closing over unread bytes would reset the connection and destroy the answer.
 * Called by: ws alone. Owns: the listener and the guests' descriptors.
 * Invariants: guests wait at most HANDSHAKE_MS, the turned away linger at most LINGER_MS and are at
 * most LEAVING_MAX; a arrival takes no memory for what he sends.
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
#include "net/ws_handshake.h"

#define HANDSHAKE_MS 5000
#define LINGER_MS    1000
#define SWEEP_MS     100
#define LEAVING_MAX  256
#define ACCEPT_MAX   64 /* in one turn of the loop */
#define BACKLOG      4096
#define SOCKET_BUF   32768 /* the kernel doubles it; bounds what one slow reader can cost */

struct arrival {
    struct ws_accept *acceptor;
    struct arrival *next, *prev;
    struct loop_watch *watch;
    uint64_t deadline;
    size_t seen; /* bytes of his handshake so far */
    int fd;
    bool leaving;
    char peer[INET6_ADDRSTRLEN];
};

/* In the order they came, and so of their deadlines. */
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
    struct arrival_list waiting, leaving;
    struct ws_head head;
};

/* ---- guests ---- */

static struct arrival_list *list_of(struct arrival *arrival)
{
    return arrival->leaving ? &arrival->acceptor->leaving : &arrival->acceptor->waiting;
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

/* Says so, then reads on until he hangs up. */
static void turn_away(struct arrival *arrival, unsigned status)
{
    struct ws_accept *acceptor = arrival->acceptor;
    const char *text = ws_refusal(status);
    log_debug("ws: turned away", LOG_NUM("status", status), LOG_TEXT("peer", arrival->peer));
    arrival_unlink(arrival);
    arrival->leaving = true;
    arrival->deadline = loop_now_ms(acceptor->opts.loop) + LINGER_MS;
    arrival_link(arrival);
    int one = 1;
    setsockopt(arrival->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
    if (send(arrival->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ||
        shutdown(arrival->fd, SHUT_WR) < 0 || acceptor->leaving.count > LEAVING_MAX ||
        !arrival_watch(arrival))
        arrival_free(arrival);
}

static void read_away(struct arrival *arrival)
{
    char *scratch = arrival->acceptor->head.text;
    ssize_t got = recv(arrival->fd, scratch, WS_HEAD_MAX, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        arrival_free(arrival);
}

/* ---- handshakes ---- */

static void judge(struct arrival *arrival, size_t len)
{
    struct ws_accept *acceptor = arrival->acceptor;
    const struct ws_accept_opts *opts = &acceptor->opts;
    struct ws_handshake handshake;
    unsigned status =
        ws_head_judge(&acceptor->head, len, opts->path, opts->subprotocol, &handshake);
    if (status == 0 && acceptor->fd < 0)
        status = 503;
    if (status == 0) {
        int one = 1;
        if (arrival->seen > 0)
            setsockopt(arrival->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
        handshake.peer = arrival->peer;
        loop_watch_close(arrival->watch); /* the next owner watches it himself */
        arrival->watch = NULL;
        status = opts->on_handshake(opts->arg, arrival->fd, &handshake);
    }
    if (status) {
        turn_away(arrival, status);
        return;
    }
    arrival->fd = -1;
    arrival_free(arrival);
}

/* The head is not whole: wakes us when there is more than we have seen. */
static void wait_for_more(struct arrival *arrival, size_t seen)
{
    int low_water = (int)seen + 1;
    bool stuck = seen > 0 && seen == arrival->seen; /* readable, yet nothing new: he hung up */
    arrival->seen = seen;
    if (stuck || !arrival_watch(arrival) ||
        (seen > 0 &&
         setsockopt(arrival->fd, SOL_SOCKET, SO_RCVLOWAT, &low_water, sizeof(int)) < 0)) {
        arrival_free(arrival);
        return;
    }
    sweep_later(arrival->acceptor);
}

static void peek(struct arrival *arrival)
{
    struct ws_head *head = &arrival->acceptor->head;
    ssize_t got = recv(arrival->fd, head->text, WS_HEAD_MAX, MSG_PEEK | MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        arrival_free(arrival);
        return;
    }
    size_t seen = got > 0 ? (size_t)got : 0;
    size_t len = ws_head_len(head->text, seen);
    if (len > 0)
        judge(arrival, len);
    else if (seen == WS_HEAD_MAX)
        turn_away(arrival, 431);
    else
        wait_for_more(arrival, seen);
}

static void on_readable(void *arg, int events)
{
    struct arrival *arrival = arg;
    (void)events;
    if (arrival->leaving)
        read_away(arrival);
    else
        peek(arrival);
}

/* ---- accepting ---- */

union address {
    struct sockaddr_in6 v6; /* first: the larger one is what {0} clears */
    struct sockaddr_in v4;
    struct sockaddr any;
};

static void peer_text(const union address *addr, char *out)
{
    const struct in6_addr *v6 = &addr->v6.sin6_addr;
    if (addr->any.sa_family == AF_INET)
        inet_ntop(AF_INET, &addr->v4.sin_addr, out, INET6_ADDRSTRLEN);
    else if (IN6_IS_ADDR_V4MAPPED(v6))
        inet_ntop(AF_INET, &v6->s6_addr[12], out, INET6_ADDRSTRLEN);
    else
        inet_ntop(AF_INET6, v6, out, INET6_ADDRSTRLEN);
}

static void welcome(struct ws_accept *acceptor, int fd, const union address *addr)
{
    const struct ws_accept_opts *opts = &acceptor->opts;
    struct arrival *arrival = xcalloc(1, sizeof(*arrival));
    bool full = acceptor->waiting.count + opts->taken(opts->arg) >= opts->limit;
    arrival->acceptor = acceptor;
    arrival->fd = fd;
    arrival->deadline = loop_now_ms(opts->loop) + HANDSHAKE_MS;
    peer_text(addr, arrival->peer);
    arrival_link(arrival);
    if (full) {
        turn_away(arrival, 503);
        sweep_later(acceptor);
    } else {
        peek(arrival); /* most often it is there already */
    }
}

/* False when nobody is waiting, or nobody can be let in now. */
static bool accept_one(struct ws_accept *acceptor)
{
    union address addr = {0};
    socklen_t len = sizeof(addr);
    int fd = accept4(acceptor->fd, &addr.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        welcome(acceptor, fd, &addr);
        return true;
    }
    if (errno == ECONNABORTED || errno == EINTR)
        return true;
    if (errno != EAGAIN) { /* no descriptors, no memory: look again when some are back */
        log_warn("ws: cannot accept", LOG_TEXT("error", strerrordesc_np(errno)));
        loop_watch_set(acceptor->watch, 0);
        sweep_later(acceptor);
    }
    return false;
}

static void on_arrival(void *arg, int events)
{
    struct ws_accept *acceptor = arg;
    (void)events;
    for (int i = 0; i < ACCEPT_MAX && acceptor->fd >= 0; i++)
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
    for (struct arrival *at = acceptor->leaving.head; at && at->deadline <= now; at = after) {
        after = at->next;
        arrival_free(at);
    }
    for (struct arrival *at = acceptor->waiting.head; at && at->deadline <= now; at = after) {
        after = at->next;
        turn_away(at, 408);
    }
    if (acceptor->watch)
        loop_watch_set(acceptor->watch, LOOP_READ);
    if (acceptor->leaving.head || acceptor->waiting.head)
        sweep_later(acceptor);
}

/* ---- open, close ---- */

/* What is set on the listener holds for every socket it accepts. */
static void listener_tune(int fd)
{
    int one = 1, size = SOCKET_BUF;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static int listener_on(const struct addrinfo *at)
{
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    listener_tune(fd);
    if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int listener_open(const char *host, uint16_t port)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char text[8];
    snprintf(text, sizeof(text), "%u", port);
    int rc = getaddrinfo(host, text, &hints, &found); /* once, before anything is served */
    int fd = rc == 0 ? listener_on(found) : -1;
    if (fd < 0)
        log_error("ws: cannot listen", LOG_TEXT("host", host), LOG_NUM("port", port),
                  LOG_TEXT("error", rc ? gai_strerror(rc) : strerrordesc_np(errno)));
    if (found)
        freeaddrinfo(found);
    return fd;
}

static uint16_t port_of(int fd)
{
    union address addr = {0};
    socklen_t len = sizeof(addr);
    if (getsockname(fd, &addr.any, &len) < 0)
        return 0;
    return ntohs(addr.any.sa_family == AF_INET6 ? addr.v6.sin6_port : addr.v4.sin_port);
}

enum status ws_accept_open(const struct ws_accept_opts *opts, struct ws_accept **ret_lobby)
{
    int fd = listener_open(opts->host, opts->port);
    if (fd < 0)
        return ST_UNAVAILABLE;
    struct ws_accept *acceptor = xcalloc(1, sizeof(*acceptor));
    acceptor->opts = *opts;
    acceptor->fd = fd;
    acceptor->port = port_of(fd);
    acceptor->sweep = loop_timer_new(opts->loop, on_sweep, acceptor);
    acceptor->watch = loop_watch_new(opts->loop, fd, on_arrival, acceptor);
    if (!acceptor->watch) {
        ws_accept_close(acceptor);
        return ST_UNAVAILABLE;
    }
    loop_watch_set(acceptor->watch, LOOP_READ);
    *ret_lobby = acceptor;
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
    /* Closing a listener resets who is still in its queue: let them in first, to be told. */
    acceptor->opts.limit = 0;
    for (int i = 0; i < BACKLOG && accept_one(acceptor); i++)
        continue;
    listener_close(acceptor);
    struct arrival *after;
    for (struct arrival *at = acceptor->waiting.head; at; at = after) {
        after = at->next;
        turn_away(at, 503);
    }
    sweep_later(acceptor);
}

void ws_accept_close(struct ws_accept *acceptor)
{
    if (!acceptor)
        return;
    listener_close(acceptor);
    arrivals_free(&acceptor->waiting);
    arrivals_free(&acceptor->leaving);
    loop_timer_close(acceptor->sweep);
    free(acceptor);
}
