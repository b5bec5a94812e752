/* SPDX-License-Identifier: MIT */
/*
 * redis_sentinel: what a Sentinel says of the primary. The first byte tells what the rest is.
 *   a  its answer to the question, as bytes of the protocol
 *   s  a message of +switch-master, of the primary of the name "m"
 * It names no server, or one with a host and a port; and who says the same in the other way names the same.
 */
#include "fuzz.h"

#include "net/redis_reader.h"
#include "net/redis_sentinel.h"

#include <stdio.h>

static void check_primary(const struct redis_primary *primary)
{
    const size_t len = strlen(primary->host);
    check(len > 0 && len <= SENTINEL_HOST_MAX);
    check(primary->port > 0 && primary->port <= 65535);
}

static void check_same(const struct redis_primary *a, const struct redis_primary *b)
{
    check(a->port == b->port && strcmp(a->host, b->host) == 0);
}

/* The answer to a question, of these bytes. */
static bool read_answer(const char *data, size_t size, struct redis_primary *primary)
{
    struct redis_reader *reader = redis_reader_new();
    struct redis_reply *reply = NULL;
    check(reader && redis_reader_feed(reader, data, size) == ST_OK);
    if (redis_reader_next(reader, &reply) != ST_OK)
        check(!reply && *redis_reader_problem(reader));
    const bool named = redis_sentinel_read(reply, primary);
    redis_reader_free_reply(reply);
    redis_reader_free(reader);
    return named;
}

static void try_answer(const char *data, size_t size)
{
    char text[SENTINEL_HOST_MAX + 64];
    struct redis_primary primary, switched;
    if (!read_answer(data, size, &primary))
        return;
    check_primary(&primary);
    if (strchr(primary.host, ' '))
        return;
    snprintf(text, sizeof(text), "m 10.0.0.1 6379 %s %d", primary.host, primary.port);
    check(redis_sentinel_read_switch(text, "m", &switched));
    check_same(&primary, &switched);
}

static void try_switch(const char *text)
{
    char answer[SENTINEL_HOST_MAX + 64];
    struct redis_primary primary, answered;
    if (!redis_sentinel_read_switch(text, "m", &primary))
        return;
    check_primary(&primary);
    check(strncmp(text, "m ", 2) == 0);
    const int len = snprintf(answer, sizeof(answer), "*2\r\n$%zu\r\n%s\r\n$5\r\n%05d\r\n",
                             strlen(primary.host), primary.host, primary.port);
    check(read_answer(answer, (size_t)len, &answered));
    check_same(&primary, &answered);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *text = text_new(data + 1, size - 1);
    if (data[0] == 'a')
        try_answer(text, size - 1);
    else if (data[0] == 's')
        try_switch(text);
    free(text);
    return 0;
}
