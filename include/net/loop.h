/* SPDX-License-Identifier: MIT */
/*
 * loop: one libuv loop per thread: timers, fd watches, end-of-turn tasks, cross-thread posts,
 * host names.
 * All calls but loop_post are for the loop's own thread. Memory of a handle is released in libuv's
 * close callback; the *_close functions return at once, their callbacks never run afterwards, and
 * NULL is fine.
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

struct loop *loop_new(void);      /* NULL when the system has no descriptors left */
void loop_run(struct loop *loop); /* until loop_stop, then runs on until no handle is left */
void loop_stop(struct loop *loop);
/* Runs what is left to close, then frees. Asserts that no handle is left open (the leak check). */
void loop_free(struct loop *loop);
uint64_t loop_now_ms(const struct loop *loop); /* monotonic, cached per turn */
void *loop_uv(struct loop *loop);              /* the uv_loop_t, for ws.c and dial.c alone */

/* One-shot timer; loop_timer_set re-arms it (from its own callback too: that makes it periodic). */
struct loop_timer *loop_timer_new(struct loop *loop, loop_cb cb, void *arg);
void loop_timer_set(struct loop_timer *timer, uint64_t delay_ms);
void loop_timer_stop(struct loop_timer *timer);
void loop_timer_close(struct loop_timer *timer);

/* Level-triggered readiness of a borrowed fd (which becomes non-blocking). A poll error reports
 * READ|WRITE, whatever was asked for, so that the owner tries and sees the error. Before the fd is
 * closed by its owner: set events to 0, or close the watch. NULL when the fd cannot be watched (a
 * regular file, or one that is already watched on this loop). */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };
typedef void (*loop_watch_cb)(void *arg, int events);
struct loop_watch *loop_watch_new(struct loop *loop, int fd, loop_watch_cb cb, void *arg);
void loop_watch_set(struct loop_watch *watch, int events);
void loop_watch_close(struct loop_watch *watch);

/* Runs while started, once per turn, without letting the loop sleep: for work cut into steps. */
struct loop_idle *loop_idle_new(struct loop *loop, loop_cb cb, void *arg);
void loop_idle_start(struct loop_idle *idle);
void loop_idle_stop(struct loop_idle *idle);
void loop_idle_close(struct loop_idle *idle);

/* A task embedded in the caller's object; loop_defer runs it once, before the loop next sleeps.
 * Deferring a pending task again changes nothing. It may be deferred from its own callback. */
struct loop_task {
    loop_cb cb;
    void *arg;
    struct loop_task *next;
    bool pending;
};
void loop_defer(struct loop *loop, struct loop_task *task);
void loop_undefer(struct loop *loop, struct loop_task *task);

/* From any thread: runs cb(arg) soon on the loop's thread, in the order posted. The loop must not be
 * freed meanwhile: join the poster first. What was posted before loop_run returns has run by then. */
void loop_post(struct loop *loop, loop_cb cb, void *arg);

/* Resolves a host name off the loop's thread; a numeric address needs no thread. Copies `host`. cb
 * runs exactly once, later: ST_OK with 1..LOOP_ADDRESSES_MAX numeric addresses in the system's order
 * of preference (borrowed), or ST_NOT_FOUND, or ST_UNAVAILABLE when the resolver itself has trouble,
 * with none. It has no deadline of its own: the caller cancels; then cb never runs. After either,
 * the object is gone. */
#define LOOP_ADDRESSES_MAX 8
typedef void (*loop_resolve_cb)(void *arg, enum status status, const char *const *addresses,
                                size_t count);
struct loop_resolve *loop_resolve_start(struct loop *loop, const char *host, loop_resolve_cb cb,
                                        void *arg);
void loop_resolve_cancel(struct loop_resolve *resolve);

#endif
