/* SPDX-License-Identifier: MIT */
/*
 * claims: reads the payload of a JWT.
 *
 * Why this way: a buyer with a JWT sends it with every request, and building a JSON tree of it costs as much as
 * checking its signature. Nearly all payloads are one flat object without blanks or escapes: that form is read in
 * place, and any other by the JSON parser. Whatever the plain reader accepts is JSON with the same meaning for the
 * parser: the tests read each text both ways.
 * Called by: token. Pure; owns the parser's document, if there is one.
 */
#include "auth/claims.h"

#include "auth/jws.h"
#include "base/json.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define PLAIN_MAX  16 /* members; more: the JSON parser */
#define DIGITS_MAX 15 /* exact as a double, too */

static const char *const names[CLAIM_NAMES] = {
    [CLAIM_SUB] = "sub", [CLAIM_USER_ID] = "userId", [CLAIM_ROLE] = "role",
    [CLAIM_EXP] = "exp", [CLAIM_NBF] = "nbf",        [CLAIM_AUD] = "aud"};

/* ---- the plain form ---- */

struct cursor {
    const char *at, *end;
};

static bool take(struct cursor *in, char c)
{
    if (in->at == in->end || *in->at != c)
        return false;
    in->at++;
    return true;
}

/* A string of printable ASCII without escapes. */
static bool take_text(struct cursor *in, struct claim *claim)
{
    if (!take(in, '"'))
        return false;
    const char *first = in->at;
    while (in->at < in->end && *in->at >= ' ' && *in->at <= '~' && *in->at != '"' &&
           *in->at != '\\')
        in->at++;
    *claim = (struct claim){.kind = CLAIM_TEXT, .text = first, .len = (size_t)(in->at - first)};
    return take(in, '"');
}

static bool take_integer(struct cursor *in, struct claim *claim)
{
    const bool negative = take(in, '-');
    const char *first = in->at;
    int64_t value = 0;
    while (in->at < in->end && *in->at >= '0' && *in->at <= '9' && in->at - first < DIGITS_MAX)
        value = value * 10 + (*in->at++ - '0');
    const size_t digits = (size_t)(in->at - first);
    if (digits == 0 || (digits > 1 && *first == '0'))
        return false;
    value = negative ? -value : value;
    *claim = (struct claim){.kind = CLAIM_INTEGER, .integer = value, .number = (double)value};
    return true;
}

static bool take_word(struct cursor *in, struct claim *claim)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        const size_t len = strlen(words[i]);
        if ((size_t)(in->end - in->at) < len || memcmp(in->at, words[i], len) != 0)
            continue;
        in->at += len;
        *claim = (struct claim){.kind = CLAIM_OTHER};
        return true;
    }
    return false;
}

static bool is_same(const struct claim *claim, const char *text, size_t len)
{
    return claim->len == len && memcmp(claim->text, text, len) == 0;
}

/* False: not of that form, or a name is there twice. */
static bool read_plain(const char *text, size_t len, struct claims *claims)
{
    struct cursor in = {text, text + len};
    struct claim keys[PLAIN_MAX], value;
    size_t count = 0;
    if (!take(&in, '{'))
        return false;
    do {
        struct claim *key = &keys[count];
        if (count == PLAIN_MAX || !take_text(&in, key))
            return false;
        for (size_t i = 0; i < count; i++)
            if (is_same(&keys[i], key->text, key->len))
                return false;
        if (!take(&in, ':') ||
            !(take_text(&in, &value) || take_integer(&in, &value) || take_word(&in, &value)))
            return false;
        for (size_t i = 0; i < CLAIM_NAMES; i++)
            if (is_same(key, names[i], strlen(names[i])))
                claims->list[i] = value;
        count++;
    } while (take(&in, ','));
    return take(&in, '}') && in.at == in.end;
}

/* ---- the whole ---- */

enum status claims_read(const char *text, size_t len, struct claims *ret_claims)
{
    *ret_claims = (struct claims){0};
    if (read_plain(text, len, ret_claims))
        return ST_OK;

    struct json_error error;
    struct json *document = json_parse(text, len, JWS_MAX, &error);
    if (!json_is_object(document)) {
        json_free(document);
        return ST_INVALID;
    }
    ret_claims->document = document;
    for (size_t i = 0; i < CLAIM_NAMES; i++) {
        const struct json *value = json_get(document, names[i]);
        struct claim claim = {.kind = value ? CLAIM_OTHER : CLAIM_ABSENT};
        claim.text = json_str_value(value);
        claim.len = json_str_value_len(value);
        if (claim.text)
            claim.kind = CLAIM_TEXT;
        else if (json_is_integer(value))
            claim.kind = CLAIM_INTEGER;
        claim.integer = json_int_value(value, 0);
        claim.number = json_double(document, names[i], NAN);
        if (claim.kind == CLAIM_OTHER && !isnan(claim.number))
            claim.kind = CLAIM_REAL;
        ret_claims->list[i] = claim;
    }
    return ST_OK;
}

bool claims_are_for(const struct claims *claims, const char *name)
{
    const struct claim *aud = &claims->list[CLAIM_AUD];
    if (aud->kind == CLAIM_TEXT)
        return is_same(aud, name, strlen(name));
    const struct json *list = json_get(claims->document, names[CLAIM_AUD]);
    for (size_t i = 0; i < json_array_len(list); i++) {
        const char *one = json_str_value(json_array_at(list, i));
        if (one && strcmp(one, name) == 0)
            return true;
    }
    return false;
}

void claims_clear(struct claims *claims)
{
    json_free(claims->document);
    claims->document = NULL;
}
