/* SPDX-License-Identifier: MIT */
/* redis_url: what each form of a URL says, and the sentence about each that is wrong. No Redis needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/redis_url.h"

struct url_case {
    const char *url;
    enum redis_mode mode;
    bool tls;
    const char *hosts; /* "name port,name port" */
    const char *path, *master, *user, *password;
    int db;
};

static void expect_text(const char *got, const char *expected)
{
    assert_string_equal(got ? got : "", expected);
}

static void test_good_urls(void **state)
{
    (void)state;
    static const struct url_case cases[] = {
        {"redis://redis", REDIS_SINGLE, false, "redis 6379", "", "", "", "", 0},
        {"redis://redis/", REDIS_SINGLE, false, "redis 6379", "", "", "", "", 0},
        {"redis://127.0.0.1:7000/12", REDIS_SINGLE, false, "127.0.0.1 7000", "", "", "", "", 12},
        {"redis://h?db=4", REDIS_SINGLE, false, "h 6379", "", "", "", "", 4},
        {"redis://[::1]", REDIS_SINGLE, false, "::1 6379", "", "", "", "", 0},
        {"redis://[::1]:1/2", REDIS_SINGLE, false, "::1 1", "", "", "", "", 2},
        {"redis://:pw@h:1", REDIS_SINGLE, false, "h 1", "", "", "", "pw", 0},
        {"redis://u:p%40%2f:@h", REDIS_SINGLE, false, "h 6379", "", "", "u", "p@/:", 0},
        {"rediss://u:p@h/3", REDIS_SINGLE, true, "h 6379", "", "", "u", "p", 3},
        {"unix:///run/redis.sock", REDIS_SINGLE, false, "", "/run/redis.sock", "", "", "", 0},
        {"unix:///a%20b?db=3", REDIS_SINGLE, false, "", "/a b", "", "", "", 3},
        {"unix://u:p@/s", REDIS_SINGLE, false, "", "/s", "", "u", "p", 0},
        {"redis+sentinel://s1/mymaster", REDIS_SENTINEL, false, "s1 26379", "", "mymaster", "", "",
         0},
        {"redis+sentinel://u:p%2C@s1,s2:5000,[::1]:7,[::2]/my.master-1_x/4", REDIS_SENTINEL, false,
         "s1 26379,s2 5000,::1 7,::2 26379", "", "my.master-1_x", "u", "p,", 4},
        {"redis+sentinel://s1/m?db=2", REDIS_SENTINEL, false, "s1 26379", "", "m", "", "", 2},
        {"rediss+sentinel://:p@s1,s2/m", REDIS_SENTINEL, true, "s1 26379,s2 26379", "", "m", "",
         "p", 0},
        {"redis+cluster://n1,n2:7000,n3", REDIS_CLUSTER, false, "n1 6379,n2 7000,n3 6379", "", "",
         "", "", 0},
        {"redis+cluster://n1/", REDIS_CLUSTER, false, "n1 6379", "", "", "", "", 0},
        {"redis+cluster://n1/0", REDIS_CLUSTER, false, "n1 6379", "", "", "", "", 0},
        {"rediss+cluster://u:p@[fe80::1]:7", REDIS_CLUSTER, true, "fe80::1 7", "", "", "u", "p", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct redis_target target;
        const char *problem;
        char hosts[256] = "";
        if (redis_url_parse(&target, cases[i].url, &problem) != ST_OK)
            fail_msg("refused: %s: %s", cases[i].url, problem);
        assert_null(problem);
        for (size_t k = 0; k < target.host_count; k++) {
            const size_t len = strlen(hosts);
            (void)snprintf(hosts + len, sizeof(hosts) - len, "%s%s %d", k > 0 ? "," : "",
                           target.hosts[k].name, target.hosts[k].port);
        }
        assert_int_equal(target.mode, cases[i].mode);
        assert_int_equal(target.tls, cases[i].tls);
        assert_string_equal(hosts, cases[i].hosts);
        expect_text(target.path, cases[i].path);
        expect_text(target.master, cases[i].master);
        expect_text(target.user, cases[i].user);
        expect_text(target.password, cases[i].password);
        assert_int_equal(target.db, cases[i].db);
        redis_target_clear(&target);
        assert_null(target.hosts);
    }
}

static void test_bad_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *problem; /* a part of the sentence */
    } cases[] = {
        {"", "must begin with redis://"},
        {"redis", "must begin with redis://"},
        {"REDIS://h", "must begin with redis://"},
        {"redis-sentinel://h/m", "redis+sentinel://"},
        {"redis://", "a host is missing"},
        {"redis:///0", "a host is missing"},
        {"redis://h:", "a port must be"},
        {"redis://h:x", "a port must be"},
        {"redis://h:65536", "a port must be"},
        {"redis://h:0", "a port must be"},
        {"redis://h:-1", "a port must be"},
        {"redis://::1", "a host is missing"},
        {"redis://fe80::1", "a port must be"},
        {"redis://h/x", "number of the database"},
        {"redis://h/1/2", "number of the database"},
        {"redis://h/1x", "number of the database"},
        {"redis://h/65536", "number of the database"},
        {"redis://h?x=1", "only db=n"},
        {"redis://h?db=", "number of the database"},
        {"redis://h?db=1&x", "number of the database"},
        {"redis://pw@h", "before the @"},
        {"redis://:%4@h", "no escape"},
        {"redis://:%zz@h", "no escape"},
        {"redis://:%00@h", "no escape"},
        {"redis://[::1", "is not closed"},
        {"redis://[]:1", "a host is missing"},
        {"redis://[::1]x", "only :port may follow"},
        {"redis://a,b", "several hosts need"},
        {"unix://", "path of a Unix socket"},
        {"unix://relative", "path of a Unix socket"},
        {"unix://h/path", "path of a Unix socket"},
        {"unix:///p%?db=1", "no escape"},
        {"unix:///p?db=x", "number of the database"},
        {"unix:///aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "too long"},
        {"redis+sentinel://s1,s2", "name of the primary"},
        {"redis+sentinel://s1,s2/", "name of the primary"},
        {"redis+sentinel://s1/?db=1", "name of the primary"},
        {"redis+sentinel://s1/a b", "name of the primary"},
        {"redis+sentinel://s1,/m", "a host is missing"},
        {"redis+sentinel://,s1/m", "a host is missing"},
        {"redis+sentinel://s1/m/x", "number of the database"},
        {"redis+cluster://n1/1", "no database but 0"},
        {"redis+cluster://n1?db=1", "no database but 0"},
        {"redis+cluster://n1,,n2", "a host is missing"},
        {"redis+cluster://a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a",
         "more than 32 hosts"},
        {"unixs:///a", "must begin with redis://"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct redis_target target;
        const char *problem;
        if (redis_url_parse(&target, cases[i].url, &problem) != ST_INVALID)
            fail_msg("taken: %s", cases[i].url);
        if (!strstr(problem, cases[i].problem))
            fail_msg("%s: said \"%s\" instead of \"%s\"", cases[i].url, problem, cases[i].problem);
        assert_true(!target.hosts && !target.path && !target.user && !target.password &&
                    !target.master);
    }
}

static void test_no_problem_shows_a_secret(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "http://u:sesame@h",          "redis://u:sesame@h:x",        "redis://u:sesame%@h",
        "redis://sesame@h",           "redis://u:sesame@h/x",        "redis://u:sesame@h?y",
        "redis+sentinel://:sesame@h", "redis+cluster://:sesame@h/1", "unix://u:sesame@h",
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct redis_target target;
        const char *problem;
        assert_int_equal(redis_url_parse(&target, urls[i], &problem), ST_INVALID);
        assert_null(strstr(problem, "sesame"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_urls),
        cmocka_unit_test(test_bad_urls),
        cmocka_unit_test(test_no_problem_shows_a_secret),
    };
    return cmocka_run_group_tests_name("redis_url", tests, NULL, NULL);
}
