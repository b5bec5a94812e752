/* SPDX-License-Identifier: MIT */
/* ca_file: can a file of certificate authorities be used? It blocks, so only the command line asks. */
#ifndef TIKETI_CA_FILE_H
#define TIKETI_CA_FILE_H

#include <stdbool.h>

/* Does the file have at least one certificate (PEM) that OpenSSL reads? */
bool ca_file_is_usable(const char *path);

#endif
