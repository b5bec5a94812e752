/* SPDX-License-Identifier: MIT */
/*
 * push_seal: RFC 8291 over OpenSSL.
 *
 *   ECDH(our new key, p256dh) -> HKDF with auth -> HKDF with the salt -> key and nonce of AES-128-GCM
 *   header (salt, record size, our public key), then one record: message, 2, zeros, tag
 *
 * Called by: pusher (seals), api_push (checks keys). Owns nothing: the sender's key is made for one message and wiped.
 */
#include "auth/push_seal.h"

#include "auth/mac.h"
#include "auth/p256.h"
#include "auth/push_seal_internal.h"
#include "base/base64url.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define KEY_LEN     16
#define NONCE_LEN   12
#define TAG_LEN     16
#define RECORD_SIZE 4096 /* the whole message is one record */
#define HEADER_LEN  (SEAL_SALT_LEN + 4 + 1 + P256_POINT_LEN)
#define LAST_RECORD 2 /* ends the message; zeros follow */

static bool decode(const char *text, unsigned char *out, size_t len)
{
    const size_t digits = strlen(text);
    return base64url_decoded_len(digits) == len && base64url_decode_into(text, digits, out);
}

bool push_keys_read_point(const char *p256dh, struct push_keys *keys)
{
    EVP_PKEY *pkey = decode(p256dh, keys->point, sizeof(keys->point))
                         ? p256_public(keys->point, sizeof(keys->point))
                         : NULL;
    EVP_PKEY_free(pkey);
    return pkey;
}

bool push_keys_read_secret(const char *auth, struct push_keys *keys)
{
    return decode(auth, keys->secret, sizeof(keys->secret));
}

/* HMAC-SHA-256 of `data`, of which the buffer has room for one byte more: the counter of HKDF's only round. */
static bool expand(const void *key, size_t key_len, unsigned char *data, size_t len,
                   unsigned char out[MAC_LEN])
{
    struct mac *mac = mac_new(key, key_len);
    data[len] = 1;
    const bool ok = mac && mac_of(mac, data, len + 1, out);
    mac_free(mac);
    return ok;
}

static bool extract(const void *salt, size_t salt_len, const void *key, size_t key_len,
                    unsigned char out[MAC_LEN])
{
    struct mac *mac = mac_new(salt, salt_len);
    const bool ok = mac && mac_of(mac, key, key_len, out);
    mac_free(mac);
    return ok;
}

/* What both keys share; the peer's key is checked. */
static bool agree(EVP_PKEY *own, EVP_PKEY *peer, unsigned char out[P256_LEN])
{
    size_t len = P256_LEN;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
    const bool ok = ctx && EVP_PKEY_derive_init(ctx) == 1 &&
                    EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
                    EVP_PKEY_derive(ctx, out, &len) == 1 && len == P256_LEN;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* The key and the nonce of the message. */
static bool derive(const struct push_keys *keys, const unsigned char *point,
                   const unsigned char *shared, const unsigned char *salt,
                   unsigned char key[MAC_LEN], unsigned char nonce[MAC_LEN])
{
    static const char key_label[] = "Content-Encoding: aes128gcm", /* with its NUL, as below */
        nonce_label[] = "Content-Encoding: nonce", info_label[] = "WebPush: info";
    unsigned char info[sizeof(info_label) + 2 * P256_POINT_LEN + 1], prk[MAC_LEN], ikm[MAC_LEN];
    memcpy(info, info_label, sizeof(info_label));
    memcpy(info + sizeof(info_label), keys->point, P256_POINT_LEN);
    memcpy(info + sizeof(info_label) + P256_POINT_LEN, point, P256_POINT_LEN);
    bool ok = extract(keys->secret, sizeof(keys->secret), shared, P256_LEN, prk) &&
              expand(prk, sizeof(prk), info, sizeof(info) - 1, ikm) &&
              extract(salt, SEAL_SALT_LEN, ikm, sizeof(ikm), prk);
    memcpy(info, key_label, sizeof(key_label));
    ok = ok && expand(prk, sizeof(prk), info, sizeof(key_label), key);
    memcpy(info, nonce_label, sizeof(nonce_label));
    ok = ok && expand(prk, sizeof(prk), info, sizeof(nonce_label), nonce);
    OPENSSL_cleanse(prk, sizeof(prk));
    OPENSSL_cleanse(ikm, sizeof(ikm));
    return ok;
}

/* Encrypts in place; the tag is written behind. */
static bool encrypt_record(const unsigned char *key, const unsigned char *nonce,
                           unsigned char *data, size_t len)
{
    int n = 0, rest = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    const bool ok = ctx && EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, key, nonce) == 1 &&
                    EVP_EncryptUpdate(ctx, data, &n, data, (int)len) == 1 && (size_t)n == len &&
                    EVP_EncryptFinal_ex(ctx, data + n, &rest) == 1 && rest == 0 &&
                    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, data + len) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

enum status push_seal_from(const struct push_sender *sender, const struct push_keys *keys,
                           const void *message, size_t len, size_t padded, struct buf *out)
{
    static const unsigned char record_size[4] = {0, 0, RECORD_SIZE >> 8, RECORD_SIZE & 255};
    unsigned char point[P256_POINT_LEN], shared[P256_LEN], key[MAC_LEN], nonce[MAC_LEN];
    const size_t before = out->len, plain_len = (len > padded ? len : padded) + 1;
    if (len > PUSH_SEAL_MAX || padded > PUSH_SEAL_MAX)
        return ST_TOO_LARGE;
    EVP_PKEY *own = p256_private_bytes(sender->secret, point);
    EVP_PKEY *peer = p256_public(keys->point, sizeof(keys->point));
    bool ok = own && peer && agree(own, peer, shared) &&
              derive(keys, point, shared, sender->salt, key, nonce);
    EVP_PKEY_free(own);
    EVP_PKEY_free(peer);
    unsigned char *at = (unsigned char *)buf_extend(out, HEADER_LEN + plain_len + TAG_LEN);
    if (at) {
        memcpy(at, sender->salt, SEAL_SALT_LEN);
        memcpy(at + SEAL_SALT_LEN, record_size, sizeof(record_size));
        at[SEAL_SALT_LEN + 4] = P256_POINT_LEN;
        memcpy(at + SEAL_SALT_LEN + 5, point, P256_POINT_LEN);
        memset(at + HEADER_LEN, 0, plain_len);
        memcpy(at + HEADER_LEN, message, len);
        at[HEADER_LEN + len] = LAST_RECORD;
        ok = ok && encrypt_record(key, nonce, at + HEADER_LEN, plain_len);
    }
    OPENSSL_cleanse(shared, sizeof(shared));
    OPENSSL_cleanse(key, sizeof(key));
    if (at && ok)
        return ST_OK;
    buf_truncate(out, before);
    return at ? ST_INTERNAL : ST_TOO_LARGE;
}

enum status push_seal(const struct push_keys *keys, const void *message, size_t len, size_t padded,
                      struct buf *out)
{
    unsigned char seed[48];
    struct push_sender sender;
    EVP_PKEY *pkey = NULL;
    if (RAND_priv_bytes(seed, sizeof(seed)) == 1 && RAND_bytes(sender.salt, SEAL_SALT_LEN) == 1)
        pkey = p256_derive(seed, sizeof(seed), NULL, sender.secret);
    const enum status st =
        pkey ? push_seal_from(&sender, keys, message, len, padded, out) : ST_INTERNAL;
    EVP_PKEY_free(pkey);
    OPENSSL_cleanse(seed, sizeof(seed));
    OPENSSL_cleanse(&sender, sizeof(sender));
    return st;
}
