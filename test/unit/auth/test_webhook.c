/* SPDX-License-Identifier: MIT */
/* webhook: both sides may change a secret at different times, and nothing that is not signed by one of them passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/webhook.h"
#include "base/config.h"

#include <stdio.h>
#include <string.h>

#define NOW_S  INT64_C(1800000000)
#define BODY   "{\"status\":\"paid\"}"
#define FIRST  "the-first-secret"
#define SECOND "the-second-secret"

/* `list`: as in the setting. */
static struct webhook_keys *keys_of(const char *list)
{
    struct webhook_keys *keys = webhook_keys_new();
    const char *secret;
    size_t len;
    while (config_next_secret(&list, &secret, &len))
        assert_int_equal(webhook_keys_add(keys, secret, len), ST_OK);
    return keys;
}

static void a_known_mac(void **state)
{
    static const char data[] = "what do ya want for nothing?";
    char mac[WEBHOOK_MAC_SIZE];
    struct webhook_keys *keys = keys_of("Jefe"), *none = keys_of(""), *two = keys_of(FIRST " Jefe");
    (void)state;
    /* RFC 4231, test case 2 */
    assert_int_equal(webhook_sign(keys, data, strlen(data), mac), ST_OK);
    assert_string_equal(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_true(webhook_holds(keys, data, strlen(data), mac));
    assert_true(webhook_holds(two, data, strlen(data), mac));
    assert_false(webhook_holds(two, data, strlen(data) - 1, mac));
    assert_false(webhook_holds(none, data, strlen(data), mac));
    mac[63] ^= 1;
    assert_false(webhook_holds(two, data, strlen(data), mac));
    mac[63] = '\0';
    assert_false(webhook_holds(two, data, strlen(data), mac));
    assert_int_equal(webhook_sign(none, data, strlen(data), mac), ST_UNAVAILABLE);
    assert_true(webhook_is_set(keys));
    assert_false(webhook_is_set(none));
    webhook_keys_free(keys);
    webhook_keys_free(none);
    webhook_keys_free(two);
    webhook_keys_free(NULL);
}

/* What a receiver with the secrets `reader` says to a call of a sender with `writer`. */
static enum status call(const char *writer, const char *reader)
{
    struct webhook_keys *from = keys_of(writer), *to = keys_of(reader);
    struct buf header;
    buf_init(&header, 2048);
    enum status st = webhook_write_header(from, NOW_S, BODY, strlen(BODY), &header);
    if (st == ST_OK)
        st = webhook_read_header(to, buf_str(&header), NOW_S, BODY, strlen(BODY));
    buf_clear(&header);
    webhook_keys_free(from);
    webhook_keys_free(to);
    return st;
}

static void secrets_roll(void **state)
{
    (void)state;
    assert_int_equal(call(FIRST, FIRST), ST_OK);
    assert_int_equal(call(FIRST, SECOND), ST_UNAUTHORIZED);
    /* the sender is ahead, or the receiver */
    assert_int_equal(call(SECOND " " FIRST, FIRST), ST_OK);
    assert_int_equal(call(FIRST " " SECOND, SECOND), ST_OK);
    assert_int_equal(call(FIRST, SECOND " " FIRST), ST_OK);
    assert_int_equal(call(SECOND, FIRST " " SECOND), ST_OK);
    assert_int_equal(call("", FIRST), ST_UNAVAILABLE);
    assert_int_equal(call(FIRST, ""), ST_UNAVAILABLE);
}

static enum status read(const char *format, const char *mac, int64_t now_s)
{
    char header[4096];
    struct webhook_keys *keys = keys_of(SECOND " " FIRST);
    (void)snprintf(header, sizeof(header), format, mac);
    const enum status st = webhook_read_header(keys, header, now_s, BODY, strlen(BODY));
    webhook_keys_free(keys);
    return st;
}

static void headers(void **state)
{
#define T    "t=1800000000"
#define NONE "v1=0000000000000000000000000000000000000000000000000000000000000000,"
    static const struct {
        const char *header;
        enum status expected;
    } rows[] = {
        {T ",v1=%s", ST_OK},
        {"v1=%s," T, ST_OK},
        {T "," NONE "v1=%s", ST_OK},
        {T ",v0=abc,v1=%s,x=", ST_OK},
        {T "," NONE NONE NONE NONE NONE NONE NONE "v1=%s", ST_OK},
        {T "," NONE NONE NONE NONE NONE NONE NONE NONE "v1=%s", ST_UNAUTHORIZED}, /* the ninth */
        {"%.0s", ST_UNAUTHORIZED},
        {T "%.0s", ST_UNAUTHORIZED},
        {"v1=%s", ST_UNAUTHORIZED},
        {"t=,v1=%s", ST_UNAUTHORIZED},
        {"t=-1,v1=%s", ST_UNAUTHORIZED},
        {"t=1800000000x,v1=%s", ST_UNAUTHORIZED},
        {"t=99999999999999999999,v1=%s", ST_UNAUTHORIZED},
        {T "," T ",v1=%s", ST_UNAUTHORIZED}, /* which of the two times? */
        {T ",v1=%s0", ST_UNAUTHORIZED},
        {T ",v1=%.63s", ST_UNAUTHORIZED},
        {T ",v2=%s", ST_UNAUTHORIZED},
        {T ",v1", ST_UNAUTHORIZED},
        {"t=1800000001,v1=%s", ST_UNAUTHORIZED}, /* the time is signed */
    };
    struct webhook_keys *keys = keys_of(FIRST);
    struct buf text;
    char mac[WEBHOOK_MAC_SIZE];
    (void)state;
    assert_int_equal(webhook_sign(keys, "1800000000." BODY, strlen("1800000000." BODY), mac),
                     ST_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (read(rows[i].header, mac, NOW_S) != rows[i].expected)
            fail_msg("%s", rows[i].header);
    }
    assert_int_equal(read(T ",v1=%s", mac, NOW_S + 300), ST_OK);
    assert_int_equal(read(T ",v1=%s", mac, NOW_S - 300), ST_OK);
    assert_int_equal(read(T ",v1=%s", mac, NOW_S + 301), ST_UNAUTHORIZED);
    assert_int_equal(read(T ",v1=%s", mac, NOW_S - 301), ST_UNAUTHORIZED);
    /* what is sent: the time, and a signature by each secret in their order */
    buf_init(&text, 1024);
    assert_int_equal(webhook_write_header(keys, NOW_S, BODY, strlen(BODY), &text), ST_OK);
    assert_int_equal(text.len, strlen(T ",v1=") + 64);
    assert_memory_equal(buf_str(&text) + strlen(T ",v1="), mac, 64);
    buf_clear(&text);
    webhook_keys_free(keys);
}

static void there_are_at_most_eight(void **state)
{
    struct webhook_keys *keys = webhook_keys_new();
    (void)state;
    for (int i = 0; i < CONFIG_SECRETS_MAX; i++)
        assert_int_equal(webhook_keys_add(keys, FIRST, strlen(FIRST)), ST_OK);
    assert_int_equal(webhook_keys_add(keys, FIRST, strlen(FIRST)), ST_INVALID);
    webhook_keys_free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_mac),
        cmocka_unit_test(secrets_roll),
        cmocka_unit_test(headers),
        cmocka_unit_test(there_are_at_most_eight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
