/* SPDX-License-Identifier: MIT */
/* provider_page: the payment provider's page for buyers. */
#ifndef TIKETI_PROVIDER_PAGE_H
#define TIKETI_PROVIDER_PAGE_H

#include "base/language.h"
#include "net/httpd.h"
#include "provider/provider_books.h"

/* What the buyer's browser has sent; texts live as long as the request. */
struct provider_visit {
    struct provider_order order;
    const char *amount; /* as it was sent */
    const char *back;   /* the page to return to; NULL: none, or not allowed */
    const char *zone;   /* the time zone of the event, an IANA name; "": UTC */
    enum language language;
    bool pays, cancels; /* the button that was pressed */
};

enum provider_view {
    PROVIDER_ASK,      /* pay, or cancel? */
    PROVIDER_DONE,     /* paid */
    PROVIDER_STOPPED,  /* cancelled */
    PROVIDER_EXPIRED,  /* too late: nothing was charged */
    PROVIDER_UNSIGNED, /* the order is not what the shop signed */
    PROVIDER_INVALID,  /* not an order */
    PROVIDER_FULL      /* the books are full */
};

/* Reads the query of a GET, or the form of a POST. A buyer may return to the origin of the URL `shop` (NULL: none) and to
 * the loopback. ST_INVALID: not an order; *ret has what could be read. */
MUST_CHECK enum status provider_page_read(struct http_req *req, const char *shop,
                                          struct provider_visit *ret);
/* Answers with the page. */
void provider_page_show(struct http_req *req, const struct provider_visit *visit,
                        enum provider_view view);
/* Answers with 303 to visit->back, with ?payment=<result> ("paid" or "cancelled"), or with 307, so that the browser comes
 * back by POST; with the page DONE or STOPPED where there is no such page. */
void provider_page_return(struct http_req *req, const struct provider_visit *visit,
                          const char *result, bool by_post);
/* Answers with a style sheet or icon of the page. False, and no answer: there is none at this path. */
bool provider_page_asset(struct http_req *req, const char *path);

#endif
