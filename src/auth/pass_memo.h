/* SPDX-License-Identifier: MIT */
/*
 * pass_memo: a bounded cache of the passes that one struct token_keys has verified or signed, by their whole text. For
 * token alone, whose keys it belongs to: other keys have another memo. Whether a pass has expired, or its admission is
 * over, it does not know.
 */
#ifndef TIKETI_PASS_MEMO_H
#define TIKETI_PASS_MEMO_H

#include "auth/pass.h"

#include <stdbool.h>
#include <stddef.h>

/* Passes at most; each takes some 600 bytes while it is remembered. */
#define PASS_MEMO_MAX ((size_t)8192)

struct pass_memo;

struct pass_memo *pass_memo_new(void);
void pass_memo_free(struct pass_memo *memo); /* NULL is fine */
/* Remembers that `text`, which was verified or signed, is this pass; another may be forgotten for it. Copies both. */
void pass_memo_put(struct pass_memo *memo, const char *text, size_t len, const struct pass *pass);
/* Fills *ret_pass. False: the text is not remembered; then nothing was written. */
bool pass_memo_get(const struct pass_memo *memo, const char *text, size_t len,
                   struct pass *ret_pass);

#endif
