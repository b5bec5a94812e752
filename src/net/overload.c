/* SPDX-License-Identifier: MIT */
/*
 * overload: whom to refuse while requests wait too long, and when those may come again.
 *
 * Why this way: without it a queue grows until every request in it is older than its deadline, and the backend works for
 * clients that have been answered 503. The length of a queue says nothing, since the same hundred requests are a
 * millisecond of a fast backend and a second of a slow one; the age of the oldest says it in any case. As CoDel does, a
 * burst is told from a load that does not end: a burst may wait for `most_ms`; when no request was young for as
 * long, the wait has become a standing one that helps nobody, and newcomers are refused from a quarter of it. Those with a
 * place are taken up to `most_ms` in either case. Two old requests with as long a pause between them are two hiccups of the
 * machine, and no standing wait.
 * Called by: queue (one for each event), api (one for each worker). Owns nothing. Bounded: no memory, no time.
 */
#include "net/overload.h"

#define STANDING  4  /* a standing wait may be a quarter of most_ms */
#define CALM      20 /* and a request is young up to a twentieth of it */
#define RETRY_MAX 60 /* s */
#define SECOND_MS 1000
#define FORGET_MS 120000 /* who has not come again by then does not */

bool overload_refuses(struct overload *overload, enum overload_class class, bool fits,
                      uint64_t age_ms, uint64_t now_ms)
{
    const uint32_t most_ms = overload->most_ms;
    if (most_ms == 0 || age_ms <= most_ms / CALM) {
        overload->late_ms = 0;
        return false;
    }
    if (overload->late_ms == 0 || now_ms - overload->seen_ms > most_ms)
        overload->late_ms = now_ms;
    overload->seen_ms = now_ms;
    const bool stands = now_ms - overload->late_ms > most_ms;
    const bool early = stands && class == OVERLOAD_NEWCOMER && !fits;
    return age_ms > (early ? most_ms / STANDING : most_ms);
}

static void comeback_pass(struct comeback *comeback, uint64_t now_ms)
{
    if (now_ms - comeback->second_ms < SECOND_MS)
        return;
    if (comeback->taken > 0)
        comeback->rate = comeback->taken;
    if (now_ms - comeback->second_ms > FORGET_MS)
        comeback->owed = 0;
    comeback->taken = 0;
    comeback->second_ms = now_ms;
}

void comeback_taken(struct comeback *comeback, uint64_t now_ms)
{
    comeback_pass(comeback, now_ms);
    comeback->taken++;
    comeback->owed -= comeback->owed > 0;
}

unsigned comeback_refused(struct comeback *comeback, uint32_t random, uint64_t now_ms)
{
    comeback_pass(comeback, now_ms);
    if (comeback->owed < UINT32_MAX)
        comeback->owed++;
    const uint32_t rate = comeback->rate > comeback->taken ? comeback->rate : comeback->taken;
    const uint32_t spread_s = comeback->owed / (rate > 0 ? rate : 1);
    return 1 + random % (spread_s < RETRY_MAX ? spread_s + 1 : RETRY_MAX);
}
