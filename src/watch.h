/* SPDX-License-Identifier: MIT */
/*
 * watch: main's thread while the service runs: it waits for signals, and tells the service manager meanwhile when the service
 * is ready, and that all its workers turn.
 */
#ifndef TIKETI_WATCH_H
#define TIKETI_WATCH_H

#include "api/api.h"
#include "base/notify.h"
#include "worker.h"

#include <signal.h>
#include <stddef.h>

struct watch {
    struct notify notify;
    struct worker *const *workers; /* borrowed */
    size_t count;
    const struct api_health *health; /* borrowed */
    uint64_t look_ms;                /* when to look at the workers again; CLOCK_MONOTONIC */
    bool ready;                      /* the manager was told so */
    bool stuck; /* a worker did not answer when it was last looked at, and that was logged */
};

/* Before any thread starts. */
void watch_open(struct watch *watch);
/* The workers have been started. */
void watch_begin(struct watch *watch, struct worker *const *workers, size_t count,
                 const struct api_health *health);
/* Waits for one of `signals`, which every thread has blocked. Returns its number. */
int watch_wait(struct watch *watch, const sigset_t *signals);
/* Around a reload. */
void watch_reloading(const struct watch *watch);
void watch_reloaded(const struct watch *watch);
/* The service ends, within drain_ms and a moment; nobody looks at the workers any more. */
void watch_stopping(const struct watch *watch, int64_t drain_ms);
void watch_close(struct watch *watch);

#endif
