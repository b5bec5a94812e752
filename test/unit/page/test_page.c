/* SPDX-License-Identifier: MIT */
/* page: values are filled in and escaped, sections shown or not, malformed templates refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "page/page.h"

#include <string.h>

static const char *value(void *arg, const char *name)
{
    (void)arg;
    if (strcmp(name, "title") == 0)
        return "<Rock & \"Roll\">'s";
    if (strcmp(name, "html") == 0)
        return "<b>bold</b>";
    if (strcmp(name, "empty") == 0)
        return "";
    return NULL;
}

static const char *part(void *arg, const char *name, size_t *ret_len)
{
    (void)arg;
    const char *text = strcmp(name, "head") == 0    ? "[{{html}}]"
                       : strcmp(name, "bad") == 0   ? "{{#title}}"
                       : strcmp(name, "again") == 0 ? "{{>again}}"
                                                    : NULL;
    *ret_len = text != NULL ? strlen(text) : 0;
    return text;
}

static const struct page_source source = {.value = value, .part = part};

static enum status fill(struct buf *out, const char *text)
{
    buf_reset(out);
    return page_fill(out, text, strlen(text), &source);
}

static void templates_are_filled(void **state)
{
    static const struct {
        const char *text, *filled;
    } cases[] = {
        {"", ""},
        {"plain { text } }}", "plain { text } }}"},
        {"a{{title}}b", "a&lt;Rock &amp; &quot;Roll&quot;&gt;&#39;sb"},
        {"{{html}}{{&html}}", "&lt;b&gt;bold&lt;/b&gt;<b>bold</b>"},
        {"{{nothing}}{{empty}}{{&nothing}}", ""},
        {"{{#title}}yes{{/title}}{{^title}}no{{/title}}", "yes"},
        {"{{#empty}}yes{{/empty}}{{^empty}}no{{/empty}}", "no"},
        {"{{#nothing}}{{#title}}x{{/title}}{{^nothing}}y{{/nothing}}{{/nothing}}.", "."},
        {"{{^nothing}}{{#title}}x{{/title}}{{/nothing}}.", "x."},
        {"{{>head}}{{>head}}", "[&lt;b&gt;bold&lt;/b&gt;][&lt;b&gt;bold&lt;/b&gt;]"},
        {"{{#nothing}}{{>unknown}}{{/nothing}}", ""},
    };
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(fill(&out, cases[i].text), ST_OK);
        assert_string_equal(buf_str(&out), cases[i].filled);
    }
    buf_clear(&out);
}

static void malformed_templates_are_refused(void **state)
{
    static const char *const texts[] = {
        "{{",
        "{{}}",
        "{{title",
        "{{title}",
        "{{ti tle}}",
        "{{#title}}",
        "{{/title}}",
        "{{#title}}{{/other}}",
        "{{#title}}{{#html}}{{/title}}{{/html}}",
        "{{#nothing}}{{broken",
        "{{>unknown}}",
        "{{>bad}}",
        "{{>again}}",
        "{{&}}",
        "{{a234567890123456789012345678901234567890123456789}}",
        "{{#html}}{{#html}}{{#html}}{{#html}}{{#html}}{{#html}}{{#html}}{{#html}}{{#html}}",
    };
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(fill(&out, texts[i]), ST_INVALID);
    buf_clear(&out);
}

static void a_page_that_does_not_fit_is_refused(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 8);
    assert_int_equal(fill(&out, "{{title}}"), ST_TOO_LARGE);
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_are_filled),
        cmocka_unit_test(malformed_templates_are_refused),
        cmocka_unit_test(a_page_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
