/* SPDX-License-Identifier: MIT */
/* email: one e-mail address, as a buyer types it, or with a name as MAIL_FROM has it. Pure. */
#ifndef TIKETI_EMAIL_H
#define TIKETI_EMAIL_H

#include "base/status.h"

#include <stddef.h>

#define EMAIL_SIZE 255 /* bytes with the NUL: 254 is the most that SMTP carries (RFC 5321) */

/* Writes the address without the blanks around it; "" when `text` is blank. ST_INVALID: it is not one address of the form
 * that browsers accept in <input type="email"> (ASCII, no quoting), or its domain has no dot; `out` is then undefined. */
MUST_CHECK enum status email_read(const char *text, char out[EMAIL_SIZE]);
/* Reads "name@example.com" or "A name <name@example.com>"; name: "" in the first form, without quotes around it. ST_INVALID:
 * the address is none, or the name has control characters or more than EMAIL_NAME_SIZE - 1 bytes. */
#define EMAIL_NAME_SIZE 200
MUST_CHECK enum status email_read_named(const char *text, char name[EMAIL_NAME_SIZE],
                                        char address[EMAIL_SIZE]);

#endif
