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
    [BUYER_ASLEEP] = {"asleep", "asleep", false},
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
    crowd_samples_clear(&tally->shop_threshold);
    crowd_samples_clear(&tally->shop_inside);
}

void crowd_sum_clear(struct crowd_sum *sum)
{
    crowd_tally_clear(&sum->tally);
    crowd_samples_clear(&sum->findings.push_ms);
    crowd_samples_clear(&sum->findings.estimate_ms[ESTIMATE_HIGH]);
    crowd_samples_clear(&sum->findings.estimate_ms[ESTIMATE_LOW]);
}

/* ---- from process to process ---- */

enum { SAMPLES = 8 };

static void samples_of(struct crowd_sum *sum, struct crowd_samples *list[SAMPLES])
{
    list[0] = &sum->tally.join_us;
    list[1] = &sum->tally.positions;
    list[2] = &sum->tally.late_ms;
    list[3] = &sum->findings.push_ms;
    list[4] = &sum->tally.shop_threshold;
    list[5] = &sum->tally.shop_inside;
    list[6] = &sum->findings.estimate_ms[ESTIMATE_HIGH];
    list[7] = &sum->findings.estimate_ms[ESTIMATE_LOW];
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
    tally->retries_in_a_row = (uint32_t)greater(tally->retries_in_a_row, more->retries_in_a_row);
    tally->errors += more->errors;
    tally->sockets += more->sockets;
    tally->messages += more->messages;
    tally->risen += more->risen;
    tally->lost += more->lost;
    tally->slept += more->slept;
    tally->missed_lost += more->missed_lost;
    tally->answered_ms = greater(tally->answered_ms, more->answered_ms);
    tally->joined_ms = greater(tally->joined_ms, more->joined_ms);
    tally->cpu_us += more->cpu_us;
    tally->memory_kb += more->memory_kb;
    tally->processes += more->processes;
    tally->busiest_permille = (uint32_t)greater(tally->busiest_permille, more->busiest_permille);
    add_samples(&tally->join_us, &more->join_us);
    add_samples(&tally->positions, &more->positions);
    add_samples(&tally->late_ms, &more->late_ms);
    tally->shop_reports += more->shop_reports;
    tally->shop_slow += more->shop_slow;
    add_samples(&tally->shop_threshold, &more->shop_threshold);
    add_samples(&tally->shop_inside, &more->shop_inside);
    add_notes(&tally->failures, &more->failures);
    add_notes(&tally->breaks, &more->breaks);
    add_notes(&tally->retried, &more->retried);
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

    const struct replay check = sum->check;
    if (first)
        sum->check = more.check;
    sum->check.over_admissions = check.over_admissions + more.check.over_admissions;
    sum->check.order_breaks = check.order_breaks + more.check.order_breaks;
    sum->check.excused = check.excused + more.check.excused;
    sum->check.unfair_unclaimed = check.unfair_unclaimed + more.check.unfair_unclaimed;
    sum->check.peaks = NULL; /* of the other process */
    sum->check.asides = (struct table){0};
    sum->check.back = NULL;
    sum->check.flow.per_ms = NULL;
    sum->check.peak_count = sum->check.peak_cap = sum->check.back_count = sum->check.back_cap = 0;

    const struct crowd_findings findings = sum->findings;
    if (first)
        sum->findings = more.findings;
    sum->findings.lost = findings.lost + more.findings.lost;
    sum->findings.missed = findings.missed + more.findings.missed;
    sum->findings.resumed = findings.resumed + more.findings.resumed;
    sum->findings.missed_lost = findings.missed_lost + more.findings.missed_lost;
    sum->findings.double_sales = findings.double_sales + more.findings.double_sales;
    sum->findings.seats_sold = findings.seats_sold + more.findings.seats_sold;
    sum->findings.push_ms = findings.push_ms;
    add_samples(&sum->findings.push_ms, &more.findings.push_ms);
    for (int how = ESTIMATE_HIGH; how <= ESTIMATE_LOW; how++) {
        sum->findings.estimate_ms[how] = findings.estimate_ms[how];
        add_samples(&sum->findings.estimate_ms[how], &more.findings.estimate_ms[how]);
    }

    sum->duration_ms = greater(sum->duration_ms, more.duration_ms);
    sum->audit = sum->audit != ST_OK ? sum->audit : more.audit;
    sum->stopped = sum->stopped || more.stopped;
    sum->timed_out = sum->timed_out || more.timed_out;
    crowd_sum_clear(&more);
    return ST_OK;
}
