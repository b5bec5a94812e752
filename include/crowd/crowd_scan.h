/* SPDX-License-Identifier: MIT */
/* crowd_scan: finds members of a JSON object in one pass, without a DOM: for most of what a crowd reads. */
#ifndef TIKETI_CROWD_SCAN_H
#define TIKETI_CROWD_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A part of the scanned text, borrowed: a string without its quotes, anything else as it stands. NULL: absent. */
struct crowd_span {
    const char *text;
    size_t len;
};

/* Finds the values of these keys in the object `text`. False, and the spans mean nothing: it is no object, or a wanted
 * string has an escape, so a parser is needed. Other members are skipped and not checked. */
bool crowd_scan(const char *text, size_t len, const char *const *keys, struct crowd_span *ret_spans,
                size_t count);
bool crowd_span_is(struct crowd_span span, const char *word);
int64_t crowd_span_int(struct crowd_span span); /* 0 when it is no number */

#endif
