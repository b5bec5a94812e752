/* SPDX-License-Identifier: MIT */
/* redis_risk: which words of INFO are a risk, with which sentence, and what the gauges say. No Redis needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/metrics.h"
#include "net/redis_risk.h"

#define SAVED "# Persistence\r\nloading:0\r\naof_enabled:1\r\naof_last_bgrewrite_status:ok\r\n"

static const char *all_of(const struct redis_risks *risks)
{
    static char text[1024];
    redis_risk_list(risks, text, sizeof(text));
    return text;
}

/* What a server that is asked for the first time is at risk of. */
static const char *risk_of(const char *info)
{
    struct redis_risks risks = {0};
    redis_risk_judge(&risks, info);
    const char *text = all_of(&risks);
    redis_risk_forget(&risks);
    return text;
}

static void assert_says(const char *info, const char *words)
{
    const char *text = risk_of(info);
    if (*words ? !strstr(text, words) : *text != '\0')
        fail_msg("\"%s\", expected \"%s\"", text, words);
}

static int gauge(const char *line)
{
    struct buf buf;
    char key[96];
    const struct metrics_text text = {.out = &buf};
    buf_init(&buf, 1 << 20);
    metrics_write(&text);
    (void)snprintf(key, sizeof(key), "%s ", line);
    const char *at = strstr(buf_str(&buf), key);
    assert_non_null(at);
    const int value = at[strlen(key)] - '0';
    buf_clear(&buf);
    return value;
}

static void test_memory(void **state)
{
    (void)state;
    static const char format[] = "# Memory\r\nused_memory:%s\r\nused_memory_human:1.00M\r\n"
                                 "maxmemory:%s\r\nmaxmemory_human:1G\r\nmaxmemory_policy:%s\r\n";
    static const struct {
        const char *used, *limit, *policy, *words;
        bool full;
    } cases[] = {
        {"1000", "0", "noeviction", "", false},
        {"899", "1000", "noeviction", "", false},
        {"900", "1000", "noeviction", "more than 90 % of maxmemory (1000 bytes) is used", false},
        {"1000", "1000", "noeviction", "more than 90 % of maxmemory", true},
        {"1", "0", "allkeys-lru", "maxmemory-policy allkeys-lru may delete keys of the queue",
         false},
        {"95", "100", "volatile-ttl", "set noeviction; more than 90 %", false},
        {"9000000000000", "10000000000000", "noeviction", "(10000000000000 bytes)", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char info[256];
        struct redis_risks risks = {0};
        (void)snprintf(info, sizeof(info), format, cases[i].used, cases[i].limit, cases[i].policy);
        assert_says(info, cases[i].words);
        redis_risk_judge(&risks, info);
        assert_int_equal(risks.full, cases[i].full);
        redis_risk_forget(&risks);
    }
}

static void test_persistence(void **state)
{
    (void)state;
    assert_says(SAVED, "");
    assert_says("aof_enabled:0\r\nrdb_saves:0\r\n", "nothing is on disk (appendonly is no");
    assert_says("rdb_saves:3\r\naof_enabled:0\r\n", "what came after the last snapshot");
    /* Redis 6.2 counts no snapshots. */
    assert_says("rdb_last_bgsave_time_sec:-1\r\naof_enabled:0\r\n", "nothing is on disk");
    assert_says("rdb_last_bgsave_time_sec:0\r\naof_enabled:0\r\n", "after the last snapshot");
    assert_says("aof_enabled:1\r\naof_last_bgrewrite_status:err\r\n", "could not be rewritten");
    assert_says("aof_enabled:0\r\naof_last_bgrewrite_status:err\r\n", "nothing is on disk");
}

static void test_replicas(void **state)
{
    (void)state;
    static const char split[] = "min-replicas-to-write is not set (replicas: 1)";
    assert_says("role:master\r\nconnected_slaves:0\r\nrepl_backlog_active:0\r\n", "");
    assert_says("role:slave\r\nconnected_slaves:1\r\n", "");
    assert_says("role:master\r\nconnected_slaves:1\r\n"
                "slave0:ip=10.0.0.2,port=6379,state=online,offset=100,lag=0\r\n"
                "master_repl_offset:120\r\nrepl_backlog_active:1\r\n",
                split);
    assert_says("role:master\r\nconnected_slaves:1\r\nmin_slaves_good_slaves:1\r\n"
                "slave0:ip=10.0.0.2,port=6379,state=online,offset=100,lag=1\r\n"
                "master_repl_offset:120\r\n",
                "");
    assert_says("role:master\r\nconnected_slaves:0\r\nrepl_backlog_active:1\r\n",
                "no replica follows any more");
    /* The order and the number of parts differ by release, and so does what an address looks like. */
    assert_says("role:master\r\nconnected_slaves:1\r\nmin_slaves_good_slaves:1\r\n"
                "slave0:ip=fd00::2,port=6379,state=online,lag=0,offset=100,type=main\r\n"
                "master_repl_offset:100\r\n",
                "");
}

static void test_replicas_behind(void **state)
{
    (void)state;
    static const char format[] =
        "role:master\r\nconnected_slaves:2\r\nmin_slaves_good_slaves:%d\r\n"
        "slave0:ip=10.0.0.2,port=1,state=online,offset=900000000,lag=0\r\n"
        "slave1:ip=10.0.0.3,port=1,state=%s,offset=%s,lag=%d\r\n"
        "master_repl_offset:900000000\r\n";
    static const struct {
        int good;
        const char *state, *offset;
        int lag;
        const char *words;
    } cases[] = {
        {2, "online", "900000000", 10, ""},
        {2, "online", "900000000", 11, "1 of 2 replicas behind (by up to 11 s and 0 MiB)"},
        {2, "online", "832891136", 0, ""}, /* 64 MiB */
        {2, "online", "832891135", 0, "1 of 2 replicas behind (by up to 0 s and 64 MiB)"},
        {2, "wait_bgsave", "900000000", 0, "1 of 2 replicas behind"},
        {1, "online", "900000000", 3, "1 of 2 replicas behind"},
        {0, "online", "900000000", 3, "2 of 2 replicas behind"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char info[512];
        (void)snprintf(info, sizeof(info), format, cases[i].good, cases[i].state, cases[i].offset,
                       cases[i].lag);
        assert_says(info, cases[i].words);
    }
}

/* Two servers of a process: a gauge is 1 while either is at risk. A section that is not told changes nothing. */
static void test_what_changes(void **state)
{
    (void)state;
    static const char alone[] = "role:master\r\nconnected_slaves:0\r\n";
    static const char followed[] =
        "role:master\r\nconnected_slaves:1\r\nmin_slaves_good_slaves:1\r\n"
        "slave0:ip=10.0.0.2,port=1,state=online,offset=1,lag=0\r\nmaster_repl_offset:1\r\n";
    static const char replicas[] = "tiketi_redis_risk{kind=\"replicas\"}",
                      unsaved[] = "tiketi_redis_risk{kind=\"persistence\"}";
    struct redis_risks a = {.server = "a:1"}, b = {.server = "b:1"};
    redis_risk_judge(&a, alone);
    assert_string_equal(all_of(&a), "");
    redis_risk_judge(&a, followed);
    redis_risk_judge(&b, followed);
    assert_int_equal(gauge(replicas), 0);
    redis_risk_judge(&a, alone);
    redis_risk_judge(&b, alone);
    assert_non_null(strstr(all_of(&a), "no replica follows any more"));
    redis_risk_judge(&a, SAVED); /* without the section of replication */
    assert_non_null(strstr(all_of(&a), "no replica follows any more"));
    redis_risk_judge(&a, followed);
    assert_string_equal(all_of(&a), "");
    assert_int_equal(gauge(replicas), 1);
    redis_risk_forget(&b);
    assert_int_equal(gauge(replicas), 0);

    /* No file, but a replica that has everything: the sentence without the gauge. */
    redis_risk_judge(&a, "aof_enabled:0\r\nrdb_saves:0\r\n");
    assert_non_null(strstr(all_of(&a), "nothing is on disk"));
    assert_int_equal(gauge(unsaved), 0);
    redis_risk_judge(&a, alone);
    assert_int_equal(gauge(unsaved), 1);
    redis_risk_forget(&a);
    assert_int_equal(gauge(unsaved), 0);
}

/* What is no INFO of Redis tells of no risk, and what is too long is cut. */
static void test_strange_texts(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "\r\n",
                                        "aof_enabled",
                                        "aof_enabled:",
                                        "aof_enabled:x",
                                        "role:master",
                                        "role:master\r\nconnected_slaves:many\r\n",
                                        "used_memory:1\r\nmaxmemory:1\r\n",
                                        "xaof_enabled:0\r\n",
                                        "used_memory:\r\nmaxmemory:\r\nmaxmemory_policy:\r\n"};
    char info[1024] = "role:master\r\nconnected_slaves:9223372036854775807\r\nslave0:ip=";
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_says(texts[i], "");
    memset(info + strlen(info), 'x', 700);
    assert_says(info, "replicas behind");
    struct redis_risks risks = {0};
    char cut[16];
    redis_risk_judge(&risks, "aof_enabled:0\r\n");
    redis_risk_list(&risks, cut, sizeof(cut));
    assert_string_equal(cut, "nothing is on d");
    redis_risk_forget(&risks);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),       cmocka_unit_test(test_persistence),
        cmocka_unit_test(test_replicas),     cmocka_unit_test(test_replicas_behind),
        cmocka_unit_test(test_what_changes), cmocka_unit_test(test_strange_texts),
    };
    log_set_level(LOG_LEVEL_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
