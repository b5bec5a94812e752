/* SPDX-License-Identifier: MIT */
/*
 * http_client: libcurl's multi-socket interface on the loop.
 *
 * Why this way: libcurl knows names, TLS, HTTP and the log-in of mail servers, and never blocks in these. Its SMTP does:
 * it waits for the reply to a mail, and to QUIT, inside one call. So a dial ends when the mail server has logged us in
 * (CURLOPT_CONNECT_ONLY), and smtp_client speaks from there on.
 *   start, dial -> waiting -> curl_multi_add_handle -> curl calls on_socket and on_timer -> reap -> the callback
 * The ban of private addresses stands in open_socket, which gets the address after the name was looked up, so that no name
 * leads around it.
 * Called by: smtp_client, pusher, oidc, jwks, api_readiness. Owns: the transfers, the sockets' watches, the timer.
 * The other side gone: the transfer ends with an error, at its timeout at the latest.
 */
#include "net/http_client.h"

#include "base/buf.h"
#include "base/memory.h"
#include "base/trace.h"
#include "net/address.h"
#include "net/client_ip.h"

#include <curl/curl.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define CONNECT_MS 10000L /* for the name, the connection and TLS */

/* A request or a dial. */
struct transfer {
    struct transfer *next;
    struct http_client *client;
    CURL *easy;
    struct curl_slist *headers;
    struct buf answer;
    char error[CURL_ERROR_SIZE];
    bool running; /* given to curl; false: it waits for its turn */
    bool banned;  /* its address was refused */
    uint64_t deadline_ms;
    struct trace trace; /* of the request that it is for */
    http_client_cb cb;  /* NULL: a dial */
    http_client_dial_cb dialled;
    void *arg;
};

struct http_client_line {
    struct http_client *client;
    CURL *easy;
    curl_socket_t fd;
};

struct http_client {
    struct http_client_opts opts;
    struct client_ip *allowed;
    char *ca_file;
    CURLM *multi;
    struct loop_timer *timer;   /* curl's */
    struct loop_timer *expires; /* ends those that have waited too long for their turn */
    struct transfer *first;     /* in the order of their start */
    unsigned running, waiting;
    bool reaping, closing;
};

/* A socket of curl's. */
struct curl_watch {
    struct http_client *client;
    struct loop_watch *watch;
    curl_socket_t fd;
};

static void advance(struct http_client *client, curl_socket_t fd, int events);

/* ---- curl's callbacks ---- */

static void on_event(void *arg, int events)
{
    const struct curl_watch *watch = arg;
    advance(watch->client, watch->fd,
            ((events & LOOP_READ) ? CURL_CSELECT_IN : 0) |
                ((events & LOOP_WRITE) ? CURL_CSELECT_OUT : 0));
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct http_client *client = arg;
    struct curl_watch *watch = socket_arg;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch)
            loop_watch_close(watch->watch);
        free(watch);
        (void)curl_multi_assign(client->multi, fd, NULL);
        return 0;
    }
    if (!watch) {
        watch = xcalloc(1, sizeof(*watch));
        *watch = (struct curl_watch){.client = client, .fd = fd};
        watch->watch = loop_watch_new(client->opts.loop, fd, on_event, watch);
        if (!watch->watch) {
            free(watch);
            return -1;
        }
        (void)curl_multi_assign(client->multi, fd, watch);
    }
    loop_watch_set(watch->watch, (what != CURL_POLL_OUT ? LOOP_READ : 0) |
                                     (what != CURL_POLL_IN ? LOOP_WRITE : 0));
    return 0;
}

static int on_timer(CURLM *multi, long delay_ms, void *arg)
{
    struct http_client *client = arg;
    (void)multi;
    if (delay_ms < 0)
        loop_timer_stop(client->timer);
    else
        loop_timer_set(client->timer, (uint64_t)delay_ms);
    return 0;
}

static void on_timeout(void *arg)
{
    advance(arg, CURL_SOCKET_TIMEOUT, 0);
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer *transfer = arg;
    const struct http_client *client = transfer->client;
    char text[INET6_ADDRSTRLEN] = "";
    if (purpose != CURLSOCKTYPE_IPCXN)
        return CURL_SOCKET_BAD;
    if (address->family == AF_INET)
        (void)inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)&address->addr)->sin_addr, text,
                        sizeof(text));
    else if (address->family == AF_INET6)
        (void)inet_ntop(AF_INET6, &((struct sockaddr_in6 *)(void *)&address->addr)->sin6_addr, text,
                        sizeof(text));
    if (!address_is_public(text) && !client_ip_trusted(client->allowed, text)) {
        transfer->banned = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    buf_add(&transfer->answer, data, size * count);
    return transfer->answer.failed ? 0 : size * count; /* 0 ends the transfer */
}

/* ---- transfers ---- */

static void unlink_transfer(struct http_client *client, struct transfer *transfer)
{
    struct transfer **at = &client->first;
    while (*at != transfer)
        at = &(*at)->next;
    *at = transfer->next;
    if (transfer->running)
        client->running--;
    else
        client->waiting--;
}

/* Cache-Control as it matters to a private cache: max-age, and no-store and no-cache as 0. */
static int64_t max_age_of(CURL *easy)
{
    struct curl_header *header;
    int64_t age_s = -1;
    if (curl_easy_header(easy, "Cache-Control", 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return -1;
    for (const char *at = header->value; *at != '\0';) {
        at += strspn(at, ", \t");
        const size_t len = strcspn(at, ", \t");
        if (len == 8 &&
            (strncasecmp(at, "no-store", len) == 0 || strncasecmp(at, "no-cache", len) == 0))
            return 0;
        if (len > 8 && strncasecmp(at, "max-age=", 8) == 0 && at[8] >= '0' && at[8] <= '9')
            age_s = strtoll(at + 8, NULL, 10);
        at += len;
    }
    return age_s;
}

/* Ends a transfer that is in no list any more. `line`: what was dialled. */
static void finish(struct transfer *transfer, enum status status, struct http_client_line *line)
{
    long code = 0;
    curl_off_t retry_after_s = 0;
    int64_t max_age_s = -1;
    trace_enter(&transfer->trace);
    if (!transfer->cb) {
        transfer->dialled(transfer->arg, status, line, transfer->error);
    } else {
        if (status == ST_OK || status == ST_TOO_LARGE) {
            (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &code);
            (void)curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
            max_age_s = max_age_of(transfer->easy);
        }
        transfer->cb(transfer->arg, status,
                     &(struct http_client_answer){.code = (unsigned)code,
                                                  .body = buf_str(&transfer->answer),
                                                  .len = transfer->answer.len,
                                                  .error = transfer->error,
                                                  .retry_after_s = retry_after_s,
                                                  .max_age_s = max_age_s});
    }
    trace_enter(NULL);
    if (!line)
        curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    buf_clear(&transfer->answer);
    free(transfer);
}

static enum status status_of(const struct transfer *transfer, CURLcode code)
{
    if (code == CURLE_OK)
        return ST_OK;
    if (transfer->banned)
        return ST_DENIED;
    if (transfer->answer.failed)
        return ST_TOO_LARGE;
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return ST_TIMEOUT;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return ST_INVALID;
    default:
        return ST_UNAVAILABLE;
    }
}

/* Takes the finished transfers from curl and runs their callbacks, which may start others. */
static void reap(struct http_client *client)
{
    const CURLMsg *message;
    int left;
    if (client->reaping)
        return;
    client->reaping = true;
    while ((message = curl_multi_info_read(client->multi, &left))) {
        struct transfer *transfer = NULL;
        struct http_client_line *line = NULL;
        CURL *easy = message->easy_handle;
        const CURLcode code = message->data.result;
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
        if (!transfer) /* a line, which its owner closes */
            continue;
        enum status st = status_of(transfer, code);
        if (st == ST_DENIED)
            (void)strcpy(transfer->error, "a private address, which OUTBOUND_ALLOW does not name");
        else if (code != CURLE_OK && transfer->error[0] == '\0')
            (void)strncat(transfer->error, curl_easy_strerror(code), CURL_ERROR_SIZE - 1);
        if (st == ST_OK && !transfer->cb) {
            line = xcalloc(1, sizeof(*line));
            *line = (struct http_client_line){.client = client, .easy = easy};
            if (curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &line->fd) != CURLE_OK ||
                line->fd == CURL_SOCKET_BAD) {
                free(line);
                line = NULL;
                st = ST_UNAVAILABLE;
            }
        }
        unlink_transfer(client, transfer);
        if (line) { /* stays with curl, which closes the connection with it */
            (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, NULL);
            (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
        } else {
            (void)curl_multi_remove_handle(client->multi, easy);
        }
        finish(transfer, st, line);
    }
    client->reaping = false;
}

/* Gives curl those that wait, as far as at_once allows. */
static void start_waiting(struct http_client *client)
{
    const uint64_t now = loop_now_ms(client->opts.loop);
    for (struct transfer *transfer = client->first;
         transfer && client->running < client->opts.at_once; transfer = transfer->next) {
        if (transfer->running)
            continue;
        const uint64_t left_ms = transfer->deadline_ms > now ? transfer->deadline_ms - now : 1;
        (void)curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
        transfer->running = true;
        client->running++;
        client->waiting--;
        (void)curl_multi_add_handle(client->multi, transfer->easy);
    }
}

static void advance(struct http_client *client, curl_socket_t fd, int events)
{
    int running;
    (void)curl_multi_socket_action(client->multi, fd, events, &running);
    reap(client);
    start_waiting(client);
}

/* Runs each second while some wait. */
static void end_expired(void *arg)
{
    struct http_client *client = arg;
    const uint64_t now = loop_now_ms(client->opts.loop);
    for (struct transfer *transfer = client->first; transfer;) {
        struct transfer *next = transfer->next;
        if (!transfer->running && transfer->deadline_ms <= now) {
            unlink_transfer(client, transfer);
            finish(transfer, ST_TIMEOUT, NULL);
            next = client->first; /* the callback may have changed the list */
        }
        transfer = next;
    }
    if (client->waiting > 0)
        loop_timer_set(client->expires, 1000);
}

/* Takes over `transfer`, whose handle is complete. */
static void enqueue(struct http_client *client, struct transfer *transfer, int64_t timeout_ms)
{
    CURL *easy = transfer->easy;
    transfer->client = client;
    transfer->deadline_ms = loop_now_ms(client->opts.loop) + (uint64_t)timeout_ms;
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* never wait for the resolver's thread */
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
    if (client->ca_file)
        (void)curl_easy_setopt(easy, CURLOPT_CAINFO, client->ca_file);
    struct transfer **at = &client->first;
    while (*at)
        at = &(*at)->next;
    *at = transfer;
    client->waiting++;
    if (!client->reaping)
        start_waiting(client);
    if (client->waiting > 0)
        loop_timer_set(client->expires, 1000);
}

/* Returns new; NULL: it cannot be started, for the reason in *ret. */
static struct transfer *transfer_new(struct http_client *client, enum status *ret)
{
    struct transfer *transfer;
    CURL *easy = NULL;
    *ret = client->closing                             ? ST_UNAVAILABLE
           : client->waiting >= client->opts.queue_max ? ST_FULL
                                                       : ST_OK;
    if (*ret == ST_OK && !(easy = curl_easy_init()))
        *ret = ST_FULL;
    if (*ret != ST_OK)
        return NULL;
    transfer = xcalloc(1, sizeof(*transfer));
    transfer->easy = easy;
    if (trace_current())
        transfer->trace = *trace_current();
    return transfer;
}

/* Passes the trace on, if the request that this is for has one. */
static void add_trace(struct transfer *transfer)
{
    static const char name[] = "traceparent: ";
    char header[sizeof(name) + TRACE_PARENT_SIZE];
    memcpy(header, name, sizeof(name));
    if (trace_parent_write(&transfer->trace, header + sizeof(name) - 1))
        transfer->headers = curl_slist_append(transfer->headers, header);
}

enum status http_client_start(struct http_client *client, const struct http_client_request *request,
                              http_client_cb cb, void *arg)
{
    enum status st;
    struct transfer *transfer = transfer_new(client, &st);
    if (!transfer)
        return st;
    CURL *easy = transfer->easy;
    transfer->cb = cb;
    transfer->arg = arg;
    buf_init(&transfer->answer, request->answer_max);
    (void)curl_easy_setopt(easy, CURLOPT_URL, request->url);
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, request->plain ? "https,http" : "https");
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    if (request->body) {
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        (void)curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body);
    }
    if (request->method)
        (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    for (size_t i = 0; request->headers && request->headers[i]; i++)
        transfer->headers = curl_slist_append(transfer->headers, request->headers[i]);
    add_trace(transfer);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    enqueue(client, transfer, request->timeout_ms);
    return ST_OK;
}

enum status http_client_dial(struct http_client *client, const struct http_client_dial *dial,
                             http_client_dial_cb cb, void *arg)
{
    enum status st;
    struct transfer *transfer = transfer_new(client, &st);
    if (!transfer)
        return st;
    CURL *easy = transfer->easy;
    transfer->dialled = cb;
    transfer->arg = arg;
    (void)curl_easy_setopt(easy, CURLOPT_URL, dial->url);
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    (void)curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_USE_SSL,
                           dial->tls ? (long)CURLUSESSL_ALL : (long)CURLUSESSL_TRY);
    /* A certificate that is not checked is no worse than the plain text that would be sent without it. */
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, dial->tls ? 1L : 0L);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, dial->tls ? 2L : 0L);
    enqueue(client, transfer, dial->timeout_ms);
    return ST_OK;
}

/* ---- lines ---- */

int http_client_line_fd(const struct http_client_line *line)
{
    return line->fd;
}

enum status http_client_line_send(struct http_client_line *line, const void *data, size_t len,
                                  size_t *ret_len)
{
    const CURLcode code = curl_easy_send(line->easy, data, len, ret_len);
    return code == CURLE_OK ? ST_OK : code == CURLE_AGAIN ? ST_BUSY : ST_UNAVAILABLE;
}

enum status http_client_line_recv(struct http_client_line *line, void *data, size_t size,
                                  size_t *ret_len)
{
    const CURLcode code = curl_easy_recv(line->easy, data, size, ret_len);
    if (code == CURLE_AGAIN)
        return ST_BUSY;
    return code == CURLE_OK && *ret_len > 0 ? ST_OK : ST_UNAVAILABLE;
}

void http_client_line_close(struct http_client_line *line)
{
    if (!line)
        return;
    (void)curl_multi_remove_handle(line->client->multi, line->easy);
    curl_easy_cleanup(line->easy);
    free(line);
}

/* ---- life ---- */

static CURLcode global_status;
static void init_global(void)
{
    global_status = curl_global_init(CURL_GLOBAL_DEFAULT);
}

enum status http_client_new(const struct http_client_opts *opts, struct http_client **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct client_ip *allowed;
    char error[160];
    (void)pthread_once(&once, init_global);
    if (client_ip_new(opts->allow, &allowed, error, sizeof(error)) != ST_OK)
        return ST_INVALID;
    CURLM *multi = global_status == CURLE_OK ? curl_multi_init() : NULL;
    if (!multi) {
        client_ip_free(allowed);
        return ST_FULL;
    }
    struct http_client *client = xcalloc(1, sizeof(*client));
    client->opts = *opts;
    client->allowed = allowed;
    client->ca_file = opts->ca_file ? xstrdup(opts->ca_file) : NULL;
    client->multi = multi;
    client->timer = loop_timer_new(opts->loop, on_timeout, client);
    client->expires = loop_timer_new(opts->loop, end_expired, client);
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client);
    *ret = client;
    return ST_OK;
}

void http_client_close(struct http_client *client)
{
    if (!client)
        return;
    client->closing = client->reaping = true;
    while (client->first) {
        struct transfer *transfer = client->first;
        unlink_transfer(client, transfer);
        if (transfer->running)
            (void)curl_multi_remove_handle(client->multi, transfer->easy);
        finish(transfer, ST_UNAVAILABLE, NULL);
    }
    (void)curl_multi_cleanup(client->multi);
    loop_timer_close(client->timer);
    loop_timer_close(client->expires);
    client_ip_free(client->allowed);
    free(client->ca_file);
    free(client);
}
