/* SPDX-License-Identifier: MIT */
/* build: what this program was built from. Made by src/version.sh; constant, so any thread may read it. */
#ifndef TIKETI_BUILD_H
#define TIKETI_BUILD_H

extern const char build_version[]; /* of the file VERSION: "0.1.0" */
/* The first 12 digits of the commit, with "-changed" when tracked files differed from it; "unknown" where there was
 * neither a clone nor an archive of one. */
extern const char build_commit[];

#endif
