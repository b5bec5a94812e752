/* SPDX-License-Identifier: MIT */
/*
 * jws: compact JSON Web Signatures (RFC 7515) over OpenSSL.
 *
 * One pinned algorithm per key: the header of a token may only choose among our keys, never how a
 * key is used. The base64url header of each key is built once, so that signing and verifying our
 * own tickets touches no JSON; HMAC contexts are set up once and only re-initialised. Called by:
 * token. One ring belongs to one thread.
 */
#include "jws.h"

#include "json.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 16
#define KID_MAX 64
#define COORDINATE 32 /* bytes of a P-256 coordinate */
#define ES256_SIG (2 * COORDINATE)
#define MAC_LEN 32

enum alg { ALG_HS256, ALG_ES256, ALG_RS256 };
static const char *const alg_names[] = {"HS256", "ES256", "RS256"};

struct jws_key {
    enum alg alg;
    char kid[KID_MAX + 1]; /* "": any token without a kid of ours */
    EVP_MAC_CTX *mac;      /* HS256 */
    EVP_PKEY *pkey;        /* ES256, RS256 */
    bool can_sign;
    char header[192]; /* base64url of the protected header */
    size_t header_len;
};

struct jws_ring {
    struct jws_key keys[KEYS_MAX];
    size_t count;
};

/* ---- base64url ---- */

static const char digits64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64url_encode(const void *data, size_t len, struct buf *out)
{
    const unsigned char *s = data;
    char chunk[256];
    size_t n = 0;
    for (size_t i = 0; i < len; i += 3) {
        const size_t have = len - i < 3 ? len - i : 3;
        const unsigned v = (unsigned)s[i] << 16 | (have > 1 ? (unsigned)s[i + 1] << 8 : 0) |
                           (have > 2 ? s[i + 2] : 0);
        for (size_t k = 0; k <= have; k++)
            chunk[n++] = digits64[(v >> (18 - 6 * k)) & 63];
        if (n > sizeof(chunk) - 4) {
            buf_add(out, chunk, n);
            n = 0;
        }
    }
    buf_add(out, chunk, n);
}

static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* Strict: no padding, no other characters, and the unused bits of the last digit are zero, so that
 * a text has exactly one encoding. */
enum status base64url_decode(const char *text, size_t len, struct buf *out)
{
    unsigned v = 0;
    unsigned bits = 0;
    if (len % 4 == 1)
        return ST_INVALID;
    for (size_t i = 0; i < len; i++) {
        const int digit = digit_value(text[i]);
        if (digit < 0)
            return ST_INVALID;
        v = (v << 6 | (unsigned)digit) & 0xffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            buf_add_char(out, (char)(v >> bits & 0xff));
        }
    }
    if ((v & ((1u << bits) - 1)) != 0)
        return ST_INVALID;
    return buf_status(out);
}

/* ---- keys ---- */

struct jws_ring *jws_ring_new(void)
{
    return xcalloc(1, sizeof(struct jws_ring));
}

void jws_ring_free(struct jws_ring *ring)
{
    if (ring == NULL)
        return;
    for (size_t i = 0; i < ring->count; i++) {
        EVP_MAC_CTX_free(ring->keys[i].mac); /* OpenSSL wipes key material */
        EVP_PKEY_free(ring->keys[i].pkey);
    }
    free(ring);
}

static bool kid_fits(const char *kid)
{
    const size_t len = strlen(kid);
    if (len > KID_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (kid[i] <= ' ' || kid[i] > '~' || kid[i] == '"' || kid[i] == '\\')
            return false;
    }
    return true;
}

/* The next free key, named; NULL when the ring is full or the name will not do. */
static struct jws_key *new_key(struct jws_ring *ring, const char *kid, enum alg alg)
{
    struct buf text, encoded;
    if (kid == NULL)
        kid = "";
    if (ring->count == KEYS_MAX || !kid_fits(kid))
        return NULL;
    struct jws_key *key = &ring->keys[ring->count];
    memset(key, 0, sizeof(*key));
    key->alg = alg;
    (void)snprintf(key->kid, sizeof(key->kid), "%s", kid);
    buf_init(&text, 140);
    buf_init(&encoded, sizeof(key->header) - 1);
    if (kid[0] != '\0')
        buf_printf(&text, "{\"alg\":\"%s\",\"kid\":\"%s\"}", alg_names[alg], kid);
    else
        buf_printf(&text, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", alg_names[alg]);
    base64url_encode(buf_str(&text), text.len, &encoded);
    memcpy(key->header, buf_str(&encoded), encoded.len);
    key->header_len = encoded.len;
    buf_clear(&text);
    buf_clear(&encoded);
    return key;
}

enum status jws_ring_add_hs256(struct jws_ring *ring, const char *kid, const void *key,
                               size_t key_len)
{
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
                           OSSL_PARAM_construct_end()};
    struct jws_key *made = new_key(ring, kid, ALG_HS256);
    if (made == NULL || key_len == 0)
        return ST_INVALID;
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    made->mac = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac); /* the context keeps its own reference */
    if (made->mac == NULL || EVP_MAC_init(made->mac, key, key_len, params) != 1) {
        EVP_MAC_CTX_free(made->mac);
        return ST_INTERNAL;
    }
    made->can_sign = true;
    ring->count++;
    return ST_OK;
}

static bool is_p256(const EVP_PKEY *pkey)
{
    char group[32];
    size_t len;
    return EVP_PKEY_is_a(pkey, "EC") &&
           EVP_PKEY_get_group_name(pkey, group, sizeof(group), &len) == 1 &&
           (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0);
}

/* The key id of a pass key: the RFC 7638 idea, shortened: 16 hex digits of SHA-256 of the point. */
static bool point_of(const EVP_PKEY *pkey, unsigned char *x, unsigned char *y)
{
    BIGNUM *bx = NULL, *by = NULL;
    const bool ok = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_EC_PUB_X, &bx) == 1 &&
                    EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, &by) == 1 &&
                    BN_bn2binpad(bx, x, COORDINATE) == COORDINATE &&
                    BN_bn2binpad(by, y, COORDINATE) == COORDINATE;
    BN_free(bx);
    BN_free(by);
    return ok;
}

static void name_key(const EVP_PKEY *pkey, char *kid)
{
    unsigned char point[2 * COORDINATE], digest[32];
    kid[0] = '\0';
    if (!point_of(pkey, point, point + COORDINATE) ||
        EVP_Digest(point, sizeof(point), digest, NULL, EVP_sha256(), NULL) != 1)
        return;
    for (int i = 0; i < 8; i++)
        (void)snprintf(kid + 2 * i, 3, "%02x", digest[i]);
}

/* Takes `pkey`. */
static enum status add_pkey(struct jws_ring *ring, const char *kid, enum alg alg, EVP_PKEY *pkey,
                            bool can_sign)
{
    char own[17];
    if (kid == NULL && alg == ALG_ES256) {
        name_key(pkey, own);
        kid = own;
    }
    struct jws_key *key = new_key(ring, kid, alg);
    if (key == NULL) {
        EVP_PKEY_free(pkey);
        return ST_INVALID;
    }
    key->pkey = pkey;
    key->can_sign = can_sign;
    ring->count++;
    return ST_OK;
}

enum status jws_ring_add_es256_pem(struct jws_ring *ring, const char *kid, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *pkey = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (pkey == NULL || !is_p256(pkey)) {
        EVP_PKEY_free(pkey);
        return ST_INVALID;
    }
    return add_pkey(ring, kid, ALG_ES256, pkey, true);
}

/* A P-256 key pair from a private scalar and (or) an uncompressed point. New, or NULL. */
static EVP_PKEY *ec_key(const BIGNUM *scalar, const unsigned char *point, size_t point_len)
{
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM *params = NULL;
    const int selection = scalar != NULL ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY;
    if (build != NULL && ctx != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, point_len) == 1 &&
        (scalar == NULL || OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, scalar) == 1))
        params = OSSL_PARAM_BLD_to_param(build);
    if (params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, selection, params) != 1)
        pkey = NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

/* RFC 5869 with SHA-256. 48 bytes: reducing them modulo the group order leaves no visible bias
 * (FIPS 186-5, A.2.1). */
static bool derive_bytes(const void *seed, size_t seed_len, unsigned char *out, size_t len)
{
    static const char info[] = "tiketi pass key";
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    const bool ok = ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 &&
                    EVP_PKEY_CTX_set_hkdf_md(ctx, EVP_sha256()) == 1 &&
                    EVP_PKEY_CTX_set1_hkdf_key(ctx, seed, (int)seed_len) == 1 &&
                    EVP_PKEY_CTX_add1_hkdf_info(ctx, (const unsigned char *)info,
                                                sizeof(info) - 1) == 1 &&
                    EVP_PKEY_derive(ctx, out, &len) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

enum status jws_ring_add_es256_derived(struct jws_ring *ring, const void *seed, size_t seed_len)
{
    unsigned char bytes[48], point[1 + 2 * COORDINATE];
    EVP_PKEY *pkey = NULL;
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *product = group != NULL ? EC_POINT_new(group) : NULL;
    BN_CTX *ctx = BN_CTX_secure_new();
    BIGNUM *scalar = BN_secure_new(), *limit = BN_new();
    if (product != NULL && ctx != NULL && scalar != NULL && limit != NULL &&
        derive_bytes(seed, seed_len, bytes, sizeof(bytes)) &&
        BN_bin2bn(bytes, sizeof(bytes), scalar) != NULL &&
        BN_sub(limit, EC_GROUP_get0_order(group), BN_value_one()) == 1 &&
        BN_mod(scalar, scalar, limit, ctx) == 1 && BN_add_word(scalar, 1) == 1 && /* 1..n-1 */
        EC_POINT_mul(group, product, scalar, NULL, NULL, ctx) == 1 &&
        EC_POINT_point2oct(group, product, POINT_CONVERSION_UNCOMPRESSED, point, sizeof(point),
                           ctx) == sizeof(point))
        pkey = ec_key(scalar, point, sizeof(point));
    OPENSSL_cleanse(bytes, sizeof(bytes));
    BN_clear_free(scalar);
    BN_free(limit);
    BN_CTX_free(ctx);
    EC_POINT_free(product);
    EC_GROUP_free(group);
    return pkey != NULL ? add_pkey(ring, NULL, ALG_ES256, pkey, true) : ST_INTERNAL;
}

/* ---- JWKS ---- */

static enum status decode_member(const struct json *jwk, const char *name, size_t max,
                                 struct buf *out)
{
    const char *text = json_str(jwk, name);
    buf_reset(out);
    if (text == NULL || strlen(text) > max * 2)
        return ST_INVALID;
    return base64url_decode(text, strlen(text), out);
}

static EVP_PKEY *read_ec_jwk(const struct json *jwk, struct buf *x, struct buf *y)
{
    unsigned char point[1 + 2 * COORDINATE] = {POINT_CONVERSION_UNCOMPRESSED};
    const char *curve = json_str(jwk, "crv");
    if (curve == NULL || strcmp(curve, "P-256") != 0 ||
        decode_member(jwk, "x", COORDINATE, x) != ST_OK ||
        decode_member(jwk, "y", COORDINATE, y) != ST_OK || x->len != COORDINATE ||
        y->len != COORDINATE)
        return NULL;
    memcpy(point + 1, x->data, COORDINATE);
    memcpy(point + 1 + COORDINATE, y->data, COORDINATE);
    return ec_key(NULL, point, sizeof(point));
}

static EVP_PKEY *read_rsa_jwk(const struct json *jwk, struct buf *n, struct buf *e)
{
    EVP_PKEY *pkey = NULL;
    if (decode_member(jwk, "n", 1024, n) != ST_OK || decode_member(jwk, "e", 8, e) != ST_OK ||
        n->len < 256 || e->len == 0)
        return NULL;
    BIGNUM *modulus = BN_bin2bn((const unsigned char *)n->data, (int)n->len, NULL);
    BIGNUM *exponent = BN_bin2bn((const unsigned char *)e->data, (int)e->len, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM *params = NULL;
    if (OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
        params = OSSL_PARAM_BLD_to_param(build);
    if (params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    BN_free(modulus);
    BN_free(exponent);
    return pkey;
}

static enum status add_jwk(struct jws_ring *ring, const struct json *jwk)
{
    struct buf a, b;
    const char *type = json_str(jwk, "kty");
    EVP_PKEY *pkey = NULL;
    if (type == NULL)
        return ST_INVALID;
    const bool ec = strcmp(type, "EC") == 0;
    buf_init(&a, 2048);
    buf_init(&b, 2048);
    if (ec)
        pkey = read_ec_jwk(jwk, &a, &b);
    else if (strcmp(type, "RSA") == 0)
        pkey = read_rsa_jwk(jwk, &a, &b);
    buf_clear(&a);
    buf_clear(&b);
    if (pkey == NULL)
        return ST_INVALID;
    const char *kid = json_str(jwk, "kid");
    return add_pkey(ring, kid != NULL ? kid : "", ec ? ALG_ES256 : ALG_RS256, pkey, false);
}

enum status jws_ring_add_jwks(struct jws_ring *ring, const char *json, size_t len)
{
    struct json_error error;
    struct json *document = json_parse(json, len, 256 * 1024, &error);
    const struct json *keys = json_get(document, "keys");
    enum status st = json_array_len(keys) > 0 ? ST_OK : ST_INVALID;
    for (size_t i = 0; i < json_array_len(keys) && st == ST_OK; i++)
        st = add_jwk(ring, json_array_at(keys, i));
    json_free(document);
    return st;
}

void jws_write_jwks(const struct jws_ring *ring, struct buf *out)
{
    unsigned char x[COORDINATE], y[COORDINATE];
    bool first = true;
    buf_add_str(out, "{\"keys\":[");
    for (size_t i = 0; i < ring->count; i++) {
        const struct jws_key *key = &ring->keys[i];
        if (key->alg != ALG_ES256 || !point_of(key->pkey, x, y))
            continue;
        buf_printf(out, "%s{\"kty\":\"EC\",\"crv\":\"P-256\",\"use\":\"sig\",\"alg\":\"ES256\",\"kid\":\"%s\"",
                   first ? "" : ",", key->kid);
        buf_add_str(out, ",\"x\":\"");
        base64url_encode(x, sizeof(x), out);
        buf_add_str(out, "\",\"y\":\"");
        base64url_encode(y, sizeof(y), out);
        buf_add_str(out, "\"}");
        first = false;
    }
    buf_add_str(out, "]}");
}

/* ---- signing ---- */

static enum status mac_of(const struct jws_key *key, const char *text, size_t len,
                          unsigned char *out)
{
    size_t out_len;
    if (EVP_MAC_init(key->mac, NULL, 0, NULL) != 1 || /* keeps the key, starts anew */
        EVP_MAC_update(key->mac, (const unsigned char *)text, len) != 1 ||
        EVP_MAC_final(key->mac, out, &out_len, MAC_LEN) != 1)
        return ST_INTERNAL;
    return ST_OK;
}

/* ECDSA gives DER; JWS wants r and s, each padded to 32 bytes (RFC 7518 section 3.4). */
static bool der_to_raw(const unsigned char *der, size_t len, unsigned char *raw)
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
    const bool ok = sig != NULL &&
                    BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, COORDINATE) == COORDINATE &&
                    BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + COORDINATE, COORDINATE) == COORDINATE;
    ECDSA_SIG_free(sig);
    return ok;
}

/* Length of the DER in out[80], 0 on failure. */
static size_t raw_to_der(const unsigned char *raw, unsigned char *out)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, COORDINATE, NULL), *s = BN_bin2bn(raw + COORDINATE, COORDINATE, NULL);
    int len = 0;
    if (sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1)
        len = i2d_ECDSA_SIG(sig, &out);
    else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(sig);
    return len > 0 ? (size_t)len : 0;
}

static enum status ecdsa_of(const struct jws_key *key, const char *text, size_t len,
                            unsigned char *raw)
{
    unsigned char der[80];
    size_t der_len = sizeof(der);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const bool ok = ctx != NULL &&
                    EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key->pkey) == 1 &&
                    EVP_DigestSign(ctx, der, &der_len, (const unsigned char *)text, len) == 1 &&
                    der_to_raw(der, der_len, raw);
    EVP_MD_CTX_free(ctx);
    return ok ? ST_OK : ST_INTERNAL;
}

enum status jws_sign(struct jws_ring *ring, const char *payload, size_t len, struct buf *out)
{
    const struct jws_key *key = ring->keys;
    unsigned char signature[ES256_SIG];
    while (key < ring->keys + ring->count && !key->can_sign)
        key++;
    if (key == ring->keys + ring->count)
        return ST_UNAVAILABLE;
    const size_t start = out->len;
    buf_add(out, key->header, key->header_len);
    buf_add_char(out, '.');
    base64url_encode(payload, len, out);
    if (buf_status(out) != ST_OK)
        return ST_TOO_LARGE;
    const char *text = buf_str(out) + start;
    const size_t text_len = out->len - start;
    const bool hmac = key->alg == ALG_HS256;
    const enum status st =
        hmac ? mac_of(key, text, text_len, signature) : ecdsa_of(key, text, text_len, signature);
    if (st != ST_OK)
        return st;
    buf_add_char(out, '.');
    base64url_encode(signature, hmac ? MAC_LEN : ES256_SIG, out);
    return buf_status(out);
}

/* ---- verifying ---- */

struct parts {
    const char *header, *payload, *signature;
    size_t header_len, payload_len, signature_len, signed_len;
};

static bool split(const char *token, size_t len, struct parts *parts)
{
    const char *end = token + len;
    const char *dot1 = memchr(token, '.', len);
    const char *dot2 = dot1 != NULL ? memchr(dot1 + 1, '.', (size_t)(end - dot1 - 1)) : NULL;
    if (dot2 == NULL || memchr(dot2 + 1, '.', (size_t)(end - dot2 - 1)) != NULL)
        return false;
    *parts = (struct parts){.header = token,
                            .header_len = (size_t)(dot1 - token),
                            .payload = dot1 + 1,
                            .payload_len = (size_t)(dot2 - dot1 - 1),
                            .signature = dot2 + 1,
                            .signature_len = (size_t)(end - dot2 - 1),
                            .signed_len = (size_t)(dot2 - token)};
    return true;
}

/* The key a foreign header means: its kid, else a key without one; the algorithm must be the
 * key's own. `crit` names extensions that we do not know, so it is refused (RFC 7515 4.1.11). */
static const struct jws_key *key_of_header(const struct jws_ring *ring, const char *json, size_t len)
{
    struct json_error error;
    const struct jws_key *found = NULL;
    struct json *header = json_parse(json, len, JWS_MAX, &error);
    const char *alg = json_str(header, "alg"), *kid = json_str(header, "kid");
    for (size_t i = 0; alg != NULL && !json_has(header, "crit") && i < ring->count; i++) {
        const struct jws_key *key = &ring->keys[i];
        if (strcmp(alg, alg_names[key->alg]) != 0)
            continue;
        if (kid != NULL && strcmp(kid, key->kid) == 0) {
            found = key;
            break;
        }
        if (key->kid[0] == '\0' && found == NULL)
            found = key;
    }
    json_free(header);
    return found;
}

static const struct jws_key *find_key(const struct jws_ring *ring, const struct parts *parts)
{
    struct buf header;
    const struct jws_key *key = NULL;
    for (size_t i = 0; i < ring->count; i++) { /* our own tokens: the header as we write it */
        if (ring->keys[i].header_len == parts->header_len &&
            memcmp(ring->keys[i].header, parts->header, parts->header_len) == 0)
            return &ring->keys[i];
    }
    buf_init(&header, JWS_MAX);
    if (base64url_decode(parts->header, parts->header_len, &header) == ST_OK)
        key = key_of_header(ring, buf_str(&header), header.len);
    buf_clear(&header);
    return key;
}

static bool pkey_verifies(const struct jws_key *key, const char *text, size_t len,
                          const unsigned char *signature, size_t signature_len)
{
    unsigned char der[80];
    if (key->alg == ALG_ES256) {
        if (signature_len != ES256_SIG)
            return false;
        signature_len = raw_to_der(signature, der);
        signature = der;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const bool ok = ctx != NULL && signature_len > 0 &&
                    EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key->pkey) == 1 &&
                    EVP_DigestVerify(ctx, signature, signature_len, (const unsigned char *)text,
                                     len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool verifies(const struct jws_key *key, const char *text, size_t len,
                     const unsigned char *signature, size_t signature_len)
{
    unsigned char expected[MAC_LEN];
    if (key->alg != ALG_HS256)
        return pkey_verifies(key, text, len, signature, signature_len);
    return signature_len == MAC_LEN && mac_of(key, text, len, expected) == ST_OK &&
           CRYPTO_memcmp(expected, signature, MAC_LEN) == 0;
}

enum status jws_verify(struct jws_ring *ring, const char *token, size_t len, struct buf *out)
{
    struct parts parts;
    if (len > JWS_MAX || !split(token, len, &parts))
        return ST_UNAUTHORIZED;
    const struct jws_key *key = find_key(ring, &parts);
    if (key == NULL)
        return ST_UNAUTHORIZED;
    struct buf signature;
    buf_init(&signature, 1024);
    const bool ok =
        base64url_decode(parts.signature, parts.signature_len, &signature) == ST_OK &&
        verifies(key, token, parts.signed_len, (const unsigned char *)buf_str(&signature),
                 signature.len);
    buf_clear(&signature);
    if (!ok || base64url_decode(parts.payload, parts.payload_len, out) != ST_OK)
        return ST_UNAUTHORIZED;
    return ST_OK;
}
