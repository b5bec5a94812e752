/* SPDX-License-Identifier: MIT */
/*
 * redis_reader: hiredis' parser.
 *
 * Why this way: hiredis reserves memory for as many elements as a list says that it has, before the first one has come:
 * 8 GB for a line of twelve bytes. So a longer list than tiketi ever asks for is refused.
 * Called by: redis_link. Owns: the bytes that are no whole reply yet.
 */
#include "net/redis_reader.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

#define IDLE_MAX ((size_t)256 * 1024) /* bytes of the read buffer that hiredis keeps while idle */

#if HIREDIS_MAJOR < 1
typedef int list_len;
#else
typedef size_t list_len;
#endif

struct redis_reader {
    redisReader *parser;
    redisReplyObjectFunctions functions; /* hiredis' own, but for createArray */
    void *(*create_array)(const redisReadTask *task, list_len count); /* hiredis' own */
    bool too_long;
};

static void *create_array(const redisReadTask *task, list_len count)
{
    struct redis_reader *reader = task->privdata;
    reader->too_long = count > REDIS_LIST_MAX || (long long)count < 0;
    return reader->too_long ? NULL : reader->create_array(task, count);
}

struct redis_reader *redis_reader_new(void)
{
    redisReader *parser = redisReaderCreate();
    if (!parser)
        return NULL;
    struct redis_reader *reader = xcalloc(1, sizeof(*reader));
    reader->parser = parser;
    reader->functions = *parser->fn;
    reader->create_array = reader->functions.createArray;
    reader->functions.createArray = create_array;
    parser->fn = &reader->functions;
    parser->privdata = reader;
    parser->maxbuf = IDLE_MAX;
    return reader;
}

void redis_reader_free(struct redis_reader *reader)
{
    if (!reader)
        return;
    redisReaderFree(reader->parser);
    free(reader);
}

enum status redis_reader_feed(struct redis_reader *reader, const char *bytes, size_t len)
{
    return redisReaderFeed(reader->parser, bytes, len) == REDIS_OK ? ST_OK : ST_FULL;
}

enum status redis_reader_next(struct redis_reader *reader, struct redis_reply **ret_reply)
{
    void *reply = NULL;
    const bool fine = redisReaderGetReply(reader->parser, &reply) == REDIS_OK;
    *ret_reply = reply;
    return fine ? ST_OK : ST_INVALID;
}

const char *redis_reader_problem(const struct redis_reader *reader)
{
    return reader->too_long ? "Redis sent a list that is too long" : reader->parser->errstr;
}

void redis_reader_free_reply(struct redis_reply *reply)
{
    if (reply)
        freeReplyObject(reply);
}
