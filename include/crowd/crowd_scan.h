/* SPDX-License-Identifier: MIT */
/* crowd_scan: members of a JSON object found in one pass, without a DOM: most of what a crowd reads. */
#ifndef TIKETI_CROWD_SCAN_H
#define TIKETI_CROWD_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the scanned text. A string without its quotes; anything else as it stands. NULL: absent. */
struct crowd_span {
    const char *text;
    size_t len;
};

/* Looks for the values of these keys of the object that `text` is. False, and nothing is to be believed,
 * when it is no object, or a wanted string has an escape: then it takes a real parser. What is not
 * wanted is only skipped, and not checked. */
bool crowd_scan(const char *text, size_t len, const char *const *keys, struct crowd_span *ret_spans,
                size_t count);
bool crowd_span_is(struct crowd_span span, const char *word);
int64_t crowd_span_int(struct crowd_span span); /* 0 when it is no number */

#endif
