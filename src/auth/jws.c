/* SPDX-License-Identifier: MIT */
/*
 * jws: compact JSON Web Signatures over OpenSSL.
 *
 * Why this way: everything that can be prepared is prepared when a key is added: the MAC, the contexts of public
 * keys, the encoded header. So signing and
 * verifying a ticket sets up no key and parses no header: a header equal to the one this key would write is that
 * key's. Any other header is parsed. The last one that was parsed is remembered, because a shop writes the same
 * header every time.
 * Called by: token. Owns: key material, wiped when the ring is freed. One thread per ring.
 * Invariants: the key decides the algorithm, never the token's `alg`; nothing of the payload is read before the
 * signature is valid; on failure the caller's buffer is unchanged.
 */
#include "auth/jws.h"

#include "auth/mac.h"
#include "auth/p256.h"
#include "base/base64url.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
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
    char kid[KID_MAX + 1]; /* "": the key has no id */
    bool can_sign;
    struct mac *mac;      /* HS256 */
    EVP_PKEY_CTX *signer; /* ES256: has the private key; NULL: there is none */
    EVP_PKEY_CTX *verifier;
    struct buf header; /* the header of this key's tokens, base64url, with the dot after it */
    char x[P256_ENCODED_LEN + 1], y[P256_ENCODED_LEN + 1]; /* ES256: the public key, base64url */
};

struct jws_ring {
    struct key keys[KEYS_MAX];
    size_t count;
    EVP_MD *sha256;
    EVP_MD_CTX *digest;
    /* the last header that was parsed, and its key; parsed_key NULL: none was */
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
    mac_free(key->mac);
    EVP_PKEY_CTX_free(key->signer);
    EVP_PKEY_CTX_free(key->verifier);
    buf_clear(&key->header);
    *key = (struct key){0};
}

size_t jws_ring_count(const struct jws_ring *ring)
{
    return ring->count;
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

/* Is it a secret that tokens do not name, as one of JWT_SECRETS? There may be several: each is tried. */
static bool is_nameless_secret(const char *kid, enum algorithm algorithm)
{
    return *kid == '\0' && algorithm == ALG_HS256;
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

/* Returns a free slot for a key of this id; key_done() then makes it part of the ring. NULL: the id is bad or taken,
 * or the ring is full. */
static struct key *key_begin(struct jws_ring *ring, const char *kid, enum algorithm algorithm)
{
    const char *name = kid ? kid : "";
    if (ring->count == KEYS_MAX || (kid && !kid_usable(kid)) ||
        (!is_nameless_secret(name, algorithm) && find_key(ring, name, algorithm)))
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
    ring->parsed_key = NULL; /* the remembered header may name the new key */
    return ST_OK;
}

enum status jws_ring_add_hs256(struct jws_ring *ring, const char *kid, const void *secret,
                               size_t len)
{
    if (len < HS256_KEY_MIN)
        return ST_INVALID;
    struct key *key = key_begin(ring, kid, ALG_HS256);
    if (!key)
        return ST_INVALID;
    key->mac = mac_new(secret, len);
    key->can_sign = true;
    return key_done(ring, key, key->mac);
}

/* ---- public-key material ---- */

/* Writes one coordinate as base64url of exactly 32 bytes, as JWK requires. */
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

/* Sets the kid of a key without one to its RFC 7638 thumbprint, the hash of the public key. So it is the same on
 * every pod and after every restart. */
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

/* Adds a key; without `kid` it gets its thumbprint as one if it is `named`, else none. Takes ownership of `pkey`; NULL is
 * refused as a bad key. */
static enum status add_es256(struct jws_ring *ring, const char *kid, bool named, EVP_PKEY *pkey,
                             bool can_sign)
{
    struct key *key = key_begin(ring, kid, ALG_ES256);
    if (!key) {
        EVP_PKEY_free(pkey);
        return ST_INVALID;
    }
    bool ok = key_set_es256(key, pkey, can_sign);
    if (ok && !kid && named)
        ok = name_by_thumbprint(key);
    EVP_PKEY_free(pkey); /* the contexts keep their own references */
    /* The new slot is not counted yet, so find_key finds only an earlier copy of the same key. */
    ok = ok && !find_key(ring, key->kid, ALG_ES256);
    return key_done(ring, key, ok);
}

/* Gives no password, so that an encrypted PEM is refused; by default OpenSSL would ask at the terminal. OpenSSL
 * defines the type of this callback. */
/* NOLINTNEXTLINE(readability-non-const-parameter) */
static int no_password(char *out, int size, int writing, void *arg)
{
    (void)out, (void)size, (void)writing, (void)arg;
    return -1;
}

/* Reads the private or, if there is none, the public key of a PEM. NULL: neither, or a private key that does not fit its
 * public one. */
static EVP_PKEY *read_pem(const char *pem, bool *ret_private)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    *ret_private = pkey;
    if (bio && !pkey && BIO_reset(bio) == 1)
        pkey = PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL);
    EVP_PKEY_CTX *check = pkey ? EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL) : NULL;
    if (!check || (*ret_private ? EVP_PKEY_check(check) : EVP_PKEY_public_check(check)) != 1) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(check);
    BIO_free(bio);
    return pkey;
}

enum status jws_ring_add_es256_pem(struct jws_ring *ring, const char *kid, const char *pem)
{
    bool can_sign;
    EVP_PKEY *pkey = read_pem(pem, &can_sign);
    return add_es256(ring, kid, true, pkey, can_sign);
}

enum status jws_ring_add_es256_derived(struct jws_ring *ring, const void *seed, size_t seed_len)
{
    unsigned char bytes[48];
    EVP_PKEY *pkey = NULL;
    if (mac_derive(seed, seed_len, "tiketi pass key", bytes, sizeof(bytes)))
        pkey = p256_derive(bytes, sizeof(bytes), NULL, NULL);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return add_es256(ring, NULL, true, pkey, true);
}

enum status jws_ring_add_es256_secret(struct jws_ring *ring, const unsigned char *secret)
{
    return add_es256(ring, NULL, false, p256_private_bytes(secret, NULL), true);
}

/* ---- JWKS ---- */

/* Decodes a base64url member of a JWK into `out`. Returns the number of bytes; 0: the member is absent, bad or too
 * long. */
static size_t jwk_bytes(const struct json *jwk, const char *name, unsigned char *out, size_t cap)
{
    const char *text = json_str(jwk, name);
    const size_t len = text ? strlen(text) : 0;
    if (len == 0 || base64url_decoded_len(len) > cap || !base64url_decode_into(text, len, out))
        return 0;
    return base64url_decoded_len(len);
}

/* Frees the builder. NULL: OpenSSL refused its parameters. */
static EVP_PKEY *build_rsa(OSSL_PARAM_BLD *builder)
{
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    return pkey;
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
        pkey = build_rsa(builder);
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

/* Adds one key of a JWKS. ST_NOT_FOUND: the key is of a kind that we do not use; RFC 7517 section 5 says that such
 * keys are skipped. */
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
            pkey = p256_public(point, sizeof(point)); /* NULL: point not on the curve */
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
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json *jwk = json_array_at(list, i);
        if (add_jwk(ring, jwk) == ST_INVALID)
            log_warn("bad key of a JWKS skipped", LOG_NUM("index", i),
                     LOG_TEXT("kid", json_str(jwk, "kid")), LOG_TEXT("kty", json_str(jwk, "kty")));
    }
    const enum status st = ring->count > before ? ST_OK : ST_INVALID;
    json_free(document);
    return st;
}

/* Moves a key of another ring into this one. False: its id is taken, or the ring is full. */
static bool take_key(struct jws_ring *ring, struct key *key)
{
    if (ring->count == KEYS_MAX || find_key(ring, key->kid, key->algorithm))
        return false;
    ring->keys[ring->count++] = *key;
    *key = (struct key){0};
    return true;
}

void jws_ring_replace(struct jws_ring *ring, size_t kept, struct jws_ring *from, size_t first)
{
    while (ring->count > kept)
        key_clear(&ring->keys[--ring->count]);
    for (size_t i = first; from && i < from->count; i++) {
        if (!take_key(ring, &from->keys[i]))
            log_warn("bad key of a JWKS skipped", LOG_NUM("index", i),
                     LOG_TEXT("kid", from->keys[i].kid),
                     LOG_TEXT("reason", "its id is taken, or there are too many"));
    }
    ring->parsed_key = NULL;
    jws_ring_free(from);
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

static const struct key *public_key(const struct jws_ring *ring, const char *kid)
{
    const struct key *first = NULL;
    for (size_t i = 0; i < ring->count; i++) {
        const struct key *key = &ring->keys[i];
        if (key->algorithm != ALG_ES256)
            continue;
        if (kid ? strcmp(key->kid, kid) == 0 : key->can_sign)
            return key;
        first = first ? first : key;
    }
    return kid ? NULL : first;
}

enum status jws_write_pem(const struct jws_ring *ring, const char *kid, struct buf *out)
{
    const struct key *key = public_key(ring, kid);
    if (!key)
        return ST_NOT_FOUND;
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    const bool ok = bio && PEM_write_bio_PUBKEY(bio, EVP_PKEY_CTX_get0_pkey(key->verifier)) == 1;
    const long len = ok ? BIO_get_mem_data(bio, &text) : 0;
    if (len > 0)
        buf_add(out, text, (size_t)len);
    BIO_free(bio);
    return len > 0 ? ST_OK : ST_INTERNAL;
}

/* ---- signatures ---- */

static bool hash_of(struct jws_ring *ring, const char *data, size_t len, unsigned char *out)
{
    return EVP_DigestInit_ex(ring->digest, NULL, NULL) == 1 &&
           EVP_DigestUpdate(ring->digest, data, len) == 1 &&
           EVP_DigestFinal_ex(ring->digest, out, NULL) == 1;
}

/* Writes one half of a raw signature (r or s) as a DER INTEGER. Returns its length. */
static size_t der_integer(const unsigned char *half, unsigned char *out)
{
    size_t skip = 0;
    while (skip < POINT_LEN - 1 && half[skip] == 0)
        skip++;
    const size_t pad = half[skip] >= 0x80 ? 1 : 0; /* a first bit of 1 would mean: negative */
    const size_t len = POINT_LEN - skip;
    out[0] = 0x02;
    out[1] = (unsigned char)(pad + len);
    out[2] = 0;
    memcpy(out + 2 + pad, half + skip, len);
    return 2 + pad + len;
}

/* Writes the signature into out[SIGNATURE_MAX]. Returns its length; 0: failure. */
static size_t sign(struct jws_ring *ring, struct key *key, const char *data, size_t len,
                   unsigned char *out)
{
    unsigned char hash[SHA256_DIGEST_LENGTH], der[ES256_DER_MAX];
    size_t der_len = sizeof(der);
    if (key->algorithm == ALG_HS256)
        return mac_of(key->mac, data, len, out) ? MAC_LEN : 0;
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
        return signature_len == MAC_LEN && mac_of(key->mac, data, len, own) &&
               CRYPTO_memcmp(own, signature, MAC_LEN) == 0;
    if (!hash_of(ring, data, len, own))
        return false;
    if (key->algorithm == ALG_ES256) {
        if (signature_len != ES256_SIG_LEN)
            return false;
        /* Turns r || s into the DER that OpenSSL reads: a SEQUENCE of two INTEGERs. */
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

/* A key of a JWKS may have been published after we read it. */
static bool is_published(enum algorithm algorithm)
{
    return algorithm != ALG_HS256;
}

/* Finds the key that a header names. ST_NOT_FOUND: there is no such key, and it may be one that was published meanwhile.
 * ST_UNAUTHORIZED: the header is not valid, or its algorithm is not the one pinned for the key. */
static enum status key_of_header(struct jws_ring *ring, const struct json *header,
                                 struct key **ret_key)
{
    const char *name = json_str(header, "alg"), *kid = json_str(header, "kid");
    size_t i = 0;
    if (!name || json_has(header, "crit") || (json_has(header, "kid") && !kid))
        return ST_UNAUTHORIZED; /* crit lists extensions that the reader must know; we know none */
    while (i <= ALG_RS256 && strcmp(name, algorithm_names[i]) != 0)
        i++;
    if (i > ALG_RS256)
        return ST_UNAUTHORIZED;
    const enum algorithm algorithm = (enum algorithm)i;
    struct key *key = find_key(ring, kid ? kid : "", algorithm);
    if (!key && kid)
        key = find_key(ring, "", algorithm); /* the key without an id serves unknown ids */
    if (!key)
        return is_published(algorithm) ? ST_NOT_FOUND : ST_UNAUTHORIZED;
    if (key->algorithm != algorithm)
        return ST_UNAUTHORIZED;
    *ret_key = key;
    return ST_OK;
}

/* `len` includes the dot after the header. As key_of_header. */
static enum status select_key(struct jws_ring *ring, const char *token, size_t len,
                              struct key **ret_key)
{
    for (size_t i = 0; i < ring->count; i++) {
        const struct buf *own = &ring->keys[i].header;
        if (own->len == len && memcmp(own->data, token, len) == 0) {
            *ret_key = &ring->keys[i];
            return ST_OK;
        }
    }
    if (ring->parsed_key && ring->parsed_len == len - 1 &&
        memcmp(ring->parsed, token, len - 1) == 0) {
        *ret_key = ring->parsed_key;
        return ST_OK;
    }

    unsigned char bytes[HEADER_MAX];
    if (len - 1 > HEADER_MAX || !base64url_decode_into(token, len - 1, bytes))
        return ST_UNAUTHORIZED;
    struct json *header =
        json_parse((const char *)bytes, base64url_decoded_len(len - 1), sizeof(bytes), NULL);
    const enum status st =
        json_is_object(header) ? key_of_header(ring, header, ret_key) : ST_UNAUTHORIZED;
    json_free(header);
    if (st == ST_OK) {
        memcpy(ring->parsed, token, len - 1);
        ring->parsed_len = len - 1;
        ring->parsed_key = *ret_key;
    }
    return st;
}

/* Has this key made the signature or, if it is a secret without an id, one of those after it? */
static bool is_signed_by(struct jws_ring *ring, struct key *key, const char *data, size_t len,
                         const unsigned char *signature, size_t signature_len)
{
    if (is_valid(ring, key, data, len, signature, signature_len))
        return true;
    if (!is_nameless_secret(key->kid, key->algorithm))
        return false;
    while (++key < ring->keys + ring->count) {
        if (is_nameless_secret(key->kid, key->algorithm) &&
            is_valid(ring, key, data, len, signature, signature_len))
            return true;
    }
    return false;
}

enum status jws_verify(struct jws_ring *ring, const char *token, size_t len, struct buf *out)
{
    unsigned char signature[SIGNATURE_MAX] = {0};
    struct key *key = NULL;
    if (len > JWS_MAX)
        return ST_UNAUTHORIZED;
    const char *end = token + len;
    const char *first = memchr(token, '.', len);
    const char *second = first ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
    if (!second) /* a third dot is outside the alphabet of the signature */
        return ST_UNAUTHORIZED;
    const size_t text_len = (size_t)(end - second - 1);
    const enum status st = select_key(ring, token, (size_t)(first - token) + 1, &key);
    if (st != ST_OK)
        return st;
    if (base64url_decoded_len(text_len) > sizeof(signature) ||
        !base64url_decode_into(second + 1, text_len, signature))
        return ST_UNAUTHORIZED;
    if (!is_signed_by(ring, key, token, (size_t)(second - token), signature,
                      base64url_decoded_len(text_len)))
        /* A published key without an id may have been replaced by another one without an id. */
        return key->kid[0] == '\0' && is_published(key->algorithm) ? ST_NOT_FOUND : ST_UNAUTHORIZED;
    return base64url_decode(first + 1, (size_t)(second - first - 1), out) == ST_OK
               ? ST_OK
               : ST_UNAUTHORIZED;
}
