/* SPDX-License-Identifier: MIT */
/*
 * ws_context: starts and ends libwebsockets (lws) on one loop; with ws the only includer of it.
 *
 * Why this way: what lws 4.1.6 needs to start and to end (later versions accept it) is much, and has
 * nothing to do with connections:
 * - its validity timers are one sorted list, so the retry policy is all zero and ws sends the pings;
 * - fd_limit_per_thread below the open-file limit makes every lookup a linear search; an open-file
 *   limit above ten million is taken for 2,560;
 * - on a foreign loop a context is destroyed by two calls, the second when its handles are closed.
 * Called by: ws alone. Owns: the lws context. Invariant: its log goes through ours from the first line.
 */
#include "net/ws_context.h"

#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <uv.h>

#include "base/log.h"
#include "net/ws_handshake_internal.h"

#define OPEN_FILES (1 << 20)

/* ---- its log ---- */

static void on_lws_log(int level, const char *line)
{
    char text[256];
    size_t len = strcspn(line, "\n");
    len = len < sizeof(text) ? len : sizeof(text) - 1;
    memcpy(text, line, len);
    text[len] = '\0';
    if (level == LLL_ERR)
        log_error("libwebsockets error", LOG_TEXT("text", text));
    else
        log_warn("libwebsockets warning", LOG_TEXT("text", text));
}

static void log_route(void)
{
    lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
}

/* ---- its start ---- */

enum status ws_context_open(struct ws_context *context, struct loop *loop, const char *subprotocol,
                            lws_callback_function *callback)
{
    static const lws_retry_bo_t no_timers = {.secs_since_valid_ping = 0};
    static pthread_once_t log_once = PTHREAD_ONCE_INIT;
    void *loops[] = {loop_uv(loop)};

    /* lws has a table entry for each possible descriptor, and fails on a limit it considers absurd. */
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > OPEN_FILES) {
        limit.rlim_cur = OPEN_FILES;
        if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
            log_info("ws open-file limit lowered", LOG_NUM("limit", OPEN_FILES));
    }

    context->loop = loop;
    context->protocols[0] = (struct lws_protocols){
        .name = subprotocol,
        .callback = callback,
        .rx_buffer_size = 128, /* allocated for each connection */
        .tx_packet_size = 4096,
    };
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = context->protocols,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .foreign_loops = loops,
        .count_threads = 1,
        .fd_limit_per_thread = (unsigned)sysconf(_SC_OPEN_MAX),
        .max_http_header_data = WS_HEAD_MAX + 1024,
        .retry_and_idle_policy = &no_timers,
        .pcontext = &context->lws,
        .vhost_name = "tiketi",
    };
    pthread_once(&log_once, log_route);
    context->lws = lws_create_context(&info);
    if (context->lws)
        context->vhost = lws_create_vhost(context->lws, &info);
    if (context->vhost)
        return ST_OK;
    log_error("libwebsockets cannot be started: see the warnings before");
    return ST_INTERNAL;
}

/* ---- its end ---- */

static void count_closing(uv_handle_t *handle, void *arg)
{
    unsigned *count = arg;
    *count += uv_is_closing(handle) != 0;
}

void ws_context_end(struct ws_context *context)
{
    if (context->lws)
        lws_context_destroy(context->lws);
}

bool ws_context_is_gone(struct ws_context *context)
{
    unsigned closing = 0; /* handles of the loop: any of them may belong to lws */
    uv_walk(loop_uv(context->loop), count_closing, &closing);
    if (closing > 0)
        return false;
    ws_context_end(context); /* the second call */
    return true;
}
