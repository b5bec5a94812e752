/* SPDX-License-Identifier: MIT */
/* hook_url: the address of a webhook. It comes from an organizer, and we send to it. Pure. */
#ifndef TIKETI_HOOK_URL_H
#define TIKETI_HOOK_URL_H

#include "net/client_ip.h"

#include <stdbool.h>

#define HOOK_URL_MAX 1024 /* bytes */

/* Checks that it is https://host[:port]/path as push_endpoint has it, or http:// to an address that is one of `allowed`.
 * *ret_plain: it is http. False: refused, with the reason in *ret_reason (static). */
bool hook_url_check(const char *text, const struct client_ip *allowed, bool *ret_plain,
                    const char **ret_reason);

#endif
