/* SPDX-License-Identifier: MIT */
/*
 * config: lines NAME=value become the environment. The result is either a config within its ranges, or an error with a
 * text; keys are then made of the config, or refused with a text. Only the names below are set: none of
 * them makes the program read a file.
 */
#include "auth/token.h"
#include "base/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {
    "QUEUE_THRESHOLD",   "QUEUE_PROCESSOR_INTERVAL",
    "HTTP_PORT",         "REDIS_URL",
    "REDIS_HOST",        "REDIS_PORT",
    "DATABASE_URL",      "DB_POOL_MIN",
    "DB_POOL_MAX",       "ROLES",
    "LOG_LEVEL",         "JWT_SECRETS",
    "TICKET_KEYS",       "PASS_KEYS",
    "TIKETI_TEST_HOOKS", "ALLOWED_ORIGINS",
    "PUBLIC_WS_URL",     "PAYMENT_URL",
    "JWT_AUDIENCE",      "PUBLIC_URL",
    "COOKIE_DOMAIN",     "MAIL_URL",
    "MAIL_FROM",
};
#define NAME_COUNT (sizeof(names) / sizeof(names[0]))

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void set_line(const char *line, size_t len)
{
    char value[4096];
    const char *equals = memchr(line, '=', len);
    const size_t name_len = equals ? (size_t)(equals - line) : len;
    for (size_t i = 0; equals && i < NAME_COUNT; i++) {
        const size_t value_len = len - name_len - 1;
        if (strlen(names[i]) != name_len || memcmp(names[i], line, name_len) != 0 ||
            value_len >= sizeof(value))
            continue;
        memcpy(value, equals + 1, value_len);
        value[value_len] = '\0';
        for (char *c = value; *c != '\0'; c++)
            *c = *c == '|' ? '\n' : *c; /* a PEM key has several lines */
        (void)setenv(names[i], value, 1);
    }
}

static void use(const struct config *config)
{
    char error[200] = "";
    struct token_keys *keys = NULL;
    check(config->queue_threshold >= 0 && config->queue_threshold <= 10000000);
    check(config->http_port >= 0 && config->http_port <= 65535);
    check(config->db_pool_min >= 1 && config->db_pool_max >= config->db_pool_min);
    check(config->roles != 0);
    if (config->public_ws_url) /* it is written into a policy header as it is */
        check(!strpbrk(config->public_ws_url, " ;,'\"\r\n"));
    if (token_keys_new(config, &keys, error, sizeof(error)) != ST_OK)
        check(error[0] != '\0' && !keys);
    token_keys_free(keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *config = NULL;
    struct buf problems;
    const char *at = (const char *)data;
    const enum config_need need = (enum config_need)(CONFIG_NEED_SETTINGS + size % 5);
    for (size_t i = 0; i < NAME_COUNT; i++)
        (void)unsetenv(names[i]);
    while (size > 0) {
        const char *newline = memchr(at, '\n', size);
        const size_t len = newline ? (size_t)(newline - at) : size;
        set_line(at, len);
        at += len + (newline ? 1 : 0);
        size -= len + (newline ? 1 : 0);
    }
    buf_init(&problems, 65536);
    if (config_load(NULL, need, &config, &problems) == ST_OK)
        use(config);
    else
        check(problems.len > 0 && problems.data[problems.len - 1] == '\n' && !config);
    buf_clear(&problems);
    config_free(config);
    return 0;
}
