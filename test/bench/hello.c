/* SPDX-License-Identifier: MIT */
/*
 * hello: the service that requests are compared with: a JSON hello on bare libmicrohttpd, with the same kind of loop
 * as tiketi (external epoll inside libuv, one thread) and the same pool limit. It prints its port.
 */
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "net/http_req_internal.h"

static const char body[] = "{\"hello\":\"world\"}";
static uv_timer_t timer;
static struct MHD_Daemon *daemon_;

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
    static int started;
    (void)cls, (void)url, (void)method, (void)version, (void)data;
    if (*state == NULL) { /* never in the first call: 0.9.75 would answer `Connection: close` */
        *state = &started;
        return MHD_YES;
    }
    if (*size > 0) {
        *size = 0;
        return MHD_YES;
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof(body) - 1, (void *)body, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, "Content-Type", "application/json");
    const enum MHD_Result result = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

static void run(void)
{
    MHD_UNSIGNED_LONG_LONG timeout;
    (void)MHD_run(daemon_);
    if (MHD_get_timeout(daemon_, &timeout) == MHD_YES)
        uv_timer_start(&timer, (uv_timer_cb)run, timeout, 0);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    (void)poll, (void)status, (void)events;
    run();
}

int main(void)
{
    static uv_poll_t poll;
    daemon_ = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, answer, NULL,
                               MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
                               MHD_OPTION_CONNECTION_LIMIT, 15000u, MHD_OPTION_END);
    if (daemon_ == NULL)
        return 1;
    printf("%u\n", MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_BIND_PORT)->port);
    (void)fflush(stdout);
    uv_timer_init(uv_default_loop(), &timer);
    uv_poll_init(uv_default_loop(), &poll,
                 MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
    uv_poll_start(&poll, UV_READABLE, on_ready);
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
