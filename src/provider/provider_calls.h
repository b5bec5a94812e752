/* SPDX-License-Identifier: MIT */
/* provider_calls: the payment provider's calls to the webhook, which can be late, duplicated, lost or reordered. */
#ifndef TIKETI_PROVIDER_CALLS_H
#define TIKETI_PROVIDER_CALLS_H

#include "auth/token.h"
#include "client/dial.h"
#include "net/loop.h"
#include "provider/provider_books.h"
#include "provider/provider_options.h"

struct provider_calls;

struct provider_calls_opts {
    struct loop *loop; /* all pointers are borrowed */
    struct token_keys *keys;
    const struct dial_target *webhook;
    const struct provider_options *options;
};
/* Returns new. Copies the options. */
struct provider_calls *provider_calls_new(const struct provider_calls_opts *opts);
/* Tells the service that the charge was paid or refunded. The call is repeated until the service answers with 2xx.
 * `charge` is borrowed until provider_calls_free. */
void provider_calls_announce(struct provider_calls *calls, struct provider_charge *charge,
                             bool refund);
/* The same of a part of the charge that was given back. */
void provider_calls_announce_part(struct provider_calls *calls, struct provider_charge *charge,
                                  struct provider_part *part);
/* Calls that the service has not accepted yet; duplicates do not count. */
unsigned provider_calls_undelivered(const struct provider_calls *calls);
void provider_calls_close(
    struct provider_calls *calls); /* closes its connections and calls no more */
/* After the loop has ended; NULL is fine. */
void provider_calls_free(struct provider_calls *calls);

#endif
