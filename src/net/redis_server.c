/* SPDX-License-Identifier: MIT */
/* redis_server: where Redis is and how it is reached. Called by: whatever opens a connection. Pure. */
#include "net/redis_server.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/redis_url.h"

struct redis_server redis_server_of(const struct config *config, const char *role)
{
    char pod[64] = "";
    struct redis_server server = {
        .url = config->redis_url,
        .tls_ca = config->redis_tls_ca,
        .tls_cert = config->redis_tls_cert,
        .tls_key = config->redis_tls_key,
        .tls_any_name = config->redis_tls_any_name,
        .sentinel_user = config->redis_sentinel_user,
        .sentinel_password = config->redis_sentinel_password,
    };
    (void)gethostname(pod, sizeof(pod) - 1);
    for (char *c = pod; *c != '\0'; c++) /* Redis takes no blanks in a name */
        if (*c <= ' ' || *c > '~')
            *c = '-';
    (void)snprintf(server.name, sizeof(server.name), "tiketi:%s:%s", pod, role);
    return server;
}

int redis_server_database(const char *url)
{
    struct redis_target target;
    const char *problem;
    if (!url || redis_url_parse(&target, url, &problem) != ST_OK)
        return 0;
    const int db = target.db;
    redis_target_clear(&target);
    return db;
}
