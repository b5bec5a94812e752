/* SPDX-License-Identifier: MIT */
/* sign_in: texts of one kind are not those of another, keys are rolled, forms belong to their session; role. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/sign_in.h"

#include <string.h>

#define NOW_MS INT64_C(1800000000000)

static const char seed[] = "a seed of thirty-two bytes, or so",
                  other[] = "another seed of thirty-two bytes";

static struct sign_in_keys *keys_of(const char *first, const char *second)
{
    struct sign_in_keys *keys = sign_in_keys_new();
    assert_non_null(keys);
    assert_int_equal(sign_in_keys_add(keys, first == seed ? "k1" : "k2", first, strlen(first)),
                     ST_OK);
    if (second)
        assert_int_equal(
            sign_in_keys_add(keys, second == seed ? "k1" : "k2", second, strlen(second)), ST_OK);
    return keys;
}

static const struct staff_grant kim = {.id = "0123456789abcdef0123456789abcdef",
                                       .subject = "kim@example.com",
                                       .name = "김민지",
                                       .role = USER_ORGANIZER,
                                       .events = "rock,jazz-1",
                                       .expires_ms = NOW_MS + 1000};

static void a_session_says_what_was_granted(void **state)
{
    (void)state;
    struct sign_in_keys *keys = keys_of(seed, NULL);
    struct staff_grant read;
    struct buf text;
    buf_init(&text, 4096);
    assert_int_equal(sign_in_session_write(keys, &kim, &text), ST_OK);
    assert_int_equal(sign_in_session_read(keys, buf_str(&text), text.len, NOW_MS, &read), ST_OK);
    assert_string_equal(read.id, kim.id);
    assert_string_equal(read.subject, kim.subject);
    assert_string_equal(read.name, kim.name);
    assert_int_equal(read.role, USER_ORGANIZER);
    assert_string_equal(read.events, kim.events);
    assert_int_equal(read.expires_ms, kim.expires_ms);
    assert_int_equal(sign_in_session_read(keys, buf_str(&text), text.len, kim.expires_ms, &read),
                     ST_GONE);
    assert_int_equal(sign_in_session_read(keys, buf_str(&text), text.len - 1, NOW_MS, &read),
                     ST_UNAUTHORIZED);
    buf_clear(&text);
    sign_in_keys_free(keys);
}

static void a_text_of_one_kind_is_none_of_another(void **state)
{
    (void)state;
    struct sign_in_keys *keys = keys_of(seed, NULL);
    struct staff_grant grant;
    struct sign_in_errand errand;
    struct buf text;
    char buyer[SIGN_IN_BUYER_SIZE];
    buf_init(&text, 4096);
    assert_int_equal(sign_in_link_write(keys, &kim, &text), ST_OK);
    assert_int_equal(sign_in_link_read(keys, buf_str(&text), text.len, NOW_MS, &grant), ST_OK);
    assert_int_equal(sign_in_session_read(keys, buf_str(&text), text.len, NOW_MS, &grant),
                     ST_UNAUTHORIZED);
    assert_int_equal(sign_in_errand_read(keys, buf_str(&text), text.len, NOW_MS, &errand),
                     ST_UNAUTHORIZED);
    assert_false(sign_in_buyer_read(keys, buf_str(&text), text.len, NOW_MS, buyer));
    buf_reset(&text);
    assert_int_equal(sign_in_buyer_write(keys, "o:abc", NOW_MS + 1, &text), ST_OK);
    assert_true(sign_in_buyer_read(keys, buf_str(&text), text.len, NOW_MS, buyer));
    assert_string_equal(buyer, "o:abc");
    assert_false(sign_in_buyer_read(keys, buf_str(&text), text.len, NOW_MS + 1, buyer));
    assert_int_equal(sign_in_session_read(keys, buf_str(&text), text.len, NOW_MS, &grant),
                     ST_UNAUTHORIZED);
    buf_clear(&text);
    sign_in_keys_free(keys);
}

static void keys_are_rolled(void **state)
{
    (void)state;
    struct sign_in_keys *before = keys_of(seed, NULL), *both = keys_of(other, seed),
                        *after = keys_of(other, NULL);
    struct staff_grant read;
    struct buf text;
    char token[STAFF_CSRF_SIZE];
    buf_init(&text, 4096);
    assert_int_equal(sign_in_session_write(before, &kim, &text), ST_OK);
    assert_int_equal(sign_in_csrf_write(before, kim.id, token), ST_OK);
    assert_int_equal(sign_in_session_read(both, buf_str(&text), text.len, NOW_MS, &read), ST_OK);
    assert_true(sign_in_csrf_holds(both, kim.id, token));
    assert_int_equal(sign_in_session_read(after, buf_str(&text), text.len, NOW_MS, &read),
                     ST_UNAUTHORIZED);
    assert_false(sign_in_csrf_holds(after, kim.id, token));
    assert_false(sign_in_csrf_holds(before, "f123456789abcdef0123456789abcdef", token));
    assert_false(sign_in_csrf_holds(before, kim.id, ""));
    buf_clear(&text);
    sign_in_keys_free(before);
    sign_in_keys_free(both);
    sign_in_keys_free(after);
}

static void an_event_of_a_list(void **state)
{
    (void)state;
    assert_true(staff_events_have("rock,jazz", "rock"));
    assert_true(staff_events_have("rock,jazz", "jazz"));
    assert_false(staff_events_have("rock,jazz", "ja"));
    assert_false(staff_events_have("rock,jazz", "jazz2"));
    assert_false(staff_events_have("", ""));
}

static void roles_have_names(void **state)
{
    (void)state;
    enum user_role role = USER_ADMIN;
    for (unsigned i = 0; i < USER_ROLES; i++) {
        const char *name = role_name((enum user_role)i);
        assert_true(role_read(name, strlen(name), &role));
        assert_int_equal(role, i);
    }
    assert_false(role_read("admin", 4, &role));
    assert_false(role_read("", 0, &role));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_says_what_was_granted),
        cmocka_unit_test(a_text_of_one_kind_is_none_of_another),
        cmocka_unit_test(keys_are_rolled),
        cmocka_unit_test(an_event_of_a_list),
        cmocka_unit_test(roles_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
