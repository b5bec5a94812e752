/* SPDX-License-Identifier: MIT */
/*
 * page: fills the templates of the pages. Pure.
 *
 *   {{name}}               the value, escaped for text and quoted attributes; nothing where it has none
 *   {{&name}}              the value as it is: HTML that page_fill itself has made
 *   {{#name}}…{{/name}}    only where there is a value and it is not empty
 *   {{^name}}…{{/name}}    only where there is none
 *   {{>name}}              another template, in place
 */
#ifndef TIKETI_PAGE_H
#define TIKETI_PAGE_H

#include "base/buf.h"
#include "base/status.h"

#define PAGE_NAME_MAX  48
#define PAGE_DEPTH_MAX 8 /* of sections, and of templates in templates */

struct page_source {
    const char *(*value)(void *arg, const char *name);                 /* NULL: none */
    const char *(*part)(void *arg, const char *name, size_t *ret_len); /* NULL: no such template */
    void *arg;
};

/* Appends the filled template. ST_INVALID: the template is not well formed, or names a part that is
 * not there; ST_TOO_LARGE: it did not fit. What was appended by then is of no use. */
MUST_CHECK enum status page_fill(struct buf *out, const char *text, size_t len,
                                 const struct page_source *source);
/* Appends text for HTML, in quoted attributes too: & < > " ' are escaped. */
void page_escape(struct buf *out, const char *text);

#endif
