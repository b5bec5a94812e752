/* SPDX-License-Identifier: MIT */
/*
 * redis_link: one connection to Redis that comes back by itself; the ground under redis and
 * redis_sub, and the only includer of hiredis. Replies are struct redis_reply (redis.h).
 */
#ifndef TIKETI_REDIS_LINK_H
#define TIKETI_REDIS_LINK_H

#include "base/buf.h"
#include "net/loop.h"
#include "net/redis.h"

/* redis://[[user]:password@]host[:port][/db] or unix://[[user]:password@]/path[?db=n] */
struct redis_endpoint {
    char *host; /* NULL: a Unix socket */
    int port;
    char *path;            /* the Unix socket; "" otherwise */
    char *user, *password; /* NULL or "" when not given */
    int db;
};
/* Pure (redis_url.c). ST_INVALID on anything that is not exactly one of the two forms. */
MUST_CHECK enum status redis_url_parse(struct redis_endpoint *endpoint, const char *url);
void redis_endpoint_clear(struct redis_endpoint *endpoint);

/* What the user of a link adds to it. Any of these may close the link. */
struct redis_link_user {
    void (*greet)(void *arg); /* sends its part of the greeting by redis_link_greet */
    void (*on_up)(void *arg);
    void (*on_reply)(void *arg, const struct redis_reply *reply); /* while up */
    void (*on_down)(void *arg, bool was_up); /* also after each failed attempt */
};

struct redis_link;

/* New; connects soon, never from inside. ST_INVALID on a bad URL. */
MUST_CHECK enum status redis_link_open(struct loop *loop, const char *url, int64_t timeout_ms,
                                       const struct redis_link_user *user, void *arg,
                                       struct redis_link **ret_link);
/* Nothing of `user` runs afterwards; cb (not NULL) runs later, when the object is gone. */
void redis_link_close(struct redis_link *link, loop_cb cb, void *arg);
bool redis_link_up(const struct redis_link *link);
uint64_t redis_link_heard_ms(const struct redis_link *link); /* when Redis last said anything */
size_t redis_link_unsent(const struct redis_link *link);     /* bytes, at most */

/* Appends a whole command; all of a turn leave in one write. False: not open, or memory is out. */
bool redis_link_send(struct redis_link *link, const char *text, size_t len);
/* One command of the greeting. */
void redis_link_greet(struct redis_link *link, size_t count, const char *const *argv);
/* Ends the connection, or the attempt; on_down runs from within; then a new attempt after a while. */
void redis_link_fail(struct redis_link *link, const char *why);

/* The protocol's form of a command: a head, then each argument. */
void redis_format_head(struct buf *out, size_t count);
void redis_format_arg(struct buf *out, const char *text, size_t len);

#endif
