/* SPDX-License-Identifier: MIT */
/*
 * log: one structured line per call on stderr.
 *
 * Why this way: a line is built on the stack and written with one write(2), so that lines of several threads never
 * mix and nothing is allocated (memory logs when it is out). A line that is too long is cut so that it
 * stays JSON: texts at 1 KiB, then whole fields. Called by: roles, drivers and main. Owns: the level.
 */
#include "base/log.h"

#include "base/clock.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES        8192
#define TEXT_MAX_BYTES        1024
#define SITE_LINES_PER_SECOND 10

static _Atomic int threshold = LOG_LEVEL_INFO;
static _Atomic int terminal = -1; /* -1: not known yet */
static _Thread_local const char *thread_name;

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};

bool log_level_parse(const char *text, enum log_level *ret_level)
{
    for (int i = 0; i <= LOG_LEVEL_OFF; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

void log_thread_name(const char *name)
{
    thread_name = name;
}

/* ---- a line on the stack ---- */

#define LINE_END  ",\"cut\":1}\n"
#define LINE_ROOM (LINE_MAX_BYTES - sizeof(LINE_END))

struct line {
    char data[LINE_MAX_BYTES];
    size_t len;
    bool
        full; /* a text did not fit; nothing is added until add_field has removed the unfinished field */
    bool cut; /* at least one field was left out */
};

static void add(struct line *line, const char *text, size_t len)
{
    if (line->full || len > LINE_ROOM - line->len) {
        line->full = true;
        return;
    }
    memcpy(line->data + line->len, text, len);
    line->len += len;
}

static void add_text(struct line *line, const char *text)
{
    add(line, text, strlen(text));
}

/* Escapes a text for JSON. Also escapes all control characters (even C1, which JSON allows), because a terminal
 * would obey them. Invalid UTF-8 becomes U+FFFD. */
static void add_escaped(struct line *line, const char *text)
{
    const size_t len = strnlen(text, TEXT_MAX_BYTES);
    for (size_t i = 0; i < len;) {
        const unsigned char c = (unsigned char)text[i];
        const size_t sequence = utf8_len(text + i, len - i);
        char escape[8];
        if (c == '"' || c == '\\') {
            add(line, "\\", 1);
            add(line, text + i, 1);
        } else if (c < 0x20 || c == 0x7f) {
            (void)snprintf(escape, sizeof(escape), "\\u%04x", c);
            add_text(line, escape);
        } else if (c == 0xc2 && sequence == 2 && (unsigned char)text[i + 1] < 0xa0) {
            (void)snprintf(escape, sizeof(escape), "\\u%04x", (unsigned char)text[i + 1]);
            add_text(line, escape);
        } else if (sequence > 0) {
            add(line, text + i, sequence);
        } else {
            add_text(line, "\xef\xbf\xbd");
        }
        i += sequence > 0 ? sequence : 1;
    }
    if (text[len] != '\0')
        add_text(line, "...");
}

/* Adds the whole field, or nothing of it when it does not fit. */
static void add_field(struct line *line, bool json, const struct log_field *field)
{
    const size_t before = line->len;
    add_text(line, json ? ",\"" : " ");
    add_text(line, field->key);
    add_text(line, json ? "\":" : "=");
    if (field->text) {
        add_text(line, json ? "\"" : "");
        add_escaped(line, field->text);
        add_text(line, json ? "\"" : "");
    } else {
        char digits[24];
        (void)snprintf(digits, sizeof(digits), "%lld", (long long)field->number);
        add_text(line, digits);
    }
    if (!line->full)
        return;
    line->len = before;
    line->full = false;
    line->cut = true;
}

/* ---- writing ---- */

/* May this call site write a line now? *ret_dropped: the number of its dropped lines that no written line has
 * reported yet. */
static bool site_passes(struct log_site *site, uint32_t *ret_dropped)
{
    const uint64_t now = clock_mono_ns() / 1000000000u + 1;
    uint64_t window = atomic_load_explicit(&site->window, memory_order_relaxed);
    *ret_dropped = 0;
    if (window != now &&
        atomic_compare_exchange_strong_explicit(&site->window, &window, now, memory_order_relaxed,
                                                memory_order_relaxed)) {
        atomic_store_explicit(&site->count, 0, memory_order_relaxed);
        *ret_dropped = atomic_exchange_explicit(&site->dropped, 0, memory_order_relaxed);
    }
    if (atomic_fetch_add_explicit(&site->count, 1, memory_order_relaxed) < SITE_LINES_PER_SECOND)
        return true;
    atomic_fetch_add_explicit(&site->dropped, 1 + *ret_dropped, memory_order_relaxed);
    return false;
}

void log_write(enum log_level level, struct log_site *site, const char *message,
               const struct log_field *fields, size_t field_count)
{
    struct line line;
    uint32_t dropped = 0;
    if (!log_enabled(level) || level >= LOG_LEVEL_OFF)
        return;
    if (site && !site_passes(site, &dropped))
        return;

    int is_terminal = atomic_load_explicit(&terminal, memory_order_relaxed);
    if (is_terminal < 0) {
        is_terminal = isatty(STDERR_FILENO);
        atomic_store_explicit(&terminal, is_terminal, memory_order_relaxed);
    }
    const bool json = !is_terminal;
    line.len = 0; /* not zeroed as a whole: 8 KiB */
    line.full = line.cut = false;
    char time[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(clock_wall_ms(), time);
    add_text(&line, json ? "{\"time\":\"" : "");
    add_text(&line, time);
    add_text(&line, json ? "\",\"level\":\"" : " ");
    add_text(&line, level_names[level]);
    add_text(&line, json ? "\",\"message\":\"" : "  ");
    add_escaped(&line, message);
    add_text(&line, json ? "\"" : "");
    if (thread_name)
        add_field(&line, json, &(struct log_field){.key = "worker", .text = thread_name});
    for (size_t i = 0; i < field_count; i++)
        add_field(&line, json, &fields[i]);
    if (dropped > 0)
        add_field(&line, json, &(struct log_field){.key = "suppressed", .number = dropped});

    const char *end = json ? "}\n" : "\n";
    if (line.cut)
        end = json ? LINE_END : " cut=1\n";
    memcpy(line.data + line.len, end, strlen(end)); /* LINE_ROOM leaves space for it */
    line.len += strlen(end);

    const char *at = line.data;
    while (line.len > 0) {
        const ssize_t n = write(STDERR_FILENO, at, line.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* stderr itself fails: the error cannot be reported anywhere */
        at += n;
        line.len -= (size_t)n;
    }
}
