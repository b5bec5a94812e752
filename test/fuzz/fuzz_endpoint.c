/* SPDX-License-Identifier: MIT */
/* redis_url, db_endpoint and redis_slots: an address of a backend is refused, or gives a target whose every part is there. */
#include "fuzz.h"

#include "net/db_endpoint.h"
#include "net/redis_slots.h"
#include "net/redis_url.h"

#include <string.h>

static void try_redis(const char *url)
{
    struct redis_target target;
    const char *problem;
    const enum status st = redis_url_parse(&target, url, &problem);
    check((st == ST_OK) == !problem);
    if (st == ST_OK) {
        check(target.path ? target.path[0] == '/' && target.host_count == 0
                          : target.host_count > 0 && target.host_count <= REDIS_HOSTS_MAX);
        check(target.host_count <= 1 || target.mode != REDIS_SINGLE);
        for (size_t i = 0; i < target.host_count; i++)
            check(target.hosts[i].name[0] != '\0' && target.hosts[i].port > 0 &&
                  target.hosts[i].port <= 65535);
        check((target.mode == REDIS_SENTINEL) == (target.master && target.master[0] != '\0'));
        check(target.mode != REDIS_CLUSTER || target.db == 0);
        check(!target.tls || !target.path);
        check(target.db >= 0 && !target.user == !target.password);
    }
    redis_target_clear(&target);
    check(!target.hosts && !target.path && !target.user && !target.password && !target.master);
}

static void try_postgres(const char *url)
{
    struct db_endpoint *endpoint = NULL;
    struct db_keywords words = {.count = 0};
    if (db_endpoint_parse(url, "fuzz", 5000, &endpoint) != ST_OK) {
        check(!endpoint);
        return;
    }
    for (size_t i = 0; i < endpoint->target_count; i++)
        check(endpoint->targets[i].host && endpoint->targets[i].hostaddr &&
              endpoint->targets[i].port);
    db_endpoint_keywords(endpoint, &words);
    check(words.count > 0 && words.count <= DB_KEYWORDS_MAX && !words.names[words.count]);
    db_endpoint_free(endpoint);
}

/* An error reply of a node of a cluster. */
static void try_redirection(const char *error)
{
    const struct redis_redirect to = redis_redirect_read(error);
    const bool names = to.kind == REDIS_REDIRECT_MOVED || to.kind == REDIS_REDIRECT_ASK;
    check(to.slot < REDIS_SLOT_COUNT && redis_slot_of(error, strlen(error)) < REDIS_SLOT_COUNT);
    check(!names || (to.node.port > 0 && to.node.port <= 65535));
    check(strlen(to.node.host) <= REDIS_HOST_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *url = text_new(data, size);
    try_redis(url);
    try_postgres(url);
    try_redirection(url);
    free(url);
    return 0;
}
