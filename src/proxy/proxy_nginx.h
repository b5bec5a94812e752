/* SPDX-License-Identifier: MIT */
/* proxy_nginx: one nginx of our own, with a folder of its own: written for, started, reloaded and stopped. */
#ifndef TIKETI_PROXY_NGINX_H
#define TIKETI_PROXY_NGINX_H

#include "base/buf.h"
#include "base/options.h"

#include <sys/types.h>

#define NGINX_PATH_MAX 512

struct proxy_nginx {
    char program[NGINX_PATH_MAX];
    char dir[NGINX_PATH_MAX]; /* of its configuration, temporary files and pid */
    pid_t pid;                /* 0: it does not run */
};

/* Finds the program (`program`, or nginx in PATH and where Debian has it) and makes the folder (`dir`, or one for this event).
 * ST_NOT_FOUND: there is no nginx; ST_INVALID: the folder cannot be used. `error` has a sentence. */
MUST_CHECK enum status proxy_nginx_find(const char *program, const char *dir, const char *event,
                                        struct proxy_nginx *ret, struct options_error *error);
/* Has nginx judge this configuration, and puts it in the place of the old one if it is right; else the old one stays and
 * nginx has said why on stderr. */
MUST_CHECK enum status proxy_nginx_configure(const struct proxy_nginx *nginx,
                                             const struct buf *text, struct options_error *error);
/* Starts it. It ends with this process, however that ends. */
MUST_CHECK enum status proxy_nginx_start(struct proxy_nginx *nginx, struct options_error *error);
void proxy_nginx_reload(const struct proxy_nginx *nginx);
/* Lets requests finish for some seconds, and waits for its end. */
void proxy_nginx_stop(struct proxy_nginx *nginx);
/* Has it ended? Then its exit status is in *ret_status. */
bool proxy_nginx_ended(struct proxy_nginx *nginx, int *ret_status);

#endif
