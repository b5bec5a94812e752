/* SPDX-License-Identifier: MIT */
/*
 * config: every setting of the process, from the environment.
 *
 * One table: name, type, range, default, help, and where the value lives in struct config. --help, the
 * *_FILE variants of secrets and all error messages come from it. Texts are owned by the config and
 * wiped when freed, since some are secrets. Called by: main.
 */
#include "base/config.h"

#include "base/memory.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define VALUE_MAX  16384 /* bytes of one setting */
#define SECRET_MIN 16    /* of an HMAC secret */

enum setting_kind { KIND_INT, KIND_TEXT, KIND_SECRET, KIND_ROLES, KIND_LEVEL, KIND_FLAG };

struct setting {
    const char *name;
    enum setting_kind kind;
    size_t offset;
    int64_t min, max;
    const char *fallback; /* NULL: unset */
    const char *help;
};

#define AT(member) offsetof(struct config, member)
#define DAY_MS     INT64_C(86400000)

static const struct setting settings[] = {
    {"QUEUE_THRESHOLD", KIND_INT, AT(queue_threshold), LIMITS_THRESHOLD, "1000",
     "how many may be inside at once"},
    {"QUEUE_PROCESSOR_INTERVAL", KIND_INT, AT(queue_interval_ms), LIMITS_INTERVAL_MS, "10000",
     "ms between ticks of the processor"},
    {"QUEUE_IDLE_TIMEOUT_MS", KIND_INT, AT(queue_idle_timeout_ms), LIMITS_IDLE_TIMEOUT_MS, "90000",
     "an active buyer without a sign of life is evicted"},
    {"QUEUE_SESSION_LIMIT_MS", KIND_INT, AT(queue_session_limit_ms), LIMITS_SESSION_LIMIT_MS,
     "600000", "how long an admission lasts at most"},
    {"HOLD_MS", KIND_INT, AT(hold_ms), LIMITS_HOLD_MS, "300000", "how long seats are held"},
    {"QUEUE_SILENT_MS", KIND_INT, AT(queue_silent_ms), LIMITS_SILENT_MS, "120000",
     "a waiting buyer silent for longer is parked when his turn comes"},
    {"RESTORE_MS", KIND_INT, AT(restore_ms), 0, 3600000, "30000",
     "after Redis lost its data: how long buyers have to return to their places"},
    {"PASS_TTL_MS", KIND_INT, AT(pass_ttl_ms), 1000, DAY_MS, "600000",
     "validity of a pass; it also ends with the session"},
    {"REDIS_URL", KIND_SECRET, AT(redis_url), 0, 0, NULL,
     "redis://[[user]:password@]host[:port][/db] or unix:///path; or REDIS_HOST and REDIS_PORT"},
    {"REDIS_HOST", KIND_TEXT, AT(redis_host), 0, 0, NULL,
     "host of Redis, where REDIS_URL is unset"},
    {"REDIS_PORT", KIND_TEXT, AT(redis_port), 0, 0, "6379", "port of Redis, with REDIS_HOST"},
    {"REDIS_TIMEOUT_MS", KIND_INT, AT(redis_timeout_ms), 50, 60000, "2000",
     "deadline of one Redis command"},
    {"DATABASE_URL", KIND_SECRET, AT(database_url), 0, 0, NULL, "a libpq URI or keyword string"},
    {"DATABASE_REPLICA_URL", KIND_SECRET, AT(database_replica_url), 0, 0, NULL,
     "a replica for reads of the seat map"},
    {"DB_POOL_MIN", KIND_INT, AT(db_pool_min), 1, 1000, "2", "PostgreSQL connections kept open"},
    {"DB_POOL_MAX", KIND_INT, AT(db_pool_max), 1, 1000, "20",
     "at most so many, split over the workers; each has one at least"},
    {"DB_TIMEOUT_MS", KIND_INT, AT(db_timeout_ms), 50, 60000, "5000",
     "deadline of one PostgreSQL query, waiting for a connection included"},
    {"HTTP_HOST", KIND_TEXT, AT(http_host), 0, 0, "0.0.0.0", "address to listen on"},
    {"HTTP_PORT", KIND_INT, AT(http_port), 0, 65535, "8080", "HTTP port"},
    {"WS_PORT", KIND_INT, AT(ws_port), 0, 65535, "8081", "WebSocket port"},
    {"WS_PING_MS", KIND_INT, AT(ws_ping_ms), 1000, 60000, "25000",
     "ms between pings of a socket; below the idle timeout of the proxy in front"},
    {"PUBLIC_WS_URL", KIND_TEXT, AT(public_ws_url), 0, 0, NULL,
     "public address of the WebSocket, where it differs"},
    {"ROLES", KIND_ROLES, AT(roles), 0, 0, "api,gateway,processor", "roles of this process"},
    {"API_WORKERS", KIND_INT, AT(api_workers), 0, 31, "0", "API threads; 0: one per two cores"},
    {"GATEWAY_WORKERS", KIND_INT, AT(gateway_workers), 0, 31, "0",
     "WebSocket threads; 0: one per two cores"},
    {"DRAIN_MS", KIND_INT, AT(drain_ms), 100, 600000, "30000", "how long a stop may take"},
    {"JWT_SECRET", KIND_SECRET, AT(jwt_secret), 0, 0, NULL,
     "HS256 secret of the shop's JWT, 16 bytes or more"},
    {"JWT_JWKS_FILE", KIND_TEXT, AT(jwt_jwks_file), 0, 0, NULL,
     "file with the shop's public keys (JWKS)"},
    {"JWT_AUDIENCE", KIND_TEXT, AT(jwt_audience), 0, 0, NULL,
     "what the aud of the shop's JWT must be, or name; unset: aud is not looked at"},
    {"TICKET_KEYS", KIND_SECRET, AT(ticket_keys), 0, 0, NULL,
     "kid:hex,... 32 to 64 bytes each; the first signs, all verify"},
    {"PASS_KEY", KIND_SECRET, AT(pass_key), 0, 0, NULL,
     "PEM of a P-256 private key; unset: derived from the first ticket key"},
    {"PAYMENT_WEBHOOK_SECRET", KIND_SECRET, AT(payment_webhook_secret), 0, 0, NULL,
     "HMAC secret of the payment provider, 16 bytes or more; unset: paying and its webhook answer "
     "503"},
    {"PAYMENT_PROVIDER", KIND_TEXT, AT(payment_provider), 0, 0, "demo",
     "the payment provider's name in payments"},
    {"PAYMENT_URL", KIND_TEXT, AT(payment_url), 0, 0, NULL,
     "the provider's page, for the buyer's browser"},
    {"ALLOWED_ORIGINS", KIND_TEXT, AT(allowed_origins), 0, 0, NULL,
     "comma-separated origins for CORS and sockets; unset: the same host"},
    {"TRUSTED_PROXIES", KIND_TEXT, AT(trusted_proxies), 0, 0, NULL,
     "comma-separated addresses or CIDRs whose X-Forwarded-For counts"},
    {"RATE_LIMIT_PER_IP", KIND_INT, AT(rate_limit_per_ip), 0, 1000000, "0",
     "requests per second, address and API worker; 0: off"},
    {"LOG_LEVEL", KIND_LEVEL, AT(log_level), 0, 0, "info", "debug, info, warn, error or off"},
    {"TIKETI_TEST_HOOKS", KIND_FLAG, AT(test_hooks), 0, 0, "0",
     "1 enables crash points and script overrides; never in production"},
};
#define SETTING_COUNT (sizeof(settings) / sizeof(settings[0]))

static bool is_text(const struct setting *setting)
{
    return setting->kind == KIND_TEXT || setting->kind == KIND_SECRET;
}

static const char **text_slot(struct config *config, const struct setting *setting)
{
    return (const char **)((char *)config + setting->offset);
}

static enum status fail(char *error, size_t size, const struct setting *setting, const char *why)
{
    (void)snprintf(error, size, "%s: %s", setting->name, why);
    return ST_INVALID;
}

/* ---- reading ---- */

/* The content of NAME_FILE without its final newline. *ret is new. */
static enum status read_file(const char *path, char **ret)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
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

/* An empty value counts as unset. */
static const char *environment(const char *name)
{
    const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): before any thread starts */
    return value != NULL && *value != '\0' ? value : NULL;
}

/* The text of a setting: NAME, for secrets else NAME_FILE, else the default; NULL when unset.
 * *ret is new. */
static enum status find_text(const struct setting *setting, char **ret, char *error, size_t size)
{
    char file_name[64];
    const char *value = environment(setting->name);
    *ret = NULL;
    (void)snprintf(file_name, sizeof(file_name), "%s_FILE", setting->name);
    const char *path = setting->kind == KIND_SECRET ? environment(file_name) : NULL;
    if (value != NULL) {
        if (path != NULL)
            return fail(error, size, setting, "set together with its _FILE: which one counts?");
        if (strlen(value) > VALUE_MAX)
            return fail(error, size, setting, "longer than 16 KiB");
        *ret = xstrdup(value);
        return ST_OK;
    }
    if (path != NULL) {
        if (read_file(path, ret) != ST_OK)
            return fail(error, size, setting,
                        "its _FILE cannot be read, is over 16 KiB, or holds a NUL");
        return ST_OK;
    }
    if (setting->fallback != NULL)
        *ret = xstrdup(setting->fallback);
    return ST_OK;
}

static enum status set_int(struct config *config, const struct setting *setting, const char *text,
                           char *error, size_t size)
{
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (!isdigit((unsigned char)text[*text == '-']) || *end != '\0' || errno != 0 ||
        value < setting->min || value > setting->max) {
        (void)snprintf(error, size,
                       "%s: must be an integer from %" PRId64 " to %" PRId64 ", not '%.40s'",
                       setting->name, setting->min, setting->max, text);
        return ST_INVALID;
    }
    *(int64_t *)((char *)config + setting->offset) = value;
    return ST_OK;
}

static enum status set_value(struct config *config, const struct setting *setting, const char *text,
                             char *error, size_t size)
{
    switch (setting->kind) {
    case KIND_INT:
        return set_int(config, setting, text, error, size);
    case KIND_ROLES:
        if (config_parse_roles(text, &config->roles) != ST_OK)
            return fail(error, size, setting, "a comma-separated list of api, gateway, processor");
        return ST_OK;
    case KIND_LEVEL:
        if (!log_level_parse(text, &config->log_level))
            return fail(error, size, setting, "one of debug, info, warn, error, off");
        return ST_OK;
    case KIND_FLAG:
        if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
            return fail(error, size, setting, "0 or 1");
        config->test_hooks = strcmp(text, "1") == 0;
        return ST_OK;
    default:
        *text_slot(config, setting) = xstrdup(text);
        return ST_OK;
    }
}

enum status config_parse_roles(const char *text, unsigned *ret_roles)
{
    static const struct {
        const char *name;
        enum role role;
    } roles[] = {{"api", ROLE_API}, {"gateway", ROLE_GATEWAY}, {"processor", ROLE_PROCESSOR}};
    unsigned found = 0;
    while (true) {
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

/* REDIS_HOST and REDIS_PORT, where REDIS_URL is unset. The port is looked at only here: Kubernetes
 * sets a REDIS_PORT of its own ("tcp://…") beside a service named redis. */
static enum status derive_redis_url(struct config *config, char *error, size_t size)
{
    static const char host_chars[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:";
    const char *host = config->redis_host, *port = config->redis_port;
    char url[300];
    if (config->redis_url != NULL || host == NULL)
        return ST_OK;
    if (strlen(host) > 255 || strspn(host, host_chars) != strlen(host)) {
        (void)snprintf(error, size, "REDIS_HOST: must be a host name or an address");
        return ST_INVALID;
    }
    if (strlen(port) > 5 || strspn(port, "0123456789") != strlen(port) ||
        strtol(port, NULL, 10) < 1 || strtol(port, NULL, 10) > 65535) {
        (void)snprintf(error, size, "REDIS_PORT: must be an integer from 1 to 65535, not '%.40s'",
                       port);
        return ST_INVALID;
    }
    const bool v6 = strchr(host, ':') != NULL;
    (void)snprintf(url, sizeof(url), "redis://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
    config->redis_url = xstrdup(url);
    return ST_OK;
}

/* Of "scheme://host…" all behind the scheme; NULL where that is not its form. Also refused is what would
 * end a header's value, or a source in a policy, which it is written into. */
static const char *behind_scheme(const char *text, size_t len)
{
    const char *named = memmem(text, len, "://", 3);
    if (named == NULL || named == text || !isalpha((unsigned char)*text))
        return NULL;
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~' || strchr("\"'`,;<>\\^{|}", text[i]) != NULL)
            return NULL;
    }
    const char *host = named + 3;
    return host < text + len && strchr("/?#:", *host) == NULL ? host : NULL;
}

static enum status check_url(const char *name, const char *text, const char *scheme,
                             const char *secure, char *error, size_t size)
{
    if (text == NULL)
        return ST_OK;
    const bool known = strncasecmp(text, scheme, strlen(scheme)) == 0 ||
                       strncasecmp(text, secure, strlen(secure)) == 0;
    if (known && behind_scheme(text, strlen(text)) != NULL)
        return ST_OK;
    (void)snprintf(error, size, "%s: must be an address such as %sexample.com/, not '%.60s'", name,
                   secure, text);
    return ST_INVALID;
}

/* A browser sends an origin without a path, and never a star: what looks otherwise would match none. */
static enum status check_origins(const char *list, char *error, size_t size)
{
    while (list != NULL && *list != '\0') {
        list += strspn(list, ", ");
        const size_t len = strcspn(list, ", ");
        const char *host = len > 0 ? behind_scheme(list, len) : NULL;
        if (len > 0 && (host == NULL || host + strcspn(host, "/?#@, ") != list + len)) {
            (void)snprintf(
                error, size,
                "ALLOWED_ORIGINS: must be origins such as https://example.com, without a "
                "path, not '%.*s'",
                len < 60 ? (int)len : 60, list);
            return ST_INVALID;
        }
        list += len;
    }
    return ST_OK;
}

static enum status check_secret(const char *name, const char *secret, char *error, size_t size)
{
    if (secret == NULL || strlen(secret) >= SECRET_MIN)
        return ST_OK;
    (void)snprintf(error, size, "%s: must be %d bytes or more", name, SECRET_MIN);
    return ST_INVALID;
}

static enum status check_whole(const struct config *config, char *error, size_t size)
{
    if (config->db_pool_max < config->db_pool_min) {
        (void)snprintf(error, size, "DB_POOL_MAX: must not be below DB_POOL_MIN");
        return ST_INVALID;
    }
    enum status st = check_secret("JWT_SECRET", config->jwt_secret, error, size);
    if (st == ST_OK)
        st = check_secret("PAYMENT_WEBHOOK_SECRET", config->payment_webhook_secret, error, size);
    if (st == ST_OK)
        st = check_url("PUBLIC_WS_URL", config->public_ws_url, "ws://", "wss://", error, size);
    if (st == ST_OK)
        st = check_url("PAYMENT_URL", config->payment_url, "http://", "https://", error, size);
    return st == ST_OK ? check_origins(config->allowed_origins, error, size) : st;
}

enum status config_load(struct config **ret_config, char *error, size_t error_size)
{
    struct config *config = xcalloc(1, sizeof(*config));
    enum status st = ST_OK;
    for (size_t i = 0; i < SETTING_COUNT && st == ST_OK; i++) {
        char *text;
        st = find_text(&settings[i], &text, error, error_size);
        if (st == ST_OK && text != NULL) {
            st = set_value(config, &settings[i], text, error, error_size);
            explicit_bzero(text, strlen(text));
        }
        free(text);
    }
    if (st == ST_OK)
        st = derive_redis_url(config, error, error_size);
    if (st == ST_OK)
        st = check_whole(config, error, error_size);
    if (st != ST_OK) {
        config_free(config);
        return st;
    }
    *ret_config = config;
    return ST_OK;
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (!is_text(&settings[i]))
            continue;
        char *text = (char *)*text_slot(config, &settings[i]);
        if (text != NULL)
            explicit_bzero(text, strlen(text));
        free(text);
    }
    free(config);
}

enum status config_require(const struct config *config, enum config_need need, char *error,
                           size_t error_size)
{
    const char *missing = NULL;
    if (need != CONFIG_NEED_TOKEN && config->database_url == NULL)
        missing = "DATABASE_URL";
    if (need == CONFIG_NEED_SERVE && config->redis_url == NULL)
        missing = "REDIS_URL (or REDIS_HOST)";
    if (need == CONFIG_NEED_SERVE && config->ticket_keys == NULL)
        missing = "TICKET_KEYS";
    if (need == CONFIG_NEED_TOKEN && config->jwt_secret == NULL)
        missing = "JWT_SECRET";
    if (missing == NULL)
        return ST_OK;
    (void)snprintf(error, error_size, "%s is not set", missing);
    return ST_INVALID;
}

void config_print_help(FILE *out)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &settings[i];
        (void)fprintf(out, "  %-26s %s%s%s%s%s\n", setting->name, setting->help,
                      setting->fallback != NULL ? " (default " : "",
                      setting->fallback != NULL ? setting->fallback : "",
                      setting->fallback != NULL ? ")" : "",
                      setting->kind == KIND_SECRET ? " [or _FILE]" : "");
    }
}
