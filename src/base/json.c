/* SPDX-License-Identifier: MIT */
/*
 * json: reading and writing JSON; the only includer of jansson.
 *
 * Why this way: `struct json` is jansson's json_t under another name, so a wrapper costs nothing and no other file
 * depends on the library. Called by: all folders. Pure.
 */
#include "base/json.h"

#include "base/clock.h"

#include <assert.h>
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

/* Writes the conversions of a format alone to `out`, each before a JSON_VALUE_END. */
static void write_conversions(const char *format, char *out, size_t size)
{
    size_t len = 0;
    if (strcmp(format, "%s") == 0) /* a whole sentence is no value */
        format = "";
    for (const char *at = format; (at = strchr(at, '%')) != NULL;) {
        const size_t n = strcspn(at + 1, "%diouxfgcs") + 2; /* those that sentences have */
        assert(at[n - 1] == '%' || len + n + 2 <= size);
        if (at[n - 1] != '%') {
            memcpy(out + len, at, n);
            len += n;
            out[len++] = JSON_VALUE_END;
        }
        at += n;
    }
    out[len] = '\0';
}

enum status json_refuse(struct json_error *error, const char *field, const char *reason,
                        const char *format, ...)
{
    va_list args;
    char conversions[64];
    if (!error)
        return ST_INVALID;
    (void)snprintf(error->field, sizeof(error->field), "%s", field);
    va_start(args, format);
    (void)vsnprintf(error->detail, sizeof(error->detail), format, args);
    va_end(args);
    error->reason = reason;
    write_conversions(format, conversions, sizeof(conversions));
    va_start(args, format);
    (void)vsnprintf(error->values, sizeof(error->values), conversions, args);
    va_end(args);
    return ST_INVALID;
}

enum status json_refuse_in(struct json_error *error, const char *parent)
{
    char field[sizeof(error->field)];
    if (!error)
        return ST_INVALID;
    (void)snprintf(field, sizeof(field), "%.20s%s%.64s", parent, error->field[0] ? "." : "",
                   error->field);
    memcpy(error->field, field, sizeof(field));
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
        (void)json_refuse(error, "", "body-too-long", "The text is longer than %zu bytes.", max);
        return NULL;
    }
    if (len > 0 && memchr(text, '\0', len)) { /* jansson loses a NUL that follows a number */
        (void)json_refuse(error, "", "not-json", "The text must not contain a NUL.");
        return NULL;
    }
    if (!is_shallow(text, len)) {
        (void)json_refuse(error, "", "not-json", "The text is nested more than %d levels deep.",
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
    (void)json_refuse(error, field, "not-json", "Not valid JSON at line %d, column %d: %.120s",
                      why.line, why.column, why.text);
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
        return json_refuse(error, key, "not-a-text", "%s must be a string.", key);
    const char *text = json_str_value(value);
    const size_t len = json_str_value_len(value);
    if (len > max)
        return json_refuse(error, key, "too-many-bytes", "%s must be at most %zu bytes long.", key,
                           max);
    for (size_t i = 0; i < len; i++) {
        const unsigned char *const at = (const unsigned char *)text + i;
        if (*at < 0x20 || *at == 0x7f || (at[0] == 0xc2 && at[1] < 0xa0))
            return json_refuse(error, key, "control-characters",
                               "%s must not contain control characters.", key);
    }
    *ret = text;
    return ST_OK;
}

enum status json_read_text(const struct json *object, const char *key, enum text_kind kind,
                           size_t max, char *out, struct json_error *error)
{
    const struct json *value = optional(object, key);
    if (!value)
        return ST_OK;
    if (!is(value, JSON_STRING))
        return json_refuse(error, key, "not-a-text", "%s must be a string.", key);
    switch (text_clean(kind, json_str_value(value), json_str_value_len(value), max, out)) {
    case ST_OK:
        return ST_OK;
    case ST_TOO_LARGE:
        return json_refuse(error, key, "too-long", "%s must be at most %zu characters long.", key,
                           max);
    default:
        return json_refuse(error, key, "control-characters",
                           "%s must not contain control characters, nor such as turn the direction "
                           "of text (U+202A to U+202E, U+2066 to U+2069).",
                           key);
    }
}

enum status json_read_int(const struct json *object, const char *key, int64_t min, int64_t max,
                          int64_t *ret, struct json_error *error)
{
    const struct json *value = optional(object, key);
    if (!value)
        return ST_OK;
    const int64_t number = json_int_value(value, 0);
    if (!is(value, JSON_INTEGER) || number < min || number > max)
        return json_refuse(error, key, "not-in-range", "%s must be an integer from %lld to %lld.",
                           key, (long long)min, (long long)max);
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
        return json_refuse(error, key, "not-a-boolean", "%s must be true or false.", key);
    *ret = is(value, JSON_TRUE);
    return ST_OK;
}

/* Says what the text lacks to be a time. */
static enum status refuse_time(const char *key, const char *text, struct json_error *error)
{
    static const struct {
        const char *rest, *reason, *detail; /* with this at its end the text would be a time */
    } parts[] = {
        {"Z", "no-time-zone", "has no time zone: put +09:00, say, behind it, or Z for UTC."},
        {":00Z", "no-time-zone", "has no seconds and no time zone: put :00+09:00, say, behind it."},
        {"T00:00:00Z", "no-time-of-day",
         "is a day without a time: write it as 2026-11-21T20:00:00+09:00."},
    };
    char whole[64];
    int64_t ms;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        (void)snprintf(whole, sizeof(whole), "%.40s%s", text, parts[i].rest);
        if (clock_parse_rfc3339(whole, &ms) == ST_OK)
            return json_refuse(error, key, parts[i].reason, "%s %s", key, parts[i].detail);
    }
    (void)snprintf(whole, sizeof(whole), "%.40s", text);
    if (strlen(whole) > 10) {
        whole[8] = '0', whole[9] = '1';
        if (clock_parse_rfc3339(whole, &ms) == ST_OK)
            return json_refuse(error, key, "no-such-day", "%s: there is no day %.10s.", key, text);
    }
    return json_refuse(
        error, key, "not-a-time",
        "%s must be a date and time with its zone, such as 2026-11-21T20:00:00+09:00.", key);
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
        return refuse_time(key, text, error);
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
            return json_refuse(error, key, "unknown-field", "There is no field of this name here.");
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

void json_set_reason(struct json *object, const struct json_error *error)
{
    struct json *values = error->reason ? json_new_array() : NULL;
    if (!values)
        return;
    json_set_str(object, "reason", error->reason);
    const char *end;
    for (const char *at = error->values; (end = strchr(at, JSON_VALUE_END)) != NULL; at = end + 1) {
        json_t *text = json_stringn(at, (size_t)(end - at)); /* NULL: cut within a character */
        json_append(values, made(text ? text : json_string("")));
    }
    if (json_array_len(values) > 0)
        json_set(object, "values", values);
    else
        json_free(values);
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

void json_append_str(struct json *array, const char *text, size_t len)
{
    json_t *value = json_stringn(text, len);
    json_append(array, made(value ? value : json_null()));
}

struct json *json_new_copy(const struct json *value)
{
    return made(json_deep_copy(in(value)));
}

struct json *json_member(struct json *object, const char *key)
{
    return out_of(json_object_get(in(object), key));
}

struct json *json_element(struct json *array, size_t i)
{
    return out_of(json_array_get(in(array), i));
}

static int write_piece(const char *data, size_t len, void *arg)
{
    buf_add(arg, data, len);
    return 0;
}

void json_write(const struct json *value, struct buf *out)
{
    /* 15 digits: what was read as 0.1 is written as 0.1, where 17 would show the error of its binary form. */
    (void)json_dump_callback(in(value), write_piece, out,
                             JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
}
