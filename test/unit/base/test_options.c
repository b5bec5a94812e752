/* SPDX-License-Identifier: MIT */
/* options: defaults, each kind of value, and errors that name the option and what is allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/options.h"

#include <string.h>

struct fields {
    bool flag;
    int64_t count, large, wait, from, to;
    const char *text, *what;
    double share;
};
#define AT(field) offsetof(struct fields, field)

static const struct option_row rows[] = {
    {"flag", OPT_FLAG, AT(flag), 0, 0, NULL, NULL, "a flag"},
    {"count", OPT_COUNT, AT(count), 1, 10, "5", "N", "a count"},
    {"large", OPT_COUNT, AT(large), 2, INT64_MAX, NULL, "N", "a large count"},
    {"text", OPT_TEXT, AT(text), 0, 0, NULL, "TEXT", "a text"},
    {"wait", OPT_DURATION, AT(wait), 0, OPTIONS_DAY_MS, "2s", "TIME", "a time"},
    {"share", OPT_SHARE, AT(share), 0, 0, "0.5", "SHARE", "a share"},
    {"range", OPT_RANGE, AT(from), 0, OPTIONS_DAY_MS, "1s..2s", "A..B", "a range"},
    {"WHAT", OPT_ARGUMENT | OPT_REQUIRED, AT(what), 0, 0, NULL, NULL, "the argument"},
    {0},
};

static enum status parse(struct fields *fields, struct options_error *error, const char *first,
                         const char *second)
{
    static char what[] = "thing";
    char *argv[3] = {what, (char *)first, (char *)second};
    *fields = (struct fields){0};
    return options_parse(rows, first ? second ? 3 : 2 : 1, argv, fields, error);
}

static void defaults_are_filled_in(void **state)
{
    struct fields fields;
    struct options_error error;
    (void)state;
    assert_int_equal(parse(&fields, &error, NULL, NULL), ST_OK);
    assert_false(fields.flag);
    assert_int_equal(fields.count, 5);
    assert_int_equal(fields.large, 0);
    assert_null(fields.text);
    assert_int_equal(fields.wait, 2000);
    assert_true(fields.share == 0.5);
    assert_int_equal(fields.from, 1000);
    assert_int_equal(fields.to, 2000);
    assert_string_equal(fields.what, "thing");
}

static void each_kind_is_read(void **state)
{
    struct fields fields;
    struct options_error error;
    (void)state;
    assert_int_equal(parse(&fields, &error, "--flag", "--count=10"), ST_OK);
    assert_true(fields.flag);
    assert_int_equal(fields.count, 10);
    assert_int_equal(parse(&fields, &error, "--text", "--flag"),
                     ST_OK); /* a value, whatever it is */
    assert_string_equal(fields.text, "--flag");
    assert_int_equal(parse(&fields, &error, "--share=1", "--range=250ms"), ST_OK);
    assert_true(fields.share == 1.0);
    assert_int_equal(fields.from, 250);
    assert_int_equal(fields.to, 250);
    assert_int_equal(parse(&fields, &error, "--range", "0.5..1h"), ST_OK);
    assert_int_equal(fields.from, 500);
    assert_int_equal(fields.to, 3600000);
}

static void durations_have_units(void **state)
{
    static const char *const wrong[] = {"", "s", "-1s", "5x", "1 s", "25h", "1e999", "5ss"};
    struct fields fields;
    struct options_error error;
    (void)state;
    assert_int_equal(parse(&fields, &error, "--wait", "250ms"), ST_OK);
    assert_int_equal(fields.wait, 250);
    assert_int_equal(parse(&fields, &error, "--wait", "0.5"), ST_OK);
    assert_int_equal(fields.wait, 500);
    assert_int_equal(parse(&fields, &error, "--wait", "15m"), ST_OK);
    assert_int_equal(fields.wait, 900000);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(parse(&fields, &error, "--wait", wrong[i]), ST_INVALID);
        assert_non_null(strstr(error.text, "--wait"));
    }
}

static void errors_name_the_option_and_what_is_allowed(void **state)
{
    static const struct {
        const char *first, *second, *named, *allowed;
    } cases[] = {
        {"--count", "11", "--count", "from 1 to 10"},
        {"--count", "0", "--count", "from 1 to 10"},
        {"--count", "x", "--count", "not 'x'"},
        {"--count", NULL, "--count", "needs a value"},
        {"--large=1", NULL, "--large", "at least 2"},
        {"--large=9223372036854775808x", NULL, "--large", "at least 2"},
        {"--text=", NULL, "--text", "must not be empty"},
        {"--share=1.5", NULL, "--share", "from 0 to 1"},
        {"--range=2s..1s", NULL, "--range", "250ms..5s"},
        {"--flag=1", NULL, "--flag", "takes no value"},
        {"--wrong", NULL, "--wrong", "not an option"},
        {"--WHAT=x", NULL, "--WHAT", "not an option"},
        {"other", NULL, "'other'", "unexpected"},
    };
    struct fields fields;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct options_error error = {""};
        assert_int_equal(parse(&fields, &error, cases[i].first, cases[i].second), ST_INVALID);
        assert_non_null(strstr(error.text, cases[i].named));
        assert_non_null(strstr(error.text, cases[i].allowed));
    }
}

static void required_options_are_asked_for(void **state)
{
    struct fields fields = {0};
    struct options_error error = {""};
    char extra[] = "extra";
    char *argv[] = {extra};
    (void)state;
    assert_int_equal(options_parse(rows, 0, NULL, &fields, &error), ST_INVALID);
    assert_non_null(strstr(error.text, "WHAT is required: the argument"));
    assert_int_equal(options_parse(NULL, 0, NULL, &fields, &error), ST_OK);
    assert_int_equal(options_parse(NULL, 1, argv, &fields, &error), ST_INVALID);
    assert_non_null(strstr(error.text, "'extra'"));
}

static void help_has_a_line_for_each_row(void **state)
{
    static char text[4096];
    (void)state;
    FILE *out = fmemopen(text, sizeof(text), "w");
    assert_non_null(out);
    options_help(rows, out);
    options_help(NULL, out);
    (void)fclose(out);
    assert_non_null(strstr(text, "  --flag               a flag\n"));
    assert_non_null(strstr(text, "  --count N            a count (default 5)\n"));
    assert_non_null(strstr(text, "  WHAT                 the argument (required)\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_filled_in),
        cmocka_unit_test(each_kind_is_read),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(errors_name_the_option_and_what_is_allowed),
        cmocka_unit_test(required_options_are_asked_for),
        cmocka_unit_test(help_has_a_line_for_each_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
