/* SPDX-License-Identifier: MIT */
/*
 * redis_reply: reads hiredis' replies for callers that do not include hiredis.
 *
 * Why this way: struct redis_reply is never defined. A pointer to it is a redisReply pointer under another name, so
 * nothing is copied.
 * Called by: redis, redis_sub and every reader of a reply. Pure; owns nothing.
 */
#include "net/redis_reply.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdlib.h>

static const redisReply *raw(const struct redis_reply *reply)
{
    return (const redisReply *)reply;
}

enum redis_type redis_reply_type(const struct redis_reply *reply)
{
    if (!reply)
        return REDIS_NIL;
    switch (raw(reply)->type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        return REDIS_STR;
    case REDIS_REPLY_INTEGER:
        return REDIS_INT;
    case REDIS_REPLY_ARRAY:
        return REDIS_LIST;
    case REDIS_REPLY_ERROR:
        return REDIS_ERROR;
    default:
        return REDIS_NIL;
    }
}

int64_t redis_reply_int(const struct redis_reply *reply)
{
    const enum redis_type type = redis_reply_type(reply);
    if (type == REDIS_INT)
        return raw(reply)->integer;
    if (type != REDIS_STR || raw(reply)->len == 0)
        return 0;
    char *end;
    errno = 0;
    const long long value = strtoll(raw(reply)->str, &end, 10);
    return errno == 0 && end == raw(reply)->str + raw(reply)->len ? value : 0;
}

const char *redis_reply_str(const struct redis_reply *reply, size_t *ret_len)
{
    const enum redis_type type = redis_reply_type(reply);
    const bool text = type == REDIS_STR || type == REDIS_ERROR;
    if (ret_len)
        *ret_len = text ? raw(reply)->len : 0;
    return text ? raw(reply)->str : NULL;
}

size_t redis_reply_count(const struct redis_reply *reply)
{
    return redis_reply_type(reply) == REDIS_LIST ? raw(reply)->elements : 0;
}

const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t i)
{
    if (i >= redis_reply_count(reply))
        return NULL;
    return (const struct redis_reply *)raw(reply)->element[i];
}
