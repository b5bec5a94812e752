/* SPDX-License-Identifier: MIT */
/*
 * replay: the replay finds every broken promise and no other. Also the percentiles, the counts in the report's
 * sentences, and the command line.
 */
#include "base/options.h"
#include "crowd/crowd_options.h"
#include "crowd/crowd_stats.h"
#include "queue/replay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SILENT_MS 120000
#define T0        1000000000 /* some time, ms */

static struct replay check;
static unsigned sentences;

static void count_sentence(void *arg, const char *kind, const char *example)
{
    (void)arg;
    assert_true(strlen(kind) > 0 && strlen(example) > 0);
    sentences++;
}

static int set_up(void **state)
{
    (void)state;
    sentences = 0;
    replay_init(&check, SILENT_MS, count_sentence, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    replay_clear(&check);
    return 0;
}

/* One entry of an honest log: numbers follow from what came before. */
static struct replay_entry honest(enum replay_kind kind, uint64_t place)
{
    const bool enters = replay_kind_enters(kind);
    return (struct replay_entry){.kind = kind,
                                 .place = place,
                                 .epoch = 1,
                                 .at_ms = T0 + (int64_t)check.entries * 100,
                                 .inside = check.inside + enters - replay_kind_departs(kind),
                                 .threshold = 3,
                                 .n = check.n + (enters ? 1 : 0)};
}

static void enters(enum replay_kind kind, uint64_t place, const struct replay_witness *witness)
{
    const struct replay_entry entry = honest(kind, place);
    replay_take(&check, &entry, "u:x", witness);
}

static void follows(enum replay_kind kind, uint64_t place, const struct replay_witness *witness)
{
    const struct replay_entry entry = honest(kind, place);
    replay_take(&check, &entry, "u:x", witness);
}

static void departs(uint64_t place)
{
    follows(REPLAY_LEFT, place, NULL);
}

static const struct replay_witness present = {.had_turn = false};

static void an_honest_log_breaks_no_promise(void **state)
{
    (void)state;
    for (uint64_t place = 1; place <= 3; place++)
        enters(REPLAY_DIRECT, place, &present);
    for (uint64_t place = 4; place <= 50; place++) {
        departs(place - 3);
        enters(REPLAY_OFFERED, place, &present);
    }
    assert_int_equal(check.over_admissions, 0);
    assert_int_equal(check.order_breaks, 0);
    assert_int_equal(check.admissions, 50);
    assert_int_equal(check.most_inside, 3);
    assert_int_equal(sentences, 0);
}

static void one_admission_too_many_is_found(void **state)
{
    (void)state;
    for (uint64_t place = 1; place <= 4; place++)
        enters(REPLAY_DIRECT, place, &present);
    assert_int_equal(check.over_admissions, 1);
    assert_int_equal(sentences, 1);
}

/* Two callers check first and add afterwards: both log the same number. */
static void a_number_that_was_logged_twice_is_found(void **state)
{
    (void)state;
    enters(REPLAY_DIRECT, 1, &present);
    struct replay_entry entry = honest(REPLAY_DIRECT, 2);
    entry.inside = 1;
    replay_take(&check, &entry, "u:y", &present);
    assert_int_equal(check.over_admissions, 1);
}

static void a_missing_admission_is_found(void **state)
{
    (void)state;
    enters(REPLAY_DIRECT, 1, &present);
    struct replay_entry entry = honest(REPLAY_DIRECT, 2);
    entry.n += 1;
    replay_take(&check, &entry, "u:y", &present);
    assert_int_equal(check.over_admissions, 1);
    enters(REPLAY_DIRECT, 3, &present); /* one mistake is counted once */
    assert_int_equal(check.over_admissions, 1);
}

static void a_lowered_threshold_forbids_only_admissions(void **state)
{
    (void)state;
    for (uint64_t place = 1; place <= 3; place++)
        enters(REPLAY_DIRECT, place, &present);
    struct replay_entry entry = honest(REPLAY_IDLE, 1);
    entry.threshold = 1;
    replay_take(&check, &entry, "u:x", NULL);
    assert_int_equal(check.over_admissions, 0);
    entry = honest(REPLAY_OFFERED, 4);
    entry.threshold = 1;
    replay_take(&check, &entry, "u:x", &present);
    assert_int_equal(check.over_admissions, 1);
}

static void a_log_with_earlier_entries_is_continued(void **state)
{
    (void)state;
    const struct replay_entry last = {.kind = REPLAY_DIRECT,
                                      .place = 500,
                                      .epoch = 4,
                                      .at_ms = T0,
                                      .inside = 2,
                                      .threshold = 3,
                                      .n = 70};
    replay_base(&check, &last);
    struct replay_entry entry = honest(REPLAY_OFFERED, 501);
    entry.epoch = 4;
    replay_take(&check, &entry, "u:x", &present);
    assert_int_equal(check.over_admissions + check.order_breaks, 0);
    assert_int_equal(check.inside, 3);
    assert_int_equal(check.n, 71);
}

static void overtaking_is_found(void **state)
{
    (void)state;
    enters(REPLAY_OFFERED, 10, &present);
    enters(REPLAY_OFFERED, 12, &present);
    departs(10);
    enters(REPLAY_OFFERED, 11, &present);
    assert_int_equal(check.order_breaks, 1);
    assert_int_equal(check.excused, 0);
}

/* A direct admission ahead of a waiting buyer. */
static void direct_admission_past_a_waiting_buyer_is_found(void **state)
{
    (void)state;
    enters(REPLAY_DIRECT, 20, &present);
    enters(REPLAY_OFFERED, 15, &present);
    assert_int_equal(check.order_breaks, 1);
}

static void a_buyer_overtaken_and_never_admitted_is_found(void **state)
{
    (void)state;
    enters(REPLAY_OFFERED, 10, &present);
    enters(REPLAY_OFFERED, 12, &present);
    assert_int_equal(replay_overtaken(&check, 11, 1, &present), REPLAY_OVERTAKEN);
    assert_int_equal(replay_overtaken(&check, 13, 1, &present), REPLAY_IN_ORDER);
    assert_int_equal(replay_overtaken(&check, 11, 2, &present), REPLAY_IN_ORDER);
}

static const struct replay_witness away = {.latest = {T0 - SILENT_MS - 5000, T0 + 60000}};

static void a_parked_buyer_may_be_overtaken(void **state)
{
    (void)state;
    follows(REPLAY_PARKED, 11, &away);
    enters(REPLAY_OFFERED, 12, &present);
    follows(REPLAY_RETURNED, 11, &away);
    enters(REPLAY_OFFERED, 11, &away);
    assert_int_equal(check.order_breaks, 0);
    assert_int_equal(check.excused, 1);
}

/* A break of order is told from a skip by the log: silence alone, without `parked`, is not one. */
static void an_absence_that_the_log_does_not_know_excuses_nothing(void **state)
{
    (void)state;
    enters(REPLAY_OFFERED, 12, &present);
    enters(REPLAY_OFFERED, 11, &away);
    assert_int_equal(check.order_breaks, 1);
}

/* Also for buyers of whom the crowd knows nothing. */
static void strangers_are_judged_by_the_log(void **state)
{
    (void)state;
    follows(REPLAY_PARKED, 11, NULL);
    enters(REPLAY_OFFERED, 12, NULL);
    follows(REPLAY_RETURNED, 11, NULL);
    enters(REPLAY_OFFERED, 11, NULL);
    departs(12);
    enters(REPLAY_OFFERED, 10, NULL);
    assert_int_equal(check.order_breaks, 1);
    assert_int_equal(check.excused, 1);
}

static void a_place_set_aside_after_it_was_overtaken_was_overtaken(void **state)
{
    (void)state;
    enters(REPLAY_OFFERED, 12, &present);
    follows(REPLAY_PARKED, 11, &away);
    follows(REPLAY_RETURNED, 11, &away);
    enters(REPLAY_OFFERED, 11, &away);
    assert_int_equal(check.order_breaks, 1);
}

/* Disconnected, but for less than the silence limit. */
static void a_short_absence_is_no_reason_to_park(void **state)
{
    (void)state;
    const struct replay_witness briefly = {.latest = {T0 - 10000, T0 + 5000}};
    follows(REPLAY_PARKED, 11, &briefly);
    assert_int_equal(check.order_breaks, 1);
}

static void an_absence_long_ago_is_no_reason_to_park(void **state)
{
    (void)state;
    const struct replay_witness before = {.longest = {T0 - 2 * SILENT_MS, T0 - 5000}};
    follows(REPLAY_PARKED, 11, &before);
    assert_int_equal(check.order_breaks, 1);
}

static void an_unclaimed_turn_is_a_skip_and_the_place_enters_again(void **state)
{
    (void)state;
    const struct replay_witness asleep = {.latest = {T0 - 5000, T0 + 60000}, .had_turn = true};
    enters(REPLAY_OFFERED, 10, &asleep);
    enters(REPLAY_OFFERED, 11, &present);
    follows(REPLAY_UNCLAIMED, 10, &asleep);
    enters(REPLAY_OFFERED, 12, &present);
    follows(REPLAY_RETURNED, 10, &asleep);
    departs(11);
    enters(REPLAY_OFFERED, 10, &asleep);
    follows(REPLAY_CLAIMED, 10, &asleep);
    assert_int_equal(check.over_admissions + check.order_breaks + check.unfair_unclaimed, 0);
    assert_int_equal(check.excused, 1);
    assert_int_equal(check.inside, 2);
    assert_int_equal(check.n, 4);
    assert_int_equal(sentences, 0);
}

static void a_first_idle_eviction_is_a_skip_too(void **state)
{
    (void)state;
    const struct replay_witness turned = {.had_turn = true};
    enters(REPLAY_DIRECT, 10, &present);
    follows(REPLAY_IDLE_KEPT, 10, &turned);
    enters(REPLAY_OFFERED, 11, &present);
    follows(REPLAY_RETURNED, 10, &turned);
    enters(REPLAY_OFFERED, 10, &turned);
    assert_int_equal(check.order_breaks, 0);
    assert_int_equal(check.inside, 2);
}

static void an_offer_that_ran_out_though_its_buyer_was_in_touch_is_found(void **state)
{
    (void)state;
    const struct replay_witness awake = {
        .longest = {T0 - 60000, T0 - 5000}, .offered_ms = T0, .had_turn = true};
    enters(REPLAY_OFFERED, 10, &present);
    follows(REPLAY_UNCLAIMED, 10, &awake);
    assert_int_equal(check.unfair_unclaimed, 1);
    assert_int_equal(sentences, 1);
}

/* Else pages that nobody looks at would be offered turns for ever. */
static void a_place_that_was_set_aside_enters_only_after_it_returned(void **state)
{
    (void)state;
    const struct replay_witness asleep = {.latest = {T0 - 5000, T0 + 60000}, .had_turn = true};
    enters(REPLAY_OFFERED, 10, &asleep);
    follows(REPLAY_UNCLAIMED, 10, &asleep);
    enters(REPLAY_OFFERED, 10, &asleep);
    assert_int_equal(check.order_breaks, 1);
}

static void nobody_enters_before_a_lower_place_that_returned(void **state)
{
    (void)state;
    follows(REPLAY_PARKED, 11, &away);
    follows(REPLAY_PARKED, 10, &away);
    follows(REPLAY_PARKED, 9, &away);
    follows(REPLAY_RETURNED, 11, &away);
    follows(REPLAY_RETURNED, 10, &away);
    follows(REPLAY_WITHDRAWN, 10, &away);
    follows(REPLAY_RETURNED, 9, &away);
    follows(REPLAY_PARKED, 9, &away);
    enters(REPLAY_OFFERED, 11, &away);
    assert_int_equal(check.order_breaks, 0);
    follows(REPLAY_RETURNED, 9, &away);
    enters(REPLAY_OFFERED, 12, &present);
    assert_int_equal(check.order_breaks, 1);
}

/* Its number is that of the admission, which is not the last one. */
static void a_later_entry_of_an_admission_names_its_number(void **state)
{
    (void)state;
    enters(REPLAY_OFFERED, 1, &present);
    enters(REPLAY_OFFERED, 2, &present);
    struct replay_entry entry = honest(REPLAY_CLAIMED, 1);
    entry.n = 1;
    replay_take(&check, &entry, "u:x", &present);
    entry = honest(REPLAY_LEFT, 1);
    entry.n = 1;
    replay_take(&check, &entry, "u:x", &present);
    enters(REPLAY_OFFERED, 3, &present);
    assert_int_equal(check.over_admissions, 0);
    entry = honest(REPLAY_LEFT, 2);
    entry.n = 9;
    replay_take(&check, &entry, "u:x", &present);
    assert_int_equal(check.over_admissions, 1);
}

static void a_log_that_ends_with_a_departure_is_continued(void **state)
{
    (void)state;
    const struct replay_entry last = {.kind = REPLAY_LEFT,
                                      .place = 500,
                                      .epoch = 1,
                                      .at_ms = T0,
                                      .inside = 2,
                                      .threshold = 3,
                                      .n = 70};
    replay_base(&check, &last);
    struct replay_entry entry = honest(REPLAY_OFFERED, 501);
    entry.n = 90;
    replay_take(&check, &entry, "u:x", &present);
    assert_int_equal(check.over_admissions, 0);
    entry = honest(REPLAY_OFFERED, 502);
    entry.n = 92;
    replay_take(&check, &entry, "u:x", &present);
    assert_int_equal(check.over_admissions, 1);
}

static void after_a_loss_any_absence_excuses(void **state)
{
    (void)state;
    enters(REPLAY_DIRECT, 1, &present);
    replay_loss(&check, T0);
    struct replay_entry entry = {.kind = REPLAY_OFFERED,
                                 .place = 12,
                                 .epoch = 1,
                                 .at_ms = T0 + 30000,
                                 .inside = 1,
                                 .threshold = 3,
                                 .n = 1};
    replay_take(&check, &entry, "u:x", &present);
    assert_int_equal(check.over_admissions, 0);
    const struct replay_witness a_while = {.latest = {T0 - 500, T0 + 40000}};
    enters(REPLAY_OFFERED, 11, &a_while);
    assert_int_equal(check.order_breaks, 0);
    enters(REPLAY_OFFERED, 10, &present); /* connected all the time */
    assert_int_equal(check.order_breaks, 1);
}

static void restored_buyers_are_counted_but_have_no_order(void **state)
{
    (void)state;
    enters(REPLAY_RESTORED, 50, &present);
    enters(REPLAY_RESTORED, 40, &present);
    enters(REPLAY_OFFERED, 45, &present);
    assert_int_equal(check.order_breaks, 0);
    enters(REPLAY_RESTORED, 30, &present);
    assert_int_equal(check.over_admissions, 1);
}

/* Redis lost the end of its log with this admission: it is made again. */
static void a_second_turn_of_the_same_place_has_no_order(void **state)
{
    (void)state;
    const struct replay_witness again = {.had_turn = true};
    enters(REPLAY_OFFERED, 50, &present);
    enters(REPLAY_OFFERED, 49, &again);
    assert_int_equal(check.order_breaks, 0);
    enters(REPLAY_OFFERED, 48, &present);
    assert_int_equal(check.order_breaks, 1);
}

static void a_new_epoch_starts_a_new_order(void **state)
{
    (void)state;
    enters(REPLAY_OFFERED, 50, &present);
    struct replay_entry entry = {.kind = REPLAY_CLEARED, .epoch = 2, .at_ms = T0 + 500, .n = 1};
    replay_take(&check, &entry, "", NULL);
    entry = honest(REPLAY_OFFERED, 40);
    entry.epoch = 2;
    replay_take(&check, &entry, "u:x", &present);
    assert_int_equal(check.over_admissions + check.order_breaks, 0);
    assert_int_equal(check.inside, 1);
}

static void kinds_of_log_entries_are_parsed(void **state)
{
    (void)state;
    enum replay_kind kind = REPLAY_CLEARED;
    assert_int_equal(replay_kind_parse("offered", &kind), ST_OK);
    assert_int_equal(kind, REPLAY_OFFERED);
    assert_int_equal(replay_kind_parse("offer", &kind), ST_INVALID);
    assert_true(replay_kind_enters(REPLAY_RESTORED));
    assert_false(replay_kind_enters(REPLAY_COMPLETED));
    assert_int_equal(replay_kind_parse("idle_kept", &kind), ST_OK);
    assert_true(replay_kind_departs(kind) && replay_kind_keeps(kind));
    assert_true(replay_kind_departs(REPLAY_IDLE) && !replay_kind_keeps(REPLAY_IDLE));
    assert_false(replay_kind_departs(REPLAY_WITHDRAWN));
}

static void a_rising_position_is_found(void **state)
{
    (void)state;
    uint64_t lowest = 0;
    assert_true(replay_position(&lowest, 40));
    assert_true(replay_position(&lowest, 40));
    assert_true(replay_position(&lowest, 7));
    assert_false(replay_position(&lowest, 8));
    assert_int_equal(lowest, 7);
}

static void percentiles_are_exact(void **state)
{
    (void)state;
    struct crowd_samples samples = {0};
    assert_int_equal(crowd_samples_percentile(&samples, 99), 0);
    assert_true(crowd_samples_mean(&samples) == 0.0);
    for (uint64_t i = 1000; i >= 1; i--)
        crowd_samples_add(&samples, i);
    assert_int_equal(crowd_samples_percentile(&samples, 50), 500);
    assert_int_equal(crowd_samples_percentile(&samples, 95), 950);
    assert_int_equal(crowd_samples_percentile(&samples, 99), 990);
    assert_int_equal(crowd_samples_percentile(&samples, 100), 1000);
    assert_int_equal(crowd_samples_percentile(&samples, 0), 1);
    assert_true(crowd_samples_mean(&samples) == 500.5);
    crowd_samples_add(&samples, UINT64_MAX); /* cut, not wrapped */
    assert_int_equal(crowd_samples_percentile(&samples, 100), UINT32_MAX);
    crowd_samples_clear(&samples);
}

static void one_sample_is_every_percentile(void **state)
{
    (void)state;
    struct crowd_samples samples = {0};
    crowd_samples_add(&samples, 7);
    assert_int_equal(crowd_samples_percentile(&samples, 1), 7);
    assert_int_equal(crowd_samples_percentile(&samples, 99), 7);
    crowd_samples_clear(&samples);
}

static void notes_are_counted_by_kind(void **state)
{
    (void)state;
    struct crowd_notes notes = {0};
    for (int i = 0; i < 100; i++) {
        char kind[16];
        (void)snprintf(kind, sizeof(kind), "kind %d", i % 25);
        crowd_notes_add(&notes, kind, "number %d", i);
    }
    assert_int_equal(notes.count, CROWD_NOTES_MAX);
    assert_string_equal(notes.list[3].kind, "kind 3");
    assert_string_equal(notes.list[3].example, "number 3");
    assert_int_equal(notes.list[3].times, 4);
    assert_int_equal(notes.others, 20);
}

static enum status parse(struct crowd_options *options, struct options_error *error, int argc,
                         const char *const *args)
{
    char *argv[16];
    for (int i = 0; i < argc; i++)
        argv[i] = (char *)args[i];
    *options = (struct crowd_options){0};
    const enum status st = options_parse(crowd_option_rows, argc, argv, options, error);
    return st == ST_OK ? crowd_options_check(options, error) : st;
}

static void options_have_defaults(void **state)
{
    (void)state;
    struct crowd_options options;
    struct options_error error = {""};
    const char *const args[] = {
        "--users", "10",        "--event=demo", "--provider=http://127.0.0.1:1",
        "--think", "1s..250ms", "--strict"};
    assert_int_equal(parse(&options, &error, 4, args), ST_OK);
    assert_int_equal(options.users, 10);
    assert_string_equal(options.event, "demo");
    assert_int_equal(options.arrive_ms, 5000);
    assert_true(options.buy == 0.8);
    assert_int_equal(options.think_min_ms, 200);
    assert_int_equal(options.think_max_ms, 2000);
    assert_int_equal(options.max_time_ms, 15 * 60 * 1000);
    assert_int_equal(parse(&options, &error, 7, args), ST_INVALID);
    assert_non_null(strstr(error.text, "--think"));
}

static void wrong_options_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *args[4];
        int count;
        const char *named;
    } cases[] = {
        {{"--event", "demo"}, 2, "--users"},
        {{"--users", "5"}, 2, "--event"},
        {{"--users", "1000001", "--event", "x"}, 4, "--users"},
        {{"--users", "-1", "--event", "x"}, 4, "--users"},
        {{"--users", "5", "--event", "a b"}, 4, "--event"},
        {{"--event", "x", "--users=5", "--buy=1.5"}, 4, "--buy"},
        {{"--event", "x", "--users=5", "--abandon=0.5"}, 4, "--abandon"},
        {{"--event", "x", "--users=5", "--wrong"}, 4, "--wrong"},
        {{"--event", "x", "--users=5", "--json"}, 4, "--json"},
        {{"--event", "x", "--users=5", "--strict=1"}, 4, "--strict"},
        {{"--event", "x", "--users=5"}, 3, "--provider"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct crowd_options options;
        struct options_error error = {""};
        assert_int_equal(parse(&options, &error, cases[i].count, cases[i].args), ST_INVALID);
        assert_non_null(strstr(error.text, cases[i].named));
    }
}

#define CHECK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHECK(an_honest_log_breaks_no_promise),
        CHECK(one_admission_too_many_is_found),
        CHECK(a_number_that_was_logged_twice_is_found),
        CHECK(a_missing_admission_is_found),
        CHECK(a_lowered_threshold_forbids_only_admissions),
        CHECK(a_log_with_earlier_entries_is_continued),
        CHECK(overtaking_is_found),
        CHECK(direct_admission_past_a_waiting_buyer_is_found),
        CHECK(a_buyer_overtaken_and_never_admitted_is_found),
        CHECK(a_parked_buyer_may_be_overtaken),
        CHECK(an_absence_that_the_log_does_not_know_excuses_nothing),
        CHECK(strangers_are_judged_by_the_log),
        CHECK(a_place_set_aside_after_it_was_overtaken_was_overtaken),
        CHECK(a_short_absence_is_no_reason_to_park),
        CHECK(an_absence_long_ago_is_no_reason_to_park),
        CHECK(an_unclaimed_turn_is_a_skip_and_the_place_enters_again),
        CHECK(a_first_idle_eviction_is_a_skip_too),
        CHECK(an_offer_that_ran_out_though_its_buyer_was_in_touch_is_found),
        CHECK(a_place_that_was_set_aside_enters_only_after_it_returned),
        CHECK(nobody_enters_before_a_lower_place_that_returned),
        CHECK(a_later_entry_of_an_admission_names_its_number),
        CHECK(a_log_that_ends_with_a_departure_is_continued),
        CHECK(after_a_loss_any_absence_excuses),
        CHECK(restored_buyers_are_counted_but_have_no_order),
        CHECK(a_second_turn_of_the_same_place_has_no_order),
        CHECK(a_new_epoch_starts_a_new_order),
        CHECK(kinds_of_log_entries_are_parsed),
        CHECK(a_rising_position_is_found),
        cmocka_unit_test(percentiles_are_exact),
        cmocka_unit_test(one_sample_is_every_percentile),
        cmocka_unit_test(notes_are_counted_by_kind),
        cmocka_unit_test(options_have_defaults),
        cmocka_unit_test(wrong_options_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
