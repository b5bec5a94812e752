/* SPDX-License-Identifier: MIT */
/* crowd_stats: what a crowd measures: samples with exact percentiles, and counted messages. Pure. */
#ifndef TIKETI_CROWD_STATS_H
#define TIKETI_CROWD_STATS_H

#include <stddef.h>
#include <stdint.h>

/* Zeroed means empty. There are a few per buyer, so all are kept and percentiles are exact. */
struct crowd_samples {
    uint32_t *values;
    size_t count, cap;
    uint64_t sum;
};

void crowd_samples_add(struct crowd_samples *samples,
                       uint64_t value); /* values over 2^32-1 are capped */
void crowd_samples_clear(struct crowd_samples *samples);

/* Smallest value at least as large as this share of all (nearest rank); 0 when empty. Sorts. */
uint32_t crowd_samples_percentile(struct crowd_samples *samples, double percent);
double crowd_samples_mean(const struct crowd_samples *samples); /* 0 when empty */

/* Messages by kind, each with its count and first example; the first CROWD_NOTES_MAX kinds are kept. */
#define CROWD_NOTES_MAX 20
struct crowd_notes {
    struct crowd_note {
        char kind[120];
        char example[200];
        uint64_t times;
    } list[CROWD_NOTES_MAX];
    unsigned count;
    uint64_t others; /* of kinds that did not fit */
};
void crowd_notes_add(struct crowd_notes *notes, const char *kind, const char *example, ...)
    __attribute__((format(printf, 3, 4)));

#endif
