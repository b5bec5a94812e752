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
 * Each line also has the version, the pod and its role, the worker, and the id of the request that it is about.
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
const char *log_level_name(enum log_level level); /* the other way; static */

/* Lines below `level` are not written. LOG_LEVEL_INFO until this is called. */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/* Names the calling thread ("api-0"): the field "worker" of each of its lines. Borrows `name` until the thread
 * ends. */
void log_thread_name(const char *name);

/* From now on each line says so: the program's version, the pod (a host name) and its role ("api,gateway"). Call before any
 * thread starts. Copies. */
void log_identify(const char *version, const char *pod, const char *role);
/* From now on a line that stderr does not take at once is dropped, so that a reader that has stopped does not stop the
 * caller. The next line that is written has the number of the dropped ones in its field "lost". Call before any thread starts. */
void log_never_block(void);

/* A key and its value, both borrowed. Text is escaped, and cut at 1 KiB. */
struct log_field {
    const char *key;
    const char *text; /* NULL: the value is `number` */
    int64_t number;
    bool thousandths; /* `number` is in thousandths, and written with three decimals */
};
static inline struct log_field LOG_TEXT(const char *key, const char *text) /* NULL counts as "" */
{
    return (struct log_field){.key = key, .text = text ? text : ""};
}
#define LOG_NUM(k, v) ((struct log_field){.key = (k), .number = (int64_t)(v)})
/* A duration in microseconds, written in milliseconds. */
#define LOG_MS(k, us) ((struct log_field){.key = (k), .number = (int64_t)(us), .thousandths = true})

/* The state of one call site, which may write 10 lines per second. Further lines are dropped; the next line that
 * is written has their number in its field "suppressed". */
struct log_site {
    _Atomic uint64_t window;
    _Atomic uint32_t count;
    _Atomic uint32_t dropped;
};

/* Writes one line; use the macros below. `site` may be NULL: no limit. When a line would be longer than
 * 4 KiB, fields are left out and "cut":1 is added. The calling thread's trace (base/trace.h) is added, unless a field
 * is named requestId. */
void log_write(enum log_level level, struct log_site *site, const char *message,
               const struct log_field *fields, size_t field_count);

/* The access log: which requests get a line of their own. */
enum log_access {
    LOG_ACCESS_OFF,     /* until log_set_access is called */
    LOG_ACCESS_ERRORS,  /* those answered 400 and more */
    LOG_ACCESS_SAMPLED, /* every hundredth of a thread, and those answered 500 and more */
    LOG_ACCESS_ALL
};
/* Reads "off", "errors", "sampled" or "all". False for anything else; *ret is unchanged then. */
bool log_access_parse(const char *text, enum log_access *ret);
const char *log_access_name(enum log_access access); /* static */
void log_set_access(enum log_access access);
/* Does a request that is answered so get a line? Ask once for each. */
bool log_access_due(unsigned status);
/* Writes a line of the access log: whatever the level, and as often as it is called; but the first to be dropped. */
void log_access(const char *message, const struct log_field *fields, size_t field_count);

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
