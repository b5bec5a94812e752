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
#include <unistd.h>

static char error[200];

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

static struct config *load(void)
{
    struct config *config = NULL;
    error[0] = '\0';
    const enum status st = config_load(&config, error, sizeof(error));
    assert_string_equal(error, "");
    assert_int_equal(st, ST_OK);
    return config;
}

/* This setting alone is refused: the message begins with its name, and nothing is returned. */
static void refuse(const char *name, const char *value)
{
    struct config *config = (struct config *)error; /* any pointer: it must not change */
    (void)setenv(name, value, 1);
    assert_int_equal(config_load(&config, error, sizeof(error)), ST_INVALID);
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
    assert_int_equal(c->hold_ms, 300000);
    assert_int_equal(c->pass_ttl_ms, 600000);
    assert_int_equal(c->restore_ms, 30000);
    assert_int_equal(c->redis_timeout_ms, 2000);
    assert_int_equal(c->db_timeout_ms, 5000);
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
    assert_int_equal(c->rate_limit_per_ip, 0);
    assert_int_equal(c->log_level, LOG_LEVEL_INFO);
    assert_false(c->test_hooks);
    assert_null(c->redis_url);
    assert_null(c->database_url);
    assert_null(c->database_replica_url);
    assert_null(c->public_ws_url);
    assert_null(c->jwt_secret);
    assert_null(c->jwt_jwks_file);
    assert_null(c->ticket_keys);
    assert_null(c->pass_key);
    assert_null(c->payment_webhook_secret);
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
    (void)setenv("TIKETI_TEST_HOOKS", "1", 1);
    (void)setenv("JWT_SECRET", "sixteen bytes ok", 1);
    (void)setenv("ALLOWED_ORIGINS", "https://a.example,https://b.example", 1);
    (void)setenv("DATABASE_URL", "", 1); /* empty: unset */
    struct config *c = load();
    assert_int_equal(c->queue_threshold, 0);
    assert_int_equal(c->queue_interval_ms, 250);
    assert_int_equal(c->http_port, 65535);
    assert_int_equal(c->roles, ROLE_API | ROLE_GATEWAY);
    assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
    assert_true(c->test_hooks);
    assert_string_equal(c->jwt_secret, "sixteen bytes ok");
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
        "QUEUE_SESSION_LIMIT_MS",
        "HOLD_MS",
        "RESTORE_MS",
        "PASS_TTL_MS",
        "REDIS_TIMEOUT_MS",
        "DB_POOL_MIN",
        "DB_POOL_MAX",
        "DB_TIMEOUT_MS",
        "HTTP_PORT",
        "WS_PORT",
        "WS_PING_MS",
        "API_WORKERS",
        "GATEWAY_WORKERS",
        "DRAIN_MS",
        "RATE_LIMIT_PER_IP",
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
    refuse("TIKETI_TEST_HOOKS", "yes");
    refuse("ROLES", "api,");
    refuse("ROLES", "api,,gateway");
    refuse("ROLES", "api gateway");
    refuse("ROLES", "admin");
    refuse("JWT_SECRET", "fifteen bytes..");
    accept("JWT_SECRET", "sixteen bytes...");
    refuse("PAYMENT_WEBHOOK_SECRET", "fifteen bytes..");
    accept("PAYMENT_WEBHOOK_SECRET", "sixteen bytes...");
    refuse("DB_POOL_MAX", "1"); /* below DB_POOL_MIN */
}

/* Origins that no browser sends, and URLs that would end the policy header they are written into. */
static void bad_urls_name_the_setting(void **state)
{
    static const char *const origins[] = {"*",
                                          "null",
                                          "shop.example",
                                          "https://shop.example/",
                                          "https://a.example,https://b.example/x",
                                          "https://",
                                          "https://u@a.example",
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
    accept("PUBLIC_WS_URL", "WSS://ws.example.com:8443/ws");
    accept("PAYMENT_URL", "https://pay.example/page?shop=1");
}

static void a_secret_is_never_shown(void **state)
{
    (void)state;
    refuse("JWT_SECRET", "hunter2");
    assert_null(strstr(error, "hunter2"));
    refuse("PAYMENT_WEBHOOK_SECRET", "hunter2");
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
    refuse("REDIS_PORT", "tcp://10.0.0.7:6379");
    refuse("REDIS_PORT", "0");
    refuse("REDIS_PORT", "65536");
    refuse("REDIS_PORT", "123456");
    refuse("REDIS_HOST", "user@evil");
    refuse("REDIS_HOST", "a/b");
    /* Kubernetes sets REDIS_PORT for a service named redis; it is ignored where REDIS_URL is set. */
    (void)setenv("REDIS_PORT", "tcp://10.0.0.7:6379", 1);
    (void)setenv("REDIS_HOST", "other", 1);
    (void)setenv("REDIS_URL", "redis://chosen", 1);
    struct config *c = load();
    assert_string_equal(c->redis_url, "redis://chosen");
    config_free(c);
}

static void secrets_may_come_from_files(void **state)
{
    (void)state;
    char *path = write_file("a secret in a file\r\n\n", 21);
    (void)setenv("JWT_SECRET_FILE", path, 1);
    struct config *c = load();
    assert_string_equal(c->jwt_secret, "a secret in a file");
    config_free(c);
    refuse("JWT_SECRET", "and one in the environment");
    assert_non_null(strstr(error, "_FILE"));
    assert_null(strstr(error, "environment"));
    (void)unlink(path);
    (void)unsetenv("JWT_SECRET_FILE");

    (void)setenv("HTTP_HOST_FILE", "/nonexistent", 1); /* not a secret: no _FILE */
    config_free(load());
}

static void bad_secret_files_name_the_setting(void **state)
{
    struct config *config;
    (void)state;
    (void)setenv("TICKET_KEYS_FILE", "/nonexistent", 1);
    assert_int_equal(config_load(&config, error, sizeof(error)), ST_INVALID);
    assert_int_equal(strncmp(error, "TICKET_KEYS", 11), 0);

    static char large[20000];
    memset(large, 'x', sizeof(large));
    char *path = write_file(large, 16384);
    (void)setenv("TICKET_KEYS_FILE", path, 1);
    config_free(load());
    (void)unlink(path);
    path = write_file(large, 16385);
    (void)setenv("TICKET_KEYS_FILE", path, 1);
    assert_int_equal(config_load(&config, error, sizeof(error)), ST_INVALID);
    (void)unlink(path);
    path = write_file("abc\0def", 7);
    (void)setenv("TICKET_KEYS_FILE", path, 1);
    assert_int_equal(config_load(&config, error, sizeof(error)), ST_INVALID);
    assert_int_equal(strncmp(error, "TICKET_KEYS", 11), 0);
    (void)unlink(path);
}

static void required_settings_per_command(void **state)
{
    static const struct {
        struct config config;
        enum config_need need;
        const char *missing;
    } cases[] = {
        {{0}, CONFIG_NEED_DATABASE, "DATABASE_URL"},
        {{.database_url = "x"}, CONFIG_NEED_DATABASE, NULL},
        {{.redis_url = "x", .ticket_keys = "x"}, CONFIG_NEED_SERVE, "DATABASE_URL"},
        {{.database_url = "x", .ticket_keys = "x"}, CONFIG_NEED_SERVE, "REDIS_URL"},
        {{.database_url = "x", .redis_url = "x"}, CONFIG_NEED_SERVE, "TICKET_KEYS"},
        {{.database_url = "x", .redis_url = "x", .ticket_keys = "x"}, CONFIG_NEED_SERVE, NULL},
        {{0}, CONFIG_NEED_TOKEN, "JWT_SECRET"},
        {{.jwt_secret = "x"}, CONFIG_NEED_TOKEN, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        error[0] = '\0';
        const enum status st =
            config_require(&cases[i].config, cases[i].need, error, sizeof(error));
        assert_int_equal(st, cases[i].missing ? ST_INVALID : ST_OK);
        if (cases[i].missing)
            assert_int_equal(strncmp(error, cases[i].missing, strlen(cases[i].missing)), 0);
    }
}

static void help_lists_every_setting(void **state)
{
    static const char *const names[] = {
        "QUEUE_THRESHOLD",
        "QUEUE_PROCESSOR_INTERVAL",
        "QUEUE_IDLE_TIMEOUT_MS",
        "QUEUE_SESSION_LIMIT_MS",
        "QUEUE_SILENT_MS",
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
        "PUBLIC_WS_URL",
        "ROLES",
        "API_WORKERS",
        "GATEWAY_WORKERS",
        "JWT_SECRET",
        "JWT_AUDIENCE",
        "TICKET_KEYS",
        "PASS_KEY",
        "PAYMENT_WEBHOOK_SECRET",
        "ALLOWED_ORIGINS",
        "TRUSTED_PROXIES",
        "RATE_LIMIT_PER_IP",
        "DRAIN_MS",
        "LOG_LEVEL",
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
        cmocka_unit_test_setup(a_secret_is_never_shown, empty_environment),
        cmocka_unit_test_setup(roles_are_parsed, empty_environment),
        cmocka_unit_test_setup(redis_url_comes_from_host_and_port, empty_environment),
        cmocka_unit_test_setup(secrets_may_come_from_files, empty_environment),
        cmocka_unit_test_setup(bad_secret_files_name_the_setting, empty_environment),
        cmocka_unit_test_setup(required_settings_per_command, empty_environment),
        cmocka_unit_test_setup(help_lists_every_setting, empty_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
