/* SPDX-License-Identifier: MIT */
/*
 * ctl_forecast: asks the service for a forecast, and shows it as a sentence, a table of now against then, and what was
 * assumed. Called by: ctl. Owns nothing.
 */
#include "ctl/ctl_forecast.h"

#include "base/count.h"
#include "ctl/ctl_http.h"
#include "ctl/ctl_print.h"
#include "ctl/ctl_setting.h"
#include "queue/forecast.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const char *const ctl_forecast_names[] = {
    "waiting", "inside",  "seats", "arrivalsPerMinute", "arrive", "visit", "visitSpread", "noShow",
    "idle",    "abandon", "buy",   "seatsPerSale",      NULL};

static bool is_assumption(const char *text)
{
    for (size_t i = 0; ctl_forecast_names[i]; i++) {
        const size_t len = strlen(ctl_forecast_names[i]);
        if (strncmp(text, ctl_forecast_names[i], len) == 0 && text[len] == '=')
            return true;
    }
    return false;
}

/* A time (a key that ends with "Ms") or a count, into out[FORECAST_DURATION_SIZE]. */
static const char *value_text(const struct json *outcome, const char *key, char *out)
{
    const size_t len = strlen(key);
    const int64_t value = json_int(outcome, key, FORECAST_NEVER);
    if (len > 2 && strcmp(key + len - 2, "Ms") == 0)
        forecast_write_duration(value, out);
    else if (value < 0)
        (void)snprintf(out, FORECAST_DURATION_SIZE, "-");
    else
        return count_write(value, out);
    return out;
}

_Static_assert(COUNT_SIZE <= FORECAST_DURATION_SIZE, "value_text writes both into one buffer");

static void print_assumed(void *arg, const char *key, const struct json *value)
{
    bool *any = arg;
    char text[CTL_CELL_SIZE];
    const char *source = json_str(value, "source");
    if (!source || strcmp(source, "assumed") != 0 || json_is_null(json_get(value, "value")))
        return;
    (void)printf("%s%s %s", *any ? ", " : "\nAssumed, because it was not measured: ", key,
                 ctl_text(json_get(value, "value"), text));
    *any = true;
}

static void print_forecast(const struct json *answer)
{
    static const char *const heads[] = {"", ">now", ">then"};
    static const struct {
        const char *name, *key;
    } rows[] = {{"the last in line waits", "lastWaitMs"},
                {"half wait at most", "waitP50Ms"},
                {"99 % wait at most", "waitP99Ms"},
                {"the queue is empty after", "drainMs"},
                {"sold out after", "soldOutMs"},
                {"admissions a minute", "admissionsPerMinute"},
                {"most inside", "peakInside"},
                {"still waiting at the end", "stillWaiting"}};
    const struct json *now = json_get(answer, "now"), *then = json_get(answer, "then");
    const char *sentence = json_str(json_get(answer, "change"), "sentence");
    if (sentence && *sentence)
        (void)printf("%c%s.\n\n", toupper((unsigned char)*sentence), sentence + 1);
    struct ctl_table *table = ctl_table_new(heads, 3);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char one[FORECAST_DURATION_SIZE], other[FORECAST_DURATION_SIZE];
        const char *const cells[] = {rows[i].name, value_text(now, rows[i].key, one),
                                     value_text(then, rows[i].key, other)};
        ctl_table_add(table, cells);
    }
    ctl_table_print(table);
    bool any = false;
    json_each(json_get(answer, "basis"), print_assumed, &any);
    if (any)
        (void)puts(".");
}

int ctl_forecast(struct ctl_run *run)
{
    struct ctl_answer answer;
    struct json *body = json_new_object(), *assume = json_new_object();
    char error[200];
    enum ctl_exit exit = CTL_OK;
    for (int i = 1; i < run->count && exit == CTL_OK; i++) {
        if (!ctl_setting_add(is_assumption(run->args[i]) ? assume : body, run->args[i], error,
                             sizeof(error)))
            exit = (enum ctl_exit)ctl_fail(run, CTL_USAGE, "%s", error);
    }
    json_set(body, "assume", assume);
    if (exit == CTL_OK) {
        exit = ctl_http(
            run,
            &(struct ctl_request){
                .method = "POST", .event = run->args[0], .rest = "/forecast", .body = body},
            &answer);
        if (exit == CTL_OK && run->options.json)
            ctl_print_json(answer.json);
        else if (exit == CTL_OK)
            print_forecast(answer.json);
        ctl_answer_clear(&answer);
    }
    json_free(body);
    return (int)exit;
}
