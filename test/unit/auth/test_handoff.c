/* SPDX-License-Identifier: MIT */
/* handoff: the token comes back as it was made, for its seconds, and is taken for nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/handoff.h"

#include <stdio.h>
#include <string.h>

#define NOW_S INT64_C(1800000000)

static struct token_keys *keys_new(void)
{
    const struct config config = {
        .ticket_keys = "k1:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};
    struct token_keys *keys;
    char error[160];
    assert_int_equal(token_keys_new(&config, &keys, error, sizeof(error)), ST_OK);
    return keys;
}

static struct handoff handoff_of(const char *event, const char *buyer)
{
    struct handoff handoff = {
        .place = 1790000000000001, .epoch = 3, .iat_s = NOW_S, .exp_s = NOW_S + HANDOFF_MS / 1000};
    (void)snprintf(handoff.event, sizeof(handoff.event), "%s", event);
    (void)snprintf(handoff.buyer, sizeof(handoff.buyer), "%s", buyer);
    return handoff;
}

static struct return_url url_of(const char *text)
{
    struct return_url url;
    assert_int_equal(return_url_parse(text, "https://queue.example", &url), RETURN_OK);
    return url;
}

static void a_token_comes_back(void **state)
{
    struct token_keys *keys = keys_new();
    struct handoff handoff = handoff_of("summer", "u:\"x\"\xc3\xa9"), again;
    const struct return_url url = url_of("https://shop.example/x?a=1#b"),
                            server = url_of("https://shop.example/x?a=1"),
                            other = url_of("https://shop.example/x?a=12");
    struct buf token;
    (void)state;
    buf_init(&token, HANDOFF_MAX);
    assert_int_equal(handoff_sign(keys, &handoff, &url, &token), ST_OK);
    assert_int_equal(handoff_read(keys, buf_str(&token), token.len, (NOW_S + 59) * 1000, &again),
                     ST_OK);
    assert_string_equal(again.event, "summer");
    assert_string_equal(again.buyer, handoff.buyer);
    assert_string_equal(again.jti, handoff.jti);
    assert_string_equal(again.target, url.text);
    assert_true(again.place == handoff.place && again.epoch == 3);
    assert_true(handoff_leads_to(&again, &url));
    assert_true(handoff_leads_to(&again, &server)); /* which never sees the fragment */
    assert_false(handoff_leads_to(&again, &other));
    assert_int_equal(handoff_read(keys, buf_str(&token), token.len, (NOW_S + 60) * 1000, &again),
                     ST_GONE);
    buf_clear(&token);
    token_keys_free(keys);
}

static void a_long_url_is_bound_by_its_hash(void **state)
{
    struct token_keys *keys = keys_new();
    struct handoff handoff = handoff_of("summer", "g:1"), again;
    char text[RETURN_URL_MAX + 1];
    struct buf token;
    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text, "https://shop.example/", 21);
    text[RETURN_URL_MAX] = '\0';
    const struct return_url url = url_of(text);
    text[RETURN_URL_MAX - 1] = 'y';
    const struct return_url other = url_of(text);
    buf_init(&token, HANDOFF_MAX);
    assert_int_equal(handoff_sign(keys, &handoff, &url, &token), ST_OK);
    assert_true(token.len < 700);
    assert_int_equal(handoff_read(keys, buf_str(&token), token.len, NOW_S * 1000, &again), ST_OK);
    assert_string_equal(again.target, "https://shop.example");
    assert_true(handoff_leads_to(&again, &url));
    assert_false(handoff_leads_to(&again, &other));
    buf_clear(&token);
    token_keys_free(keys);
}

static void it_is_no_pass_and_no_pass_is_it(void **state)
{
    struct token_keys *keys = keys_new();
    struct handoff handoff = handoff_of("summer", "g:1");
    struct pass pass = {.event = "summer",
                        .buyer = "g:1",
                        .place = 1,
                        .epoch = 1,
                        .iat_s = NOW_S,
                        .exp_s = NOW_S + 60};
    const struct return_url url = url_of("https://shop.example/");
    struct buf text;
    (void)state;
    buf_init(&text, 4096);
    assert_int_equal(handoff_sign(keys, &handoff, &url, &text), ST_OK);
    assert_int_equal(pass_read(keys, buf_str(&text), text.len, NOW_S * 1000, &pass),
                     ST_UNAUTHORIZED);
    text.data[text.len / 2] ^= 1;
    assert_int_equal(handoff_read(keys, buf_str(&text), text.len, NOW_S * 1000, &handoff),
                     ST_UNAUTHORIZED);
    buf_reset(&text);
    assert_int_equal(pass_sign(keys, &pass, &text), ST_OK);
    assert_int_equal(handoff_read(keys, buf_str(&text), text.len, NOW_S * 1000, &handoff),
                     ST_UNAUTHORIZED);
    buf_clear(&text);
    token_keys_free(keys);
}

static void none_is_made_for_this_origin_or_for_nobody(void **state)
{
    struct token_keys *keys = keys_new();
    const struct return_url own = url_of("/shop"), other = url_of("https://shop.example/");
    struct handoff handoff = handoff_of("summer", "g:1");
    struct buf token;
    (void)state;
    buf_init(&token, HANDOFF_MAX);
    assert_int_equal(handoff_sign(keys, &handoff, &own, &token), ST_INVALID);
    handoff = handoff_of("sum mer", "g:1");
    assert_int_equal(handoff_sign(keys, &handoff, &other, &token), ST_INVALID);
    handoff = handoff_of("summer", "x");
    assert_int_equal(handoff_sign(keys, &handoff, &other, &token), ST_INVALID);
    assert_int_equal(token.len, 0);
    buf_clear(&token);
    token_keys_free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_comes_back),
        cmocka_unit_test(a_long_url_is_bound_by_its_hash),
        cmocka_unit_test(it_is_no_pass_and_no_pass_is_it),
        cmocka_unit_test(none_is_made_for_this_origin_or_for_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
