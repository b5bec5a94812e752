/* SPDX-License-Identifier: MIT */
/* count: whole numbers with a comma before every three digits. Pure. Called by: ctl, simulate. */
#include "base/count.h"

#include <inttypes.h>
#include <stdio.h>

const char *count_write(int64_t count, char *out)
{
    char digits[24];
    const int len = snprintf(digits, sizeof(digits), "%" PRId64, count), first = count < 0;
    int to = 0;
    for (int i = 0; i < len; i++) {
        if (i > first && (len - i) % 3 == 0)
            out[to++] = ',';
        out[to++] = digits[i];
    }
    out[to] = '\0';
    return out;
}
