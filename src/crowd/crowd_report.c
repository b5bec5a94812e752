/* SPDX-License-Identifier: MIT */
/*
 * crowd_report: the progress line and the closing report of a rehearsal. Pure, except for the streams
 * it writes to. Called by: crowd. The JSON has the same numbers under stable names: tests read it.
 */
#include "crowd/crowd_report.h"

#include "base/json.h"
#include "crowd/crowd_load.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_EVERY_S 5

struct promise {
    const char *text, *key;
    uint64_t broken;
};
enum { PROMISES = 9 };

static void promises_of(const struct crowd_outcome *outcome, struct promise *list)
{
    const struct crowd_tally *tally = &outcome->sum->tally;
    const struct replay *check = &outcome->sum->check;
    const struct crowd_findings *findings = &outcome->sum->findings;
    const struct promise promises[PROMISES] = {
        {"over-admissions", "overAdmissions", check->over_admissions},
        {"order breaks", "orderBreaks", check->order_breaks},
        {"outflow breaks", "outflowBreaks", check->outflow_breaks},
        {"lost places", "lostPlaces", tally->lost + findings->lost},
        {"lost by missed turns", "missedTurnsLost",
         check->unfair_unclaimed + tally->missed_lost + findings->missed_lost},
        {"risen positions", "risenPositions", tally->risen},
        {"double sales", "doubleSales", findings->double_sales},
        {"unmatched money", "unmatchedMoney", findings->unmatched_money},
        {"charged for nothing", "chargedForNothing", findings->charged_idle},
    };
    memcpy(list, promises, sizeof(promises));
}

bool crowd_outcome_failed(const struct crowd_outcome *outcome)
{
    struct promise promises[PROMISES];
    promises_of(outcome, promises);
    for (int i = 0; i < PROMISES; i++) {
        if (promises[i].broken > 0)
            return true;
    }
    return outcome->sum->tally.errors > 0 || outcome->sum->audit != ST_OK;
}

/* ---- for people ---- */

static void print_latency(FILE *out, const char *name, struct crowd_samples *samples, double unit)
{
    if (samples->count == 0)
        (void)fprintf(out, "  %-22s none\n", name);
    else
        (void)fprintf(out, "  %-22s p50 %.1f ms, p95 %.1f ms, p99 %.1f ms  (%zu)\n", name,
                      crowd_samples_percentile(samples, 50) / unit,
                      crowd_samples_percentile(samples, 95) / unit,
                      crowd_samples_percentile(samples, 99) / unit, samples->count);
}

static void print_number(FILE *out, const char *name, uint64_t number)
{
    (void)fprintf(out, "  %-22s %" PRIu64 "\n", name, number);
}

static void print_notes(FILE *out, const char *title, const struct crowd_notes *notes)
{
    if (notes->count == 0)
        return;
    (void)fprintf(out, "\n%s\n", title);
    for (unsigned i = 0; i < notes->count; i++)
        (void)fprintf(out, "  %" PRIu64 " x %s (first: %s)\n", notes->list[i].times,
                      notes->list[i].kind, notes->list[i].example);
    if (notes->others > 0)
        (void)fprintf(out, "  and %" PRIu64 " of other kinds\n", notes->others);
}

static void print_promises(const struct crowd_outcome *outcome, FILE *out)
{
    struct promise promises[PROMISES];
    promises_of(outcome, promises);
    (void)fprintf(out, "\npromises broken%s\n",
                  !outcome->checked ? " (Redis and PostgreSQL were not read)" : "");
    for (int i = 0; i < PROMISES; i++)
        print_number(out, promises[i].text, promises[i].broken);
    if (!outcome->checked)
        return;
    (void)fprintf(out,
                  "  replayed: %" PRIu64 " log entries, %" PRIu64 " admissions (%" PRIu64
                  " direct, %" PRIu64 " offered), at most %" PRIu64 " inside\n",
                  outcome->sum->check.entries, outcome->sum->check.admissions,
                  outcome->sum->check.by_kind[REPLAY_DIRECT],
                  outcome->sum->check.by_kind[REPLAY_OFFERED], outcome->sum->check.most_inside);
    if (outcome->sum->check.flow.worst_of > 0)
        (void)fprintf(out, "  outflow %s: worst 10 s window %" PRIu64 " of %" PRIu64 "\n",
                      outcome->sum->check.outflow_breaks > 0 ? "broken" : "kept",
                      outcome->sum->check.flow.worst, outcome->sum->check.flow.worst_of);
    if (outcome->sum->check.excused > 0)
        (void)fprintf(out,
                      "  %" PRIu64 " were overtaken while their place was set aside: allowed\n",
                      outcome->sum->check.excused);
    if (outcome->sum->check.losses > 0)
        (void)fprintf(out, "  Redis lost data %" PRIu64 " times\n", outcome->sum->check.losses);
}

static const char *verdict(const struct crowd_outcome *outcome)
{
    if (outcome->sum->audit != ST_OK)
        return "The check is not complete: Redis, PostgreSQL or the provider could not be read.";
    if (crowd_outcome_failed(outcome))
        return "FAILED: a promise was broken, or a request failed.";
    if (outcome->sum->stopped)
        return "Stopped early. Until then every promise was kept.";
    if (outcome->sum->timed_out)
        return "The time was over before every buyer was done. Until then every promise was kept.";
    return "Every promise was kept.";
}

/* Percentiles leave out the first steps down, which are few. */
static void print_shop(struct crowd_tally *tally, FILE *out)
{
    (void)fprintf(out,
                  "  %-22s threshold p10 %" PRIu32 ", p50 %" PRIu32 ", p90 %" PRIu32
                  "; inside %.1f on average; slow in %" PRIu64 " of %" PRIu64 " reports\n",
                  "the shop", crowd_samples_percentile(&tally->shop_threshold, 10),
                  crowd_samples_percentile(&tally->shop_threshold, 50),
                  crowd_samples_percentile(&tally->shop_threshold, 90),
                  crowd_samples_mean(&tally->shop_inside), tally->shop_slow, tally->shop_reports);
}

void crowd_report_print(const struct crowd_outcome *outcome, FILE *out)
{
    struct crowd_tally *tally = &outcome->sum->tally;
    struct crowd_findings *findings = &outcome->sum->findings;
    (void)fprintf(out, "\nrehearsal of %s\n", outcome->options->event);
    (void)fprintf(out, "  %-22s %.1f s (all answered after %.1f s)\n", "duration",
                  (double)outcome->sum->duration_ms / 1000, (double)tally->answered_ms / 1000);
    print_number(out, "total users", (uint64_t)outcome->options->users);
    print_number(out, "allowed immediately", tally->allowed);
    print_number(out, "queued", tally->queued);
    print_number(out, "errors", tally->errors);
    (void)fprintf(out, "  %-22s %" PRIu64 " (at most %" PRIu32 " in a row)\n", "tried again",
                  tally->retries, tally->retries_in_a_row);
    (void)fprintf(out, "  %-22s %.1f\n", "average position", crowd_samples_mean(&tally->positions));
    print_latency(out, "join latency", &tally->join_us, 1000);
    if (outcome->checked) {
        print_latency(out, "push latency", &findings->push_ms, 1);
        print_latency(out, "estimate off by", &findings->estimate_ms[ESTIMATE_HIGH], 1);
        print_latency(out, "  with low confidence", &findings->estimate_ms[ESTIMATE_LOW], 1);
        (void)fprintf(out,
                      "  %-22s %" PRIu64 " (of %" PRIu64 "; %" PRIu64 " free, %" PRIu64 " held)\n",
                      "seats sold", findings->seats_sold, findings->seats_total,
                      findings->seats_free, findings->seats_held);
        (void)fprintf(out,
                      "  %-22s %" PRId64 " in %" PRIu64 " charges (%" PRIu64 " for seats: %" PRId64
                      "; %" PRIu64 " due back, %" PRIu64 " given back)\n",
                      "money taken", findings->money_taken, findings->charges,
                      findings->charges_paid, findings->money_paid, findings->charges_due,
                      findings->charges_refunded);
    }
    if (tally->joined > 0)
        (void)fprintf(out, "  %-22s %" PRIu32 ", the last after %.1f s\n", "on sockets",
                      tally->joined, (double)tally->joined_ms / 1000);
    if (tally->slept > 0)
        (void)fprintf(out,
                      "  %-22s %" PRIu64 "; %" PRIu64 " turns missed, %" PRIu64
                      " of them let in again\n",
                      "closed the page", tally->slept, findings->missed, findings->resumed);
    if (tally->shop_reports > 0)
        print_shop(tally, out);
    (void)fprintf(out,
                  "  %-22s %.1f s CPU in %" PRIu32
                  " process%s, the busiest at most %.0f %% of a core; "
                  "%.1f kB a buyer\n",
                  "the crowd itself", (double)tally->cpu_us / 1e6, tally->processes,
                  tally->processes == 1 ? "" : "es", (double)tally->busiest_permille / 10,
                  (double)tally->memory_kb / (double)outcome->options->users);
    print_latency(out, "its loop was late by", &tally->late_ms, 1);
    if (crowd_load_was_bottleneck(tally))
        (void)fprintf(
            out, "  %-22s the crowd itself was the bottleneck: the latencies are also its own\n",
            "");
    (void)fprintf(out, "  %-22s ", "how they ended");
    const char *comma = "";
    for (int i = 0; i < BUYER_STATE_COUNT; i++) {
        if (tally->states[i] == 0)
            continue;
        (void)fprintf(out, "%s%" PRIu32 " %s", comma, tally->states[i],
                      buyer_state_name((enum buyer_state)i));
        comma = ", ";
    }
    (void)fprintf(out, "\n");
    print_promises(outcome, out);
    print_notes(out, "what broke", &tally->breaks);
    print_notes(out, "what failed", &tally->failures);
    print_notes(out, "why it was tried again", &tally->retried);
    (void)fprintf(out, "\n%s\n", verdict(outcome));
}

void crowd_report_progress(const struct crowd_tally *tally, uint64_t elapsed_s, bool last)
{
    const bool terminal = isatty(STDERR_FILENO) != 0;
    if (!terminal && !last && elapsed_s % PROGRESS_EVERY_S != 0)
        return;
    uint32_t others = 0, all = 0;
    for (int i = 0; i < BUYER_STATE_COUNT; i++)
        all += tally->states[i];
    for (int i = BUYER_CLOSED; i < BUYER_STATE_COUNT; i++)
        others += tally->states[i];
    (void)fprintf(stderr,
                  "%s%4" PRIu64 " s  arrived %" PRIu32 "  waiting %" PRIu32 "  on sockets %" PRIu32
                  "  inside %" PRIu32 "  bought %" PRIu32 "  left %" PRIu32 "  silent %" PRIu32
                  "  sold out %" PRIu32 "  other %" PRIu32 "  retries %" PRIu64 "  errors %" PRIu64
                  "%s",
                  terminal ? "\r\033[K" : "", elapsed_s, all - tally->states[BUYER_ABSENT],
                  tally->states[BUYER_WAITING], tally->joined, tally->states[BUYER_INSIDE],
                  tally->states[BUYER_BOUGHT], tally->states[BUYER_LEFT],
                  tally->states[BUYER_SILENT], tally->states[BUYER_SOLD_OUT], others,
                  tally->retries, tally->errors, terminal && !last ? "" : "\n");
}

/* ---- as JSON ---- */

static struct json *latency_json(struct crowd_samples *samples, double unit)
{
    struct json *object = json_new_object();
    json_set_int(object, "count", (int64_t)samples->count);
    json_set_real(object, "p50", crowd_samples_percentile(samples, 50) / unit);
    json_set_real(object, "p95", crowd_samples_percentile(samples, 95) / unit);
    json_set_real(object, "p99", crowd_samples_percentile(samples, 99) / unit);
    json_set_real(object, "max", crowd_samples_percentile(samples, 100) / unit);
    return object;
}

static struct json *notes_json(const struct crowd_notes *notes)
{
    struct json *array = json_new_array();
    for (unsigned i = 0; i < notes->count; i++) {
        struct json *object = json_new_object();
        json_set_str(object, "kind", notes->list[i].kind);
        json_set_str(object, "first", notes->list[i].example);
        json_set_int(object, "times", (int64_t)notes->list[i].times);
        json_append(array, object);
    }
    return array;
}

static struct json *replay_json(const struct replay *check)
{
    struct json *object = json_new_object();
    json_set_int(object, "entries", (int64_t)check->entries);
    json_set_int(object, "admissions", (int64_t)check->admissions);
    json_set_int(object, "direct", (int64_t)check->by_kind[REPLAY_DIRECT]);
    json_set_int(object, "offered", (int64_t)check->by_kind[REPLAY_OFFERED]);
    json_set_int(object, "claimed", (int64_t)check->by_kind[REPLAY_CLAIMED]);
    json_set_int(object, "unclaimed", (int64_t)check->by_kind[REPLAY_UNCLAIMED]);
    json_set_int(object, "idleKept", (int64_t)check->by_kind[REPLAY_IDLE_KEPT]);
    json_set_int(object, "parked", (int64_t)check->by_kind[REPLAY_PARKED]);
    json_set_int(object, "returned", (int64_t)check->by_kind[REPLAY_RETURNED]);
    json_set_int(object, "restored", (int64_t)check->by_kind[REPLAY_RESTORED]);
    json_set_int(object, "mostInside", (int64_t)check->most_inside);
    json_set_int(object, "outflowWorst", (int64_t)check->flow.worst);
    json_set_int(object, "outflowWorstOf", (int64_t)check->flow.worst_of);
    json_set_int(object, "excused", (int64_t)check->excused);
    json_set_int(object, "losses", (int64_t)check->losses);
    return object;
}

static struct json *shop_json(struct crowd_tally *tally)
{
    struct json *object = json_new_object();
    json_set_int(object, "reports", (int64_t)tally->shop_reports);
    json_set_int(object, "slow", (int64_t)tally->shop_slow);
    json_set(object, "threshold", latency_json(&tally->shop_threshold, 1));
    json_set(object, "inside", latency_json(&tally->shop_inside, 1));
    return object;
}

static struct json *load_json(struct crowd_tally *tally)
{
    struct json *object = json_new_object();
    json_set_int(object, "processes", tally->processes);
    json_set_int(object, "cpuMs", (int64_t)tally->cpu_us / 1000);
    json_set_int(object, "memoryKb", (int64_t)tally->memory_kb);
    json_set_real(object, "busiestShare", (double)tally->busiest_permille / 1000);
    json_set(object, "lateMs", latency_json(&tally->late_ms, 1));
    json_set_bool(object, "bottleneck", crowd_load_was_bottleneck(tally));
    return object;
}

static struct json *report_json(const struct crowd_outcome *outcome)
{
    struct crowd_tally *tally = &outcome->sum->tally;
    struct crowd_findings *findings = &outcome->sum->findings;
    struct json *report = json_new_object();
    json_set_str(report, "event", outcome->options->event);
    json_set_int(report, "users", outcome->options->users);
    json_set_int(report, "seed", outcome->options->seed);
    json_set_bool(report, "failed", crowd_outcome_failed(outcome));
    json_set_bool(report, "checked", outcome->checked && outcome->sum->audit == ST_OK);
    json_set_bool(report, "timedOut", outcome->sum->timed_out);
    json_set_int(report, "durationMs", (int64_t)outcome->sum->duration_ms);
    json_set_int(report, "answeredMs", (int64_t)tally->answered_ms);
    json_set_int(report, "allowedImmediately", tally->allowed);
    json_set_int(report, "queued", tally->queued);
    json_set_int(report, "errors", (int64_t)tally->errors);
    json_set_int(report, "retries", (int64_t)tally->retries);
    json_set_int(report, "retriesInARow", tally->retries_in_a_row);
    json_set_int(report, "requests", (int64_t)tally->requests);
    json_set_int(report, "sockets", (int64_t)tally->sockets);
    json_set_int(report, "messages", (int64_t)tally->messages);
    json_set_real(report, "averagePosition", crowd_samples_mean(&tally->positions));
    json_set(report, "joinMs", latency_json(&tally->join_us, 1000));
    if (outcome->checked) {
        struct json *seats = json_new_object();
        json_set_int(seats, "total", (int64_t)findings->seats_total);
        json_set_int(seats, "free", (int64_t)findings->seats_free);
        json_set_int(seats, "held", (int64_t)findings->seats_held);
        struct json *money = json_new_object();
        json_set_int(money, "taken", findings->money_taken);
        json_set_int(money, "paid", findings->money_paid);
        json_set_int(money, "charges", (int64_t)findings->charges);
        json_set_int(money, "chargesPaid", (int64_t)findings->charges_paid);
        json_set_int(money, "chargesDue", (int64_t)findings->charges_due);
        json_set_int(money, "chargesRefunded", (int64_t)findings->charges_refunded);
        json_set(report, "pushMs", latency_json(&findings->push_ms, 1));
        json_set(report, "estimateErrorMs", latency_json(&findings->estimate_ms[ESTIMATE_HIGH], 1));
        json_set(report, "estimateErrorLowMs",
                 latency_json(&findings->estimate_ms[ESTIMATE_LOW], 1));
        json_set_int(report, "seatsSold", (int64_t)findings->seats_sold);
        json_set(report, "seats", seats);
        json_set(report, "money", money);
    }
    struct json *sleep = json_new_object();
    json_set_int(sleep, "slept", (int64_t)tally->slept);
    json_set_int(sleep, "missed", (int64_t)findings->missed);
    json_set_int(sleep, "resumed", (int64_t)findings->resumed);
    json_set(report, "sleep", sleep);
    json_set_int(report, "joined", tally->joined);
    json_set_int(report, "joinedMs", (int64_t)tally->joined_ms);
    json_set(report, "crowd", load_json(tally));
    if (tally->shop_reports > 0)
        json_set(report, "shop", shop_json(tally));
    struct json *ended = json_new_object();
    for (int i = 0; i < BUYER_STATE_COUNT; i++)
        json_set_int(ended, buyer_state_key((enum buyer_state)i), tally->states[i]);
    json_set(report, "ended", ended);
    struct promise promises[PROMISES];
    struct json *broken = json_new_object();
    promises_of(outcome, promises);
    for (int i = 0; i < PROMISES; i++)
        json_set_int(broken, promises[i].key, (int64_t)promises[i].broken);
    json_set(report, "broken", broken);
    if (outcome->checked)
        json_set(report, "replay", replay_json(&outcome->sum->check));
    json_set(report, "breaks", notes_json(&tally->breaks));
    json_set(report, "failures", notes_json(&tally->failures));
    json_set(report, "retried", notes_json(&tally->retried));
    return report;
}

enum status crowd_report_write_json(const struct crowd_outcome *outcome, const char *path)
{
    struct buf text;
    struct json *report = report_json(outcome);
    buf_init(&text, 256 * 1024);
    json_write(report, &text);
    buf_add_char(&text, '\n');
    json_free(report);
    FILE *file = fopen(path, "w");
    bool written =
        file && buf_status(&text) == ST_OK && fwrite(buf_str(&text), 1, text.len, file) == text.len;
    if (file && fclose(file) != 0)
        written = false;
    buf_clear(&text);
    return written ? ST_OK : ST_INTERNAL;
}
