/* SPDX-License-Identifier: MIT */
/* crowd: the rehearsal: virtual buyers over real HTTP and WebSocket, and the check of the promises. */
#ifndef TIKETI_CROWD_H
#define TIKETI_CROWD_H

#include "base/config.h"

/* `tiketi crowd …`: parses its own arguments. Exit code: 0, 1 (a promise broke or a request
 * failed), 64 usage, 78 configuration. */
int crowd_main(const struct config *config, int argc, char **argv);
void crowd_print_help(void);

#endif
