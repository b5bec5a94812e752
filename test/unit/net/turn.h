/* SPDX-License-Identifier: MIT */
/*
 * turn: the loop of a test, which is turned by hand until something has happened. A world has it in `loop`, and in `tick` a
 * timer that keeps every turn short.
 */
#ifndef TIKETI_TEST_TURN_H
#define TIKETI_TEST_TURN_H

#include <uv.h>

#include "net/loop.h"

#define TURN_MS 5

static inline void turn_on_tick(void *arg)
{
    struct loop_timer *const *tick = arg;
    loop_timer_set(*tick, TURN_MS);
}

/* `tick` must stay where it is until turn_end. */
static inline struct loop *turn_begin(struct loop_timer **tick)
{
    struct loop *loop = loop_new();
    assert_non_null(loop);
    *tick = loop_timer_new(loop, turn_on_tick, tick);
    loop_timer_set(*tick, TURN_MS);
    return loop;
}

/* Nothing else may be left on the loop. */
static inline void turn_end(struct loop *loop, struct loop_timer *tick)
{
    loop_timer_close(tick);
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
}

static inline uint64_t turn_now_ms(struct loop *loop)
{
    uv_update_time(loop_uv(loop));
    return loop_now_ms(loop);
}

/* Turns the loop of the world until the condition holds, or for so long. */
#define TURN_UNTIL(w, condition, ms)                                                               \
    do {                                                                                           \
        const uint64_t turn_end_ms = turn_now_ms((w)->loop) + (ms);                                \
        while (!(condition) && turn_now_ms((w)->loop) < turn_end_ms)                               \
            uv_run(loop_uv((w)->loop), UV_RUN_ONCE);                                               \
    } while (0)

#endif
