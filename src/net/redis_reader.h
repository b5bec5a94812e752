/* SPDX-License-Identifier: MIT */
/* redis_reader: makes replies of the bytes that Redis sent. Used by redis_link alone, and by tests. */
#ifndef TIKETI_REDIS_READER_H
#define TIKETI_REDIS_READER_H

#include "base/status.h"
#include "net/redis_reply.h"

#include <stdbool.h>
#include <stddef.h>

#define REDIS_LIST_MAX (1024 * 1024) /* elements of one list */

struct redis_reader;

/* Returns new; NULL: out of memory. */
struct redis_reader *redis_reader_new(void);
void redis_reader_free(struct redis_reader *reader); /* accepts NULL */
/* Copies the bytes. ST_FULL: out of memory. */
MUST_CHECK enum status redis_reader_feed(struct redis_reader *reader, const char *bytes,
                                         size_t len);
/* Returns new in *ret_reply: the next whole reply; NULL: its bytes are not all there yet. Free it with
 * redis_reader_free_reply. ST_INVALID: the bytes are no reply (redis_reader_problem says why), and the reader is of no
 * further use. */
MUST_CHECK enum status redis_reader_next(struct redis_reader *reader,
                                         struct redis_reply **ret_reply);
const char *redis_reader_problem(const struct redis_reader *reader);
void redis_reader_free_reply(struct redis_reply *reply); /* accepts NULL */

#endif
