/* SPDX-License-Identifier: MIT */
/*
 * log: one structured line per call on stderr: JSON, or text where stderr is a terminal. Any thread may log;
 * lines never mix.
 *
 * A message is a stable, lower-case phrase that can be searched for and alerted on: what happened to what
 * ("redis connection lost", "tick failed"). It never contains a value: values are fields, with camelCase keys, and
 * units in the key ("durationMs"). It stands alone: "failed" says nothing. An error is logged once, by the
 * code that handles it; code that returns a status does not log.
 *
 *   log_error("tick failed", LOG_TEXT("event", id), LOG_TEXT("status", status_name(st)));
 *
 * Levels: error: a person has to act; warn: something failed and is tried again or given up; info: changes of
 * state, a few per minute; debug: everything else. Never log tokens, secrets or a buyer's data other than
 * the id.
 */
#ifndef TIKETI_LOG_H
#define TIKETI_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_OFF };

/* Reads "debug", "info", "warn", "error" or "off". False for anything else; *ret_level is unchanged then. */
bool log_level_parse(const char *text, enum log_level *ret_level);

/* Lines below `level` are not written. LOG_LEVEL_INFO until this is called. */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/* Names the calling thread ("api-0"): the field "worker" of each of its lines. Borrows `name` until the thread
 * ends. */
void log_thread_name(const char *name);

/* A key and its value, both borrowed. Text is escaped, and cut at 1 KiB. */
struct log_field {
    const char *key;
    const char *text; /* NULL: the value is `number` */
    int64_t number;
};
static inline struct log_field LOG_TEXT(const char *key, const char *text) /* NULL counts as "" */
{
    return (struct log_field){.key = key, .text = text ? text : ""};
}
#define LOG_NUM(k, v) ((struct log_field){.key = (k), .number = (int64_t)(v)})

/* The state of one call site, which may write 10 lines per second. Further lines are dropped; the next line that
 * is written has their number in its field "suppressed". */
struct log_site {
    _Atomic uint64_t window;
    _Atomic uint32_t count;
    _Atomic uint32_t dropped;
};

/* Writes one line; use the macros below. `site` may be NULL: no limit. When a line would be longer than
 * 8 KiB, fields are left out and "cut":1 is added. */
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

#define log_debug(message, ...) LOG_AT(LOG_LEVEL_DEBUG, message, ##__VA_ARGS__)
#define log_info(message, ...)  LOG_AT(LOG_LEVEL_INFO, message, ##__VA_ARGS__)
#define log_warn(message, ...)  LOG_AT(LOG_LEVEL_WARN, message, ##__VA_ARGS__)
#define log_error(message, ...) LOG_AT(LOG_LEVEL_ERROR, message, ##__VA_ARGS__)

#endif
