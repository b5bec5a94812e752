/* SPDX-License-Identifier: MIT */
/* presence: a state that was noted is found again, ages, and memory is bounded. */
#include "queue/presence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static bool has(struct presence *presence, const char *event, const char *buyer, uint64_t max_age,
                uint64_t now, enum queue_state expected)
{
    struct presence_state state = {QUEUE_CLOSED, false};
    return presence_get(presence, event, buyer, max_age, now, &state) && state.state == expected;
}

static void test_finds_what_was_put(void **state)
{
    (void)state;
    struct presence *presence = presence_new();
    presence_put(presence, "e", "u:1", QUEUE_WAITING, 1000);
    presence_put(presence, "e", "u:2", QUEUE_ACTIVE, 1000);
    presence_put(presence, "f", "u:1", QUEUE_PARKED, 1000);
    assert_true(has(presence, "e", "u:1", 5000, 1500, QUEUE_WAITING));
    assert_true(has(presence, "e", "u:2", 5000, 1500, QUEUE_ACTIVE));
    assert_true(has(presence, "f", "u:1", 5000, 1500, QUEUE_PARKED));
    presence_put(presence, "e", "u:1", QUEUE_GONE, 2000);
    assert_true(has(presence, "e", "u:1", 5000, 2500, QUEUE_GONE));
    presence_free(presence);
}

static void test_unknown_leaves_the_result_alone(void **state)
{
    (void)state;
    struct presence *presence = presence_new();
    struct presence_state found = {QUEUE_CLOSED, false};
    assert_false(presence_get(presence, "e", "u:1", 5000, 0, &found));
    presence_put(presence, "ab", "c", QUEUE_WAITING, 0);
    assert_false(presence_get(presence, "a", "bc", 5000, 0, &found));
    assert_int_equal(found.state, QUEUE_CLOSED);
    presence_free(presence);
}

static void test_a_heartbeat_is_due_once_a_second(void **state)
{
    (void)state;
    struct presence *presence = presence_new();
    struct presence_state found;
    presence_put(presence, "e", "u:1", QUEUE_WAITING, 5000);
    assert_true(presence_get(presence, "e", "u:1", 60000, 5000, &found));
    assert_true(found.heartbeat_due);
    assert_true(presence_get(presence, "e", "u:1", 60000, 5999, &found));
    assert_false(found.heartbeat_due);
    assert_true(presence_get(presence, "e", "u:1", 60000, 6000, &found));
    assert_true(found.heartbeat_due);
    presence_free(presence);
}

static void test_age_decides(void **state)
{
    (void)state;
    struct presence *presence = presence_new();
    presence_put(presence, "e", "u:1", QUEUE_WAITING, 1000);
    assert_true(has(presence, "e", "u:1", 500, 1500, QUEUE_WAITING));
    assert_false(has(presence, "e", "u:1", 500, 1501, QUEUE_WAITING));
    presence_free(presence);
}

static void test_drop(void **state)
{
    (void)state;
    struct presence *presence = presence_new();
    presence_put(presence, "e", "u:1", QUEUE_WAITING, 1000);
    presence_drop(presence, "e", "u:1");
    presence_drop(presence, "e", "u:1");
    assert_false(has(presence, "e", "u:1", 5000, 1000, QUEUE_WAITING));
    presence_free(presence);
}

/* Twice as many buyers as fit: memory does not grow, and those forgotten are hardly ever among the last noted. */
static void test_the_oldest_is_replaced(void **state)
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
        known += has(presence, "e", buyer, UINT32_MAX, 4000, QUEUE_WAITING);
    }
    assert_in_range(known, asked / 1000 * 999, asked);
    presence_free(presence);
}

/* As many buyers as a pod is built for: polls of all of them are answered without Redis. */
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
        unknown += !has(presence, "e", buyer, 60000, 3000, i % 2 ? QUEUE_WAITING : QUEUE_ACTIVE);
    }
    assert_in_range(unknown, 0, 1); /* the seed is another one each time */
    presence_free(presence);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_was_put),
        cmocka_unit_test(test_unknown_leaves_the_result_alone),
        cmocka_unit_test(test_a_heartbeat_is_due_once_a_second),
        cmocka_unit_test(test_age_decides),
        cmocka_unit_test(test_drop),
        cmocka_unit_test(test_the_oldest_is_replaced),
        cmocka_unit_test(test_a_hundred_thousand_are_all_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
