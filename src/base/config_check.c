/* SPDX-License-Identifier: MIT */
/*
 * config_check: what a value must be beside its type, what settings must be together, and what is better not done.
 *
 * Why this way: every check runs, and each setting gets one line at most, so that all that is wrong is known after one
 * start. Called by: config. Pure, but for the log lines of config_log_risks.
 */
#include "base/config_internal.h"

#include "base/cidr.h"
#include "base/email.h"
#include "base/memory.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SECRET_MIN      16 /* bytes of an HMAC secret */
#define JWT_SECRET_GOOD 32

/* Builds redis_url from REDIS_HOST and REDIS_PORT where REDIS_URL is unset. */
static void derive_redis_url(struct config *config, struct config_reading *reading)
{
    static const char host_chars[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:";
    const char *host = config->redis_host;
    char url[300];
    if (config->redis_url && config_is_given(reading, "REDIS_HOST"))
        (void)config_refuse(reading, "REDIS_HOST", "set either this or REDIS_URL, not both");
    if (config->redis_url && config_is_given(reading, "REDIS_PORT"))
        (void)config_refuse(reading, "REDIS_PORT",
                            "is for REDIS_HOST; REDIS_URL, which is set, has the port");
    if (config->redis_url || !host)
        return;
    if (strlen(host) > 255 || strspn(host, host_chars) != strlen(host)) {
        (void)config_refuse(reading, "REDIS_HOST", "must be a host name or an address");
        return;
    }
    const bool v6 = strchr(host, ':');
    (void)snprintf(url, sizeof(url), "redis://%s%s%s:%d", v6 ? "[" : "", host, v6 ? "]" : "",
                   (int)config->redis_port);
    config->redis_url = xstrdup(url);
}

/* What is set for TLS or Sentinel must be used: a plain URL beside it is a mistake that nobody would notice. */
static void check_redis(struct config *config, struct config_reading *reading)
{
    static const char *const unused =
        "is for a REDIS_URL that begins with %s; the one in use does not";
    const char *url = config->redis_url ? config->redis_url : "";
    const bool tls = strncmp(url, "rediss", 6) == 0, sentinel = strstr(url, "+sentinel://");
    const char *const files[] = {config->redis_tls_ca, config->redis_tls_cert,
                                 config->redis_tls_key};
    static const char *const names[] = {"REDIS_TLS_CA", "REDIS_TLS_CERT", "REDIS_TLS_KEY"};
    const bool by_name = config->redis_tls_verify && strcmp(config->redis_tls_verify, "full") == 0;
    config->redis_tls_any_name =
        config->redis_tls_verify && strcmp(config->redis_tls_verify, "ca") == 0;
    if (config->redis_tls_verify && !by_name && !config->redis_tls_any_name)
        (void)config_refuse(reading, "REDIS_TLS_VERIFY", "must be full or ca, not '%.60s'",
                            config->redis_tls_verify);
    if (!config->redis_url)
        return;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (files[i] && !tls)
            (void)config_refuse(reading, names[i], unused, "rediss");
    if (config->redis_tls_cert && !config->redis_tls_key)
        (void)config_refuse(reading, "REDIS_TLS_KEY", "must be set where REDIS_TLS_CERT is");
    if (config->redis_tls_key && !config->redis_tls_cert)
        (void)config_refuse(reading, "REDIS_TLS_CERT", "must be set where REDIS_TLS_KEY is");
    if (config->redis_sentinel_password && !sentinel)
        (void)config_refuse(reading, "REDIS_SENTINEL_PASSWORD", unused, "redis+sentinel");
    if (config->redis_sentinel_user && !config->redis_sentinel_password)
        (void)config_refuse(reading, "REDIS_SENTINEL_PASSWORD",
                            "must be set where REDIS_SENTINEL_USER is");
}

/* ---- addresses ---- */

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

/* A text that is NULL is fine. */
static enum status check_url(const char *name, const char *text, const char *scheme,
                             const char *secure, struct config_reading *reading)
{
    if (!text)
        return ST_OK;
    const bool known = strncasecmp(text, scheme, strlen(scheme)) == 0 ||
                       strncasecmp(text, secure, strlen(secure)) == 0;
    if (known && host_of(text, strlen(text)))
        return ST_OK;
    return config_refuse(reading, name, "must be a URL such as %sexample.com/, not '%.60s'", secure,
                         text);
}

/* A browser's Origin has neither a path nor the scheme's own port, and no wildcard: any other form would match nothing. */
static void check_origin(const char *name, const char *text, size_t len,
                         struct config_reading *reading)
{
    static const struct {
        const char *scheme, *port;
    } own_ports[] = {{"http://", ":80"}, {"https://", ":443"}};
    const int shown = len < 60 ? (int)len : 60;
    const char *host = host_of(text, len);
    if (memchr(text, '*', len))
        (void)config_refuse(reading, name, "must name each origin, without a wildcard, not '%.*s'",
                            shown, text);
    else if (!host || host + strcspn(host, "/?#@, ") < text + len)
        (void)config_refuse(reading, name,
                            "must be origins such as https://example.com, without a path, not "
                            "'%.*s'",
                            shown, text);
    for (size_t i = 0; i < sizeof(own_ports) / sizeof(own_ports[0]); i++) {
        const size_t scheme_len = strlen(own_ports[i].scheme), port_len = strlen(own_ports[i].port);
        if (len > scheme_len + port_len &&
            strncasecmp(text, own_ports[i].scheme, scheme_len) == 0 &&
            memcmp(text + len - port_len, own_ports[i].port, port_len) == 0)
            (void)config_refuse(
                reading, name,
                "must not have the scheme's own port, which browsers leave out: '%.*s'", shown,
                text);
    }
}

static void check_allowed_origins(const char *list, struct config_reading *reading)
{
    while (list && *list != '\0') {
        list += strspn(list, ", ");
        const size_t len = strcspn(list, ", ");
        if (len > 0)
            check_origin("ALLOWED_ORIGINS", list, len, reading);
        list += len;
    }
}

const char *config_prefix(const struct config *config)
{
    return config->path_prefix ? config->path_prefix : "";
}

/* The slash at the end of an origin is dropped: people copy it from the browser. */
static void check_own_origin(const char *name, const char *url, struct config_reading *reading)
{
    if (check_url(name, url, "http://", "https://", reading) != ST_OK || !url)
        return;
    char *text = (char *)url;
    size_t len = strlen(text);
    if (text[len - 1] == '/')
        text[--len] = '\0';
    check_origin(name, text, len, reading);
}

/* Whole segments of characters that mean the same to every proxy, so that no path can be read in two ways. */
static void check_path_prefix(const char *prefix, struct config_reading *reading)
{
    static const char chars[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
    if (!prefix)
        return;
    const size_t len = strlen(prefix);
    if (prefix[0] != '/' || len < 2 || len > CONFIG_PATH_PREFIX_MAX ||
        strspn(prefix, chars) != len || prefix[len - 1] == '/' || strstr(prefix, "//") ||
        strstr(prefix, "/./") || strstr(prefix, "/../") ||
        strcmp(strrchr(prefix, '/'), "/.") == 0 || strcmp(strrchr(prefix, '/'), "/..") == 0)
        (void)config_refuse(reading, "PATH_PREFIX",
                            "must be a path such as /.tiketi: at most %d of A-Z, a-z, 0-9 and "
                            "-._~/, without a slash at its end, not '%.60s'",
                            CONFIG_PATH_PREFIX_MAX, prefix);
}

/* A dot before it is dropped: older texts ask for one. A name without a dot inside is refused by browsers. */
static void check_cookie_domain(struct config *config, struct config_reading *reading)
{
    static const char chars[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";
    char *text = (char *)config->cookie_domain;
    if (!text)
        return;
    if (text[0] == '.')
        memmove(text, text + 1, strlen(text));
    const size_t len = strlen(text);
    if (len == 0 || len > 253 || strspn(text, chars) != len || !strchr(text, '.') ||
        text[0] == '.' || text[len - 1] == '.' || strstr(text, "..") ||
        !isalpha((unsigned char)text[len - 1]))
        (void)config_refuse(reading, "COOKIE_DOMAIN",
                            "must be a domain such as example.com, in lower case, not '%.60s'",
                            text);
}

/* A list that cannot be used is refused here, once for all who use it, and is unset after that. */
static void check_addresses(const char *name, const char **list, struct config_reading *reading)
{
    struct cidr_list addresses;
    char error[160];
    if (cidr_list_read(*list, &addresses, error, sizeof(error)) == ST_OK)
        return;
    (void)config_refuse(reading, name, "%s", error);
    free((char *)*list);
    *list = NULL;
}

/* Keys that come over http could be anybody's. */
static void check_jwks_url(const char *url, struct config_reading *reading)
{
    static const char *const own[] = {"127.0.0.1", "localhost", "[::1]"};
    if (check_url("JWT_JWKS_URL", url, "http://", "https://", reading) != ST_OK || !url ||
        strncasecmp(url, "https://", 8) == 0)
        return;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        const size_t len = strlen(own[i]);
        if (strncasecmp(url + 7, own[i], len) == 0 && strchr(":/", url[7 + len]))
            return;
    }
    (void)config_refuse(reading, "JWT_JWKS_URL", "must be https, but for this machine: '%.60s'",
                        url);
}

static void check_health(const struct config *config, struct config_reading *reading)
{
    const char *url = config->health_url;
    if (check_url("HEALTH_URL", url, "http://", "https://", reading) != ST_OK || !url)
        return;
    if (strpbrk(url, "?#"))
        (void)config_refuse(reading, "HEALTH_URL", "must have neither a query nor a fragment");
    if (!config->health_p95_query)
        (void)config_refuse(reading, "HEALTH_P95_QUERY", "must be set where HEALTH_URL is");
}

/* ---- mail, push messages, signing in ---- */

/* Never quotes the URL, since it has a password. */
static void check_mail(const struct config *config, struct config_reading *reading)
{
    char name[EMAIL_NAME_SIZE], address[EMAIL_SIZE];
    const char *url = config->mail_url;
    const bool known =
        !url || strncasecmp(url, "smtp://", 7) == 0 || strncasecmp(url, "smtps://", 8) == 0;
    if (url && (!known || !host_of(url, strlen(url)) || strpbrk(strstr(url, "://") + 3, "/?#")))
        (void)config_refuse(
            reading, "MAIL_URL",
            "must be smtp://[user:password@]host[:port] or smtps://…, without a path; in user and "
            "password write other characters than letters and digits as %%XX");
    if (url && !config->mail_from)
        (void)config_refuse(reading, "MAIL_FROM", "must be set where MAIL_URL is");
    if (config->mail_from && email_read_named(config->mail_from, name, address) != ST_OK)
        (void)config_refuse(reading, "MAIL_FROM",
                            "must be an address such as tickets@example.com, or A name "
                            "<tickets@example.com>, not '%.60s'",
                            config->mail_from);
}

static void check_push(const struct config *config, struct config_reading *reading)
{
    char address[EMAIL_SIZE], name[EMAIL_NAME_SIZE];
    const char *subject = config->vapid_subject;
    if (config->vapid_keys && !subject)
        (void)config_refuse(reading, "VAPID_SUBJECT", "must be set where VAPID_KEYS is");
    if (!subject || (strncmp(subject, "https://", 8) == 0 && host_of(subject, strlen(subject))))
        return;
    if (strncmp(subject, "mailto:", 7) != 0 || strchr(subject, '<') ||
        email_read_named(subject + 7, name, address) != ST_OK)
        (void)config_refuse(reading, "VAPID_SUBJECT",
                            "must be mailto:ops@example.com or https://…, not '%.60s'", subject);
}

static void check_oidc(struct config *config, struct config_reading *reading)
{
    const char *issuer = config->oidc_issuer, *part = config->oidc_for;
    if (check_url("OIDC_ISSUER", issuer, "http://", "https://", reading) != ST_OK || !issuer)
        return;
    if (strpbrk(issuer, "?#"))
        (void)config_refuse(reading, "OIDC_ISSUER", "must have neither a query nor a fragment");
    if (!config->oidc_client_id)
        (void)config_refuse(reading, "OIDC_CLIENT_ID", "must be set where OIDC_ISSUER is");
    while (*part != '\0') {
        const size_t len = strcspn(part, ",");
        if (len == 5 && memcmp(part, "staff", 5) == 0)
            config->oidc_staff = true;
        else if (len == 6 && memcmp(part, "buyers", 6) == 0)
            config->oidc_buyers = true;
        else
            (void)config_refuse(reading, "OIDC_FOR", "must be staff, buyers or staff,buyers");
        part += len + (part[len] == ',');
    }
    if (strncmp(config->oidc_scope, "openid", 6) != 0 ||
        (config->oidc_scope[6] != ' ' && config->oidc_scope[6] != '\0'))
        (void)config_refuse(reading, "OIDC_SCOPE", "must begin with openid");
}

/* ---- secrets ---- */

bool config_is_guessable(const void *secret, size_t len)
{
    const unsigned char *bytes = secret;
    size_t different = 0;
    for (size_t i = 0; i < len && different < 4; i++)
        different += !memchr(bytes, bytes[i], i);
    return different < 4;
}

bool config_next_secret(const char **list, const char **ret_secret, size_t *ret_len)
{
    static const char separators[] = " \t\r\n";
    *ret_secret = *list + strspn(*list, separators);
    *ret_len = strcspn(*ret_secret, separators);
    *list = *ret_secret + *ret_len;
    return *ret_len > 0;
}

/* A passphrase with blanks in it is refused here, too: its words are too short. */
static void check_secrets(const char *name, const char *list, struct config_reading *reading)
{
    const char *secret;
    size_t len;
    int number = 1;
    for (; list && config_next_secret(&list, &secret, &len); number++) {
        if (number > CONFIG_SECRETS_MAX)
            (void)config_refuse(reading, name, "must have at most %d secrets", CONFIG_SECRETS_MAX);
        else if (len < SECRET_MIN)
            (void)config_refuse(reading, name,
                                "secret %d must have at least %d bytes; blanks separate secrets",
                                number, SECRET_MIN);
        else if (config_is_guessable(secret, len))
            (void)config_refuse(
                reading, name,
                "secret %d must be random, not a few characters repeated: openssl rand -hex 32",
                number);
    }
}

/* Braces would move the hash tag of a key; '*' or '?' would match more than itself in an ACL. */
static void check_prefix(const char *prefix, struct config_reading *reading)
{
    static const char chars[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:._-";
    if (prefix && (strlen(prefix) > CONFIG_PREFIX_MAX || strspn(prefix, chars) != strlen(prefix)))
        (void)config_refuse(reading, "REDIS_PREFIX",
                            "must be at most %d letters, digits, ':', '.', '_' or '-', not '%.60s'",
                            CONFIG_PREFIX_MAX, prefix);
}

/* A name that is kept in one place is not forgotten in another. */
static void check_keeping(const struct config *config, struct config_reading *reading)
{
    static const char format[] =
        "must be from 1 to KEEP_BUYERS_DAYS (%d), or buyers are not forgotten there";
    const int64_t most = config->keep_buyers_days;
    if (most > 0 && (config->keep_redis_days == 0 || config->keep_redis_days > most))
        (void)config_refuse(reading, "KEEP_REDIS_DAYS", format, (int)most);
    if (most > 0 && (config->keep_emails_days == 0 || config->keep_emails_days > most))
        (void)config_refuse(reading, "KEEP_EMAILS_DAYS", format, (int)most);
}

/* ---- all of them ---- */

void config_check(struct config *config, struct config_reading *reading)
{
    derive_redis_url(config, reading);
    check_redis(config, reading);
    if (config->db_pool_max < config->db_pool_min)
        (void)config_refuse(reading, "DB_POOL_MAX", "must not be below DB_POOL_MIN");
    check_secrets("JWT_SECRETS", config->jwt_secrets, reading);
    check_secrets("PAYMENT_WEBHOOK_SECRETS", config->payment_webhook_secrets, reading);
    check_jwks_url(config->jwt_jwks_url, reading);
    check_own_origin("PUBLIC_URL", config->public_url, reading);
    check_path_prefix(config->path_prefix, reading);
    check_own_origin("ASSETS_URL", config->assets_url, reading);
    (void)check_url("PUBLIC_WS_URL", config->public_ws_url, "ws://", "wss://", reading);
    (void)check_url("PAYMENT_URL", config->payment_url, "http://", "https://", reading);
    check_cookie_domain(config, reading);
    check_mail(config, reading);
    check_push(config, reading);
    check_oidc(config, reading);
    check_health(config, reading);
    check_prefix(config->redis_prefix, reading);
    check_addresses("TRUSTED_PROXIES", &config->trusted_proxies, reading);
    check_addresses("OUTBOUND_ALLOW", &config->outbound_allow, reading);
    check_keeping(config, reading);
    check_allowed_origins(config->allowed_origins, reading);
}

/* Is the setting missing that a command cannot do without? */
void config_check_need(const struct config *config, enum config_need need,
                       struct config_reading *reading)
{
    static const char must[] = "must be set; `tiketi serve --help` describes it";
    const bool serves = need == CONFIG_NEED_SERVE, both = serves || need == CONFIG_NEED_BACKENDS;
    if ((both || need == CONFIG_NEED_DATABASE) && !config->database_url)
        (void)config_refuse(reading, "DATABASE_URL", must);
    if (both && !config->redis_url && !config_is_refused(reading, "REDIS_HOST"))
        (void)config_refuse(reading, "REDIS_URL",
                            "must be set, or REDIS_HOST; `tiketi serve --help` describes them");
    /* A processor signs and verifies nothing, so it need not be trusted with the keys. */
    const bool signs = serves && (config->roles & (ROLE_API | ROLE_GATEWAY));
    if ((signs || need == CONFIG_NEED_KEYS) && !config->ticket_keys)
        (void)config_refuse(reading, "TICKET_KEYS", must);
    if (need == CONFIG_NEED_TOKEN && !config->jwt_secrets)
        (void)config_refuse(reading, "JWT_SECRETS", must);
}

/* ---- what is better not done ---- */

#define RISK(name, text)                                                                           \
    log_warn("insecure setting", LOG_TEXT("setting", (name)), LOG_TEXT("detail", (text)))

static void log_risks_of_keys(const struct config *config)
{
    const char *list = config->jwt_secrets, *secret;
    size_t len;
    while (list && config_next_secret(&list, &secret, &len)) {
        if (len < JWT_SECRET_GOOD)
            RISK("JWT_SECRETS", "RFC 7518 asks for 32 bytes each: openssl rand -hex 32");
    }
    if ((config->jwt_jwks_file || config->jwt_jwks_url) && !config->jwt_audience)
        RISK("JWT_AUDIENCE", "it is unset, so tokens that the shop's published keys signed for "
                             "other services are accepted from buyers");
    if (config->jwt_jwks_url && !config->jwt_issuer)
        RISK("JWT_ISSUER", "it is unset, so tokens that the keys of JWT_JWKS_URL signed for other "
                           "issuers are accepted");
    if (config->staff_tokens_without_exp)
        RISK("STAFF_TOKENS_WITHOUT_EXP", "a stolen token of staff is valid for ever");
}

/* One line for all that is off because its setting is unset, or empty: an empty secret of an orchestrator is easily
 * overlooked. */
static void log_what_is_off(const struct config *config)
{
    const bool buyers = config->roles & ROLE_API;
    const struct {
        bool off;
        const char *feature;
    } features[] = {
        {buyers && !config->payment_webhook_secrets, "payment (PAYMENT_WEBHOOK_SECRETS)"},
        {buyers && config->payment_webhook_secrets && !config->payment_url,
         "the way to the payment page (PAYMENT_URL)"},
        {buyers && !config->jwt_secrets && !config->jwt_jwks_file && !config->jwt_jwks_url,
         "tokens of the shop's users and staff (JWT_SECRETS, JWT_JWKS_FILE, JWT_JWKS_URL)"},
        {(config->roles & (ROLE_API | ROLE_PROCESSOR)) && !config->mail_url, "mail (MAIL_URL)"},
        {(config->roles & (ROLE_API | ROLE_PROCESSOR)) && !config->vapid_keys,
         "push messages (VAPID_KEYS)"},
    };
    char text[400] = "";
    for (size_t i = 0, len = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        if (features[i].off)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len > 0 ? ", " : "",
                                    features[i].feature);
    }
    if (text[0] != '\0')
        log_warn("features are off, their settings are unset or empty", LOG_TEXT("off", text));
}

void config_log_risks(const struct config *config)
{
    if (config->test_hooks)
        RISK("TIKETI_TEST_HOOKS",
             "the environment may crash this process and change its scripts: for tests only");
    if (config->file_exposed)
        log_warn("insecure setting", LOG_TEXT("setting", config->file),
                 LOG_TEXT("detail", "it holds a secret, and everybody on this machine may read it: "
                                    "chmod o-r"));
    log_risks_of_keys(config);
    if (config->mail_url && !config->public_url)
        log_warn("mail has no link to the tickets", LOG_TEXT("setting", "PUBLIC_URL"),
                 LOG_TEXT("detail", "it is unset, so nobody knows where the pages are"));
    if (config->oidc_issuer && strncasecmp(config->oidc_issuer, "http://", 7) == 0)
        RISK("OIDC_ISSUER",
             "it is http, so whoever is between here and the provider can be anybody");
    if (config->oidc_issuer && !config->public_url)
        RISK("PUBLIC_URL", "it is unset, so the identity provider is told the host of the request "
                           "as the address that it leads back to");
    log_what_is_off(config);
}
