/* SPDX-License-Identifier: MIT */
/*
 * jws: compact JSON Web Signatures over OpenSSL.
 *
 * Why this way: everything that can be prepared is prepared when a key is added: the MAC context (restarting it
 * without its key costs a fifth of a new one), the contexts of public keys, the encoded header. So signing and
 * verifying a ticket sets up no key and parses no header: a header equal to the one this key would write is that
 * key's. Any other header is parsed, and remembered until another one comes: a shop writes the same one every time.
 * Called by: token. Owns: key material, wiped when the ring is freed. One thread per ring.
 * Invariants: the key decides the algorithm, never the token's `alg`; nothing of the payload is read before the
 * signature is valid; on failure the caller's buffer is unchanged.
 */
#include "auth/jws.h"

#include "base/base64url.h"
#include "base/json.h"
#include "base/memory.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX         64
#define KID_MAX          128
#define HEADER_MAX       1024 /* encoded bytes of a header */
#define HS256_KEY_MIN    16
#define MAC_LEN          SHA256_DIGEST_LENGTH
#define POINT_LEN        32 /* one coordinate, or one half of a signature */
#define ES256_SIG_LEN    (2 * POINT_LEN)
#define ES256_DER_MAX    72 /* two integers of at most 33 bytes, with their tags and lengths */
#define RSA_BITS_MIN     2048
#define RSA_BITS_MAX     8192
#define JWKS_MAX         (256 * 1024)
#define SIGNATURE_MAX    (RSA_BITS_MAX / 8)
#define P256_ENCODED_LEN 43 /* base64url of 32 bytes */

enum algorithm { ALG_HS256, ALG_ES256, ALG_RS256 };
static const char *const algorithm_names[] = {"HS256", "ES256", "RS256"};

struct key {
    enum algorithm algorithm;
    char kid[KID_MAX + 1]; /* "": none */
    bool can_sign;
    EVP_MAC_CTX *mac;     /* HS256: initialised with the key */
    EVP_PKEY_CTX *signer; /* ES256 with the private key */
    EVP_PKEY_CTX *verifier;
    struct buf header;                                     /* encoded, with its dot */
    char x[P256_ENCODED_LEN + 1], y[P256_ENCODED_LEN + 1]; /* ES256 */
};

struct jws_ring {
    struct key keys[KEYS_MAX];
    size_t count;
    EVP_MD *sha256;
    EVP_MD_CTX *digest;
    /* the last header that was parsed, and its key; NULL: none */
    char parsed[HEADER_MAX];
    size_t parsed_len;
    struct key *parsed_key;
};

/* ---- the ring ---- */

struct jws_ring *jws_ring_new(void)
{
    struct jws_ring *ring = xcalloc(1, sizeof(*ring));
    ring->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    ring->digest = EVP_MD_CTX_new();
    if (ring->sha256 && ring->digest && EVP_DigestInit_ex(ring->digest, ring->sha256, NULL) == 1)
        return ring;
    jws_ring_free(ring);
    return NULL;
}

static void key_clear(struct key *key)
{
    EVP_MAC_CTX_free(key->mac);
    EVP_PKEY_CTX_free(key->signer);
    EVP_PKEY_CTX_free(key->verifier);
    buf_clear(&key->header);
    *key = (struct key){0};
}

void jws_ring_free(struct jws_ring *ring)
{
    if (!ring)
        return;
    for (size_t i = 0; i < ring->count; i++)
        key_clear(&ring->keys[i]);
    EVP_MD_CTX_free(ring->digest);
    EVP_MD_free(ring->sha256);
    OPENSSL_cleanse(ring, sizeof(*ring));
    free(ring);
}

static bool kid_usable(const char *kid)
{
    const size_t len = strlen(kid);
    if (len == 0 || len > KID_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (kid[i] <= 0x20 || kid[i] >= 0x7f || kid[i] == '"' || kid[i] == '\\')
            return false;
    }
    return true;
}

static struct key *find_key(struct jws_ring *ring, const char *kid, enum algorithm algorithm)
{
    for (size_t i = 0; i < ring->count; i++) {
        struct key *key = &ring->keys[i];
        if (strcmp(key->kid, kid) == 0 && (*kid != '\0' || key->algorithm == algorithm))
            return key;
    }
    return NULL;
}

/* A free slot for a key of this id; NULL: bad id, id taken, or the ring is full. key_done() makes it a key. */
static struct key *key_begin(struct jws_ring *ring, const char *kid, enum algorithm algorithm)
{
    if (ring->count == KEYS_MAX || (kid && !kid_usable(kid)) ||
        find_key(ring, kid ? kid : "", algorithm))
        return NULL;
    struct key *key = &ring->keys[ring->count];
    key->algorithm = algorithm;
    if (kid)
        memcpy(key->kid, kid, strlen(kid));
    buf_init(&key->header, HEADER_MAX);
    return key;
}

static void write_header(struct key *key)
{
    struct buf json;
    buf_init(&json, HEADER_MAX);
    buf_printf(&json, "{\"alg\":\"%s\"", algorithm_names[key->algorithm]);
    if (key->kid[0] != '\0')
        buf_printf(&json, ",\"kid\":\"%s\"}", key->kid);
    else
        buf_add_str(&json, ",\"typ\":\"JWT\"}");
    base64url_encode(buf_str(&json), json.len, &key->header);
    buf_add_char(&key->header, '.');
    buf_clear(&json);
}

static enum status key_done(struct jws_ring *ring, struct key *key, bool ok)
{
    if (!ok) {
        key_clear(key);
        return ST_INVALID;
    }
    write_header(key);
    ring->count++;
    ring->parsed_key = NULL; /* that header may name the new key */
    return ST_OK;
}

enum status jws_ring_add_hs256(struct jws_ring *ring, const char *kid, const void *secret,
                               size_t len)
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    if (len < HS256_KEY_MIN)
        return ST_INVALID;
    struct key *key = key_begin(ring, kid, ALG_HS256);
    if (!key)
        return ST_INVALID;
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    key->mac = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
    EVP_MAC_free(hmac); /* the context keeps its own reference */
    key->can_sign = true;
    return key_done(ring, key, key->mac && EVP_MAC_init(key->mac, secret, len, params) == 1);
}

/* ---- public-key material ---- */

/* Base64url of one coordinate, of 32 bytes as JWK requires. */
static bool encode_coordinate(const EVP_PKEY *pkey, const char *param, char *out)
{
    BIGNUM *number = NULL;
    unsigned char bytes[POINT_LEN];
    struct buf text;
    buf_init(&text, P256_ENCODED_LEN);
    const bool ok = EVP_PKEY_get_bn_param(pkey, param, &number) == 1 &&
                    BN_bn2binpad(number, bytes, POINT_LEN) == POINT_LEN;
    if (ok) {
        base64url_encode(bytes, POINT_LEN, &text);
        memcpy(out, buf_str(&text), P256_ENCODED_LEN + 1);
    }
    buf_clear(&text);
    BN_free(number);
    return ok;
}

/* RFC 7638: a key without an id is named by the hash of its public half: the same on every pod and after every
 * restart. */
static bool name_by_thumbprint(struct key *key)
{
    struct buf text;
    unsigned char hash[SHA256_DIGEST_LENGTH];
    buf_init(&text, 256);
    buf_printf(&text, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", key->x,
               key->y);
    const bool ok = buf_status(&text) == ST_OK &&
                    EVP_Digest(buf_str(&text), text.len, hash, NULL, EVP_sha256(), NULL) == 1;
    buf_reset(&text);
    base64url_encode(hash, sizeof(hash), &text);
    if (ok)
        memcpy(key->kid, buf_str(&text), text.len + 1);
    buf_clear(&text);
    return ok;
}

static EVP_PKEY_CTX *context(EVP_PKEY *pkey, int (*init)(EVP_PKEY_CTX *))
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    if (ctx && init(ctx) == 1 && EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1)
        return ctx;
    EVP_PKEY_CTX_free(ctx);
    return NULL;
}

static bool key_set_es256(struct key *key, EVP_PKEY *pkey, bool can_sign)
{
    char group[32] = "";
    if (!pkey || EVP_PKEY_is_a(pkey, "EC") != 1 ||
        EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group),
                                       NULL) != 1 ||
        strcmp(group, "prime256v1") != 0 ||
        !encode_coordinate(pkey, OSSL_PKEY_PARAM_EC_PUB_X, key->x) ||
        !encode_coordinate(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, key->y))
        return false;
    key->verifier = context(pkey, EVP_PKEY_verify_init);
    key->signer = can_sign ? context(pkey, EVP_PKEY_sign_init) : NULL;
    key->can_sign = can_sign;
    return key->verifier && (!can_sign || key->signer);
}

/* Takes `pkey` (NULL is a bad key). */
static enum status add_es256_private(struct jws_ring *ring, const char *kid, EVP_PKEY *pkey)
{
    struct key *key = key_begin(ring, kid, ALG_ES256);
    if (!key) {
        EVP_PKEY_free(pkey);
        return ST_INVALID;
    }
    bool ok = key_set_es256(key, pkey, true);
    if (ok && !kid)
        ok = name_by_thumbprint(key);
    EVP_PKEY_free(pkey); /* the contexts keep their own references */
    /* The slot is not counted yet: is the same key there already? */
    ok = ok && !find_key(ring, key->kid, ALG_ES256);
    return key_done(ring, key, ok);
}

/* An encrypted PEM is a bad key: without this, OpenSSL would ask the terminal. The type is OpenSSL's. */
/* NOLINTNEXTLINE(readability-non-const-parameter) */
static int no_password(char *out, int size, int writing, void *arg)
{
    (void)out, (void)size, (void)writing, (void)arg;
    return -1;
}

enum status jws_ring_add_es256_pem(struct jws_ring *ring, const char *kid, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    EVP_PKEY_CTX *check = pkey ? EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL) : NULL;
    if (!check || EVP_PKEY_check(check) != 1) { /* the halves must belong together */
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(check);
    BIO_free(bio);
    return add_es256_private(ring, kid, pkey);
}

static bool hkdf(const void *seed, size_t seed_len, unsigned char *out, size_t out_len)
{
    char digest[] = "SHA256";
    char info[] = "tiketi pass key";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)seed, seed_len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof(info) - 1),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    const bool ok = ctx && EVP_KDF_derive(ctx, out, out_len, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

/* A new key from the builder's parameters, or NULL. Takes the builder. */
static EVP_PKEY *build_key(const char *type, int selection, OSSL_PARAM_BLD *builder)
{
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, selection, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    return pkey;
}

/* `secret` NULL: a public key. */
static EVP_PKEY *build_p256(const unsigned char *point, size_t point_len, const BIGNUM *secret)
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (!builder ||
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) !=
            1 ||
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, point_len) != 1 ||
        (secret && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, secret) != 1)) {
        OSSL_PARAM_BLD_free(builder);
        return NULL;
    }
    return build_key("EC", secret ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, builder);
}

/* FIPS 186-5 A.2.1: 128 bits more than the order has, so that the reduction adds no bias. */
static bool secret_from_bytes(const EC_GROUP *group, const unsigned char *bytes, size_t len,
                              BIGNUM *ret_secret)
{
    BN_CTX *ctx = BN_CTX_secure_new();
    BIGNUM *limit = BN_dup(EC_GROUP_get0_order(group));
    const bool ok = ctx && limit && BN_bin2bn(bytes, (int)len, ret_secret) &&
                    BN_sub_word(limit, 1) == 1 && BN_mod(ret_secret, ret_secret, limit, ctx) == 1 &&
                    BN_add_word(ret_secret, 1) == 1;
    BN_free(limit);
    BN_CTX_free(ctx);
    return ok;
}

enum status jws_ring_add_es256_derived(struct jws_ring *ring, const void *seed, size_t seed_len)
{
    unsigned char bytes[48], encoded[1 + 2 * POINT_LEN];
    EVP_PKEY *pkey = NULL;
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *point = group ? EC_POINT_new(group) : NULL;
    BIGNUM *secret = BN_secure_new();
    if (point && secret && hkdf(seed, seed_len, bytes, sizeof(bytes)) &&
        secret_from_bytes(group, bytes, sizeof(bytes), secret) &&
        EC_POINT_mul(group, point, secret, NULL, NULL, NULL) == 1 &&
        EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, encoded, sizeof(encoded),
                           NULL) == sizeof(encoded))
        pkey = build_p256(encoded, sizeof(encoded), secret);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    BN_clear_free(secret);
    EC_POINT_free(point);
    EC_GROUP_free(group);
    return add_es256_private(ring, NULL, pkey);
}

/* ---- JWKS ---- */

/* The bytes of a base64url member of a JWK; their count, or 0 when absent, bad or too long. */
static size_t jwk_bytes(const struct json *jwk, const char *name, unsigned char *out, size_t cap)
{
    const char *text = json_str(jwk, name);
    const size_t len = text ? strlen(text) : 0;
    if (len == 0 || base64url_decoded_len(len) > cap || !base64url_decode_into(text, len, out))
        return 0;
    return base64url_decoded_len(len);
}

static EVP_PKEY *jwk_rsa(const struct json *jwk)
{
    unsigned char modulus[RSA_BITS_MAX / 8], exponent[8];
    const size_t n_len = jwk_bytes(jwk, "n", modulus, sizeof(modulus));
    const size_t e_len = jwk_bytes(jwk, "e", exponent, sizeof(exponent));
    BIGNUM *n = BN_bin2bn(modulus, (int)n_len, NULL), *e = BN_bin2bn(exponent, (int)e_len, NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey = NULL;
    if (n && e && builder && BN_num_bits(n) >= RSA_BITS_MIN && BN_is_odd(n) && BN_is_odd(e) &&
        !BN_is_one(e) && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        pkey = build_key("RSA", EVP_PKEY_PUBLIC_KEY, builder);
    else
        OSSL_PARAM_BLD_free(builder);
    BN_free(n);
    BN_free(e);
    return pkey;
}

static bool absent_or_equal(const struct json *jwk, const char *name, const char *wanted)
{
    const char *text = json_str(jwk, name);
    return !json_has(jwk, name) || (text && strcmp(text, wanted) == 0);
}

/* ST_NOT_FOUND: a key of no use to us. RFC 7517 section 5: keys that are not understood are skipped. */
static enum status add_jwk(struct jws_ring *ring, const struct json *jwk)
{
    const char *kty = json_str(jwk, "kty"), *curve = json_str(jwk, "crv");
    enum algorithm algorithm;
    if (kty && strcmp(kty, "RSA") == 0)
        algorithm = ALG_RS256;
    else if (kty && strcmp(kty, "EC") == 0 && curve && strcmp(curve, "P-256") == 0)
        algorithm = ALG_ES256;
    else
        return ST_NOT_FOUND;
    if (!absent_or_equal(jwk, "use", "sig") ||
        !absent_or_equal(jwk, "alg", algorithm_names[algorithm]))
        return ST_NOT_FOUND;
    if (json_has(jwk, "kid") && !json_str(jwk, "kid"))
        return ST_INVALID;
    struct key *key = key_begin(ring, json_str(jwk, "kid"), algorithm);
    if (!key)
        return ST_INVALID;

    EVP_PKEY *pkey = NULL;
    bool ok;
    if (algorithm == ALG_RS256) {
        pkey = jwk_rsa(jwk);
        key->verifier = pkey ? context(pkey, EVP_PKEY_verify_init) : NULL;
        ok = key->verifier && EVP_PKEY_CTX_set_rsa_padding(key->verifier, RSA_PKCS1_PADDING) == 1;
    } else {
        unsigned char point[1 + 2 * POINT_LEN] = {POINT_CONVERSION_UNCOMPRESSED};
        if (jwk_bytes(jwk, "x", point + 1, POINT_LEN) == POINT_LEN &&
            jwk_bytes(jwk, "y", point + 1 + POINT_LEN, POINT_LEN) == POINT_LEN)
            pkey = build_p256(point, sizeof(point), NULL); /* refuses a point off the curve */
        ok = key_set_es256(key, pkey, false);
    }
    EVP_PKEY_free(pkey);
    return key_done(ring, key, ok);
}

enum status jws_ring_add_jwks(struct jws_ring *ring, const char *text, size_t len)
{
    struct json *document = json_parse(text, len, JWKS_MAX, NULL);
    const struct json *list = json_is_object(document) ? json_get(document, "keys") : NULL;
    const size_t before = ring->count;
    enum status st = ST_OK;
    for (size_t i = 0; i < json_array_len(list) && st == ST_OK; i++) {
        st = add_jwk(ring, json_array_at(list, i));
        if (st == ST_NOT_FOUND)
            st = ST_OK;
    }
    if (st == ST_OK && ring->count == before)
        st = ST_INVALID;
    while (st != ST_OK && ring->count > before)
        key_clear(&ring->keys[--ring->count]);
    json_free(document);
    return st;
}

void jws_write_jwks(const struct jws_ring *ring, struct buf *out)
{
    const char *separator = "";
    buf_add_str(out, "{\"keys\":[");
    for (size_t i = 0; i < ring->count; i++) {
        const struct key *key = &ring->keys[i];
        if (key->algorithm != ALG_ES256)
            continue;
        buf_printf(out,
                   "%s{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\",\"kid\":\"%s\","
                   "\"use\":\"sig\",\"alg\":\"ES256\"}",
                   separator, key->x, key->y, key->kid);
        separator = ",";
    }
    buf_add_str(out, "]}");
}

/* ---- signatures ---- */

static bool mac_of(struct key *key, const char *data, size_t len, unsigned char *out)
{
    size_t out_len = 0;
    return EVP_MAC_init(key->mac, NULL, 0, NULL) == 1 && /* restarts with the same key */
           EVP_MAC_update(key->mac, (const unsigned char *)data, len) == 1 &&
           EVP_MAC_final(key->mac, out, &out_len, MAC_LEN) == 1 && out_len == MAC_LEN;
}

static bool hash_of(struct jws_ring *ring, const char *data, size_t len, unsigned char *out)
{
    return EVP_DigestInit_ex(ring->digest, NULL, NULL) == 1 &&
           EVP_DigestUpdate(ring->digest, data, len) == 1 &&
           EVP_DigestFinal_ex(ring->digest, out, NULL) == 1;
}

/* One half of a raw signature as a DER INTEGER; its length. */
static size_t der_integer(const unsigned char *half, unsigned char *out)
{
    size_t skip = 0;
    while (skip < POINT_LEN - 1 && half[skip] == 0)
        skip++;
    const size_t pad = half[skip] >= 0x80 ? 1 : 0; /* else it would be negative */
    const size_t len = POINT_LEN - skip;
    out[0] = 0x02;
    out[1] = (unsigned char)(pad + len);
    out[2] = 0;
    memcpy(out + 2 + pad, half + skip, len);
    return 2 + pad + len;
}

/* Fills out[SIGNATURE_MAX]; the signature's length, 0 on failure. */
static size_t sign(struct jws_ring *ring, struct key *key, const char *data, size_t len,
                   unsigned char *out)
{
    unsigned char hash[SHA256_DIGEST_LENGTH], der[ES256_DER_MAX];
    size_t der_len = sizeof(der);
    if (key->algorithm == ALG_HS256)
        return mac_of(key, data, len, out) ? MAC_LEN : 0;
    if (!hash_of(ring, data, len, hash) ||
        EVP_PKEY_sign(key->signer, der, &der_len, hash, sizeof(hash)) != 1)
        return 0;
    /* OpenSSL writes DER; a JWS has r || s (RFC 7518 section 3.4). */
    const unsigned char *at = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)der_len);
    const bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, POINT_LEN) == POINT_LEN &&
                    BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + POINT_LEN, POINT_LEN) == POINT_LEN;
    ECDSA_SIG_free(sig);
    return ok ? ES256_SIG_LEN : 0;
}

static bool is_valid(struct jws_ring *ring, struct key *key, const char *data, size_t len,
                     const unsigned char *signature, size_t signature_len)
{
    unsigned char own[SHA256_DIGEST_LENGTH];
    unsigned char der[ES256_DER_MAX];
    if (key->algorithm == ALG_HS256)
        return signature_len == MAC_LEN && mac_of(key, data, len, own) &&
               CRYPTO_memcmp(own, signature, MAC_LEN) == 0;
    if (!hash_of(ring, data, len, own))
        return false;
    if (key->algorithm == ALG_ES256) {
        if (signature_len != ES256_SIG_LEN)
            return false;
        /* r || s as the DER that OpenSSL reads: a SEQUENCE of two INTEGERs. */
        size_t der_len = 2;
        der_len += der_integer(signature, der + der_len);
        der_len += der_integer(signature + POINT_LEN, der + der_len);
        der[0] = 0x30;
        der[1] = (unsigned char)(der_len - 2);
        signature = der;
        signature_len = der_len;
    }
    return EVP_PKEY_verify(key->verifier, signature, signature_len, own, SHA256_DIGEST_LENGTH) == 1;
}

static struct key *signing_key(struct jws_ring *ring)
{
    struct key *key = ring->keys, *const end = ring->keys + ring->count;
    while (key < end && !key->can_sign)
        key++;
    return key < end ? key : NULL;
}

bool jws_is_current(struct jws_ring *ring, const char *token, size_t len)
{
    const struct key *key = signing_key(ring);
    return key && len >= key->header.len &&
           memcmp(token, buf_str(&key->header), key->header.len) == 0;
}

enum status jws_sign(struct jws_ring *ring, const char *payload, size_t len, struct buf *out)
{
    unsigned char signature[SIGNATURE_MAX];
    const size_t before = out->len;
    struct key *key = signing_key(ring);
    if (!key)
        return ST_UNAVAILABLE;
    buf_add(out, buf_str(&key->header), key->header.len);
    base64url_encode(payload, len, out);
    if (buf_status(out) == ST_OK) {
        const size_t n = sign(ring, key, out->data + before, out->len - before, signature);
        if (n == 0) {
            buf_truncate(out, before);
            return ST_INTERNAL;
        }
        buf_add_char(out, '.');
        base64url_encode(signature, n, out);
    }
    if (buf_status(out) == ST_OK && out->len - before <= JWS_MAX)
        return ST_OK;
    buf_truncate(out, before);
    return ST_TOO_LARGE;
}

/* ---- verification ---- */

/* The key that a header names; NULL: none, or its algorithm is not the one pinned for that key. */
static struct key *key_of_header(struct jws_ring *ring, const struct json *header)
{
    const char *name = json_str(header, "alg"), *kid = json_str(header, "kid");
    size_t i = 0;
    if (!name || json_has(header, "crit") || (json_has(header, "kid") && !kid))
        return NULL; /* crit: extensions that must be understood; we know none */
    while (i <= ALG_RS256 && strcmp(name, algorithm_names[i]) != 0)
        i++;
    if (i > ALG_RS256)
        return NULL;
    const enum algorithm algorithm = (enum algorithm)i;
    struct key *key = find_key(ring, kid ? kid : "", algorithm);
    if (!key && kid)
        key = find_key(ring, "", algorithm); /* a key without an id serves any unknown id */
    return key && key->algorithm == algorithm ? key : NULL;
}

/* `len` includes the dot after the header. */
static struct key *select_key(struct jws_ring *ring, const char *token, size_t len)
{
    for (size_t i = 0; i < ring->count; i++) {
        const struct buf *own = &ring->keys[i].header;
        if (own->len == len && memcmp(own->data, token, len) == 0)
            return &ring->keys[i];
    }
    if (ring->parsed_key && ring->parsed_len == len - 1 &&
        memcmp(ring->parsed, token, len - 1) == 0)
        return ring->parsed_key;

    unsigned char bytes[HEADER_MAX];
    if (len - 1 > HEADER_MAX || !base64url_decode_into(token, len - 1, bytes))
        return NULL;
    struct json *header =
        json_parse((const char *)bytes, base64url_decoded_len(len - 1), sizeof(bytes), NULL);
    struct key *key = json_is_object(header) ? key_of_header(ring, header) : NULL;
    json_free(header);
    if (key) {
        memcpy(ring->parsed, token, len - 1);
        ring->parsed_len = len - 1;
        ring->parsed_key = key;
    }
    return key;
}

enum status jws_verify(struct jws_ring *ring, const char *token, size_t len, struct buf *out)
{
    unsigned char signature[SIGNATURE_MAX] = {0};
    if (len > JWS_MAX)
        return ST_UNAUTHORIZED;
    const char *end = token + len;
    const char *first = memchr(token, '.', len);
    const char *second = first ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
    if (!second) /* a third dot is outside the alphabet of the signature */
        return ST_UNAUTHORIZED;
    const size_t text_len = (size_t)(end - second - 1);
    struct key *key = select_key(ring, token, (size_t)(first - token) + 1);
    if (!key || base64url_decoded_len(text_len) > sizeof(signature) ||
        !base64url_decode_into(second + 1, text_len, signature) ||
        !is_valid(ring, key, token, (size_t)(second - token), signature,
                  base64url_decoded_len(text_len)))
        return ST_UNAUTHORIZED;
    return base64url_decode(first + 1, (size_t)(second - first - 1), out) == ST_OK
               ? ST_OK
               : ST_UNAUTHORIZED;
}
