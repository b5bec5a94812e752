/* SPDX-License-Identifier: MIT */
/* proxy_resolve: the addresses of the names that nginx is to reach. Blocks for as long as the resolver does. */
#ifndef TIKETI_PROXY_RESOLVE_H
#define TIKETI_PROXY_RESOLVE_H

#include "proxy/proxy_config.h"

/* ST_UNAVAILABLE: a name has no address now; `error` has a sentence. *ret is then not valid. */
MUST_CHECK enum status proxy_resolve(const struct proxy_settings *settings,
                                     struct proxy_addresses *ret, struct options_error *error);

enum proxy_answer { PROXY_ANSWERS, PROXY_SILENT, PROXY_WRONG_PREFIX, PROXY_NOT_TRUSTED };
/* Asks the service whether it is below the prefix, and whether it believes what this machine says of a client (TRUSTED_PROXIES). One
 * over HTTPS is not asked. */
enum proxy_answer proxy_ask_service(const struct proxy_settings *settings);

#endif
