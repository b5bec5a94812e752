/* SPDX-License-Identifier: MIT */
/*
 * queue_keys: the only list of Redis keys. A key of an event is "name:{event id}".
 *
 * To add one: a line here and its row in docs/redis-keys.md. C then has QUEUE_KEY_<NAME>, every script has K_<NAME>
 * (src/embed.sh writes the names in front of lua/shared.lua), and the tests read this list as well.
 */
#ifndef TIKETI_QUEUE_KEYS_H
#define TIKETI_QUEUE_KEYS_H

/* clang-format off */

/* Given to every script, in this order. */
#define QUEUE_KEYS(KEY)                 \
    KEY(CONFIG, "config")               \
    KEY(QUEUE, "queue")                 \
    KEY(QUEUE_SEEN, "queue:seen")       \
    KEY(PARKED, "parked")               \
    KEY(ACTIVE, "active")               \
    KEY(ACTIVE_SEEN, "active:seen")     \
    KEY(ACTIVE_SINCE, "active:since")   \
    KEY(ACTIVE_PLACE, "active:place")   \
    KEY(ACTIVE_N, "active:n")           \
    KEY(OFFERED, "active:offered")      \
    KEY(PAYING, "active:paying")        \
    KEY(KEPT, "kept")                   \
    KEY(CONSUMED, "consumed")           \
    KEY(SEQ, "seq")                     \
    KEY(FREE, "free")                   \
    KEY(STATS, "stats")                 \
    KEY(LOG, "log")                     \
    KEY(LEASE, "lease")                 \
    KEY(FENCE, "fence")                 \
    KEY(INDEX, "index")                 \
    KEY(NETWORKS, "networks")           \
    KEY(NETWORKS_TOP, "networks:top")   \
    KEY(BANNED, "banned")

/* Keys beside the common list: each is the only key of the script of the same name (`seats` of lua/seats.lua), or comes behind
 * the common ones (`active:handed` of lua/handoff.lua; below `active:`, so that no ACL needs a line for it). */
#define QUEUE_OWN_KEYS(OWN_KEY) \
    OWN_KEY(SEATS, "seats")     \
    OWN_KEY(SALES, "sales")     \
    OWN_KEY(HANDED, "active:handed")

/* This key belongs to no event, so its name has no id. */
#define QUEUE_EVENTS_KEY "events"

/* clang-format on */

#endif
