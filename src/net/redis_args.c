/* SPDX-License-Identifier: MIT */
/*
 * redis_args: what a command is made of: a bounded list of arguments, its form on the wire, and
 * scripts named by their SHA-1.
 *
 * Why this way: a batch of joins is one list of a few hundred short texts that exist already, so they
 * are borrowed; only numbers are written anew, and the list is reused for the next batch.
 * Called by: every sender of commands; redis and redis_link for the wire format. Needs no Redis and no
 * loop. Owns: the arrays and the scratch text of a list, until redis_args_clear.
 * Invariant: `failed` stays set until the reset; a failed list is never sent.
 */
#include "net/redis_args.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRATCH_MAX ((size_t)1024 * 1024) /* numbers and copies in one list */

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
        /* The scratch moves: arguments that point into it must follow. */
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

/* ---- scripts: Redis names them by their SHA-1; nothing depends on it being secure ---- */

static uint32_t rotl(uint32_t x, int n)
{
    return x << n | x >> (32 - n);
}

static uint32_t sha1_mix(int i, uint32_t b, uint32_t c, uint32_t d)
{
    if (i < 20)
        return ((b & c) | (~b & d)) + 0x5a827999u;
    if (i < 40)
        return (b ^ c ^ d) + 0x6ed9eba1u;
    if (i < 60)
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu;
    return (b ^ c ^ d) + 0xca62c1d6u;
}

static void sha1_block(uint32_t state[5], const unsigned char *block)
{
    uint32_t w[80], s[5];
    for (size_t i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 80; i++)
        w[i] = rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    memcpy(s, state, sizeof(s));
    for (int i = 0; i < 80; i++) {
        uint32_t t = rotl(s[0], 5) + sha1_mix(i, s[1], s[2], s[3]) + s[4] + w[i];
        s[4] = s[3];
        s[3] = s[2];
        s[2] = rotl(s[1], 30);
        s[1] = s[0];
        s[0] = t;
    }
    for (int i = 0; i < 5; i++)
        state[i] += s[i];
}

void redis_script_init(struct redis_script *script, const char *name, const char *body, size_t len)
{
    uint32_t state[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};
    unsigned char last[128] = {0}; /* the rest of the text, padding, the length in bits */
    const size_t whole = len / 64 * 64, rest = len - whole, end = rest < 56 ? 64 : 128;
    for (size_t i = 0; i < whole; i += 64)
        sha1_block(state, (const unsigned char *)body + i);
    memcpy(last, body + whole, rest);
    last[rest] = 0x80;
    for (int i = 0; i < 8; i++)
        last[end - 1 - (size_t)i] = (unsigned char)((uint64_t)len * 8 >> 8 * i);
    for (size_t i = 0; i < end; i += 64)
        sha1_block(state, last + i);

    script->name = name;
    script->body = body;
    script->len = len;
    script->shared_lines = 0;
    for (size_t i = 0; i < 5; i++)
        snprintf(script->sha + 8 * i, 9, "%08x", state[i]);
}
