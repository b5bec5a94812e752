/* SPDX-License-Identifier: MIT */
/*
 * loop: one libuv loop per thread: timers, fd watches, end-of-turn tasks, cross-thread posts, host
 * names.
 *
 * Why this way: the drivers (http, ws, redis, db) need six small things from libuv, all with one rule for memory: an
 * object may be closed at any time, even from its own callback; its callback never runs afterwards; its
 * memory is freed in libuv's close callback. Deferred tasks make batches: all joins of one turn are sent in one
 * Redis call, all responses in one run of the HTTP daemon.
 * Called by: the drivers and the wiring, on the loop's own thread; loop_post from any thread.
 * Owns: the uv_loop_t and four handles of its own (async, prepare, check, spin).
 * Invariants: a pending task keeps the loop from sleeping and from ending; loop_run returns only when
 * no handle, task or post is left; loop_free asserts it.
 */
#include "net/loop.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "base/memory.h"
#include "base/worker_stats.h"

/* Rounds of deferred tasks before the loop polls the sockets, without sleeping. So a task that keeps deferring itself
 * does not keep the sockets waiting. */
#define DEFER_ROUNDS_MAX 4

struct post {
    loop_cb cb;
    void *arg;
    struct post *next;
};

struct task_list {
    struct loop_task *head;
    struct loop_task **tail;
};

struct loop {
    uv_loop_t uv;
    uv_async_t async;     /* wakes the loop for posts; keeps it running until loop_stop */
    uv_prepare_t prepare; /* runs deferred tasks before the loop sleeps */
    uv_check_t check;     /* runs deferred tasks after the callbacks of the sockets */
    uv_idle_t spin;       /* active while tasks are pending, so that the loop does not sleep */
    struct task_list tasks;
    struct task_list round; /* the tasks that are running now */
    pthread_mutex_t post_lock;
    struct post *posts;
    struct post **post_tail;
    bool running;
    bool in_timer;              /* a timer's callback is running */
    struct worker_stats *stats; /* NULL: nobody asks */
    uint64_t polled_ms;         /* when the loop last began to run the callbacks of sockets */
};

/* ---- deferred tasks ---- */

static void tasks_init(struct task_list *list)
{
    list->head = NULL;
    list->tail = &list->head;
}

static bool tasks_remove(struct task_list *list, struct loop_task *task)
{
    for (struct loop_task **at = &list->head; *at; at = &(*at)->next) {
        if (*at != task)
            continue;
        *at = task->next;
        if (list->tail == &task->next)
            list->tail = at;
        return true;
    }
    return false;
}

/* Runs the deferred tasks in rounds: a task that is deferred during a round runs in the next one. The tasks of the
 * current round are in loop->round, where loop_undefer finds them. */
static void tasks_run(struct loop *loop)
{
    for (int i = 0; i < DEFER_ROUNDS_MAX && loop->tasks.head; i++) {
        loop->round = loop->tasks;
        tasks_init(&loop->tasks);
        while (loop->round.head) {
            struct loop_task *task = loop->round.head;
            loop->round.head = task->next;
            if (!loop->round.head)
                loop->round.tail = &loop->round.head;
            task->next = NULL;
            task->pending = false;
            task->cb(task->arg); /* the last use of the task, because cb may free it */
        }
    }
    if (!loop->tasks.head)
        uv_idle_stop(&loop->spin);
}

static void on_spin(uv_idle_t *spin)
{
    (void)spin; /* an active idle handle makes libuv poll without sleeping */
}

void loop_defer(struct loop *loop, struct loop_task *task)
{
    if (task->pending)
        return;
    task->pending = true;
    task->next = NULL;
    *loop->tasks.tail = task;
    loop->tasks.tail = &task->next;
    uv_idle_start(&loop->spin, on_spin); /* has no effect on an active handle */
}

void loop_undefer(struct loop *loop, struct loop_task *task)
{
    if (!task->pending)
        return;
    if (!tasks_remove(&loop->tasks, task))
        tasks_remove(&loop->round, task);
    task->pending = false;
    task->next = NULL;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct loop *loop = prepare->data;
    /* libuv reads its clock after it has polled, and before it runs timers: in between ran the callbacks of the last turn,
     * and whatever became due meanwhile was late by as much. */
    if (loop->stats && loop->polled_ms)
        worker_stats_late(loop->stats, uv_now(&loop->uv), uv_now(&loop->uv) - loop->polled_ms);
    loop->polled_ms = 0;
    tasks_run(loop);
}

static void on_check(uv_check_t *check)
{
    struct loop *loop = check->data;
    loop->polled_ms = uv_now(&loop->uv);
    tasks_run(loop);
}

/* ---- posts ---- */

void loop_post(struct loop *loop, loop_cb cb, void *arg)
{
    struct post *post = xcalloc(1, sizeof(*post));
    post->cb = cb;
    post->arg = arg;
    pthread_mutex_lock(&loop->post_lock);
    *loop->post_tail = post;
    loop->post_tail = &post->next;
    /* Inside the lock, so that loop_free, which takes the lock, cannot free the loop before this call is over. */
    uv_async_send(&loop->async);
    pthread_mutex_unlock(&loop->post_lock);
}

static struct post *posts_take(struct loop *loop)
{
    pthread_mutex_lock(&loop->post_lock);
    struct post *list = loop->posts;
    loop->posts = NULL;
    loop->post_tail = &loop->posts;
    pthread_mutex_unlock(&loop->post_lock);
    return list;
}

static bool posts_run(struct loop *loop)
{
    struct post *list = posts_take(loop);
    const bool any = list != NULL;
    while (list) {
        struct post *post = list;
        list = post->next;
        post->cb(post->arg);
        free(post);
    }
    return any;
}

static void on_async(uv_async_t *async)
{
    posts_run(async->data);
}

/* ---- the loop ---- */

struct loop *loop_new(void)
{
    struct loop *loop = xcalloc(1, sizeof(*loop));
    tasks_init(&loop->tasks);
    tasks_init(&loop->round);
    loop->post_tail = &loop->posts;
    if (uv_loop_init(&loop->uv)) {
        free(loop);
        return NULL;
    }
    if (uv_async_init(&loop->uv, &loop->async, on_async)) {
        uv_loop_close(&loop->uv);
        free(loop);
        return NULL;
    }
    pthread_mutex_init(&loop->post_lock, NULL);
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    uv_idle_init(&loop->uv, &loop->spin);
    loop->async.data = loop->prepare.data = loop->check.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_start(&loop->check, on_check);
    /* Only `async` keeps the loop running. */
    uv_unref((uv_handle_t *)&loop->prepare);
    uv_unref((uv_handle_t *)&loop->check);
    return loop;
}

void loop_name(struct loop *loop, const char *name)
{
    worker_stats_close(loop->stats);
    loop->stats = worker_stats_open(name);
}

void loop_run(struct loop *loop)
{
    loop->running = true;
    do
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    while (posts_run(loop)); /* a post may have opened something */
    loop->running = false;
    worker_stats_close(loop->stats);
    loop->stats = NULL;
}

void loop_stop(struct loop *loop)
{
    uv_unref((uv_handle_t *)&loop->async);
}

static void assert_closing(uv_handle_t *handle, void *arg)
{
    (void)arg;
    assert(uv_is_closing(handle) && "a handle was left open on the loop");
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    uv_close((uv_handle_t *)&loop->async, NULL);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->spin, NULL);
    uv_walk(&loop->uv, assert_closing, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    const int rc = uv_loop_close(&loop->uv);
    assert(rc == 0 && "the loop was not empty");
    (void)rc;
    const struct post *left = posts_take(loop);
    assert(!left && "posted to a loop that had ended");
    pthread_mutex_destroy(&loop->post_lock);
    free(loop);
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return uv_now(&loop->uv);
}

void *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

/* ---- timers ---- */

struct loop_timer {
    uv_timer_t uv; /* the first member, because on_closed frees the object by this address */
    struct loop *loop;
    loop_cb cb;
    void *arg;
    uint64_t due_ms;
};

static void on_timer(uv_timer_t *uv)
{
    struct loop_timer *timer = (struct loop_timer *)uv;
    struct loop *loop = timer->loop;
    const uint64_t now = uv_now(&loop->uv);
    if (loop->stats && now > timer->due_ms)
        worker_stats_late(loop->stats, now, now - timer->due_ms);
    loop->in_timer = true;
    timer->cb(timer->arg);
    loop->in_timer = false;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle); /* the handle is the first member of its object */
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_cb cb, void *arg)
{
    struct loop_timer *timer = xcalloc(1, sizeof(*timer));
    timer->loop = loop;
    timer->cb = cb;
    timer->arg = arg;
    uv_timer_init(&loop->uv, &timer->uv);
    return timer;
}

void loop_timer_set(struct loop_timer *timer, uint64_t delay_ms)
{
    /* Outside loop_run the cached time is stale, and the timer would fire too early. */
    if (!timer->loop->running)
        uv_update_time(&timer->loop->uv);
    /* libuv 1.44 would run a 0 ms timer again before it polls any socket, forever. */
    if (timer->loop->in_timer && delay_ms == 0)
        delay_ms = 1;
    timer->due_ms = uv_now(&timer->loop->uv) + delay_ms;
    uv_timer_start(&timer->uv, on_timer, delay_ms, 0);
}

void loop_timer_stop(struct loop_timer *timer)
{
    uv_timer_stop(&timer->uv);
}

void loop_timer_close(struct loop_timer *timer)
{
    if (timer)
        uv_close((uv_handle_t *)&timer->uv, on_closed);
}

/* ---- watches ---- */

struct loop_watch {
    uv_poll_t uv; /* the first member, see on_closed */
    loop_watch_cb cb;
    void *arg;
    int events;
};

static void on_poll(uv_poll_t *uv, int status, int events);

static void watch_arm(struct loop_watch *watch)
{
    int events = 0;
    if (watch->events & LOOP_READ)
        events |= UV_READABLE;
    if (watch->events & LOOP_WRITE)
        events |= UV_WRITABLE;
    uv_poll_start(&watch->uv, events, on_poll); /* without events it stops polling */
}

static void on_poll(uv_poll_t *uv, int status, int events)
{
    struct loop_watch *watch = (struct loop_watch *)uv;
    int ready = 0;
    if (events & UV_READABLE)
        ready |= LOOP_READ;
    if (events & UV_WRITABLE)
        ready |= LOOP_WRITE;
    if (status < 0)
        ready = LOOP_READ | LOOP_WRITE;
    watch->cb(watch->arg, ready);
    /* libuv stops polling after an error, but loop.h promises to report it again: so start anew. Even if the callback
     * has closed the watch, its memory is still valid, because close callbacks run later in the turn. */
    if (status < 0 && watch->events && !uv_is_closing((uv_handle_t *)uv) &&
        !uv_is_active((uv_handle_t *)uv))
        watch_arm(watch);
}

struct loop_watch *loop_watch_new(struct loop *loop, int fd, loop_watch_cb cb, void *arg)
{
    struct loop_watch *watch = xcalloc(1, sizeof(*watch));
    if (uv_poll_init(&loop->uv, &watch->uv, fd)) {
        free(watch); /* libuv keeps no reference to the handle */
        return NULL;
    }
    watch->cb = cb;
    watch->arg = arg;
    return watch;
}

void loop_watch_set(struct loop_watch *watch, int events)
{
    if (events == watch->events)
        return; /* saves two system calls */
    watch->events = events;
    watch_arm(watch);
}

void loop_watch_close(struct loop_watch *watch)
{
    if (!watch)
        return;
    watch->events = 0;
    uv_poll_stop(&watch->uv);
    uv_close((uv_handle_t *)&watch->uv, on_closed);
}

/* ---- idle ---- */

struct loop_idle {
    uv_idle_t uv; /* the first member, see on_closed */
    loop_cb cb;
    void *arg;
};

static void on_idle(uv_idle_t *uv)
{
    struct loop_idle *idle = (struct loop_idle *)uv;
    idle->cb(idle->arg);
}

struct loop_idle *loop_idle_new(struct loop *loop, loop_cb cb, void *arg)
{
    struct loop_idle *idle = xcalloc(1, sizeof(*idle));
    idle->cb = cb;
    idle->arg = arg;
    uv_idle_init(&loop->uv, &idle->uv);
    return idle;
}

void loop_idle_start(struct loop_idle *idle)
{
    uv_idle_start(&idle->uv, on_idle);
}

void loop_idle_stop(struct loop_idle *idle)
{
    uv_idle_stop(&idle->uv);
}

void loop_idle_close(struct loop_idle *idle)
{
    if (idle)
        uv_close((uv_handle_t *)&idle->uv, on_closed);
}

/* ---- host names ---- */

struct loop_resolve {
    uv_getaddrinfo_t uv;
    struct loop *loop;
    struct loop_task task; /* reports the result when no name must be resolved */
    loop_resolve_cb cb;    /* NULL: the caller has cancelled */
    void *arg;
    size_t count;
    char text[LOOP_ADDRESSES_MAX][INET6_ADDRSTRLEN];
};

/* Passes the result to the caller, unless it has cancelled, and frees the object. */
static void resolve_finish(struct loop_resolve *resolve, enum status status)
{
    const char *list[LOOP_ADDRESSES_MAX];
    for (size_t i = 0; i < resolve->count; i++)
        list[i] = resolve->text[i];
    if (resolve->cb)
        resolve->cb(resolve->arg, status, list, resolve->count);
    free(resolve);
}

static void on_resolved(uv_getaddrinfo_t *uv, int status, struct addrinfo *found)
{
    struct loop_resolve *resolve = uv->data;
    for (const struct addrinfo *at = status == 0 ? found : NULL;
         at && resolve->count < LOOP_ADDRESSES_MAX; at = at->ai_next) {
        char *out = resolve->text[resolve->count];
        if ((at->ai_family == AF_INET || at->ai_family == AF_INET6) &&
            getnameinfo(at->ai_addr, at->ai_addrlen, out, INET6_ADDRSTRLEN, NULL, 0,
                        NI_NUMERICHOST) == 0)
            resolve->count++;
    }
    uv_freeaddrinfo(found);
    const bool unknown = status == UV_EAI_NONAME || status == UV_EAI_NODATA || status == 0;
    resolve_finish(resolve, resolve->count ? ST_OK : unknown ? ST_NOT_FOUND : ST_UNAVAILABLE);
}

static void on_numeric(void *arg)
{
    struct loop_resolve *resolve = arg;
    resolve_finish(resolve, resolve->count ? ST_OK : ST_UNAVAILABLE);
}

struct loop_resolve *loop_resolve_start(struct loop *loop, const char *host, loop_resolve_cb cb,
                                        void *arg)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct in6_addr numeric;
    struct loop_resolve *resolve = xcalloc(1, sizeof(*resolve));
    resolve->loop = loop;
    resolve->cb = cb;
    resolve->arg = arg;
    resolve->uv.data = resolve;
    resolve->task = (struct loop_task){.cb = on_numeric, .arg = resolve};
    if (inet_pton(AF_INET, host, &numeric) == 1 || inet_pton(AF_INET6, host, &numeric) == 1) {
        snprintf(resolve->text[0], INET6_ADDRSTRLEN, "%s", host);
        resolve->count = 1;
        loop_defer(loop, &resolve->task);
    } else if (uv_getaddrinfo(&loop->uv, &resolve->uv, on_resolved, host, NULL, &hints)) {
        loop_defer(loop, &resolve->task); /* malformed or too long: reports no address */
    }
    return resolve;
}

void loop_resolve_cancel(struct loop_resolve *resolve)
{
    if (!resolve)
        return;
    resolve->cb = NULL;
    if (resolve->task.pending) {
        loop_undefer(resolve->loop, &resolve->task);
        free(resolve);
        return;
    }
    uv_cancel((uv_req_t *)&resolve->uv); /* on_resolved runs nevertheless, and frees the object */
}
