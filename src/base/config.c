/* SPDX-License-Identifier: MIT */
/*
 * config: the settings of the process, read from the environment.
 *
 * Why this way: one table has the name, type, range, default and help of each setting, and its field in struct
 * config. Reading, --help, the _FILE variants of secrets and all errors come from it, so a setting is one row.
 * Called by: program, main. Owns: the texts of a config, which are overwritten when it is freed, since
 * some are secrets.
 */
#include "base/config.h"

#include "base/memory.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define VALUE_MAX  16384 /* bytes of a setting */
#define SECRET_MIN 16    /* bytes of an HMAC secret */

enum setting_kind { KIND_INT, KIND_TEXT, KIND_SECRET, KIND_ROLES, KIND_LEVEL, KIND_FLAG };

struct setting {
    const char *name;
    enum setting_kind kind;
    size_t offset;
    int64_t min, max;
    const char *fallback; /* the default; NULL: unset */
    const char *help;
};

#define AT(member) offsetof(struct config, member)
#define DAY_MS     INT64_C(86400000)

static const struct setting settings[] = {
    {"QUEUE_THRESHOLD", KIND_INT, AT(queue_threshold), LIMITS_THRESHOLD, "1000",
     "buyers that may be inside an event at once; an event may set its own"},
    {"QUEUE_PROCESSOR_INTERVAL", KIND_INT, AT(queue_interval_ms), LIMITS_INTERVAL_MS, "10000",
     "ms between ticks of an event's queue; an event may set its own"},
    {"QUEUE_IDLE_TIMEOUT_MS", KIND_INT, AT(queue_idle_timeout_ms), LIMITS_IDLE_TIMEOUT_MS, "90000",
     "ms without a heartbeat after which a buyer inside is evicted; an event may set its own"},
    {"QUEUE_SESSION_LIMIT_MS", KIND_INT, AT(queue_session_limit_ms), LIMITS_SESSION_LIMIT_MS,
     "600000", "ms that a buyer may stay inside at most; an event may set its own"},
    {"HOLD_MS", KIND_INT, AT(hold_ms), LIMITS_HOLD_MS, "300000",
     "ms that seats are held for a buyer; an event may set its own"},
    {"QUEUE_SILENT_MS", KIND_INT, AT(queue_silent_ms), LIMITS_SILENT_MS, "120000",
     "ms without a heartbeat after which a waiting buyer is parked when their turn comes; "
     "an event may set its own"},
    {"RESTORE_MS", KIND_INT, AT(restore_ms), 0, 3600000, "30000",
     "ms that buyers have to return to their places after Redis has lost its data"},
    {"PASS_TTL_MS", KIND_INT, AT(pass_ttl_ms), 1000, DAY_MS, "600000",
     "ms that a pass is valid; never beyond the buyer's session"},
    {"REDIS_URL", KIND_SECRET, AT(redis_url), 0, 0, NULL,
     "redis://[[user]:password@]host[:port][/db] or unix:///path; or set REDIS_HOST"},
    {"REDIS_HOST", KIND_TEXT, AT(redis_host), 0, 0, NULL,
     "Redis host; ignored where REDIS_URL is set"},
    {"REDIS_PORT", KIND_TEXT, AT(redis_port), 0, 0, "6379", "Redis port, used with REDIS_HOST"},
    {"REDIS_TIMEOUT_MS", KIND_INT, AT(redis_timeout_ms), 50, 60000, "2000",
     "ms until a Redis command times out"},
    {"DATABASE_URL", KIND_SECRET, AT(database_url), 0, 0, NULL,
     "PostgreSQL: a libpq URI or keyword string"},
    {"DATABASE_REPLICA_URL", KIND_SECRET, AT(database_replica_url), 0, 0, NULL,
     "a PostgreSQL replica, for reads of the seat map"},
    {"DB_POOL_MIN", KIND_INT, AT(db_pool_min), 1, 1000, "2",
     "PostgreSQL connections that are kept open"},
    {"DB_POOL_MAX", KIND_INT, AT(db_pool_max), 1, 1000, "20",
     "PostgreSQL connections at most, shared by the workers; each worker has at least one"},
    {"DB_TIMEOUT_MS", KIND_INT, AT(db_timeout_ms), 50, 60000, "5000",
     "ms until a PostgreSQL query times out, waiting for a connection included"},
    {"HTTP_HOST", KIND_TEXT, AT(http_host), 0, 0, "0.0.0.0", "numeric address to listen on"},
    {"HTTP_PORT", KIND_INT, AT(http_port), 0, 65535, "8080", "HTTP port"},
    {"WS_PORT", KIND_INT, AT(ws_port), 0, 65535, "8081", "WebSocket port"},
    {"WS_PING_MS", KIND_INT, AT(ws_ping_ms), 1000, 60000, "25000",
     "ms between pings of a WebSocket; keep it below the idle timeout of the proxy in front"},
    {"PUBLIC_WS_URL", KIND_TEXT, AT(public_ws_url), 0, 0, NULL,
     "public URL of the WebSocket; unset: the request's host and WS_PORT"},
    {"ROLES", KIND_ROLES, AT(roles), 0, 0, "api,gateway,processor", "roles of this process"},
    {"API_WORKERS", KIND_INT, AT(api_workers), 0, 31, "0", "API threads; 0: one per two cores"},
    {"GATEWAY_WORKERS", KIND_INT, AT(gateway_workers), 0, 31, "0",
     "WebSocket threads; 0: one per two cores"},
    {"DRAIN_MS", KIND_INT, AT(drain_ms), 100, 600000, "30000", "ms that a stop may take"},
    {"JWT_SECRET", KIND_SECRET, AT(jwt_secret), 0, 0, NULL,
     "HS256 secret of the shop's JWTs, at least 16 bytes"},
    {"JWT_JWKS_FILE", KIND_TEXT, AT(jwt_jwks_file), 0, 0, NULL,
     "file with the shop's public keys (JWKS)"},
    {"JWT_AUDIENCE", KIND_TEXT, AT(jwt_audience), 0, 0, NULL,
     "audience that the shop's JWTs must name; unset: aud is not checked"},
    {"TICKET_KEYS", KIND_SECRET, AT(ticket_keys), 0, 0, NULL,
     "kid:hex,kid:hex; keys of 32 to 64 bytes; the first one signs, all verify"},
    {"PASS_KEY", KIND_SECRET, AT(pass_key), 0, 0, NULL,
     "PEM of a P-256 private key; unset: derived from the first ticket key"},
    {"PAYMENT_WEBHOOK_SECRET", KIND_SECRET, AT(payment_webhook_secret), 0, 0, NULL,
     "HMAC secret shared with the payment provider, at least 16 bytes; unset: paying is off (503)"},
    {"PAYMENT_PROVIDER", KIND_TEXT, AT(payment_provider), 0, 0, "demo",
     "name of the payment provider in the payments table"},
    {"PAYMENT_URL", KIND_TEXT, AT(payment_url), 0, 0, NULL,
     "URL of the provider's payment page, for the buyer's browser"},
    {"ALLOWED_ORIGINS", KIND_TEXT, AT(allowed_origins), 0, 0, NULL,
     "origins allowed for CORS and WebSockets, comma-separated; unset: the same host only"},
    {"TRUSTED_PROXIES", KIND_TEXT, AT(trusted_proxies), 0, 0, NULL,
     "addresses or CIDRs whose X-Forwarded-For is trusted, comma-separated"},
    {"RATE_LIMIT_PER_IP", KIND_INT, AT(rate_limit_per_ip), 0, 1000000, "0",
     "requests per second of one address and API worker; 0: no limit"},
    {"LOG_LEVEL", KIND_LEVEL, AT(log_level), 0, 0, "info", "debug, info, warn, error or off"},
    {"TIKETI_TEST_HOOKS", KIND_FLAG, AT(test_hooks), 0, 0, "0",
     "1 enables crash points and script overrides; never in production"},
};
#define SETTING_COUNT (sizeof(settings) / sizeof(settings[0]))

static const char **text_field(struct config *config, const struct setting *setting)
{
    return (const char **)((char *)config + setting->offset);
}

/* Writes `NAME: reason` into `error`; returns ST_INVALID. */
__attribute__((format(printf, 4, 5))) static enum status
refuse(char *error, size_t size, const char *name, const char *format, ...)
{
    va_list args;
    const int len = snprintf(error, size, "%s: ", name);
    va_start(args, format);
    if (len > 0 && (size_t)len < size)
        (void)vsnprintf(error + len, size - (size_t)len, format, args);
    va_end(args);
    return ST_INVALID;
}

/* ---- reading ---- */

/* Reads a file without the newlines at its end. *ret is new. */
static enum status read_file(const char *path, char **ret)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return ST_NOT_FOUND;
    char *text = xcalloc(1, VALUE_MAX + 1);
    size_t len = fread(text, 1, VALUE_MAX, file);
    const bool whole = ferror(file) == 0 && fgetc(file) == EOF;
    (void)fclose(file);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        text[--len] = '\0';
    if (!whole || strlen(text) != len) { /* a NUL would silently shorten a secret */
        explicit_bzero(text, VALUE_MAX);
        free(text);
        return ST_INVALID;
    }
    *ret = text;
    return ST_OK;
}

/* The value of an environment variable; NULL when it is unset or empty. */
static const char *environment(const char *name)
{
    const char *value =
        getenv(name); /* NOLINT(concurrency-mt-unsafe): runs before any thread starts */
    return value && *value != '\0' ? value : NULL;
}

/* Reads the text of a setting: from NAME, else for a secret from the file that NAME_FILE names, else the
 * default. *ret is new; NULL when the setting is unset and has no default. */
static enum status find_text(const struct setting *setting, char **ret, char *error, size_t size)
{
    char file_name[64];
    const char *value = environment(setting->name);
    (void)snprintf(file_name, sizeof(file_name), "%s_FILE", setting->name);
    const char *path = setting->kind == KIND_SECRET ? environment(file_name) : NULL;
    *ret = NULL;
    if (value && path)
        return refuse(error, size, setting->name, "set either this or %s, not both", file_name);
    if (value && strlen(value) > VALUE_MAX)
        return refuse(error, size, setting->name, "must not be longer than 16 KiB");
    if (path && read_file(path, ret) != ST_OK)
        return refuse(
            error, size, setting->name,
            "the file named by %s cannot be read, is longer than 16 KiB, or contains a NUL",
            file_name);
    if (!value && !path)
        value = setting->fallback;
    if (value)
        *ret = xstrdup(value);
    return ST_OK;
}

static enum status set_value(struct config *config, const struct setting *setting, const char *text,
                             char *error, size_t size)
{
    char *end;
    switch (setting->kind) {
    case KIND_INT:
        errno = 0;
        const long long value = strtoll(text, &end, 10);
        if (!isdigit((unsigned char)text[*text == '-']) || *end != '\0' || errno != 0 ||
            value < setting->min || value > setting->max)
            return refuse(error, size, setting->name,
                          "must be an integer from %" PRId64 " to %" PRId64 ", not '%.40s'",
                          setting->min, setting->max, text);
        *(int64_t *)((char *)config + setting->offset) = value;
        return ST_OK;
    case KIND_ROLES:
        if (config_parse_roles(text, &config->roles) != ST_OK)
            return refuse(error, size, setting->name,
                          "must be a comma-separated list of api, gateway and processor");
        return ST_OK;
    case KIND_LEVEL:
        if (!log_level_parse(text, &config->log_level))
            return refuse(error, size, setting->name, "must be debug, info, warn, error or off");
        return ST_OK;
    case KIND_FLAG:
        if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
            return refuse(error, size, setting->name, "must be 0 or 1");
        config->test_hooks = strcmp(text, "1") == 0;
        return ST_OK;
    case KIND_TEXT:
    case KIND_SECRET:
        *text_field(config, setting) = xstrdup(text);
        return ST_OK;
    }
    return ST_INTERNAL;
}

enum status config_parse_roles(const char *text, unsigned *ret_roles)
{
    static const struct {
        const char *name;
        enum role role;
    } roles[] = {{"api", ROLE_API}, {"gateway", ROLE_GATEWAY}, {"processor", ROLE_PROCESSOR}};
    unsigned found = 0;
    for (;;) {
        const size_t len = strcspn(text, ",");
        size_t i = 0;
        while (i < 3 && (strlen(roles[i].name) != len || strncmp(text, roles[i].name, len) != 0))
            i++;
        if (i == 3)
            return ST_INVALID;
        found |= roles[i].role;
        if (text[len] == '\0')
            break;
        text += len + 1;
    }
    *ret_roles = found;
    return ST_OK;
}

/* ---- checks of the whole ---- */

/* Builds redis_url from REDIS_HOST and REDIS_PORT where REDIS_URL is unset. REDIS_PORT is kept as a text
 * and checked only here, because Kubernetes sets REDIS_PORT=tcp://… in every pod of a namespace that has a service
 * named redis; that must not matter when REDIS_URL is set. */
static enum status derive_redis_url(struct config *config, char *error, size_t size)
{
    static const char host_chars[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:";
    const char *host = config->redis_host, *port = config->redis_port;
    char url[300];
    if (config->redis_url || !host)
        return ST_OK;
    if (strlen(host) > 255 || strspn(host, host_chars) != strlen(host))
        return refuse(error, size, "REDIS_HOST", "must be a host name or an address");
    if (strlen(port) > 5 || strspn(port, "0123456789") != strlen(port) ||
        strtol(port, NULL, 10) < 1 || strtol(port, NULL, 10) > 65535)
        return refuse(error, size, "REDIS_PORT", "must be an integer from 1 to 65535, not '%.40s'",
                      port);
    const bool v6 = strchr(host, ':');
    (void)snprintf(url, sizeof(url), "redis://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
    config->redis_url = xstrdup(url);
    return ST_OK;
}

/* Returns the host in "scheme://host…", or NULL when the text has another form. Returns NULL also for characters
 * that would end the header value, or the Content-Security-Policy source, into which the URL is written. */
static const char *host_of(const char *text, size_t len)
{
    const char *separator = memmem(text, len, "://", 3);
    if (!separator || separator == text || !isalpha((unsigned char)*text))
        return NULL;
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~' || strchr("\"'`,;<>\\^{|}", text[i]))
            return NULL;
    }
    const char *host = separator + 3;
    return host < text + len && !strchr("/?#:", *host) ? host : NULL;
}

static enum status check_url(const char *name, const char *text, const char *scheme,
                             const char *secure, char *error, size_t size)
{
    if (!text)
        return ST_OK;
    const bool known = strncasecmp(text, scheme, strlen(scheme)) == 0 ||
                       strncasecmp(text, secure, strlen(secure)) == 0;
    if (known && host_of(text, strlen(text)))
        return ST_OK;
    return refuse(error, size, name, "must be a URL such as %sexample.com/, not '%.60s'", secure,
                  text);
}

static enum status check_secret(const char *name, const char *secret, char *error, size_t size)
{
    if (!secret || strlen(secret) >= SECRET_MIN)
        return ST_OK;
    return refuse(error, size, name, "must have at least %d bytes", SECRET_MIN);
}

static enum status check_all(const struct config *config, char *error, size_t size)
{
    if (config->db_pool_max < config->db_pool_min)
        return refuse(error, size, "DB_POOL_MAX", "must not be below DB_POOL_MIN");
    enum status st = check_secret("JWT_SECRET", config->jwt_secret, error, size);
    if (st == ST_OK)
        st = check_secret("PAYMENT_WEBHOOK_SECRET", config->payment_webhook_secret, error, size);
    if (st == ST_OK)
        st = check_url("PUBLIC_WS_URL", config->public_ws_url, "ws://", "wss://", error, size);
    if (st == ST_OK)
        st = check_url("PAYMENT_URL", config->payment_url, "http://", "https://", error, size);
    if (st != ST_OK)
        return st;

    /* A browser sends an origin without a path and never "*": any other form would match nothing. */
    const char *list = config->allowed_origins;
    while (list && *list != '\0') {
        list += strspn(list, ", ");
        const size_t len = strcspn(list, ", ");
        const char *host = len > 0 ? host_of(list, len) : NULL;
        if (len > 0 && (!host || host + strcspn(host, "/?#@, ") != list + len))
            return refuse(error, size, "ALLOWED_ORIGINS",
                          "must be origins such as https://example.com, without a path, not '%.*s'",
                          len < 60 ? (int)len : 60, list);
        list += len;
    }
    return ST_OK;
}

/* ---- the whole ---- */

enum status config_load(struct config **ret_config, char *error, size_t error_size)
{
    struct config *config = xcalloc(1, sizeof(*config));
    enum status st = ST_OK;
    for (size_t i = 0; i < SETTING_COUNT && st == ST_OK; i++) {
        char *text;
        st = find_text(&settings[i], &text, error, error_size);
        if (st == ST_OK && text) {
            st = set_value(config, &settings[i], text, error, error_size);
            explicit_bzero(text, strlen(text)); /* it may be a secret */
        }
        free(text);
    }
    if (st == ST_OK)
        st = derive_redis_url(config, error, error_size);
    if (st == ST_OK)
        st = check_all(config, error, error_size);
    if (st != ST_OK) {
        config_free(config);
        return st;
    }
    *ret_config = config;
    return ST_OK;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (settings[i].kind != KIND_TEXT && settings[i].kind != KIND_SECRET)
            continue;
        char *text = (char *)*text_field(config, &settings[i]);
        if (text)
            explicit_bzero(text, strlen(text));
        free(text);
    }
    free(config);
}

enum status config_require(const struct config *config, enum config_need need, char *error,
                           size_t error_size)
{
    const char *missing = NULL;
    if (need != CONFIG_NEED_TOKEN && !config->database_url)
        missing = "DATABASE_URL";
    if (need == CONFIG_NEED_SERVE && !config->redis_url)
        missing = "REDIS_URL (or REDIS_HOST)";
    if (need == CONFIG_NEED_SERVE && !config->ticket_keys)
        missing = "TICKET_KEYS";
    if (need == CONFIG_NEED_TOKEN && !config->jwt_secret)
        missing = "JWT_SECRET";
    if (!missing)
        return ST_OK;
    (void)snprintf(error, error_size, "%s must be set; `tiketi serve --help` describes it",
                   missing);
    return ST_INVALID;
}

void config_print_help(FILE *out)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &settings[i];
        (void)fprintf(out, "  %-26s %s%s%s%s%s\n", setting->name, setting->help,
                      setting->fallback ? " (default " : "",
                      setting->fallback ? setting->fallback : "", setting->fallback ? ")" : "",
                      setting->kind == KIND_SECRET ? " [or _FILE]" : "");
    }
}
