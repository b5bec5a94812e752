/* SPDX-License-Identifier: MIT */
/*
 * crowd_sales: compares the seats sold, as PostgreSQL has them, with what the buyers believe.
 *
 * Two looks. At the tables alone: no seat is live in two reservations, every sold seat belongs to
 * exactly one confirmed reservation, and nothing is confirmed that is not sold. And at each
 * confirmed reservation of this crowd, page by page: its buyer knows of it, with the very same
 * seats, and no buyer knows of one that is not there. What differs counts as a double sale.
 * Plain SELECTs over the tables, and none of the service's functions: the check shall not share
 * its mistakes. Called by: crowd_audit. Pages go by id, so that no answer is large.
 */
#include "crowd/crowd_sales.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE      1000
#define PAGE_TEXT "1000"
#define ID_MAX    64
#define FIRST_ID  "00000000-0000-0000-0000-000000000000"

struct crowd_sales {
    struct crowd *crowd;
    struct db *db;
    struct crowd_findings *findings;
    char after[ID_MAX];
    bool *confirmed; /* per buyer: PostgreSQL has a confirmed reservation of his */
    crowd_audit_cb cb;
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

static void ask_page(struct crowd_sales *sales);

static void double_sale(struct crowd_sales *sales, uint64_t times, const char *what,
                        const char *who)
{
    if (times == 0)
        return;
    sales->findings->double_sales += times;
    crowd_notes_add(&sales->crowd->tally.breaks, what, "%s", who);
}

static void finished(struct crowd_sales *sales, enum status status)
{
    sales->cb(sales->arg, status);
}

/* ---- believers ---- */

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

/* Still paying when the time was over: he cannot know. */
static bool may_not_know(const struct crowd_buyer *buyer)
{
    return buyer->state == BUYER_INSIDE || buyer->state == BUYER_FAILED;
}

static void compare(struct crowd_sales *sales, const char *id, const char *who, const char *seats)
{
    struct crowd_buyer *buyer = crowd_find_buyer(sales->crowd, who);
    uint64_t sum;
    unsigned count;
    if (buyer == NULL)
        return;
    read_seats(seats, &sum, &count);
    bool *confirmed = &sales->confirmed[buyer - sales->crowd->buyers];
    double_sale(sales, *confirmed, "has bought twice", who);
    *confirmed = true;
    sales->findings->seats_sold += count;
    if (may_not_know(buyer))
        return;
    if (buyer->state != BUYER_BOUGHT)
        double_sale(sales, 1, "has bought seats and does not know it", who);
    else if (buyer->reservation == NULL || strcmp(buyer->reservation, id) != 0 ||
             buyer->seat_count != count || buyer->seat_sum != sum)
        double_sale(sales, 1, "has bought other seats than he knows", who);
}

static void compare_believers(struct crowd_sales *sales)
{
    const struct crowd *crowd = sales->crowd;
    char id[BUYER_ID_MAX + 1];
    for (uint32_t i = 0; i < crowd->count; i++) {
        if (crowd->buyers[i].state != BUYER_BOUGHT || sales->confirmed[i])
            continue;
        crowd_buyer_id(&crowd->buyers[i], id);
        double_sale(sales, 1, "believes to have bought, but has not", id);
    }
}

static void page_read(void *arg, enum status status, const struct db_result *result)
{
    struct crowd_sales *sales = arg;
    if (status != ST_OK) {
        finished(sales, status);
        return;
    }
    const int rows = db_rows(result);
    for (int i = 0; i < rows; i++)
        compare(sales, db_text(result, i, 0), db_text(result, i, 1), db_text(result, i, 2));
    if (rows == PAGE) {
        (void)snprintf(sales->after, sizeof(sales->after), "%s", db_text(result, rows - 1, 0));
        ask_page(sales);
        return;
    }
    compare_believers(sales);
    finished(sales, ST_OK);
}

static void ask_page(struct crowd_sales *sales)
{
    const char *const params[] = {sales->crowd->options->event, sales->after};
    const enum status st = db_query(sales->db, &page_stmt, params, page_read, sales);
    if (st != ST_OK)
        finished(sales, st);
}

/* ---- the tables alone ---- */

static void totals_read(void *arg, enum status status, const struct db_result *result)
{
    struct crowd_sales *sales = arg;
    struct crowd_findings *findings = sales->findings;
    if (status != ST_OK) {
        finished(sales, status);
        return;
    }
    findings->seats_total = (uint64_t)db_int(result, 0, 0);
    findings->seats_free = (uint64_t)db_int(result, 0, 1);
    findings->seats_held = (uint64_t)db_int(result, 0, 2);
    if (sales->crowd->part > 0) { /* the first one speaks of the tables */
        ask_page(sales);
        return;
    }
    double_sale(sales, (uint64_t)db_int(result, 0, 3), "seats are live in two reservations", "");
    double_sale(sales, (uint64_t)db_int(result, 0, 4),
                "seats are sold without exactly one confirmed reservation", "");
    double_sale(sales, (uint64_t)db_int(result, 0, 5), "seats are confirmed and not sold", "");
    ask_page(sales);
}

struct crowd_sales *crowd_sales_new(struct crowd *crowd, struct db *db,
                                    struct crowd_findings *findings)
{
    struct crowd_sales *sales = xcalloc(1, sizeof(*sales));
    sales->crowd = crowd;
    sales->db = db;
    sales->findings = findings;
    sales->confirmed = xcalloc(crowd->count, sizeof(*sales->confirmed));
    return sales;
}

void crowd_sales_free(struct crowd_sales *sales)
{
    if (sales == NULL)
        return;
    free(sales->confirmed);
    free(sales);
}

void crowd_sales_check(struct crowd_sales *sales, crowd_audit_cb cb, void *arg)
{
    const char *const params[] = {sales->crowd->options->event};
    sales->cb = cb;
    sales->arg = arg;
    sales->findings->double_sales = 0;
    sales->findings->seats_sold = 0;
    memset(sales->confirmed, 0, sales->crowd->count * sizeof(*sales->confirmed));
    (void)snprintf(sales->after, sizeof(sales->after), "%s", FIRST_ID);
    const enum status st = db_query(sales->db, &totals_stmt, params, totals_read, sales);
    if (st != ST_OK)
        finished(sales, st);
}
