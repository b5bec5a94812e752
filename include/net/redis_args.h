/* SPDX-License-Identifier: MIT */
/*
 * redis_args: the arguments of a Redis command (a bounded list), and scripts, which Redis names by their SHA-1.
 * Pure: needs neither Redis nor a loop.
 */
#ifndef TIKETI_REDIS_ARGS_H
#define TIKETI_REDIS_ARGS_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REDIS_ARGS_MAX 8192 /* arguments of one list */

/* A list of arguments. It borrows the texts added by redis_args_add and redis_args_add_len: they must stay
 * until redis_command or redis_eval returns. More than REDIS_ARGS_MAX arguments, or more than 1 MiB of
 * numbers and copies, set `failed` until redis_args_reset; a list with `failed` set is never sent. */
struct redis_args {
    const char **argv;
    size_t *lens;
    size_t count, cap;
    char *scratch; /* the memory of the numbers and copies */
    size_t scratch_len, scratch_cap;
    bool failed;
};

void redis_args_init(struct redis_args *args);
void redis_args_reset(struct redis_args *args); /* empties the list; keeps its memory */
void redis_args_clear(struct redis_args *args); /* frees its memory; the list may be used again */
void redis_args_add(struct redis_args *args, const char *text);                 /* borrows */
void redis_args_add_len(struct redis_args *args, const char *text, size_t len); /* borrows */
void redis_args_add_copy(struct redis_args *args, const char *text, size_t len);
void redis_args_add_int(struct redis_args *args, int64_t value);
void redis_args_add_uint(struct redis_args *args, uint64_t value);

struct redis_script {
    const char *name; /* of its file, for the log */
    const char *body; /* NUL-terminated */
    size_t len;
    unsigned shared_lines; /* lines of lua/shared.lua, with which the body begins; for the log */
    char sha[41];          /* the SHA-1 in lower-case hex, for EVALSHA */
};

/* Fills `script`, computing its SHA-1. Borrows `name` and `body` for the life of the process. */
void redis_script_init(struct redis_script *script, const char *name, const char *body, size_t len);

/* Appends a command in the wire format (RESP): first the number of its arguments, then each argument. */
void redis_format_head(struct buf *out, size_t count);
void redis_format_arg(struct buf *out, const char *text, size_t len);

#endif
