/* SPDX-License-Identifier: MIT */
/*
 * feedback: lowers and raises the threshold of an event by how well the shop behind it is. Pure: no clock, no Redis.
 *
 * AIMD (Chiu and Jain, 1989): additive increase while the shop is well, multiplicative decrease while it is not. Between
 * the two lies a band in which nothing changes. Nobody inside is thrown out: a lower limit lets fewer in.
 */
#ifndef TIKETI_FEEDBACK_H
#define TIKETI_FEEDBACK_H

#include <stdbool.h>
#include <stdint.h>

struct feedback_rule {
    int64_t min;           /* the event's thresholdMin; 0: no feedback */
    int64_t most;          /* the threshold that base and surge rules give */
    int64_t target_p95_ms; /* the shop is well up to here */
    double target_error_rate;
};

/* How the shop is, as it says itself or as its Prometheus says. */
struct feedback_health {
    int64_t at_ms; /* of Redis' clock; 0: never told */
    int64_t p95_ms;
    double error_rate; /* share of its requests that failed, 0 to 1 */
};

struct feedback_room {
    int64_t inside, waiting;
    int64_t now_ms; /* of Redis' clock */
};

enum feedback_cause {
    FEEDBACK_NONE,   /* nothing changed */
    FEEDBACK_SLOW,   /* lowered: p95 above its target */
    FEEDBACK_ERRORS, /* lowered: too many errors */
    FEEDBACK_WELL,   /* raised: the shop is well, and buyers would come in */
    FEEDBACK_OFF     /* the limit ended, because thresholdMin is 0 now */
};
/* "slow", "errors", "well", "off"; "" for none. Static. */
const char *feedback_cause_name(enum feedback_cause cause);

/* What is kept of an event between two steps. */
struct feedback {
    int64_t limit; /* in force if it is below `most`; 0: none */
    int64_t lowered_ms, raised_ms;
    int64_t judged_ms; /* at_ms of the report that was judged last */
};

/* Judges a report, once, and changes *feedback. At most one change comes of a report; and none of one that is older than
 * the last one judged. Without new reports the limit stays: a shop that cannot even report is not well. */
enum feedback_cause feedback_step(struct feedback *feedback, const struct feedback_rule *rule,
                                  const struct feedback_health *health,
                                  const struct feedback_room *room);

/* A shop for forecasts and rehearsals, which gets slower the more buyers are inside, as a queue with one server does: the
 * 95th percentile of its response times, ms. With `bears` buyers inside it is target_ms; above that it is soon at its
 * worst, 7.5 times the target. */
double feedback_shop_p95_ms(double inside, double bears, double target_ms);

#endif
