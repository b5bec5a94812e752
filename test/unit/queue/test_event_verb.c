/* SPDX-License-Identifier: MIT */
/* The verbs between the states of an event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "queue/event_verb.h"

#define NOW 5000

static struct event in_state(enum event_status status)
{
    struct event event = {.status = status, .price_from = -1};
    if (status != EVENT_DRAFT && status != EVENT_SCHEDULED)
        event.opens_at_ms = 1000;
    return event;
}

static void verbs_have_names(void **state)
{
    (void)state;
    enum event_verb verb;
    for (int i = 0; i < EVENT_VERBS; i++) {
        assert_int_equal(event_verb_parse(event_verb_name((enum event_verb)i), &verb), ST_OK);
        assert_int_equal(verb, i);
    }
    assert_string_equal(event_verb_name(EVENT_VERB_PUBLISH), "publish");
    assert_int_equal(event_verb_parse("delete", &verb), ST_INVALID);
}

static void verbs_lead_where_they_may(void **state)
{
    (void)state;
    enum { NO = -1, SCHEDULED = EVENT_SCHEDULED, OPEN, PAUSED, SOLD, CLOSED };
    static const int next[6][EVENT_VERBS] = {
        /*                  publish    open   pause   resume close   reopen */
        [EVENT_DRAFT] = {SCHEDULED, OPEN, NO, NO, NO, NO},
        [EVENT_SCHEDULED] = {NO, OPEN, PAUSED, NO, CLOSED, NO},
        [EVENT_OPEN] = {NO, NO, PAUSED, NO, CLOSED, NO},
        [EVENT_PAUSED] = {NO, NO, NO, OPEN, CLOSED, NO},
        [EVENT_SOLD_OUT] = {NO, NO, PAUSED, NO, CLOSED, NO},
        [EVENT_CLOSED] = {NO, NO, NO, NO, NO, OPEN},
    };
    for (int from = EVENT_DRAFT; from <= EVENT_CLOSED; from++) {
        for (int verb = 0; verb < EVENT_VERBS; verb++) {
            struct json_error error = {0};
            struct event event = in_state((enum event_status)from), before = event;
            const enum status st = event_apply(&event, (enum event_verb)verb, NOW, &error);
            assert_int_equal(st, next[from][verb] == NO ? ST_CONFLICT : ST_OK);
            if (st == ST_OK) {
                assert_int_equal(event.status, next[from][verb]);
            } else {
                assert_string_equal(error.field, "status");
                assert_memory_equal(&event, &before, sizeof(event));
            }
        }
    }
}

static void a_refusal_says_what_is_possible(void **state)
{
    (void)state;
    struct json_error error;
    struct event draft = in_state(EVENT_DRAFT), closed = in_state(EVENT_CLOSED);
    assert_int_equal(event_apply(&draft, EVENT_VERB_CLOSE, NOW, &error), ST_CONFLICT);
    assert_string_equal(error.detail, "The event is a draft, so it cannot be closed: publish or "
                                      "open it, or remove it with DELETE.");
    assert_int_equal(event_apply(&closed, EVENT_VERB_RESUME, NOW, &error), ST_CONFLICT);
    assert_non_null(strstr(error.detail, "reopen"));
}

static void publish_follows_the_times_and_open_sets_them(void **state)
{
    (void)state;
    struct json_error error;
    struct event event = {.price_from = -1, .status = EVENT_DRAFT, .opens_at_ms = NOW + 1};
    assert_int_equal(event_apply(&event, EVENT_VERB_PUBLISH, NOW, &error), ST_OK);
    assert_int_equal(event.status, EVENT_SCHEDULED);
    assert_int_equal(event.opens_at_ms, NOW + 1);
    assert_int_equal(event_apply(&event, EVENT_VERB_OPEN, NOW, &error), ST_OK);
    assert_int_equal(event.status, EVENT_OPEN);
    assert_int_equal(event.opens_at_ms, NOW);

    event = (struct event){.price_from = -1, .status = EVENT_DRAFT, .opens_at_ms = NOW};
    assert_int_equal(event_apply(&event, EVENT_VERB_PUBLISH, NOW, &error), ST_OK);
    assert_int_equal(event.status, EVENT_OPEN);
    event = (struct event){.price_from = -1, .status = EVENT_DRAFT, .opens_at_ms = NOW - 1};
    assert_int_equal(event_apply(&event, EVENT_VERB_OPEN, NOW, &error), ST_OK);
    assert_int_equal(event.opens_at_ms, NOW - 1); /* it should have opened then */
}

static void a_verb_meets_the_status_in_force(void **state)
{
    (void)state;
    struct json_error error;
    /* PostgreSQL does not know yet that it has opened, or closed. */
    struct event event = {.price_from = -1, .status = EVENT_SCHEDULED, .opens_at_ms = NOW - 1};
    assert_int_equal(event_status_at(&event, NOW), EVENT_OPEN);
    assert_int_equal(event_apply(&event, EVENT_VERB_OPEN, NOW, &error), ST_CONFLICT);
    assert_int_equal(event_apply(&event, EVENT_VERB_PAUSE, NOW, &error), ST_OK);
    event = (struct event){
        .price_from = -1, .status = EVENT_OPEN, .opens_at_ms = 1, .closes_at_ms = NOW};
    assert_int_equal(event_status_at(&event, NOW - 1), EVENT_OPEN);
    assert_int_equal(event_status_at(&event, NOW), EVENT_CLOSED);
    assert_int_equal(event_apply(&event, EVENT_VERB_CLOSE, NOW, &error), ST_CONFLICT);
    assert_int_equal(event_apply(&event, EVENT_VERB_PAUSE, NOW, &error), ST_CONFLICT);
}

static void closes_at_of_a_draft_must_not_have_passed(void **state)
{
    (void)state;
    struct json_error error;
    struct event event = {.price_from = -1, .status = EVENT_DRAFT, .closes_at_ms = NOW};
    for (int verb = EVENT_VERB_PUBLISH; verb <= EVENT_VERB_OPEN; verb++) {
        assert_int_equal(event_apply(&event, (enum event_verb)verb, NOW, &error), ST_CONFLICT);
        assert_string_equal(error.field, "closesAt");
    }
    assert_int_equal(event_apply(&event, EVENT_VERB_PUBLISH, NOW - 1, &error), ST_OK);
}

static void resume_and_reopen_lead_back(void **state)
{
    (void)state;
    struct json_error error;
    /* Paused before its opening. */
    struct event event = {.price_from = -1, .status = EVENT_PAUSED, .opens_at_ms = NOW + 1};
    assert_int_equal(event_apply(&event, EVENT_VERB_RESUME, NOW, &error), ST_OK);
    assert_int_equal(event.status, EVENT_SCHEDULED);
    event = (struct event){.price_from = -1, .status = EVENT_CLOSED, .opens_at_ms = NOW + 1};
    assert_int_equal(event_apply(&event, EVENT_VERB_REOPEN, NOW, &error), ST_OK);
    assert_int_equal(event.status, EVENT_SCHEDULED);
    /* Paused when it was closed. */
    event = (struct event){
        .price_from = -1, .status = EVENT_CLOSED, .opens_at_ms = 1, .closed_paused = true};
    assert_int_equal(event_apply(&event, EVENT_VERB_REOPEN, NOW, &error), ST_OK);
    assert_int_equal(event.status, EVENT_PAUSED);
    event = (struct event){
        .price_from = -1, .status = EVENT_PAUSED, .opens_at_ms = 1, .closes_at_ms = NOW};
    assert_int_equal(event_apply(&event, EVENT_VERB_REOPEN, NOW, &error), ST_OK);
    assert_int_equal(event.status, EVENT_PAUSED);
    /* Closed by its time, which would close it again; a later closesAt stays. */
    assert_int_equal(event.closes_at_ms, 0);
    event = (struct event){
        .price_from = -1, .status = EVENT_CLOSED, .opens_at_ms = 1, .closes_at_ms = NOW + 1};
    assert_int_equal(event_apply(&event, EVENT_VERB_REOPEN, NOW, &error), ST_OK);
    assert_int_equal(event.closes_at_ms, NOW + 1);
    assert_int_equal(event.status, EVENT_OPEN);
}

static void nothing_opens_without_a_seat_to_sell(void **state)
{
    (void)state;
    struct json_error error;
    struct event event = {.status = EVENT_DRAFT, .price_from = 5000, .seats = 10};
    assert_int_equal(event_apply(&event, EVENT_VERB_OPEN, NOW, &error), ST_CONFLICT);
    assert_string_equal(error.field, "seats");
    event.opens_at_ms = NOW;
    assert_int_equal(event_apply(&event, EVENT_VERB_PUBLISH, NOW, &error), ST_CONFLICT);
    event.opens_at_ms = NOW + 1; /* there is time to add some */
    assert_int_equal(event_apply(&event, EVENT_VERB_PUBLISH, NOW, &error), ST_OK);
    assert_int_equal(event_apply(&event, EVENT_VERB_OPEN, NOW, &error), ST_CONFLICT);
    event.free_seats = 1;
    assert_int_equal(event_apply(&event, EVENT_VERB_OPEN, NOW, &error), ST_OK);
}

static void impossible_changes_are_refused(void **state)
{
    (void)state;
    struct json_error error;
    const struct event before = {
        .status = EVENT_SCHEDULED, .opens_at_ms = 8000, .starts_at_ms = 9000};
    const struct {
        struct event after;
        enum status expected;
        const char *field;
    } cases[] = {
        {before, ST_OK, ""},
        {{.opens_at_ms = 8000, .starts_at_ms = 9000, .closes_at_ms = NOW}, ST_INVALID, "closesAt"},
        {{.opens_at_ms = 8000, .starts_at_ms = 9000, .closes_at_ms = NOW + 1}, ST_OK, ""},
        {{.opens_at_ms = 9000, .starts_at_ms = 9000}, ST_INVALID, "opensAt"},
        {{.opens_at_ms = 8000, .starts_at_ms = 7000}, ST_INVALID, "startsAt"},
        {{.opens_at_ms = 8000}, ST_OK, ""},
        {{.opens_at_ms = 8000, .starts_at_ms = 9000, .rehearsal = true}, ST_CONFLICT, "rehearsal"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        error.field[0] = '\0';
        assert_int_equal(event_check_change(&before, &cases[i].after, NOW, &error),
                         cases[i].expected);
        assert_string_equal(error.field, cases[i].field);
    }
    /* What was legal once is not looked at again. */
    const struct event old = {
        .status = EVENT_CLOSED, .opens_at_ms = 3, .starts_at_ms = 2, .closes_at_ms = 4};
    assert_int_equal(event_check_change(&old, &old, NOW, &error), ST_OK);
}

static void the_opening_of_an_open_event_stays(void **state)
{
    (void)state;
    struct json_error error;
    static const struct {
        enum event_status status;
        enum status expected;
    } cases[] = {{EVENT_DRAFT, ST_OK},      {EVENT_SCHEDULED, ST_CONFLICT},
                 {EVENT_OPEN, ST_CONFLICT}, {EVENT_SOLD_OUT, ST_CONFLICT},
                 {EVENT_PAUSED, ST_OK},     {EVENT_CLOSED, ST_OK}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* Scheduled, too, it is open: opensAt has passed. */
        const struct event before = {.status = cases[i].status, .opens_at_ms = NOW - 1};
        const struct event after = {.status = cases[i].status, .opens_at_ms = NOW + 5};
        assert_int_equal(event_check_change(&before, &after, NOW, &error), cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verbs_have_names),
        cmocka_unit_test(verbs_lead_where_they_may),
        cmocka_unit_test(a_refusal_says_what_is_possible),
        cmocka_unit_test(publish_follows_the_times_and_open_sets_them),
        cmocka_unit_test(a_verb_meets_the_status_in_force),
        cmocka_unit_test(closes_at_of_a_draft_must_not_have_passed),
        cmocka_unit_test(resume_and_reopen_lead_back),
        cmocka_unit_test(nothing_opens_without_a_seat_to_sell),
        cmocka_unit_test(impossible_changes_are_refused),
        cmocka_unit_test(the_opening_of_an_open_event_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
