/* SPDX-License-Identifier: MIT */
/*
 * guest_cookie: "<id>.<day>.<mac>", the value of the cookie that a guest is known by.
 *
 *   id:  "g:" and 32 hex digits. Public: it is the buyer's id in tickets, passes, exports, logs and tables.
 *   day: on which the cookie was given (UTC, days since 1970-01-01), so that one of today need not be sent again.
 *   mac: base64url of the first 16 bytes of an HMAC-SHA-256 of id and day. Secret: whoever has it is the guest.
 *
 * Why this way: an id that is printed everywhere cannot prove anything, and an id that anybody invents fills queues.
 * With a MAC nothing need be stored for a guest, and a cookie of another deployment is nobody's. Each key is derived
 * from an entry of the key ring for this purpose alone, so that rolling the ring rolls it, and no MAC of a ticket can be
 * one of a cookie. The text that is sealed fits into one block of SHA-256 (55 bytes), the least that a MAC can cost.
 * Called by: token. Owns: the keys, wiped at the end.
 */
#include "auth/guest_cookie.h"

#include "auth/mac.h"
#include "base/base64url.h"
#include "base/buf.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

#define KEYS_MAX   64
#define SEAL_LEN   16 /* bytes of the MAC that are sent */
#define SEAL_TEXT  22 /* their digits */
#define DAY_DIGITS 7  /* until the year 29348 */

static const char purpose[] = "guest cookie:"; /* begins what is sealed */
#define PURPOSE_LEN (sizeof(purpose) - 1)

struct guest_keys {
    struct mac *list[KEYS_MAX];
    size_t count;
    struct buf text; /* scratch */
};

struct guest_keys *guest_keys_new(void)
{
    struct guest_keys *keys = xcalloc(1, sizeof(*keys));
    buf_init(&keys->text, 128);
    return keys;
}

void guest_keys_free(struct guest_keys *keys)
{
    if (!keys)
        return;
    for (size_t i = 0; i < keys->count; i++)
        mac_free(keys->list[i]);
    buf_clear(&keys->text);
    free(keys);
}

enum status guest_keys_add(struct guest_keys *keys, const void *seed, size_t len)
{
    struct mac *mac =
        keys->count < KEYS_MAX ? mac_new_derived(seed, len, "tiketi guest cookie") : NULL;
    if (!mac)
        return ST_INVALID;
    keys->list[keys->count++] = mac;
    return ST_OK;
}

/* `subject`: id, dot and day as the cookie has them. */
static bool seal(struct mac *mac, const char *subject, size_t len, unsigned char *out)
{
    char text[PURPOSE_LEN + GUEST_COOKIE_SIZE];
    memcpy(text, purpose, PURPOSE_LEN);
    memcpy(text + PURPOSE_LEN, subject, len);
    return mac_of(mac, text, PURPOSE_LEN + len, out);
}

enum status guest_cookie_write(struct guest_keys *keys, const char *id, int64_t day, char *out)
{
    struct buf *text = &keys->text;
    unsigned char mac[MAC_LEN];
    buf_reset(text);
    buf_add(text, id, GUEST_ID_LEN);
    buf_add_char(text, '.');
    buf_add_int(text, day);
    if (keys->count == 0 || !seal(keys->list[0], buf_str(text), text->len, mac))
        return ST_UNAVAILABLE;
    buf_add_char(text, '.');
    base64url_encode(mac, SEAL_LEN, text);
    if (text->failed || text->len >= GUEST_COOKIE_SIZE)
        return ST_INVALID;
    memcpy(out, buf_str(text), text->len + 1);
    return ST_OK;
}

static bool is_id(const char *text)
{
    bool all = memcmp(text, "g:", 2) == 0;
    for (size_t i = 2; i < GUEST_ID_LEN; i++)
        all &= (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
    return all;
}

/* Reads "<id>.<day>.<22 digits>". False: it has another form, or a longer one. */
static bool parse(const char *cookie, size_t len, int64_t *ret_day, unsigned char *ret_seal)
{
    const size_t digits = len - GUEST_ID_LEN - 2 - SEAL_TEXT; /* of the day */
    const char *at = cookie + GUEST_ID_LEN;
    int64_t day = 0;
    if (len < GUEST_ID_LEN + 1 + 1 + 1 + SEAL_TEXT || digits > DAY_DIGITS || !is_id(cookie) ||
        *at++ != '.')
        return false;
    for (size_t i = 0; i < digits; i++, at++) {
        if (*at < '0' || *at > '9')
            return false;
        day = day * 10 + (*at - '0');
    }
    *ret_day = day;
    return *at == '.' && base64url_decode_into(at + 1, SEAL_TEXT, ret_seal);
}

bool guest_cookie_read(struct guest_keys *keys, const char *cookie, size_t len, char *out,
                       int64_t *ret_day)
{
    unsigned char sent[SEAL_LEN], own[MAC_LEN];
    int64_t day;
    size_t i = 0;
    if (!parse(cookie, len, &day, sent))
        return false;
    while (i < keys->count && !(seal(keys->list[i], cookie, len - SEAL_TEXT - 1, own) &&
                                mac_equal(own, sent, SEAL_LEN)))
        i++;
    if (i == keys->count)
        return false;
    memcpy(out, cookie, GUEST_ID_LEN);
    out[GUEST_ID_LEN] = '\0';
    *ret_day = i == 0 ? day : 0;
    return true;
}
