/* SPDX-License-Identifier: MIT */
/*
 * client_ip: finds the client's address of a request. Of X-Forwarded-For only the entries that proxies of
 * TRUSTED_PROXIES wrote are trusted: the client is the first address from the right that is not one of those
 * proxies. Pure.
 */
#ifndef TIKETI_CLIENT_IP_H
#define TIKETI_CLIENT_IP_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define CLIENT_IP_SIZE 46 /* INET6_ADDRSTRLEN */

struct client_ip;

/* Returns new. `trusted`: comma-separated addresses or CIDRs; NULL: no proxy is trusted. ST_INVALID: `error` says which
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

/* Replaces an IPv6 address in address[CLIENT_IP_SIZE] by its /64 network, since one client usually has all
 * addresses of such a network. Leaves any other text unchanged. */
void client_ip_to_network(char *address);

/* Is `origin` an item of `list`? Commas or spaces separate the items; case does not matter. False when `origin`
 * is "". */
bool client_ip_origin_listed(const char *list, const char *origin);

/* Do two authorities ("host", "host:port", "[::1]:port") name the same host, whatever the port? False when
 * either names none. */
bool client_ip_same_host(const char *one, const char *other);

#endif
