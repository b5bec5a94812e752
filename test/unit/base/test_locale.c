/* SPDX-License-Identifier: MIT */
/* locale: numbers, amounts, plural forms and times of each language; names of time zones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/locale.h"

/* ICU puts no-break blanks of two kinds into numbers and times: plain ones, so that they can be compared here. */
static void assert_text(struct buf *out, const char *expected)
{
    char plain[512];
    size_t len = 0;
    for (const char *at = buf_str(out); *at && len < sizeof(plain) - 1;) {
        const size_t blank = strncmp(at, "\u00a0", 2) == 0   ? 2
                             : strncmp(at, "\u202f", 3) == 0 ? 3
                                                             : 0;
        plain[len++] = blank > 0 ? ' ' : *at;
        at += blank > 0 ? blank : 1;
    }
    plain[len] = '\0';
    assert_string_equal(plain, expected);
    buf_reset(out);
}

static void amounts_are_written(void **state)
{
    static const struct {
        enum language language;
        int64_t amount;
        const char *currency, *text;
    } cases[] = {
        {LANGUAGE_EN, 5000, "EUR", "€50.00"},
        {LANGUAGE_EN, 0, "EUR", "€0.00"},
        {LANGUAGE_EN, 5, "USD", "$0.05"},
        {LANGUAGE_KO, 5, "USD", "US$0.05"},
        {LANGUAGE_EN, 123456789, "EUR", "€1,234,567.89"},
        {LANGUAGE_KO, 9900, "KRW", "₩9,900"},
        {LANGUAGE_JA, 12000, "JPY", "￥12,000"},
        {LANGUAGE_EN, 12000, "JPY", "¥12,000"},
        {LANGUAGE_EN, 12345, "KWD", "KWD 12.345"},
        {LANGUAGE_EN, 12345, "IQD", "IQD 12.345"}, /* three decimals, whatever CLDR says */
        {LANGUAGE_EN, -5000, "EUR", "-€50.00"},
        {LANGUAGE_EN, INT64_MIN, "KRW", "-₩9,223,372,036,854,775,808"},
        {LANGUAGE_EN, 100, "", "100 "},
        {LANGUAGE_EN, 100, "a/b", "100 a/b"},
    };
    struct buf text;
    (void)state;
    buf_init(&text, 256);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        locale_money(&text, cases[i].language, cases[i].amount, cases[i].currency);
        assert_text(&text, cases[i].text);
    }
    buf_clear(&text);
}

static void numbers_and_their_words(void **state)
{
    struct buf text;
    (void)state;
    buf_init(&text, 256);
    locale_number(&text, LANGUAGE_EN, 0);
    assert_text(&text, "0");
    locale_number(&text, LANGUAGE_JA, UINT64_MAX);
    assert_text(&text, "18,446,744,073,709,551,615");
    assert_string_equal(locale_plural(LANGUAGE_EN, 1), "one");
    assert_string_equal(locale_plural(LANGUAGE_EN, 0), "other");
    assert_string_equal(locale_plural(LANGUAGE_EN, 21), "other");
    assert_string_equal(locale_plural(LANGUAGE_KO, 1), "other");
    assert_string_equal(locale_plural(LANGUAGE_JA, 1), "other");
    buf_clear(&text);
}

static void zones_have_names(void **state)
{
    static const char *const good[] = {"Asia/Seoul",   "Europe/Berlin",
                                       "Asia/Kolkata", "America/Argentina/Buenos_Aires",
                                       "UTC",          "Etc/UTC"};
    static const char *const bad[] = {"",
                                      "asia/seoul",
                                      "PST",
                                      "KST",
                                      "GMT+9",
                                      "Mars/Base",
                                      "SystemV/AST4",
                                      "Etc/Unknown",
                                      "Asia/Seoul ",
                                      "Asia/\xec\x84\x9c",
                                      "Asia/Seoul/Asia/Seoul/Asia/Seoul/Asia/Seoul/Asia/Seoul"};
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(locale_is_zone(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(locale_is_zone(bad[i]));
}

static void a_currency_is_one_of_iso_4217_that_is_in_use(void **state)
{
    (void)state;
    assert_int_equal(locale_currency_decimals("EUR"), 2);
    assert_int_equal(locale_currency_decimals("KRW"), 0);
    assert_int_equal(locale_currency_decimals("BHD"), 3);
    assert_int_equal(locale_currency_decimals("IQD"), 3); /* ISO 4217; CLDR has none */
    static const char *const bad[] = {"WON", "DEM", "CNH", "XXX", "XAU", "eur", "EU", "", "EURO"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(locale_currency_decimals(bad[i]), -1);
}

static void times_are_those_of_the_zone(void **state)
{
    const int64_t ms = INT64_C(1810288800000); /* 2027-05-14T10:00:00Z */
    static const struct {
        enum language language;
        const char *zone;
        enum locale_form form;
        const char *text;
    } cases[] = {
        {LANGUAGE_EN, "Asia/Seoul", LOCALE_FULL, "Friday, May 14, 2027 at 7:00 PM"},
        {LANGUAGE_EN, "", LOCALE_FULL, "Friday, May 14, 2027 at 10:00 AM"},
        {LANGUAGE_KO, "Asia/Seoul", LOCALE_FULL, "2027년 5월 14일 금요일 오후 7:00"},
        {LANGUAGE_JA, "Asia/Seoul", LOCALE_FULL, "2027年5月14日金曜日 19:00"},
        {LANGUAGE_EN, "Asia/Seoul", LOCALE_TIME, "7:00 PM"},
        {LANGUAGE_JA, "America/New_York", LOCALE_TIME, "6:00"},
        {LANGUAGE_EN, "Asia/Seoul", LOCALE_DATE, "May 14, 2027"},
        {LANGUAGE_EN, "Pacific/Auckland", LOCALE_WEEKDAY, "Fri"},
        {LANGUAGE_KO, "Asia/Seoul", LOCALE_WEEKDAY, "금"},
        {LANGUAGE_EN, "Asia/Seoul", LOCALE_MONTH, "May"},
        {LANGUAGE_KO, "Asia/Seoul", LOCALE_MONTH, "5월"},
        {LANGUAGE_JA, "Asia/Seoul", LOCALE_MONTH, "5月"},
        {LANGUAGE_JA, "Asia/Seoul", LOCALE_DAY, "14"},
        {LANGUAGE_EN, "Asia/Seoul", LOCALE_ZONE, "Korean Standard Time"},
        {LANGUAGE_KO, "Asia/Seoul", LOCALE_ZONE, "대한민국 표준시"},
        {LANGUAGE_JA, "Asia/Tokyo", LOCALE_ZONE, "日本標準時"},
        {LANGUAGE_EN, "Europe/Berlin", LOCALE_ZONE, "Central European Summer Time"},
        {LANGUAGE_EN, "", LOCALE_ZONE, "Coordinated Universal Time"},
    };
    struct buf text;
    (void)state;
    buf_init(&text, 256);
    for (int round = 0; round < 2; round++) { /* by a new format, and by a kept one */
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            locale_time(&text, cases[i].language, cases[i].zone, ms, cases[i].form);
            assert_text(&text, cases[i].text);
        }
    }
    buf_clear(&text);
}

static void a_search_folds(void **state)
{
    struct buf text;
    (void)state;
    buf_init(&text, 4096);
    locale_fold(&text, "Ａｕｒｏｒａ STRASSE Straße");
    assert_text(&text, "aurora strasse strasse");
    locale_fold(&text, "상암 ｱﾙｶﾞ");
    assert_text(&text, "상암 アルガ");
    locale_fold(&text, "");
    locale_fold(&text, "\xff\xef\xb7\xba"); /* not UTF-8, and the letter that becomes longest */
    assert_true(text.len > 10);
    buf_clear(&text);
}

/* More zones and currencies than formats are kept. */
static void formats_are_replaced(void **state)
{
    struct buf text;
    (void)state;
    buf_init(&text, 256);
    for (int i = 0; i < 300; i++) {
        char zone[32], code[4] = {(char)('A' + i % 26), (char)('A' + i / 26), 'X', '\0'};
        (void)snprintf(zone, sizeof(zone), "Etc/GMT%+d", i % 27 - 12);
        for (int form = 0; form < LOCALE_FORMS; form++)
            locale_time(&text, LANGUAGE_KO, zone, 0, (enum locale_form)form);
        locale_money(&text, LANGUAGE_JA, i, code);
        assert_true(text.len > 0);
        buf_reset(&text);
    }
    buf_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts_are_written),
        cmocka_unit_test(numbers_and_their_words),
        cmocka_unit_test(zones_have_names),
        cmocka_unit_test(a_currency_is_one_of_iso_4217_that_is_in_use),
        cmocka_unit_test(times_are_those_of_the_zone),
        cmocka_unit_test(formats_are_replaced),
        cmocka_unit_test(a_search_folds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
