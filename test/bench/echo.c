/* SPDX-License-Identifier: MIT */
/*
 * echo: the service that sockets are compared with: libwebsockets on libuv, tuned like tiketi's (one context, an own
 * listener whose sockets are adopted, no timers, small buffers), and nothing else. It prints its port and
 * echoes each message; `push TEXT` on its standard input writes TEXT to every socket, 128 per loop turn, and answers
 * with the number of sockets.
 */
#include <libwebsockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define STEP 128

struct conn {
    struct lws *wsi;
    struct conn *next, *prev;
};

static struct lws_context *context;
static struct lws_vhost *vhost;
static struct conn *conns, *walk_at;
static uv_idle_t idle;
static unsigned char push[LWS_PRE + 16384];
static size_t push_len;
static unsigned pushed;

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len)
{
    static unsigned char text[LWS_PRE + 16384];
    struct conn *conn = user;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        conn->wsi = wsi;
        conn->prev = NULL;
        conn->next = conns;
        if (conns)
            conns->prev = conn;
        conns = conn;
        return 0;
    case LWS_CALLBACK_CLOSED:
        if (walk_at == conn)
            walk_at = conn->next;
        *(conn->prev ? &conn->prev->next : &conns) = conn->next;
        if (conn->next)
            conn->next->prev = conn->prev;
        return 0;
    case LWS_CALLBACK_RECEIVE: /* in pieces of rx_buffer_size: the last one is the answer */
        if (!lws_is_final_fragment(wsi))
            return 0;
        memcpy(text + LWS_PRE, in, len);
        return lws_write(wsi, text + LWS_PRE, len, LWS_WRITE_TEXT) < 0 ? -1 : 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = "tiketi.v1",
     .callback = on_lws,
     .per_session_data_size = sizeof(struct conn),
     .rx_buffer_size = 128,
     .tx_packet_size = 4096},
    {0},
};

static void on_idle(uv_idle_t *handle)
{
    for (int i = 0; i < STEP && walk_at; i++) {
        struct conn *conn = walk_at;
        walk_at = conn->next;
        if (lws_partial_buffered(conn->wsi) || lws_send_pipe_choked(conn->wsi))
            continue;
        if (lws_write(conn->wsi, push + LWS_PRE, push_len, LWS_WRITE_TEXT) >= 0)
            pushed++;
    }
    if (walk_at)
        return;
    uv_idle_stop(handle);
    printf("%u\n", pushed);
    (void)fflush(stdout);
}

static void on_command(uv_poll_t *poll, int status, int events)
{
    static char line[16384 + 8];
    (void)poll, (void)status, (void)events;
    const ssize_t got = read(0, line, sizeof(line)); /* a pipe: one short line comes whole */
    if (got <= 0)
        exit(0);
    push_len = (size_t)got - 6;
    memcpy(push + LWS_PRE, line + 5, push_len);
    pushed = 0;
    walk_at = conns;
    uv_idle_start(&idle, on_idle);
}

static void on_arrival(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    for (int i = 0; i < 64; i++) {
        uv_os_fd_t listener;
        (void)uv_fileno((uv_handle_t *)poll, &listener);
        const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        (void)lws_adopt_socket_vhost(vhost, fd);
    }
}

static int listener_open(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    const int one = 1, size = 32768;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        exit(1);
    printf("%u\n", ntohs(address.sin_port));
    (void)fflush(stdout);
    return fd;
}

int main(void)
{
    static const lws_retry_bo_t no_timers = {.secs_since_valid_ping = 0};
    static uv_poll_t arrivals, commands;
    uv_loop_t *loop = uv_default_loop();
    void *loops[] = {loop};
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .foreign_loops = loops,
        .count_threads = 1,
        .fd_limit_per_thread = (unsigned)sysconf(_SC_OPEN_MAX),
        .retry_and_idle_policy = &no_timers,
        .vhost_name = "echo",
    };
    lws_set_log_level(LLL_ERR, NULL);
    context = lws_create_context(&info);
    vhost = context ? lws_create_vhost(context, &info) : NULL;
    if (!vhost)
        return 1;
    uv_idle_init(loop, &idle);
    uv_poll_init(loop, &arrivals, listener_open());
    uv_poll_start(&arrivals, UV_READABLE, on_arrival);
    uv_poll_init(loop, &commands, 0);
    uv_poll_start(&commands, UV_READABLE, on_command);
    return uv_run(loop, UV_RUN_DEFAULT);
}
