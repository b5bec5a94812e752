/* SPDX-License-Identifier: MIT */
/*
 * redis_slots: the first byte tells what the rest is.
 *   s  what a node answers to CLUSTER SLOTS, as bytes of the protocol: no map, or one whose every owner is in it
 *   e  an error: it leads nowhere, or to a slot and port that exist
 *   k  a key: it has a slot, which is that of its tag alone
 */
#include "fuzz.h"

#include "net/redis_reader.h"
#include "net/redis_slots.h"

static void try_map(const char *data, size_t size)
{
    struct redis_reader *reader = redis_reader_new();
    struct redis_reply *reply = NULL;
    check(reader && redis_reader_feed(reader, data, size) == ST_OK);
    if (redis_reader_next(reader, &reply) != ST_OK)
        check(!reply && *redis_reader_problem(reader));
    struct redis_slots *slots = calloc(1, sizeof(*slots));
    check(slots);
    const enum status st = redis_slots_read(slots, reply, "asked.example");
    check(st == ST_OK || slots->count == 0);
    check(slots->count <= REDIS_NODES_MAX);
    for (size_t i = 0; i < REDIS_SLOT_COUNT; i++)
        check(slots->owner[i] <= slots->count);
    for (size_t i = 0; i < slots->count; i++)
        check(slots->nodes[i].host[0] != '\0' && slots->nodes[i].port > 0 &&
              slots->nodes[i].port <= 65535);
    redis_slots_clear(slots);
    free(slots);
    redis_reader_free_reply(reply);
    redis_reader_free(reader);
}

static void try_error(const char *text)
{
    const struct redis_redirect redirect = redis_redirect_read(text);
    if (redirect.kind == REDIS_REDIRECT_MOVED || redirect.kind == REDIS_REDIRECT_ASK)
        check(redirect.slot < REDIS_SLOT_COUNT && redirect.node.port > 0 &&
              redirect.node.port <= 65535);
}

static void try_key(const char *key, size_t len)
{
    const unsigned slot = redis_slot_of(key, len);
    check(slot < REDIS_SLOT_COUNT);
    const char *open = memchr(key, '{', len);
    const char *close = open ? memchr(open, '}', len - (size_t)(open - key)) : NULL;
    if (close && close > open + 1)
        check(slot == redis_slot_of(open, (size_t)(close + 1 - open)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *text = text_new(data + 1, size - 1);
    if (data[0] == 's')
        try_map(text, size - 1);
    else if (data[0] == 'e')
        try_error(text);
    else if (data[0] == 'k')
        try_key(text, size - 1);
    free(text);
    return 0;
}
