/* SPDX-License-Identifier: MIT */
/*
 * feedback: one step of the loop between the shop's health and the threshold.
 *
 * Why this way: what was changed shows in the shop only when buyers have left, after a good part of a visit. A loop that
 * does not wait for it overshoots: it lowers again and again until nobody enters, and then raises in the same way. So
 * after a decrease it waits until the room has shrunk to it, and it raises by small steps, and only a limit that
 * buyers have filled: an unused one says nothing about what the shop can bear.
 * Called by: processor_feedback (the lease holder), forecast, crowd_shop. Pure.
 */
#include "queue/feedback.h"

#define WELL      0.8 /* of the target: below it the limit is raised; up to the target nothing changes */
#define LOWER     0.8 /* the limit becomes this share of what it was */
#define LOWER_FAR 0.5 /* or this one, above twice the target */
#define FAR       2.0
#define RAISES                                                                                     \
    25 /* steps from the least limit to the most; a step is never above a twentieth of the limit */
#define FULL     0.9  /* of the limit is inside: the limit is used */
#define LOWER_MS 5000 /* between two decreases */
#define SHRINK_MS                                                                                  \
    30000 /* so long the room may take to shrink to a lower limit before it is lowered further */
#define RAISE_MS   5000  /* between two increases */
#define RECOVER_MS 15000 /* from a decrease to the next increase */

const char *feedback_cause_name(enum feedback_cause cause)
{
    static const char *const names[] = {[FEEDBACK_NONE] = "",
                                        [FEEDBACK_SLOW] = "slow",
                                        [FEEDBACK_ERRORS] = "errors",
                                        [FEEDBACK_WELL] = "well",
                                        [FEEDBACK_OFF] = "off"};
    return names[cause];
}

static int64_t least_of(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most_of(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Is the room still on its way to the limit of the last decrease? */
static bool is_shrinking(const struct feedback *feedback, const struct feedback_room *room)
{
    const int64_t since = room->now_ms - feedback->lowered_ms;
    return since < LOWER_MS || (room->inside > feedback->limit && since < SHRINK_MS);
}

static enum feedback_cause lower(struct feedback *feedback, int64_t limit, int64_t least, bool slow,
                                 double over, const struct feedback_room *room)
{
    if (feedback->lowered_ms > 0 && is_shrinking(feedback, room))
        return FEEDBACK_NONE;
    const double from = (double)least_of(limit, room->inside);
    const int64_t lowered = most_of(least, (int64_t)(from * (over > FAR ? LOWER_FAR : LOWER)));
    if (lowered >= limit)
        return FEEDBACK_NONE;
    feedback->limit = lowered;
    feedback->lowered_ms = room->now_ms;
    return slow ? FEEDBACK_SLOW : FEEDBACK_ERRORS;
}

static enum feedback_cause raise(struct feedback *feedback, int64_t limit, int64_t least,
                                 int64_t most, const struct feedback_room *room)
{
    const bool used = room->waiting > 0 || (double)room->inside >= FULL * (double)limit;
    if (limit >= most || !used || room->now_ms - feedback->lowered_ms < RECOVER_MS ||
        room->now_ms - feedback->raised_ms < RAISE_MS)
        return FEEDBACK_NONE;
    const int64_t step = most_of(1, least_of((most - least) / RAISES, limit / 20));
    feedback->limit = least_of(most, limit + step);
    feedback->raised_ms = room->now_ms;
    return FEEDBACK_WELL;
}

enum feedback_cause feedback_step(struct feedback *feedback, const struct feedback_rule *rule,
                                  const struct feedback_health *health,
                                  const struct feedback_room *room)
{
    if (rule->min <= 0) {
        const bool ends = feedback->limit > 0;
        *feedback = (struct feedback){.judged_ms = feedback->judged_ms};
        return ends ? FEEDBACK_OFF : FEEDBACK_NONE;
    }
    if (health->at_ms <= feedback->judged_ms)
        return FEEDBACK_NONE;
    feedback->judged_ms = health->at_ms;
    const int64_t least = least_of(rule->min, rule->most);
    const int64_t limit =
        feedback->limit > 0 ? most_of(least, least_of(feedback->limit, rule->most)) : rule->most;
    const double slow = (double)health->p95_ms / (double)rule->target_p95_ms;
    const double errors = health->error_rate / rule->target_error_rate;
    const double over = slow > errors ? slow : errors;
    if (over > 1)
        return lower(feedback, limit, least, slow >= errors, over, room);
    return over <= WELL ? raise(feedback, limit, least, rule->most, room) : FEEDBACK_NONE;
}

/* Of a queue with one server the times grow as 1 / (1 - load). */
double feedback_shop_p95_ms(double inside, double bears, double target_ms)
{
    const double idle = 0.15, worst = 7.5; /* of the target */
    const double load = inside / bears * (1 - idle);
    return target_ms * (load < 1 - idle / worst ? idle / (1 - load) : worst);
}
