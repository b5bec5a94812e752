/* SPDX-License-Identifier: MIT */
/* client_limit: who counts, as whom, for all threads together, and when the missing TRUSTED_PROXIES is named in the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/client_limit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct client_limit *limit;

static void begin(const char *trusted, int64_t per_second, unsigned shares)
{
    char error[160];
    assert_int_equal(client_limit_new(trusted,
                                      &(struct client_limit_opts){.per_second = per_second,
                                                                  .shares = {2, shares}},
                                      &limit, error, sizeof(error)),
                     ST_OK);
}

static int end(void **state)
{
    (void)state;
    client_limit_free(limit);
    limit = NULL;
    return 0;
}

static unsigned taken(const char *peer, const char *forwarded_for, unsigned tries)
{
    unsigned count = 0;
    char address[CLIENT_IP_SIZE];
    const bool counts = client_limit_address(limit, peer, forwarded_for, address);
    for (unsigned i = 0; i < tries; i++)
        count += !counts || client_limit_take(limit, CLIENT_REQUESTS, address, 1000);
    return count;
}

static void the_machine_itself_is_exempt(void **state)
{
    (void)state;
    begin("10.0.0.0/8", 1, 1);
    assert_int_equal(taken("127.0.0.1", NULL, 100), 100);
    assert_int_equal(taken("127.0.0.1", "192.0.2.1", 100), 100);
    assert_int_equal(taken("::1", NULL, 100), 100);
}

static void a_trusted_loopback_proxy_is_not(void **state)
{
    (void)state;
    begin("127.0.0.0/8", 1, 0);
    assert_int_equal(taken("127.0.0.1", NULL, 100), 10);
    assert_int_equal(taken("127.0.0.1", "192.0.2.1", 100), 10);
    assert_int_equal(taken("127.0.0.1", "64:ff9b::192.0.2.1", 100), 0);
    assert_int_equal(taken("127.0.0.1", "2002:c000:201::9", 100), 0);
    assert_int_equal(taken("127.0.0.1", "2001:db8::1", 100), 10);
    assert_int_equal(taken("127.0.0.1", "2001:db8::2", 100), 0);
}

static void sockets_are_counted_until_they_are_gone(void **state)
{
    struct client_share *one, *two, *other, *none;
    (void)state;
    begin(NULL, 0, 2);
    assert_true(client_share_take(limit, CLIENT_SOCKETS, "192.0.2.1", &one));
    assert_true(client_share_take(limit, CLIENT_SOCKETS, "192.0.2.1", &two));
    assert_ptr_equal(one, two);
    assert_false(client_share_take(limit, CLIENT_SOCKETS, "192.0.2.1", &none));
    assert_true(client_share_take(limit, CLIENT_SOCKETS, "192.0.2.2", &other));
    client_share_give(limit, one);
    assert_true(client_share_take(limit, CLIENT_SOCKETS, "192.0.2.1", &one));
    assert_int_equal(taken("192.0.2.1", NULL, 100), 100); /* no rate */
    client_share_give(limit, one);
    client_share_give(limit, two);
    client_share_give(limit, other);
}

static void connections_do_not_count_as_sockets(void **state)
{
    struct client_share *socket, *connections[2], *none;
    (void)state;
    begin(NULL, 0, 1);
    assert_true(client_share_take(limit, CLIENT_SOCKETS, "192.0.2.1", &socket));
    assert_true(client_share_take(limit, CLIENT_CONNECTIONS, "192.0.2.1", &connections[0]));
    assert_true(client_share_take(limit, CLIENT_CONNECTIONS, "192.0.2.1", &connections[1]));
    assert_false(client_share_take(limit, CLIENT_CONNECTIONS, "192.0.2.1", &none));
    assert_false(client_share_take(limit, CLIENT_SOCKETS, "192.0.2.1", &none));
    client_share_give(limit, socket);
    assert_false(client_share_take(limit, CLIENT_CONNECTIONS, "192.0.2.1", &none));
    assert_true(client_share_take(limit, CLIENT_SOCKETS, "192.0.2.1", &socket));
    client_limit_set(limit, &(struct client_limit_opts){.shares = {0, 2}}); /* a reload */
    assert_true(client_share_take(limit, CLIENT_CONNECTIONS, "192.0.2.1", &none));
    assert_null(none);
    client_share_give(limit, socket);
    client_share_give(limit, connections[0]);
    client_share_give(limit, connections[1]);
}

static void wrong_secrets_have_rates_of_their_own(void **state)
{
    unsigned tokens = 0, tries = 0;
    (void)state;
    begin(NULL, 0, 0);
    for (unsigned i = 0; i < 1000; i++) {
        tokens += client_limit_take(limit, CLIENT_BAD_TOKENS, "192.0.2.1", 1000);
        tries += client_limit_has(limit, CLIENT_BAD_TRIES, "192.0.2.1", 1000);
    }
    assert_int_equal(tokens, 200);
    assert_int_equal(tries, 1000);
    for (tries = 0; client_limit_take(limit, CLIENT_BAD_TRIES, "192.0.2.1", 1000); tries++)
        ;
    assert_int_equal(tries, 5);
}

/* Each takes and gives, as the workers of one process do. Ends with what is left: one for each that it holds. */
static void *come_and_go(void *arg)
{
    unsigned *most = arg;
    struct client_share *held[3];
    for (unsigned i = 0; i < 20000; i++) {
        unsigned count = 0;
        while (count < 3 && client_share_take(limit, CLIENT_SOCKETS, "192.0.2.1", &held[count]))
            count++;
        *most = count > *most ? count : *most;
        while (count > 0)
            client_share_give(limit, held[--count]);
    }
    return NULL;
}

static void threads_share_the_shares(void **state)
{
    pthread_t threads[4];
    unsigned most[4] = {0};
    struct client_share *held[2], *none;
    (void)state;
    begin(NULL, 0, 2);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &most[i]), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < 4; i++)
        assert_in_range(most[i], 0, 2); /* 0: others were put to sleep while they held both */
    /* All were given back. */
    assert_true(client_share_take(limit, CLIENT_SOCKETS, "192.0.2.1", &held[0]));
    assert_true(client_share_take(limit, CLIENT_SOCKETS, "192.0.2.1", &held[1]));
    assert_false(client_share_take(limit, CLIENT_SOCKETS, "192.0.2.1", &none));
    client_share_give(limit, held[0]);
    client_share_give(limit, held[1]);
}

/* The default of RATE_LIMIT_PER_IP: how much of `per_second` requests of one address is let through in `seconds`. */
static unsigned let_through(unsigned per_second, unsigned seconds)
{
    unsigned count = 0;
    for (uint64_t ms = 0; ms < 1000 * (uint64_t)seconds; ms++)
        for (unsigned i = 0; i < per_second / 1000; i++)
            count += client_limit_take(limit, CLIENT_REQUESTS, "192.0.2.1", 1000 + ms);
    return count;
}

static void a_campus_at_the_opening_is_served_a_flood_is_not(void **state)
{
    (void)state;
    begin(NULL, 1000, 0);
    assert_int_equal(let_through(2000, 5),
                     10000); /* 1,000 fans, ten requests each, in five seconds */
    end(state);
    begin(NULL, 1000, 0);
    assert_in_range(let_through(20000, 10), 19000, 21000); /* of 200,000 */
}

/* How many lines of the log name TRUSTED_PROXIES. */
static unsigned lines_of(void (*run)(void))
{
    char text[4096] = "";
    unsigned count = 0;
    FILE *file = tmpfile();
    assert_non_null(file);
    const int real_stderr = dup(STDERR_FILENO);
    assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
    run();
    assert_true(dup2(real_stderr, STDERR_FILENO) >= 0);
    (void)close(real_stderr);
    rewind(file);
    const size_t len = fread(text, 1, sizeof(text) - 1, file);
    text[len] = '\0';
    (void)fclose(file);
    for (const char *at = text; (at = strstr(at, "TRUSTED_PROXIES")); at++)
        count++;
    return count;
}

static void met_by_a_proxy(void)
{
    for (uint64_t ms = 1000; ms < 121000; ms += 1000)
        client_limit_met(limit, "10.1.2.3", "192.0.2.1", ms);
}

static void met_by_others(void)
{
    client_limit_met(limit, "10.1.2.3", NULL, 1000);
    client_limit_met(limit, "10.1.2.3", "", 1000);
    client_limit_met(limit, "172.16.0.1", "192.0.2.1", 1000); /* trusted */
}

static void a_proxy_that_is_not_trusted_is_named_once_a_minute(void **state)
{
    (void)state;
    begin("172.16.0.0/12", 1, 0);
    assert_int_equal(lines_of(met_by_others), 0);
    assert_int_equal(lines_of(met_by_a_proxy), 2);
}

static void one_newcomer_of_an_address_is_unproven_at_a_time(void **state)
{
    (void)state;
    begin(NULL, 1000, 0);
    assert_true(client_newcomer_begin(limit, "192.0.2.1", "g:1", 1000, 90000));
    assert_false(client_newcomer_begin(limit, "192.0.2.1", "g:2", 1000, 90000));
    assert_false(client_newcomer_begin(limit, "192.0.2.1", "g:1", 2000, 90000));
    assert_true(client_newcomer_begin(limit, "192.0.2.2", "g:3", 2000, 90000));
    client_newcomer_end(limit, "192.0.2.1", "g:2"); /* somebody else has come back */
    client_newcomer_end(limit, "192.0.2.9", "g:1");
    assert_false(client_newcomer_begin(limit, "192.0.2.1", "g:4", 2000, 90000));
    client_newcomer_end(limit, "192.0.2.1", "g:1");
    assert_true(client_newcomer_begin(limit, "192.0.2.1", "g:4", 2000, 90000));
    assert_false(client_newcomer_begin(limit, "192.0.2.1", "g:5", 90000, 180000));
    assert_true(client_newcomer_begin(limit, "192.0.2.1", "g:5", 91000, 180000));
    client_newcomer_end(limit, "192.0.2.1", "g:4"); /* too late: it is another's by now */
    assert_false(client_newcomer_begin(limit, "192.0.2.1", "g:6", 92000, 180000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_machine_itself_is_exempt, end),
        cmocka_unit_test_teardown(a_trusted_loopback_proxy_is_not, end),
        cmocka_unit_test_teardown(sockets_are_counted_until_they_are_gone, end),
        cmocka_unit_test_teardown(connections_do_not_count_as_sockets, end),
        cmocka_unit_test_teardown(wrong_secrets_have_rates_of_their_own, end),
        cmocka_unit_test_teardown(threads_share_the_shares, end),
        cmocka_unit_test_teardown(a_campus_at_the_opening_is_served_a_flood_is_not, end),
        cmocka_unit_test_teardown(a_proxy_that_is_not_trusted_is_named_once_a_minute, end),
        cmocka_unit_test_teardown(one_newcomer_of_an_address_is_unproven_at_a_time, end),
    };
    return cmocka_run_group_tests_name("client_limit", tests, NULL, NULL);
}
