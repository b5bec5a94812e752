/* SPDX-License-Identifier: MIT */
/* config: the documented defaults; a bad value is refused, and the error names the setting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char error[4000]; /* what config_load has said */

static int empty_environment(void **state)
{
    (void)state;
    /* cmocka reads this variable before each line it writes */
    char *output = getenv("CMOCKA_MESSAGE_OUTPUT");
    output = output ? strdup(output) : NULL;
    const int failed = clearenv();
    if (output)
        (void)setenv("CMOCKA_MESSAGE_OUTPUT", output, 1);
    free(output);
    return failed;
}

static enum status load_from(const struct config_source *source, enum config_need need,
                             struct config **ret)
{
    struct buf problems;
    buf_init(&problems, sizeof(error));
    const enum status st = config_load(source, need, ret, &problems);
    (void)snprintf(error, sizeof(error), "%s", buf_str(&problems));
    buf_clear(&problems);
    return st;
}

static struct config *load(void)
{
    struct config *config = NULL;
    error[0] = '\0';
    const enum status st = load_from(NULL, CONFIG_NEED_SETTINGS, &config);
    assert_string_equal(error, "");
    assert_int_equal(st, ST_OK);
    return config;
}

/* This setting alone is refused: the message begins with its name, and nothing is returned. */
static void refuse(const char *name, const char *value)
{
    struct config *config = (struct config *)error; /* any pointer: it must not change */
    (void)setenv(name, value, 1);
    assert_int_equal(load_from(NULL, CONFIG_NEED_SETTINGS, &config), ST_INVALID);
    assert_ptr_equal(config, error);
    assert_int_equal(strncmp(error, name, strlen(name)), 0);
    (void)unsetenv(name);
}

static void accept(const char *name, const char *value)
{
    (void)setenv(name, value, 1);
    config_free(load());
    (void)unsetenv(name);
}

static char *write_file(const char *text, size_t len)
{
    static char path[64];
    (void)snprintf(path, sizeof(path), "/tmp/tiketi-config-XXXXXX");
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    (void)close(fd);
    return path;
}

static void defaults_are_as_documented(void **state)
{
    (void)state;
    struct config *c = load();
    assert_int_equal(c->queue_threshold, 1000);
    assert_int_equal(c->queue_interval_ms, 10000);
    assert_int_equal(c->queue_idle_timeout_ms, 90000);
    assert_int_equal(c->queue_session_limit_ms, 600000);
    assert_int_equal(c->queue_silent_ms, 120000);
    assert_int_equal(c->queue_claim_ms, 90000);
    assert_int_equal(c->queue_places_per_network, 5000);
    assert_int_equal(c->rate_limit_per_ip, 1000);
    assert_int_equal(c->ws_sockets_per_ip, 5000);
    assert_int_equal(c->hold_ms, 300000);
    assert_int_equal(c->pass_ttl_ms, 600000);
    assert_int_equal(c->restore_ms, 30000);
    assert_int_equal(c->redis_timeout_ms, 2000);
    assert_int_equal(c->db_timeout_ms, 5000);
    assert_int_equal(c->keep_redis_days, 7);
    assert_int_equal(c->keep_emails_days, 30);
    assert_int_equal(c->keep_buyers_days, 365);
    assert_int_equal(c->keep_feed_days, 30);
    assert_int_equal(c->db_pool_min, 2);
    assert_int_equal(c->db_pool_max, 20);
    assert_string_equal(c->http_host, "0.0.0.0");
    assert_int_equal(c->http_port, 8080);
    assert_int_equal(c->ws_port, 8081);
    assert_int_equal(c->ws_ping_ms, 25000);
    assert_int_equal(c->roles, ROLE_API | ROLE_GATEWAY | ROLE_PROCESSOR);
    assert_int_equal(c->api_workers, 0);
    assert_int_equal(c->gateway_workers, 0);
    assert_int_equal(c->drain_ms, 30000);
    assert_int_equal(c->log_level, LOG_LEVEL_INFO);
    assert_int_equal(c->access_log, LOG_ACCESS_OFF);
    assert_false(c->test_hooks);
    assert_null(c->redis_url);
    assert_null(c->database_url);
    assert_null(c->database_replica_url);
    assert_null(c->public_ws_url);
    assert_null(c->jwt_secrets);
    assert_null(c->jwt_jwks_file);
    assert_null(c->ticket_keys);
    assert_string_equal(c->pass_keys, "derived");
    assert_null(c->payment_webhook_secrets);
    assert_null(c->allowed_origins);
    assert_null(c->trusted_proxies);
    config_free(c);
    config_free(NULL);
}

/* A default of all events has the same limits as the setting of one event. */
static void defaults_have_the_limits_of_an_event(void **state)
{
    (void)state;
    (void)setenv("QUEUE_THRESHOLD", "10000000", 1);
    (void)setenv("QUEUE_PROCESSOR_INTERVAL", "10", 1);
    (void)setenv("QUEUE_SESSION_LIMIT_MS", "604800000", 1);
    struct config *c = load();
    assert_int_equal(c->queue_threshold, 10000000);
    assert_int_equal(c->queue_interval_ms, 10);
    assert_int_equal(c->queue_session_limit_ms, 604800000);
    config_free(c);
}

static void values_are_read(void **state)
{
    (void)state;
    (void)setenv("QUEUE_THRESHOLD", "0", 1);
    (void)setenv("QUEUE_PROCESSOR_INTERVAL", "250", 1);
    (void)setenv("HTTP_PORT", "65535", 1);
    (void)setenv("ROLES", "gateway,api", 1);
    (void)setenv("LOG_LEVEL", "debug", 1);
    (void)setenv("ACCESS_LOG", "sampled", 1);
    (void)setenv("TIKETI_TEST_HOOKS", "1", 1);
    (void)setenv("JWT_SECRETS", "sixteen-bytes-ok", 1);
    (void)setenv("ALLOWED_ORIGINS", "https://a.example,https://b.example", 1);
    (void)setenv("DATABASE_URL", "", 1); /* empty: unset */
    struct config *c = load();
    assert_int_equal(c->queue_threshold, 0);
    assert_int_equal(c->queue_interval_ms, 250);
    assert_int_equal(c->http_port, 65535);
    assert_int_equal(c->roles, ROLE_API | ROLE_GATEWAY);
    assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(c->access_log, LOG_ACCESS_SAMPLED);
    assert_true(c->test_hooks);
    assert_string_equal(c->jwt_secrets, "sixteen-bytes-ok");
    assert_string_equal(c->allowed_origins, "https://a.example,https://b.example");
    assert_null(c->database_url);
    config_free(c);
}

static void bad_integers_name_the_setting(void **state)
{
    static const char *const bad[] = {"-1",
                                      "65536",
                                      "80 ",
                                      " 80",
                                      "+80",
                                      "8o",
                                      "0x50",
                                      "80.0",
                                      "-",
                                      "1e3",
                                      "99999999999999999999"};
    static const char *const names[] = {
        "QUEUE_THRESHOLD",
        "QUEUE_PROCESSOR_INTERVAL",
        "QUEUE_IDLE_TIMEOUT_MS",
        "QUEUE_SILENT_MS",
        "QUEUE_CLAIM_MS",
        "QUEUE_PLACES_PER_NETWORK",
        "QUEUE_SESSION_LIMIT_MS",
        "HOLD_MS",
        "RESTORE_MS",
        "PASS_TTL_MS",
        "REDIS_TIMEOUT_MS",
        "DB_POOL_MIN",
        "DB_POOL_MAX",
        "DB_TIMEOUT_MS",
        "KEEP_REDIS_DAYS",
        "KEEP_EMAILS_DAYS",
        "KEEP_BUYERS_DAYS",
        "KEEP_FEED_DAYS",
        "HTTP_PORT",
        "WS_PORT",
        "METRICS_PORT",
        "WS_PING_MS",
        "API_WORKERS",
        "GATEWAY_WORKERS",
        "DRAIN_MS",
        "RATE_LIMIT_PER_IP",
        "WS_SOCKETS_PER_IP",
        "HTTP_CONNECTIONS_PER_IP",
        "HTTP_CONNECTIONS_MAX",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        refuse("HTTP_PORT", bad[i]);
    assert_non_null(strstr(error, "0 to 65535"));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        refuse(names[i], "-1");
        refuse(names[i], "many");
        refuse(names[i], "9223372036854775807");
    }
}

static void bad_words_name_the_setting(void **state)
{
    (void)state;
    refuse("LOG_LEVEL", "loud");
    refuse("LOG_LEVEL", "INFO");
    refuse("ACCESS_LOG", "some");
    refuse("ACCESS_LOG", "All");
    refuse("TIKETI_TEST_HOOKS", "yes");
    refuse("ROLES", "api,");
    refuse("ROLES", "api,,gateway");
    refuse("ROLES", "api gateway");
    refuse("ROLES", "admin");
    refuse("JWT_SECRETS", "fifteen-bytes..");
    accept("JWT_SECRETS", "sixteen-bytes...");
    refuse("JWT_SECRETS", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    refuse("JWT_SECRETS", "xyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyz");
    refuse("PAYMENT_WEBHOOK_SECRETS", "0000000000000000000000000000000000");
    refuse("JWT_SECRETS", "sixteen-bytes... fifteen-bytes..");
    assert_non_null(strstr(error, "secret 2"));
    assert_null(strstr(error, "fifteen"));
    refuse("JWT_SECRETS", "sixteen-bytes...\nxyzxyzxyzxyzxyzxyzxyz");
    assert_non_null(strstr(error, "secret 2"));
    refuse("JWT_SECRETS", "a passphrase with blanks in it");
    refuse("PAYMENT_WEBHOOK_SECRETS", "sixteen-bytes...,and-one-more x");
    accept("PAYMENT_WEBHOOK_SECRETS", " sixteen-bytes...,with-a-comma\n\tsixteen-bytes++.\n");
    refuse("JWT_SECRETS",
           "number-one------ number-two------ number-three---- number-four----- number-five----- "
           "number-six------ number-seven---- number-eight---- number-nine-----");
    assert_non_null(strstr(error, "at most 8"));
    refuse("STAFF_TOKENS_WITHOUT_EXP", "yes");
    refuse("COMPAT_TIKETI_NODE", "yes");
    refuse("COOKIE_DOMAIN", "example");
    refuse("COOKIE_DOMAIN", "Example.com");
    refuse("COOKIE_DOMAIN", "example.com/");
    refuse("COOKIE_DOMAIN", "a..example.com");
    refuse("COOKIE_DOMAIN", "127.0.0.1");
    refuse("COOKIE_DOMAIN", "x;y.com");
    refuse("COOKIE_DOMAIN", "..example.com");
    accept("COOKIE_DOMAIN", "tickets.example.com");
    accept("COOKIE_DOMAIN", ".example.com");
    refuse("PAYMENT_WEBHOOK_SECRETS", "fifteen-bytes..");
    accept("PAYMENT_WEBHOOK_SECRETS", "sixteen-bytes...");
    refuse("DB_POOL_MAX", "1");     /* below DB_POOL_MIN */
    refuse("KEEP_REDIS_DAYS", "0"); /* longer than KEEP_BUYERS_DAYS */
    refuse("KEEP_REDIS_DAYS", "366");
    refuse("KEEP_EMAILS_DAYS", "366");
    accept("KEEP_EMAILS_DAYS", "365");
    accept("KEEP_BUYERS_DAYS", "0");
}

/* Origins that no browser sends, and URLs that would end the policy header they are written into. */
/* Whatever the role that would use them: each was said by its user alone, or by nobody. */
static void bad_lists_of_addresses_name_the_setting(void **state)
{
    static const char *const names[] = {"TRUSTED_PROXIES", "OUTBOUND_ALLOW"};
    static const char *const bad[] = {"10.0.0.0/33", "proxy", "10.0.0.1, 10.0.0.0/", "::1/129",
                                      "10.0.0.0/8 192.168.0.0/16"};
    char many[65 * 9 + 1] = "";
    (void)state;
    for (size_t n = 0; n < 2; n++) {
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
            refuse(names[n], bad[i]);
        accept(names[n], "10.0.0.0/8, ::1 ,2001:db8::/32,192.0.2.7");
        accept(names[n], ",");
    }
    for (size_t i = 0; i < 64; i++)
        (void)strcat(many, "10.0.0.1,");
    accept("OUTBOUND_ALLOW", many);
    (void)strcat(many, "10.0.0.2");
    refuse("OUTBOUND_ALLOW", many);
}

static void bad_urls_name_the_setting(void **state)
{
    static const char *const origins[] = {"*",
                                          "null",
                                          "shop.example",
                                          "https://shop.example/",
                                          "https://a.example,https://b.example/x",
                                          "https://",
                                          "https://u@a.example",
                                          "https://*.example",
                                          "https://a.example,https://*",
                                          "https://a.example:443",
                                          "HTTPS://a.example:443",
                                          "http://a.example:80",
                                          "http://[::1]:80",
                                          "://a.example"};
    static const char *const urls[] = {"ws.example.com",       "//ws.example.com/ws", "wss:///ws",
                                       "https:ws.example.com", "wss://a.example;",    "wss://a b",
                                       "ftp://a.example",      "wss://a.example'"};
    (void)state;
    for (size_t i = 0; i < sizeof(origins) / sizeof(origins[0]); i++)
        refuse("ALLOWED_ORIGINS", origins[i]);
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        refuse("PUBLIC_WS_URL", urls[i]);
        refuse("PAYMENT_URL", urls[i]);
    }
    refuse("PAYMENT_URL", "javascript:alert(1)");
    accept("ALLOWED_ORIGINS", "https://a.example, http://localhost:3000 ,capacitor://localhost");
    accept("ALLOWED_ORIGINS", "http://[::1]:8080");
    accept("ALLOWED_ORIGINS", "http://a.example:443,https://b.example:80, https://c.example:4430");
    refuse("JWT_JWKS_URL", "keys.example.com/jwks.json");
    refuse("JWT_JWKS_URL", "ftp://keys.example.com/jwks.json");
    refuse("JWT_JWKS_URL", "http://keys.example.com/jwks.json");
    refuse("JWT_JWKS_URL", "http://localhost.example.com/jwks.json");
    refuse("JWT_JWKS_URL", "http://127.0.0.1.example.com/");
    refuse("JWT_JWKS_URL", "http://10.0.0.1/jwks.json");
    accept("JWT_JWKS_URL", "https://keys.example.com/jwks.json?shop=1");
    accept("JWT_JWKS_URL", "http://127.0.0.1:8000/jwks.json");
    accept("JWT_JWKS_URL", "http://[::1]/jwks.json");
    accept("JWT_JWKS_URL", "http://localhost");
    refuse("PUBLIC_URL", "tickets.example.com");
    refuse("PUBLIC_URL", "https://tickets.example.com/shop");
    refuse("PUBLIC_URL", "https://tickets.example.com:443");
    refuse("PUBLIC_URL", "https://tickets.example.com?x");
    refuse("PUBLIC_URL", "ftp://tickets.example.com");
    accept("PUBLIC_URL", "https://tickets.example.com");
    accept("PUBLIC_URL", "https://tickets.example.com:8443/");
    static const char *const no_prefix[] = {
        "tiketi",
        "/",
        "/a/",
        "//a",
        "/a//b",
        "/a/../b",
        "/..",
        "/a/.",
        "/.",
        "/a b",
        "/a%2fb",
        "/a?b",
        "/a#b",
        "/a;b",
        "/a\"b",
        "/a{b}",
        "/a\nb",
        "/\303\274",
        "/0123456789012345678901234567890123456789012345678901234567890123456789",
    };
    for (size_t i = 0; i < sizeof(no_prefix) / sizeof(no_prefix[0]); i++)
        refuse("PATH_PREFIX", no_prefix[i]);
    accept("PATH_PREFIX", "/.tiketi");
    accept("PATH_PREFIX", "/queue/of~us");
    accept("PUBLIC_WS_URL", "WSS://ws.example.com:8443/ws");
    accept("PAYMENT_URL", "https://pay.example/page?shop=1");
}

/* A newline at the end is nobody's secret, whether it comes from a file or from `echo`. */
static void a_newline_after_a_secret_is_trimmed(void **state)
{
    (void)state;
    (void)setenv("JWT_SECRETS", "a-secret-of-enough-bytes\r\n", 1);
    (void)setenv("TICKET_KEYS", "k1:00\n", 1);
    (void)setenv("PASS_KEYS", "\n", 1);
    (void)setenv("JWT_AUDIENCE", "x\n", 1); /* no secret: left as it is */
    struct config *c = load();
    assert_string_equal(c->jwt_secrets, "a-secret-of-enough-bytes");
    assert_string_equal(c->ticket_keys, "k1:00");
    assert_string_equal(c->pass_keys, "derived");
    assert_string_equal(c->jwt_audience, "x\n");
    config_free(c);
    refuse("JWT_SECRETS", "fifteen-bytes..\n\n\n");
}

static void flags_are_apart(void **state)
{
    (void)state;
    (void)setenv("STAFF_TOKENS_WITHOUT_EXP", "1", 1);
    struct config *c = load();
    assert_true(c->staff_tokens_without_exp);
    assert_false(c->test_hooks);
    config_free(c);
}

static void a_secret_is_never_shown(void **state)
{
    (void)state;
    refuse("JWT_SECRETS", "hunter2");
    assert_null(strstr(error, "hunter2"));
    refuse("PAYMENT_WEBHOOK_SECRETS", "hunter2");
    assert_null(strstr(error, "hunter2"));
}

static void roles_are_parsed(void **state)
{
    unsigned roles = 77;
    (void)state;
    assert_int_equal(config_parse_roles("", &roles), ST_INVALID);
    assert_int_equal(config_parse_roles("apis", &roles), ST_INVALID);
    assert_int_equal(config_parse_roles("ap", &roles), ST_INVALID);
    assert_int_equal(roles, 77);
    assert_int_equal(config_parse_roles("processor", &roles), ST_OK);
    assert_int_equal(roles, ROLE_PROCESSOR);
    assert_int_equal(config_parse_roles("api,api", &roles), ST_OK);
    assert_int_equal(roles, ROLE_API);
}

static void redis_url_comes_from_host_and_port(void **state)
{
    static const struct {
        const char *host, *port, *url;
    } good[] = {
        {"redis", "", "redis://redis:6379"},
        {"10.0.0.7", "7000", "redis://10.0.0.7:7000"},
        {"fd00::7", "6379", "redis://[fd00::7]:6379"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        (void)setenv("REDIS_HOST", good[i].host, 1);
        (void)setenv("REDIS_PORT", good[i].port, 1);
        struct config *c = load();
        assert_string_equal(c->redis_url, good[i].url);
        config_free(c);
    }
    refuse("REDIS_PORT", "0");
    refuse("REDIS_PORT", "65536");
    refuse("REDIS_PORT", "123456");
    (void)unsetenv("REDIS_PORT");
    refuse("REDIS_HOST", "user@evil");
    refuse("REDIS_HOST", "a/b");
    /* With REDIS_URL they are a contradiction, whatever order a reader would expect. */
    (void)setenv("REDIS_URL", "redis://chosen", 1);
    refuse("REDIS_HOST", "other");
    (void)unsetenv("REDIS_HOST");
    refuse("REDIS_PORT", "6379");
    /* What Kubernetes sets for a service named redis is none. */
    (void)setenv("REDIS_PORT", "tcp://10.0.0.7:6379", 1);
    struct config *c = load();
    assert_string_equal(c->redis_url, "redis://chosen");
    config_free(c);
}

static void secrets_may_come_from_files(void **state)
{
    (void)state;
    char *path = write_file("a-secret-in-a-file\r\n\n", 21);
    (void)setenv("JWT_SECRETS_FILE", path, 1);
    struct config *c = load();
    assert_string_equal(c->jwt_secrets, "a-secret-in-a-file");
    config_free(c);
    refuse("JWT_SECRETS", "and one in the environment");
    assert_non_null(strstr(error, "_FILE"));
    assert_null(strstr(error, "environment"));
    (void)unlink(path);
    (void)unsetenv("JWT_SECRETS_FILE");

    path = write_file("9090\n", 5);
    (void)setenv("HTTP_PORT_FILE", path, 1);
    c = load();
    assert_int_equal(c->http_port, 9090);
    config_free(c);
    refuse("HTTP_PORT", "9090");
    (void)unlink(path);
    refuse("HTTP_PORT", "");
}

static void bad_secret_files_name_the_setting(void **state)
{
    struct config *config;
    (void)state;
    (void)setenv("TICKET_KEYS_FILE", "/nonexistent", 1);
    assert_int_equal(load_from(NULL, CONFIG_NEED_SETTINGS, &config), ST_INVALID);
    assert_int_equal(strncmp(error, "TICKET_KEYS", 11), 0);

    static char large[20000];
    memset(large, 'x', sizeof(large));
    char *path = write_file(large, 16384);
    (void)setenv("TICKET_KEYS_FILE", path, 1);
    config_free(load());
    (void)unlink(path);
    path = write_file(large, 16385);
    (void)setenv("TICKET_KEYS_FILE", path, 1);
    assert_int_equal(load_from(NULL, CONFIG_NEED_SETTINGS, &config), ST_INVALID);
    (void)unlink(path);
    path = write_file("abc\0def", 7);
    (void)setenv("TICKET_KEYS_FILE", path, 1);
    assert_int_equal(load_from(NULL, CONFIG_NEED_SETTINGS, &config), ST_INVALID);
    assert_int_equal(strncmp(error, "TICKET_KEYS", 11), 0);
    (void)unlink(path);
}

static void a_processor_needs_no_keys(void **state)
{
    struct config *config = NULL;
    (void)state;
    (void)setenv("DATABASE_URL", "postgresql://localhost/x", 1);
    (void)setenv("REDIS_URL", "redis://localhost", 1);
    (void)setenv("ROLES", "processor", 1);
    assert_int_equal(load_from(NULL, CONFIG_NEED_SERVE, &config), ST_OK);
    config_free(config);
    config = NULL;
    (void)setenv("ROLES", "processor,gateway", 1);
    assert_int_equal(load_from(NULL, CONFIG_NEED_SERVE, &config), ST_INVALID);
    assert_int_equal(strncmp(error, "TICKET_KEYS: must be set", 24), 0);
    config_free(config);
}

static void required_settings_per_command(void **state)
{
    static const char *const names[] = {"DATABASE_URL", "REDIS_URL", "TICKET_KEYS", "JWT_SECRETS"};
    static const struct {
        enum config_need need;
        const char *missing[3]; /* in the order of the lines */
    } cases[] = {
        {CONFIG_NEED_SETTINGS, {NULL}},
        {CONFIG_NEED_DATABASE, {"DATABASE_URL"}},
        {CONFIG_NEED_SERVE, {"DATABASE_URL", "REDIS_URL", "TICKET_KEYS"}},
        {CONFIG_NEED_KEYS, {"TICKET_KEYS"}},
        {CONFIG_NEED_TOKEN, {"JWT_SECRETS"}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config *config = NULL;
        const bool fine = !cases[i].missing[0];
        const char *at = error;
        assert_int_equal(load_from(NULL, cases[i].need, &config), fine ? ST_OK : ST_INVALID);
        for (size_t m = 0; m < 3 && cases[i].missing[m]; m++) {
            at = strstr(at, cases[i].missing[m]);
            assert_non_null(at);
            assert_non_null(strstr(at, ": must be set"));
            at = strchr(at, '\n') + 1;
        }
        assert_string_equal(at, "");
        config_free(config);
        for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
            (void)setenv(names[n], "a-text-that-is-a-secret-of-32-bytes", 1);
        config = NULL;
        assert_int_equal(load_from(NULL, cases[i].need, &config), ST_OK);
        config_free(config);
        for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
            (void)unsetenv(names[n]);
    }
    struct config *config;
    (void)setenv("REDIS_HOST", "redis", 1);
    (void)setenv("DATABASE_URL", "x", 1);
    (void)setenv("TICKET_KEYS", "x", 1);
    assert_int_equal(load_from(NULL, CONFIG_NEED_SERVE, &config), ST_OK);
    config_free(config);
    /* A setting that is refused is not said to be missing as well. */
    refuse("REDIS_HOST", "a/b");
    (void)setenv("REDIS_HOST", "a/b", 1);
    assert_int_equal(load_from(NULL, CONFIG_NEED_SERVE, &config), ST_INVALID);
    assert_null(strstr(error, "REDIS_URL"));
}

/* ---- all at once, each once ---- */

static void every_problem_has_its_line(void **state)
{
    static const char *const wrong[][2] = {
        {"HTTP_PORT", "x"},          {"LOG_LEVEL", "loud"},      {"DB_POOL_MIN", "0"},
        {"MAIL_URL", "http://a"},    {"MAIL_FROM", "nobody"},    {"PUBLIC_URL", "a"},
        {"COOKIE_DOMAIN", "X"},      {"ALLOWED_ORIGINS", "*,a"}, {"JWT_SECRETS", "short shorter"},
        {"QUEUE_TRESHOLD", "2000"},  {"TIKETI_NONSENSE", "1"},   {"OIDC_ISSUER", "https://a?b"},
        {"VAPID_SUBJECT", "nobody"}, {"PATH_PREFIX", "a"},
    };
    const size_t count = sizeof(wrong) / sizeof(wrong[0]);
    struct config *config;
    (void)state;
    for (size_t i = 0; i < count; i++)
        (void)setenv(wrong[i][0], wrong[i][1], 1);
    assert_int_equal(load_from(NULL, CONFIG_NEED_SETTINGS, &config), ST_INVALID);
    size_t lines = 0;
    for (const char *at = error; *at; at = strchr(at, '\n') + 1)
        lines++;
    for (size_t i = 0; i < count; i++) {
        char start[40];
        (void)snprintf(start, sizeof(start), "%s: ", wrong[i][0]);
        const char *found = strstr(error, start);
        assert_non_null(found);
        assert_null(strstr(found + 1, start));
    }
    assert_non_null(strstr(error, "OIDC_CLIENT_ID: must be set"));
    assert_int_equal(lines, count + 1);
    assert_null(strstr(error, "DB_POOL_MAX")); /* of a setting that is refused nothing follows */
}

/* ---- names that no setting has ---- */

static bool refused_name(const char *name, const char *value)
{
    struct config *config = NULL;
    (void)setenv(name, value, 1);
    const enum status st = load_from(NULL, CONFIG_NEED_SETTINGS, &config);
    (void)unsetenv(name);
    config_free(config);
    assert_true(st == ST_OK || strncmp(error, name, strlen(name)) == 0);
    return st != ST_OK;
}

static void misspelt_names_are_refused_with_the_name_that_was_meant(void **state)
{
    static const char *const cases[][2] = {
        {"QUEUE_TRESHOLD", "QUEUE_THRESHOLD"},
        {"QUEUE_THRESHOLD_MS", NULL},
        {"QUEUE_IDLE_TIMEOUT", NULL},
        {"TIKETI_DEBUG", NULL},
        {"TIKETI_TEST_HOOK", "TIKETI_TEST_HOOKS"},
        {"REDIS_URI", "REDIS_URL"},
        {"REIDS_URL", "REDIS_URL"},
        {"DATABSE_URL", "DATABASE_URL"},
        {"DATABASE_ULR_FILE", "DATABASE_URL_FILE"},
        {"TICKET_KEY", "TICKET_KEYS"},
        {"TICKET_KEYS_FIEL", "TICKET_KEYS_FILE"},
        {"LOGLEVEL", "LOG_LEVEL"},
        {"LEVEL_LOG", "LOG_LEVEL"},
        {"http_port", "HTTP_PORT"},
        {"ROLE", "ROLES"},
        {"MAX_DB_POOL", "DB_POOL_MAX"},
        {"RATE_LIMIT_PR_IPP", "RATE_LIMIT_PER_IP"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char meant[80];
        assert_true(refused_name(cases[i][0], "1"));
        (void)snprintf(meant, sizeof(meant), "is %s meant?", cases[i][1] ? cases[i][1] : "");
        assert_int_equal(strstr(error, meant) != NULL, cases[i][1] != NULL);
        assert_false(refused_name(cases[i][0], "")); /* empty is unset */
    }
}

/* What other programs, shells and Kubernetes set is none of ours. */
static void other_names_are_left_alone(void **state)
{
    static const char *const others[][2] = {
        {"HOME", "/root"},
        {"HOSTNAME", "pod"},
        {"PATH", "/bin"},
        {"MAIL", "/var/mail/x"},
        {"DB_PORT", "5432"},
        {"DB_HOST", "db"},
        {"SMTP_PORT", "25"},
        {"PGHOST", "db"},
        {"POD_NAME", "x"},
        {"HTTP_PROXY", "http://proxy"},
        {"https_proxy", "http://proxy"},
        {"AWS_REGION", "x"},
        {"KUBERNETES_SERVICE_HOST", "10.0.0.1"},
        {"KUBERNETES_PORT", "tcp://10.0.0.1:443"},
        {"KUBERNETES_PORT_443_TCP_ADDR", "10.0.0.1"},
        {"TIKETI_API_SERVICE_HOST", "10.0.0.1"},
        {"TIKETI_API_SERVICE_PORT", "80"},
        {"TIKETI_API_SERVICE_PORT_HTTP", "80"},
        {"TIKETI_API_PORT", "tcp://10.0.0.1:80"},
        {"TIKETI_API_PORT_80_TCP", "tcp://10.0.0.1:80"},
        {"TIKETI_API_PORT_80_TCP_PROTO", "tcp"},
        {"QUEUE_PORT_80_UDP_PORT", "80"},
        {"TIKETI_SEED", "7"},
        {"TIKETI_URL", "http://127.0.0.1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(refused_name(others[i][0], others[i][1]));
    /* Services called redis, http and ws. */
    (void)setenv("REDIS_PORT", "tcp://10.0.0.7:6379", 1);
    (void)setenv("REDIS_SERVICE_HOST", "10.0.0.7", 1);
    (void)setenv("HTTP_PORT", "tcp://10.0.0.8:80", 1);
    (void)setenv("WS_PORT", "tcp://10.0.0.9:81", 1);
    (void)setenv("REDIS_HOST", "redis", 1);
    struct config *c = load();
    assert_string_equal(c->redis_url, "redis://redis:6379");
    assert_int_equal(c->http_port, 8080);
    config_free(c);
}

/* ---- the file and --set ---- */

static void the_file_is_weaker_than_the_environment_and_set_is_stronger(void **state)
{
    static const char text[] = "\xef\xbb\xbf# a comment\n"
                               "; another = one\n"
                               "[tiketi]\n"
                               "\n"
                               "HTTP_PORT = 1001\r\n"
                               "  ws_port=1002  \n"
                               "Metrics_Port\t= 1003\n"
                               "jwt_secrets = a;secret#of=enough-bytes\n"
                               "log_level =\n"
                               "database_url = host=db password='x y'";
    const char *const sets[] = {"METRICS_PORT=1004", "metrics_port=1005", "DRAIN_MS=", NULL};
    char *path = write_file(text, sizeof(text) - 1);
    struct config_source source = {.file = path};
    struct config *c = NULL;
    (void)state;
    (void)setenv("WS_PORT", "2002", 1);
    (void)setenv("METRICS_PORT", "2003", 1);
    (void)setenv("HTTP_PORT", "", 1); /* unset: the file's counts */
    (void)chmod(path, 0644);
    assert_int_equal(load_from(&source, CONFIG_NEED_SETTINGS, &c), ST_OK);
    assert_int_equal(c->http_port, 1001);
    assert_int_equal(c->ws_port, 2002);
    assert_int_equal(c->metrics_port, 2003);
    assert_int_equal(c->log_level, LOG_LEVEL_INFO);
    assert_string_equal(c->jwt_secrets, "a;secret#of=enough-bytes");
    assert_string_equal(c->database_url, "host=db password='x y'");
    assert_string_equal(c->file, path);
    assert_true(c->file_exposed);
    config_free(c);
    source.sets = sets;
    (void)chmod(path, 0640);
    assert_int_equal(load_from(&source, CONFIG_NEED_SETTINGS, &c), ST_OK);
    assert_int_equal(c->ws_port, 2002);
    assert_int_equal(c->metrics_port, 1005);
    assert_int_equal(c->drain_ms, 30000);
    assert_false(c->file_exposed);
    config_free(c);
    (void)unlink(path);
}

/* A file of a secret in one place is weaker than the secret in a stronger one, and both in one place are a mistake. */
static void name_and_name_file_are_one_setting(void **state)
{
    struct config *c = NULL;
    (void)state;
    char *path = write_file("jwt_secrets_file = /nonexistent\n", 32);
    struct config_source source = {.file = path};
    (void)setenv("JWT_SECRETS", "of-the-environment-itself", 1);
    assert_int_equal(load_from(&source, CONFIG_NEED_SETTINGS, &c), ST_OK);
    assert_string_equal(c->jwt_secrets, "of-the-environment-itself");
    config_free(c);
    (void)unsetenv("JWT_SECRETS");
    assert_int_equal(load_from(&source, CONFIG_NEED_SETTINGS, &c), ST_INVALID);
    assert_non_null(
        strstr(error, "JWT_SECRETS: the file named by JWT_SECRETS_FILE cannot be read"));
    (void)unlink(path);
    path = write_file("ws_port = 1\nws_port_file = /nonexistent\n", 40);
    source.file = path;
    assert_int_equal(load_from(&source, CONFIG_NEED_SETTINGS, &c), ST_INVALID);
    assert_non_null(strstr(error, "WS_PORT: set either this or WS_PORT_FILE, not both"));
    (void)unlink(path);
}

static void wrong_lines_and_sets_are_named(void **state)
{
    static const char text[] = "queue_treshold = 2000\n"
                               "just a text\n"
                               "[gateway]\n"
                               "= 7\n"
                               "http_port = eighty\n"
                               "ws_port = 1\n"
                               "WS_PORT = 2\n"
                               "public_url = \"https://a.example\"\n";
    static const char *const starts[] = {
        "HTTP_PROT: no setting has this name: is HTTP_PORT meant? (--set)\n",
        "TICKET_KEYS: a secret does not belong on a command line, which everybody on this machine "
        "can read: use --set TICKET_KEYS_FILE=FILE (--set)\n",
        "LOG_LEVEL: must be followed by = and the value (--set)\n",
        "queue_treshold: no setting has this name: is QUEUE_THRESHOLD meant? (line 1 of ",
        "--config: must be name = value, a comment that begins with # or ;, or empty (line 2 of ",
        "--config: the only section is [tiketi]; a role that needs other settings has a file of "
        "its own (--config) (line 3 of ",
        "--config: there is no name before the = (line 4 of ",
        "WS_PORT: is set in line 6 already (line 7 of ",
        "--config: a value is written without quotes around it (line 8 of ",
        "DRAIN_MS: must be an integer from 100 to 600000, not 'x' (--set)\n",
        "HTTP_PORT: must be an integer from 0 to 65535, not 'eighty' (line 5 of ",
    };
    const char *const sets[] = {"HTTP_PROT=1", "TICKET_KEYS=k1:00", "LOG_LEVEL", "DRAIN_MS=x",
                                NULL};
    char *path = write_file(text, sizeof(text) - 1);
    const struct config_source source = {.file = path, .sets = sets};
    struct config *c = NULL;
    size_t lines = 0;
    (void)state;
    assert_int_equal(load_from(&source, CONFIG_NEED_SETTINGS, &c), ST_INVALID);
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        if (!strstr(error, starts[i]))
            fail_msg("no \"%s\" in:\n%s", starts[i], error);
    }
    for (const char *at = error; *at; at = strchr(at, '\n') + 1)
        lines++;
    assert_int_equal(lines, sizeof(starts) / sizeof(starts[0]));
    (void)unlink(path);
}

static void a_file_is_bounded_and_must_exist_where_it_is_named(void **state)
{
    static char large[70000];
    struct config *c = NULL;
    struct config_source source = {.file = "/nonexistent.ini"};
    (void)state;
    assert_int_equal(load_from(&source, CONFIG_NEED_SETTINGS, &c), ST_INVALID);
    assert_string_equal(error,
                        "--config: /nonexistent.ini cannot be read: No such file or directory\n");
    source.file = "/";
    assert_int_equal(load_from(&source, CONFIG_NEED_SETTINGS, &c), ST_INVALID);
    memset(large, '#', sizeof(large));
    source.file = write_file(large, 65536);
    assert_int_equal(load_from(&source, CONFIG_NEED_SETTINGS, &c), ST_OK);
    config_free(c);
    (void)unlink(source.file);
    source.file = write_file(large, 65537);
    assert_int_equal(load_from(&source, CONFIG_NEED_SETTINGS, &c), ST_INVALID);
    assert_non_null(strstr(error, "is longer than 64 KiB"));
    (void)unlink(source.file);
    source.file = write_file("http_port=1\0", 12);
    assert_int_equal(load_from(&source, CONFIG_NEED_SETTINGS, &c), ST_INVALID);
    assert_non_null(strstr(error, "contains a NUL"));
    (void)unlink(source.file);
}

/* ---- reload ---- */

static void a_reload_takes_what_may_change_and_keeps_the_rest(void **state)
{
    (void)state;
    (void)setenv("HTTP_PORT", "1001", 1);
    (void)setenv("PUBLIC_URL", "https://old.example", 1);
    (void)setenv("ALLOWED_ORIGINS", "https://old.example", 1);
    (void)setenv("RATE_LIMIT_PER_IP", "10", 1);
    struct config *first = load();
    (void)setenv("HTTP_PORT", "1002", 1);
    (void)setenv("PUBLIC_URL", "https://new.example", 1);
    (void)setenv("ALLOWED_ORIGINS", "https://new.example", 1);
    (void)setenv("RATE_LIMIT_PER_IP", "20", 1);
    (void)setenv("JWT_SECRETS", "sixteen-bytes-ok", 1);
    struct config *wanted = load();
    log_set_level(LOG_LEVEL_OFF);
    const struct config *second = config_adopt(first, wanted);
    config_free(wanted);
    assert_int_equal(second->http_port, 1001);
    assert_ptr_equal(second->public_url, first->public_url); /* whoever borrowed it goes on */
    assert_string_equal(second->allowed_origins, "https://new.example");
    assert_string_equal(first->allowed_origins, "https://old.example");
    assert_int_equal(second->rate_limit_per_ip, 20);
    assert_string_equal(second->jwt_secrets, "sixteen-bytes-ok");
    /* A third, of the second: the second may go, the first must stay. */
    (void)setenv("RATE_LIMIT_PER_IP", "30", 1);
    (void)unsetenv("JWT_SECRETS");
    wanted = load();
    const struct config *third = config_adopt(second, wanted);
    config_free(wanted);
    config_free(second);
    const char *url = first->public_url;
    config_free(first);
    assert_ptr_equal(third->public_url, url);
    assert_string_equal(third->public_url, "https://old.example");
    assert_int_equal(third->rate_limit_per_ip, 30);
    assert_null(third->jwt_secrets);
    config_free(third);
    log_set_level(LOG_LEVEL_INFO);
}

static void help_lists_every_setting(void **state)
{
    static const char *const names[] = {
        "QUEUE_THRESHOLD",
        "QUEUE_PROCESSOR_INTERVAL",
        "QUEUE_IDLE_TIMEOUT_MS",
        "QUEUE_SESSION_LIMIT_MS",
        "QUEUE_SILENT_MS",
        "QUEUE_CLAIM_MS",
        "QUEUE_PLACES_PER_NETWORK",
        "HOLD_MS",
        "PASS_TTL_MS",
        "RESTORE_MS",
        "REDIS_URL",
        "REDIS_HOST",
        "REDIS_PORT",
        "DATABASE_URL",
        "DATABASE_REPLICA_URL",
        "DB_POOL_MIN",
        "DB_POOL_MAX",
        "HTTP_PORT",
        "WS_PORT",
        "WS_PING_MS",
        "PUBLIC_URL",
        "PUBLIC_WS_URL",
        "PATH_PREFIX",
        "ROLES",
        "API_WORKERS",
        "GATEWAY_WORKERS",
        "JWT_SECRETS",
        "JWT_AUDIENCE",
        "TICKET_KEYS",
        "PASS_KEYS",
        "PAYMENT_WEBHOOK_SECRETS",
        "OIDC_ISSUER",
        "OIDC_CLIENT_ID",
        "OIDC_CLIENT_SECRET",
        "OIDC_FOR",
        "OIDC_SCOPE",
        "OIDC_ROLE_CLAIM",
        "OIDC_ROLES",
        "OIDC_DOMAINS",
        "ALLOWED_ORIGINS",
        "TRUSTED_PROXIES",
        "RATE_LIMIT_PER_IP",
        "WS_SOCKETS_PER_IP",
        "HTTP_CONNECTIONS_PER_IP",
        "DRAIN_MS",
        "LOG_LEVEL",
        "ACCESS_LOG",
    };
    static char text[16384];
    (void)state;
    FILE *out = fmemopen(text, sizeof(text), "w");
    assert_non_null(out);
    config_print_help(out);
    (void)fclose(out);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char line[40];
        (void)snprintf(line, sizeof(line), "  %s ", names[i]);
        assert_non_null(strstr(text, line));
    }
    assert_non_null(strstr(text, "(default 10000)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(defaults_are_as_documented, empty_environment),
        cmocka_unit_test_setup(defaults_have_the_limits_of_an_event, empty_environment),
        cmocka_unit_test_setup(values_are_read, empty_environment),
        cmocka_unit_test_setup(bad_integers_name_the_setting, empty_environment),
        cmocka_unit_test_setup(bad_words_name_the_setting, empty_environment),
        cmocka_unit_test_setup(bad_urls_name_the_setting, empty_environment),
        cmocka_unit_test_setup(bad_lists_of_addresses_name_the_setting, empty_environment),
        cmocka_unit_test_setup(a_newline_after_a_secret_is_trimmed, empty_environment),
        cmocka_unit_test_setup(flags_are_apart, empty_environment),
        cmocka_unit_test_setup(a_secret_is_never_shown, empty_environment),
        cmocka_unit_test_setup(roles_are_parsed, empty_environment),
        cmocka_unit_test_setup(redis_url_comes_from_host_and_port, empty_environment),
        cmocka_unit_test_setup(secrets_may_come_from_files, empty_environment),
        cmocka_unit_test_setup(bad_secret_files_name_the_setting, empty_environment),
        cmocka_unit_test_setup(required_settings_per_command, empty_environment),
        cmocka_unit_test_setup(a_processor_needs_no_keys, empty_environment),
        cmocka_unit_test_setup(every_problem_has_its_line, empty_environment),
        cmocka_unit_test_setup(misspelt_names_are_refused_with_the_name_that_was_meant,
                               empty_environment),
        cmocka_unit_test_setup(other_names_are_left_alone, empty_environment),
        cmocka_unit_test_setup(the_file_is_weaker_than_the_environment_and_set_is_stronger,
                               empty_environment),
        cmocka_unit_test_setup(name_and_name_file_are_one_setting, empty_environment),
        cmocka_unit_test_setup(wrong_lines_and_sets_are_named, empty_environment),
        cmocka_unit_test_setup(a_file_is_bounded_and_must_exist_where_it_is_named,
                               empty_environment),
        cmocka_unit_test_setup(a_reload_takes_what_may_change_and_keeps_the_rest,
                               empty_environment),
        cmocka_unit_test_setup(help_lists_every_setting, empty_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
