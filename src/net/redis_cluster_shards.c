/* SPDX-License-Identifier: MIT */
/*
 * redis_cluster_shards: the primaries of a cluster: which slots each has, and the connection to it.
 *
 * Why this way: a node is opened when a map or a redirection names it, and closed when it has had no slot for a while:
 * what it was asked is answered first, and a redirection (ASK) may lead to a node before it has a slot.
 * Called by: the files of redis_cluster. Owns: the nodes, and the owner of each slot.
 */
#include "net/redis_cluster_internal.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAVE_MS  2000 /* a node that left the map is closed after so long at most */
#define TAG_TRIES 200000

/* Host and port as the log and people write them. */
static void name_write(struct cluster_shard *shard)
{
    const bool v6 = strchr(shard->at.host, ':');
    (void)snprintf(shard->name, sizeof(shard->name), v6 ? "[%.*s]:%d" : "%.*s:%d",
                   REDIS_HOST_MAX - 2, shard->at.host, shard->at.port);
}

void cluster_endpoint(const struct redis_cluster *cluster, const char *host, int port,
                      struct redis_endpoint *ret_endpoint)
{
    *ret_endpoint = (struct redis_endpoint){.host = host,
                                            .port = port,
                                            .user = cluster->target.user,
                                            .password = cluster->target.password,
                                            .tls = cluster->tls,
                                            .name = cluster->opts.server.name};
}

static void shard_gone(void *arg)
{
    struct cluster_shard *shard = arg;
    struct redis_cluster *cluster = shard->cluster;
    free(shard);
    cluster_node_gone(cluster);
}

/* The probe writes to a key that the node must serve: one whose hash tag lies in a slot of this shard. No event has a dot
 * in its id. */
void cluster_shard_tag(struct cluster_shard *shard)
{
    const struct redis_cluster *cluster = shard->cluster;
    char tag[REDIS_TAG_SIZE];
    if (shard->tagged && cluster->owner[shard->tag_slot] == shard)
        return;
    shard->tagged = false;
    for (unsigned i = 0; shard->slots && i < TAG_TRIES && !shard->tagged; i++) {
        const int len = snprintf(tag, sizeof(tag), ".probe%u", i);
        shard->tag_slot = redis_slot_of(tag, (size_t)len);
        shard->tagged = cluster->owner[shard->tag_slot] == shard;
    }
    if (shard->tagged)
        redis_node_set_tag(shard->node, tag);
}

/* The one that serves the first slot: the clocks of several servers would contradict each other. */
void cluster_choose_clock(const struct redis_cluster *cluster)
{
    const struct cluster_shard *first = NULL;
    for (size_t slot = 0; !first && slot < REDIS_SLOT_COUNT; slot++)
        if (cluster->owner[slot] && redis_node_up(cluster->owner[slot]->node))
            first = cluster->owner[slot];
    for (size_t i = 0; i < cluster->shard_count; i++)
        redis_node_set_clock(cluster->shards[i]->node, cluster->shards[i] == first || !first);
}

static struct cluster_shard *shard_find(const struct redis_cluster *cluster, const char *host,
                                        int port)
{
    for (size_t i = 0; i < cluster->shard_count; i++) {
        struct cluster_shard *shard = cluster->shards[i];
        if (shard->at.port == port && strcmp(shard->at.host, host) == 0)
            return shard;
    }
    return NULL;
}

struct cluster_shard *cluster_shard_of(struct redis_cluster *cluster,
                                       const struct redis_node_name *at)
{
    struct cluster_shard *shard = shard_find(cluster, at->host, at->port);
    if (shard || cluster->shard_count >= REDIS_NODES_MAX)
        return shard;
    struct redis_endpoint endpoint;
    shard = xcalloc(1, sizeof(*shard));
    shard->cluster = cluster;
    shard->at = *at;
    shard->leave_ms = cluster_now(cluster);
    name_write(shard);
    cluster_endpoint(cluster, shard->at.host, shard->at.port, &endpoint);
    const struct redis_node_opts opts = {.loop = cluster->opts.loop,
                                         .endpoint = &endpoint,
                                         .timeout_ms = cluster->opts.timeout_ms,
                                         .scripts = cluster->opts.scripts,
                                         .script_count = cluster->opts.script_count,
                                         .probe = cluster->opts.probe,
                                         .user = &cluster_shard_user,
                                         .arg = shard};
    if (redis_node_open(&opts, &shard->node) != ST_OK) {
        free(shard);
        return NULL;
    }
    cluster->open++;
    cluster->shards =
        xrealloc(cluster->shards, (cluster->shard_count + 1) * sizeof(struct cluster_shard *));
    cluster->shards[cluster->shard_count++] = shard;
    return shard;
}

void cluster_shard_close(struct redis_cluster *cluster, size_t i)
{
    struct cluster_shard *shard = cluster->shards[i];
    cluster->shards[i] = cluster->shards[--cluster->shard_count];
    for (size_t slot = 0; slot < REDIS_SLOT_COUNT; slot++)
        if (cluster->owner[slot] == shard)
            cluster->owner[slot] = NULL;
    redis_node_close(shard->node, shard_gone, shard);
}

void cluster_close_leavers(struct redis_cluster *cluster)
{
    for (size_t i = cluster->shard_count; i-- > 0;) {
        if (i >= cluster->shard_count) /* a callback of a command has closed the cluster */
            return;
        const struct cluster_shard *shard = cluster->shards[i];
        const bool idle = !redis_node_up(shard->node) || redis_node_in_flight(shard->node) == 0;
        const uint64_t since = cluster_now(cluster) - shard->leave_ms;
        if (shard->slots == 0 && (since > LEAVE_MS || (idle && since > LEAVE_MS / 4)))
            cluster_shard_close(cluster, i);
    }
}

void cluster_give_slot(struct redis_cluster *cluster, unsigned slot, struct cluster_shard *shard)
{
    struct cluster_shard *before = cluster->owner[slot];
    if (before == shard)
        return;
    if (before && --before->slots == 0)
        before->leave_ms = cluster_now(cluster);
    cluster->unsettled[slot] = cluster->unsettled[slot] || before;
    cluster->owner[slot] = shard;
    if (shard)
        shard->slots++;
}
