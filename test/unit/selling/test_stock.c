/* SPDX-License-Identifier: MIT */
/* stock: bands of prices, what is left in each, and what will be left at a buyer's turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "selling/stock.h"

static void add_seat(struct buf *map, int price, const char *status)
{
    buf_printf(
        map,
        "%s{\"id\":\"1\",\"section\":\",\\\"price\\\":1\",\"row\":\"1\",\"number\":1,\"price\":%d,"
        "\"currency\":\"EUR\",\"status\":\"%s\"}",
        map->len > 0 ? "," : "", price, status);
}

static void expect_bands(struct buf *map, const char *wanted)
{
    struct stock stock;
    struct buf out;
    buf_init(&out, 4096);
    assert_true(stock_read(&stock, buf_str(map), map->len));
    stock_write(&stock, &out);
    assert_string_equal(buf_str(&out), wanted);
    buf_clear(&out);
}

static void a_price_is_available_few_or_none(void **state)
{
    (void)state;
    struct buf map;
    buf_init(&map, 1 << 20);
    for (int i = 0; i < 20; i++) {
        add_seat(&map, 9900, i < 17 ? "available" : "sold");
        add_seat(&map, 15900, i < 2 ? "available" : i < 4 ? "held" : "sold");
        add_seat(&map, 4900, i < 1 ? "held" : "sold");
        add_seat(&map, 9900, "blocked"); /* counts nowhere */
    }
    expect_bands(&map, "[{\"from\":4900,\"to\":4900,\"currency\":\"EUR\",\"level\":\"none\"},"
                       "{\"from\":9900,\"to\":9900,\"currency\":\"EUR\",\"level\":\"available\"},"
                       "{\"from\":15900,\"to\":15900,\"currency\":\"EUR\",\"level\":\"few\"}]");
    struct stock stock;
    assert_true(stock_read(&stock, buf_str(&map), map.len));
    assert_int_equal(stock.seats, 60);
    assert_int_equal(stock.free, 19);
    assert_int_equal(stock.sold, 3 + 16 + 19);
    buf_clear(&map);
}

static void many_prices_become_eight_bands(void **state)
{
    (void)state;
    struct stock stock;
    struct buf map;
    buf_init(&map, 1 << 20);
    for (int i = 40; i > 0; i--)
        add_seat(&map, i * 100, i > 5 ? "available" : "sold");
    assert_true(stock_read(&stock, buf_str(&map), map.len));
    assert_int_equal(stock.count, 8);
    for (size_t i = 0; i < stock.count; i++) {
        assert_int_equal(stock.bands[i].seats, 5);
        assert_int_equal(stock.bands[i].from, (int64_t)(500 * i + 100));
        assert_int_equal(stock.bands[i].to, (int64_t)(500 * i + 500));
    }
    assert_int_equal(stock_level(&stock.bands[0]), STOCK_NONE);
    for (int i = 0; i < 200; i++)
        add_seat(&map, 10000 + i, "available");
    assert_true(stock_read(&stock, buf_str(&map), map.len));
    assert_int_equal(stock.count, 0);
    assert_int_equal(stock.seats, 240);
    buf_clear(&map);
}

static void add_seat_of(struct buf *map, const char *section, int price, const char *status)
{
    buf_printf(map,
               "%s{\"id\":\"1\",\"section\":\"%s\",\"row\":\"1\",\"number\":1,\"price\":%d,"
               "\"currency\":\"EUR\",\"status\":\"%s\"}",
               map->len > 0 ? "," : "", section, price, status);
}

static void sections_have_their_lowest_price_and_what_is_free(void **state)
{
    (void)state;
    struct stock_sections sections;
    struct buf map;
    buf_init(&map, 1 << 20);
    add_seat_of(&map, "Floor", 9900, "available");
    add_seat_of(&map, "Floor", 7900, "sold");
    add_seat_of(&map, "Block \\\"A\\\"", 4900, "held");
    add_seat_of(&map, "Floor", 9900, "available");
    add_seat_of(&map, "Floo", 100, "available");
    stock_sections_read(&sections, buf_str(&map), map.len);
    assert_int_equal(sections.count, 3);
    assert_string_equal(sections.of[0].name, "Floor");
    assert_int_equal(sections.of[0].from, 7900);
    assert_int_equal(sections.of[0].free, 2);
    assert_string_equal(sections.of[1].name, "Block \"A\"");
    assert_int_equal(sections.of[1].free, 0);
    assert_string_equal(sections.of[2].name, "Floo");
    stock_sections_clear(&sections);
    assert_int_equal(sections.count, 0);
    buf_clear(&map);
}

static void too_many_sections_are_no_list(void **state)
{
    (void)state;
    struct stock_sections sections;
    struct buf map;
    buf_init(&map, 1 << 20);
    for (int i = 0; i < STOCK_SECTIONS_MAX; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "Block %d", i);
        add_seat_of(&map, name, 100, "available");
    }
    stock_sections_read(&sections, buf_str(&map), map.len);
    assert_int_equal(sections.count, STOCK_SECTIONS_MAX);
    stock_sections_clear(&sections);
    add_seat_of(&map, "One more", 100, "available");
    stock_sections_read(&sections, buf_str(&map), map.len);
    assert_int_equal(sections.count, 0);
    stock_sections_clear(&sections);
    for (size_t len = 0; len < 200; len++) { /* a text that is cut off */
        stock_sections_read(&sections, buf_str(&map), len);
        stock_sections_clear(&sections);
    }
    buf_clear(&map);
}

static void cut_off_text_is_refused(void **state)
{
    (void)state;
    struct stock stock;
    const char *map =
        "{\"version\":1,\"seats\":[{\"id\":\"1\",\"number\":1,\"price\":5,\"currency\":\"EUR\"";
    for (size_t len = strlen(map); strstr(map, "price") + 7 < map + len; len--)
        assert_false(stock_read(&stock, map, len));
    assert_true(stock_read(&stock, "{\"version\":1,\"seats\":[]}", 24));
    assert_int_equal(stock.count, 0);
}

static void nothing_is_foretold_before_buyers_are_through(void **state)
{
    (void)state;
    const struct stock stock = {.seats = 1000, .free = 900, .sold = 60};
    assert_false(stock_forecast(&stock, 60, 50, 10, 4).known);
    assert_false(stock_forecast(&(struct stock){.seats = 0}, 600, 50, 10, 4).known);
    assert_true(stock_forecast(&stock, 80, 50, 10, 4).known);
}

/* 100 of 150 are through, and have bought 200 seats: two each. */
static void the_seats_at_a_turn_follow_from_what_buyers_took(void **state)
{
    (void)state;
    const struct stock stock = {.seats = 1000, .free = 700, .sold = 200};
    struct stock_forecast near = stock_forecast(&stock, 150, 50, 0, 4);
    assert_true(near.known);
    assert_int_equal(near.about, 700); /* the 50 inside take two each */
    assert_in_range(near.low, 640, 690);
    assert_in_range(near.high, 710, 760);
    struct stock_forecast middle = stock_forecast(&stock, 150, 50, 250, 4);
    assert_int_equal(middle.about, 200);
    assert_true(middle.low < 200 && middle.high > 200);
    struct stock_forecast behind = stock_forecast(&stock, 150, 50, 400, 4);
    assert_int_equal(behind.about, 0);
    assert_int_equal(behind.low, 0);
    assert_true(behind.high > 0); /* there may be */
    struct stock_forecast far = stock_forecast(&stock, 150, 50, 5000, 4);
    assert_true(far.known);
    assert_int_equal(far.high, 0); /* unlikely */
}

/* Nobody has bought yet: nothing says that somebody will. */
static void without_sales_all_seats_are_foretold(void **state)
{
    (void)state;
    const struct stock stock = {.seats = 1000, .free = 1000};
    const struct stock_forecast forecast = stock_forecast(&stock, 150, 50, 5000, 4);
    assert_true(forecast.known);
    assert_int_equal(forecast.about, 1000);
    assert_int_equal(forecast.high, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_price_is_available_few_or_none),
        cmocka_unit_test(many_prices_become_eight_bands),
        cmocka_unit_test(sections_have_their_lowest_price_and_what_is_free),
        cmocka_unit_test(too_many_sections_are_no_list),
        cmocka_unit_test(cut_off_text_is_refused),
        cmocka_unit_test(nothing_is_foretold_before_buyers_are_through),
        cmocka_unit_test(the_seats_at_a_turn_follow_from_what_buyers_took),
        cmocka_unit_test(without_sales_all_seats_are_foretold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
