/* SPDX-License-Identifier: MIT */
/* What is legal about an event, but probably not meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "queue/event_warning.h"

#define NOW 5000

static const struct event sound = {.status = EVENT_OPEN,
                                   .opens_at_ms = 1000,
                                   .threshold = 100,
                                   .session_limit_ms = 600000,
                                   .hold_ms = 300000,
                                   .seats = 10,
                                   .free_seats = 10,
                                   .price_from = 5000};

/* The codes of its warnings, each with a blank behind it. */
static void assert_warnings(const struct event *event, const char *codes)
{
    char found[256] = "";
    struct json *body = json_new_object();
    event_write_warnings(event, NOW, body);
    const struct json *list = json_get(body, "warnings");
    assert_true(json_is_array(list));
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json *item = json_array_at(list, i);
        const size_t len = strlen(found);
        (void)snprintf(found + len, sizeof(found) - len, "%s ", json_str(item, "code"));
        assert_non_null(json_str(item, "field"));
        assert_true(strlen(json_str(item, "message")) > 20);
    }
    assert_string_equal(found, codes);
    json_free(body);
}

static void a_sound_event_has_none(void **state)
{
    (void)state;
    assert_warnings(&sound, "");
}

static void drafts_and_openings(void **state)
{
    struct event event = sound;
    (void)state;
    event.status = EVENT_DRAFT;
    assert_warnings(&event, "overdue ");
    event.opens_at_ms = NOW + 1;
    assert_warnings(&event, "unpublished ");
    event.opens_at_ms = 0;
    assert_warnings(&event, "");
    event.status = EVENT_SCHEDULED;
    assert_warnings(&event, "no-opening ");
    event.opens_at_ms = NOW + 1;
    event.free_seats = 0;
    assert_warnings(&event, "nothing-to-sell ");
    event.free_seats = -1; /* not counted */
    event.starts_at_ms = NOW;
    assert_warnings(&event, "started ");
}

static void settings(void **state)
{
    struct event event = sound;
    (void)state;
    event.threshold = 0;
    assert_warnings(&event, "nobody-enters ");
    event = sound;
    event.session_limit_ms = 600;
    assert_warnings(&event, "short-session hold-outlives-session ");
    event = sound;
    event.seats = event.free_seats = 0;
    event.price_from = -1;
    assert_warnings(&event, "no-seats ");
    event = sound;
    event.surge_count = 2;
    event.surge[0] = (struct surge_rule){.queue_above = 5, .threshold = 100};
    event.surge[1] = (struct surge_rule){.queue_above = 9, .threshold = 50};
    assert_warnings(&event, "surge-without-effect ");
    event.status = EVENT_CLOSED; /* it is over: nothing can go wrong any more */
    assert_warnings(&event, "");
}

/* The codes of its alerts, each with a blank behind it; a warning that was there stays behind them. */
static void assert_alerts(const struct event_facts *facts, const char *codes)
{
    char found[256] = "", expected[256];
    struct json *body = json_new_object();
    struct event event = sound;
    event.threshold = 0;
    event_write_warnings(&event, NOW, body);
    event_write_alerts(facts, body);
    const struct json *list = json_get(body, "warnings");
    for (size_t i = 0; i < json_array_len(list); i++) {
        const size_t len = strlen(found);
        (void)snprintf(found + len, sizeof(found) - len, "%s ",
                       json_str(json_array_at(list, i), "code"));
    }
    (void)snprintf(expected, sizeof(expected), "%snobody-enters ", codes);
    assert_string_equal(found, expected);
    json_free(body);
}

static const struct event_facts calm = {.status = EVENT_OPEN,
                                        .has_index = true,
                                        .has_begun = true,
                                        .still = true,
                                        .waiting = 5,
                                        .inside = 100,
                                        .threshold = 100,
                                        .limited_by = LIMITED_BY_THRESHOLD,
                                        .seats = 100,
                                        .free_seats = 6};

static void a_calm_sale_has_no_alert(void **state)
{
    (void)state;
    assert_alerts(&calm, "");
    struct event_facts facts = calm;
    facts.free_seats = -1; /* not known */
    assert_alerts(&facts, "");
    facts.seats = facts.free_seats = 0; /* it has none, or none is left: that is no news */
    assert_alerts(&facts, "");
}

static void nobody_is_let_in(void **state)
{
    (void)state;
    struct event_facts facts = calm;
    facts.inside = 99;
    assert_alerts(&facts, "nobody-let-in ");
    facts.limited_by = LIMITED_BY_BACKEND;
    assert_alerts(&facts, "nobody-let-in ");
    for (enum admission_limited_by by = LIMITED_BY_OUTFLOW; by < LIMITED_BY_BACKEND; by++) {
        facts.limited_by = by;
        assert_alerts(&facts, "");
    }
    facts.limited_by = LIMITED_BY_THRESHOLD;
    facts.still = false;
    assert_alerts(&facts, "");
    facts.still = true;
    facts.waiting = 0;
    assert_alerts(&facts, "");
    facts.waiting = 5;
    facts.status = EVENT_PAUSED;
    assert_alerts(&facts, "");
}

static void no_processor_works(void **state)
{
    (void)state;
    struct event_facts facts = {.status = EVENT_OPEN, .limited_by = LIMITED_BY_BACKEND};
    assert_alerts(&facts, ""); /* it was opened just now */
    facts.has_begun = true;
    assert_alerts(&facts, "no-processor ");
    facts.status = EVENT_CLOSED;
    assert_alerts(&facts, "");
}

static void what_has_to_be_seen_to(void **state)
{
    (void)state;
    struct event_facts facts = calm;
    facts.free_seats = 5;
    assert_alerts(&facts, "near-sold-out ");
    facts.refunds_due = facts.mail_parked = 1;
    assert_alerts(&facts, "refunds-due mail-parked near-sold-out ");
    facts.restoring = true;
    facts.inside = 0;
    assert_alerts(&facts, "restoring refunds-due mail-parked near-sold-out ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_event_has_none),
        cmocka_unit_test(drafts_and_openings),
        cmocka_unit_test(settings),
        cmocka_unit_test(a_calm_sale_has_no_alert),
        cmocka_unit_test(nobody_is_let_in),
        cmocka_unit_test(no_processor_works),
        cmocka_unit_test(what_has_to_be_seen_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
