/* SPDX-License-Identifier: MIT */
/*
 * reference: a place as a text that people can read out, and back.
 *
 * Why this way: Redis and PostgreSQL both have the buyer's place, so staff on the phone can find a buyer by it. It is
 * no secret and proves nothing. It is written in Crockford's base 32, which has no letters that look like digits.
 * Called by: api_wait (writes), main (reads). Pure.
 */
#include "queue/reference.h"

#include <stddef.h>
#include <string.h>

#define DIGITS                                                                                     \
    11 /* 55 bits of a place, which is microseconds since 1970: enough until the year 3111 */

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void reference_write(uint64_t place, char out[REFERENCE_SIZE])
{
    size_t at = 0;
    for (int i = DIGITS - 1; i >= 0; i--) {
        out[at++] = digits[place >> (5 * i) & 31];
        if (i == 7 || i == 3)
            out[at++] = '-';
    }
    out[at] = '\0';
}

/* The value of a digit; -1: it is not a digit of base 32. */
static int value_of(char c)
{
    if (c >= 'a' && c <= 'z')
        c = (char)(c - 'a' + 'A');
    if (c == 'O')
        c = '0';
    if (c == 'I' || c == 'L')
        c = '1';
    const char *digit = c ? strchr(digits, c) : NULL;
    return digit ? (int)(digit - digits) : -1;
}

enum status reference_read(const char *text, uint64_t *ret_place)
{
    uint64_t place = 0;
    unsigned count = 0;
    for (; *text; text++) {
        if (*text == '-' || *text == ' ')
            continue;
        const int value = value_of(*text);
        if (value < 0 || ++count > DIGITS)
            return ST_INVALID;
        place = place << 5 | (unsigned)value;
    }
    if (count != DIGITS)
        return ST_INVALID;
    *ret_place = place;
    return ST_OK;
}
