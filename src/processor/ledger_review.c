/* SPDX-License-Identifier: MIT */
/*
 * ledger_review: PostgreSQL is older than Redis, and gets back what it lacks before the log is consumed.
 *
 *   sale_begin -> sale_review -> the chain goes on
 *
 * Why here: the ledger is the first to see that PostgreSQL has lost a commit, and the next thing it does is to hold seats, which
 * may have been sold. After a failover to a standby that lacked the last commits nobody has to do anything; after a restore
 * from a backup `tiketi reconcile` should have run before (docs/backup.md), and this finds nothing.
 * Called by: ledger, within a chain. Owns: the calls under way. PostgreSQL or Redis gone: the chain ends, and the next one begins
 * another review.
 */
#include "processor/ledger_internal.h"

#include "base/log.h"
#include "selling/sale.h"
#include "selling/sale_review.h"

static const char *text_of(const struct json *item, const char *key)
{
    const char *text = json_str(item, key);
    return text ? text : "";
}

static void on_found(void *arg, enum sale_review_found found, const struct json *item)
{
    struct ledger *ledger = arg;
    const char *what = text_of(item, "what");
    if (found == SALE_REVIEW_OLDER) {
        log_warn("event brought to what is in force", LOG_TEXT("event", ledger->event),
                 LOG_NUM("version", json_int(item, "version", 0)),
                 LOG_NUM("liveVersion", json_int(item, "liveVersion", 0)));
    } else if (found == SALE_REVIEW_SALE) {
        ledger->put_back++;
        log_warn("sale put back", LOG_TEXT("event", ledger->event), LOG_TEXT("what", what),
                 LOG_TEXT("reservation", text_of(item, "number")),
                 LOG_TEXT("seats", text_of(item, "seats")),
                 LOG_TEXT("means", sale_review_meaning(what, NULL)));
    }
}

static void on_reviewed(void *arg, enum status status, const char *what)
{
    struct ledger *ledger = arg;
    if (status == ST_OK && ledger->put_back > 0 &&
        queue_publish(ledger->opts.queue, ledger->event, "seats-changed", "{}", 2) != ST_OK)
        status = ST_UNAVAILABLE;
    if (status == ST_OK)
        log_warn("postgresql has what it lacked", LOG_TEXT("event", ledger->event),
                 LOG_NUM("sales", ledger->put_back));
    else
        log_error("postgresql is older than redis, and could not be reviewed",
                  LOG_TEXT("event", ledger->event), LOG_TEXT("error", what ? what : ""),
                  LOG_TEXT("status", status_name(status)));
    ledger_reviewed(ledger, status);
}

static void on_begun(void *arg, enum status status, const char *outcome, const char *body,
                     size_t len)
{
    struct ledger *ledger = arg;
    (void)outcome, (void)body, (void)len;
    if (status == ST_OK)
        status = sale_review_start(&(struct sale_review_opts){.queue = ledger->opts.queue,
                                                              .db = ledger->opts.db,
                                                              .event = ledger->event,
                                                              .apply = true,
                                                              .found = on_found,
                                                              .done = on_reviewed,
                                                              .arg = ledger});
    if (status != ST_OK)
        on_reviewed(ledger, status, NULL);
}

enum status ledger_review(struct ledger *ledger)
{
    ledger->put_back = 0;
    return sale_begin(ledger->opts.db, on_begun, ledger);
}
