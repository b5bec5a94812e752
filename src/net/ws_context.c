/* SPDX-License-Identifier: MIT */
/*
 * ws_context: starts and ends libwebsockets (lws) on one loop; only it and ws include lws.
 *
 * Why this way: starting and ending lws 4.1.6 needs workarounds, which later versions accept and which have nothing
 * to do with connections:
 * - lws keeps its ping timers in one sorted list, which is slow for many connections. So the retry policy, all zero,
 *   turns them off, and ws sends the pings;
 * - when fd_limit_per_thread is below the limit of open files, lws finds a connection by a linear search. When that
 *   limit is above ten million, lws uses 2,560 instead;
 * - on a loop that lws does not own, lws_context_destroy must be called twice: the second time when the handles
 *   of the context are closed.
 * Called by: ws alone. Owns: the lws context. Invariant: everything that lws logs goes through log.h.
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

/* ---- the log of lws ---- */

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

static void route_log(void)
{
    lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
}

/* ---- start ---- */

enum status ws_context_open(struct ws_context *context, struct loop *loop, const char *subprotocol,
                            lws_callback_function *callback)
{
    static const lws_retry_bo_t no_timers = {.secs_since_valid_ping = 0};
    static pthread_once_t log_once = PTHREAD_ONCE_INIT;
    void *loops[] = {loop_uv(loop)};

    /* lws allocates a table entry for each descriptor that the limit of open files allows, and misreads a very high
     * limit. */
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > OPEN_FILES) {
        limit.rlim_cur = OPEN_FILES;
        if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
            log_info("limit of open files lowered for libwebsockets", LOG_NUM("limit", OPEN_FILES));
    }

    context->loop = loop;
    context->protocols[0] = (struct lws_protocols){
        .name = subprotocol,
        .callback = callback,
        .rx_buffer_size = 128, /* bytes, which lws allocates for each connection */
        .tx_packet_size = 4096,
    };
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = context->protocols,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .foreign_loops = loops,
        .count_threads = 1,
        .fd_limit_per_thread = (unsigned)sysconf(_SC_OPEN_MAX),
        .max_http_header_data = 2 * WS_HEAD_OWN_MAX,
        .retry_and_idle_policy = &no_timers,
        .pcontext = &context->lws,
        .vhost_name = "tiketi",
    };
    pthread_once(&log_once, route_log);
    context->lws = lws_create_context(&info);
    if (context->lws)
        context->vhost = lws_create_vhost(context->lws, &info);
    if (context->vhost)
        return ST_OK;
    log_error("libwebsockets cannot be started, the lines before say why");
    return ST_INTERNAL;
}

/* ---- end ---- */

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
    unsigned closing = 0; /* all closing handles of the loop: any of them may belong to lws */
    uv_walk(loop_uv(context->loop), count_closing, &closing);
    if (closing > 0)
        return false;
    ws_context_end(context); /* the second call of lws_context_destroy, which frees the context */
    return true;
}
