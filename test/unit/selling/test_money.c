/* SPDX-License-Identifier: MIT */
/* money: decimals by currency, thousands separators, the ends of the range. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "selling/money.h"

static void amounts_are_written(void **state)
{
    (void)state;
    static const struct {
        int64_t amount;
        const char *currency, *text;
    } cases[] = {
        {5000, "EUR", "50.00 EUR"},
        {0, "EUR", "0.00 EUR"},
        {5, "USD", "0.05 USD"},
        {123456789, "EUR", "1,234,567.89 EUR"},
        {9900, "KRW", "9,900 KRW"},
        {12000, "JPY", "12,000 JPY"},
        {12345, "KWD", "12.345 KWD"},
        {-5000, "EUR", "-50.00 EUR"},
        {INT64_MIN, "KRW", "-9,223,372,036,854,775,808 KRW"},
        {100, "", "1.00 "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf text;
        buf_init(&text, 64);
        money_write(&text, cases[i].amount, cases[i].currency);
        assert_string_equal(buf_str(&text), cases[i].text);
        buf_clear(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(amounts_are_written)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
