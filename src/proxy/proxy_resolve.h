/* SPDX-License-Identifier: MIT */
/* proxy_resolve: the addresses of the names that nginx is to reach. Blocks for as long as the resolver does. */
#ifndef TIKETI_PROXY_RESOLVE_H
#define TIKETI_PROXY_RESOLVE_H

#include "proxy/proxy_config.h"

/* ST_UNAVAILABLE: a name has no address now; `error` has a sentence. *ret is then not valid. */
MUST_CHECK enum status proxy_resolve(const struct proxy_settings *settings,
                                     struct proxy_addresses *ret, struct options_error *error);

/* The addresses of the last looks. Names whose answers rotate (load balancers, CDNs) give another part of them each time. */
struct proxy_memory {
    struct proxy_remembered {
        size_t count;
        struct {
            char address[PROXY_ADDRESS_SIZE];
            unsigned missed; /* looks since it was in an answer */
        } items[PROXY_SERVER_MAX];
    } origin, service, socket;
};

/* Adds what a look has found to the memory, forgets what was in none of the last PROXY_KEPT_LOOKS, and makes *found all that is
 * known. */
#define PROXY_KEPT_LOOKS 18
void proxy_remember(struct proxy_memory *memory, struct proxy_addresses *found);

enum proxy_answer {
    PROXY_ANSWERS,
    PROXY_SILENT,
    PROXY_WRONG_PREFIX,
    PROXY_NOT_TRUSTED,
    PROXY_NO_EVENT
};
/* Asks the service whether it is below the prefix, whether it knows the event, and whether it believes what this machine says of a client (TRUSTED_PROXIES). One
 * over HTTPS is not asked. */
enum proxy_answer proxy_ask_service(const struct proxy_settings *settings);

/* Does anything take a connection there? */
bool proxy_is_there(const struct proxy_url *url);

/* Is the origin the address that the proxy itself listens at? */
bool proxy_meets_itself(const struct proxy_settings *settings);

#endif
