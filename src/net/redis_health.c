/* SPDX-License-Identifier: MIT */
/*
 * redis_health: is this Redis one that tiketi can work on?
 *
 * Why this way: HELLO says role and mode, and every user may send it, whatever the ACL; ROLE, INFO and CONFIG are often
 * refused by providers. So INFO memory only adds warnings, and its refusal is none. A server that must not be used
 * (a replica, a node of a cluster, a user who lacks a command) is refused at the connect, so that nothing half is
 * ever done on it; one that refuses writes for now (OOM, MISCONF, NOREPLICAS) stays connected: its reads are right.
 * Called by: redis. Owns: nothing but the texts in struct redis_health.
 */
#include "net/redis_health.h"

#include "base/log.h"
#include "base/metrics.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_WARN_PERCENT 90

static const char *unusable(struct redis_health *health, enum metric_gauge gauge,
                            const char *reason)
{
    metrics_set(gauge, 1);
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
    metrics_set(GAUGE_REDIS_CLUSTER, 0);
    if (*role && strcmp(role, "master") != 0) /* a proxy may leave it out: then READONLY tells */
        return unusable(health, GAUGE_REDIS_REPLICA,
                        "this Redis is a replica: REDIS_URL must lead to the primary");
    metrics_set(GAUGE_REDIS_REPLICA, 0);
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
    metrics_set(GAUGE_REDIS_WRITES_REFUSED, *error ? 1 : 0);
    if (!changed(health->refused, sizeof(health->refused), error))
        return;
    if (*error)
        log_error("redis refuses writes", LOG_TEXT("error", error));
    else
        log_info("redis accepts writes again");
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
    metrics_set(GAUGE_REDIS_PERMISSION, 0);
    redis_health_refused(health, refused);
    char text[sizeof(health->muted)] = "";
    if (*muted)
        (void)snprintf(text, sizeof(text),
                       "the Redis user may not run %s: pods learn of changes a second later",
                       muted);
    if (changed(health->muted, sizeof(health->muted), text) && *text)
        log_warn("redis channel refused", LOG_TEXT("reason", text));
    return NULL;
}

bool redis_health_is_problem(const struct redis_health *health, const char *text)
{
    const size_t len = strlen(text);
    return len > 0 && strncmp(health->unusable, text, len) == 0;
}

/* The number or word after "name:" in INFO's text; false: not there. */
static bool info_value(const char *text, const char *name, char *out, size_t size)
{
    const size_t len = strlen(name);
    for (const char *at = text; (at = strstr(at, name)); at += len) {
        if ((at != text && at[-1] != '\n') || at[len] != ':')
            continue;
        const char *value = at + len + 1;
        const size_t value_len = strcspn(value, "\r\n");
        (void)snprintf(out, size, "%.*s", (int)(value_len < size ? value_len : size - 1), value);
        return true;
    }
    return false;
}

void redis_health_memory(struct redis_health *health, const struct redis_reply *reply)
{
    const char *text = redis_reply_type(reply) == REDIS_STR ? redis_reply_str(reply, NULL) : NULL;
    char used[32], limit[32], policy[32], warning[sizeof(health->warning)] = "";
    if (!text || !info_value(text, "used_memory", used, sizeof(used)) ||
        !info_value(text, "maxmemory", limit, sizeof(limit)) ||
        !info_value(text, "maxmemory_policy", policy, sizeof(policy)))
        return;
    const double used_bytes = strtod(used, NULL), limit_bytes = strtod(limit, NULL);
    const bool evicts = strcmp(policy, "noeviction") != 0;
    const bool full = limit_bytes > 0 && used_bytes * 100 >= limit_bytes * MEMORY_WARN_PERCENT;
    if (evicts)
        (void)snprintf(warning, sizeof(warning),
                       "maxmemory-policy %s may delete keys of the queue: set noeviction", policy);
    else if (full)
        (void)snprintf(warning, sizeof(warning), "more than %d %% of maxmemory is used",
                       MEMORY_WARN_PERCENT);
    metrics_set(GAUGE_REDIS_EVICTS, evicts ? 1 : 0);
    metrics_set(GAUGE_REDIS_MEMORY, full ? 1 : 0);
    health->full = limit_bytes > 0 && used_bytes >= limit_bytes;
    if (!changed(health->warning, sizeof(health->warning), warning))
        return;
    if (*warning)
        log_error("redis is not safe", LOG_TEXT("reason", warning), LOG_TEXT("usedMemory", used),
                  LOG_TEXT("maxmemory", limit));
    else
        log_info("redis is safe again");
}
