/* SPDX-License-Identifier: MIT */
/*
 * hook_sign: signs what a webhook sends.
 *
 * Why this way: the form is that of Standard Webhooks, so receivers verify with its libraries. A secret that is being replaced
 * signs as well, so the header may have two signatures. Called by: courier. Owns nothing.
 */
#include "auth/hook_sign.h"

#include "auth/mac.h"
#include "base/base64url.h"

#include <inttypes.h>
#include <string.h>

#define PREFIX     "whsec_"
#define SECRET_MAX 128 /* characters of a secret's base64 */
#define TEXT_MAX   64  /* of a signature */

/* A digit of one of the two base64 alphabets in the other one. */
static char other_digit(char c)
{
    switch (c) {
    case '+':
        return '-';
    case '/':
        return '_';
    case '-':
        return '+';
    case '_':
        return '/';
    default:
        return c;
    }
}

/* base64 (RFC 4648, section 4) of the secret, without its padding, as base64url. False: it is too long. */
static bool to_base64url(const char *text, char *out, size_t *ret_len)
{
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '=')
        len--;
    if (len == 0 || len >= SECRET_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        out[i] = other_digit(text[i]);
    *ret_len = len;
    return true;
}

static void add_base64(const unsigned char *bytes, size_t len, struct buf *out)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    base64url_encode(bytes, len, &text);
    for (size_t i = 0; i < text.len; i++)
        buf_add_char(out, other_digit(buf_str(&text)[i]));
    for (size_t i = text.len; i % 4 != 0; i++)
        buf_add_char(out, '=');
    buf_clear(&text);
}

enum status hook_sign(const char *secret, const struct hook_message *message, struct buf *out)
{
    char text[SECRET_MAX];
    unsigned char key[SECRET_MAX], signature[MAC_LEN];
    size_t len;
    if (strncmp(secret, PREFIX, strlen(PREFIX)) != 0 ||
        !to_base64url(secret + strlen(PREFIX), text, &len) ||
        !base64url_decode_into(text, len, key))
        return ST_INVALID;
    struct mac *mac = mac_new(key, base64url_decoded_len(len));
    struct buf content;
    buf_init(&content, message->len + 256);
    buf_printf(&content, "%s.%" PRId64 ".", message->id, message->time_s);
    buf_add(&content, message->body, message->len);
    enum status st = buf_status(&content);
    if (st == ST_OK && (!mac || !mac_of(mac, buf_str(&content), content.len, signature)))
        st = ST_INTERNAL;
    if (st == ST_OK) {
        buf_add_str(out, out->len > 0 ? " v1," : "v1,");
        add_base64(signature, sizeof(signature), out);
        st = buf_status(out);
    }
    buf_clear(&content);
    mac_free(mac);
    return st;
}
