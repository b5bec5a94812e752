/* SPDX-License-Identifier: MIT */
/*
 * crowd_stats: what a crowd measures. Percentiles are exact, by the nearest rank: the smallest
 * sample at least as large as the wished share of all of them. Sentences are counted, so that ten
 * thousand failures of one kind are one line. Pure. Called by: the other crowd files.
 */
#include "crowd/crowd_stats.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void crowd_samples_add(struct crowd_samples *samples, uint64_t value)
{
    if (samples->count == samples->cap) {
        samples->cap = samples->cap > 0 ? samples->cap * 2 : 256;
        samples->values = xrealloc(samples->values, samples->cap * sizeof(*samples->values));
    }
    const uint32_t kept = value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
    samples->values[samples->count++] = kept;
    samples->sum += kept;
}

void crowd_samples_clear(struct crowd_samples *samples)
{
    free(samples->values);
    *samples = (struct crowd_samples){0};
}

static int compare_values(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

uint32_t crowd_samples_percentile(struct crowd_samples *samples, double percent)
{
    if (samples->count == 0)
        return 0;
    qsort(samples->values, samples->count, sizeof(*samples->values), compare_values);
    const double wanted = percent / 100.0 * (double)samples->count;
    size_t rank = (size_t)wanted;
    if ((double)rank < wanted)
        rank++;
    if (rank < 1)
        rank = 1;
    return samples->values[(rank < samples->count ? rank : samples->count) - 1];
}

double crowd_samples_mean(const struct crowd_samples *samples)
{
    return samples->count > 0 ? (double)samples->sum / (double)samples->count : 0.0;
}

static struct crowd_note *find_note(struct crowd_notes *notes, const char *kind)
{
    for (unsigned i = 0; i < notes->count; i++) {
        if (strncmp(notes->list[i].kind, kind, sizeof(notes->list[i].kind) - 1) == 0)
            return &notes->list[i];
    }
    return NULL;
}

void crowd_notes_add(struct crowd_notes *notes, const char *kind, const char *example, ...)
{
    struct crowd_note *note = find_note(notes, kind);
    if (note) {
        note->times++;
        return;
    }
    if (notes->count == CROWD_NOTES_MAX) {
        notes->others++;
        return;
    }
    va_list args;
    note = &notes->list[notes->count++];
    note->times = 1;
    (void)snprintf(note->kind, sizeof(note->kind), "%s", kind);
    va_start(args, example);
    (void)vsnprintf(note->example, sizeof(note->example), example, args);
    va_end(args);
}
