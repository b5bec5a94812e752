/* SPDX-License-Identifier: MIT */
/* ticket_memo: a text is found again only for its event and buyer, and what is found is right. */
#include "auth/ticket_memo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char text[] = "eyJhbGciOiJIUzI1NiJ9.eyJlIjoiZSJ9.c2lnbmF0dXJl";
static const struct ticket own = {
    .event = "e", .buyer = "g:1", .place = 1700000000000001, .epoch = 3, .lowest = 42};

static bool known(const struct ticket_memo *memo, const char *sent, const char *event,
                  const char *buyer, struct ticket *ret_ticket)
{
    return ticket_memo_get(memo, sent, strlen(sent), event, buyer, ret_ticket);
}

static void test_finds_what_was_put(void **state)
{
    (void)state;
    struct ticket_memo *memo = ticket_memo_new();
    struct ticket found = {0};
    assert_false(known(memo, text, "e", "g:1", &found));
    ticket_memo_put(memo, text, strlen(text), &own);
    assert_true(known(memo, text, "e", "g:1", &found));
    assert_int_equal(found.place, own.place);
    assert_int_equal(found.epoch, own.epoch);
    assert_int_equal(found.lowest, own.lowest);
    ticket_memo_free(memo);
}

static void test_not_for_another_event_or_buyer(void **state)
{
    (void)state;
    struct ticket_memo *memo = ticket_memo_new();
    struct ticket found = {.place = 7};
    ticket_memo_put(memo, text, strlen(text), &own);
    assert_false(known(memo, text, "e", "g:2", &found));
    assert_false(known(memo, text, "f", "g:1", &found));
    assert_false(known(memo, text, "eg", ":1", &found));
    assert_int_equal(found.place, 7);
    ticket_memo_free(memo);
}

static void test_every_byte_counts(void **state)
{
    (void)state;
    struct ticket_memo *memo = ticket_memo_new();
    struct ticket found;
    char other[sizeof(text)];
    ticket_memo_put(memo, text, strlen(text), &own);
    for (size_t i = 0; i < strlen(text); i++) {
        memcpy(other, text, sizeof(text));
        other[i] ^= 1;
        assert_false(known(memo, other, "e", "g:1", &found));
    }
    assert_false(ticket_memo_get(memo, text, strlen(text) - 1, "e", "g:1", &found));
    assert_false(ticket_memo_get(memo, text, 0, "e", "g:1", &found));
    ticket_memo_free(memo);
}

/* Far more tickets than fit: what is found is right, and most of the last ones are found. */
static void test_more_than_fit(void **state)
{
    (void)state;
    struct ticket_memo *memo = ticket_memo_new();
    const unsigned count = 4 * TICKET_MEMO_MAX, last = TICKET_MEMO_MAX / 4;
    unsigned hits = 0;
    for (unsigned i = 0; i < count; i++) {
        char name[32];
        struct ticket ticket = {.event = "e", .place = i + 1};
        (void)snprintf(name, sizeof(name), "ticket %u", i);
        (void)snprintf(ticket.buyer, sizeof(ticket.buyer), "u:%u", i);
        ticket_memo_put(memo, name, strlen(name), &ticket);
    }
    for (unsigned i = 0; i < count; i++) {
        char name[32], buyer[32];
        struct ticket found;
        (void)snprintf(name, sizeof(name), "ticket %u", i);
        (void)snprintf(buyer, sizeof(buyer), "u:%u", i);
        if (!known(memo, name, "e", buyer, &found))
            continue;
        assert_int_equal(found.place, i + 1);
        hits += i >= count - last;
    }
    assert_true(hits > last / 4 * 3);
    ticket_memo_free(memo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_was_put),
        cmocka_unit_test(test_not_for_another_event_or_buyer),
        cmocka_unit_test(test_every_byte_counts),
        cmocka_unit_test(test_more_than_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
