/* SPDX-License-Identifier: MIT */
/* text: texts that look the same become the same bytes; what moves or hides other text is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

static char cleaned[TEXT_BYTES(TEXT_LIMIT) + 1];

static enum status clean(enum text_kind kind, const char *text, size_t max)
{
    char *copy =
        malloc(strlen(text) + 1); /* exactly its size, so that a sanitizer sees reads beyond it */
    memcpy(copy, text, strlen(text) + 1);
    memset(cleaned, 'x', sizeof(cleaned));
    const enum status st = text_clean(kind, copy, strlen(copy), max, cleaned);
    free(copy);
    return st;
}

static void assert_clean(enum text_kind kind, const char *text, const char *expected)
{
    assert_int_equal(clean(kind, text, 200), ST_OK);
    assert_string_equal(cleaned, expected);
    char once[sizeof(cleaned)];
    memcpy(once, cleaned, sizeof(once));
    assert_int_equal(clean(kind, once, 200), ST_OK); /* a clean text stays as it is */
    assert_string_equal(cleaned, once);
}

static void texts_are_composed(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"Parkett links", "Parkett links"},
        {"Cafe\u0301", "Caf\u00e9"},
        {"\u1112\u1161\u11ab\u1100\u116e\u11a8", "\ud55c\uad6d"}, /* Hangul as a Mac writes it */
        {"\u30cf\u309a\u30ea", "\u30d1\u30ea"},
        {"a\u0323\u0302", "\u1ead"},
        {"a\u0302\u0323", "\u1ead"}, /* marks in another order */
        {"\u212b", "\u00c5"},
        {"\U0001f3ab \u2764\ufe0f", "\U0001f3ab \u2764\ufe0f"},
        {"\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", /* ZWNJ spells */
         "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"},
        {"\uff21", "\uff21"}, /* wide letters look different, and stay */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_clean(TEXT_LINE, cases[i][0], cases[i][1]);
        assert_clean(TEXT_NAME, cases[i][0], cases[i][1]);
    }
}

static void blanks_at_the_edges_are_dropped(void **state)
{
    (void)state;
    static const char *const blanks[] = {
        " ",      "\u00a0", "\u1680", "\u2003", "\u2007", "\u202f", "\u205f", "\u3000",   "\u200b",
        "\ufeff", "\u2060", "\u00ad", "\u180e", "\u2800", "\u3164", "\uffa0", "  \u00a0 "};
    for (size_t i = 0; i < sizeof(blanks) / sizeof(blanks[0]); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "%s%sA%s", blanks[i], blanks[i], blanks[i]);
        assert_clean(TEXT_LINE, text, "A");
        assert_clean(TEXT_NAME, text, "A");
        assert_clean(TEXT_LINE, blanks[i], "");
        assert_clean(TEXT_NAME, blanks[i], "");
    }
}

static void nothing_to_see_is_nothing(void **state)
{
    (void)state;
    static const char *const cases[] = {"\u200d",       "\u200f",         "\ufe0f\u034f",
                                        "\u115f\u1160", " \u200e \u3164", "\U000e0041"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_clean(TEXT_LINE, cases[i], "");
        assert_clean(TEXT_NAME, cases[i], "");
    }
}

static void inside_a_line_stays_inside_a_name_is_one(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"Block  A", "Block  A", "Block A"},
        {"Block\u00a0A", "Block\u00a0A", "Block A"},
        {"1\u968e\u3000A", "1\u968e\u3000A", "1\u968e A"},
        {"Block\u200b A", "Block\u200b A", "Block A"},
        {"Bl\u00adock", "Bl\u00adock", "Block"},
        {"A \u200b\u00a0 B", "A \u200b\u00a0 B", "A B"},
        {"\u200fAC/DC \u05ea", "\u200fAC/DC \u05ea",
         "AC/DC \u05ea"},                             /* the mark gives the direction */
        {"e\u200b\u0301", "e\u200b\u0301", "\u00e9"}, /* composed after the dropping */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_clean(TEXT_LINE, cases[i][0], cases[i][1]);
        assert_clean(TEXT_NAME, cases[i][0], cases[i][2]);
    }
}

static void lines_keep_their_ends_between_the_edges(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"One\nTwo", "One\nTwo"},
        {"One\r\nTwo\r\n", "One\nTwo"},
        {"\n \nOne\n\nTwo\n", "One\n\nTwo"},
        {"One \n Two", "One \n Two"},
        {"\r\n", ""},
        {"e\u0301\ne", "\u00e9\ne"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_clean(TEXT_LINES, cases[i][0], cases[i][1]);
    static const char *const refused[] = {"One\rTwo", "One\r", "One\tTwo", "One\vTwo",
                                          "One\u2028Two"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_int_equal(clean(TEXT_LINES, refused[i], 200), ST_INVALID);
    assert_int_equal(clean(TEXT_LINE, "One\nTwo", 200), ST_INVALID);
    assert_int_equal(clean(TEXT_LINE, "One\r\nTwo", 200), ST_INVALID);
    assert_int_equal(clean(TEXT_NAME, "One\nTwo", 200), ST_INVALID);
}

static void what_moves_other_text_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "a\nb",
        "a\x01",
        "\x7f",
        "a\xc2\x80",
        "a\xc2\x85"
        "b",
        "\xc2\x9f",
        "a\u2028b",
        "a\u2029",
        "\u202a"
        "b",
        "\u202b",
        "\u202c",
        "a\u202e"
        "b",
        "\u2066"
        "b",
        "\u2069",
        "a\ufffe",
        "\ufdd0",
        "\U0001ffff",
        "a\xff",
        "\xed\xa0\x80",
        "\xc3",
        "A\n",
        "\xc2\x85"
        "A",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (clean(TEXT_LINE, cases[i], 200) != ST_INVALID ||
            clean(TEXT_NAME, cases[i], 200) != ST_INVALID)
            fail_msg("case %zu was taken", i);
    }
}

static void characters_are_counted_not_bytes(void **state)
{
    (void)state;
    static const char *const characters[] = {"x",
                                             "\u00e9",
                                             "\ud55c",
                                             "\U0001f3ab",
                                             "\u1112\u1161\u11ab",
                                             "e\u0301",
                                             "\u1f00\u0300\u0345"};
    for (size_t i = 0; i < sizeof(characters) / sizeof(characters[0]); i++) {
        char text[TEXT_BYTES(4 * 64) + 8] = "  ";
        for (int n = 0; n < 64; n++)
            strcat(text, characters[i]);
        strcat(text, "\u00a0");
        assert_int_equal(clean(TEXT_NAME, text, 64), ST_OK);
        assert_int_equal(clean(TEXT_NAME, text, 63), ST_TOO_LARGE);
        assert_int_equal(clean(TEXT_LINE, text, 63), ST_TOO_LARGE);
    }
    /* One letter under ever more accents: each accent is a character. */
    char tower[2 * 64 + 2] = "z";
    for (int n = 0; n < 63; n++)
        strcat(tower, "\u0304");
    assert_int_equal(clean(TEXT_NAME, tower, 64), ST_OK);
    assert_int_equal(clean(TEXT_NAME, tower, 63), ST_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_composed),
        cmocka_unit_test(blanks_at_the_edges_are_dropped),
        cmocka_unit_test(nothing_to_see_is_nothing),
        cmocka_unit_test(inside_a_line_stays_inside_a_name_is_one),
        cmocka_unit_test(lines_keep_their_ends_between_the_edges),
        cmocka_unit_test(what_moves_other_text_is_refused),
        cmocka_unit_test(characters_are_counted_not_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
