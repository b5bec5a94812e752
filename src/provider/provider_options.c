/* SPDX-License-Identifier: MIT */
/* provider_options: the options of the payment provider. Pure. Called by: provider. */
#include "provider/provider_options.h"

#define AT(field) offsetof(struct provider_options, field)

const struct option_row provider_option_rows[] = {
    {"host", OPT_TEXT, AT(host), 0, 0, "127.0.0.1", "ADDRESS",
     "numeric address to listen on; another one only where nobody but you can reach it, as in "
     "compose.yaml"},
    {"port", OPT_COUNT, AT(port), 0, 65535, "0", "N", "port to listen on; 0: any free one"},
    {"webhook-url", OPT_TEXT | OPT_REQUIRED, AT(webhook_url), 0, 0, NULL, "URL",
     "the service's webhook: http://…/api/payments/webhook"},
    {"shop-url", OPT_TEXT, AT(shop_url), 0, 0, NULL, "URL",
     "the shop, to which buyers may return; not needed for a shop on the loopback"},
    {"post-return", OPT_FLAG, AT(post_return), 0, 0, NULL, NULL,
     "send buyers back by POST, as some card processors do"},
    {"late", OPT_SHARE, AT(late), 0, 0, "0", "SHARE", "share of the calls that are made late"},
    {"late-by", OPT_RANGE, AT(late_min_ms), 0, OPTIONS_DAY_MS, "2s..10s", "A..B",
     "how late they are made"},
    {"repeat", OPT_SHARE, AT(repeat), 0, 0, "0", "SHARE",
     "share that are made twice, at once or one after the other"},
    {"lose", OPT_SHARE, AT(lose), 0, 0, "0", "SHARE",
     "share that are lost, or whose answer is lost; they are made again"},
    {"reorder", OPT_SHARE, AT(reorder), 0, 0, "0", "SHARE",
     "share that wait until a later call was made"},
    {"seed", OPT_COUNT, AT(seed), 0, INT64_MAX, "1", "N", "seed of the random choices"},
    {0},
};
