/* SPDX-License-Identifier: MIT */
/* proxy_config: the configuration of nginx that `tiketi proxy` runs. Pure. */
#ifndef TIKETI_PROXY_CONFIG_H
#define TIKETI_PROXY_CONFIG_H

#include "base/buf.h"
#include "proxy/proxy_settings.h"

/* The addresses of a name, "10.0.0.1:80" or "[::1]:80", sorted. */
struct proxy_servers {
    size_t count;
    char items[PROXY_SERVER_MAX][PROXY_ADDRESS_SIZE];
};

struct proxy_addresses {
    struct proxy_servers origin, service, socket;
};

/* Appends the whole configuration. */
void proxy_config_write(const struct proxy_settings *settings,
                        const struct proxy_addresses *addresses, struct buf *out);

#endif
