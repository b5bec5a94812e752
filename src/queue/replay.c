/* SPDX-License-Identifier: MIT */
/*
 * replay: the promises, replayed entry by entry from the admission log. Pure. Called by:
 * crowd_audit (Redis' log, while it is written), api_report (its copy in PostgreSQL, afterwards).
 *
 * Never over-admit. Admissions and departures are counted here; the count must equal the log's, and after an
 * admission be at most the threshold. Admissions are numbered without a gap.
 *
 * First come, first served. All admissions of an epoch, direct ones too, come in the order of
 * their places. An admission with a lower place than an earlier one means that this buyer was overtaken.
 * That is a skip, and allowed, only while the log says that the place was set aside: from `parked`, `unclaimed` or
 * `idle_kept`, or `banned` or `barred` by staff, until `returned`. From then on nobody with a later place may enter before it, and before then it may not
 * enter itself. Why it was set aside is compared with the crowd's own record: a parked buyer was out of touch for at
 * least silentMs, and an offer ran out only while its buyer was out of touch.
 *
 * Keep the outflow. The log says when another outflowPerMinute began, and which admissions staff made by hand
 * (replay_flow.c). Direct admissions count, restored ones do not.
 *
 * After a loss of data nothing is known: the next entry is believed, once, and a buyer is excused who was out of touch
 * for any time since (Redis did not know them until they came back), or for silentMs before (they may have been parked
 * by an entry that is lost). A buyer of another crowd counts as excused then. Restored admissions, and second ones
 * with the same place, are counted but have no order: these buyers had been admitted before.
 */
#include "queue/replay.h"

#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The end of a socket is noticed a little late. */
#define SLACK_MS 1000

enum { ENTERS = 1, DEPARTS = 2, KEEPS = 4, NUMBERED = 8 /* n is that of an earlier entry */ };

static const struct {
    const char *word;
    unsigned traits;
} kinds[REPLAY_KIND_COUNT] = {
    [REPLAY_DIRECT] = {"direct", ENTERS},
    [REPLAY_OFFERED] = {"offered", ENTERS},
    [REPLAY_RESTORED] = {"restored", ENTERS},
    [REPLAY_CLAIMED] = {"claimed", NUMBERED},
    [REPLAY_UNCLAIMED] = {"unclaimed", DEPARTS | KEEPS | NUMBERED},
    [REPLAY_IDLE_KEPT] = {"idle_kept", DEPARTS | KEEPS | NUMBERED},
    [REPLAY_BANNED] = {"banned", DEPARTS | KEEPS | NUMBERED},
    [REPLAY_BARRED] = {"barred", 0},
    [REPLAY_LEFT] = {"left", DEPARTS | NUMBERED},
    [REPLAY_IDLE] = {"idle", DEPARTS | NUMBERED},
    [REPLAY_TIMEOUT] = {"timeout", DEPARTS | NUMBERED},
    [REPLAY_COMPLETED] = {"completed", DEPARTS | NUMBERED},
    [REPLAY_WITHDRAWN] = {"withdrawn", 0},
    [REPLAY_PARKED] = {"parked", 0},
    [REPLAY_RETURNED] = {"returned", 0},
    [REPLAY_CLEARED] = {"cleared", 0},
    [REPLAY_OUTFLOW] = {"outflow", 0},
    [REPLAY_BY_HAND] = {"by_hand", 0},
};

enum status replay_kind_parse(const char *word, enum replay_kind *ret_kind)
{
    for (int i = 0; i < REPLAY_KIND_COUNT; i++) {
        if (strcmp(word, kinds[i].word) != 0)
            continue;
        *ret_kind = (enum replay_kind)i;
        return ST_OK;
    }
    return ST_INVALID;
}

bool replay_kind_enters(enum replay_kind kind)
{
    return kinds[kind].traits & ENTERS;
}

bool replay_kind_departs(enum replay_kind kind)
{
    return kinds[kind].traits & DEPARTS;
}

bool replay_kind_keeps(enum replay_kind kind)
{
    return kinds[kind].traits & KEEPS;
}

void replay_init(struct replay *replay, int64_t silent_ms, replay_broken_cb on_broken, void *arg)
{
    *replay = (struct replay){.silent_ms = silent_ms, .on_broken = on_broken, .arg = arg};
    table_init(&replay->asides);
}

static struct replay_aside *aside_of(struct table_node *node)
{
    return (struct replay_aside *)((char *)node - offsetof(struct replay_aside, node));
}

/* The places of a former epoch mean nothing. */
static void forget_places(struct replay *replay)
{
    for (size_t i = 0; i < replay->asides.count; i++) {
        struct table_node *next = NULL;
        for (struct table_node *node = replay->asides.buckets[i]; node; node = next) {
            next = node->next;
            free(aside_of(node));
        }
    }
    table_clear(&replay->asides);
    replay->peak_count = replay->back_count = 0;
}

void replay_clear(struct replay *replay)
{
    forget_places(replay);
    replay_flow_clear(&replay->flow);
    free(replay->peaks);
    free(replay->back);
    replay->peaks = NULL;
    replay->back = NULL;
    replay->peak_cap = replay->back_cap = 0;
}

static void broken(const struct replay *replay, uint64_t *counter, const char *kind,
                   const char *example)
{
    (*counter)++;
    if (replay->on_broken)
        replay->on_broken(replay->arg, kind, example);
}

/* ---- order ---- */

/* The first peak with a higher place: when a buyer of this place was first overtaken. NULL: never. */
static const struct replay_peak *first_above(const struct replay *replay, uint64_t place)
{
    size_t low = 0, high = replay->peak_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (replay->peaks[middle].place > place)
            high = middle;
        else
            low = middle + 1;
    }
    return low < replay->peak_count ? &replay->peaks[low] : NULL;
}

/* Was the buyer out of touch for at least silentMs then, or for any time since a loss of data? */
static bool was_silent(const struct replay *replay, const struct replay_gap *gap, int64_t at_ms)
{
    if (gap->gone_ms == 0 || at_ms < gap->gone_ms - SLACK_MS || at_ms > gap->back_ms)
        return false;
    const bool after_loss = replay->loss_ms > 0 && at_ms >= replay->loss_ms - SLACK_MS;
    return after_loss || at_ms - gap->gone_ms >= replay->silent_ms - SLACK_MS;
}

static bool may_be_parked(const struct replay *replay, const struct replay_witness *witness,
                          int64_t at_ms)
{
    return was_silent(replay, &witness->longest, at_ms) ||
           was_silent(replay, &witness->latest, at_ms);
}

static bool was_out(const struct replay_gap *gap, int64_t from_ms, int64_t until_ms)
{
    return gap->gone_ms != 0 && gap->gone_ms - SLACK_MS <= until_ms && gap->back_ms >= from_ms;
}

static struct replay_aside *find_aside(const struct replay *replay, uint64_t place)
{
    if (replay->asides.entries == 0)
        return NULL;
    const uint32_t hash = table_hash(&replay->asides, (const char *)&place, sizeof(place), "", 0);
    struct table_node *node = table_first(&replay->asides, hash);
    for (; node; node = table_next(node)) {
        if (aside_of(node)->place == place)
            return aside_of(node);
    }
    return NULL;
}

enum replay_overtaken replay_overtaken(const struct replay *replay, uint64_t place, uint64_t epoch,
                                       const struct replay_witness *witness)
{
    const struct replay_peak *peak = epoch == replay->epoch ? first_above(replay, place) : NULL;
    const struct replay_aside *aside = find_aside(replay, place);
    if (!peak)
        return REPLAY_IN_ORDER;
    if (aside && (aside->had_turn || (aside->from < peak->number &&
                                      (aside->until == 0 || aside->until > peak->number))))
        return REPLAY_EXCUSED;
    if (replay->losses > 0 && (!witness || may_be_parked(replay, witness, peak->at_ms)))
        return REPLAY_EXCUSED;
    return REPLAY_OVERTAKEN;
}

static void add_peak(struct replay *replay, uint64_t place, int64_t at_ms)
{
    if (replay->peak_count > 0 && replay->peaks[replay->peak_count - 1].place >= place)
        return;
    if (replay->peak_count == replay->peak_cap) {
        replay->peak_cap = replay->peak_cap > 0 ? replay->peak_cap * 2 : 1024;
        replay->peaks = xrealloc(replay->peaks, replay->peak_cap * sizeof(*replay->peaks));
    }
    replay->peaks[replay->peak_count++] = (struct replay_peak){place, replay->entries, at_ms};
}

/* In a crowd of several processes each judges its own buyers, and nobody those of another crowd. */
static bool is_ours(const struct replay *replay, const struct replay_witness *witness)
{
    return witness || !replay->strangers_elsewhere;
}

static void check_order(struct replay *replay, const struct replay_entry *entry, const char *buyer,
                        const struct replay_witness *witness)
{
    char example[200];
    const enum replay_overtaken how = replay_overtaken(replay, entry->place, entry->epoch, witness);
    if (how == REPLAY_EXCUSED) {
        replay->excused += is_ours(replay, witness);
    } else if (how == REPLAY_OVERTAKEN && is_ours(replay, witness)) {
        (void)snprintf(example, sizeof(example), "%s with place %" PRIu64 " after place %" PRIu64,
                       buyer, entry->place, first_above(replay, entry->place)->place);
        broken(replay, &replay->order_breaks, "admitted after a later place, though not set aside",
               example);
    }
    add_peak(replay, entry->place, entry->at_ms);
}

/* ---- places that were set aside ---- */

/* Where in `back` this place is, or belongs. */
static size_t back_index(const struct replay *replay, uint64_t place)
{
    size_t low = 0, high = replay->back_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (replay->back[middle]->place < place)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void waits_no_more(struct replay *replay, uint64_t place)
{
    const size_t at = back_index(replay, place);
    if (at == replay->back_count || replay->back[at]->place != place)
        return;
    replay->back_count--;
    memmove(&replay->back[at], &replay->back[at + 1],
            (replay->back_count - at) * sizeof(struct replay_aside *));
}

static void waits_again(struct replay *replay, struct replay_aside *aside)
{
    const size_t at = back_index(replay, aside->place);
    if (at < replay->back_count && replay->back[at] == aside)
        return;
    if (replay->back_count == replay->back_cap) {
        replay->back_cap = replay->back_cap > 0 ? replay->back_cap * 2 : 64;
        replay->back = xrealloc(replay->back, replay->back_cap * sizeof(struct replay_aside *));
    }
    memmove(&replay->back[at + 1], &replay->back[at],
            (replay->back_count - at) * sizeof(struct replay_aside *));
    replay->back[at] = aside;
    replay->back_count++;
}

static void set_aside(struct replay *replay, const struct replay_entry *entry)
{
    struct replay_aside *aside = find_aside(replay, entry->place);
    if (!aside) {
        aside = xcalloc(1, sizeof(*aside));
        aside->place = entry->place;
        aside->from = replay->entries;
        table_add(
            &replay->asides, &aside->node,
            table_hash(&replay->asides, (const char *)&aside->place, sizeof(aside->place), "", 0));
    }
    aside->is_aside = true;
    aside->had_turn = aside->had_turn || replay_kind_keeps(entry->kind);
    waits_no_more(replay, entry->place);
}

static void come_back(struct replay *replay, uint64_t place)
{
    struct replay_aside *aside = find_aside(replay, place);
    if (!aside || !aside->is_aside)
        return; /* it was set aside before this log began */
    aside->is_aside = false;
    if (aside->until == 0)
        aside->until = replay->entries;
    waits_again(replay, aside);
}

/* Nobody enters before a lower place that waits again, and no place enters while it is set aside: a page that nobody
 * looks at would be offered turns for ever. */
static void check_asides(struct replay *replay, const struct replay_entry *entry, const char *buyer,
                         const struct replay_witness *witness)
{
    struct replay_aside *aside = find_aside(replay, entry->place);
    char example[200];
    waits_no_more(replay, entry->place);
    const bool was_aside = aside && aside->is_aside;
    if (aside)
        aside->is_aside = false;
    if (entry->kind == REPLAY_RESTORED)
        return; /* by a pass, from wherever the buyer was */
    if (was_aside) {
        (void)snprintf(example, sizeof(example), "%s with place %" PRIu64, buyer, entry->place);
        if (is_ours(replay, witness))
            broken(replay, &replay->order_breaks, "let in again without having returned", example);
    }
    if (replay->back_count > 0 && replay->back[0]->place < entry->place &&
        !replay->numbers_elsewhere) {
        (void)snprintf(example, sizeof(example), "%s with place %" PRIu64 " before place %" PRIu64,
                       buyer, entry->place, replay->back[0]->place);
        broken(replay, &replay->order_breaks, "admitted before a lower place that had returned",
               example);
    }
}

/* Was the place set aside for a reason? */
static void check_reason(struct replay *replay, const struct replay_entry *entry, const char *buyer,
                         const struct replay_witness *witness)
{
    char example[200];
    (void)snprintf(example, sizeof(example), "%s with place %" PRIu64, buyer, entry->place);
    if (!witness)
        return;
    if (entry->kind == REPLAY_PARKED && !may_be_parked(replay, witness, entry->at_ms))
        broken(replay, &replay->order_breaks, "set aside though in touch", example);
    if (entry->kind == REPLAY_UNCLAIMED &&
        !was_out(&witness->longest, witness->offered_ms, entry->at_ms) &&
        !was_out(&witness->latest, witness->offered_ms, entry->at_ms))
        broken(replay, &replay->unfair_unclaimed, "an offer ran out though its buyer was in touch",
               example);
}

/* ---- numbers ---- */

static void count_of(struct replay *replay, const struct replay_entry *entry, const char *buyer)
{
    const bool enters = replay_kind_enters(entry->kind);
    const bool numbered = kinds[entry->kind].traits & NUMBERED;
    char example[200];
    if (replay->rebase) {
        replay->rebase = false;
        replay->inside = entry->inside;
    } else if (enters) {
        replay->inside++;
    } else if (replay_kind_departs(entry->kind)) {
        replay->inside -= replay->inside > 0;
    }
    if (replay->rebase_n && !numbered) {
        replay->rebase_n = false;
        replay->n = entry->n;
    } else {
        replay->n += enters;
    }
    const bool wrong_n =
        numbered ? !replay->rebase_n && entry->n > replay->n : replay->n != entry->n;
    if (replay->inside != entry->inside || wrong_n) {
        (void)snprintf(example, sizeof(example),
                       "%s of %s: the log says %" PRIu64 " inside and admission %" PRIu64
                       ", the replay %" PRIu64 " and %" PRIu64,
                       kinds[entry->kind].word, buyer, entry->inside, entry->n, replay->inside,
                       replay->n);
        replay->miscounts++;
        broken(replay, &replay->over_admissions, "the log counts otherwise than the replay",
               example);
    } else if (enters && replay->inside > entry->threshold) {
        (void)snprintf(example, sizeof(example),
                       "%s as number %" PRIu64 " inside, threshold %" PRIu64, buyer, replay->inside,
                       entry->threshold);
        broken(replay, &replay->over_admissions, "admitted over the threshold", example);
    }
    replay->inside = entry->inside; /* so that one mistake is counted once */
    if (!numbered)
        replay->n = entry->n;
    if (replay->inside > replay->most_inside)
        replay->most_inside = replay->inside;
}

/* ---- flow ---- */

static void check_flow(struct replay *replay, const struct replay_entry *entry, const char *buyer)
{
    struct replay_flow *flow = &replay->flow;
    char example[200];
    if (entry->kind == REPLAY_OUTFLOW)
        replay_flow_change(flow, entry->place, entry->at_ms);
    else if (entry->kind == REPLAY_BY_HAND)
        replay_flow_by_hand(flow, entry->place);
    if (entry->kind != REPLAY_DIRECT && entry->kind != REPLAY_OFFERED) {
        replay_flow_pass(flow, entry->at_ms);
    } else if (!replay_flow_take(flow, entry->kind == REPLAY_OFFERED, entry->at_ms)) {
        (void)snprintf(example, sizeof(example),
                       "%s with place %" PRIu64 ", limit %" PRIu64 " a minute", buyer, entry->place,
                       flow->rate);
        broken(replay, &replay->outflow_breaks, "admitted before the outflow limit allowed it",
               example);
    }
}

void replay_base(struct replay *replay, const struct replay_entry *last)
{
    if (!last)
        return;
    replay->inside = last->inside;
    replay->n = last->n;
    replay->rebase_n = kinds[last->kind].traits & NUMBERED;
    replay->epoch = last->epoch;
}

void replay_take(struct replay *replay, const struct replay_entry *entry, const char *buyer,
                 const struct replay_witness *witness)
{
    replay->entries++;
    replay->by_kind[entry->kind]++;
    if (entry->epoch > replay->epoch) {
        replay->epoch = entry->epoch;
        replay->inside = 0;
        forget_places(replay);
    }
    if (!replay->numbers_elsewhere)
        check_flow(replay, entry, buyer);
    if (entry->kind == REPLAY_CLEARED) {
        replay->inside = 0;
        replay->n = entry->n;
        return;
    }
    if (!replay->numbers_elsewhere)
        count_of(replay, entry, buyer);
    if (entry->kind == REPLAY_OUTFLOW || entry->kind == REPLAY_BY_HAND)
        return; /* of no buyer */
    if (entry->kind == REPLAY_PARKED || entry->kind == REPLAY_BARRED ||
        replay_kind_keeps(entry->kind)) {
        check_reason(replay, entry, buyer, witness);
        set_aside(replay, entry);
    } else if (entry->kind == REPLAY_RETURNED) {
        come_back(replay, entry->place);
    } else if (replay_kind_enters(entry->kind)) {
        replay->admissions++;
        check_asides(replay, entry, buyer, witness);
        if (entry->kind != REPLAY_RESTORED &&
            (!witness || !witness->had_turn || find_aside(replay, entry->place)))
            check_order(replay, entry, buyer, witness);
    } else if (entry->kind != REPLAY_CLAIMED) {
        waits_no_more(replay, entry->place);
    }
}

void replay_loss(struct replay *replay, int64_t now_ms)
{
    replay->rebase = replay->rebase_n = true;
    replay->loss_ms = now_ms;
    replay->losses++;
    replay_flow_set(&replay->flow, replay->flow.rate); /* a lost bucket was full again */
    for (size_t i = 0; i < replay->asides.count; i++) {
        for (struct table_node *node = replay->asides.buckets[i]; node; node = node->next)
            aside_of(node)->is_aside = false;
    }
    replay->back_count = 0;
}

bool replay_position(uint64_t *lowest, uint64_t position)
{
    const bool rose = *lowest != 0 && position > *lowest;
    if (!rose)
        *lowest = position;
    return !rose;
}
