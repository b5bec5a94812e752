/* SPDX-License-Identifier: MIT */
/* nearest: is a name another one, misspelt? Pure. */
#ifndef TIKETI_NEAREST_H
#define TIKETI_NEAREST_H

#include <stdbool.h>

#define NEAREST_MAX 64 /* bytes of a name; a longer one is near to nothing */

/* How many letters have to be added, left out, replaced, or swapped with their neighbour, so that one name becomes the
 * other; case does not count. NEAREST_MAX + 1: a name is too long. */
unsigned nearest_distance(const char *a, const char *b);
/* How near they are: 0, the same but for case; 1 or 2, a slip, or the same letters in another order or with other
 * underscores; -1, not near. In a name of fewer than ten letters only one letter may be wrong: short names are near to too
 * many others. */
int nearest_slips(const char *name, const char *meant);

#endif
