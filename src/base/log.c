/* SPDX-License-Identifier: MIT */
/*
 * log: one structured line per call on stderr.
 *
 * Why this way: a line is built on the stack and written with one write(2), so that lines of several threads never
 * mix and nothing is allocated (memory.c must be able to log that no memory is left). A line that is too long is cut so that it
 * stays JSON: texts at 1 KiB, then whole fields. It fits into PIPE_BUF: a pipe that has space at all takes all of it.
 * A loop must not wait for who reads the log. A pipe's O_NONBLOCK would be that of everybody who has it (a terminal, the
 * shell), so never_block asks poll first, under a lock, because two writers might see the same space.
 * Called by: roles, drivers and main. Owns: the level, who we are.
 */
#include "base/log.h"

#include "base/clock.h"
#include "base/metrics.h"
#include "base/trace.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MAX_BYTES        4096 /* no more than PIPE_BUF */
#define TEXT_MAX_BYTES        1024
#define SITE_LINES_PER_SECOND 10
#define ACCESS_SAMPLE         100

static _Atomic int threshold = LOG_LEVEL_INFO;
static _Atomic int terminal = -1; /* is stderr a terminal? -1: not known yet */
static _Thread_local const char *thread_name;

/* Both are set before any thread starts. */
static struct {
    char version[32], pod[64], role[64];
} identity;
static struct {
    bool never_blocks;
    int access_most; /* bytes in a pipe above which no access line is added; 0: it is no pipe */
} output;
static pthread_mutex_t output_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint32_t
    lost; /* lines that stderr did not take, and that no line has reported yet */
_Static_assert(LINE_MAX_BYTES <= PIPE_BUF, "a pipe takes a line whole");

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

const char *log_level_name(enum log_level level)
{
    return level_names[level];
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

/* ---- the access log ---- */

static _Atomic int access_chosen = LOG_ACCESS_OFF;
static _Thread_local unsigned access_seen;

static const char *const access_names[] = {"off", "errors", "sampled", "all"};

const char *log_access_name(enum log_access access)
{
    return access_names[access];
}

bool log_access_parse(const char *text, enum log_access *ret)
{
    for (int i = 0; i <= LOG_ACCESS_ALL; i++) {
        if (strcmp(text, access_names[i]) == 0) {
            *ret = (enum log_access)i;
            return true;
        }
    }
    return false;
}

void log_set_access(enum log_access access)
{
    atomic_store_explicit(&access_chosen, (int)access, memory_order_relaxed);
}

bool log_access_due(unsigned status)
{
    switch (atomic_load_explicit(&access_chosen, memory_order_relaxed)) {
    case LOG_ACCESS_ERRORS:
        return status >= 400;
    case LOG_ACCESS_SAMPLED:
        return access_seen++ % ACCESS_SAMPLE == 0 || status >= 500;
    case LOG_ACCESS_ALL:
        return true;
    default:
        return false;
    }
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
        char digits[32];
        if (field->thousandths)
            (void)snprintf(digits, sizeof(digits), "%.3f", (double)field->number / 1000);
        else
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

/* Is there space for one line, without waiting? Call under output_lock. */
static bool output_ready(bool access)
{
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    int queued = 0;
    if (access && output.access_most > 0 && ioctl(STDERR_FILENO, FIONREAD, &queued) == 0 &&
        queued > output.access_most)
        return false;
    return poll(&out, 1, 0) == 1 && (out.revents & POLLOUT);
}

/* False: stderr has no space, or fails, which cannot be reported anywhere. */
static bool put(const char *at, size_t len)
{
    while (len > 0) {
        const ssize_t n = write(STDERR_FILENO, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* False: it was dropped, and counted. */
static bool write_line(const struct line *line, bool access)
{
    bool written;
    if (output.never_blocks) {
        (void)pthread_mutex_lock(&output_lock);
        written = output_ready(access) && put(line->data, line->len);
        (void)pthread_mutex_unlock(&output_lock);
    } else {
        written = put(line->data, line->len);
    }
    if (!written)
        metrics_add(access ? METRIC_LOG_ACCESS_LOST : METRIC_LOG_LOST, 1);
    return written;
}

void log_identify(const char *version, const char *pod, const char *role)
{
    (void)snprintf(identity.version, sizeof(identity.version), "%s", version);
    (void)snprintf(identity.pod, sizeof(identity.pod), "%s", pod);
    (void)snprintf(identity.role, sizeof(identity.role), "%s", role);
}

void log_never_block(void)
{
    struct stat stat;
    output.never_blocks = true;
    if (fstat(STDERR_FILENO, &stat) != 0 || !S_ISFIFO(stat.st_mode))
        return;
    const int size = fcntl(STDERR_FILENO, F_GETPIPE_SZ);
    output.access_most = size > 0 ? size / 2 : 0;
}

static void line_begin(struct line *line, bool json, enum log_level level, const char *message)
{
    char time[CLOCK_RFC3339_SIZE];
    line->len = 0; /* the other 4 KiB of the line need not be zeroed */
    line->full = line->cut = false;
    clock_format_rfc3339(clock_wall_ms(), time);
    add_text(line, json ? "{\"time\":\"" : "");
    add_text(line, time);
    add_text(line, json ? "\",\"level\":\"" : " ");
    add_text(line, level_names[level]);
    add_text(line, json ? "\",\"message\":\"" : "  ");
    add_escaped(line, message);
    add_text(line, json ? "\"" : "");
}

static void line_end(struct line *line, bool json)
{
    const char *end = json ? "}\n" : "\n";
    if (line->cut)
        end = json ? LINE_END : " cut=1\n";
    memcpy(line->data + line->len, end, strlen(end)); /* LINE_ROOM leaves space for it */
    line->len += strlen(end);
}

/* Adds the field unless its text is "" or NULL. */
static void add_known(struct line *line, bool json, const char *key, const char *text)
{
    if (text && *text != '\0')
        add_field(line, json, &(struct log_field){.key = key, .text = text});
}

static bool names_request(const struct log_field *fields, size_t field_count)
{
    for (size_t i = 0; i < field_count; i++)
        if (strcmp(fields[i].key, "requestId") == 0)
            return true;
    return false;
}

static bool output_is_json(void)
{
    int is_terminal = atomic_load_explicit(&terminal, memory_order_relaxed);
    if (is_terminal < 0) {
        is_terminal = isatty(STDERR_FILENO);
        atomic_store_explicit(&terminal, is_terminal, memory_order_relaxed);
    }
    return !is_terminal;
}

static void write_whole(enum log_level level, const char *message, const struct log_field *fields,
                        size_t field_count, uint32_t dropped, bool access)
{
    struct line line;
    const bool json = output_is_json();
    const struct trace *trace = trace_current();
    const uint32_t unreported = atomic_exchange_explicit(&lost, 0, memory_order_relaxed);
    line_begin(&line, json, level, message);
    add_known(&line, json, "worker", thread_name);
    if (json) { /* who looks at a terminal knows what they started */
        add_known(&line, json, "version", identity.version);
        add_known(&line, json, "pod", identity.pod);
        add_known(&line, json, "role", identity.role);
    }
    if (trace && !names_request(fields, field_count)) {
        add_known(&line, json, "requestId", trace->request_id);
        add_known(&line, json, "traceId", trace->trace_id);
    }
    for (size_t i = 0; i < field_count; i++)
        add_field(&line, json, &fields[i]);
    if (dropped > 0)
        add_field(&line, json, &(struct log_field){.key = "suppressed", .number = dropped});
    if (unreported > 0)
        add_field(&line, json, &(struct log_field){.key = "lost", .number = unreported});
    line_end(&line, json);
    if (!write_line(&line, access))
        atomic_fetch_add_explicit(&lost, unreported + 1, memory_order_relaxed);
}

void log_write(enum log_level level, struct log_site *site, const char *message,
               const struct log_field *fields, size_t field_count)
{
    uint32_t dropped = 0;
    if (!log_enabled(level) || level >= LOG_LEVEL_OFF)
        return;
    if (site && !site_passes(site, &dropped)) {
        metrics_add(METRIC_LOG_SUPPRESSED, 1);
        return;
    }
    write_whole(level, message, fields, field_count, dropped, false);
}

void log_access(const char *message, const struct log_field *fields, size_t field_count)
{
    write_whole(LOG_LEVEL_INFO, message, fields, field_count, 0, true);
}
