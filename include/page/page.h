/* SPDX-License-Identifier: MIT */
/*
 * page: fills HTML templates. Pure.
 *
 *   {{name}}               the value, escaped for text and quoted attributes; nothing without a value
 *   {{&name}}              the value as it is: HTML that page_fill has made before
 *   {{#name}}…{{/name}}    a section that is shown only if there is a value and it is not empty
 *   {{^name}}…{{/name}}    a section that is shown only if there is no value or an empty one
 *   {{>name}}              the template of this name, filled with the same values
 */
#ifndef TIKETI_PAGE_H
#define TIKETI_PAGE_H

#include "base/buf.h"
#include "base/status.h"

#define PAGE_NAME_MAX  48
#define PAGE_DEPTH_MAX 8 /* nested sections, and templates within templates */

/* Where values and templates come from. Both callbacks return borrowed text that lives until page_fill
 * returns. */
struct page_source {
    const char *(*value)(void *arg, const char *name);                 /* NULL: there is none */
    const char *(*part)(void *arg, const char *name, size_t *ret_len); /* NULL: no such template */
    void *arg;
};

/* Appends the filled template. ST_INVALID: the template is malformed, or names a template that does not
 * exist; ST_TOO_LARGE: it did not fit. After an error the content of `out` is of no use. */
MUST_CHECK enum status page_fill(struct buf *out, const char *text, size_t len,
                                 const struct page_source *source);
/* Appends text as HTML, also within quoted attributes: & < > " ' are escaped. */
void page_escape(struct buf *out, const char *text);

#endif
