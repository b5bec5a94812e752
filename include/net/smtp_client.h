/* SPDX-License-Identifier: MIT */
/*
 * smtp_client: gives mail to one mail server, over connections of an http_client. A connection carries one mail after the
 * other, and is closed when none has come for five seconds.
 */
#ifndef TIKETI_SMTP_CLIENT_H
#define TIKETI_SMTP_CLIENT_H

#include "base/status.h"
#include "net/http_client.h"

struct smtp_client;

struct smtp_client_opts {
    struct loop *loop;
    struct http_client *http; /* borrowed; outlives this */
    const char *url;          /* smtp://[user:password@]host[:port] or smtps://…; copied */
    bool tls_required;        /* smtps:// and a password require it anyway */
    unsigned connections;     /* at a time */
    int64_t timeout_ms;       /* for one mail, connecting included */
};
struct smtp_client *smtp_client_new(const struct smtp_client_opts *opts); /* returns new */
/* Mails under way get ST_UNAVAILABLE before this returns. NULL is fine. */
void smtp_client_close(struct smtp_client *client);

struct smtp_mail {
    const char *from, *to; /* addresses that email_read accepts */
    const char *data;      /* header and body, lines of at most 998 bytes that end with CRLF */
    size_t len;
};
/* ST_OK: the server has taken the mail. ST_CONFLICT: it refused this recipient or this mail for good (5xx). ST_BUSY:
 * it refused them for now (4xx). Others are not about this mail: ST_TIMEOUT, ST_UNAVAILABLE (no connection, it broke, the
 * log-in failed, or the sender is refused), ST_DENIED (the server's address is private).
 * `code`: the server's reply, 0: none. `error`, for logs: which step failed; never the server's text, since that may
 * contain the address. */
typedef void (*smtp_client_cb)(void *arg, enum status status, unsigned code, const char *error);
/* Copies the mail. ST_OK: cb runs exactly once, later. ST_FULL: `connections` are all in use. */
MUST_CHECK enum status smtp_client_send(struct smtp_client *client, const struct smtp_mail *mail,
                                        smtp_client_cb cb, void *arg);
/* How many more mails would be accepted now. */
unsigned smtp_client_capacity(const struct smtp_client *client);

#endif
