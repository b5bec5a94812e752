/* SPDX-License-Identifier: MIT */
/*
 * client_ip: whose address a request counts under. X-Forwarded-For is believed only as far as it was
 * written by TRUSTED_PROXIES: from the right, the first address that is not a trusted proxy.
 */
#ifndef TIKETI_CLIENT_IP_H
#define TIKETI_CLIENT_IP_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define CLIENT_IP_SIZE 46 /* INET6_ADDRSTRLEN */

struct client_ip;

/* `trusted`: comma-separated addresses or CIDRs, or NULL. ST_INVALID with the bad item in error. */
MUST_CHECK enum status client_ip_new(const char *trusted, struct client_ip **ret, char *error,
                                     size_t error_size);
void client_ip_free(struct client_ip *client_ip);

bool client_ip_trusted(const struct client_ip *client_ip, const char *address);

/* Writes the client's address, in canonical text, into out[CLIENT_IP_SIZE]. */
void client_ip_of(const struct client_ip *client_ip, const char *peer, const char *forwarded_for,
                  char *out);

/* One client has all the addresses of an IPv6 network of 64 bits: of such an address, in
 * address[CLIENT_IP_SIZE], the network is left. */
void client_ip_to_network(char *address);

/* Is `origin` on the list, whose items are parted by commas or blanks? Letters' case aside; never an empty one. */
bool client_ip_origin_listed(const char *list, const char *origin);

/* Do two authorities ("host", "host:port", "[::1]:port") name the same host, whatever the port?
 * False when either names none. */
bool client_ip_same_host(const char *one, const char *other);

#endif
