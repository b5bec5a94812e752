/* SPDX-License-Identifier: MIT */
/* page: any template is filled or refused; escaped text cannot leave its place in the HTML. */
#include "page/page.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *value(void *arg, const char *name)
{
    return strchr(name, 'x') ? NULL : arg;
}

static const char *part(void *arg, const char *name, size_t *ret_len)
{
    *ret_len = strlen(arg);
    return *name == 'p' ? arg : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf out;
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    const struct page_source source = {.value = value, .part = part, .arg = text};
    buf_init(&out, 65536);
    if (page_fill(&out, text, size, &source) == ST_OK && out.len >= 65536)
        abort();
    buf_reset(&out);
    page_escape(&out, text);
    if (strpbrk(buf_str(&out), "<>\"'"))
        abort();
    buf_clear(&out);
    free(text);
    return 0;
}
