/* SPDX-License-Identifier: MIT */
/* jws: the vectors of RFC 7515 are valid; what is altered, cut or signed by the wrong kind of key is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/jws.h"
#include "base/base64url.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

/* RFC 7515 appendix A.1: HS256 */
#define A1_KEY                                                                                     \
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
#define CLAIMS                                                                                     \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"
#define CLAIMS_TEXT                                                                                \
    "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"
#define A1_HEADER "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
#define A1_SIG    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define A1        A1_HEADER "." CLAIMS "." A1_SIG
/* A.2: RS256 */
#define A2_N                                                                                       \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4" \
    "d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re" \
    "xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX" \
    "FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define A2_SIG                                                                                     \
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5" \
    "jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb" \
    "1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QO" \
    "YEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
#define A2     "eyJhbGciOiJSUzI1NiJ9." CLAIMS "." A2_SIG
#define A2_JWK "{\"kty\":\"RSA\",\"n\":\"" A2_N "\",\"e\":\"AQAB\"}"
/* A.3: ES256 */
#define A3_X   "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define A3_Y   "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define A3_JWK "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" A3_X "\",\"y\":\"" A3_Y "\"}"
#define A3_SIG                                                                                     \
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
#define A3 "eyJhbGciOiJFUzI1NiJ9." CLAIMS "." A3_SIG

#define SECRET "0123456789abcdef0123456789abcdef"

static struct jws_ring *ring_of_secret(const char *kid)
{
    struct jws_ring *ring = jws_ring_new();
    assert_non_null(ring);
    assert_int_equal(jws_ring_add_hs256(ring, kid, SECRET, strlen(SECRET)), ST_OK);
    return ring;
}

static struct jws_ring *ring_of_jwks(const char *keys)
{
    char text[2048];
    struct jws_ring *ring = jws_ring_new();
    const int len = snprintf(text, sizeof(text), "{\"keys\":[%s]}", keys);
    assert_in_range(len, 1, sizeof(text) - 1);
    assert_int_equal(jws_ring_add_jwks(ring, text, (size_t)len), ST_OK);
    return ring;
}

static struct jws_ring *ring_of_a1(void)
{
    struct buf key;
    buf_init(&key, 64);
    assert_int_equal(base64url_decode(A1_KEY, strlen(A1_KEY), &key), ST_OK);
    struct jws_ring *ring = jws_ring_new();
    assert_int_equal(jws_ring_add_hs256(ring, NULL, key.data, key.len), ST_OK);
    buf_clear(&key);
    return ring;
}

/* The payload, or NULL if the token is refused; borrowed until the next call. */
static const char *verify_len(struct jws_ring *ring, const char *token, size_t len)
{
    static char payload[JWS_MAX];
    struct buf out;
    buf_init(&out, sizeof(payload) - 1);
    const enum status st = jws_verify(ring, token, len, &out);
    assert_true(st == ST_OK || st == ST_UNAUTHORIZED || st == ST_NOT_FOUND);
    memcpy(payload, buf_str(&out), out.len + 1);
    if (st != ST_OK)
        assert_int_equal(out.len, 0);
    buf_clear(&out);
    return st == ST_OK ? payload : NULL;
}

static const char *verify(struct jws_ring *ring, const char *token)
{
    return verify_len(ring, token, strlen(token));
}

/* A token with any header and payload and always a correct MAC by SECRET: if it is refused, then for its header.
 * Borrowed until the next call. */
static const char *forge(const char *header, const char *payload)
{
    static char token[2 * JWS_MAX];
    unsigned char mac[32];
    struct buf out;
    buf_init(&out, sizeof(token) - 1);
    base64url_encode(header, strlen(header), &out);
    buf_add_char(&out, '.');
    base64url_encode(payload, strlen(payload), &out);
    assert_non_null(HMAC(EVP_sha256(), SECRET, (int)strlen(SECRET), (unsigned char *)out.data,
                         out.len, mac, NULL));
    buf_add_char(&out, '.');
    base64url_encode(mac, sizeof(mac), &out);
    assert_int_equal(buf_status(&out), ST_OK);
    memcpy(token, buf_str(&out), out.len + 1);
    buf_clear(&out);
    return token;
}

/* ---- vectors ---- */

static void rfc7515_a1_hs256(void **state)
{
    (void)state;
    struct jws_ring *ring = ring_of_a1();
    const char *payload = verify(ring, A1);
    assert_non_null(payload);
    assert_string_equal(payload, CLAIMS_TEXT);
    assert_non_null(verify(ring, A1)); /* again, by the remembered header */
    assert_null(verify(ring, A1_HEADER "." CLAIMS "."
                                       "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXg"));
    jws_ring_free(ring);
}

static void rfc7515_a2_rs256(void **state)
{
    (void)state;
    struct jws_ring *ring = ring_of_jwks(A2_JWK);
    const char *payload = verify(ring, A2);
    assert_non_null(payload);
    assert_string_equal(payload, CLAIMS_TEXT);
    assert_null(verify(ring, A1));
    assert_null(verify_len(ring, A2, strlen(A2) - 4));
    jws_ring_free(ring);
}

static void rfc7515_a3_es256(void **state)
{
    (void)state;
    struct jws_ring *ring = ring_of_jwks(A3_JWK);
    const char *payload = verify(ring, A3);
    assert_non_null(payload);
    assert_string_equal(payload, CLAIMS_TEXT);
    assert_non_null(verify(ring, A3));
    jws_ring_free(ring);
}

/* ---- what must be refused ---- */

static void every_altered_character_is_refused(void **state)
{
    (void)state;
    struct jws_ring *rings[] = {ring_of_a1(), ring_of_jwks(A3_JWK)};
    const char *const tokens[] = {A1, A3};
    for (int k = 0; k < 2; k++) {
        char token[1024];
        const size_t len = strlen(tokens[k]);
        memcpy(token, tokens[k], len + 1);
        for (size_t i = 0; i < len; i++) {
            token[i] = token[i] == 'A' ? 'B' : 'A';
            assert_null(verify(rings[k], token));
            token[i] = tokens[k][i];
        }
        assert_non_null(verify(rings[k], token));
        jws_ring_free(rings[k]);
    }
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    struct jws_ring *ring = ring_of_a1();
    for (size_t len = 0; len < strlen(A1); len++)
        assert_null(verify_len(ring, A1, len));
    assert_null(verify(ring, A1 "."));
    assert_null(verify(ring, A1 ".AAAA"));
    assert_null(verify(ring, "." A1));
    assert_null(verify(ring, A1 "\n"));
    assert_null(verify(ring, A1 "="));             /* padding */
    assert_null(verify_len(ring, A1, sizeof(A1))); /* a NUL at the end */
    jws_ring_free(ring);
}

/* Each time after a valid signature, whose bytes may still be in memory. */
static void cut_public_key_signatures_are_refused(void **state)
{
    const char *const jwks[] = {A3_JWK, A2_JWK}, *const tokens[] = {A3, A2};
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct jws_ring *ring = ring_of_jwks(jwks[k]);
        for (size_t cut = 1; cut < 80; cut++) {
            assert_non_null(verify(ring, tokens[k]));
            assert_null(verify_len(ring, tokens[k], strlen(tokens[k]) - cut));
        }
        jws_ring_free(ring);
    }
}

static void alg_none_is_refused(void **state)
{
    static const char *const headers[] = {"{\"alg\":\"none\"}",
                                          "{\"alg\":\"None\"}",
                                          "{\"alg\":\"nOnE\"}",
                                          "{\"alg\":\"\"}",
                                          "{\"alg\":null}",
                                          "{\"typ\":\"JWT\"}",
                                          "{}",
                                          "[]",
                                          "\"HS256\"",
                                          ""};
    (void)state;
    struct jws_ring *ring = ring_of_secret(NULL);
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        char unsigned_token[256];
        const char *token = forge(headers[i], "{}");
        assert_null(verify(ring, token));
        const size_t dot = (size_t)(strrchr(token, '.') - token) + 1;
        memcpy(unsigned_token, token, dot);
        assert_null(verify_len(ring, unsigned_token, dot)); /* with an empty signature */
    }
    assert_non_null(verify(ring, forge("{\"alg\":\"HS256\"}", "{}")));
    jws_ring_free(ring);
}

static void the_header_must_be_strict_json(void **state)
{
    static const char *const headers[] = {
        "{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}",
        "{\"alg\":\"HS256\",\"crit\":[]}",
        "{\"alg\":\"HS256\",\"crit\":null}",
        "{\"alg\":\"HS256\",\"alg\":\"HS256\"}",
        "{\"alg\":\"hs256\"}",
        "{\"alg\":\"HS384\"}",
        "{\"alg\":[\"HS256\"]}",
        "{\"alg\":\"HS256\",\"kid\":7}",
        "{\"alg\":\"HS256\",\"kid\":null}",
        "{\"alg\":\"HS256\"",
        "{\"alg\":\"HS256\"}}",
        "{\"alg\":\"HS256\",\"x\":\"\xff\"}",
        "{\"alg\":\"HS256\\u0000\"}",
    };
    (void)state;
    struct jws_ring *ring = ring_of_secret(NULL);
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        assert_null(verify(ring, forge(headers[i], "{}")));
    assert_non_null(
        verify(ring, forge("{ \"typ\":\"JWT\", \"x5t\":\"a\", \"alg\":\"HS256\" }", "{}")));
    jws_ring_free(ring);
}

/* The classic attack: the published public key used as an HMAC secret. */
static void a_public_key_is_never_an_hmac_secret(void **state)
{
    static const char pem_like[] = "-----BEGIN PUBLIC KEY-----";
    const char *const jwks[] = {A3_JWK, A2_JWK};
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct jws_ring *ring = ring_of_jwks(jwks[k]), *forger = jws_ring_new();
        struct buf out;
        buf_init(&out, JWS_MAX);
        assert_int_equal(jws_ring_add_hs256(forger, NULL, pem_like, strlen(pem_like)), ST_OK);
        assert_int_equal(jws_sign(forger, "{}", 2, &out), ST_OK);
        assert_null(verify(ring, out.data));
        buf_clear(&out);
        jws_ring_free(forger);
        jws_ring_free(ring);
    }
}

/* Each algorithm's token, with a ring that has a key of the same id for another algorithm. */
static void one_algorithm_per_key_id(void **state)
{
    (void)state;
    struct jws_ring *ec = ring_of_jwks(
        "{\"kid\":\"k\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" A3_X "\",\"y\":\"" A3_Y "\"}");
    assert_null(verify(ec, forge("{\"alg\":\"HS256\",\"kid\":\"k\"}", "{}")));
    assert_null(verify(ec, forge("{\"alg\":\"RS256\",\"kid\":\"k\"}", "{}")));
    assert_null(verify(ec, forge("{\"alg\":\"ES256\",\"kid\":\"k\"}", "{}")));
    jws_ring_free(ec);
    struct jws_ring *hmac = ring_of_secret("k");
    assert_null(verify(hmac, forge("{\"alg\":\"ES256\",\"kid\":\"k\"}", "{}")));
    assert_non_null(verify(hmac, forge("{\"alg\":\"HS256\",\"kid\":\"k\"}", "{}")));
    jws_ring_free(hmac);
}

static void the_key_id_decides(void **state)
{
    (void)state;
    struct jws_ring *ring = ring_of_secret("new");
    assert_int_equal(jws_ring_add_hs256(ring, "old", "another secret of 32 bytes......", 32),
                     ST_OK);
    assert_non_null(verify(ring, forge("{\"alg\":\"HS256\",\"kid\":\"new\"}", "{}")));
    assert_null(verify(ring, forge("{\"alg\":\"HS256\",\"kid\":\"old\"}", "{}")));
    assert_null(verify(ring, forge("{\"alg\":\"HS256\",\"kid\":\"who\"}", "{}")));
    assert_null(verify(ring, forge("{\"alg\":\"HS256\",\"kid\":\"\"}", "{}")));
    assert_null(verify(ring, forge("{\"alg\":\"HS256\"}", "{}")));
    jws_ring_free(ring);
}

static void a_key_without_id_serves_unknown_ids(void **state)
{
    (void)state;
    struct jws_ring *ring = ring_of_secret(NULL);
    assert_int_equal(jws_ring_add_hs256(ring, "named", "another secret of 32 bytes......", 32),
                     ST_OK);
    assert_non_null(verify(ring, forge("{\"alg\":\"HS256\"}", "{}")));
    assert_non_null(verify(ring, forge("{\"alg\":\"HS256\",\"kid\":\"shop-7\"}", "{}")));
    assert_null(verify(ring, forge("{\"alg\":\"HS256\",\"kid\":\"named\"}", "{}")));
    jws_ring_free(ring);
}

static void too_long_is_refused(void **state)
{
    static char payload[JWS_MAX];
    (void)state;
    struct jws_ring *ring = ring_of_secret(NULL);
    memset(payload, ' ', sizeof(payload) - 1);
    payload[6070] = '\0';
    const char *token = forge("{\"alg\":\"HS256\"}", payload);
    assert_in_range(strlen(token), JWS_MAX - 100, JWS_MAX);
    assert_non_null(verify(ring, token));
    payload[6070] = ' ';
    payload[6130] = '\0';
    token = forge("{\"alg\":\"HS256\"}", payload);
    assert_in_range(strlen(token), JWS_MAX + 1, JWS_MAX + 100);
    assert_null(verify(ring, token));
    struct buf out;
    buf_init(&out, (size_t)2 * JWS_MAX);
    buf_add_str(&out, "kept");
    assert_int_equal(jws_sign(ring, payload, 6130, &out), ST_TOO_LARGE);
    assert_string_equal(buf_str(&out), "kept");
    buf_clear(&out);
    jws_ring_free(ring);
}

/* ---- signing ---- */

static void signs_and_verifies(struct jws_ring *ring)
{
    struct buf out;
    buf_init(&out, JWS_MAX);
    for (int i = 0; i < 300; i++) { /* many: r or s is short every 256th time */
        char payload[32];
        (void)snprintf(payload, sizeof(payload), "{\"n\":%d}", i);
        buf_reset(&out);
        buf_add_str(&out, "x");
        assert_int_equal(jws_sign(ring, payload, strlen(payload), &out), ST_OK);
        const char *got = verify(ring, out.data + 1);
        assert_non_null(got);
        assert_string_equal(got, payload);
    }
    buf_clear(&out);
}

static void hs256_round_trip(void **state)
{
    (void)state;
    struct jws_ring *ring = ring_of_secret("k1");
    signs_and_verifies(ring);
    jws_ring_free(ring);
}

static void signing_writes_the_exact_token(void **state)
{
    (void)state;
    struct jws_ring *ring = ring_of_secret("k1");
    struct buf out;
    buf_init(&out, JWS_MAX);
    assert_int_equal(jws_sign(ring, "{\"a\":1}", 7, &out), ST_OK);
    assert_string_equal(buf_str(&out), forge("{\"alg\":\"HS256\",\"kid\":\"k1\"}", "{\"a\":1}"));
    buf_clear(&out);
    jws_ring_free(ring);
}

static void es256_derived_is_the_same_on_every_pod(void **state)
{
    (void)state;
    struct jws_ring *a = jws_ring_new(), *b = jws_ring_new(), *c = jws_ring_new();
    struct buf jwks_a, jwks_b, token;
    buf_init(&jwks_a, 1024);
    buf_init(&jwks_b, 1024);
    buf_init(&token, JWS_MAX);
    assert_int_equal(jws_ring_add_es256_derived(a, SECRET, 32), ST_OK);
    assert_int_equal(jws_ring_add_es256_derived(b, SECRET, 32), ST_OK);
    assert_int_equal(jws_ring_add_es256_derived(c, "another seed of 32 bytes........", 32), ST_OK);
    signs_and_verifies(a);
    jws_write_jwks(a, &jwks_a);
    jws_write_jwks(b, &jwks_b);
    assert_string_equal(buf_str(&jwks_a), buf_str(&jwks_b));
    /* Fixed by HKDF and the curve: if this value changed, an upgrade would end every pass. */
    assert_non_null(
        strstr(buf_str(&jwks_a), "\"x\":\"N4URB7UAMnIhzDhSIj5eWj_YVAQyXVUp8z-pSzaA-Mc\""));
    assert_int_equal(jws_sign(a, "{}", 2, &token), ST_OK);
    assert_non_null(verify(b, token.data));
    assert_null(verify(c, token.data));
    /* Integrators verify with the keys that we publish. */
    struct jws_ring *offline = jws_ring_new();
    assert_int_equal(jws_ring_add_jwks(offline, jwks_a.data, jwks_a.len), ST_OK);
    assert_non_null(verify(offline, token.data));
    buf_reset(&token);
    assert_int_equal(jws_sign(offline, "{}", 2, &token), ST_UNAVAILABLE); /* no private key */
    buf_clear(&token);
    buf_clear(&jwks_a);
    buf_clear(&jwks_b);
    jws_ring_free(a);
    jws_ring_free(b);
    jws_ring_free(c);
    jws_ring_free(offline);
}

/* ---- keys ---- */

/* openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:…, openssl ec -aes128: tests only */
static const char pem_p256[] = "-----BEGIN PRIVATE KEY-----\n"
                               "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgtShYIyRG61yV5LFX\n"
                               "ufkFj2PKIl0gZz1vsoYVbs/bsw6hRANCAAR2y3W3NpxbJXvL6lsBiFGd0GtIrE1R\n"
                               "mZuVT506oZXRzH+1Z+PGAd5M8Try+t6EQis2heElBq7sN/VCPhFu8k0d\n"
                               "-----END PRIVATE KEY-----\n";
static const char pem_p384[] = "-----BEGIN PRIVATE KEY-----\n"
                               "MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDBAhMgn1isC/zINEX6B\n"
                               "yzOFm1/3fJ24Ov41Czz9kYZ+roh3OVuXGCe+zam2angCn16hZANiAAQpQeIbkTNI\n"
                               "P+4u65J2SzeM2jUoptMNApzCNARb5InpAAopzj/+rVoDbxKqdzWUS1zrLOouKFHB\n"
                               "rdMZ/xljswBUraUq85IkE6QTlmM5bYQcmVpy3URewTmMEBpTSCkXUgQ=\n"
                               "-----END PRIVATE KEY-----\n";
/* Another curve of the same length as P-256. */
static const char pem_secp256k1[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgoYpUVK9bGeVlrBYVukZL\n"
    "fqvY/VceWfT7IihttzWRh3+hRANCAATPVky2TCOIc91kcB7AS03WN+rrT0+fQdfR\n"
    "EVOkF88qGh1LL53YeNo7swoCFQ4vZstUEEkIjfzby9jEEa8OVXwY\n"
    "-----END PRIVATE KEY-----\n";
static const char pem_locked[] =
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
    "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhxUfbhwUVmAAICCAAw\n"
    "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEBOmuAF6LuWb//xi4Td/R04EgZC4\n"
    "vgUfZuGRdYv3I6M71gt0F1LR/WqouRCeSZ4dmVU0fQeqKKP/iwEIZ3QVjLG9xbQN\n"
    "DLpoA4XKRqcCJrtd9yTsNptcPJYErNyiys0NKuHuSv1VSUbKEhepKgKKfI7xxgIm\n"
    "RJEPmnjYuARz2JuyLTbh4FnoCo0rPKFp/qTD3tsVFz2r/57aN3ZSLO7b1lMT7TI=\n"
    "-----END ENCRYPTED PRIVATE KEY-----\n";

static void pem_keys(void **state)
{
    (void)state;
    struct jws_ring *ring = jws_ring_new();
    struct buf jwks;
    buf_init(&jwks, 1024);
    assert_int_equal(jws_ring_add_es256_pem(ring, NULL, ""), ST_INVALID);
    assert_int_equal(jws_ring_add_es256_pem(ring, NULL, "-----BEGIN PRIVATE KEY-----"), ST_INVALID);
    assert_int_equal(jws_ring_add_es256_pem(ring, NULL, pem_p384), ST_INVALID);
    assert_int_equal(jws_ring_add_es256_pem(ring, NULL, pem_secp256k1), ST_INVALID);
    assert_int_equal(jws_ring_add_es256_pem(ring, NULL, pem_locked),
                     ST_INVALID); /* does not ask the terminal */
    assert_int_equal(jws_ring_add_es256_pem(ring, NULL, pem_p256), ST_OK);
    assert_int_equal(jws_ring_add_es256_pem(ring, NULL, pem_p256), ST_INVALID); /* id taken */
    jws_write_jwks(ring, &jwks);
    assert_non_null(strstr(
        buf_str(&jwks), "\"kid\":\"1Baabf_S_cGqFuu7uPyT8cZsXVV8U1SzDMsUWfpKA3w\"")); /* RFC 7638 */
    assert_null(strstr(buf_str(&jwks), "\"d\""));
    signs_and_verifies(ring);
    buf_clear(&jwks);
    jws_ring_free(ring);
}

static void bad_secrets_and_ids(void **state)
{
    (void)state;
    char long_kid[200];
    struct jws_ring *ring = ring_of_secret("k");
    memset(long_kid, 'k', sizeof(long_kid) - 1);
    long_kid[sizeof(long_kid) - 1] = '\0';
    assert_int_equal(jws_ring_add_hs256(ring, "short", SECRET, 15), ST_INVALID);
    assert_int_equal(jws_ring_add_hs256(ring, "k", SECRET, 32), ST_INVALID);
    assert_int_equal(jws_ring_add_hs256(ring, "", SECRET, 32), ST_INVALID);
    assert_int_equal(jws_ring_add_hs256(ring, "a\"b", SECRET, 32), ST_INVALID);
    assert_int_equal(jws_ring_add_hs256(ring, "a b", SECRET, 32), ST_INVALID);
    assert_int_equal(jws_ring_add_hs256(ring, long_kid, SECRET, 32), ST_INVALID);
    signs_and_verifies(ring);
    jws_ring_free(ring);
}

static enum status outcome(struct jws_ring *ring, const char *token)
{
    struct buf out;
    buf_init(&out, JWS_MAX);
    const enum status st = jws_verify(ring, token, strlen(token), &out);
    buf_clear(&out);
    return st;
}

static const char pem_p256_public[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEdst1tzacWyV7y+pbAYhRndBrSKxN\n"
    "UZmblU+dOqGV0cx/tWfjxgHeTPE68vrehEIrNoXhJQau7Df1Qj4RbvJNHQ==\n"
    "-----END PUBLIC KEY-----\n";

static void a_public_pem_verifies_only(void **state)
{
    (void)state;
    struct jws_ring *private = jws_ring_new(), *public = jws_ring_new();
    struct buf token, jwks[2];
    buf_init(&token, JWS_MAX);
    buf_init(&jwks[0], 1024);
    buf_init(&jwks[1], 1024);
    assert_int_equal(jws_ring_add_es256_pem(private, NULL, pem_p256), ST_OK);
    assert_int_equal(jws_ring_add_es256_pem(public, NULL, pem_p256_public), ST_OK);
    assert_int_equal(jws_sign(public, "{}", 2, &token), ST_UNAVAILABLE);
    assert_int_equal(jws_sign(private, "{}", 2, &token), ST_OK);
    assert_int_equal(outcome(public, buf_str(&token)), ST_OK);
    jws_write_jwks(private, &jwks[0]);
    jws_write_jwks(public, &jwks[1]);
    assert_string_equal(buf_str(&jwks[0]), buf_str(&jwks[1]));
    buf_clear(&token);
    buf_clear(&jwks[0]);
    buf_clear(&jwks[1]);
    jws_ring_free(private);
    jws_ring_free(public);
}

/* Which failures a key that was published meanwhile could explain. */
static void unknown_keys_are_told_from_bad_signatures(void **state)
{
    static const char ec_of_another_key[] =
        "eyJhbGciOiJFUzI1NiIsImtpZCI6Im5ldyJ9." CLAIMS "." A3_SIG; /* {"alg":"ES256","kid":"new"} */
    struct jws_ring *named = ring_of_jwks("{\"kid\":\"old\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
                                          "\"" A3_X "\",\"y\":\"" A3_Y "\"}");
    struct jws_ring *nameless = ring_of_jwks(A3_JWK), *secret = ring_of_secret(NULL);
    (void)state;
    assert_int_equal(outcome(named, ec_of_another_key), ST_NOT_FOUND);
    assert_int_equal(outcome(named, A3), ST_NOT_FOUND); /* names none */
    assert_int_equal(outcome(named, A2), ST_NOT_FOUND);
    assert_int_equal(outcome(named, A1), ST_UNAUTHORIZED); /* secrets are not published */
    assert_int_equal(outcome(nameless, A3), ST_OK);
    assert_int_equal(outcome(nameless, "eyJhbGciOiJFUzI1NiJ9." CLAIMS "x." A3_SIG), ST_NOT_FOUND);
    assert_int_equal(outcome(secret, A1), ST_UNAUTHORIZED);
    assert_int_equal(outcome(secret, A3), ST_NOT_FOUND);
    assert_int_equal(outcome(named, "eyJhbGciOiJub25lIn0." CLAIMS "."), ST_UNAUTHORIZED);
    jws_ring_free(named);
    jws_ring_free(nameless);
    jws_ring_free(secret);
}

static void a_part_of_a_ring_is_replaced(void **state)
{
    (void)state;
    struct jws_ring *ring = ring_of_secret(NULL), *second = jws_ring_new();
    jws_ring_replace(ring, 1, ring_of_jwks(A3_JWK), 0);
    assert_int_equal(jws_ring_count(ring), 2);
    assert_int_equal(outcome(ring, A3), ST_OK); /* and its header is remembered */
    jws_ring_replace(ring, 1, ring_of_jwks(A2_JWK), 0);
    assert_int_equal(jws_ring_count(ring), 2);
    assert_int_equal(outcome(ring, A3), ST_NOT_FOUND);
    assert_int_equal(outcome(ring, A2), ST_OK);
    signs_and_verifies(ring); /* with the secret */
    /* an id that is taken is skipped; what stands before `first` is left behind */
    assert_int_equal(jws_ring_add_hs256(second, "x", SECRET, 32), ST_OK);
    jws_ring_replace(second, 1, ring, 1);
    assert_int_equal(jws_ring_count(second), 2);
    assert_int_equal(outcome(second, A2), ST_OK);
    jws_ring_replace(second, 2, ring_of_jwks(A2_JWK "," A3_JWK), 0);
    assert_int_equal(jws_ring_count(second), 3);
    assert_int_equal(outcome(second, A3), ST_OK);
    jws_ring_replace(second, 0, NULL, 0);
    assert_int_equal(jws_ring_count(second), 0);
    assert_int_equal(outcome(second, A2), ST_NOT_FOUND);
    jws_ring_free(second);
}

static void a_full_ring_takes_no_more(void **state)
{
    (void)state;
    struct jws_ring *ring = jws_ring_new();
    char kid[16];
    for (int i = 0; i < 64; i++) {
        (void)snprintf(kid, sizeof(kid), "k%d", i);
        assert_int_equal(jws_ring_add_hs256(ring, kid, SECRET, 32), ST_OK);
    }
    assert_int_equal(jws_ring_add_hs256(ring, "one-more", SECRET, 32), ST_INVALID);
    signs_and_verifies(ring);
    jws_ring_free(ring);
}

static enum status try_jwks(const char *text)
{
    struct jws_ring *ring = jws_ring_new();
    const enum status st = jws_ring_add_jwks(ring, text, strlen(text));
    jws_ring_free(ring);
    return st;
}

static void jwks_documents(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":[]}",
        "{\"keys\":[7]}",
        "{\"keys\":[",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"" A1_KEY "\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" A3_X "\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" A3_X "\",\"y\":\"" A3_X "\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"" A1_KEY "\",\"e\":\"AQAB\"}]}", /* 512 bits */
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"" A2_N "\",\"e\":\"AQ\"}]}",     /* e = 1 */
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"" A2_N "\",\"e\":\"\"}]}",
        "{\"keys\":[{\"kid\":5,\"kty\":\"RSA\",\"n\":\"" A2_N "\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"use\":\"enc\",\"kty\":\"RSA\",\"n\":\"" A2_N "\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"alg\":\"PS256\",\"kty\":\"RSA\",\"n\":\"" A2_N "\",\"e\":\"AQAB\"}]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(try_jwks(bad[i]), ST_INVALID);
    assert_int_equal(
        try_jwks("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}," A3_JWK "," A2_JWK
                 "]}"),
        ST_OK);
    assert_int_equal(try_jwks("{\"x\":1,\"keys\":[{\"kid\":\"a\",\"use\":\"sig\",\"alg\":\"RS256\","
                              "\"kty\":\"RSA\",\"n\":\"" A2_N "\",\"e\":\"AQAB\"}]}"),
                     ST_OK);
}

/* One bad key must not lock out the users of all others. */
static void a_bad_key_is_passed_over(void **state)
{
    static const char *const texts[] = {
        "{\"keys\":[" A3_JWK ",{\"kty\":\"RSA\",\"n\":\"AA\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" A3_X "\",\"y\":\"" A3_X
        "\"}," A3_JWK "]}",
        "{\"keys\":[{\"kid\":5,\"kty\":\"RSA\",\"n\":\"" A2_N "\",\"e\":\"AQAB\"},7,null," A3_JWK
        "]}",
        "{\"keys\":[" A3_JWK "," A3_JWK "]}", /* the same key twice */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct jws_ring *ring = jws_ring_new();
        assert_int_equal(jws_ring_add_jwks(ring, texts[i], strlen(texts[i])), ST_OK);
        assert_non_null(verify(ring, A3));
        jws_ring_free(ring);
    }
    jws_ring_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc7515_a1_hs256),
        cmocka_unit_test(rfc7515_a2_rs256),
        cmocka_unit_test(rfc7515_a3_es256),
        cmocka_unit_test(every_altered_character_is_refused),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(cut_public_key_signatures_are_refused),
        cmocka_unit_test(alg_none_is_refused),
        cmocka_unit_test(the_header_must_be_strict_json),
        cmocka_unit_test(a_public_key_is_never_an_hmac_secret),
        cmocka_unit_test(one_algorithm_per_key_id),
        cmocka_unit_test(the_key_id_decides),
        cmocka_unit_test(a_key_without_id_serves_unknown_ids),
        cmocka_unit_test(too_long_is_refused),
        cmocka_unit_test(hs256_round_trip),
        cmocka_unit_test(signing_writes_the_exact_token),
        cmocka_unit_test(es256_derived_is_the_same_on_every_pod),
        cmocka_unit_test(pem_keys),
        cmocka_unit_test(bad_secrets_and_ids),
        cmocka_unit_test(a_public_pem_verifies_only),
        cmocka_unit_test(unknown_keys_are_told_from_bad_signatures),
        cmocka_unit_test(a_part_of_a_ring_is_replaced),
        cmocka_unit_test(a_full_ring_takes_no_more),
        cmocka_unit_test(jwks_documents),
        cmocka_unit_test(a_bad_key_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
