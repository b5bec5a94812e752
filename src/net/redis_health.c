/* SPDX-License-Identifier: MIT */
/*
 * redis_health: is this Redis one that tiketi can work on?
 *
 * Why this way: HELLO says role and mode, and every user may send it, whatever the ACL; ROLE, INFO and CONFIG are often
 * refused by providers. So INFO only adds warnings (redis_risk.c), and its refusal is none. A server that must not be used
 * (a replica, a node of a cluster, a user who lacks a command) is refused at the connect, so that nothing half is
 * ever done on it; one that refuses writes for now (OOM, MISCONF, NOREPLICAS) stays connected: its reads are right.
 * Called by: redis_node. Owns: nothing but the texts in struct redis_health.
 */
#include "net/redis_health.h"

#include "base/log.h"
#include "base/metrics.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static void flag(struct redis_health *health, enum metric_gauge gauge, bool now)
{
    metrics_flag(gauge, &health->flags[gauge - GAUGE_REDIS_REPLICA], now);
}

static const char *unusable(struct redis_health *health, enum metric_gauge gauge,
                            const char *reason)
{
    flag(health, gauge, true);
    health->fault = gauge == GAUGE_REDIS_PERMISSION ? REDIS_FAULT_PERMISSION : REDIS_FAULT_ROLE;
    (void)snprintf(health->unusable, sizeof(health->unusable), "%s", reason);
    return health->unusable;
}

/* The value of a name in HELLO's list of names and values; "": not there. */
static const char *value_of(const struct redis_reply *reply, const char *name)
{
    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2) {
        const char *text = redis_reply_str(redis_reply_at(reply, i), NULL);
        const char *value = redis_reply_str(redis_reply_at(reply, i + 1), NULL);
        if (text && value && strcmp(text, name) == 0)
            return value;
    }
    return "";
}

const char *redis_health_hello(struct redis_health *health, bool in_cluster,
                               const struct redis_reply *reply)
{
    if (redis_reply_type(reply) == REDIS_ERROR) {
        (void)snprintf(health->unusable, sizeof(health->unusable), "HELLO: %s",
                       redis_reply_str(reply, NULL));
        health->fault = REDIS_FAULT_REACH; /* such as NOAUTH */
        return health->unusable;
    }
    const char *mode = value_of(reply, "mode"), *role = value_of(reply, "role");
    if (!in_cluster && strcmp(mode, "cluster") == 0)
        return unusable(
            health, GAUGE_REDIS_CLUSTER,
            "this Redis is a node of a cluster: REDIS_URL must begin with redis+cluster://");
    if (in_cluster && *mode && strcmp(mode, "cluster") != 0)
        return unusable(
            health, GAUGE_REDIS_CLUSTER,
            "this Redis is no node of a cluster: REDIS_URL must begin with redis:// or rediss://");
    if (strcmp(mode, "sentinel") == 0)
        return unusable(health, GAUGE_REDIS_CLUSTER,
                        "this is a Redis Sentinel: REDIS_URL must begin with redis+sentinel and "
                        "end with /name-of-the-primary");
    flag(health, GAUGE_REDIS_CLUSTER, false);
    if (*role && strcmp(role, "master") != 0) /* a proxy may leave it out: then READONLY tells */
        return unusable(health, GAUGE_REDIS_REPLICA,
                        "this Redis is a replica: REDIS_URL must lead to the primary");
    flag(health, GAUGE_REDIS_REPLICA, false);
    return NULL;
}

/* Copies a text that has changed; false when it is the same as before. */
static bool changed(char *text, size_t size, const char *now)
{
    if (strncmp(text, now, size - 1) == 0)
        return false;
    (void)snprintf(text, size, "%s", now);
    return true;
}

void redis_health_refused(struct redis_health *health, const char *error)
{
    flag(health, GAUGE_REDIS_WRITES_REFUSED, *error != '\0');
    if (!changed(health->refused, sizeof(health->refused), error))
        return;
    if (*error)
        log_error("redis refuses writes", LOG_TEXT("error", error),
                  LOG_TEXT("server", health->server));
    else
        log_info("redis accepts writes again", LOG_TEXT("server", health->server));
}

const char *redis_health_probe(struct redis_health *health, const struct redis_reply *reply,
                               int64_t *ret_us)
{
    const char *missing = redis_reply_str(redis_reply_at(reply, 1), NULL);
    const char *refused = redis_reply_str(redis_reply_at(reply, 3), NULL);
    const char *muted = redis_reply_str(redis_reply_at(reply, 4), NULL);
    health->shards_channels = redis_reply_int(redis_reply_at(reply, 5)) == 1;
    *ret_us = redis_reply_int(redis_reply_at(reply, 2));
    if (!missing || !refused || !muted)
        return NULL;
    if (*missing) {
        char reason[sizeof(health->unusable)];
        (void)snprintf(reason, sizeof(reason), "the Redis user may not run %s", missing);
        return unusable(health, GAUGE_REDIS_PERMISSION, reason);
    }
    flag(health, GAUGE_REDIS_PERMISSION, false);
    redis_health_refused(health, refused);
    char text[sizeof(health->muted)] = "";
    if (*muted)
        (void)snprintf(text, sizeof(text),
                       "the Redis user may not run %s: pods learn of changes a second later",
                       muted);
    if (changed(health->muted, sizeof(health->muted), text) && *text)
        log_warn("redis channel refused", LOG_TEXT("reason", text),
                 LOG_TEXT("server", health->server));
    return NULL;
}

bool redis_health_is_problem(const struct redis_health *health, const char *text)
{
    const size_t len = strlen(text);
    return len > 0 && strncmp(health->unusable, text, len) == 0;
}

void redis_health_forget(struct redis_health *health)
{
    for (enum metric_gauge gauge = GAUGE_REDIS_REPLICA; gauge <= GAUGE_REDIS_WRITES_REFUSED;
         gauge++)
        flag(health, gauge, false);
}
