/* SPDX-License-Identifier: MIT */
/*
 * claims: reads the payload of a JWT.
 *
 * Why this way: a buyer with a JWT sends it with every request, and building a JSON tree of it costs as much as
 * checking its signature. Nearly all payloads are one flat object without blanks or escapes: that form is read in
 * place. Of any other the members that are read go to the JSON parser, and the others are passed over. Every text that
 * the plain reader accepts means the same to the JSON parser: the tests read each text both ways.
 * Called by: token. Pure. The claims own the parser's document, if there is one.
 */
#include "auth/claims.h"

#include "auth/jws.h"
#include "base/buf.h"
#include "base/json.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define PLAIN_MAX  16 /* a payload with more members goes to the JSON parser */
#define DIGITS_MAX 15 /* so many digits are exact as a double */

static const char *const names[CLAIM_NAMES] = {
    [CLAIM_SUB] = "sub", [CLAIM_USER_ID] = "userId", [CLAIM_ROLE] = "role", [CLAIM_EXP] = "exp",
    [CLAIM_NBF] = "nbf", [CLAIM_AUD] = "aud",        [CLAIM_ISS] = "iss"};

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
    const char *before = in->at;
    const bool negative = take(in, '-');
    const char *first = in->at;
    int64_t value = 0;
    while (in->at < in->end && *in->at >= '0' && *in->at <= '9' && in->at - first < DIGITS_MAX)
        value = value * 10 + (*in->at++ - '0');
    const size_t digits = (size_t)(in->at - first);
    if (digits == 0 || (digits > 1 && *first == '0')) {
        in->at = before; /* "-null" must not be read as a word */
        return false;
    }
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

/* False: the text does not have the plain form, or a name occurs twice. */
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

/* ---- any other form ----
 *
 * The JSON parser gets the members that are read; the others are passed over. It would refuse the whole payload for a
 * member that nobody reads: an integer of 20 digits, a NUL in a name. */

static void skip_blanks(struct cursor *in)
{
    while (in->at < in->end &&
           (*in->at == ' ' || *in->at == '\t' || *in->at == '\n' || *in->at == '\r'))
        in->at++;
}

static bool skip_string(struct cursor *in)
{
    if (!take(in, '"'))
        return false;
    while (in->at < in->end && *in->at != '"') {
        if ((unsigned char)*in->at < ' ')
            return false;
        in->at += *in->at == '\\' && in->end - in->at > 1 ? 2 : 1;
    }
    return take(in, '"');
}

static size_t skip_digits(struct cursor *in)
{
    const char *first = in->at;
    while (in->at < in->end && *in->at >= '0' && *in->at <= '9')
        in->at++;
    return (size_t)(in->at - first);
}

static bool skip_number(struct cursor *in)
{
    (void)take(in, '-');
    if (!take(in, '0') && skip_digits(in) == 0)
        return false;
    if (take(in, '.') && skip_digits(in) == 0)
        return false;
    if (in->at < in->end && (*in->at | 0x20) == 'e') {
        in->at++;
        if (!take(in, '+'))
            (void)take(in, '-');
        return skip_digits(in) > 0;
    }
    return true;
}

/* An array or an object: passes over its strings, and checks that its brackets fit. */
static bool skip_nested(struct cursor *in)
{
    uint64_t open = 1; /* a bit for each level, set for an object; the highest bit is none */
    do {
        const char c = *in->at;
        if (c == '"') {
            if (!skip_string(in))
                return false;
            continue;
        }
        in->at++;
        if (c == '{' || c == '[') {
            if (open >> 63)
                return false;
            open = open << 1 | (c == '{');
        } else if (c == '}' || c == ']') {
            if ((open & 1) != (c == '}'))
                return false;
            open >>= 1;
        }
    } while (open > 1 && in->at < in->end);
    return open == 1;
}

static bool skip_value(struct cursor *in)
{
    struct claim word;
    if (in->at == in->end)
        return false;
    if (*in->at == '"')
        return skip_string(in);
    if (*in->at == '{' || *in->at == '[')
        return skip_nested(in);
    return take_word(in, &word) || skip_number(in);
}

/* Is the key, given with its quotes, the name of a claim that is read? */
static bool is_read(const char *key, size_t len)
{
    struct json *decoded = memchr(key, '\\', len) ? json_parse(key, len, JWS_MAX, NULL) : NULL;
    const struct claim name = {.text = decoded ? json_str_value(decoded) : key + 1,
                               .len = decoded ? json_str_value_len(decoded) : len - 2};
    bool found = false;
    for (size_t i = 0; i < CLAIM_NAMES && name.text; i++)
        found = found || is_same(&name, names[i], strlen(names[i]));
    json_free(decoded);
    return found;
}

/* Passes over `"key": value`, and appends it to *out if it is read. */
static bool select_member(struct cursor *in, struct buf *out)
{
    skip_blanks(in);
    const char *key = in->at;
    if (!skip_string(in))
        return false;
    const size_t key_len = (size_t)(in->at - key);
    skip_blanks(in);
    if (!take(in, ':'))
        return false;
    skip_blanks(in);
    const char *value = in->at;
    if (!skip_value(in))
        return false;
    if (is_read(key, key_len)) {
        buf_add_char(out, out->len == 0 ? '{' : ',');
        buf_add(out, key, key_len);
        buf_add_char(out, ':');
        buf_add(out, value, (size_t)(in->at - value));
    }
    skip_blanks(in);
    return true;
}

/* Appends an object with those members that are read. False: the text is not one object. */
static bool select_members(const char *text, size_t len, struct buf *out)
{
    struct cursor in = {text, text + len};
    skip_blanks(&in);
    if (!take(&in, '{'))
        return false;
    skip_blanks(&in);
    if (in.at < in.end && *in.at != '}') {
        do {
            if (!select_member(&in, out))
                return false;
        } while (take(&in, ','));
    }
    buf_add_str(out, out->len == 0 ? "{}" : "}");
    if (!take(&in, '}'))
        return false;
    skip_blanks(&in);
    return in.at == in.end && !out->failed;
}

/* ---- any payload ---- */

/* Reads a claim of the parser's document. */
static struct claim claim_of(const struct json *document, const char *name)
{
    const struct json *value = json_get(document, name);
    struct claim claim = {.kind = value ? CLAIM_OTHER : CLAIM_ABSENT};
    claim.text = json_str_value(value);
    claim.len = json_str_value_len(value);
    if (claim.text)
        claim.kind = CLAIM_TEXT;
    else if (json_is_integer(value))
        claim.kind = CLAIM_INTEGER;
    claim.integer = json_int_value(value, 0);
    claim.number = json_double(document, name, NAN);
    if (claim.kind == CLAIM_OTHER && !isnan(claim.number))
        claim.kind = CLAIM_REAL;
    return claim;
}

enum status claims_read(const char *text, size_t len, struct claims *ret_claims)
{
    struct buf members;
    *ret_claims = (struct claims){0};
    if (read_plain(text, len, ret_claims))
        return ST_OK;

    *ret_claims = (struct claims){0};
    buf_init(&members, JWS_MAX);
    if (select_members(text, len, &members))
        ret_claims->document = json_parse(buf_str(&members), members.len, JWS_MAX, NULL);
    buf_clear(&members);
    if (!ret_claims->document)
        return ST_INVALID;
    for (size_t i = 0; i < CLAIM_NAMES; i++)
        ret_claims->list[i] = claim_of(ret_claims->document, names[i]);
    return ST_OK;
}

bool claims_are_by(const struct claims *claims, const char *issuer)
{
    const struct claim *iss = &claims->list[CLAIM_ISS];
    return iss->kind == CLAIM_TEXT && is_same(iss, issuer, strlen(issuer));
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
