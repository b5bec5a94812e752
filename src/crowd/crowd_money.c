/* SPDX-License-Identifier: MIT */
/*
 * crowd_money: compares the provider's books with the payments and the purchases in PostgreSQL.
 *
 *   read the books page by page -> while calls are undelivered, again a little later -> compare each page with the
 *   payments -> compare all payments and purchases of the event
 *
 * The provider's books and PostgreSQL share nothing. Each charge must have its payment of the same amount: paid, due
 * back or given back. No payment may be recorded that the provider did not take. What was paid must be what the
 * sold seats cost, and each paid reservation must have seats. Plain SELECTs, none of the service's functions: the
 * check must not share its mistakes. Called by: crowd_audit. Owns: one connection to the provider at a time, with
 * its deadline. Pages are bounded, so that no answer is large.
 */
#include "crowd/crowd_money.h"

#include "base/json.h"
#include "base/memory.h"
#include "crowd/crowd_memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS 10000
#define AGAIN_MS  250
#define SETTLE_MS 30000 /* how long to wait for webhook calls; then the comparison begins anyway */
#define PAGE_MAX  (1024 * 1024)

struct crowd_money {
    struct crowd *crowd;
    struct db *db;
    struct crowd_findings *findings;
    struct dial *conn;
    struct loop_timer *timer;
    bool pausing;       /* true: the timer ends a pause; false: it is the deadline of a call */
    uint64_t settle_ms; /* when the wait for webhook calls ends, by loop_now_ms; 0: not begun */
    int64_t after;      /* the page under way begins after the charge with this number */
    int64_t next;       /* the next page begins after this number; -1: this is the last page */
    uint64_t settled;   /* charges of this event whose payment in PostgreSQL is no longer pending */
    struct buf text;
    crowd_done_cb cb;
    void *arg;
};

/* $2: a page of charges. A charge without a payment counts, whatever its event is. */
static const struct db_stmt page_stmt = {
    .name = "crowd_charges",
    .sql = "SELECT count(*), coalesce(sum(amount), 0), count(*) FILTER (WHERE NOT good), "
           "  coalesce(min(reference) FILTER (WHERE NOT good), ''), "
           "  count(*) FILTER (WHERE recorded = 'paid'), "
           "  count(*) FILTER (WHERE recorded = 'refund_due'), "
           "  count(*) FILTER (WHERE recorded = 'refunded') "
           "FROM (SELECT c.reference, c.amount, p.status AS recorded, coalesce( "
           "    p.reservation_id::text = c.\"reservationId\" AND p.provider = c.provider "
           "    AND p.amount = c.amount AND p.currency = c.currency "
           "    AND CASE c.status WHEN 'refunded' THEN p.status = 'refunded' "
           "        ELSE p.status IN ('paid', 'refund_due') END, false) AS good "
           "  FROM json_to_recordset($2::json) AS c(reference text, \"reservationId\" text, "
           "    provider text, amount bigint, currency text, status text) "
           "  LEFT JOIN payments p ON p.reference = c.reference "
           "  LEFT JOIN reservations r ON r.id = p.reservation_id "
           "  WHERE r.id IS NULL OR r.event_id = $1) AS x",
    .param_count = 2};

static const struct db_stmt totals_stmt = {
    .name = "crowd_money",
    .sql = "WITH p AS (SELECT p.*, r.status AS reservation FROM payments p "
           "  JOIN reservations r ON r.id = p.reservation_id WHERE r.event_id = $1) "
           "SELECT (SELECT count(*) FROM p WHERE status IN ('paid', 'refund_due', 'refunded')), "
           "(SELECT coalesce(sum(amount), 0) FROM p WHERE status = 'paid'), "
           "(SELECT coalesce(sum(price), 0) FROM seats WHERE event_id = $1 AND status = 'sold'), "
           "(SELECT count(*) FROM p WHERE status = 'paid' AND reservation <> 'confirmed'), "
           "(SELECT count(*) FROM reservations r WHERE event_id = $1 AND status = 'confirmed' "
           "  AND total > 0 AND 1 <> (SELECT count(*) FROM p WHERE p.reservation_id = r.id "
           "  AND p.status = 'paid'))",
    .param_count = 1};

static void ask_books(struct crowd_money *money);

static void hang_up(struct crowd_money *money)
{
    loop_timer_stop(money->timer);
    dial_close(money->conn);
    money->conn = NULL;
}

static void finished(struct crowd_money *money, enum status status)
{
    hang_up(money);
    money->cb(money->arg, status);
}

static void unmatched(struct crowd_money *money, uint64_t times, const char *what,
                      const char *example)
{
    if (times == 0)
        return;
    money->findings->unmatched_money += times;
    crowd_notes_add(&money->crowd->tally.breaks, what, "%s", example);
}

/* ---- PostgreSQL ---- */

static void totals_read(void *arg, enum status status, const struct db_result *result)
{
    struct crowd_money *money = arg;
    struct crowd_findings *findings = money->findings;
    char sums[80];
    if (status != ST_OK) {
        finished(money, status);
        return;
    }
    const int64_t recorded = db_int(result, 0, 0), paid = db_int(result, 0, 1);
    const int64_t sold = db_int(result, 0, 2), idle = db_int(result, 0, 3);
    (void)snprintf(sums, sizeof(sums), "paid %" PRId64 ", seats %" PRId64, paid, sold);
    findings->money_paid = paid;
    unmatched(money, recorded > (int64_t)money->settled ? (uint64_t)recorded - money->settled : 0,
              "payments are recorded that the provider never took", "");
    unmatched(money, paid != sold, "what was paid is not what the sold seats cost", sums);
    unmatched(money, (uint64_t)db_int(result, 0, 4), "seats are sold without exactly one payment",
              "");
    findings->charged_idle = (uint64_t)idle;
    if (idle > 0)
        crowd_notes_add(&money->crowd->tally.breaks, "have paid and have no seats", "%s", sums);
    finished(money, ST_OK);
}

static void page_compared(void *arg, enum status status, const struct db_result *result)
{
    struct crowd_money *money = arg;
    struct crowd_findings *findings = money->findings;
    if (status != ST_OK) {
        finished(money, status);
        return;
    }
    findings->charges += (uint64_t)db_int(result, 0, 0);
    findings->money_taken += db_int(result, 0, 1);
    unmatched(money, (uint64_t)db_int(result, 0, 2), "charges are not recorded as they were made",
              db_text(result, 0, 3));
    findings->charges_paid += (uint64_t)db_int(result, 0, 4);
    findings->charges_due += (uint64_t)db_int(result, 0, 5);
    findings->charges_refunded += (uint64_t)db_int(result, 0, 6);
    money->settled = findings->charges_paid + findings->charges_due + findings->charges_refunded;
    money->after = money->next;
    if (money->next >= 0) {
        ask_books(money);
        return;
    }
    const char *const params[] = {money->crowd->options->event};
    const enum status st = db_query(money->db, &totals_stmt, params, totals_read, money);
    if (st != ST_OK)
        finished(money, st);
}

/* ---- the provider ---- */

static void on_answer(void *arg, const struct dial_answer *answer)
{
    struct crowd_money *money = arg;
    struct json_error error;
    hang_up(money);
    struct json *body =
        answer->code == 200 ? json_parse(answer->body, answer->len, DIAL_BODY_MAX, &error) : NULL;
    const struct json *charges = json_get(body, "charges");
    if (!charges) {
        finished(money, ST_UNAVAILABLE);
    } else if (json_int(body, "undelivered", 0) > 0 &&
               loop_now_ms(money->crowd->loop) < money->settle_ms) {
        money->pausing = true;
        loop_timer_set(money->timer, AGAIN_MS);
    } else {
        money->next = json_int(body, "next", -1);
        buf_reset(&money->text);
        json_write(charges, &money->text);
        const char *const params[] = {money->crowd->options->event, buf_str(&money->text)};
        enum status st = buf_status(&money->text);
        if (st == ST_OK)
            st = db_query(money->db, &page_stmt, params, page_compared, money);
        if (st != ST_OK)
            finished(money, st);
    }
    json_free(body);
}

static void on_end(void *arg, enum dial_end how, unsigned code)
{
    struct crowd_money *money = arg;
    (void)how, (void)code;
    money->conn = NULL;
    finished(money, ST_UNAVAILABLE);
}

static const struct dial_ops books_ops = {.on_answer = on_answer, .on_end = on_end};

static void ask_books(struct crowd_money *money)
{
    const struct dial_target *target = &money->crowd->provider;
    char text[512];
    const int len = snprintf(text, sizeof(text),
                             "GET %s/charges?after=%" PRId64 " HTTP/1.1\r\nHost: %s\r\n"
                             "User-Agent: tiketi-crowd\r\n\r\n",
                             target->path, money->after, target->host);
    money->conn = dial_open(money->crowd->net, target, 0, &books_ops, money);
    dial_request(money->conn, text, (size_t)len);
    money->pausing = false;
    loop_timer_set(money->timer, ANSWER_MS);
}

static void on_timer(void *arg)
{
    struct crowd_money *money = arg;
    if (money->pausing)
        ask_books(money);
    else
        finished(money, ST_TIMEOUT);
}

/* ---- begin and end ---- */

struct crowd_money *crowd_money_new(struct crowd *crowd, struct db *db,
                                    struct crowd_findings *findings)
{
    struct crowd_money *money = xcalloc(1, sizeof(*money));
    money->crowd = crowd;
    money->db = db;
    money->findings = findings;
    money->timer = loop_timer_new(crowd->loop, on_timer, money);
    buf_init(&money->text, PAGE_MAX);
    return money;
}

void crowd_money_close(struct crowd_money *money)
{
    if (!money)
        return;
    hang_up(money);
    loop_timer_close(money->timer);
    money->timer = NULL;
}

void crowd_money_free(struct crowd_money *money)
{
    if (!money)
        return;
    buf_clear(&money->text);
    free(money);
}

void crowd_money_check(struct crowd_money *money, crowd_done_cb cb, void *arg)
{
    struct crowd_findings *findings = money->findings;
    money->cb = cb;
    money->arg = arg;
    if (money->settle_ms == 0)
        money->settle_ms = loop_now_ms(money->crowd->loop) + SETTLE_MS;
    findings->unmatched_money = findings->charged_idle = 0;
    findings->charges = findings->charges_paid = 0;
    findings->charges_due = findings->charges_refunded = 0;
    findings->money_taken = 0;
    money->settled = 0;
    money->after = 0;
    ask_books(money);
}
