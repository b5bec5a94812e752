/* SPDX-License-Identifier: MIT */
/* clock: a time that is accepted is the same moment after writing and reading it again. */
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char out[CLOCK_RFC3339_SIZE];
    int64_t ms, again;
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (clock_parse_rfc3339(text, &ms) == ST_OK) {
        clock_format_rfc3339(ms, out);
        if (clock_parse_rfc3339(out, &again) != ST_OK || again != ms)
            abort();
    }
    if (size >= sizeof(ms)) {
        memcpy(&ms, data, sizeof(ms));
        clock_format_rfc3339(ms, out);
        if (!memchr(out, '\0', sizeof(out)))
            abort();
    }
    free(text);
    return 0;
}
