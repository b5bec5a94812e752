/* SPDX-License-Identifier: MIT */
/*
 * redis_link: one connection to Redis that reconnects by itself.
 *
 * Why this way: hiredis supplies the protocol (its non-blocking context: connect, write, read, parse);
 * this file does the rest. Its asynchronous layer is not used: in 0.14 it has no deadlines, does not
 * report a refused connection, aborts on an unexpected reply and loses count when a subscriber pings.
 * The deadlines need a queue of our own anyway; that is shorter than the workarounds, and the same for
 * 0.14 and 1.x.
 * Called by: redis and redis_sub.
 * Owns: the socket, hiredis' context, the timer of attempts.
 * Invariants: up only after Redis has answered AUTH, SELECT, a PING and everything the user adds: a
 * stopped Redis accepts connections too, and one that is loading answers with an error. Host names are
 * resolved off the loop's thread and again for each attempt, since a failover may move them. A context
 * is never reused after a failure.
 * When Redis is gone: a new attempt every 50..500 ms (full jitter), each with a deadline.
 * The process must ignore SIGPIPE: hiredis writes with write(2).
 */
#include "net/redis_link.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "net/redis_args.h"
#include "net/redis_url.h"

#define BACKOFF_MIN_MS    50
#define BACKOFF_SPAN_MS   450  /* 50..500 ms */
#define BACKOFF_LOG_EVERY 20   /* failed attempts between two log lines: some ten seconds */
#define STABLE_MS         1000 /* a connection that held this long resets the back-off */
#define GREETING_MAX      ((size_t)1024 * 1024) /* bytes of one command: the longest script */
#define READER_IDLE_MAX   ((size_t)256 * 1024)  /* hiredis keeps a read buffer of this size */

enum link_state {
    LINK_WAITING,   /* until the next attempt */
    LINK_RESOLVING, /* the host name is being resolved */
    LINK_CONNECTING,
    LINK_GREETING, /* AUTH, SELECT, PING and what the user adds: all must be answered */
    LINK_UP,
    LINK_CLOSED
};

struct redis_link {
    struct loop *loop;
    struct redis_endpoint endpoint;
    const struct redis_link_user *user;
    void *arg;
    int64_t timeout_ms;
    enum link_state state;
    redisContext *ctx; /* NULL unless connecting, greeting or up */
    struct loop_watch *watch;
    struct loop_timer *timer; /* the next attempt, or the deadline of this one */
    struct loop_task flush;   /* all commands of a turn leave in one write */
    struct loop_resolve *resolve;
    size_t out_len;     /* bytes given to hiredis; 0 once all are written */
    unsigned greetings; /* replies due before the link is up */
    unsigned failures;  /* attempts in a row */
    unsigned ups;
    uint64_t up_ms;    /* since when it is up */
    uint64_t heard_ms; /* last bytes from Redis */
    uint64_t random;
    struct loop_task gone;
    loop_cb on_closed;
    void *on_closed_arg;
};

static const char *link_host(const struct redis_link *link)
{
    return link->endpoint.host ? link->endpoint.host : link->endpoint.path;
}

/* Releases socket and context, in this order: libuv must forget the fd before it is closed. */
static void link_release(struct redis_link *link)
{
    loop_resolve_cancel(link->resolve);
    link->resolve = NULL;
    loop_undefer(link->loop, &link->flush);
    loop_watch_close(link->watch);
    link->watch = NULL;
    redisFree(link->ctx);
    link->ctx = NULL;
    link->out_len = 0;
    link->greetings = 0;
}

void redis_link_fail(struct redis_link *link, const char *reason)
{
    if (link->state == LINK_CLOSED || link->state == LINK_WAITING)
        return;
    const bool was_up = link->state == LINK_UP;
    if (was_up && loop_now_ms(link->loop) - link->up_ms >= STABLE_MS)
        link->failures = 0;
    link->failures++;
    metrics_add(METRIC_REDIS_ERRORS, 1);
    if (was_up || link->failures % BACKOFF_LOG_EVERY == 1)
        log_warn(was_up ? "redis connection lost" : "redis connect failed",
                 LOG_TEXT("error", reason), LOG_TEXT("host", link_host(link)),
                 LOG_NUM("port", link->endpoint.port), LOG_NUM("failures", link->failures));
    link->state = LINK_WAITING;
    link_release(link);

    /* Attempts that end at once (refused, loading, read-only) wait longer and longer, with full jitter,
     * so that a thousand workers do not return in step. */
    uint64_t span = BACKOFF_SPAN_MS;
    if (link->failures <= 3 && (uint64_t)BACKOFF_MIN_MS << link->failures < span)
        span = (uint64_t)BACKOFF_MIN_MS << link->failures;
    link->random ^= link->random << 13; /* xorshift64 */
    link->random ^= link->random >> 7;
    link->random ^= link->random << 17;
    loop_timer_set(link->timer, BACKOFF_MIN_MS + link->random % span);

    link->user->on_down(link->arg, was_up); /* may close the link */
}

bool redis_link_send(struct redis_link *link, const char *text, size_t len)
{
    if (!link->ctx || redisAppendFormattedCommand(link->ctx, text, len) != REDIS_OK)
        return false;
    link->out_len += len;
    loop_defer(link->loop, &link->flush);
    return true;
}

static void link_write(struct redis_link *link)
{
    int done = 0;
    if (redisBufferWrite(link->ctx, &done) != REDIS_OK) {
        redis_link_fail(link, link->ctx->errstr);
        return;
    }
    if (done)
        link->out_len = 0;
    loop_watch_set(link->watch, done ? LOOP_READ : LOOP_READ | LOOP_WRITE);
}

static void on_link_flush(void *arg)
{
    link_write(arg);
}

/* A reply to a part of the greeting; the last one brings the link up. */
static void link_greeted(struct redis_link *link, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR) {
        redis_link_fail(link, reply->str);
        return;
    }
    if (--link->greetings > 0)
        return;
    link->state = LINK_UP;
    link->up_ms = loop_now_ms(link->loop);
    loop_timer_stop(link->timer);
    if (link->ups++)
        metrics_add(METRIC_REDIS_RECONNECTS, 1);
    log_info("redis connected", LOG_TEXT("host", link_host(link)),
             LOG_NUM("port", link->endpoint.port), LOG_NUM("attempts", link->failures + 1));
    link->user->on_up(link->arg);
}

/* One read(2) a turn; then every whole reply. A reply may end the link: then its context is gone. */
static void link_read(struct redis_link *link)
{
    if (redisBufferRead(link->ctx) != REDIS_OK) {
        redis_link_fail(link, link->ctx->errstr);
        return;
    }
    link->heard_ms = loop_now_ms(link->loop);
    while (link->ctx) {
        void *reply = NULL;
        if (redisGetReplyFromReader(link->ctx, &reply) != REDIS_OK) {
            redis_link_fail(link, link->ctx->errstr);
            return;
        }
        if (!reply)
            return;
        if (link->state == LINK_UP)
            link->user->on_reply(link->arg, reply);
        else
            link_greeted(link, reply);
        freeReplyObject(reply);
    }
}

void redis_link_greet(struct redis_link *link, size_t count, const char *const *argv)
{
    struct buf text;
    if (link->state != LINK_GREETING)
        return; /* an earlier command of the greeting failed */
    buf_init(&text, GREETING_MAX);
    redis_format_head(&text, count);
    for (size_t i = 0; i < count; i++)
        redis_format_arg(&text, argv[i], strlen(argv[i]));
    if (!text.failed && redis_link_send(link, text.data, text.len))
        link->greetings++;
    else
        redis_link_fail(link, "the greeting cannot be sent");
    if (text.data)
        explicit_bzero(text.data, text.len); /* a password may be in it */
    buf_clear(&text);
}

#define LINK_GREET(link, ...)                                                                      \
    redis_link_greet(link, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *),                 \
                     (const char *const[]){__VA_ARGS__})

static void on_link_ready(void *arg, int events)
{
    struct redis_link *link = arg;
    if (link->state != LINK_CONNECTING) {
        if (events & LOOP_READ)
            link_read(link);
        if (link->ctx && events & LOOP_WRITE)
            link_write(link);
        return;
    }

    /* Ready while it connects: sends the greeting, or sees why there is no connection. */
    const struct redis_endpoint *endpoint = &link->endpoint;
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(link->ctx->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    if (error) {
        redis_link_fail(link, strerrordesc_np(error));
        return;
    }
    link->state = LINK_GREETING;
    if (endpoint->password && *endpoint->password) {
        if (*endpoint->user)
            LINK_GREET(link, "AUTH", endpoint->user, endpoint->password);
        else
            LINK_GREET(link, "AUTH", endpoint->password);
    }
    if (endpoint->db) {
        char db[16];
        snprintf(db, sizeof(db), "%d", endpoint->db);
        LINK_GREET(link, "SELECT", db);
    }
    LINK_GREET(link, "PING"); /* shows -LOADING and -BUSY, whatever else is in the greeting */
    link->user->greet(link->arg);
}

/* A new context each time: hiredis cannot reuse one after a failure. NULL address: the Unix socket. */
static void link_connect(struct redis_link *link, const char *address)
{
    link->ctx = address ? redisConnectNonBlock(address, link->endpoint.port)
                        : redisConnectUnixNonBlock(link->endpoint.path);
    link->state = LINK_CONNECTING;
    if (!link->ctx || link->ctx->err) {
        redis_link_fail(link, link->ctx ? link->ctx->errstr : "out of memory");
        return;
    }
    link->ctx->reader->maxbuf = READER_IDLE_MAX;
    link->watch = loop_watch_new(link->loop, link->ctx->fd, on_link_ready, link);
    if (!link->watch) {
        redis_link_fail(link, "the socket cannot be watched");
        return;
    }
    loop_watch_set(link->watch, LOOP_WRITE);
}

/* After a failure the next address is tried: a name may have one that does not work. */
static void on_link_resolved(void *arg, enum status status, const char *const *addresses,
                             size_t count)
{
    struct redis_link *link = arg;
    link->resolve = NULL;
    if (status == ST_OK)
        link_connect(link, addresses[link->failures % count]);
    else
        redis_link_fail(link, "the host name cannot be resolved");
}

/* Due for the next attempt; or an attempt is under way and has reached its deadline. */
static void on_link_timer(void *arg)
{
    struct redis_link *link = arg;
    if (link->state != LINK_WAITING) {
        redis_link_fail(link, "timed out");
        return;
    }
    link->state = LINK_RESOLVING;
    loop_timer_set(link->timer, (uint64_t)link->timeout_ms);
    if (link->endpoint.host)
        link->resolve = loop_resolve_start(link->loop, link->endpoint.host, on_link_resolved, link);
    else
        link_connect(link, NULL);
}

static void on_link_gone(void *arg)
{
    struct redis_link *link = arg;
    loop_cb cb = link->on_closed;
    void *cb_arg = link->on_closed_arg;
    free(link);
    cb(cb_arg);
}

enum status redis_link_open(struct loop *loop, const char *url, int64_t timeout_ms,
                            const struct redis_link_user *user, void *arg,
                            struct redis_link **ret_link)
{
    struct redis_endpoint endpoint;
    if (!url || timeout_ms <= 0 || redis_url_parse(&endpoint, url) != ST_OK)
        return ST_INVALID;
    struct redis_link *link = xcalloc(1, sizeof(*link));
    link->endpoint = endpoint;
    link->loop = loop;
    link->timeout_ms = timeout_ms;
    link->user = user;
    link->arg = arg;
    link->state = LINK_WAITING;
    link->flush = (struct loop_task){.cb = on_link_flush, .arg = link};
    link->gone = (struct loop_task){.cb = on_link_gone, .arg = link};
    link->random = clock_mono_ns() ^ (uint64_t)(uintptr_t)link ^ 0x9e3779b97f4a7c15u;
    link->timer = loop_timer_new(loop, on_link_timer, link);
    loop_timer_set(link->timer, 0);
    *ret_link = link;
    return ST_OK;
}

void redis_link_close(struct redis_link *link, loop_cb cb, void *arg)
{
    link->state = LINK_CLOSED;
    link->on_closed = cb;
    link->on_closed_arg = arg;
    link_release(link);
    loop_timer_close(link->timer);
    redis_endpoint_clear(&link->endpoint);
    loop_defer(link->loop, &link->gone); /* not now: a callback of ours may be running */
}

bool redis_link_up(const struct redis_link *link)
{
    return link->state == LINK_UP;
}

uint64_t redis_link_heard_ms(const struct redis_link *link)
{
    return link->heard_ms;
}

size_t redis_link_unsent(const struct redis_link *link)
{
    return link->out_len;
}
