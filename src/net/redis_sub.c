/* SPDX-License-Identifier: MIT */
/*
 * redis_sub: a subscription to one channel that renews itself.
 *
 * Why this way: a subscriber sends nothing, so it would never notice a dead connection; therefore it
 * pings (RESP2 allows that while subscribed) and drops a connection that stays silent.
 * Called by: gateway and processor. Owns: its connection; Redis allows no other commands on it.
 * Invariants: on_state(true) comes before the first message of a subscription, on_state(false) after
 * the last. What is published while it is down is lost: Pub/Sub is only a hint to look.
 * When Redis is gone: noticed within twice the timeout; then as in redis_link.c.
 */
#include "net/redis.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "net/redis_link.h"

struct redis_sub {
    struct redis_link *link;
    struct redis_sub_opts opts;
    char *channel;
    struct loop_timer *timer; /* while up: the next ping, or the deadline of the last */
    bool pinged;              /* a ping was sent, and nothing was received since */
    bool late;                /* the deadline has passed; the socket is read once more */
    loop_cb on_closed;
    void *on_closed_arg;
};

static void on_sub_greet(void *arg)
{
    struct redis_sub *sub = arg;
    const char *argv[] = {"SUBSCRIBE", sub->channel};
    redis_link_greet(sub->link, 2, argv);
}

static void on_sub_up(void *arg)
{
    struct redis_sub *sub = arg;
    sub->pinged = sub->late = false;
    loop_timer_set(sub->timer, (uint64_t)sub->opts.timeout_ms);
    if (sub->opts.on_state)
        sub->opts.on_state(sub->opts.arg, true);
}

static void on_sub_down(void *arg, bool was_up)
{
    struct redis_sub *sub = arg;
    loop_timer_stop(sub->timer);
    if (was_up && sub->opts.on_state)
        sub->opts.on_state(sub->opts.arg, false);
}

/* ["message", channel, data]; anything else (a pong) only shows that Redis is alive. */
static void on_sub_reply(void *arg, const struct redis_reply *reply)
{
    struct redis_sub *sub = arg;
    sub->pinged = sub->late = false;
    if (redis_reply_type(reply) == REDIS_ERROR) {
        redis_link_fail(sub->link, redis_reply_str(reply, NULL));
        return;
    }
    size_t len;
    const char *kind = redis_reply_str(redis_reply_at(reply, 0), NULL);
    const char *data = redis_reply_str(redis_reply_at(reply, 2), &len);
    if (kind && data && strcmp(kind, "message") == 0)
        sub->opts.on_message(sub->opts.arg, data, len);
}

static void on_sub_timer(void *arg)
{
    static const char ping[] = "*1\r\n$4\r\nPING\r\n";
    struct redis_sub *sub = arg;
    if (sub->pinged && sub->late) {
        redis_link_fail(sub->link, "ping timed out");
        return;
    }
    sub->late = sub->pinged; /* times out one turn later: the pong may be in the socket already */
    loop_timer_set(sub->timer, sub->late ? 1 : (uint64_t)sub->opts.timeout_ms);
    if (sub->late)
        return;
    sub->pinged = true;
    if (!redis_link_send(sub->link, ping, sizeof(ping) - 1))
        redis_link_fail(sub->link, "out of memory");
}

static const struct redis_link_user sub_user = {
    .greet = on_sub_greet,
    .on_up = on_sub_up,
    .on_reply = on_sub_reply,
    .on_down = on_sub_down,
};

static void on_sub_gone(void *arg)
{
    struct redis_sub *sub = arg;
    loop_cb cb = sub->on_closed;
    void *cb_arg = sub->on_closed_arg;
    free(sub->channel);
    free(sub);
    if (cb)
        cb(cb_arg);
}

enum status redis_sub_open(const struct redis_sub_opts *opts, struct redis_sub **ret)
{
    struct redis_sub *sub = xcalloc(1, sizeof(*sub));
    enum status st =
        redis_link_open(opts->loop, opts->url, opts->timeout_ms, &sub_user, sub, &sub->link);
    if (st != ST_OK) {
        free(sub);
        return st;
    }
    sub->opts = *opts;
    sub->channel = xstrdup(opts->channel);
    sub->timer = loop_timer_new(opts->loop, on_sub_timer, sub);
    *ret = sub;
    return ST_OK;
}

void redis_sub_close(struct redis_sub *sub, loop_cb cb, void *arg)
{
    if (!sub) {
        if (cb)
            cb(arg);
        return;
    }
    sub->on_closed = cb;
    sub->on_closed_arg = arg;
    loop_timer_close(sub->timer);
    redis_link_close(sub->link, on_sub_gone, sub);
}
