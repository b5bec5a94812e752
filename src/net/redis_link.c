/* SPDX-License-Identifier: MIT */
/*
 * redis_link: one connection to Redis that reconnects by itself.
 *
 * Why this way: redis_stream moves the bytes, redis_reader parses the replies; this file does the rest. The contexts of
 * hiredis are not used: in version 0.14 they know no TLS, and the asynchronous ones have no deadlines, do not report a
 * refused connection, abort on an unexpected reply, and assign replies to the wrong commands when a subscriber pings.
 * Called by: redis_dial, redis_sentinel, and by redis and redis_sub what follows the opening.
 * Owns: the stream, the parser, the bytes that wait to be sent, the timer for attempts, the locator.
 * Invariants: the link is up only after Redis has answered the greeting: AUTH, SELECT, PING and the commands that
 * redis or redis_sub add. A connection alone proves nothing: the kernel accepts it for a stopped Redis, and a Redis
 * that is loading answers with an error. Host names are resolved on another thread, again for each attempt, since
 * a failover may change their addresses; a locator (Sentinel) names the host itself anew for each. A stream and a
 * parser are never reused after a failure.
 * When Redis is gone: a new attempt after 50..500 ms (full jitter), each with a deadline.
 */
#include "net/redis_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "net/redis_args.h"
#include "net/redis_reader.h"
#include "net/redis_stream.h"

#define BACKOFF_MIN_MS  50
#define BACKOFF_SPAN_MS 450 /* 50..500 ms */
#define BACKOFF_LOG_EVERY                                                                          \
    20 /* one of this many failed attempts is logged: a line every ten seconds or so */
#define STABLE_MS 1000 /* a connection that held this long resets the back-off */
#define GREETING_MAX                                                                               \
    ((size_t)1024 * 1024) /* bytes of one command of the greeting, so also of the longest script */
#define TLS_ALERT    0x15 /* the first byte with which a server of TLS refuses a plain connection */
#define OUT_IDLE_MAX ((size_t)256 * 1024)        /* bytes of memory kept while nothing is unsent */
#define OUT_MAX      ((size_t)160 * 1024 * 1024) /* bytes unsent; the users stop far below */

enum link_state {
    LINK_WAITING,   /* for the next attempt */
    LINK_LOCATING,  /* the locator was asked for the server */
    LINK_RESOLVING, /* the host name is being resolved */
    LINK_CONNECTING,
    LINK_SHAKING,  /* the handshake of TLS */
    LINK_GREETING, /* the replies to the greeting are awaited */
    LINK_UP,
    LINK_CLOSED
};

struct redis_link {
    struct loop *loop;
    char *host, *path; /* one of them is NULL */
    int port;
    char *login, *password; /* NULL or "": none */
    int db;
    struct redis_tls *tls; /* NULL: plain */
    char *name;            /* NULL: none is set */
    struct redis_locator locator;
    bool sentinel; /* the server is one */
    const struct redis_link_user *user;
    void *arg;
    int64_t timeout_ms;
    enum link_state state;
    struct redis_stream stream;  /* closed unless connecting, shaking, greeting or up */
    struct redis_reader *reader; /* NULL likewise */
    struct loop_watch *watch;
    struct loop_timer *timer; /* fires for the next attempt, or at the deadline of this one */
    struct loop_task flush;   /* writes all commands of a turn at once */
    struct loop_resolve *resolve;
    struct buf out; /* commands, of which the first `sent` bytes were sent */
    size_t sent;
    unsigned greetings; /* replies to the greeting that are still missing */
    unsigned own;       /* of these, how many are to commands of the link itself: they come first */
    unsigned greeted;   /* replies of the user's commands that have come */
    bool heard;         /* the server has sent something on this connection */
    char problem[320];  /* of the last failure; "": up, or nothing has failed yet */
    unsigned failures;  /* failed attempts in a row */
    unsigned ups;
    uint64_t up_ms;    /* since when it is up */
    uint64_t heard_ms; /* when the last bytes from Redis arrived */
    uint64_t random;
    struct loop_task gone;
    loop_cb on_closed;
    void *on_closed_arg;
};

static const char *link_host(const struct redis_link *link)
{
    return link->host ? link->host : link->path ? link->path : "";
}

static void count_up(const struct redis_link *link, int by)
{
    if (!link->sentinel)
        metrics_shift(GAUGE_REDIS_LINKS_UP, by);
}

/* libuv must stop watching the socket before it is closed. */
static void link_release(struct redis_link *link)
{
    loop_resolve_cancel(link->resolve);
    link->resolve = NULL;
    loop_undefer(link->loop, &link->flush);
    loop_watch_close(link->watch);
    link->watch = NULL;
    redis_stream_close(&link->stream);
    redis_reader_free(link->reader);
    link->reader = NULL;
    buf_clear(&link->out);
    link->sent = 0;
    link->greetings = link->own = link->greeted = 0;
}

void redis_link_fail(struct redis_link *link, const char *reason)
{
    if (link->state == LINK_CLOSED || link->state == LINK_WAITING)
        return;
    const bool was_up = link->state == LINK_UP;
    if (was_up && loop_now_ms(link->loop) - link->up_ms >= STABLE_MS)
        link->failures = 0;
    link->failures++;
    if (!link->sentinel)
        metrics_add(METRIC_REDIS_CONNECTION_ERRORS, 1);
    if (was_up)
        count_up(link, -1);
    const bool news = strncmp(link->problem, reason, sizeof(link->problem) - 1) != 0;
    if (was_up || news || link->failures % BACKOFF_LOG_EVERY == 1)
        log_warn(link->sentinel ? was_up ? "sentinel connection lost" : "sentinel connect failed"
                 : was_up       ? "redis connection lost"
                                : "redis connect failed",
                 LOG_TEXT("error", reason), LOG_TEXT("host", link_host(link)),
                 LOG_NUM("port", link->port), LOG_NUM("failures", link->failures));
    if (news) /* `reason` may be the problem itself */
        (void)snprintf(link->problem, sizeof(link->problem), "%s", reason);
    link->state = LINK_WAITING;
    link_release(link);

    /* After each failed attempt the wait gets longer, with full jitter, so that a thousand workers do not all
     * connect at the same time. */
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
    if (!link->reader)
        return false;
    buf_add(&link->out, text, len);
    if (link->out.failed)
        return false;
    loop_defer(link->loop, &link->flush);
    return true;
}

/* Why a stream failed that has brought nothing yet: the servers that speak TLS close a plain connection in silence. */
static void link_fail_early(struct redis_link *link)
{
    char reason[160];
    if (link->heard || link->tls || link->state != LINK_GREETING) {
        redis_link_fail(link, link->stream.problem);
        return;
    }
    (void)snprintf(reason, sizeof(reason),
                   "%s before it answered (if it speaks TLS, REDIS_URL begins with rediss)",
                   link->stream.problem);
    redis_link_fail(link, reason);
}

/* What the loop watches the stream for. */
static void link_await(struct redis_link *link)
{
    int events = LOOP_READ | link->stream.read_waits;
    if (link->out.len > 0)
        events |= link->stream.write_waits;
    loop_watch_set(link->watch, events);
}

/* Takes the reply to one command of the greeting. After the last one the link is up. */
static void link_greeted(struct redis_link *link, const struct redis_reply *reply)
{
    const bool refused = redis_reply_type(reply) == REDIS_ERROR;
    const char *problem = refused ? redis_reply_str(reply, NULL) : NULL;
    if (link->own > 0) {
        if (link->own == 2 && link->name)
            problem = NULL; /* CLIENT SETNAME before PING: an ACL that forbids it does no harm */
        link->own--;
    } else if (link->user->on_greeted) {
        problem = link->user->on_greeted(link->arg, link->greeted++, reply);
    }
    if (problem) {
        redis_link_fail(link, problem);
        return;
    }
    if (--link->greetings > 0)
        return;
    link->problem[0] = '\0';
    link->state = LINK_UP;
    count_up(link, 1);
    link->up_ms = loop_now_ms(link->loop);
    loop_timer_stop(link->timer);
    if (link->ups++ && !link->sentinel)
        metrics_add(METRIC_REDIS_RECONNECTS, 1);
    log_info(link->sentinel ? "sentinel connected" : "redis connected",
             LOG_TEXT("host", link_host(link)), LOG_NUM("port", link->port),
             LOG_NUM("attempts", link->failures + 1));
    link->user->on_up(link->arg);
}

/* Reads once, then passes on every complete reply. The receiver of a reply may end the connection, which frees the
 * parser. */
static void link_read(struct redis_link *link)
{
    char bytes[REDIS_STREAM_READ];
    const ssize_t got = redis_stream_read(&link->stream, bytes, sizeof(bytes));
    if (got < 0) {
        link_fail_early(link);
        return;
    }
    if (got == 0) {
        link_await(link);
        return;
    }
    if (!link->heard && bytes[0] == TLS_ALERT) {
        redis_link_fail(link, "the server speaks TLS: REDIS_URL must begin with rediss");
        return;
    }
    link->heard = true;
    link->heard_ms = loop_now_ms(link->loop);
    if (redis_reader_feed(link->reader, bytes, (size_t)got) != ST_OK) {
        redis_link_fail(link, "out of memory");
        return;
    }
    while (link->reader) {
        struct redis_reply *reply;
        if (redis_reader_next(link->reader, &reply) != ST_OK) {
            redis_link_fail(link, redis_reader_problem(link->reader));
            return;
        }
        if (!reply)
            return;
        if (link->state == LINK_UP)
            link->user->on_reply(link->arg, reply);
        else
            link_greeted(link, reply);
        redis_reader_free_reply(reply);
    }
}

/* A server that refuses us (a wrong password, a certificate) says why and closes: that is to be read first. */
static void link_fail_writing(struct redis_link *link)
{
    char problem[sizeof(link->problem)];
    (void)snprintf(problem, sizeof(problem), "%s", link->stream.problem);
    if (link->state == LINK_GREETING)
        link_read(link);
    if (!link->reader) /* it has ended the attempt */
        return;
    link->stream.problem = problem;
    link_fail_early(link);
}

static void link_write(struct redis_link *link)
{
    while (link->sent < link->out.len) {
        const ssize_t done = redis_stream_write(&link->stream, link->out.data + link->sent,
                                                link->out.len - link->sent);
        if (done < 0) {
            link_fail_writing(link);
            return;
        }
        if (done == 0)
            break;
        link->sent += (size_t)done;
    }
    if (link->sent == link->out.len) {
        buf_reset(&link->out);
        link->sent = 0;
        if (link->out.cap > OUT_IDLE_MAX)
            buf_clear(&link->out);
    } else if (link->sent > link->out.len / 2) { /* moved seldom enough to cost little */
        const size_t left = link->out.len - link->sent;
        memmove(link->out.data, link->out.data + link->sent, left);
        buf_truncate(&link->out, left);
        link->sent = 0;
    }
    link_await(link);
}

static void on_link_flush(void *arg)
{
    link_write(arg);
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

static void link_greet(struct redis_link *link)
{
    link->state = LINK_GREETING;
    if (link->password && *link->password) {
        if (link->login && *link->login)
            LINK_GREET(link, "AUTH", link->login, link->password);
        else
            LINK_GREET(link, "AUTH", link->password);
    }
    if (link->db) {
        char db[16];
        snprintf(db, sizeof(db), "%d", link->db);
        LINK_GREET(link, "SELECT", db);
    }
    if (link->name)
        LINK_GREET(link, "CLIENT", "SETNAME", link->name);
    LINK_GREET(link, "PING"); /* shows -LOADING and -BUSY, whatever else is in the greeting */
    link->own = link->greetings;
    link->user->greet(link->arg);
}

static void link_shake(struct redis_link *link)
{
    const int done = redis_stream_handshake(&link->stream, link->tls, link->host);
    if (done > 0)
        link_greet(link);
    else if (done < 0)
        redis_link_fail(link, link->stream.problem);
    else
        loop_watch_set(link->watch, link->stream.read_waits);
}

static void on_link_ready(void *arg, int events)
{
    struct redis_link *link = arg;
    struct redis_stream *stream = &link->stream;
    if (link->state == LINK_CONNECTING) {
        if (!redis_stream_connected(stream)) {
            redis_link_fail(link, stream->problem);
        } else if (link->tls) {
            link->state = LINK_SHAKING;
            link_shake(link);
        } else {
            link_greet(link);
        }
        return;
    }
    if (link->state == LINK_SHAKING) {
        link_shake(link);
        return;
    }
    if (events & (LOOP_READ | stream->read_waits))
        link_read(link);
    if (link->reader && events & stream->write_waits && link->out.len > 0)
        link_write(link);
}

/* Connects to a numeric address; NULL: to the Unix socket. */
static void link_connect(struct redis_link *link, const char *address)
{
    link->state = LINK_CONNECTING;
    link->heard = false;
    if (!redis_stream_connect(&link->stream, address, link->port, link->path)) {
        redis_link_fail(link, link->stream.problem);
        return;
    }
    link->reader = redis_reader_new();
    if (!link->reader) {
        redis_link_fail(link, "out of memory");
        return;
    }
    link->watch = loop_watch_new(link->loop, link->stream.fd, on_link_ready, link);
    if (!link->watch) {
        redis_link_fail(link, "the socket cannot be watched");
        return;
    }
    loop_watch_set(link->watch, LOOP_WRITE);
}

/* Each attempt tries another address of the host name, because one of them may not work. */
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

static void link_resolve(struct redis_link *link)
{
    link->state = LINK_RESOLVING;
    link->resolve = loop_resolve_start(link->loop, link->host, on_link_resolved, link);
}

/* Starts the next attempt; or ends the current one, which has reached its deadline. */
static void on_link_timer(void *arg)
{
    struct redis_link *link = arg;
    if (link->state != LINK_WAITING) {
        redis_link_fail(link,
                        link->state == LINK_LOCATING ? "no Sentinel has answered in time"
                        : link->state == LINK_SHAKING
                            ? "TLS: the handshake timed out: does the server speak it on this "
                              "port? (for plain TCP REDIS_URL begins with redis)"
                            : "the attempt to connect timed out");
        return;
    }
    loop_timer_set(link->timer, (uint64_t)link->timeout_ms);
    if (link->locator.ask) {
        link->state = LINK_LOCATING;
        link->locator.ask(link->locator.arg, link);
    } else if (link->host) {
        link_resolve(link);
    } else {
        link_connect(link, NULL);
    }
}

void redis_link_locate(struct redis_link *link, const char *host, int port)
{
    if (link->state != LINK_LOCATING)
        return;
    if (!link->host || strcmp(link->host, host) != 0) {
        free(link->host);
        link->host = xstrdup(host);
    }
    link->port = port;
    link_resolve(link);
}

bool redis_link_is_elsewhere(const struct redis_link *link, const char *host, int port)
{
    return link->state > LINK_LOCATING && link->state != LINK_CLOSED &&
           (link->port != port || strcmp(link->host, host) != 0);
}

static void link_free(void *arg)
{
    struct redis_link *link = arg;
    loop_cb cb = link->on_closed;
    void *cb_arg = link->on_closed_arg;
    free(link);
    cb(cb_arg);
}

static void on_link_gone(void *arg)
{
    struct redis_link *link = arg;
    if (link->locator.close)
        link->locator.close(link->locator.arg, link_free, link);
    else
        link_free(link);
}

static char *copy_of(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

struct redis_link *redis_link_open(const struct redis_link_opts *opts)
{
    struct redis_link *link = xcalloc(1, sizeof(*link));
    const struct redis_endpoint *endpoint = &opts->endpoint;
    link->host = copy_of(endpoint->host);
    link->path = copy_of(endpoint->path);
    link->port = endpoint->port;
    link->login = copy_of(endpoint->user);
    link->password = copy_of(endpoint->password);
    link->db = endpoint->db;
    link->tls = redis_tls_ref(endpoint->tls);
    if (endpoint->name && *endpoint->name)
        link->name = xstrdup(endpoint->name);
    if (opts->locator)
        link->locator = *opts->locator;
    link->sentinel = opts->sentinel;
    link->loop = opts->loop;
    link->timeout_ms = opts->timeout_ms;
    link->user = opts->user;
    link->arg = opts->arg;
    link->state = LINK_WAITING;
    link->flush = (struct loop_task){.cb = on_link_flush, .arg = link};
    link->gone = (struct loop_task){.cb = on_link_gone, .arg = link};
    link->random = clock_mono_ns() ^ (uint64_t)(uintptr_t)link ^ 0x9e3779b97f4a7c15u;
    redis_stream_init(&link->stream);
    buf_init(&link->out, OUT_MAX);
    link->timer = loop_timer_new(link->loop, on_link_timer, link);
    loop_timer_set(link->timer, 0);
    if (!link->sentinel)
        metrics_shift(GAUGE_REDIS_LINKS, 1);
    return link;
}

void redis_link_close(struct redis_link *link, loop_cb cb, void *arg)
{
    if (link->state == LINK_UP)
        count_up(link, -1);
    if (!link->sentinel)
        metrics_shift(GAUGE_REDIS_LINKS, -1);
    link->state = LINK_CLOSED;
    link->on_closed = cb;
    link->on_closed_arg = arg;
    link_release(link);
    loop_timer_close(link->timer);
    free(link->host);
    free(link->path);
    secret_free(link->login);
    secret_free(link->password);
    redis_tls_unref(link->tls);
    free(link->name);
    loop_defer(link->loop, &link->gone); /* later, because a callback of this link may be running */
}

bool redis_link_up(const struct redis_link *link)
{
    return link->state == LINK_UP;
}

const char *redis_link_problem(const struct redis_link *link)
{
    return link->problem;
}

uint64_t redis_link_heard_ms(const struct redis_link *link)
{
    return link->heard_ms;
}

void redis_link_server(const struct redis_link *link, char *out, size_t size)
{
    if (link->host)
        (void)snprintf(out, size, strchr(link->host, ':') ? "[%s]:%d" : "%s:%d", link->host,
                       link->port);
    else
        (void)snprintf(out, size, "%s", link_host(link));
}

size_t redis_link_unsent(const struct redis_link *link)
{
    return link->out.len - link->sent;
}
