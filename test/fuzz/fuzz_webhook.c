/* SPDX-License-Identifier: MIT */
/* webhook: a header is accepted only for the time and the body that a secret has signed; any other byte is noticed. */
#include "fuzz.h"

#include "auth/webhook.h"

#include <inttypes.h>
#include <stdio.h>

#define NOW_S INT64_C(1800000000)
#define BODY  "{\"status\":\"paid\"}"

static struct webhook_keys *one, *two;

static void begin(void)
{
    if (one)
        return;
    one = webhook_keys_new();
    two = webhook_keys_new();
    check(webhook_keys_add(one, "the secret of the fuzzer", 24) == ST_OK);
    check(webhook_keys_add(two, "the one that comes after it", 27) == ST_OK);
    check(webhook_keys_add(two, "the secret of the fuzzer", 24) == ST_OK);
}

/* Does the text have a signature by one of both secrets, of a time that is near enough? */
static bool is_signed(const char *header)
{
    for (int64_t at_s = NOW_S - 300; at_s <= NOW_S + 300; at_s++) {
        char text[64], mac[WEBHOOK_MAC_SIZE];
        const int len = snprintf(text, sizeof(text), "%" PRId64 ".%s", at_s, BODY);
        check(webhook_sign(one, text, (size_t)len, mac) == ST_OK);
        if (strstr(header, mac))
            return true;
        check(webhook_sign(two, text, (size_t)len, mac) == ST_OK);
        if (strstr(header, mac))
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf good;
    char *header = text_new(data, size);
    begin();
    const enum status st = webhook_read_header(two, header, NOW_S, BODY, strlen(BODY));
    check(st == ST_UNAUTHORIZED || (st == ST_OK && is_signed(header)));
    free(header);
    /* A good header in which the input changes one byte is not good any more. */
    buf_init(&good, 256);
    check(webhook_write_header(one, NOW_S, BODY, strlen(BODY), &good) == ST_OK);
    check(webhook_read_header(two, buf_str(&good), NOW_S, BODY, strlen(BODY)) == ST_OK);
    if (size >= 2 && good.data[data[0] % good.len] != (char)data[1]) {
        good.data[data[0] % good.len] = (char)data[1];
        check(webhook_read_header(two, buf_str(&good), NOW_S, BODY, strlen(BODY)) ==
              ST_UNAUTHORIZED);
    }
    buf_clear(&good);
    return 0;
}
