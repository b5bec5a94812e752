/* SPDX-License-Identifier: MIT */
/*
 * ini: the lines of a settings file.
 *
 * Why this way: Debian's libinih cuts lines at 200 bytes, which a list of three keys exceeds, and takes " ;" inside a value
 * for a comment. Called by: config. Pure.
 */
#include "base/ini.h"

#include <string.h>

#define BLANKS " \t\r"

static char *trim(char *text)
{
    text += strspn(text, BLANKS);
    size_t len = strlen(text);
    while (len > 0 && strchr(BLANKS, text[len - 1]))
        len--;
    text[len] = '\0';
    return text;
}

static void read_line(char *text, struct ini_line *line)
{
    char *equals = strchr(text, '=');
    if (text[0] == '[') {
        if (strcmp(text, "[tiketi]") != 0)
            line->wrong = "the only section is [tiketi]; a role that needs other settings has a "
                          "file of its own (--config)";
        return;
    }
    if (!equals) {
        line->wrong = "must be name = value, a comment that begins with # or ;, or empty";
        return;
    }
    *equals = '\0';
    char *name = trim(text), *value = trim(equals + 1);
    const size_t len = strlen(value);
    if (*name == '\0')
        line->wrong = "there is no name before the =";
    else if (len >= 2 && (value[0] == '"' || value[0] == '\'') && value[len - 1] == value[0])
        line->wrong = "a value is written without quotes around it";
    if (line->wrong)
        return;
    line->name = name;
    line->value = value;
}

void ini_each(char *text, void (*cb)(void *arg, const struct ini_line *line), void *arg)
{
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0) /* a byte order mark, which some editors write */
        text += 3;
    for (unsigned number = 1; text; number++) {
        struct ini_line line = {.number = number};
        char *newline = strchr(text, '\n');
        if (newline)
            *newline++ = '\0';
        text = trim(text);
        if (*text != '\0' && *text != '#' && *text != ';')
            read_line(text, &line);
        if (line.name || line.wrong)
            cb(arg, &line);
        text = newline;
    }
}
