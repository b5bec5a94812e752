/* SPDX-License-Identifier: MIT */
/* cidr: lists of IP addresses and networks, as settings name them: TRUSTED_PROXIES, OUTBOUND_ALLOW. Pure. */
#ifndef TIKETI_CIDR_H
#define TIKETI_CIDR_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CIDR_LIST_MAX      64
#define CIDR_ADDRESS_SIZE  46 /* INET6_ADDRSTRLEN */
#define CIDR_ADDRESS_BYTES 16 /* an IPv4 address is kept as ::ffff:a.b.c.d */

struct cidr_list {
    struct {
        uint8_t address[CIDR_ADDRESS_BYTES];
        unsigned bits;
    } items[CIDR_LIST_MAX];
    size_t count;
};

/* Reads a numeric address. *ret_v4: it is an IPv4 one, also written as an IPv6 one. False: it is none. */
bool cidr_read_address(const char *text, uint8_t ret_address[CIDR_ADDRESS_BYTES], bool *ret_v4);

/* Reads comma-separated addresses and CIDRs into *ret_list; NULL: none. ST_INVALID: `error` is a sentence that begins with the
 * item that is wrong. */
MUST_CHECK enum status cidr_list_read(const char *text, struct cidr_list *ret_list, char *error,
                                      size_t error_size);
bool cidr_list_has(const struct cidr_list *list, const uint8_t address[CIDR_ADDRESS_BYTES]);

#endif
