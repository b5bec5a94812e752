/* SPDX-License-Identifier: MIT */
/*
 * loop: one libuv loop per thread: timers, fd watches, end-of-turn tasks, cross-thread posts, host
 * names. All functions but loop_post are for the loop's own thread.
 * A *_new function returns new and borrows `arg`. A *_close function may be called at any time, also from
 * the object's own callback: it returns at once, the callback never runs again, and the memory is freed
 * later. NULL is fine.
 */
#ifndef TIKETI_LOOP_H
#define TIKETI_LOOP_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct loop_timer;
struct loop_watch;
struct loop_idle;
struct loop_resolve;

typedef void (*loop_cb)(void *arg);

struct loop *loop_new(void); /* returns new; NULL when the system has no descriptors left */
/* Runs until loop_stop was called and no handle, task or post is left. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* The calling thread is the one that runs the loop: counts from now on how busy and how late it is, under this name
 * (worker_stats.h), until loop_run returns. */
void loop_name(struct loop *loop, const char *name);
/* Runs the last close callbacks, then frees the loop. Asserts that every object was closed, which finds leaks. NULL is
 * fine. */
void loop_free(struct loop *loop);
uint64_t loop_now_ms(const struct loop *loop); /* monotonic; read once per turn */
void *loop_uv(struct loop *loop);              /* the uv_loop_t, for ws_context and dial alone */

/* A one-shot timer. loop_timer_set starts it anew; called from the timer's own callback, that makes it periodic. */
struct loop_timer *loop_timer_new(struct loop *loop, loop_cb cb, void *arg);
void loop_timer_set(struct loop_timer *timer, uint64_t delay_ms);
void loop_timer_stop(struct loop_timer *timer);
void loop_timer_close(struct loop_timer *timer);

/* Watches an fd, level-triggered. The fd is borrowed and is made non-blocking. After a poll error the callback gets
 * READ|WRITE, whatever it asked for, so that the owner reads or writes and sees the error. Before closing the
 * fd, the owner sets events to 0 or closes the watch. loop_watch_new returns NULL when the fd cannot be watched
 * (it is a regular file, or this loop watches it already). */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };
typedef void (*loop_watch_cb)(void *arg, int events);
struct loop_watch *loop_watch_new(struct loop *loop, int fd, loop_watch_cb cb, void *arg);
void loop_watch_set(struct loop_watch *watch, int events);
void loop_watch_close(struct loop_watch *watch);

/* Between start and stop, cb runs once per turn and the loop does not sleep: for long work done in steps. */
struct loop_idle *loop_idle_new(struct loop *loop, loop_cb cb, void *arg);
void loop_idle_start(struct loop_idle *idle);
void loop_idle_stop(struct loop_idle *idle);
void loop_idle_close(struct loop_idle *idle);

/* A task, embedded in the caller's object, which must live until the task has run or is undeferred. */
struct loop_task {
    loop_cb cb;
    void *arg;
    struct loop_task *next;
    bool pending;
};
/* Runs the task once, later, before the loop next sleeps. No effect on a pending task. A task may defer itself
 * from its own callback. */
void loop_defer(struct loop *loop, struct loop_task *task);
void loop_undefer(struct loop *loop, struct loop_task *task); /* no effect if it is not pending */

/* May be called from any thread: runs cb(arg) soon on the loop's thread, in the order of the calls. Before
 * loop_free, join the threads that post. A post made before loop_run returns runs before it returns. */
void loop_post(struct loop *loop, loop_cb cb, void *arg);

#define LOOP_ADDRESSES_MAX 8
/* ST_OK: `addresses` has 1 to LOOP_ADDRESSES_MAX numeric addresses (borrowed) in the system's order of preference.
 * ST_NOT_FOUND: there is no such name. ST_UNAVAILABLE: the resolver failed. In both cases `count` is 0. */
typedef void (*loop_resolve_cb)(void *arg, enum status status, const char *const *addresses,
                                size_t count);
/* Resolves a host name on another thread; a numeric address is returned as it is. Copies `host`. cb runs exactly once, in a
 * later turn, unless the caller cancels first. There is no timeout here: the caller cancels at its own
 * deadline. The object is freed after cb, or by the cancellation. */
struct loop_resolve *loop_resolve_start(struct loop *loop, const char *host, loop_resolve_cb cb,
                                        void *arg);
void loop_resolve_cancel(struct loop_resolve *resolve); /* NULL is fine */

#endif
