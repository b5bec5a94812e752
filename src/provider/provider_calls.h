/* SPDX-License-Identifier: MIT */
/* provider_calls: the payment provider's calls to the webhook: late, repeated, lost, reordered. */
#ifndef TIKETI_PROVIDER_CALLS_H
#define TIKETI_PROVIDER_CALLS_H

#include "auth/token.h"
#include "client/dial.h"
#include "net/loop.h"
#include "provider/provider_books.h"
#include "provider/provider_options.h"

struct provider_calls;

struct provider_calls_opts {
    struct loop *loop;
    struct token_keys *keys;
    const struct dial_target *webhook;      /* its path is the route */
    const struct provider_options *options; /* all borrowed */
};
struct provider_calls *provider_calls_new(const struct provider_calls_opts *opts);
/* The word about a charge will be delivered, until the service has answered with a 2xx. */
void provider_calls_announce(struct provider_calls *calls, struct provider_charge *charge,
                             bool refund);
unsigned provider_calls_undelivered(const struct provider_calls *calls);
void provider_calls_close(struct provider_calls *calls); /* hangs up: nothing more is delivered */
/* After the loop has run out; NULL is fine. */
void provider_calls_free(struct provider_calls *calls);

#endif
