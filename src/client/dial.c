/* SPDX-License-Identifier: MIT */
/*
 * dial: client connections: HTTP/1.1 requests and WebSockets on libuv streams; the only includer of http_parser.
 *
 * Why this way: ten thousand connections share one thread, so a connection is one small object: the read buffer belongs to
 * the net, and a body or a frame parser exists only while an answer or a frame arrives.
 * Called by: crowd_buyer, crowd, provider_calls.
 *
 * A dial is the caller's handle; a link is the socket behind it. In a net that shares, a link whose dial was closed between
 * two requests becomes idle and serves the next dial to the same target.
 *
 *   dial_open -> waiting -> start: an idle link, else a new one -> request -> answer -> … -> dial_close -> idle
 *
 * Owns: its sockets. A dial above the net's limit waits in a list, so the process never runs out of file descriptors. A
 * connection that ends calls on_end once; one that was closed calls nothing. There are no deadlines here: the
 * caller has one timer per buyer.
 */
#include "client/dial.h"

#include "base/buf.h"
#include "base/memory.h"
#include "client/dial_frame.h"

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
#define FIELD_MAX    512 /* bytes of a header value that is read */
#define CLOSE_NORMAL 1000

/* The nonce protects against a cache that answers instead of the service. One nonce for all sockets, the example of
 * RFC 6455, does that as well as ten thousand, and its answer is known. */
#define NONCE        "dGhlIHNhbXBsZSBub25jZQ=="
#define NONCE_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

struct dial_net {
    struct loop *loop;
    unsigned open, open_max;
    bool shares;
    struct dial *waiting_head, *waiting_tail;
    struct link *idle;           /* the most recently used one first */
    struct loop_task start_task; /* starts connections, so that dial_open calls nothing back */
    struct dial_frames *frames;
    char read_buffer[READ_SIZE];
};

enum link_state { LINK_CONNECTING, LINK_HTTP, LINK_UPGRADING, LINK_SOCKET, LINK_CLOSING };

/* The parts of an answer that have arrived so far. */
struct answer_parts {
    struct buf body;
    struct buf field, value;
    bool in_value;
    char guest[96];
    int64_t retry_after_ms;
    bool accepted;
};

struct link {
    uv_tcp_t tcp;
    uv_connect_t connect;
    http_parser parser;
    struct dial_net *net;
    const struct dial_target *target;
    struct dial *dial; /* NULL: idle, or closing */
    struct link *next; /* in the list of idle links */
    uint8_t state;
    bool keep_alive;            /* the peer has not said that it will close */
    bool asked, served;         /* asked: an answer is awaited; served: at least one was received */
    struct answer_parts *parts; /* NULL unless an answer is arriving */
    struct dial_reader *reader; /* NULL unless a message is unfinished */
};

struct dial {
    struct dial_net *net;
    struct link *link; /* NULL: waiting for one */
    const struct dial_target *target;
    const struct dial_ops *ops;
    void *arg;
    struct dial *next, *before; /* in the list of waiting dials */
    uint32_t source;
    bool upgrade;
    char *request; /* to be sent when it is connected; or NULL */
    size_t request_len;
};

static void link_finish(struct link *link, enum dial_end end, unsigned code);

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
    const bool is6 = strchr(target->name, ':');
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

static void dial_start(struct dial *dial);
static void dial_send_request(struct dial *dial);
static void link_shut(struct link *link);

static struct dial *net_take_waiting(struct dial_net *net)
{
    struct dial *dial = net->waiting_head;
    net->waiting_head = dial->next;
    if (dial->next)
        dial->next->before = NULL;
    else
        net->waiting_tail = NULL;
    dial->next = NULL;
    return dial;
}

/* The list goes both ways: when many thousands wait for a few shared connections, those that give up cost no scan. */
static void net_remove_waiting(struct dial_net *net, struct dial *dial)
{
    if (net->waiting_head == dial) {
        (void)net_take_waiting(net);
    } else if (dial->before) {
        dial->before->next = dial->next;
        if (dial->next)
            dial->next->before = dial->before;
        else
            net->waiting_tail = dial->before;
    }
}

static void net_remove_idle(struct dial_net *net, struct link *link)
{
    struct link **at = &net->idle;
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    link->next = NULL;
}

static void net_shut_idle(struct dial_net *net)
{
    struct link *link = net->idle;
    net_remove_idle(net, link);
    link_shut(link);
}

/* A task of the loop: gives the waiting dials an idle link to their target, else a new one while there may be more. */
static void net_start_waiting(void *arg)
{
    struct dial_net *net = arg;
    while (net->waiting_head) {
        struct link *link = net->idle;
        while (link && link->target != net->waiting_head->target)
            link = link->next;
        if (link) {
            struct dial *dial = net_take_waiting(net);
            net_remove_idle(net, link);
            dial->link = link;
            link->dial = dial;
            dial_send_request(dial);
        } else if (net->open < net->open_max) {
            dial_start(net_take_waiting(net));
        } else {
            if (net->idle) /* a link to another target: when it has closed, this task runs again */
                net_shut_idle(net);
            return;
        }
    }
}

struct dial_net *dial_net_new(const struct dial_net_opts *opts)
{
    struct dial_net *net = xcalloc(1, sizeof(*net));
    net->loop = opts->loop;
    net->open_max = opts->open_max;
    net->shares = opts->shares;
    net->frames = dial_frames_new(opts->seed);
    net->start_task = (struct loop_task){.cb = net_start_waiting, .arg = net};
    return net;
}

void dial_net_close_idle(struct dial_net *net)
{
    net->shares = false;
    while (net->idle)
        net_shut_idle(net);
}

void dial_net_free(struct dial_net *net)
{
    if (!net)
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
    struct link *link = write->handle->data;
    free(call);
    if (failed != 0)
        link_finish(link, DIAL_END_CLOSED, 0);
}

/* Writes the data. Nearly always the socket takes all of it at once; bytes that it does not take are copied. */
static void link_write(struct link *link, const char *data, size_t len)
{
    uv_stream_t *stream = (uv_stream_t *)&link->tcp;
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
        free(call); /* reading will report the end of the connection */
}

static void link_write_frame(struct link *link, enum dial_opcode opcode, const void *data,
                             size_t len)
{
    size_t frame_len;
    const char *frame = dial_frame_write(link->net->frames, opcode, data, len, &frame_len);
    link_write(link, frame, frame_len);
}

/* ---- the end of a connection ---- */

static void parts_free(struct answer_parts *parts)
{
    if (!parts)
        return;
    buf_clear(&parts->body);
    buf_clear(&parts->field);
    buf_clear(&parts->value);
    free(parts);
}

static void dial_free(struct dial *dial)
{
    free(dial->request);
    free(dial);
}

static void link_closed(uv_handle_t *handle)
{
    struct link *link = handle->data;
    struct dial_net *net = link->net;
    net->open--;
    parts_free(link->parts);
    dial_reader_free(link->reader);
    free(link);
    if (net->waiting_head)
        loop_defer(net->loop, &net->start_task);
}

/* Its memory is freed by link_closed, when libuv no longer uses the socket. */
static void link_shut(struct link *link)
{
    link->state = LINK_CLOSING;
    link->dial = NULL;
    uv_close((uv_handle_t *)&link->tcp, link_closed);
}

static void dial_end(struct dial *dial, enum dial_end end, unsigned code)
{
    const struct dial_ops *ops = dial->ops;
    void *arg = dial->arg;
    dial_free(dial);
    ops->on_end(arg, end, code);
}

/* The connection has ended: tells the caller, once. */
static void link_finish(struct link *link, enum dial_end end, unsigned code)
{
    struct dial *dial = link->dial;
    if (link->state == LINK_CLOSING)
        return;
    if (!dial)
        net_remove_idle(link->net, link);
    else if (end == DIAL_END_CLOSED && link->state == LINK_HTTP && link->asked && link->served)
        end = DIAL_END_STALE;
    link_shut(link);
    if (dial)
        dial_end(dial, end, code);
}

void dial_close(struct dial *dial)
{
    if (!dial)
        return;
    struct dial_net *net = dial->net;
    struct link *link = dial->link;
    if (!link) {
        net_remove_waiting(net, dial);
    } else if (net->shares && link->state == LINK_HTTP && !link->asked && link->keep_alive) {
        link->dial = NULL; /* idle: the next dial to the same target gets it */
        link->next = net->idle;
        net->idle = link;
        if (net->waiting_head)
            loop_defer(net->loop, &net->start_task);
    } else {
        if (link->state == LINK_SOCKET) {
            const uint8_t code[2] = {CLOSE_NORMAL >> 8, CLOSE_NORMAL & 0xff};
            link_write_frame(link, DIAL_CLOSE, code, sizeof(code));
        }
        link_shut(link);
    }
    dial_free(dial);
}

/* ---- frames ---- */

static bool on_frame(void *arg, enum dial_opcode opcode, const char *data, size_t len)
{
    struct link *link = arg;
    switch (opcode) {
    case DIAL_TEXT:
        link->dial->ops->on_text(link->dial->arg, data, len);
        break;
    case DIAL_PING:
        link_write_frame(link, DIAL_PONG, data, len);
        link->dial->ops->on_ping(link->dial->arg);
        break;
    case DIAL_PONG:
        break;
    case DIAL_CLOSE: {
        const uint8_t *code = (const uint8_t *)data;
        link_write_frame(link, DIAL_CLOSE, data, len >= 2 ? 2 : 0);
        link_finish(link, DIAL_END_CLOSED, len >= 2 ? (unsigned)code[0] << 8 | code[1] : 1005);
        break;
    }
    }
    return link->state == LINK_SOCKET;
}

/* ---- answers ---- */

static struct answer_parts *link_parts(struct link *link)
{
    if (!link->parts) {
        link->parts = xcalloc(1, sizeof(*link->parts));
        buf_init(&link->parts->body, DIAL_BODY_MAX);
        buf_init(&link->parts->field, FIELD_MAX);
        buf_init(&link->parts->value, FIELD_MAX);
        link->parts->retry_after_ms = -1;
    }
    return link->parts;
}

/* Stores a complete header if it is one that the caller reads. If its name or value did not fit, it is not. */
static void header_done(struct answer_parts *parts)
{
    static const char guest[] = "tiketi_guest=";
    const char *name = buf_str(&parts->field), *value = buf_str(&parts->value);
    if (parts->field.failed || parts->value.failed) {
        /* too long, so it is none of the headers that are read */
    } else if (strcasecmp(name, "Set-Cookie") == 0) {
        const size_t len = sizeof(guest) - 1;
        if (strncmp(value, guest, len) == 0)
            (void)snprintf(parts->guest, sizeof(parts->guest), "%.*s",
                           (int)strcspn(value + len, "; "), value + len);
    } else if (strcasecmp(name, "Retry-After") == 0) {
        char *end;
        const long seconds = strtol(value, &end, 10);
        if (end != value && seconds >= 0 && seconds <= 3600)
            parts->retry_after_ms = seconds * 1000;
    } else if (strcasecmp(name, "Sec-WebSocket-Accept") == 0) {
        parts->accepted = strcmp(value, NONCE_ACCEPT) == 0;
    }
    buf_reset(&parts->field);
    buf_reset(&parts->value);
    parts->in_value = false;
}

static int on_header_field(http_parser *parser, const char *at, size_t len)
{
    struct answer_parts *parts = link_parts(parser->data);
    if (parts->in_value)
        header_done(parts);
    buf_add(&parts->field, at, len);
    return 0;
}

static int on_header_value(http_parser *parser, const char *at, size_t len)
{
    struct answer_parts *parts = link_parts(parser->data);
    parts->in_value = true;
    buf_add(&parts->value, at, len);
    return 0;
}

static int on_headers_complete(http_parser *parser)
{
    struct answer_parts *parts = link_parts(parser->data);
    if (parts->in_value)
        header_done(parts);
    return 0;
}

static int on_body(http_parser *parser, const char *at, size_t len)
{
    struct answer_parts *parts = link_parts(parser->data);
    buf_add(&parts->body, at, len);
    return parts->body.failed ? -1 : 0;
}

/* Passes the answer on. From inside on_answer the caller may close the connection or send the next request. */
static int on_message_complete(http_parser *parser)
{
    struct link *link = parser->data;
    struct answer_parts *parts = link_parts(link);
    const unsigned code = parser->status_code;
    if (!link->dial) /* an idle connection: the peer answers although nothing was asked */
        return -1;
    if (code < 200 && code != 101) { /* an interim answer; the final one follows */
        parts_free(parts);
        link->parts = NULL;
        return 0;
    }
    link->keep_alive = http_should_keep_alive(parser) != 0;
    link->asked = false;
    link->served = true;
    link->parts = NULL;
    if (link->state == LINK_UPGRADING && code == 101 && parts->accepted) {
        link->state = LINK_SOCKET;
        parts_free(parts);
        link->dial->ops->on_open(link->dial->arg);
        return 0;
    }
    if (link->state == LINK_UPGRADING)
        link->state = LINK_HTTP;
    const struct dial_answer answer = {.code = code,
                                       .body = buf_str(&parts->body),
                                       .len = parts->body.len,
                                       .guest = parts->guest[0] != '\0' ? parts->guest : NULL,
                                       .retry_after_ms = parts->retry_after_ms};
    link->dial->ops->on_answer(link->dial->arg, &answer);
    parts_free(parts);
    return 0;
}

static const http_parser_settings answer_settings = {.on_header_field = on_header_field,
                                                     .on_header_value = on_header_value,
                                                     .on_headers_complete = on_headers_complete,
                                                     .on_body = on_body,
                                                     .on_message_complete = on_message_complete};

/* ---- the stream ---- */

static void link_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct link *link = handle->data;
    (void)suggested;
    *ret = uv_buf_init(link->net->read_buffer, READ_SIZE);
}

static void link_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct link *link = stream->data;
    if (n == 0 || link->state == LINK_CLOSING)
        return;
    if (n < 0) {
        if (n == UV_EOF && link->state != LINK_SOCKET) /* the end may complete a body */
            http_parser_execute(&link->parser, &answer_settings, "", 0);
        link_finish(link, DIAL_END_CLOSED, link->state == LINK_SOCKET ? 1006 : 0);
        return;
    }
    const char *data = buffer->base;
    size_t len = (size_t)n;
    if (link->state != LINK_SOCKET) {
        const size_t used = http_parser_execute(&link->parser, &answer_settings, data, len);
        if (link->state == LINK_CLOSING)
            return;
        if (link->state != LINK_SOCKET) {
            if (HTTP_PARSER_ERRNO(&link->parser) != HPE_OK || link->parser.upgrade)
                link_finish(link, DIAL_END_BROKEN, 0);
            return;
        }
        data += used; /* frames may follow the handshake's answer at once */
        len -= used;
    }
    if (len > 0 &&
        dial_frame_read(link->net->frames, &link->reader, data, len, on_frame, link) != ST_OK)
        link_finish(link, DIAL_END_BROKEN, 0);
}

/* The request that was made before there was a link. */
static void dial_send_request(struct dial *dial)
{
    struct link *link = dial->link;
    if (!dial->request)
        return;
    link->state = dial->upgrade ? LINK_UPGRADING : LINK_HTTP;
    link->asked = true;
    link_write(link, dial->request, dial->request_len);
    free(dial->request);
    dial->request = NULL;
}

static void link_connected(uv_connect_t *connect, int failed)
{
    struct link *link = connect->data;
    if (link->state == LINK_CLOSING)
        return;
    if (failed != 0 || uv_read_start((uv_stream_t *)&link->tcp, link_alloc, link_read) != 0) {
        link_finish(link, DIAL_END_REFUSED, 0);
        return;
    }
    uv_tcp_nodelay(&link->tcp, 1);
    link->state = LINK_HTTP;
    dial_send_request(link->dial);
}

static int link_connect(struct link *link)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to;
    const struct dial_target *target = link->target;
    if (uv_ip4_addr(target->address, target->port, &to.v4) != 0 &&
        uv_ip6_addr(target->address, target->port, &to.v6) != 0)
        return UV_EINVAL;

    /* On the loopback each DIAL_PER_ADDRESS buyers have a source address of their own. The kernel chooses the port
     * only when it connects, so that it may reuse one that is free for this pair of addresses; otherwise 28,000
     * connections would be the limit. */
    if (strncmp(target->address, "127.", 4) == 0) {
        const int on = 1;
        struct sockaddr_in source;
        uv_os_fd_t fd;
        uv_ip4_addr("127.0.0.1", 0, &source);
        source.sin_addr.s_addr =
            htonl(ntohl(source.sin_addr.s_addr) + link->dial->source / DIAL_PER_ADDRESS);
        int failed = uv_fileno((uv_handle_t *)&link->tcp, &fd);
        if (failed != 0)
            return failed;
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
        failed = uv_tcp_bind(&link->tcp, (const struct sockaddr *)&source, 0);
        if (failed != 0)
            return failed;
    }

    link->connect.data = link;
    return uv_tcp_connect(&link->connect, &link->tcp, &to.any, link_connected);
}

static void dial_start(struct dial *dial)
{
    struct dial_net *net = dial->net;
    struct link *link = xcalloc(1, sizeof(*link));
    const bool is4 = !strchr(dial->target->address, ':');
    const int failed = uv_tcp_init_ex(loop_uv(net->loop), &link->tcp, is4 ? AF_INET : AF_INET6);
    if (failed != 0) { /* out of file descriptors; there is no handle to close */
        free(link);
        dial_end(dial, DIAL_END_REFUSED, 0);
        return;
    }
    net->open++;
    link->net = net;
    link->target = dial->target;
    link->tcp.data = link;
    link->keep_alive = true;
    link->state = LINK_CONNECTING;
    http_parser_init(&link->parser, HTTP_RESPONSE);
    link->parser.data = link;
    dial->link = link;
    link->dial = dial;
    if (link_connect(link) != 0)
        link_finish(link, DIAL_END_REFUSED, 0);
}

struct dial *dial_open(struct dial_net *net, const struct dial_target *target, uint32_t source,
                       const struct dial_ops *ops, void *arg)
{
    struct dial *dial = xcalloc(1, sizeof(*dial));
    dial->net = net;
    dial->target = target;
    dial->source = source;
    dial->ops = ops;
    dial->arg = arg;
    dial->before = net->waiting_tail;
    if (net->waiting_tail)
        net->waiting_tail->next = dial;
    else
        net->waiting_head = dial;
    net->waiting_tail = dial;
    loop_defer(net->loop, &net->start_task);
    return dial;
}

void dial_request(struct dial *dial, const char *text, size_t len)
{
    struct link *link = dial->link;
    assert(len <= REQUEST_MAX);
    if (link && link->state == LINK_HTTP) {
        link->asked = true;
        link_write(link, text, len);
        return;
    }
    free(dial->request);
    dial->request = xcalloc(1, len + 1);
    dial->request_len = len;
    memcpy(dial->request, text, len);
}

void dial_upgrade(struct dial *dial, const char *extra)
{
    struct buf request;
    buf_init(&request, REQUEST_MAX);
    buf_printf(&request,
               "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Key: " NONCE "\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Protocol: tiketi.v1\r\nUser-Agent: tiketi-crowd\r\n%s\r\n",
               dial->target->path[0] != '\0' ? dial->target->path : "/", dial->target->host, extra);
    dial->upgrade = true;
    dial_request(dial, buf_str(&request), request.len);
    buf_clear(&request);
}

void dial_send(struct dial *dial, const char *text, size_t len)
{
    if (dial->link && dial->link->state == LINK_SOCKET)
        link_write_frame(dial->link, DIAL_TEXT, text, len);
}

bool dial_reusable(const struct dial *dial)
{
    return !dial->link || dial->link->keep_alive;
}
