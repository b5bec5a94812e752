/* SPDX-License-Identifier: MIT */
/*
 * webhook: HMAC-SHA-256 with a list of secrets.
 *
 * Why this way: the service and the provider cannot change a secret at the same moment. So a call carries a signature by
 * each secret of its sender, and one of them that fits is enough: the form is common among providers. The receiver makes
 * as many MACs as it has secrets, not as many as the sender claims.
 * Called by: token (keys), api_payment, provider, provider_calls. Owns: the secrets, wiped at the end.
 */
#include "auth/webhook.h"

#include "auth/mac.h"
#include "base/config.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SKEW_S         300 /* the clocks of both sides, and the time that a call takes */
#define SIGNATURES_MAX 8   /* of a header */
#define MAC_HEX        (WEBHOOK_MAC_SIZE - 1)

struct webhook_keys {
    struct mac *list[CONFIG_SECRETS_MAX];
    size_t count;
};

struct webhook_keys *webhook_keys_new(void)
{
    return xcalloc(1, sizeof(struct webhook_keys));
}

void webhook_keys_free(struct webhook_keys *keys)
{
    for (size_t i = 0; keys && i < keys->count; i++)
        mac_free(keys->list[i]);
    free(keys);
}

bool webhook_is_set(const struct webhook_keys *keys)
{
    return keys->count > 0;
}

enum status webhook_keys_add(struct webhook_keys *keys, const char *secret, size_t len)
{
    struct mac *mac = keys->count < CONFIG_SECRETS_MAX ? mac_new(secret, len) : NULL;
    if (!mac)
        return ST_INVALID;
    keys->list[keys->count++] = mac;
    return ST_OK;
}

static bool sign(struct mac *mac, const void *data, size_t len, char *out)
{
    unsigned char bytes[MAC_LEN];
    if (!mac_of(mac, data, len, bytes))
        return false;
    mac_write_hex(bytes, sizeof(bytes), out);
    return true;
}

enum status webhook_sign(struct webhook_keys *keys, const void *data, size_t len, char *out)
{
    if (keys->count == 0)
        return ST_UNAVAILABLE;
    return sign(keys->list[0], data, len, out) ? ST_OK : ST_INTERNAL;
}

bool webhook_holds(struct webhook_keys *keys, const void *data, size_t len, const char *signature)
{
    char own[WEBHOOK_MAC_SIZE];
    bool holds = false;
    if (strlen(signature) != MAC_HEX)
        return false;
    for (size_t i = 0; i < keys->count && !holds; i++)
        holds = sign(keys->list[i], data, len, own) && mac_equal(own, signature, MAC_HEX);
    return holds;
}

/* "<time>.<body>", which is signed. */
static void add_signed_text(int64_t at_s, const char *body, size_t len, struct buf *out)
{
    buf_init(out, len + 32);
    buf_printf(out, "%" PRId64 ".", at_s);
    buf_add(out, body, len);
}

enum status webhook_write_header(struct webhook_keys *keys, int64_t now_s, const char *body,
                                 size_t len, struct buf *out)
{
    struct buf text;
    char mac[WEBHOOK_MAC_SIZE];
    if (keys->count == 0)
        return ST_UNAVAILABLE;
    add_signed_text(now_s, body, len, &text);
    enum status st = buf_status(&text);
    buf_printf(out, "t=%" PRId64, now_s);
    for (size_t i = 0; i < keys->count && st == ST_OK; i++) {
        if (!sign(keys->list[i], buf_str(&text), text.len, mac))
            st = ST_INTERNAL;
        buf_printf(out, ",v1=%s", mac);
    }
    buf_clear(&text);
    return st != ST_OK ? st : buf_status(out);
}

/* Takes time and signatures out of a header; the texts are borrowed and have MAC_HEX bytes. Returns how many there are;
 * 0: none, or the header is malformed. */
static size_t parse_header(const char *header, int64_t *ret_at_s, const char **ret_signatures)
{
    size_t count = 0;
    *ret_at_s = 0;
    while (*header != '\0') {
        const size_t len = strcspn(header, ",");
        const char *value = memchr(header, '=', len);
        if (!value)
            return 0;
        value++;
        const size_t name_len = (size_t)(value - header), value_len = len - name_len;
        if (name_len == 2 && *header == 't') {
            const size_t digits = strspn(value, "0123456789");
            if (*ret_at_s != 0 || digits != value_len || digits == 0 || digits > 15)
                return 0;
            *ret_at_s = strtoll(value, NULL, 10);
        } else if (name_len == 3 && memcmp(header, "v1", 2) == 0 && value_len == MAC_HEX &&
                   count < SIGNATURES_MAX) {
            ret_signatures[count++] = value;
        }
        header += len + (header[len] == ',');
    }
    return *ret_at_s > 0 ? count : 0;
}

enum status webhook_read_header(struct webhook_keys *keys, const char *header, int64_t now_s,
                                const char *body, size_t len)
{
    const char *signatures[SIGNATURES_MAX];
    char own[WEBHOOK_MAC_SIZE];
    struct buf text;
    int64_t at_s;
    bool holds = false;
    if (keys->count == 0)
        return ST_UNAVAILABLE;
    const size_t count = parse_header(header, &at_s, signatures);
    if (count == 0 || at_s > now_s + SKEW_S || at_s < now_s - SKEW_S)
        return ST_UNAUTHORIZED;
    add_signed_text(at_s, body, len, &text);
    const enum status st = buf_status(&text);
    for (size_t i = 0; i < keys->count && st == ST_OK && !holds; i++) {
        if (!sign(keys->list[i], buf_str(&text), text.len, own))
            continue;
        for (size_t k = 0; k < count; k++)
            holds |= mac_equal(own, signatures[k], MAC_HEX);
    }
    buf_clear(&text);
    return st != ST_OK ? st : holds ? ST_OK : ST_UNAUTHORIZED;
}
