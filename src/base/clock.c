/* SPDX-License-Identifier: MIT */
/*
 * clock: wall and monotonic time; times as text.
 *
 * Why this way: strptime() accepts far more than RFC 3339 allows, so this file has its own parser. Called by: all
 * folders. Pure, except for the functions that read a clock.
 */
#include "base/clock.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define DAY_MS INT64_C(86400000)

#define LAST_SECOND INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

/* Of a test: how wrong the wall clocks are. Either the process's own, or one in a file that the test writes meanwhile. */
static _Atomic int64_t own_shift_ms;
static const _Atomic int64_t *shift_ms = &own_shift_ms;

static int64_t shift_now_ms(void)
{
    return atomic_load_explicit(shift_ms, memory_order_relaxed);
}

void clock_init(void)
{
    /* NOLINTBEGIN(concurrency-mt-unsafe): before any thread starts */
    const char *hooks = getenv("TIKETI_TEST_HOOKS");
    const char *shift = getenv("TIKETI_CLOCK_SHIFT_MS");
    const char *path = getenv("TIKETI_CLOCK_SHIFT_FILE");
    /* NOLINTEND(concurrency-mt-unsafe) */
    if (!hooks || strcmp(hooks, "1") != 0)
        return;
    if (shift)
        atomic_store(&own_shift_ms, strtoll(shift, NULL, 10));
    const int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof(*shift_ms), PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        shift_ms = map;
    (void)close(fd);
}

int64_t clock_wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + shift_now_ms();
}

int64_t clock_wall_s(void)
{
    return (int64_t)time(NULL) + shift_now_ms() / 1000;
}

uint64_t clock_mono_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Writes exactly `digits` digits. Returns the place behind them. */
static char *write_number(char *at, unsigned value, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + digits;
}

/* The date of the day that was written last is kept: nearly all times are of that day, and answers have several. */
void clock_format_rfc3339(int64_t ms, char *out)
{
    static _Thread_local int64_t known_day = INT64_MIN;
    static _Thread_local char date[sizeof("2026-11-21T")];
    int64_t day = ms / DAY_MS;
    int rest_ms = (int)(ms % DAY_MS);
    if (rest_ms < 0) {
        rest_ms += DAY_MS;
        day--;
    }
    if (day != known_day) {
        const time_t seconds = (time_t)(day * (DAY_MS / 1000));
        struct tm tm;
        if (!gmtime_r(&seconds, &tm))
            memset(&tm, 0, sizeof(tm));
        (void)snprintf(date, sizeof(date), "%04u-%02u-%02uT", (unsigned)(tm.tm_year + 1900) % 10000,
                       (unsigned)(tm.tm_mon + 1) % 100, (unsigned)tm.tm_mday % 100);
        known_day = day;
    }
    const unsigned rest = (unsigned)rest_ms;
    memcpy(out, date, sizeof(date) - 1);
    char *at = write_number(out + sizeof(date) - 1, rest / 3600000, 2);
    *at++ = ':';
    at = write_number(at, rest / 60000 % 60, 2);
    *at++ = ':';
    at = write_number(at, rest / 1000 % 60, 2);
    *at++ = '.';
    at = write_number(at, rest % 1000, 3);
    memcpy(at, "Z", sizeof("Z"));
}

/* Reads exactly `digits` digits with a value from min to max, and moves *at behind them. */
static bool read_number(const char **at, int digits, int min, int max, int *ret)
{
    int value = 0;
    for (int i = 0; i < digits; i++) {
        if (!isdigit((unsigned char)(*at)[i]))
            return false;
        value = value * 10 + ((*at)[i] - '0');
    }
    *at += digits;
    *ret = value;
    return value >= min && value <= max;
}

static bool read_char(const char **at, const char *any_of)
{
    if (**at == '\0' || !strchr(any_of, **at))
        return false;
    (*at)++;
    return true;
}

enum status clock_parse_rfc3339(const char *text, int64_t *ret_ms)
{
    static const int days_of[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct tm tm = {0};
    int year, month, day;
    if (!read_number(&text, 4, 1970, 9999, &year) || !read_char(&text, "-") ||
        !read_number(&text, 2, 1, 12, &month) || !read_char(&text, "-") ||
        !read_number(&text, 2, 1, 31, &day))
        return ST_INVALID;
    const bool leap_year = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > days_of[month - 1] + (month == 2 && leap_year))
        return ST_INVALID;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    tm.tm_mday = day;

    if (!read_char(&text, "Tt") || !read_number(&text, 2, 0, 23, &tm.tm_hour) ||
        !read_char(&text, ":") || !read_number(&text, 2, 0, 59, &tm.tm_min) ||
        !read_char(&text, ":") || !read_number(&text, 2, 0, 60, &tm.tm_sec)) /* 60: a leap second */
        return ST_INVALID;
    int ms = 0;
    if (read_char(&text, ".")) {
        int scale = 100, digits = 0;
        for (; isdigit((unsigned char)*text) && digits < 9; text++, digits++) {
            ms += (*text - '0') * scale;
            scale /= 10;
        }
        if (digits == 0)
            return ST_INVALID;
    }

    /* "Z", +hh:mm or -hh:mm, in seconds east of UTC. */
    int offset_s = 0;
    if (!read_char(&text, "Zz")) {
        const int sign = *text == '-' ? -1 : 1;
        int hours, minutes;
        if (!read_char(&text, "+-") || !read_number(&text, 2, 0, 23, &hours) ||
            !read_char(&text, ":") || !read_number(&text, 2, 0, 59, &minutes))
            return ST_INVALID;
        offset_s = sign * (hours * 3600 + minutes * 60);
    }
    if (*text != '\0')
        return ST_INVALID;

    const bool leap = tm.tm_sec == 60; /* timegm carries it into the next minute */
    const int64_t seconds = (int64_t)timegm(&tm) - offset_s;
    /* The offset may move the time out of the years 1970 to 9999. A leap second is allowed only as the last
     * second of a UTC day. */
    if (seconds < 0 || seconds > LAST_SECOND || (leap && seconds % 86400 != 0))
        return ST_INVALID;
    *ret_ms = seconds * 1000 + ms;
    return ST_OK;
}
