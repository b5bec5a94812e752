/* SPDX-License-Identifier: MIT */
/*
 * crowd_tally: what a crowd has counted, added up over its processes. Pure but for the streams.
 *
 * Each process reads the whole log and judges its own buyers: counts of buyers are added up, and what all processes
 * see alike is taken from the first. Samples are handed over whole, since a percentile of all does not follow from
 * the percentiles of the parts. Called by: crowd, crowd_fleet, crowd_report.
 */
#include "crowd/crowd_tally.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *key;
    bool ends;
} states[BUYER_STATE_COUNT] = {
    [BUYER_ABSENT] = {"absent", "absent", false},
    [BUYER_ARRIVING] = {"arriving", "arriving", false},
    [BUYER_WAITING] = {"waiting", "waiting", false},
    [BUYER_INSIDE] = {"inside", "inside", false},
    [BUYER_SILENT] = {"silent", "silent", false},
    [BUYER_BOUGHT] = {"bought", "bought", true},
    [BUYER_LEFT] = {"left", "left", true},
    [BUYER_SOLD_OUT] = {"sold out", "soldOut", true},
    [BUYER_CLOSED] = {"closed", "closed", true},
    [BUYER_EVICTED] = {"evicted", "evicted", true},
    [BUYER_EXPIRED] = {"expired", "expired", true},
    [BUYER_REFUNDED] = {"refunded", "refunded", true},
    [BUYER_LOST] = {"lost", "lost", true},
    [BUYER_FAILED] = {"failed", "failed", true},
};

const char *buyer_state_name(enum buyer_state state)
{
    return states[state].name;
}

const char *buyer_state_key(enum buyer_state state)
{
    return states[state].key;
}

bool buyer_state_ends(enum buyer_state state)
{
    return states[state].ends;
}

void crowd_tally_clear(struct crowd_tally *tally)
{
    crowd_samples_clear(&tally->join_us);
    crowd_samples_clear(&tally->positions);
    crowd_samples_clear(&tally->late_ms);
}

void crowd_sum_clear(struct crowd_sum *sum)
{
    crowd_tally_clear(&sum->tally);
    crowd_samples_clear(&sum->findings.push_ms);
}

/* ---- from process to process ---- */

enum { SAMPLES = 4 };

static void samples_of(struct crowd_sum *sum, struct crowd_samples *list[SAMPLES])
{
    list[0] = &sum->tally.join_us;
    list[1] = &sum->tally.positions;
    list[2] = &sum->tally.late_ms;
    list[3] = &sum->findings.push_ms;
}

enum status crowd_sum_write(const struct crowd_sum *sum, FILE *out)
{
    struct crowd_sum copy = *sum;
    struct crowd_samples *list[SAMPLES];
    samples_of(&copy, list);
    bool written = fwrite(&copy, sizeof(copy), 1, out) == 1;
    for (int i = 0; i < SAMPLES; i++) {
        const size_t count = list[i]->count;
        if (count > 0)
            written = written && fwrite(list[i]->values, sizeof(uint32_t), count, out) == count;
    }
    return written && fflush(out) == 0 ? ST_OK : ST_INTERNAL;
}

static enum status read_sum(struct crowd_sum *sum, FILE *in)
{
    struct crowd_samples *list[SAMPLES];
    if (fread(sum, sizeof(*sum), 1, in) != 1)
        return ST_INTERNAL;
    samples_of(sum, list);
    for (int i = 0; i < SAMPLES; i++) {
        list[i]->values = NULL;
        list[i]->cap = 0;
    }
    for (int i = 0; i < SAMPLES; i++) {
        const size_t count = list[i]->count;
        if (count == 0)
            continue;
        list[i]->cap = count;
        list[i]->values = xcalloc(count, sizeof(uint32_t));
        if (fread(list[i]->values, sizeof(uint32_t), count, in) != count)
            return ST_INTERNAL;
    }
    return ST_OK;
}

/* ---- adding up ---- */

static void add_notes(struct crowd_notes *notes, const struct crowd_notes *more)
{
    notes->others += more->others;
    for (unsigned i = 0; i < more->count; i++)
        for (uint64_t n = 0; n < more->list[i].times; n++)
            crowd_notes_add(notes, more->list[i].kind, "%s", more->list[i].example);
}

static void add_samples(struct crowd_samples *samples, const struct crowd_samples *more)
{
    for (size_t i = 0; i < more->count; i++)
        crowd_samples_add(samples, more->values[i]);
}

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void add_tally(struct crowd_tally *tally, const struct crowd_tally *more)
{
    for (int i = 0; i < BUYER_STATE_COUNT; i++)
        tally->states[i] += more->states[i];
    tally->allowed += more->allowed;
    tally->queued += more->queued;
    tally->joined += more->joined;
    tally->requests += more->requests;
    tally->retries += more->retries;
    tally->errors += more->errors;
    tally->sockets += more->sockets;
    tally->messages += more->messages;
    tally->risen += more->risen;
    tally->lost += more->lost;
    tally->answered_ms = greater(tally->answered_ms, more->answered_ms);
    tally->joined_ms = greater(tally->joined_ms, more->joined_ms);
    tally->cpu_us += more->cpu_us;
    tally->memory_kb += more->memory_kb;
    tally->processes += more->processes;
    tally->busiest_permille = (uint32_t)greater(tally->busiest_permille, more->busiest_permille);
    add_samples(&tally->join_us, &more->join_us);
    add_samples(&tally->positions, &more->positions);
    add_samples(&tally->late_ms, &more->late_ms);
    add_notes(&tally->failures, &more->failures);
    add_notes(&tally->breaks, &more->breaks);
}

enum status crowd_sum_add(struct crowd_sum *sum, FILE *in, bool first)
{
    struct crowd_sum more;
    memset(&more, 0, sizeof(more));
    const enum status st = read_sum(&more, in);
    if (st != ST_OK) {
        crowd_sum_clear(&more);
        return st;
    }
    add_tally(&sum->tally, &more.tally);

    const struct crowd_check check = sum->check;
    if (first)
        sum->check = more.check;
    sum->check.over_admissions = check.over_admissions + more.check.over_admissions;
    sum->check.order_breaks = check.order_breaks + more.check.order_breaks;
    sum->check.excused = check.excused + more.check.excused;
    sum->check.peaks = NULL; /* of the other process */
    sum->check.peak_count = sum->check.peak_cap = 0;

    const struct crowd_findings findings = sum->findings;
    if (first)
        sum->findings = more.findings;
    sum->findings.lost = findings.lost + more.findings.lost;
    sum->findings.double_sales = findings.double_sales + more.findings.double_sales;
    sum->findings.seats_sold = findings.seats_sold + more.findings.seats_sold;
    sum->findings.push_ms = findings.push_ms;
    add_samples(&sum->findings.push_ms, &more.findings.push_ms);

    sum->duration_ms = greater(sum->duration_ms, more.duration_ms);
    sum->audit = sum->audit != ST_OK ? sum->audit : more.audit;
    sum->stopped = sum->stopped || more.stopped;
    sum->timed_out = sum->timed_out || more.timed_out;
    crowd_sum_clear(&more);
    return ST_OK;
}
