/* SPDX-License-Identifier: MIT */
/* qr: a text as a QR code, for pages. */
#ifndef TIKETI_QR_H
#define TIKETI_QR_H

#include "base/buf.h"
#include "base/status.h"

/* Appends the data of an SVG path that draws the dark modules of the code as strokes of width 1, and sets *ret_size to
 * the number of modules of a side. The four modules of quiet zone around the code are the caller's. ST_TOO_LARGE: the
 * text is longer than a code can hold; then nothing was appended. */
MUST_CHECK enum status qr_write_path(const char *text, size_t len, struct buf *out, int *ret_size);

#endif
