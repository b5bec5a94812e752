/* SPDX-License-Identifier: MIT */
/* reference: written and read again, also as people write it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/reference.h"

static void a_reference_read_is_the_place_written(void **state)
{
    static const uint64_t places[] = {0, 1, 1790000000000001, 1795254000123456,
                                      (UINT64_C(1) << 55) - 1};
    (void)state;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char text[REFERENCE_SIZE];
        uint64_t place = 7;
        reference_write(places[i], text);
        assert_int_equal(reference_read(text, &place), ST_OK);
        assert_int_equal(place, places[i]);
    }
}

static void reads_how_people_write_it(void **state)
{
    uint64_t one, other;
    (void)state;
    assert_int_equal(reference_read("1K0R-T4B4-J84", &one), ST_OK);
    assert_int_equal(reference_read("lkor t4b4 j84", &other), ST_OK);
    assert_int_equal(one, other);
    assert_int_equal(reference_read("1K0RT4B4J84", &other), ST_OK);
    assert_int_equal(one, other);
}

static void refuses_what_is_no_reference(void **state)
{
    static const char *const texts[] = {
        "", "1K0R-T4B4-J8", "1K0R-T4B4-J845", "1K0R-T4U4-J84", "1K0R_T4B4_J84", "-- --"};
    uint64_t place = 7;
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(reference_read(texts[i], &place), ST_INVALID);
    assert_int_equal(place, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reference_read_is_the_place_written),
        cmocka_unit_test(reads_how_people_write_it),
        cmocka_unit_test(refuses_what_is_no_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
