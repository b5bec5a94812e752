/* SPDX-License-Identifier: MIT */
/*
 * claims: the payload of a JWT.
 *
 * Why this way: a buyer with a JWT sends it with every request, and a DOM of it cost as much as all of
 * its signature. Nearly all payloads are one flat object without a blank or an escape, so that form is read
 * in place; whatever else it is, jansson reads. Each text that the plain reader accepts is JSON, and means
 * the same to jansson: the tests read each in both ways.
 * Called by: token. Pure; owns jansson's document where there is one.
 */
#include "auth/claims.h"

#include "auth/jws.h"
#include "base/json.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define PLAIN_MAX  16 /* members */
#define DIGITS_MAX 15 /* exact in a double, too */

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

/* A string of printable ASCII, nothing escaped. */
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

static bool take_value(struct cursor *in, struct claim *claim)
{
    return take_text(in, claim) || take_integer(in, claim) || take_word(in, claim);
}

static bool is_same(const struct claim *a, const char *text, size_t len)
{
    return a->len == len && memcmp(a->text, text, len) == 0;
}

static bool is_repeated(const struct claim *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_same(&keys[i], keys[count].text, keys[count].len))
            return true;
    return false;
}

static void keep(struct claims *claims, const struct claim *key, const struct claim *value)
{
    for (size_t i = 0; i < CLAIM_NAMES; i++)
        if (is_same(key, names[i], strlen(names[i])))
            claims->list[i] = *value;
}

/* False: not of that form. */
static bool read_plain(const char *text, size_t len, struct claims *claims)
{
    struct cursor in = {text, text + len};
    struct claim keys[PLAIN_MAX], value;
    size_t count = 0;
    if (!take(&in, '{'))
        return false;
    do {
        if (count == PLAIN_MAX || !take_text(&in, &keys[count]) || is_repeated(keys, count) ||
            !take(&in, ':') || !take_value(&in, &value))
            return false;
        keep(claims, &keys[count++], &value);
    } while (take(&in, ','));
    return take(&in, '}') && in.at == in.end;
}

/* ---- any other ---- */

static struct claim claim_of(const struct json *object, const char *name)
{
    const struct json *value = json_get(object, name);
    struct claim claim = {.kind = value != NULL ? CLAIM_OTHER : CLAIM_ABSENT};
    claim.text = json_str_value(value);
    claim.len = json_str_value_len(value);
    if (claim.text != NULL)
        claim.kind = CLAIM_TEXT;
    else if (json_is_integer(value))
        claim.kind = CLAIM_INTEGER;
    claim.integer = json_int_value(value, 0);
    claim.number = json_double(object, name, NAN);
    if (claim.kind == CLAIM_OTHER && !isnan(claim.number))
        claim.kind = CLAIM_REAL;
    return claim;
}

static enum status read_document(const char *text, size_t len, struct claims *claims)
{
    struct json_error error;
    struct json *document = json_parse(text, len, JWS_MAX, &error);
    if (!json_is_object(document)) {
        json_free(document);
        return ST_INVALID;
    }
    claims->document = document;
    for (size_t i = 0; i < CLAIM_NAMES; i++)
        claims->list[i] = claim_of(document, names[i]);
    return ST_OK;
}

enum status claims_read(const char *text, size_t len, struct claims *ret_claims)
{
    *ret_claims = (struct claims){0};
    return read_plain(text, len, ret_claims) ? ST_OK : read_document(text, len, ret_claims);
}

bool claims_are_for(const struct claims *claims, const char *name)
{
    const struct claim *aud = &claims->list[CLAIM_AUD];
    if (aud->kind == CLAIM_TEXT)
        return is_same(aud, name, strlen(name));
    const struct json *list = json_get(claims->document, names[CLAIM_AUD]);
    for (size_t i = 0; i < json_array_len(list); i++) {
        const char *one = json_str_value(json_array_at(list, i));
        if (one != NULL && strcmp(one, name) == 0)
            return true;
    }
    return false;
}

void claims_clear(struct claims *claims)
{
    json_free(claims->document);
    claims->document = NULL;
}
