/* SPDX-License-Identifier: MIT */
/* language: which one a header prefers; messages: values and plurals are filled in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/language.h"
#include "page/messages.h"

#include <string.h>

static void a_header_is_read(void **state)
{
    static const struct {
        const char *header;
        enum language language;
    } cases[] = {
        {NULL, LANGUAGE_EN},
        {"", LANGUAGE_EN},
        {"ko", LANGUAGE_KO},
        {"ko-KR,ko;q=0.9,en;q=0.8", LANGUAGE_KO},
        {"JA-jp", LANGUAGE_JA},
        {"fr, ja;q=0.5, ko;q=0.7", LANGUAGE_KO},
        {"fr;q=1, *;q=0.9, ko;q=0.2", LANGUAGE_EN},
        {"en;q=0.1,ja ; q=0.2", LANGUAGE_JA},
        {"ko;q=0", LANGUAGE_EN},
        {"ko;q=0.000, ja;q=0.001", LANGUAGE_JA},
        {"ja,ko", LANGUAGE_JA},
        {"kok, jar", LANGUAGE_EN},
        {"ko;q=2, ja;q=1.5, en;q=x", LANGUAGE_EN},
        {"ko;level=1, ja", LANGUAGE_JA},
        {",,, ;, ja;q=0.3 ,", LANGUAGE_JA},
        {"ko;q=0.1234, ja;q=0.05", LANGUAGE_JA},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(language_accept(cases[i].header), cases[i].language);
}

static void a_language_tag_is_read(void **state)
{
    enum language language = LANGUAGE_COUNT;
    (void)state;
    assert_false(language_parse("", 0, &language));
    assert_false(language_parse("k", 1, &language));
    assert_false(language_parse("kor", 3, &language));
    assert_int_equal(language, LANGUAGE_COUNT);
    assert_true(language_parse("ko_", 2, &language));
    assert_int_equal(language, LANGUAGE_KO);
    assert_string_equal(language_code(LANGUAGE_JA), "ja");
}

static const char *written(struct buf *out, enum language language, const char *key,
                           const struct message_value *values)
{
    buf_reset(out);
    message_write(out, language, key, values);
    return buf_str(out);
}

static void messages_are_written(void **state)
{
    const struct message_value values[] = {{"h", "3"}, {"m", "15"}, {NULL, NULL}};
    struct buf out;
    (void)state;
    buf_init(&out, 1024);
    assert_string_equal(written(&out, LANGUAGE_EN, "estimate_hours_minutes", values),
                        "about 3 h 15 min");
    assert_string_equal(written(&out, LANGUAGE_KO, "estimate_hours_minutes", values),
                        "약 3시간 15분");
    assert_string_equal(written(&out, LANGUAGE_EN, "estimate_hours", NULL), "about  h");
    assert_string_equal(written(&out, LANGUAGE_EN, "no such key", values), "");
    assert_null(message(LANGUAGE_JA, "no such key"));
    buf_reset(&out);
    message_count(&out, LANGUAGE_EN, "ahead", 1);
    assert_string_equal(buf_str(&out), "1 person ahead of you");
    buf_reset(&out);
    message_count(&out, LANGUAGE_EN, "ahead", 0);
    message_count(&out, LANGUAGE_KO, "ahead", 1);
    assert_string_equal(buf_str(&out), "0 people ahead of you내 앞에 1명이 대기 중입니다");
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_is_read),
        cmocka_unit_test(a_language_tag_is_read),
        cmocka_unit_test(messages_are_written),
    };
    messages_load();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
