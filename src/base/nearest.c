/* SPDX-License-Identifier: MIT */
/*
 * nearest: is a name another one, misspelt?
 *
 * Why this way: the usual distance (Damerau and Levenshtein's, in its form for one typist's slips), and beside it the same
 * letters, which finds LEVEL_LOG and LOGLEVEL. Called by: config. Pure.
 */
#include "base/nearest.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define SHORT_LEN 10 /* letters of a name in which two slips are looked for */

static bool same_letter(char a, char b)
{
    return toupper((unsigned char)a) == toupper((unsigned char)b);
}

unsigned nearest_distance(const char *a, const char *b)
{
    unsigned rows[3][NEAREST_MAX + 1]; /* of the matrix: the last two, and the one that is filled */
    const size_t a_len = strlen(a), b_len = strlen(b);
    if (a_len > NEAREST_MAX || b_len > NEAREST_MAX)
        return NEAREST_MAX + 1;
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        const unsigned *above = rows[(i - 1) % 3], *second = rows[(i + 1) % 3];
        unsigned *row = rows[i % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned least = above[j - 1] + !same_letter(a[i - 1], b[j - 1]);
            if (above[j] + 1 < least)
                least = above[j] + 1;
            if (row[j - 1] + 1 < least)
                least = row[j - 1] + 1;
            if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
                same_letter(a[i - 2], b[j - 1]) && second[j - 2] + 1 < least)
                least = second[j - 2] + 1;
            row[j] = least;
        }
    }
    return rows[a_len % 3][b_len];
}

static void count_letters(const char *name, int step, int counts[256])
{
    for (; *name; name++)
        counts[(unsigned char)toupper((unsigned char)*name)] += step;
}

/* Do both have the same letters, each as often? Underscores do not count. */
static bool same_letters(const char *a, const char *b)
{
    int counts[256] = {0};
    count_letters(a, 1, counts);
    count_letters(b, -1, counts);
    counts['_'] = 0;
    for (int c = 0; c < 256; c++) {
        if (counts[c] != 0)
            return false;
    }
    return true;
}

int nearest_slips(const char *name, const char *meant)
{
    const unsigned distance = nearest_distance(name, meant);
    if (distance <= 1 || (distance == 2 && strlen(meant) >= SHORT_LEN))
        return (int)distance;
    return distance <= NEAREST_MAX && same_letters(name, meant) ? 2 : -1;
}
