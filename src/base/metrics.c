/* SPDX-License-Identifier: MIT */
/*
 * metrics: the counters, gauges and histograms of the process.
 *
 * Why this way: every metric is a row of a table, so counting allocates nothing and takes no lock. Relaxed order is enough:
 * the numbers of one scrape need not belong to the same moment.
 * Called by: every folder; written out by api_metrics. Owns: the numbers.
 */
#include "base/metrics.h"

#include <stdatomic.h>

/* ---- counters ---- */

static const struct {
    const char *name, *labels,
        *help; /* help NULL: the row above has the same name, with other labels */
} counter_rows[METRIC_COUNT] = {
    [METRIC_JOINS] = {"tiketi_joins_total", "", "Joins that were answered."},
    [METRIC_PLACES_REFUSED] = {"tiketi_places_refused_total", "",
                               "Joins that got no place: their network has placesPerNetwork."},
    [METRIC_SHED_NEWCOMERS] = {"tiketi_requests_shed_total", "who=\"newcomer\"",
                               "Requests answered 503 overloaded, because those before them wait "
                               "too long: of newcomers, or of buyers with a place."},
    [METRIC_SHED_RETURNING] = {"tiketi_requests_shed_total", "who=\"returning\"", NULL},
    [METRIC_ADMISSIONS_DIRECT] = {"tiketi_admissions_total", "kind=\"direct\"",
                                  "Admissions: direct, or promoted from the queue."},
    [METRIC_ADMISSIONS_PROMOTED] = {"tiketi_admissions_total", "kind=\"promoted\"", NULL},
    [METRIC_EVICTIONS] = {"tiketi_evictions_total", "",
                          "Buyers evicted: idle, or over the session limit."},
    [METRIC_TICKS] = {"tiketi_ticks_total", "", "Processor ticks."},
    [METRIC_OVER_ADMISSIONS] =
        {"tiketi_over_admissions_total", "",
         "Admissions after which more were inside than the threshold allowed: must stay 0."},
    [METRIC_LEASE_EXPIRED] = {"tiketi_lease_lost_total", "reason=\"expired\"",
                              "Leases of events that this process lost: not renewed in time, taken "
                              "by another process, or Redis did not answer."},
    [METRIC_LEASE_TAKEN] = {"tiketi_lease_lost_total", "reason=\"taken\"", NULL},
    [METRIC_LEASE_REDIS] = {"tiketi_lease_lost_total", "reason=\"redis\"", NULL},
    [METRIC_EVENTS_UNEXPORTED] =
        {"tiketi_events_unexported_total", "",
         "Events that this process works on without series of their own, because it has too many."},
    [METRIC_REDIS_TIMEOUTS] = {"tiketi_redis_errors_total", "kind=\"timeout\"",
                               "Failed Redis commands and lost connections."},
    [METRIC_REDIS_CONNECTION_ERRORS] = {"tiketi_redis_errors_total", "kind=\"connection\"", NULL},
    [METRIC_REDIS_READONLY_ERRORS] = {"tiketi_redis_errors_total", "kind=\"readonly\"", NULL},
    [METRIC_REDIS_OOM_ERRORS] = {"tiketi_redis_errors_total", "kind=\"oom\"", NULL},
    [METRIC_REDIS_SCRIPT_ERRORS] = {"tiketi_redis_errors_total", "kind=\"script\"", NULL},
    [METRIC_REDIS_OTHER_ERRORS] = {"tiketi_redis_errors_total", "kind=\"other\"", NULL},
    [METRIC_REDIS_RECONNECTS] = {"tiketi_redis_reconnects_total", "", "New Redis connections."},
    [METRIC_DB_TIMEOUTS] = {"tiketi_postgres_errors_total", "kind=\"timeout\"",
                            "Failed PostgreSQL queries."},
    [METRIC_DB_CONNECTION_ERRORS] = {"tiketi_postgres_errors_total", "kind=\"connection\"", NULL},
    [METRIC_DB_READONLY_ERRORS] = {"tiketi_postgres_errors_total", "kind=\"readonly\"", NULL},
    [METRIC_DB_CONFLICTS] = {"tiketi_postgres_errors_total", "kind=\"conflict\"", NULL},
    [METRIC_DB_LOCK_ERRORS] = {"tiketi_postgres_errors_total", "kind=\"lock\"", NULL},
    [METRIC_DB_RESOURCE_ERRORS] = {"tiketi_postgres_errors_total", "kind=\"resources\"", NULL},
    [METRIC_DB_SCHEMA_ERRORS] = {"tiketi_postgres_errors_total", "kind=\"schema\"", NULL},
    [METRIC_DB_INTERNAL_ERRORS] = {"tiketi_postgres_errors_total", "kind=\"internal\"", NULL},
    [METRIC_DB_OTHER_ERRORS] = {"tiketi_postgres_errors_total", "kind=\"other\"", NULL},
    [METRIC_DB_RECONNECTS] = {"tiketi_postgres_reconnects_total", "",
                              "New PostgreSQL connections."},
    [METRIC_WS_OPENED] = {"tiketi_websocket_opened_total", "", "WebSockets opened."},
    [METRIC_WS_REFUSED_LIMIT] = {"tiketi_websocket_refused_total", "reason=\"limit\"",
                                 "WebSocket handshakes refused."},
    [METRIC_WS_REFUSED_RATE] = {"tiketi_websocket_refused_total", "reason=\"address_rate\"", NULL},
    [METRIC_WS_REFUSED_SOCKETS] = {"tiketi_websocket_refused_total", "reason=\"address_sockets\"",
                                   NULL},
    [METRIC_WS_REFUSED_DRAINING] = {"tiketi_websocket_refused_total", "reason=\"draining\"", NULL},
    [METRIC_WS_REFUSED_ORIGIN] = {"tiketi_websocket_refused_total", "reason=\"origin\"", NULL},
    [METRIC_WS_REFUSED_INVALID] = {"tiketi_websocket_refused_total", "reason=\"invalid\"", NULL},
    [METRIC_WS_REFUSED_TIMEOUT] = {"tiketi_websocket_refused_total", "reason=\"timeout\"", NULL},
    [METRIC_WS_CLOSED_CLIENT] = {"tiketi_websocket_closed_total", "reason=\"client\"",
                                 "WebSockets closed."},
    [METRIC_WS_CLOSED_LOST] = {"tiketi_websocket_closed_total", "reason=\"lost\"", NULL},
    [METRIC_WS_CLOSED_SILENT] = {"tiketi_websocket_closed_total", "reason=\"silent\"", NULL},
    [METRIC_WS_CLOSED_SLOW] = {"tiketi_websocket_closed_total", "reason=\"slow\"", NULL},
    [METRIC_WS_CLOSED_PROTOCOL] = {"tiketi_websocket_closed_total", "reason=\"protocol\"", NULL},
    [METRIC_WS_CLOSED_POLICY] = {"tiketi_websocket_closed_total", "reason=\"policy\"", NULL},
    [METRIC_WS_CLOSED_UNAUTHORIZED] = {"tiketi_websocket_closed_total", "reason=\"unauthorized\"",
                                       NULL},
    [METRIC_WS_CLOSED_DRAIN] = {"tiketi_websocket_closed_total", "reason=\"drain\"", NULL},
    [METRIC_WS_CLOSED_OTHER] = {"tiketi_websocket_closed_total", "reason=\"other\"", NULL},
    [METRIC_WS_MESSAGES] = {"tiketi_websocket_messages_total", "", "WebSocket messages sent."},
    [METRIC_MESSAGES_SKIPPED] =
        {"tiketi_channel_messages_skipped_total", "",
         "Channel messages that a gateway worker without a socket of their event did not parse."},
    [METRIC_HOLDS] = {"tiketi_holds_total", "kind=\"buyer\"",
                      "Reservations made: by buyers, or on admission."},
    [METRIC_AUTO_HOLDS] = {"tiketi_holds_total", "kind=\"auto\"", NULL},
    [METRIC_SEAT_CONFLICTS] = {"tiketi_seat_conflicts_total", "",
                               "Holds refused because another buyer took a seat."},
    [METRIC_SEAT_MAPS] = {"tiketi_seat_map_rebuilds_total", "", "Seat maps built by PostgreSQL."},
    [METRIC_PURCHASES] = {"tiketi_purchases_total", "", "Reservations paid for."},
    [METRIC_REFUNDS_DUE] = {"tiketi_refunds_total", "state=\"due\"", "Refunds: due, or done."},
    [METRIC_REFUNDS] = {"tiketi_refunds_total", "state=\"done\"", NULL},
    [METRIC_EVENT_LOOKUPS] = {"tiketi_event_lookups_total", "",
                              "Queries to PostgreSQL for event ids that Redis does not know."},
    [METRIC_UNKNOWN_EVENTS] = {"tiketi_unknown_events_total", "",
                               "Requested event ids that belong to no event."},
    [METRIC_MAILS_SENT] = {"tiketi_mails_total", "result=\"sent\"",
                           "Mails: taken by the mail server; attempts that failed; given up."},
    [METRIC_MAILS_FAILED] = {"tiketi_mails_total", "result=\"failed\"", NULL},
    [METRIC_MAILS_PARKED] = {"tiketi_mails_total", "result=\"parked\"", NULL},
    [METRIC_PUSHES_SENT] = {"tiketi_pushes_total", "result=\"sent\"",
                            "Push messages: taken by the push service; attempts that failed; to "
                            "browsers that are gone; not sent in time."},
    [METRIC_PUSHES_FAILED] = {"tiketi_pushes_total", "result=\"failed\"", NULL},
    [METRIC_PUSHES_GONE] = {"tiketi_pushes_total", "result=\"gone\"", NULL},
    [METRIC_PUSHES_EXPIRED] = {"tiketi_pushes_total", "result=\"expired\"", NULL},
    [METRIC_HOOKS_SENT] = {"tiketi_webhook_events_total", "result=\"sent\"",
                           "Events for webhooks: taken by the receiver; attempts that failed."},
    [METRIC_HOOKS_FAILED] = {"tiketi_webhook_events_total", "result=\"failed\"", NULL},
    [METRIC_SHOP_KEYS_FETCHED] = {"tiketi_jwks_fetches_total", "of=\"shop\",result=\"fetched\"",
                                  "Fetches of published keys (JWKS): of the shop, or of the "
                                  "identity provider."},
    [METRIC_SHOP_KEYS_FAILED] = {"tiketi_jwks_fetches_total", "of=\"shop\",result=\"failed\"",
                                 NULL},
    [METRIC_OIDC_KEYS_FETCHED] = {"tiketi_jwks_fetches_total", "of=\"oidc\",result=\"fetched\"",
                                  NULL},
    [METRIC_OIDC_KEYS_FAILED] = {"tiketi_jwks_fetches_total", "of=\"oidc\",result=\"failed\"",
                                 NULL},
    [METRIC_LOG_SUPPRESSED] = {"tiketi_log_lines_dropped_total", "reason=\"suppressed\"",
                               "Log lines not written: their place in the code wrote ten in that "
                               "second; stderr took no more; the same, of the access log."},
    [METRIC_LOG_LOST] = {"tiketi_log_lines_dropped_total", "reason=\"stderr\"", NULL},
    [METRIC_LOG_ACCESS_LOST] = {"tiketi_log_lines_dropped_total", "reason=\"access\"", NULL},
};

static atomic_uint_fast64_t counters[METRIC_COUNT];

void metrics_add(enum metric metric, uint64_t n)
{
    atomic_fetch_add_explicit(&counters[metric], n, memory_order_relaxed);
}

/* ---- gauges ---- */

static const struct {
    const char *name, *labels, *help; /* as above; name NULL: it is told by another row */
} gauge_rows[GAUGE_COUNT] = {
    [GAUGE_REDIS_LINKS_UP] = {"tiketi_redis_up", "",
                              "1 while every connection of the process to Redis is up."},
    [GAUGE_DB_POOLS_UP] = {"tiketi_postgres_up", "",
                           "1 while every pool of the process has a connection to PostgreSQL."},
    [GAUGE_DB_POOL_MAX] = {"tiketi_postgres_pool_max", "",
                           "Connections to PostgreSQL that the process may open."},
    [GAUGE_DB_POOL_SIZE] = {"tiketi_postgres_pool_size", "", "Open connections to PostgreSQL."},
    [GAUGE_DB_POOL_IN_USE] = {"tiketi_postgres_pool_in_use", "",
                              "Connections to PostgreSQL with a query under way."},
    [GAUGE_DB_POOL_WAITING] = {"tiketi_postgres_pool_waiting", "",
                               "Queries that wait for a connection."},
    [GAUGE_WS_OPEN] = {"tiketi_websocket_open", "", "WebSockets that are open."},
    [GAUGE_WS_SOCKETIO] = {"tiketi_websocket_socketio_open", "",
                           "WebSockets that are open and whose client speaks Socket.IO."},
    [GAUGE_WS_MAX] = {"tiketi_websocket_max", "", "WebSockets that may be open."},
    [GAUGE_CLOCK_SKEW] = {"tiketi_clock_skew_seconds", "",
                          "The pod's own clock less Redis'; the pod corrects by it."},
    [GAUGE_REDIS_REPLICA] = {"tiketi_redis_problem", "kind=\"replica\"",
                             "1 while Redis is not as tiketi needs it."},
    [GAUGE_REDIS_CLUSTER] = {"tiketi_redis_problem", "kind=\"cluster\"", NULL},
    [GAUGE_REDIS_PERMISSION] = {"tiketi_redis_problem", "kind=\"permission\"", NULL},
    [GAUGE_REDIS_WRITES_REFUSED] = {"tiketi_redis_problem", "kind=\"writes_refused\"", NULL},
    [GAUGE_REDIS_MEMORY] = {"tiketi_redis_problem", "kind=\"memory\"", NULL},
    [GAUGE_REDIS_EVICTS] = {"tiketi_redis_problem", "kind=\"evicting_policy\"", NULL},
    [GAUGE_REDIS_UNSAVED] = {"tiketi_redis_risk", "kind=\"persistence\"",
                             "1 while Redis serves, but the loss of one server would lose places."},
    [GAUGE_REDIS_REPLICAS] = {"tiketi_redis_risk", "kind=\"replicas\"", NULL},
    [GAUGE_OUTBOX_PENDING] = {"tiketi_outbox_mails", "status=\"pending\"",
                              "Mails in the outbox of the deployment, as a pod with the processor "
                              "role counted them."},
    [GAUGE_OUTBOX_PARKED] = {"tiketi_outbox_mails", "status=\"parked\"", NULL},
    [GAUGE_OUTBOX_AGE] = {"tiketi_outbox_oldest_seconds", "", "Age of the oldest pending mail."},
    [GAUGE_HOOKS_FAILING] = {"tiketi_webhooks", "state=\"failing\"",
                             "Webhooks of all events whose receivers fail: failing is being "
                             "repeated, parked was given up."},
    [GAUGE_HOOKS_PARKED] = {"tiketi_webhooks", "state=\"parked\"", NULL},
    [GAUGE_HOOKS_LATE] = {"tiketi_webhook_failing_seconds", "",
                          "How long the webhook that fails longest has been failing."},
};

/* Of these is told whether they are as great as those, and not 0; GAUGE_NONE: the value itself. */
static const enum metric_gauge gauge_all[GAUGE_COUNT] = {
    [GAUGE_REDIS_LINKS_UP] = GAUGE_REDIS_LINKS, [GAUGE_DB_POOLS_UP] = GAUGE_DB_POOLS};

/* Of these is told whether they are above 0 (metrics_flag). */
static const bool gauge_any[GAUGE_COUNT] = {
    [GAUGE_REDIS_REPLICA] = true,    [GAUGE_REDIS_CLUSTER] = true,
    [GAUGE_REDIS_PERMISSION] = true, [GAUGE_REDIS_WRITES_REFUSED] = true,
    [GAUGE_REDIS_MEMORY] = true,     [GAUGE_REDIS_EVICTS] = true,
    [GAUGE_REDIS_UNSAVED] = true,    [GAUGE_REDIS_REPLICAS] = true};

static atomic_int_fast64_t gauges[GAUGE_COUNT]; /* thousandths */

void metrics_set(enum metric_gauge gauge, double value)
{
    atomic_store_explicit(&gauges[gauge], (int_fast64_t)(value * 1000), memory_order_relaxed);
}

void metrics_shift(enum metric_gauge gauge, int64_t by)
{
    atomic_fetch_add_explicit(&gauges[gauge], by * 1000, memory_order_relaxed);
}

void metrics_flag(enum metric_gauge gauge, bool *told, bool now)
{
    if (*told != now)
        metrics_shift(gauge, now ? 1 : -1);
    *told = now;
}

/* ---- histograms ---- */

static const struct {
    const char *name, *help;
    const double *bounds;
} histogram_rows[HISTOGRAM_COUNT] = {
    [HISTOGRAM_TICK] = {"tiketi_tick_duration_seconds", "Duration of a processor tick.",
                        histogram_short_s},
    [HISTOGRAM_REDIS] = {"tiketi_redis_duration_seconds", "Duration of a Redis command.",
                         histogram_short_s},
    [HISTOGRAM_DB] = {"tiketi_postgres_duration_seconds", "Duration of a PostgreSQL query.",
                      histogram_short_s},
    [HISTOGRAM_DB_WAIT] = {"tiketi_postgres_pool_wait_seconds",
                           "Time that a query waited for a connection to PostgreSQL.",
                           histogram_short_s},
    [HISTOGRAM_JOIN_BATCH] = {"tiketi_join_batch_size", "Joins of one script call.",
                              histogram_sizes},
};

static struct histogram histograms[HISTOGRAM_COUNT];

void metrics_observe(enum metric_histogram histogram, double value)
{
    histogram_observe(&histograms[histogram], histogram_rows[histogram].bounds, value);
}

/* ---- writing ---- */

static double gauge_value(size_t gauge)
{
    const enum metric_gauge all = gauge_all[gauge];
    const int64_t value = atomic_load_explicit(&gauges[gauge], memory_order_relaxed);
    if (all != GAUGE_NONE)
        return value > 0 && value == atomic_load_explicit(&gauges[all], memory_order_relaxed);
    return gauge_any[gauge] ? value > 0 : (double)value / 1000;
}

void metrics_write(const struct metrics_text *text)
{
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        if (counter_rows[i].help)
            metrics_text_family(text, counter_rows[i].name, "counter", counter_rows[i].help);
        metrics_text_count(text, counter_rows[i].name, counter_rows[i].labels,
                           atomic_load_explicit(&counters[i], memory_order_relaxed));
    }
    for (size_t i = 0; i < GAUGE_COUNT; i++) {
        if (gauge_rows[i].help)
            metrics_text_family(text, gauge_rows[i].name, "gauge", gauge_rows[i].help);
        if (gauge_rows[i].name)
            metrics_text_number(text, gauge_rows[i].name, gauge_rows[i].labels, gauge_value(i));
    }
    for (size_t i = 0; i < HISTOGRAM_COUNT; i++) {
        metrics_text_family(text, histogram_rows[i].name, "histogram", histogram_rows[i].help);
        metrics_text_histogram(text, histogram_rows[i].name, "", &histograms[i],
                               histogram_rows[i].bounds);
    }
}
