/* SPDX-License-Identifier: MIT */
/*
 * client_ip: which client address a request counts under. X-Forwarded-For is trusted only as far as proxies
 * of TRUSTED_PROXIES wrote it: from the right, the first address that is not one of them. Pure.
 */
#ifndef TIKETI_CLIENT_IP_H
#define TIKETI_CLIENT_IP_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define CLIENT_IP_SIZE 46 /* INET6_ADDRSTRLEN */

struct client_ip;

/* Returns new. `trusted`: comma-separated addresses or CIDRs, or NULL for none. ST_INVALID: `error` says which
 * item is wrong. */
MUST_CHECK enum status client_ip_new(const char *trusted, struct client_ip **ret, char *error,
                                     size_t error_size);
void client_ip_free(struct client_ip *client_ip); /* NULL is fine */

/* Is this numeric address one of a trusted proxy? */
bool client_ip_trusted(const struct client_ip *client_ip, const char *address);

/* Writes the client's address, in canonical text, into out[CLIENT_IP_SIZE]. `peer` is the numeric address of
 * the connection; forwarded_for may be NULL. */
void client_ip_of(const struct client_ip *client_ip, const char *peer, const char *forwarded_for,
                  char *out);

/* Reduces an IPv6 address in address[CLIENT_IP_SIZE] to its network of 64 bits, since one client has all
 * addresses of such a network. Leaves any other text as it is. */
void client_ip_to_network(char *address);

/* Is `origin` one of the items of `list`, which commas or spaces separate? Ignores case; false for "". */
bool client_ip_origin_listed(const char *list, const char *origin);

/* Do two authorities ("host", "host:port", "[::1]:port") name the same host, whatever the port? False when
 * either names none. */
bool client_ip_same_host(const char *one, const char *other);

#endif
