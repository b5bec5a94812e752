/* SPDX-License-Identifier: MIT */
/* text: the clean form is valid UTF-8 within its limit, has no blank at its edges, and is its own clean form; a clean
 * name is a clean line, and a clean line is clean lines. */
#include "base/text.h"
#include "base/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void clean(enum text_kind kind, const char *text, size_t len, size_t max)
{
    char once[TEXT_BYTES(TEXT_LIMIT) + 1];
    char twice[TEXT_BYTES(TEXT_LIMIT) + 1];
    const enum status st = text_clean(kind, text, len, max, once);
    check(st == ST_OK || st == ST_INVALID || st == ST_TOO_LARGE);
    if (st != ST_OK)
        return;
    const size_t bytes = strlen(once);
    check(bytes <= TEXT_BYTES(max) && utf8_is_valid(once, bytes));
    check(bytes == 0 || (once[0] != ' ' && once[bytes - 1] != ' '));
    check(text_clean(kind, once, bytes, max, twice) == ST_OK && strcmp(once, twice) == 0);
    const enum text_kind wider = kind == TEXT_NAME ? TEXT_LINE : TEXT_LINES;
    check(text_clean(wider, once, bytes, max, twice) == ST_OK && strcmp(once, twice) == 0);
    check((kind == TEXT_LINES || !strchr(once, '\n')) && !strchr(once, '\r'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t most[] = {1, 64, 200, TEXT_LIMIT};
    for (size_t i = 0; i < sizeof(most) / sizeof(most[0]); i++) {
        clean(TEXT_LINE, (const char *)data, size, most[i]);
        clean(TEXT_LINES, (const char *)data, size, most[i]);
        clean(TEXT_NAME, (const char *)data, size, most[i]);
    }
    return 0;
}
