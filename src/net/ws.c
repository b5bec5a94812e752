/* SPDX-License-Identifier: MIT */
/*
 * ws: WebSocket server sockets on one loop; only it and ws_context include libwebsockets (lws).
 *
 * Why this way: a waiting buyer costs one socket for hours, so each must be small and quiet: no timer, no
 * buffer, nothing but a list entry while nothing happens. Messages are written directly when the socket
 * takes them and queued, bounded, when it does not. lws frames, unmasks and answers pings; it only sees
 * handshakes that ws_accept has checked.
 * Called by: gateway. Owns: the connections and their queues, the server's memory.
 * Invariants: a ws_conn is freed only from lws' own callbacks (conn_gone), never from inside a function of
 * ours; on_close runs exactly once for each on_open(true).
 *
 * What lws 4.1.6 needs of us here (later versions accept it; the rest is in ws_context):
 * - we send the pings; the answer to an empty one is not reported, so they carry a byte;
 * - on libuv it closes without a close frame: we write it and wait for the peer's (ws_closing).
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
#include "net/ws_accept.h"
#include "net/ws_closing.h"
#include "net/ws_context.h"
#include "net/ws_outbox.h"

#define CLOSE_MS     1000 /* for the closing handshakes when the server closes */
#define TEARDOWN_MS  5
#define PING_SLOTS   250 /* a round of pings is spread over up to so many ticks */
#define PING_TICK_MS 10  /* the shortest time between two ticks */
#define PING_TURN    16  /* ticks at most that one turn of the loop makes up for */
#define SILENT_PINGS 2
#define FRAME_HEAD   4
#define BATCH_MAX    4096 /* bytes of messages that leave in one write */

struct ws_conn {
    struct ws_server *server;
    struct lws *wsi;             /* NULL until adopted */
    struct ws_conn *next, *prev; /* in its ping slot */
    struct ws_outbox *out;       /* messages to send; NULL: none */
    struct buf *in;              /* a message received in part; NULL: none */
    struct ws_closing *closing;  /* NULL: not closing */
    uint16_t slot;
    uint8_t silent; /* pings since anything was received */
    bool open;      /* the handshake is answered */
    bool dead;      /* shut down: nothing is sent any more, lws will report it closed */
    max_align_t user[];
};

enum teardown { TEARDOWN_NONE, TEARDOWN_CLOSING, TEARDOWN_HANDLES };

struct ws_server {
    struct ws_opts opts;
    char *path, *subprotocol, *host;
    struct ws_context context;
    struct ws_accept *acceptor;
    unsigned char *tx; /* LWS_PRE bytes, which lws asks for, then one message */

    struct ws_conn *slots[PING_SLOTS];
    unsigned slot_count, slot_next, slot_pinged;
    unsigned conn_count;
    struct loop_timer *ping;
    uint64_t ping_tick_ms, ping_due_ms;

    struct ws_closing_list closings;

    struct ws_conn *corked; /* its messages are gathered in `batch` */
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

/* Not while lws itself is closing the connection (lws_get_close_length: after a malformed frame). */
static bool can_write(const struct ws_conn *conn)
{
    return conn->open && !conn->dead && lws_get_close_length(conn->wsi) == 0 &&
           !lws_partial_buffered(conn->wsi) && !lws_send_pipe_choked(conn->wsi);
}

/* One whole frame, when can_write; lws keeps what the socket does not take. */
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

/* Writes what waits, then the close frame, as far as the socket takes it. The close frame bypasses lws,
 * which writes none on libuv: so it leaves only when lws holds nothing back. */
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
        }
    }
}

/* ---- closing ---- */

/* Ends a connection without a close frame. lws notices the shutdown later and reports it. */
static void conn_kill(struct ws_conn *conn)
{
    static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    if (conn->dead)
        return;
    conn->dead = true;
    if (!conn->wsi)
        return; /* not adopted yet: refused once it is established */
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
    ws_uncork(conn); /* what was sent before leaves before */
    if (conn->closing)
        return;
    conn->closing = ws_closing_new(&server->closings, conn, code, reason);
    conn_flush(conn);
}

/* The end of a connection, from lws' callbacks. */
static void conn_gone(struct ws_conn *conn)
{
    struct ws_server *server = conn->server;
    if (server->corked == conn) {
        server->corked = NULL;
        server->batch_len = 0;
    }
    metrics_add(METRIC_WS_CLOSED, 1);
    *(conn->prev ? &conn->prev->next : &server->slots[conn->slot]) = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    server->conn_count--;
    conn->open = false;
    conn->dead = true;
    server->opts.on_close(server->opts.arg, conn);
    ws_closing_free(&server->closings, conn->closing);
    free(conn->out);
    if (conn->in)
        buf_clear(conn->in);
    free(conn->in);
    free(conn);
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
    const bool last = lws_is_final_fragment(wsi); /* and no payload remains */
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

/* ---- what lws tells us ---- */

/* lws' one callback. A result of -1 makes it close the connection. */
static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len)
{
    struct ws_conn *conn = wsi ? lws_get_opaque_user_data(wsi) : NULL;
    (void)user;
    switch (reason) {
    case LWS_CALLBACK_HTTP: /* not after the checks of ws_accept */
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
        /* The answer to our close frame, or the first one. Either way lws may end the connection. */
        if (!conn->closing) {
            const unsigned char *code = in;
            free(conn->out); /* only the close frame may follow the peer's */
            conn->out = NULL;
            ws_conn_close(conn, len >= 2 ? (uint16_t)(code[0] << 8 | code[1]) : 1000, NULL);
        }
        return -1;
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY: /* without the former if it was never established */
        lws_set_opaque_user_data(wsi, NULL);
        conn_gone(conn);
        return 0;
    default:
        return 0;
    }
}

/* ---- arrivals ---- */

static unsigned open_connections(void *arg)
{
    const struct ws_server *server = arg;
    return server->conn_count;
}

static unsigned on_handshake(void *arg, int fd, const struct ws_handshake *handshake)
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
    metrics_add(METRIC_WS_OPENED, 1);
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
        conn_kill(conn);
        return;
    }
    conn->silent++;
    if (can_write(conn))
        write_frame(conn, "t", 1, LWS_WRITE_PING);
}

/* Ticks are due at fixed times, not a fixed delay after the previous tick: on a busy loop such delays would add up,
 * a round would take several times as long, and peers that answer would seem silent. After a pause of more than
 * a round the schedule starts anew, so no peer is pinged twice to catch up. */
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
    metrics_add(METRIC_WS_DROPPED, 1);
    free(conn->out); /* so that the close frame leaves next */
    conn->out = NULL;
    ws_conn_close(conn, 1013, "too slow");
    return ST_FULL;
}

/* The socket took nothing of the batch: moves its messages to the outbox. */
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

/* Sends the batch in one system call, bypassing lws. A writable socket takes at least BATCH_MAX bytes. If it ever
 * takes less, the connection is closed, because a frame that was sent in part cannot be taken back. */
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
        (void)batch_send(conn); /* a lost connection is reported by on_close */
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
    server->path = xstrdup(opts->path);
    server->subprotocol = xstrdup(opts->subprotocol);
    server->tx = xcalloc(1, LWS_PRE + WS_SEND_QUEUE_MAX);
    ws_closing_list_init(&server->closings, opts->loop, conn_kill);
    server->teardown_timer = loop_timer_new(opts->loop, on_teardown, server);

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
        .path = server->path,
        .subprotocol = server->subprotocol,
        .limit = opts->connection_limit,
        .open = open_connections,
        .on_handshake = on_handshake,
        .arg = server,
    };
    enum status st = ws_context_open(&server->context, opts->loop, server->subprotocol, on_lws);
    if (st == ST_OK)
        st = ws_accept_open(&accept_opts, &server->acceptor);
    if (st == ST_OK)
        *ret_server = server;
    else
        ws_close(server, NULL, NULL);
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

void ws_quiesce(struct ws_server *server)
{
    ws_accept_quiesce(server->acceptor);
}

/* First the closing handshakes, then the context, then its handles, then the context again. */
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
        ws_closing_list_clear(&server->closings);
        loop_timer_close(server->ping);
        free(server->tx);
        free(server->subprotocol);
        free(server->path);
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
