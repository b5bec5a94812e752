/* SPDX-License-Identifier: MIT */
/*
 * provider: a payment provider for tests and demos, its own process.
 *
 *   POST /charges   the order that `pay` gave the buyer -> signature -> books -> answer -> webhook
 *   GET /charges    the books, 500 entries at a time; GET /charges/{reference}: one entry
 *   POST /refunds   {"reference", "amount", "refundId"} -> books -> answer -> webhook; without amount all that is left
 *   GET, POST /pay  the same as a page for people (provider_page)
 *
 * Why this way: it shares nothing with the service but the secret, so that its books are a second record of the
 * money. It trusts the signature of an order, not the buyer who brings it.
 * Called by: tiketi (which becomes it), tests. Owns: everything of its process: one thread, one loop, books in
 * memory that are lost at its end. Where the service is gone, its calls are repeated until they are accepted.
 */
#include "base/program.h"

#include "auth/webhook.h"
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
#include "selling/reservation.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS     200
#define CONNECTIONS 8192
#define IDLE_S      30
#define LIST_MAX    500 /* entries of the books in one answer */
#define ANSWER_MAX  (1024 * 1024)

struct provider {
    const struct config *config;
    const struct provider_options *options;
    struct loop *loop;
    struct loop_timer *tick;
    struct loop_resolve *resolve;
    struct dial_target webhook;
    struct token_keys *keys;
    struct httpd *httpd;
    struct provider_books *books;
    struct provider_calls *calls;
    struct buf text; /* of the answer being written */
    int code;
};

/* ---- answers ---- */

static void reply_json(struct provider *provider, struct http_req *req, unsigned code,
                       struct json *body, const char *type)
{
    buf_reset(&provider->text);
    json_write(body, &provider->text);
    json_free(body);
    http_req_add_header(req, "Access-Control-Allow-Origin",
                        "*"); /* called by payment pages of any origin */
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
    json_set_int(object, "returned", charge->returned);
    json_set_str(object, "currency", charge->currency);
    json_set_str(object, "status", charge->refunded ? "refunded" : "paid");
    json_set_str(object, "takenAt", at);
    json_set_str(object, "payment", charge->outcome[0] != '\0' ? charge->outcome : NULL);
    return object;
}

/* ---- POST /charges ---- */

/* Returns the body as new JSON; NULL: it is not JSON. */
static struct json *read_body(const struct http_req *req)
{
    size_t len;
    const char *body = http_req_body(req, &len);
    return json_parse(body, len, HTTP_BODY_MAX, NULL);
}

static enum status read_order(const struct json *body, struct provider_order *ret)
{
    const struct {
        const char *key, **text;
        size_t max;
    } texts[] = {{"reference", &ret->reference, 64}, {"reservationId", &ret->reservation, 64},
                 {"provider", &ret->provider, 64},   {"currency", &ret->currency, 3},
                 {"expiresAt", &ret->expires, 40},   {"signature", &ret->signature, 64}};
    ret->amount = 0;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        *texts[i].text = NULL;
        const enum status st = json_read_str(body, texts[i].key, texts[i].max, texts[i].text, NULL);
        if (st != ST_OK || !*texts[i].text)
            return ST_INVALID;
    }
    const enum status st = json_read_int(body, "amount", 1, MONEY_AMOUNT_MAX, &ret->amount, NULL);
    return st == ST_OK && ret->amount > 0 ? ST_OK : ST_INVALID;
}

/* Has the service signed this order? */
static bool is_signed(const struct provider *provider, const struct provider_order *order)
{
    char text[512];
    const int len = snprintf(text, sizeof(text), "pay.%s.%s.%" PRId64 ".%s.%s", order->reference,
                             order->reservation, order->amount, order->currency, order->expires);
    return webhook_holds(token_webhook_keys(provider->keys), text, (size_t)len, order->signature);
}

static bool has_expired(const struct provider_order *order)
{
    int64_t expires_ms;
    return clock_parse_rfc3339(order->expires, &expires_ms) != ST_OK ||
           expires_ms <= clock_wall_ms();
}

/* ST_OK: charged now; ST_CONFLICT: charged before, *ret_charge is that charge; ST_DENIED: the
 * signature does not fit this order; ST_GONE: the order has expired; ST_FULL: the books have no room for another
 * charge. */
static enum status charge_order(struct provider *provider, const struct provider_order *order,
                                struct provider_charge **ret_charge)
{
    if (!is_signed(provider, order))
        return ST_DENIED;
    if (!provider_books_find(provider->books, order->reference) && has_expired(order))
        return ST_GONE;
    const enum status st = provider_books_take(provider->books, order, clock_wall_ms(), ret_charge);
    if (st == ST_OK)
        provider_calls_announce(provider->calls, *ret_charge, false);
    return st;
}

static void post_charges(struct provider *provider, struct http_req *req)
{
    struct provider_order order;
    struct provider_charge *charge = NULL;
    struct json *body = read_body(req);
    enum status st = ST_INVALID;
    if (body && read_order(body, &order) == ST_OK)
        st = charge_order(provider, &order, &charge);
    switch (st) {
    case ST_OK:
    case ST_CONFLICT: /* charged before: the same entry */
        reply_json(provider, req, st == ST_OK ? 201 : 200, charge_json(charge), "application/json");
        break;
    case ST_DENIED:
        refuse(provider, req, 403, "The order is not signed by the shop, or was changed.");
        break;
    case ST_GONE:
        refuse(provider, req, 410, "The order has expired; nothing was charged.");
        break;
    case ST_FULL:
        refuse(provider, req, 503, "The books are full; nothing was charged.");
        break;
    default:
        refuse(provider, req, 400, "This is not an order: send what `pay` has answered.");
    }
    json_free(body);
}

/* ---- /pay: for people ---- */

static void get_pay(struct provider *provider, struct http_req *req)
{
    struct provider_visit visit;
    enum provider_view view = PROVIDER_ASK;
    if (provider_page_read(req, provider->options->shop_url, &visit) != ST_OK)
        view = PROVIDER_INVALID;
    else if (!is_signed(provider, &visit.order))
        view = PROVIDER_UNSIGNED;
    else if (provider_books_find(provider->books, visit.order.reference))
        view = PROVIDER_DONE;
    else if (has_expired(&visit.order))
        view = PROVIDER_EXPIRED;
    provider_page_show(req, &visit, view);
}

static void post_pay(struct provider *provider, struct http_req *req)
{
    struct provider_visit visit;
    struct provider_charge *charge = NULL;
    const enum status read = provider_page_read(req, provider->options->shop_url, &visit);
    if (visit.cancels) {
        provider_page_return(req, &visit, "cancelled", provider->options->post_return);
        return;
    }
    if (read != ST_OK || !visit.pays) {
        provider_page_show(req, &visit, PROVIDER_INVALID);
        return;
    }
    const enum status st = charge_order(provider, &visit.order, &charge);
    if (st == ST_OK || st == ST_CONFLICT)
        provider_page_return(req, &visit, "paid", provider->options->post_return);
    else
        provider_page_show(req, &visit,
                           st == ST_DENIED ? PROVIDER_UNSIGNED
                           : st == ST_GONE ? PROVIDER_EXPIRED
                                           : PROVIDER_FULL);
}

/* ---- GET /charges ---- */

static void get_charges(struct provider *provider, struct http_req *req)
{
    struct json *body = json_new_object();
    struct json *list = json_new_array();
    const char *after = http_req_query(req, "after");
    uint32_t number = after ? (uint32_t)strtoul(after, NULL, 10) : 0;
    for (uint32_t i = 0; i < LIST_MAX; i++) {
        const struct provider_charge *charge = provider_books_at(provider->books, number + 1);
        if (!charge)
            break;
        json_append(list, charge_json(charge));
        number++;
    }
    json_set_int(body, "count", provider_books_count(provider->books));
    json_set_int(body, "undelivered", provider_calls_undelivered(provider->calls));
    json_set(body, "charges", list);
    if (provider_books_at(provider->books, number + 1))
        json_set_int(body, "next", number);
    else
        json_set_null(body, "next");
    reply_json(provider, req, 200, body, "application/json");
}

/* ---- POST /refunds ---- */

/* Gives a part back. False: it was refused and answered. */
static bool return_part(struct provider *provider, struct http_req *req,
                        struct provider_charge *charge, const struct json *body)
{
    struct provider_part *part;
    char made[65];
    const char *id = json_str(body, "refundId");
    const int64_t amount = json_int(body, "amount", 0);
    bool is_new;
    (void)snprintf(made, sizeof(made), "r%" PRIu32 "-%" PRId64, charge->number, charge->returned);
    if (amount < 1 || (id && strlen(id) >= sizeof(made))) {
        refuse(provider, req, 400, "amount must be at least 1, and refundId has up to 64 bytes.");
        return false;
    }
    const enum status st =
        provider_books_return(provider->books, charge, id ? id : made, amount, &part, &is_new);
    if (st != ST_OK) {
        refuse(provider, req, st == ST_FULL ? 503 : 409,
               st == ST_FULL ? "The books are full."
                             : "This is more than is left, or another amount than before.");
        return false;
    }
    if (is_new)
        provider_calls_announce_part(provider->calls, charge, part);
    return true;
}

static void post_refunds(struct provider *provider, struct http_req *req)
{
    struct json *body = read_body(req);
    const char *reference = json_str(body, "reference");
    struct provider_charge *charge =
        reference ? provider_books_find(provider->books, reference) : NULL;
    if (!reference) {
        refuse(provider, req, 400, "The body must be {\"reference\": \"…\"}.");
    } else if (!charge) {
        refuse(provider, req, 404, "Nothing was charged under this reference.");
    } else if (json_has(body, "amount")) {
        if (return_part(provider, req, charge, body))
            reply_json(provider, req, 200, charge_json(charge), "application/json");
    } else {
        if (!charge->refunded) {
            charge->refunded = true;
            charge->returned = charge->amount;
            provider_calls_announce(provider->calls, charge, true);
        }
        reply_json(provider, req, 200, charge_json(charge), "application/json");
    }
    json_free(body);
}

/* ---- requests ---- */

static void get_livez(struct provider *provider, struct http_req *req)
{
    reply_json(provider, req, 200, json_new_object(), "application/json");
}

static void on_request(void *arg, struct http_req *req, unsigned refusal)
{
    static const struct {
        const char *method, *path;
        void (*answer)(struct provider *provider, struct http_req *req);
    } routes[] = {{"POST", "/charges", post_charges}, {"GET", "/charges", get_charges},
                  {"POST", "/refunds", post_refunds}, {"GET", "/pay", get_pay},
                  {"POST", "/pay", post_pay},         {"GET", "/livez", get_livez}};
    static const char one_charge[] = "/charges/";
    struct provider *provider = arg;
    const char *method = http_req_method(req), *path = http_req_path(req);
    if (refusal != 0) {
        refuse(provider, req, refusal, "The request is refused.");
        return;
    }
    if (strcmp(method, "OPTIONS") == 0) {
        http_req_add_header(req, "Access-Control-Allow-Origin", "*");
        http_req_add_header(req, "Access-Control-Allow-Methods", "GET, POST");
        http_req_add_header(req, "Access-Control-Allow-Headers", "Content-Type");
        http_reply(req, 204, NULL, "", 0);
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
    if (strcmp(method, "GET") != 0 || strncmp(path, one_charge, sizeof(one_charge) - 1) != 0) {
        refuse(provider, req, 404, "There is no such route.");
        return;
    }
    const struct provider_charge *charge =
        provider_books_find(provider->books, path + sizeof(one_charge) - 1);
    if (charge)
        reply_json(provider, req, 200, charge_json(charge), "application/json");
    else
        refuse(provider, req, 404, "Nothing was charged under this reference.");
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

static void on_tick(void *arg)
{
    struct provider *provider = arg;
    if (process_noted_signal() != 0)
        provider_close(provider, 0);
    else
        loop_timer_set(provider->tick, TICK_MS);
}

/* The webhook's address is known: the provider can open. */
static void on_webhook_resolved(void *arg, enum status status, const char *const *addresses,
                                size_t count)
{
    struct provider *provider = arg;
    provider->resolve = NULL;
    if (status != ST_OK || count == 0) {
        provider_close(provider,
                       program_fail("provider", 1, "--webhook-url: the host %s is unknown",
                                    provider->webhook.name));
        return;
    }
    (void)snprintf(provider->webhook.address, sizeof(provider->webhook.address), "%s",
                   addresses[0]);
    provider->calls =
        provider_calls_new(&(struct provider_calls_opts){.loop = provider->loop,
                                                         .keys = provider->keys,
                                                         .webhook = &provider->webhook,
                                                         .options = provider->options});
    const struct httpd_opts opts = {.loop = provider->loop,
                                    .host = provider->options->host,
                                    .port = (uint16_t)provider->options->port,
                                    .connection_limit = CONNECTIONS,
                                    .idle_timeout_s = IDLE_S,
                                    .on_request = on_request,
                                    .arg = provider};
    if (httpd_open(&opts, &provider->httpd) != ST_OK) {
        provider_close(provider, program_fail("provider", 1, "--port: cannot listen on %s, port %d",
                                              opts.host, (int)opts.port));
        return;
    }
    (void)printf("listening on http://%s:%u\n", opts.host, httpd_port(provider->httpd));
    (void)fflush(stdout);
}

static int serve(struct config *config, const void *options)
{
    struct provider provider = {.config = config, .options = options};
    char error[200];
    if (dial_target_parse(provider.options->webhook_url, "http", &provider.webhook) != ST_OK)
        return program_fail("provider", EXIT_USAGE,
                            "--webhook-url must be http://host[:port]/path");
    if (!config->payment_webhook_secrets)
        return program_fail("provider", EXIT_CONFIG, "PAYMENT_WEBHOOK_SECRETS must be set");
    if (token_keys_new(config, &provider.keys, error, sizeof(error)) != ST_OK)
        return program_fail("provider", EXIT_CONFIG, "%s", error);
    provider.loop = loop_new();
    if (!provider.loop) {
        token_keys_free(provider.keys);
        return program_fail("provider", 1, "no event loop: out of open files");
    }
    process_note_signals();
    (void)process_raise_open_files(); /* each buyer's connection and each call needs one */
    messages_load();
    buf_init(&provider.text, ANSWER_MAX);
    provider.books = provider_books_new();
    provider.tick = loop_timer_new(provider.loop, on_tick, &provider);
    loop_timer_set(provider.tick, TICK_MS);
    provider.resolve =
        loop_resolve_start(provider.loop, provider.webhook.name, on_webhook_resolved, &provider);
    loop_run(provider.loop);
    provider_calls_free(provider.calls);
    provider_books_free(provider.books);
    loop_free(provider.loop);
    token_keys_free(provider.keys);
    buf_clear(&provider.text);
    return provider.code;
}

int main(int argc, char **argv)
{
    static const struct program_command command = {
        .name = "provider",
        .need = CONFIG_NEED_SETTINGS,
        .usage = "--webhook-url URL [options]",
        .about = "A payment provider for tests and demos; no real money. PAYMENT_WEBHOOK_SECRETS "
                 "must be the\n"
                 "service's.\n\n"
                 "  POST /charges    takes what POST /api/reservations/{id}/pay answered, then "
                 "calls the webhook\n"
                 "                   until the service has accepted it\n"
                 "  GET /pay         the same as a page for people: the order in its query, and "
                 "&return=<a page\n"
                 "                   of the shop>\n"
                 "  GET /charges     the books\n"
                 "  POST /refunds    {\"reference\"}: gives the money back; with \"amount\" a part "
                 "of it\n",
        .rows = provider_option_rows,
        .options_size = sizeof(struct provider_options),
        .run = serve};
    return program_run(&command, argc, argv);
}
