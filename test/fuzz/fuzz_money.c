/* SPDX-License-Identifier: MIT */
/* money: eight bytes are an amount, the rest a currency: the text's digits are those of the amount. */
#include "fuzz.h"

#include "base/locale.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t amount;
    uint64_t digits = 0;
    if (size < sizeof(amount))
        return 0;
    memcpy(&amount, data, sizeof(amount));
    char *currency = text_new(data + sizeof(amount), size - sizeof(amount));
    struct buf out;
    buf_init(&out, (size_t)1 << 20);
    for (int language = 0; language < LANGUAGE_COUNT; language++) {
        buf_reset(&out);
        locale_money(&out, (enum language)language, amount, currency);
        check(out.len > 0);
    }
    if (strpbrk(currency, "0123456789")) { /* no code: it stands behind the number */
        buf_truncate(&out, out.len - strlen(currency));
    }
    for (const char *at = buf_str(&out); *at; at++)
        if (*at >= '0' && *at <= '9')
            digits = 10 * digits + (uint64_t)(*at - '0');
    check(digits == (amount < 0 ? 0 - (uint64_t)amount : (uint64_t)amount));
    buf_clear(&out);
    free(currency);
    return 0;
}
