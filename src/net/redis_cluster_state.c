/* SPDX-License-Identifier: MIT */
/*
 * redis_cluster_state: what is known of a cluster: is it reached, what is wrong, which shard has a slot.
 *
 * Called by: redis, redis_sub. Changes nothing but the texts that it gives.
 */
#include "net/redis_cluster_internal.h"

#include <stdio.h>
#include <string.h>

bool redis_cluster_up(const struct redis_cluster *cluster)
{
    bool up = false;
    for (size_t i = 0; !up && i < cluster->shard_count; i++)
        up = cluster->shards[i]->slots && redis_node_up(cluster->shards[i]->node);
    return up && cluster->mapped;
}

bool redis_cluster_whole(const struct redis_cluster *cluster)
{
    unsigned served = 0;
    for (size_t i = 0; i < cluster->shard_count; i++) {
        const struct cluster_shard *shard = cluster->shards[i];
        if (shard->slots && !redis_node_up(shard->node))
            return false;
        served += shard->slots;
    }
    return served == REDIS_SLOT_COUNT;
}

/* Appends "shard host:port: what" to a text of `size` bytes. */
static void add_shard(char *text, size_t size, const struct cluster_shard *shard, const char *what)
{
    const size_t len = strlen(text);
    if (*what && len < size - 1)
        (void)snprintf(text + len, size - len, "%sshard %s: %s", len > 0 ? "; " : "", shard->name,
                       what);
}

/* Of all shards what is worst; a shard that is missing, before one that refuses writes. */
struct redis_state redis_cluster_state(const struct redis_cluster *cluster)
{
    struct redis_cluster *texts = (struct redis_cluster *)(uintptr_t)cluster; /* its buffers */
    struct redis_state all = {.up = redis_cluster_up(cluster),
                              .problem = "",
                              .warning = texts->warning,
                              .danger = texts->danger,
                              .muted = ""};
    const struct cluster_shard *worst = NULL;
    const char *problem = "";
    unsigned served = 0;
    texts->warning[0] = texts->danger[0] = '\0';
    for (size_t i = 0; i < cluster->shard_count; i++) {
        const struct cluster_shard *shard = cluster->shards[i];
        if (!shard->slots)
            continue;
        const struct redis_state one = redis_node_state(shard->node);
        served += shard->slots;
        all.partial = all.partial || !one.up;
        all.refuses_writes = all.refuses_writes || one.refuses_writes;
        all.full = all.full || one.full;
        if (one.fault > all.fault)
            all.fault = one.fault;
        if (*one.problem && (!worst || (!one.up && redis_node_up(worst->node)))) {
            worst = shard;
            problem = one.problem;
        }
        add_shard(texts->warning, sizeof(texts->warning), shard, one.warning);
        add_shard(texts->danger, sizeof(texts->danger), shard, one.danger);
        all.muted = *all.muted ? all.muted : one.muted;
    }
    char *text = texts->problem;
    const size_t size = sizeof(cluster->problem);
    text[0] = '\0';
    if (!cluster->mapped) {
        all.problem = cluster->seed_problem;
        all.fault = *cluster->seed_problem ? REDIS_FAULT_REACH : REDIS_FAULT_NONE;
        return all;
    }
    if (served < REDIS_SLOT_COUNT) {
        all.partial = true;
        (void)snprintf(text, size, "no shard serves %u of the %d slots", REDIS_SLOT_COUNT - served,
                       REDIS_SLOT_COUNT);
    }
    if (worst)
        (void)snprintf(text, size, "shard %.*s: %.160s", 270, worst->name, problem);
    else if (all.partial && all.up && !*text)
        (void)snprintf(text, size, "a shard of the cluster is not reached yet");
    all.problem = text;
    all.partial = all.partial && all.up;
    if (all.up) /* the fault of one shard is none of the others' */
        all.fault = REDIS_FAULT_NONE;
    return all;
}

bool redis_cluster_shard(const struct redis_cluster *cluster, size_t i,
                         struct redis_shard *ret_shard)
{
    for (size_t k = 0; k < cluster->shard_count; k++) {
        const struct cluster_shard *shard = cluster->shards[k];
        if (!shard->slots || i-- > 0)
            continue;
        *ret_shard = (struct redis_shard){
            .name = shard->name, .up = redis_node_up(shard->node), .slots = shard->slots};
        return true;
    }
    return false;
}

const char *redis_cluster_owner(const struct redis_cluster *cluster, unsigned slot)
{
    return cluster->owner[slot] ? cluster->owner[slot]->name : NULL;
}

bool redis_cluster_shards_channels(const struct redis_cluster *cluster)
{
    bool any = false;
    for (size_t i = 0; i < cluster->shard_count; i++) {
        const struct cluster_shard *shard = cluster->shards[i];
        if (!shard->slots || !redis_node_up(shard->node))
            continue;
        if (!redis_node_shards_channels(shard->node))
            return false;
        any = true;
    }
    return any;
}

bool redis_cluster_endpoint(const struct redis_cluster *cluster, int slot,
                            struct redis_endpoint *ret_endpoint)
{
    const struct cluster_shard *shard = slot >= 0 ? cluster->owner[slot] : NULL;
    for (size_t i = 0; slot < 0 && !shard && i < cluster->shard_count; i++)
        if (cluster->shards[i]->slots && redis_node_up(cluster->shards[i]->node))
            shard = cluster->shards[i];
    if (!shard)
        return false;
    cluster_endpoint(cluster, shard->at.host, shard->at.port, ret_endpoint);
    return true;
}
