/* SPDX-License-Identifier: MIT */
/* The signatures of webhooks: the example of Standard Webhooks, two secrets, and what is no secret. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "auth/hook_sign.h"

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

static const struct hook_message example = {"msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                                            "{\"test\": 2432232314}", 20};

static void the_example_of_standard_webhooks_is_signed(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 512);
    assert_int_equal(hook_sign(SECRET, &example, &out), ST_OK);
    assert_string_equal(buf_str(&out), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_int_equal(hook_sign(SECRET, &example, &out), ST_OK);
    assert_string_equal(buf_str(&out), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= "
                                       "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    buf_clear(&out);
}

static void what_is_no_secret_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "whsec_",
                                      "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                                      "whsec_not base64",
                                      "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
                                      "whsec_===="};
    char text[300] = "whsec_";
    struct buf out;
    (void)state;
    buf_init(&out, 512);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(hook_sign(bad[i], &example, &out), ST_INVALID);
    memset(text + 6, 'A', 280);
    assert_int_equal(hook_sign(text, &example, &out), ST_INVALID);
    assert_int_equal(out.len, 0);
    buf_clear(&out);
}

static void a_header_that_is_full_is_no_signature(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 20);
    assert_int_not_equal(hook_sign(SECRET, &example, &out), ST_OK);
    buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_standard_webhooks_is_signed),
        cmocka_unit_test(what_is_no_secret_is_refused),
        cmocka_unit_test(a_header_that_is_full_is_no_signature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
