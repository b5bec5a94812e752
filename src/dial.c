/* SPDX-License-Identifier: MIT */
/*
 * dial: connections we open: HTTP/1.1 requests and one WebSocket on libuv streams; the only includer
 * of http_parser.
 *
 * Why this way: ten thousand of these share one thread, so that a connection is one small object:
 * the read buffer is the net's, a body exists only while it arrives, a frame parser only in
 * mid-frame. Called by: crowd_buyer, crowd, provider.
 *
 * Owns: its sockets. A connection over the net's limit waits in a list, so that the process never
 * runs out of descriptors. A connection that ends says so once and is gone; one that was closed
 * says nothing more. No deadlines here: the caller has one timer for whatever he waits for.
 */
#include "dial.h"

#include "buf.h"
#include "dial_frame.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <http_parser.h>
#include <uv.h>

#define READ_SIZE    (64 * 1024)
#define REQUEST_MAX  (128 * 1024)
#define FIELD_MAX    512 /* of a header value that matters */
#define CLOSE_NORMAL 1000

/* The nonce guards against caches that answer in the service's place; one nonce (RFC 6455's own
 * example) for all sockets does that as well as ten thousand, and its answer is known. */
#define NONCE        "dGhlIHNhbXBsZSBub25jZQ=="
#define NONCE_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

struct dial_net {
    struct loop *loop;
    unsigned open, open_max;
    struct dial *waiting_head, *waiting_tail;
    struct loop_task start_task; /* connections are started from here, never from dial_open */
    struct dial_frames *frames;
    char read_buffer[READ_SIZE];
};

enum conn_state {
    CONN_WAITING, /* for room under the net's limit */
    CONN_CONNECTING,
    CONN_HTTP,
    CONN_UPGRADING,
    CONN_SOCKET,
    CONN_CLOSING
};

/* What an answer says, while it arrives. */
struct answer_parts {
    struct buf body;
    struct buf field, value;
    bool in_value;
    char guest[64];
    int64_t retry_after_ms;
    bool accepted;
};

struct dial {
    uv_tcp_t tcp;
    uv_connect_t connect;
    http_parser parser;
    struct dial_net *net;
    const struct dial_target *target;
    const struct dial_ops *ops;
    void *arg;
    uint32_t source;
    uint8_t state;
    bool keep_alive, upgrade;
    struct dial *next; /* in the waiting list */
    char *request;     /* to be sent once connected */
    size_t request_len;
    struct answer_parts *parts; /* while an answer arrives */
    struct dial_reader *reader; /* while in mid-frame */
};

static void conn_finish(struct dial *conn, enum dial_end end, unsigned code);

/* ---- targets ---- */

static bool url_part(const struct http_parser_url *parsed, enum http_parser_url_fields field,
                     const char *url, char *out, size_t size)
{
    const size_t len = parsed->field_data[field].len;
    if (!(parsed->field_set & (1U << field)))
        return true;
    if (len >= size)
        return false;
    memcpy(out, url + parsed->field_data[field].off, len);
    out[len] = '\0';
    return true;
}

void dial_target_name_host(struct dial_target *target)
{
    const bool is6 = strchr(target->name, ':') != NULL;
    char port[8] = "";
    if (target->port != 80)
        (void)snprintf(port, sizeof(port), ":%u", target->port);
    (void)snprintf(target->host, sizeof(target->host), is6 ? "[%.110s]%s" : "%.112s%s",
                   target->name, port);
}

enum status dial_target_parse(const char *url, const char *scheme, struct dial_target *ret_target)
{
    struct http_parser_url parsed;
    struct dial_target target = {0};
    struct sockaddr_in6 address6;
    struct sockaddr_in address4;
    char found[16] = "";
    const unsigned refused = (1U << UF_QUERY) | (1U << UF_FRAGMENT) | (1U << UF_USERINFO);
    http_parser_url_init(&parsed);
    if (http_parser_parse_url(url, strlen(url), 0, &parsed) != 0 || (parsed.field_set & refused) ||
        !url_part(&parsed, UF_SCHEMA, url, found, sizeof(found)) || strcmp(found, scheme) != 0 ||
        !url_part(&parsed, UF_HOST, url, target.name, sizeof(target.name)) ||
        !url_part(&parsed, UF_PATH, url, target.path, sizeof(target.path)))
        return ST_INVALID;
    target.port = (parsed.field_set & (1U << UF_PORT)) ? parsed.port : 80;
    const size_t path_len = strlen(target.path);
    if (path_len > 0 && target.path[path_len - 1] == '/')
        target.path[path_len - 1] = '\0';
    if (uv_ip6_addr(target.name, 0, &address6) == 0 || uv_ip4_addr(target.name, 0, &address4) == 0)
        (void)snprintf(target.address, sizeof(target.address), "%.63s", target.name);
    dial_target_name_host(&target);
    *ret_target = target;
    return ST_OK;
}

bool dial_target_is_loopback(const struct dial_target *target)
{
    struct sockaddr_in6 address6;
    struct sockaddr_in address4;
    if (uv_ip4_addr(target->address, 0, &address4) == 0)
        return (ntohl(address4.sin_addr.s_addr) >> 24) == 127;
    return uv_ip6_addr(target->address, 0, &address6) == 0 &&
           IN6_IS_ADDR_LOOPBACK(&address6.sin6_addr);
}

/* ---- the net ---- */

static void conn_start(struct dial *conn);

static void net_start_waiting(void *arg)
{
    struct dial_net *net = arg;
    while (net->waiting_head != NULL && net->open < net->open_max) {
        struct dial *conn = net->waiting_head;
        net->waiting_head = conn->next;
        if (net->waiting_head == NULL)
            net->waiting_tail = NULL;
        conn->next = NULL;
        conn_start(conn);
    }
}

static void net_remove_waiting(struct dial_net *net, struct dial *conn)
{
    struct dial *before = NULL;
    for (struct dial *at = net->waiting_head; at != NULL; before = at, at = at->next) {
        if (at != conn)
            continue;
        if (before != NULL)
            before->next = at->next;
        else
            net->waiting_head = at->next;
        if (net->waiting_tail == at)
            net->waiting_tail = before;
        return;
    }
}

struct dial_net *dial_net_new(const struct dial_net_opts *opts)
{
    struct dial_net *net = xcalloc(1, sizeof(*net));
    net->loop = opts->loop;
    net->open_max = opts->open_max;
    net->frames = dial_frames_new(opts->seed);
    net->start_task = (struct loop_task){.cb = net_start_waiting, .arg = net};
    return net;
}

unsigned dial_net_open_count(const struct dial_net *net)
{
    return net->open;
}

void dial_net_free(struct dial_net *net)
{
    if (net == NULL)
        return;
    assert(net->open == 0);
    loop_undefer(net->loop, &net->start_task);
    dial_frames_free(net->frames);
    free(net);
}

/* ---- writing ---- */

struct write_call {
    uv_write_t write;
    char data[];
};

static void write_done(uv_write_t *write, int failed)
{
    struct write_call *call = write->data;
    struct dial *conn = write->handle->data;
    free(call);
    if (failed != 0)
        conn_finish(conn, DIAL_END_CLOSED, 0);
}

/* Nearly always the socket takes all at once; only the rest is copied. */
static void conn_write(struct dial *conn, const char *data, size_t len)
{
    uv_stream_t *stream = (uv_stream_t *)&conn->tcp;
    uv_buf_t part = uv_buf_init((char *)data, (unsigned)len);
    const int taken = uv_try_write(stream, &part, 1);
    const size_t done = taken > 0 ? (size_t)taken : 0;
    if (done == len)
        return;
    struct write_call *call = xcalloc(1, sizeof(*call) + len - done);
    memcpy(call->data, data + done, len - done);
    part = uv_buf_init(call->data, (unsigned)(len - done));
    call->write.data = call;
    if (uv_write(&call->write, stream, &part, 1, write_done) != 0)
        free(call); /* the read side reports the end */
}

static void conn_write_frame(struct dial *conn, enum dial_opcode opcode, const void *data,
                             size_t len)
{
    size_t frame_len;
    const char *frame = dial_frame_write(conn->net->frames, opcode, data, len, &frame_len);
    conn_write(conn, frame, frame_len);
}

/* ---- the end of a connection ---- */

static void parts_free(struct answer_parts *parts)
{
    if (parts == NULL)
        return;
    buf_clear(&parts->body);
    buf_clear(&parts->field);
    buf_clear(&parts->value);
    free(parts);
}

static void conn_free(struct dial *conn)
{
    parts_free(conn->parts);
    dial_reader_free(conn->reader);
    free(conn->request);
    free(conn);
}

static void conn_closed(uv_handle_t *handle)
{
    struct dial *conn = handle->data;
    struct dial_net *net = conn->net;
    net->open--;
    conn_free(conn);
    if (net->waiting_head != NULL)
        loop_defer(net->loop, &net->start_task);
}

/* Its memory goes when libuv has let go of the socket. */
static void conn_shut(struct dial *conn)
{
    conn->state = CONN_CLOSING;
    uv_close((uv_handle_t *)&conn->tcp, conn_closed);
}

/* It ended by itself: tell the owner, once. */
static void conn_finish(struct dial *conn, enum dial_end end, unsigned code)
{
    if (conn->state == CONN_CLOSING)
        return;
    const struct dial_ops *ops = conn->ops;
    void *arg = conn->arg;
    conn_shut(conn);
    ops->on_end(arg, end, code);
}

void dial_close(struct dial *conn)
{
    if (conn == NULL || conn->state == CONN_CLOSING)
        return;
    if (conn->state == CONN_WAITING) { /* it has no socket yet */
        net_remove_waiting(conn->net, conn);
        conn_free(conn);
        return;
    }
    if (conn->state == CONN_SOCKET) {
        const uint8_t code[2] = {CLOSE_NORMAL >> 8, CLOSE_NORMAL & 0xff};
        conn_write_frame(conn, DIAL_CLOSE, code, sizeof(code));
    }
    conn_shut(conn);
}

/* ---- frames ---- */

static bool on_frame(void *arg, enum dial_opcode opcode, const char *data, size_t len)
{
    struct dial *conn = arg;
    switch (opcode) {
    case DIAL_TEXT:
        conn->ops->on_text(conn->arg, data, len);
        break;
    case DIAL_PING:
        conn_write_frame(conn, DIAL_PONG, data, len);
        conn->ops->on_sign(conn->arg);
        break;
    case DIAL_PONG:
        break;
    case DIAL_CLOSE: {
        const uint8_t *code = (const uint8_t *)data;
        conn_write_frame(conn, DIAL_CLOSE, data, len >= 2 ? 2 : 0);
        conn_finish(conn, DIAL_END_CLOSED, len >= 2 ? (unsigned)code[0] << 8 | code[1] : 1005);
        break;
    }
    }
    return conn->state == CONN_SOCKET;
}

static void conn_read_frames(struct dial *conn, const char *data, size_t len)
{
    if (dial_frame_read(conn->net->frames, &conn->reader, data, len, on_frame, conn) != ST_OK)
        conn_finish(conn, DIAL_END_BROKEN, 0);
}

/* ---- answers ---- */

static struct answer_parts *conn_parts(struct dial *conn)
{
    if (conn->parts == NULL) {
        conn->parts = xcalloc(1, sizeof(*conn->parts));
        buf_init(&conn->parts->body, DIAL_BODY_MAX);
        buf_init(&conn->parts->field, FIELD_MAX);
        buf_init(&conn->parts->value, FIELD_MAX);
        conn->parts->retry_after_ms = -1;
    }
    return conn->parts;
}

static void header_set_cookie(struct answer_parts *parts, const char *value)
{
    static const char name[] = "tiketi_guest=";
    if (strncmp(value, name, sizeof(name) - 1) != 0)
        return;
    value += sizeof(name) - 1;
    (void)snprintf(parts->guest, sizeof(parts->guest), "%.*s", (int)strcspn(value, "; "), value);
}

static void header_retry_after(struct answer_parts *parts, const char *value)
{
    char *end;
    const long seconds = strtol(value, &end, 10);
    if (end != value && seconds >= 0 && seconds <= 3600)
        parts->retry_after_ms = seconds * 1000;
}

static void header_accept(struct answer_parts *parts, const char *value)
{
    parts->accepted = strcmp(value, NONCE_ACCEPT) == 0;
}

/* The header that has just ended; a name or value that did not fit is none of ours. */
static void header_done(struct answer_parts *parts)
{
    static const struct {
        const char *name;
        void (*take)(struct answer_parts *parts, const char *value);
    } wanted[] = {{"Set-Cookie", header_set_cookie},
                  {"Retry-After", header_retry_after},
                  {"Sec-WebSocket-Accept", header_accept}};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        if (!parts->field.failed && !parts->value.failed &&
            strcasecmp(buf_str(&parts->field), wanted[i].name) == 0)
            wanted[i].take(parts, buf_str(&parts->value));
    }
    buf_reset(&parts->field);
    buf_reset(&parts->value);
    parts->in_value = false;
}

static int on_header_field(http_parser *parser, const char *at, size_t len)
{
    struct answer_parts *parts = conn_parts(parser->data);
    if (parts->in_value)
        header_done(parts);
    buf_add(&parts->field, at, len);
    return 0;
}

static int on_header_value(http_parser *parser, const char *at, size_t len)
{
    struct answer_parts *parts = conn_parts(parser->data);
    parts->in_value = true;
    buf_add(&parts->value, at, len);
    return 0;
}

static int on_headers_complete(http_parser *parser)
{
    struct answer_parts *parts = conn_parts(parser->data);
    if (parts->in_value)
        header_done(parts);
    return 0;
}

static int on_body(http_parser *parser, const char *at, size_t len)
{
    struct answer_parts *parts = conn_parts(parser->data);
    buf_add(&parts->body, at, len);
    return parts->body.failed ? -1 : 0;
}

/* The owner may close the connection, or send the next request, from inside on_answer. */
static int on_message_complete(http_parser *parser)
{
    struct dial *conn = parser->data;
    struct answer_parts *parts = conn_parts(conn);
    const unsigned code = parser->status_code;
    if (code < 200 && code != 101) { /* an interim answer: the real one follows */
        parts_free(parts);
        conn->parts = NULL;
        return 0;
    }
    conn->keep_alive = http_should_keep_alive(parser) != 0;
    conn->parts = NULL;
    if (conn->state == CONN_UPGRADING && code == 101 && parts->accepted) {
        conn->state = CONN_SOCKET;
        parts_free(parts);
        conn->ops->on_open(conn->arg);
        return 0;
    }
    if (conn->state == CONN_UPGRADING)
        conn->state = CONN_HTTP;
    const struct dial_answer answer = {.code = code,
                                       .body = buf_str(&parts->body),
                                       .len = parts->body.len,
                                       .guest = parts->guest[0] != '\0' ? parts->guest : NULL,
                                       .retry_after_ms = parts->retry_after_ms};
    conn->ops->on_answer(conn->arg, &answer);
    parts_free(parts);
    return 0;
}

static const http_parser_settings answer_settings = {.on_header_field = on_header_field,
                                                     .on_header_value = on_header_value,
                                                     .on_headers_complete = on_headers_complete,
                                                     .on_body = on_body,
                                                     .on_message_complete = on_message_complete};

static void conn_read_http(struct dial *conn, const char *data, size_t len)
{
    const size_t used = http_parser_execute(&conn->parser, &answer_settings, data, len);
    if (conn->state == CONN_CLOSING)
        return;
    if (conn->state == CONN_SOCKET) {
        if (used < len)
            conn_read_frames(conn, data + used, len - used);
        return;
    }
    if (HTTP_PARSER_ERRNO(&conn->parser) != HPE_OK || conn->parser.upgrade)
        conn_finish(conn, DIAL_END_BROKEN, 0);
}

/* ---- the stream ---- */

static void conn_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct dial *conn = handle->data;
    (void)suggested;
    *ret = uv_buf_init(conn->net->read_buffer, READ_SIZE);
}

static void conn_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct dial *conn = stream->data;
    if (n == 0 || conn->state == CONN_CLOSING)
        return;
    if (n == UV_EOF && conn->state != CONN_SOCKET)
        http_parser_execute(&conn->parser, &answer_settings, "",
                            0); /* it may be what ends a body */
    if (n < 0)
        conn_finish(conn, DIAL_END_CLOSED, conn->state == CONN_SOCKET ? 1006 : 0);
    else if (conn->state == CONN_SOCKET)
        conn_read_frames(conn, buffer->base, (size_t)n);
    else
        conn_read_http(conn, buffer->base, (size_t)n);
}

static void conn_send_request(struct dial *conn)
{
    char *request = conn->request;
    if (request == NULL)
        return;
    conn->request = NULL;
    conn->state = conn->upgrade ? CONN_UPGRADING : CONN_HTTP;
    conn_write(conn, request, conn->request_len);
    free(request);
}

static void conn_connected(uv_connect_t *connect, int failed)
{
    struct dial *conn = connect->data;
    if (conn->state == CONN_CLOSING)
        return;
    if (failed != 0 || uv_read_start((uv_stream_t *)&conn->tcp, conn_alloc, conn_read) != 0) {
        conn_finish(conn, DIAL_END_REFUSED, 0);
        return;
    }
    uv_tcp_nodelay(&conn->tcp, 1);
    conn->state = CONN_HTTP;
    conn_send_request(conn);
}

/* On the loopback: one source address per DIAL_PER_ADDRESS buyers. The port is chosen at connect
 * time, when the kernel knows the whole pair of addresses and may use a port again that is free for
 * this pair: otherwise 28,000 ports would be the end of it. */
static int conn_bind(struct dial *conn)
{
    const int on = 1;
    struct sockaddr_in source;
    uv_os_fd_t fd;
    if (strncmp(conn->target->address, "127.", 4) != 0)
        return 0;
    uv_ip4_addr("127.0.0.1", 0, &source);
    source.sin_addr.s_addr = htonl(ntohl(source.sin_addr.s_addr) + conn->source / DIAL_PER_ADDRESS);
    const int failed = uv_fileno((uv_handle_t *)&conn->tcp, &fd);
    if (failed != 0)
        return failed;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    return uv_tcp_bind(&conn->tcp, (const struct sockaddr *)&source, 0);
}

static int conn_connect(struct dial *conn)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to;
    const struct dial_target *target = conn->target;
    if (uv_ip4_addr(target->address, target->port, &to.v4) != 0 &&
        uv_ip6_addr(target->address, target->port, &to.v6) != 0)
        return UV_EINVAL;
    const int failed = conn_bind(conn);
    if (failed != 0)
        return failed;
    conn->connect.data = conn;
    return uv_tcp_connect(&conn->connect, &conn->tcp, &to.any, conn_connected);
}

static void conn_start(struct dial *conn)
{
    struct dial_net *net = conn->net;
    const bool is4 = strchr(conn->target->address, ':') == NULL;
    const int failed = uv_tcp_init_ex(loop_uv(net->loop), &conn->tcp, is4 ? AF_INET : AF_INET6);
    if (failed != 0) { /* no handle then: out of descriptors */
        const struct dial_ops *ops = conn->ops;
        void *arg = conn->arg;
        conn_free(conn);
        ops->on_end(arg, DIAL_END_REFUSED, 0);
        return;
    }
    net->open++;
    conn->tcp.data = conn;
    conn->state = CONN_CONNECTING;
    if (conn_connect(conn) != 0)
        conn_finish(conn, DIAL_END_REFUSED, 0);
}

struct dial *dial_open(struct dial_net *net, const struct dial_target *target, uint32_t source,
                       const struct dial_ops *ops, void *arg)
{
    struct dial *conn = xcalloc(1, sizeof(*conn));
    conn->net = net;
    conn->target = target;
    conn->source = source;
    conn->ops = ops;
    conn->arg = arg;
    conn->keep_alive = true;
    http_parser_init(&conn->parser, HTTP_RESPONSE);
    conn->parser.data = conn;
    if (net->waiting_tail != NULL)
        net->waiting_tail->next = conn;
    else
        net->waiting_head = conn;
    net->waiting_tail = conn;
    loop_defer(net->loop, &net->start_task);
    return conn;
}

void dial_request(struct dial *conn, const char *text, size_t len)
{
    assert(len <= REQUEST_MAX);
    if (conn->state == CONN_HTTP) {
        conn_write(conn, text, len);
        return;
    }
    free(conn->request);
    conn->request = xcalloc(1, len + 1);
    conn->request_len = len;
    memcpy(conn->request, text, len);
}

void dial_upgrade(struct dial *conn, const char *extra)
{
    struct buf request;
    buf_init(&request, REQUEST_MAX);
    buf_printf(&request,
               "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Key: " NONCE "\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Protocol: tiketi.v1\r\nUser-Agent: tiketi-crowd\r\n%s\r\n",
               conn->target->path[0] != '\0' ? conn->target->path : "/", conn->target->host, extra);
    conn->upgrade = true;
    dial_request(conn, buf_str(&request), request.len);
    buf_clear(&request);
}

void dial_send(struct dial *conn, const char *text, size_t len)
{
    if (conn->state == CONN_SOCKET)
        conn_write_frame(conn, DIAL_TEXT, text, len);
}

bool dial_reusable(const struct dial *conn)
{
    return conn->keep_alive && conn->state != CONN_CLOSING;
}
