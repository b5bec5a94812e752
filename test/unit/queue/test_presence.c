/* SPDX-License-Identifier: MIT */
/* presence: what was heard is found again, ages, and never grows without bound. */
#include "queue/presence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static bool heard(struct presence *presence, const char *event, const char *buyer, uint64_t max_age,
                  uint64_t now, enum queue_state expected)
{
    enum queue_state state = QUEUE_CLOSED;
    bool due;
    return presence_get(presence, event, buyer, max_age, now, &state, &due) && state == expected;
}

static void test_finds_what_was_put(void **state)
{
    (void)state;
    struct presence *presence = presence_new();
    presence_put(presence, "e", "u:1", QUEUE_WAITING, 1000);
    presence_put(presence, "e", "u:2", QUEUE_ACTIVE, 1000);
    presence_put(presence, "f", "u:1", QUEUE_PARKED, 1000);
    assert_true(heard(presence, "e", "u:1", 5000, 1500, QUEUE_WAITING));
    assert_true(heard(presence, "e", "u:2", 5000, 1500, QUEUE_ACTIVE));
    assert_true(heard(presence, "f", "u:1", 5000, 1500, QUEUE_PARKED));
    presence_put(presence, "e", "u:1", QUEUE_GONE, 2000);
    assert_true(heard(presence, "e", "u:1", 5000, 2500, QUEUE_GONE));
    presence_free(presence);
}

static void test_unknown_leaves_the_result_alone(void **state)
{
    (void)state;
    struct presence *presence = presence_new();
    enum queue_state found = QUEUE_CLOSED;
    bool due;
    assert_false(presence_get(presence, "e", "u:1", 5000, 0, &found, &due));
    presence_put(presence, "ab", "c", QUEUE_WAITING, 0);
    assert_false(presence_get(presence, "a", "bc", 5000, 0, &found, &due));
    assert_int_equal(found, QUEUE_CLOSED);
    presence_free(presence);
}

static void test_a_sign_of_life_is_due_once_a_second(void **state)
{
    (void)state;
    struct presence *presence = presence_new();
    enum queue_state found;
    bool due = false;
    presence_put(presence, "e", "u:1", QUEUE_WAITING, 5000);
    assert_true(presence_get(presence, "e", "u:1", 60000, 5000, &found, &due));
    assert_true(due);
    assert_true(presence_get(presence, "e", "u:1", 60000, 5999, &found, &due));
    assert_false(due);
    assert_true(presence_get(presence, "e", "u:1", 60000, 6000, &found, &due));
    assert_true(due);
    presence_free(presence);
}

static void test_age_decides(void **state)
{
    (void)state;
    struct presence *presence = presence_new();
    presence_put(presence, "e", "u:1", QUEUE_WAITING, 1000);
    assert_true(heard(presence, "e", "u:1", 500, 1500, QUEUE_WAITING));
    assert_false(heard(presence, "e", "u:1", 500, 1501, QUEUE_WAITING));
    presence_free(presence);
}

static void test_drop(void **state)
{
    (void)state;
    struct presence *presence = presence_new();
    presence_put(presence, "e", "u:1", QUEUE_WAITING, 1000);
    presence_drop(presence, "e", "u:1");
    presence_drop(presence, "e", "u:1");
    assert_false(heard(presence, "e", "u:1", 5000, 1000, QUEUE_WAITING));
    presence_free(presence);
}

/* Twice as many as there is room for: memory does not grow, and who is forgotten is somebody not heard of
 * for long, hardly ever one of the last. */
static void test_who_was_heard_of_longest_ago_makes_room(void **state)
{
    (void)state;
    struct presence *presence = presence_new();
    char buyer[32];
    unsigned known = 0, asked = 0;
    for (unsigned i = 0; i < 2 * PRESENCE_MAX; i++) {
        snprintf(buyer, sizeof(buyer), "u:%u", i);
        presence_put(presence, "e", buyer, QUEUE_WAITING, 1000 + i / 1000);
    }
    for (unsigned i = 2 * PRESENCE_MAX - PRESENCE_MAX / 4; i < 2 * PRESENCE_MAX; i += 97, asked++) {
        snprintf(buyer, sizeof(buyer), "u:%u", i);
        known += heard(presence, "e", buyer, UINT32_MAX, 4000, QUEUE_WAITING);
    }
    assert_in_range(known, asked / 1000 * 999, asked);
    presence_free(presence);
}

/* A crowd of the size a pod is built for: polls of all of them are answered without Redis. */
static void test_a_hundred_thousand_are_all_known(void **state)
{
    (void)state;
    struct presence *presence = presence_new();
    char buyer[32];
    unsigned unknown = 0;
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(buyer, sizeof(buyer), "u:%u", i);
        presence_put(presence, "e", buyer, i % 2 ? QUEUE_WAITING : QUEUE_ACTIVE, 1000);
    }
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(buyer, sizeof(buyer), "u:%u", i);
        unknown += !heard(presence, "e", buyer, 60000, 3000, i % 2 ? QUEUE_WAITING : QUEUE_ACTIVE);
    }
    assert_in_range(unknown, 0, 1); /* the seed is another one each time */
    presence_free(presence);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_was_put),
        cmocka_unit_test(test_unknown_leaves_the_result_alone),
        cmocka_unit_test(test_a_sign_of_life_is_due_once_a_second),
        cmocka_unit_test(test_age_decides),
        cmocka_unit_test(test_drop),
        cmocka_unit_test(test_who_was_heard_of_longest_ago_makes_room),
        cmocka_unit_test(test_a_hundred_thousand_are_all_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
