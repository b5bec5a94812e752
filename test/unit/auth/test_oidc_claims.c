/* SPDX-License-Identifier: MIT */
/* oidc_claims: role, domain and name of a person, from claims as providers write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/oidc.h"
#include "base/json.h"

#include <string.h>

static struct json *parse(const char *text)
{
    struct json *json = json_parse(text, strlen(text), 65536, NULL);
    assert_non_null(json);
    return json;
}

/* The role; USER_BUYER: none. */
static enum user_role role_of(const char *text, const char *path, const char *mapping)
{
    struct json *claims = parse(text);
    enum user_role role = USER_ADMIN;
    const bool has = oidc_read_role(claims, path, mapping, &role);
    json_free(claims);
    assert_int_equal(has, role != USER_BUYER);
    return role;
}

static void the_role_is_that_of_the_claim(void **state)
{
    (void)state;
    assert_int_equal(role_of("{\"role\":\"sre\"}", "role", NULL), USER_SRE);
    assert_int_equal(role_of("{\"role\":[\"x\",\"viewer\",\"organizer\"]}", "role", NULL),
                     USER_ORGANIZER);
    assert_int_equal(role_of("{\"role\":\"buyer\"}", "role", NULL), USER_BUYER);
    assert_int_equal(role_of("{\"role\":\"king\"}", "role", NULL), USER_BUYER);
    assert_int_equal(role_of("{}", "role", NULL), USER_BUYER);
    assert_int_equal(role_of("{\"role\":{\"admin\":1}}", "role", NULL), USER_BUYER);
    assert_int_equal(role_of("{\"role\":[1,null,{}]}", "role", NULL), USER_BUYER);
    assert_int_equal(role_of("{\"a\":{\"b\":[\"admin\"]}}", "a.b", NULL), USER_ADMIN);
    assert_int_equal(
        role_of("{\"https://x.example/role\":\"door\"}", "https://x.example/role", NULL),
        USER_DOOR);
}

static void a_mapping_gives_the_greatest_role(void **state)
{
    (void)state;
    static const char map[] = "box=organizer,it=admin,a=b=sre,*=door";
    assert_int_equal(role_of("{\"g\":[\"box\",\"it\"]}", "g", map), USER_ADMIN);
    assert_int_equal(role_of("{\"g\":\"a=b\"}", "g", map), USER_SRE);
    assert_int_equal(role_of("{\"g\":\"admin\"}", "g", map),
                     USER_DOOR); /* no name of a role here */
    assert_int_equal(role_of("{\"g\":\"*\"}", "g", "*=door"), USER_DOOR);
    assert_int_equal(role_of("{}", "g", map), USER_DOOR);
    assert_int_equal(role_of("{\"g\":\"bo\"}", "g", "box=admin"), USER_BUYER);
    assert_true(oidc_roles_valid(map));
    assert_true(oidc_roles_valid("*=viewer"));
    assert_false(oidc_roles_valid("box=king"));
    assert_false(oidc_roles_valid("box=buyer"));
    assert_false(oidc_roles_valid("box=service")); /* a machine's */
    assert_false(oidc_roles_valid("=admin"));
    assert_false(oidc_roles_valid("box"));
    assert_false(oidc_roles_valid("box=admin,,it=sre"));
}

static bool in_domains(const char *text, const char *domains)
{
    struct json *claims = parse(text);
    const bool in = oidc_in_domains(claims, domains);
    json_free(claims);
    return in;
}

static void a_domain_counts_for_a_verified_address(void **state)
{
    (void)state;
#define KIM(address, verified) "{\"email\":\"" address "\",\"email_verified\":" verified "}"
    assert_true(in_domains(KIM("kim@hall.example", "true"), "hall.example"));
    assert_true(in_domains(KIM("kim@HALL.example", "true"), "a.example, hall.example"));
    assert_false(in_domains(KIM("kim@hall.example", "false"), "hall.example"));
    assert_false(in_domains(KIM("kim@hall.example", "\"true\""), "hall.example"));
    assert_false(in_domains("{\"email\":\"kim@hall.example\"}", "hall.example"));
    assert_false(in_domains(KIM("kim@evil-hall.example", "true"), "hall.example"));
    assert_false(in_domains(KIM("kim@sub.hall.example", "true"), "hall.example"));
    assert_false(in_domains(KIM("kim@hall.example@evil.example", "true"), "hall.example"));
    assert_false(in_domains(KIM("@hall.example", "true"), "hall.example"));
    assert_false(in_domains(KIM("kim@", "true"), "hall.example,"));
}

static void expect_name(const char *text, const char *name)
{
    struct json *claims = parse(text);
    char out[STAFF_NAME_MAX + 1];
    oidc_read_name(claims, "o:fallback", out);
    json_free(claims);
    assert_string_equal(out, name);
}

static void the_name_is_the_best_there_is(void **state)
{
    (void)state;
    char long_name[512] = "{\"name\":\"", cut[STAFF_NAME_MAX + 1] = "";
    expect_name("{\"name\":\" Kim \",\"email\":\"k@x.example\"}", "Kim");
    expect_name("{\"preferred_username\":\"kim\",\"email\":\"k@x.example\"}", "kim");
    expect_name("{\"email\":\"k@x.example\"}", "k@x.example");
    expect_name("{\"name\":\"\",\"email\":\"k@x.example\"}", "k@x.example");
    expect_name("{\"name\":\"a\\tb\"}", "o:fallback"); /* a tab would add a column to the audit */
    expect_name("{}", "o:fallback");
    for (int i = 0; i < 100; i++) /* 300 bytes: cut between characters */
        (void)strcat(long_name, "김");
    for (int i = 0; i < STAFF_NAME_MAX / 3; i++)
        (void)strcat(cut, "김");
    (void)strcat(long_name, "\"}");
    expect_name(long_name, cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_role_is_that_of_the_claim),
        cmocka_unit_test(a_mapping_gives_the_greatest_role),
        cmocka_unit_test(a_domain_counts_for_a_verified_address),
        cmocka_unit_test(the_name_is_the_best_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
