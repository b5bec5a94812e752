/* SPDX-License-Identifier: MIT */
/* cookie_jar: the names of the cookies, which of several counts, and which are too many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/cookie_jar.h"

#include <stdio.h>
#include <string.h>

#define KEY   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OWN   "g:0123456789abcdef0123456789abcdef"
#define OTHER "g:ffffffffffffffffffffffffffffffff"
#define FAKE  OWN ".20000.AAAAAAAAAAAAAAAAAAAAAA"

static struct token_keys *keys;
static char own[GUEST_COOKIE_SIZE], other[GUEST_COOKIE_SIZE];

static int set_up(void **state)
{
    char error[160] = "";
    (void)state;
    return token_keys_new(&(struct config){.ticket_keys = "k1:" KEY}, &keys, error,
                          sizeof(error)) == ST_OK &&
                   token_write_guest(keys, OWN, 20000, own) == ST_OK &&
                   token_write_guest(keys, OTHER, 20000, other) == ST_OK
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    (void)state;
    token_keys_free(keys);
    return 0;
}

static void test_names(void **state)
{
    char name[COOKIE_NAME_SIZE], event[EVENT_ID_MAX + 1];
    (void)state;
    cookie_jar_name(COOKIE_PLAIN, COOKIE_GUEST, "", name);
    assert_string_equal(name, "tiketi_guest");
    cookie_jar_name(COOKIE_SECURE, COOKIE_TICKET, "e1", name);
    assert_string_equal(name, "__Secure-tiketi_ticket_e1");
    cookie_jar_name(COOKIE_HOST, COOKIE_PASS, "e1", name);
    assert_string_equal(name, "__Host-tiketi_pass_e1");
    memset(event, 'e', EVENT_ID_MAX);
    event[EVENT_ID_MAX] = '\0';
    cookie_jar_name(COOKIE_SECURE, COOKIE_TICKET, event, name);
    assert_string_equal(name + strlen("__Secure-tiketi_ticket_"), event);
    assert_int_equal(cookie_jar_of(NULL, false, NULL).prefix, COOKIE_PLAIN);
    assert_int_equal(cookie_jar_of(NULL, false, "a.example").prefix, COOKIE_PLAIN);
    assert_int_equal(cookie_jar_of(NULL, true, NULL).prefix, COOKIE_HOST);
    assert_int_equal(cookie_jar_of(NULL, true, "a.example").prefix, COOKIE_SECURE);
}

/* Whom the header names, and whether the cookie need not be set again. */
static void expect_guest(const char *format, bool https, const char *domain, const char *id,
                         int64_t day)
{
    char header[4096], read[GUEST_ID_LEN + 1] = "nobody";
    int64_t read_day = -1;
    char *at = header;
    for (; *format; format++) {
        if (*format == '1' || *format == '2')
            at = stpcpy(at, *format == '1' ? own : other);
        else if (*format == '0')
            at = stpcpy(at, FAKE);
        else if (*format == 'H' || *format == 'S' || *format == 'P')
            at = stpcpy(at, *format == 'H'   ? "__Host-tiketi_guest="
                            : *format == 'S' ? "__Secure-tiketi_guest="
                                             : "tiketi_guest=");
        else
            *at++ = *format;
    }
    *at = '\0';
    const struct cookie_jar jar = cookie_jar_of(header, https, domain);
    assert_int_equal(cookie_jar_guest(&jar, keys, read, &read_day), id != NULL);
    assert_string_equal(read, id ? id : "nobody");
    if (id)
        assert_int_equal(read_day, day);
}

static void test_the_guest_that_verifies_counts(void **state)
{
    (void)state;
    expect_guest("", false, NULL, NULL, 0);
    expect_guest("P1", false, NULL, OWN, 20000);
    expect_guest("P\"1\"", false, NULL, OWN, 20000);
    expect_guest("a=b; P1 ;c", false, NULL, OWN, 20000);
    expect_guest("Pgarbage; P1", false, NULL, OWN, 20000);
    expect_guest("P; P=; P\"\"; P0; P1; P2", false, NULL, OWN, 20000);
    expect_guest("P1; P0; Px", false, NULL, OWN, 20000);
    expect_guest("P0; P0; P0; P1", false, NULL, OWN, 20000);
    expect_guest("P0; P0; P0; P0; P1", false, NULL, NULL, 0); /* COOKIE_TRIES */
    expect_guest("P0; P0; P0; P0; P0; H1", false, NULL, OWN, 20000);
    expect_guest("xP1; tiketi_guestx=1; TIKETI_GUEST=1", false, NULL, NULL, 0);
    /* The safe names come before the others, wherever they stand. */
    expect_guest("P2; S2; H1", false, NULL, OWN, 20000);
    expect_guest("P2; S1", false, NULL, OWN, 20000);
    expect_guest("P2; H0; S1", false, NULL, OWN, 20000);
    expect_guest("P1; H0", false, NULL, OWN, 20000);
    /* Over HTTPS a plain name, which any sibling site can set, does not count. */
    expect_guest("P2", true, NULL, NULL, 0);
    expect_guest("P2; H1", true, NULL, OWN, 20000);
    expect_guest("H0; H1; P2", true, NULL, OWN, 20000);
    /* A cookie of the name that is not set now counts, and is set again. */
    expect_guest("S1", true, NULL, OWN, 0);
    expect_guest("S2; H1", true, NULL, OWN, 20000);
    expect_guest("H1", true, "a.example", OWN, 0);
    expect_guest("H2; S1", true, "a.example", OWN, 20000);
}

static void test_cookies_of_an_event(void **state)
{
    struct cookie list[COOKIE_TRIES];
    struct cookie_jar jar = cookie_jar_of(
        "tiketi_ticket_e=a; tiketi_ticket_e1=b; tiketi_pass_e=c; __Host-tiketi_ticket_e=d; "
        "tiketi_ticket_=e; tiketi_ticket_e*=f; tiketi_ticket_e=\"g\"",
        false, NULL);
    (void)state;
    assert_int_equal(cookie_jar_find(&jar, COOKIE_TICKET, "e", list), 3);
    assert_memory_equal(list[0].value, "d", 1);
    assert_memory_equal(list[1].value, "a", 1);
    assert_memory_equal(list[2].value, "g", 1);
    assert_int_equal(list[2].len, 1);
    assert_int_equal(cookie_jar_find(&jar, COOKIE_PASS, "e", list), 1);
    assert_int_equal(cookie_jar_find(&jar, COOKIE_PASS, "e1", list), 0);
    assert_int_equal(cookie_jar_find(&jar, COOKIE_TICKET, "", list), 0);
    jar.sent = NULL;
    assert_int_equal(cookie_jar_find(&jar, COOKIE_TICKET, "e", list), 0);
}

static void note(void *arg, const struct cookie *cookie)
{
    char *text = arg;
    (void)snprintf(text + strlen(text), 256 - strlen(text), "%.*s ", (int)cookie->name_len,
                   cookie->name);
}

static const char *dropped(const char *header, bool https, const char *event, size_t added,
                           unsigned most)
{
    static char text[256];
    const struct cookie_jar jar = cookie_jar_of(header, https, NULL);
    text[0] = '\0';
    cookie_jar_trim(&jar, event, added, most, note, text);
    return text;
}

static void test_the_oldest_go(void **state)
{
    char header[8192] = "tiketi_guest=x", value[1001];
    (void)state;
    memset(value, 'v', 1000);
    value[1000] = '\0';
    assert_string_equal(dropped(NULL, false, "e", 5000, 9), "");
    for (int i = 1; i <= 4; i++) {
        char pair[1100];
        (void)snprintf(pair, sizeof(pair), "; tiketi_%s_e%d=%s", i % 2 ? "ticket" : "pass", i,
                       value);
        strcat(header, pair);
    }
    assert_string_equal(dropped(header, false, "e9", 0, 9), "");
    assert_string_equal(dropped(header, false, "e9", 50, 9), "tiketi_ticket_e1 ");
    assert_string_equal(dropped(header, false, "e9", 1500, 9), "tiketi_ticket_e1 tiketi_pass_e2 ");
    assert_string_equal(dropped(header, false, "e9", 1500, 1), "tiketi_ticket_e1 ");
    assert_string_equal(dropped(header, false, "e1", 1000, 9), "");
    assert_string_equal(dropped(header, false, "e1", 1500, 9), "tiketi_pass_e2 ");
    assert_string_equal(dropped(header, false, "e9", 9000, 9),
                        "tiketi_ticket_e1 tiketi_pass_e2 tiketi_ticket_e3 tiketi_pass_e4 ");
    /* Names that are not set now go first. */
    strcat(header, "; __Host-tiketi_pass_e1=x");
    assert_string_equal(dropped(header, true, "e9", 50, 1), "tiketi_ticket_e1 ");
    assert_string_equal(dropped(header, false, "e9", 30, 1), "__Host-tiketi_pass_e1 ");
}

/* The cookie of a pass, into out[1024]. */
static void write_pass(const char *cookie_event, const char *event, const char *buyer,
                       bool names_guest, char *out)
{
    struct pass pass = {.place = 1, .epoch = 1, .iat_s = 1000, .exp_s = 2000};
    struct buf text;
    buf_init(&text, 1024);
    pass.names_guest = names_guest;
    (void)snprintf(pass.event, sizeof(pass.event), "%s", event);
    (void)snprintf(pass.buyer, sizeof(pass.buyer), "%s", buyer);
    assert_int_equal(pass_sign(keys, &pass, &text), ST_OK);
    (void)snprintf(out, 1024, "tiketi_pass_%s=%s", cookie_event, buf_str(&text));
    buf_clear(&text);
}

static const char *passed(const char *header, bool https, const char *event, int64_t now_ms)
{
    static char id[GUEST_ID_LEN + 1];
    const struct cookie_jar jar = cookie_jar_of(header, https, NULL);
    return cookie_jar_passed_guest(&jar, keys, event, now_ms, id) ? id : NULL;
}

static void test_a_pass_names_the_guest_whom_the_gate_let_in(void **state)
{
    static const char one[] = "g:00112233445566778899aabbccddeeff",
                      two[] = "g:ffeeddccbbaa99887766554433221100";
    char first[1024], second[1024], wrong[1024], header[4096];
    (void)state;
    write_pass("e1", "e1", one, true, first);
    write_pass("e2", "e2", two, true, second);
    (void)snprintf(header, sizeof(header), "a=b; %s; %s", first, second);
    assert_string_equal(passed(header, false, "e1", 1500000), one);
    assert_string_equal(passed(header, false, "e2", 1500000), two);
    assert_string_equal(passed(header, false, "", 1500000), one);
    assert_string_equal(passed(header, false, "e9", 1500000), one);
    assert_null(passed(header, false, "e1", 2000000)); /* expired */
    assert_null(passed(header, true, "e1", 1500000));  /* names that anybody can set */
    write_pass("e1", "e1", one, false, wrong);
    assert_null(passed(wrong, false, "e1", 1500000)); /* of check, as any other */
    write_pass("e1", "e2", one, true, wrong);
    assert_null(passed(wrong, false, "e1", 1500000));
    write_pass("e1", "e1", "u:somebody", true, wrong);
    assert_null(passed(wrong, false, "e1", 1500000));
    assert_null(passed("tiketi_pass_e1=x.y.z; tiketi_pass_e1=", false, "e1", 1500000));
    assert_null(passed(NULL, false, "e1", 1500000));
    (void)snprintf(header, sizeof(header), "tiketi_pass_e1=x.y.z; %s", first);
    assert_string_equal(passed(header, false, "e1", 1500000), one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_the_guest_that_verifies_counts),
        cmocka_unit_test(test_cookies_of_an_event),
        cmocka_unit_test(test_the_oldest_go),
        cmocka_unit_test(test_a_pass_names_the_guest_whom_the_gate_let_in),
    };
    return cmocka_run_group_tests_name("cookie_jar", tests, set_up, tear_down);
}
