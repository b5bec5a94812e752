/* SPDX-License-Identifier: MIT */
/* provider_options: how the payment provider was asked to behave. */
#ifndef TIKETI_PROVIDER_OPTIONS_H
#define TIKETI_PROVIDER_OPTIONS_H

#include "base/options.h"

struct provider_options {
    int64_t port; /* 0: any free one */
    const char *webhook_url;
    const char *shop_url;               /* NULL: none */
    double late, repeat, lose, reorder; /* shares of the calls */
    int64_t late_min_ms, late_max_ms;
    int64_t seed;
    bool help;
};

MUST_CHECK enum status provider_options_parse(int argc, char **argv,
                                              struct provider_options *ret_options,
                                              struct options_error *error);
void provider_options_help(FILE *out);

#endif
