/* SPDX-License-Identifier: MIT */
/* What should be right before an event opens: the verdicts of its times, state and hall. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "queue/readiness.h"

#define NOW 5000

static const struct event sound = {.status = EVENT_SCHEDULED,
                                   .opens_at_ms = 6000,
                                   .starts_at_ms = 9000,
                                   .closes_at_ms = 8000,
                                   .time_zone = "Asia/Seoul"};

/* "code:verdict[:problem] …" of the checks, and the worst of them. */
static void assert_checks(struct json *checks, const char *expected, const char *worst)
{
    char found[256] = "";
    for (size_t i = 0; i < json_array_len(checks); i++) {
        const struct json *check = json_array_at(checks, i);
        const char *problem = json_str(json_get(check, "value"), "problem");
        const size_t len = strlen(found);
        (void)snprintf(found + len, sizeof(found) - len, "%s:%s%s%s ", json_str(check, "code"),
                       json_str(check, "verdict"), problem ? ":" : "", problem ? problem : "");
    }
    assert_string_equal(found, expected);
    assert_string_equal(readiness_worst(checks), worst);
    json_free(checks);
}

static void assert_event(const struct event *event, const char *expected, const char *worst)
{
    struct json *checks = json_new_array();
    readiness_of_event(event, NOW, checks);
    assert_checks(checks, expected, worst);
}

static void an_event_that_is_ready(void **state)
{
    (void)state;
    assert_event(&sound, "published:good times:good time-zone:good ", "good");
    struct event event = sound;
    event.status = EVENT_OPEN; /* it has opened: opensAt is no news */
    event.opens_at_ms = 4000;
    assert_event(&event, "published:good times:good time-zone:good ", "good");
}

static void times_the_worst_first(void **state)
{
    (void)state;
    struct event event = sound;
    event.closes_at_ms = 9001;
    assert_event(&event, "published:good times:warn:closes-late time-zone:good ", "warn");
    event.starts_at_ms = 0;
    assert_event(&event, "published:good times:warn:no-start time-zone:good ", "warn");
    event.opens_at_ms = 0;
    assert_event(&event, "published:good times:warn:no-opening time-zone:good ", "warn");
    event = sound;
    event.closes_at_ms = 6000;
    assert_event(&event, "published:good times:bad:closes-early time-zone:good ", "bad");
    event.opens_at_ms = 9000;
    assert_event(&event, "published:good times:bad:opens-late time-zone:good ", "bad");
    event = sound;
    event.status = EVENT_DRAFT;
    event.time_zone[0] = '\0';
    event.opens_at_ms = NOW;
    assert_event(&event, "published:bad times:bad:overdue time-zone:warn ", "bad");
    event.closes_at_ms = NOW;
    assert_event(&event, "published:bad times:bad:closed time-zone:warn ", "bad");
    event.starts_at_ms = NOW;
    assert_event(&event, "published:bad times:bad:started time-zone:warn ", "bad");
}

static void assert_hall(const char *text, const char *expected, const char *worst)
{
    struct json *checks = json_new_array(), *hall = json_parse(text, strlen(text), 1000, NULL);
    assert_non_null(hall);
    readiness_of_hall(hall, checks);
    json_free(hall);
    assert_checks(checks, expected, worst);
}

static void halls(void **state)
{
    (void)state;
    assert_hall("{\"seats\":0,\"currencies\":[]}", "hall:warn ", "warn");
    assert_hall("{\"seats\":9,\"free\":9,\"currencies\":[\"EUR\"]}", "hall:good currency:good ",
                "good");
    assert_hall("{\"seats\":9,\"free\":9,\"unpriced\":1,\"currencies\":[\"EUR\"]}",
                "hall:warn currency:good ", "warn");
    assert_hall("{\"seats\":9,\"free\":0,\"unpriced\":1,\"currencies\":[\"EUR\",\"USD\"]}",
                "hall:bad currency:bad ", "bad");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_that_is_ready),
        cmocka_unit_test(times_the_worst_first),
        cmocka_unit_test(halls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
