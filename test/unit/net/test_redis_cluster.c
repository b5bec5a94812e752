/* SPDX-License-Identifier: MIT */
/*
 * redis in front of a cluster: two fake nodes that say whatever the test wants. What a real cluster does is in
 * test/integration/redis_cluster.test.mjs.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/redis.h"
#include "net/redis_cluster.h"
#include "turn.h"

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
    int connections, gets, maps;
    int again;                      /* so many GETs more are told to come again */
    const char *info, *slots, *get; /* replies to CLUSTER INFO, CLUSTER SLOTS and GET */
    char executed[64];              /* the last letters of the keys of the GETs that were */
};

static void conn_drop(struct conn *conn)
{
    if (conn->fd < 0)
        return;
    loop_watch_close(conn->reads);
    close(conn->fd);
    conn->fd = -1;
}

/* The i-th word of a command in the wire format. */
static const char *word(const char *command, int i)
{
    for (int line = 0; command && line < 2 * i + 2; line++) {
        command = strchr(command, '\n');
        command = command ? command + 1 : NULL;
    }
    return command ? command : "";
}

static const char *reply_to_get(struct node *node, const char *key)
{
    const size_t done = strlen(node->executed), len = strcspn(key, "\r");
    node->gets++;
    if (node->again > 0) {
        node->again--;
        return "-TRYAGAIN Multiple keys request during rehashing of slot\r\n";
    }
    if (*node->get == '+' && done + 1 < sizeof(node->executed))
        node->executed[done] = key[len - 1];
    return node->get;
}

static const char *reply_to(struct node *node, const char *command)
{
    const char *name = word(command, 0), *next = word(command, 1);
    if (strncmp(name, "PING", 4) == 0)
        return "+PONG\r\n";
    if (strncmp(name, "GET", 3) == 0)
        return reply_to_get(node, next);
    if (strncmp(name, "CLUSTER", 7) != 0)
        return "+OK\r\n";
    if (strncmp(next, "INFO", 4) == 0)
        return node->info;
    node->maps++;
    return node->slots;
}

static void conn_say(const struct conn *conn, const char *reply)
{
    assert_int_equal(write(conn->fd, reply, strlen(reply)), (ssize_t)strlen(reply));
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
        const char *reply = conn->stuck ? "" : reply_to(conn->node, at);
        conn->stuck = *reply == '\0';
        conn_say(conn, reply);
    }
}

static void node_accept(void *arg, int events)
{
    struct node *node = arg;
    struct conn *conn = node->conns;
    (void)events;
    const int fd = accept(node->listener, NULL, NULL), one = 1;
    /* As Redis does: a reply must not wait until the one before it was acknowledged. */
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
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
    *node = (struct node){
        .loop = loop, .info = "-ERR no info\r\n", .slots = "-ERR no map\r\n", .get = "+here\r\n"};
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
    struct loop_timer *tick;
    struct node a, b;
    char map[256], other_map[256], moved[64];
    struct redis *redis;
    struct call calls[CALLS];
    bool close_in_callback, closed;
};

static void world_open(struct world *w)
{
    memset(w, 0, sizeof(*w));
    w->loop = turn_begin(&w->tick);
    node_open(&w->a, w->loop);
    node_open(&w->b, w->loop);
}

/* The first node has the slots up to `last`, the second one the others. */
static void map_write(struct world *w, char map[256], int last)
{
    static const char range[] = "*3\r\n:%d\r\n:%d\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n";
    int len = snprintf(map, 256, "*%d\r\n", last >= 0 && last < 16383 ? 2 : 1);
    if (last >= 0)
        len += snprintf(map + len, 256 - (size_t)len, range, 0, last, w->a.port);
    if (last < 16383)
        snprintf(map + len, 256 - (size_t)len, range, last + 1, 16383, w->b.port);
}

/* The map that the first node gives; the other one gives none. */
static void map_set(struct world *w, int last)
{
    map_write(w, w->map, last);
    w->a.slots = w->map;
}

static void client_open(struct world *w)
{
    char url[96];
    snprintf(url, sizeof(url), "redis+cluster://127.0.0.1:%d,127.0.0.1:%d", w->a.port, w->b.port);
    const struct redis_opts opts = {.loop = w->loop, .server.url = url, .timeout_ms = TIMEOUT_MS};
    assert_int_equal(redis_open(&opts, &w->redis), ST_OK);
    TURN_UNTIL(w, redis_whole(w->redis), 5000);
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
    TURN_UNTIL(w, w->closed, 5000);
    assert_true(w->closed);
    node_close(&w->a);
    node_close(&w->b);
    turn_end(w->loop, w->tick);
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

/* GET {x}i. All keys are in slot 16287, as x. */
static void call_start(struct world *w, int i)
{
    char key[16];
    struct redis_args args;
    snprintf(key, sizeof(key), "{x}%d", i);
    redis_args_init(&args);
    redis_args_add(&args, "GET");
    redis_args_add(&args, key);
    w->calls[i] = (struct call){.world = w};
    assert_int_equal(redis_command(w->redis, &args, on_call, &w->calls[i]), ST_OK);
    assert_int_equal(w->calls[i].runs, 0);
    redis_args_clear(&args);
}

/* Does the client give commands to this node? */
static bool leads_to(const struct world *w, const struct node *node)
{
    char name[32];
    const char *owner = redis_shard_of(w->redis, "x");
    snprintf(name, sizeof(name), "127.0.0.1:%d", node->port);
    return owner && strcmp(owner, name) == 0;
}

static bool all_ok(const struct world *w, int count)
{
    for (int i = 0; i < count; i++)
        if (w->calls[i].runs != 1 || w->calls[i].status != ST_OK)
            return false;
    return true;
}

/* The first node says this on the connection on which it has answered nothing to a GET. */
static void say_late(const struct world *w, const char *reply)
{
    for (int i = 0; i < CONNS; i++)
        if (w->a.conns[i].fd >= 0 && w->a.conns[i].stuck)
            conn_say(&w->a.conns[i], reply);
}

/* ---- tests ---- */

/* The second node is connected and idle: its next look at deadlines is later than that of the command. */
static void test_a_command_that_moved_keeps_its_deadline(void **state)
{
    struct world w;
    (void)state;
    world_open(&w);
    map_set(&w, 16382);
    client_open(&w);
    w.a.get = w.b.get = "";
    TURN_UNTIL(&w, false, TIMEOUT_MS * 2 / 5);
    const uint64_t began = turn_now_ms(w.loop);
    call_start(&w, 0);
    TURN_UNTIL(&w, false, TIMEOUT_MS * 7 / 10); /* more than a quarter of its time is left */
    snprintf(w.moved, sizeof(w.moved), "-MOVED 16287 127.0.0.1:%d\r\n", w.b.port);
    say_late(&w, w.moved);
    TURN_UNTIL(&w, w.calls[0].runs, 5000);
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
    map_set(&w, 16383);
    client_open(&w);
    snprintf(ask, sizeof(ask), "-ASK 16287 127.0.0.1:%d\r\n", w.b.port);
    w.a.get = ask;
    const int before = w.b.connections;
    for (int i = 0; i < 12; i++) {
        w.a.again = 1; /* the client looks after its nodes while a command waits */
        call_start(&w, 0);
        TURN_UNTIL(&w, w.calls[0].runs, 5000);
        assert_int_equal(w.calls[0].status, ST_OK);
        TURN_UNTIL(&w, false, 100);
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
    map_set(&w, 16383);
    for (int i = 0; i < 6; i++) {
        client_open(&w);
        client_close(&w);
        TURN_UNTIL(&w, w.closed, 5000);
    }
    world_close(&w);
}

/* Commands wait, because no node serves the slot; the first one to end closes the client. */
static void test_close_from_the_callback_of_one_that_waits(void **state)
{
    struct world w;
    (void)state;
    world_open(&w);
    map_set(&w, 16383);
    client_open(&w);
    w.a.get = "-CLUSTERDOWN Hash slot not served\r\n";
    w.close_in_callback = true;
    for (int i = 0; i < CALLS; i++)
        call_start(&w, i);
    TURN_UNTIL(&w, w.closed, 5000);
    assert_true(w.closed);
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(w.calls[i].status, ST_UNAVAILABLE);
    world_close(&w);
}

/* The second command is started while the first one waits to be sent again. */
static void test_a_new_command_does_not_overtake_one_that_waits(void **state)
{
    struct world w;
    (void)state;
    world_open(&w);
    map_set(&w, 16383);
    client_open(&w);
    for (int i = 0; i < 5; i++) {
        memset(w.a.executed, 0, sizeof(w.a.executed));
        w.a.again = 1 + i % 3;
        w.a.gets = 0;
        call_start(&w, 0);
        TURN_UNTIL(&w, w.a.gets == 1, 5000);
        for (int turn = 0; turn < 10; turn++) /* the reply is read */
            uv_run(loop_uv(w.loop), UV_RUN_NOWAIT);
        call_start(&w, 1);
        call_start(&w, 2);
        TURN_UNTIL(&w, all_ok(&w, 3), 5000);
        assert_string_equal(w.a.executed, "012");
        assert_int_equal(w.a.gets,
                         1 + i % 3 + 3); /* only the first was tried while it was refused */
    }
    world_close(&w);
}

/* Commands that come all the time put no try off: each is tried, or ended, in its time. */
static void test_commands_that_come_put_no_try_off(void **state)
{
    struct world w;
    (void)state;
    world_open(&w);
    map_set(&w, 16383);
    client_open(&w);
    w.a.again = 1000000;
    call_start(&w, 0);
    for (int i = 0; w.calls[0].runs == 0 && i < 1000; i++) {
        const int next = 1 + i % (CALLS - 1);
        if (i < CALLS - 1 || w.calls[next].runs)
            call_start(&w, next);
        TURN_UNTIL(&w, false, 2);
    }
    assert_int_equal(w.calls[0].runs, 1);
    assert_int_equal(w.calls[0].status, ST_UNAVAILABLE);
    assert_true(w.a.gets > 10);
    world_close(&w);
}

/* Of two commands under way at the node that had the slot, one has been sent back, the other one not yet. */
static void test_a_new_command_does_not_overtake_one_at_the_old_node(void **state)
{
    struct world w;
    (void)state;
    world_open(&w);
    map_set(&w, 16382);
    client_open(&w);
    w.a.get = "";
    call_start(&w, 0);
    call_start(&w, 1);
    TURN_UNTIL(&w, w.a.gets == 1, 5000); /* of the second one it is not known */
    snprintf(w.moved, sizeof(w.moved), "-MOVED 16287 127.0.0.1:%d\r\n", w.b.port);
    map_set(&w, 16286);
    say_late(&w, w.moved);
    TURN_UNTIL(&w, w.calls[0].runs, 5000);
    call_start(&w, 2);
    TURN_UNTIL(&w, false, 50);
    assert_int_equal(w.calls[2].runs, 0);
    say_late(&w, w.moved);
    TURN_UNTIL(&w, all_ok(&w, 3), 5000);
    assert_true(all_ok(&w, 3));
    assert_string_equal(w.b.executed, "012");
    world_close(&w);
}

/* One waits; the map then says that another node has the slot. */
static void test_order_is_kept_when_the_map_changes(void **state)
{
    struct world w;
    (void)state;
    world_open(&w);
    map_set(&w, 16382);
    client_open(&w);
    w.a.get = "-CLUSTERDOWN Hash slot not served\r\n";
    w.b.slots = w.map;
    call_start(&w, 0);
    TURN_UNTIL(&w, w.a.gets > 0, 5000);
    map_set(&w, 16286);
    redis_cluster_doubt(redis_cluster_of(w.redis));
    TURN_UNTIL(&w, leads_to(&w, &w.b), 5000);
    call_start(&w, 1);
    TURN_UNTIL(&w, all_ok(&w, 2), 5000);
    assert_string_equal(w.b.executed, "01");
    world_close(&w);
}

/* A shard that was cut off still gives the map of before: it has all slots. The other one knows better. */
static void test_an_old_map_is_not_believed(void **state)
{
    struct world w;
    (void)state;
    world_open(&w);
    map_set(&w, 16382);
    map_write(&w, w.other_map, -1);
    w.a.info = "$26\r\ncluster_current_epoch:10\r\n\r\n";
    w.b.info = "$25\r\ncluster_current_epoch:9\r\n\r\n";
    client_open(&w);
    w.b.slots = w.other_map;
    w.b.get = "-CLUSTERDOWN The cluster is down\r\n";
    for (int i = 0; i < 6; i++) {
        const int maps = w.a.maps + w.b.maps;
        redis_cluster_doubt(redis_cluster_of(w.redis));
        TURN_UNTIL(&w, w.a.maps + w.b.maps > maps, 5000);
        TURN_UNTIL(&w, false, 10);
        call_start(&w, 0);
        TURN_UNTIL(&w, w.calls[0].runs, 5000);
        assert_int_equal(w.calls[0].status, ST_OK);
    }
    assert_true(w.b.maps >= 2);
    assert_int_equal(w.b.gets, 0);

    /* Both begin again at the first epoch: the cluster was made anew, with other slots. */
    w.a.info = w.b.info = "$25\r\ncluster_current_epoch:1\r\n\r\n";
    w.a.slots = w.other_map;
    w.b.get = "+here\r\n";
    redis_cluster_doubt(redis_cluster_of(w.redis));
    TURN_UNTIL(&w, leads_to(&w, &w.b), 5000);
    call_start(&w, 0);
    TURN_UNTIL(&w, w.calls[0].runs, 5000);
    assert_int_equal(w.calls[0].status, ST_OK);
    assert_int_equal(w.b.gets, 1);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_command_that_moved_keeps_its_deadline),
        cmocka_unit_test(test_a_node_is_kept_while_ask_leads_there),
        cmocka_unit_test(test_a_seed_without_a_map_is_left),
        cmocka_unit_test(test_close_from_the_callback_of_one_that_waits),
        cmocka_unit_test(test_a_new_command_does_not_overtake_one_that_waits),
        cmocka_unit_test(test_commands_that_come_put_no_try_off),
        cmocka_unit_test(test_a_new_command_does_not_overtake_one_at_the_old_node),
        cmocka_unit_test(test_order_is_kept_when_the_map_changes),
        cmocka_unit_test(test_an_old_map_is_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
