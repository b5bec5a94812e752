/* SPDX-License-Identifier: MIT */
/*
 * json: reading and writing JSON. Parsing is bounded (the caller's length, 32 levels, no duplicate keys); typed
 * readers name the field that they refuse. Answers are built as a tree of values; only hot paths write their
 * JSON text directly, with buf_add_json_str.
 */
#ifndef TIKETI_JSON_H
#define TIKETI_JSON_H

#include "base/buf.h"
#include "base/status.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json; /* a value; reference-counted inside */

/* Why an input was refused: the field (a path such as "surge[0].threshold"; "" for the whole input) and a
 * sentence for the user; `reason` and `values` are the same for programs, which say it in another language. */
struct json_error {
    char field[96];
    char detail[192];
    const char *reason; /* static: "not-in-range"; NULL: none */
    char values
        [160]; /* what the sentence has in its places, in their order, each before a JSON_VALUE_END */
};

#define JSON_VALUE_END '\x1f'

#define JSON_DEPTH_MAX 32

/* Returns a new value; or NULL, with *error filled unless `error` is NULL. Refused: more than `max` bytes, more levels
 * than JSON_DEPTH_MAX, a duplicate key, invalid UTF-8, a NUL in a string, an integer of more than 64 bits. */
struct json *json_parse(const char *text, size_t len, size_t max, struct json_error *error);
void json_free(struct json *value); /* unref; NULL is fine */

/* ---- reading: results are borrowed and live as long as the value they come from; NULL may be passed in ---- */
bool json_is_object(const struct json *value);
bool json_is_array(const struct json *value);
bool json_is_null(const struct json *value);
bool json_is_integer(const struct json *value);
size_t json_array_len(const struct json *array);
const struct json *json_array_at(const struct json *array, size_t i);
const struct json *json_get(const struct json *object, const char *key); /* NULL if absent */
bool json_has(const struct json *object, const char *key);
/* Runs `cb` for each member, in order. */
void json_each(const struct json *object,
               void (*cb)(void *arg, const char *key, const struct json *value), void *arg);

/* Lenient readers: return NULL or the fallback when the field is absent or has another type. */
const char *json_str(const struct json *object, const char *key);
int64_t json_int(const struct json *object, const char *key, int64_t fallback);
double json_double(const struct json *object, const char *key, double fallback);
bool json_bool(const struct json *object, const char *key, bool fallback);
const char *json_str_value(const struct json *value);
size_t json_str_value_len(const struct json *value);
int64_t json_int_value(const struct json *value, int64_t fallback);

/* Strict readers of optional fields. When the field is absent or null they return ST_OK and leave *ret
 * unchanged. ST_INVALID: wrong type or out of range; *error names `key`. json_read_str accepts at most `max` bytes
 * without control characters (C1 among them); its result is borrowed. */
MUST_CHECK enum status json_read_str(const struct json *object, const char *key, size_t max,
                                     const char **ret, struct json_error *error);
/* What people write: *out, of TEXT_BYTES(max) + 1 bytes, receives its clean form (base/text.h) of at most `max`
 * characters. */
MUST_CHECK enum status json_read_text(const struct json *object, const char *key,
                                      enum text_kind kind, size_t max, char *out,
                                      struct json_error *error);
MUST_CHECK enum status json_read_int(const struct json *object, const char *key, int64_t min,
                                     int64_t max, int64_t *ret, struct json_error *error);
MUST_CHECK enum status json_read_bool(const struct json *object, const char *key, bool *ret,
                                      struct json_error *error);
/* RFC 3339 text, read into ms since 1970. */
MUST_CHECK enum status json_read_time(const struct json *object, const char *key, int64_t *ret_ms,
                                      struct json_error *error);
/* ST_INVALID when `object` has a key that is not in `known` (NULL-terminated); *error names that key. */
MUST_CHECK enum status json_known_keys(const struct json *object, const char *const *known,
                                       struct json_error *error);

/* Fills *error (which may be NULL) and returns ST_INVALID, for checks that the caller makes itself. `reason` (static) is
 * the sentence's stable name: docs/http-api.md lists them. The values are those of the conversions of `format`. */
enum status json_refuse(struct json_error *error, const char *field, const char *reason,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Puts `parent` in front of the field that *error (which may be NULL) names, as in "surge[2].threshold". ST_INVALID. */
enum status json_refuse_in(struct json_error *error, const char *parent);

/* ---- building; out of memory aborts ---- */
struct json *json_new_object(void);
struct json *json_new_array(void);
void json_set_str(struct json *object, const char *key,
                  const char *text); /* NULL, and invalid UTF-8, become null */
void json_set_int(struct json *object, const char *key, int64_t value);
void json_set_real(struct json *object, const char *key, double value); /* NaN becomes null */
void json_set_bool(struct json *object, const char *key, bool value);
/* "reason" and, if there are any, "values", a list of texts; nothing for an error without a reason. */
void json_set_reason(struct json *object, const struct json_error *error);
void json_remove(struct json *object, const char *key);
void json_set_null(struct json *object, const char *key);
void json_set(struct json *object, const char *key, struct json *value); /* takes `value` */
void json_append(struct json *array, struct json *value);                /* takes `value` */
void json_append_str(struct json *array, const char *text, size_t len);  /* invalid UTF-8: null */
struct json *json_new_copy(const struct json *value); /* with all its members; not NULL */
/* A part of a value that will be changed; borrowed. NULL when it is absent; NULL may be passed in. */
struct json *json_member(struct json *object, const char *key);
struct json *json_element(struct json *array, size_t i);
void json_write(const struct json *value,
                struct buf *out); /* appends compact JSON, keys in the order of insertion */

#endif
