/* SPDX-License-Identifier: MIT */
/* claims: the plain form gives what the JSON parser gives; with a blank before it, the same payload takes the other path. */
#include "fuzz.h"

#include "auth/claims.h"
#include "base/buf.h"

static void compare(const struct claim *one, const struct claim *two)
{
    check(one->kind == two->kind);
    if (one->kind == CLAIM_TEXT)
        check(one->len == two->len && memcmp(one->text, two->text, one->len) == 0);
    if (one->kind == CLAIM_INTEGER)
        check(one->integer == two->integer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct claims claims = {0}, twin = {0};
    struct buf spaced;
    if (size > 4000) /* the blank must not take it over the limit */
        return 0;
    buf_init(&spaced, 8192);
    buf_add_char(&spaced, ' ');
    buf_add(&spaced, data, size);
    const enum status one = claims_read((const char *)data, size, &claims);
    const enum status two = claims_read(spaced.data, spaced.len, &twin);
    check(one == two);
    if (one == ST_OK) {
        for (int i = 0; i < CLAIM_NAMES; i++)
            compare(&claims.list[i], &twin.list[i]);
        check(claims_are_for(&claims, "tiketi") == claims_are_for(&twin, "tiketi"));
        claims_clear(&claims);
        claims_clear(&twin);
    }
    buf_clear(&spaced);
    return 0;
}
