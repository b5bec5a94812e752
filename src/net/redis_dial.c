/* SPDX-License-Identifier: MIT */
/*
 * redis_dial: opens the link to the primary, wherever the settings say that it is.
 *
 * Called by: redis, redis_sub, redis_server_check's callers. Owns nothing: the link belongs to the caller.
 */
#include "net/redis_dial.h"

#include <stdio.h>

#include "net/redis_sentinel.h"
#include "net/redis_tls.h"

enum status redis_dial_prepare(const struct redis_server *server, struct redis_target *target,
                               struct redis_tls **ret_tls, char *problem, size_t size)
{
    const char *wrong = "must be set";
    *ret_tls = NULL;
    if (!server->url || redis_url_parse(target, server->url, &wrong) != ST_OK) {
        (void)snprintf(problem, size, "REDIS_URL: %s", wrong);
        return ST_INVALID;
    }
    if (!target->tls)
        return ST_OK;
    *ret_tls = redis_tls_new(&(struct redis_tls_opts){.ca = server->tls_ca,
                                                      .cert = server->tls_cert,
                                                      .key = server->tls_key,
                                                      .any_name = server->tls_any_name},
                             problem, size);
    if (*ret_tls)
        return ST_OK;
    redis_target_clear(target);
    return ST_INVALID;
}

bool redis_server_check(const struct redis_server *server, char *problem, size_t size)
{
    struct redis_target target;
    struct redis_tls *tls;
    if (redis_dial_prepare(server, &target, &tls, problem, size) != ST_OK)
        return false;
    redis_target_clear(&target);
    redis_tls_unref(tls);
    return true;
}

enum status redis_dial(const struct redis_server *server, const struct redis_link_opts *opts,
                       struct redis_link **ret_link)
{
    struct redis_target target;
    struct redis_tls *tls;
    char problem[REDIS_PROBLEM_MAX];
    if (opts->timeout_ms <= 0 ||
        redis_dial_prepare(server, &target, &tls, problem, sizeof(problem)) != ST_OK)
        return ST_INVALID;
    const bool single = target.mode == REDIS_SINGLE, sentinel = target.mode == REDIS_SENTINEL;
    struct redis_link_opts own = *opts;
    struct redis_locator locator;
    own.endpoint = (struct redis_endpoint){
        .path = target.path,
        .user = target.user,
        .password = target.password,
        .db = target.db,
        .tls = tls,
        .name = server->name,
    };
    if (single && !target.path) {
        own.endpoint.host = target.hosts[0].name;
        own.endpoint.port = target.hosts[0].port;
    }
    if (sentinel) {
        locator = redis_sentinel_new(&(struct redis_sentinel_opts){
            .loop = opts->loop,
            .target = &target,
            .tls = tls,
            .user = server->sentinel_user,
            .password = server->sentinel_password,
            .name = server->name,
            .timeout_ms = opts->timeout_ms,
        });
        own.locator = &locator;
    }
    if (single || sentinel)
        *ret_link = redis_link_open(&own);
    redis_target_clear(&target);
    redis_tls_unref(tls);
    return single || sentinel ? ST_OK : ST_INVALID;
}
