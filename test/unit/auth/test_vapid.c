/* SPDX-License-Identifier: MIT */
/* vapid: tokens verify under the public key that goes with them; the ring; keys that are no keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/jws.h"
#include "auth/vapid.h"
#include "base/base64url.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>

/* The key of the sender in RFC 8291's example. */
#define SECRET "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
#define PUBLIC                                                                                     \
    "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"
#define OTHER   "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
#define SUBJECT "mailto:ops@example.com"
#define ORIGIN  "https://push.example:8443"
#define NOW_S   1700000000

/* Returns the payload of the token in a header, which must be valid under its own key. The caller frees it. */
static struct json *verified(const char *header)
{
    char token[2048], key[128], jwks[512];
    unsigned char point[65];
    struct buf x, y, payload;
    struct json_error error;
    assert_int_equal(sscanf(header, "vapid t=%2047[^,], k=%127s", token, key), 2);
    assert_int_equal(strlen(key), VAPID_KEY_LEN);
    assert_true(base64url_decode_into(key, strlen(key), point));
    buf_init(&x, 64);
    buf_init(&y, 64);
    base64url_encode(point + 1, 32, &x);
    base64url_encode(point + 33, 32, &y);
    (void)snprintf(jwks, sizeof(jwks),
                   "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}]}",
                   buf_str(&x), buf_str(&y));
    struct jws_ring *ring = jws_ring_new();
    buf_init(&payload, JWS_MAX);
    assert_int_equal(jws_ring_add_jwks(ring, jwks, strlen(jwks)), ST_OK);
    assert_int_equal(jws_verify(ring, token, strlen(token), &payload), ST_OK);
    struct json *json = json_parse(buf_str(&payload), payload.len, JWS_MAX, &error);
    assert_non_null(json);
    jws_ring_free(ring);
    buf_clear(&x);
    buf_clear(&y);
    buf_clear(&payload);
    return json;
}

static void a_token_names_the_service_and_expires_within_a_day(void **state)
{
    struct vapid *vapid;
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(vapid_new(SECRET, SUBJECT, &vapid), ST_OK);
    assert_string_equal(vapid_key(vapid), PUBLIC);
    assert_int_equal(vapid_authorize(vapid, PUBLIC, ORIGIN "/path", strlen(ORIGIN), NOW_S, &out),
                     ST_OK);
    assert_memory_equal(buf_str(&out), "vapid t=eyJ", 11);
    struct json *payload = verified(buf_str(&out));
    assert_string_equal(json_str(payload, "aud"), ORIGIN);
    assert_string_equal(json_str(payload, "sub"), SUBJECT);
    assert_in_range(json_int(payload, "exp", 0), NOW_S + 3600, NOW_S + 86400);
    json_free(payload);
    buf_clear(&out);
    vapid_free(vapid);
}

static void a_token_is_used_for_an_hour_by_service(void **state)
{
    struct vapid *vapid;
    struct buf out[4];
    (void)state;
    assert_int_equal(vapid_new(SECRET, SUBJECT, &vapid), ST_OK);
    for (size_t i = 0; i < 4; i++)
        buf_init(&out[i], 4096);
    const size_t len = strlen(ORIGIN);
    assert_int_equal(vapid_authorize(vapid, PUBLIC, ORIGIN, len, NOW_S, &out[0]), ST_OK);
    assert_int_equal(vapid_authorize(vapid, PUBLIC, ORIGIN, len, NOW_S + 3599, &out[1]), ST_OK);
    assert_int_equal(vapid_authorize(vapid, PUBLIC, ORIGIN, len, NOW_S + 3600, &out[2]), ST_OK);
    assert_int_equal(vapid_authorize(vapid, PUBLIC, "https://push.example", 20, NOW_S, &out[3]),
                     ST_OK);
    assert_string_equal(buf_str(&out[0]), buf_str(&out[1]));
    assert_string_not_equal(buf_str(&out[0]), buf_str(&out[2]));
    assert_string_not_equal(buf_str(&out[0]), buf_str(&out[3]));
    for (unsigned i = 0; i < 100; i++) { /* more services than are kept */
        char origin[64];
        (void)snprintf(origin, sizeof(origin), "https://p%u.example", i);
        buf_reset(&out[0]);
        assert_int_equal(vapid_authorize(vapid, PUBLIC, origin, strlen(origin), NOW_S, &out[0]),
                         ST_OK);
        struct json *payload = verified(buf_str(&out[0]));
        assert_string_equal(json_str(payload, "aud"), origin);
        json_free(payload);
    }
    for (size_t i = 0; i < 4; i++)
        buf_clear(&out[i]);
    vapid_free(vapid);
}

static void the_first_key_is_given_out_and_all_sign(void **state)
{
    struct vapid *vapid;
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(vapid_new(OTHER "," SECRET, SUBJECT, &vapid), ST_OK);
    assert_string_not_equal(vapid_key(vapid), PUBLIC);
    assert_true(vapid_has(vapid, vapid_key(vapid)) && vapid_has(vapid, PUBLIC));
    assert_false(vapid_has(vapid, OTHER));
    for (unsigned i = 0; i < 2; i++) {
        const char *key = i == 0 ? vapid_key(vapid) : PUBLIC;
        buf_reset(&out);
        assert_int_equal(vapid_authorize(vapid, key, ORIGIN, strlen(ORIGIN), NOW_S, &out), ST_OK);
        assert_non_null(strstr(buf_str(&out), key));
        json_free(verified(buf_str(&out)));
    }
    buf_reset(&out);
    assert_int_equal(vapid_authorize(vapid, SECRET, ORIGIN, strlen(ORIGIN), NOW_S, &out),
                     ST_NOT_FOUND);
    assert_int_equal(out.len, 0);
    buf_clear(&out);
    vapid_free(vapid);
}

static void keys_that_are_none_are_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        ",",
        "abc",
        PUBLIC,
        SECRET "," SECRET,
        SECRET " ," OTHER,
        SECRET "=",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",    /* 0 */
        "_____________________________________________w", /* too long */
        "__________________________________________8",    /* above the order */
        "_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE",    /* the order itself */
    };
    struct vapid *vapid = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (vapid_new(wrong[i], SUBJECT, &vapid) == ST_OK)
            fail_msg("taken: %s", wrong[i]);
        vapid_free(vapid);
        vapid = NULL;
    }
}

static void a_new_key_is_one_and_is_new(void **state)
{
    struct vapid *vapid;
    struct buf keys;
    (void)state;
    buf_init(&keys, 256);
    assert_int_equal(vapid_write_new_key(&keys), ST_OK);
    assert_int_equal(keys.len, 43);
    buf_add_char(&keys, ',');
    assert_int_equal(vapid_write_new_key(&keys), ST_OK);
    assert_int_equal(vapid_new(buf_str(&keys), SUBJECT, &vapid), ST_OK);
    vapid_free(vapid);
    buf_clear(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_names_the_service_and_expires_within_a_day),
        cmocka_unit_test(a_token_is_used_for_an_hour_by_service),
        cmocka_unit_test(the_first_key_is_given_out_and_all_sign),
        cmocka_unit_test(keys_that_are_none_are_refused),
        cmocka_unit_test(a_new_key_is_one_and_is_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
