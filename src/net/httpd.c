/* SPDX-License-Identifier: MIT */
/*
 * httpd: the life of a request on one loop: it is accepted, its size is limited, it waits for its reply, and it is
 * answered once. "The library" is libmicrohttpd.
 *
 * Why this way: libmicrohttpd in external-epoll mode is as fast as nginx, as long as its rules are kept
 * (0.9.75; the same holds for 1.0):
 *   - our loop watches the library's epoll set. All work of a turn is one MHD_run, in a deferred task.
 *     on_run repeats it while MHD_get_timeout returns 0, because the epoll set is edge-triggered and does
 *     not report connections that were resumed;
 *   - the handler may answer or suspend a request only in its last call. A response in the first call
 *     closes the connection: first_call does that on purpose when the head was refused;
 *   - suspending costs three system calls (out of the epoll set, an empty read, in again), half as much
 *     as the whole request. A handler that neither answers nor suspends is called again in each MHD_run,
 *     for about 50 ns. So a waiting request is *polled* that way first, for at most POLLED_MS, and then
 *     suspended. Each run visits all polled requests, so there are at most POLLED_MAX;
 *   - while requests are polled, MHD_get_timeout would always return 0. So on_run does not call it; the
 *     timer polled_run starts the next run after a millisecond (after a few when hundreds are polled),
 *     and each reply starts one at once. Our loop does not watch the epoll set in that time: the next run
 *     reads dozens of new requests together, which costs less than waking the thread for each;
 *   - a suspended connection has no timeout, and nobody notices when it is lost: every handler must reply
 *     in time;
 *   - the process aborts when the daemon is stopped with suspended connections: so closing answers and
 *     resumes all of them first;
 *   - the library pulls a response in pieces from inside MHD_run, by calling on_more, which copies the
 *     bytes that it has. When it has none, it suspends the connection (the one other place where that is
 *     allowed) and returns 0; without suspending, the library would call it again forever. The library
 *     never calls it for HEAD, nor once the connection is lost; on_completed reports the loss.
 * httpd_listen.c does the listening, because the library would let connections over its limit hang.
 * httpd_intake.c does the reading, because the library's parser is lenient: what the library parses was made there.
 * httpd_pace.c ends what is too slow.
 * http_req.c has a request's memory and what is read of it.
 * Called by: api and the provider. Owns: connections, and requests until the library reports them
 * completed and their reply was given.
 * Invariants: on_request runs once per request and is answered once; every refusal
 * closes the connection; at most HTTP_BODY_MAX of a body is kept, and of a response in pieces
 * one piece.
 */
#include "net/httpd.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics_http.h"
#include "net/http_req_internal.h"
#include "net/httpd_intake.h"
#include "net/httpd_listen.h"
#include "net/httpd_pace.h"

#define DISCARD_MAX                                                                                \
    (4 * 1024 *                                                                                    \
     1024) /* bytes above a body's limit that are read so that the client receives the 413 */
#define STREAM_BLOCK     16384 /* bytes of a response in pieces that the library may take at a time */
#define POLLED_MAX       1024
#define POLLED_MS        50
#define POLLED_PER_MS    256 /* the next run is 1 ms later for each this many polled requests */
#define CLOSE_RUNS_MAX   64  /* runs of the daemon in which the last responses are sent */
#define TIMEOUT_CHECK_MS 1000
#define SLOW_MS          10000
#define SHED_MS          1000  /* a browser that has a page asks for its files by then */
#define RELEASE_MS       15000 /* longer than a buyer's polls are apart: they need not pay for it */
#define RESERVE          16    /* places for probes, beyond connection_limit */
#define RESERVE_MAX      64    /* with those that are given up, until their answer is sent */
#define SHED_MAX         64    /* idle connections that are being closed for others */

struct httpd {
    struct httpd_opts opts;
    struct MHD_Daemon *daemon;
    struct httpd_listen *listener;
    struct loop_watch *watch;
    struct loop_timer *timeouts;   /* runs the daemon, so that it closes idle connections */
    struct loop_timer *polled_run; /* starts the next run while requests are polled */
    struct loop_task run, close;
    struct http_req *waiting;
    struct intake_lists lists;
    unsigned reserved; /* connections in the reserve */
    unsigned shedding; /* connections whose place was given to another, until they are closed */
    unsigned connections, waiting_count, polled_count;
    uint64_t turn_ns;
    unsigned owed; /* requests without a connection that the handler has not replied to */
    bool quiesced, closing, closed;
    loop_cb on_closed;
    void *on_closed_arg;
};

/* ---- answering ---- */

static void httpd_run_soon(struct httpd *httpd)
{
    loop_defer(httpd->opts.loop, &httpd->run);
}

static void req_suspend(struct http_req *req)
{
    req->suspended = true;
    MHD_suspend_connection(req->connection);
}

static void req_wait_begin(struct http_req *req)
{
    struct httpd *httpd = req->httpd;
    req->next = httpd->waiting;
    if (req->next)
        req->next->prev = req;
    httpd->waiting = req;
    httpd->waiting_count++;
    req->waiting = true;
}

static void req_wait_end(struct http_req *req)
{
    struct httpd *httpd = req->httpd;
    if (req->prev)
        req->prev->next = req->next;
    else
        httpd->waiting = req->next;
    if (req->next)
        req->next->prev = req->prev;
    req->next = req->prev = NULL;
    httpd->waiting_count--;
    if (!req->suspended)
        httpd->polled_count--;
    req->waiting = req->suspended = false;
}

static ssize_t on_more(void *arg, uint64_t at, char *out, size_t cap);

/* Adds a header. The library refuses a value that is empty or would end the header early; then it is left out and
 * logged. */
static void response_add(struct MHD_Response *response, const char *name, const char *value)
{
    if (MHD_add_response_header(response, name, value) != MHD_YES)
        log_error("http response header dropped, its name or value is invalid",
                  LOG_TEXT("name", name));
}

/* Returns a new response for the library; NULL when memory is out. */
static struct MHD_Response *response_new(struct http_req *req, const char *content_type,
                                         const void *body, size_t len)
{
    static char nothing[1];
    struct httpd *httpd = req->httpd;
    struct MHD_Response *response =
        req->stream.begun
            ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, on_more, req, NULL)
            : MHD_create_response_from_buffer(len, len ? (void *)body : nothing,
                                              MHD_RESPMEM_PERSISTENT);
    if (!response)
        return NULL;
    /* The library would send the end of a chunked body even for HEAD, whose response has no body. */
    if (req->stream.begun && strcmp(req->method, "HEAD") == 0)
        MHD_set_response_options(response, MHD_RF_HTTP_VERSION_1_0_ONLY, MHD_RO_END);
    if (content_type)
        response_add(response, "Content-Type", content_type);
    for (const struct header *header = req->headers; header; header = header->next)
        response_add(response, header->name, header->value);
    if (httpd->quiesced || req->refusal || intake_is_reserve(req->intake))
        response_add(response, "Connection", "close");
    return response;
}

static int connection_fd(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

/* The library closes a connection as soon as its last answer is sent. Where the client may still be sending, we keep it
 * for a moment: its bytes would reset the connection, and take the answer away. */
static void connection_linger(struct httpd *httpd, int fd)
{
    const int copy = httpd->closing ? -1 : dup(fd); /* the thread sanitizer does not know F_DUPFD */
    if (copy >= 0)
        httpd_listen_linger(httpd->listener, copy);
}

/* Passes a response to the library. The body must live until the request is completed, which may happen before this
 * function returns. */
static void req_answer(struct http_req *req, unsigned code, const char *content_type,
                       const void *body, size_t len)
{
    struct httpd *httpd = req->httpd;
    struct MHD_Connection *connection = req->connection;
    struct MHD_Response *response = response_new(req, content_type, body, len);
    const bool waiting = req->waiting, suspended = req->suspended;
    if (waiting)
        req_wait_end(req);
    req->queued = true;
    if (!response || MHD_queue_response(connection, code, response) != MHD_YES) {
        log_error("libmicrohttpd refused a response, the connection is closed",
                  LOG_NUM("code", code));
        req->queued = false; /* on_access ends the connection when it is next called */
    }
    if (response)
        MHD_destroy_response(response); /* the library has its own reference */
    if (suspended)
        MHD_resume_connection(connection);
    if (waiting)
        httpd_run_soon(httpd);
}

static void httpd_release(struct httpd *httpd)
{
    if (httpd->closed && httpd->owed == 0)
        free(httpd);
}

/* Calls on_done for a request that was passed to the handler, and frees it. */
static void req_done(struct http_req *req)
{
    struct httpd *httpd = req->httpd;
    if (httpd->opts.on_done)
        httpd->opts.on_done(httpd->opts.arg, req);
    if (req->release)
        req->release(req->owner);
    req_free(req);
}

void http_reply_static(struct http_req *req, unsigned code, const char *content_type,
                       const void *body, size_t len)
{
    struct httpd *httpd = req->httpd;
    if (req->replied) {
        log_error("http second reply dropped", LOG_TEXT("path", req->path));
        return;
    }
    req->replied = true;
    if (req->connection) {
        if (!req->queued) /* otherwise httpd has answered it: while closing, or with a refusal */
            req_answer(req, code, content_type, body, len);
        return;
    }
    httpd->owed--;
    req_done(req);
    httpd_release(httpd);
}

void http_reply_shared(struct http_req *req, unsigned code, const char *content_type,
                       const struct http_shared_body *body)
{
    if (req->replied) {
        log_error("http second reply dropped", LOG_TEXT("path", req->path));
        body->release(body->owner);
        return;
    }
    req->release = body->release;
    req->owner = body->owner;
    http_reply_static(req, code, content_type, body->data, body->len);
}

void http_reply(struct http_req *req, unsigned code, const char *content_type, const void *body,
                size_t len)
{
    void *copy = NULL;
    if (len && req->connection && !req->replied) {
        copy = req_memory(req, len);
        memcpy(copy, body, len);
    }
    http_reply_static(req, code, content_type, copy, len);
}

/* ---- a response in pieces ----
 *
 *   http_reply_stream -> on_more until the piece is sent -> more() -> (suspended until)
 *   http_reply_piece -> on_more -> … -> the last piece, or the connection is cut */

void http_reply_stream(struct http_req *req, unsigned code, const char *content_type,
                       http_more_cb more, void *arg)
{
    if (!req->replied) {
        req->stream.more = more;
        req->stream.arg = arg;
        req->stream.begun = true;
    }
    http_reply_static(req, code, content_type, NULL, 0);
}

/* Fills the library's buffer of `cap` bytes with the next bytes of the piece. */
static ssize_t on_more(void *arg, uint64_t at, char *out, size_t cap)
{
    struct http_req *req = arg;
    struct stream *stream = &req->stream;
    (void)at;
    while (stream->at == stream->len && stream->kind == HTTP_PIECE_MORE && !stream->asked) {
        stream->asked = true;
        stream->more(stream->arg, req); /* it may call http_reply_piece before it returns */
    }
    if (stream->at < stream->len) {
        const size_t len = stream->len - stream->at < cap ? stream->len - stream->at : cap;
        memcpy(out, stream->piece + stream->at, len);
        stream->at += len;
        return (ssize_t)len;
    }
    if (stream->kind == HTTP_PIECE_LAST)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (stream->kind == HTTP_PIECE_BROKEN || req->httpd->closing)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    req_wait_begin(req);
    req_suspend(req);
    return 0;
}

/* Makes the library call on_more again. */
static void stream_wake(struct http_req *req)
{
    if (!req->waiting)
        return; /* on_more is running */
    req_wait_end(req);
    MHD_resume_connection(req->connection);
    httpd_run_soon(req->httpd);
}

void http_reply_piece(struct http_req *req, const void *data, size_t len, enum http_piece kind)
{
    struct stream *stream = &req->stream;
    if (!stream->asked) {
        log_error("http unexpected reply piece dropped", LOG_TEXT("path", req->path));
        return;
    }
    stream->asked = false;
    if (!req->connection) {
        struct httpd *httpd = req->httpd;
        httpd->owed--;
        req_done(req);
        httpd_release(httpd);
        return;
    }
    if (kind == HTTP_PIECE_BROKEN)
        len = 0;
    stream->piece = xrealloc(stream->piece, len + 1);
    if (len > 0)
        memcpy(stream->piece, data, len);
    stream->len = len;
    stream->at = 0;
    stream->kind = kind;
    stream_wake(req);
}

/* ---- the library calls on_access once with the head, once per part of the body, and a last time ---- */

/* Calls the handler. False: the request cannot be answered, so its connection must be closed. */
static bool req_deliver(struct http_req *req)
{
    struct httpd *httpd = req->httpd;
    req->delivered = true;
    httpd->opts.on_request(httpd->opts.arg, req, req->refusal);
    if (!req->replied && req->refusal) {
        /* A refusal is sent at once, because the bytes that follow must not be read as a request. The handler must
         * still reply later. */
        req_answer(req, req->refusal, NULL, NULL, 0);
    } else if (!req->replied) {
        req_wait_begin(req);
        if (httpd->polled_count < POLLED_MAX) {
            httpd->polled_count++;
            req->polled_until_ms = loop_now_ms(httpd->opts.loop) + POLLED_MS;
        } else {
            req_suspend(req);
        }
    }
    return req->waiting || req->queued;
}

static bool first_call(struct http_req *req)
{
    struct httpd *httpd = req->httpd;
    if (req->refusal)
        return req_deliver(req);
    if (httpd->opts.on_head && (req->length || req->chunked))
        httpd->opts.on_head(httpd->opts.arg, req);
    if (req->length > req->body_max) {
        req->refusal = 413;
        /* A client that sent Expect: 100-continue has not sent its body, so it is refused now. Any other client is
         * sending: its body is read and dropped first, since otherwise it would get a reset instead of the 413. */
        if (req->expects || req->length - req->body_max > DISCARD_MAX)
            return req_deliver(req);
    } else if (req->length && !req->streamed) {
        req->body_cap = req->length;
        req->body = xrealloc(NULL, req->body_cap + 1);
    }
    return true;
}

/* Takes a part of the body. False: the body exceeds its limit by more than DISCARD_MAX, so the connection must be
 * closed. */
static bool body_call(struct http_req *req, const char *data, size_t len)
{
    req->body_seen += len;
    if (req->body_seen > req->body_max)
        req->refusal = 413;
    if (req->refusal) {
        free(req->body);
        req->body = NULL;
        req->body_len = req->body_cap = 0;
        return req->body_seen <= req->body_max + DISCARD_MAX;
    }
    if (req->streamed) {
        if (req->on_body && !req->on_body(req->on_body_arg, req, data, len))
            req->on_body = NULL;
        return true;
    }
    if (req->body_len + len >
        req->body_cap) { /* the buffer grows, because the length of a chunked body is not known */
        req->body_cap = req->body_len + len > 1024 ? HTTP_BODY_MAX : 1024;
        req->body = xrealloc(req->body, req->body_cap + 1);
    }
    memcpy(req->body + req->body_len, data, len);
    req->body_len += len;
    req->body[req->body_len] = '\0';
    return true;
}

static struct intake *connection_intake(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static enum MHD_Result on_access(void *arg, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *len, void **state)
{
    struct httpd *httpd = arg;
    struct http_req *req = *state;
    bool good;
    (void)url, (void)method, (void)version; /* of the head that httpd_intake made */
    if (!req) {
        *state = req = intake_take(connection_intake(connection), connection);
        if (!req) {
            log_error("http request dropped: its bytes did not pass our recv");
            return MHD_NO;
        }
        good = first_call(req);
    } else if (*len) {
        good = body_call(req, data, *len);
        *len = 0;
        httpd_run_soon(httpd); /* more of the body may have arrived */
    } else if (!req->delivered) {
        if (!req->refusal)
            req->refusal = intake_body_refusal(req->intake);
        good = req_deliver(req);
    } else {
        good = req->waiting; /* if it does not wait, the library has refused its response */
        if (good && loop_now_ms(httpd->opts.loop) >= req->polled_until_ms) {
            httpd->polled_count--;
            req_suspend(req);
        }
    }
    return good ? MHD_YES : MHD_NO;
}

/* The library has finished with the request. If the handler has not replied yet (the connection was lost, httpd is
 * closing, or a refused request was not answered at once), the request lives on without a connection. */
static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct httpd *httpd = arg;
    struct http_req *req = *state;
    (void)connection, (void)code;
    *state = NULL;
    if (!req)
        return;
    intake_completed(req->intake, req->refusal != 0);
    if (!req->delivered && !req->streamed) {
        req_free(req);
    } else if (!req->delivered || (req->replied && !req->stream.asked)) {
        req_done(req);
    } else {
        if (req->waiting)
            req_wait_end(req);
        req->peer =
            http_req_strdup(req, req->peer, strlen(req->peer)); /* it was the connection's */
        req->connection = NULL;
        httpd->owed++;
    }
}

/* ---- running the daemon ---- */

static void on_run(void *arg)
{
    struct httpd *httpd = arg;
    MHD_UNSIGNED_LONG_LONG timeout = 1;
    httpd->turn_ns = clock_mono_ns();
    MHD_run(httpd->daemon);
    loop_watch_set(httpd->watch, httpd->polled_count ? 0 : LOOP_READ);
    if (httpd->polled_count)
        loop_timer_set(httpd->polled_run, 1 + httpd->polled_count / POLLED_PER_MS);
    else if (MHD_get_timeout(httpd->daemon, &timeout) == MHD_YES && timeout == 0)
        httpd_run_soon(httpd);
}

static void on_polled_run(void *arg)
{
    httpd_run_soon(arg);
}

static void on_epoll(void *arg, int events)
{
    (void)events;
    httpd_run_soon(arg);
}

static void on_timeouts(void *arg)
{
    struct httpd *httpd = arg;
    loop_timer_set(httpd->timeouts, TIMEOUT_CHECK_MS);
    (void)intake_sweep(&httpd->lists, loop_now_ms(httpd->opts.loop));
    httpd_listen_pace(httpd->listener, httpd->lists.worst_age_ms);
    httpd->lists.worst_age_ms = 0;
    httpd_run_soon(httpd);
}

static void show_connections(const struct httpd *httpd)
{
    if (httpd->opts.meter)
        metrics_http_meter_set(&httpd->opts.meter->connections, httpd->connections);
}

/* The connection is about to be closed. */
static void connection_forget(struct httpd *httpd, int fd, struct intake *intake)
{
    httpd->connections--;
    httpd->reserved -= intake_is_reserve(intake);
    httpd->shedding -= intake_is_shed(intake);
    show_connections(httpd);
    if (httpd->opts.on_disconnect)
        httpd->opts.on_disconnect(httpd->opts.arg, intake_share(intake));
    if (intake_close(intake))
        connection_linger(httpd, fd);
}

/* The library takes a connection into its set, in 1.0 not before it runs, or has closed it. */
static void on_connection(void *arg, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode code)
{
    const int fd = connection_fd(connection);
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        *state = intake_of(fd);
    else
        connection_forget(arg, fd, *state);
}

/* May this connection have one of the reserved places? The longest silent one gives up its own for it. */
static bool reserve_take(struct httpd *httpd)
{
    if (!httpd->opts.is_probe || httpd->reserved == RESERVE_MAX)
        return false;
    if (++httpd->reserved > RESERVE && intake_push_out(&httpd->lists))
        httpd_run_soon(httpd);
    return true;
}

/* At the limit: the connection that may be closed for another one; NULL: none, or many are being closed. */
static struct intake *shed_candidate(const struct httpd *httpd)
{
    return httpd->shedding < SHED_MAX
               ? intake_longest_idle(&httpd->lists, loop_now_ms(httpd->opts.loop))
               : NULL;
}

static void shed(struct httpd *httpd, struct intake *intake)
{
    log_warn("http idle connection closed for a new one, the limit is met",
             LOG_NUM("limit", httpd->opts.connection_limit));
    if (httpd->opts.meter)
        metrics_http_shed();
    httpd->shedding++;
    intake_shed(intake);
    httpd_run_soon(httpd);
}

static void log_over(const struct httpd *httpd, bool full, const char *peer)
{
    enum metrics_http_refusal reason = HTTP_REFUSED_ADDRESS;
    if (full) {
        reason = httpd->opts.limited_by_memory ? HTTP_REFUSED_MEMORY : HTTP_REFUSED_LIMIT;
        log_warn("http connection over the limit", LOG_NUM("limit", httpd->opts.connection_limit));
    } else {
        log_warn("http connection over the share of its address", LOG_TEXT("peer", peer));
    }
    if (httpd->opts.meter)
        metrics_http_refused(reason);
}

static bool on_accept(void *arg, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct httpd *httpd = arg;
    const struct httpd_opts *opts = &httpd->opts;
    char address[INET6_ADDRSTRLEN];
    const char *peer = req_address(addr, address);
    void *share = NULL;
    const bool met =
        httpd->connections - httpd->reserved - httpd->shedding >= opts->connection_limit;
    struct intake *idle = met ? shed_candidate(httpd) : NULL;
    const bool full = met && !idle;
    const bool over = full || (opts->on_connect && !opts->on_connect(opts->arg, peer, &share));
    if (over)
        log_over(httpd, full, peer);
    else if (idle)
        shed(httpd, idle);
    if (over && !reserve_take(httpd))
        return false;
    struct intake *intake =
        intake_open(&(struct intake_opts){.httpd = httpd,
                                          .loop = opts->loop,
                                          .lists = &httpd->lists,
                                          .fd = fd,
                                          .slow_ms = opts->slow_ms ? opts->slow_ms : SLOW_MS,
                                          .peer = peer,
                                          .share = share,
                                          .reserve = over,
                                          .is_probe = opts->is_probe});
    httpd->connections++;
    show_connections(httpd);
    if (MHD_add_connection(httpd->daemon, fd, addr, len) != MHD_YES) {
        log_error("libmicrohttpd refused a connection");
        if (intake_of(fd) == intake) /* else on_connection has forgotten it */
            connection_forget(httpd, fd, intake);
        return true; /* libmicrohttpd has closed the socket */
    }
    httpd_run_soon(httpd);
    return true;
}

enum status httpd_open(const struct httpd_opts *opts, struct httpd **ret_httpd)
{
    struct httpd *httpd = xcalloc(1, sizeof(*httpd));
    httpd->opts = *opts;
    httpd->lists.shed_ms = opts->shed_ms ? opts->shed_ms : SHED_MS;
    httpd->lists.release_ms = opts->release_ms ? opts->release_ms : RELEASE_MS;
    if (opts->meter)
        metrics_http_meter_set(&opts->meter->connections_max, opts->connection_limit);
    httpd->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
        /* What intake lets through the strictest reader takes too; 1.0 has more degrees, and calls this one level 1. */
        on_access, httpd, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_CONNECTION_LIMIT,
        opts->connection_limit + RESERVE_MAX + SHED_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        opts->idle_timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, httpd, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, httpd, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        httpd->daemon ? MHD_get_daemon_info(httpd->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info) {
        log_error("libmicrohttpd cannot be started",
                  LOG_NUM("connectionLimit", opts->connection_limit));
        free(httpd);
        return ST_UNAVAILABLE;
    }
    enum status st =
        httpd_listen_open(opts->loop, opts->host, opts->port, on_accept, httpd, &httpd->listener);
    if (st == ST_OK && !opts->deferred)
        st = httpd_listen_begin(httpd->listener);
    if (st != ST_OK) {
        httpd_listen_close(httpd->listener);
        MHD_stop_daemon(httpd->daemon);
        free(httpd);
        return st;
    }
    httpd->run = (struct loop_task){.cb = on_run, .arg = httpd};
    httpd->polled_run = loop_timer_new(opts->loop, on_polled_run, httpd);
    httpd->timeouts = loop_timer_new(opts->loop, on_timeouts, httpd);
    loop_timer_set(httpd->timeouts, TIMEOUT_CHECK_MS);
    httpd->watch = loop_watch_new(opts->loop, info->epoll_fd, on_epoll, httpd);
    loop_watch_set(httpd->watch, LOOP_READ);
    *ret_httpd = httpd;
    return ST_OK;
}

enum status httpd_listen_now(struct httpd *httpd)
{
    return httpd_listen_begin(httpd->listener);
}

uint16_t httpd_port(const struct httpd *httpd)
{
    return httpd_listen_port(httpd->listener);
}

uint64_t httpd_turn_ns(const struct httpd *httpd)
{
    return httpd->turn_ns;
}

uint64_t httpd_age_ms(const struct httpd *httpd)
{
    return intake_age_ms(&httpd->lists, loop_now_ms(httpd->opts.loop));
}

unsigned httpd_connections(const struct httpd *httpd)
{
    return httpd->connections;
}

unsigned httpd_waiting(const struct httpd *httpd)
{
    return httpd->waiting_count;
}

void httpd_quiesce(struct httpd *httpd)
{
    httpd->quiesced = true;
    httpd_listen_stop(httpd->listener);
}

/* ---- closing: stop listening, answer and resume everything, let the responses leave, stop ---- */

static void close_answer_waiting(struct httpd *httpd)
{
    while (httpd->waiting) {
        if (httpd->waiting->stream.begun) {
            stream_wake(httpd->waiting);
            continue;
        }
        http_req_add_header(httpd->waiting, "Retry-After", "1");
        req_answer(httpd->waiting, 503, NULL, NULL, 0);
    }
}

static void on_close(void *arg)
{
    struct httpd *httpd = arg;
    loop_cb cb = httpd->on_closed;
    void *cb_arg = httpd->on_closed_arg;
    httpd->closing = true;
    httpd_listen_close(httpd->listener);
    for (int i = 0; i < CLOSE_RUNS_MAX; i++) {
        MHD_UNSIGNED_LONG_LONG timeout;
        close_answer_waiting(httpd); /* a run may read new requests */
        MHD_run(httpd->daemon);
        if (!httpd->waiting &&
            (MHD_get_timeout(httpd->daemon, &timeout) != MHD_YES || timeout != 0))
            break;
    }
    close_answer_waiting(httpd);
    loop_watch_close(httpd->watch);
    loop_timer_close(httpd->timeouts);
    loop_timer_close(httpd->polled_run);
    loop_undefer(httpd->opts.loop, &httpd->run);
    MHD_stop_daemon(
        httpd->daemon); /* also finishes connections that were resumed since the last run */
    httpd->closed = true;
    httpd_release(httpd);
    if (cb)
        cb(cb_arg);
}

void httpd_close(struct httpd *httpd, loop_cb cb, void *arg)
{
    if (!httpd) {
        if (cb)
            cb(arg);
        return;
    }
    httpd->quiesced = true;
    httpd->on_closed = cb;
    httpd->on_closed_arg = arg;
    httpd->close = (struct loop_task){.cb = on_close, .arg = httpd};
    loop_defer(httpd->opts.loop, &httpd->close);
}
