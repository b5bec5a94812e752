/* SPDX-License-Identifier: MIT */
/*
 * return_proof: "<until>.<mac>", with which a browser comes back from paying for a reservation.
 *
 *   until: seconds since 1970.
 *   mac:   base64url of the first 16 bytes of an HMAC-SHA-256 of the reservation's id and `until`.
 *
 * Why this way: who pays in an app often comes back in another browser, which has no cookie of ours. The address that
 * leads back carries the id of the reservation, which is no secret, and this. It passes through the provider's hands, so
 * it holds for a short time only. It is short, because some providers take no more than 255 bytes of an address.
 * Each key is derived from an entry of the key ring for this purpose alone. What is sealed fits into one block of SHA-256.
 * Called by: token. Owns: the keys, wiped at the end.
 */
#include "auth/return_proof.h"

#include "auth/mac.h"
#include "base/base64url.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX     64
#define SEAL_LEN     16 /* bytes of the MAC that are sent */
#define SEAL_TEXT    22 /* their digits */
#define UNTIL_DIGITS 12 /* at most */

struct return_keys {
    struct mac *list[KEYS_MAX];
    size_t count;
};

struct return_keys *return_keys_new(void)
{
    return xcalloc(1, sizeof(struct return_keys));
}

void return_keys_free(struct return_keys *keys)
{
    for (size_t i = 0; keys && i < keys->count; i++)
        mac_free(keys->list[i]);
    free(keys);
}

enum status return_keys_add(struct return_keys *keys, const void *seed, size_t len)
{
    struct mac *mac =
        keys->count < KEYS_MAX ? mac_new_derived(seed, len, "tiketi return from payment") : NULL;
    if (!mac)
        return ST_INVALID;
    keys->list[keys->count++] = mac;
    return ST_OK;
}

static bool seal(struct mac *mac, const char *reservation, int64_t until_s, unsigned char *out)
{
    char text[96];
    const int len = snprintf(text, sizeof(text), "return:%.36s.%" PRId64, reservation, until_s);
    return mac_of(mac, text, (size_t)len, out);
}

enum status return_proof_write(struct return_keys *keys, const char *reservation, int64_t until_s,
                               char *out)
{
    unsigned char mac[MAC_LEN];
    struct buf text;
    if (strlen(reservation) != RESERVATION_ID_LEN || until_s < 0)
        return ST_INVALID;
    if (keys->count == 0 || !seal(keys->list[0], reservation, until_s, mac))
        return ST_UNAVAILABLE;
    buf_init(&text, RETURN_PROOF_SIZE - 1);
    buf_printf(&text, "%" PRId64 ".", until_s);
    base64url_encode(mac, SEAL_LEN, &text);
    const enum status st = buf_status(&text);
    if (st == ST_OK)
        memcpy(out, buf_str(&text), text.len + 1);
    buf_clear(&text);
    return st;
}

bool return_proof_holds(struct return_keys *keys, const char *proof, size_t len,
                        const char *reservation, int64_t now_s)
{
    unsigned char sent[SEAL_LEN], own[MAC_LEN];
    const size_t digits = strspn(proof, "0123456789");
    if (digits == 0 || digits > UNTIL_DIGITS || len != digits + 1 + SEAL_TEXT ||
        proof[digits] != '.' || !base64url_decode_into(proof + digits + 1, SEAL_TEXT, sent))
        return false;
    const int64_t until_s = strtoll(proof, NULL, 10);
    if (now_s >= until_s || strlen(reservation) != RESERVATION_ID_LEN)
        return false;
    bool is_valid = false;
    for (size_t i = 0; i < keys->count && !is_valid; i++)
        is_valid = seal(keys->list[i], reservation, until_s, own) && mac_equal(own, sent, SEAL_LEN);
    return is_valid;
}
