/* SPDX-License-Identifier: MIT */
/* seat_delta: what changed between two maps; names cannot be taken for seats; cut-off text is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "selling/seat_delta.h"

#define SEAT(id, section, status)                                                                  \
    "{\"id\":\"" id "\",\"section\":\"" section "\",\"row\":\"1\",\"number\":1,\"price\":5,"       \
    "\"currency\":\"EUR\",\"status\":\"" status "\"}"
#define LAYOUT(layout, seats) "{\"version\":7,\"layout\":" layout ",\"seats\":[" seats "]}"
#define MAP(seats)            LAYOUT("3", seats)

static struct seat_list list(const char *map)
{
    struct seat_list out;
    assert_true(seat_list_read(&out, map, strlen(map)));
    return out;
}

static void expect_diff(const char *before, const char *after, size_t most, const char *wanted)
{
    struct seat_list a = list(before), b = list(after);
    struct buf out;
    buf_init(&out, 1024);
    buf_add_str(&out, "=");
    const bool fits = seat_list_diff(&a, &b, most, &out);
    assert_int_equal(fits, wanted != NULL);
    assert_string_equal(buf_str(&out) + 1, wanted != NULL ? wanted : "");
    buf_clear(&out);
    seat_list_clear(&a);
    seat_list_clear(&b);
}

static void changes_are_listed_in_order(void **state)
{
    (void)state;
    expect_diff(
        MAP(SEAT("1", "A", "available") "," SEAT("22", "A", "held") "," SEAT("3", "A", "sold")),
        MAP(SEAT("1", "A", "sold") "," SEAT("22", "A", "held") "," SEAT("3", "A", "available")), 9,
        "[{\"id\":\"1\",\"status\":\"sold\"},{\"id\":\"3\",\"status\":\"available\"}]");
    expect_diff(MAP(SEAT("1", "A", "held")), MAP(SEAT("1", "A", "held")), 9, "[]");
    expect_diff(MAP(SEAT("1", "A", "held")), MAP(SEAT("1", "A", "blocked")), 9,
                "[{\"id\":\"1\",\"status\":\"blocked\"}]");
    expect_diff(MAP(""), MAP(""), 9, "[]");
}

static void another_hall_or_too_many_changes_is_no_delta(void **state)
{
    (void)state;
    expect_diff(MAP(SEAT("1", "A", "held")), MAP(SEAT("2", "A", "held")), 9, NULL);
    expect_diff(MAP(""), MAP(SEAT("2", "A", "held")), 9, NULL);
    expect_diff(LAYOUT("9", SEAT("1", "A", "held")), LAYOUT("10", SEAT("1", "A", "sold")), 9, NULL);
    expect_diff(MAP(SEAT("1", "A", "held") "," SEAT("2", "A", "held")),
                MAP(SEAT("1", "A", "sold") "," SEAT("2", "A", "sold")), 1, NULL);
}

static void names_are_not_taken_for_seats(void **state)
{
    (void)state;
    struct seat_list out =
        list(MAP(SEAT("5", "{\\\"id\\\":\\\"9\\\",\\\"status\\\":\\\"sold", "held")));
    assert_int_equal(out.count, 1);
    assert_int_equal(out.ids[0], 5);
    assert_int_equal(out.statuses[0], 'h');
    seat_list_clear(&out);
}

static void a_cut_off_map_is_refused(void **state)
{
    (void)state;
    const char map[] = MAP(SEAT("1", "A", "available"));
    struct seat_list out;
    for (size_t len = strlen("{\"version\":7,\"layout\":3,\"seats\":[{\"id\":\"1");
         len + strlen("available\"}]}") < sizeof(map); len++) {
        assert_false(seat_list_read(&out, map, len));
        assert_null(out.ids);
    }
    assert_true(seat_list_read(&out, map, sizeof(map) - 1));
    seat_list_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_listed_in_order),
        cmocka_unit_test(another_hall_or_too_many_changes_is_no_delta),
        cmocka_unit_test(names_are_not_taken_for_seats),
        cmocka_unit_test(a_cut_off_map_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
