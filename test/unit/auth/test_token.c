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

#define SECRET "a shop secret of enough bytes"
#define KEY_1  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_2  "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
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
        .jwt_secret = SECRET, .ticket_keys = "k1:" KEY_1, .payment_webhook_secret = "webhook"});
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
}

static void the_sub_has_a_length(void **state)
{
    char claims[200], name[130];
    (void)state;
    memset(name, 'x', sizeof(name));
    (void)snprintf(claims, sizeof(claims), "{\"sub\":\"%.128s\"}", name);
    expect_sub(claims, (name[128] = '\0', name));
    name[128] = 'x';
    (void)snprintf(claims, sizeof(claims), "{\"sub\":\"%.129s\"}", name);
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
        "{\"sub\":\"a b\"}",
        "{\"sub\":\"a\\n\"}",
        "{\"sub\":\"a\\u0000b\"}",
        "{\"sub\":\"\\u007f\"}",
        "{\"sub\":\"\\u00e9\"}",
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
        "{\"sub\":\"a\",\"x\":1,\"x\":2}",
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
    expect_sub("{\"sub\":\"a\",\"exp\":1e300}", "a");
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
        (void)snprintf(claims, sizeof(claims), "{\"sub\":\"a\",\"role\":%s}", cases[i].claim);
        assert_int_equal(read_claims(claims, &user), ST_OK);
        assert_int_equal(user.role, cases[i].role);
    }
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
        make_keys(&(struct config){.jwt_secret = SECRET, .jwt_audience = "tickets"});
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
    assert_int_equal(token_write_user(keys, "a b", "buyer", NOW_MS, 60000, &out), ST_INVALID);
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

static void guest_cookies(void **state)
{
    static const char *const bad[] = {
        "",
        "g:",
        "u:0123456789abcdef0123456789abcdef",
        "g:0123456789ABCDEF0123456789abcdef",
        "g:0123456789abcdef0123456789abcdeg",
        "g:0123456789abcdef0123456789abcde",
        "g:0123456789abcdef0123456789abcdef0",
        "g:0123456789abcdef0123456789abcdef.",
        "g:0123456789abcdef0123456789abcdef.-1",
        "g:0123456789abcdef0123456789abcdef.2x",
        "g:0123456789abcdef0123456789abcdef.99999999999999999999",
    };
    char id[GUEST_ID_LEN + 1], read[GUEST_ID_LEN + 1], cookie[GUEST_COOKIE_SIZE];
    int64_t day = -1;
    (void)state;
    token_new_guest(id);
    token_write_guest(id, 20000, cookie);
    assert_true(token_read_guest(cookie, strlen(cookie), read, &day));
    assert_string_equal(read, id);
    assert_int_equal(day, 20000);
    assert_true(token_read_guest(id, strlen(id), read, &day));
    assert_string_equal(read, id);
    assert_int_equal(day, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(token_read_guest(bad[i], strlen(bad[i]), read, &day));
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
        {.event = "", .buyer = BUYER},         {.event = "a\"b", .buyer = BUYER},
        {.event = "a b", .buyer = BUYER},      {.event = "e", .buyer = ""},
        {.event = "e", .buyer = "u:"},         {.event = "e", .buyer = "alice"},
        {.event = "e", .buyer = "x:alice"},    {.event = "e", .buyer = "u:a b"},
        {.event = "e", .buyer = "u:\xc3\xa9"}, {.event = "e", .buyer = "u:a\n"},
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
        "{\"e\":\"demo\",\"b\":\"u:\xc3\xa9\",\"p\":\"1\",\"x\":3,\"l\":0}",
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
                   "{\"e\":\"e\",\"b\":\"u:%0129d\",\"p\":\"1\",\"x\":3,\"l\":0}", 1);
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
        {{.ticket_keys = "k1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e"},
         "TICKET_KEYS"}, /* 31 bytes */
        {{.ticket_keys = "k1:" KEY_1 "0"}, "TICKET_KEYS"},
        {{.ticket_keys = "k1:" KEY_1 KEY_1 "00"}, "TICKET_KEYS"},
        {{.ticket_keys = "k1:" KEY_1 ",k1:" KEY_2}, "TICKET_KEYS"},
        {{.ticket_keys = "k1:" KEY_1 ",,k2:" KEY_2}, "TICKET_KEYS"},
        {{.ticket_keys = "k1:g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"},
         "TICKET_KEYS"},
        {{.pass_key = "nonsense", .ticket_keys = "k1:" KEY_1}, "PASS_KEY"},
        {{.jwt_jwks_file = "/nonexistent"}, "JWT_JWKS_FILE"},
        {{.jwt_jwks_file = "/dev/null"}, "JWT_JWKS_FILE"},
        {{.jwt_secret = "short"}, "JWT_SECRET"},
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
        make_keys(&(struct config){.jwt_secret = SECRET, .jwt_jwks_file = path});
    (void)unlink(path);
    struct pass pass = {.event = "demo", .buyer = BUYER, .iat_s = NOW_S, .exp_s = NOW_S + 9};
    struct buf signed_text;
    buf_init(&signed_text, JWS_MAX);
    assert_int_equal(pass_sign(shop, &pass, &signed_text), ST_OK);
    assert_int_equal(token_read_user(keys, signed_text.data, signed_text.len, NOW_MS, &user),
                     ST_OK);
    assert_string_equal(user.sub, BUYER);
    const char *own = jwt("{\"sub\":\"a\"}"); /* JWT_SECRET works as well */
    assert_int_equal(token_read_user(keys, own, strlen(own), NOW_MS, &user), ST_OK);
    buf_clear(&signed_text);
    buf_clear(&jwks);
    token_keys_free(shop);
    token_keys_free(keys);
}

static void webhook_mac(void **state)
{
    char mac[65];
    (void)state;
    /* RFC 4231, test case 2 */
    struct token_keys *keys = make_keys(&(struct config){.payment_webhook_secret = "Jefe"});
    assert_int_equal(token_webhook_mac(keys, "what do ya want for nothing?", 28, mac), ST_OK);
    assert_string_equal(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    token_keys_free(keys);
    keys = make_keys(&(struct config){0});
    assert_int_equal(token_webhook_mac(keys, "", 0, mac), ST_UNAVAILABLE);
    token_keys_free(keys);
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
        cmocka_unit_test(a_written_user_is_read_back),
        cmocka_unit_test(without_a_secret_every_jwt_is_refused),
        cmocka_unit_test(guest_ids),
        cmocka_unit_test(guest_cookies),
        cmocka_unit_test(event_ids),
        cmocka_unit_test(tickets_are_read_back),
        cmocka_unit_test(the_payload_of_a_ticket_is_fixed),
        cmocka_unit_test(tickets_name_valid_ids_only),
        cmocka_unit_test(altered_tickets_are_refused),
        cmocka_unit_test(only_our_own_form_is_read),
        cmocka_unit_test(keys_rotate),
        cmocka_unit_test(passes_are_read_back),
        cmocka_unit_test(passes_expire),
        cmocka_unit_test(ticket_pass_and_jwt_are_never_confused),
        cmocka_unit_test(only_a_pass_is_a_pass),
        cmocka_unit_test(bad_keys_are_named),
        cmocka_unit_test(the_jwks_file_is_read),
        cmocka_unit_test(webhook_mac),
        cmocka_unit_test(equal_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
