/* SPDX-License-Identifier: MIT */
/*
 * proxy_config: writes the configuration of nginx.
 *
 *   /.tiketi/...   the service; its socket: the gateway
 *   /...           auth_request: the gate; 204: the shop; 401: the waiting page, at this address; else: "busy"
 *
 * Why this way: nginx does what proxies do well, and is told what is ours alone. What passes without a turn (bypass) is decided in
 * the gate's own location, so that there is one way to the shop. A path passes by its raw form, of plain characters, without
 * dot segments and "//": what servers might read in another way asks the gate. A visitor's header with '_' in its name goes
 * nowhere: many shops' programs take X_Tiketi_Buyer for X-Tiketi-Buyer. The gate and the waiting page get the
 * original request in headers. Nothing is buffered: the shop's own limits count. The origin's addresses are written out, since
 * nginx looks names up when it starts and never again; proxy.c does so every few seconds.
 * decision 0128. Called by: proxy. Pure.
 */
#include "proxy/proxy_config.h"

#include "proxy/proxy_pages.h"

#include <inttypes.h>

/* Characters that a raw path may have to pass by its path, as a class of a regular expression: no '%', ';' or '\'. */
#define PLAIN "[A-Za-z0-9._~!&'()*+,=:@/-]*"

static void add_upstream(struct buf *out, const char *name, const struct proxy_servers *servers)
{
    buf_printf(out, "    upstream %s {\n", name);
    for (size_t i = 0; i < servers->count; i++)
        buf_printf(out, "        server %s;\n", servers->items[i]);
    /* Shorter than that of common servers: one that closes at the same moment would lose a POST. */
    buf_add_str(out, "        keepalive 64;\n        keepalive_timeout 4s;\n    }\n");
}

/* ---- what passes without a turn ---- */

/* A regular expression for exactly this text: what means something there is put into a class. */
static void add_literal(struct buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (strchr(".+*?()|", text[i]))
            buf_printf(out, "[%c]", text[i]);
        else
            buf_add_char(out, text[i]);
    }
}

static void add_path(struct buf *out, const char *path)
{
    const size_t len = strlen(path), plain = len - (path[len - 1] == '*');
    buf_add_str(out, "        \"~^(?![^?]*(?:/[.]{1,2}(?:[/?]|$)|//))");
    add_literal(out, path, plain);
    buf_printf(out, "%s(?:[?]|$)\" 1;\n", plain < len ? PLAIN : "");
}

/* As nginx names the variable of a header. */
static void add_variable(struct buf *out, const char *header)
{
    for (; *header; header++) {
        if (*header == '-')
            buf_add_char(out, '_');
        else if (*header >= 'A' && *header <= 'Z')
            buf_add_char(out, (char)(*header - 'A' + 'a'));
        else
            buf_add_char(out, *header);
    }
}

static void add_secret(struct buf *out, const struct proxy_secret *secret, size_t number)
{
    buf_add_str(out, "    map $http_");
    add_variable(out, secret->name);
    buf_printf(out, " $tiketi_secret_%zu {\n        default 0;\n        \"~^", number);
    add_literal(out, secret->value, strlen(secret->value));
    buf_add_str(out, "$\" 1;\n    }\n");
}

static void add_geo(struct buf *out, const char *from, const char *name,
                    const struct proxy_list *list)
{
    buf_printf(out, "    geo %s %s {\n        default 0;\n", from, name);
    for (size_t i = 0; i < list->count; i++)
        buf_printf(out, "        %s 1;\n", list->items[i]);
    buf_add_str(out, "    }\n");
}

static void add_bypass(struct buf *out, const struct proxy_settings *settings)
{
    buf_add_str(out,
                "\n    # What passes without a turn.\n    map $request_method $tiketi_method {\n"
                "        default 0;\n");
    for (size_t i = 0; i < settings->methods.count; i++)
        buf_printf(out, "        %s 1;\n", settings->methods.items[i]);
    buf_add_str(out, "    }\n    map $request_uri $tiketi_path {\n        default 0;\n");
    add_path(out, "/.well-known/*"); /* certificates (ACME), and what programs ask a host for */
    for (size_t i = 0; i < settings->paths.count; i++)
        add_path(out, settings->paths.items[i]);
    buf_add_str(out, "    }\n");
    add_geo(out, "$remote_addr", "$tiketi_network", &settings->networks);
    for (size_t i = 0; i < settings->secret_count; i++)
        add_secret(out, &settings->secrets[i], i);
    buf_add_str(out, "    map \"$tiketi_method$tiketi_path$tiketi_network");
    for (size_t i = 0; i < settings->secret_count; i++)
        buf_printf(out, "$tiketi_secret_%zu", i);
    buf_add_str(out, "\" $tiketi_bypass {\n        default 0;\n        ~1 1;\n    }\n");
}

/* ---- the client ---- */

/* Behind trusted proxies the client's address and scheme are those that they say. */
static void add_client(struct buf *out, const struct proxy_settings *settings)
{
    buf_add_str(out, "\n    # Who the client is.\n");
    for (size_t i = 0; i < settings->trusted.count; i++)
        buf_printf(out, "    set_real_ip_from %s;\n", settings->trusted.items[i]);
    if (settings->trusted.count > 0)
        buf_add_str(out, "    real_ip_header X-Forwarded-For;\n    real_ip_recursive on;\n");
    add_geo(out, "$realip_remote_addr", "$tiketi_trusted", &settings->trusted);
    buf_add_str(out, "    map $tiketi_trusted:$http_x_forwarded_proto $tiketi_scheme {\n"
                     "        default $scheme;\n        1:https https;\n        1:http http;\n"
                     "    }\n"
                     "    map $http_upgrade $tiketi_connection {\n        default upgrade;\n"
                     "        '' '';\n    }\n");
}

/* ---- the locations ---- */

static void add_headers(struct buf *out, const char *host)
{
    buf_printf(out, "            proxy_set_header Host %s;\n", host);
    buf_add_str(out, "            proxy_set_header X-Forwarded-For $remote_addr;\n"
                     "            proxy_set_header X-Real-IP $remote_addr;\n"
                     "            proxy_set_header X-Forwarded-Proto $tiketi_scheme;\n"
                     "            proxy_set_header X-Forwarded-Host $http_host;\n"
                     "            proxy_set_header Forwarded '';\n");
}

static void add_upgrade(struct buf *out)
{
    buf_add_str(out, "            proxy_set_header Upgrade $http_upgrade;\n"
                     "            proxy_set_header Connection $tiketi_connection;\n");
}

/* For a question of our own about the visitor's request: without its body, its conditions and its connection. */
static void add_question(struct buf *out)
{
    buf_add_str(out, "            proxy_method GET;\n"
                     "            proxy_pass_request_body off;\n"
                     "            proxy_set_header Content-Length '';\n"
                     "            proxy_set_header Content-Type '';\n"
                     "            proxy_set_header Connection '';\n"
                     "            proxy_set_header Upgrade '';\n"
                     "            proxy_set_header Authorization '';\n" /* the shop's own */
                     "            proxy_set_header X-Tiketi-Pass '';\n"
                     "            proxy_set_header X-Tiketi-Ticket '';\n"
                     "            proxy_set_header X-Tiketi-In-Place 1;\n"
                     "            proxy_set_header If-None-Match '';\n"
                     "            proxy_set_header If-Modified-Since '';\n"
                     "            proxy_set_header Range '';\n"
                     "            proxy_set_header X-Original-URL '';\n"
                     "            proxy_set_header X-Original-URI $request_uri;\n"
                     "            proxy_set_header X-Original-Method $request_method;\n"
                     "            proxy_connect_timeout 2s;\n"
                     "            proxy_read_timeout 10s;\n");
}

/* nginx verifies certificates only where it is told by whose authorities. */
static void add_tls(struct buf *out, const struct proxy_settings *settings,
                    const struct proxy_url *url)
{
    if (!url->https)
        return;
    buf_printf(out,
               "            proxy_ssl_server_name on;\n"
               "            proxy_ssl_name %s;\n"
               "            proxy_ssl_verify on;\n"
               "            proxy_ssl_verify_depth 4;\n"
               "            proxy_ssl_trusted_certificate %s;\n",
               url->host,
               settings->origin_ca ? settings->origin_ca : "/etc/ssl/certs/ca-certificates.crt");
}

static const char *scheme_of(const struct proxy_url *url)
{
    return url->https ? "https" : "http";
}

static void add_own(struct buf *out, const struct proxy_settings *settings, const char *location,
                    const struct proxy_url *url, const char *upstream)
{
    buf_printf(out, "\n        location %s {\n            proxy_pass %s://%s;\n", location,
               scheme_of(url), upstream);
    add_tls(out, settings, url);
    add_headers(out, "$http_host");
    add_upgrade(out);
    buf_add_str(out, "            proxy_set_header X-Tiketi-In-Place '';\n"
                     "            error_page 502 504 = @tiketi_busy;\n        }\n");
}

/* What the service tells those who run it is not for visitors. */
static void add_closed_paths(struct buf *out, const struct proxy_settings *settings)
{
    static const char *const closed[] = {"metrics", "readyz", "health"};
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++)
        buf_printf(out, "\n        location = %s/%s {\n            return 404;\n        }\n",
                   settings->prefix, closed[i]);
}

static void add_own_paths(struct buf *out, const struct proxy_settings *settings)
{
    char location[128];
    add_closed_paths(out, settings);
    (void)snprintf(location, sizeof(location), "^~ %s/", settings->prefix);
    add_own(out, settings, location, &settings->service, "tiketi_service");
    (void)snprintf(location, sizeof(location), "= %s/ws", settings->prefix);
    add_own(out, settings, location, &settings->socket, "tiketi_socket");
    (void)snprintf(location, sizeof(location), "^~ %s/socket.io/", settings->prefix);
    add_own(out, settings, location, &settings->socket, "tiketi_socket");
}

static void add_gate(struct buf *out, const struct proxy_settings *settings)
{
    buf_printf(out,
               "\n        location = %s/gate~ {\n            internal;\n"
               "            if ($tiketi_bypass) {\n                return 204;\n            }\n"
               "            proxy_pass %s://tiketi_service%s/api/gate/%s?join=1;\n",
               settings->prefix, scheme_of(&settings->service), settings->prefix, settings->event);
    add_tls(out, settings, &settings->service);
    add_headers(out, "$http_host");
    add_question(out);
    buf_add_str(out, "        }\n");
}

static void add_shop(struct buf *out, const struct proxy_settings *settings)
{
    buf_printf(out,
               "\n        location / {\n            auth_request %s/gate~;\n"
               "            auth_request_set $tiketi_wait $upstream_http_x_tiketi_wait;\n"
               "            auth_request_set $tiketi_cookie $upstream_http_set_cookie;\n"
               "            auth_request_set $tiketi_buyer $upstream_http_x_tiketi_buyer;\n"
               "            auth_request_set $tiketi_expires "
               "$upstream_http_x_tiketi_pass_expires;\n"
               "            auth_request_set $tiketi_retry $upstream_http_retry_after;\n"
               "            error_page 401 = @tiketi_wait;\n"
               "            error_page 500 = @tiketi_busy;\n"
               "            error_page 502 504 = @tiketi_down;\n"
               "            add_header Set-Cookie $tiketi_cookie always;\n"
               "            add_header Cache-Control $tiketi_private always;\n"
               "            proxy_pass %s://tiketi_origin;\n",
               settings->prefix, scheme_of(&settings->origin));
    add_tls(out, settings, &settings->origin);
    add_headers(out, settings->origin_host[0] ? settings->origin_host : "$http_host");
    add_upgrade(out);
    buf_printf(out,
               "            proxy_set_header X-Tiketi-Buyer $tiketi_buyer;\n"
               "            proxy_set_header X-Tiketi-Pass-Expires $tiketi_expires;\n"
               "            proxy_pass_header Server;\n"
               "            proxy_pass_header Date;\n"
               "            proxy_ignore_headers X-Accel-Redirect X-Accel-Expires "
               "X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset;\n"
               "            proxy_read_timeout %" PRId64 "ms;\n"
               "            proxy_send_timeout %" PRId64 "ms;\n        }\n",
               settings->timeout_ms, settings->timeout_ms);
}

static void add_wait(struct buf *out, const struct proxy_settings *settings)
{
    buf_printf(out,
               "\n        location @tiketi_wait {\n"
               "            if ($tiketi_page = '') {\n"
               "                add_header Set-Cookie $tiketi_cookie;\n"
               "                add_header Cache-Control no-store;\n"
               "                return 302 $tiketi_wait;\n            }\n"
               "            proxy_pass %s://tiketi_service$tiketi_page;\n",
               scheme_of(&settings->service));
    add_tls(out, settings, &settings->service);
    add_headers(out, "$http_host");
    add_question(out);
    buf_add_str(out, "            error_page 502 504 = @tiketi_busy;\n        }\n");
}

static void add_listen(struct buf *out, const struct proxy_settings *settings)
{
    buf_printf(out, "\n    server {\n        listen %s:%s%s;\n        server_name _;\n",
               settings->listen_host, settings->listen_port,
               settings->tls_cert ? " ssl http2" : "");
    if (settings->tls_cert)
        buf_printf(out,
                   "        ssl_certificate %s;\n        ssl_certificate_key %s;\n"
                   "        ssl_protocols TLSv1.2 TLSv1.3;\n        ssl_session_cache "
                   "shared:tiketi:4m;\n        ssl_session_tickets off;\n",
                   settings->tls_cert, settings->tls_key);
}

static void add_http(struct buf *out, const struct proxy_settings *settings)
{
    static const char *const temporary[] = {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"};
    buf_add_str(out, "http {\n    access_log off;\n    server_tokens off;\n    types { }\n"
                     "    default_type text/html;\n    absolute_redirect off;\n"
                     "    tcp_nodelay on;\n    recursive_error_pages on;\n"
                     "    underscores_in_headers off;\n    large_client_header_buffers 8 16k;\n"
                     "    proxy_buffer_size 16k;\n    proxy_buffers 8 16k;\n"
                     "    proxy_http_version 1.1;\n    proxy_buffering off;\n"
                     "    proxy_request_buffering off;\n    proxy_connect_timeout 5s;\n"
                     "    map_hash_bucket_size 512;\n    variables_hash_max_size 2048;\n");
    buf_printf(out, "    client_max_body_size %" PRId64 "m;\n", settings->max_body_mb);
    for (size_t i = 0; i < sizeof(temporary) / sizeof(temporary[0]); i++)
        buf_printf(out, "    %s_temp_path temp_%s;\n", temporary[i], temporary[i]);
}

void proxy_config_write(const struct proxy_settings *settings,
                        const struct proxy_addresses *addresses, struct buf *out)
{
    buf_printf(
        out,
        "# Made by `tiketi proxy` for %s and event %s; it is written anew at each start\n"
        "# and reload, so that changes are lost. docs/integrate/proxy.md says what it does.\n"
        "daemon off;\nworker_processes auto;\n"
        "worker_shutdown_timeout 1h;\npid nginx.pid;\nerror_log stderr warn;\n"
        "events {\n    worker_connections %u;\n}\n",
        settings->origin.text, settings->event, settings->connections);
    add_http(out, settings);
    add_upstream(out, "tiketi_origin", &addresses->origin);
    add_upstream(out, "tiketi_service", &addresses->service);
    add_upstream(out, "tiketi_socket", &addresses->socket);
    add_client(out, settings);
    add_bypass(out, settings);
    buf_printf(out,
               "\n    # The gate's address of the waiting page, without its host. '': it is the "
               "shop's own, of a\n"
               "    # visitor who came with a hand-over token, and goes on there with the pass.\n"
               "    map $tiketi_wait $tiketi_page {\n        default '';\n"
               "        '' %s/wait/%s?return=/;\n        \"~^(?:https?://[^/]+)?(?<tiketi_rest>",
               settings->prefix, settings->event);
    add_literal(out, settings->prefix, strlen(settings->prefix));
    buf_add_str(out, "/wait/.*)$\" $tiketi_rest;\n    }\n"
                     "    # An answer that sets our cookie is for one visitor.\n"
                     "    map $tiketi_cookie $tiketi_private {\n        default private;\n"
                     "        '' '';\n    }\n"
                     "    map $tiketi_retry $tiketi_later {\n        default $tiketi_retry;\n"
                     "        '' 5;\n    }\n");
    proxy_pages_write(out);
    add_listen(out, settings);
    buf_add_str(out, "        set $tiketi_wait '';\n        set $tiketi_cookie '';\n"
                     "        set $tiketi_retry '';\n");
    add_own_paths(out, settings);
    add_gate(out, settings);
    add_shop(out, settings);
    add_wait(out, settings);
    proxy_pages_locations(out);
    buf_add_str(out, "    }\n}\n");
}
