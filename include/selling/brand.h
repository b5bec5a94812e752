/* SPDX-License-Identifier: MIT */
/*
 * brand: the style of an event's pages from two colours. Whatever the colours are, text
 * keeps AA contrast (4.5:1), in light and dark. Pure.
 */
#ifndef TIKETI_BRAND_H
#define TIKETI_BRAND_H

#include "base/buf.h"
#include "queue/event.h"

/* Appends the stylesheet that goes over web/base.css; a comment alone where nothing is branded. */
void brand_write_css(const struct event_brand *brand, struct buf *out);

/* The contrast of two colours ("#rrggbb") by WCAG 2: 1 to 21. */
double brand_contrast(const char *one, const char *other);

#endif
