/* SPDX-License-Identifier: MIT */
/*
 * proxy_settings: the command line of `tiketi proxy`, checked. What goes into the configuration of nginx has only characters
 * that mean nothing there: no quote, semicolon, brace, dollar sign, blank or newline. Pure, but for the file of header secrets.
 */
#ifndef TIKETI_PROXY_SETTINGS_H
#define TIKETI_PROXY_SETTINGS_H

#include "base/options.h"

#define PROXY_LIST_MAX     64
#define PROXY_TEXT_MAX     256 /* bytes of an item, NUL included */
#define PROXY_SERVER_MAX   16  /* addresses of one name */
#define PROXY_ADDRESS_SIZE 64

/* As options_parse fills it. */
struct proxy_options {
    const char *origin, *event, *service, *socket, *listen, *prefix, *origin_host, *origin_ca;
    const char *bypass_paths, *bypass_methods, *bypass_networks, *bypass_headers, *trusted_proxies;
    const char *tls_cert, *tls_key, *dir, *nginx;
    int64_t max_body_mb, timeout_ms, resolve_ms;
    bool print;
};

/* http[s]://host[:port], in parts. */
struct proxy_url {
    bool https;
    char host[PROXY_TEXT_MAX]; /* without the brackets of an IPv6 address */
    char port[8];
    char text[PROXY_TEXT_MAX + 24]; /* the whole */
};

struct proxy_list {
    size_t count;
    char items[PROXY_LIST_MAX][PROXY_TEXT_MAX];
};

struct proxy_secret {
    char name[64], value[PROXY_TEXT_MAX];
};

struct proxy_settings {
    struct proxy_url origin, service, socket;
    char event[65], prefix[65], origin_host[PROXY_TEXT_MAX]; /* origin_host "": the visitor's */
    char listen_host[PROXY_TEXT_MAX]; /* with the brackets of an IPv6 address */
    char listen_port[8];
    struct proxy_list paths, methods, networks, trusted;
    struct proxy_secret secrets[8];
    size_t secret_count;
    const char *origin_ca, *tls_cert, *tls_key, *dir,
        *nginx; /* borrowed; whole paths; NULL: none */
    int64_t max_body_mb, timeout_ms;
    unsigned
        connections; /* of each worker of nginx; set by the caller, who knows the limit of open files */
};

/* Fills *ret. ST_INVALID: `error` names the option, what is wrong with it, and what is allowed. */
MUST_CHECK enum status proxy_settings_read(const struct proxy_options *options,
                                           struct proxy_settings *ret, struct options_error *error);

#endif
