/* SPDX-License-Identifier: MIT */
/* guest_cookie: only what was written under one of the keys is accepted; any other byte in it is noticed. */
#include "fuzz.h"

#include "auth/guest_cookie.h"

static struct guest_keys *keys;

static void begin(void)
{
    if (keys)
        return;
    keys = guest_keys_new();
    check(guest_keys_add(keys, "the first key of the fuzzer", 27) == ST_OK);
    check(guest_keys_add(keys, "the one before it", 17) == ST_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char id[GUEST_ID_LEN + 1], good[GUEST_COOKIE_SIZE];
    int64_t day = 0;
    begin();
    char *copy = malloc(size > 0 ? size : 1); /* of exactly that size */
    check(copy);
    if (size > 0)
        memcpy(copy, data, size);
    if (guest_cookie_read(keys, copy, size, id, &day))
        check(memcmp(id, copy, GUEST_ID_LEN) == 0 && day >= 0);
    free(copy);
    /* A good cookie in which the input changes one byte is not good any more. */
    check(guest_cookie_write(keys, "g:0123456789abcdef0123456789abcdef", 20000, good) == ST_OK);
    check(guest_cookie_read(keys, good, strlen(good), id, &day) && day == 20000);
    if (size >= 2 && good[data[0] % strlen(good)] != (char)data[1]) {
        const size_t len = strlen(good);
        good[data[0] % len] = (char)data[1];
        check(!guest_cookie_read(keys, good, len, id, &day));
    }
    return 0;
}
