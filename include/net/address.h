/* SPDX-License-Identifier: MIT */
/* address: which numeric IP addresses belong to the public internet. Pure. */
#ifndef TIKETI_ADDRESS_H
#define TIKETI_ADDRESS_H

#include <stdbool.h>

/* Is it an address that anybody on the internet reaches? No are: loopback, private, link-local, shared (100.64/10),
 * unique local, multicast, documentation, benchmarking, reserved; and an IPv6 address that carries such an IPv4 one. False
 * for a text that is no address. */
bool address_is_public(const char *text);

#endif
