/* SPDX-License-Identifier: MIT */
/* The passes of docs/integrate/verify/vectors.json, which the verifiers of other languages are held to, read by ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/identity.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>

#define FILE_NAME "docs/integrate/verify/vectors.json"

static struct json *vectors;
static struct token_keys *keys;

static int set_up(void **state)
{
    static char text[64 * 1024], pem[4096];
    char error[160] = "";
    (void)state;
    FILE *file = fopen(FILE_NAME, "re");
    if (!file)
        return -1;
    const size_t len = fread(text, 1, sizeof(text), file);
    (void)fclose(file);
    struct json_error bad;
    vectors = len < sizeof(text) ? json_parse(text, len, sizeof(text), &bad) : NULL;
    const struct json *list = json_get(vectors, "pem");
    for (size_t i = 0; i < json_array_len(list); i++)
        (void)snprintf(pem + strlen(pem), sizeof(pem) - strlen(pem), "%s",
                       json_str_value(json_array_at(list, i)));
    return token_keys_new(&(struct config){.ticket_keys = "k1:000102030405060708090a0b0c0d0e0f"
                                                          "101112131415161718191a1b1c1d1e1f",
                                           .pass_keys = pem},
                          &keys, error, sizeof(error)) == ST_OK
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    (void)state;
    token_keys_free(keys);
    json_free(vectors);
    return 0;
}

static enum status read_vector(const struct json *vector, struct pass *ret_pass)
{
    const char *text = json_str(vector, "token");
    assert_non_null(text);
    const struct identity_proof proof = {
        .text = text, .len = strlen(text), .event = json_str(vectors, "event")};
    return identity_read_pass(keys, &proof, INT64_C(1800000000000), ret_pass);
}

static void accepted(void **state)
{
    (void)state;
    const struct json *list = json_get(vectors, "accepted");
    assert_true(json_array_len(list) >= 4);
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json *vector = json_array_at(list, i);
        struct pass pass;
        print_message("%s\n", json_str(vector, "name"));
        assert_int_equal(read_vector(vector, &pass), ST_OK);
        assert_string_equal(pass.buyer, json_str(vector, "buyer"));
        assert_int_equal(pass.exp_s, json_int(vector, "expires", 0));
    }
}

static void refused(void **state)
{
    (void)state;
    const struct json *list = json_get(vectors, "refused");
    assert_true(json_array_len(list) >= 30);
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json *vector = json_array_at(list, i);
        struct pass pass;
        print_message("%s\n", json_str(vector, "name"));
        assert_int_not_equal(read_vector(vector, &pass), ST_OK);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests_name("vectors", tests, set_up, tear_down);
}
