/* SPDX-License-Identifier: MIT */
/*
 * brand: the stylesheet of an event's pages, made from two colours of the organizer. Whatever the colours,
 * text keeps AA contrast (4.5:1), in light and dark. Pure.
 */
#ifndef TIKETI_BRAND_H
#define TIKETI_BRAND_H

#include "base/buf.h"
#include "queue/event.h"

/* Appends the stylesheet that is loaded after web/base.css; only a comment when the event sets no
 * colours. The colours are "#rrggbb" or "", as event.h validates them. */
void brand_write_css(const struct event_brand *brand, struct buf *out);

/* Is the page behind the cards light in every theme? Then the cards are, too. */
bool brand_is_light(const struct event_brand *brand);

#endif
