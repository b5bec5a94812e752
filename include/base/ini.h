/* SPDX-License-Identifier: MIT */
/*
 * ini: the lines of a settings file. A line is empty, a comment (# or ; as its first character), the section [tiketi], or
 * `name = value`. A value is all that follows, without the blanks around it: it has no quotes, escapes or comments, since a
 * secret may contain any of these characters. Pure.
 */
#ifndef TIKETI_INI_H
#define TIKETI_INI_H

/* One line. `wrong`: what is the matter with it, static; name and value are then NULL. */
struct ini_line {
    unsigned number; /* from 1 */
    const char *name, *value;
    const char *wrong;
};

/* Calls `cb` for each line that has a name, or that is wrong, in order. Writes into `text`; what it passes on points into
 * it. */
void ini_each(char *text, void (*cb)(void *arg, const struct ini_line *line), void *arg);

#endif
