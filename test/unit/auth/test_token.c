/* SPDX-License-Identifier: MIT */
/* token: what was signed is read back; what is forged, altered, expired or of another key is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/jws.h"
#include "auth/token.h"
#include "base/base64url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECRET "a-shop-secret-of-enough-bytes"
#define KEY_1  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_2  "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
#define ZEROS  "0000000000000000000000000000000000000000000000000000000000000000"
#define NOW_S  INT64_C(1800000000)
#define NOW_MS (NOW_S * 1000)
#define BUYER  "u:alice"

static struct token_keys *make_keys(const struct config *config)
{
    struct token_keys *keys = NULL;
    char error[160] = "";
    const enum status st = token_keys_new(config, &keys, error, sizeof(error));
    assert_string_equal(error, "");
    assert_int_equal(st, ST_OK);
    return keys;
}

static struct token_keys *usual_keys(void)
{
    return make_keys(&(struct config){
        .jwt_secrets = SECRET, .ticket_keys = "k1:" KEY_1, .payment_webhook_secrets = "webhook"});
}

/* A JWT with any claims, correctly signed with the shop's secret. */
static const char *jwt(const char *claims)
{
    static char token[JWS_MAX + 1];
    struct buf out;
    struct jws_ring *ring = jws_ring_new();
    assert_int_equal(jws_ring_add_hs256(ring, NULL, SECRET, strlen(SECRET)), ST_OK);
    buf_init(&out, JWS_MAX);
    assert_int_equal(jws_sign(ring, claims, strlen(claims), &out), ST_OK);
    memcpy(token, out.data, out.len + 1);
    buf_clear(&out);
    jws_ring_free(ring);
    return token;
}

static enum status read_user(const char *token, struct user *ret_user)
{
    struct token_keys *keys = usual_keys();
    const enum status st = token_read_user(keys, token, strlen(token), NOW_MS, ret_user);
    token_keys_free(keys);
    return st;
}

/* ---- the shop's JWT ---- */

/* Read as it is, and with a leading blank, for which the JSON parser is used: both readers must agree. */
static enum status read_claims(const char *claims, struct user *ret_user)
{
    char spaced[2048];
    struct user twin = *ret_user;
    (void)snprintf(spaced, sizeof(spaced), " %s", claims);
    const enum status st = read_user(jwt(claims), ret_user);
    assert_int_equal(read_user(jwt(spaced), &twin), st);
    assert_string_equal(twin.sub, ret_user->sub);
    assert_int_equal(twin.role, ret_user->role);
    return st;
}

static void expect_sub(const char *claims, const char *sub)
{
    struct user user = {.sub = "untouched"};
    assert_int_equal(read_claims(claims, &user), ST_OK);
    assert_string_equal(user.sub, sub);
}

static void refuse_claims(const char *claims)
{
    struct user user = {.sub = "untouched"};
    assert_int_equal(read_claims(claims, &user), ST_UNAUTHORIZED);
    assert_string_equal(user.sub, "untouched");
}

static void the_sub_is_read(void **state)
{
    (void)state;
    expect_sub("{\"sub\":\"alice\"}", "alice");
    expect_sub("{\"userId\":\"bob\"}", "bob");
    expect_sub("{\"userId\":42}", "42");
    expect_sub("{\"userId\":9223372036854775807}", "9223372036854775807");
    expect_sub("{\"sub\":\"alice\",\"userId\":\"bob\"}", "alice");
    expect_sub("{\"sub\":\"a\\\"\\\\\\/!~\"}", "a\"\\/!~");
    expect_sub("{\"sub\":\"g:0123456789abcdef0123456789abcdef\"}",
               "g:0123456789abcdef0123456789abcdef");
    expect_sub("{\"sub\":\"Ana Mar\xc3\xad"
               "a\"}",
               "Ana Mar\xc3\xad"
               "a");
    expect_sub("{\"sub\":\"\\uae40 \\ucca0\\uc218\"}", "\xea\xb9\x80 \xec\xb2\xa0\xec\x88\x98");
    expect_sub("{\"sub\":\"\\ud83c\\udfab\"}", "\xf0\x9f\x8e\xab");
}

static void the_sub_has_a_length(void **state)
{
    char claims[300], name[257];
    (void)state;
    memset(name, 'x', sizeof(name));
    (void)snprintf(claims, sizeof(claims), "{\"sub\":\"%.255s\"}", name);
    expect_sub(claims, (name[255] = '\0', name));
    name[255] = 'x';
    (void)snprintf(claims, sizeof(claims), "{\"sub\":\"%.256s\"}", name);
    refuse_claims(claims);
}

static void other_claims_are_ignored(void **state)
{
    char claims[1024] = "{";
    (void)state;
    expect_sub("{\"iss\":\"shop\",\"admin\":true,\"x\":null,\"n\":-0,\"sub\":\"a\"}", "a");
    expect_sub("{\"aud\":[\"tickets\"],\"sub\":\"a\",\"realm\":{\"sub\":\"b\"}}", "a");
    expect_sub("{\"name\":\"\\u00e9\\\"\",\"sub\":\"a\"}", "a");
    expect_sub("{\"sub\":\"a\",\"name\":\"\xc3\xa9\"}", "a");
    expect_sub("{\"sub\":123456789012345}", "123456789012345");
    expect_sub("{\"sub\":1234567890123456}", "1234567890123456");
    /* What the parser would refuse the whole token for. */
    expect_sub("{\"sub\":\"a\",\"n\":12345678901234567890}", "a");
    expect_sub("{\"n\":-99999999999999999999.5e999,\"sub\":\"a\"}", "a");
    expect_sub("{\"sub\":\"a\",\"x\":[12345678901234567890,{\"y\":\"]\\\"\"}]}", "a");
    expect_sub("{\"sub\":\"a\",\"x\":\"\\u0000\",\"y\":\"\xff\"}", "a");
    expect_sub("{\"sub\":\"a\",\"x\":1,\"x\":2}", "a");
    expect_sub("{\"s\\u0075b\":\"a\"}", "a");
    for (int i = 0; i < 20; i++) /* more members than the plain reader takes */
        (void)snprintf(claims + strlen(claims), 16, "\"k%d\":%d,", i, i);
    (void)snprintf(claims + strlen(claims), 16, "\"sub\":\"a\"}");
    expect_sub(claims, "a");
}

static void bad_subs_are_refused(void **state)
{
    static const char *const claims[] = {
        "{}",
        "[]",
        "7",
        "null",
        "\"alice\"",
        "",
        "{\"sub\":\"\"}",
        "{\"sub\":null}",
        "{\"sub\":null,\"userId\":\"bob\"}",
        "{\"sub\":true}",
        "{\"sub\":1.5}",
        "{\"sub\":-1}",
        "{\"sub\":{}}",
        "{\"sub\":[\"a\"]}",
        "{\"sub\":\"  \"}",
        "{\"sub\":\"a\\n\"}",
        "{\"sub\":\"a\\u0000b\"}",
        "{\"sub\":\"\\u007f\"}",
        "{\"sub\":\"a\\u0085\"}",
        "{\"sub\":\"a\tb\"}",
        "{\"sub\":\"\\u2028\"}",
        "{\"sub\":\"\\u202e\\u0062\"}", /* turns the text around it */
        "{\"sub\":\"\\u2066a\"}",
        "{\"sub\":\"\\ufeffa\"}",
        "{\"sub\":\"\\uffff\"}",
        "{\"sub\":\"\\ud800\"}",
        "{\"sub\":\"\xc0\xaf\"}",
        "{\"sub\":\"\xed\xa0\x80\"}",
        "{\"sub\":\"a\",\"s\\u0075b\":\"b\"}",
        "{\"sub\":\"\xff\"}",
        "{\"sub\":\"a\",\"sub\":\"b\"}",
        "{\"sub\":\"a\"} x",
        "{\"sub\":18446744073709551616}",
        "{\"sub\":\"a\",}",
        "{\"sub\":\"a\"",
        "{\"sub\":\"a",
        "{\"sub\"}",
        "{,\"sub\":\"a\"}",
        "{\"sub\":007}",
        "{\"sub\":\"a\",\"exp\":01900000000}",
        "{\"sub\":\"a\",\"exp\":-}",
        "{\"sub\":\"a\",\"x\":tru}",
        "{\"sub\":\"a\",\"x\":[}",
        "{\"sub\":\"a\",\"x\":[1}",
        "{\"sub\":\"a\",\"x\":\"",
        "{\"sub\":\"a\",\"exp\":18000000000000000000000}",
        "{\"sub\":\"a\"}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++)
        refuse_claims(claims[i]);
}

static void times_have_a_leeway_of_a_minute(void **state)
{
    (void)state;
    expect_sub("{\"sub\":\"a\",\"exp\":1800000000}", "a");
    expect_sub("{\"sub\":\"a\",\"exp\":1799999941}", "a"); /* 59 s ago */
    refuse_claims("{\"sub\":\"a\",\"exp\":1799999940}");
    expect_sub("{\"sub\":\"a\",\"exp\":1799999940.5}", "a");
    expect_sub("{\"sub\":\"a\",\"exp\":253402300799}", "a"); /* the year 9999 */
    expect_sub("{\"sub\":\"a\",\"exp\":999999999999}", "a");
    refuse_claims("{\"sub\":\"a\",\"exp\":1800000000000}"); /* milliseconds */
    refuse_claims("{\"sub\":\"a\",\"exp\":1e300}");
    expect_sub("{\"sub\":\"a\",\"nbf\":1800000060}", "a");
    refuse_claims("{\"sub\":\"a\",\"nbf\":1800000061}");
    refuse_claims("{\"sub\":\"a\",\"nbf\":1800000060.5}");
    expect_sub("{\"sub\":\"a\",\"nbf\":0,\"iat\":1900000000}", "a");
    expect_sub("{\"sub\":\"a\"}", "a"); /* without exp: it does not expire */
}

static void a_time_that_is_no_number_is_refused(void **state)
{
    static const char *const values[] = {"null", "\"1900000000\"", "true", "{}", "-1"};
    char claims[80];
    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        (void)snprintf(claims, sizeof(claims), "{\"sub\":\"a\",\"exp\":%s}", values[i]);
        refuse_claims(claims);
        (void)snprintf(claims, sizeof(claims), "{\"sub\":\"a\",\"nbf\":%s}", values[i]);
        refuse_claims(claims);
    }
}

static void roles(void **state)
{
    static const struct {
        const char *claim;
        enum user_role role;
    } cases[] = {
        {"\"admin\"", USER_ADMIN},   {"\"organizer\"", USER_ORGANIZER}, {"\"sre\"", USER_SRE},
        {"\"viewer\"", USER_VIEWER}, {"\"buyer\"", USER_BUYER},         {"\"root\"", USER_BUYER},
        {"\"Admin\"", USER_BUYER},   {"[\"admin\"]", USER_BUYER},       {"1", USER_BUYER},
        {"null", USER_BUYER},        {"\"admin \"", USER_BUYER},
    };
    char claims[80];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct user user = {.sub = "untouched"};
        (void)snprintf(claims, sizeof(claims), "{\"sub\":\"a\",\"role\":%s,\"exp\":1800000000}",
                       cases[i].claim);
        assert_int_equal(read_claims(claims, &user), ST_OK);
        assert_int_equal(user.role, cases[i].role);
    }
}

static enum status read_with(const struct config *config, const char *claims, const char **ret_why)
{
    static char why[200];
    struct token_keys *keys = make_keys(config);
    struct user user;
    const char *token = jwt(claims);
    const enum status st = token_read_user(keys, token, strlen(token), NOW_MS, &user);
    (void)snprintf(why, sizeof(why), "%s", token_refusal(keys));
    *ret_why = why;
    token_keys_free(keys);
    return st;
}

/* A stolen token of staff is worth more than one of a buyer. */
static void tokens_with_a_role(void **state)
{
    static const struct config strict = {.jwt_secrets = SECRET},
                               lax = {.jwt_secrets = SECRET, .staff_tokens_without_exp = true},
                               ours = {.jwt_secrets = SECRET, .jwt_audience = "tickets"};
    static const char *const roles[] = {"viewer", "sre", "organizer", "admin"};
    const char *why;
    char claims[100];
    (void)state;
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        (void)snprintf(claims, sizeof(claims), "{\"sub\":\"a\",\"role\":\"%s\"}", roles[i]);
        assert_int_equal(read_with(&strict, claims, &why), ST_UNAUTHORIZED);
        assert_non_null(strstr(why, "STAFF_TOKENS_WITHOUT_EXP"));
        assert_int_equal(read_with(&lax, claims, &why), ST_OK);
        (void)snprintf(claims, sizeof(claims),
                       "{\"sub\":\"a\",\"role\":\"%s\",\"exp\":1800000000,\"aud\":\"wiki\"}",
                       roles[i]);
        assert_int_equal(read_with(&strict, claims, &why), ST_UNAUTHORIZED);
        assert_non_null(strstr(why, "JWT_AUDIENCE"));
        assert_int_equal(read_with(&ours, claims, &why), ST_UNAUTHORIZED);
    }
    assert_int_equal(read_with(&strict, "{\"sub\":\"a\",\"role\":\"buyer\"}", &why), ST_OK);
    assert_int_equal(read_with(&strict, "{\"sub\":\"a\",\"aud\":\"wiki\"}", &why), ST_OK);
    assert_int_equal(read_with(&ours,
                               "{\"sub\":\"a\",\"role\":\"admin\",\"exp\":1800000000,"
                               "\"aud\":\"tickets\"}",
                               &why),
                     ST_OK);
}

static void a_refusal_says_what_is_wrong(void **state)
{
    static const struct {
        const char *claims, *word;
    } cases[] = {
        {"{\"sub\":\"a\",\"exp\":1700000000}", "expired"},
        {"{\"sub\":\"a\",\"exp\":1800000000000}", "`exp` of the bearer token is in milliseconds"},
        {"{\"sub\":\"a\",\"nbf\":1800000000000}", "`nbf` of the bearer token is in milliseconds"},
        {"{\"sub\":\"a\",\"exp\":\"x\"}", "`exp`"},
        {"{\"sub\":\"a\",\"nbf\":null}", "`nbf`"},
        {"{\"sub\":\"a\",\"nbf\":1900000000}", "not valid yet"},
        {"{\"sub\":\"\"}", "`sub`"},
        {"{}", "`sub`"},
        {"[]", "claims"},
        {"{\"sub\":\"a\",\"aud\":\"x\"}", "audience"},
    };
    static const struct config ours = {.jwt_secrets = SECRET, .jwt_audience = "tickets"},
                               any = {.jwt_secrets = SECRET},
                               other = {.jwt_secrets = "another-secret-of-16"};
    const char *why;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const bool audience = strcmp(cases[i].word, "audience") == 0;
        assert_int_equal(read_with(audience ? &ours : &any, cases[i].claims, &why),
                         ST_UNAUTHORIZED);
        if (!strstr(why, cases[i].word))
            fail_msg("%s: %s", cases[i].claims, why);
    }
    /* Of a token that we do not trust nothing is said. */
    assert_int_equal(read_with(&other, "{\"sub\":\"a\",\"exp\":1}", &why), ST_UNAUTHORIZED);
    assert_non_null(strstr(why, "signed"));
    assert_null(strstr(why, "exp"));
}

static void tokens_have_up_to_8_kib(void **state)
{
    static char claims[8000];
    (void)state;
    const int n = snprintf(claims, sizeof(claims), "{\"sub\":\"a\",\"groups\":\"");
    memset(claims + n, 'x', 6000);
    (void)snprintf(claims + n + 6000, 16, "\"}");
    const char *token = jwt(claims);
    struct user user;
    assert_in_range(strlen(token), 8000, 8192);
    assert_int_equal(read_user(token, &user), ST_OK);
}

/* The keys of an identity provider sign for other services, too. */
static void the_audience_must_be_ours(void **state)
{
    static const struct {
        const char *claims;
        enum status status;
    } cases[] = {
        {"{\"sub\":\"a\",\"aud\":\"tickets\"}", ST_OK},
        {"{\"sub\":\"a\",\"aud\":[\"shop\",\"tickets\"]}", ST_OK},
        {" {\"sub\":\"a\",\"aud\":\"tickets\"}", ST_OK},
        {"{\"sub\":\"a\"}", ST_UNAUTHORIZED},
        {"{\"sub\":\"a\",\"aud\":\"ticket\"}", ST_UNAUTHORIZED},
        {"{\"sub\":\"a\",\"aud\":\"tickets2\"}", ST_UNAUTHORIZED},
        {"{\"sub\":\"a\",\"aud\":\"\"}", ST_UNAUTHORIZED},
        {"{\"sub\":\"a\",\"aud\":null}", ST_UNAUTHORIZED},
        {"{\"sub\":\"a\",\"aud\":[]}", ST_UNAUTHORIZED},
        {"{\"sub\":\"a\",\"aud\":[[\"tickets\"],1]}", ST_UNAUTHORIZED},
        {"{\"sub\":\"a\",\"aud\":{\"tickets\":\"tickets\"}}", ST_UNAUTHORIZED},
        {"{\"sub\":\"a\",\"aud\":[\"shop\"],\"x\":{\"aud\":\"tickets\"}}", ST_UNAUTHORIZED},
    };
    struct token_keys *keys =
        make_keys(&(struct config){.jwt_secrets = SECRET, .jwt_audience = "tickets"});
    struct user user;
    struct buf out;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *token = jwt(cases[i].claims);
        if (token_read_user(keys, token, strlen(token), NOW_MS, &user) != cases[i].status)
            fail_msg("%s", cases[i].claims);
    }
    buf_init(&out, 4096);
    assert_int_equal(token_write_user(keys, "bob", "sre", NOW_MS, 60000, &out), ST_OK);
    assert_int_equal(token_read_user(keys, out.data, out.len, NOW_MS, &user), ST_OK);
    assert_string_equal(user.sub, "bob");
    buf_clear(&out);
    token_keys_free(keys);
}

static void a_written_user_is_read_back(void **state)
{
    (void)state;
    struct token_keys *keys = usual_keys();
    struct buf out;
    struct user user;
    buf_init(&out, JWS_MAX);
    assert_int_equal(token_write_user(keys, "eve\"\\", "organizer", NOW_MS, 60000, &out), ST_OK);
    assert_int_equal(token_read_user(keys, out.data, out.len, NOW_MS, &user), ST_OK);
    assert_string_equal(user.sub, "eve\"\\");
    assert_int_equal(user.role, USER_ORGANIZER);
    assert_int_equal(token_read_user(keys, out.data, out.len, NOW_MS + 120000, &user),
                     ST_UNAUTHORIZED);
    buf_reset(&out);
    assert_int_equal(token_write_user(keys, "a\nb", "buyer", NOW_MS, 60000, &out), ST_INVALID);
    assert_int_equal(token_write_user(keys, "", "buyer", NOW_MS, 60000, &out), ST_INVALID);
    assert_int_equal(token_write_user(keys, "a", "god", NOW_MS, 60000, &out), ST_INVALID);
    assert_int_equal(out.len, 0);
    buf_clear(&out);
    token_keys_free(keys);
}

static void without_a_secret_every_jwt_is_refused(void **state)
{
    (void)state;
    struct token_keys *keys = make_keys(&(struct config){.ticket_keys = "k1:" KEY_1});
    struct user user;
    struct buf out;
    buf_init(&out, JWS_MAX);
    const char *token = jwt("{\"sub\":\"a\"}");
    assert_int_equal(token_read_user(keys, token, strlen(token), NOW_MS, &user), ST_UNAUTHORIZED);
    assert_int_equal(token_write_user(keys, "a", "buyer", NOW_MS, 1000, &out), ST_UNAVAILABLE);
    buf_clear(&out);
    token_keys_free(keys);
}

/* ---- ids ---- */

static void guest_ids(void **state)
{
    char a[GUEST_ID_LEN + 1], b[GUEST_ID_LEN + 1];
    (void)state;
    token_new_guest(a);
    token_new_guest(b);
    assert_int_equal(strlen(a), GUEST_ID_LEN);
    assert_string_not_equal(a, b);
}

#define GUEST "g:0123456789abcdef0123456789abcdef"

static bool opens(struct token_keys *keys, const char *cookie)
{
    char id[GUEST_ID_LEN + 1] = "";
    int64_t day;
    return token_read_guest(keys, cookie, strlen(cookie), id, &day) && strncmp(id, cookie, 34) == 0;
}

static void guest_cookies(void **state)
{
    static const char *const bad[] = {
        "",
        "g:",
        GUEST, /* the id is public: in tickets, passes, exports */
        GUEST ".",
        GUEST ".20000",
        GUEST ".20000.",
        GUEST ".20000.AAAAAAAAAAAAAAAAAAAAAA",
        GUEST "..AAAAAAAAAAAAAAAAAAAAAA",
        GUEST ".-1.AAAAAAAAAAAAAAAAAAAAAA",
        GUEST ".99999999.AAAAAAAAAAAAAAAAAAAAAA",
        GUEST ".20000.AAAAAAAAAAAAAAAAAAAAA",
        GUEST ".20000.AAAAAAAAAAAAAAAAAAAAAAA",
    };
    struct token_keys *keys = usual_keys();
    char read[GUEST_ID_LEN + 1], cookie[GUEST_COOKIE_SIZE];
    int64_t day = -1;
    (void)state;
    assert_int_equal(token_write_guest(keys, GUEST, 20000, cookie), ST_OK);
    /* As any other implementation makes it: HKDF-SHA-256(key, info) and HMAC-SHA-256, 16 bytes of it. */
    assert_string_equal(cookie, GUEST ".20000.ut6ySD5TXQ3lCqo5OZ6EcQ");
    assert_true(token_read_guest(keys, cookie, strlen(cookie), read, &day));
    assert_string_equal(read, GUEST);
    assert_int_equal(day, 20000);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(opens(keys, bad[i]));
    /* Each byte counts: of the id, of the day, of the seal. */
    for (size_t i = 0; i < strlen(cookie); i++) {
        for (int flip = 1; flip <= 2; flip++) {
            cookie[i] ^= (char)flip;
            assert_false(opens(keys, cookie));
            cookie[i] ^= (char)flip;
        }
    }
    assert_false(token_read_guest(keys, cookie, strlen(cookie) - 1, read, &day));
    token_keys_free(keys);
}

static void guest_cookies_by_key(void **state)
{
    static const struct config other = {.ticket_keys = "k1:" KEY_2},
                               rolled = {.ticket_keys = "k2:" KEY_2 ",k1:" KEY_1}, none = {0};
    struct token_keys *keys = usual_keys(), *others = make_keys(&other), *both = make_keys(&rolled);
    struct token_keys *without = make_keys(&none);
    char old[GUEST_COOKIE_SIZE], new[GUEST_COOKIE_SIZE], id[GUEST_ID_LEN + 1];
    (void)state;
    assert_int_equal(token_write_guest(keys, GUEST, 20000, old), ST_OK);
    assert_int_equal(token_write_guest(both, GUEST, 20000, new), ST_OK);
    assert_string_not_equal(old, new);
    assert_false(opens(others, old)); /* of another deployment, though the key has the same name */
    assert_true(opens(both, old));    /* while the old key is listed */
    assert_true(opens(both, new));
    int64_t day = -1;
    assert_true(token_read_guest(both, old, strlen(old), id, &day));
    assert_int_equal(day, 0); /* it is to be sealed again, by the first key */
    assert_true(token_read_guest(both, new, strlen(new), id, &day));
    assert_int_equal(day, 20000);
    assert_true(opens(others, new)); /* the first key seals */
    assert_false(opens(keys, new));
    assert_int_equal(token_write_guest(without, GUEST, 20000, new), ST_UNAVAILABLE);
    assert_false(opens(without, old));
    token_keys_free(keys);
    token_keys_free(others);
    token_keys_free(both);
    token_keys_free(without);
}

/* The seal is made under a key of its own: not the ticket's key itself. */
static void guest_cookies_have_their_own_key(void **state)
{
    struct token_keys *keys = usual_keys();
    char cookie[GUEST_COOKIE_SIZE];
    (void)state;
    static const char with_ticket_key[] = GUEST ".20000.SVsxUFBrk-mEiGgh8Vnnew";
    assert_int_equal(token_write_guest(keys, GUEST, 20000, cookie), ST_OK);
    assert_string_not_equal(cookie, with_ticket_key);
    assert_false(opens(keys, with_ticket_key));
    token_keys_free(keys);
}

static void event_ids(void **state)
{
    char id[66];
    (void)state;
    memset(id, 'a', sizeof(id));
    assert_true(token_is_event_id("demo-1_X", 8));
    assert_true(token_is_event_id(id, 64));
    assert_false(token_is_event_id(id, 65));
    assert_false(token_is_event_id("", 0));
    for (int c = 0; c < 256; c++) {
        const char one[1] = {(char)c};
        const bool wanted = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                            (c >= '0' && c <= '9') || c == '-' || c == '_';
        assert_int_equal(token_is_event_id(one, 1), wanted);
    }
}

/* ---- ticket ---- */

static const struct ticket a_ticket = {
    .event = "demo", .buyer = BUYER, .place = 1790000000123456, .epoch = 3, .lowest = 51234};

static void assert_same_ticket(const struct ticket *a, const struct ticket *b)
{
    assert_string_equal(a->event, b->event);
    assert_string_equal(a->buyer, b->buyer);
    assert_true(a->place == b->place && a->epoch == b->epoch && a->lowest == b->lowest);
}

static void round_trip(struct token_keys *keys, const struct ticket *ticket)
{
    struct buf out;
    struct ticket got;
    buf_init(&out, JWS_MAX);
    assert_int_equal(ticket_sign(keys, ticket, &out), ST_OK);
    assert_int_equal(ticket_read(keys, out.data, out.len, &got), ST_OK);
    assert_same_ticket(&got, ticket);
    buf_clear(&out);
}

static void tickets_are_read_back(void **state)
{
    (void)state;
    struct token_keys *keys = usual_keys();
    struct ticket widest = {.place = UINT64_MAX, .epoch = UINT64_MAX, .lowest = UINT64_MAX};
    memset(widest.event, 'e', EVENT_ID_MAX);
    memset(widest.buyer, '"', BUYER_ID_MAX);
    memcpy(widest.buyer, "u:\\", 3);
    round_trip(keys, &a_ticket);
    round_trip(keys, &widest);
    round_trip(keys, &(struct ticket){.event = "e", .buyer = "u:0"});
    token_keys_free(keys);
}

static void the_payload_of_a_ticket_is_fixed(void **state)
{
    (void)state;
    struct token_keys *keys = usual_keys();
    struct buf out, payload;
    buf_init(&out, JWS_MAX);
    buf_init(&payload, JWS_MAX);
    assert_int_equal(ticket_sign(keys, &a_ticket, &out), ST_OK);
    const char *at = strchr(out.data, '.') + 1;
    assert_int_equal(base64url_decode(at, strcspn(at, "."), &payload), ST_OK);
    assert_string_equal(payload.data,
                        "{\"e\":\"demo\",\"b\":\"u:alice\",\"p\":\"1790000000123456\","
                        "\"x\":3,\"l\":51234}");
    buf_clear(&out);
    buf_clear(&payload);
    token_keys_free(keys);
}

static void tickets_name_valid_ids_only(void **state)
{
    static const struct ticket bad[] = {
        {.event = "", .buyer = BUYER},      {.event = "a\"b", .buyer = BUYER},
        {.event = "a b", .buyer = BUYER},   {.event = "e", .buyer = ""},
        {.event = "e", .buyer = "u:"},      {.event = "e", .buyer = "alice"},
        {.event = "e", .buyer = "x:alice"}, {.event = "e", .buyer = "u:a\tb"},
        {.event = "e", .buyer = "u:\xc3"},  {.event = "e", .buyer = "u:a\n"},
    };
    (void)state;
    struct token_keys *keys = usual_keys();
    struct buf out;
    buf_init(&out, JWS_MAX);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct pass pass = {.iat_s = 1, .exp_s = 2};
        memcpy(pass.event, bad[i].event, sizeof(pass.event));
        memcpy(pass.buyer, bad[i].buyer, sizeof(pass.buyer));
        assert_int_equal(ticket_sign(keys, &bad[i], &out), ST_INVALID);
        assert_int_equal(pass_sign(keys, &pass, &out), ST_INVALID);
        assert_int_equal(out.len, 0);
    }
    buf_clear(&out);
    token_keys_free(keys);
}

static void refuse_ticket(struct token_keys *keys, const char *text, size_t len)
{
    struct ticket got = {.event = "untouched"};
    assert_int_equal(ticket_read(keys, text, len, &got), ST_UNAUTHORIZED);
    assert_string_equal(got.event, "untouched");
}

static void altered_tickets_are_refused(void **state)
{
    (void)state;
    struct token_keys *keys = usual_keys();
    struct buf out;
    buf_init(&out, JWS_MAX);
    assert_int_equal(ticket_sign(keys, &a_ticket, &out), ST_OK);
    for (size_t i = 0; i < out.len; i++) {
        const char was = out.data[i];
        out.data[i] = was == 'A' ? 'B' : 'A';
        refuse_ticket(keys, out.data, out.len);
        out.data[i] = was;
        refuse_ticket(keys, out.data, i);
    }
    refuse_ticket(keys, "", 0);
    refuse_ticket(keys, jwt("{\"e\":\"demo\",\"b\":\"u:alice\",\"p\":\"1\",\"x\":3,\"l\":0}"), 100);
    buf_clear(&out);
    token_keys_free(keys);
}

/* A valid MAC, but not a ticket of ours: the same key was used for something else. */
static void only_our_own_form_is_read(void **state)
{
    static const char *const payloads[] = {
        "",
        "{}",
        "{\"e\":\"demo\",\"b\":\"u:a\",\"p\":\"1\",\"x\":3,\"l\":0} ",
        "{\"e\":\"demo\",\"b\":\"u:a\",\"p\":\"1\",\"x\":3,\"l\":0",
        "{\"e\":\"demo\",\"b\":\"u:a\",\"p\":\"1\",\"x\":3}",
        "{\"b\":\"u:a\",\"e\":\"demo\",\"p\":\"1\",\"x\":3,\"l\":0}",
        "{\"e\":\"demo\",\"b\":\"u:a\",\"p\":1,\"x\":3,\"l\":0}",
        "{\"e\":\"demo\",\"b\":\"u:a\",\"p\":\"\",\"x\":3,\"l\":0}",
        "{\"e\":\"demo\",\"b\":\"u:a\",\"p\":\"-1\",\"x\":3,\"l\":0}",
        "{\"e\":\"demo\",\"b\":\"u:a\",\"p\":\"18446744073709551616\",\"x\":3,\"l\":0}",
        "{\"e\":\"demo\",\"b\":\"u:a\",\"p\":\"99999999999999999999999\",\"x\":3,\"l\":0}",
        "{\"e\":\"demo\",\"b\":\"u:a\",\"p\":\"01\",\"x\":3,\"l\":0}",
        "{\"e\":\"demo\",\"b\":\"u:\\a\",\"p\":\"1\",\"x\":3,\"l\":0}",
        "{\"e\":\"demo\",\"b\":\"u:\x7f\",\"p\":\"1\",\"x\":3,\"l\":0}",
        "{\"e\":\"demo\",\"b\":\"x:a\",\"p\":\"1\",\"x\":3,\"l\":0}",
        "{\"e\":\"de/mo\",\"b\":\"u:a\",\"p\":\"1\",\"x\":3,\"l\":0}",
        "{\"e\":\"demo\",\"b\":\"u:a\\",
        "{\"e\":\"demo\",\"b\":\"u:a",
    };
    (void)state;
    struct token_keys *keys = usual_keys();
    struct jws_ring *ring = jws_ring_new();
    unsigned char key[32];
    for (unsigned i = 0; i < sizeof(key); i++)
        key[i] = (unsigned char)i; /* KEY_1 */
    assert_int_equal(jws_ring_add_hs256(ring, "k1", key, sizeof(key)), ST_OK);
    struct buf out;
    buf_init(&out, JWS_MAX);
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        buf_reset(&out);
        assert_int_equal(jws_sign(ring, payloads[i], strlen(payloads[i]), &out), ST_OK);
        refuse_ticket(keys, out.data, out.len);
    }
    char wide[512];
    (void)snprintf(wide, sizeof(wide),
                   "{\"e\":\"%065d\",\"b\":\"u:a\",\"p\":\"1\",\"x\":3,\"l\":0}", 1);
    buf_reset(&out);
    assert_int_equal(jws_sign(ring, wide, strlen(wide), &out), ST_OK);
    refuse_ticket(keys, out.data, out.len);
    (void)snprintf(wide, sizeof(wide),
                   "{\"e\":\"e\",\"b\":\"u:%0256d\",\"p\":\"1\",\"x\":3,\"l\":0}", 1);
    buf_reset(&out);
    assert_int_equal(jws_sign(ring, wide, strlen(wide), &out), ST_OK);
    refuse_ticket(keys, out.data, out.len);
    buf_clear(&out);
    jws_ring_free(ring);
    token_keys_free(keys);
}

static void keys_rotate(void **state)
{
    (void)state;
    struct token_keys *before = make_keys(&(struct config){.ticket_keys = "old:" KEY_1});
    struct token_keys *during =
        make_keys(&(struct config){.ticket_keys = "new:" KEY_2 ",old:" KEY_1});
    struct token_keys *after = make_keys(&(struct config){.ticket_keys = "new:" KEY_2});
    struct token_keys *other = make_keys(&(struct config){.ticket_keys = "old:" KEY_2});
    struct buf old, new, pass_text;
    struct ticket ticket;
    struct pass pass = {.event = "demo", .buyer = BUYER, .iat_s = NOW_S, .exp_s = NOW_S + 60};
    buf_init(&old, JWS_MAX);
    buf_init(&new, JWS_MAX);
    buf_init(&pass_text, JWS_MAX);
    assert_int_equal(ticket_sign(before, &a_ticket, &old), ST_OK);
    assert_int_equal(ticket_sign(during, &a_ticket, &new), ST_OK);
    assert_int_equal(pass_sign(before, &pass, &pass_text), ST_OK);
    assert_int_equal(ticket_read(during, old.data, old.len, &ticket), ST_OK);
    assert_int_equal(ticket_read(after, new.data, new.len, &ticket), ST_OK);
    assert_true(ticket_is_current(before, old.data, old.len));
    assert_true(ticket_is_current(during, new.data, new.len));
    assert_false(ticket_is_current(during, old.data,
                                   old.len)); /* valid, but would be written with the new key */
    refuse_ticket(before, new.data, new.len);
    refuse_ticket(after, old.data, old.len);
    refuse_ticket(other, old.data, old.len); /* the same kid, another key */
    assert_int_equal(pass_read(during, pass_text.data, pass_text.len, NOW_MS, &pass), ST_OK);
    assert_int_equal(pass_read(after, pass_text.data, pass_text.len, NOW_MS, &pass),
                     ST_UNAUTHORIZED);
    buf_clear(&old);
    buf_clear(&new);
    buf_clear(&pass_text);
    token_keys_free(before);
    token_keys_free(during);
    token_keys_free(after);
    token_keys_free(other);
}

/* ---- pass ---- */

static void passes_are_read_back(void **state)
{
    (void)state;
    struct token_keys *keys = usual_keys();
    struct pass pass = {.event = "demo",
                        .buyer = "u:a\"\\",
                        .place = UINT64_MAX,
                        .epoch = 7,
                        .iat_s = NOW_S,
                        .exp_s = NOW_S + 600};
    struct pass got;
    char first_jti[33];
    struct buf out;
    buf_init(&out, JWS_MAX);
    assert_int_equal(pass_sign(keys, &pass, &out), ST_OK);
    assert_int_equal(strlen(pass.jti), 32);
    assert_int_equal(pass_read(keys, out.data, out.len, NOW_MS, &got), ST_OK);
    assert_string_equal(got.event, pass.event);
    assert_string_equal(got.buyer, pass.buyer);
    assert_string_equal(got.jti, pass.jti);
    assert_true(got.place == pass.place && got.epoch == 7);
    assert_true(got.iat_s == pass.iat_s && got.exp_s == pass.exp_s);
    memcpy(first_jti, pass.jti, sizeof(first_jti));
    buf_reset(&out);
    assert_int_equal(pass_sign(keys, &pass, &out), ST_OK);
    assert_string_not_equal(pass.jti, first_jti);
    buf_clear(&out);
    token_keys_free(keys);
}

static void passes_expire(void **state)
{
    (void)state;
    struct token_keys *keys = usual_keys();
    struct pass pass = {.event = "demo", .buyer = BUYER, .iat_s = NOW_S, .exp_s = NOW_S + 600};
    struct buf out;
    buf_init(&out, JWS_MAX);
    assert_int_equal(pass_sign(keys, &pass, &out), ST_OK);
    assert_int_equal(pass_read(keys, out.data, out.len, NOW_MS + 599999, &pass), ST_OK);
    assert_int_equal(pass_read(keys, out.data, out.len, NOW_MS + 600000, &pass), ST_UNAUTHORIZED);
    assert_int_equal(pass_read(keys, out.data, out.len, 0, &pass), ST_OK); /* not asked for */
    out.data[out.len - 2] = out.data[out.len - 2] == 'A' ? 'B' : 'A';
    assert_int_equal(pass_read(keys, out.data, out.len, NOW_MS, &pass), ST_UNAUTHORIZED);
    buf_clear(&out);
    token_keys_free(keys);
}

/* A pass that was verified is not verified again, but it expires, counts byte by byte, and not for other keys. */
static void a_remembered_pass_is_no_more_than_it_was(void **state)
{
    (void)state;
    struct token_keys *signer = usual_keys(), *reader = usual_keys();
    struct token_keys *fresh = make_keys(&(struct config){.ticket_keys = "new:" KEY_2});
    struct pass pass = {.event = "demo", .buyer = BUYER, .iat_s = NOW_S, .exp_s = NOW_S + 600};
    struct buf out;
    buf_init(&out, JWS_MAX);
    assert_int_equal(pass_sign(signer, &pass, &out), ST_OK);
    assert_true(pass_is_current(reader, out.data, out.len));
    assert_false(pass_is_current(fresh, out.data, out.len));
    struct token_keys *const all[] = {signer, reader};
    for (size_t i = 0; i < 2; i++) {
        for (int round = 0; round < 2; round++) {
            assert_int_equal(pass_read(all[i], out.data, out.len, NOW_MS, &pass), ST_OK);
            assert_string_equal(pass.buyer, BUYER);
            assert_int_equal(pass_read(all[i], out.data, out.len, NOW_MS + 600000, &pass),
                             ST_UNAUTHORIZED);
            assert_int_equal(pass_read(all[i], out.data, out.len, 0, &pass), ST_OK);
            for (size_t at = 0; at < out.len; at += 7) {
                out.data[at] ^= 1;
                assert_int_equal(pass_read(all[i], out.data, out.len, NOW_MS, &pass),
                                 ST_UNAUTHORIZED);
                out.data[at] ^= 1;
            }
        }
    }
    assert_int_equal(pass_read(fresh, out.data, out.len, NOW_MS, &pass), ST_UNAUTHORIZED);
    token_keys_replace(reader, fresh, false); /* other keys, another memo */
    assert_int_equal(pass_read(reader, out.data, out.len, NOW_MS, &pass), ST_UNAUTHORIZED);
    buf_clear(&out);
    token_keys_free(signer);
    token_keys_free(reader);
}

static void ticket_pass_and_jwt_are_never_confused(void **state)
{
    (void)state;
    struct token_keys *keys = usual_keys();
    struct pass pass = {.event = "demo", .buyer = BUYER, .iat_s = NOW_S, .exp_s = NOW_S + 600};
    struct user user;
    struct buf ticket_text, pass_text;
    buf_init(&ticket_text, JWS_MAX);
    buf_init(&pass_text, JWS_MAX);
    assert_int_equal(ticket_sign(keys, &a_ticket, &ticket_text), ST_OK);
    assert_int_equal(pass_sign(keys, &pass, &pass_text), ST_OK);
    refuse_ticket(keys, pass_text.data, pass_text.len);
    assert_int_equal(pass_read(keys, ticket_text.data, ticket_text.len, 0, &pass), ST_UNAUTHORIZED);
    assert_int_equal(token_read_user(keys, ticket_text.data, ticket_text.len, NOW_MS, &user),
                     ST_UNAUTHORIZED);
    assert_int_equal(token_read_user(keys, pass_text.data, pass_text.len, NOW_MS, &user),
                     ST_UNAUTHORIZED);
    const char *shop =
        jwt("{\"iss\":\"tiketi\",\"aud\":\"demo\",\"event\":\"demo\",\"sub\":\"u:alice\","
            "\"place\":\"1\",\"epoch\":1,\"iat\":1,\"exp\":1900000000,\"jti\":\"x\"}");
    assert_int_equal(pass_read(keys, shop, strlen(shop), 0, &pass), ST_UNAUTHORIZED);
    buf_clear(&ticket_text);
    buf_clear(&pass_text);
    token_keys_free(keys);
}

/* The owner of the pass key may sign other things with it: these are not passes. */
static void only_a_pass_is_a_pass(void **state)
{
    static const char good[] =
        "{\"iss\":\"tiketi\",\"aud\":\"demo\",\"event\":\"demo\",\"sub\":\"u:a\","
        "\"place\":\"1\",\"epoch\":1,\"iat\":1,\"exp\":2,\"jti\":\"x\"}";
    static const char *const changes[][2] = {
        {"\"iss\":\"tiketi\"", "\"iss\":\"other\""},
        {"\"iss\":\"tiketi\",", ""},
        {"\"aud\":\"demo\"", "\"aud\":\"else\""},
        {"\"aud\":\"demo\"", "\"aud\":[\"demo\"]"},
        {"\"event\":\"demo\",", ""},
        {"\"sub\":\"u:a\"", "\"sub\":\"a\""},
        {"\"place\":\"1\"", "\"place\":1"},
        {"\"place\":\"1\"", "\"place\":\"-1\""},
        {"\"place\":\"1\"", "\"place\":\" 1\""},
        {"\"epoch\":1", "\"epoch\":\"1\""},
        {"\"epoch\":1", "\"epoch\":-1"},
        {"\"exp\":2,", ""},
        {"\"exp\":2", "\"exp\":\"9\""},
        {"\"jti\":\"x\"", "\"jti\":7"},
    };
    unsigned char seed[32];
    struct buf out;
    struct pass pass;
    (void)state;
    struct token_keys *keys = usual_keys();
    struct jws_ring *ring = jws_ring_new();
    for (unsigned i = 0; i < sizeof(seed); i++)
        seed[i] = (unsigned char)i;
    assert_int_equal(jws_ring_add_es256_derived(ring, seed, sizeof(seed)), ST_OK);
    buf_init(&out, JWS_MAX);
    assert_int_equal(jws_sign(ring, good, strlen(good), &out), ST_OK);
    assert_int_equal(pass_read(keys, out.data, out.len, 0, &pass), ST_OK);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        char text[512];
        const char *at = strstr(good, changes[i][0]);
        assert_non_null(at);
        (void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, changes[i][1],
                       at + strlen(changes[i][0]));
        buf_reset(&out);
        assert_int_equal(jws_sign(ring, text, strlen(text), &out), ST_OK);
        assert_int_equal(pass_read(keys, out.data, out.len, 0, &pass), ST_UNAUTHORIZED);
    }
    buf_clear(&out);
    jws_ring_free(ring);
    token_keys_free(keys);
}

/* ---- keys ---- */

static void bad_keys_are_named(void **state)
{
    static const struct {
        struct config config;
        const char *names;
    } bad[] = {
        {{.ticket_keys = "k1"}, "TICKET_KEYS"},
        {{.ticket_keys = "k1:"}, "TICKET_KEYS"},
        {{.ticket_keys = ":" KEY_1}, "TICKET_KEYS"},
        {{.ticket_keys = KEY_1}, "TICKET_KEYS"},
        {{.ticket_keys = "k1:0011"}, "TICKET_KEYS"},
        {{.ticket_keys = "k1:" ZEROS}, "TICKET_KEYS"}, /* a placeholder */
        {{.ticket_keys = "k1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e"},
         "TICKET_KEYS"}, /* 31 bytes */
        {{.ticket_keys = "k1:" KEY_1 "0"}, "TICKET_KEYS"},
        {{.ticket_keys = "k1:" KEY_1 KEY_1 "00"}, "TICKET_KEYS"},
        {{.ticket_keys = "k1:0011,k2," KEY_1}, "TICKET_KEYS"}, /* none is good */
        {{.ticket_keys = "k1:g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"},
         "TICKET_KEYS"},
        {{.pass_keys = "nonsense", .ticket_keys = "k1:" KEY_1}, "PASS_KEYS"},
        {{.pass_keys = " \n", .ticket_keys = "k1:" KEY_1}, "PASS_KEYS"},
        {{.pass_keys = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"},
         "PASS_KEYS"},
        {{.pass_keys = "-----BEGIN PRIVATE KEY-----\nAAAA"}, "PASS_KEYS"},
        {{.jwt_jwks_file = "/nonexistent"}, "JWT_JWKS_FILE"},
        {{.jwt_jwks_file = "/dev/null"}, "JWT_JWKS_FILE"},
        {{.jwt_secrets = "short"}, "JWT_SECRETS"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char error[160] = "";
        struct token_keys *keys = NULL;
        assert_int_equal(token_keys_new(&bad[i].config, &keys, error, sizeof(error)), ST_INVALID);
        assert_null(keys);
        assert_int_equal(strncmp(error, bad[i].names, strlen(bad[i].names)), 0);
        assert_null(strstr(error, "0011")); /* the message shows no key */
    }
    token_keys_free(NULL);
}

static void the_jwks_file_is_read(void **state)
{
    char path[] = "/tmp/tiketi-jwks-XXXXXX";
    struct token_keys *shop = usual_keys(); /* its pass key stands in for the shop's key */
    struct buf jwks;
    struct user user;
    (void)state;
    buf_init(&jwks, 4096);
    token_write_jwks(shop, &jwks);
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, jwks.data, jwks.len), (ssize_t)jwks.len);
    (void)close(fd);
    struct token_keys *keys =
        make_keys(&(struct config){.jwt_secrets = SECRET, .jwt_jwks_file = path});
    (void)unlink(path);
    struct pass pass = {.event = "demo", .buyer = BUYER, .iat_s = NOW_S, .exp_s = NOW_S + 9};
    struct buf signed_text;
    buf_init(&signed_text, JWS_MAX);
    assert_int_equal(pass_sign(shop, &pass, &signed_text), ST_OK);
    assert_int_equal(token_read_user(keys, signed_text.data, signed_text.len, NOW_MS, &user),
                     ST_OK);
    assert_string_equal(user.sub, BUYER);
    const char *own = jwt("{\"sub\":\"a\"}"); /* JWT_SECRETS works as well */
    assert_int_equal(token_read_user(keys, own, strlen(own), NOW_MS, &user), ST_OK);
    buf_clear(&signed_text);
    buf_clear(&jwks);
    token_keys_free(shop);
    token_keys_free(keys);
}

static const struct eticket bought = {.event = "night-1",
                                      .number = "HZZWRXPT",
                                      .seat = "4711",
                                      .section = "A \"balcony\"",
                                      .row = "나",
                                      .seat_number = 12};

/* ---- lists of keys, of which one is bad ---- */

static void a_bad_ticket_key_is_passed_over(void **state)
{
    static const char *const lists[] = {
        "k1:" KEY_1 ",k1:" KEY_2,         /* id taken */
        "k1:" KEY_1 ",,k2:0011",          /* nothing, and too short */
        "k0:" ZEROS ",k1:" KEY_1,         /* guessable */
        "k 0:" KEY_2 ",k1:" KEY_1,        /* no id */
        "nonsense,k1:" KEY_1 ",k3:" KEY_1 /* the same key again */
    };
    struct token_keys *usual = usual_keys();
    struct buf text;
    struct ticket ticket;
    (void)state;
    buf_init(&text, JWS_MAX);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct token_keys *keys = make_keys(&(struct config){.ticket_keys = lists[i]});
        struct buf one, other;
        buf_reset(&text);
        assert_int_equal(ticket_sign(keys, &a_ticket, &text), ST_OK);
        assert_int_equal(ticket_read(usual, text.data, text.len, &ticket), ST_OK);
        assert_string_equal(eticket_key(keys), eticket_key(usual));
        buf_init(&one, 4096);
        buf_init(&other, 4096);
        token_write_jwks(keys, &one);
        token_write_jwks(usual, &other);
        assert_string_equal(buf_str(&one), buf_str(&other)); /* nothing is derived from it */
        buf_clear(&one);
        buf_clear(&other);
        token_keys_free(keys);
    }
    buf_clear(&text);
    token_keys_free(usual);
}

#define PEM_1                                                                                      \
    "-----BEGIN PRIVATE KEY-----\n"                                                                \
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgtShYIyRG61yV5LFX\n"                           \
    "ufkFj2PKIl0gZz1vsoYVbs/bsw6hRANCAAR2y3W3NpxbJXvL6lsBiFGd0GtIrE1R\n"                           \
    "mZuVT506oZXRzH+1Z+PGAd5M8Try+t6EQis2heElBq7sN/VCPhFu8k0d\n"                                   \
    "-----END PRIVATE KEY-----\n"
#define PEM_1_PUBLIC                                                                               \
    "-----BEGIN PUBLIC KEY-----\n"                                                                 \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEdst1tzacWyV7y+pbAYhRndBrSKxN\n"                           \
    "UZmblU+dOqGV0cx/tWfjxgHeTPE68vrehEIrNoXhJQau7Df1Qj4RbvJNHQ==\n"                               \
    "-----END PUBLIC KEY-----\n"
/* as /.well-known/jwks.json has it, and laid out by somebody */
#define JWKS_1                                                                                     \
    "{ \"keys\": [\n  {\"kty\":\"EC\",\"crv\":\"P-256\","                                          \
    "\"x\":\"dst1tzacWyV7y-pbAYhRndBrSKxNUZmblU-dOqGV0cw\","                                       \
    "\"y\":\"f7Vn48YB3kzxOvL63oRCKzaF4SUGruw39UI-EW7yTR0\","                                       \
    "\"kid\":\"1Baabf_S_cGqFuu7uPyT8cZsXVV8U1SzDMsUWfpKA3w\",\"use\":\"sig\",\"alg\":\"ES256\"}"   \
    "\n]}\n"
#define EC_PARAMETERS                                                                              \
    "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
#define TICKETS "k1:" KEY_1

/* Can `reader` read what `writer` signs? */
static bool passes_go(const char *writer, const char *reader)
{
    struct token_keys *from =
        make_keys(&(struct config){.ticket_keys = TICKETS, .pass_keys = writer});
    struct token_keys *to =
        make_keys(&(struct config){.ticket_keys = TICKETS, .pass_keys = reader});
    struct pass pass = {.event = "demo", .buyer = BUYER, .iat_s = NOW_S, .exp_s = NOW_S + 60};
    struct eticket_claim claim;
    struct buf text;
    buf_init(&text, JWS_MAX);
    assert_int_equal(pass_sign(from, &pass, &text), ST_OK);
    const bool is_read = pass_read(to, text.data, text.len, NOW_MS, &pass) == ST_OK;
    buf_reset(&text);
    assert_int_equal(eticket_sign(from, &bought, &text), ST_OK);
    assert_int_equal(eticket_read(to, text.data, text.len, &claim) == ST_OK, is_read);
    buf_clear(&text);
    token_keys_free(from);
    token_keys_free(to);
    return is_read;
}

static void pass_keys_roll(void **state)
{
    (void)state;
    /* from the derived key to one of its own, in three steps, and each pod one step behind */
    assert_true(passes_go(NULL, "derived"));
    assert_true(passes_go(NULL, "derived " PEM_1));
    assert_true(passes_go("derived " PEM_1, NULL));
    assert_true(passes_go("derived " PEM_1, PEM_1 "derived"));
    assert_true(passes_go(PEM_1 "derived", "derived\n" PEM_1));
    assert_true(passes_go(PEM_1 "derived", PEM_1));
    assert_false(passes_go("derived", PEM_1));
    assert_false(passes_go(PEM_1, "derived"));
    /* what was signed is verified for as long as the public key is there */
    assert_true(passes_go(PEM_1, "derived " PEM_1_PUBLIC));
    assert_true(
        passes_go("derived", PEM_1_PUBLIC "derived")); /* it cannot sign: the next one does */
    assert_true(passes_go(PEM_1_PUBLIC "derived", "derived"));
    assert_true(passes_go(PEM_1, "derived " JWKS_1));
    assert_true(passes_go(PEM_1, JWKS_1 PEM_1 "derived")); /* the same key twice */
    assert_true(passes_go("derived", JWKS_1 "derived"));
    /* what is no key is passed over */
    assert_true(passes_go("{\"keys\":[]} {} } derived", "derived"));
    assert_true(passes_go(PEM_1, EC_PARAMETERS PEM_1));
    assert_true(passes_go("nonsense " PEM_1, PEM_1));
    assert_true(
        passes_go("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" PEM_1, PEM_1));
    assert_true(passes_go(PEM_1 PEM_1 PEM_1_PUBLIC, PEM_1));
    assert_true(passes_go(PEM_1 "-----BEGIN PRIVATE KEY-----", PEM_1));
}

static enum status reads(const char *secrets, const char *signer)
{
    struct token_keys *from = make_keys(&(struct config){.jwt_secrets = signer});
    struct token_keys *to = make_keys(&(struct config){.jwt_secrets = secrets});
    struct user user;
    struct buf text;
    buf_init(&text, JWS_MAX);
    assert_int_equal(token_write_user(from, "a", "buyer", NOW_MS, 60000, &text), ST_OK);
    const enum status st = token_read_user(to, text.data, text.len, NOW_MS, &user);
    buf_clear(&text);
    token_keys_free(from);
    token_keys_free(to);
    return st;
}

static void jwt_secrets_roll(void **state)
{
    (void)state;
    assert_int_equal(reads("first-secret-of-16 second-secret-of-16", "first-secret-of-16"), ST_OK);
    assert_int_equal(reads("first-secret-of-16 second-secret-of-16", "second-secret-of-16"), ST_OK);
    assert_int_equal(reads("first-secret-of-16\nsecond-secret-of-16\n", "second-secret-of-16"),
                     ST_OK);
    assert_int_equal(reads("second-secret-of-16", "second-secret-of-16 first-secret-of-16"), ST_OK);
    assert_int_equal(reads("first-secret-of-16", "second-secret-of-16"), ST_UNAUTHORIZED);
    assert_int_equal(reads("first-secret-of-16 second-secret-of-16", "other-secret-of-16"),
                     ST_UNAUTHORIZED);
}

static void an_issuer_is_checked(void **state)
{
    static const struct config ours = {.jwt_secrets = SECRET, .jwt_issuer = "https://id.example"};
    static const struct {
        const char *claims;
        bool good;
    } rows[] = {{"{\"sub\":\"a\",\"iss\":\"https://id.example\"}", true},
                {"{\"sub\":\"a\",\"iss\":\"https://id.exampl\\u0065\"}", true},
                {"{\"sub\":\"a\",\"iss\":\"https://id.example/\"}", false},
                {"{\"sub\":\"a\",\"iss\":\"https://id.exampl\"}", false},
                {"{\"sub\":\"a\",\"iss\":[\"https://id.example\"]}", false},
                {"{\"sub\":\"a\",\"iss\":null}", false},
                {"{\"sub\":\"a\"}", false}};
    struct token_keys *keys = make_keys(&ours), *any = usual_keys();
    struct user user;
    struct buf text;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *token = jwt(rows[i].claims);
        assert_int_equal(token_read_user(keys, token, strlen(token), NOW_MS, &user) == ST_OK,
                         rows[i].good);
        if (!rows[i].good)
            assert_non_null(strstr(token_refusal(keys), "JWT_ISSUER"));
        assert_int_equal(token_read_user(any, token, strlen(token), NOW_MS, &user), ST_OK);
    }
    buf_init(&text, JWS_MAX);
    assert_int_equal(token_write_user(keys, "a", "buyer", NOW_MS, 60000, &text), ST_OK);
    assert_int_equal(token_read_user(keys, text.data, text.len, NOW_MS, &user), ST_OK);
    buf_clear(&text);
    token_keys_free(any);
    token_keys_free(keys);
}

/* ---- keys that change while the program runs ---- */

static struct jws_ring *published_by(const struct token_keys *shop)
{
    struct jws_ring *ring = jws_ring_new();
    struct buf jwks;
    buf_init(&jwks, 4096);
    token_write_jwks(shop, &jwks);
    assert_int_equal(jws_ring_add_jwks(ring, jwks.data, jwks.len), ST_OK);
    buf_clear(&jwks);
    return ring;
}

static enum status reads_pass_as_token(struct token_keys *keys, struct token_keys *shop)
{
    struct pass pass = {.event = "demo", .buyer = BUYER, .iat_s = NOW_S, .exp_s = NOW_S + 9};
    struct user user;
    struct buf text;
    buf_init(&text, JWS_MAX);
    assert_int_equal(pass_sign(shop, &pass, &text), ST_OK);
    const enum status st = token_read_user(keys, text.data, text.len, NOW_MS, &user);
    buf_clear(&text);
    return st;
}

static void fetched_keys_come_and_go(void **state)
{
    static const struct config by_url = {.jwt_secrets = SECRET, .jwt_jwks_url = "https://k"};
    struct token_keys *shop = usual_keys(); /* their pass keys stand in for the shop's keys */
    struct token_keys *rolled = make_keys(&(struct config){.ticket_keys = "k2:" KEY_2});
    struct token_keys *keys = make_keys(&by_url), *none = usual_keys();
    struct user user;
    const char *own = jwt("{\"sub\":\"a\"}");
    (void)state;
    assert_int_equal(reads_pass_as_token(none, shop), ST_UNAUTHORIZED); /* nothing is fetched */
    assert_int_equal(reads_pass_as_token(keys, shop), ST_BUSY);
    token_keys_fetched(keys, published_by(shop));
    assert_int_equal(reads_pass_as_token(keys, shop), ST_OK);
    assert_int_equal(reads_pass_as_token(keys, rolled), ST_BUSY);
    token_keys_fetched(keys, published_by(rolled));
    assert_int_equal(reads_pass_as_token(keys, shop), ST_BUSY);
    assert_int_equal(reads_pass_as_token(keys, rolled), ST_OK);
    assert_int_equal(token_read_user(keys, own, strlen(own), NOW_MS, &user), ST_OK);
    /* a reload keeps what was fetched, unless the address is another one */
    token_keys_replace(keys, make_keys(&by_url), true);
    assert_int_equal(reads_pass_as_token(keys, rolled), ST_OK);
    assert_int_equal(token_read_user(keys, own, strlen(own), NOW_MS, &user), ST_OK);
    token_keys_replace(keys, make_keys(&by_url), false);
    assert_int_equal(reads_pass_as_token(keys, rolled), ST_BUSY);
    token_keys_fetched(keys, published_by(rolled));
    token_keys_replace(keys, make_keys(&(struct config){.jwt_secrets = SECRET}), true);
    assert_int_equal(reads_pass_as_token(keys, rolled), ST_UNAUTHORIZED);
    /* a forged HS256 token fetches nothing */
    token_keys_replace(keys,
                       make_keys(&(struct config){.jwt_secrets = "another-secret-of-16",
                                                  .jwt_jwks_url = "https://k"}),
                       false);
    assert_int_equal(token_read_user(keys, own, strlen(own), NOW_MS, &user), ST_UNAUTHORIZED);
    token_keys_free(shop);
    token_keys_free(rolled);
    token_keys_free(keys);
    token_keys_free(none);
}

static void equal_texts(void **state)
{
    (void)state;
    assert_true(token_equal("abc", 3, "abc", 3));
    assert_true(token_equal("", 0, "", 0));
    assert_false(token_equal("abc", 3, "abd", 3));
    assert_false(token_equal("abc", 3, "ab", 2));
    assert_false(token_equal("abc", 3, "", 0));
}

static void a_bought_ticket_is_signed_with_the_pass_key(void **state)
{
    (void)state;
    static const char wanted[] =
        "{\"iss\":\"tiketi\",\"aud\":\"ticket:night-1\",\"jti\":"
        "\"HZZWRXPT.4711\",\"seat\":[\"A \\\"balcony\\\"\",\"나\",\"12\"]}";
    struct token_keys *keys = usual_keys();
    struct buf out, payload;
    struct pass pass;
    struct ticket ticket;
    buf_init(&out, JWS_MAX);
    buf_init(&payload, JWS_MAX);
    assert_int_equal(eticket_sign(keys, &bought, &out), ST_OK);
    const char *begin = strchr(buf_str(&out), '.') + 1;
    assert_int_equal(base64url_decode(begin, strcspn(begin, "."), &payload), ST_OK);
    assert_string_equal(buf_str(&payload), wanted);
    /* It opens nothing else. */
    assert_int_equal(pass_read(keys, buf_str(&out), out.len, 0, &pass), ST_UNAUTHORIZED);
    assert_int_equal(ticket_read(keys, buf_str(&out), out.len, &ticket), ST_UNAUTHORIZED);
    buf_clear(&out);
    buf_clear(&payload);
    token_keys_free(keys);
}

static void the_key_of_links_follows_the_first_ticket_key(void **state)
{
    (void)state;
    struct token_keys *none = make_keys(&(struct config){.jwt_secrets = SECRET});
    struct token_keys *one = usual_keys();
    struct token_keys *older = make_keys(&(struct config){.ticket_keys = "k1:" KEY_1 ",k2:" KEY_2});
    struct token_keys *rolled =
        make_keys(&(struct config){.ticket_keys = "k2:" KEY_2 ",k1:" KEY_1});
    assert_null(eticket_key(none));
    assert_int_equal(strlen(eticket_key(one)), ETICKET_KEY_SIZE - 1);
    assert_string_equal(eticket_key(one), eticket_key(older));
    assert_string_not_equal(eticket_key(one), eticket_key(rolled));
    token_keys_free(none);
    token_keys_free(one);
    token_keys_free(older);
    token_keys_free(rolled);
}

#define RESERVATION "0b9e1a4e-51c5-4a8e-9d5e-6b1f0f1d2c3a"

static void a_return_proof_is_for_one_reservation_and_a_time(void **state)
{
    (void)state;
    struct token_keys *keys = usual_keys();
    struct token_keys *others = make_keys(&(struct config){.ticket_keys = "k1:" KEY_2});
    struct token_keys *rolled =
        make_keys(&(struct config){.ticket_keys = "k2:" KEY_2 ",k1:" KEY_1});
    struct token_keys *none = make_keys(&(struct config){.jwt_secrets = SECRET});
    const int64_t before_ms = NOW_MS - 1;
    char proof[RETURN_PROOF_SIZE];
    assert_int_equal(token_write_return(none, RESERVATION, NOW_MS, proof), ST_UNAVAILABLE);
    assert_int_equal(token_write_return(keys, "x", NOW_MS, proof), ST_INVALID);
    assert_int_equal(token_write_return(keys, RESERVATION, NOW_MS, proof), ST_OK);
    const size_t len = strlen(proof);
    assert_true(token_read_return(keys, proof, len, RESERVATION, before_ms));
    assert_true(token_read_return(rolled, proof, len, RESERVATION, before_ms));
    assert_false(token_read_return(keys, proof, len, RESERVATION, NOW_MS));
    assert_false(token_read_return(others, proof, len, RESERVATION, before_ms));
    assert_false(token_read_return(none, proof, len, RESERVATION, before_ms));
    assert_false(token_read_return(keys, proof, len, RESERVATION "1", before_ms));
    assert_false(
        token_read_return(keys, proof, len, "1b9e1a4e-51c5-4a8e-9d5e-6b1f0f1d2c3a", before_ms));
    assert_false(token_read_return(keys, proof, len, "", before_ms));
    for (size_t i = 0; i < len; i++) { /* no byte may be another */
        char forged[RETURN_PROOF_SIZE];
        memcpy(forged, proof, len + 1);
        forged[i] = forged[i] == '2' ? '3' : '2';
        assert_false(token_read_return(keys, forged, len, RESERVATION, before_ms));
        assert_false(token_read_return(keys, proof, i, RESERVATION, before_ms));
    }
    token_keys_free(keys);
    token_keys_free(others);
    token_keys_free(rolled);
    token_keys_free(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sub_is_read),
        cmocka_unit_test(the_sub_has_a_length),
        cmocka_unit_test(bad_subs_are_refused),
        cmocka_unit_test(other_claims_are_ignored),
        cmocka_unit_test(times_have_a_leeway_of_a_minute),
        cmocka_unit_test(a_time_that_is_no_number_is_refused),
        cmocka_unit_test(roles),
        cmocka_unit_test(the_audience_must_be_ours),
        cmocka_unit_test(tokens_with_a_role),
        cmocka_unit_test(a_refusal_says_what_is_wrong),
        cmocka_unit_test(tokens_have_up_to_8_kib),
        cmocka_unit_test(a_written_user_is_read_back),
        cmocka_unit_test(without_a_secret_every_jwt_is_refused),
        cmocka_unit_test(guest_ids),
        cmocka_unit_test(guest_cookies),
        cmocka_unit_test(guest_cookies_by_key),
        cmocka_unit_test(guest_cookies_have_their_own_key),
        cmocka_unit_test(event_ids),
        cmocka_unit_test(tickets_are_read_back),
        cmocka_unit_test(the_payload_of_a_ticket_is_fixed),
        cmocka_unit_test(tickets_name_valid_ids_only),
        cmocka_unit_test(altered_tickets_are_refused),
        cmocka_unit_test(only_our_own_form_is_read),
        cmocka_unit_test(keys_rotate),
        cmocka_unit_test(passes_are_read_back),
        cmocka_unit_test(passes_expire),
        cmocka_unit_test(a_remembered_pass_is_no_more_than_it_was),
        cmocka_unit_test(ticket_pass_and_jwt_are_never_confused),
        cmocka_unit_test(only_a_pass_is_a_pass),
        cmocka_unit_test(bad_keys_are_named),
        cmocka_unit_test(the_jwks_file_is_read),
        cmocka_unit_test(a_bought_ticket_is_signed_with_the_pass_key),
        cmocka_unit_test(the_key_of_links_follows_the_first_ticket_key),
        cmocka_unit_test(a_return_proof_is_for_one_reservation_and_a_time),
        cmocka_unit_test(a_bad_ticket_key_is_passed_over),
        cmocka_unit_test(pass_keys_roll),
        cmocka_unit_test(jwt_secrets_roll),
        cmocka_unit_test(an_issuer_is_checked),
        cmocka_unit_test(fetched_keys_come_and_go),
        cmocka_unit_test(equal_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
