/* SPDX-License-Identifier: MIT */
/*
 * qr: a text as a QR code, as the path of an SVG.
 *
 * Why this way: a path within the page needs no further request, prints sharply at any size, is allowed by the
 * Content-Security-Policy (it has no style), and follows the reader's colours. Adjacent dark modules are one stroke.
 * Called by: api_ticket. Pure.
 */
#include "page/qr.h"

#include <qrencode.h>

enum status qr_write_path(const char *text, size_t len, struct buf *out, int *ret_size)
{
    /* Level M: a code that a scratched screen or a folded page has damaged by 15 % is still read. */
    QRcode *code = QRcode_encodeData((int)len, (const unsigned char *)text, 0, QR_ECLEVEL_M);
    if (!code)
        return ST_TOO_LARGE;
    const int size = code->width;
    for (int y = 0; y < size; y++) {
        const unsigned char *row = code->data + (ptrdiff_t)y * size;
        int drawn = -1; /* x after the last stroke of this row; -1: there was none */
        for (int x = 0; x < size;) {
            int end = x;
            while (end < size && (row[end] & 1) != 0)
                end++;
            if (end == x) {
                x++;
                continue;
            }
            if (drawn < 0)
                buf_printf(out, "M%d %d.5h%d", x, y, end - x);
            else
                buf_printf(out, "m%d 0h%d", x - drawn, end - x);
            drawn = x = end;
        }
    }
    QRcode_free(code);
    *ret_size = size;
    return buf_status(out);
}
