/* SPDX-License-Identifier: MIT */
/*
 * config: every setting of the process, from environment variables (a secret NAME also from the
 * file named by NAME_FILE). One table in config.c holds key, type, range, default and help; --help
 * is printed from it. Read-only after config_load, shared by all threads.
 */
#ifndef TIKETI_CONFIG_H
#define TIKETI_CONFIG_H

#include "base/log.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum role { ROLE_API = 1, ROLE_GATEWAY = 2, ROLE_PROCESSOR = 4 };

/* Least and greatest value of the settings an event may set for itself: the same for the event and
 * for the default in the environment. */
#define LIMITS(least, most)     least, most
#define LIMITS_THRESHOLD        0, 10000000
#define LIMITS_INTERVAL_MS      10, 3600000
#define LIMITS_IDLE_TIMEOUT_MS  100, 86400000
#define LIMITS_SESSION_LIMIT_MS 100, 604800000
#define LIMITS_HOLD_MS          100, 86400000
#define LIMITS_SILENT_MS        1000, 86400000

struct config {
    /* defaults of events that set none */
    int64_t queue_threshold;
    int64_t queue_interval_ms; /* QUEUE_PROCESSOR_INTERVAL */
    int64_t queue_idle_timeout_ms;
    int64_t queue_session_limit_ms;
    int64_t hold_ms;
    /* queue */
    int64_t queue_silent_ms;
    int64_t restore_ms;
    int64_t pass_ttl_ms; /* PASS_TTL_MS, default 600000 */
    /* backends */
    const char
        *redis_url; /* redis://[[user]:password@]host[:port][/db] or unix:///path[?db=n]; built from
                              REDIS_HOST / REDIS_PORT when REDIS_URL is unset */
    const char *redis_host, *redis_port; /* use redis_url */
    int64_t redis_timeout_ms;            /* REDIS_TIMEOUT_MS 2000: deadline of one command */
    const char *database_url;            /* a libpq connection string or URI */
    const char *database_replica_url;    /* NULL when unset */
    int64_t db_pool_min, db_pool_max;
    int64_t db_timeout_ms; /* DB_TIMEOUT_MS 5000 */
    /* listening */
    const char *http_host; /* HTTP_HOST, default "0.0.0.0" */
    int64_t http_port;
    int64_t ws_port;
    int64_t ws_ping_ms;        /* WS_PING_MS 25000: less where queue_silent_ms wants it */
    const char *public_ws_url; /* NULL: derived from the request's host and ws_port */
    unsigned roles;            /* ROLES, bits of enum role */
    int64_t api_workers, gateway_workers; /* 0: one of each per two cores, at least one */
    int64_t drain_ms;
    /* secrets */
    const char *jwt_secret;    /* NULL: no user tokens by HS256 */
    const char *jwt_jwks_file; /* JWT_JWKS_FILE: public keys of the shop; NULL: none */
    const char *jwt_audience;  /* JWT_AUDIENCE: what `aud` has to name; NULL: not looked at */
    const char *ticket_keys;   /* "kid:hex,kid:hex" at least one, 32..64 bytes each */
    const char *pass_key; /* PEM of a P-256 private key; NULL: derived from the first ticket key */
    const char *payment_webhook_secret; /* NULL: paying and the webhook answer 503 */
    const char *payment_provider;
    const char *payment_url; /* NULL: none to tell */
    /* edge */
    const char *allowed_origins; /* comma-separated; NULL: same host */
    const char *trusted_proxies; /* comma-separated CIDRs; NULL: none */
    int64_t rate_limit_per_ip;   /* requests per second; 0: off */
    enum log_level log_level;
    bool test_hooks; /* TIKETI_TEST_HOOKS=1; never in production */
};

/* Reads the environment. An empty value counts as unset; NAME and NAME_FILE together are refused. On
 * ST_INVALID a sentence naming the variable is in error[error_size] and
 * *ret_config is untouched. *ret_config is new: config_free. */
MUST_CHECK enum status config_load(struct config **ret_config, char *error, size_t error_size);
void config_free(struct config *config); /* wipes the secrets; NULL is fine */

/* "api,gateway" -> bits. ST_INVALID on an unknown or empty role. */
MUST_CHECK enum status config_parse_roles(const char *text, unsigned *ret_roles);

/* Is what these roles need there? (serve: ticket keys, ...; migrate: only DATABASE_URL.) */
enum config_need { CONFIG_NEED_SERVE, CONFIG_NEED_DATABASE, CONFIG_NEED_TOKEN };
MUST_CHECK enum status config_require(const struct config *config, enum config_need need,
                                      char *error, size_t error_size);

/* Prints the table: name, default, help. */
void config_print_help(FILE *out);

#endif
