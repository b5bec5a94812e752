/* SPDX-License-Identifier: MIT */
/* language: every Accept-Language header gives one of our languages. */
#include "base/language.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum language language = LANGUAGE_EN;
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (language_accept(text) >= LANGUAGE_COUNT)
        abort();
    if (language_parse(text, size, &language) && language >= LANGUAGE_COUNT)
        abort();
    free(text);
    return 0;
}
