/* SPDX-License-Identifier: MIT */
/* redis_slots: the slot of a key, the map that CLUSTER SLOTS gives, and where a redirection leads. No Redis needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/redis_reader.h"
#include "net/redis_slots.h"

static unsigned slot(const char *key)
{
    return redis_slot_of(key, strlen(key));
}

/* The first three are those of the cluster specification and of CLUSTER KEYSLOT. */
static void test_slots_of_keys(void **state)
{
    (void)state;
    assert_int_equal(slot("123456789"), 0x31c3 % REDIS_SLOT_COUNT);
    assert_int_equal(slot("foo"), 12182);
    assert_int_equal(slot("somekey"), 11058);
    assert_int_equal(slot("config:{foo}"), 12182);
    assert_int_equal(slot("tiketi:0:queue-events:{foo}"), 12182);
    assert_int_equal(slot("{foo}{bar}"), 12182);
    assert_int_equal(slot("{}foo"), redis_slot_of("{}foo", 5));
    assert_int_not_equal(slot("{}foo"), 12182); /* an empty tag is none */
    assert_int_not_equal(slot("{foo"), 12182);
    assert_int_equal(slot(""), 0);
}

static enum status read_map(struct redis_slots *slots, const char *resp)
{
    struct redis_reply *reply;
    struct redis_reader *reader = redis_reader_new();
    assert_int_equal(redis_reader_feed(reader, resp, strlen(resp)), ST_OK);
    assert_int_equal(redis_reader_next(reader, &reply), ST_OK);
    assert_non_null(reply);
    const enum status st = redis_slots_read(slots, reply, "asked");
    redis_reader_free_reply(reply);
    redis_reader_free(reader);
    return st;
}

#define NODE(host, port) "*3\r\n" host ":" port "\r\n$2\r\nid\r\n"

static void expect_owner(const struct redis_slots *slots, unsigned at, const char *host, int port)
{
    assert_true(slots->owner[at] > 0);
    const struct redis_node_name *node = &slots->nodes[slots->owner[at] - 1];
    assert_string_equal(node->host, host);
    assert_int_equal(node->port, port);
}

static void test_map(void **state)
{
    (void)state;
    struct redis_slots slots;
    assert_int_equal(read_map(&slots,
                              "*3\r\n"
                              "*4\r\n:0\r\n:99\r\n" NODE("$1\r\na\r\n", "7001")
                                  NODE("$1\r\nr\r\n", "7002") "*3\r\n:200\r\n:16383\r\n" NODE(
                                      "$0\r\n\r\n",
                                      "7003") "*3\r\n:150\r\n:150\r\n" NODE("$1\r\na\r\n", "7001")),
                     ST_OK);
    assert_int_equal(slots.count, 2);
    expect_owner(&slots, 0, "a", 7001);
    expect_owner(&slots, 99, "a", 7001);
    assert_int_equal(slots.owner[100], 0);
    expect_owner(&slots, 150, "a", 7001);
    expect_owner(&slots, 200, "asked", 7003); /* it does not know its own name */
    expect_owner(&slots, 16383, "asked", 7003);
    redis_slots_clear(&slots);
    assert_int_equal(slots.owner[0], 0);
}

/* Redis 7: a nil for an endpoint that is not known, "?" for a host name that is not set, with the address beside it. */
static void test_map_of_unknown_hosts(void **state)
{
    (void)state;
    struct redis_slots slots;
    assert_int_equal(
        read_map(&slots, "*2\r\n*3\r\n:0\r\n:1\r\n" NODE(
                             "$-1\r\n", "1") "*3\r\n:2\r\n:3\r\n*4\r\n$1\r\n?\r\n:2\r\n$2\r\nid\r\n"
                                             "*2\r\n$2\r\nip\r\n$8\r\n10.0.0.1\r\n"),
        ST_OK);
    expect_owner(&slots, 0, "asked", 1);
    expect_owner(&slots, 2, "10.0.0.1", 2);
    redis_slots_clear(&slots);
}

static void test_maps_that_are_none(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "*0\r\n",
        "+OK\r\n",
        "$-1\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n" NODE("$1\r\na\r\n", "1"),
        "*1\r\n*3\r\n:5\r\n:4\r\n" NODE("$1\r\na\r\n", "1"),
        "*1\r\n*3\r\n:-1\r\n:4\r\n" NODE("$1\r\na\r\n", "1"),
        "*1\r\n*3\r\n:0\r\n:4\r\n" NODE("$1\r\na\r\n", "0"),
        "*1\r\n*3\r\n:0\r\n:4\r\n" NODE("$1\r\na\r\n", "65536"),
        "*2\r\n*3\r\n:0\r\n:4\r\n" NODE("$1\r\na\r\n", "1") "*2\r\n:5\r\n:6\r\n",
        "*2\r\n*3\r\n:0\r\n:16383\r\n" NODE("$1\r\na\r\n",
                                            "1") "*3\r\n:7\r\n:7\r\n" NODE("$1\r\nb\r\n", "1"),
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct redis_slots slots;
        assert_int_equal(read_map(&slots, wrong[i]), ST_INVALID);
        assert_null(slots.nodes);
        assert_int_equal(slots.owner[0], 0);
    }
}

static void test_redirections(void **state)
{
    (void)state;
    struct redis_redirect to = redis_redirect_read("MOVED 3999 127.0.0.1:6381");
    assert_int_equal(to.kind, REDIS_REDIRECT_MOVED);
    assert_int_equal(to.slot, 3999);
    assert_string_equal(to.node.host, "127.0.0.1");
    assert_int_equal(to.node.port, 6381);
    to = redis_redirect_read("ASK 16383 2001:db8::1:6381");
    assert_int_equal(to.kind, REDIS_REDIRECT_ASK);
    assert_string_equal(to.node.host, "2001:db8::1");
    assert_int_equal(to.node.port, 6381);
    to = redis_redirect_read("MOVED 0 :6381");
    assert_int_equal(to.kind, REDIS_REDIRECT_MOVED);
    assert_string_equal(to.node.host, "");
    assert_int_equal(redis_redirect_read("TRYAGAIN Multiple keys request").kind,
                     REDIS_REDIRECT_AGAIN);
    assert_int_equal(redis_redirect_read("CLUSTERDOWN Hash slot not served").kind,
                     REDIS_REDIRECT_DOWN);
    static const char *const others[] = {"",
                                         "MOVED",
                                         "MOVED 1",
                                         "MOVED x h:1",
                                         "MOVED 16384 h:1",
                                         "MOVED 1 h",
                                         "MOVED 1 h:",
                                         "MOVED 1 h:0",
                                         "MOVED 1 h:65536",
                                         "MOVED 1 h:1x",
                                         "ERR MOVED 1 h:1",
                                         "OOM command not allowed"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(redis_redirect_read(others[i]).kind, REDIS_REDIRECT_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots_of_keys),        cmocka_unit_test(test_map),
        cmocka_unit_test(test_map_of_unknown_hosts), cmocka_unit_test(test_maps_that_are_none),
        cmocka_unit_test(test_redirections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
