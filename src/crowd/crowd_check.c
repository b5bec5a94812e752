/* SPDX-License-Identifier: MIT */
/*
 * crowd_check: the promises, replayed entry by entry from the admission log. Pure. Called by:
 * crowd_audit, crowd_buyer.
 *
 * Never over-admit. Admissions and departures are counted here; the count must equal the log's, and after an
 * admission be at most the threshold. Admissions are numbered without a gap.
 *
 * First come, first served. All admissions of an epoch, direct ones too, come in the order of
 * their places. An admission with a lower place than an earlier one means that this buyer was overtaken.
 * That is allowed only if the crowd's own record says that they were out of touch when it first happened: for at
 * least silentMs (then they were parked), or for any time after Redis lost its data (then it did not know them
 * until they came back). A buyer of another crowd cannot be judged and counts as excused.
 *
 * After a loss of data nothing is known: the next entry is believed, once. Restored admissions, and second ones
 * with the same place, are counted but have no order: these buyers had been admitted before.
 */
#include "crowd/crowd_check.h"

#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The end of a socket is noticed a little late. */
#define SLACK_MS 1000

static const struct {
    const char *word;
    bool enters;
} kinds[CROWD_KIND_COUNT] = {
    [CROWD_DIRECT] = {"direct", true},        [CROWD_PROMOTE] = {"promote", true},
    [CROWD_RESTORED] = {"restored", true},    [CROWD_LEFT] = {"left", false},
    [CROWD_IDLE] = {"idle", false},           [CROWD_TIMEOUT] = {"timeout", false},
    [CROWD_COMPLETED] = {"completed", false}, [CROWD_CLEARED] = {"cleared", false},
};

enum status crowd_kind_parse(const char *word, enum crowd_kind *ret_kind)
{
    for (int i = 0; i < CROWD_KIND_COUNT; i++) {
        if (strcmp(word, kinds[i].word) != 0)
            continue;
        *ret_kind = (enum crowd_kind)i;
        return ST_OK;
    }
    return ST_INVALID;
}

bool crowd_kind_enters(enum crowd_kind kind)
{
    return kinds[kind].enters;
}

void crowd_check_init(struct crowd_check *check, int64_t silent_ms, crowd_broken_cb on_broken,
                      void *arg)
{
    *check = (struct crowd_check){.silent_ms = silent_ms, .on_broken = on_broken, .arg = arg};
}

void crowd_check_clear(struct crowd_check *check)
{
    free(check->peaks);
    check->peaks = NULL;
    check->peak_count = check->peak_cap = 0;
}

static void check_broken(const struct crowd_check *check, uint64_t *counter, const char *kind,
                         const char *example)
{
    (*counter)++;
    if (check->on_broken)
        check->on_broken(check->arg, kind, example);
}

/* ---- order ---- */

/* The first peak with a higher place: when a buyer of this place was first overtaken. NULL: never. */
static const struct crowd_peak *first_above(const struct crowd_check *check, uint64_t place)
{
    size_t low = 0, high = check->peak_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (check->peaks[middle].place > place)
            high = middle;
        else
            low = middle + 1;
    }
    return low < check->peak_count ? &check->peaks[low] : NULL;
}

static bool gap_excuses(const struct crowd_check *check, const struct crowd_gap *gap,
                        int64_t passed_ms)
{
    if (gap->gone_ms == 0 || passed_ms < gap->gone_ms - SLACK_MS || passed_ms > gap->back_ms)
        return false;
    const bool after_loss = check->loss_ms > 0 && passed_ms >= check->loss_ms - SLACK_MS;
    return after_loss || passed_ms - gap->gone_ms >= check->silent_ms - SLACK_MS;
}

static bool excuses(const struct crowd_check *check, const struct crowd_witness *witness,
                    int64_t passed_ms)
{
    return !witness || gap_excuses(check, &witness->longest, passed_ms) ||
           gap_excuses(check, &witness->latest, passed_ms);
}

enum crowd_overtaken crowd_check_overtaken(const struct crowd_check *check, uint64_t place,
                                           uint64_t epoch, const struct crowd_witness *witness)
{
    const struct crowd_peak *peak = epoch == check->epoch ? first_above(check, place) : NULL;
    if (!peak)
        return CROWD_IN_ORDER;
    return excuses(check, witness, peak->at_ms) ? CROWD_EXCUSED : CROWD_OVERTAKEN;
}

static void add_peak(struct crowd_check *check, uint64_t place, int64_t at_ms)
{
    if (check->peak_count > 0 && check->peaks[check->peak_count - 1].place >= place)
        return;
    if (check->peak_count == check->peak_cap) {
        check->peak_cap = check->peak_cap > 0 ? check->peak_cap * 2 : 1024;
        check->peaks = xrealloc(check->peaks, check->peak_cap * sizeof(*check->peaks));
    }
    check->peaks[check->peak_count++] = (struct crowd_peak){place, at_ms};
}

static void check_order(struct crowd_check *check, const struct crowd_entry *entry,
                        const char *buyer, const struct crowd_witness *witness)
{
    char example[200];
    switch (crowd_check_overtaken(check, entry->place, entry->epoch, witness)) {
    case CROWD_IN_ORDER:
        break;
    case CROWD_EXCUSED:
        check->excused += witness || !check->strangers_elsewhere;
        break;
    case CROWD_OVERTAKEN:
        (void)snprintf(example, sizeof(example), "%s with place %" PRIu64 " after place %" PRIu64,
                       buyer, entry->place, first_above(check, entry->place)->place);
        check_broken(check, &check->order_breaks, "admitted after a later place, though in touch",
                     example);
        break;
    }
    add_peak(check, entry->place, entry->at_ms);
}

/* ---- numbers ---- */

static void check_count(struct crowd_check *check, const struct crowd_entry *entry,
                        const char *buyer)
{
    const bool enters = crowd_kind_enters(entry->kind);
    char example[200];
    if (check->rebase) {
        check->rebase = false;
        check->inside = entry->inside;
        check->n = entry->n;
    } else {
        check->inside = enters ? check->inside + 1 : check->inside - (check->inside > 0);
        check->n += enters;
    }
    if (check->inside != entry->inside || check->n != entry->n) {
        (void)snprintf(example, sizeof(example),
                       "%s of %s: the log says %" PRIu64 " inside and admission %" PRIu64
                       ", the replay %" PRIu64 " and %" PRIu64,
                       kinds[entry->kind].word, buyer, entry->inside, entry->n, check->inside,
                       check->n);
        check_broken(check, &check->over_admissions, "the log counts otherwise than the replay",
                     example);
    } else if (enters && check->inside > entry->threshold) {
        (void)snprintf(example, sizeof(example),
                       "%s as number %" PRIu64 " inside, threshold %" PRIu64, buyer, check->inside,
                       entry->threshold);
        check_broken(check, &check->over_admissions, "admitted over the threshold", example);
    }
    check->inside = entry->inside; /* so that one mistake is counted once */
    check->n = entry->n;
    if (check->inside > check->most_inside)
        check->most_inside = check->inside;
}

void crowd_check_base(struct crowd_check *check, const struct crowd_entry *last)
{
    if (!last)
        return;
    check->inside = last->inside;
    check->n = last->n;
    check->epoch = last->epoch;
}

void crowd_check_entry(struct crowd_check *check, const struct crowd_entry *entry,
                       const char *buyer, const struct crowd_witness *witness)
{
    check->entries++;
    check->by_kind[entry->kind]++;
    if (entry->epoch > check->epoch) {
        check->epoch = entry->epoch;
        check->inside = 0;
        check->peak_count = 0;
    }
    if (entry->kind == CROWD_CLEARED) {
        check->inside = 0;
        check->n = entry->n;
        return;
    }
    if (!check->numbers_elsewhere)
        check_count(check, entry, buyer);
    if (!crowd_kind_enters(entry->kind))
        return;
    check->admissions++;
    if (entry->kind != CROWD_RESTORED && (!witness || !witness->had_turn))
        check_order(check, entry, buyer, witness);
}

void crowd_check_loss(struct crowd_check *check, int64_t now_ms)
{
    check->rebase = true;
    check->loss_ms = now_ms;
    check->losses++;
}

bool crowd_check_position(uint64_t *lowest, uint64_t position)
{
    const bool rose = *lowest != 0 && position > *lowest;
    if (!rose)
        *lowest = position;
    return !rose;
}
