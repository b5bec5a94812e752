/* SPDX-License-Identifier: MIT */
/* calendar: the lines of an appointment, escaped and folded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "page/calendar.h"

#include <string.h>

static void an_appointment(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 65536);
    calendar_write(&(struct calendar_entry){.uid = "id@tiketi",
                                            .at_ms = INT64_C(1810317600000),
                                            .now_ms = INT64_C(1795976539123),
                                            .summary = "Night; one, only\\",
                                            .location = "",
                                            .description = "A\r\nB",
                                            .url = "https://t.example/ticket/ab"},
                   &out);
    assert_string_equal(buf_str(&out),
                        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n"
                        "PRODID:-//tiketi//tiketi//EN\r\nMETHOD:PUBLISH\r\n"
                        "BEGIN:VEVENT\r\nUID:id@tiketi\r\nDTSTAMP:20261129T182219Z\r\n"
                        "DTSTART:20270514T180000Z\r\n"
                        "SUMMARY:Night\\; one\\, only\\\\\r\nDESCRIPTION:A\\nB\r\n"
                        "URL:https://t.example/ticket/ab\r\n"
                        "END:VEVENT\r\nEND:VCALENDAR\r\n");
    buf_clear(&out);
}

static void a_long_text_is_folded_between_characters(void **state)
{
    (void)state;
    static const char seoul[] = "서울";
    char text[601] = "";
    struct buf out;
    for (size_t i = 0; i + 6 < sizeof(text); i += 6)
        memcpy(text + i, seoul, 7);
    buf_init(&out, 65536);
    calendar_write(&(struct calendar_entry){.uid = "x", .summary = text}, &out);
    size_t found = 0, lines = 0;
    const char *line = buf_str(&out);
    for (const char *end; (end = strstr(line, "\r\n")); line = end + 2) {
        assert_in_range(end - line, 1, 75);
        if (*line != ' ' && strncmp(line, "SUMMARY:", 8) != 0)
            continue;
        line += *line == ' ' ? 1 : 8;
        assert_int_equal((end - line) % 3, 0); /* each of these characters has three bytes */
        assert_memory_equal(line, text + found, (size_t)(end - line));
        found += (size_t)(end - line);
        lines++;
    }
    assert_int_equal(found, strlen(text));
    assert_in_range(lines, 8, 10);
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_appointment),
        cmocka_unit_test(a_long_text_is_folded_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
