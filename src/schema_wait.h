/* SPDX-License-Identifier: MIT */
/* schema_wait: `tiketi migrate --wait`: waits until a database has the schema of this program, and changes nothing. */
#ifndef TIKETI_SCHEMA_WAIT_H
#define TIKETI_SCHEMA_WAIT_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Asks the database at `url` as `serve` asks it, until it is one that `serve` uses, for wait_ms at most. Prints on stdout
 * what it waits for, a line for each new reason. SIGTERM and SIGINT end the process meanwhile. ST_INVALID: the connection
 * string is malformed. ST_TIMEOUT: the time is over. ST_INTERNAL: the system has no descriptors left. Unless ST_OK is
 * returned, `error` says why. */
MUST_CHECK enum status schema_wait(const char *url, int64_t wait_ms, char *error,
                                   size_t error_size);

#endif
