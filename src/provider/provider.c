/* SPDX-License-Identifier: MIT */
/*
 * provider: a payment provider for tests and demos, its own process.
 *
 *   POST /charges   the order that `pay` gave the buyer -> signature -> books -> answer -> webhook
 *   GET /charges    the books, page by page; GET /charges/{reference}: one entry
 *   POST /refunds   {"reference"}: the money goes back -> books -> answer -> webhook
 *   GET, POST /pay  the same for people: provider_page, which ends in POST /charges' own way
 *
 * Why this way: it shares nothing with the service but the secret, so its books are a second
 * witness of the money. It believes the signature, not the buyer. Called by: main. Owns: everything
 * of its process; one thread, one loop. In memory alone: what it has taken it forgets at its end.
 */
#include "base/program.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/process.h"
#include "net/httpd.h"
#include "page/messages.h"
#include "provider/provider_books.h"
#include "provider/provider_calls.h"
#include "provider/provider_options.h"
#include "provider/provider_page.h"
#include "selling/money.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS     200
#define CONNECTIONS 8192
#define IDLE_S      30
#define PAGE        500
#define ANSWER_MAX  (1024 * 1024)

struct provider {
    const struct config *config;
    struct provider_options options;
    struct loop *loop;
    struct loop_timer *tick;
    struct loop_resolve *resolve;
    struct dial_target webhook;
    struct token_keys *keys;
    struct httpd *httpd;
    struct provider_books *books;
    struct provider_calls *calls;
    struct buf text;
    int code;
};

static int complain(int code, const char *sentence)
{
    (void)fprintf(stderr, "tiketi provider: %s\n", sentence);
    return code;
}

/* ---- answers ---- */

static void reply_json(struct provider *provider, struct http_req *req, unsigned code,
                       struct json *body, const char *type)
{
    buf_reset(&provider->text);
    json_write(body, &provider->text);
    json_free(body);
    http_req_add_header(req, "Access-Control-Allow-Origin", "*"); /* a payment page calls */
    http_req_add_header(req, "Cache-Control", "no-store");
    http_reply(req, code, type, buf_str(&provider->text), provider->text.len);
}

static void refuse(struct provider *provider, struct http_req *req, unsigned code,
                   const char *detail)
{
    struct json *body = json_new_object();
    json_set_int(body, "status", code);
    json_set_str(body, "detail", detail);
    reply_json(provider, req, code, body, "application/problem+json");
}

static struct json *charge_json(const struct provider_charge *charge)
{
    char at[CLOCK_RFC3339_SIZE];
    struct json *object = json_new_object();
    clock_format_rfc3339(charge->at_ms, at);
    json_set_int(object, "number", charge->number);
    json_set_str(object, "reference", charge->reference);
    json_set_str(object, "reservationId", charge->reservation);
    json_set_str(object, "provider", charge->provider);
    json_set_int(object, "amount", charge->amount);
    json_set_str(object, "currency", charge->currency);
    json_set_str(object, "status", charge->refunded ? "refunded" : "paid");
    json_set_str(object, "takenAt", at);
    json_set_str(object, "payment", charge->outcome[0] != '\0' ? charge->outcome : NULL);
    return object;
}

static void reply_charge(struct provider *provider, struct http_req *req, unsigned code,
                         const struct provider_charge *charge)
{
    reply_json(provider, req, code, charge_json(charge), "application/json");
}

/* ---- POST /charges ---- */

static struct json *read_body(const struct http_req *req)
{
    size_t len;
    struct json_error error;
    const char *body = http_req_body(req, &len);
    return json_parse(body, len, HTTPD_BODY_MAX, &error);
}

static enum status read_order(const struct json *body, struct provider_order *ret)
{
    const struct {
        const char *key, **text;
        size_t max;
    } texts[] = {{"reference", &ret->reference, 64}, {"reservationId", &ret->reservation, 64},
                 {"provider", &ret->provider, 64},   {"currency", &ret->currency, 3},
                 {"expiresAt", &ret->expires, 40},   {"signature", &ret->signature, 64}};
    struct json_error error;
    ret->amount = -1;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        *texts[i].text = NULL;
        const enum status st =
            json_read_str(body, texts[i].key, texts[i].max, texts[i].text, &error);
        if (st != ST_OK || *texts[i].text == NULL)
            return ST_INVALID;
    }
    const enum status st = json_read_int(body, "amount", 1, MONEY_AMOUNT_MAX, &ret->amount, &error);
    return st == ST_OK && ret->amount > 0 ? ST_OK : ST_INVALID;
}

/* Only what the service has signed is charged. */
static bool is_signed(const struct provider *provider, const struct provider_order *order)
{
    char text[512], mac[65];
    const int len = snprintf(text, sizeof(text), "pay.%s.%s.%" PRId64 ".%s.%s", order->reference,
                             order->reservation, order->amount, order->currency, order->expires);
    return token_webhook_mac(provider->keys, text, (size_t)len, mac) == ST_OK &&
           token_equal(mac, strlen(mac), order->signature, strlen(order->signature));
}

static bool is_over(const struct provider_order *order)
{
    int64_t expires_ms;
    return clock_parse_rfc3339(order->expires, &expires_ms) != ST_OK ||
           expires_ms <= clock_wall_ms();
}

/* ST_OK: charged now; ST_CONFLICT: before (also *ret_charge); ST_DENIED: not what was signed;
 * ST_GONE: expired; ST_FULL: the books are. */
static enum status charge_order(struct provider *provider, const struct provider_order *order,
                                struct provider_charge **ret_charge)
{
    if (!is_signed(provider, order))
        return ST_DENIED;
    if (provider_books_find(provider->books, order->reference) == NULL && is_over(order))
        return ST_GONE;
    const enum status st = provider_books_take(provider->books, order, clock_wall_ms(), ret_charge);
    if (st == ST_OK)
        provider_calls_announce(provider->calls, *ret_charge, false);
    return st;
}

static void answer_charge(struct provider *provider, struct http_req *req,
                          const struct provider_order *order)
{
    struct provider_charge *charge = NULL;
    const enum status st = charge_order(provider, order, &charge);
    if (st == ST_DENIED)
        refuse(provider, req, 403, "the order is not signed, or was altered");
    else if (st == ST_GONE)
        refuse(provider, req, 410, "the order has expired: nothing was charged");
    else if (st == ST_FULL)
        refuse(provider, req, 503, "the books are full");
    else
        reply_charge(provider, req, st == ST_OK ? 201 : 200, charge);
}

static void post_charges(struct provider *provider, struct http_req *req)
{
    struct provider_order order;
    struct json *body = read_body(req);
    if (body == NULL || read_order(body, &order) != ST_OK)
        refuse(provider, req, 400, "this is not an order: send what `pay` has answered");
    else
        answer_charge(provider, req, &order);
    json_free(body);
}

/* ---- /pay: for people ---- */

static void get_pay(struct provider *provider, struct http_req *req)
{
    struct provider_visit visit;
    enum provider_view view = PROVIDER_ASK;
    if (provider_page_read(req, provider->options.shop_url, &visit) != ST_OK)
        view = PROVIDER_NONSENSE;
    else if (!is_signed(provider, &visit.order))
        view = PROVIDER_FORGED;
    else if (provider_books_find(provider->books, visit.order.reference) != NULL)
        view = PROVIDER_DONE;
    else if (is_over(&visit.order))
        view = PROVIDER_OVER;
    provider_page_show(req, &visit, view);
}

static void post_pay(struct provider *provider, struct http_req *req)
{
    struct provider_visit visit;
    struct provider_charge *charge = NULL;
    const enum status read = provider_page_read(req, provider->options.shop_url, &visit);
    if (visit.cancels) {
        provider_page_return(req, &visit, "cancelled");
        return;
    }
    if (read != ST_OK || !visit.pays) {
        provider_page_show(req, &visit, PROVIDER_NONSENSE);
        return;
    }
    const enum status st = charge_order(provider, &visit.order, &charge);
    if (st == ST_OK || st == ST_CONFLICT)
        provider_page_return(req, &visit, "paid");
    else
        provider_page_show(req, &visit,
                           st == ST_DENIED ? PROVIDER_FORGED
                           : st == ST_GONE ? PROVIDER_OVER
                                           : PROVIDER_FULL);
}

/* ---- GET /charges ---- */

static uint32_t read_after(const struct http_req *req)
{
    const char *text = http_req_query(req, "after");
    return text != NULL ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

static void get_charges(struct provider *provider, struct http_req *req)
{
    struct json *body = json_new_object();
    struct json *list = json_new_array();
    uint32_t number = read_after(req);
    for (uint32_t i = 0; i < PAGE; i++) {
        const struct provider_charge *charge = provider_books_at(provider->books, number + 1);
        if (charge == NULL)
            break;
        json_append(list, charge_json(charge));
        number++;
    }
    json_set_int(body, "count", provider_books_count(provider->books));
    json_set_int(body, "undelivered", provider_calls_undelivered(provider->calls));
    json_set(body, "charges", list);
    if (provider_books_at(provider->books, number + 1) != NULL)
        json_set_int(body, "next", number);
    else
        json_set_null(body, "next");
    reply_json(provider, req, 200, body, "application/json");
}

static void get_charge(struct provider *provider, struct http_req *req, const char *reference)
{
    const struct provider_charge *charge = provider_books_find(provider->books, reference);
    if (charge == NULL)
        refuse(provider, req, 404, "nothing was charged under this reference");
    else
        reply_charge(provider, req, 200, charge);
}

/* ---- POST /refunds ---- */

static void post_refunds(struct provider *provider, struct http_req *req)
{
    struct json *body = read_body(req);
    const char *reference = json_str(body, "reference");
    struct provider_charge *charge =
        reference != NULL ? provider_books_find(provider->books, reference) : NULL;
    if (reference == NULL) {
        refuse(provider, req, 400, "{\"reference\"} is needed");
    } else if (charge == NULL) {
        refuse(provider, req, 404, "nothing was charged under this reference");
    } else {
        if (!charge->refunded) {
            charge->refunded = true;
            provider_calls_announce(provider->calls, charge, true);
        }
        reply_charge(provider, req, 200, charge);
    }
    json_free(body);
}

/* ---- requests ---- */

static void get_alive(struct provider *provider, struct http_req *req)
{
    reply_json(provider, req, 200, json_new_object(), "application/json");
}

static void answer_preflight(struct http_req *req)
{
    http_req_add_header(req, "Access-Control-Allow-Origin", "*");
    http_req_add_header(req, "Access-Control-Allow-Methods", "GET, POST");
    http_req_add_header(req, "Access-Control-Allow-Headers", "Content-Type");
    http_reply(req, 204, NULL, "", 0);
}

static void on_request(void *arg, struct http_req *req, unsigned refusal)
{
    static const struct {
        const char *method, *path;
        void (*answer)(struct provider *provider, struct http_req *req);
    } routes[] = {{"POST", "/charges", post_charges}, {"GET", "/charges", get_charges},
                  {"POST", "/refunds", post_refunds}, {"GET", "/pay", get_pay},
                  {"POST", "/pay", post_pay},         {"GET", "/livez", get_alive}};
    static const char one[] = "/charges/";
    struct provider *provider = arg;
    const char *method = http_req_method(req), *path = http_req_path(req);
    if (refusal != 0) {
        refuse(provider, req, refusal, "the request is refused");
        return;
    }
    if (strcmp(method, "OPTIONS") == 0) {
        answer_preflight(req);
        return;
    }
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (strcmp(routes[i].method, method) == 0 && strcmp(routes[i].path, path) == 0) {
            routes[i].answer(provider, req);
            return;
        }
    }
    if (strcmp(method, "GET") == 0 && provider_page_asset(req, path))
        return;
    if (strcmp(method, "GET") == 0 && strncmp(path, one, sizeof(one) - 1) == 0)
        get_charge(provider, req, path + sizeof(one) - 1);
    else
        refuse(provider, req, 404, "there is no such route");
}

/* ---- life ---- */

static void provider_closed(void *arg)
{
    struct provider *provider = arg;
    provider_calls_close(provider->calls);
    loop_stop(provider->loop);
}

static void provider_close(struct provider *provider, int code)
{
    provider->code = code;
    loop_resolve_cancel(provider->resolve);
    provider->resolve = NULL;
    loop_timer_close(provider->tick);
    provider->tick = NULL;
    httpd_close(provider->httpd, provider_closed, provider);
}

static void provider_tick(void *arg)
{
    struct provider *provider = arg;
    if (process_noted_signal() != 0)
        provider_close(provider, 0);
    else
        loop_timer_set(provider->tick, TICK_MS);
}

/* The webhook's address is known. */
static void provider_open(struct provider *provider)
{
    const struct httpd_opts opts = {.loop = provider->loop,
                                    .host = "127.0.0.1",
                                    .port = (uint16_t)provider->options.port,
                                    .connection_limit = CONNECTIONS,
                                    .idle_timeout_s = IDLE_S,
                                    .on_request = on_request,
                                    .arg = provider};
    const struct provider_calls_opts calls = {.loop = provider->loop,
                                              .keys = provider->keys,
                                              .webhook = &provider->webhook,
                                              .options = &provider->options};
    provider->calls = provider_calls_new(&calls);
    if (httpd_open(&opts, &provider->httpd) != ST_OK) {
        provider_close(provider, complain(1, "cannot listen: is the port taken?"));
        return;
    }
    (void)printf("listening on http://127.0.0.1:%u\n", httpd_port(provider->httpd));
    (void)fflush(stdout);
}

static void webhook_resolved(void *arg, enum status status, const char *const *addresses,
                             size_t count)
{
    struct provider *provider = arg;
    provider->resolve = NULL;
    if (status != ST_OK || count == 0) {
        provider_close(provider, complain(1, "--webhook-url: no such host"));
        return;
    }
    (void)snprintf(provider->webhook.address, sizeof(provider->webhook.address), "%s",
                   addresses[0]);
    provider_open(provider);
}

static int run(struct provider *provider)
{
    char error[200];
    if (dial_target_parse(provider->options.webhook_url, "http", &provider->webhook) != ST_OK)
        return complain(EXIT_USAGE, "--webhook-url must be http://host[:port]/path");
    if (provider->config->payment_webhook_secret == NULL)
        return complain(EXIT_CONFIG, "PAYMENT_WEBHOOK_SECRET is not set");
    if (token_keys_new(provider->config, &provider->keys, error, sizeof(error)) != ST_OK)
        return complain(EXIT_CONFIG, error);
    provider->loop = loop_new();
    if (provider->loop == NULL) {
        token_keys_free(provider->keys);
        return complain(1, "no event loop: out of open files");
    }
    process_note_signals();
    (void)process_raise_open_files(); /* each buyer who pays and each call is one */
    messages_load();
    buf_init(&provider->text, ANSWER_MAX);
    provider->books = provider_books_new();
    provider->tick = loop_timer_new(provider->loop, provider_tick, provider);
    loop_timer_set(provider->tick, TICK_MS);
    provider->resolve =
        loop_resolve_start(provider->loop, provider->webhook.name, webhook_resolved, provider);
    loop_run(provider->loop);
    provider_calls_free(provider->calls);
    provider_books_free(provider->books);
    loop_free(provider->loop);
    token_keys_free(provider->keys);
    buf_clear(&provider->text);
    return provider->code;
}

static int serve(struct config *config, int argc, char **argv)
{
    struct provider provider = {.config = config};
    struct options_error error;
    if (provider_options_parse(argc - 1, argv + 1, &provider.options, &error) != ST_OK) {
        (void)complain(EXIT_USAGE, error.text);
        (void)fputs("see tiketi provider --help\n", stderr);
        return EXIT_USAGE;
    }
    if (provider.options.help) {
        provider_options_help(stdout);
        return 0;
    }
    return run(&provider);
}

int main(int argc, char **argv)
{
    return program_run(serve, argc, argv);
}
