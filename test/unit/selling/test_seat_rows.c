/* SPDX-License-Identifier: MIT */
/* seat_rows: the short form of a map has the same seats; names cannot be taken for words; cut-off text is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "selling/seat_rows.h"

#define SEAT_OF(id, section, row, number, price, currency, status)                                 \
    "{\"id\":\"" id "\",\"section\":" section ",\"row\":" row ",\"number\":" number                \
    ",\"price\":" price ",\"currency\":\"" currency "\",\"status\":\"" status "\"}"
#define SEAT(id, row, number, status) SEAT_OF(id, "\"A\"", row, number, "500", "EUR", status)
#define MAP(seats)                    "{\"version\":7,\"layout\":3,\"seats\":[" seats "]}"
#define ROWS(rows)                    "{\"version\":7,\"layout\":3,\"currency\":\"EUR\",\"rows\":[" rows "]}"

static void expect(const char *map, const char *wanted)
{
    struct buf out;
    buf_init(&out, 4096);
    buf_add_str(&out, "=");
    assert_int_equal(seat_rows_write(map, strlen(map), &out), wanted != NULL);
    assert_string_equal(buf_str(&out) + 1, wanted ? wanted : "");
    buf_clear(&out);
}

static void neighbours_are_one_run(void **state)
{
    (void)state;
    expect(MAP(SEAT("11", "\"1\"", "1", "available") "," SEAT("12", "\"1\"", "2", "held") "," SEAT(
               "13", "\"1\"", "3", "sold") "," SEAT("14", "\"1\"", "4", "blocked")),
           ROWS("[\"A\",\"1\",1,500,\"11\",\"ahsb\"]"));
}

static void a_gap_another_row_and_another_price_begin_a_run(void **state)
{
    (void)state;
    expect(MAP(SEAT("1", "\"1\"", "1", "sold") "," SEAT("2", "\"1\"", "3", "sold")),
           ROWS("[\"A\",\"1\",1,500,\"1\",\"s\"],[\"A\",\"1\",3,500,\"2\",\"s\"]"));
    expect(MAP(SEAT("1", "\"1\"", "1", "sold") "," SEAT("5", "\"1\"", "2", "sold")),
           ROWS("[\"A\",\"1\",1,500,\"1\",\"s\"],[\"A\",\"1\",2,500,\"5\",\"s\"]"));
    expect(MAP(SEAT("1", "\"1\"", "1", "sold") "," SEAT("2", "\"2\"", "2", "sold")),
           ROWS("[\"A\",\"1\",1,500,\"1\",\"s\"],[\"A\",\"2\",2,500,\"2\",\"s\"]"));
    expect(MAP(SEAT("1", "\"1\"", "1", "sold") "," SEAT_OF("2", "\"A\"", "\"1\"", "2", "600", "EUR",
                                                           "sold")),
           ROWS("[\"A\",\"1\",1,500,\"1\",\"s\"],[\"A\",\"1\",2,600,\"2\",\"s\"]"));
}

static void an_empty_hall_has_no_rows(void **state)
{
    (void)state;
    expect(MAP(""), "{\"version\":7,\"layout\":3,\"rows\":[]}");
}

static void a_name_is_no_word_of_the_map(void **state)
{
    static const char name[] = "\"\\\",\\\"number\\\":1,\\\"row\\\":{\\\"id\\\":\\\"9\"";
    char map[512], wanted[512];
    (void)state;
    (void)snprintf(map, sizeof(map), MAP(SEAT_OF("1", "%s", "\"1\"", "1", "500", "EUR", "sold")),
                   name);
    (void)snprintf(wanted, sizeof(wanted), ROWS("[%s,\"1\",1,500,\"1\",\"s\"]"), name);
    expect(map, wanted);
}

static void another_text_and_two_currencies_are_refused(void **state)
{
    static const char whole[] = MAP(SEAT("11", "\"1\"", "1", "available"));
    (void)state;
    expect(MAP(SEAT("1", "\"1\"", "1", "sold") "," SEAT_OF("2", "\"A\"", "\"1\"", "2", "500", "JPY",
                                                           "sold")),
           NULL);
    expect(MAP(SEAT("1", "\"1\"", "x", "sold")), NULL);
    expect(MAP(SEAT("1", "\"1\"", "1", "lost")), NULL);
    expect("{\"rows\":[]}", NULL);
    for (size_t len = strlen("{\"version\":7,\"layout\":3,\"seats\":[{\"id\":\"");
         len + strlen("\"}]}") < strlen(whole); len++) {
        struct buf out;
        buf_init(&out, 4096);
        assert_false(seat_rows_write(whole, len, &out));
        assert_int_equal(out.len, 0);
        buf_clear(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_are_one_run),
        cmocka_unit_test(a_gap_another_row_and_another_price_begin_a_run),
        cmocka_unit_test(an_empty_hall_has_no_rows),
        cmocka_unit_test(a_name_is_no_word_of_the_map),
        cmocka_unit_test(another_text_and_two_currencies_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
