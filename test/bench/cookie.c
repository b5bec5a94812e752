/* SPDX-License-Identifier: MIT */
/*
 * cookie: what a request pays for the guest's cookie. Prints the CPU time, in nanoseconds, of finding and verifying the
 * cookie in a usual header, of making one, and of a bare HMAC-SHA-256 of as many bytes by a prepared context of OpenSSL.
 */
#include "auth/cookie_jar.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TURNS 200000
#define KEY   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define ID    "g:0123456789abcdef0123456789abcdef"

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static EVP_MAC_CTX *prepared(void)
{
    char digest[] = "SHA256";
    const unsigned char key[32] = {1};
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(EVP_MAC_fetch(NULL, "HMAC", NULL));
    return ctx && EVP_MAC_init(ctx, key, sizeof(key), params) == 1 ? ctx : NULL;
}

int main(void)
{
    char error[160], cookie[GUEST_COOKIE_SIZE], header[1024], id[GUEST_ID_LEN + 1];
    struct token_keys *keys;
    int64_t day = 20000, failed = 0;
    EVP_MAC_CTX *bare = prepared();
    if (!bare ||
        token_keys_new(&(struct config){.ticket_keys = "k1:" KEY}, &keys, error, sizeof(error)) !=
            ST_OK ||
        token_write_guest(keys, ID, day, cookie) != ST_OK)
        return 1;
    (void)snprintf(header, sizeof(header), "tiketi_ticket_demo=%0330d; tiketi_guest=%s; lang=ko", 0,
                   cookie);

    const double first = cpu_ns();
    for (int i = 0; i < TURNS; i++) {
        const struct cookie_jar jar = cookie_jar_of(header, false, NULL);
        failed += !cookie_jar_guest(&jar, keys, id, &day);
    }
    const double second = cpu_ns();
    for (int i = 0; i < TURNS; i++)
        failed += token_write_guest(keys, ID, day, cookie) != ST_OK;
    const double third = cpu_ns();
    for (int i = 0; i < TURNS; i++) {
        unsigned char out[32];
        size_t len;
        failed += EVP_MAC_init(bare, NULL, 0, NULL) != 1 ||
                  EVP_MAC_update(bare, (const unsigned char *)header, 53) != 1 ||
                  EVP_MAC_final(bare, out, &len, sizeof(out)) != 1;
    }
    const double fourth = cpu_ns();
    if (failed > 0)
        return 1;
    printf("{\"verify\":%.1f,\"make\":%.1f,\"bare\":%.1f}\n", (second - first) / TURNS,
           (third - second) / TURNS, (fourth - third) / TURNS);
    token_keys_free(keys);
    return 0;
}
