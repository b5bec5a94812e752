/* SPDX-License-Identifier: MIT */
/*
 * p256: keys of the curve P-256, over OpenSSL.
 *
 * Why this way: OpenSSL computes no public key from a private one by itself, so it is computed here, and the pair is
 * then built from both.
 * Called by: jws, push_seal, vapid. Owns nothing.
 */
#include "auth/p256.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdbool.h>
#include <string.h>

/* With `secret` NULL it is a public key. */
static EVP_PKEY *build(const unsigned char *point, size_t len, const BIGNUM *secret)
{
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *params = NULL;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    if (builder && ctx &&
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) ==
            1 &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, len) == 1 &&
        (!secret || OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, secret) == 1))
        params = OSSL_PARAM_BLD_to_param(builder);
    if (!params || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, secret ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    return pkey;
}

EVP_PKEY *p256_public(const unsigned char *point, size_t len)
{
    /* OpenSSL takes compressed points and the point at infinity as well. */
    if (len != P256_POINT_LEN || point[0] != POINT_CONVERSION_UNCOMPRESSED)
        return NULL;
    return build(point, len, NULL);
}

EVP_PKEY *p256_private(const BIGNUM *secret, unsigned char *ret_point)
{
    unsigned char encoded[P256_POINT_LEN];
    EVP_PKEY *pkey = NULL;
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *point = group ? EC_POINT_new(group) : NULL;
    if (point && !BN_is_zero(secret) && !BN_is_negative(secret) &&
        BN_cmp(secret, EC_GROUP_get0_order(group)) < 0 &&
        EC_POINT_mul(group, point, secret, NULL, NULL, NULL) == 1 &&
        EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, encoded, sizeof(encoded),
                           NULL) == sizeof(encoded))
        pkey = build(encoded, sizeof(encoded), secret);
    if (pkey && ret_point)
        memcpy(ret_point, encoded, sizeof(encoded));
    EC_POINT_free(point);
    EC_GROUP_free(group);
    return pkey;
}

EVP_PKEY *p256_private_bytes(const unsigned char secret[P256_LEN], unsigned char *ret_point)
{
    BIGNUM *number = BN_secure_new();
    EVP_PKEY *pkey =
        number && BN_bin2bn(secret, P256_LEN, number) ? p256_private(number, ret_point) : NULL;
    BN_clear_free(number);
    return pkey;
}

EVP_PKEY *p256_derive(const unsigned char *bytes, size_t len, unsigned char *ret_point,
                      unsigned char ret_secret[P256_LEN])
{
    EVP_PKEY *pkey = NULL;
    BIGNUM *secret = BN_secure_new();
    BN_CTX *ctx = BN_CTX_secure_new();
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    BIGNUM *limit = group ? BN_dup(EC_GROUP_get0_order(group)) : NULL;
    if (secret && ctx && limit && BN_bin2bn(bytes, (int)len, secret) &&
        BN_sub_word(limit, 1) == 1 && BN_mod(secret, secret, limit, ctx) == 1 &&
        BN_add_word(secret, 1) == 1 &&
        (!ret_secret || BN_bn2binpad(secret, ret_secret, P256_LEN) == P256_LEN))
        pkey = p256_private(secret, ret_point);
    BN_free(limit);
    BN_CTX_free(ctx);
    BN_clear_free(secret);
    EC_GROUP_free(group);
    return pkey;
}
