/* SPDX-License-Identifier: MIT */
/*
 * redis_reply: a read-only view of one reply of Redis (hiredis' redisReply under another name).
 * Borrowed: valid only inside the callback that received it. No function here allocates or fails; each
 * accepts NULL, which reads as a nil reply.
 */
#ifndef TIKETI_REDIS_REPLY_H
#define TIKETI_REDIS_REPLY_H

#include <stddef.h>
#include <stdint.h>

struct redis_reply;

enum redis_type { REDIS_NIL, REDIS_INT, REDIS_STR, REDIS_LIST, REDIS_ERROR };

enum redis_type redis_reply_type(const struct redis_reply *reply);
/* The integer, or a string that is a whole decimal number; 0 for anything else. */
int64_t redis_reply_int(const struct redis_reply *reply);
/* The text of a string, status or error, NUL-terminated; NULL for other types. *ret_len (may be NULL) is
 * its length in bytes, 0 for other types. */
const char *redis_reply_str(const struct redis_reply *reply, size_t *ret_len);
/* The elements of a list; 0 for other types. */
size_t redis_reply_count(const struct redis_reply *reply);
/* The i-th element, borrowed; NULL past the end. */
const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t i);

#endif
