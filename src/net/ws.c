/* SPDX-License-Identifier: MIT */
/*
 * ws: WebSocket server sockets on one loop; only it and ws_context include libwebsockets (lws).
 *
 * Why this way: a waiting buyer keeps a socket open for hours, so an idle connection must cost little: it has a
 * list entry, but no timer and no buffer. A message is written at once when the socket takes it; otherwise it
 * waits in a bounded queue. lws writes frames, unmasks received ones and answers the peer's pings. It sees nothing
 * that was not checked: its handshake is of our making (ws_handshake), and each byte of a frame is read here first
 * (recv_tap, ws_scan). Frames that are no whole message have a rate.
 * Called by: gateway. Owns: the connections and their queues, the server's memory.
 * Invariants: a ws_conn is freed only from lws' own callbacks (conn_gone), never from inside a function of
 * ours; on_close runs exactly once for each on_open(true).
 *
 * Workarounds for lws 4.1.6, which later versions accept (ws_context has more):
 * - this file sends the pings. lws does not report the pong of an empty ping, so each ping carries a byte;
 * - on libuv, lws closes a connection without a close frame. So this file writes the close frame and waits for
 *   the peer's (ws_closing).
 *
 * A connection:  on_open -> adopted -> open -> (closing: close frame, peer's answer) -> gone
 */
#include "net/ws.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <libwebsockets.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "base/utf8.h"
#include "net/recv_tap.h"
#include "net/ws_accept.h"
#include "net/ws_closing.h"
#include "net/ws_context.h"
#include "net/ws_handshake_internal.h"
#include "net/ws_outbox.h"
#include "net/ws_scan.h"

#define CLOSE_MS     1000 /* ws_close waits this long for the peers' close frames */
#define TEARDOWN_MS  5
#define PING_SLOTS   250 /* a round of pings is spread over at most this many ticks */
#define PING_TICK_MS 10  /* the shortest time between two ticks of pings */
#define PING_TURN    16  /* the most late ticks that one turn of the loop makes up for */
#define SILENT_PINGS 2
#define FRAME_HEAD   4
#define BATCH_MAX    4096 /* bytes of the frames that ws_uncork sends in one system call */
/* Frames that are no whole message: pings, pongs and fragments. 10 a second ... */
#define EXTRA_COST_MS  100
#define EXTRA_BURST_MS 10000 /* ... and 100 at once */

struct ws_conn {
    struct ws_server *server;
    struct lws *wsi;             /* NULL until lws has adopted the socket */
    struct ws_conn *next, *prev; /* in the list of its ping slot */
    struct ws_outbox *out;       /* messages to send; NULL: none */
    struct buf *in;              /* the message that has arrived in part; NULL: none */
    struct ws_closing *closing;  /* NULL: not closing */
    struct client_share *share;  /* of its address; NULL: it does not count */
    char *head;                  /* the handshake that lws has still to read; then NULL */
    struct ws_scan scan;
    int fd;
    uint32_t extra_ms; /* the time at which EXTRA_BURST_MS are free again; 0: they are */
    uint16_t slot;
    uint16_t fail_code; /* the close code of a stream that is wrong; 0: it is right */
    uint16_t counts_as; /* enum metric: why it was closed; 0: nobody has closed it yet */
    uint8_t silent;     /* pings sent since the last message or pong was received */
    uint8_t endpoint;   /* index of opts.endpoints */
    bool open;          /* the handshake is answered */
    bool dead; /* the socket is shut down: nothing more is sent, and lws will report the end */
    max_align_t user[];
};

/* A connection that is to be closed once lws has had the good frames before the wrong byte. */
struct failure {
    struct failure *next;
    struct ws_conn *conn;
    const char *reason; /* static */
};

enum teardown { TEARDOWN_NONE, TEARDOWN_CLOSING, TEARDOWN_HANDLES };

struct ws_server {
    struct ws_opts opts;
    bool counted; /* its limit is part of GAUGE_WS_MAX */
    char *host;
    struct ws_context context;
    struct ws_accept *acceptor;
    unsigned char
        *tx; /* LWS_PRE bytes for the frame header, which lws writes there, then one message */

    struct ws_conn *slots[PING_SLOTS];
    unsigned slot_count, slot_next, slot_pinged;
    unsigned conn_count;
    struct loop_timer *ping;
    uint64_t ping_tick_ms, ping_due_ms;

    struct ws_closing_list closings;
    struct failure *failures; /* of streams that are wrong, until `fail` runs */
    struct loop_task fail;

    struct ws_conn *corked; /* the connection whose messages are collected in `batch` */
    size_t batch_len;
    unsigned char batch[BATCH_MAX]; /* whole frames */

    enum teardown teardown;
    struct loop_timer *teardown_timer;
    uint64_t teardown_deadline;
    loop_cb on_closed;
    void *closed_arg;
};

/* ---- writing ---- */

static void conn_kill(struct ws_conn *conn);

/* Can a frame be written now? False also when lws is closing the connection itself after a malformed frame
 * (lws_get_close_length). */
static bool can_write(const struct ws_conn *conn)
{
    return conn->open && !conn->dead && lws_get_close_length(conn->wsi) == 0 &&
           !lws_partial_buffered(conn->wsi) && !lws_send_pipe_choked(conn->wsi);
}

/* Writes one whole frame; call it only when can_write. lws keeps the bytes that the socket does not take. False: the
 * connection is dead. */
static bool write_frame(struct ws_conn *conn, const char *data, size_t len,
                        enum lws_write_protocol kind)
{
    unsigned char *payload = conn->server->tx + LWS_PRE;
    memcpy(payload, data, len);
    if (lws_write(conn->wsi, payload, len, kind) >= 0)
        return true;
    conn_kill(conn);
    return false;
}

/* Writes the waiting messages, then the close frame, until the socket takes no more. The close frame is sent
 * around lws, which writes none on libuv. It must not overtake bytes that lws still keeps; can_write sees to that. */
static void conn_flush(struct ws_conn *conn)
{
    while (conn->open && !conn->dead && (conn->out || (conn->closing && !conn->closing->sent))) {
        if (!can_write(conn)) {
            lws_callback_on_writable(conn->wsi);
            return;
        }
        if (conn->out) {
            size_t len;
            const char *text = ws_outbox_first(conn->out, &len);
            (void)write_frame(conn, text, len, LWS_WRITE_TEXT); /* false: the connection is dead */
            ws_outbox_pop(&conn->out);
        } else {
            struct ws_closing *closing = conn->closing;
            const ssize_t sent = send(lws_get_socket_fd(conn->wsi), closing->frame, closing->len,
                                      MSG_NOSIGNAL | MSG_DONTWAIT);
            closing->sent = true;
            if (sent != closing->len)
                conn_kill(conn);
            else if (conn->fail_code) /* the peer's answer would not be understood, only its end */
                shutdown(conn->fd, SHUT_WR);
        }
    }
}

/* ---- closing ---- */

static void failure_drop(const struct ws_conn *conn)
{
    struct failure **at = &conn->server->failures;
    while (*at && (*at)->conn != conn)
        at = &(*at)->next;
    struct failure *failure = *at;
    if (failure)
        *at = failure->next;
    free(failure);
}

/* Notes why a connection ends, unless that is known: what came first is the reason. */
static void conn_ends(struct ws_conn *conn, uint16_t code)
{
    static const struct {
        uint16_t code;
        enum metric metric;
    } reasons[] = {
        {1001, METRIC_WS_CLOSED_DRAIN},    {1002, METRIC_WS_CLOSED_PROTOCOL},
        {1003, METRIC_WS_CLOSED_PROTOCOL}, {1007, METRIC_WS_CLOSED_PROTOCOL},
        {1009, METRIC_WS_CLOSED_PROTOCOL}, {1008, METRIC_WS_CLOSED_POLICY},
        {1013, METRIC_WS_CLOSED_SLOW},     {4401, METRIC_WS_CLOSED_UNAUTHORIZED},
    };
    if (conn->counts_as)
        return;
    conn->counts_as = METRIC_WS_CLOSED_OTHER;
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].code == code)
            conn->counts_as = (uint16_t)reasons[i].metric;
    }
}

/* Ends a connection without a close frame. lws notices the shutdown later and reports it. */
static void conn_kill(struct ws_conn *conn)
{
    static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    if (conn->dead)
        return;
    conn->dead = true;
    if (!conn->wsi)
        return; /* lws has not adopted it yet: on_lws refuses it in LWS_CALLBACK_ESTABLISHED */
    const int fd = lws_get_socket_fd(conn->wsi);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset,
               sizeof(reset)); /* the kernel drops unsent bytes */
    shutdown(fd, SHUT_RDWR);
}

void ws_conn_close(struct ws_conn *conn, uint16_t code, const char *reason)
{
    struct ws_server *server = conn->server;
    if (conn->closing)
        return;
    ws_uncork(conn); /* the collected messages go before the close frame */
    if (conn->closing)
        return;
    conn_ends(conn, code);
    conn->closing = ws_closing_new(&server->closings, conn, code, reason);
    conn_flush(conn);
}

/* Frees a connection that has ended; called only from lws' callbacks. */
static void conn_gone(struct ws_conn *conn)
{
    struct ws_server *server = conn->server;
    if (server->corked == conn) {
        server->corked = NULL;
        server->batch_len = 0;
    }
    metrics_add(conn->counts_as ? (enum metric)conn->counts_as : METRIC_WS_CLOSED_LOST, 1);
    metrics_shift(GAUGE_WS_OPEN, -1);
    *(conn->prev ? &conn->prev->next : &server->slots[conn->slot]) = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    server->conn_count--;
    conn->open = false;
    conn->dead = true;
    recv_tap_clear(conn->fd);
    failure_drop(conn);
    client_share_give(server->opts.limit, conn->share);
    server->opts.on_close(server->opts.arg, conn);
    ws_closing_free(&server->closings, conn->closing);
    free(conn->out);
    if (conn->in)
        buf_clear(conn->in);
    free(conn->in);
    free(conn->head);
    free(conn);
}

/* ---- bytes in ---- */

static void on_fail(void *arg)
{
    struct ws_server *server = arg;
    struct failure *failure;
    while ((failure = server->failures)) {
        struct ws_conn *conn = failure->conn;
        server->failures = failure->next;
        ws_conn_close(conn, conn->fail_code, failure->reason);
        free(failure);
    }
}

/* From now on, what the peer sends is read and dropped. The close frame follows at the end of this turn of the loop. */
static void conn_fail(struct ws_conn *conn, uint16_t code, const char *reason)
{
    struct ws_server *server = conn->server;
    struct failure *failure = xcalloc(1, sizeof(*failure));
    *failure = (struct failure){.next = server->failures, .conn = conn, .reason = reason};
    server->failures = failure;
    conn->fail_code = code;
    loop_defer(server->opts.loop, &server->fail);
}

/* Takes a token for a frame that is no whole message. The bucket is kept as one number: the time when it is full again.
 * False: it is empty. */
static bool take_extra(struct ws_conn *conn)
{
    const uint32_t now = (uint32_t)loop_now_ms(conn->server->opts.loop);
    if (conn->extra_ms == 0 || (int32_t)(conn->extra_ms - now) < 0)
        conn->extra_ms = now;
    conn->extra_ms += EXTRA_COST_MS;
    return conn->extra_ms - now <= EXTRA_BURST_MS;
}

/* Returns how many of the bytes lws may have. */
static size_t check(struct ws_conn *conn, const unsigned char *data, size_t len)
{
    size_t at = 0;
    while (at < len && !conn->scan.closed) {
        struct ws_scan_result result;
        at += ws_scan(&conn->scan, data + at, len - at, WS_MESSAGE_MAX, &result);
        if (result.event == WS_SCAN_EXTRA && !take_extra(conn)) {
            conn_fail(conn, 1008, "too many frames");
            break;
        }
        if (result.event == WS_SCAN_ERROR) {
            conn_fail(conn, result.code, result.reason);
            break;
        }
    }
    return at;
}

/* recv_tap_cb: first the handshake of our making, for the last byte of the peer's (ws_accept); then the peer's bytes, as
 * far as they are right. */
static ssize_t on_recv(void *arg, void *to, size_t cap)
{
    struct ws_conn *conn = arg;
    const bool head = conn->head;
    ssize_t got = recvfrom(conn->fd, to, head ? 1 : cap, 0, NULL, NULL);
    if (got > 0 && head) {
        const size_t len = strlen(conn->head);
        assert(len <= cap);
        memcpy(to, conn->head, len);
        free(conn->head);
        conn->head = NULL;
        return (ssize_t)len;
    }
    if (got <= 0)
        return got;
    const size_t good = conn->fail_code ? 0 : check(conn, to, (size_t)got);
    if (good > 0)
        return (ssize_t)good;
    errno = EAGAIN;
    return -1;
}

/* ---- messages in ---- */

static void deliver(struct ws_conn *conn, const char *text, size_t len)
{
    const struct ws_opts *opts = &conn->server->opts;
    if (utf8_is_valid(text, len))
        opts->on_message(opts->arg, conn, text, len);
    else
        ws_conn_close(conn, 1007, "not UTF-8");
}

/* Receives a part of a message: lws passes messages on in pieces of up to 128 bytes. */
static void on_piece(struct ws_conn *conn, const char *data, size_t len)
{
    struct lws *wsi = conn->wsi;
    const bool last = lws_is_final_fragment(wsi); /* false also while payload remains */
    conn->silent = 0;
    if (conn->closing)
        return;
    if (lws_frame_is_binary(wsi)) {
        ws_conn_close(conn, 1003, "text only");
        return;
    }
    if (last && !conn->in) {
        deliver(conn, len ? data : "", len);
        return;
    }
    if (!conn->in) {
        conn->in = xcalloc(1, sizeof(*conn->in));
        buf_init(conn->in, WS_MESSAGE_MAX);
    }
    buf_add(conn->in, data, len);
    if (buf_status(conn->in) != ST_OK ||
        conn->in->len + lws_remaining_packet_payload(wsi) > WS_MESSAGE_MAX) {
        ws_conn_close(conn, 1009, "message too long");
    } else if (last) {
        struct buf *whole = conn->in;
        conn->in = NULL;
        deliver(conn, buf_str(whole), whole->len);
        buf_clear(whole);
        free(whole);
    }
}

/* ---- events from lws ---- */

/* The callback of lws for every event. Returning -1 makes lws close the connection. */
static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len)
{
    struct ws_conn *conn = wsi ? lws_get_opaque_user_data(wsi) : NULL;
    (void)user;
    switch (reason) {
    case LWS_CALLBACK_HTTP: /* plain HTTP, which the checks of ws_accept exclude */
    case LWS_CALLBACK_RAW_ADOPT:
        return -1;
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
        if (conn)
            conn->wsi = wsi;
        return conn ? 0 : -1;
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return conn ? 0 : -1;
    case LWS_CALLBACK_ESTABLISHED:
        if (!conn || conn->dead)
            return -1;
        conn->open = true;
        conn_flush(conn);
        return 0;
    default:
        break;
    }
    if (!conn)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_RECEIVE:
        on_piece(conn, in, len);
        return 0;
    case LWS_CALLBACK_RECEIVE_PONG:
        conn->silent = 0;
        if (conn->server->opts.on_pong && !conn->closing)
            conn->server->opts.on_pong(conn->server->opts.arg, conn);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        conn_flush(conn);
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        /* The peer's close frame: the answer to ours, or the first one, which is answered here. In both cases lws
         * may then end the connection. */
        if (!conn->closing) {
            const unsigned char *code = in;
            conn->counts_as = METRIC_WS_CLOSED_CLIENT;
            free(conn->out); /* only the close frame may follow the peer's */
            conn->out = NULL;
            ws_conn_close(conn, len >= 2 ? (uint16_t)(code[0] << 8 | code[1]) : 1000, NULL);
        }
        return -1;
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY: /* comes without CLOSED if the connection was never established */
        lws_set_opaque_user_data(wsi, NULL);
        conn_gone(conn);
        return 0;
    default:
        return 0;
    }
}

/* ---- new connections ---- */

static unsigned open_connections(void *arg)
{
    const struct ws_server *server = arg;
    return server->conn_count;
}

static unsigned on_handshake(void *arg, int fd, const struct ws_handshake *handshake,
                             struct client_share *share)
{
    struct ws_server *server = arg;
    struct ws_conn *conn = xcalloc(1, sizeof(*conn) + server->opts.conn_user_size);
    conn->server = server;
    /* Each connection gets the next ping slot, so that the pings of a rush are spread over the round. */
    conn->slot = (uint16_t)server->slot_next;
    server->slot_next = (server->slot_next + 1) % server->slot_count;
    conn->next = server->slots[conn->slot];
    if (conn->next)
        conn->next->prev = conn;
    server->slots[conn->slot] = conn;
    server->conn_count++;

    if (!server->opts.on_open(server->opts.arg, conn, handshake)) {
        server->slots[conn->slot] = conn->next;
        if (conn->next)
            conn->next->prev = NULL;
        server->conn_count--;
        free(conn);
        return 403;
    }
    char head[WS_HEAD_OWN_MAX];
    conn->endpoint = (uint8_t)handshake->endpoint;
    (void)ws_head_write(handshake, &server->opts.endpoints[conn->endpoint], head);
    conn->head = xstrdup(head);
    conn->share = share;
    conn->fd = fd;
    recv_tap_set(fd, on_recv, conn);
    metrics_add(METRIC_WS_OPENED, 1);
    metrics_shift(GAUGE_WS_OPEN, 1);
    lws_adopt_desc_t adopt = {
        .vh = server->context.vhost,
        .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP,
        .fd.sockfd = fd,
        .opaque = conn,
    };
    if (!lws_adopt_descriptor_vhost_via_info(&adopt) && !conn->wsi)
        conn_gone(conn); /* lws has closed the fd and will not report it */
    return 0;
}

/* ---- pings ---- */

static void ping(struct ws_conn *conn)
{
    if (!conn->open || conn->closing || conn->dead)
        return;
    if (conn->silent >= SILENT_PINGS) {
        log_debug("ws closed: pings unanswered", LOG_NUM("pings", conn->silent));
        if (!conn->counts_as)
            conn->counts_as = METRIC_WS_CLOSED_SILENT;
        conn_kill(conn);
        return;
    }
    conn->silent++;
    if (!can_write(conn))
        return;
    const char *text = conn->server->opts.endpoints[conn->endpoint].ping;
    if (text)
        write_frame(conn, text, strlen(text), LWS_WRITE_TEXT);
    else
        write_frame(conn, "t", 1, LWS_WRITE_PING);
}

/* Pings the connections of the slots that are due. Ticks are due at fixed times, not at a fixed delay after the
 * previous tick: on a busy loop the delays would add up, a round would take several times as long, and peers that
 * answer every ping would seem silent to the gateway. After a pause longer than a round the schedule starts anew, so
 * that no peer is pinged twice in a row. */
static void on_ping(void *arg)
{
    struct ws_server *server = arg;
    const uint64_t now = loop_now_ms(server->opts.loop);
    if (server->ping_due_ms + server->opts.ping_ms < now)
        server->ping_due_ms = now;
    for (int i = 0; i < PING_TURN && server->ping_due_ms <= now; i++) {
        for (struct ws_conn *conn = server->slots[server->slot_pinged]; conn; conn = conn->next)
            ping(conn);
        server->slot_pinged = (server->slot_pinged + 1) % server->slot_count;
        server->ping_due_ms += server->ping_tick_ms;
    }
    loop_timer_set(server->ping, server->ping_due_ms > now ? server->ping_due_ms - now : 1);
}

void ws_set_ping(struct ws_server *server, uint64_t ping_ms)
{
    server->opts.ping_ms = ping_ms;
    server->ping_tick_ms = ping_ms > server->slot_count ? ping_ms / server->slot_count : 1;
}

/* ---- sending ---- */

void *ws_conn_user(struct ws_conn *conn)
{
    return conn->user;
}

static enum status send_later(struct ws_conn *conn, const char *text, size_t len)
{
    if (ws_outbox_add(&conn->out, text, len, WS_SEND_QUEUE_MAX)) {
        if (conn->open)
            lws_callback_on_writable(conn->wsi);
        return ST_OK;
    }
    free(conn->out); /* so that the close frame is sent next */
    conn->out = NULL;
    ws_conn_close(conn, 1013, "too slow");
    return ST_FULL;
}

/* Moves the messages of the batch, of which nothing was sent, to the connection's outbox. */
static enum status batch_later(struct ws_conn *conn, size_t batch_len)
{
    const unsigned char *at = conn->server->batch, *end = at + batch_len;
    enum status st = ST_OK;
    while (at < end && st == ST_OK) {
        size_t len = at[1];
        at += 2;
        if (len == 126) {
            len = (size_t)at[0] << 8 | at[1];
            at += 2;
        }
        st = send_later(conn, (const char *)at, len);
        at += len;
    }
    return st;
}

/* Sends the batch in one system call, around lws. A writable socket has space for at least BATCH_MAX bytes. Should it
 * take fewer, the connection is closed, because the rest of a half-sent frame cannot be given to lws. */
static enum status batch_send(struct ws_conn *conn)
{
    struct ws_server *server = conn->server;
    const size_t len = server->batch_len;
    server->batch_len = 0;
    if (conn->dead || conn->closing)
        return ST_UNAVAILABLE;
    if (conn->out || !can_write(conn))
        return batch_later(conn, len);
    ssize_t sent =
        send(lws_get_socket_fd(conn->wsi), server->batch, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == (ssize_t)len)
        return ST_OK;
    if (sent < 0 && errno == EAGAIN)
        return batch_later(conn, len);
    conn_kill(conn);
    return ST_UNAVAILABLE;
}

void ws_cork(struct ws_conn *conn)
{
    assert(!conn->server->corked);
    conn->server->corked = conn;
}

void ws_uncork(struct ws_conn *conn)
{
    struct ws_server *server = conn->server;
    if (server->corked != conn)
        return;
    server->corked = NULL;
    if (server->batch_len > 0)
        (void)batch_send(conn); /* if the connection is lost, on_close reports it */
}

enum status ws_send(struct ws_conn *conn, const char *text, size_t len)
{
    struct ws_server *server = conn->server;
    if (conn->closing || conn->dead)
        return ST_UNAVAILABLE;
    if (len > WS_SEND_QUEUE_MAX)
        return ST_TOO_LARGE;
    metrics_add(METRIC_WS_MESSAGES, 1);
    if (server->corked == conn && server->batch_len + FRAME_HEAD + len > BATCH_MAX) {
        ws_uncork(conn);
        ws_cork(conn);
        if (conn->closing || conn->dead)
            return ST_UNAVAILABLE;
    }
    if (FRAME_HEAD + len <= BATCH_MAX && (!server->corked || server->corked == conn)) {
        unsigned char *at = server->batch + server->batch_len;
        *at++ = 0x81; /* FIN, text */
        *at++ = (unsigned char)(len < 126 ? len : 126);
        if (len >= 126) {
            *at++ = (unsigned char)(len >> 8);
            *at++ = (unsigned char)(len & 0xff);
        }
        memcpy(at, text, len);
        server->batch_len = (size_t)(at - server->batch) + len;
        return server->corked ? ST_OK : batch_send(conn);
    }
    if (conn->out || !can_write(conn))
        return send_later(conn, text, len);
    return write_frame(conn, text, len, LWS_WRITE_TEXT) ? ST_OK : ST_UNAVAILABLE;
}

/* ---- open ---- */

static void on_teardown(void *arg);

enum status ws_open(const struct ws_opts *opts, struct ws_server **ret_server)
{
    struct ws_server *server = xcalloc(1, sizeof(*server));
    server->opts = *opts;
    server->host = xstrdup(opts->host);
    server->tx = xcalloc(1, LWS_PRE + WS_SEND_QUEUE_MAX);
    ws_closing_list_init(&server->closings, opts->loop, conn_kill);
    server->teardown_timer = loop_timer_new(opts->loop, on_teardown, server);
    server->fail = (struct loop_task){.cb = on_fail, .arg = server};

    const uint64_t slots = opts->ping_ms / PING_TICK_MS;
    server->slot_count = slots < 1 ? 1 : slots > PING_SLOTS ? PING_SLOTS : (unsigned)slots;
    if (opts->ping_ms > 0) {
        ws_set_ping(server, opts->ping_ms);
        server->ping = loop_timer_new(opts->loop, on_ping, server);
        server->ping_due_ms = loop_now_ms(opts->loop) + server->ping_tick_ms;
        loop_timer_set(server->ping, server->ping_tick_ms);
    }

    const struct ws_accept_opts accept_opts = {
        .loop = opts->loop,
        .host = server->host,
        .port = opts->port,
        .endpoints = opts->endpoints,
        .endpoint_count = opts->endpoint_count,
        .limit = opts->connection_limit,
        .client_limit = opts->limit,
        .open = open_connections,
        .on_handshake = on_handshake,
        .arg = server,
    };
    enum status st =
        ws_context_open(&server->context, opts->loop, opts->endpoints[0].subprotocol, on_lws);
    if (st == ST_OK)
        st = ws_accept_open(&accept_opts, &server->acceptor);
    if (st == ST_OK && !opts->deferred)
        st = ws_accept_begin(server->acceptor);
    if (st == ST_OK) {
        metrics_shift(GAUGE_WS_MAX, opts->connection_limit);
        server->counted = true;
        *ret_server = server;
    } else {
        ws_close(server, NULL, NULL);
    }
    return st;
}

uint16_t ws_port(const struct ws_server *server)
{
    return ws_accept_port(server->acceptor);
}

unsigned ws_connections(const struct ws_server *server)
{
    return server->conn_count;
}

/* ---- close ---- */

enum status ws_listen_now(struct ws_server *server)
{
    return ws_accept_begin(server->acceptor);
}

void ws_quiesce(struct ws_server *server)
{
    ws_accept_quiesce(server->acceptor);
}

/* Runs every TEARDOWN_MS after ws_close: waits for the closing handshakes, ends the lws context, waits until its
 * handles are closed, and frees the server. */
static void on_teardown(void *arg)
{
    struct ws_server *server = arg;
    const bool late = loop_now_ms(server->opts.loop) >= server->teardown_deadline;
    if (server->teardown == TEARDOWN_CLOSING && (server->conn_count == 0 || late)) {
        server->teardown = TEARDOWN_HANDLES;
        ws_accept_close(server->acceptor);
        ws_context_end(&server->context);
    } else if (server->teardown == TEARDOWN_HANDLES && ws_context_is_gone(&server->context)) {
        loop_cb cb = server->on_closed;
        void *cb_arg = server->closed_arg;
        assert(server->conn_count == 0);
        loop_timer_close(server->teardown_timer);
        loop_undefer(server->opts.loop, &server->fail);
        ws_closing_list_clear(&server->closings);
        loop_timer_close(server->ping);
        free(server->tx);
        free(server->host);
        free(server);
        if (cb)
            cb(cb_arg);
        return;
    }
    loop_timer_set(server->teardown_timer, TEARDOWN_MS);
}

void ws_close(struct ws_server *server, loop_cb cb, void *arg)
{
    assert(!server->teardown);
    server->teardown = TEARDOWN_CLOSING;
    if (server->counted)
        metrics_shift(GAUGE_WS_MAX, -(int64_t)server->opts.connection_limit);
    server->teardown_deadline = loop_now_ms(server->opts.loop) + CLOSE_MS;
    server->on_closed = cb;
    server->closed_arg = arg;
    if (server->acceptor)
        ws_accept_quiesce(server->acceptor);
    for (unsigned i = 0; i < server->slot_count; i++)
        for (struct ws_conn *conn = server->slots[i]; conn; conn = conn->next)
            ws_conn_close(conn, 1001, "going away");
    loop_timer_set(server->teardown_timer, TEARDOWN_MS);
}
