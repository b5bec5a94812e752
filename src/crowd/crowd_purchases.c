/* SPDX-License-Identifier: MIT */
/*
 * crowd_purchases: compares the seats sold, as PostgreSQL has them, with what the buyers remember.
 *
 * The tables by themselves: no seat is live in two reservations, every sold seat belongs to exactly one confirmed
 * reservation, and nothing is confirmed that is not sold. Then each confirmed reservation of this crowd, page by
 * page: its buyer knows it, with the same seats, and no buyer knows one that is not there. Each difference counts as
 * a double sale. Plain SELECTs, none of the service's functions: the check must not share its mistakes.
 * Called by: crowd_audit. Pages are bounded, so that no answer is large.
 */
#include "crowd/crowd_purchases.h"

#include "base/memory.h"
#include "crowd/crowd_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE      1000
#define PAGE_TEXT "1000"
#define ID_MAX    64
#define FIRST_ID  "00000000-0000-0000-0000-000000000000"

struct crowd_purchases {
    struct crowd *crowd;
    struct db *db;
    struct crowd_findings *findings;
    char after[ID_MAX];
    bool *confirmed; /* by buyer: PostgreSQL has a confirmed reservation of theirs */
    crowd_done_cb cb;
    void *arg;
};

static const struct db_stmt totals_stmt = {
    .name = "crowd_totals",
    .sql = "SELECT count(*), count(*) FILTER (WHERE status = 'available'), "
           "count(*) FILTER (WHERE status = 'held'), "
           "(SELECT count(*) FROM (SELECT FROM reservation_seats WHERE event_id = $1 AND live "
           "  GROUP BY seat_id HAVING count(*) > 1) AS twice), "
           "count(*) FILTER (WHERE status = 'sold' AND 1 <> (SELECT count(*) "
           "  FROM reservation_seats rs JOIN reservations r ON r.id = rs.reservation_id "
           "  WHERE rs.event_id = $1 AND rs.seat_id = s.id AND rs.live "
           "  AND r.status = 'confirmed')), "
           "(SELECT count(*) FROM reservation_seats rs "
           "  JOIN reservations r ON r.id = rs.reservation_id JOIN seats x ON x.id = rs.seat_id "
           "  WHERE rs.event_id = $1 AND rs.live AND r.status = 'confirmed' "
           "  AND x.status <> 'sold') "
           "FROM seats s WHERE event_id = $1",
    .param_count = 1};

static const struct db_stmt page_stmt = {
    .name = "crowd_page",
    .sql = "SELECT r.id::text, r.buyer, "
           "(SELECT string_agg(rs.seat_id::text, ',') FROM reservation_seats rs "
           "  WHERE rs.reservation_id = r.id AND rs.live) "
           "FROM reservations r WHERE r.event_id = $1 AND r.status = 'confirmed' "
           "AND r.id > $2::uuid ORDER BY r.id LIMIT " PAGE_TEXT,
    .param_count = 2};

static void ask_page(struct crowd_purchases *purchases);

static void double_sale(struct crowd_purchases *purchases, uint64_t times, const char *what,
                        const char *example)
{
    if (times == 0)
        return;
    purchases->findings->double_sales += times;
    crowd_notes_add(&purchases->crowd->tally.breaks, what, "%s", example);
}

static void finished(struct crowd_purchases *purchases, enum status status)
{
    purchases->cb(purchases->arg, status);
}

/* ---- buyers who bought ---- */

static void read_seats(const char *list, uint64_t *ret_sum, unsigned *ret_count)
{
    char id[ID_MAX];
    *ret_sum = 0;
    *ret_count = 0;
    while (*list != '\0') {
        const size_t len = strcspn(list, ",");
        (void)snprintf(id, sizeof(id), "%.*s", (int)len, list);
        *ret_sum += crowd_seat_hash(id);
        (*ret_count)++;
        list += len + (list[len] == ',');
    }
}

/* Compares one confirmed reservation with what its buyer remembers. */
static void compare(struct crowd_purchases *purchases, const char *reservation, const char *id,
                    const char *seats)
{
    struct crowd_buyer *buyer = crowd_find_buyer(purchases->crowd, id);
    uint64_t sum;
    unsigned count;
    if (!buyer)
        return;
    read_seats(seats, &sum, &count);
    bool *confirmed = &purchases->confirmed[buyer - purchases->crowd->buyers];
    double_sale(purchases, *confirmed, "has bought twice", id);
    *confirmed = true;
    purchases->findings->seats_sold += count;
    if (buyer->state == BUYER_INSIDE || buyer->state == BUYER_FAILED)
        return; /* was still paying when the time was over, so the outcome did not reach them */
    if (buyer->state != BUYER_BOUGHT)
        double_sale(purchases, 1, "bought seats without knowing it", id);
    else if (!buyer->reservation || strcmp(buyer->reservation, reservation) != 0 ||
             buyer->seat_count != count || buyer->seat_sum != sum)
        double_sale(purchases, 1, "bought other seats than they know", id);
}

static void page_read(void *arg, enum status status, const struct db_result *result)
{
    struct crowd_purchases *purchases = arg;
    if (status != ST_OK) {
        finished(purchases, status);
        return;
    }
    const int rows = db_rows(result);
    for (int i = 0; i < rows; i++)
        compare(purchases, db_text(result, i, 0), db_text(result, i, 1), db_text(result, i, 2));
    if (rows == PAGE) {
        (void)snprintf(purchases->after, sizeof(purchases->after), "%s",
                       db_text(result, rows - 1, 0));
        ask_page(purchases);
        return;
    }
    const struct crowd *crowd = purchases->crowd;
    for (uint32_t i = 0; i < crowd->count; i++) {
        char id[BUYER_ID_MAX + 1];
        if (crowd->buyers[i].state != BUYER_BOUGHT || purchases->confirmed[i])
            continue;
        crowd_buyer_id(&crowd->buyers[i], id);
        double_sale(purchases, 1, "has an answer for a purchase that is not recorded", id);
    }
    finished(purchases, ST_OK);
}

static void ask_page(struct crowd_purchases *purchases)
{
    const char *const params[] = {purchases->crowd->options->event, purchases->after};
    const enum status st = db_query(purchases->db, &page_stmt, params, page_read, purchases);
    if (st != ST_OK)
        finished(purchases, st);
}

/* ---- the tables alone ---- */

static void totals_read(void *arg, enum status status, const struct db_result *result)
{
    struct crowd_purchases *purchases = arg;
    struct crowd_findings *findings = purchases->findings;
    if (status != ST_OK) {
        finished(purchases, status);
        return;
    }
    findings->seats_total = (uint64_t)db_int(result, 0, 0);
    findings->seats_free = (uint64_t)db_int(result, 0, 1);
    findings->seats_held = (uint64_t)db_int(result, 0, 2);
    if (purchases->crowd->part > 0) { /* only the first process counts breaks of the tables */
        ask_page(purchases);
        return;
    }
    double_sale(purchases, (uint64_t)db_int(result, 0, 3), "seats are live in two reservations",
                "");
    double_sale(purchases, (uint64_t)db_int(result, 0, 4),
                "seats are sold without exactly one confirmed reservation", "");
    double_sale(purchases, (uint64_t)db_int(result, 0, 5), "seats are confirmed and not sold", "");
    ask_page(purchases);
}

struct crowd_purchases *crowd_purchases_new(struct crowd *crowd, struct db *db,
                                            struct crowd_findings *findings)
{
    struct crowd_purchases *purchases = xcalloc(1, sizeof(*purchases));
    purchases->crowd = crowd;
    purchases->db = db;
    purchases->findings = findings;
    purchases->confirmed = xcalloc(crowd->count, sizeof(*purchases->confirmed));
    return purchases;
}

void crowd_purchases_free(struct crowd_purchases *purchases)
{
    if (!purchases)
        return;
    free(purchases->confirmed);
    free(purchases);
}

void crowd_purchases_check(struct crowd_purchases *purchases, crowd_done_cb cb, void *arg)
{
    const char *const params[] = {purchases->crowd->options->event};
    purchases->cb = cb;
    purchases->arg = arg;
    purchases->findings->double_sales = 0;
    purchases->findings->seats_sold = 0;
    memset(purchases->confirmed, 0, purchases->crowd->count * sizeof(*purchases->confirmed));
    (void)snprintf(purchases->after, sizeof(purchases->after), "%s", FIRST_ID);
    const enum status st = db_query(purchases->db, &totals_stmt, params, totals_read, purchases);
    if (st != ST_OK)
        finished(purchases, st);
}
