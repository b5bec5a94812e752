/* SPDX-License-Identifier: MIT */
/*
 * redis_args: the parts of a command: a bounded list of arguments, the wire format, and scripts, which are named by
 * their SHA-1.
 *
 * Why this way: the arguments of a batch of joins are a few hundred short texts that other objects own, so the list
 * borrows them; only numbers are copied. The list is reused for the next batch.
 * Called by: every sender of commands; redis and redis_link for the wire format. Needs no Redis and no
 * loop. Owns: the arrays and the scratch text of a list, until redis_args_clear.
 * Invariant: `failed` stays set until redis_args_reset; a list with `failed` set is never sent.
 */
#include "net/redis_args.h"

#include "base/memory.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRATCH_MAX ((size_t)1024 * 1024) /* bytes of the numbers and copies in one list */

/* ---- lists of arguments ---- */

void redis_args_init(struct redis_args *args)
{
    memset(args, 0, sizeof(*args));
}

void redis_args_reset(struct redis_args *args)
{
    args->count = 0;
    args->scratch_len = 0;
    args->failed = false;
}

void redis_args_clear(struct redis_args *args)
{
    free(args->argv);
    free(args->lens);
    free(args->scratch);
    redis_args_init(args);
}

void redis_args_add_len(struct redis_args *args, const char *text, size_t len)
{
    if (args->count == REDIS_ARGS_MAX)
        args->failed = true;
    if (args->failed)
        return;
    if (args->count == args->cap) {
        args->cap = args->cap ? args->cap * 2 : 32;
        args->argv = xrealloc(args->argv, args->cap * sizeof(*args->argv));
        args->lens = xrealloc(args->lens, args->cap * sizeof(*args->lens));
    }
    args->argv[args->count] = text;
    args->lens[args->count++] = len;
}

void redis_args_add(struct redis_args *args, const char *text)
{
    redis_args_add_len(args, text, strlen(text));
}

void redis_args_add_copy(struct redis_args *args, const char *text, size_t len)
{
    if (len > SCRATCH_MAX || args->scratch_len + len > SCRATCH_MAX)
        args->failed = true;
    if (args->failed)
        return;
    size_t cap = args->scratch_cap ? args->scratch_cap : 512;
    while (cap < args->scratch_len + len)
        cap *= 2;
    if (cap != args->scratch_cap) {
        /* The scratch memory moves: update the arguments that point into it. */
        char *old = args->scratch, *scratch = xrealloc(NULL, cap);
        if (old)
            memcpy(scratch, old, args->scratch_len);
        for (size_t i = 0; old && i < args->count; i++)
            if (args->argv[i] >= old && args->argv[i] < old + args->scratch_cap)
                args->argv[i] = scratch + (args->argv[i] - old);
        free(old);
        args->scratch = scratch;
        args->scratch_cap = cap;
    }
    char *copy = args->scratch + args->scratch_len;
    memcpy(copy, text, len);
    args->scratch_len += len;
    redis_args_add_len(args, copy, len);
}

void redis_args_add_int(struct redis_args *args, int64_t value)
{
    char text[24];
    redis_args_add_copy(args, text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)value));
}

void redis_args_add_uint(struct redis_args *args, uint64_t value)
{
    char text[24];
    redis_args_add_copy(args, text,
                        (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)value));
}

/* ---- the wire format (RESP) ---- */

void redis_format_arg(struct buf *out, const char *text, size_t len)
{
    buf_add_char(out, '$');
    buf_add_uint(out, len);
    buf_add(out, "\r\n", 2);
    buf_add(out, text, len);
    buf_add(out, "\r\n", 2);
}

void redis_format_head(struct buf *out, size_t count)
{
    buf_add_char(out, '*');
    buf_add_uint(out, count);
    buf_add(out, "\r\n", 2);
}

/* ---- scripts: Redis names them by their SHA-1, so it need not be secure ---- */

void redis_script_init(struct redis_script *script, const char *name, const char *body, size_t len)
{
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1((const unsigned char *)body, len, digest);
    script->name = name;
    script->body = body;
    script->len = len;
    script->shared_lines = 0;
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(script->sha + 2 * i, 3, "%02x", digest[i]);
}
