/* SPDX-License-Identifier: MIT */
/*
 * money: an amount as people write it.
 *
 * Why this way: the browser's Intl does it by the reader's language; this is for pages without a
 * script, where the code of the currency is understood by all. Called by: api_buy, provider_page.
 */
#include "selling/money.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

/* Those that do not have two decimals. */
static int decimals(const char *currency)
{
    static const char none[] = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF";
    static const char three[] = "BHD IQD JOD KWD LYD OMR TND";
    if (strlen(currency) != 3)
        return 2;
    return strstr(none, currency) != NULL ? 0 : strstr(three, currency) != NULL ? 3 : 2;
}

static void write_whole(struct buf *out, uint64_t n)
{
    if (n >= 1000) {
        write_whole(out, n / 1000); /* at most seven deep */
        buf_printf(out, ",%03u", (unsigned)(n % 1000));
    } else {
        buf_add_uint(out, n);
    }
}

void money_write(struct buf *out, int64_t amount, const char *currency)
{
    static const uint64_t units[] = {1, 10, 100, 1000};
    const int places = decimals(currency);
    const uint64_t size = amount < 0 ? 0 - (uint64_t)amount : (uint64_t)amount;
    if (amount < 0)
        buf_add_char(out, '-');
    write_whole(out, size / units[places]);
    if (places > 0)
        buf_printf(out, ".%0*" PRIu64, places, size % units[places]);
    buf_add_char(out, ' ');
    buf_add_str(out, currency);
}
