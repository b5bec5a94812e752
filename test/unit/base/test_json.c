/* SPDX-License-Identifier: MIT */
/* json: anything but strict JSON is refused, and the field is named; output is JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct json *parse(const char *text)
{
    struct json_error error;
    return json_parse(text, strlen(text), 65536, &error);
}

static struct json *must_parse(const char *text)
{
    struct json *value = parse(text);
    assert_non_null(value);
    return value;
}

static void refuse(const char *text)
{
    struct json_error error = {.field = "untouched"};
    assert_null(json_parse(text, strlen(text), 65536, &error));
    assert_string_not_equal(error.detail, "");
    assert_string_not_equal(error.field, "untouched");
    assert_null(json_parse(text, strlen(text), 65536, NULL));
}

/* ---- parsing ---- */

static void other_texts_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\":}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1}x",
        "{\"a\":1}{}",
        "nul",
        "True",
        "NaN",
        "Infinity",
        "01",
        "+1",
        "1.",
        ".5",
        "0x10",
        "1e",
        "\"",
        "\"a\nb\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"a\\u0000b\"", /* a NUL would cut a C string */
        "// comment\n1",
        "/* */1",
        "\xef\xbb\xbf{}", /* a byte order mark */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        refuse(bad[i]);
    assert_null(json_parse("{}\0", 3, 100, NULL));
    assert_null(json_parse("{\"a\":1\0}", 8, 100, NULL)); /* jansson would pass it over */
}

static void duplicate_keys_are_named(void **state)
{
    struct json_error error;
    static const char text[] = "{\"a\":1,\"quantity\":2,\"b\":3,\"quantity\":4}";
    (void)state;
    assert_null(json_parse(text, strlen(text), 1000, &error));
    assert_string_equal(error.field, "quantity");
    refuse("{\"a\":{\"b\":1,\"b\":1}}");
    refuse("{\"a\":1,\"\\u0061\":2}"); /* the same key, written differently */
    json_free(must_parse("{\"a\":1,\"b\":{\"a\":1},\"A\":2}"));
}

static void nesting_is_bounded(void **state)
{
    char text[200000];
    (void)state;
    for (int depth = 1; depth <= 40; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        struct json *value = json_parse(text, (size_t)depth * 2, sizeof(text), NULL);
        assert_true(!value == (depth > 32));
        json_free(value);
    }
    memset(text, '[', sizeof(text));
    assert_null(json_parse(text, sizeof(text), sizeof(text), NULL));
    for (size_t i = 0; i < sizeof(text) - 5; i += 5)
        memcpy(text + i, "{\"a\":", 5);
    assert_null(json_parse(text, sizeof(text), sizeof(text), NULL));
    /* Brackets in a string do not count, nor after an escaped quote. */
    json_free(must_parse("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\""));
    json_free(must_parse("\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\""));
    json_free(must_parse("[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],"
                         "[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]"));
}

static void length_is_bounded(void **state)
{
    struct json_error error;
    (void)state;
    struct json *value = json_parse("[1,2]", 5, 5, &error);
    assert_non_null(value);
    json_free(value);
    assert_null(json_parse("[1,2]", 5, 4, &error));
    assert_non_null(strstr(error.detail, "4 bytes"));
}

static void huge_numbers_are_refused(void **state)
{
    int64_t n = 7;
    struct json_error error;
    (void)state;
    refuse("9223372036854775808");
    refuse("-9223372036854775809");
    refuse("[1e400]");
    refuse("{\"n\":99999999999999999999999999999999999999999999}");
    struct json *value = must_parse("{\"n\":-9223372036854775808,\"f\":1e18,\"z\":-0}");
    assert_int_equal(json_read_int(value, "n", INT64_MIN, INT64_MAX, &n, &error), ST_OK);
    assert_true(n == INT64_MIN);
    assert_int_equal(json_read_int(value, "f", INT64_MIN, INT64_MAX, &n, &error), ST_INVALID);
    assert_int_equal(json_read_int(value, "z", 0, 0, &n, &error), ST_OK);
    assert_int_equal(n, 0);
    json_free(value);
}

static void invalid_utf8_is_refused(void **state)
{
    static const char *const bad[] = {"\"\xff\"",     "\"\x80\"",         "\"\xc0\xaf\"",
                                      "\"\xe2\x82\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"",
                                      "{\"\xff\":1}", "{\"\xc3\":1}",     "\xff"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        refuse(bad[i]);
    struct json *value = must_parse("\"\xc3\xa9\xf0\x9f\x8e\xab\\ud83c\\udfab\"");
    assert_string_equal(json_str_value(value), "\xc3\xa9\xf0\x9f\x8e\xab\xf0\x9f\x8e\xab");
    json_free(value);
}

/* ---- reading ---- */

static void lenient_readers_fall_back(void **state)
{
    (void)state;
    struct json *v =
        must_parse("{\"s\":\"t\",\"i\":5,\"d\":1.5,\"b\":true,\"n\":null,\"a\":[1,\"x\"]}");
    assert_true(json_is_object(v));
    assert_false(json_is_array(v));
    assert_true(json_has(v, "n"));
    assert_false(json_has(v, "nope"));
    assert_true(json_is_null(json_get(v, "n")));
    assert_false(json_is_null(NULL));
    assert_string_equal(json_str(v, "s"), "t");
    assert_null(json_str(v, "i"));
    assert_null(json_str(v, "nope"));
    assert_int_equal(json_int(v, "i", 9), 5);
    assert_int_equal(json_int(v, "d", 9), 9);
    assert_int_equal(json_int(v, "s", 9), 9);
    assert_true(json_double(v, "d", 0.0) == 1.5);
    assert_true(json_double(v, "i", 0.0) == 5.0);
    assert_true(json_double(v, "s", 2.0) == 2.0);
    assert_true(json_bool(v, "b", false));
    assert_true(json_bool(v, "nope", true));
    assert_false(json_bool(v, "i", false));
    const struct json *a = json_get(v, "a");
    assert_int_equal(json_array_len(a), 2);
    assert_int_equal(json_int_value(json_array_at(a, 0), 0), 1);
    assert_string_equal(json_str_value(json_array_at(a, 1)), "x");
    assert_int_equal(json_str_value_len(json_array_at(a, 1)), 1);
    assert_null(json_array_at(a, 2));
    assert_int_equal(json_array_len(v), 0);
    assert_int_equal(json_array_len(NULL), 0);
    assert_null(json_get(NULL, "a"));
    assert_null(json_get(a, "a"));
    assert_null(json_str_value(NULL));
    json_free(v);
    json_free(NULL);
}

static void strings_are_read_strictly(void **state)
{
    const char *text = "untouched";
    struct json_error error;
    (void)state;
    struct json *v =
        must_parse("{\"ok\":\"abc\",\"n\":null,\"i\":1,\"nl\":\"a\\nb\",\"del\":\"\\u007f\"}");
    assert_int_equal(json_read_str(v, "nope", 3, &text, &error), ST_OK);
    assert_int_equal(json_read_str(v, "n", 3, &text, &error), ST_OK);
    assert_string_equal(text, "untouched");
    static const char *const bad[] = {"i", "nl", "del"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(json_read_str(v, bad[i], 10, &text, &error), ST_INVALID);
        assert_string_equal(error.field, bad[i]);
        assert_string_equal(text, "untouched");
    }
    assert_int_equal(json_read_str(v, "ok", 2, &text, &error), ST_INVALID);
    assert_int_equal(json_read_str(v, "ok", 3, &text, &error), ST_OK);
    assert_string_equal(text, "abc");
    json_free(v);
}

static void integers_are_read_strictly(void **state)
{
    static const char *const bad[] = {"s", "f", "b", "o", "low", "high"};
    int64_t n = 77;
    struct json_error error;
    (void)state;
    struct json *v = must_parse("{\"s\":\"1\",\"f\":1.0,\"b\":true,\"o\":{},\"low\":0,\"high\":11,"
                                "\"min\":1,\"max\":10,\"n\":null}");
    for (int i = 0; i < 6; i++) {
        assert_int_equal(json_read_int(v, bad[i], 1, 10, &n, &error), ST_INVALID);
        assert_string_equal(error.field, bad[i]);
        assert_non_null(strstr(error.detail, "from 1 to 10"));
    }
    assert_int_equal(json_read_int(v, "n", 1, 10, &n, &error), ST_OK);
    assert_int_equal(json_read_int(v, "nope", 1, 10, &n, NULL), ST_OK);
    assert_int_equal(n, 77);
    assert_int_equal(json_read_int(v, "min", 1, 10, &n, &error), ST_OK);
    assert_int_equal(n, 1);
    assert_int_equal(json_read_int(v, "max", 1, 10, &n, &error), ST_OK);
    assert_int_equal(n, 10);
    assert_int_equal(json_read_int(v, "s", 1, 10, &n, NULL), ST_INVALID);
    json_free(v);
}

static void a_refusal_has_a_name_and_the_values_of_its_sentence(void **state)
{
    struct json_error error;
    struct buf out;
    buf_init(&out, 4096);
    (void)state;
    struct json *object = json_new_object();
    assert_int_equal(json_refuse(&error, "surge", "not-in-range",
                                 "%s of %.3s: 100%% from %lld to %zu%s", "surge", "abcdef", -1LL,
                                 (size_t)10, "."),
                     ST_INVALID);
    assert_string_equal(error.detail, "surge of abc: 100% from -1 to 10.");
    json_set_reason(object, &error);
    json_write(object, &out);
    assert_string_equal(buf_str(&out), "{\"reason\":\"not-in-range\",\"values\":[\"surge\",\"abc\","
                                       "\"-1\",\"10\",\".\"]}");
    json_free(object);
    /* no values; a value that was cut within a character; the parent of a field */
    object = json_new_object();
    (void)json_refuse(&error, "a", "needed", "It is needed.");
    json_set_reason(object, &error);
    assert_true(json_has(object, "reason") && !json_has(object, "values"));
    (void)json_refuse(&error, "a", "no-such-day", "there is no day %.2s.", "\xec\x84\x9c");
    json_set_reason(object, &error);
    assert_string_equal(json_str_value(json_array_at(json_get(object, "values"), 0)), "");
    assert_int_equal(json_refuse_in(&error, "links"), ST_INVALID);
    assert_string_equal(error.field, "links.a");
    assert_int_equal(json_refuse_in(NULL, "links"), ST_INVALID);
    json_free(object);
    buf_clear(&out);
}

static void booleans_and_times_are_read_strictly(void **state)
{
    bool flag = true;
    int64_t ms = 77;
    struct json_error error;
    (void)state;
    struct json *v = must_parse("{\"t\":true,\"f\":false,\"i\":0,\"s\":\"false\",\"n\":null,"
                                "\"at\":\"2026-11-21T20:00:00Z\",\"bad\":\"tomorrow\"}");
    assert_int_equal(json_read_bool(v, "i", &flag, &error), ST_INVALID);
    assert_int_equal(json_read_bool(v, "s", &flag, &error), ST_INVALID);
    assert_int_equal(json_read_bool(v, "n", &flag, &error), ST_OK);
    assert_true(flag);
    assert_int_equal(json_read_bool(v, "f", &flag, &error), ST_OK);
    assert_false(flag);
    assert_int_equal(json_read_bool(v, "t", &flag, &error), ST_OK);
    assert_true(flag);
    assert_int_equal(json_read_time(v, "bad", &ms, &error), ST_INVALID);
    assert_string_equal(error.field, "bad");
    assert_int_equal(json_read_time(v, "i", &ms, &error), ST_INVALID);
    assert_int_equal(json_read_time(v, "n", &ms, &error), ST_OK);
    assert_int_equal(json_read_time(v, "nope", &ms, &error), ST_OK);
    assert_int_equal(ms, 77);
    assert_int_equal(json_read_time(v, "at", &ms, &error), ST_OK);
    assert_true(ms == INT64_C(1795291200000));
    json_free(v);
}

static void a_time_that_is_not_valid_is_told_what_it_lacks(void **state)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"2026-11-21T20:00:00", "no time zone"},
        {"2026-11-21T20:00:00.250", "no time zone"},
        {"2026-11-21T20:00", "no seconds and no time zone"},
        {"2026-11-21", "day without a time"},
        {"2026-02-30T20:00:00Z", "no day 2026-02-30"},
        {"2026-02-30T20:00:00", "with its zone"},
        {"tomorrow", "with its zone"},
        {"", "with its zone"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_error error;
        int64_t ms = 77;
        struct json *v = json_new_object();
        json_set_str(v, "opensAt", cases[i].text);
        assert_int_equal(json_read_time(v, "opensAt", &ms, &error), ST_INVALID);
        assert_int_equal(ms, 77);
        assert_string_equal(error.field, "opensAt");
        assert_non_null(strstr(error.detail, cases[i].part));
        json_free(v);
    }
    struct json_error error;
    int64_t ms;
    struct json *v = must_parse("{\"opensAt\":\"2026-11-21T20:00:00+09:00\"}");
    assert_int_equal(json_read_time(v, "opensAt", &ms, &error), ST_OK);
    assert_true(ms == INT64_C(1795258800000));
    json_free(v);
}

static void reals_are_written_as_people_write_them(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {325.99998, "325.99998"}, {0.1, "0.1"}, {326, "326.0"}, {1.0 / 3, "0.333333333333333"}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf out;
        char expected[64];
        struct json *v = json_new_object();
        json_set_real(v, "n", cases[i].value);
        buf_init(&out, 256);
        json_write(v, &out);
        (void)snprintf(expected, sizeof(expected), "{\"n\":%s}", cases[i].text);
        assert_string_equal(buf_str(&out), expected);
        buf_clear(&out);
        json_free(v);
    }
}

static void unknown_keys_are_named(void **state)
{
    static const char *const known[] = {"a", "b", NULL};
    struct json_error error;
    (void)state;
    struct json *v = must_parse("{\"b\":1,\"a\":2}");
    assert_int_equal(json_known_keys(v, known, &error), ST_OK);
    json_free(v);
    v = must_parse("{\"a\":1,\"ab\":2}");
    assert_int_equal(json_known_keys(v, known, &error), ST_INVALID);
    assert_string_equal(error.field, "ab");
    json_free(v);
    char text[400], key[300];
    memset(key, 'k', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    (void)snprintf(text, sizeof(text), "{\"%s\":1}", key);
    v = must_parse(text);
    assert_int_equal(json_known_keys(v, known, &error), ST_INVALID); /* cut, not overrun */
    assert_int_equal(strlen(error.field), sizeof(error.field) - 1);
    json_free(v);
}

/* ---- writing ---- */

static void writing_is_compact_and_ordered(void **state)
{
    struct buf out;
    (void)state;
    struct json *v = json_new_object(), *a = json_new_array();
    json_set_str(v, "z", "a\"\n\xc3\xa9");
    json_set_str(v, "none", NULL);
    json_set_str(v, "bad", "\xff");
    json_set_int(v, "i", INT64_MIN);
    json_set_bool(v, "t", true);
    json_set_bool(v, "f", false);
    json_set_null(v, "n");
    json_set_real(v, "r", 0.5);
    json_set_real(v, "nan", (double)__builtin_nan(""));
    json_append(a, must_parse("{\"k\":[]}"));
    json_set(v, "a", a);
    json_set_int(v, "i", 3); /* replaces */
    struct json *copy = json_new_copy(v);
    json_free(v);
    v = copy;
    buf_init(&out, 1000);
    json_write(v, &out);
    assert_string_equal(buf_str(&out),
                        "{\"z\":\"a\\\"\\n\xc3\xa9\",\"none\":null,\"bad\":null,\"i\":3,\"t\":true,"
                        "\"f\":false,\"n\":null,\"r\":0.5,\"nan\":null,\"a\":[{\"k\":[]}]}");
    json_free(v);
    buf_clear(&out);
}

static void writing_obeys_the_buffers_maximum(void **state)
{
    struct buf out;
    (void)state;
    struct json *v = must_parse("{\"a\":\"0123456789\"}");
    buf_init(&out, 10);
    json_write(v, &out);
    assert_int_equal(buf_status(&out), ST_TOO_LARGE);
    json_free(v);
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(duplicate_keys_are_named),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(length_is_bounded),
        cmocka_unit_test(huge_numbers_are_refused),
        cmocka_unit_test(invalid_utf8_is_refused),
        cmocka_unit_test(lenient_readers_fall_back),
        cmocka_unit_test(strings_are_read_strictly),
        cmocka_unit_test(integers_are_read_strictly),
        cmocka_unit_test(booleans_and_times_are_read_strictly),
        cmocka_unit_test(a_refusal_has_a_name_and_the_values_of_its_sentence),
        cmocka_unit_test(a_time_that_is_not_valid_is_told_what_it_lacks),
        cmocka_unit_test(reals_are_written_as_people_write_them),
        cmocka_unit_test(unknown_keys_are_named),
        cmocka_unit_test(writing_is_compact_and_ordered),
        cmocka_unit_test(writing_obeys_the_buffers_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
