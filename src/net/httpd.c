/* SPDX-License-Identifier: MIT */
/*
 * httpd: the life of a request on one loop: accept, bounds, suspend, reply once, resume.
 *
 * Why this way: libmicrohttpd in external-epoll mode is as fast as nginx, as long as its rules are kept
 * (0.9.75; the same holds for 1.0):
 *   - its epoll set is watched by our loop; all of a turn is one MHD_run, in a deferred task, repeated
 *     while MHD_get_timeout says 0, since its epoll is edge-triggered and knows nothing of resumes;
 *   - a request is answered or suspended in the handler's last call only: an answer in the first call
 *     closes the connection. That is wanted for requests whose framing is ambiguous, and used there;
 *   - suspending costs three system calls (out of the epoll set, one read for nothing, in again): half
 *     as much as the whole request. But a handler that neither answers nor suspends is called again
 *     in each run, for 50 ns or so. So a request is held that way first: at most HELD_MAX of them, as
 *     each run looks at all, and for HELD_MS, after which it is suspended. While any is held
 *     MHD_get_timeout always says 0 and is not asked: instead there is a run in each millisecond (a few,
 *     with hundreds held, who wait for an answer under way anyway), and at an answer. Its epoll set is not watched meanwhile: requests come by the dozen with the
 *     next run, instead of waking the thread one by one, which costs more than they do;
 *   - a suspended connection has no timeout and its end goes unseen: every handler must reply in time;
 *   - stopping it with suspended connections aborts the process: close answers and resumes them all;
 *   - an answer in pieces is asked for from inside MHD_run, by a callback that copies what is there.
 *     When nothing is, it suspends the connection (the one other place where that is allowed) and says
 *     0: without suspending it would be asked for ever. Not asked at all for HEAD, and never again once
 *     the connection is gone: on_completed says so.
 * Listening is done by httpd_listen.c, because the library would let those over its limit hang.
 * What is read of a request, and its memory: http_req.c.
 * Called by: api. Owns: connections, and requests until the library reports them completed.
 * Invariants: on_request runs once per request and is answered once; refused framing and bodies
 * too large close the connection; no more than HTTPD_BODY_MAX of a body is ever kept, and of an answer
 * in pieces no more than one piece.
 */
#include "net/httpd.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "net/http_req_internal.h"
#include "net/httpd_listen.h"

#define DISCARD_MAX    (4 * 1024 * 1024) /* beyond a body's limit, read to deliver the 413 */
#define STREAM_BLOCK   16384 /* asked for at a time; the library takes what its memory allows */
#define HELD_MAX       1024
#define HELD_MS        50
#define HELD_PER_MS    256 /* so many more, and the next run is a millisecond later */
#define CLOSE_RUNS_MAX 64  /* turns of the daemon for the last answers to leave */
#define BEAT_MS        1000

struct httpd {
    struct httpd_opts opts;
    struct MHD_Daemon *daemon;
    struct httpd_listen *listener;
    struct loop_watch *watch;
    struct loop_timer *beat; /* for the library's timeouts */
    struct loop_timer *nap;  /* the next run while a request is held */
    struct loop_task run, close;
    struct http_req *waiting;
    struct req_store store;
    unsigned connections, waiting_count, held_count;
    uint64_t turn_ns;
    int64_t date_s; /* that `date` says */
    char date[CLOCK_HTTP_SIZE];
    unsigned owed; /* requests without connection that wait for their reply */
    bool quiesced, closing, closed;
    loop_cb on_closed;
    void *on_closed_arg;
};

/* ---- answering ---- */

void http_req_add_header(struct http_req *req, const char *name, const char *value)
{
    struct header *header = req_memory(req, sizeof(*header));
    header->name = name;
    header->value = http_req_strdup(req, value, strlen(value));
    header->next = NULL;
    *req->headers_tail = header;
    req->headers_tail = &header->next;
}

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

static void req_wait(struct http_req *req)
{
    struct httpd *httpd = req->httpd;
    req_wait_begin(req);
    if (httpd->held_count == HELD_MAX) {
        req_suspend(req);
        return;
    }
    httpd->held_count++;
    req->held_until_ms = loop_now_ms(httpd->opts.loop) + HELD_MS;
}

/* The library asks again for the answer of a held request. */
static void req_held(struct http_req *req)
{
    if (loop_now_ms(req->httpd->opts.loop) < req->held_until_ms)
        return;
    req->httpd->held_count--;
    req_suspend(req);
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
        httpd->held_count--;
    req->waiting = req->suspended = false;
}

static ssize_t on_more(void *arg, uint64_t at, char *out, size_t room);

/* The library refuses a value that is empty or would end the header early; the names are our own. */
static void response_add(struct MHD_Response *response, const char *name, const char *value)
{
    if (MHD_add_response_header(response, name, value) != MHD_YES)
        log_error("httpd: a header was dropped", LOG_TEXT("name", name));
}

/* The library would make it anew for each answer: a thirtieth of a join. */
static const char *date_now(struct httpd *httpd)
{
    const int64_t now_s = clock_wall_s();
    if (httpd->date_s != now_s)
        clock_format_http(now_s, httpd->date);
    httpd->date_s = now_s;
    return httpd->date;
}

static struct MHD_Response *response_new(struct http_req *req, const char *content_type,
                                         const void *body, size_t len)
{
    static char nothing[1];
    struct MHD_Response *response =
        req->stream.begun
            ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, on_more, req, NULL)
            : MHD_create_response_from_buffer(len, len ? (void *)body : nothing,
                                              MHD_RESPMEM_PERSISTENT);
    if (!response)
        return NULL;
    /* The library would end the body that HEAD does not have with a last chunk. */
    if (req->stream.begun && strcmp(req->method, "HEAD") == 0)
        MHD_set_response_options(response, MHD_RF_HTTP_VERSION_1_0_ONLY, MHD_RO_END);
    response_add(response, "Date", date_now(req->httpd));
    if (content_type)
        response_add(response, "Content-Type", content_type);
    for (struct header *header = req->headers; header; header = header->next)
        response_add(response, header->name, header->value);
    if (req->httpd->quiesced || req->refusal)
        response_add(response, "Connection", "close");
    return response;
}

/* The body must live until the request is completed, which may be before this returns. */
static void req_answer(struct http_req *req, unsigned code, const char *content_type,
                       const void *body, size_t len)
{
    struct httpd *httpd = req->httpd;
    struct MHD_Connection *connection = req->connection;
    struct MHD_Response *response = response_new(req, content_type, body, len);
    bool waiting = req->waiting, suspended = req->suspended;
    if (waiting)
        req_wait_end(req);
    req->queued = true;
    if (!response || MHD_queue_response(connection, code, response) != MHD_YES) {
        log_error("httpd: an answer was refused", LOG_NUM("code", code));
        req->queued = false; /* when it is asked for again, the connection ends */
    }
    if (response)
        MHD_destroy_response(response); /* the library has counted its own use */
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

/* The last of a request that on_request has seen. */
static void req_done(struct http_req *req)
{
    struct httpd *httpd = req->httpd;
    if (httpd->opts.on_done)
        httpd->opts.on_done(httpd->opts.arg, req);
    if (req->release)
        req->release(req->owner);
    req_free(&httpd->store, req);
}

void http_reply_static(struct http_req *req, unsigned code, const char *content_type,
                       const void *body, size_t len)
{
    struct httpd *httpd = req->httpd;
    if (req->replied) {
        log_error("httpd: a second reply was dropped", LOG_TEXT("path", req->path));
        return;
    }
    req->replied = true;
    if (req->connection) {
        if (!req->queued) /* else close has answered for it */
            req_answer(req, code, content_type, body, len);
        return;
    }
    httpd->owed--;
    req_done(req);
    httpd_release(httpd);
}

void http_reply_shared(struct http_req *req, unsigned code, const char *content_type,
                       const void *body, size_t len, void (*release)(void *owner), void *owner)
{
    if (req->replied) {
        log_error("httpd: a second reply was dropped", LOG_TEXT("path", req->path));
        release(owner);
        return;
    }
    req->release = release;
    req->owner = owner;
    http_reply_static(req, code, content_type, body, len);
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

/* ---- an answer in pieces ----
 *
 *   reply_stream -> on_more, as long as something is left of the piece -> more() -> (suspended until)
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

/* The library has a buffer to fill. */
static ssize_t on_more(void *arg, uint64_t at, char *out, size_t room)
{
    struct http_req *req = arg;
    struct stream *stream = &req->stream;
    (void)at;
    while (stream->at == stream->len && stream->kind == HTTP_PIECE_MORE && !stream->asked) {
        stream->asked = true;
        stream->more(stream->arg, req); /* may give it at once */
    }
    if (stream->at < stream->len) {
        const size_t len = stream->len - stream->at < room ? stream->len - stream->at : room;
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

/* Something is there for on_more: it is called again. */
static void stream_wake(struct http_req *req)
{
    if (!req->waiting)
        return; /* it is being called */
    req_wait_end(req);
    MHD_resume_connection(req->connection);
    httpd_run_soon(req->httpd);
}

void http_reply_piece(struct http_req *req, const void *data, size_t len, enum http_piece kind)
{
    struct stream *stream = &req->stream;
    if (!stream->asked) {
        log_error("httpd: a piece nobody asked for was dropped", LOG_TEXT("path", req->path));
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

/* ---- the handler: a first call with the headers, one per piece of body, and a last ---- */

/* Returns whether the request goes on: false when it cannot be answered. */
static bool req_deliver(struct http_req *req)
{
    req->delivered = true;
    req->httpd->opts.on_request(req->httpd->opts.arg, req, req->refusal);
    if (!req->replied && req->refusal)
        http_reply_static(req, req->refusal, NULL, NULL, 0);
    if (!req->replied)
        req_wait(req);
    return req->waiting || req->queued;
}

static bool first_call(struct http_req *req)
{
    struct http_framing framing;
    req->refusal = req_read_head(req, &framing);
    if (req->refusal)
        return req_deliver(req);
    if (req->httpd->opts.on_head && (framing.length || framing.encodings))
        req->httpd->opts.on_head(req->httpd->opts.arg, req);
    if (framing.length > req->body_max) {
        req->refusal = 413;
        /* Who waits for a word before sending gets it now; others would be cut off in mid-sentence
         * and might never read it: their body is read and thrown away first. */
        if (framing.expects || framing.length - req->body_max > DISCARD_MAX)
            return req_deliver(req);
    } else if (framing.length && !req->poured) {
        req->body_cap = framing.length;
        req->body = xrealloc(NULL, req->body_cap + 1);
    }
    return true;
}

void http_req_pour_body(struct http_req *req, uint64_t max, http_body_cb on_body, void *arg)
{
    req->poured = true;
    req->body_max = max;
    req->on_body = on_body;
    req->on_body_arg = arg;
}

/* False: far too much; the connection is cut. */
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
    if (req->poured) {
        if (req->on_body && !req->on_body(req->on_body_arg, req, data, len))
            req->on_body = NULL;
        return true;
    }
    if (req->body_len + len > req->body_cap) {
        req->body_cap = req->body_len + len > 1024 ? HTTPD_BODY_MAX : 1024;
        req->body = xrealloc(req->body, req->body_cap + 1);
    }
    memcpy(req->body + req->body_len, data, len);
    req->body_len += len;
    req->body[req->body_len] = '\0';
    return true;
}

static enum MHD_Result on_access(void *arg, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *len, void **state)
{
    struct httpd *httpd = arg;
    struct http_req *req = *state;
    bool good;
    if (!req) {
        *state = req = req_new(&httpd->store, httpd, connection);
        req->method = http_req_strdup(req, method, strlen(method));
        req->path = http_req_strdup(req, url, strlen(url));
        req->http11 = strcmp(version, "HTTP/1.0") != 0;
        good = first_call(req);
    } else if (*len) {
        good = body_call(req, data, *len);
        *len = 0;
        httpd_run_soon(httpd); /* there may be more */
    } else if (!req->delivered) {
        good = req_deliver(req);
    } else {
        good = req->waiting; /* else its answer was refused */
        if (good)
            req_held(req);
    }
    return good ? MHD_YES : MHD_NO;
}

/* The library is done with the request. Its reply may still be owed, when its connection broke or we
 * are closing: then it lives on without one. */
static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct httpd *httpd = arg;
    struct http_req *req = *state;
    (void)connection, (void)code;
    *state = NULL;
    if (!req)
        return;
    if (!req->delivered && !req->poured) {
        req_free(&httpd->store, req);
    } else if (!req->delivered || (req->replied && !req->stream.asked)) {
        req_done(req);
    } else {
        if (req->waiting)
            req_wait_end(req);
        http_req_peer(req);
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
    loop_watch_set(httpd->watch, httpd->held_count ? 0 : LOOP_READ);
    if (httpd->held_count)
        loop_timer_set(httpd->nap, 1 + httpd->held_count / HELD_PER_MS);
    else if (MHD_get_timeout(httpd->daemon, &timeout) == MHD_YES && timeout == 0)
        httpd_run_soon(httpd);
}

static void on_nap(void *arg)
{
    httpd_run_soon(arg);
}

static void on_epoll(void *arg, int events)
{
    (void)events;
    httpd_run_soon(arg);
}

static void on_beat(void *arg)
{
    struct httpd *httpd = arg;
    loop_timer_set(httpd->beat, BEAT_MS);
    httpd_run_soon(httpd);
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode code)
{
    struct httpd *httpd = arg;
    (void)connection, (void)state;
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        httpd->connections++;
    else
        httpd->connections--;
}

static bool on_accept(void *arg, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct httpd *httpd = arg;
    if (httpd->connections >= httpd->opts.connection_limit)
        return false;
    if (MHD_add_connection(httpd->daemon, fd, addr, len) != MHD_YES) {
        log_error("httpd: a connection was refused by the library");
        return true; /* which has closed it */
    }
    httpd_run_soon(httpd);
    return true;
}

/* Paths and queries stay as they came: an id with %2F must not become two segments. */
static size_t keep_escapes(void *arg, struct MHD_Connection *connection, char *text)
{
    (void)arg, (void)connection;
    return strlen(text);
}

/* Before any header is read. */
static void *on_line(void *arg, const char *uri, struct MHD_Connection *connection)
{
    (void)arg;
    req_hide_cookies(connection);
    if (strchr(uri, ' ') != NULL)
        req_spoil(connection);
    return NULL; /* the request's state: made at the first call */
}

static struct MHD_Daemon *daemon_start(struct httpd *httpd)
{
    const struct httpd_opts *opts = &httpd->opts;
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
        on_access, httpd, MHD_OPTION_CONNECTION_LIMIT, opts->connection_limit,
        MHD_OPTION_CONNECTION_TIMEOUT, opts->idle_timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_NOTIFY_COMPLETED, on_completed, httpd,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, httpd, MHD_OPTION_URI_LOG_CALLBACK, on_line,
        NULL, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_END);
}

enum status httpd_open(const struct httpd_opts *opts, struct httpd **ret_httpd)
{
    struct httpd *httpd = xcalloc(1, sizeof(*httpd));
    httpd->opts = *opts;
    httpd->daemon = daemon_start(httpd);
    const union MHD_DaemonInfo *info =
        httpd->daemon ? MHD_get_daemon_info(httpd->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info) {
        log_error("httpd: the library does not start");
        free(httpd);
        return ST_UNAVAILABLE;
    }
    enum status st =
        httpd_listen_open(opts->loop, opts->host, opts->port, on_accept, httpd, &httpd->listener);
    if (st != ST_OK) {
        MHD_stop_daemon(httpd->daemon);
        free(httpd);
        return st;
    }
    httpd->run = (struct loop_task){.cb = on_run, .arg = httpd};
    httpd->nap = loop_timer_new(opts->loop, on_nap, httpd);
    httpd->beat = loop_timer_new(opts->loop, on_beat, httpd);
    loop_timer_set(httpd->beat, BEAT_MS);
    httpd->watch = loop_watch_new(opts->loop, info->epoll_fd, on_epoll, httpd);
    loop_watch_set(httpd->watch, LOOP_READ);
    *ret_httpd = httpd;
    return ST_OK;
}

uint16_t httpd_port(const struct httpd *httpd)
{
    return httpd_listen_port(httpd->listener);
}

uint64_t httpd_turn_ns(const struct httpd *httpd)
{
    return httpd->turn_ns;
}

unsigned httpd_connections(const struct httpd *httpd)
{
    return httpd->connections;
}

unsigned httpd_suspended(const struct httpd *httpd)
{
    return httpd->waiting_count;
}

void httpd_quiesce(struct httpd *httpd)
{
    httpd->quiesced = true;
    httpd_listen_stop(httpd->listener);
}

/* ---- closing: no more accepts, answer and resume all, let the answers leave, stop ---- */

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

static void close_flush(struct httpd *httpd)
{
    MHD_UNSIGNED_LONG_LONG timeout;
    for (int i = 0; i < CLOSE_RUNS_MAX; i++) {
        close_answer_waiting(httpd); /* more may arrive in between */
        MHD_run(httpd->daemon);
        if (!httpd->waiting &&
            (MHD_get_timeout(httpd->daemon, &timeout) != MHD_YES || timeout != 0))
            return;
    }
}

static void on_close(void *arg)
{
    struct httpd *httpd = arg;
    loop_cb cb = httpd->on_closed;
    void *cb_arg = httpd->on_closed_arg;
    httpd->closing = true;
    httpd_listen_close(httpd->listener);
    close_flush(httpd);
    close_answer_waiting(httpd);
    loop_watch_close(httpd->watch);
    loop_timer_close(httpd->beat);
    loop_timer_close(httpd->nap);
    loop_undefer(httpd->opts.loop, &httpd->run);
    MHD_stop_daemon(httpd->daemon); /* resumes first what was resumed and not run yet */
    req_store_clear(&httpd->store);
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
