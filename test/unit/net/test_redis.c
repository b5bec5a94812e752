/* SPDX-License-Identifier: MIT */
/*
 * redis, redis_sub: against private redis-server processes that are stopped, killed and started again,
 * and against a fake one that says whatever the test wants. Every callback must run exactly once.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../base/block.h"
#include "net/redis.h"
#include "turn.h"

#define TIMEOUT_MS 500 /* of one command, in most tests */

/* Set while the tests run over TLS: the folder of a certificate of 127.0.0.1, which is its own authority, and its files. */
static char tls_dir[64], tls_cert[96], tls_key[96];
static bool over_tls;

/* ---- a private Redis ---- */

struct server {
    pid_t pid;
    uint16_t port; /* 0: Unix socket only */
    char dir[64], url[160];
    const char *password; /* NULL: none */
};

static uint16_t free_port(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &size), 0);
    close(fd);
    return ntohs(addr.sin_port);
}

static void server_exec(const struct server *s)
{
    char port[8], path[96];
    snprintf(port, sizeof(port), "%u", s->port);
    snprintf(path, sizeof(path), "%s/redis.sock", s->dir);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (over_tls)
        execlp("redis-server", "redis-server", "--port", "0", "--tls-port", port, "--bind",
               "127.0.0.1", "--tls-cert-file", tls_cert, "--tls-key-file", tls_key,
               "--tls-ca-cert-file", tls_cert, "--tls-auth-clients", "no", "--dir", s->dir,
               "--save", "", "--appendonly", "no", "--logfile", "/dev/null", NULL);
    execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--unixsocket",
           path, "--dir", s->dir, "--save", "", "--appendonly", "no", "--loglevel", "warning",
           "--logfile", "/dev/null", s->password ? "--requirepass" : NULL, s->password, NULL);
    _exit(127);
}

static void server_start(struct server *s)
{
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0)
        server_exec(s);
}

static void server_new(struct server *s, uint16_t port, const char *password)
{
    memset(s, 0, sizeof(*s));
    snprintf(s->dir, sizeof(s->dir), "/tmp/tiketi-test-redis-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    s->port = over_tls && port == 0 ? free_port() : port;
    s->password = password;
    if (s->port)
        snprintf(s->url, sizeof(s->url), "%s://127.0.0.1:%u", over_tls ? "rediss" : "redis",
                 s->port);
    else
        snprintf(s->url, sizeof(s->url), "unix://%s/redis.sock", s->dir);
    server_start(s);
}

static void server_kill(struct server *s)
{
    if (s->pid <= 0)
        return;
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

static void server_free(struct server *s)
{
    char path[96];
    server_kill(s);
    snprintf(path, sizeof(path), "%s/redis.sock", s->dir);
    unlink(path);
    assert_int_equal(rmdir(s->dir), 0);
}

/* ---- the world of a test: a loop that is run turn by turn, and a client ---- */

struct world {
    struct loop *loop;
    struct loop_timer *tick;
    struct redis *redis;
    struct redis_sub *sub;
    struct redis_args args;
    int ups, downs;
    int sub_ups, sub_downs, messages;
    char message[64];
    bool closed;
    bool close_in_callback;
};

struct call {
    struct world *world;
    int runs;
    enum status status;
    enum redis_type type;
    int64_t number;
    char text[96];
    uint64_t at_ms;
};

#define EXPECT(w, condition, ms)                                                                   \
    do {                                                                                           \
        TURN_UNTIL(w, condition, ms);                                                              \
        assert_true(condition);                                                                    \
    } while (0)

static void on_state(void *arg, bool up)
{
    struct world *w = arg;
    if (up)
        w->ups++;
    else
        w->downs++;
    assert_true(w->ups - w->downs == 0 || w->ups - w->downs == 1);
}

static void world_open(struct world *w)
{
    memset(w, 0, sizeof(*w));
    w->loop = turn_begin(&w->tick);
    redis_args_init(&w->args);
}

static enum status client_open(struct world *w, const char *url, int64_t timeout_ms,
                               struct redis_script *const *scripts, size_t count)
{
    struct redis_opts opts = {.loop = w->loop,
                              .server.url = url,
                              .server.tls_ca = over_tls ? tls_cert : NULL,
                              .timeout_ms = timeout_ms,
                              .scripts = scripts,
                              .script_count = count,
                              .on_state = on_state,
                              .arg = w};
    return redis_open(&opts, &w->redis);
}

static void client_up(struct world *w, const char *url)
{
    assert_int_equal(client_open(w, url, TIMEOUT_MS, NULL, 0), ST_OK);
    assert_int_equal(w->ups, 0); /* never from inside */
    EXPECT(w, redis_up(w->redis), 5000);
    assert_int_equal(w->ups, 1);
}

static void on_closed(void *arg)
{
    ((struct world *)arg)->closed = true;
}

static void client_close(struct world *w)
{
    w->closed = false;
    redis_close(w->redis, on_closed, w);
    w->redis = NULL;
    EXPECT(w, w->closed, 5000);
    w->ups = w->downs = 0;
}

static void world_close(struct world *w)
{
    if (w->redis)
        client_close(w);
    redis_args_clear(&w->args);
    turn_end(w->loop, w->tick);
}

static void on_call(void *arg, enum status status, const struct redis_reply *reply)
{
    struct call *call = arg;
    call->runs++;
    call->status = status;
    call->type = redis_reply_type(reply);
    call->number = redis_reply_int(reply);
    const char *text = redis_reply_str(reply, NULL);
    snprintf(call->text, sizeof(call->text), "%s", text ? text : "");
    call->at_ms = loop_now_ms(call->world->loop);
    if (call->world->close_in_callback && call->world->redis) {
        struct redis *redis = call->world->redis;
        call->world->redis = NULL;
        redis_close(redis, on_closed, call->world);
    }
}

/* The command's words, up to a NULL. */
static enum status start(struct world *w, struct call *call, ...)
{
    va_list list;
    const char *word;
    redis_args_reset(&w->args);
    va_start(list, call);
    while ((word = va_arg(list, const char *)))
        redis_args_add(&w->args, word);
    va_end(list);
    memset(call, 0, sizeof(*call));
    call->world = w;
    enum status st = redis_command(w->redis, &w->args, on_call, call);
    assert_int_equal(call->runs, 0); /* never from inside the start */
    return st;
}

#define CALL_OK(w, call, ...)                                                                      \
    do {                                                                                           \
        assert_int_equal(start(w, call, __VA_ARGS__, NULL), ST_OK);                                \
        EXPECT(w, (call)->runs, 5000);                                                             \
        assert_int_equal((call)->status, ST_OK);                                                   \
    } while (0)

/* Runs a command on another connection than that of the client under test. */
static void admin(struct world *w, const struct server *s, const char *a, const char *b,
                  const char *c)
{
    struct redis *mine = w->redis;
    struct call call;
    int ups = w->ups, downs = w->downs;
    w->ups = w->downs = 0;
    client_up(w, s->url);
    CALL_OK(w, &call, a, b, c);
    client_close(w);
    w->redis = mine;
    w->ups = ups;
    w->downs = downs;
}

/* ---- commands ---- */

static void test_commands(void **state)
{
    (void)state;
    struct server s;
    struct world w;
    struct call call;
    server_new(&s, 0, NULL);
    world_open(&w);
    client_up(&w, s.url);
    CALL_OK(&w, &call, "SET", "k", "12");
    assert_int_equal(call.type, REDIS_STR);
    CALL_OK(&w, &call, "GET", "k");
    assert_string_equal(call.text, "12");
    assert_int_equal(call.number, 12);
    CALL_OK(&w, &call, "INCR", "k");
    assert_int_equal(call.type, REDIS_INT);
    assert_int_equal(call.number, 13);
    CALL_OK(&w, &call, "GET", "none");
    assert_int_equal(call.type, REDIS_NIL);
    CALL_OK(&w, &call, "MGET", "k", "none");
    assert_int_equal(call.type, REDIS_LIST);
    assert_int_equal(start(&w, &call, "INCR", "a", "b", NULL), ST_OK);
    EXPECT(&w, call.runs, 5000);
    assert_int_equal(call.status, ST_INTERNAL);
    assert_int_equal(call.type, REDIS_ERROR);
    redis_args_reset(&w.args);
    assert_int_equal(redis_command(w.redis, &w.args, on_call, &call), ST_INVALID);
    world_close(&w);
    server_free(&s);
}

static void on_nested(void *arg, enum status status, const struct redis_reply *reply)
{
    const struct redis_reply *inner = redis_reply_at(reply, 1);
    bool *seen = arg;
    assert_int_equal(status, ST_OK);
    assert_int_equal(redis_reply_count(reply), 3);
    assert_int_equal(redis_reply_count(inner), 2);
    assert_string_equal(redis_reply_str(redis_reply_at(inner, 1), NULL), "b");
    assert_null(redis_reply_at(reply, 3));
    assert_null(redis_reply_at(redis_reply_at(reply, 0), 0));
    assert_null(redis_reply_str(NULL, NULL));
    assert_int_equal(redis_reply_type(redis_reply_at(reply, 2)), REDIS_NIL);
    *seen = true;
}

static void test_nested_reply(void **state)
{
    (void)state;
    struct server s;
    struct world w;
    bool seen = false;
    server_new(&s, 0, NULL);
    world_open(&w);
    client_up(&w, s.url);
    redis_args_add(&w.args, "EVAL");
    redis_args_add(&w.args, "return {1, {'a', 'b'}, false}");
    redis_args_add_int(&w.args, 0);
    assert_int_equal(redis_command(w.redis, &w.args, on_nested, &seen), ST_OK);
    EXPECT(&w, seen, 5000);
    world_close(&w);
    server_free(&s);
}

static void test_replies_come_in_order(void **state)
{
    (void)state;
    struct server s;
    struct world w;
    static struct call calls[500];
    server_new(&s, 0, NULL);
    world_open(&w);
    client_up(&w, s.url);
    for (int i = 0; i < 500; i++)
        assert_int_equal(start(&w, &calls[i], "INCR", "n", NULL), ST_OK);
    EXPECT(&w, calls[499].runs, 5000);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(calls[i].runs, 1);
        assert_int_equal(calls[i].number, i + 1);
    }
    world_close(&w);
    server_free(&s);
}

/* More than the buffers of both sockets take: each side reads while it cannot write. */
static void test_much_in_both_directions(void **state)
{
    (void)state;
    struct server s;
    struct world w;
    static struct call calls[40];
    const size_t len = 1000003;
    char *text = malloc(len + 1);
    assert_non_null(text);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + i * 7 % 26);
    text[len] = '\0';
    server_new(&s, 0, NULL);
    world_open(&w);
    assert_int_equal(client_open(&w, s.url, 10000, NULL, 0), ST_OK);
    EXPECT(&w, redis_up(w.redis), 5000);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 40; i++)
            assert_int_equal(start(&w, &calls[i], "ECHO", text, NULL), ST_OK);
        EXPECT(&w, calls[39].runs, 20000);
        for (int i = 0; i < 40; i++) {
            assert_int_equal(calls[i].runs, 1);
            assert_int_equal(calls[i].status, ST_OK);
            assert_memory_equal(calls[i].text, text, sizeof(calls[i].text) - 1);
        }
        CALL_OK(&w, &calls[0], "SET", "much", text);
        CALL_OK(&w, &calls[0], "STRLEN", "much");
        assert_int_equal(calls[0].number, len);
    }
    assert_int_equal(w.downs, 0);
    world_close(&w);
    server_free(&s);
    free(text);
}

static void test_too_many_in_flight(void **state)
{
    (void)state;
    struct server s;
    struct world w;
    static struct call calls[10001];
    server_new(&s, 0, NULL);
    world_open(&w);
    client_up(&w, s.url);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(start(&w, &calls[i], "PING", NULL), ST_OK);
    assert_int_equal(start(&w, &calls[10000], "PING", NULL), ST_FULL);
    EXPECT(&w, calls[9999].runs, 5000);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(calls[i].runs, 1);
    assert_int_equal(calls[10000].runs, 0);
    CALL_OK(&w, &calls[0], "PING");
    world_close(&w);
    server_free(&s);
}

/* ---- scripts ---- */

static const char sum_body[] =
    "return {KEYS[1], tonumber(ARGV[1]) + tonumber(ARGV[2]), #KEYS, #ARGV}";

static void on_sum(void *arg, enum status status, const struct redis_reply *reply)
{
    struct call *call = arg;
    on_call(arg, status, reply);
    call->number = redis_reply_int(redis_reply_at(reply, 1));
    assert_true(status != ST_OK || redis_reply_int(redis_reply_at(reply, 3)) == 2);
}

static enum status start_sum(struct world *w, struct call *call, struct redis_script *script, int a,
                             int b)
{
    redis_args_reset(&w->args);
    redis_args_add(&w->args, "key");
    redis_args_add_int(&w->args, a);
    redis_args_add_uint(&w->args, (uint64_t)b);
    memset(call, 0, sizeof(*call));
    call->world = w;
    return redis_eval(w->redis, script, 1, &w->args, on_sum, call);
}

static void test_script_lost_is_sent_again(void **state)
{
    (void)state;
    struct server s;
    struct world w;
    struct call call, flush, calls[20];
    struct redis_script script;
    struct redis_script *const list[] = {&script};
    server_new(&s, 0, NULL);
    world_open(&w);
    redis_script_init(&script, "sum", sum_body, strlen(sum_body));
    assert_int_equal(client_open(&w, s.url, TIMEOUT_MS, list, 1), ST_OK);
    EXPECT(&w, redis_up(w.redis), 5000);
    CALL_OK(&w, &call, "SCRIPT", "EXISTS", script.sha); /* loaded before the client is up */
    assert_int_equal(start_sum(&w, &call, &script, 40, 2), ST_OK);
    EXPECT(&w, call.runs, 5000);
    assert_int_equal(call.number, 42);
    /* pipelined behind a flush: all but the first few retry, in any mix */
    assert_int_equal(start(&w, &flush, "SCRIPT", "FLUSH", NULL), ST_OK);
    for (int i = 0; i < 20; i++)
        assert_int_equal(start_sum(&w, &calls[i], &script, i, 1), ST_OK);
    EXPECT(&w, calls[19].runs, 5000);
    for (int i = 0; i < 20; i++) {
        EXPECT(&w, calls[i].runs == 1, 5000);
        assert_int_equal(calls[i].status, ST_OK);
        assert_int_equal(calls[i].number, i + 1);
    }
    redis_args_reset(&w.args);
    assert_int_equal(redis_eval(w.redis, &script, 1, &w.args, on_sum, &call), ST_INVALID);
    world_close(&w);
    server_free(&s);
}

static void test_error_inside_a_script(void **state)
{
    (void)state;
    struct server s;
    struct world w;
    struct call call;
    server_new(&s, 0, NULL);
    world_open(&w);
    client_up(&w, s.url);
    assert_int_equal(start(&w, &call, "EVAL", "return redis.call('INCR')", "0", NULL), ST_OK);
    EXPECT(&w, call.runs, 5000);
    assert_int_equal(call.status, ST_INTERNAL);
    CALL_OK(&w, &call, "CONFIG", "SET", "maxmemory", "1");
    assert_int_equal(
        start(&w, &call, "EVAL", "return redis.call('SET', KEYS[1], '1')", "1", "k", NULL), ST_OK);
    EXPECT(&w, call.runs, 5000);
    assert_int_equal(call.status, ST_UNAVAILABLE); /* OOM */
    assert_true(redis_up(w.redis));
    world_close(&w);
    server_free(&s);
}

/* ---- Redis is lost and comes back ---- */

static void test_refused_then_connected(void **state)
{
    (void)state;
    struct server s;
    struct world w;
    struct call call;
    uint16_t port = free_port();
    char url[64];
    world_open(&w);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%u", port);
    assert_int_equal(client_open(&w, url, TIMEOUT_MS, NULL, 0), ST_OK);
    assert_int_equal(start(&w, &call, "PING", NULL), ST_UNAVAILABLE);
    TURN_UNTIL(&w, false, 400); /* several attempts */
    assert_false(redis_up(w.redis));
    assert_int_equal(start(&w, &call, "PING", NULL), ST_UNAVAILABLE);
    assert_int_equal(call.runs, 0);
    assert_int_equal(w.ups + w.downs, 0);
    server_new(&s, port, NULL);
    EXPECT(&w, redis_up(w.redis), 3000);
    assert_int_equal(w.ups, 1);
    CALL_OK(&w, &call, "PING");
    world_close(&w);
    server_free(&s);
}

static void test_killed_and_restarted(void **state)
{
    (void)state;
    struct server s;
    struct world w;
    struct call call, calls[10];
    struct redis_script script;
    struct redis_script *const list[] = {&script};
    server_new(&s, free_port(), NULL);
    world_open(&w);
    redis_script_init(&script, "sum", sum_body, strlen(sum_body));
    assert_int_equal(client_open(&w, s.url, 3000, list, 1), ST_OK);
    EXPECT(&w, redis_up(w.redis), 5000);
    kill(s.pid, SIGSTOP); /* so that the commands are in flight when it dies */
    for (int i = 0; i < 10; i++)
        assert_int_equal(start(&w, &calls[i], "PING", NULL), ST_OK);
    TURN_UNTIL(&w, false, 20);
    server_kill(&s);
    EXPECT(&w, calls[9].runs, 5000);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(calls[i].runs, 1);
        assert_int_equal(calls[i].status, ST_UNAVAILABLE);
    }
    assert_false(redis_up(w.redis));
    assert_int_equal(w.downs, 1);
    server_start(&s);
    EXPECT(&w, redis_up(w.redis), 3000);
    assert_int_equal(start_sum(&w, &call, &script, 1, 2), ST_OK);
    EXPECT(&w, call.runs, 5000);
    assert_int_equal(call.number, 3);
    for (int i = 0; i < 10; i++)
        assert_int_equal(calls[i].runs, 1);
    world_close(&w);
    server_free(&s);
}

static void test_stopped_times_out_and_comes_back(void **state)
{
    (void)state;
    struct server s;
    struct world w;
    struct call call, calls[5];
    server_new(&s, free_port(), NULL);
    world_open(&w);
    client_up(&w, s.url);
    kill(s.pid, SIGSTOP);
    uint64_t start_ms = turn_now_ms(w.loop);
    for (int i = 0; i < 5; i++)
        assert_int_equal(start(&w, &calls[i], "PING", NULL), ST_OK);
    EXPECT(&w, calls[4].runs, TIMEOUT_MS + 2000);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(calls[i].runs, 1);
        assert_true(calls[i].status == ST_TIMEOUT || calls[i].status == ST_UNAVAILABLE);
        assert_true(calls[i].at_ms >= start_ms + TIMEOUT_MS - 5);
        assert_true(calls[i].at_ms <= start_ms + TIMEOUT_MS + 1000);
    }
    assert_int_equal(calls[0].status, ST_TIMEOUT);
    assert_false(redis_up(w.redis));
    /* The kernel accepts connections for a stopped Redis: that must not count as up. */
    TURN_UNTIL(&w, false, 1200);
    assert_int_equal(w.ups, 1);
    assert_int_equal(start(&w, &call, "PING", NULL), ST_UNAVAILABLE);
    kill(s.pid, SIGCONT);
    EXPECT(&w, redis_up(w.redis), 5000);
    CALL_OK(&w, &call, "PING");
    for (int i = 0; i < 5; i++)
        assert_int_equal(calls[i].runs, 1);
    world_close(&w);
    server_free(&s);
}

static void test_idle_connection_notices_a_silent_redis(void **state)
{
    (void)state;
    struct server s;
    struct world w;
    server_new(&s, 0, NULL);
    world_open(&w);
    client_up(&w, s.url);
    TURN_UNTIL(&w, false, 3 * TIMEOUT_MS);
    assert_int_equal(w.downs, 0);
    kill(s.pid, SIGSTOP);
    EXPECT(&w, !redis_up(w.redis), 3 * TIMEOUT_MS + 2000);
    kill(s.pid, SIGCONT);
    EXPECT(&w, redis_up(w.redis), 5000);
    world_close(&w);
    server_free(&s);
}

static void test_a_pause_of_the_process_is_no_timeout(void **state)
{
    (void)state;
    struct server s;
    struct world w;
    struct call call;
    server_new(&s, 0, NULL);
    world_open(&w);
    client_up(&w, s.url);
    assert_int_equal(start(&w, &call, "PING", NULL), ST_OK);
    uv_run(loop_uv(w.loop), UV_RUN_NOWAIT); /* sends it */
    block_ms(2 * TIMEOUT_MS);
    EXPECT(&w, call.runs, 5000);
    assert_int_equal(call.status, ST_OK);
    assert_int_equal(w.downs, 0);
    world_close(&w);
    server_free(&s);
}

static void test_replica_is_dropped(void **state)
{
    (void)state;
    struct server s;
    struct world w;
    struct call call;
    server_new(&s, 0, NULL);
    world_open(&w);
    client_up(&w, s.url);
    admin(&w, &s, "REPLICAOF", "127.0.0.1", "1");
    assert_int_equal(start(&w, &call, "SET", "k", "1", NULL), ST_OK);
    EXPECT(&w, call.runs, 5000);
    assert_int_equal(call.status, ST_UNAVAILABLE);
    assert_int_equal(call.type, REDIS_NIL);
    assert_int_equal(w.downs, 1); /* another connection may reach the master */
    admin(&w, &s, "REPLICAOF", "NO", "ONE");
    EXPECT(&w, redis_up(w.redis), 5000);
    CALL_OK(&w, &call, "SET", "k", "1");
    world_close(&w);
    server_free(&s);
}

static void test_login_and_database(void **state)
{
    (void)state;
    struct server s;
    struct world w;
    struct call call;
    char url[160];
    server_new(&s, free_port(), "s3:cr@t");
    world_open(&w);
    snprintf(url, sizeof(url), "redis://:wrong@127.0.0.1:%u", s.port);
    assert_int_equal(client_open(&w, url, TIMEOUT_MS, NULL, 0), ST_OK);
    TURN_UNTIL(&w, false, 500);
    assert_false(redis_up(w.redis));
    client_close(&w);
    snprintf(url, sizeof(url), "redis://default:s3%%3acr%%40t@localhost:%u/3", s.port);
    assert_int_equal(client_open(&w, url, TIMEOUT_MS, NULL, 0), ST_OK);
    EXPECT(&w, redis_up(w.redis), 5000);
    CALL_OK(&w, &call, "CLIENT", "INFO");
    CALL_OK(&w, &call, "EVAL", "redis.call('SET', 'x', '1') return redis.call('DBSIZE')", "0");
    client_close(&w);
    snprintf(url, sizeof(url), "unix://:s3%%3acr%%40t@%s/redis.sock?db=3", s.dir);
    assert_int_equal(client_open(&w, url, TIMEOUT_MS, NULL, 0), ST_OK);
    EXPECT(&w, redis_up(w.redis), 5000);
    CALL_OK(&w, &call, "GET", "x"); /* the same database over TCP and over the socket */
    assert_string_equal(call.text, "1");
    world_close(&w);
    server_free(&s);
}

static void test_bad_urls(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    assert_int_equal(client_open(&w, "http://127.0.0.1", 100, NULL, 0), ST_INVALID);
    assert_int_equal(client_open(&w, NULL, 100, NULL, 0), ST_INVALID);
    w.redis = NULL;
    assert_int_equal(client_open(&w, "redis://no.such.host.invalid", 100, NULL, 0), ST_OK);
    TURN_UNTIL(&w, false, 300);
    assert_false(redis_up(w.redis));
    client_close(&w);
    assert_int_equal(client_open(&w, "unix:///nowhere/at/all.sock", 100, NULL, 0), ST_OK);
    TURN_UNTIL(&w, false, 150);
    assert_false(redis_up(w.redis));
    world_close(&w);
}

/* ---- closing ---- */

static void test_close_ends_what_is_pending(void **state)
{
    (void)state;
    struct server s;
    struct world w;
    struct call calls[10];
    server_new(&s, 0, NULL);
    world_open(&w);
    client_up(&w, s.url);
    for (int i = 0; i < 10; i++)
        assert_int_equal(start(&w, &calls[i], "PING", NULL), ST_OK);
    redis_close(w.redis, on_closed, &w);
    w.redis = NULL;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(calls[i].runs, 1);
        assert_int_equal(calls[i].status, ST_UNAVAILABLE);
    }
    EXPECT(&w, w.closed, 5000);
    assert_int_equal(w.downs, 0);
    world_close(&w);
    server_free(&s);
}

/* From the callback of a reply, and from one that a lost connection runs. */
static void close_from_callback(bool kill_it)
{
    struct server s;
    struct world w;
    struct call calls[10];
    server_new(&s, 0, NULL);
    world_open(&w);
    client_up(&w, s.url);
    if (kill_it)
        kill(s.pid, SIGSTOP);
    for (int i = 0; i < 10; i++)
        assert_int_equal(start(&w, &calls[i], "PING", NULL), ST_OK);
    w.close_in_callback = true;
    TURN_UNTIL(&w, false, 10);
    if (kill_it)
        server_kill(&s);
    EXPECT(&w, w.closed, 5000);
    for (int i = 0; i < 10; i++)
        assert_int_equal(calls[i].runs, 1);
    world_close(&w);
    server_free(&s);
}

static void test_close_from_a_callback(void **state)
{
    (void)state;
    close_from_callback(false);
    close_from_callback(true);
}

/* ---- a fake server: answers each command with the next of a list of texts ---- */

struct fake {
    struct world *world;
    int listener, conn;
    struct loop_watch *accepts, *reads;
    const char *const *answers; /* up to a NULL; then "+OK" forever */
    int connections;
    bool silent;
    char url[64];
};

static void fake_drop(struct fake *f)
{
    loop_watch_close(f->reads);
    f->reads = NULL;
    if (f->conn >= 0)
        close(f->conn);
    f->conn = -1;
}

static void fake_read(void *arg, int events)
{
    struct fake *f = arg;
    char text[4096];
    (void)events;
    ssize_t n = read(f->conn, text, sizeof(text));
    if (n <= 0) {
        fake_drop(f);
        return;
    }
    for (ssize_t i = 0; i < n && !f->silent; i++) {
        if (text[i] != '*') /* no argument of these tests has one */
            continue;
        const char *answer = *f->answers ? *f->answers++ : "+OK\r\n";
        assert_int_equal(write(f->conn, answer, strlen(answer)), (ssize_t)strlen(answer));
    }
}

static void fake_accept(void *arg, int events)
{
    struct fake *f = arg;
    (void)events;
    fake_drop(f);
    f->conn = accept(f->listener, NULL, NULL);
    if (f->conn < 0)
        return;
    f->connections++;
    f->reads = loop_watch_new(f->world->loop, f->conn, fake_read, f);
    loop_watch_set(f->reads, LOOP_READ);
}

static void fake_open(struct fake *f, struct world *w, const char *const *answers)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(addr);
    memset(f, 0, sizeof(*f));
    f->world = w;
    f->conn = -1;
    f->answers = answers;
    f->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&addr, size), 0);
    assert_int_equal(listen(f->listener, 16), 0);
    assert_int_equal(getsockname(f->listener, (struct sockaddr *)&addr, &size), 0);
    snprintf(f->url, sizeof(f->url), "redis://127.0.0.1:%u", ntohs(addr.sin_port));
    f->accepts = loop_watch_new(w->loop, f->listener, fake_accept, f);
    loop_watch_set(f->accepts, LOOP_READ);
}

static void fake_close(struct fake *f)
{
    fake_drop(f);
    loop_watch_close(f->accepts);
    close(f->listener);
}

static void test_loading_is_not_up(void **state)
{
    (void)state;
    struct world w;
    struct fake f;
    struct call call;
    const char *const answers[] = {"-LOADING Redis is loading the dataset in memory\r\n",
                                   "-BUSY Redis is busy running a script.\r\n",
                                   "+PONG\r\n",
                                   "-MASTERDOWN Link with MASTER is down\r\n",
                                   "-ERR Error running script (call to f_1): @user_script:1: -OOM "
                                   "command not allowed\r\n",
                                   "-LOADINGLY wrong\r\n",
                                   "-NOAUTH Authentication required.\r\n",
                                   NULL};
    world_open(&w);
    fake_open(&f, &w, answers);
    assert_int_equal(client_open(&w, f.url, TIMEOUT_MS, NULL, 0), ST_OK);
    EXPECT(&w, redis_up(w.redis), 3000);
    assert_int_equal(f.connections, 3); /* two refusals, each a new connection */
    static const enum status expected[] = {ST_UNAVAILABLE, ST_UNAVAILABLE, ST_INTERNAL,
                                           ST_UNAVAILABLE};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(start(&w, &call, "GET", "x", NULL), ST_OK);
        EXPECT(&w, call.runs, 5000);
        assert_int_equal(call.status, expected[i]);
        assert_int_equal(redis_up(w.redis), i < 3); /* the last one drops the connection */
    }
    EXPECT(&w, redis_up(w.redis), 5000);
    fake_close(&f);
    world_close(&w);
}

static void test_server_that_is_silent_garbled_or_unsolicited(void **state)
{
    (void)state;
    struct world w;
    struct fake f;
    struct call call;
    const char *const answers[] = {"+PONG\r\n", "?what is this\r\n", "+PONG\r\n", "*1000000000\r\n",
                                   "+PONG\r\n", "+one\r\n+two\r\n",  NULL};
    world_open(&w);
    fake_open(&f, &w, answers);
    f.silent = true;
    assert_int_equal(client_open(&w, f.url, 100, NULL, 0), ST_OK);
    EXPECT(&w, f.connections >= 3, 3000); /* each attempt ends at its deadline */
    assert_false(redis_up(w.redis));
    f.silent = false;
    EXPECT(&w, redis_up(w.redis), 5000);
    for (int i = 0; i < 2;
         i++) { /* no reply, and a list whose length alone would take the memory */
        assert_int_equal(start(&w, &call, "GET", "x", NULL), ST_OK);
        EXPECT(&w, call.runs, 5000);
        assert_int_equal(call.status, ST_UNAVAILABLE);
        EXPECT(&w, redis_up(w.redis), 5000);
    }
    CALL_OK(&w, &call, "GET", "x");
    assert_string_equal(call.text, "one");
    EXPECT(&w, w.downs == 3, 5000); /* a reply without a command */
    EXPECT(&w, redis_up(w.redis), 5000);
    fake_close(&f);
    world_close(&w);
}

/* ---- subscriptions ---- */

static void on_message(void *arg, const char *data, size_t len)
{
    struct world *w = arg;
    assert_true(w->sub_ups > w->sub_downs);
    w->messages++;
    snprintf(w->message, sizeof(w->message), "%.*s", (int)len, data);
    if (w->close_in_callback && w->sub) {
        struct redis_sub *sub = w->sub;
        w->sub = NULL;
        redis_sub_close(sub, on_closed, w);
    }
}

static void on_sub_state(void *arg, bool up)
{
    struct world *w = arg;
    if (up)
        w->sub_ups++;
    else
        w->sub_downs++;
}

static void sub_open(struct world *w, const char *url, int64_t timeout_ms)
{
    struct redis_sub_opts opts = {.loop = w->loop,
                                  .server.url = url,
                                  .server.tls_ca = over_tls ? tls_cert : NULL,
                                  .channel = "news",
                                  .timeout_ms = timeout_ms,
                                  .on_message = on_message,
                                  .on_state = on_sub_state,
                                  .arg = w};
    assert_int_equal(redis_sub_open(&opts, &w->sub), ST_OK);
    EXPECT(w, w->sub_ups == 1, 5000);
}

static void sub_close(struct world *w)
{
    w->closed = false;
    redis_sub_close(w->sub, on_closed, w);
    w->sub = NULL;
    EXPECT(w, w->closed, 5000);
}

static void publish(struct world *w, const char *text)
{
    struct call call;
    int before = w->messages;
    CALL_OK(w, &call, "PUBLISH", "news", text);
    assert_int_equal(call.number, 1); /* one subscriber: never subscribed twice */
    EXPECT(w, w->messages == before + 1, 5000);
    assert_string_equal(w->message, text);
}

static void test_subscription_survives_everything(void **state)
{
    (void)state;
    struct server s;
    struct world w;
    server_new(&s, free_port(), NULL);
    world_open(&w);
    client_up(&w, s.url);
    sub_open(&w, s.url, 300);
    publish(&w, "one");
    TURN_UNTIL(&w, false, 1000); /* only pings: it stays up */
    assert_int_equal(w.sub_downs, 0);
    publish(&w, "two");
    kill(s.pid, SIGSTOP);
    EXPECT(&w, w.sub_downs == 1, 3000);
    TURN_UNTIL(&w, false, 700);
    assert_int_equal(w.sub_ups, 1);
    kill(s.pid, SIGCONT);
    EXPECT(&w, w.sub_ups == 2 && redis_up(w.redis), 5000);
    publish(&w, "three");
    server_kill(&s);
    EXPECT(&w, w.sub_downs == 2, 3000);
    server_start(&s);
    EXPECT(&w, w.sub_ups == 3 && redis_up(w.redis), 3000);
    publish(&w, "four");
    sub_close(&w);
    assert_int_equal(w.sub_downs, 2);
    world_close(&w);
    server_free(&s);
}

static void test_subscription_closed_from_a_message(void **state)
{
    (void)state;
    struct server s;
    struct world w;
    struct call calls[3];
    server_new(&s, 0, NULL);
    world_open(&w);
    client_up(&w, s.url);
    sub_open(&w, s.url, 300);
    w.close_in_callback = true;
    struct redis *redis = w.redis; /* on_call must not close it */
    for (int i = 0; i < 3; i++)
        assert_int_equal(start(&w, &calls[i], "PUBLISH", "news", "x", NULL), ST_OK);
    w.redis = NULL;
    EXPECT(&w, w.closed, 5000);
    assert_int_equal(w.messages, 1);
    w.redis = redis;
    w.close_in_callback = false;
    EXPECT(&w, calls[2].runs, 5000);
    world_close(&w);
    server_free(&s);
}

/* ---- TLS ---- */

static int make_certificate(void **state)
{
    (void)state;
    char command[512];
    snprintf(tls_dir, sizeof(tls_dir), "/tmp/tiketi-test-tls-XXXXXX");
    assert_non_null(mkdtemp(tls_dir));
    snprintf(tls_cert, sizeof(tls_cert), "%s/cert.pem", tls_dir);
    snprintf(tls_key, sizeof(tls_key), "%s/key.pem", tls_dir);
    snprintf(command, sizeof(command),
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
             "-subj /CN=redis -addext subjectAltName=IP:127.0.0.1 -keyout %s -out %s 2>/dev/null",
             tls_key, tls_cert);
    over_tls = system(command) == 0; /* NOLINT(cert-env33-c): the command is ours */
    return over_tls ? 0 : -1;
}

static int remove_certificate(void **state)
{
    (void)state;
    over_tls = false;
    unlink(tls_cert);
    unlink(tls_key);
    return rmdir(tls_dir);
}

static void test_files_that_cannot_be_used(void **state)
{
    (void)state;
    static const struct {
        const char *ca, *cert, *key, *problem;
    } cases[] = {
        {"/nowhere/ca.pem", NULL, NULL, "REDIS_TLS_CA: /nowhere/ca.pem cannot be read"},
        {tls_key, NULL, NULL, "REDIS_TLS_CA: "},
        {tls_cert, "/nowhere/cert.pem", tls_key, "REDIS_TLS_CERT: /nowhere/cert.pem cannot be"},
        {tls_cert, tls_cert, "/nowhere/key.pem", "REDIS_TLS_KEY: /nowhere/key.pem cannot be"},
        {tls_cert, tls_cert, tls_cert, "REDIS_TLS_KEY: "},
    };
    char problem[400];
    struct redis_server server = {.url = "rediss://127.0.0.1", .tls_ca = tls_cert};
    assert_true(redis_server_check(&server, problem, sizeof(problem)));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        server.tls_ca = cases[i].ca;
        server.tls_cert = cases[i].cert;
        server.tls_key = cases[i].key;
        assert_false(redis_server_check(&server, problem, sizeof(problem)));
        assert_int_equal(strncmp(problem, cases[i].problem, strlen(cases[i].problem)), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_nested_reply),
        cmocka_unit_test(test_replies_come_in_order),
        cmocka_unit_test(test_much_in_both_directions),
        cmocka_unit_test(test_too_many_in_flight),
        cmocka_unit_test(test_script_lost_is_sent_again),
        cmocka_unit_test(test_error_inside_a_script),
        cmocka_unit_test(test_refused_then_connected),
        cmocka_unit_test(test_killed_and_restarted),
        cmocka_unit_test(test_stopped_times_out_and_comes_back),
        cmocka_unit_test(test_idle_connection_notices_a_silent_redis),
        cmocka_unit_test(test_a_pause_of_the_process_is_no_timeout),
        cmocka_unit_test(test_replica_is_dropped),
        cmocka_unit_test(test_login_and_database),
        cmocka_unit_test(test_bad_urls),
        cmocka_unit_test(test_close_ends_what_is_pending),
        cmocka_unit_test(test_close_from_a_callback),
        cmocka_unit_test(test_loading_is_not_up),
        cmocka_unit_test(test_server_that_is_silent_garbled_or_unsolicited),
        cmocka_unit_test(test_subscription_survives_everything),
        cmocka_unit_test(test_subscription_closed_from_a_message),
    };
    const struct CMUnitTest tls_tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_nested_reply),
        cmocka_unit_test(test_replies_come_in_order),
        cmocka_unit_test(test_much_in_both_directions),
        cmocka_unit_test(test_too_many_in_flight),
        cmocka_unit_test(test_killed_and_restarted),
        cmocka_unit_test(test_close_ends_what_is_pending),
        cmocka_unit_test(test_close_from_a_callback),
        cmocka_unit_test(test_subscription_closed_from_a_message),
        cmocka_unit_test(test_files_that_cannot_be_used),
    };
    signal(SIGPIPE, SIG_IGN);
    const int failed = cmocka_run_group_tests_name("redis", tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("redis over TLS", tls_tests, make_certificate,
                                                remove_certificate);
}
