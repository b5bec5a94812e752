/* SPDX-License-Identifier: MIT */
/*
 * reference: a place as a text that people can read out: "1K0R-T4B4-J84". Pure functions.
 */
#ifndef TIKETI_REFERENCE_H
#define TIKETI_REFERENCE_H

#include "base/status.h"

#include <stdint.h>

#define REFERENCE_SIZE 14 /* with NUL */

void reference_write(uint64_t place, char out[REFERENCE_SIZE]);
/* Accepts how people write it: small letters, blanks or no dashes, O for 0, I and L for 1. ST_INVALID: not a
 * reference; *ret_place is then unchanged. */
MUST_CHECK enum status reference_read(const char *text, uint64_t *ret_place);

#endif
