/* SPDX-License-Identifier: MIT */
/* provider_options: how the payment provider was asked to behave. Pure. Called by: provider. */
#include "provider/provider_options.h"

#define AT(field) offsetof(struct provider_options, field)

static const struct option_row options[] = {
    {"port", OPT_COUNT, AT(port), 0, 65535, "0", "N",
     "to listen on, at 127.0.0.1; 0: any free one"},
    {"webhook-url", OPT_TEXT, AT(webhook_url), 0, 0, NULL, "URL",
     "http://…/api/payments/webhook (required)"},
    {"shop-url", OPT_TEXT, AT(shop_url), 0, 0, NULL, "URL",
     "of the shop, where buyers may be sent back to; the loopback needs none"},
    {"late", OPT_SHARE, AT(late), 0, 0, "0", "SHARE", "of the calls are made late"},
    {"late-by", OPT_RANGE, AT(late_min_ms), 0, OPTIONS_DAY_MS, "2s..10s", "A..B", "by so much"},
    {"repeat", OPT_SHARE, AT(repeat), 0, 0, "0", "SHARE",
     "are made twice, at the same time or one after the other"},
    {"lose", OPT_SHARE, AT(lose), 0, 0, "0", "SHARE", "are lost, or their answers; and made again"},
    {"reorder", OPT_SHARE, AT(reorder), 0, 0, "0", "SHARE", "are overtaken by the next one"},
    {"seed", OPT_COUNT, AT(seed), 0, INT64_MAX, "1", "N", "of these choices"},
    {"help", OPT_FLAG, AT(help), 0, 0, NULL, NULL, "this text"},
    {0},
};

void provider_options_help(FILE *out)
{
    (void)fputs(
        "usage: tiketi provider --webhook-url URL [option…]\n\n"
        "A payment provider for tests and demos; no real money. POST /charges takes what\n"
        "POST /api/reservations/{id}/pay answered, then calls the webhook until it is heard;\n"
        "GET /pay is the same for people: the order in its query, with &return=<the shop's page>;\n"
        "GET /charges are its books; POST /refunds {\"reference\"} gives the money back. The "
        "secret is\n"
        "PAYMENT_WEBHOOK_SECRET, as the service's.\n\n",
        out);
    options_help(options, out);
}

enum status provider_options_parse(int argc, char **argv, struct provider_options *ret_options,
                                   struct options_error *error)
{
    struct provider_options out = {0};
    const enum status st = options_parse(options, argc, argv, &out, error);
    if (st == ST_OK && out.webhook_url == NULL && !out.help) {
        (void)snprintf(error->text, sizeof(error->text), "--webhook-url URL is required");
        return ST_INVALID;
    }
    if (st == ST_OK)
        *ret_options = out;
    return st;
}
