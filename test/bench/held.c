/* SPDX-License-Identifier: MIT */
/*
 * held: the least that a join can cost: like hello, but each request waits for one call to Redis, which requests that
 * come meanwhile share (one INCRBY and two ZADDs for all), and the answer has the length and the headers of tiketi's.
 * It has no routes, identities, signatures or JSON. Usage: held PORT, the port of Redis; it prints its own port.
 */
#include <hiredis/hiredis.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "net/http_req_internal.h"

#define BATCH     128
#define ID_SIZE   40
#define HELD_MS   1
#define BODY_LEN  456
#define VALUE_LEN 348

struct request {
    struct MHD_Connection *connection; /* NULL: its head has passed, no more */
    struct request *next;
};

static const char script[] =
    "local n = #ARGV local last = redis.call('INCRBY', KEYS[1], n) local queue, seen = {}, {} "
    "for i = 1, n do queue[2 * i - 1] = last - n + i queue[2 * i] = ARGV[i] "
    "seen[2 * i - 1] = last seen[2 * i] = ARGV[i] end "
    "redis.call('ZADD', KEYS[2], unpack(queue)) redis.call('ZADD', KEYS[3], unpack(seen)) "
    "return last";

static char body[BODY_LEN], cookie[VALUE_LEN + 1], guest[97];
static char sha[41];
static uv_poll_t listening, replies;
static uv_timer_t timer;
static uv_check_t after_replies;
static struct MHD_Daemon *daemon_;
static redisContext *redis;
static struct request *waiting, **waiting_end = &waiting; /* for the next call */
static struct request *asked;                             /* of the call under way */
static unsigned held;
static unsigned long long names;
static int answered;

static enum MHD_Result handle(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **state)
{
    struct request *request = *state;
    (void)cls, (void)url, (void)method, (void)version, (void)data;
    if (request == NULL) {
        *state = calloc(1, sizeof(*request));
        return *state != NULL ? MHD_YES : MHD_NO;
    }
    if (*size > 0) {
        *size = 0;
    } else if (request->connection == NULL) {
        request->connection = connection;
        *waiting_end = request;
        waiting_end = &request->next;
        held++;
    }
    return MHD_YES; /* unanswered: it is asked again in each run */
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    (void)cls, (void)connection, (void)code;
    free(*state);
    *state = NULL;
}

static void answer(struct MHD_Connection *connection)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof(body), body, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, "Content-Type", "application/json");
    MHD_add_response_header(response, "Set-Cookie", cookie);
    MHD_add_response_header(response, "Set-Cookie", guest);
    MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
}

static void call(void)
{
    static char ids[BATCH][ID_SIZE];
    const char *args[6 + BATCH] = {"EVALSHA", sha, "3", "held:seq", "held:queue", "held:seen"};
    size_t lens[6 + BATCH];
    int count = 6, done;
    struct request **end = &waiting;
    if (asked != NULL || waiting == NULL)
        return;
    for (int i = 0; i < count; i++)
        lens[i] = strlen(args[i]);
    for (; *end != NULL && count < 6 + BATCH; end = &(*end)->next, count++) {
        char *id = ids[count - 6];
        lens[count] = (size_t)snprintf(id, ID_SIZE, "g:%032llx", names++ * 0x9e3779b97f4a7c15u);
        args[count] = id;
    }
    asked = waiting;
    waiting = *end;
    *end = NULL;
    if (waiting == NULL)
        waiting_end = &waiting;
    redisAppendCommandArgv(redis, count, args, lens);
    redisBufferWrite(redis, &done);
}

static void on_reply(uv_poll_t *poll, int status, int events)
{
    void *reply = NULL;
    (void)poll, (void)status, (void)events;
    if (redisBufferRead(redis) != REDIS_OK)
        exit(1);
    while (redisGetReplyFromReader(redis, &reply) == REDIS_OK && reply != NULL) {
        if (((redisReply *)reply)->type != REDIS_REPLY_INTEGER)
            exit(1);
        freeReplyObject(reply);
        while (asked != NULL) {
            struct request *request = asked;
            asked = request->next;
            answer(request->connection); /* and it may be gone */
            held--;
        }
        answered = 1;
    }
}

static void on_ready(uv_poll_t *poll, int status, int events);

static void run(void)
{
    MHD_UNSIGNED_LONG_LONG timeout;
    (void)MHD_run(daemon_);
    call();
    if (held > 0) {
        uv_poll_stop(&listening);
        uv_timer_start(&timer, (uv_timer_cb)run, HELD_MS, 0);
        return;
    }
    uv_poll_start(&listening, UV_READABLE, on_ready);
    if (MHD_get_timeout(daemon_, &timeout) == MHD_YES)
        uv_timer_start(&timer, (uv_timer_cb)run, timeout, 0);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    (void)poll, (void)status, (void)events;
    run();
}

static void on_check(uv_check_t *check)
{
    (void)check;
    if (answered)
        run();
    answered = 0;
}

static int connect_redis(int port)
{
    redis = redisConnect("127.0.0.1", port);
    if (redis == NULL || redis->err != 0)
        return 0;
    redisReply *reply = redisCommand(redis, "SCRIPT LOAD %s", script);
    if (reply == NULL || reply->type != REDIS_REPLY_STRING)
        return 0;
    (void)snprintf(sha, sizeof(sha), "%s", reply->str);
    freeReplyObject(reply);
    return 1;
}

int main(int argc, char **argv)
{
    memset(body, ' ', sizeof(body));
    memset(cookie, 'c', sizeof(cookie) - 1);
    memset(guest, 'g', sizeof(guest) - 1);
    if (argc < 2 || !connect_redis(atoi(argv[1])))
        return 1;
    daemon_ = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, handle, NULL,
                               MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
                               MHD_OPTION_CONNECTION_LIMIT, 15000u, MHD_OPTION_NOTIFY_COMPLETED,
                               on_completed, NULL, MHD_OPTION_END);
    if (daemon_ == NULL)
        return 1;
    printf("%u\n", MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_BIND_PORT)->port);
    (void)fflush(stdout);
    uv_loop_t *loop = uv_default_loop();
    uv_timer_init(loop, &timer);
    uv_poll_init(loop, &listening,
                 MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
    uv_poll_start(&listening, UV_READABLE, on_ready);
    uv_poll_init(loop, &replies, redis->fd);
    uv_poll_start(&replies, UV_READABLE, on_reply);
    uv_check_init(loop, &after_replies);
    uv_check_start(&after_replies, on_check);
    return uv_run(loop, UV_RUN_DEFAULT);
}
