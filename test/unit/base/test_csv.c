/* SPDX-License-Identifier: MIT */
/* csv: the rows, and the place of an error, are the same however the file is cut into pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/csv.h"

/* Rows as text: cells between '|', a row in "<line>:…;". */
static bool note(void *arg, uint64_t line, const struct csv_cell *cells, size_t count)
{
    struct buf *seen = arg;
    buf_add_uint(seen, line);
    buf_add_char(seen, ':');
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(strlen(cells[i].text), cells[i].len);
        if (i > 0)
            buf_add_char(seen, '|');
        buf_add(seen, cells[i].text, cells[i].len);
    }
    buf_add_char(seen, ';');
    return true;
}

/* Feeds `text` in pieces of `step` bytes. Each piece is a copy of exactly its size, so that a sanitizer sees
 * reads beyond it. */
static enum status read_in(const char *text, size_t len, size_t step, struct buf *seen,
                           struct csv_error *ret_error)
{
    struct csv *csv = csv_new(note, seen);
    enum status st = ST_OK;
    for (size_t at = 0; at < len && st == ST_OK; at += step) {
        const size_t piece = len - at < step ? len - at : step;
        char *copy = malloc(piece);
        memcpy(copy, text + at, piece);
        st = csv_feed(csv, copy, piece);
        free(copy);
    }
    const enum status end = csv_end(csv);
    assert_true(st == ST_OK || end == ST_INVALID); /* an error is final */
    *ret_error = *csv_error(csv);
    csv_free(csv);
    return end;
}

static void rows_are_read_however_the_file_is_cut(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"a,b\r\nc,d\r\n", "1:a|b;2:c|d;"},
        {"a,b\nc,d", "1:a|b;2:c|d;"},
        {"a\r\nb\nc\r\n", "1:a;2:b;3:c;"}, /* line ends may differ */
        {"\xef\xbb\xbf"
         "a",
         "1:a;"},
        {"\xef\xbb\x80"
         "a",
         "1:\xef\xbb\x80"
         "a;"}, /* begins like a byte order mark */
        {"\xef\xbb\xbf", ""},
        {"\"\xef\xbb\xbf\"", "1:\xef\xbb\xbf;"},
        {"\"a\"\"b\",\"\",\"\"\"\"", "1:a\"b||\";"},
        {"\"a\r\nb\nc\",d\ne", "1:a\r\nb\nc|d;4:e;"},
        {",\n,", "1:|;2:|;"},
        {"\n\r\na", "1:;2:;3:a;"},
        {"a,", "1:a|;"},
        {"\"\"", "1:;"},
        {" a , b", "1: a | b;"}, /* spaces belong to the text */
        {"\xc3\xa9,\xf0\x9f\x8e\xab", "1:\xc3\xa9|\xf0\x9f\x8e\xab;"},
        {"a;b,c;\"d;e\"\n", "1:a|b,c|d;e;"}, /* the first one is the separator */
        {"a\tb;c", "1:a|b;c;"},
        {"\"a;b\",c;d", "1:a;b|c;d;"},
        {";;\na;b", "1:||;2:a|b;"},
        {"sep=;\r\na;b,c\n", "2:a|b,c;"},
        {"sep=,\na,b\n", "2:a|b;"},
        {"\"sep=\",\na,b\n", "1:sep=|;2:a|b;"},
        {"a,b\nsep=,\n", "1:a|b;2:sep=|;"}, /* only in the first line */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 1; step < 9; step++) {
            struct buf seen;
            struct csv_error error;
            buf_init(&seen, 4096);
            assert_int_equal(read_in(cases[i][0], strlen(cases[i][0]), step, &seen, &error), ST_OK);
            assert_int_equal(error.line, 0);
            assert_string_equal(buf_str(&seen), cases[i][1]);
            buf_clear(&seen);
        }
    }
}

/* Each byte of `text` is one unit of UTF-16; {0xd83c, 0xdfab} stands for '%'. */
static size_t write_utf16(const char *text, bool big, char *out)
{
    size_t len = 0;
    const char *units = big ? "\xfe\xff" : "\xff\xfe";
    memcpy(out, units, 2);
    for (len = 2; *text; text++) {
        const char ticket[4] = {(char)0xd8, 0x3c, (char)0xdf, (char)0xab};
        const char letter[2] = {0, *text};
        const char *from = *text == '%' ? ticket : letter;
        for (size_t i = 0; i < (*text == '%' ? 4u : 2u); i += 2) {
            out[len++] = from[big ? i : i + 1];
            out[len++] = from[big ? i + 1 : i];
        }
    }
    return len;
}

static void utf16_is_read_however_the_file_is_cut(void **state)
{
    (void)state;
    for (int big = 0; big <= 1; big++) {
        for (size_t step = 1; step < 9; step++) {
            char text[64];
            struct buf seen;
            struct csv_error error;
            buf_init(&seen, 4096);
            const size_t len = write_utf16("a\tb%\r\n%,", big, text);
            assert_int_equal(read_in(text, len, step, &seen, &error), ST_OK);
            assert_string_equal(buf_str(&seen), "1:a|b\xf0\x9f\x8e\xab;2:\xf0\x9f\x8e\xab,;");
            buf_reset(&seen);
            for (size_t cut = 1; cut <= 3; cut++) { /* in a unit, in a pair */
                const size_t shorter = write_utf16("a%", big, text) - cut;
                assert_int_equal(read_in(text, shorter, step, &seen, &error), ST_INVALID);
                assert_non_null(strstr(error.detail, "UTF-16"));
            }
            buf_clear(&seen);
        }
    }
}

static void errors_name_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        uint64_t line;
        size_t column;
        const char *word;
    } cases[] = {
#define TEXT(text) (text), sizeof(text) - 1
        {TEXT("a\nb,\"c\nd"), 2, 1, "not closed"},
        {TEXT("a\nb\"c\n"), 2, 0, "only in a cell"},
        {TEXT("\"a\"b"), 1, 0, "closing quote"},
        {TEXT("\"a\" ,b"), 1, 0, "closing quote"},
        {TEXT("a\rb\n"), 1, 0, "CRLF"},
        {TEXT("a\r\r\n"), 1, 0, "CRLF"},
        {TEXT("a\r"), 1, 0, "CRLF"},
        {TEXT("a\nb,\0"), 2, 1, "NUL"},
        {TEXT("a\nb,c,\xff\n"), 2, 2, "UTF-8"},
        {TEXT("a\n\xc3,\xa9"), 2, 0, "UTF-8"},
        {TEXT("\xed\xa0\x80"), 1, 0, "UTF-8"}, /* half a surrogate */
        {TEXT("\xef\xbb"), 1, 0, "UTF-8"},
        {TEXT("\xff"), 1, 0, "UTF-8"},
        {TEXT("\xff\xfe\x00\xdc"), 1, 0, "UTF-16"}, /* the second half of a pair */
        {TEXT("\xff\xfe\x3c\xd8\x3c\xd8"), 1, 0, "UTF-16"},
        {TEXT("\xff\xfe\x00\x00"), 1, 0, "NUL"}, /* as UTF-32 begins */
        {TEXT("\"a\n\n\xff\"\nb"), 1, 0, "UTF-8"},
        {TEXT("a\n1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25"), 2, 24,
         "columns"},
        {TEXT("1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,"), 1, 24, "columns"},
#undef TEXT
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 1; step < 9; step++) {
            struct buf seen;
            struct csv_error error;
            buf_init(&seen, 4096);
            assert_int_equal(read_in(cases[i].text, cases[i].len, step, &seen, &error), ST_INVALID);
            if (error.line != cases[i].line || error.column != cases[i].column ||
                !strstr(error.detail, cases[i].word))
                fail_msg("case %zu: line %d column %zu: %s", i, (int)error.line, error.column,
                         error.detail);
            buf_clear(&seen);
        }
    }
}

static void cells_have_a_limit(void **state)
{
    (void)state;
    char text[CSV_CELL_MAX + 4];
    struct buf seen;
    struct csv_error error;
    buf_init(&seen, 4096);
    memset(text, 'x', sizeof(text));
    memcpy(text, "a\n", 2);
    assert_int_equal(read_in(text, CSV_CELL_MAX + 2, 100, &seen, &error), ST_OK);
    assert_int_equal(seen.len, 4 + 2 + CSV_CELL_MAX + 1);
    assert_int_equal(read_in(text, CSV_CELL_MAX + 3, 100, &seen, &error), ST_INVALID);
    assert_int_equal(error.line, 2);
    assert_non_null(strstr(error.detail, "too long"));
    buf_clear(&seen);
}

static bool one_only(void *arg, uint64_t line, const struct csv_cell *cells, size_t count)
{
    unsigned *calls = arg;
    (void)line, (void)cells, (void)count;
    (*calls)++;
    return false;
}

static void the_callback_can_stop(void **state)
{
    (void)state;
    unsigned calls = 0;
    struct csv *csv = csv_new(one_only, &calls);
    assert_int_equal(csv_feed(csv, "a\nb\nc", 5), ST_INVALID);
    assert_int_equal(csv_feed(csv, "d\n", 2), ST_INVALID);
    assert_int_equal(csv_end(csv), ST_INVALID);
    assert_int_equal(calls, 1);
    assert_int_equal(csv_error(csv)->line, 0); /* the file has no error */
    csv_free(csv);
    csv_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_read_however_the_file_is_cut),
        cmocka_unit_test(utf16_is_read_however_the_file_is_cut),
        cmocka_unit_test(errors_name_line_and_column),
        cmocka_unit_test(cells_have_a_limit),
        cmocka_unit_test(the_callback_can_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
