/* SPDX-License-Identifier: MIT */
/*
 * token: the first byte tells what the rest is.
 *   T  the text of a ticket, pass or JWT: accepted as a ticket only if ticket_sign would write it
 *   t  the payload of a ticket, p: of a pass, u: of a JWT; correctly signed, to reach the readers behind the MAC
 *   h  the header of a JWT; correctly signed: only HS256 may be accepted
 *   k  a JWKS document
 *   b  base64url
 */
#include "auth/jws.h"
#include "auth/token.h"
#include "base/base64url.h"
#include "base/utf8.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#define SECRET "a-secret-of-the-fuzzer,-32-bytes"
#define KEY                                                                                        \
    "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15"     \
    "\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f"
#define KEY_HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct token_keys *keys;
static struct jws_ring *tickets, *passes, *users;
static struct buf scratch, second;

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void begin(void)
{
    char error[200];
    const struct config config = {.jwt_secrets = SECRET, .ticket_keys = "k1:" KEY_HEX};
    if (keys)
        return;
    tickets = jws_ring_new();
    passes = jws_ring_new();
    users = jws_ring_new();
    check(token_keys_new(&config, &keys, error, sizeof(error)) == ST_OK);
    check(jws_ring_add_hs256(tickets, "k1", KEY, 32) == ST_OK);
    check(jws_ring_add_es256_derived(passes, KEY, 32) == ST_OK);
    check(jws_ring_add_hs256(users, NULL, SECRET, strlen(SECRET)) == ST_OK);
    buf_init(&scratch, (size_t)1 << 20);
    buf_init(&second, (size_t)1 << 20);
}

/* An accepted ticket is byte for byte what ticket_sign writes. */
static void try_ticket(const char *text, size_t len)
{
    struct ticket ticket;
    if (ticket_read(keys, text, len, &ticket) != ST_OK)
        return;
    buf_reset(&second);
    check(ticket_sign(keys, &ticket, &second) == ST_OK);
    check(second.len == len && memcmp(second.data, text, len) == 0);
}

static void try_pass(const char *text, size_t len)
{
    struct pass pass;
    if (pass_read(keys, text, len, 0, &pass) == ST_OK)
        check(token_is_event_id(pass.event, strlen(pass.event)) && strlen(pass.buyer) > 2);
}

static void try_user(const char *text, size_t len)
{
    struct user user;
    if (token_read_user(keys, text, len, INT64_C(1800000000000), &user) != ST_OK)
        return;
    const size_t sub_len = strlen(user.sub);
    check(sub_len >= 1 && sub_len <= 255 && user.role <= USER_ADMIN);
    check(utf8_is_valid(user.sub, sub_len));
    for (size_t i = 0; i < sub_len; i++)
        check((unsigned char)user.sub[i] >= ' ' && user.sub[i] != 0x7f);
}

/* With a space before it, the payload of a JWT is read by the other reader, which must give the same result. */
static void on_claims(const char *data, size_t size)
{
    struct user user = {0}, twin = {0};
    const int64_t now_ms = INT64_C(1800000000000);
    buf_reset(&scratch);
    if (jws_sign(users, data, size, &scratch) != ST_OK)
        return;
    try_user(scratch.data, scratch.len);
    const enum status st = token_read_user(keys, scratch.data, scratch.len, now_ms, &user);
    buf_reset(&second);
    buf_add_char(&second, ' ');
    buf_add(&second, data, size);
    buf_reset(&scratch);
    if (jws_sign(users, second.data, second.len, &scratch) != ST_OK)
        return;
    check(token_read_user(keys, scratch.data, scratch.len, now_ms, &twin) == st);
    check(strcmp(user.sub, twin.sub) == 0 && user.role == twin.role);
}

static void on_text(const char *data, size_t size)
{
    try_ticket(data, size);
    try_pass(data, size);
    try_user(data, size);
}

static void on_payload(struct jws_ring *ring, void (*attempt)(const char *, size_t),
                       const char *data, size_t size)
{
    buf_reset(&scratch);
    if (jws_sign(ring, data, size, &scratch) == ST_OK)
        attempt(scratch.data, scratch.len);
}

static void on_header(const char *data, size_t size)
{
    unsigned char mac[32];
    buf_reset(&scratch);
    buf_reset(&second);
    base64url_encode(data, size, &scratch);
    buf_add_str(&scratch, ".e30"); /* {} */
    check(HMAC(EVP_sha256(), SECRET, (int)strlen(SECRET), (unsigned char *)scratch.data,
               scratch.len, mac, NULL));
    buf_add_char(&scratch, '.');
    base64url_encode(mac, sizeof(mac), &scratch);
    if (jws_verify(users, scratch.data, scratch.len, &second) == ST_OK)
        check(strcmp(buf_str(&second), "{}") == 0 && memmem(data, size, "alg", 3) &&
              !memmem(data, size, "\"crit\"", 6));
}

static void on_jwks(const char *data, size_t size)
{
    struct jws_ring *ring = jws_ring_new();
    buf_reset(&scratch);
    const enum status st = jws_ring_add_jwks(ring, data, size);
    jws_write_jwks(ring, &scratch);
    check(st == ST_OK || strcmp(scratch.data, "{\"keys\":[]}") == 0);
    jws_ring_free(ring);
}

static void on_base64(const char *data, size_t size)
{
    buf_reset(&scratch);
    buf_reset(&second);
    if (base64url_decode(data, size, &scratch) == ST_OK) {
        base64url_encode(buf_str(&scratch), scratch.len, &second);
        check(second.len == size && memcmp(buf_str(&second), data, size) == 0);
    } else {
        check(scratch.len == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    begin();
    if (size == 0)
        return 0;
    const char *rest = (const char *)data + 1;
    switch (data[0]) {
    case 'T':
        on_text(rest, size - 1);
        break;
    case 't':
        on_payload(tickets, try_ticket, rest, size - 1);
        break;
    case 'p':
        on_payload(passes, try_pass, rest, size - 1);
        break;
    case 'u':
        on_claims(rest, size - 1);
        break;
    case 'h':
        on_header(rest, size - 1);
        break;
    case 'k':
        on_jwks(rest, size - 1);
        break;
    case 'b':
        on_base64(rest, size - 1);
        break;
    default:
        break;
    }
    return 0;
}
