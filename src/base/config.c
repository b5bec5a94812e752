/* SPDX-License-Identifier: MIT */
/*
 * config: the settings of the process.
 *
 * Why this way: one table has the name, type, range, default and help of each setting, and its field in struct
 * config. Reading, --help, the _FILE variants, all errors and reloads come from it, so a setting is one row.
 * Called by: program, main. Owns: the texts of a config, which are overwritten when it is freed, since
 * some are secrets.
 */
#include "base/config_internal.h"

#include "base/memory.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(struct config, member)
#define DAY_MS     INT64_C(86400000)

const struct setting config_settings[] = {
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
    {"QUEUE_CLAIM_MS", KIND_INT, AT(queue_claim_ms), LIMITS_CLAIM_MS, "90000",
     "ms within which a buyer must claim the turn that they are offered; an event may set its own"},
    {"QUEUE_PLACES_PER_NETWORK", KIND_INT, AT(queue_places_per_network), LIMITS_NETWORK_PLACES,
     "5000",
     "new places that an event gives to one network (IPv4 /24, IPv6 /64); 0: no limit; "
     "an event may set its own"},
    {"RESTORE_MS", KIND_INT, AT(restore_ms), 0, 3600000, "30000",
     "ms that buyers have to return to their places after Redis has lost its data"},
    {"PASS_TTL_MS", KIND_INT, AT(pass_ttl_ms), 1000, DAY_MS, "600000",
     "ms that a pass is valid; never beyond the buyer's session"},
    {"REDIS_URL", KIND_SECRET, AT(redis_url), 0, 0, NULL,
     "redis://[[user]:password@]host[:port][/db], unix:///path, "
     "redis+sentinel://[[user]:password@]host[:port],host[:port]/primary[/db] (the hosts are "
     "Sentinels) or redis+cluster://[[user]:password@]host[:port],host[:port]; over TLS it begins "
     "with rediss; or set REDIS_HOST"},
    {"REDIS_HOST", KIND_TEXT, AT(redis_host), 0, 0, NULL, "Redis host; instead of REDIS_URL"},
    {"REDIS_PORT", KIND_INT, AT(redis_port), 1, 65535, "6379", "Redis port, used with REDIS_HOST"},
    {"REDIS_PREFIX", KIND_TEXT, AT(redis_prefix), 0, 0, NULL,
     "text before every key and channel, such as shop1:, for deployments that share one Redis"},
    {"REDIS_TIMEOUT_MS", KIND_INT, AT(redis_timeout_ms), 50, 60000, "2000",
     "ms until a Redis command times out"},
    {"REDIS_TLS_CA", KIND_TEXT, AT(redis_tls_ca), 0, 0, NULL,
     "PEM file of the authorities that may sign the certificate of a Redis over TLS; unset: the "
     "system's"},
    {"REDIS_TLS_CERT", KIND_TEXT, AT(redis_tls_cert), 0, 0, NULL,
     "PEM file with a certificate of our own, for a Redis that asks for one; unset: none"},
    {"REDIS_TLS_KEY", KIND_TEXT, AT(redis_tls_key), 0, 0, NULL,
     "PEM file with the private key of REDIS_TLS_CERT"},
    {"REDIS_TLS_VERIFY", KIND_TEXT, AT(redis_tls_verify), 0, 0, "full",
     "full: the certificate must be for the host that is dialled; ca: it may be for another host "
     "of the same authorities"},
    {"REDIS_SENTINEL_USER", KIND_TEXT, AT(redis_sentinel_user), 0, 0, NULL,
     "user with which Sentinels are asked; REDIS_URL has the user of Redis itself"},
    {"REDIS_SENTINEL_PASSWORD", KIND_SECRET, AT(redis_sentinel_password), 0, 0, NULL,
     "password with which Sentinels are asked; unset: none"},
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
    {"KEEP_REDIS_DAYS", KIND_INT, AT(keep_redis_days), 0, 3650, "7",
     "days after an event was closed in which Redis keeps its keys; 0: for ever"},
    {"KEEP_EMAILS_DAYS", KIND_INT, AT(keep_emails_days), 0, 36500, "30",
     "days after an event is over (closed, and startsAt has passed) in which its buyers' e-mail "
     "addresses are kept; 0: for ever"},
    {"KEEP_BUYERS_DAYS", KIND_INT, AT(keep_buyers_days), 0, 36500, "365",
     "days after an event is over in which its buyers' ids are kept; then pseudonyms take their "
     "places; 0: for ever"},
    {"KEEP_FEED_DAYS", KIND_INT, AT(keep_feed_days), 0, 36500, "30",
     "days in which the feed of what happened can be read again; 0: for ever"},
    {"HTTP_HOST", KIND_TEXT, AT(http_host), 0, 0, "0.0.0.0", "numeric address to listen on"},
    {"HTTP_PORT", KIND_INT, AT(http_port), 0, 65535, "8080", "HTTP port"},
    {"WS_PORT", KIND_INT, AT(ws_port), 0, 65535, "8081", "WebSocket port"},
    {"METRICS_PORT", KIND_INT, AT(metrics_port), 0, 65535, "0",
     "port of its own for probes, from the start on, and for /metrics, which HTTP_PORT then does "
     "not "
     "answer; 0: HTTP_PORT answers both, as soon as it is open"},
    {"WS_PING_MS", KIND_INT, AT(ws_ping_ms), 1000, 60000, "25000",
     "ms between pings of a WebSocket; keep it below the idle timeout of the proxy in front"},
    {"PUBLIC_URL", KIND_TEXT, AT(public_url), 0, 0, NULL,
     "public URL of the pages, such as https://tickets.example.com: return addresses begin with "
     "it; "
     "unset: the request's scheme and host"},
    {"PATH_PREFIX", KIND_TEXT, AT(path_prefix), 0, 0, NULL,
     "path below which everything is, such as /.tiketi, for a host whose other paths are a shop's; "
     "unset: none"},
    {"ASSETS_URL", KIND_TEXT, AT(assets_url), 0, 0, NULL,
     "origin of a CDN in front of /assets/, such as https://cdn.example.com; unset: the pages' "
     "own"},
    {"HSTS_MAX_AGE_S", KIND_INT, AT(hsts_max_age_s), 0, 63072000, "31536000",
     "s for which browsers that came over HTTPS ask for pages by HTTPS only; 0: no such header"},
    {"PUBLIC_WS_URL", KIND_TEXT, AT(public_ws_url), 0, 0, NULL,
     "public URL of the WebSocket; unset: the request's host and WS_PORT"},
    {"ROLES", KIND_ROLES, AT(roles), 0, 0, "api,gateway,processor", "roles of this process"},
    {"API_WORKERS", KIND_INT, AT(api_workers), 0, 31, "0", "API threads; 0: one per two cores"},
    {"GATEWAY_WORKERS", KIND_INT, AT(gateway_workers), 0, 31, "0",
     "WebSocket threads; 0: one per two cores"},
    {"DRAIN_MS", KIND_INT, AT(drain_ms), 100, 600000, "30000", "ms that a stop may take"},
    {"JWT_SECRETS", KIND_SECRET | KIND_LIVE, AT(jwt_secrets), 0, 0, NULL,
     "HS256 secrets of the shop's JWTs, at least 16 bytes each, separated by blanks or newlines; "
     "the first one signs `tiketi token`, all verify"},
    {"JWT_JWKS_FILE", KIND_TEXT | KIND_LIVE, AT(jwt_jwks_file), 0, 0, NULL,
     "file with the shop's public keys (JWKS)"},
    {"JWT_JWKS_URL", KIND_TEXT | KIND_LIVE, AT(jwt_jwks_url), 0, 0, NULL,
     "https address of the shop's public keys (JWKS), which are fetched at least every ten "
     "minutes"},
    {"JWT_ISSUER", KIND_TEXT | KIND_LIVE, AT(jwt_issuer), 0, 0, NULL,
     "issuer that the shop's JWTs must name, exactly; unset: iss is not checked"},
    {"JWT_AUDIENCE", KIND_TEXT | KIND_LIVE, AT(jwt_audience), 0, 0, NULL,
     "audience that the shop's JWTs must name; unset: aud is not checked"},
    {"STAFF_TOKENS_WITHOUT_EXP", KIND_FLAG | KIND_LIVE, AT(staff_tokens_without_exp), 0, 0, "0",
     "1 accepts JWTs with a role that never expire"},
    {"TICKET_KEYS", KIND_SECRET | KIND_LIVE, AT(ticket_keys), 0, 0, NULL,
     "kid:hex,kid:hex; keys of 32 to 64 bytes; the first one signs, all verify"},
    {"PASS_KEYS", KIND_SECRET | KIND_LIVE, AT(pass_keys), 0, 0, "derived",
     "P-256 keys: PEM blocks, JWKS documents of public ones, and the word derived, which stands "
     "for "
     "the keys that TICKET_KEYS derive; the first private one signs, all verify"},
    {"OIDC_ISSUER", KIND_TEXT, AT(oidc_issuer), 0, 0, NULL,
     "identity provider by which people sign in (OpenID Connect), exactly as its tokens name it in "
     "iss; unset: none"},
    {"OIDC_CLIENT_ID", KIND_TEXT, AT(oidc_client_id), 0, 0, NULL,
     "client that the provider knows us as; its redirect URI is PUBLIC_URL/oidc/callback"},
    {"OIDC_CLIENT_SECRET", KIND_SECRET, AT(oidc_client_secret), 0, 0, NULL,
     "secret of that client; unset: a public client"},
    {"OIDC_FOR", KIND_TEXT, AT(oidc_for), 0, 0, "staff,buyers",
     "who signs in there: staff (the console), buyers (events that forbid guests), or both, "
     "comma-separated"},
    {"OIDC_SCOPE", KIND_TEXT, AT(oidc_scope), 0, 0, "openid email profile",
     "scopes that are asked for staff; for buyers it is openid alone"},
    {"OIDC_ROLE_CLAIM", KIND_TEXT, AT(oidc_role_claim), 0, 0, "role",
     "claim with the role of staff: a text or a list, with dots into objects, such as "
     "realm_access.roles"},
    {"OIDC_ROLES", KIND_TEXT, AT(oidc_roles), 0, 0, NULL,
     "what values of that claim mean: box-office=organizer,it=admin; * stands for anybody; unset: "
     "the values are admin, organizer, sre, viewer, door"},
    {"OIDC_DOMAINS", KIND_TEXT, AT(oidc_domains), 0, 0, NULL,
     "domains whose verified e-mail addresses may sign in as staff, comma-separated; unset: any"},
    {"PAYMENT_WEBHOOK_SECRETS", KIND_SECRET | KIND_LIVE, AT(payment_webhook_secrets), 0, 0, NULL,
     "HMAC secrets shared with the payment provider, at least 16 bytes each, separated by blanks "
     "or "
     "newlines; the first one signs orders, all verify; unset: paying is off (503)"},
    {"PAYMENT_PROVIDER", KIND_TEXT, AT(payment_provider), 0, 0, "demo",
     "name of the payment provider in the payments table"},
    {"PAYMENT_URL", KIND_TEXT, AT(payment_url), 0, 0, NULL,
     "URL of the provider's payment page, for the buyer's browser"},
    {"MAIL_URL", KIND_SECRET, AT(mail_url), 0, 0, NULL,
     "mail server: smtp://[user:password@]host[:port], which is STARTTLS, or smtps://; unset: mail "
     "waits in the outbox"},
    {"MAIL_FROM", KIND_TEXT, AT(mail_from), 0, 0, NULL,
     "sender of all mail: tickets@example.com, or A name <tickets@example.com>"},
    {"MAIL_TLS_REQUIRED", KIND_FLAG, AT(mail_tls_required), 0, 0, "0",
     "1 refuses a mail server of smtp:// without a valid certificate, also where MAIL_URL has no "
     "password"},
    {"MAIL_CA_FILE", KIND_TEXT, AT(mail_ca_file), 0, 0, NULL,
     "PEM file of the authorities that may sign the mail server's certificate; unset: the "
     "system's"},
    {"VAPID_KEYS", KIND_SECRET | KIND_ROLLED, AT(vapid_keys), 0, 0, NULL,
     "keys for push messages, of `tiketi vapid-key`, comma-separated: pages use the first one, all "
     "sign; unset: none are sent"},
    {"VAPID_SUBJECT", KIND_TEXT, AT(vapid_subject), 0, 0, NULL,
     "whom push services may write to: mailto:ops@example.com, or https://…"},
    {"OUTBOUND_CA_FILE", KIND_TEXT, AT(outbound_ca_file), 0, 0, NULL,
     "PEM file of the authorities that may sign the certificates of push services; unset: the "
     "system's"},
    {"OUTBOUND_ALLOW", KIND_TEXT, AT(outbound_allow), 0, 0, NULL,
     "private addresses that outgoing connections may reach all the same, such as the mail "
     "server's: addresses or CIDRs, comma-separated"},
    {"HEALTH_URL", KIND_TEXT, AT(health_url), 0, 0, NULL,
     "Prometheus that is asked how the shop is, such as http://prometheus:9090, for events with "
     "thresholdMin; unset: none"},
    {"HEALTH_P95_QUERY", KIND_TEXT, AT(health_p95_query), 0, 0, NULL,
     "PromQL of one number: the 95th percentile of the shop's response times, in seconds; {event} "
     "stands for the event's id"},
    {"HEALTH_ERROR_QUERY", KIND_TEXT, AT(health_error_query), 0, 0, NULL,
     "PromQL of one number: the share of the shop's requests that fail, 0 to 1; unset: errors are "
     "not judged"},
    {"ALLOWED_ORIGINS", KIND_TEXT | KIND_LIVE, AT(allowed_origins), 0, 0, NULL,
     "origins allowed for CORS and WebSockets, comma-separated; unset: the same host only"},
    {"COOKIE_DOMAIN", KIND_TEXT, AT(cookie_domain), 0, 0, NULL,
     "domain whose hosts all get the buyers' cookies, such as example.com; unset: this host only"},
    {"TRUSTED_PROXIES", KIND_TEXT, AT(trusted_proxies), 0, 0, NULL,
     "addresses or CIDRs whose X-Forwarded-For is trusted, comma-separated"},
    {"RATE_LIMIT_PER_IP", KIND_INT | KIND_LIVE, AT(rate_limit_per_ip), 0, 1000000, "1000",
     "requests and WebSocket handshakes per second of one address, on all workers together; ten "
     "times as many in a burst; 0: no limit"},
    {"WS_SOCKETS_PER_IP", KIND_INT | KIND_LIVE, AT(ws_sockets_per_ip), 0, 1000000, "5000",
     "open WebSockets of one address, never more than half of all; 0: no limit"},
    {"HTTP_CONNECTIONS_PER_IP", KIND_INT | KIND_LIVE, AT(http_connections_per_ip), 0, 1000000,
     "2000",
     "open HTTP connections of one address, never more than half of all; "
     "trusted proxies are exempt; 0: no limit"},
    {"HTTP_CONNECTIONS_MAX", KIND_INT, AT(http_connections_max), 0, 1000000, "0",
     "open HTTP connections of the process, shared by its API workers; 0: as many as open files "
     "and "
     "half of the memory allow"},
    {"LOG_LEVEL", KIND_LEVEL | KIND_LIVE, AT(log_level), 0, 0, "info",
     "debug, info, warn, error or off"},
    {"ACCESS_LOG", KIND_ACCESS | KIND_LIVE, AT(access_log), 0, 0, "off",
     "requests that get a line of their own: off; errors (400 and more); sampled (every hundredth, "
     "and 500 and more); all"},
    {"COMPAT_TIKETI_NODE", KIND_FLAG | KIND_LIVE, AT(compat_tiketi_node), 0, 0, "0",
     "1 serves clients of the predecessor, the JavaScript service: any heartbeat claims a turn, "
     "and "
     "its two routes below /api/queue/admin exist"},
    {"TIKETI_TEST_HOOKS", KIND_FLAG, AT(test_hooks), 0, 0, "0",
     "1 enables crash points and script overrides; never in production"},
};
#define SETTING_COUNT (sizeof(config_settings) / sizeof(config_settings[0]))
const size_t config_setting_count = SETTING_COUNT;
_Static_assert(SETTING_COUNT <= CONFIG_SETTINGS_MAX, "raise CONFIG_SETTINGS_MAX");

/* ---- what is wrong ---- */

/* Its row in the table; config_setting_count: no setting has the name. */
static size_t index_of(const char *name)
{
    size_t i = 0;
    while (i < SETTING_COUNT && strcmp(config_settings[i].name, name) != 0)
        i++;
    return i;
}

enum status config_refuse(struct config_reading *reading, const char *name, const char *format, ...)
{
    const size_t i = index_of(name);
    char sentence[400];
    va_list args;
    reading->failed = true;
    if (i < SETTING_COUNT && reading->settings[i].refused)
        return ST_INVALID;
    va_start(args, format);
    (void)vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    buf_printf(reading->problems, "%s: %s", name, sentence);
    if (*reading->where != '\0')
        buf_add_str(reading->problems, reading->where);
    else if (i < SETTING_COUNT && reading->settings[i].set)
        buf_add_str(reading->problems, " (--set)");
    else if (i < SETTING_COUNT && reading->settings[i].line > 0)
        buf_printf(reading->problems, " (line %u of %s)", reading->settings[i].line, reading->file);
    buf_add_char(reading->problems, '\n');
    if (i < SETTING_COUNT)
        reading->settings[i].refused = true;
    return ST_INVALID;
}

bool config_is_refused(const struct config_reading *reading, const char *name)
{
    const size_t i = index_of(name);
    return i < SETTING_COUNT && reading->settings[i].refused;
}

bool config_is_given(const struct config_reading *reading, const char *name)
{
    const size_t i = index_of(name);
    return i < SETTING_COUNT && reading->settings[i].given;
}

/* ---- values ---- */

static enum status set_value(struct config *config, const struct setting *setting, const char *text,
                             struct config_reading *reading)
{
    char *end;
    switch (KIND(setting)) {
    case KIND_INT:
        errno = 0;
        const long long value = strtoll(text, &end, 10);
        if (!isdigit((unsigned char)text[*text == '-']) || *end != '\0' || errno != 0 ||
            value < setting->min || value > setting->max)
            return config_refuse(reading, setting->name,
                                 "must be an integer from %" PRId64 " to %" PRId64 ", not '%.40s'",
                                 setting->min, setting->max, text);
        *(int64_t *)((char *)config + setting->offset) = value;
        return ST_OK;
    case KIND_ROLES:
        if (config_parse_roles(text, &config->roles) != ST_OK)
            return config_refuse(reading, setting->name,
                                 "must be a comma-separated list of api, gateway and processor");
        return ST_OK;
    case KIND_LEVEL:
        if (!log_level_parse(text, &config->log_level))
            return config_refuse(reading, setting->name, "must be debug, info, warn, error or off");
        return ST_OK;
    case KIND_ACCESS:
        if (!log_access_parse(text, &config->access_log))
            return config_refuse(reading, setting->name, "must be off, errors, sampled or all");
        return ST_OK;
    case KIND_FLAG:
        if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
            return config_refuse(reading, setting->name, "must be 0 or 1");
        *(bool *)((char *)config + setting->offset) = strcmp(text, "1") == 0;
        return ST_OK;
    case KIND_TEXT:
    case KIND_SECRET:
        *setting_text(config, setting) = xstrdup(text);
        return ST_OK;
    }
    return ST_INTERNAL;
}

static const struct {
    const char *name;
    enum role role;
} roles[] = {{"api", ROLE_API}, {"gateway", ROLE_GATEWAY}, {"processor", ROLE_PROCESSOR}};

void config_write_roles(unsigned set, char ret[CONFIG_ROLES_SIZE])
{
    char *at = ret;
    *at = '\0';
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (set & roles[i].role)
            at = stpcpy(at == ret ? at : stpcpy(at, ","), roles[i].name);
    }
}

enum status config_parse_roles(const char *text, unsigned *ret_roles)
{
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

/* ---- the whole ---- */

/* A setting that is refused gets its default, so that the checks of the whole find what else is wrong, and only that. */
static void read_setting(struct config *config, size_t index, struct config_inputs *inputs,
                         struct config_reading *reading)
{
    const struct setting *setting = &config_settings[index];
    char *text;
    enum status st = config_inputs_find(inputs, index, reading, &text);
    if (st == ST_OK && text)
        st = set_value(config, setting, text, reading);
    if ((st != ST_OK || !text) && setting->fallback) {
        st = set_value(config, setting, setting->fallback, reading);
        assert(st == ST_OK);
    }
    if (text)
        explicit_bzero(text, strlen(text)); /* it may be a secret */
    free(text);
}

enum status config_read(const struct config_source *source, enum config_need need,
                        struct config **ret_config, struct buf *problems)
{
    struct config *config = xcalloc(1, sizeof(*config));
    struct config_reading *reading = xcalloc(1, sizeof(*reading));
    reading->problems = problems;
    reading->where = "";
    config->refs = 1;
    struct config_inputs *inputs = config_inputs_open(source, reading);
    for (size_t i = 0; i < SETTING_COUNT; i++)
        read_setting(config, i, inputs, reading);
    config_check(config, reading);
    config_check_need(config, need, reading);
    config->source = source;
    config->file = config_inputs_file(inputs);
    config->file_exposed = config_inputs_exposed(inputs);
    config_inputs_close(inputs);
    config->faulty = reading->failed;
    free(reading);
    *ret_config = config;
    return config->faulty ? ST_INVALID : ST_OK;
}

enum status config_load(const struct config_source *source, enum config_need need,
                        struct config **ret_config, struct buf *problems)
{
    struct config *config;
    const enum status st = config_read(source, need, &config, problems);
    if (st == ST_OK)
        *ret_config = config;
    else
        config_free(config);
    return st;
}

const struct config *config_ref(const struct config *config)
{
    (void)atomic_fetch_add_explicit(&((struct config *)config)->refs, 1, memory_order_relaxed);
    return config;
}

/* Is the text of the first config, whoever made this one? */
static bool is_shared(const struct config *config, const struct setting *setting)
{
    return config->first && !(setting->kind & KIND_LIVE);
}

void config_free(const struct config *shared)
{
    struct config *config = (struct config *)shared;
    if (!config || atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (!setting_is_text(&config_settings[i]) || is_shared(config, &config_settings[i]))
            continue;
        char *text = (char *)*setting_text(config, &config_settings[i]);
        if (text)
            explicit_bzero(text, strlen(text));
        free(text);
    }
    const struct config *first = config->first;
    free(config);
    config_free(first);
}

/* ---- help ---- */

#define HELP_WIDTH  100
#define HELP_INDENT 27

/* Prints one word, from column HELP_INDENT on: on the same line, if it fits. */
static void print_word(FILE *out, size_t *column, const char *word, size_t len)
{
    if (*column > HELP_INDENT && *column + 1 + len > HELP_WIDTH) {
        (void)fprintf(out, "\n%*s", HELP_INDENT, "");
        *column = HELP_INDENT;
    } else if (*column > HELP_INDENT) {
        (void)fputc(' ', out);
        ++*column;
    }
    (void)fwrite(word, 1, len, out);
    *column += len;
}

void config_print_help(FILE *out)
{
    static const struct {
        const char *first, *title;
    } chapters[] = {
        {"QUEUE_THRESHOLD", "Queues"},
        {"REDIS_URL", "Redis and PostgreSQL"},
        {"KEEP_REDIS_DAYS", "How long data is kept"},
        {"HTTP_HOST", "Ports and addresses"},
        {"ROLES", "Roles"},
        {"JWT_SECRETS", "Keys"},
        {"OIDC_ISSUER", "Signing in"},
        {"PAYMENT_WEBHOOK_SECRETS", "Payment"},
        {"MAIL_URL", "Mail, push messages, outgoing connections"},
        {"HEALTH_URL", "The shop's health"},
        {"ALLOWED_ORIGINS", "Clients"},
        {"LOG_LEVEL", "Log and tests"},
    };
    size_t chapter = 0;
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &config_settings[i];
        size_t column = HELP_INDENT;
        if (chapter < sizeof(chapters) / sizeof(chapters[0]) &&
            strcmp(chapters[chapter].first, setting->name) == 0)
            (void)fprintf(out, "%s%s\n", i > 0 ? "\n" : "", chapters[chapter++].title);
        (void)fprintf(out, "  %-*s", HELP_INDENT - 2, setting->name);
        if (strlen(setting->name) > HELP_INDENT - 3)
            (void)fprintf(out, "\n%*s", HELP_INDENT, "");
        for (const char *word = setting->help; *word != '\0'; word += strspn(word, " ")) {
            const size_t len = strcspn(word, " ");
            print_word(out, &column, word, len);
            word += len;
        }
        if (setting->fallback) {
            char fallback[200];
            const int len = snprintf(fallback, sizeof(fallback), "(default %s)", setting->fallback);
            print_word(out, &column, fallback, (size_t)len);
        }
        if (setting->kind & KIND_LIVE)
            print_word(out, &column, "[reload]", strlen("[reload]"));
        (void)fputc('\n', out);
    }
}
