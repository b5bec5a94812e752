/* SPDX-License-Identifier: MIT */
/*
 * overload: whom to refuse while requests wait too long, and when those may come again. It judges by the age of the
 * oldest request that waits, never by how many wait. Pure: the caller tells the time. Decision 0114 has the reasons.
 */
#ifndef TIKETI_OVERLOAD_H
#define TIKETI_OVERLOAD_H

#include <stdbool.h>
#include <stdint.h>

/* Whom a request is for. Whoever is inside, claims a turn, holds seats or pays is never asked about here. */
enum overload_class {
    OVERLOAD_NEWCOMER, /* has no place yet: nothing is lost but time */
    OVERLOAD_RETURNING /* has a place, and asks about it */
};

/* One place where requests wait. Zeroed before use, but for `most_ms`. */
struct overload {
    /* In a burst, newcomers are taken until the oldest request is so old; all others always until then. 0: nobody is
     * refused. */
    uint32_t most_ms;
    uint64_t late_ms; /* since when none was young, as far as anybody looked; 0: the last one was */
    uint64_t seen_ms; /* when an old one was last seen */
};

/* Is a request of this class to be refused, when the oldest one waits for `age_ms`? Call it for each request, also while
 * there is no load: it notes when there was none. fits: it would be in the very next thing that is done, so that to
 * refuse it would leave the backend idle. */
bool overload_refuses(struct overload *overload, enum overload_class class, bool fits,
                      uint64_t age_ms, uint64_t now_ms);

/* Those who were refused and are expected again. Zeroed before use. */
struct comeback {
    uint64_t second_ms;   /* when the present second began */
    uint32_t taken, rate; /* newcomers taken in this second; in the last one in which any were */
    uint32_t owed;        /* refused, and not taken since */
};

/* A newcomer was taken. */
void comeback_taken(struct comeback *comeback, uint64_t now_ms);
/* Somebody is refused. Returns after how many seconds they may come again, from 1 to 60: chosen at random, with `random`,
 * from the time that it takes to serve all who were refused at the present rate, so that they come evenly. */
unsigned comeback_refused(struct comeback *comeback, uint32_t random, uint64_t now_ms);

#endif
