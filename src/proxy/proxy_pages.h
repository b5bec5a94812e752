/* SPDX-License-Identifier: MIT */
/* proxy_pages: what nginx says by itself, while the service or the shop does not answer. Pure. */
#ifndef TIKETI_PROXY_PAGES_H
#define TIKETI_PROXY_PAGES_H

#include "base/buf.h"

void proxy_pages_write(struct buf *out); /* the texts, by language: for the http block */
void proxy_pages_locations(
    struct buf *out); /* @tiketi_busy and @tiketi_down: for the server block */

#endif
