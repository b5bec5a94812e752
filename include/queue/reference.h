/* SPDX-License-Identifier: MIT */
/*
 * reference: a place as people can read it out: "1K0R-T4B4-J84". Pure.
 */
#ifndef TIKETI_REFERENCE_H
#define TIKETI_REFERENCE_H

#include "base/status.h"

#include <stdint.h>

#define REFERENCE_SIZE 14

void reference_write(uint64_t place, char out[REFERENCE_SIZE]);
/* Takes what people make of it: small letters, blanks or no dashes, O for 0, I and L for 1. ST_INVALID
 * where it is none. */
MUST_CHECK enum status reference_read(const char *text, uint64_t *ret_place);

#endif
