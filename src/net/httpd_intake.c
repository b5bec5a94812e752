/* SPDX-License-Identifier: MIT */
/*
 * httpd_intake: reads a connection for libmicrohttpd, and lets nothing through but what we have understood.
 *
 * Why this way: the library's parser takes what no proxy takes (docs/decisions/0056), and offers no look at the bytes.
 * But it reads them with recv(), which recv_tap replaces. For the descriptors of httpd this file judges what arrived,
 * keeps the head of each request as an http_req, and passes the library a head of its own making, which is the same
 * few bytes for nearly every request. A body is passed on in chunks of our making, whatever its framing was, so that it
 * can be ended where it is refused; only HTTP/1.0 has none.
 * The library is edge-triggered: it must not be told that there is nothing more while something is kept here.
 * So everything that was read is passed on at once (`out` has what the library had no room for, and then its buffer is
 * full), and reading goes on until a read was short. What a client sends after a complete request waits in the
 * library's buffer as heads of our making, and here, in `queue`, as it came.
 * A refusal is a head (or the end of a body) like any other, and the request is answered by its handler; nothing
 * more is read then.
 * Called by: httpd; intake_read by recv_tap, for the library. Owns: the requests until they are taken, and what is half
 * received.
 * Invariants: a request is passed on only when its whole head is known to be right; at most HTTP_HEAD_MAX of a
 * head, QUEUE_MAX of queued heads and one more, and what one BLOCK becomes in `out` are kept for a connection;
 * nothing for an idle one.
 */
#include "net/httpd_intake_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "net/loop.h"
#include "net/recv_tap.h"
#include "net/tcp_progress.h"

#define BLOCK     16384 /* bytes that are read at a time */
#define QUEUE_MAX 16384
#define DRAIN_MAX 262144 /* bytes that are read after a refusal, before the socket is closed */
#define PARTIAL   1024   /* first size of the memory of a half received head */

#define AGE_HOLD_MS 20 /* of the connections that are read one shows how long the others wait */

/* ---- what is under way, and what is idle ---- */

static bool is_under_way(const struct intake *intake)
{
    return intake->in == &intake->opts.lists->under_way;
}

static void under_way_add(struct intake *intake)
{
    intake_list_add(intake, &intake->opts.lists->under_way);
}

static void under_way_remove(struct intake *intake)
{
    if (is_under_way(intake))
        intake_list_remove(intake);
}

/* Puts the connection among those that are answered, or the idle ones, or takes it from there, whatever it is now. */
static void place_update(struct intake *intake)
{
    struct intake_lists *lists = intake->opts.lists;
    const bool answered = intake->busy && !is_under_way(intake);
    if (!answered && intake->in == &lists->answering)
        intake_list_remove(intake);
    if (answered && !intake->in)
        intake_list_add(intake, &lists->answering);
    const bool waits =
        intake->busy || intake->ready || intake->queue || intake->last || intake->out;
    const bool idle = !waits && !intake->ended && !intake->shed && !intake->opts.reserve &&
                      intake->phase == PHASE_HEAD && !is_under_way(intake);
    if (!idle && intake->in == &lists->idle)
        intake_list_remove(intake);
    if (!idle || intake->in)
        return;
    intake_list_add(intake, &lists->idle);
    if (!lists->keeps)
        lists->keeps = intake;
}

/* ---- what is passed on ---- */

/* The library's buffer. */
struct sink {
    char *to;
    size_t len, cap;
};

static void pass(struct intake *intake, struct sink *sink, const char *data, size_t len)
{
    const size_t room = sink->cap - sink->len, now = len < room ? len : room;
    memcpy(sink->to + sink->len, data, now);
    sink->len += now;
    if (now == len)
        return;
    intake->out = xrealloc(intake->out, intake->out_len + len - now);
    memcpy(intake->out + intake->out_len, data + now, len - now);
    intake->out_len += len - now;
}

static void pass_kept(struct intake *intake, struct sink *sink)
{
    const size_t kept = intake->out_len - intake->out_at;
    const size_t now = kept < sink->cap ? kept : sink->cap;
    memcpy(sink->to, intake->out + intake->out_at, now);
    sink->len = now;
    intake->out_at += now;
    if (intake->out_at == intake->out_len) {
        free(intake->out);
        intake->out = NULL;
        intake->out_at = intake->out_len = 0;
    }
}

static void pass_text(struct intake *intake, struct sink *sink, const char *text)
{
    pass(intake, sink, text, strlen(text));
}

static void pass_body(struct intake *intake, struct sink *sink, const char *data, size_t len)
{
    char size[24];
    if (intake->chunked_out)
        pass(intake, sink, size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", len));
    pass(intake, sink, data, len);
    if (intake->chunked_out)
        pass_text(intake, sink, "\r\n");
}

static void pass_body_end(struct intake *intake, struct sink *sink)
{
    if (intake->chunked_out)
        pass_text(intake, sink, "0\r\n\r\n");
    intake->phase = PHASE_HEAD;
    under_way_remove(intake);
}

/* All that the library needs to know of an accepted head: is there a body, may it have one in the response (HEAD),
 * and does the connection stay. */
static void pass_head(struct intake *intake, struct sink *sink, const struct http_head *head,
                      bool is_head)
{
    const bool body = head->chunked || head->length > 0;
    const bool closes = head->close || intake->opts.reserve || intake->shed;
    if (head->http11 && !body && !is_head && !closes) {
        pass_text(intake, sink, "GET / HTTP/1.1\r\nHost:x\r\n\r\n");
        return;
    }
    intake->chunked_out = head->http11;
    char framing[48] = "";
    if (body && head->http11)
        (void)snprintf(framing, sizeof(framing), "Transfer-Encoding:chunked\r\n");
    else if (body)
        (void)snprintf(framing, sizeof(framing), "Content-Length:%llu\r\n",
                       (unsigned long long)head->length);
    char text[192];
    const int len =
        snprintf(text, sizeof(text), "%s / HTTP/1.%d\r\nHost:x\r\n%s%s%s\r\n",
                 is_head ? "HEAD"
                 : body  ? "POST"
                         : "GET",
                 head->http11,
                 closes             ? "Connection:close\r\n"
                 : head->keep_alive ? "Connection:keep-alive\r\n"
                                    : "",
                 body && head->http11 && head->expects ? "Expect:100-continue\r\n" : "", framing);
    pass(intake, sink, text, (size_t)len);
}

/* ---- heads ---- */

static bool is_head(const struct http_head *head, const char *text)
{
    return head->method.len == 4 && memcmp(text + head->method.at, "HEAD", 4) == 0;
}

/* Keeps the head as it came, for when the requests before it are done. */
static void queue_add(struct intake *intake, const char *text, uint16_t len)
{
    intake->queue = xrealloc(intake->queue, intake->queue_len + sizeof(len) + len);
    memcpy(intake->queue + intake->queue_len, &len, sizeof(len));
    memcpy(intake->queue + intake->queue_len + sizeof(len), text, len);
    intake->queue_len += sizeof(len) + len;
}

/* The head was read: `status` is HTTP_HEAD_COMPLETE, or why it is refused. */
static void head_pass(struct intake *intake, struct sink *sink, const struct http_head *head,
                      const char *text, unsigned status)
{
    const bool others = intake->ready || intake->queue, reserve = intake->opts.reserve;
    const bool bodyless = is_head(head, text);
    struct http_req *req = NULL;
    unsigned refusal = status == HTTP_HEAD_COMPLETE ? 0 : status;
    if (!refusal && others && intake->queue_len >= QUEUE_MAX)
        refusal = 503;
    if (!refusal && others) {
        queue_add(intake, text, head->at);
    } else {
        req = req_new(intake->opts.httpd, NULL);
        req_set_head(req, head, text, refusal);
        if (!refusal && reserve && !intake->opts.is_probe(http_req_path(req)))
            refusal = 503;
        req->refusal = refusal;
        *(others ? &intake->last : &intake->ready) = req;
    }
    if (refusal) {
        intake->ended = true;
        under_way_remove(intake);
        pass_text(intake, sink,
                  bodyless ? "HEAD / HTTP/1.1\r\nHost:x\r\nConnection:close\r\n\r\n"
                           : "GET / HTTP/1.1\r\nHost:x\r\nConnection:close\r\n\r\n");
        return;
    }
    pass_head(intake, sink, head, bodyless);
    if (head->chunked || head->length) {
        intake->phase = head->chunked ? PHASE_CHUNKED : PHASE_LENGTH;
        intake->left = head->length;
        intake->body = 0;
        memset(&intake->chunks, 0, sizeof(intake->chunks));
        under_way_add(intake);
    } else {
        under_way_remove(intake);
    }
}

/* Only empty lines so far: the connection is idle, and a refusal might be taken for the answer to the next request. */
static bool is_blank(const struct http_head *head, size_t len)
{
    return !head->has_line && head->at == len;
}

/* Makes what has come of a head the partial one, for the next bytes to be added. */
static void partial_keep(struct intake *intake, const struct http_head *head, const char *text,
                         size_t len)
{
    const size_t cap = len < PARTIAL ? PARTIAL : HTTP_HEAD_MAX;
    struct partial *partial = xrealloc(NULL, sizeof(*partial) + cap);
    memcpy(&partial->head, head, sizeof(*head));
    memcpy(partial->text, text, len);
    partial->len = len;
    partial->cap = cap;
    intake->partial = partial;
    if (!is_blank(head, len))
        under_way_add(intake);
}

/* Reads the head that text[0..len) begins with, or goes on with. Returns the bytes of `text` that belong to it. */
static size_t head_feed(struct intake *intake, struct sink *sink, const char *text, size_t len)
{
    static _Thread_local struct http_head whole; /* most heads come in one piece */
    struct partial *partial = intake->partial;
    if (!partial) {
        http_head_init(&whole);
        const unsigned status = http_head_read(&whole, text, len);
        if (status)
            head_pass(intake, sink, &whole, text, status);
        else
            partial_keep(intake, &whole, text, len);
        return status ? whole.at : len;
    }
    const size_t before = partial->len;
    const size_t add = len < HTTP_HEAD_MAX - before ? len : HTTP_HEAD_MAX - before;
    if (before + add > partial->cap) {
        partial = intake->partial = xrealloc(partial, sizeof(*partial) + HTTP_HEAD_MAX);
        partial->cap = HTTP_HEAD_MAX;
    }
    memcpy(partial->text + before, text, add);
    partial->len += add;
    const unsigned status = http_head_read(&partial->head, partial->text, partial->len);
    if (!status) {
        if (!is_blank(&partial->head, partial->len)) {
            if (!is_under_way(intake))
                under_way_add(intake);
        } else if (!intake->opts.reserve) {
            under_way_remove(intake);
        }
        return add;
    }
    intake->partial = NULL;
    head_pass(intake, sink, &partial->head, partial->text, status);
    const size_t used = partial->head.at > before ? partial->head.at - before : 0;
    free(partial);
    return used;
}

/* ---- bodies ---- */

/* The body of the last request is not passed on further: the request is refused with the status. */
static void body_refuse(struct intake *intake, struct sink *sink, unsigned status)
{
    intake->body_refusal = status;
    intake->ended = true;
    pass_body_end(intake, sink);
}

static size_t length_feed(struct intake *intake, struct sink *sink, const char *text, size_t len)
{
    const size_t part = intake->left < len ? (size_t)intake->left : len;
    pass_body(intake, sink, text, part);
    intake->left -= part;
    intake->body += part;
    if (intake->left == 0)
        pass_body_end(intake, sink);
    return part;
}

static size_t chunks_feed(struct intake *intake, struct sink *sink, const char *text, size_t len)
{
    const char *data;
    size_t at = 0, part;
    for (;;) {
        switch (http_chunks_read(&intake->chunks, text, len, &at, &data, &part)) {
        case HTTP_CHUNKS_DATA:
            pass_body(intake, sink, data, part);
            intake->body += part;
            continue;
        case HTTP_CHUNKS_MORE:
            return at;
        case HTTP_CHUNKS_END:
            pass_body_end(intake, sink);
            return at;
        default:
            body_refuse(intake, sink, 400);
            return at;
        }
    }
}

/* ---- reading ---- */

static void feed(struct intake *intake, struct sink *sink, const char *text, size_t len)
{
    for (size_t at = 0; at < len && !intake->ended;)
        switch (intake->phase) {
        case PHASE_HEAD:
            at += head_feed(intake, sink, text + at, len - at);
            break;
        case PHASE_LENGTH:
            at += length_feed(intake, sink, text + at, len - at);
            break;
        default:
            at += chunks_feed(intake, sink, text + at, len - at);
        }
}

/* Refuses what is under way with intake->overdue. False when that cannot be told: HTTP/1.0 has no chunks. */
static bool feed_overdue(struct intake *intake, struct sink *sink)
{
    if (intake->phase != PHASE_HEAD) {
        if (!intake->chunked_out)
            return false;
        body_refuse(intake, sink, intake->overdue);
        return true;
    }
    static _Thread_local struct http_head none;
    http_head_init(&none);
    struct partial *partial = intake->partial;
    intake->partial = NULL;
    head_pass(intake, sink, partial ? &partial->head : &none, partial ? partial->text : "",
              intake->overdue);
    free(partial);
    return true;
}

/* Notes how long the bytes that were just read had waited for it, in the queue of new connections or of this one: the
 * kernel knows when the last of them came. Not when they came while an earlier request was being answered, since that
 * wait is the client's own doing. The first one that a turn reads has waited longest, so one a millisecond is enough. */
static void note_age(struct intake *intake)
{
    struct intake_lists *lists = intake->opts.lists;
    const uint64_t now_ms = loop_now_ms(intake->opts.loop);
    if (lists->looked_ms == now_ms || intake->in != &lists->idle)
        return;
    lists->looked_ms = now_ms;
    struct tcp_info info;
    socklen_t len = sizeof(info);
    if (getsockopt(intake->opts.fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
        return;
    uint64_t age_ms = info.tcpi_last_data_recv;
    if (intake->was_read && age_ms > now_ms - intake->since_ms)
        age_ms = now_ms - intake->since_ms;
    if (age_ms > lists->worst_age_ms)
        lists->worst_age_ms = age_ms;
    if (age_ms < lists->age_ms && now_ms - lists->aged_ms <= AGE_HOLD_MS)
        return;
    lists->age_ms = age_ms;
    lists->aged_ms = now_ms;
}

uint64_t intake_age_ms(const struct intake_lists *lists, uint64_t now_ms)
{
    return now_ms - lists->aged_ms <= AGE_HOLD_MS ? lists->age_ms : 0;
}

static ssize_t read_for_library(struct intake *intake, void *to, size_t cap)
{
    static _Thread_local char block[BLOCK];
    struct sink sink = {.to = to, .cap = cap};
    if (intake->overdue && !intake->ended && !feed_overdue(intake, &sink)) {
        errno = ECONNRESET;
        return -1;
    }
    if (intake->out)
        pass_kept(intake, &sink);
    /* Also after something kept: the event that told of more may have come meanwhile. */
    for (bool more = true; more && !intake->ended && sink.len < cap;) {
        const ssize_t got = recvfrom(intake->opts.fd, block, sizeof(block), 0, NULL, NULL);
        more = got == sizeof(block);
        intake->at_end |= got == 0;
        if (got <= 0 && sink.len == 0)
            return got;
        if (got <= 0)
            break; /* an end or an error is met again: the response cannot be sent, or the next read ends */
        note_age(intake);
        feed(intake, &sink, block, (size_t)got);
    }
    if (sink.len == 0) {
        errno = EAGAIN;
        return -1;
    }
    return (ssize_t)sink.len;
}

/* Can the block at `memory` be given back, and nothing else with it? Not where pages are larger (arm64 may have 64 KiB). */
static bool is_whole_pages(const void *memory)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    return CONNECTION_MEMORY % page == 0 && (uintptr_t)memory % page == 0;
}

/* recv_tap_cb: the bytes for the library. */
static ssize_t intake_read(void *arg, void *to, size_t cap)
{
    struct intake *intake = arg;
    if (!intake->was_read && is_whole_pages(to))
        intake->memory = to; /* it reads to the beginning of its block first */
    const ssize_t len = read_for_library(intake, to, cap);
    const int error = errno;
    intake->was_read = true;
    place_update(intake);
    errno = error;
    return len;
}

struct intake *intake_of(int fd)
{
    return recv_tap_arg(fd, intake_read);
}

/* ---- httpd's side ---- */

struct intake *intake_open(const struct intake_opts *opts)
{
    struct intake *intake = xcalloc(1, sizeof(*intake));
    intake->opts = *opts;
    memccpy(intake->peer, opts->peer, '\0', sizeof(intake->peer) - 1);
    intake->opts.peer = intake->peer;
    recv_tap_set(opts->fd, intake_read, intake);
    if (opts->reserve)
        under_way_add(intake);
    place_update(intake);
    return intake;
}

/* A socket that is closed with unread bytes resets its connection, and the client loses what is still on its way to
 * it. So what has arrived is read first (RFC 9112, 9.6). True: there was something. */
static bool drain(int fd)
{
    static _Thread_local char block[BLOCK];
    size_t total = 0;
    ssize_t got = 1;
    for (; total < DRAIN_MAX && got > 0; total += got > 0 ? (size_t)got : 0)
        got = recvfrom(fd, block, sizeof(block), MSG_DONTWAIT, NULL, NULL);
    return total > 0;
}

bool intake_close(struct intake *intake)
{
    const int fd = intake->opts.fd;
    const bool surplus = !intake->at_end && (drain(fd) || tcp_unread(fd) > 0);
    const bool to_linger = surplus || intake->refused;
    recv_tap_clear(intake->opts.fd);
    intake_list_remove(intake);
    if (intake->ready)
        req_free(intake->ready);
    if (intake->last)
        req_free(intake->last);
    free(intake->partial);
    free(intake->queue);
    free(intake->out);
    free(intake);
    return to_linger;
}

void *intake_share(const struct intake *intake)
{
    return intake->opts.share;
}

bool intake_is_reserve(const struct intake *intake)
{
    return intake->opts.reserve;
}

/* The first of the queued heads as a request. */
static struct http_req *queue_take(struct intake *intake)
{
    static _Thread_local struct http_head head;
    uint16_t len;
    memcpy(&len, intake->queue + intake->queue_at, sizeof(len));
    const char *text = intake->queue + intake->queue_at + sizeof(len);
    http_head_init(&head);
    (void)http_head_read(&head, text, len); /* it was complete before, so it is now */
    struct http_req *req = req_new(intake->opts.httpd, NULL);
    req_set_head(req, &head, text, 0);
    intake->queue_at += sizeof(len) + len;
    if (intake->queue_at == intake->queue_len) {
        free(intake->queue);
        intake->queue = NULL;
        intake->queue_at = intake->queue_len = 0;
    }
    return req;
}

struct http_req *intake_take(struct intake *intake, struct MHD_Connection *connection)
{
    struct http_req *req = intake->ready;
    if (req)
        intake->ready = NULL;
    else if (intake->queue)
        req = queue_take(intake);
    else if (intake->last) {
        req = intake->last;
        intake->last = NULL;
    }
    if (!req)
        return NULL;
    req->connection = connection;
    req->intake = intake;
    req->peer = intake->peer;
    intake->busy = true;
    intake->looked_ms = loop_now_ms(intake->opts.loop);
    place_update(intake);
    return req;
}

void intake_completed(struct intake *intake, bool refused)
{
    intake->refused |= refused;
    intake->busy = false;
    intake->acked = 0;
    if (is_under_way(intake))
        intake->since_ms =
            loop_now_ms(intake->opts.loop); /* what came after it was not read meanwhile */
    place_update(intake);
}

unsigned intake_body_refusal(const struct intake *intake)
{
    return intake->ready || intake->queue || intake->last ? 0 : intake->body_refusal;
}
