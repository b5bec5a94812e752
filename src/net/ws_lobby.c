/* SPDX-License-Identifier: MIT */
/*
 * ws_lobby: the door of ws: accepts, waits for the whole handshake, hands it on or turns it away.
 *
 * Why this way: each gateway worker has a listener of its own (SO_REUSEPORT), so the kernel spreads
 * the arrivals. A handshake is only peeked at: what is good stays in the socket and libwebsockets
 * reads it there. Who is turned away gets an answer, then is read until he hangs up, because
 * closing over unread bytes would reset the connection and destroy the answer.
 * Called by: ws alone. Owns: the listener and the guests' descriptors.
 * Invariants: guests wait at most HANDSHAKE_MS, the turned away linger at most LINGER_MS and are at
 * most LEAVING_MAX; a guest takes no memory for what he sends.
 */
#include "net/ws_lobby.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "net/ws_handshake.h"

#define HANDSHAKE_MS 5000
#define LINGER_MS    1000
#define SWEEP_MS     100
#define LEAVING_MAX  256
#define ACCEPT_MAX   64 /* in one turn of the loop */
#define BACKLOG      4096
#define SOCKET_BUF   32768 /* the kernel doubles it; bounds what one slow reader can cost */

struct guest {
    struct ws_lobby *lobby;
    struct guest *next, *prev;
    struct loop_watch *watch;
    uint64_t deadline;
    size_t seen; /* bytes of his handshake so far */
    int fd;
    bool leaving;
    char peer[INET6_ADDRSTRLEN];
};

/* In the order they came, and so of their deadlines. */
struct guest_list {
    struct guest *head, *tail;
    unsigned count;
};

struct ws_lobby {
    struct ws_lobby_opts opts;
    int fd; /* -1: quiesced */
    uint16_t port;
    struct loop_watch *watch;
    struct loop_timer *sweep;
    bool sweeping;
    struct guest_list waiting, leaving;
    struct ws_head head;
};

/* ---- guests ---- */

static struct guest_list *list_of(struct guest *guest)
{
    return guest->leaving ? &guest->lobby->leaving : &guest->lobby->waiting;
}

static void guest_link(struct guest *guest)
{
    struct guest_list *list = list_of(guest);
    guest->next = NULL;
    guest->prev = list->tail;
    *(list->tail ? &list->tail->next : &list->head) = guest;
    list->tail = guest;
    list->count++;
}

static void guest_unlink(struct guest *guest)
{
    struct guest_list *list = list_of(guest);
    *(guest->prev ? &guest->prev->next : &list->head) = guest->next;
    *(guest->next ? &guest->next->prev : &list->tail) = guest->prev;
    list->count--;
}

static void guest_free(struct guest *guest)
{
    guest_unlink(guest);
    loop_watch_close(guest->watch);
    if (guest->fd >= 0)
        close(guest->fd);
    free(guest);
}

static void guests_free(const struct guest_list *list)
{
    struct guest *after;
    for (struct guest *at = list->head; at; at = after) {
        after = at->next;
        guest_free(at);
    }
}

static void sweep_later(struct ws_lobby *lobby)
{
    if (lobby->sweeping)
        return;
    lobby->sweeping = true;
    loop_timer_set(lobby->sweep, SWEEP_MS);
}

static void on_readable(void *arg, int events);

static bool guest_watch(struct guest *guest)
{
    if (!guest->watch)
        guest->watch = loop_watch_new(guest->lobby->opts.loop, guest->fd, on_readable, guest);
    if (guest->watch)
        loop_watch_set(guest->watch, LOOP_READ);
    return guest->watch != NULL;
}

/* Says so, then reads on until he hangs up. */
static void turn_away(struct guest *guest, unsigned status)
{
    struct ws_lobby *lobby = guest->lobby;
    const char *text = ws_refusal(status);
    log_debug("ws: turned away", LOG_NUM("status", status), LOG_TEXT("peer", guest->peer));
    guest_unlink(guest);
    guest->leaving = true;
    guest->deadline = loop_now_ms(lobby->opts.loop) + LINGER_MS;
    guest_link(guest);
    int one = 1;
    setsockopt(guest->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
    if (send(guest->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ||
        shutdown(guest->fd, SHUT_WR) < 0 || lobby->leaving.count > LEAVING_MAX ||
        !guest_watch(guest))
        guest_free(guest);
}

static void read_away(struct guest *guest)
{
    char *scratch = guest->lobby->head.text;
    ssize_t got = recv(guest->fd, scratch, WS_HEAD_MAX, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        guest_free(guest);
}

/* ---- handshakes ---- */

static void judge(struct guest *guest, size_t len)
{
    struct ws_lobby *lobby = guest->lobby;
    const struct ws_lobby_opts *opts = &lobby->opts;
    struct ws_handshake handshake;
    unsigned status = ws_head_judge(&lobby->head, len, opts->path, opts->subprotocol, &handshake);
    if (status == 0 && lobby->fd < 0)
        status = 503;
    if (status == 0) {
        int one = 1;
        if (guest->seen > 0)
            setsockopt(guest->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
        handshake.peer = guest->peer;
        loop_watch_close(guest->watch); /* the next owner watches it himself */
        guest->watch = NULL;
        status = opts->on_guest(opts->arg, guest->fd, &handshake);
    }
    if (status) {
        turn_away(guest, status);
        return;
    }
    guest->fd = -1;
    guest_free(guest);
}

/* The head is not whole: wakes us when there is more than we have seen. */
static void wait_for_more(struct guest *guest, size_t seen)
{
    int low_water = (int)seen + 1;
    bool stuck = seen > 0 && seen == guest->seen; /* readable, yet nothing new: he hung up */
    guest->seen = seen;
    if (stuck || !guest_watch(guest) ||
        (seen > 0 && setsockopt(guest->fd, SOL_SOCKET, SO_RCVLOWAT, &low_water, sizeof(int)) < 0)) {
        guest_free(guest);
        return;
    }
    sweep_later(guest->lobby);
}

static void peek(struct guest *guest)
{
    struct ws_head *head = &guest->lobby->head;
    ssize_t got = recv(guest->fd, head->text, WS_HEAD_MAX, MSG_PEEK | MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        guest_free(guest);
        return;
    }
    size_t seen = got > 0 ? (size_t)got : 0;
    size_t len = ws_head_len(head->text, seen);
    if (len > 0)
        judge(guest, len);
    else if (seen == WS_HEAD_MAX)
        turn_away(guest, 431);
    else
        wait_for_more(guest, seen);
}

static void on_readable(void *arg, int events)
{
    struct guest *guest = arg;
    (void)events;
    if (guest->leaving)
        read_away(guest);
    else
        peek(guest);
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

static void welcome(struct ws_lobby *lobby, int fd, const union address *addr)
{
    const struct ws_lobby_opts *opts = &lobby->opts;
    struct guest *guest = xcalloc(1, sizeof(*guest));
    bool full = lobby->waiting.count + opts->taken(opts->arg) >= opts->limit;
    guest->lobby = lobby;
    guest->fd = fd;
    guest->deadline = loop_now_ms(opts->loop) + HANDSHAKE_MS;
    peer_text(addr, guest->peer);
    guest_link(guest);
    if (full) {
        turn_away(guest, 503);
        sweep_later(lobby);
    } else {
        peek(guest); /* most often it is there already */
    }
}

/* False when nobody is waiting, or nobody can be let in now. */
static bool accept_one(struct ws_lobby *lobby)
{
    union address addr = {0};
    socklen_t len = sizeof(addr);
    int fd = accept4(lobby->fd, &addr.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        welcome(lobby, fd, &addr);
        return true;
    }
    if (errno == ECONNABORTED || errno == EINTR)
        return true;
    if (errno != EAGAIN) { /* no descriptors, no memory: look again when some are back */
        log_warn("ws: cannot accept", LOG_TEXT("error", strerrordesc_np(errno)));
        loop_watch_set(lobby->watch, 0);
        sweep_later(lobby);
    }
    return false;
}

static void on_arrival(void *arg, int events)
{
    struct ws_lobby *lobby = arg;
    (void)events;
    for (int i = 0; i < ACCEPT_MAX && lobby->fd >= 0; i++)
        if (!accept_one(lobby))
            return;
}

/* ---- deadlines ---- */

static void on_sweep(void *arg)
{
    struct ws_lobby *lobby = arg;
    uint64_t now = loop_now_ms(lobby->opts.loop);
    lobby->sweeping = false;
    struct guest *after;
    for (struct guest *at = lobby->leaving.head; at && at->deadline <= now; at = after) {
        after = at->next;
        guest_free(at);
    }
    for (struct guest *at = lobby->waiting.head; at && at->deadline <= now; at = after) {
        after = at->next;
        turn_away(at, 408);
    }
    if (lobby->watch)
        loop_watch_set(lobby->watch, LOOP_READ);
    if (lobby->leaving.head || lobby->waiting.head)
        sweep_later(lobby);
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

enum status ws_lobby_open(const struct ws_lobby_opts *opts, struct ws_lobby **ret_lobby)
{
    int fd = listener_open(opts->host, opts->port);
    if (fd < 0)
        return ST_UNAVAILABLE;
    struct ws_lobby *lobby = xcalloc(1, sizeof(*lobby));
    lobby->opts = *opts;
    lobby->fd = fd;
    lobby->port = port_of(fd);
    lobby->sweep = loop_timer_new(opts->loop, on_sweep, lobby);
    lobby->watch = loop_watch_new(opts->loop, fd, on_arrival, lobby);
    if (!lobby->watch) {
        ws_lobby_close(lobby);
        return ST_UNAVAILABLE;
    }
    loop_watch_set(lobby->watch, LOOP_READ);
    *ret_lobby = lobby;
    return ST_OK;
}

uint16_t ws_lobby_port(const struct ws_lobby *lobby)
{
    return lobby->port;
}

static void listener_close(struct ws_lobby *lobby)
{
    loop_watch_close(lobby->watch);
    lobby->watch = NULL;
    if (lobby->fd >= 0)
        close(lobby->fd);
    lobby->fd = -1;
}

void ws_lobby_quiesce(struct ws_lobby *lobby)
{
    if (lobby->fd < 0)
        return;
    /* Closing a listener resets who is still in its queue: let them in first, to be told. */
    lobby->opts.limit = 0;
    for (int i = 0; i < BACKLOG && accept_one(lobby); i++)
        continue;
    listener_close(lobby);
    struct guest *after;
    for (struct guest *at = lobby->waiting.head; at; at = after) {
        after = at->next;
        turn_away(at, 503);
    }
    sweep_later(lobby);
}

void ws_lobby_close(struct ws_lobby *lobby)
{
    if (!lobby)
        return;
    listener_close(lobby);
    guests_free(&lobby->waiting);
    guests_free(&lobby->leaving);
    loop_timer_close(lobby->sweep);
    free(lobby);
}
