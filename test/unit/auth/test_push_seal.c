/* SPDX-License-Identifier: MIT */
/* push_seal: the example of RFC 8291, byte for byte; padding; keys that are no keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/push_seal.h"
#include "auth/push_seal_internal.h"
#include "base/base64url.h"

#include <string.h>

/* RFC 8291, section 5 and appendix A */
#define PLAIN "When I grow up, I want to be a watermelon"
#define P256DH                                                                                     \
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
#define AUTH          "BTBZMqHH6r4Tts7J_aSIgg"
#define SENDER_SECRET "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
#define SALT          "DGv6ra1nlYgDCS1FRnbzlw"
#define SEALED                                                                                     \
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS" \
    "6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Q"  \
    "ulcy4a-fN"

static struct push_keys keys_of_example(void)
{
    struct push_keys keys;
    assert_true(push_keys_read_point(P256DH, &keys));
    assert_true(push_keys_read_secret(AUTH, &keys));
    return keys;
}

static struct push_sender sender_of_example(void)
{
    struct push_sender sender;
    assert_true(base64url_decode_into(SENDER_SECRET, strlen(SENDER_SECRET), sender.secret));
    assert_true(base64url_decode_into(SALT, strlen(SALT), sender.salt));
    return sender;
}

static void the_example_of_the_rfc_byte_for_byte(void **state)
{
    const struct push_keys keys = keys_of_example();
    const struct push_sender sender = sender_of_example();
    struct buf out, text;
    (void)state;
    buf_init(&out, 4096);
    buf_init(&text, 4096);
    assert_int_equal(push_seal_from(&sender, &keys, PLAIN, strlen(PLAIN), 0, &out), ST_OK);
    base64url_encode(buf_str(&out), out.len, &text);
    assert_string_equal(buf_str(&text), SEALED);
    buf_clear(&out);
    buf_clear(&text);
}

static void messages_of_any_length_are_padded_to_one(void **state)
{
    const struct push_keys keys = keys_of_example();
    struct buf one, other;
    (void)state;
    buf_init(&one, 4096);
    buf_init(&other, 4096);
    assert_int_equal(push_seal(&keys, PLAIN, strlen(PLAIN), 256, &one), ST_OK);
    assert_int_equal(push_seal(&keys, "", 0, 256, &other), ST_OK);
    assert_int_equal(one.len, 86 + 256 + 1 + 16);
    assert_int_equal(other.len, one.len);
    assert_memory_not_equal(one.data, other.data, 16);           /* the salt */
    assert_memory_not_equal(one.data + 21, other.data + 21, 65); /* the sender's key */
    buf_clear(&one);
    buf_clear(&other);
}

static void what_does_not_fit_is_refused_and_changes_nothing(void **state)
{
    static const char large[PUSH_SEAL_MAX + 1];
    const struct push_keys keys = keys_of_example();
    struct buf out;
    (void)state;
    buf_init(&out, 8192);
    buf_add_str(&out, "before");
    assert_int_equal(push_seal(&keys, large, sizeof(large), 0, &out), ST_TOO_LARGE);
    assert_int_equal(push_seal(&keys, "", 0, sizeof(large), &out), ST_TOO_LARGE);
    assert_string_equal(buf_str(&out), "before");
    assert_int_equal(push_seal(&keys, large, PUSH_SEAL_MAX, 0, &out), ST_OK);
    assert_true(out.len - strlen("before") <= 4096);
    buf_clear(&out);
    buf_init(&out, 64);
    assert_int_equal(push_seal(&keys, PLAIN, strlen(PLAIN), 0, &out), ST_TOO_LARGE);
    assert_int_equal(out.len, 0);
    buf_clear(&out);
}

static void a_point_that_is_none_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "B",
        AUTH,
        P256DH "A",
        P256DH "=",
        /* not on the curve: the last byte differs */
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw8",
        /* all zeros behind the 4, and behind a 0: the point at infinity */
        "BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        /* compressed, and compressed with the length of an uncompressed one */
        "AiVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcx",
        "AiVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        /* coordinates above the field's prime */
        "BP________________________________________________________________________________________"
        "__",
        "BP____________________________________________________________________________________8",
        /* another alphabet */
        "BCVxsr7N/eNgVRqvHtD0zTZsEc6+VV+JvLexhqUzORcxaOzi6+AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    };
    struct push_keys keys;
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (push_keys_read_point(wrong[i], &keys))
            fail_msg("taken: %s", wrong[i]);
    }
}

static void a_secret_has_16_bytes(void **state)
{
    static const char *const wrong[] = {"",
                                        "BTBZMqHH6r4Tts7J_aSI",
                                        "BTBZMqHH6r4Tts7J_aSIggAA",
                                        "BTBZMqHH6r4Tts7J_aSIgg==",
                                        "BTBZMqHH6r4Tts7J+aSIgg",
                                        "BTBZMqHH6r4Tts7J_aSIgh" /* bits that nobody reads */};
    struct push_keys keys;
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(push_keys_read_secret(wrong[i], &keys));
    assert_true(push_keys_read_secret(AUTH, &keys));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_rfc_byte_for_byte),
        cmocka_unit_test(messages_of_any_length_are_padded_to_one),
        cmocka_unit_test(what_does_not_fit_is_refused_and_changes_nothing),
        cmocka_unit_test(a_point_that_is_none_is_refused),
        cmocka_unit_test(a_secret_has_16_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
