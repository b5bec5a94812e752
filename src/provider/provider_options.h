/* SPDX-License-Identifier: MIT */
/* provider_options: the options of the payment provider: where it listens, whom it calls, how unreliable it is. */
#ifndef TIKETI_PROVIDER_OPTIONS_H
#define TIKETI_PROVIDER_OPTIONS_H

#include "base/options.h"

struct provider_options {
    const char *host; /* numeric; borrowed, as all texts are, from argv or the table */
    int64_t port;     /* 0: any free one */
    const char *webhook_url;
    const char *shop_url;               /* NULL: none */
    bool post_return;                   /* buyers come back by POST */
    double late, repeat, lose, reorder; /* shares of the calls, 0 to 1 */
    int64_t late_min_ms, late_max_ms;
    int64_t seed; /* of the random choices */
};

extern const struct option_row provider_option_rows[];

#endif
