/* SPDX-License-Identifier: MIT */
/* reservation: the list that PostgreSQL writes is read once, or refused whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "selling/reservation.h"

#include <string.h>

#define HELD                                                                                       \
    "{\"id\":\"1\",\"reservationNumber\":\"ABC\",\"eventId\":\"e\",\"status\":\"held\","           \
    "\"totalAmount\":9900,\"currency\":\"EUR\",\"expiresAt\":\"2026-01-02T03:04:05.000Z\","        \
    "\"seats\":[{\"id\":\"7\",\"section\":\"A\",\"row\":\"12\",\"number\":3,\"price\":4900,"       \
    "\"currency\":\"EUR\"},{\"id\":\"8\",\"section\":\"A\",\"row\":\"12\",\"number\":4,"           \
    "\"price\":5000,\"currency\":\"EUR\"}]}"
#define EXPIRED                                                                                    \
    "{\"id\":\"2\",\"reservationNumber\":\"DEF\",\"eventId\":\"e\",\"status\":\"expired\","        \
    "\"totalAmount\":0,\"currency\":\"EUR\",\"expiresAt\":null,\"seats\":null}"

static enum status read_list(const char *json, struct reservation_list *list)
{
    return reservation_list_read(json, strlen(json), list);
}

static void a_list_is_read(void **state)
{
    struct reservation_list list;
    (void)state;
    assert_int_equal(read_list("{\"reservations\":[" HELD "," EXPIRED "]}", &list), ST_OK);
    assert_int_equal(list.count, 2);
    const struct reservation *held = &list.items[0], *expired = &list.items[1];
    assert_string_equal(held->id, "1");
    assert_string_equal(held->number, "ABC");
    assert_string_equal(held->event, "e");
    assert_string_equal(held->status, "held");
    assert_string_equal(held->currency, "EUR");
    assert_string_equal(held->expires_at, "2026-01-02T03:04:05.000Z");
    assert_int_equal(held->total, 9900);
    assert_int_equal(held->seat_count, 2);
    assert_string_equal(held->seats[0].section, "A");
    assert_string_equal(held->seats[0].row, "12");
    assert_string_equal(held->seats[0].currency, "EUR");
    assert_int_equal(held->seats[1].number, 4);
    assert_int_equal(held->seats[1].price, 5000);
    assert_string_equal(expired->status, "expired");
    assert_null(expired->expires_at);
    assert_int_equal(expired->seat_count, 0);
    reservation_list_clear(&list);
    assert_int_equal(list.count, 0);
}

static void an_empty_list_is_read(void **state)
{
    struct reservation_list list;
    (void)state;
    assert_int_equal(read_list("{\"reservations\":[]}", &list), ST_OK);
    assert_int_equal(list.count, 0);
    reservation_list_clear(&list);
}

static void other_json_is_refused(void **state)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "{}",
                                        "{\"reservations\":null}",
                                        "{\"reservations\":[" HELD ",{}]}",
                                        "{\"reservations\":[3]}"};
    struct reservation_list list;
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(read_list(texts[i], &list), ST_INTERNAL);
        assert_int_equal(list.count, 0);
        assert_null(list.items);
        assert_null(list.json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_read),
        cmocka_unit_test(an_empty_list_is_read),
        cmocka_unit_test(other_json_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
