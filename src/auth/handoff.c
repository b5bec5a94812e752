/* SPDX-License-Identifier: MIT */
/*
 * handoff: the one-time token that hands a buyer over to a shop on another host.
 *
 * Why this way: cookies do not reach another host, and a pass in a URL would stay in histories, logs and Referer headers for
 * as long as the turn lasts. So the URL carries a text that is worth something once, for a minute, at this event, for this
 * buyer's present admission and this target. It is signed with the pass keys, so that a shop may also verify it by the published
 * keys; its `aud` keeps it from being taken for a pass. A long target is bound by its hash: proxies limit the head of an answer
 * to 4 KiB.
 * Called by: api_enter, api_handoff, api_gate. Owns nothing.
 */
#include "auth/handoff.h"

#include "auth/mac.h"
#include "auth/token_internal.h"
#include "base/base64url.h"
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AUDIENCE   "handoff:"
#define TARGET_MAX 600 /* bytes of a URL that the token carries whole */

/* The length of a URL without its fragment, which never reaches a server: so no token is bound to it. */
static size_t bound_len(const char *url)
{
    return strcspn(url, "#");
}

/* Writes the hash of a URL into out[48]. */
static void hash_of(const char *text, char *out)
{
    unsigned char digest[MAC_LEN] = {0};
    struct buf hash;
    (void)mac_sha256(text, bound_len(text), digest);
    buf_init(&hash, 47);
    base64url_encode(digest, sizeof(digest), &hash);
    (void)snprintf(out, 48, "%s", buf_str(&hash));
    buf_clear(&hash);
}

enum status handoff_sign(struct token_keys *keys, struct handoff *handoff,
                         const struct return_url *url, struct buf *out)
{
    struct buf *payload = &keys->payload;
    const bool whole = strlen(url->text) <= TARGET_MAX;
    if (url->origin_len == 0 || !token_is_event_id(handoff->event, strlen(handoff->event)) ||
        !token_names_buyer(handoff->buyer))
        return ST_INVALID;
    (void)snprintf(handoff->target, sizeof(handoff->target), "%.*s",
                   whole ? RETURN_URL_MAX : (int)url->origin_len, url->text);
    handoff->hash[0] = '\0';
    token_random_hex(handoff->jti);
    buf_reset(payload);
    buf_printf(payload, "{\"iss\":\"tiketi\",\"aud\":\"" AUDIENCE "%s\",\"sub\":", handoff->event);
    buf_add_json_str(payload, handoff->buyer, strlen(handoff->buyer));
    buf_printf(payload,
               ",\"place\":\"%" PRIu64 "\",\"epoch\":%" PRIu64 ",\"iat\":%" PRId64
               ",\"exp\":%" PRId64 ",\"jti\":\"%s\",\"target\":",
               handoff->place, handoff->epoch, handoff->iat_s, handoff->exp_s, handoff->jti);
    buf_add_json_str(payload, handoff->target, strlen(handoff->target));
    if (!whole) {
        hash_of(url->text, handoff->hash);
        buf_printf(payload, ",\"hash\":\"%s\"", handoff->hash);
    }
    buf_add_char(payload, '}');
    return jws_sign(keys->passes, buf_str(payload), payload->len, out);
}

/* Copies a text claim into a fixed array. False: it is absent or too long. */
static bool copy_claim(const struct json *claims, const char *name, char *out, size_t size)
{
    const char *text = json_str(claims, name);
    if (!text || strlen(text) >= size)
        return false;
    (void)snprintf(out, size, "%s", text);
    return true;
}

/* Reads the claims after the signature was found valid. False: they are those of something else that these keys sign. */
static bool read_claims(const struct json *claims, struct handoff *handoff)
{
    const char *iss = json_str(claims, "iss"), *aud = json_str(claims, "aud");
    const char *place = json_str(claims, "place");
    const size_t prefix = strlen(AUDIENCE);
    if (!iss || strcmp(iss, "tiketi") != 0 || !aud || strncmp(aud, AUDIENCE, prefix) != 0 ||
        !token_is_event_id(aud + prefix, strlen(aud + prefix)) || !place ||
        !copy_claim(claims, "sub", handoff->buyer, sizeof(handoff->buyer)) ||
        !copy_claim(claims, "jti", handoff->jti, sizeof(handoff->jti)) ||
        !copy_claim(claims, "target", handoff->target, sizeof(handoff->target)) ||
        (json_has(claims, "hash") &&
         !copy_claim(claims, "hash", handoff->hash, sizeof(handoff->hash))))
        return false;
    (void)snprintf(handoff->event, sizeof(handoff->event), "%s", aud + prefix);
    handoff->place = strtoull(place, NULL, 10);
    handoff->epoch = (uint64_t)json_int(claims, "epoch", 0);
    handoff->iat_s = json_int(claims, "iat", 0);
    handoff->exp_s = json_int(claims, "exp", 0);
    return handoff->place > 0 && token_names_buyer(handoff->buyer);
}

enum status handoff_read(struct token_keys *keys, const char *text, size_t len, int64_t now_ms,
                         struct handoff *ret)
{
    struct handoff handoff = {.place = 0};
    buf_reset(&keys->payload);
    if (len > HANDOFF_MAX || jws_verify(keys->passes, text, len, &keys->payload) != ST_OK)
        return ST_UNAUTHORIZED;
    struct json *claims = json_parse(buf_str(&keys->payload), keys->payload.len, JWS_MAX, NULL);
    const bool ok = read_claims(claims, &handoff);
    json_free(claims);
    if (!ok)
        return ST_UNAUTHORIZED;
    *ret = handoff;
    return now_ms / 1000 < handoff.exp_s ? ST_OK : ST_GONE;
}

bool handoff_leads_to(const struct handoff *handoff, const struct return_url *url)
{
    char hash[48];
    const size_t len = bound_len(url->text);
    if (handoff->hash[0] == '\0')
        return bound_len(handoff->target) == len && strncmp(handoff->target, url->text, len) == 0;
    hash_of(url->text, hash);
    return strcmp(handoff->hash, hash) == 0;
}
