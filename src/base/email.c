/* SPDX-License-Identifier: MIT */
/*
 * email: which texts are an e-mail address.
 *
 * Why this way: the rule of the HTML standard, so that the page and the service refuse the same texts. It is stricter than
 * RFC 5322 (no quotes, no comments), so that an address needs no escaping in SMTP or in a header; and more lenient about
 * dots, since there are mailboxes such as a..b@docomo.ne.jp.
 * Called by: api_payment (buyers), config and mailer (MAIL_FROM). Pure.
 */
#include "base/email.h"

#include <stdbool.h>
#include <string.h>

#define ALNUM     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define LOCAL_MAX 64
#define LABEL_MAX 63

/* Labels of letters, digits and inner hyphens, at least two of them; the last one is no number, as it is in an IP address. */
static bool is_domain(const char *text)
{
    size_t labels = 0;
    for (;; text++) {
        const size_t len = strspn(text, ALNUM "-");
        if (len == 0 || len > LABEL_MAX || text[0] == '-' || text[len - 1] == '-')
            return false;
        labels++;
        if (text[len] == '\0')
            return labels > 1 && strspn(text, "0123456789") < len;
        if (text[len] != '.')
            return false;
        text += len;
    }
}

enum status email_read(const char *text, char out[EMAIL_SIZE])
{
    text += strspn(text, " \t\r\n");
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]))
        len--;
    if (len >= EMAIL_SIZE)
        return ST_INVALID;
    memcpy(out, text, len);
    out[len] = '\0';
    const size_t local = strspn(out, ALNUM ".!#$%&'*+/=?^_`{|}~-");
    if (len == 0)
        return ST_OK;
    if (local == 0 || local > LOCAL_MAX || out[local] != '@' || !is_domain(out + local + 1))
        return ST_INVALID;
    return ST_OK;
}

enum status email_read_named(const char *text, char name[EMAIL_NAME_SIZE], char address[EMAIL_SIZE])
{
    const char *open = strrchr(text, '<');
    char inner[EMAIL_SIZE + 1];
    name[0] = '\0';
    if (open) {
        const size_t len = strcspn(open + 1, ">");
        text += strspn(text, " \"");
        size_t name_len = text < open ? (size_t)(open - text) : 0;
        while (name_len > 0 && strchr(" \"", text[name_len - 1]))
            name_len--;
        if (open[1 + len] != '>' || open[2 + len] != '\0' || len >= sizeof(inner) ||
            name_len >= EMAIL_NAME_SIZE)
            return ST_INVALID;
        for (size_t i = 0; i < name_len; i++) {
            if ((unsigned char)text[i] < ' ' || text[i] == '"' || text[i] == '\\')
                return ST_INVALID;
        }
        memcpy(name, text, name_len);
        name[name_len] = '\0';
        memcpy(inner, open + 1, len);
        inner[len] = '\0';
        text = inner;
    }
    const enum status st = email_read(text, address);
    return st == ST_OK && address[0] == '\0' ? ST_INVALID : st;
}
