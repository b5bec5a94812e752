/* SPDX-License-Identifier: MIT */
/*
 * history: the record of a sale: its minutes (sql/functions/history.sql), its report and its admission log
 * (report.sql), the story of a buyer, and tickets at the door. Each function is one transaction, keeps the callback promise of db.h, and calls back as reservation.h
 * says, unless another callback is named.
 */
#ifndef TIKETI_HISTORY_H
#define TIKETI_HISTORY_H

#include "net/db.h"
#include "queue/replay.h"
#include "selling/reservation.h"

#include <stdint.h>

/* Stores finished minutes, a JSON array with the names of minutes.h. Those that are there stay. Outcome stored. */
MUST_CHECK enum status history_store_minutes(struct db *db, const char *event, const char *json,
                                             reservation_cb cb, void *arg);

struct history_range {
    const char *event;
    const char *from, *to; /* RFC 3339; NULL: the whole sale */
    const char *step;      /* seconds, digits; NULL: few enough points for a chart */
};
/* Outcome found: {"from","to","step","minutes","marks"}; or invalid. */
MUST_CHECK enum status history_minutes(struct db *db, const struct history_range *range,
                                       reservation_cb cb, void *arg);

/* Outcome found: the report without its promises, which follow from the log. Takes up to 15 seconds. */
MUST_CHECK enum status history_report(struct db *db, const char *event, reservation_cb cb,
                                      void *arg);
/* Outcome found: {"csv"}, the report `json` as lines "part,name,value". */
MUST_CHECK enum status history_report_csv(struct db *db, const char *json, reservation_cb cb,
                                          void *arg);

/* Outcome found: {"hall","mail","rehearsal"}, for the check before the opening (sql/functions/readiness.sql). */
MUST_CHECK enum status history_readiness(struct db *db, const char *event, reservation_cb cb,
                                         void *arg);

/* A place in the log: the id of an entry in the stream. All zero: before the first. */
struct history_cursor {
    int64_t ms, seq;
};
/* Entries in the order of the log, borrowed until it returns, and the cursor of the last one. An entry whose kind this
 * build does not know has the kind REPLAY_KIND_COUNT. */
typedef void (*history_log_cb)(void *arg, enum status status, const struct replay_entry *entries,
                               size_t count, const struct history_cursor *last);
/* Reads up to 2,000 entries behind `after`; none: the log ends there. */
MUST_CHECK enum status history_read_log(struct db *db, const char *event,
                                        const struct history_cursor *after, history_log_cb cb,
                                        void *arg);

/* ---- one buyer: sql/functions/people.sql ---- */

struct history_person { /* one of buyer, number and place says who */
    const char *event;
    const char *buyer;  /* NULL: find them */
    const char *number; /* a reservation's number or id; NULL: not given */
    const char *place;  /* digits; "0": not given */
};
/* Outcome found: {"buyer","place"}. */
MUST_CHECK enum status history_find(struct db *db, const struct history_person *person,
                                    reservation_cb cb, void *arg);
/* Outcome found: {"buyer","entries","reservations"}. place: one that they have now; "0": none, or not known. */
MUST_CHECK enum status history_story(struct db *db, const char *event, const char *buyer,
                                     const char *place, reservation_cb cb, void *arg);
/* Outcome found: {"mail","refundsDue","holds","visit"}, for the statistics. */
MUST_CHECK enum status history_sale_now(struct db *db, const char *event, reservation_cb cb,
                                        void *arg);

/* Outcome found: {"free","held","sold","blocked","revenue","currency"}, for the metrics. The time that it takes grows with the
 * event's seats. */
MUST_CHECK enum status history_stock(struct db *db, const char *event, reservation_cb cb,
                                     void *arg);

/* ---- at the door: sql/functions/checkin.sql ---- */

/* Outcome found: {"results"}, in the order of the scans in `json` (see checkin_batch). */
MUST_CHECK enum status history_check_in(struct db *db, const char *event, const char *actor,
                                        const char *json, reservation_cb cb, void *arg);
/* Outcome found: {"sold","in","at","tickets","next"}. after: digits; "0": the first page. */
MUST_CHECK enum status history_door_list(struct db *db, const char *event, const char *after,
                                         int limit, reservation_cb cb, void *arg);

#endif
