/* SPDX-License-Identifier: MIT */
/* ws_scan: the same bytes lead to the same result however they are cut, and every frame that passes is masked. */
#include "net/ws_scan.h"

#include <stdlib.h>

#define MOST 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
    size_t good;
    unsigned frames, extra;
    uint16_t code;
};

/* Scans in pieces of at most `piece` bytes. */
static struct result scan_in(const uint8_t *data, size_t size, size_t piece)
{
    struct ws_scan scan = {0};
    struct result result = {0};
    while (result.good < size && !scan.closed) {
        struct ws_scan_result got = {0};
        const size_t rest = size - result.good, len = rest < piece ? rest : piece;
        const size_t used = ws_scan(&scan, data + result.good, len, MOST, &got);
        if (used > len || (got.event == WS_SCAN_MORE && used != len && !scan.closed))
            abort();
        result.good += used;
        result.frames += got.event == WS_SCAN_FRAME;
        result.extra += got.event == WS_SCAN_EXTRA;
        if (got.event == WS_SCAN_ERROR) {
            if ((got.code != 1002 && got.code != 1009) || !got.reason)
                abort();
            result.code = got.code;
            break;
        }
    }
    return result;
}

static bool is_same(const struct result *a, const struct result *b)
{
    return a->good == b->good && a->frames == b->frames && a->extra == b->extra &&
           a->code == b->code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct result whole = scan_in(data, size, size + 1), bytes = scan_in(data, size, 1),
                        some = scan_in(data, size, 3);
    if (!is_same(&whole, &bytes) || !is_same(&whole, &some))
        abort();
    return 0;
}
