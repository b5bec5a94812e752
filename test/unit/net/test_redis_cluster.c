/* SPDX-License-Identifier: MIT */
/*
 * redis in front of a cluster: two fake nodes that say whatever the test wants. What a real cluster does is in
 * test/integration/redis_cluster.test.mjs.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "../base/block.h"
#include "net/redis.h"

#define TIMEOUT_MS 600
#define CONNS      4
#define CALLS      5

/* ---- a fake node: replies by the name of the command; "" stands for no reply, to the later commands as well ---- */

struct node;

struct conn {
    struct node *node;
    int fd; /* -1: free */
    struct loop_watch *reads;
    bool stuck;
};

struct node {
    struct loop *loop;
    int listener, port;
    struct loop_watch *accepts;
    struct conn conns[CONNS];
    int connections, gets;
    int again;               /* so many GETs more are told to come again */
    const char *slots, *get; /* replies to CLUSTER SLOTS and GET */
};

static void conn_drop(struct conn *conn)
{
    if (conn->fd < 0)
        return;
    loop_watch_close(conn->reads);
    close(conn->fd);
    conn->fd = -1;
}

static const char *reply_to(struct node *node, const char *name)
{
    if (strncmp(name, "PING", 4) == 0)
        return "+PONG\r\n";
    if (strncmp(name, "CLUSTER", 7) == 0)
        return node->slots;
    if (strncmp(name, "GET", 3) != 0)
        return "+OK\r\n";
    node->gets++;
    if (node->again > 0) {
        node->again--;
        return "-TRYAGAIN Multiple keys request during rehashing of slot\r\n";
    }
    return node->get;
}

static void conn_read(void *arg, int events)
{
    struct conn *conn = arg;
    char text[4096];
    (void)events;
    const ssize_t n = read(conn->fd, text, sizeof(text) - 1);
    if (n <= 0) {
        conn_drop(conn);
        return;
    }
    text[n] = '\0';
    for (const char *at = text; (at = strchr(at, '*')); at++) { /* no argument has one */
        const char *line = strchr(at, '\n'), *name = line ? strchr(line + 1, '\n') : NULL;
        const char *reply = name && !conn->stuck ? reply_to(conn->node, name + 1) : "";
        conn->stuck = *reply == '\0';
        assert_int_equal(write(conn->fd, reply, strlen(reply)), (ssize_t)strlen(reply));
    }
}

static void node_accept(void *arg, int events)
{
    struct node *node = arg;
    struct conn *conn = node->conns;
    (void)events;
    const int fd = accept(node->listener, NULL, NULL);
    while (conn < node->conns + CONNS && conn->fd >= 0)
        conn++;
    assert_true(fd >= 0 && conn < node->conns + CONNS);
    node->connections++;
    conn->node = node;
    conn->fd = fd;
    conn->stuck = false;
    conn->reads = loop_watch_new(node->loop, fd, conn_read, conn);
    loop_watch_set(conn->reads, LOOP_READ);
}

static void node_open(struct node *node, struct loop *loop)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    *node = (struct node){.loop = loop, .slots = "-ERR no map\r\n", .get = "+here\r\n"};
    for (int i = 0; i < CONNS; i++)
        node->conns[i].fd = -1;
    node->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(node->listener, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(node->listener, 16), 0);
    assert_int_equal(getsockname(node->listener, (struct sockaddr *)&at, &size), 0);
    node->port = ntohs(at.sin_port);
    node->accepts = loop_watch_new(loop, node->listener, node_accept, node);
    loop_watch_set(node->accepts, LOOP_READ);
}

static void node_close(struct node *node)
{
    for (int i = 0; i < CONNS; i++)
        conn_drop(&node->conns[i]);
    loop_watch_close(node->accepts);
    close(node->listener);
}

/* ---- the world of a test: a loop that is run turn by turn, two nodes, and a client ---- */

struct world;

struct call {
    struct world *world;
    int runs;
    enum status status;
    uint64_t at_ms;
};

struct world {
    struct loop *loop;
    struct loop_timer *tick; /* keeps every turn short */
    struct node a, b;
    char map[256], moved[64];
    struct redis *redis;
    struct call calls[CALLS];
    bool close_in_callback, closed;
};

static void on_tick(void *arg)
{
    struct world *w = arg;
    loop_timer_set(w->tick, 5);
}

static uint64_t now_ms(const struct world *w)
{
    uv_update_time(loop_uv(w->loop));
    return loop_now_ms(w->loop);
}

/* Runs the loop until the condition holds, or for so long. */
#define PUMP(w, condition, ms)                                                                     \
    do {                                                                                           \
        const uint64_t pump_end = now_ms(w) + (ms);                                                \
        while (!(condition) && now_ms(w) < pump_end)                                               \
            uv_run(loop_uv((w)->loop), UV_RUN_ONCE);                                               \
    } while (0)

static void world_open(struct world *w)
{
    memset(w, 0, sizeof(*w));
    w->loop = loop_new();
    assert_non_null(w->loop);
    w->tick = loop_timer_new(w->loop, on_tick, w);
    loop_timer_set(w->tick, 5);
    node_open(&w->a, w->loop);
    node_open(&w->b, w->loop);
}

/* The first node has the slots up to `last`, the second one the others. */
static void map_write(struct world *w, int last)
{
    static const char range[] = "*3\r\n:%d\r\n:%d\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n";
    int len = snprintf(w->map, sizeof(w->map), "*%d\r\n", last < 16383 ? 2 : 1);
    len += snprintf(w->map + len, sizeof(w->map) - (size_t)len, range, 0, last, w->a.port);
    if (last < 16383)
        snprintf(w->map + len, sizeof(w->map) - (size_t)len, range, last + 1, 16383, w->b.port);
    w->a.slots = w->map;
}

static void client_open(struct world *w)
{
    char url[96];
    snprintf(url, sizeof(url), "redis+cluster://127.0.0.1:%d,127.0.0.1:%d", w->a.port, w->b.port);
    const struct redis_opts opts = {.loop = w->loop, .server.url = url, .timeout_ms = TIMEOUT_MS};
    assert_int_equal(redis_open(&opts, &w->redis), ST_OK);
    PUMP(w, redis_whole(w->redis), 5000);
    assert_true(redis_whole(w->redis));
}

static void on_closed(void *arg)
{
    ((struct world *)arg)->closed = true;
}

static void client_close(struct world *w)
{
    struct redis *redis = w->redis;
    w->redis = NULL;
    w->closed = false;
    redis_close(redis, on_closed, w);
}

static void world_close(struct world *w)
{
    if (w->redis)
        client_close(w);
    PUMP(w, w->closed, 5000);
    assert_true(w->closed);
    node_close(&w->a);
    node_close(&w->b);
    loop_timer_close(w->tick);
    loop_stop(w->loop);
    loop_run(w->loop);
    loop_free(w->loop);
}

static void on_call(void *arg, enum status status, const struct redis_reply *reply)
{
    struct call *call = arg;
    struct world *w = call->world;
    (void)reply;
    call->runs++;
    call->status = status;
    call->at_ms = loop_now_ms(w->loop);
    if (!w->close_in_callback || !w->redis)
        return;
    client_close(w);
    for (int i = 0; i < CALLS; i++) /* all have run before redis_close returns */
        assert_int_equal(w->calls[i].runs, 1);
}

static void call_start(struct world *w, int i)
{
    struct redis_args args;
    redis_args_init(&args);
    redis_args_add(&args, "GET");
    redis_args_add(&args, "x"); /* slot 16287 */
    w->calls[i] = (struct call){.world = w};
    assert_int_equal(redis_command(w->redis, &args, on_call, &w->calls[i]), ST_OK);
    assert_int_equal(w->calls[i].runs, 0);
    redis_args_clear(&args);
}

/* ---- tests ---- */

/* The second node is connected and idle: its next look at deadlines is later than that of the command. */
static void test_a_command_that_moved_keeps_its_deadline(void **state)
{
    struct world w;
    (void)state;
    world_open(&w);
    map_write(&w, 16382);
    client_open(&w);
    w.a.get = w.b.get = "";
    PUMP(&w, false, TIMEOUT_MS * 2 / 5);
    const uint64_t began = now_ms(&w);
    call_start(&w, 0);
    PUMP(&w, false, TIMEOUT_MS * 7 / 10); /* more than a quarter of its time is left */
    snprintf(w.moved, sizeof(w.moved), "-MOVED 16287 127.0.0.1:%d\r\n", w.b.port);
    for (int i = 0; i < CONNS; i++)
        if (w.a.conns[i].fd >= 0 && w.a.conns[i].stuck)
            assert_true(write(w.a.conns[i].fd, w.moved, strlen(w.moved)) > 0);
    PUMP(&w, w.calls[0].runs, 5000);
    assert_int_equal(w.calls[0].runs, 1);
    assert_int_not_equal(w.calls[0].status, ST_OK);
    assert_true(w.calls[0].at_ms - began < TIMEOUT_MS * 3 / 2);
    world_close(&w);
}

/* A slot moves to a node that is new: until it has come, ASK leads there, for longer than a node without slots is kept. */
static void test_a_node_is_kept_while_ask_leads_there(void **state)
{
    struct world w;
    char ask[64];
    (void)state;
    world_open(&w);
    map_write(&w, 16383);
    client_open(&w);
    snprintf(ask, sizeof(ask), "-ASK 16287 127.0.0.1:%d\r\n", w.b.port);
    w.a.get = ask;
    const int before = w.b.connections;
    for (int i = 0; i < 12; i++) {
        w.a.again = 1; /* the client looks after its nodes while a command waits */
        call_start(&w, 0);
        PUMP(&w, w.calls[0].runs, 5000);
        assert_int_equal(w.calls[0].status, ST_OK);
        PUMP(&w, false, 100);
    }
    assert_true(w.b.gets >= 12);
    assert_int_equal(w.b.connections, before + 1);
    world_close(&w);
}

/* One seed answers, but knows no slots: the other one is asked. Which comes first is a matter of chance. */
static void test_a_seed_without_a_map_is_left(void **state)
{
    struct world w;
    (void)state;
    world_open(&w);
    map_write(&w, 16383);
    for (int i = 0; i < 6; i++) {
        client_open(&w);
        client_close(&w);
        PUMP(&w, w.closed, 5000);
    }
    world_close(&w);
}

/* Commands wait, because no node serves the slot; the first one to end closes the client. */
static void test_close_from_the_callback_of_one_that_waits(void **state)
{
    struct world w;
    (void)state;
    world_open(&w);
    map_write(&w, 16383);
    client_open(&w);
    w.a.get = "-CLUSTERDOWN Hash slot not served\r\n";
    w.close_in_callback = true;
    for (int i = 0; i < CALLS; i++)
        call_start(&w, i);
    PUMP(&w, w.closed, 5000);
    assert_true(w.closed);
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(w.calls[i].status, ST_UNAVAILABLE);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_command_that_moved_keeps_its_deadline),
        cmocka_unit_test(test_a_node_is_kept_while_ask_leads_there),
        cmocka_unit_test(test_a_seed_without_a_map_is_left),
        cmocka_unit_test(test_close_from_the_callback_of_one_that_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
