/* SPDX-License-Identifier: MIT */
/*
 * replay_flow: replays the token bucket of outflowPerMinute. Pure. Called by: replay. Owns: the counts of a window.
 *
 * Why this way: a sequence of admissions keeps the limit in every window, however long, exactly when a bucket that is full
 * at the beginning never lacks a token. So one pass over the log judges all windows. The log has ms where the scripts have
 * µs, so an admission may come a ms early. The window of ten seconds is counted besides, for people.
 */
#include "queue/replay_flow.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

#define TOKEN     INT64_C(60000000) /* as in lua/shared.lua: µs in a minute */
#define MINUTE_MS INT64_C(60000)

static int64_t bucket_size(uint64_t rate)
{
    const int64_t second = (int64_t)rate * 1000000;
    return second > TOKEN ? second : TOKEN;
}

void replay_flow_clear(struct replay_flow *flow)
{
    free(flow->per_ms);
    *flow = (struct replay_flow){.rate = 0};
}

static void forget_window(struct replay_flow *flow)
{
    flow->in_window = 0;
    if (flow->rate > 0 && !flow->per_ms)
        flow->per_ms = xcalloc(REPLAY_FLOW_WINDOW_MS, sizeof(*flow->per_ms));
    else if (flow->per_ms)
        memset(flow->per_ms, 0, REPLAY_FLOW_WINDOW_MS * sizeof(*flow->per_ms));
}

void replay_flow_set(struct replay_flow *flow, uint64_t rate)
{
    flow->rate = rate;
    flow->tokens = bucket_size(rate);
    flow->just_set = true;
    flow->unruly = 0;
    forget_window(flow);
}

void replay_flow_pass(struct replay_flow *flow, int64_t at_ms)
{
    int64_t passed = flow->at_ms > 0 && at_ms > flow->at_ms ? at_ms - flow->at_ms : 0;
    flow->at_ms = at_ms;
    if (flow->rate == 0)
        return;
    if (passed >= REPLAY_FLOW_WINDOW_MS) {
        forget_window(flow);
    } else {
        for (int64_t i = 1; i <= passed; i++) {
            uint32_t *oldest = &flow->per_ms[(flow->now_ms + i) % REPLAY_FLOW_WINDOW_MS];
            flow->in_window -= *oldest;
            *oldest = 0;
        }
    }
    flow->now_ms += passed;
    passed = passed < MINUTE_MS ? passed : MINUTE_MS; /* the bucket is full then */
    flow->tokens += passed * 1000 * (int64_t)flow->rate;
    if (flow->tokens > bucket_size(flow->rate))
        flow->tokens = bucket_size(flow->rate);
}

void replay_flow_change(struct replay_flow *flow, uint64_t rate, int64_t at_ms)
{
    const uint64_t before = flow->rate;
    replay_flow_pass(flow, at_ms);
    const int64_t tokens = flow->tokens;
    /* The copy in PostgreSQL may lack one of two changes without an admission between them. */
    const bool known = before > 0 && !flow->just_set;
    replay_flow_set(flow, rate);
    if (known && tokens < flow->tokens)
        flow->tokens = tokens;
}

void replay_flow_by_hand(struct replay_flow *flow, uint64_t count)
{
    flow->unruly = flow->rate > 0 ? count : 0;
}

static void count_window(struct replay_flow *flow)
{
    const uint64_t allowed =
        (uint64_t)(bucket_size(flow->rate) +
                   (int64_t)flow->rate * REPLAY_FLOW_WINDOW_MS * INT64_C(1000)) /
        (uint64_t)TOKEN;
    flow->per_ms[flow->now_ms % REPLAY_FLOW_WINDOW_MS]++;
    flow->in_window++;
    if (flow->worst_of == 0 ||
        (double)flow->in_window * (double)flow->worst_of > (double)flow->worst * (double)allowed) {
        flow->worst = flow->in_window;
        flow->worst_of = allowed;
    }
}

bool replay_flow_take(struct replay_flow *flow, bool offered, int64_t at_ms)
{
    replay_flow_pass(flow, at_ms);
    if (flow->rate == 0)
        return true;
    flow->just_set = false;
    flow->tokens -= TOKEN;
    if (offered && flow->unruly > 0) {
        flow->unruly--;
        if (flow->tokens < 0)
            flow->tokens = 0;
        return true;
    }
    count_window(flow);
    if (flow->tokens >= -1000 * (int64_t)flow->rate)
        return true;
    flow->tokens = 0;
    return false;
}
