/* SPDX-License-Identifier: MIT */
/* provider_page: the payment page of the payment provider, for people. */
#ifndef TIKETI_PROVIDER_PAGE_H
#define TIKETI_PROVIDER_PAGE_H

#include "net/httpd.h"
#include "page/language.h"
#include "provider/provider_books.h"

/* What the buyer's browser has brought: texts live as long as the request. */
struct provider_visit {
    struct provider_order order;
    const char *amount; /* as it was sent */
    const char *back;   /* where he came from; NULL: not said, or not ours to send him to */
    enum language language;
    bool pays, cancels; /* the button he has pressed */
};

enum provider_view {
    PROVIDER_ASK,
    PROVIDER_DONE,
    PROVIDER_STOPPED,
    PROVIDER_EXPIRED,
    PROVIDER_UNSIGNED,
    PROVIDER_INVALID,
    PROVIDER_FULL
};

/* From the query of a GET, or the form of a POST. `shop` (may be NULL) is an address whose origin
 * buyers may be sent back to; the loopback always is one. ST_INVALID: that is no order; *ret is filled
 * as far as it goes. */
MUST_CHECK enum status provider_page_read(struct http_req *req, const char *shop,
                                          struct provider_visit *ret);
/* Answers. */
void provider_page_show(struct http_req *req, const struct provider_visit *visit,
                        enum provider_view view);
/* 303 to where he came from, with ?payment=<word>; the page DONE where that is not known. */
void provider_page_return(struct http_req *req, const struct provider_visit *visit,
                          const char *word);
/* Its style sheets. False: there is none at this path, nothing was answered. */
bool provider_page_asset(struct http_req *req, const char *path);

#endif
