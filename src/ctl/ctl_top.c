/* SPDX-License-Identifier: MIT */
/*
 * ctl_top: an event on sale, live on a terminal: one request every --every.
 *
 * Why this way: plain ANSI (home, clear to the end), so that it works over ssh and in any terminal; without a terminal
 * each refresh is some lines of text. When the service does not answer, the last numbers stay, and how old they are is
 * said. Called by: ctl. Owns nothing.
 */
#include "ctl/ctl_top.h"

#include "base/clock.h"
#include "base/count.h"
#include "base/process.h"
#include "ctl/ctl_http.h"
#include "ctl/ctl_print.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SPARK_MAX 60 /* minutes */

/* A line of bars, one for each of the last minutes. */
static void print_spark(const char *name, const struct json *minutes, const char *key)
{
    static const char *const bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    const size_t count = json_array_len(minutes), from = count > SPARK_MAX ? count - SPARK_MAX : 0;
    char text[COUNT_SIZE];
    int64_t most = 0;
    for (size_t i = from; i < count; i++) {
        const int64_t value = json_int(json_array_at(minutes, i), key, 0);
        most = value > most ? value : most;
    }
    (void)printf("  %-22s ", name);
    for (size_t i = from; i < count; i++) {
        const int64_t value = json_int(json_array_at(minutes, i), key, 0);
        (void)fputs(most > 0 && value > 0 ? bars[value * 7 / most] : " ", stdout);
    }
    (void)printf("  most %s\n", count_write(most, text));
}

static void print_count(const char *name, const struct json *object, const char *key)
{
    char text[COUNT_SIZE];
    const struct json *value = json_get(object, key);
    if (value && !json_is_null(value))
        (void)printf("  %-22s %s\n", name, count_write((int64_t)json_double(object, key, 0), text));
}

/* The reason that limits admissions, with the numbers that say so. */
static void print_limit(const struct json *stats)
{
    const char *by = json_str(stats, "limitedBy");
    const struct json *limits = json_get(stats, "limits");
    char one[COUNT_SIZE], other[COUNT_SIZE];
    if (!by)
        return;
    (void)printf("  %-22s %s", "limited by", by);
    if (limits && strcmp(by, "threshold") == 0) {
        const int64_t threshold = json_int(limits, "threshold", 0);
        const int64_t base = json_int(limits, "baseThreshold", threshold);
        (void)printf(": %s of %s inside", count_write(json_int(limits, "inside", 0), one),
                     count_write(threshold, other));
        if (base != threshold)
            (void)printf(", by a surge rule instead of %s", count_write(base, one));
    } else if (limits && strcmp(by, "outflow") == 0) {
        (void)printf(": %s a minute", count_write(json_int(limits, "outflowPerMinute", 0), other));
    } else if (limits && strcmp(by, "seats") == 0) {
        (void)printf(": %s left for those who wait",
                     count_write(json_int(limits, "seatsLeft", 0), one));
    } else if (strcmp(by, "empty") == 0) {
        (void)printf(": nobody waits");
    } else if (strcmp(by, "backend") == 0) {
        (void)printf(": no processor works on the event");
    } else if (strcmp(by, "starting") == 0) {
        (void)printf(": the first figures are on their way");
    }
    (void)puts("");
}

static void print_stats(const struct json *stats, const char *event)
{
    static const struct {
        const char *name, *key;
    } lately[] = {{"arrived", "joined"},          {"admitted", "admitted"},
                  {"bought", "completed"},        {"left", "left"},
                  {"fell silent", "idle"},        {"at the session limit", "timeout"},
                  {"did not claim", "unclaimed"}, {"gave up waiting", "withdrawn"}};
    const struct json *minutes = json_get(stats, "minutes");
    const size_t count = json_array_len(minutes);
    const char *status = json_str(stats, "status");
    char inside[COUNT_SIZE], threshold[COUNT_SIZE];
    (void)printf("%s: %s%s\n\n", event, status ? status : "draft",
                 json_bool(stats, "restoring", false) ? ", restoring places" : "");
    print_count("waiting", stats, "queueSize");
    if (json_has(stats, "threshold"))
        (void)printf("  %-22s %s of %s\n", "inside",
                     count_write(json_int(stats, "currentUsers", 0), inside),
                     count_write(json_int(stats, "threshold", 0), threshold));
    print_limit(stats);
    print_count("admissions a minute", stats, "admissionsPerMinute");
    print_count("seats left", stats, "seatsLeft");
    if (count == 0)
        return;
    (void)puts("");
    print_spark("waiting, by minute", minutes, "queueSize");
    print_spark("admitted, by minute", minutes, "admitted");
    (void)puts("\n  in the last whole minute");
    const struct json *last = json_array_at(minutes, count > 1 ? count - 2 : 0);
    for (size_t i = 0; i < sizeof(lately) / sizeof(lately[0]); i++)
        print_count(lately[i].name, last, lately[i].key);
}

int ctl_top(struct ctl_run *run)
{
    const bool terminal = isatty(STDOUT_FILENO) != 0 && !run->options.once;
    enum ctl_exit exit = CTL_OK;
    uint64_t answered_ns = 0;
    process_note_signals();
    do {
        struct ctl_answer answer;
        exit = ctl_http(run,
                        &(struct ctl_request){.method = "GET",
                                              .event = run->args[0],
                                              .rest = "/stats",
                                              .quiet = answered_ns != 0},
                        &answer);
        if (exit == CTL_OK) {
            if (terminal)
                (void)fputs("\033[H\033[J", stdout);
            if (run->options.json)
                ctl_print_json(answer.json);
            else
                print_stats(answer.json, run->args[0]);
            answered_ns = clock_mono_ns();
        } else if (answered_ns != 0) {
            (void)printf("%s  no answer: the numbers are %llu s old%s", terminal ? "\r" : "",
                         (unsigned long long)((clock_mono_ns() - answered_ns) / 1000000000),
                         terminal ? "\033[K" : "\n");
        }
        (void)fflush(stdout);
        ctl_answer_clear(&answer);
        /* It goes on through an outage that began after the first answer. */
    } while (!run->options.once &&
             (exit == CTL_OK || (answered_ns != 0 && exit == CTL_UNREACHABLE)) &&
             ctl_wait_ms(run->options.every_ms));
    if (terminal)
        (void)puts("");
    return process_noted_signal() != 0 ? CTL_OK : (int)exit;
}
