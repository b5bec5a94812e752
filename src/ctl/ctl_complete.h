/* SPDX-License-Identifier: MIT */
/* ctl_complete: the shell's completion of tiketi; of `tiketi ctl` written from its table of commands. */
#ifndef TIKETI_CTL_COMPLETE_H
#define TIKETI_CTL_COMPLETE_H

#include "base/options.h"

#include <stddef.h>
#include <stdio.h>

/* What completion knows of a command. */
struct ctl_word {
    const char *name, *summary; /* without characters that mean something between double quotes */
    const char
        *args; /* "EVENT [SETTING=VALUE ...]": an EVENT first is completed by asking the service */
    const struct option_row *rows; /* its options */
};

/* Writes a script for bash or zsh. False: another shell. */
bool ctl_complete(const char *shell, const struct ctl_word *words, size_t count, FILE *out);

#endif
