/* SPDX-License-Identifier: MIT */
/*
 * calendar: an appointment as an iCalendar file.
 *
 * Why this way: the time is in UTC, which every calendar shows in its own zone, so no definition of a zone is needed.
 * Called by: api_ticket. Pure.
 */
#include "page/calendar.h"

#include "base/utf8.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define LINE_MAX_BYTES 75 /* a longer line is continued in the next one, after a blank */

static void add_time(struct buf *out, const char *name, int64_t ms)
{
    const time_t at = (time_t)(ms / 1000);
    struct tm utc;
    char text[32];
    if (!gmtime_r(&at, &utc) || strftime(text, sizeof(text), "%Y%m%dT%H%M%SZ", &utc) == 0)
        return;
    buf_printf(out, "%s:%s\r\n", name, text);
}

/* Escapes and folds; no character is cut. */
static void add_text(struct buf *out, const char *name, const char *text)
{
    if (!text || *text == '\0')
        return;
    size_t line = strlen(name) + 1;
    buf_printf(out, "%s:", name);
    for (const char *at = text, *end = text + strlen(text); at < end;) {
        size_t len = utf8_len(at, (size_t)(end - at));
        len = len > 0 ? len : 1;
        const bool is_special = strchr("\\;,\n", *at);
        if (line + len + is_special > LINE_MAX_BYTES) {
            buf_add_str(out, "\r\n ");
            line = 1;
        }
        if (is_special)
            buf_add_char(out, '\\');
        if (*at == '\n')
            buf_add_char(out, 'n');
        else if (*at != '\r')
            buf_add(out, at, len);
        line += len + is_special;
        at += len;
    }
    buf_add_str(out, "\r\n");
}

void calendar_write(const struct calendar_entry *entry, struct buf *out)
{
    buf_add_str(out, "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//tiketi//tiketi//EN\r\n"
                     "METHOD:PUBLISH\r\nBEGIN:VEVENT\r\n");
    add_text(out, "UID", entry->uid);
    add_time(out, "DTSTAMP", entry->now_ms);
    add_time(out, "DTSTART", entry->at_ms);
    add_text(out, "SUMMARY", entry->summary);
    add_text(out, "LOCATION", entry->location);
    add_text(out, "DESCRIPTION", entry->description);
    add_text(out, "URL", entry->url);
    buf_add_str(out, "END:VEVENT\r\nEND:VCALENDAR\r\n");
}
