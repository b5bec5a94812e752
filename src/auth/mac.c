/* SPDX-License-Identifier: MIT */
/*
 * mac: HMAC-SHA-256 with prepared keys, and key derivation, over OpenSSL.
 *
 * Why this way: each ticket and each guest's cookie takes one MAC. Hashing the key is half of a short one and
 * fetching the algorithm is dearer than both, so a context is prepared once and restarted for each text.
 * Called by: token, token_keys, jws, guest_cookie, return_proof, sign_in, webhook, oidc. Owns: key material, wiped when it is freed.
 */
#include "auth/mac.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <string.h>

#define KEY_LEN 32 /* of a derived key */

/* A struct mac is OpenSSL's context itself: nothing else is needed. */
static EVP_MAC_CTX *context(struct mac *mac)
{
    return (EVP_MAC_CTX *)mac;
}

struct mac *mac_new(const void *key, size_t len)
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
    EVP_MAC_free(hmac); /* the context keeps its own reference */
    if (ctx && EVP_MAC_init(ctx, key, len, params) == 1)
        return (struct mac *)ctx;
    EVP_MAC_CTX_free(ctx);
    return NULL;
}

void mac_free(struct mac *mac)
{
    EVP_MAC_CTX_free(context(mac));
}

bool mac_of(struct mac *mac, const void *data, size_t len, unsigned char *out)
{
    size_t out_len = 0;
    return EVP_MAC_init(context(mac), NULL, 0, NULL) == 1 && /* restarts with the same key */
           EVP_MAC_update(context(mac), data, len) == 1 &&
           EVP_MAC_final(context(mac), out, &out_len, MAC_LEN) == 1 && out_len == MAC_LEN;
}

bool mac_sha256(const void *data, size_t len, unsigned char *out)
{
    return EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) == 1;
}

bool mac_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

bool mac_derive(const void *seed, size_t seed_len, const char *info, unsigned char *out,
                size_t out_len)
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)seed, seed_len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, strlen(info)),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    const bool ok = ctx && EVP_KDF_derive(ctx, out, out_len, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

struct mac *mac_new_derived(const void *seed, size_t seed_len, const char *info)
{
    unsigned char key[KEY_LEN];
    struct mac *mac = NULL;
    if (mac_derive(seed, seed_len, info, key, sizeof(key)))
        mac = mac_new(key, sizeof(key));
    explicit_bzero(key, sizeof(key));
    return mac;
}

void mac_write_hex(const unsigned char *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}
