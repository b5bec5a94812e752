/* SPDX-License-Identifier: MIT */
/*
 * simulate: the program tiketi-simulate: what becomes of a queue under given settings, before there is one. A table, the
 * timeline as CSV or SVG, or every move.
 *
 * Why this way: queue/forecast plays the sale; here are only the options and the ways to show the result. It asks no
 * server. Owns nothing.
 */
#include "base/count.h"
#include "base/json.h"
#include "base/program.h"
#include "queue/forecast.h"
#include "simulate/simulate_plot.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 1000000 /* of the forecast, at a time */

struct simulate_options {
    int64_t waiting, inside, arrivals, rate, over_ms;
    double abandon, no_show, idle, buy;
    const char *seats_per_sale, *visit_quantiles, *surge, *promotion;
    int64_t visit_ms, spread_ms;
    int64_t threshold, interval_ms, outflow, claim_ms, silent_ms, idle_timeout_ms, session_ms;
    int64_t seats, auto_hold, max_time_ms, threshold_min, shop;
    bool json, csv, svg, moves;
};

#define AT(field) offsetof(struct simulate_options, field)
#define DAY_MS    OPTIONS_DAY_MS
#define MANY      FORECAST_BUYERS_MAX

static const struct option_row rows[] = {
    {"waiting", OPT_COUNT, AT(waiting), 0, MANY, "0", "N", "wait when the sale opens"},
    {"inside", OPT_COUNT, AT(inside), 0, MANY, "0", "N", "are inside then already"},
    {"arrivals", OPT_COUNT, AT(arrivals), 0, MANY, "0", "N", "arrive after the opening, in all"},
    {"rate", OPT_COUNT, AT(rate), 0, MANY, "0", "N", "or: arrive in each minute"},
    {"over", OPT_DURATION, AT(over_ms), 0, DAY_MS, "10m", "TIME", "they arrive over this time"},
    {"threshold", OPT_COUNT, AT(threshold), 0, 10000000, "1000", "N", "inside at once at most"},
    {"interval", OPT_DURATION, AT(interval_ms), 1, DAY_MS, "10s", "TIME", "between two ticks"},
    {"promotion", OPT_TEXT, AT(promotion), 0, 0, "continuous", "WORD",
     "when freed slots are refilled: continuous (at once), interval (at the ticks)"},
    {"outflow", OPT_COUNT, AT(outflow), 0, 100000000, "0", "N",
     "admissions a minute at most; 0: no limit"},
    {"surge", OPT_TEXT, AT(surge), 0, 0, NULL, "RULES",
     "rules QUEUEABOVE:THRESHOLD, comma-separated: 5000:2000,20000:4000"},
    {"threshold-min", OPT_COUNT, AT(threshold_min), 0, 10000000, "0", "N",
     "the shop's health may lower the threshold as far as this; 0: it does not"},
    {"shop", OPT_COUNT, AT(shop), 0, MANY, "0", "N",
     "the shop is slow with more than N inside, and says so; 0: it bears all"},
    {"visit", OPT_DURATION, AT(visit_ms), 1, DAY_MS, "3m", "TIME", "mean time inside"},
    {"spread", OPT_DURATION, AT(spread_ms), 0, DAY_MS, "90s", "TIME",
     "standard deviation of the time inside; 0: all stay alike"},
    {"visit-quantiles", OPT_TEXT, AT(visit_quantiles), 0, 0, NULL, "TIMES",
     "or measured: from shortest to longest at even shares, such as 20s,1m,2m,4m,10m"},
    {"no-show", OPT_SHARE, AT(no_show), 0, 0, "0.05", "SHARE", "of the offers that nobody claims"},
    {"abandon", OPT_SHARE, AT(abandon), 0, 0, "0", "SHARE",
     "of those who wait that give up in a minute"},
    {"idle", OPT_SHARE, AT(idle), 0, 0, "0.05", "SHARE", "of those inside that fall silent"},
    {"buy", OPT_SHARE, AT(buy), 0, 0, "0.7", "SHARE", "of the others that buy"},
    {"seats", OPT_COUNT, AT(seats), 0, MANY, "0", "N", "to be sold; 0: a pure waiting room"},
    {"seats-per-sale", OPT_TEXT, AT(seats_per_sale), 0, 0, "2", "N", "mean; 1 or more"},
    {"auto-hold", OPT_COUNT, AT(auto_hold), 0, 100, "1", "N", "seats held at an admission"},
    {"claim", OPT_DURATION, AT(claim_ms), 0, DAY_MS, "90s", "TIME", "an offer runs out after it"},
    {"silent", OPT_DURATION, AT(silent_ms), 0, DAY_MS, "2m", "TIME",
     "a waiting buyer without a sign of life for so long is skipped"},
    {"idle-timeout", OPT_DURATION, AT(idle_timeout_ms), 0, DAY_MS, "90s", "TIME",
     "the silent ones leave after it; 0: never"},
    {"session-limit", OPT_DURATION, AT(session_ms), 0, DAY_MS, "10m", "TIME",
     "longest visit; 0: no limit"},
    {"max-time", OPT_DURATION, AT(max_time_ms), 1000, DAY_MS, "24h", "TIME",
     "of the sale: the forecast ends there"},
    {"json", OPT_FLAG, AT(json), 0, 0, NULL, NULL, "prints the numbers as JSON; times in ms"},
    {"csv", OPT_FLAG, AT(csv), 0, 0, NULL, NULL, "prints the timeline as CSV"},
    {"svg", OPT_FLAG, AT(svg), 0, 0, NULL, NULL, "prints it as a picture"},
    {"moves", OPT_FLAG, AT(moves), 0, 0, NULL, NULL, "prints every move of every buyer as CSV"},
    {0},
};

/* ---- reading ---- */

/* Reads "5000:2000,20000:4000", in any order. */
static bool read_surge(const char *text, struct forecast_input *in)
{
    for (char *end; *text != '\0'; text = *end == ',' ? end + 1 : end) {
        if (in->surge_count == EVENT_SURGE_MAX || *text < '0' || *text > '9')
            return false;
        struct surge_rule rule = {.queue_above = strtoll(text, &end, 10)};
        if (*end != ':' || end[1] < '0' || end[1] > '9')
            return false;
        rule.threshold = strtoll(end + 1, &end, 10);
        if (rule.queue_above < 1 || rule.threshold > 10000000 || (*end != ',' && *end != '\0'))
            return false;
        int at = in->surge_count++;
        for (; at > 0 && in->surge[at - 1].queue_above > rule.queue_above; at--)
            in->surge[at] = in->surge[at - 1];
        in->surge[at] = rule;
    }
    return true;
}

/* Reads "20s,1m,2m". */
static bool read_quantiles(const char *text, struct forecast_input *in)
{
    for (size_t len; *text != '\0'; text += len + (text[len] == ',')) {
        char value[32];
        int64_t ms;
        len = strcspn(text, ",");
        if (len >= sizeof(value) || in->visit_quantile_count == FORECAST_QUANTILES_MAX)
            return false;
        (void)snprintf(value, sizeof(value), "%.*s", (int)len, text);
        if (!options_read_duration(value, &ms))
            return false;
        in->visit_quantiles_ms[in->visit_quantile_count++] = (double)ms;
    }
    return true;
}

/* Returns the exit code; 0: *in is ready. */
static int read_input(const struct simulate_options *options, struct forecast_input *in)
{
    char *end;
    *in = (struct forecast_input){
        .waiting = options->waiting,
        .inside = options->inside,
        .arrivals = options->arrivals,
        .arrive_ms = options->over_ms,
        .abandon = options->abandon,
        .no_show = options->no_show,
        .idle = options->idle,
        .buy = options->buy,
        .seats_per_sale = strtod(options->seats_per_sale, &end),
        .visit_mean_ms = (double)options->visit_ms,
        .visit_spread_ms = (double)options->spread_ms,
        .threshold = options->threshold,
        .interval_ms = options->interval_ms,
        .claim_ms = options->claim_ms,
        .silent_ms = options->silent_ms,
        .idle_timeout_ms = options->idle_timeout_ms,
        .session_limit_ms = options->session_ms,
        .outflow_per_minute = options->outflow,
        .auto_hold = options->auto_hold,
        .seats = options->seats > 0 ? options->seats : -1,
        .threshold_min = options->threshold_min,
        .target_p95_ms = 1000,
        .shop_bears = options->shop,
        .horizon_ms = options->max_time_ms,
    };
    if (*end != '\0')
        return program_fail("simulate", EXIT_USAGE, "--seats-per-sale must be a number");
    if (options->rate > 0 && options->arrivals > 0)
        return program_fail("simulate", EXIT_USAGE, "--arrivals and --rate say the same: give one");
    if (options->rate > 0)
        in->arrivals = options->rate * options->over_ms / 60000;
    if (options->shop > 0 && options->threshold_min == 0)
        return program_fail("simulate", EXIT_USAGE,
                            "--shop needs --threshold-min: without it, its health changes nothing");
    if (options->surge && !read_surge(options->surge, in))
        return program_fail("simulate", EXIT_USAGE,
                            "--surge must be up to 16 rules such as 5000:2000,20000:4000");
    if (options->visit_quantiles && !read_quantiles(options->visit_quantiles, in))
        return program_fail("simulate", EXIT_USAGE,
                            "--visit-quantiles must be 2 to 101 times such as 20s,1m,2m");
    enum event_promotion promotion;
    if (event_promotion_parse(options->promotion, &promotion) != ST_OK)
        return program_fail("simulate", EXIT_USAGE, "--promotion must be continuous or interval");
    in->continuous = promotion == EVENT_CONTINUOUS;
    const char *field;
    if (forecast_check(in, &field) != ST_OK)
        return program_fail("simulate", EXIT_USAGE, "%s is out of range%s", field,
                            strcmp(field, "arrivals") == 0 ? ": 5,000,000 buyers at most" : "");
    return 0;
}

/* ---- showing ---- */

static void print_move(void *arg, const struct forecast_move *move)
{
    (void)fprintf(arg,
                  "%" PRId64 ",%s,%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "\n",
                  move->at_ms, forecast_move_name(move->kind), move->buyer, move->waiting,
                  move->inside, move->threshold, move->free);
}

static void print_csv(const struct forecast *forecast)
{
    size_t count;
    const struct forecast_point *points = forecast_points(forecast, &count);
    (void)puts("seconds,waiting,inside,threshold,entered,sold");
    for (size_t i = 0; i < count; i++)
        (void)printf("%.1f,%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "\n",
                     (double)points[i].at_ms / 1000, points[i].waiting, points[i].inside,
                     points[i].threshold, points[i].entered, points[i].sold);
}

/* A time or count that there may not be. */
static void set_or_null(struct json *object, const char *key, int64_t value)
{
    if (value < 0)
        json_set_null(object, key);
    else
        json_set_int(object, key, value);
}

static void print_json(const struct forecast_result *result)
{
    struct json *object = json_new_object();
    struct buf text;
    set_or_null(object, "lastWaitMs", result->last_wait_ms);
    set_or_null(object, "waitP50Ms", result->wait_p50_ms);
    set_or_null(object, "waitP90Ms", result->wait_p90_ms);
    set_or_null(object, "waitP99Ms", result->wait_p99_ms);
    set_or_null(object, "waitMaxMs", result->wait_max_ms);
    set_or_null(object, "drainMs", result->drain_ms);
    set_or_null(object, "soldOutMs", result->sold_out_ms);
    json_set_int(object, "endMs", result->end_ms);
    json_set_int(object, "entered", result->entered);
    json_set_int(object, "direct", result->direct);
    json_set_int(object, "bought", result->bought);
    json_set_int(object, "left", result->left);
    json_set_int(object, "idle", result->idle);
    json_set_int(object, "timeout", result->timeout);
    json_set_int(object, "unclaimed", result->unclaimed);
    json_set_int(object, "parked", result->parked);
    json_set_int(object, "stillWaiting", result->still_waiting);
    json_set_int(object, "peakWaiting", result->peak_waiting);
    json_set_int(object, "peakInside", result->peak_inside);
    if (result->limit_most > 0) {
        json_set_int(object, "limitLeast", result->limit_least);
        json_set_int(object, "limitMost", result->limit_most);
        json_set_real(object, "slowShare", round(result->slow_share * 1000) / 1000);
    }
    json_set_int(object, "sold", result->sold);
    set_or_null(object, "seatsLeft", result->seats_left);
    json_set_int(object, "enteredPerMinute", llround(result->entered_per_minute));
    buf_init(&text, 4096);
    json_write(object, &text);
    (void)puts(buf_str(&text));
    buf_clear(&text);
    json_free(object);
}

static const char *duration(int64_t ms, char *out)
{
    forecast_write_duration(ms, out);
    return out;
}

static void print_line(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void print_line(const char *name, const char *format, ...)
{
    va_list args;
    (void)printf("  %-20s ", name);
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)puts("");
}

static void print_positions(const struct forecast *forecast, const struct forecast_input *in)
{
    static const int permille[] = {0, 100, 250, 500, 750, 900, 1000};
    const int64_t last = (in->waiting > 0 ? in->waiting : in->arrivals) - 1;
    char count[COUNT_SIZE], wait[FORECAST_DURATION_SIZE];
    if (last < 0)
        return;
    (void)printf("\n  %14s  waits\n", in->waiting > 0 ? "position" : "arrival");
    for (size_t i = 0; i < sizeof(permille) / sizeof(permille[0]); i++) {
        const int64_t buyer = last * permille[i] / 1000;
        if (i > 0 && buyer == last * permille[i - 1] / 1000)
            continue;
        (void)printf("  %14s  %s\n", count_write(buyer + 1, count),
                     duration(forecast_wait_ms(forecast, buyer), wait));
    }
}

static void print_table(const struct forecast *forecast, const struct forecast_input *in,
                        const struct forecast_result *result)
{
    char a[FORECAST_DURATION_SIZE], b[FORECAST_DURATION_SIZE], c[FORECAST_DURATION_SIZE],
        d[FORECAST_DURATION_SIZE], n[COUNT_SIZE], m[COUNT_SIZE];
    if (in->waiting > 0 && result->last_wait_ms >= 0)
        print_line("the last in line", "waits %s", duration(result->last_wait_ms, a));
    else if (in->waiting > 0)
        print_line("the last in line", "never enters");
    print_line("waits", "half of them %s at most, 90 %% %s, 99 %% %s; the longest %s",
               duration(result->wait_p50_ms, a), duration(result->wait_p90_ms, b),
               duration(result->wait_p99_ms, c), duration(result->wait_max_ms, d));
    if (result->drain_ms >= 0)
        print_line("the queue is empty", "after %s", duration(result->drain_ms, a));
    else
        print_line("the queue is empty", "never: %s still wait after %s",
                   count_write(result->still_waiting, n), duration(result->end_ms, a));
    if (in->seats >= 0 && result->sold_out_ms >= 0)
        print_line("sold out", "after %s: %s seats", duration(result->sold_out_ms, a),
                   count_write(result->sold, n));
    else if (in->seats >= 0)
        print_line("sold out", "never: %s seats are sold, %s left", count_write(result->sold, n),
                   count_write(result->seats_left, m));
    print_line("admissions", "%.0f a minute while buyers waited", result->entered_per_minute);
    print_line("at most", "%s waiting, %s inside", count_write(result->peak_waiting, n),
               count_write(result->peak_inside, m));
    if (result->limit_most > 0)
        print_line("the shop's limit",
                   "%s to %s after half an hour; the shop is slow %.0f %% of the time",
                   count_write(result->limit_least, n), count_write(result->limit_most, m),
                   100 * result->slow_share);
    print_line("entered", "%s, %s of them at once", count_write(result->entered, n),
               count_write(result->direct, m));
    print_line("how they ended",
               "%" PRId64 " bought, %" PRId64 " left, %" PRId64 " fell silent, %" PRId64
               " met the session limit, %" PRId64 " did not claim, %" PRId64 " had given up",
               result->bought, result->left, result->idle, result->timeout, result->unclaimed,
               result->parked);
    print_positions(forecast, in);
}

static void print_plot(const struct forecast *forecast, const struct forecast_input *in,
                       const struct forecast_result *result)
{
    char title[160], subtitle[200], n[COUNT_SIZE], m[COUNT_SIZE], a[FORECAST_DURATION_SIZE],
        b[FORECAST_DURATION_SIZE];
    (void)snprintf(title, sizeof(title), "%s waiting, %s more to come", count_write(in->waiting, n),
                   count_write(in->arrivals, m));
    (void)snprintf(subtitle, sizeof(subtitle),
                   "threshold %s, a tick every %s; the longest wait: %s",
                   count_write(in->threshold, n), duration(in->interval_ms, a),
                   duration(result->wait_max_ms, b));
    simulate_plot(forecast, result, title, subtitle, stdout);
}

static int simulate(struct config *config, const void *arg)
{
    const struct simulate_options *options = arg;
    struct forecast_input input;
    struct forecast_result result;
    (void)config;
    if (options->json + options->csv + options->svg + options->moves > 1)
        return program_fail("simulate", EXIT_USAGE, "one of --json, --csv, --svg and --moves");
    const int code = read_input(options, &input);
    if (code != 0)
        return code;
    if (options->moves)
        (void)puts("ms,move,buyer,waiting,inside,threshold,free");
    struct forecast *forecast = forecast_new(&input, options->moves ? print_move : NULL, stdout);
    while (!forecast_step(forecast, STEPS))
        ;
    forecast_result(forecast, &result);
    if (options->json)
        print_json(&result);
    else if (options->csv)
        print_csv(forecast);
    else if (options->svg)
        print_plot(forecast, &input, &result);
    else if (!options->moves)
        print_table(forecast, &input, &result);
    forecast_free(forecast);
    return fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct program_command command = {
        .name = "simulate",
        .usage = "[--waiting N] [--threshold N] [options]",
        .about =
            "Forecasts a sale: how long buyers wait, when the queue is empty, when the seats "
            "are sold. It\n"
            "plays the sale by the rules of the service and asks no server. docs/organizer.md "
            "says how to\n"
            "choose threshold and interval with it.\n\n"
            "A TIME has a unit: 250ms, 5s, 15m, 1h; without one it is seconds. A SHARE is 0 to "
            "1.\n",
        .rows = rows,
        .options_size = sizeof(struct simulate_options),
        .run = simulate};
    return program_run(&command, argc, argv);
}
