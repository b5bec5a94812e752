/* SPDX-License-Identifier: MIT */
/* provider: a payment provider for tests and demos: takes orders, keeps books, calls the webhook. */
#ifndef TIKETI_PROVIDER_H
#define TIKETI_PROVIDER_H

#include "base/config.h"

/* `tiketi provider …`: parses its own arguments and serves until SIGINT or SIGTERM. Exit code: 0,
 * 1, 64 usage, 78 configuration. */
int provider_main(const struct config *config, int argc, char **argv);

#endif
