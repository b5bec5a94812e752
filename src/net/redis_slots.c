/* SPDX-License-Identifier: MIT */
/*
 * redis_slots: slots of keys, the map of slots, redirections of a Redis Cluster.
 *
 * Why this way: CLUSTER SLOTS and not CLUSTER SHARDS, because every release of Redis and Valkey has it, as have
 * providers' proxies. Only primaries are read: tiketi asks no replica.
 * Called by: redis_cluster, redis_sub. Pure. Owns the texts of a map.
 */
#include "net/redis_slots.h"

#include "base/memory.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* CRC-16/XMODEM, as the cluster specification asks: polynomial 0x1021, from 0. */
static unsigned crc16(const char *text, size_t len)
{
    unsigned crc = 0;
    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned)(unsigned char)text[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
    }
    return crc & 0xffff;
}

unsigned redis_slot_of(const char *key, size_t len)
{
    const char *open = memchr(key, '{', len);
    const char *end = key + len;
    const char *close = open ? memchr(open + 1, '}', (size_t)(end - open - 1)) : NULL;
    if (close && close > open + 1)
        return crc16(open + 1, (size_t)(close - open - 1)) % REDIS_SLOT_COUNT;
    return crc16(key, len) % REDIS_SLOT_COUNT;
}

void redis_slots_clear(struct redis_slots *slots)
{
    free(slots->nodes);
    memset(slots, 0, sizeof(*slots));
}

/* Finds the node in the map, or adds it. Returns 1 + its index; 0: the map is full. */
static unsigned node_number(struct redis_slots *slots, const char *host, int port)
{
    for (size_t i = 0; i < slots->count; i++)
        if (slots->nodes[i].port == port && strcmp(slots->nodes[i].host, host) == 0)
            return (unsigned)i + 1;
    if (slots->count == REDIS_NODES_MAX)
        return 0;
    slots->nodes = xrealloc(slots->nodes, (slots->count + 1) * sizeof(*slots->nodes));
    struct redis_node_name *node = &slots->nodes[slots->count++];
    (void)snprintf(node->host, sizeof(node->host), "%s", host);
    node->port = port;
    return (unsigned)slots->count;
}

/* The host to connect to: the preferred one; empty or nil: the one that was asked; "?": the node has been told to announce
 * a name and has none, so the address among the details is taken. */
static const char *host_of(const struct redis_reply *node, const char *asked)
{
    const char *host = redis_reply_str(redis_reply_at(node, 0), NULL);
    if (!host || !*host)
        return asked;
    if (strcmp(host, "?") != 0)
        return host;
    const struct redis_reply *details = redis_reply_at(node, 3);
    for (size_t i = 0; i + 1 < redis_reply_count(details); i += 2) {
        const char *name = redis_reply_str(redis_reply_at(details, i), NULL);
        const char *value = redis_reply_str(redis_reply_at(details, i + 1), NULL);
        if (name && value && *value && strcmp(name, "ip") == 0)
            return value;
    }
    return asked;
}

/* One range: first slot, last slot, primary, replicas. Counts its slots in `named`. */
static bool read_range(struct redis_slots *slots, const struct redis_reply *range,
                       const char *asked, int64_t *named)
{
    const struct redis_reply *node = redis_reply_at(range, 2);
    if (redis_reply_type(redis_reply_at(range, 0)) != REDIS_INT ||
        redis_reply_type(redis_reply_at(range, 1)) != REDIS_INT ||
        redis_reply_type(redis_reply_at(node, 1)) != REDIS_INT)
        return false;
    const int64_t first = redis_reply_int(redis_reply_at(range, 0));
    const int64_t last = redis_reply_int(redis_reply_at(range, 1));
    const int64_t port = redis_reply_int(redis_reply_at(node, 1));
    const char *host = host_of(node, asked);
    if (first < 0 || last < first || last >= REDIS_SLOT_COUNT || port <= 0 || port > 65535 ||
        strlen(host) > REDIS_HOST_MAX)
        return false;
    *named += last - first + 1;
    if (*named > REDIS_SLOT_COUNT) /* some twice: a reply may not make us count without end */
        return false;
    const unsigned number = node_number(slots, host, (int)port);
    for (int64_t slot = first; slot <= last; slot++)
        slots->owner[slot] = (uint16_t)number;
    return number > 0;
}

enum status redis_slots_read(struct redis_slots *slots, const struct redis_reply *reply,
                             const char *asked)
{
    memset(slots, 0, sizeof(*slots));
    bool fine = redis_reply_type(reply) == REDIS_LIST;
    int64_t named = 0;
    for (size_t i = 0; fine && i < redis_reply_count(reply); i++)
        fine = read_range(slots, redis_reply_at(reply, i), asked, &named);
    if (fine && slots->count > 0)
        return ST_OK;
    redis_slots_clear(slots);
    return ST_INVALID;
}

/* Reads "slot host:port"; the host may be empty, or an IPv6 address. */
static bool read_target(struct redis_redirect *redirect, const char *text)
{
    char *end;
    const unsigned long slot = strtoul(text, &end, 10);
    if (end == text || *end != ' ' || slot >= REDIS_SLOT_COUNT)
        return false;
    const char *host = end + 1, *colon = strrchr(host, ':');
    const size_t len = colon ? (size_t)(colon - host) : 0;
    if (!colon || len > REDIS_HOST_MAX)
        return false;
    const unsigned long port = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end != '\0' || port == 0 || port > 65535)
        return false;
    redirect->slot = (unsigned)slot;
    memcpy(redirect->node.host, host, len);
    redirect->node.host[len] = '\0';
    redirect->node.port = (int)port;
    return true;
}

struct redis_redirect redis_redirect_read(const char *error)
{
    struct redis_redirect redirect = {0};
    if (strncmp(error, "MOVED ", 6) == 0 && read_target(&redirect, error + 6))
        redirect.kind = REDIS_REDIRECT_MOVED;
    else if (strncmp(error, "ASK ", 4) == 0 && read_target(&redirect, error + 4))
        redirect.kind = REDIS_REDIRECT_ASK;
    else if (strncmp(error, "TRYAGAIN", 8) == 0)
        redirect.kind = REDIS_REDIRECT_AGAIN;
    else if (strncmp(error, "CLUSTERDOWN", 11) == 0)
        redirect.kind = REDIS_REDIRECT_DOWN;
    return redirect;
}
