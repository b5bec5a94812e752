/* SPDX-License-Identifier: MIT */
/* identity: allowed origins, the owner of a ticket or pass, and how long an admission lasts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/identity.h"

#include <string.h>

#define SECRET "a-shop-secret-of-enough-bytes"
#define KEY    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define NOW_S  INT64_C(1800000000)
#define NOW_MS (NOW_S * 1000)

static struct token_keys *keys;
static struct buf out;

static int set_up(void **state)
{
    char error[160] = "";
    (void)state;
    buf_init(&out, 8192);
    return token_keys_new(&(struct config){.jwt_secrets = SECRET, .ticket_keys = "k1:" KEY}, &keys,
                          error, sizeof(error)) == ST_OK
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    (void)state;
    buf_clear(&out);
    token_keys_free(keys);
    return 0;
}

static void test_origins(void **state)
{
    (void)state;
    static const struct {
        const char *allowed, *origin, *host;
        bool may;
    } cases[] = {
        {NULL, NULL, "tickets.example", true}, /* no browser */
        {"https://shop.example", NULL, NULL, true},
        {NULL, "https://tickets.example", "tickets.example", true},
        {NULL, "https://tickets.example", "tickets.example:8080", true}, /* whatever the port */
        {NULL, "https://TICKETS.example:1", "tickets.example:8080", true},
        {NULL, "http://[::1]:8080", "[::1]:9090", true},
        {NULL, "https://evil.example", "tickets.example", false},
        {NULL, "https://tickets.example.evil", "tickets.example", false},
        {NULL, "https://tickets.example", NULL, false},
        {NULL, "null", "tickets.example", false},
        {NULL, "", "tickets.example", false},
        {NULL, "https://", "", false},
        {"https://a.example, https://b.example", "https://b.example", "tickets.example", true},
        {"https://a.example, https://b.example", "https://B.example", "tickets.example", true},
        {"https://a.example", "https://b.example", "tickets.example", false},
        {"https://a.example", "https://tickets.example", "tickets.example",
         true}, /* our own page */
        {"https://a.example", "https://tickets.example:1", "tickets.example:2", false},
        {"https://a.example", "https://tickets.example", NULL, false},
        {"https://a.example", "https://", "", false},
        {"https://a.example", "null", "tickets.example", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (identity_origin_allowed(cases[i].allowed, cases[i].origin, cases[i].host) !=
            cases[i].may)
            fail_msg("case %zu: %s on %s", i, cases[i].origin, cases[i].host);
    }
}

static void test_bearer(void **state)
{
    (void)state;
    assert_string_equal(identity_bearer("Bearer abc"), "abc");
    assert_string_equal(identity_bearer("bEARER abc"), "abc");
    assert_string_equal(identity_bearer("Bearer "), "");
    assert_null(identity_bearer("Basic abc"));
    assert_string_equal(identity_bearer("Bearer   abc"), "abc");
    assert_string_equal(identity_bearer("Bearer\t abc"), "abc");
    assert_string_equal(identity_bearer("Bearer"), "");
    assert_null(identity_bearer("BearerX abc"));
    assert_null(identity_bearer("Bear"));
    assert_null(identity_bearer(""));
}

static void test_user_is_a_buyer(void **state)
{
    struct user user;
    char buyer[BUYER_ID_MAX + 1] = "unchanged";
    (void)state;
    assert_int_equal(token_write_user(keys, "alice", "organizer", NOW_MS, 60000, &out), ST_OK);
    assert_int_equal(identity_read_user(keys, out.data, out.len - 1, NOW_MS, &user, buyer),
                     ST_UNAUTHORIZED);
    assert_string_equal(buyer, "unchanged");
    assert_int_equal(identity_read_user(keys, out.data, out.len, NOW_MS, &user, buyer), ST_OK);
    assert_string_equal(buyer, "u:alice");
    assert_int_equal(user.role, USER_ORGANIZER);
}

static void test_longest_ids_fit(void **state)
{
    char sub[BUYER_ID_MAX - 1], event[EVENT_ID_MAX + 1], buyer[BUYER_ID_MAX + 1];
    struct user user;
    (void)state;
    memset(sub, 's', sizeof(sub) - 1);
    sub[sizeof(sub) - 1] = '\0';
    memset(event, 'e', EVENT_ID_MAX);
    event[EVENT_ID_MAX] = '\0';
    assert_int_equal(token_write_user(keys, sub, "buyer", NOW_MS, 60000, &out), ST_OK);
    assert_int_equal(identity_read_user(keys, out.data, out.len, NOW_MS, &user, buyer), ST_OK);
    assert_string_equal(buyer + 2, sub);

    const struct identity_place place = {.event = event, .buyer = buyer, .place = 7, .epoch = 1};
    struct ticket ticket;
    buf_reset(&out);
    assert_int_equal(identity_write_ticket(keys, NULL, &place, 0, &out), ST_OK);
    const struct identity_proof proof = {
        .text = out.data, .len = out.len, .event = event, .buyer = buyer};
    assert_int_equal(identity_read_ticket(keys, NULL, &proof, &ticket), ST_OK);
    assert_int_equal(ticket.place, 7);
}

static void test_ticket_is_its_owners(void **state)
{
    const struct identity_place place = {
        .event = "e", .buyer = "g:1", .place = 1700000000000001, .epoch = 3};
    struct ticket ticket = {0};
    (void)state;
    assert_int_equal(identity_write_ticket(keys, NULL, &place, 42, &out), ST_OK);
    struct identity_proof proof = {.text = out.data, .len = out.len, .event = "e", .buyer = "g:1"};
    assert_int_equal(identity_read_ticket(keys, NULL, &proof, &ticket), ST_OK);
    assert_int_equal(ticket.place, place.place);
    assert_int_equal(ticket.epoch, 3);
    assert_int_equal(ticket.lowest, 42);
    proof.buyer = "g:2";
    assert_int_equal(identity_read_ticket(keys, NULL, &proof, &ticket), ST_DENIED);
    proof.buyer = "g:1";
    proof.event = "f";
    assert_int_equal(identity_read_ticket(keys, NULL, &proof, &ticket), ST_DENIED);
    proof.event = "e";
    proof.len--;
    assert_int_equal(identity_read_ticket(keys, NULL, &proof, &ticket), ST_UNAUTHORIZED);
}

static void test_memo_knows_what_was_read_or_written(void **state)
{
    const struct identity_place place = {.event = "e", .buyer = "g:1", .place = 9, .epoch = 3};
    struct ticket_memo *memo = ticket_memo_new();
    struct ticket ticket = {0};
    (void)state;
    buf_add_str(&out, "before "); /* only what was appended is the ticket */
    const size_t before = out.len;
    assert_int_equal(identity_write_ticket(keys, memo, &place, 5, &out), ST_OK);
    struct identity_proof proof = {
        .text = out.data + before, .len = out.len - before, .event = "e", .buyer = "g:1"};
    assert_true(ticket_memo_get(memo, proof.text, proof.len, "e", "g:1", &ticket));
    assert_int_equal(identity_read_ticket(keys, memo, &proof, &ticket), ST_OK);
    assert_int_equal(ticket.lowest, 5);
    proof.buyer = "g:2";
    assert_int_equal(identity_read_ticket(keys, memo, &proof, &ticket), ST_DENIED);
    ticket_memo_free(memo);

    memo = ticket_memo_new();
    proof.buyer = "g:1";
    assert_int_equal(identity_read_ticket(keys, memo, &proof, &ticket), ST_OK);
    assert_true(ticket_memo_get(memo, proof.text, proof.len, "e", "g:1", &ticket));
    ticket_memo_free(memo);
}

static void test_pass_is_its_owners_until_it_expires(void **state)
{
    const struct identity_place place = {.event = "e", .buyer = "u:a", .place = 9, .epoch = 3};
    const struct identity_admission admission = {.since_ms = NOW_MS - 5000, .pass_ttl_ms = 60000};
    struct pass pass;
    int64_t expires_ms;
    (void)state;
    assert_int_equal(identity_write_pass(keys, &place, &admission, NOW_MS + 999, &out, &expires_ms),
                     ST_OK);
    assert_int_equal(expires_ms, NOW_MS + 60000); /* in whole seconds, as it is in the pass */
    struct identity_proof proof = {.text = out.data, .len = out.len, .event = "e", .buyer = "u:a"};
    assert_int_equal(identity_read_pass(keys, &proof, NOW_MS, &pass), ST_OK);
    assert_int_equal(pass.place, 9);
    assert_int_equal(pass.epoch, 3);
    assert_int_equal(pass.iat_s, NOW_S - 5);
    assert_int_equal(identity_read_pass(keys, &proof, expires_ms, &pass), ST_UNAUTHORIZED);
    proof.buyer = "u:b";
    assert_int_equal(identity_read_pass(keys, &proof, NOW_MS, &pass), ST_DENIED);
    proof.buyer = NULL;
    assert_int_equal(identity_read_pass(keys, &proof, NOW_MS, &pass), ST_OK);
    assert_string_equal(pass.buyer, "u:a");
    proof.event = "f";
    assert_int_equal(identity_read_pass(keys, &proof, NOW_MS, &pass), ST_DENIED);
}

static void test_how_long_an_admission_lasts(void **state)
{
    struct identity_admission admission = {.since_ms = NOW_MS, .pass_ttl_ms = 60000};
    (void)state;
    /* Without a session limit each pass is as long as the setting says, whenever it is given. */
    assert_int_equal(identity_pass_expiry(&admission, NOW_MS), NOW_MS + 60000);
    assert_int_equal(identity_pass_expiry(&admission, NOW_MS + 50000), NOW_MS + 110000);
    assert_true(identity_admission_lasts(&admission, NOW_MS + 59999));
    assert_false(identity_admission_lasts(&admission, NOW_MS + 60000));
    /* No pass outlives the session. */
    admission.session_limit_ms = 90000;
    assert_int_equal(identity_pass_expiry(&admission, NOW_MS), NOW_MS + 60000);
    assert_int_equal(identity_pass_expiry(&admission, NOW_MS + 50000), NOW_MS + 90000);
    assert_true(identity_admission_lasts(&admission, NOW_MS + 89999));
    assert_false(identity_admission_lasts(&admission, NOW_MS + 90000));
    assert_int_equal(identity_turn_end(&admission, 0), NOW_MS + 90000);
    assert_int_equal(identity_turn_end(&admission, NOW_MS + 95000), NOW_MS + 95000);
    /* Nor the turns of a closed event. */
    admission.turns_end_ms = NOW_MS + 30000;
    assert_int_equal(identity_pass_expiry(&admission, NOW_MS), NOW_MS + 30000);
    assert_true(identity_admission_lasts(&admission, NOW_MS + 29999));
    assert_false(identity_admission_lasts(&admission, NOW_MS + 30000));
    assert_int_equal(identity_turn_end(&admission, NOW_MS + 95000), NOW_MS + 30000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_bearer),
        cmocka_unit_test_setup_teardown(test_user_is_a_buyer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_longest_ids_fit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ticket_is_its_owners, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memo_knows_what_was_read_or_written, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_pass_is_its_owners_until_it_expires, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_how_long_an_admission_lasts, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
