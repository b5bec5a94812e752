/* SPDX-License-Identifier: MIT */
/* redis_sentinel: asks Redis Sentinels where the primary is, for one link. Used by redis_dial alone. */
#ifndef TIKETI_REDIS_SENTINEL_H
#define TIKETI_REDIS_SENTINEL_H

#include "net/redis_link.h"
#include "net/redis_reply.h"
#include "net/redis_url.h"

#define SENTINEL_HOST_MAX 255

/* Where a Sentinel says that the primary is. */
struct redis_primary {
    char host[SENTINEL_HOST_MAX + 1]; /* "": nowhere */
    int port;
};

/* Reads the reply to SENTINEL GET-MASTER-ADDR-BY-NAME. False: it names no server. */
bool redis_sentinel_read(const struct redis_reply *reply, struct redis_primary *ret_primary);
/* Reads a message of +switch-master, "name old-host old-port new-host new-port": the new one. False: it is none, or of
 * another name. */
bool redis_sentinel_read_switch(const char *text, const char *name,
                                struct redis_primary *ret_primary);

struct redis_sentinel_opts {
    struct loop *loop;                 /* borrowed */
    const struct redis_target *target; /* its hosts and its primary's name are copied */
    struct redis_tls *tls;             /* NULL: plain; a reference is taken */
    const char *user, *password;       /* of the Sentinels; copied; NULL: none */
    const char *name;                  /* for CLIENT SETNAME; copied */
    int64_t timeout_ms;                /* that of the link */
};

/* Returns new, for redis_link_open, whose link closes it. */
struct redis_locator redis_sentinel_new(const struct redis_sentinel_opts *opts);

#endif
