/* SPDX-License-Identifier: MIT */
/*
 * redis_link: one connection to Redis that reconnects by itself. Only redis and redis_sub use it.
 */
#ifndef TIKETI_REDIS_LINK_H
#define TIKETI_REDIS_LINK_H

#include "base/status.h"
#include "net/loop.h"
#include "net/redis_reply.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis_link;
struct redis_tls;

/* The callbacks of a link's user. Each may close the link. */
struct redis_link_user {
    void (*greet)(void *arg); /* sends its part of the greeting with redis_link_greet */
    /* The reply to its i-th command of the greeting. NULL: go on; else the reason why this server is of no use,
     * which ends the attempt. Without this callback an error reply ends it. */
    const char *(*on_greeted)(void *arg, size_t i, const struct redis_reply *reply);
    void (*on_up)(void *arg); /* the greeting has been answered */
    void (*on_reply)(
        void *arg,
        const struct redis_reply
            *reply); /* called only while the link is up; `reply` is borrowed for the call */
    void (*on_down)(void *arg, bool was_up); /* also after each failed attempt to connect */
};

/* One server and how to sign in there. */
struct redis_endpoint {
    const char *host; /* a name or a numeric address; NULL: the Unix socket at `path` */
    int port;
    const char *path;
    const char *user, *password; /* NULL or "": none */
    int db;
    struct redis_tls *tls; /* NULL: plain */
    const char *name;      /* for CLIENT SETNAME; NULL or "": none */
};

/* Names the server before each attempt, in place of the endpoint's host and port. The link owns it. */
struct redis_locator {
    /* Calls redis_link_locate, now or later, or redis_link_fail. The link gives up after its timeout. */
    void (*ask)(void *arg, struct redis_link *link);
    void (*close)(void *arg, loop_cb cb,
                  void *cb_arg); /* calls `ask`'s link no more; runs cb later */
    void *arg;
};

struct redis_link_opts {
    struct loop *loop;
    struct redis_endpoint endpoint;      /* copied with its texts; a reference to `tls` is taken */
    const struct redis_locator *locator; /* copied; NULL: the endpoint's host is the server */
    int64_t timeout_ms;                  /* of one attempt to connect */
    bool sentinel; /* the server is a Sentinel: the log says so, and no metric counts it */
    const struct redis_link_user *user; /* borrowed for the life of the link */
    void *arg;
};

/* Returns new; begins to connect in a later turn of the loop. */
struct redis_link *redis_link_open(const struct redis_link_opts *opts);
/* For a locator: this attempt goes to that server. Copies `host`. No effect unless the link has asked. */
void redis_link_locate(struct redis_link *link, const char *host, int port);
/* Is it connected, or connecting, to another server than this one? */
bool redis_link_is_elsewhere(const struct redis_link *link, const char *host, int port);
/* Closes the link: no callback of `user` runs any more. Frees it later, then runs cb, which must not be NULL. */
void redis_link_close(struct redis_link *link, loop_cb cb, void *arg);
bool redis_link_up(const struct redis_link *link);
uint64_t
redis_link_heard_ms(const struct redis_link *link); /* loop_now_ms of the last bytes read */
/* The server of this attempt, or of the last one, as host:port (its path, of a Unix socket). */
void redis_link_server(const struct redis_link *link, char *out, size_t size);
size_t redis_link_unsent(const struct redis_link *link); /* an upper bound, bytes */

/* Appends a whole formatted command, which is copied. All commands of a turn are sent in one write. False: the link is
 * not connected, or memory is out. */
bool redis_link_send(struct redis_link *link, const char *text, size_t len);
/* Sends one command of the greeting; only for `greet`. The link takes the reply itself; an error reply ends the
 * attempt. */
void redis_link_greet(struct redis_link *link, size_t count, const char *const *argv);
/* Why there is no connection: the reason of the last failure; "" while up, and before the first attempt has ended. */
const char *redis_link_problem(const struct redis_link *link);
/* Ends the connection or the attempt to connect, and runs on_down before it returns. The next attempt follows after a
 * back-off. `reason` is logged. */
void redis_link_fail(struct redis_link *link, const char *reason);

#endif
