/* SPDX-License-Identifier: MIT */
/* pass_memo: a text is found again whole, with what was put, and no other text is; it is bounded. */
#include "auth/pass_memo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char text[] = "eyJhbGciOiJFUzI1NiJ9.eyJldmVudCI6ImUifQ.c2lnbmF0dXJl";
static const struct pass own = {.event = "e",
                                .buyer = "g:00112233445566778899aabbccddeeff",
                                .place = 1700000000000001,
                                .epoch = 3,
                                .iat_s = 100,
                                .exp_s = 700,
                                .names_guest = true,
                                .jti = "0123456789abcdef0123456789abcdef"};

static bool known(const struct pass_memo *memo, const char *sent, struct pass *ret_pass)
{
    return pass_memo_get(memo, sent, strlen(sent), ret_pass);
}

static void what_was_put_is_found_whole(void **state)
{
    (void)state;
    struct pass_memo *memo = pass_memo_new();
    struct pass found = {.place = 7}, longest = own;
    assert_false(known(memo, text, &found));
    assert_int_equal(found.place, 7);
    pass_memo_put(memo, text, strlen(text), &own);
    assert_true(known(memo, text, &found));
    assert_string_equal(found.event, own.event);
    assert_string_equal(found.buyer, own.buyer);
    assert_string_equal(found.jti, own.jti);
    assert_true(found.place == own.place && found.epoch == own.epoch && found.names_guest);
    assert_true(found.iat_s == own.iat_s && found.exp_s == own.exp_s);
    memset(longest.event, 'e', EVENT_ID_MAX);
    memset(longest.buyer + 2, 'b', BUYER_ID_MAX - 2);
    longest.names_guest = false;
    pass_memo_put(memo, "another", 7, &longest);
    assert_true(known(memo, "another", &found));
    assert_string_equal(found.event, longest.event);
    assert_string_equal(found.buyer, longest.buyer);
    assert_false(found.names_guest);
    pass_memo_free(memo);
    pass_memo_free(NULL);
}

static void every_byte_counts(void **state)
{
    (void)state;
    struct pass_memo *memo = pass_memo_new();
    struct pass found;
    char other[sizeof(text)];
    pass_memo_put(memo, text, strlen(text), &own);
    for (size_t i = 0; i < strlen(text); i++) {
        memcpy(other, text, sizeof(text));
        other[i] ^= 1;
        assert_false(known(memo, other, &found));
        assert_false(pass_memo_get(memo, text, i, &found));
    }
    pass_memo_free(memo);
}

/* Each has a text of its own; those that expire later stay. */
static void it_is_bounded_and_forgets_what_expires_first(void **state)
{
    enum { COUNT = 4 * PASS_MEMO_MAX };
    (void)state;
    struct pass_memo *memo = pass_memo_new();
    struct pass pass = own, found;
    char name[32];
    size_t late = 0, early = 0;
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof(name), "pass %d", i);
        pass.place = (uint64_t)i + 1;
        pass.exp_s = i % 8 == 0 ? 900 : 700;
        pass_memo_put(memo, name, strlen(name), &pass);
    }
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof(name), "pass %d", i);
        if (!known(memo, name, &found))
            continue;
        assert_int_equal(found.place, i + 1);
        late += i % 8 == 0;
        early += i % 8 != 0;
    }
    assert_true(late + early <= PASS_MEMO_MAX);
    assert_true(late + early > PASS_MEMO_MAX * 9 / 10);
    assert_true(late > COUNT / 8 / 2); /* by chance alone it would be a quarter */
    pass_memo_free(memo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_found_whole),
        cmocka_unit_test(every_byte_counts),
        cmocka_unit_test(it_is_bounded_and_forgets_what_expires_first),
    };
    return cmocka_run_group_tests_name("pass_memo", tests, NULL, NULL);
}
