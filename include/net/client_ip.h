/* SPDX-License-Identifier: MIT */
/*
 * client_ip: finds the address of the client that sent a request. X-Forwarded-For counts only when a proxy of
 * TRUSTED_PROXIES sent it: the client's address is then the first from the right that is not one of those proxies.
 * Pure.
 */
#ifndef TIKETI_CLIENT_IP_H
#define TIKETI_CLIENT_IP_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define CLIENT_IP_SIZE      46                   /* INET6_ADDRSTRLEN */
#define CLIENT_NETWORK_SIZE (CLIENT_IP_SIZE + 3) /* with "/64" */

struct client_ip;

/* Returns new. `trusted`: comma-separated addresses or CIDRs, as config_check has read them; NULL: no proxy is trusted.
 * ST_INVALID: `error` says which item is wrong. */
MUST_CHECK enum status client_ip_new(const char *trusted, struct client_ip **ret, char *error,
                                     size_t error_size);
void client_ip_free(struct client_ip *client_ip); /* NULL is fine */

/* Is this the numeric address of a trusted proxy? */
bool client_ip_trusted(const struct client_ip *client_ip, const char *address);

/* Writes the client's address, in canonical text, into out[CLIENT_IP_SIZE]. `peer` is the numeric address of
 * the connection; forwarded_for is the value of X-Forwarded-For, or NULL. */
void client_ip_of(const struct client_ip *client_ip, const char *peer, const char *forwarded_for,
                  char *out);

/* Is this numeric address the machine's own? */
bool client_ip_is_loopback(const char *address);

/* Replaces the address in address[CLIENT_IP_SIZE] by the one that limits count. An IPv6 address that carries an
 * IPv4 one (NAT64's 64:ff9b::/96, 6to4's 2002::/16, ::ffff:0:0/96) counts as that one, any other as its /64
 * network, since one client usually has all addresses of such a network. Other text stays. */
void client_ip_to_counted(char *address);
/* Writes the network that the address counts for into out[CLIENT_NETWORK_SIZE]: "192.0.2.0/24", "2001:db8::/64".
 * Carried IPv4 addresses as above; text that is no address is copied. */
void client_ip_network(const char *address, char *out);

/* Is `origin` an item of `list`? Commas or spaces separate the items; case does not matter. False when `origin`
 * is "". */
bool client_ip_origin_listed(const char *list, const char *origin);

/* Do two authorities ("host", "host:port", "[::1]:port") name the same host, whatever the port? False when
 * either names none. */
bool client_ip_same_host(const char *one, const char *other);

#endif
