/* SPDX-License-Identifier: MIT */
/* loop: timers, watches, tasks, posts and names; what runs, in which order, and what never runs. */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../base/block.h"
#include "base/worker_stats.h"
#include "net/loop.h"

/* What one test uses; on_end closes what the test left open and stops the loop. */
struct world {
    struct loop *loop;
    struct loop_timer *end, *timer;
    struct loop_watch *watch;
    struct loop_idle *idle;
    struct loop_task task, other;
    int fds[2];
    int count;
    uint64_t at_ms;
    double lag_s;
    char trace[64];
};

static void note(struct world *w, char c)
{
    size_t len = strlen(w->trace);
    if (len + 1 < sizeof(w->trace))
        w->trace[len] = c;
}

static void never(void *arg)
{
    (void)arg;
    fail_msg("a callback ran that must not run");
}

static void on_end(void *arg)
{
    struct world *w = arg;
    loop_timer_close(w->end);
    loop_timer_close(w->timer);
    loop_watch_close(w->watch);
    loop_idle_close(w->idle);
    loop_stop(w->loop);
}

static void world_open(struct world *w)
{
    memset(w, 0, sizeof(*w));
    w->loop = loop_new();
    assert_non_null(w->loop);
    w->end = loop_timer_new(w->loop, on_end, w);
    assert_int_equal(pipe(w->fds), 0);
}

static void world_run(struct world *w, uint64_t for_ms)
{
    loop_timer_set(w->end, for_ms);
    loop_run(w->loop);
}

/* The test has seen what it needs: no need to wait for the deadline. */
static void finish(struct world *w)
{
    loop_timer_set(w->end, 1);
}

static void world_close(struct world *w)
{
    loop_free(w->loop);
    close(w->fds[0]);
    close(w->fds[1]);
}

/* ---- timers ---- */

static void tick(void *arg)
{
    struct world *w = arg;
    if (++w->count < 3) {
        loop_timer_set(w->timer, 5);
        return;
    }
    loop_timer_close(w->timer); /* from its own callback */
    w->timer = NULL;
    finish(w);
}

static void test_timer_rearms_and_closes_itself(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    w.timer = loop_timer_new(w.loop, tick, &w);
    loop_timer_set(w.timer, 5);
    world_run(&w, 5000);
    assert_int_equal(w.count, 3);
    world_close(&w);
}

static void test_timer_stopped_or_closed_stays_silent(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    w.timer = loop_timer_new(w.loop, never, &w);
    loop_timer_set(w.timer, 1);
    loop_timer_stop(w.timer);
    struct loop_timer *closed = loop_timer_new(w.loop, never, &w);
    loop_timer_set(closed, 1);
    loop_timer_close(closed);
    loop_timer_close(NULL);
    world_run(&w, 15);
    world_close(&w);
}

static void on_late(void *arg)
{
    struct world *w = arg;
    w->at_ms = loop_now_ms(w->loop);
    finish(w);
}

static void test_timer_set_before_the_run_is_not_early(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    w.timer = loop_timer_new(w.loop, on_late, &w);
    block_ms(30); /* the loop's cached time becomes stale */
    loop_timer_set(w.timer, 20);
    uint64_t set_ms = loop_now_ms(w.loop);
    world_run(&w, 5000);
    assert_true(w.at_ms >= set_ms + 20);
    world_close(&w);
}

/* ---- watches ---- */

static void on_bytes(void *arg, int events)
{
    struct world *w = arg;
    char c;
    assert_int_equal(events, LOOP_READ);
    assert_int_equal(read(w->fds[0], &c, 1), 1);
    note(w, c); /* reads one byte per call: level-triggered, so it is called again for the rest */
    if (c == 'c')
        finish(w);
}

static void test_watch_is_level_triggered(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    w.watch = loop_watch_new(w.loop, w.fds[0], on_bytes, &w);
    assert_non_null(w.watch);
    loop_watch_set(w.watch, LOOP_READ);
    assert_null(loop_watch_new(w.loop, w.fds[0], on_bytes, &w)); /* watched already */
    assert_int_equal(write(w.fds[1], "abc", 3), 3);
    world_run(&w, 5000);
    assert_string_equal(w.trace, "abc");
    world_close(&w);
}

static void on_ready_twice(void *arg, int events)
{
    struct world *w = arg;
    assert_int_equal(events, LOOP_WRITE);
    if (++w->count == 2)
        loop_watch_set(w->watch, 0);
}

static void test_watch_set_to_nothing_is_silent(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    w.watch = loop_watch_new(w.loop, w.fds[1], on_ready_twice, &w);
    loop_watch_set(w.watch, LOOP_WRITE);
    world_run(&w, 15);
    assert_int_equal(w.count, 2);
    world_close(&w);
}

/* The reader of a pipe is gone: its writer gets POLLERR again and again, until it closes the watch. */
static void on_broken(void *arg, int events)
{
    struct world *w = arg;
    assert_int_equal(events, LOOP_READ | LOOP_WRITE);
    if (++w->count < 3)
        return;
    loop_watch_close(w->watch);
    w->watch = NULL;
    finish(w);
}

static void test_watch_error_is_reported_until_closed(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    w.watch = loop_watch_new(w.loop, w.fds[1], on_broken, &w);
    loop_watch_set(w.watch, LOOP_WRITE);
    close(w.fds[0]);
    world_run(&w, 5000);
    assert_int_equal(w.count, 3);
    w.fds[0] = dup(w.fds[1]);
    world_close(&w);
}

/* ---- idle ---- */

static void on_idle(void *arg)
{
    struct world *w = arg;
    if (++w->count < 100)
        return;
    loop_idle_stop(w->idle);
    finish(w);
}

static void test_idle_runs_each_turn_until_stopped(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    w.idle = loop_idle_new(w.loop, on_idle, &w);
    loop_idle_start(w.idle);
    world_run(&w, 5000);
    assert_int_equal(w.count, 100);
    world_close(&w);
}

/* ---- tasks ---- */

static void task_a(void *arg)
{
    note(arg, 'a');
}

static void task_b(void *arg)
{
    note(arg, 'b');
}

static void defer_both(void *arg)
{
    struct world *w = arg;
    w->task = (struct loop_task){.cb = task_a, .arg = w};
    w->other = (struct loop_task){.cb = task_b, .arg = w};
    loop_defer(w->loop, &w->task);
    loop_defer(w->loop, &w->other);
    loop_defer(w->loop, &w->task); /* pending already: nothing changes */
    note(w, '-');
    finish(w);
}

static void test_defer_runs_once_in_order_after_the_caller(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    w.timer = loop_timer_new(w.loop, defer_both, &w);
    loop_timer_set(w.timer, 1);
    world_run(&w, 5000);
    assert_string_equal(w.trace, "-ab");
    assert_false(w.task.pending);
    world_close(&w);
}

static void task_again(void *arg)
{
    struct world *w = arg;
    if (++w->count < 1000)
        loop_defer(w->loop, &w->task);
    else
        finish(w);
}

static void test_defer_from_its_own_callback_lets_sockets_through(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    w.task = (struct loop_task){.cb = task_again, .arg = &w};
    w.watch = loop_watch_new(w.loop, w.fds[0], on_bytes, &w);
    loop_watch_set(w.watch, LOOP_READ);
    assert_int_equal(write(w.fds[1], "x", 1), 1);
    loop_defer(w.loop, &w.task);
    world_run(&w, 5000);
    assert_int_equal(w.count, 1000);
    assert_string_equal(w.trace, "x");
    world_close(&w);
}

static void task_undoes_other(void *arg)
{
    struct world *w = arg;
    loop_undefer(w->loop, &w->other); /* in the running round */
    loop_undefer(w->loop, &w->other); /* again: no effect */
    note(w, 'u');
}

static void test_undefer_within_the_round(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    struct loop_task last = {.cb = task_b, .arg = &w};
    w.task = (struct loop_task){.cb = task_undoes_other, .arg = &w};
    w.other = (struct loop_task){.cb = never, .arg = &w};
    loop_defer(w.loop, &w.task);
    loop_defer(w.loop, &w.other);
    loop_defer(w.loop, &last);
    world_run(&w, 15);
    assert_string_equal(w.trace, "ub");
    world_close(&w);
}

static void test_a_pending_task_keeps_the_loop_alive(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    w.task = (struct loop_task){.cb = task_a, .arg = &w};
    loop_defer(w.loop, &w.task);
    loop_timer_close(w.end);
    loop_stop(w.loop);
    loop_run(w.loop);
    assert_string_equal(w.trace, "a");
    world_close(&w);
}

/* ---- posts ---- */

static void on_post(void *arg)
{
    ((struct world *)arg)->count++;
}

static void *poster(void *arg)
{
    struct world *w = arg;
    for (int i = 0; i < 1000; i++)
        loop_post(w->loop, on_post, w);
    return NULL;
}

static void test_posts_from_threads_all_run(void **state)
{
    (void)state;
    struct world w;
    pthread_t threads[3];
    world_open(&w);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, poster, &w), 0);
    world_run(&w, 50);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    loop_run(w.loop); /* runs posts that came after the end, and returns: the loop is stopped */
    assert_int_equal(w.count, 3000);
    world_close(&w);
}

/* ---- names ---- */

static void on_resolved(void *arg, enum status status, const char *const *list, size_t count)
{
    struct world *w = arg;
    struct in6_addr ip;
    for (size_t i = 0; i < count; i++)
        assert_true(inet_pton(AF_INET, list[i], &ip) == 1 ||
                    inet_pton(AF_INET6, list[i], &ip) == 1);
    assert_true((status == ST_OK) == (count > 0));
    note(w, status == ST_OK ? 'y' : 'n');
    if (strlen(w->trace) == 5)
        finish(w);
}

static void on_resolved_never(void *arg, enum status status, const char *const *list, size_t count)
{
    (void)status, (void)list, (void)count;
    never(arg);
}

static void test_resolve(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    char huge[4096];
    memset(huge, 'x', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    loop_resolve_start(w.loop, "127.0.0.1", on_resolved, &w);
    loop_resolve_start(w.loop, "::1", on_resolved, &w);
    assert_string_equal(w.trace, ""); /* never from inside the start */
    loop_resolve_start(w.loop, "localhost", on_resolved, &w);
    loop_resolve_start(w.loop, huge, on_resolved, &w);
    loop_resolve_start(w.loop, "", on_resolved, &w);
    loop_resolve_cancel(loop_resolve_start(w.loop, "127.0.0.1", on_resolved_never, &w));
    loop_resolve_cancel(loop_resolve_start(w.loop, "localhost", on_resolved_never, &w));
    loop_resolve_cancel(NULL);
    world_run(&w, 10000);
    assert_int_equal(strlen(w.trace), 5);
    int yes = 0;
    for (const char *c = w.trace; *c; c++)
        yes += *c == 'y';
    assert_int_equal(yes, 3);
    world_close(&w);
}

/* ---- how late it is ---- */

static double lag_of(const char *worker)
{
    struct buf out;
    char series[80];
    buf_init(&out, 1 << 16);
    worker_stats_write(&(struct metrics_text){.out = &out});
    (void)snprintf(series, sizeof(series), "\ntiketi_loop_lag_seconds{worker=\"%s\"} ", worker);
    const char *at = strstr(buf_str(&out), series);
    const double lag = at ? strtod(at + strlen(series), NULL) : -1;
    buf_clear(&out);
    return lag;
}

/* Keeps the loop from everything else for a while. */
static void on_slow_socket(void *arg, int events)
{
    struct world *w = arg;
    (void)events;
    loop_watch_set(w->watch, 0);
    block_ms(60);
}

static void on_read_lag(void *arg)
{
    struct world *w = arg;
    w->lag_s = lag_of("slow-0");
    finish(w);
}

static void test_a_named_loop_tells_how_late_it_was(void **state)
{
    struct world w;
    (void)state;
    world_open(&w);
    loop_name(w.loop, "slow-0");
    assert_true(lag_of("slow-0") == 0);
    assert_int_equal(write(w.fds[1], "x", 1), 1);
    w.watch = loop_watch_new(w.loop, w.fds[0], on_slow_socket, &w);
    loop_watch_set(w.watch, LOOP_READ);
    w.timer = loop_timer_new(w.loop, on_read_lag, &w);
    loop_timer_set(w.timer, 10); /* due while the socket's callback runs */
    world_run(&w, 5000);
    assert_true(w.lag_s >= 0.045 && w.lag_s < 5);
    assert_true(lag_of("slow-0") == -1); /* no thread runs the loop any more */
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timer_rearms_and_closes_itself),
        cmocka_unit_test(test_timer_stopped_or_closed_stays_silent),
        cmocka_unit_test(test_timer_set_before_the_run_is_not_early),
        cmocka_unit_test(test_watch_is_level_triggered),
        cmocka_unit_test(test_watch_set_to_nothing_is_silent),
        cmocka_unit_test(test_watch_error_is_reported_until_closed),
        cmocka_unit_test(test_idle_runs_each_turn_until_stopped),
        cmocka_unit_test(test_defer_runs_once_in_order_after_the_caller),
        cmocka_unit_test(test_defer_from_its_own_callback_lets_sockets_through),
        cmocka_unit_test(test_undefer_within_the_round),
        cmocka_unit_test(test_a_pending_task_keeps_the_loop_alive),
        cmocka_unit_test(test_posts_from_threads_all_run),
        cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_a_named_loop_tells_how_late_it_was),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
