/* SPDX-License-Identifier: MIT */
/*
 * replay: the promises, replayed entry by entry from the admission log. Pure: it reads no
 * database and trusts no number in the log that it can count itself.
 */
#ifndef TIKETI_REPLAY_H
#define TIKETI_REPLAY_H

#include "base/status.h"
#include "base/table.h"
#include "queue/replay_flow.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum replay_kind {
    REPLAY_DIRECT,   /* direct admission, at the join */
    REPLAY_OFFERED,  /* from the head of the queue: a turn that the buyer has to claim */
    REPLAY_RESTORED, /* inside again after Redis lost its data */
    REPLAY_CLAIMED,
    REPLAY_UNCLAIMED, /* the offer ran out: the place is kept */
    REPLAY_IDLE_KEPT, /* the first idle eviction of a place, which is kept */
    REPLAY_BANNED,    /* staff shut a buyer out who was inside: the place is kept */
    REPLAY_BARRED,    /* staff shut a waiting buyer out: the place is kept */
    REPLAY_LEFT,
    REPLAY_IDLE,
    REPLAY_TIMEOUT,
    REPLAY_COMPLETED,
    REPLAY_WITHDRAWN, /* a waiting buyer left the queue */
    REPLAY_PARKED,    /* a silent waiting buyer was set aside */
    REPLAY_RETURNED,  /* a buyer who was set aside waits again, at their place */
    REPLAY_CLEARED,   /* the event was cleared: all admissions end */
    REPLAY_OUTFLOW,   /* another outflowPerMinute is in force: `place` says which; 0: none */
    REPLAY_BY_HAND,   /* staff admit so many now, as `place` says, whatever outflowPerMinute is */
    REPLAY_KIND_COUNT
};
/* Reads the kind of a log entry. ST_INVALID: no entry may have this kind. */
MUST_CHECK enum status replay_kind_parse(const char *word, enum replay_kind *ret_kind);
bool replay_kind_enters(enum replay_kind kind);
bool replay_kind_departs(enum replay_kind kind); /* an admission ends */
bool replay_kind_keeps(enum replay_kind kind);   /* an admission ends, and its place is kept */

struct replay_entry {
    enum replay_kind kind;
    uint64_t place, epoch;
    int64_t at_ms;
    uint64_t inside, threshold; /* buyers inside after the entry, and the threshold, as logged */
    uint64_t n; /* as logged: number of the admission; where there is none, admissions so far */
};

/* A period in which a buyer was out of touch: no open socket and no answer. All zero: there was none. */
struct replay_gap {
    int64_t gone_ms, back_ms; /* wall clock; back_ms INT64_MAX: still out of touch */
};

/* What the crowd knows of the buyer of an entry. */
struct replay_witness {
    struct replay_gap longest, latest;
    /* was admitted with this place before; only after a loss of data may that happen again, or when the log says
     * that the place was kept */
    bool had_turn;
    int64_t offered_ms; /* time of the buyer's last admission in the log */
};

/* An admission whose place was the highest so far. */
struct replay_peak {
    uint64_t place, number; /* number of the entry in this replay */
    int64_t at_ms;
};

/* A place that the log has set aside at least once. */
struct replay_aside {
    struct table_node node; /* by place */
    uint64_t place;
    uint64_t from,
        until;     /* entries between which it was aside for the first time; until 0: it still is */
    bool had_turn; /* it was set aside by the end of an admission */
    bool is_aside;
};

/* Called for each broken promise as it is found: its kind, and an example. */
typedef void (*replay_broken_cb)(void *arg, const char *kind, const char *example);

struct replay {
    int64_t silent_ms; /* a buyer who was out of touch for this time may be overtaken */
    replay_broken_cb on_broken;
    void *arg;

    /* Set when the crowd has several processes: each judges only its own buyers, and only the first one checks the
     * numbers of the log. */
    bool strangers_elsewhere, numbers_elsewhere;

    bool rebase;   /* `inside` is taken from the next entry, unchecked */
    bool rebase_n; /* `n` is taken from the next entry that says how many admissions there were */
    uint64_t inside, n, epoch;
    int64_t loss_ms; /* when the log last lost entries; 0: never */
    struct replay_peak *peaks;
    size_t peak_count, peak_cap;
    struct table asides;
    /* Those that wait again, in the order of their places: nobody behind one of them may be let in before it. */
    struct replay_aside **back;
    size_t back_count, back_cap;
    struct replay_flow flow;

    uint64_t entries, admissions, by_kind[REPLAY_KIND_COUNT];
    uint64_t most_inside;
    uint64_t over_admissions, order_breaks;
    uint64_t outflow_breaks; /* admissions that outflowPerMinute did not allow yet */
    uint64_t
        miscounts; /* of the over-admissions: entries whose own count differs from the replay's */
    uint64_t excused; /* buyers overtaken while their place was set aside, which is allowed */
    uint64_t unfair_unclaimed; /* offers that ran out though the buyer was in touch */
    uint64_t losses;
};

/* `silent_ms`: QUEUE_SILENT_MS, until the event's own silentMs is known. */
void replay_init(struct replay *replay, int64_t silent_ms, replay_broken_cb on_broken, void *arg);
void replay_clear(struct replay *replay);

/* Sets the last entry before the crowd began; NULL: the log was empty. */
void replay_base(struct replay *replay, const struct replay_entry *last);
/* Takes the next entry. witness NULL: the buyer is not of this crowd. `buyer`: their id, for examples. */
void replay_take(struct replay *replay, const struct replay_entry *entry, const char *buyer,
                 const struct replay_witness *witness);
/* Notes that Redis has lost data: entries that had been read are gone. */
void replay_loss(struct replay *replay, int64_t now_ms);

/* Was a later place admitted before this one, though its buyer was in touch? replay_take asks it of each
 * admission; the audit asks it at the end of buyers who were never admitted. */
enum replay_overtaken { REPLAY_IN_ORDER, REPLAY_EXCUSED, REPLAY_OVERTAKEN };
enum replay_overtaken replay_overtaken(const struct replay *replay, uint64_t place, uint64_t epoch,
                                       const struct replay_witness *witness);

/* Takes a shown position. False: it is above *lowest, the lowest shown before (0: none yet), which is updated. */
bool replay_position(uint64_t *lowest, uint64_t position);

#endif
