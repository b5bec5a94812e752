/* SPDX-License-Identifier: MIT */
/* Options that choose seats, as the JSON that the service takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/ctl_seat.h"

/* The JSON that these options make, or the sentence that refuses them. */
#define MAKES(expected, ...)                                                                       \
    do {                                                                                           \
        const struct ctl_options options = {__VA_ARGS__};                                          \
        char error[200] = "";                                                                      \
        struct buf out;                                                                            \
        struct json *body = ctl_seat_body(&options, error, sizeof(error));                         \
        buf_init(&out, 1 << 20);                                                                   \
        if (body)                                                                                  \
            json_write(body, &out);                                                                \
        else                                                                                       \
            buf_add_str(&out, error);                                                              \
        assert_string_equal(buf_str(&out), expected);                                              \
        json_free(body);                                                                           \
        buf_clear(&out);                                                                           \
    } while (0)

static void seats_are_chosen_by_name_by_id_or_all(void **state)
{
    (void)state;
    MAKES("{\"where\":{\"section\":\"A\",\"row\":\"2\",\"from\":3,\"to\":5}}", .section = "A",
          .row = "2", .first = 3, .last = 5);
    MAKES("{\"where\":{\"to\":4}}", .last = 4);
    MAKES("{\"where\":{\"seatIds\":[\"17\",\"18\"]}}", .seats = "17,18");
    MAKES("{\"where\":{\"all\":true}}", .all = true);
    /* The service says that these exclude each other. */
    MAKES("{\"where\":{\"section\":\"A\",\"all\":true}}", .section = "A", .all = true);
}

static void what_becomes_of_them_is_beside_the_choice(void **state)
{
    (void)state;
    MAKES("{\"where\":{\"section\":\"A\"},\"section\":\"VIP\",\"row\":\"1\"}", .section = "A",
          .new_section = "VIP", .new_row = "1");
    MAKES("{\"where\":{\"row\":\"9\"},\"reason\":\"camera\"}", .row = "9", .reason = "camera");
}

static void no_seats_are_no_choice(void **state)
{
    static char many[70000];
    (void)state;
    MAKES("which seats? --section, --row, --from and --to, or --seats, or --all", .reason = "rain");
    MAKES("--seats must be ids of seats such as 17,18", .seats = "A1");
    MAKES("--seats must be ids of seats such as 17,18", .seats = "17\",\"18");
    memset(many, '7', sizeof(many) - 1);
    MAKES("--seats must be ids of seats such as 17,18", .seats = many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seats_are_chosen_by_name_by_id_or_all),
        cmocka_unit_test(what_becomes_of_them_is_beside_the_choice),
        cmocka_unit_test(no_seats_are_no_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
