/* SPDX-License-Identifier: MIT */
/* mail_text: the mail about a purchase, ready to be sent. Pure. */
#ifndef TIKETI_MAIL_TEXT_H
#define TIKETI_MAIL_TEXT_H

#include "base/buf.h"
#include "base/json.h"
#include "base/status.h"

struct mail_text {
    const struct json *mail; /* one of outbox_claim's mails */
    const char *from_name;   /* "": none */
    const char *from_address;
    const char *path_prefix; /* follows public_url; "": none */
    const char *public_url;  /* without a slash at its end; NULL: the mail has no link */
};
/* Appends header and body: lines end with CRLF and have at most 998 bytes, all of them ASCII. ST_INVALID: the mail lacks
 * a member, or its recipient is no address. ST_TOO_LARGE: it does not fit. */
MUST_CHECK enum status mail_text_write(const struct mail_text *text, struct buf *out);

#endif
