/* SPDX-License-Identifier: MIT */
/*
 * log: one structured line per call on stderr: JSON lines, or text when stderr is a terminal.
 * Thread-safe (one write(2) per line). Only roles, drivers and wiring log.
 */
#ifndef TIKETI_LOG_H
#define TIKETI_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_OFF };

/* Parses "debug", "info", "warn", "error", "off". False, and *ret_level untouched, on anything else. */
bool log_level_parse(const char *text, enum log_level *ret_level);

void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/* A name for the calling thread ("api-0"), shown as "worker" in each of its lines. Borrows `name`
 * for the life of the thread. */
void log_thread_name(const char *name);

/* One key and value of a structured line. Text is escaped and cut at 1 KiB. */
struct log_field {
    const char *key;
    const char *text; /* NULL: the value is `number` */
    int64_t number;
};
static inline struct log_field LOG_TEXT(const char *key, const char *text) /* NULL reads as "" */
{
    return (struct log_field){.key = key, .text = text != NULL ? text : ""};
}
#define LOG_NUM(k, v) ((struct log_field){.key = (k), .number = (int64_t)(v)})

/* Per-call-site limiter: at most 10 lines a second from one place; the next line that passes says
 * how many were dropped ("suppressed"). */
struct log_site {
    _Atomic uint64_t window;
    _Atomic uint32_t count;
    _Atomic uint32_t dropped;
};

void log_write(enum log_level level, struct log_site *site, const char *message,
               const struct log_field *fields, size_t field_count);

#define LOG_AT(level, message, ...)                                                                \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            static struct log_site log_site_;                                                      \
            const struct log_field log_fields_[] = {{0}, ##__VA_ARGS__};                           \
            log_write(level, &log_site_, message, log_fields_ + 1,                                 \
                      sizeof(log_fields_) / sizeof(log_fields_[0]) - 1);                           \
        }                                                                                          \
    } while (0)

/* log_info("listening", LOG_NUM("port", port)); */
#define log_debug(message, ...) LOG_AT(LOG_LEVEL_DEBUG, message, ##__VA_ARGS__)
#define log_info(message, ...)  LOG_AT(LOG_LEVEL_INFO, message, ##__VA_ARGS__)
#define log_warn(message, ...)  LOG_AT(LOG_LEVEL_WARN, message, ##__VA_ARGS__)
#define log_error(message, ...) LOG_AT(LOG_LEVEL_ERROR, message, ##__VA_ARGS__)

#endif
