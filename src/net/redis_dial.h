/* SPDX-License-Identifier: MIT */
/* redis_dial: opens the link to the primary, wherever the settings say that it is. Used by redis and redis_sub. */
#ifndef TIKETI_REDIS_DIAL_H
#define TIKETI_REDIS_DIAL_H

#include "net/redis_link.h"
#include "net/redis_server.h"
#include "net/redis_url.h"

/* Returns new; reads the files of TLS, which blocks. `opts` has no endpoint, name and locator: the server says
 * them. Copies all texts. ST_INVALID: the server or the timeout cannot be used; redis_server_check says why. */
MUST_CHECK enum status redis_dial(const struct redis_server *server,
                                  const struct redis_link_opts *opts, struct redis_link **ret_link);
/* The two parts of it, for a caller that opens links to several servers by itself. On ST_OK the caller clears the
 * target and gives back the reference to *ret_tls, which is NULL for a plain connection. ST_INVALID: `problem` is
 * "SETTING: sentence". */
MUST_CHECK enum status redis_dial_prepare(const struct redis_server *server,
                                          struct redis_target *target, struct redis_tls **ret_tls,
                                          char *problem, size_t size);

#endif
