/* SPDX-License-Identifier: MIT */
/* email: MAIL_FROM's two forms. What buyers type is tried in test/integration/email.test.mjs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/email.h"

static void a_sender_has_a_name_or_none(void **state)
{
    static const struct {
        const char *text, *name, *address;
    } cases[] = {
        {"a@b.example", "", "a@b.example"},
        {"  a@b.example ", "", "a@b.example"},
        {"<a@b.example>", "", "a@b.example"},
        {"Tickets <a@b.example>", "Tickets", "a@b.example"},
        {"\"Tickets, Inc.\" <a@b.example>", "Tickets, Inc.", "a@b.example"},
        {"공연 티켓<a@b.example>", "공연 티켓", "a@b.example"},
    };
    char name[EMAIL_NAME_SIZE], address[EMAIL_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(email_read_named(cases[i].text, name, address), ST_OK);
        assert_string_equal(name, cases[i].name);
        assert_string_equal(address, cases[i].address);
    }
}

static void anything_else_is_refused(void **state)
{
    static const char *const list[] = {"",
                                       " ",
                                       "a",
                                       "Tickets",
                                       "<a@b.example",
                                       "T <a@b.example> x",
                                       "T <>",
                                       "T \"U\" <a@b.example>",
                                       "T\\ <a@b.example>",
                                       "T\r\nBcc: <a@b.example>",
                                       "a@b.example, c@d.example"};
    char name[EMAIL_NAME_SIZE], address[EMAIL_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        if (email_read_named(list[i], name, address) != ST_INVALID)
            fail_msg("accepted: %s", list[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sender_has_a_name_or_none),
        cmocka_unit_test(anything_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
