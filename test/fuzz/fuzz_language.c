/* SPDX-License-Identifier: MIT */
/* language: every header leads to one of our languages. */
#include "page/language.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum language language = LANGUAGE_EN;
    char *text = malloc(size + 1);
    if (text == NULL)
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
