/* SPDX-License-Identifier: MIT */
/*
 * text: what people write, brought to one form where it comes in, so that two texts that look the same are the same
 * bytes: NFC, without blanks at the edges, without control characters, and without characters that turn the direction
 * of what stands after them. Identities (the `sub` of a JWT, an Idempotency-Key) are bytes and never come here.
 * Pure.
 */
#ifndef TIKETI_TEXT_H
#define TIKETI_TEXT_H

#include "base/status.h"

#include <stddef.h>

/* A character is a Unicode code point, as in OpenAPI's maxLength and in PostgreSQL's length(). */
#define TEXT_BYTES(characters) (4 * (characters)) /* the most that they need, without the NUL */
#define TEXT_LIMIT             500                /* characters: the greatest `max` of text_clean */

enum text_kind {
    TEXT_LINE,  /* shown, such as a title: the text between the edges stays as it was written */
    TEXT_LINES, /* the same, of several lines: line ends (LF, CR LF) stay between the edges, as LF */
    TEXT_NAME /* compared, such as a section: moreover, each run of blanks inside becomes one space, and characters
                  that show nothing (zero-width spaces, soft hyphens, direction marks) are dropped */
};

/* Writes the clean form of `text`, which has `len` bytes, to `out`, which has TEXT_BYTES(max) + 1 bytes. A text of
 * nothing but blanks and characters that show nothing becomes "".
 * ST_TOO_LARGE: the clean form has more than `max` characters, or `text` has more than TEXT_BYTES(4 * max) bytes.
 * ST_INVALID: it has control characters (but for line ends, where the kind has lines), line separators, or characters that turn the direction of text (U+202A to
 * U+202E, U+2066 to U+2069); or it is not UTF-8. *out is then undefined. */
MUST_CHECK enum status text_clean(enum text_kind kind, const char *text, size_t len, size_t max,
                                  char *out);

#endif
