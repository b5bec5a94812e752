/* SPDX-License-Identifier: MIT */
/*
 * vapid: RFC 8292 over jws.
 *
 * Why this way: a token names the push service, not the message, so the last ones are kept and used again.
 * Called by: api_push (the key of pages), pusher (signs), main (a new key). Owns the keys.
 */
#include "auth/vapid.h"

#include "auth/jws.h"
#include "auth/p256.h"
#include "base/base64url.h"
#include "base/memory.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX   8
#define SECRET_LEN 43 /* a private key in base64url */
#define TOKENS     16 /* kept for each key */
#define FRESH_S    3600
#define VALID_S    (12 * 3600) /* RFC 8292: at most 24 hours */
#define ORIGIN_MAX 300

struct token {
    char origin[ORIGIN_MAX + 1]; /* "": none */
    int64_t made_s;
    struct buf text;
};

struct key {
    char public_key[VAPID_KEY_LEN + 1];
    struct jws_ring *ring;
    struct token tokens[TOKENS];
    size_t next; /* the token that a new one replaces */
};

struct vapid {
    struct key keys[KEYS_MAX];
    size_t count;
    const char *subject;
};

static enum status add_key(struct vapid *vapid, const char *text, size_t len)
{
    unsigned char secret[P256_LEN], point[P256_POINT_LEN];
    struct buf encoded;
    if (vapid->count == KEYS_MAX || len != SECRET_LEN || !base64url_decode_into(text, len, secret))
        return ST_INVALID;
    struct key *key = &vapid->keys[vapid->count];
    EVP_PKEY *pkey = p256_private_bytes(secret, point);
    enum status st = pkey ? ST_OK : ST_INVALID;
    EVP_PKEY_free(pkey);
    buf_init(&encoded, VAPID_KEY_LEN);
    base64url_encode(point, sizeof(point), &encoded);
    if (st == ST_OK && vapid_has(vapid, buf_str(&encoded)))
        st = ST_INVALID;
    if (st == ST_OK) {
        key->ring = jws_ring_new();
        st = key->ring ? jws_ring_add_es256_secret(key->ring, secret) : ST_INTERNAL;
        memcpy(key->public_key, buf_str(&encoded), encoded.len + 1);
        for (size_t i = 0; i < TOKENS; i++)
            buf_init(&key->tokens[i].text, JWS_MAX);
        vapid->count++;
    }
    buf_clear(&encoded);
    OPENSSL_cleanse(secret, sizeof(secret));
    return st;
}

enum status vapid_new(const char *keys, const char *subject, struct vapid **ret)
{
    struct vapid *vapid = xcalloc(1, sizeof(*vapid));
    enum status st = ST_OK;
    vapid->subject = subject;
    while (st == ST_OK && *keys != '\0') {
        const size_t len = strcspn(keys, ",");
        st = add_key(vapid, keys, len);
        keys += len + (keys[len] == ',');
    }
    if (st == ST_OK && vapid->count > 0) {
        *ret = vapid;
        return ST_OK;
    }
    vapid_free(vapid);
    return st == ST_OK ? ST_INVALID : st;
}

static void clear(struct vapid *vapid)
{
    for (size_t i = 0; i < vapid->count; i++) {
        jws_ring_free(vapid->keys[i].ring);
        for (size_t t = 0; t < TOKENS; t++)
            buf_clear(&vapid->keys[i].tokens[t].text);
    }
}

void vapid_free(struct vapid *vapid)
{
    if (!vapid)
        return;
    clear(vapid);
    free(vapid);
}

enum status vapid_set_keys(struct vapid *vapid, const char *keys)
{
    struct vapid *fresh;
    const enum status st = vapid_new(keys, vapid->subject, &fresh);
    if (st != ST_OK)
        return st;
    clear(vapid);
    *vapid = *fresh;
    free(fresh);
    return ST_OK;
}

const char *vapid_key(const struct vapid *vapid)
{
    return vapid->keys[0].public_key;
}

static struct key *find_key(struct vapid *vapid, const char *public_key)
{
    for (size_t i = 0; i < vapid->count; i++) {
        if (strcmp(vapid->keys[i].public_key, public_key) == 0)
            return &vapid->keys[i];
    }
    return NULL;
}

bool vapid_has(const struct vapid *vapid, const char *key)
{
    return find_key((struct vapid *)vapid, key);
}

static enum status sign(const struct vapid *vapid, struct key *key, struct token *token)
{
    struct buf payload;
    buf_init(&payload, JWS_MAX);
    buf_add_str(&payload, "{\"aud\":");
    buf_add_json_str(&payload, token->origin, strlen(token->origin));
    buf_printf(&payload, ",\"exp\":%" PRId64 ",\"sub\":", token->made_s + VALID_S);
    buf_add_json_str(&payload, vapid->subject, strlen(vapid->subject));
    buf_add_char(&payload, '}');
    buf_reset(&token->text);
    enum status st = buf_status(&payload);
    if (st == ST_OK)
        st = jws_sign(key->ring, buf_str(&payload), payload.len, &token->text);
    buf_clear(&payload);
    return st;
}

enum status vapid_authorize(struct vapid *vapid, const char *public_key, const char *origin,
                            size_t origin_len, int64_t now_s, struct buf *out)
{
    struct key *key = find_key(vapid, public_key);
    struct token *token = NULL;
    if (!key || origin_len > ORIGIN_MAX)
        return key ? ST_TOO_LARGE : ST_NOT_FOUND;
    for (size_t i = 0; i < TOKENS && !token; i++) {
        if (strlen(key->tokens[i].origin) == origin_len &&
            memcmp(key->tokens[i].origin, origin, origin_len) == 0)
            token = &key->tokens[i];
    }
    if (!token || now_s - token->made_s >= FRESH_S || now_s < token->made_s) {
        if (!token) {
            token = &key->tokens[key->next];
            key->next = (key->next + 1) % TOKENS;
        }
        memcpy(token->origin, origin, origin_len);
        token->origin[origin_len] = '\0';
        token->made_s = now_s;
        const enum status st = sign(vapid, key, token);
        if (st != ST_OK) {
            token->origin[0] = '\0';
            return st;
        }
    }
    buf_printf(out, "vapid t=%s, k=%s", buf_str(&token->text), key->public_key);
    return buf_status(out);
}

enum status vapid_write_new_key(struct buf *out)
{
    unsigned char seed[48], secret[P256_LEN];
    EVP_PKEY *pkey = RAND_priv_bytes(seed, sizeof(seed)) == 1
                         ? p256_derive(seed, sizeof(seed), NULL, secret)
                         : NULL;
    EVP_PKEY_free(pkey);
    if (pkey)
        base64url_encode(secret, sizeof(secret), out);
    OPENSSL_cleanse(seed, sizeof(seed));
    OPENSSL_cleanse(secret, sizeof(secret));
    return pkey ? buf_status(out) : ST_INTERNAL;
}
