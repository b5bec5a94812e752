/* SPDX-License-Identifier: MIT */
/*
 * redis_link: one connection to Redis that reconnects by itself; below redis and redis_sub, which alone
 * use it.
 */
#ifndef TIKETI_REDIS_LINK_H
#define TIKETI_REDIS_LINK_H

#include "base/status.h"
#include "net/loop.h"
#include "net/redis_reply.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The callbacks of a link's user. Each may close the link. */
struct redis_link_user {
    void (*greet)(void *arg); /* sends its part of the greeting with redis_link_greet */
    void (*on_up)(void *arg); /* the greeting has been answered */
    void (*on_reply)(
        void *arg,
        const struct redis_reply
            *reply); /* called only while the link is up; `reply` is borrowed for the call */
    void (*on_down)(void *arg, bool was_up); /* also after each failed attempt to connect */
};

struct redis_link;

/* Returns new; begins to connect soon, never from inside the call. Copies `url`; borrows `user` for the
 * life of the link. timeout_ms bounds one attempt to connect. ST_INVALID on a bad URL or timeout. */
MUST_CHECK enum status redis_link_open(struct loop *loop, const char *url, int64_t timeout_ms,
                                       const struct redis_link_user *user, void *arg,
                                       struct redis_link **ret_link);
/* No callback of `user` runs afterwards; the link is freed later, then cb (not NULL) runs. */
void redis_link_close(struct redis_link *link, loop_cb cb, void *arg);
bool redis_link_up(const struct redis_link *link);
uint64_t
redis_link_heard_ms(const struct redis_link *link);      /* loop_now_ms of the last bytes read */
size_t redis_link_unsent(const struct redis_link *link); /* an upper bound, bytes */

/* Appends a whole formatted command (copied); all those of a turn leave in one write. False: not open, or
 * out of memory. */
bool redis_link_send(struct redis_link *link, const char *text, size_t len);
/* From `greet`: sends one command of the greeting. Its reply goes to the link; an error ends the attempt. */
void redis_link_greet(struct redis_link *link, size_t count, const char *const *argv);
/* Ends the connection, or the attempt; on_down runs from within. The next attempt follows after a
 * back-off. `reason` is for the log. */
void redis_link_fail(struct redis_link *link, const char *reason);

#endif
