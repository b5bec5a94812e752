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
 * Called by: api. Owns: connections and requests; a request's memory is an arena that goes back to a
 * free list when the library reports it completed.
 * Invariants: on_request runs once per request and is answered once; refused framing and bodies
 * too large close the connection; no more than HTTPD_BODY_MAX of a body is ever kept, and of an answer
 * in pieces no more than one piece.
 */
#include "httpd.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "buf.h"
#include "httpd_listen.h"
#include "httpd_text.h"
#include "log.h"

/* The library keeps in one piece: the head of the request, 64 bytes for each header and query
 * argument, and the head of the answer; if that last has no room, it closes the connection without a
 * word. So that is reckoned up before a request is let in. The piece is zeroed for each request, which
 * costs 50 ns for each KiB: it is just large enough for the head of 8 KiB that is promised. */
#define CONNECTION_MEMORY 12288
#define VALUE_MEMORY      64
#define HEAD_MAX          8192 /* of a request */
#define ANSWER_HEAD_MAX   2048
#define DISCARD_MAX       (4 * 1024 * 1024) /* beyond a body's limit, read to deliver the 413 */
#define REQ_SIZE          4096              /* a request with its first piece of arena */
#define CHUNK_SIZE        4096
#define STREAM_BLOCK      16384 /* asked for at a time; the library takes what its memory allows */
#define FREE_MAX          2048  /* requests kept for the next */
#define HELD_MAX          1024
#define HELD_MS           50
#define HELD_PER_MS       256 /* so many more, and the next run is a millisecond later */
#define CLOSE_RUNS_MAX    64  /* turns of the daemon for the last answers to leave */
#define BEAT_MS           1000

/* Recycled memory would hide a use after free from the sanitizer. */
#if defined(__SANITIZE_ADDRESS__)
#define RECYCLE 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RECYCLE 0
#endif
#endif
#ifndef RECYCLE
#define RECYCLE 1
#endif

struct header {
    struct header *next;
    const char *name, *value;
};

struct chunk {
    struct chunk *next;
    _Alignas(16) char data[];
};

/* An answer in pieces. `asked`: the caller owes the next one. */
struct stream {
    http_more_cb more;
    void *arg;
    char *piece; /* what is to be sent, sent up to `at` */
    size_t len, at;
    enum http_piece kind; /* of the piece in hand: whether more come after it */
    bool begun, asked;
};

struct http_req {
    struct httpd *httpd;
    struct MHD_Connection *connection; /* NULL: the connection is gone, the reply is still owed */
    const char *method, *path;
    struct http_req *next, *prev; /* among the waiting; next: among the free */
    void *user;
    const char *peer;
    struct header *headers, **headers_tail; /* of the answer */
    char *body;
    size_t body_len, body_cap;
    uint64_t body_seen; /* kept or not */
    uint64_t body_max;
    http_body_cb on_body; /* takes the body instead of its being kept */
    void *on_body_arg;
    struct stream stream;
    unsigned refusal;
    bool http11;
    bool poured;    /* on_head wanted the body: on_done is due */
    bool delivered; /* on_request has seen it */
    bool replied;   /* by the caller */
    bool queued;    /* the library has an answer */
    bool waiting;   /* for the caller's reply, suspended or held */
    bool suspended;
    uint64_t held_until_ms;
    void (*release)(void *owner); /* of an answer that is shared */
    void *owner;
    struct chunk *chunks;
    char *at, *end; /* the arena's free part */
};

struct httpd {
    struct httpd_opts opts;
    struct MHD_Daemon *daemon;
    struct httpd_listen *listener;
    struct loop_watch *watch;
    struct loop_timer *beat; /* for the library's timeouts */
    struct loop_timer *nap;  /* the next run while a request is held */
    struct loop_task run, close;
    struct http_req *waiting;
    struct http_req *free;
    unsigned free_count, connections, waiting_count, held_count;
    unsigned owed; /* requests without connection that wait for their reply */
    bool quiesced, closing, closed;
    loop_cb on_closed;
    void *on_closed_arg;
};

/* ---- memory of a request ---- */

static struct http_req *req_new(struct httpd *httpd)
{
    struct http_req *req = httpd->free;
    if (req) {
        httpd->free = req->next;
        httpd->free_count--;
    } else {
        req = xrealloc(NULL, REQ_SIZE);
    }
    memset(req, 0, sizeof(*req));
    req->httpd = httpd;
    req->body_max = HTTPD_BODY_MAX;
    req->headers_tail = &req->headers;
    req->at = (char *)req + (sizeof(*req) + 15) / 16 * 16;
    req->end = (char *)req + REQ_SIZE;
    return req;
}

static void req_free(struct http_req *req)
{
    struct httpd *httpd = req->httpd;
    while (req->chunks) {
        struct chunk *chunk = req->chunks;
        req->chunks = chunk->next;
        free(chunk);
    }
    free(req->body);
    free(req->stream.piece);
    if (!RECYCLE || httpd->free_count >= FREE_MAX || httpd->closed) {
        free(req);
        return;
    }
    req->next = httpd->free;
    httpd->free = req;
    httpd->free_count++;
}

/* Not zeroed. */
static void *req_memory(struct http_req *req, size_t size)
{
    size = (size + 15) / 16 * 16;
    if (size > (size_t)(req->end - req->at)) {
        size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;
        struct chunk *chunk = xrealloc(NULL, sizeof(*chunk) + room);
        chunk->next = req->chunks;
        req->chunks = chunk;
        if (room > CHUNK_SIZE) /* a large one of its own: the present piece may have room still */
            return chunk->data;
        req->at = chunk->data;
        req->end = chunk->data + room;
    }
    void *memory = req->at;
    req->at += size;
    return memory;
}

void *http_req_alloc(struct http_req *req, size_t size)
{
    return memset(req_memory(req, size), 0, size);
}

char *http_req_strdup(struct http_req *req, const char *text, size_t len)
{
    char *copy = req_memory(req, len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

void http_req_set_user(struct http_req *req, void *user)
{
    req->user = user;
}

void *http_req_user(const struct http_req *req)
{
    return req->user;
}

/* ---- looking at a request: what is returned is a copy, as the connection's memory may go first ---- */

static char *own_copy(const struct http_req *req, const char *text, size_t len)
{
    return http_req_strdup((struct http_req *)req, text, len); /* its arena, not its meaning */
}

const char *http_req_method(const struct http_req *req)
{
    return req->method;
}

const char *http_req_path(const struct http_req *req)
{
    return req->path;
}

const char *http_req_header(const struct http_req *req, const char *name)
{
    if (!req->connection)
        return NULL;
    const char *value = MHD_lookup_connection_value(req->connection, MHD_HEADER_KIND, name);
    return value ? own_copy(req, value, strlen(value)) : NULL;
}

/* The library has split the query and made its '+' blanks; it is not yet percent-decoded. */
const char *http_req_query(const struct http_req *req, const char *name)
{
    if (!req->connection)
        return NULL;
    const char *raw = MHD_lookup_connection_value(req->connection, MHD_GET_ARGUMENT_KIND, name);
    if (!raw)
        return NULL;
    size_t len = strlen(raw);
    char *text = own_copy(req, raw, len);
    return http_percent_decode(raw, len, text) ? text : NULL;
}

struct cookie_search {
    const char *name, *value;
    size_t *len;
};

static enum MHD_Result on_cookie_header(void *arg, enum MHD_ValueKind kind, const char *key,
                                        const char *value)
{
    struct cookie_search *search = arg;
    (void)kind;
    if (strcasecmp(key, "cookie") != 0 || !value)
        return MHD_YES;
    search->value = http_cookie_find(value, search->name, search->len);
    return search->value ? MHD_NO : MHD_YES; /* a proxy may have split them over several */
}

const char *http_req_cookie(const struct http_req *req, const char *name, size_t *ret_len)
{
    struct cookie_search search = {.name = name, .len = ret_len};
    if (req->connection)
        MHD_get_connection_values(req->connection, MHD_HEADER_KIND, on_cookie_header, &search);
    return search.value ? own_copy(req, search.value, *ret_len) : NULL;
}

const char *http_req_body(const struct http_req *req, size_t *ret_len)
{
    *ret_len = req->body_len;
    return req->body_len ? req->body : "";
}

static const char *peer_text(struct http_req *req, const struct sockaddr *addr)
{
    char *text = req_memory(req, INET6_ADDRSTRLEN);
    const void *ip = NULL;
    int family = addr ? addr->sa_family : AF_UNSPEC;
    if (family == AF_INET) {
        ip = &((const struct sockaddr_in *)addr)->sin_addr;
    } else if (family == AF_INET6) {
        const struct in6_addr *v6 = &((const struct sockaddr_in6 *)addr)->sin6_addr;
        ip = v6;
        if (IN6_IS_ADDR_V4MAPPED(v6)) {
            family = AF_INET;
            ip = &v6->s6_addr[12];
        }
    }
    return ip && inet_ntop(family, ip, text, INET6_ADDRSTRLEN) ? text : "";
}

const char *http_req_form(struct http_req *req, const char *name)
{
    size_t body_len, len;
    const char *body = http_req_body(req, &body_len);
    const char *raw = http_form_find(body, body_len, name, &len);
    if (!raw)
        return NULL;
    char *text = own_copy(req, raw, len);
    for (char *plus = text; (plus = strchr(plus, '+')) != NULL;)
        *plus = ' ';
    char *decoded = own_copy(req, text, len);
    return http_percent_decode(text, len, decoded) ? decoded : NULL;
}

const char *http_req_peer(const struct http_req *req)
{
    struct http_req *own = (struct http_req *)req; /* it remembers the text */
    if (!req->peer && req->connection) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(req->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        own->peer = peer_text(own, info ? info->client_addr : NULL);
    }
    return req->peer ? req->peer : "";
}

/* ---- answering ---- */

static bool header_fits(const char *name, const char *value)
{
    if (!*name || !*value)
        return false;
    for (; *name; name++)
        if (*name <= ' ' || *name == ':' || *name == 0x7f)
            return false;
    const size_t len =
        strlen(value); /* what would end the header, by the fastest search there is */
    return memchr(value, '\r', len) == NULL && memchr(value, '\n', len) == NULL;
}

void http_req_add_header(struct http_req *req, const char *name, const char *value)
{
    if (!header_fits(name, value)) {
        log_error("httpd: a header was dropped", LOG_TEXT("name", name));
        return;
    }
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
    if (content_type)
        MHD_add_response_header(response, "Content-Type", content_type);
    for (struct header *header = req->headers; header; header = header->next)
        MHD_add_response_header(response, header->name, header->value);
    if (req->httpd->quiesced || req->refusal)
        MHD_add_response_header(response, "Connection", "close");
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
    req_free(req);
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

struct head {
    struct http_framing framing;
    size_t memory; /* that the library has spent on it, its text aside */
};

static enum MHD_Result on_value(void *arg, enum MHD_ValueKind kind, const char *name,
                                size_t name_len, const char *value, size_t value_len)
{
    struct head *head = arg;
    head->memory += VALUE_MEMORY;
    if (kind == MHD_COOKIE_KIND)
        head->memory += name_len + value_len + 2;
    if (kind == MHD_HEADER_KIND)
        http_framing_add(&head->framing, name, name_len, value ? value : "", value ? value_len : 0);
    return MHD_YES;
}

/* The status to refuse the request with by its head alone, or 0. */
static unsigned head_refusal(struct http_req *req, struct http_framing *ret_framing)
{
    struct head head = {0};
    MHD_get_connection_values_n(req->connection,
                                MHD_HEADER_KIND | MHD_COOKIE_KIND | MHD_GET_ARGUMENT_KIND, on_value,
                                &head);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(req->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    size_t text = info ? info->header_size : 0;
    *ret_framing = head.framing;
    if (http_framing_ambiguous(&head.framing, req->http11))
        return 400;
    if (text > HEAD_MAX || text + head.memory + ANSWER_HEAD_MAX > CONNECTION_MEMORY)
        return 431;
    return 0;
}

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
    req->refusal = head_refusal(req, &framing);
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
    struct http_req *req = *state;
    bool good;
    if (!req) {
        *state = req = req_new(arg);
        req->connection = connection;
        req->method = http_req_strdup(req, method, strlen(method));
        req->path = http_req_strdup(req, url, strlen(url));
        req->http11 = strcmp(version, "HTTP/1.0") != 0;
        good = first_call(req);
    } else if (*len) {
        good = body_call(req, data, *len);
        *len = 0;
        httpd_run_soon(arg); /* there may be more */
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
    struct http_req *req = *state;
    (void)arg, (void)connection, (void)code;
    *state = NULL;
    if (!req)
        return;
    if (!req->delivered && !req->poured) {
        req_free(req);
    } else if (!req->delivered || (req->replied && !req->stream.asked)) {
        req_done(req);
    } else {
        if (req->waiting)
            req_wait_end(req);
        http_req_peer(req);
        req->connection = NULL;
        req->httpd->owed++;
    }
}

/* ---- running the daemon ---- */

static void on_run(void *arg)
{
    struct httpd *httpd = arg;
    MHD_UNSIGNED_LONG_LONG timeout = 1;
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

/* The library parses the first Cookie header, by a grammar of its own, into copies that share the
 * connection's memory; where they have no room, it closes the connection without an answer. We read
 * cookies ourselves: so it is given another first one, before any header is read. */
static void *hide_cookies(void *arg, const char *uri, struct MHD_Connection *connection)
{
    (void)arg, (void)uri;
    MHD_set_connection_value(connection, MHD_HEADER_KIND, "Cookie", "none");
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
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, httpd, MHD_OPTION_URI_LOG_CALLBACK,
        hide_cookies, NULL, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
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
    while (httpd->free) {
        struct http_req *req = httpd->free;
        httpd->free = req->next;
        free(req);
    }
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
