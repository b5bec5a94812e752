/* SPDX-License-Identifier: MIT */
/*
 * reference: writes a place as a text that people can read out, "1K0R-T4B4-J84", and reads it back. Pure functions.
 */
#ifndef TIKETI_REFERENCE_H
#define TIKETI_REFERENCE_H

#include "base/status.h"

#include <stdint.h>

#define REFERENCE_SIZE 14 /* bytes, with the NUL */

void reference_write(uint64_t place, char out[REFERENCE_SIZE]);
/* Accepts what people write: small letters, blanks or nothing in place of the dashes, O for 0, I and L for 1.
 * ST_INVALID: the text is not a reference; *ret_place is then unchanged. */
MUST_CHECK enum status reference_read(const char *text, uint64_t *ret_place);

#endif
