/* SPDX-License-Identifier: MIT */
/*
 * token: ids of buyers and guests, the shop's JWT, the ticket (proof of a place) and the pass (proof of admission).
 *
 * Why this way: each join writes a ticket and many polls read one, so tickets are read by hand. The MAC is checked
 * first, hence the reader sees only text that this program wrote, in one fixed form. JWTs and passes are read as JSON.
 * Called by: identity, api, gateway, queue, main, crowd. Owns: the keys, wiped at the end. One struct token_keys
 * belongs to one thread.
 */
#include "auth/token.h"

#include "auth/claims.h"
#include "auth/jws.h"
#include "base/json.h"
#include "base/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LEEWAY_S       60 /* clocks of shop and pod differ */
#define TICKET_KEY_MIN 32
#define TICKET_KEY_MAX 64

struct token_keys {
    struct jws_ring *users;   /* the shop's JWT */
    struct jws_ring *tickets; /* ours, HS256 */
    struct jws_ring *passes;  /* ours, ES256 */
    bool can_sign_users;
    const char *audience; /* of the shop's JWT; NULL: any. As the next, borrowed from the config */
    const char *webhook_secret; /* NULL: unset */
    struct buf payload;         /* scratch */
};

/* ---- keys ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes `len` hex digits into `out`. Returns the number of bytes; 0: not hex, an odd length, or more than `max`
 * bytes. */
static size_t decode_hex(const char *text, size_t len, unsigned char *out, size_t max)
{
    if (len % 2 != 0 || len / 2 > max)
        return 0;
    for (size_t i = 0; i < len; i += 2) {
        const int high = hex_value(text[i]), low = hex_value(text[i + 1]);
        if (high < 0 || low < 0)
            return 0;
        out[i / 2] = (unsigned char)(high << 4 | low);
    }
    return len / 2;
}

/* "kid:hex,kid:hex": the first key signs, all verify. With `derive_pass` each key is also the seed of a pass key, so
 * that passes survive a rotation of keys as tickets do. */
static enum status add_ticket_keys(struct token_keys *keys, const char *list, bool derive_pass)
{
    bool first = true;
    while (*list) {
        unsigned char bytes[TICKET_KEY_MAX];
        char kid[65];
        const size_t item = strcspn(list, ","), name = strcspn(list, ":");
        if (name == 0 || name >= item || name >= sizeof(kid))
            return ST_INVALID;
        memcpy(kid, list, name);
        kid[name] = '\0';
        const size_t len = decode_hex(list + name + 1, item - name - 1, bytes, sizeof(bytes));
        enum status st = len >= TICKET_KEY_MIN ? ST_OK : ST_INVALID;
        if (st == ST_OK)
            st = jws_ring_add_hs256(keys->tickets, kid, bytes, len);
        if (st == ST_OK && derive_pass)
            st = jws_ring_add_es256_derived(keys->passes, bytes, len);
        OPENSSL_cleanse(bytes, sizeof(bytes));
        if (st != ST_OK)
            return st;
        first = false;
        list += item + (list[item] == ',');
    }
    return first ? ST_INVALID : ST_OK;
}

static enum status add_jwks_file(struct token_keys *keys, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return ST_NOT_FOUND;
    const size_t max = (size_t)256 * 1024;
    char *text = xcalloc(1, max);
    const size_t len = fread(text, 1, max, file);
    (void)fclose(file);
    const enum status st = jws_ring_add_jwks(keys->users, text, len);
    free(text);
    return st;
}

enum status token_keys_new(const struct config *config, struct token_keys **ret_keys, char *error,
                           size_t error_size)
{
    struct token_keys *keys = xcalloc(1, sizeof(*keys));
    const char *secret = config->jwt_secret;
    const char *wrong = NULL;
    keys->users = jws_ring_new();
    keys->tickets = jws_ring_new();
    keys->passes = jws_ring_new();
    keys->can_sign_users = secret;
    keys->audience = config->jwt_audience;
    keys->webhook_secret = config->payment_webhook_secret;
    buf_init(&keys->payload, JWS_MAX);
    if (!keys->users || !keys->tickets || !keys->passes)
        wrong = "OpenSSL: SHA-256 is not available";
    else if (secret && jws_ring_add_hs256(keys->users, NULL, secret, strlen(secret)) != ST_OK)
        wrong = "JWT_SECRET: must have at least 16 bytes";
    else if (config->jwt_jwks_file && add_jwks_file(keys, config->jwt_jwks_file) != ST_OK)
        wrong = "JWT_JWKS_FILE: no readable JWKS document of P-256 or RSA keys";
    else if (config->pass_key &&
             jws_ring_add_es256_pem(keys->passes, NULL, config->pass_key) != ST_OK)
        wrong = "PASS_KEY: not the PEM of a P-256 private key";
    else if (config->ticket_keys &&
             add_ticket_keys(keys, config->ticket_keys, !config->pass_key) != ST_OK)
        wrong = "TICKET_KEYS: must be kid:hex,kid:hex with 32 to 64 bytes each";
    if (wrong) {
        (void)snprintf(error, error_size, "%s", wrong);
        token_keys_free(keys);
        return ST_INVALID;
    }
    *ret_keys = keys;
    return ST_OK;
}

void token_keys_free(struct token_keys *keys)
{
    if (!keys)
        return;
    jws_ring_free(keys->users);
    jws_ring_free(keys->tickets);
    jws_ring_free(keys->passes);
    buf_clear(&keys->payload);
    free(keys);
}

/* ---- ids ---- */

void token_random_hex(char *out)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char bytes[16];
    size_t have = 0;
    while (have < sizeof(bytes)) {
        const ssize_t n = getrandom(bytes + have, sizeof(bytes) - have, 0);
        if (n < 0 && errno != EINTR)
            abort(); /* guessable ids would be worse than no service */
        if (n > 0)
            have += (size_t)n;
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        out[2 * i] = hex[bytes[i] >> 4];
        out[2 * i + 1] = hex[bytes[i] & 15];
    }
    out[32] = '\0';
}

void token_new_guest(char *out)
{
    out[0] = 'g';
    out[1] = ':';
    token_random_hex(out + 2);
}

/* What each byte may be part of. A table, because ids are checked several times in every request. */
enum { BYTE_VISIBLE = 1, BYTE_PLAIN = 3, BYTE_ID = 7, BYTE_HEX = 15 };
static const unsigned char byte_kinds[256] = {
    ['!'] = BYTE_PLAIN,         ['"'] = BYTE_VISIBLE,
    ['#' ... ','] = BYTE_PLAIN, ['-'] = BYTE_ID,
    ['.' ... '/'] = BYTE_PLAIN, ['0' ... '9'] = BYTE_HEX,
    [':' ... '@'] = BYTE_PLAIN, ['A' ... 'Z'] = BYTE_ID,
    ['['] = BYTE_PLAIN,         ['\\'] = BYTE_VISIBLE,
    [']' ... '^'] = BYTE_PLAIN, ['_'] = BYTE_ID,
    ['`'] = BYTE_PLAIN,         ['a' ... 'f'] = BYTE_HEX,
    ['g' ... 'z'] = BYTE_ID,    ['{' ... '~'] = BYTE_PLAIN};

static bool all_are(const char *text, size_t len, unsigned kind)
{
    unsigned all = kind;
#pragma GCC unroll 8
    for (size_t i = 0; i < len; i++)
        all &= byte_kinds[(unsigned char)text[i]];
    return all == kind;
}

bool token_read_guest(const char *cookie, size_t len, char *out, int64_t *ret_day)
{
    int64_t day = 0;
    if (len < GUEST_ID_LEN || len >= GUEST_COOKIE_SIZE || memcmp(cookie, "g:", 2) != 0 ||
        !all_are(cookie + 2, GUEST_ID_LEN - 2, BYTE_HEX))
        return false;
    if (len > GUEST_ID_LEN && (cookie[GUEST_ID_LEN] != '.' || len == GUEST_ID_LEN + 1))
        return false;
    for (size_t i = GUEST_ID_LEN + 1; i < len; i++) {
        if (cookie[i] < '0' || cookie[i] > '9')
            return false;
        day = day * 10 + (cookie[i] - '0');
    }
    memcpy(out, cookie, GUEST_ID_LEN);
    out[GUEST_ID_LEN] = '\0';
    *ret_day = day;
    return true;
}

void token_write_guest(const char *id, int64_t day, char *out)
{
    (void)snprintf(out, GUEST_COOKIE_SIZE, "%s.%" PRId64, id, day);
}

bool token_is_event_id(const char *id, size_t len)
{
    return len > 0 && len <= EVENT_ID_MAX && all_are(id, len, BYTE_ID);
}

static bool is_sub(const char *text, size_t len)
{
    return len > 0 && len <= BUYER_ID_MAX - 2 && all_are(text, len, BYTE_VISIBLE);
}

/* Does it begin like a buyer's id? */
static bool names_buyer(const char *buyer)
{
    return (buyer[0] == 'u' || buyer[0] == 'g') && buyer[1] == ':' && buyer[2] != '\0';
}

/* Are both valid ids, so that a ticket or pass may name them? */
static bool is_bound(const char *event, const char *buyer)
{
    return token_is_event_id(event, strlen(event)) && names_buyer(buyer) &&
           is_sub(buyer + 2, strlen(buyer + 2));
}

bool token_equal(const char *a, size_t a_len, const char *b, size_t b_len)
{
    return a_len == b_len && CRYPTO_memcmp(a, b, a_len) == 0;
}

/* ---- the shop's JWT ---- */

static const char *const role_names[] = {[USER_BUYER] = "buyer",
                                         [USER_VIEWER] = "viewer",
                                         [USER_SRE] = "sre",
                                         [USER_ORGANIZER] = "organizer",
                                         [USER_ADMIN] = "admin"};
#define ROLE_COUNT (sizeof(role_names) / sizeof(role_names[0]))

static size_t find_role(const char *name, size_t len)
{
    size_t i = 0;
    while (i < ROLE_COUNT &&
           (strlen(role_names[i]) != len || memcmp(role_names[i], name, len) != 0))
        i++;
    return i;
}

/* A NumericDate (RFC 7519), if present, must be a number, and not be over (exp) or must be over (nbf). */
static bool time_holds(const struct claim *claim, int64_t now_s, bool not_before)
{
    if (claim->kind == CLAIM_ABSENT)
        return true;
    if ((claim->kind != CLAIM_INTEGER && claim->kind != CLAIM_REAL) || claim->number < 0.0)
        return false;
    return not_before ? (double)(now_s + LEEWAY_S) >= claim->number
                      : (double)(now_s - LEEWAY_S) < claim->number;
}

/* The sub of 1 to 128 printable bytes, or the userId where there is none. */
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

enum status token_read_user(struct token_keys *keys, const char *jwt, size_t len, int64_t now_ms,
                            struct user *ret_user)
{
    struct buf *payload = &keys->payload;
    struct user user = {.role = USER_BUYER};
    struct claims claims;
    buf_reset(payload);
    if (jws_verify(keys->users, jwt, len, payload) != ST_OK ||
        claims_read(buf_str(payload), payload->len, &claims) != ST_OK)
        return ST_UNAUTHORIZED;
    const bool accepted = (!keys->audience || claims_are_for(&claims, keys->audience)) &&
                          time_holds(&claims.list[CLAIM_EXP], now_ms / 1000, false) &&
                          time_holds(&claims.list[CLAIM_NBF], now_ms / 1000, true) &&
                          read_sub(&claims, user.sub, sizeof(user.sub));
    const struct claim *role = &claims.list[CLAIM_ROLE];
    const size_t known = role->kind == CLAIM_TEXT ? find_role(role->text, role->len) : ROLE_COUNT;
    claims_clear(&claims);
    if (!accepted)
        return ST_UNAUTHORIZED;
    if (known < ROLE_COUNT)
        user.role = (enum user_role)known;
    *ret_user = user;
    return ST_OK;
}

enum status token_write_user(struct token_keys *keys, const char *sub, const char *role,
                             int64_t now_ms, int64_t ttl_ms, struct buf *out)
{
    struct buf *payload = &keys->payload;
    if (!keys->can_sign_users)
        return ST_UNAVAILABLE;
    if (!is_sub(sub, strlen(sub)) || find_role(role, strlen(role)) == ROLE_COUNT)
        return ST_INVALID;
    buf_reset(payload);
    buf_add_str(payload, "{\"sub\":");
    buf_add_json_str(payload, sub, strlen(sub));
    buf_printf(payload, ",\"role\":\"%s\",\"iat\":%" PRId64 ",\"exp\":%" PRId64, role,
               now_ms / 1000, (now_ms + ttl_ms) / 1000);
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

/* Reads the payload step by step; once a step has failed, all fail. */
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

/* An id of bytes of one kind, up to the closing quote. ticket_sign escapes only \" and \\. */
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
    take_id(&reader, BYTE_VISIBLE, ticket.buyer, sizeof(ticket.buyer));
    EXPECT(&reader, "\",\"p\":\"");
    ticket.place = take_uint(&reader);
    EXPECT(&reader, "\",\"x\":");
    ticket.epoch = take_uint(&reader);
    EXPECT(&reader, ",\"l\":");
    ticket.lowest = take_uint(&reader);
    EXPECT(&reader, "}");
    if (reader.failed || reader.at != reader.end || ticket.event[0] == '\0' ||
        !names_buyer(ticket.buyer))
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
               ",\"exp\":%" PRId64 ",\"jti\":\"%s\"}",
               pass->place, pass->epoch, pass->iat_s, pass->exp_s, pass->jti);
    return jws_sign(keys->passes, buf_str(payload), payload->len, out);
}

/* A text claim into a fixed array; false when absent or too long. */
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

/* The signature is valid; but the owner may sign other things with PASS_KEY: accept only a pass. */
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
    return !reader.failed && reader.at == reader.end && epoch >= 0 && pass->iat_s >= 0 &&
           pass->exp_s >= 0;
}

enum status pass_read(struct token_keys *keys, const char *text, size_t len, int64_t now_ms,
                      struct pass *ret_pass)
{
    struct pass pass = {0};
    struct json_error error;
    buf_reset(&keys->payload);
    if (jws_verify(keys->passes, text, len, &keys->payload) != ST_OK)
        return ST_UNAUTHORIZED;
    struct json *claims = json_parse(buf_str(&keys->payload), keys->payload.len, JWS_MAX, &error);
    const bool ok = read_pass_claims(claims, &pass);
    json_free(claims);
    if (!ok || (now_ms > 0 && now_ms / 1000 >= pass.exp_s))
        return ST_UNAUTHORIZED;
    *ret_pass = pass;
    return ST_OK;
}

void token_write_jwks(const struct token_keys *keys, struct buf *out)
{
    jws_write_jwks(keys->passes, out);
}

/* ---- webhook ---- */

enum status token_webhook_mac(struct token_keys *keys, const void *data, size_t len, char *out)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    const char *secret = keys->webhook_secret;
    if (!secret)
        return ST_UNAVAILABLE;
    if (!HMAC(EVP_sha256(), secret, (int)strlen(secret), data, len, mac, &mac_len) || mac_len != 32)
        return ST_INTERNAL;
    for (unsigned i = 0; i < mac_len; i++)
        (void)snprintf(out + (size_t)2 * i, 3, "%02x", mac[i]);
    return ST_OK;
}
