/* SPDX-License-Identifier: MIT */
/*
 * proxy_settings: checks what `tiketi proxy` was told.
 *
 * Why this way: all of it is written into the configuration of nginx, where a quote or a semicolon would be a directive of
 * somebody else's. Nothing is escaped: each kind of value has a set of characters that are harmless there, and what has another
 * one is refused by name. Called by: proxy. Owns nothing.
 */
#include "proxy/proxy_settings.h"

#include "base/cidr.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"
#define WORD    LETTERS DIGITS "-"
#define PATH    LETTERS DIGITS "-._~/"

static bool is_of(const char *text, size_t len, const char *chars)
{
    return strspn(text, chars) >= len;
}

static bool copy(char *out, size_t size, const char *text, size_t len)
{
    if (len >= size)
        return false;
    memcpy(out, text, len);
    out[len] = '\0';
    return true;
}

static bool is_port(const char *text)
{
    const size_t len = strlen(text);
    return len >= 1 && len <= 5 && is_of(text, len, DIGITS) && strtol(text, NULL, 10) >= 1 &&
           strtol(text, NULL, 10) <= 65535;
}

/* "host", "host:port", "[::1]:port" -> the host without brackets, and the port if there is one. */
static bool read_authority(const char *text, char *host, char port[8])
{
    uint8_t address[CIDR_ADDRESS_BYTES];
    bool v4;
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        if (!end || !copy(host, PROXY_TEXT_MAX, text + 1, (size_t)(end - text - 1)) ||
            !cidr_read_address(host, address, &v4) || !strchr(host, ':'))
            return false;
        text = end + 1;
    } else {
        const size_t len = strcspn(text, ":");
        if (len == 0 || !is_of(text, len, WORD ".") || text[0] == '.' || text[0] == '-' ||
            !copy(host, PROXY_TEXT_MAX, text, len))
            return false;
        text += len;
    }
    if (*text == '\0')
        return true;
    return *text == ':' && is_port(text + 1) && copy(port, 8, text + 1, strlen(text + 1));
}

static enum status read_url(const char *option, const char *text, struct proxy_url *ret,
                            struct options_error *error)
{
    char authority[PROXY_TEXT_MAX + 16];
    size_t skip = 0;
    if (strncmp(text, "http://", 7) == 0)
        skip = 7;
    else if (strncmp(text, "https://", 8) == 0)
        skip = 8;
    const size_t len = strlen(text) - skip;
    const bool slash = len > 0 && text[skip + len - 1] == '/'; /* copied from the browser */
    ret->https = skip == 8;
    (void)snprintf(ret->port, sizeof(ret->port), "%s", ret->https ? "443" : "80");
    if (skip == 0 || !copy(authority, sizeof(authority), text + skip, len - slash) ||
        !read_authority(authority, ret->host, ret->port))
        return options_refuse(error,
                              "--%s must be http://host, https://host or one with a :port, and "
                              "nothing behind it, not '%.80s'",
                              option, text);
    (void)snprintf(ret->text, sizeof(ret->text), "%s://%s", ret->https ? "https" : "http",
                   authority);
    return ST_OK;
}

/* The gateway of a service on this machine has the next port, as WS_PORT has by default. */
static enum status read_service(const struct proxy_options *options, struct proxy_settings *ret,
                                struct options_error *error)
{
    enum status st = read_url("service", options->service, &ret->service, error);
    if (st != ST_OK)
        return st;
    if (options->socket)
        return read_url("socket", options->socket, &ret->socket, error);
    if (ret->service.https ||
        strcmp(ret->service.port, "80") == 0) { /* behind a proxy of its own */
        ret->socket = ret->service;
        return ST_OK;
    }
    ret->socket = ret->service;
    (void)snprintf(ret->socket.port, sizeof(ret->socket.port), "%ld",
                   strtol(ret->service.port, NULL, 10) % 65535 + 1);
    return ST_OK;
}

static enum status read_listen(const char *text, struct proxy_settings *ret,
                               struct options_error *error)
{
    char host[PROXY_TEXT_MAX] = "127.0.0.1";
    uint8_t address[CIDR_ADDRESS_BYTES];
    bool v4 = true, ok;
    if (is_port(text))
        ok = copy(ret->listen_port, sizeof(ret->listen_port), text, strlen(text));
    else
        ok = read_authority(text, host, ret->listen_port) && ret->listen_port[0] &&
             cidr_read_address(host, address, &v4);
    if (!ok)
        return options_refuse(error,
                              "--listen must be a port, or an address with one, such as "
                              "0.0.0.0:80 or [::]:80, not '%.80s'",
                              text);
    (void)snprintf(ret->listen_host, sizeof(ret->listen_host),
                   strchr(host, ':') ? "[%.200s]" : "%.200s", host);
    return ST_OK;
}

/* Whole segments, none of them dots: a path that every server reads in one way. `star`: it may end with one. */
static bool is_path(const char *text, bool star)
{
    const size_t len = strlen(text), plain = len - (star && len > 1 && text[len - 1] == '*');
    const char *slash = text;
    if (text[0] != '/' || len >= PROXY_TEXT_MAX || !is_of(text, plain, PATH) || strstr(text, "//"))
        return false;
    for (; slash; slash = strchr(slash + 1, '/')) {
        const size_t dots = strspn(slash + 1, ".");
        if (dots > 0 && dots <= 2 && strchr("/*", slash[1 + dots]))
            return false; /* "/./", "/../", also at the end */
    }
    return true;
}

static bool is_prefix(const char *text)
{
    return is_path(text, false) && strlen(text) > 1 && strlen(text) < 65 &&
           text[strlen(text) - 1] != '/';
}

/* Takes apart what commas separate; blanks around an item count for nothing. */
static enum status read_list(const char *option, const char *text, struct proxy_list *ret,
                             struct options_error *error)
{
    while (text && *text) {
        text += strspn(text, ", ");
        const size_t len = strcspn(text, ", ");
        if (len == 0)
            break;
        if (ret->count == PROXY_LIST_MAX ||
            !copy(ret->items[ret->count++], PROXY_TEXT_MAX, text, len))
            return options_refuse(error, "--%s has more than %d items, or one over %d bytes",
                                  option, PROXY_LIST_MAX, PROXY_TEXT_MAX - 1);
        text += len;
    }
    return ST_OK;
}

static enum status read_networks(const char *option, const char *text, struct proxy_list *ret,
                                 struct options_error *error)
{
    struct cidr_list list;
    char why[160];
    enum status st = read_list(option, text, ret, error);
    for (size_t i = 0; st == ST_OK && i < ret->count; i++) {
        if (!is_of(ret->items[i], strlen(ret->items[i]), "0123456789abcdefABCDEF.:/") ||
            cidr_list_read(ret->items[i], &list, why, sizeof(why)) != ST_OK)
            st = options_refuse(error,
                                "--%s must be addresses or networks such as 10.0.0.0/8, with "
                                "commas between them, not '%.80s'",
                                option, ret->items[i]);
    }
    return st;
}

static enum status read_paths(const char *text, struct proxy_list *ret, struct options_error *error)
{
    const enum status st = read_list("bypass-paths", text, ret, error);
    for (size_t i = 0; st == ST_OK && i < ret->count; i++) {
        if (!is_path(ret->items[i], true))
            return options_refuse(error,
                                  "--bypass-paths must be whole paths such as /payment/callback, "
                                  "or with a * at the end, /hooks/*, of A-Z, a-z, 0-9 and -._~/, "
                                  "not '%.80s'",
                                  ret->items[i]);
    }
    return st;
}

static enum status read_methods(const char *text, struct proxy_list *ret,
                                struct options_error *error)
{
    if (text && strcmp(text, "none") == 0)
        return ST_OK;
    const enum status st = read_list("bypass-methods", text, ret, error);
    for (size_t i = 0; st == ST_OK && i < ret->count; i++) {
        if (!is_of(ret->items[i], strlen(ret->items[i]), "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
            return options_refuse(error,
                                  "--bypass-methods must be methods such as HEAD,OPTIONS, or none, "
                                  "not '%.80s'",
                                  ret->items[i]);
    }
    return st;
}

/* ---- header secrets ---- */

static enum status read_secret(char *line, const char *path, struct proxy_settings *ret,
                               struct options_error *error)
{
    static const char chars[] = LETTERS DIGITS "-._~+/=";
    char *colon = strchr(line, ':');
    line[strcspn(line, "\r\n")] = '\0';
    if (line[0] == '\0' || line[0] == '#')
        return ST_OK;
    if (ret->secret_count == sizeof(ret->secrets) / sizeof(ret->secrets[0]))
        return options_refuse(error, "%.120s has more than %zu headers", path, ret->secret_count);
    struct proxy_secret *secret = &ret->secrets[ret->secret_count++];
    const char *value = colon ? colon + 1 + strspn(colon + 1, " ") : "";
    const size_t name_len = colon ? (size_t)(colon - line) : 0, len = strlen(value);
    if (name_len == 0 || !is_of(line, name_len, WORD) ||
        !copy(secret->name, sizeof(secret->name), line, name_len) || len < 16 ||
        !is_of(value, len, chars) || !copy(secret->value, sizeof(secret->value), value, len))
        return options_refuse(error,
                              "%.120s must have lines such as \"X-Staff: a long secret\", of at "
                              "least 16 of A-Z, a-z, 0-9 and -._~+/=",
                              path); /* the line itself is a secret */
    return ST_OK;
}

static enum status read_secrets(const char *path, struct proxy_settings *ret,
                                struct options_error *error)
{
    char line[PROXY_TEXT_MAX + 80];
    enum status st = ST_OK;
    FILE *file = path ? fopen(path, "re") : NULL;
    if (path && !file)
        return options_refuse(error, "--bypass-headers: %.120s cannot be read: %s", path,
                              strerrordesc_np(errno));
    while (file && st == ST_OK && fgets(line, sizeof(line), file))
        st = read_secret(line, path, ret, error);
    if (file)
        (void)fclose(file);
    return st;
}

/* ---- files ---- */

/* nginx takes a relative path for one below its own folder. */
static enum status read_file(const char *option, const char *path, const char **ret,
                             struct options_error *error)
{
    *ret = path;
    if (path &&
        (path[0] != '/' || strlen(path) >= PROXY_TEXT_MAX || !is_of(path, strlen(path), PATH)))
        return options_refuse(error,
                              "--%s must be a whole path such as /etc/shop/a.pem, of A-Z, a-z, "
                              "0-9 and -._~/, not '%.80s'",
                              option, path);
    return ST_OK;
}

static enum status read_files(const struct proxy_options *options, struct proxy_settings *ret,
                              struct options_error *error)
{
    enum status st = read_file("tls-cert", options->tls_cert, &ret->tls_cert, error);
    if (st == ST_OK)
        st = read_file("tls-key", options->tls_key, &ret->tls_key, error);
    if (st == ST_OK)
        st = read_file("origin-ca", options->origin_ca, &ret->origin_ca, error);
    if (st == ST_OK)
        st = read_file("dir", options->dir, &ret->dir, error);
    if (st == ST_OK && !ret->tls_cert != !ret->tls_key)
        st = options_refuse(error, "--tls-cert and --tls-key go together");
    return st;
}

enum status proxy_settings_read(const struct proxy_options *options, struct proxy_settings *ret,
                                struct options_error *error)
{
    const char *host = options->origin_host ? options->origin_host : "";
    const size_t event_len = strlen(options->event);
    *ret = (struct proxy_settings){.max_body_mb = options->max_body_mb,
                                   .timeout_ms = options->timeout_ms,
                                   .nginx = options->nginx};
    if (event_len > 64 || !is_of(options->event, event_len, WORD "_"))
        return options_refuse(error,
                              "--event must be an event's id, 1 to 64 of A-Z, a-z, 0-9, _ and -, "
                              "not '%.80s'",
                              options->event);
    if (!is_prefix(options->prefix))
        return options_refuse(error,
                              "--prefix must be a path such as /.tiketi, without a slash at its "
                              "end, not '%.80s'",
                              options->prefix);
    if (!is_of(host, strlen(host), WORD ".:") ||
        !copy(ret->origin_host, sizeof(ret->origin_host), host, strlen(host)))
        return options_refuse(error, "--origin-host must be a host, not '%.80s'", host);
    (void)snprintf(ret->event, sizeof(ret->event), "%s", options->event);
    (void)snprintf(ret->prefix, sizeof(ret->prefix), "%s", options->prefix);
    enum status st = read_url("origin", options->origin, &ret->origin, error);
    if (st == ST_OK)
        st = read_service(options, ret, error);
    if (st == ST_OK)
        st = read_listen(options->listen, ret, error);
    if (st == ST_OK)
        st = read_paths(options->bypass_paths, &ret->paths, error);
    if (st == ST_OK)
        st = read_methods(options->bypass_methods, &ret->methods, error);
    if (st == ST_OK)
        st = read_networks("bypass-networks", options->bypass_networks, &ret->networks, error);
    if (st == ST_OK)
        st = read_networks("trusted-proxies", options->trusted_proxies, &ret->trusted, error);
    if (st == ST_OK)
        st = read_secrets(options->bypass_headers, ret, error);
    return st == ST_OK ? read_files(options, ret, error) : st;
}
