/* SPDX-License-Identifier: MIT */
/* redis_url: what a URL says about where Redis is: servers, credentials, the number of the database. Pure. */
#ifndef TIKETI_REDIS_URL_H
#define TIKETI_REDIS_URL_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define REDIS_HOSTS_MAX 32 /* of one URL */

enum redis_mode {
    REDIS_SINGLE,   /* the hosts are one primary, or none: a Unix socket */
    REDIS_SENTINEL, /* the hosts are Sentinels, which know the primary of the name `master` */
    REDIS_CLUSTER   /* the hosts are nodes of a Redis Cluster, which know all others */
};

struct redis_host {
    char *name; /* a host name or a numeric address, without brackets */
    int port;
};

struct redis_target {
    enum redis_mode mode;
    bool tls; /* on each connection, those to Sentinels included */
    struct redis_host *hosts;
    size_t host_count;
    char *path;            /* of the Unix socket; NULL: there are hosts */
    char *master;          /* NULL unless mode is REDIS_SENTINEL */
    char *user, *password; /* of Redis, not of Sentinels; both NULL, or both set and maybe "" */
    int db;                /* 0 where mode is REDIS_CLUSTER */
};

/* The forms, where [] may be left out and `user` and `password` are percent-encoded:
 *   redis://[[user]:password@]host[:6379][/db][?db=n]     rediss:// is the same over TLS
 *   unix://[[user]:password@]/path[?db=n]
 *   redis+sentinel://[[user]:password@]host[:26379],host…/master[/db]     and rediss+sentinel://
 *   redis+cluster://[[user]:password@]host[:6379],host…                   and rediss+cluster://
 * On ST_OK the target owns its texts; free them with redis_target_clear. ST_INVALID: *ret_problem is a sentence about
 * the URL that names the way out and shows none of its secrets; the target is then empty. */
MUST_CHECK enum status redis_url_parse(struct redis_target *target, const char *url,
                                       const char **ret_problem);
/* Overwrites user and password, frees all texts, and zeroes the target. */
void redis_target_clear(struct redis_target *target);

#endif
