/* SPDX-License-Identifier: MIT */
/*
 * json: reading and writing JSON; the only includer of jansson.
 *
 * Why this way: `struct json` is jansson's json_t under another name, so a wrapper costs nothing and no other file
 * depends on the library. Called by: all folders. Pure.
 */
#include "base/json.h"

#include "base/clock.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* jansson has these as macros on json_t; ours are functions on the opaque type. */
#undef json_is_object
#undef json_is_array
#undef json_is_null
#undef json_is_integer

static json_t *in(const struct json *value)
{
    return (json_t *)value; /* jansson's readers take non-const pointers */
}

static struct json *out_of(json_t *value)
{
    return (struct json *)value;
}

enum status json_refuse(struct json_error *error, const char *field, const char *format, ...)
{
    va_list args;
    if (!error)
        return ST_INVALID;
    (void)snprintf(error->field, sizeof(error->field), "%s", field);
    va_start(args, format);
    (void)vsnprintf(error->detail, sizeof(error->detail), format, args);
    va_end(args);
    return ST_INVALID;
}

/* ---- parsing ---- */

/* Has the text at most JSON_DEPTH_MAX levels? jansson's own limit (2048 levels of recursion) is fixed when
 * jansson is built, so the levels are counted here. Text that is not JSON passes: jansson refuses it later. */
static bool is_shallow(const char *text, size_t len)
{
    bool quoted = false;
    size_t depth = 0;
    for (size_t i = 0; i < len; i++) {
        const char c = text[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '['))
            depth++;
        else if (!quoted && (c == '}' || c == ']') && depth > 0)
            depth--;
        if (depth > JSON_DEPTH_MAX)
            return false;
    }
    return true;
}

struct json *json_parse(const char *text, size_t len, size_t max, struct json_error *error)
{
    json_error_t why;
    char field[64] = "";
    if (len > max) {
        (void)json_refuse(error, "", "The text is longer than %zu bytes.", max);
        return NULL;
    }
    if (!is_shallow(text, len)) {
        (void)json_refuse(error, "", "The text is nested more than %d levels deep.",
                          JSON_DEPTH_MAX);
        return NULL;
    }
    json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (value)
        return out_of(value);
    /* jansson's message about a duplicate key ends with the key in quotes. */
    const char *near =
        json_error_code(&why) == json_error_duplicate_key ? strstr(why.text, "near '\"") : NULL;
    if (near) {
        near += strlen("near '\"");
        (void)snprintf(field, sizeof(field), "%.*s", (int)strcspn(near, "\""), near);
    }
    (void)json_refuse(error, field, "Not valid JSON at line %d, column %d: %.120s", why.line,
                      why.column, why.text);
    return NULL;
}

void json_free(struct json *value)
{
    json_decref(in(value));
}

/* ---- reading ---- */

static bool is(const struct json *value, json_type type)
{
    return value && json_typeof(in(value)) == type;
}

bool json_is_object(const struct json *value)
{
    return is(value, JSON_OBJECT);
}

bool json_is_array(const struct json *value)
{
    return is(value, JSON_ARRAY);
}

bool json_is_null(const struct json *value)
{
    return is(value, JSON_NULL);
}

bool json_is_integer(const struct json *value)
{
    return is(value, JSON_INTEGER);
}

size_t json_array_len(const struct json *array)
{
    return json_array_size(in(array)); /* 0 for anything but an array */
}

const struct json *json_array_at(const struct json *array, size_t i)
{
    return out_of(json_array_get(in(array), i));
}

const struct json *json_get(const struct json *object, const char *key)
{
    return out_of(json_object_get(in(object), key));
}

void json_each(const struct json *object,
               void (*cb)(void *arg, const char *key, const struct json *value), void *arg)
{
    const char *key;
    json_t *value;
    json_object_foreach(in(object), key, value) cb(arg, key, out_of(value));
}

bool json_has(const struct json *object, const char *key)
{
    return json_get(object, key);
}

const char *json_str_value(const struct json *value)
{
    return value ? json_string_value(in(value)) : NULL;
}

size_t json_str_value_len(const struct json *value)
{
    return value ? json_string_length(in(value)) : 0;
}

int64_t json_int_value(const struct json *value, int64_t fallback)
{
    return is(value, JSON_INTEGER) ? json_integer_value(in(value)) : fallback;
}

const char *json_str(const struct json *object, const char *key)
{
    return json_str_value(json_get(object, key));
}

int64_t json_int(const struct json *object, const char *key, int64_t fallback)
{
    return json_int_value(json_get(object, key), fallback);
}

double json_double(const struct json *object, const char *key, double fallback)
{
    const struct json *value = json_get(object, key);
    return is(value, JSON_REAL) || is(value, JSON_INTEGER) ? json_number_value(in(value))
                                                           : fallback;
}

bool json_bool(const struct json *object, const char *key, bool fallback)
{
    const struct json *value = json_get(object, key);
    if (is(value, JSON_TRUE) || is(value, JSON_FALSE))
        return is(value, JSON_TRUE);
    return fallback;
}

/* The value of an optional field; NULL when it is absent or null. */
static const struct json *optional(const struct json *object, const char *key)
{
    const struct json *value = json_get(object, key);
    return json_is_null(value) ? NULL : value;
}

enum status json_read_str(const struct json *object, const char *key, size_t max, const char **ret,
                          struct json_error *error)
{
    const struct json *value = optional(object, key);
    if (!value)
        return ST_OK;
    if (!is(value, JSON_STRING))
        return json_refuse(error, key, "%s must be a string.", key);
    const char *text = json_str_value(value);
    const size_t len = json_str_value_len(value);
    if (len > max)
        return json_refuse(error, key, "%s must be at most %zu bytes long.", key, max);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return json_refuse(error, key, "%s must not contain control characters.", key);
    }
    *ret = text;
    return ST_OK;
}

enum status json_read_int(const struct json *object, const char *key, int64_t min, int64_t max,
                          int64_t *ret, struct json_error *error)
{
    const struct json *value = optional(object, key);
    if (!value)
        return ST_OK;
    const int64_t number = json_int_value(value, 0);
    if (!is(value, JSON_INTEGER) || number < min || number > max)
        return json_refuse(error, key, "%s must be an integer from %lld to %lld.", key,
                           (long long)min, (long long)max);
    *ret = number;
    return ST_OK;
}

enum status json_read_bool(const struct json *object, const char *key, bool *ret,
                           struct json_error *error)
{
    const struct json *value = optional(object, key);
    if (!value)
        return ST_OK;
    if (!is(value, JSON_TRUE) && !is(value, JSON_FALSE))
        return json_refuse(error, key, "%s must be true or false.", key);
    *ret = is(value, JSON_TRUE);
    return ST_OK;
}

enum status json_read_time(const struct json *object, const char *key, int64_t *ret_ms,
                           struct json_error *error)
{
    const char *text = NULL;
    int64_t ms;
    if (!optional(object, key))
        return ST_OK;
    if (json_read_str(object, key, 40, &text, error) != ST_OK)
        return ST_INVALID;
    if (clock_parse_rfc3339(text, &ms) != ST_OK)
        return json_refuse(error, key, "%s must be a time such as 2026-11-21T20:00:00Z.", key);
    *ret_ms = ms;
    return ST_OK;
}

enum status json_known_keys(const struct json *object, const char *const *known,
                            struct json_error *error)
{
    const char *key;
    json_t *value;
    json_object_foreach(in(object), key, value)
    {
        const char *const *k = known;
        while (*k && strcmp(*k, key) != 0)
            k++;
        if (!*k)
            return json_refuse(error, key, "There is no field of this name here.");
    }
    return ST_OK;
}

/* ---- building ---- */

static struct json *made(json_t *value)
{
    if (!value)
        abort(); /* no memory is left; xcalloc aborts too */
    return out_of(value);
}

struct json *json_new_object(void)
{
    return made(json_object());
}

struct json *json_new_array(void)
{
    return made(json_array());
}

void json_set(struct json *object, const char *key, struct json *value)
{
    (void)json_object_set_new(in(object), key, in(value));
}

void json_set_str(struct json *object, const char *key, const char *text)
{
    json_t *value = text ? json_string(text) : NULL; /* NULL for invalid UTF-8, too */
    json_set(object, key, made(value ? value : json_null()));
}

void json_set_int(struct json *object, const char *key, int64_t value)
{
    json_set(object, key, made(json_integer(value)));
}

void json_set_real(struct json *object, const char *key, double value)
{
    json_t *real = json_real(value);
    json_set(object, key, made(real ? real : json_null())); /* JSON has no NaN */
}

void json_set_bool(struct json *object, const char *key, bool value)
{
    json_set(object, key, made(json_boolean(value)));
}

void json_remove(struct json *object, const char *key)
{
    (void)json_object_del(in(object), key);
}

void json_set_null(struct json *object, const char *key)
{
    json_set(object, key, made(json_null()));
}

void json_append(struct json *array, struct json *value)
{
    (void)json_array_append_new(in(array), in(value));
}

static int write_piece(const char *data, size_t len, void *arg)
{
    buf_add(arg, data, len);
    return 0;
}

void json_write(const struct json *value, struct buf *out)
{
    (void)json_dump_callback(in(value), write_piece, out, JSON_COMPACT | JSON_ENCODE_ANY);
}
