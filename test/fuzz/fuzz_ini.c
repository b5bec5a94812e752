/* SPDX-License-Identifier: MIT */
/*
 * ini: any text. Lines come in order; each has a name and a value, or what is wrong with it; both are inside the text, without
 * blanks around them; no name has an equals sign, and no value is in quotes.
 */
#include "base/ini.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    const char *text;
    size_t len;
    unsigned last;
};

static void check(bool holds)
{
    if (!holds)
        abort();
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void on_line(void *arg, const struct ini_line *line)
{
    struct seen *seen = arg;
    check(line->number > seen->last);
    seen->last = line->number;
    if (line->wrong) {
        check(!line->name && !line->value && line->wrong[0] != '\0');
        return;
    }
    check(line->name >= seen->text && line->value + strlen(line->value) <= seen->text + seen->len);
    check(line->name[0] != '\0' && !strpbrk(line->name, "=\n") && !strchr(line->value, '\n'));
    const char *const texts[] = {line->name, line->value};
    for (size_t i = 0; i < 2; i++) {
        const size_t len = strlen(texts[i]);
        check(len == 0 || (!is_blank(texts[i][0]) && !is_blank(texts[i][len - 1])));
        check(i == 0 || len < 2 || texts[i][0] != '"' || texts[i][len - 1] != '"');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    check(text);
    memcpy(text, data, size);
    text[size] = '\0';
    struct seen seen = {.text = text, .len = strlen(text)};
    ini_each(text, on_line, &seen);
    free(text);
    return 0;
}
