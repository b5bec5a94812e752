/* SPDX-License-Identifier: MIT */
/*
 * config: the settings of the process. One table in config.c has the name, type, range, default and help of each. NAME may
 * come from the file that NAME_FILE names.
 * A config never changes and is shared by all threads. A reload makes another one, which has new values of the settings
 * that may change while the process runs (KIND_LIVE in the table) and shares all others with the first.
 */
#ifndef TIKETI_CONFIG_H
#define TIKETI_CONFIG_H

#include "base/buf.h"
#include "base/log.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
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
#define LIMITS_CLAIM_MS         100, 86400000
#define LIMITS_NETWORK_PLACES   0, 10000000

#define CONFIG_PREFIX_MAX 32 /* bytes of REDIS_PREFIX */

struct config {
    /* defaults for events that do not set their own */
    int64_t queue_threshold;
    int64_t queue_interval_ms; /* between two ticks: QUEUE_PROCESSOR_INTERVAL */
    int64_t queue_idle_timeout_ms;
    int64_t queue_session_limit_ms;
    int64_t hold_ms;
    int64_t queue_silent_ms;
    int64_t queue_claim_ms;
    int64_t queue_places_per_network;
    /* queue */
    int64_t restore_ms;
    int64_t pass_ttl_ms;
    /* backends */
    /* one of the forms of net/redis_url.h; built from REDIS_HOST and REDIS_PORT where REDIS_URL is unset */
    const char *redis_url;
    const char *redis_host; /* only config reads these: redis_url is built from them */
    int64_t redis_port;
    const char *redis_prefix; /* of every key and of the channel; NULL: none */
    int64_t redis_timeout_ms; /* of one command */
    const char *redis_tls_ca, *redis_tls_cert, *redis_tls_key; /* PEM files; NULL: none */
    const char *redis_tls_verify;                              /* only config.c reads it */
    const char *redis_sentinel_user, *redis_sentinel_password; /* of Sentinels; NULL: none */
    const char *database_url;                                  /* a libpq keyword string or URI */
    const char *database_replica_url;                          /* NULL: none */
    int64_t db_pool_min, db_pool_max;
    int64_t db_timeout_ms; /* of one query, including the wait for a connection */
    /* how long things are kept after an event, in days; 0: for ever. None of the first two is longer than the last */
    int64_t keep_redis_days, keep_emails_days, keep_buyers_days;
    int64_t keep_feed_days; /* from when it happened; 0: for ever */
    /* listening */
    const char *http_host; /* a numeric address */
    int64_t http_port;
    int64_t ws_port;
    int64_t metrics_port;    /* 0: http_port answers the probes */
    int64_t ws_ping_ms;      /* more often where an event's silentMs or idleTimeoutMs needs it */
    const char *public_url;  /* an origin, without a path; NULL: that of the request */
    const char *path_prefix; /* "/…", without a slash at its end; NULL: none, see config_prefix */
    const char *assets_url;  /* an origin, without a path; NULL: that of the pages */
    int64_t hsts_max_age_s;  /* 0: the header is not sent */
    const char *public_ws_url;            /* NULL: the request's host and ws_port */
    int64_t api_workers, gateway_workers; /* 0: one per two cores, at least one */
    int64_t drain_ms;
    /* secrets */
    const char *jwt_secrets;   /* for config_next_secret; NULL: HS256 user tokens are refused */
    const char *jwt_jwks_file; /* public keys of the shop; NULL: none */
    const char
        *jwt_jwks_url;      /* where they are fetched; https, or http of this machine; NULL: none */
    const char *jwt_issuer; /* must be `iss`; NULL: `iss` is not checked */
    const char *jwt_audience; /* must be in `aud`; NULL: `aud` is not checked */
    const char *ticket_keys;  /* "kid:hex,kid:hex": at least one, of 32 to 64 bytes each */
    const char *pass_keys;    /* PEM blocks and the word derived; NULL: derived */
    const char *
        payment_webhook_secrets; /* as jwt_secrets; NULL: paying and the webhook are answered with 503 */
    const char *payment_provider;
    const char *payment_url;       /* the payment page; NULL: none */
    bool redis_tls_any_name;       /* the server's certificate may be for another host */
    bool compat_tiketi_node;       /* clients of the predecessor are served */
    bool staff_tokens_without_exp; /* a token with a role may have no exp */
    /* signing in by OpenID Connect; NULL: there is no provider */
    bool oidc_staff, oidc_buyers; /* who does: the parts of oidc_for */
    const char *oidc_issuer;
    const char *oidc_client_id;     /* set where oidc_issuer is */
    const char *oidc_client_secret; /* NULL: a public client */
    const char *oidc_for;           /* only config.c reads it */
    const char *oidc_scope;         /* asked for staff */
    const char *oidc_role_claim;    /* the claim that holds the role, with dots into objects */
    const char *oidc_roles;   /* "value=role,value=role"; NULL: the claim's values are roles */
    const char *oidc_domains; /* of verified addresses of staff; NULL: any */
    /* outgoing */
    const char *mail_url;   /* smtp:// or smtps://, with user and password; NULL: no mail is sent */
    const char *mail_from;  /* set where mail_url is; valid for email_read_named */
    bool mail_tls_required; /* also without a password; smtps:// and passwords always require it */
    const char *mail_ca_file;     /* PEM; NULL: the system's authorities */
    const char *vapid_keys;       /* base64url, comma-separated; NULL: no push messages are sent */
    const char *vapid_subject;    /* mailto: or https://; set where vapid_keys is */
    const char *outbound_ca_file; /* PEM; NULL: the system's authorities */
    const char *health_url;       /* NULL: no Prometheus is asked for the shop's health */
    const char *health_p95_query; /* set where health_url is */
    const char *health_error_query; /* NULL: errors are not judged */
    const char *outbound_allow;     /* comma-separated CIDRs; NULL: no private address is reached */
    /* edge */
    const char *allowed_origins; /* comma-separated; NULL: the same host only */
    const char *cookie_domain;   /* lower-case, without a dot before it; NULL: this host only */
    const char *trusted_proxies; /* comma-separated CIDRs; NULL: none */
    /* Of one client address and worker; 0: no limit. */
    int64_t rate_limit_per_ip;       /* requests, and WebSocket handshakes, per second */
    int64_t ws_sockets_per_ip;       /* open at a time */
    int64_t http_connections_per_ip; /* likewise */
    int64_t http_connections_max;    /* of the process; 0: what open files and memory allow */
    enum log_level log_level;
    enum log_access access_log;
    unsigned roles;  /* bits of enum role */
    bool test_hooks; /* crash points and script overrides; never in production */
    /* Where it is from. */
    const struct config_source *source; /* borrowed */
    const char *file;                   /* the one that was read; NULL: none */
    bool faulty;                        /* of config_read: a setting was refused */
    bool file_exposed; /* it holds a secret, and everybody on this machine may read it */
    /* For config alone; `refs` is last. */
    const struct config *first; /* of a config that a reload made: where the other texts are */
    _Atomic unsigned refs;
};

#define CONFIG_FILE "/etc/tiketi/tiketi.ini"

/* Where values are looked for, the strongest first: `sets`, the environment, the file. In each of them an empty value counts
 * as unset. */
struct config_source {
    const char *const *sets; /* "NAME=value"; NULL ends the list, or: none */
    const char *file;        /* see base/ini.h; NULL: CONFIG_FILE, where that exists */
    bool environment_only;   /* no file is read */
};

/* What a command cannot do without. */
enum config_need {
    CONFIG_NEED_NONE,     /* it reads no settings at all */
    CONFIG_NEED_SETTINGS, /* it reads them */
    CONFIG_NEED_SERVE,
    CONFIG_NEED_DATABASE,
    CONFIG_NEED_BACKENDS, /* DATABASE_URL and REDIS_URL */
    CONFIG_NEED_TOKEN,
    CONFIG_NEED_KEYS
};

/* Reads all settings; nobody may change the environment meanwhile. Borrows `source`, for as long as the config lives;
 * NULL: the environment alone. *ret_config is new: give it back by config_free. ST_INVALID: `problems` has got a line for
 * each setting that is wrong, misspelt or missing: its name, a colon, a sentence; *ret_config is unchanged. */
MUST_CHECK enum status config_load(const struct config_source *source, enum config_need need,
                                   struct config **ret_config, struct buf *problems);
/* The same, but *ret_config is new in any case: a setting that was refused has its default, and `faulty` is set. */
enum status config_read(const struct config_source *source, enum config_need need,
                        struct config **ret_config, struct buf *problems);
/* Counts one more user of `config`, and returns it. Any thread. */
const struct config *config_ref(const struct config *config);
/* Gives one use back; the last one overwrites the secrets and frees. Any thread; NULL is fine. */
void config_free(const struct config *shared);
/* Returns new: `current` with the values of `wanted` for the settings that may change while the process runs. Logs one
 * line for each setting in which they differ: "setting changed", or "setting needs a restart". The texts of other
 * settings are those of the first config, so a pointer to one stays valid. */
struct config *config_adopt(const struct config *current, const struct config *wanted);

/* "api,gateway" as bits. ST_INVALID for an unknown or empty name. */
MUST_CHECK enum status config_parse_roles(const char *text, unsigned *ret_roles);
#define CONFIG_ROLES_SIZE sizeof("api,gateway,processor")
void config_write_roles(unsigned set, char ret[CONFIG_ROLES_SIZE]); /* the other way */

#define CONFIG_PATH_PREFIX_MAX 64 /* bytes */
/* PATH_PREFIX; "" without one. */
const char *config_prefix(const struct config *config);

#define CONFIG_SECRETS_MAX 8 /* of one list */
/* Takes the next of a list of secrets, which blanks or newlines separate, and moves *list behind it. *ret_secret is
 * borrowed from the list. False: there is none. */
bool config_next_secret(const char **list, const char **ret_secret, size_t *ret_len);

/* Is it a placeholder rather than a secret: fewer than four different bytes? */
bool config_is_guessable(const void *secret, size_t len);

/* Logs a warning for each setting that is valid, but that nobody should run in production, and one for what is off because
 * its setting is unset. */
void config_log_risks(const struct config *config);

/* Prints the table of settings, one line each, for --help. */
void config_print_help(FILE *out);

#endif
