/* SPDX-License-Identifier: MIT */
/*
 * token: ids of buyers and guests, the shop's JWT, the ticket (proof of a place) and the pass (proof of admission).
 *
 * Why this way: each join writes a ticket and many polls read one, so tickets are read without a JSON parser. The MAC
 * is checked first, so the reader sees only texts that this program wrote, in one fixed form. JWTs and passes are
 * read as JSON.
 * Called by: identity, api, gateway, queue, main, crowd. Owns nothing: the keys are those of token_keys.c.
 */
#include "auth/token_internal.h"

#include "auth/claims.h"
#include "auth/mac.h"
#include "base/json.h"
#include "base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LEEWAY_S 60 /* the clocks of shop and pod may differ by this much */

/* ---- ids ---- */

void token_random_hex(char *out)
{
    unsigned char bytes[16];
    size_t have = 0;
    while (have < sizeof(bytes)) {
        const ssize_t n = getrandom(bytes + have, sizeof(bytes) - have, 0);
        if (n < 0 && errno != EINTR)
            abort(); /* guessable ids would be worse than no service */
        if (n > 0)
            have += (size_t)n;
    }
    mac_write_hex(bytes, sizeof(bytes), out);
}

void token_new_guest(char *out)
{
    out[0] = 'g';
    out[1] = ':';
    token_random_hex(out + 2);
}

/* Which kinds of text each byte may be part of. It is a table because ids are checked several times in each request. */
enum { BYTE_TEXT = 1, BYTE_PLAIN = 3, BYTE_ID = 7, BYTE_HEX = 15 };
static const unsigned char byte_kinds[256] = {
    [' ' ... '!'] = BYTE_PLAIN,  ['"'] = BYTE_TEXT,
    ['#' ... ','] = BYTE_PLAIN,  ['-'] = BYTE_ID,
    ['.' ... '/'] = BYTE_PLAIN,  ['0' ... '9'] = BYTE_HEX,
    [':' ... '@'] = BYTE_PLAIN,  ['A' ... 'Z'] = BYTE_ID,
    ['['] = BYTE_PLAIN,          ['\\'] = BYTE_TEXT,
    [']' ... '^'] = BYTE_PLAIN,  ['_'] = BYTE_ID,
    ['`'] = BYTE_PLAIN,          ['a' ... 'f'] = BYTE_HEX,
    ['g' ... 'z'] = BYTE_ID,     ['{' ... '~'] = BYTE_PLAIN,
    [0x80 ... 0xff] = BYTE_PLAIN /* UTF-8: see is_printable */};

static bool all_are(const char *text, size_t len, unsigned kind)
{
    unsigned all = kind;
#pragma GCC unroll 8
    for (size_t i = 0; i < len; i++)
        all &= byte_kinds[(unsigned char)text[i]];
    return all == kind;
}

enum status token_write_guest(struct token_keys *keys, const char *id, int64_t day, char *out)
{
    return guest_cookie_write(keys->guests, id, day, out);
}

bool token_read_guest(struct token_keys *keys, const char *cookie, size_t len, char *out,
                      int64_t *ret_day)
{
    return guest_cookie_read(keys->guests, cookie, len, out, ret_day);
}

bool token_is_event_id(const char *id, size_t len)
{
    return len > 0 && len <= EVENT_ID_MAX && all_are(id, len, BYTE_ID);
}

/* Of text beyond ASCII: is it UTF-8, without controls (C1, line separators) and without what turns the text around it
 * (bidirectional overrides and isolates) or is no character? */
static bool is_printable(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        const unsigned char *at = (const unsigned char *)text + i;
        const size_t n = utf8_len(text + i, len - i);
        if (n == 0 || (n == 2 && at[0] == 0xc2 && at[1] < 0xa0))
            return false;
        if (n == 3) {
            const unsigned code = (at[0] & 0x0fu) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu);
            if ((code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
                code == 0xfeff || code >= 0xfffe || (code >= 0xfdd0 && code <= 0xfdef))
                return false;
        }
        i += n;
    }
    return true;
}

static bool is_sub(const char *text, size_t len)
{
    unsigned char all = 0;
    bool blank = true;
    if (len == 0 || len > BUYER_ID_MAX - 2 || !all_are(text, len, BYTE_TEXT))
        return false;
    for (size_t i = 0; i < len; i++) {
        all |= (unsigned char)text[i];
        blank &= text[i] == ' ';
    }
    return !blank && (all < 0x80 || is_printable(text, len));
}

bool token_names_buyer(const char *buyer)
{
    return (buyer[0] == 'u' || buyer[0] == 'g' || buyer[0] == 'o') && buyer[1] == ':' &&
           buyer[2] != '\0';
}

/* Are both valid ids, so that a ticket or pass may name them? */
static bool is_bound(const char *event, const char *buyer)
{
    return token_is_event_id(event, strlen(event)) && token_names_buyer(buyer) &&
           is_sub(buyer + 2, strlen(buyer + 2));
}

bool token_equal(const char *a, size_t a_len, const char *b, size_t b_len)
{
    return a_len == b_len && CRYPTO_memcmp(a, b, a_len) == 0;
}

/* ---- the shop's JWT ---- */

#define MS_FROM 1e12 /* as seconds: the year 33658; as milliseconds: 2001 */

/* What is wrong with a NumericDate (RFC 7519); NULL: nothing, or it is absent. */
static const char *wrong_time(const struct claim *claim, int64_t now_s, bool not_before)
{
    if (claim->kind == CLAIM_ABSENT)
        return NULL;
    if ((claim->kind != CLAIM_INTEGER && claim->kind != CLAIM_REAL) || claim->number < 0.0)
        return not_before ? "`nbf` of the bearer token must be a number: seconds since 1970."
                          : "`exp` of the bearer token must be a number: seconds since 1970.";
    if (claim->number >= MS_FROM)
        return not_before ? "`nbf` of the bearer token is in milliseconds: it must be in seconds."
                          : "`exp` of the bearer token is in milliseconds: it must be in seconds.";
    if (not_before)
        return (double)(now_s + LEEWAY_S) >= claim->number
                   ? NULL
                   : "The bearer token is not valid yet (`nbf`).";
    return (double)(now_s - LEEWAY_S) < claim->number ? NULL
                                                      : "The bearer token has expired (`exp`).";
}

/* Reads the sub, or the userId where there is none. */
static bool read_sub(const struct claims *claims, char *out, size_t size)
{
    const struct claim *claim = &claims->list[CLAIM_SUB];
    if (claim->kind == CLAIM_ABSENT)
        claim = &claims->list[CLAIM_USER_ID];
    if (claim->kind == CLAIM_INTEGER && claim->integer >= 0) {
        (void)snprintf(out, size, "%" PRId64, claim->integer);
        return true;
    }
    if (claim->kind != CLAIM_TEXT || !is_sub(claim->text, claim->len))
        return false;
    memcpy(out, claim->text, claim->len);
    out[claim->len] = '\0';
    return true;
}

/* Reads the user from the claims of a token whose signature is valid. Returns what is wrong; NULL: nothing. */
static const char *read_user(const struct token_keys *keys, const struct claims *claims,
                             int64_t now_s, struct user *user)
{
    const struct claim *role = &claims->list[CLAIM_ROLE], *exp = &claims->list[CLAIM_EXP];
    if (role->kind != CLAIM_TEXT || !role_read(role->text, role->len, &user->role))
        user->role = USER_BUYER;
    if (keys->issuer && !claims_are_by(claims, keys->issuer))
        return "The bearer token is of another issuer: `iss` must be JWT_ISSUER.";
    if (keys->audience && !claims_are_for(claims, keys->audience))
        return "The bearer token is for another audience: `aud` must name JWT_AUDIENCE.";
    if (!keys->audience && user->role != USER_BUYER && claims->list[CLAIM_AUD].kind != CLAIM_ABSENT)
        return "The bearer token has a role and an audience (`aud`), which nobody has declared to "
               "be this service: set JWT_AUDIENCE.";
    const char *wrong = wrong_time(exp, now_s, false);
    if (!wrong)
        wrong = wrong_time(&claims->list[CLAIM_NBF], now_s, true);
    if (wrong)
        return wrong;
    if (exp->kind == CLAIM_ABSENT && user->role != USER_BUYER && !keys->staff_without_exp)
        return "A bearer token with a role must expire (`exp`), unless STAFF_TOKENS_WITHOUT_EXP "
               "is set.";
    if (!read_sub(claims, user->sub, sizeof(user->sub)))
        return "`sub` of the bearer token must have 1 to 255 bytes of printable text.";
    return NULL;
}

enum status token_read_user(struct token_keys *keys, const char *jwt, size_t len, int64_t now_ms,
                            struct user *ret_user)
{
    struct buf *payload = &keys->payload;
    struct user user;
    struct claims claims;
    keys->refusal = NULL;
    buf_reset(payload);
    if (len > JWS_MAX) {
        keys->refusal = "The bearer token is longer than 8 KiB.";
        return ST_UNAUTHORIZED;
    }
    const enum status st = jws_verify(keys->users, jwt, len, payload);
    if (st != ST_OK)
        keys->refusal = "The bearer token is not a JWT that is signed with a key of the shop.";
    else if (claims_read(buf_str(payload), payload->len, &claims) != ST_OK)
        keys->refusal =
            "The bearer token's claims are not valid JSON, or one of sub, userId, role, "
            "exp, nbf, aud and iss is repeated or out of range.";
    if (keys->refusal)
        return st == ST_NOT_FOUND && keys->fetches ? ST_BUSY : ST_UNAUTHORIZED;
    keys->refusal = read_user(keys, &claims, now_ms / 1000, &user);
    claims_clear(&claims);
    if (keys->refusal)
        return ST_UNAUTHORIZED;
    *ret_user = user;
    return ST_OK;
}

const char *token_refusal(const struct token_keys *keys)
{
    return keys->refusal ? keys->refusal : "";
}

enum status token_write_user(struct token_keys *keys, const char *sub, const char *role,
                             int64_t now_ms, int64_t ttl_ms, struct buf *out)
{
    struct buf *payload = &keys->payload;
    if (!keys->can_sign_users)
        return ST_UNAVAILABLE;
    enum user_role known;
    if (!is_sub(sub, strlen(sub)) || !role_read(role, strlen(role), &known))
        return ST_INVALID;
    buf_reset(payload);
    buf_add_str(payload, "{\"sub\":");
    buf_add_json_str(payload, sub, strlen(sub));
    buf_printf(payload, ",\"role\":\"%s\",\"iat\":%" PRId64 ",\"exp\":%" PRId64, role,
               now_ms / 1000, (now_ms + ttl_ms) / 1000);
    if (keys->issuer) {
        buf_add_str(payload, ",\"iss\":");
        buf_add_json_str(payload, keys->issuer, strlen(keys->issuer));
    }
    if (keys->audience) {
        buf_add_str(payload, ",\"aud\":");
        buf_add_json_str(payload, keys->audience, strlen(keys->audience));
    }
    buf_add_char(payload, '}');
    return jws_sign(keys->users, buf_str(payload), payload->len, out);
}

/* ---- ticket ---- */

enum status ticket_sign(struct token_keys *keys, const struct ticket *ticket, struct buf *out)
{
    struct buf *payload = &keys->payload;
    if (!is_bound(ticket->event, ticket->buyer))
        return ST_INVALID;
    buf_reset(payload);
    buf_add_str(payload, "{\"e\":\"");
    buf_add_str(payload, ticket->event);
    buf_add_str(payload, "\",\"b\":");
    buf_add_json_str(payload, ticket->buyer, strlen(ticket->buyer));
    buf_add_str(payload, ",\"p\":\"");
    buf_add_uint(payload, ticket->place);
    buf_add_str(payload, "\",\"x\":");
    buf_add_uint(payload, ticket->epoch);
    buf_add_str(payload, ",\"l\":");
    buf_add_uint(payload, ticket->lowest);
    buf_add_char(payload, '}');
    return jws_sign(keys->tickets, buf_str(payload), payload->len, out);
}

/* Reads the payload step by step. Once a step has failed, all later steps fail, so only the last one is checked. */
struct reader {
    const char *at, *end;
    bool failed;
};

static void expect_text(struct reader *reader, const char *text, size_t len)
{
    if (reader->failed || (size_t)(reader->end - reader->at) < len ||
        memcmp(reader->at, text, len) != 0)
        reader->failed = true;
    else
        reader->at += len;
}
#define EXPECT(reader, literal) expect_text(reader, literal, sizeof(literal) - 1)

/* Reads an id, bytes of one kind up to the closing quote. ticket_sign escapes only \" and \\. */
static void take_id(struct reader *reader, unsigned kind, char *out, size_t size)
{
    const char *at = reader->at, *const end = reader->end;
    char *const last = out + size - 1;
    if (reader->failed)
        return;
    const char *quote = memchr(at, '"', (size_t)(end - at));
    const size_t len = quote ? (size_t)(quote - at) : size;
    if (len < size && all_are(at, len, kind | BYTE_PLAIN)) {
        memcpy(out, at, len);
        out[len] = '\0';
        reader->at = quote;
        return;
    }
    for (; at < end && *at != '"'; at++) {
        const bool escaped = *at == '\\';
        at += escaped;
        if (at == end || out == last || (byte_kinds[(unsigned char)*at] & kind) != kind ||
            (escaped && *at != '"' && *at != '\\')) {
            reader->failed = true;
            return;
        }
        *out++ = *at;
    }
    *out = '\0';
    reader->at = at;
}

static uint64_t take_uint(struct reader *reader)
{
    uint64_t value = 0;
    const char *start = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9') {
        const uint64_t digit = (uint64_t)(*reader->at++ - '0');
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            reader->failed = true;
            return 0;
        }
    }
    if (reader->at == start || (*start == '0' && reader->at != start + 1))
        reader->failed = true;
    return value;
}

enum status ticket_read(struct token_keys *keys, const char *text, size_t len,
                        struct ticket *ret_ticket)
{
    struct ticket ticket = {0};
    struct buf *payload = &keys->payload;
    buf_reset(payload);
    if (jws_verify(keys->tickets, text, len, payload) != ST_OK)
        return ST_UNAUTHORIZED;
    struct reader reader = {.at = buf_str(payload), .end = buf_str(payload) + payload->len};
    EXPECT(&reader, "{\"e\":\"");
    take_id(&reader, BYTE_ID, ticket.event, sizeof(ticket.event));
    EXPECT(&reader, "\",\"b\":\"");
    take_id(&reader, BYTE_TEXT, ticket.buyer, sizeof(ticket.buyer));
    EXPECT(&reader, "\",\"p\":\"");
    ticket.place = take_uint(&reader);
    EXPECT(&reader, "\",\"x\":");
    ticket.epoch = take_uint(&reader);
    EXPECT(&reader, ",\"l\":");
    ticket.lowest = take_uint(&reader);
    EXPECT(&reader, "}");
    if (reader.failed || reader.at != reader.end || !is_bound(ticket.event, ticket.buyer))
        return ST_UNAUTHORIZED;
    *ret_ticket = ticket;
    return ST_OK;
}

bool ticket_is_current(const struct token_keys *keys, const char *text, size_t len)
{
    return jws_is_current(keys->tickets, text, len);
}

/* ---- pass ---- */

enum status pass_sign(struct token_keys *keys, struct pass *pass, struct buf *out)
{
    struct buf *payload = &keys->payload;
    if (!is_bound(pass->event, pass->buyer))
        return ST_INVALID;
    token_random_hex(pass->jti);
    buf_reset(payload);
    buf_printf(payload, "{\"iss\":\"tiketi\",\"aud\":\"%s\",\"event\":\"%s\",\"sub\":", pass->event,
               pass->event);
    buf_add_json_str(payload, pass->buyer, strlen(pass->buyer));
    buf_printf(payload,
               ",\"place\":\"%" PRIu64 "\",\"epoch\":%" PRIu64 ",\"iat\":%" PRId64
               ",\"exp\":%" PRId64 ",\"jti\":\"%s\"%s}",
               pass->place, pass->epoch, pass->iat_s, pass->exp_s, pass->jti,
               pass->names_guest ? ",\"guest\":true" : "");
    const size_t before = out->len;
    const enum status st = jws_sign(keys->passes, buf_str(payload), payload->len, out);
    if (st == ST_OK)
        pass_memo_put(keys->memo, buf_str(out) + before, out->len - before, pass);
    return st;
}

/* Copies a text claim into a fixed array. False: it is absent or too long. */
static bool read_claim(const struct json *claims, const char *name, char *out, size_t size)
{
    const char *text = json_str(claims, name);
    if (!text || strlen(text) >= size)
        return false;
    (void)snprintf(out, size, "%s", text);
    return true;
}

static bool claims_text(const struct json *claims, const char *name, const char *wanted)
{
    const char *text = json_str(claims, name);
    return text && strcmp(text, wanted) == 0;
}

/* Reads the claims after the signature was found valid. False: they are not those of a pass: the operator may use
 * PASS_KEYS to sign other things too. */
static bool read_pass_claims(const struct json *claims, struct pass *pass)
{
    char place[24];
    if (!claims_text(claims, "iss", "tiketi") ||
        !read_claim(claims, "event", pass->event, sizeof(pass->event)) ||
        !claims_text(claims, "aud", pass->event) ||
        !read_claim(claims, "sub", pass->buyer, sizeof(pass->buyer)) ||
        !is_bound(pass->event, pass->buyer) ||
        !read_claim(claims, "jti", pass->jti, sizeof(pass->jti)) ||
        !read_claim(claims, "place", place, sizeof(place)))
        return false;
    struct reader reader = {.at = place, .end = place + strlen(place)};
    pass->place = take_uint(&reader);
    const int64_t epoch = json_int(claims, "epoch", -1);
    pass->epoch = (uint64_t)epoch;
    pass->iat_s = json_int(claims, "iat", -1);
    pass->exp_s = json_int(claims, "exp", -1);
    pass->names_guest = pass->buyer[0] == 'g' && json_bool(claims, "guest", false);
    return !reader.failed && reader.at == reader.end && epoch >= 0 && pass->iat_s >= 0 &&
           pass->exp_s >= 0;
}

/* Verifies a pass that is not remembered, and remembers it. */
static enum status pass_verify(struct token_keys *keys, const char *text, size_t len,
                               struct pass *pass)
{
    struct json_error error;
    buf_reset(&keys->payload);
    if (jws_verify(keys->passes, text, len, &keys->payload) != ST_OK)
        return ST_UNAUTHORIZED;
    struct json *claims = json_parse(buf_str(&keys->payload), keys->payload.len, JWS_MAX, &error);
    const bool ok = read_pass_claims(claims, pass);
    json_free(claims);
    if (!ok)
        return ST_UNAUTHORIZED;
    pass_memo_put(keys->memo, text, len, pass);
    return ST_OK;
}

enum status pass_read(struct token_keys *keys, const char *text, size_t len, int64_t now_ms,
                      struct pass *ret_pass)
{
    struct pass pass;
    if (!pass_memo_get(keys->memo, text, len, &pass) &&
        pass_verify(keys, text, len, &pass) != ST_OK)
        return ST_UNAUTHORIZED;
    if (now_ms > 0 && now_ms / 1000 >= pass.exp_s)
        return ST_UNAUTHORIZED;
    *ret_pass = pass;
    return ST_OK;
}

bool pass_is_current(const struct token_keys *keys, const char *text, size_t len)
{
    return jws_is_current(keys->passes, text, len);
}

void token_write_jwks(const struct token_keys *keys, struct buf *out)
{
    jws_write_jwks(keys->passes, out);
}

enum status token_write_pem(const struct token_keys *keys, const char *kid, struct buf *out)
{
    return jws_write_pem(keys->passes, kid, out);
}

/* ---- a bought ticket ---- */

enum status eticket_sign(struct token_keys *keys, const struct eticket *ticket, struct buf *out)
{
    struct buf *payload = &keys->payload;
    buf_reset(payload);
    buf_printf(payload, "{\"iss\":\"tiketi\",\"aud\":\"ticket:%s\",\"jti\":\"%s.%s\",\"seat\":[",
               ticket->event, ticket->number, ticket->seat);
    buf_add_json_str(payload, ticket->section, strlen(ticket->section));
    buf_add_char(payload, ',');
    buf_add_json_str(payload, ticket->row, strlen(ticket->row));
    buf_printf(payload, ",\"%" PRId64 "\"]}", ticket->seat_number);
    return jws_sign(keys->passes, buf_str(payload), payload->len, out);
}

enum status eticket_read(struct token_keys *keys, const char *text, size_t len,
                         struct eticket_claim *ret_claim)
{
    static const char audience[] = "ticket:";
    struct eticket_claim claim;
    buf_reset(&keys->payload);
    if (len > JWS_MAX || jws_verify(keys->passes, text, len, &keys->payload) != ST_OK)
        return ST_UNAUTHORIZED;
    struct json *claims = json_parse(buf_str(&keys->payload), keys->payload.len, JWS_MAX, NULL);
    const char *aud = json_str(claims, "aud"), *jti = json_str(claims, "jti");
    const char *dot = jti ? strchr(jti, '.') : NULL;
    const size_t number_len = dot ? (size_t)(dot - jti) : 0;
    const size_t seat_len = dot ? strlen(dot + 1) : 0;
    const bool ok =
        aud && strncmp(aud, audience, sizeof(audience) - 1) == 0 &&
        token_is_event_id(aud + sizeof(audience) - 1, strlen(aud) - sizeof(audience) + 1) &&
        number_len > 0 && number_len < sizeof(claim.number) && seat_len > 0 &&
        seat_len < sizeof(claim.seat) && strspn(dot + 1, "0123456789") == seat_len;
    if (ok) {
        (void)snprintf(claim.event, sizeof(claim.event), "%s", aud + sizeof(audience) - 1);
        (void)snprintf(claim.number, sizeof(claim.number), "%.*s", (int)number_len, jti);
        (void)snprintf(claim.seat, sizeof(claim.seat), "%s", dot + 1);
        *ret_claim = claim;
    }
    json_free(claims);
    return ok ? ST_OK : ST_UNAUTHORIZED;
}

const char *eticket_key(const struct token_keys *keys)
{
    return keys->eticket_key[0] != '\0' ? keys->eticket_key : NULL;
}

enum status token_write_return(struct token_keys *keys, const char *reservation, int64_t until_ms,
                               char *out)
{
    return return_proof_write(keys->returns, reservation, until_ms / 1000, out);
}

bool token_read_return(struct token_keys *keys, const char *proof, size_t len,
                       const char *reservation, int64_t now_ms)
{
    return return_proof_holds(keys->returns, proof, len, reservation, now_ms / 1000);
}
