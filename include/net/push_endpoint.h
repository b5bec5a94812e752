/* SPDX-License-Identifier: MIT */
/*
 * push_endpoint: the address of a push service for one browser. It comes from a buyer, and we send to it. Pure.
 */
#ifndef TIKETI_PUSH_ENDPOINT_H
#define TIKETI_PUSH_ENDPOINT_H

#include "net/client_ip.h"

#include <stdbool.h>
#include <stddef.h>

#define PUSH_ENDPOINT_MAX 1024 /* bytes; those of known services have up to 600 */

/* Checks that it is https://host[:port]/path: printable ASCII, no user, no fragment, a host with a dot or an address; an
 * address must be public or one of `allowed`. A name is judged when it is connected to (http_client). Returns the length
 * of its origin, "https://host[:port]"; 0: refused, with the reason in *ret_reason (static). */
size_t push_endpoint_check(const char *text, const struct client_ip *allowed,
                           const char **ret_reason);

#endif
