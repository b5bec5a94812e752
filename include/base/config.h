/* SPDX-License-Identifier: MIT */
/*
 * config: the settings of the process, read from environment variables; a secret NAME also from the file that
 * NAME_FILE names. One table in config.c has the name, type, range, default and help of each setting.
 * Read-only once it is loaded, and then shared by all threads.
 */
#ifndef TIKETI_CONFIG_H
#define TIKETI_CONFIG_H

#include "base/log.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum role { ROLE_API = 1, ROLE_GATEWAY = 2, ROLE_PROCESSOR = 4 };

/* Least and greatest value of each setting that an event may set for itself. They bound the event's own value
 * and the default in the environment. */
#define LIMITS(least, most)     least, most
#define LIMITS_THRESHOLD        0, 10000000
#define LIMITS_INTERVAL_MS      10, 3600000
#define LIMITS_IDLE_TIMEOUT_MS  100, 86400000
#define LIMITS_SESSION_LIMIT_MS 100, 604800000
#define LIMITS_HOLD_MS          100, 86400000
#define LIMITS_SILENT_MS        1000, 86400000

struct config {
    /* defaults for events that do not set their own */
    int64_t queue_threshold;
    int64_t queue_interval_ms; /* between two ticks: QUEUE_PROCESSOR_INTERVAL */
    int64_t queue_idle_timeout_ms;
    int64_t queue_session_limit_ms;
    int64_t hold_ms;
    int64_t queue_silent_ms;
    /* queue */
    int64_t restore_ms;
    int64_t pass_ttl_ms;
    /* backends */
    /* redis://[[user]:password@]host[:port][/db] or unix:///path[?db=n]; built from REDIS_HOST and
     * REDIS_PORT where REDIS_URL is unset */
    const char *redis_url;
    const char *redis_host,
        *redis_port;                  /* only config.c reads these: redis_url is built from them */
    int64_t redis_timeout_ms;         /* of one command */
    const char *database_url;         /* a libpq keyword string or URI */
    const char *database_replica_url; /* NULL: none */
    int64_t db_pool_min, db_pool_max;
    int64_t db_timeout_ms; /* of one query, including the wait for a connection */
    /* listening */
    const char *http_host; /* a numeric address */
    int64_t http_port;
    int64_t ws_port;
    int64_t ws_ping_ms;        /* more often where an event's silentMs or idleTimeoutMs needs it */
    const char *public_ws_url; /* NULL: the request's host and ws_port */
    unsigned roles;            /* bits of enum role */
    int64_t api_workers, gateway_workers; /* 0: one per two cores, at least one */
    int64_t drain_ms;
    /* secrets */
    const char *jwt_secret;    /* NULL: HS256 user tokens are refused */
    const char *jwt_jwks_file; /* public keys of the shop; NULL: none */
    const char *jwt_audience;  /* must be in `aud`; NULL: `aud` is not checked */
    const char *ticket_keys;   /* "kid:hex,kid:hex": at least one, of 32 to 64 bytes each */
    const char *pass_key; /* PEM of a P-256 private key; NULL: derived from the first ticket key */
    const char *payment_webhook_secret; /* NULL: paying and the webhook are answered with 503 */
    const char *payment_provider;
    const char *payment_url; /* the payment page; NULL: none */
    /* edge */
    const char *allowed_origins; /* comma-separated; NULL: the same host only */
    const char *trusted_proxies; /* comma-separated CIDRs; NULL: none */
    /* Requests per second, per client address and API worker; 0: no limit. */
    int64_t rate_limit_per_ip;
    enum log_level log_level;
    bool test_hooks; /* crash points and script overrides; never in production */
};

/* Reads the environment; call it before any thread starts. An empty value counts as unset. NAME together with
 * NAME_FILE is refused. *ret_config is new: release it with config_free. ST_INVALID: `error` has a
 * sentence that begins with the variable's name, and *ret_config is unchanged. */
MUST_CHECK enum status config_load(struct config **ret_config, char *error, size_t error_size);
void config_free(struct config *config); /* overwrites the secrets; NULL is fine */

/* "api,gateway" as bits. ST_INVALID for an unknown or empty name. */
MUST_CHECK enum status config_parse_roles(const char *text, unsigned *ret_roles);

/* Checks that all settings that a command needs are set. ST_INVALID: `error` has a sentence that begins with
 * the name of the missing setting. */
enum config_need { CONFIG_NEED_SERVE, CONFIG_NEED_DATABASE, CONFIG_NEED_TOKEN };
MUST_CHECK enum status config_require(const struct config *config, enum config_need need,
                                      char *error, size_t error_size);

/* Prints the table of settings, one line each, for --help. */
void config_print_help(FILE *out);

#endif
