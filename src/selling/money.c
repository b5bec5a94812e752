/* SPDX-License-Identifier: MIT */
/*
 * money: an amount as text.
 *
 * Why this way: in the browser, Intl writes amounts in the reader's language. This is for pages without
 * JavaScript: the code of the currency is understood in every language.
 * Called by: api_buy and provider_page. Pure.
 */
#include "selling/money.h"

#include <inttypes.h>
#include <string.h>

static int decimals(const char *currency)
{
    static const char none[] = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF";
    static const char three[] = "BHD IQD JOD KWD LYD OMR TND";
    if (strlen(currency) != 3)
        return 2;
    return strstr(none, currency) ? 0 : strstr(three, currency) ? 3 : 2;
}

void money_write(struct buf *out, int64_t amount, const char *currency)
{
    static const uint64_t units[] = {1, 10, 100, 1000};
    const int places = decimals(currency);
    const uint64_t size = amount < 0 ? 0 - (uint64_t)amount : (uint64_t)amount;
    if (amount < 0)
        buf_add_char(out, '-');
    buf_add_grouped(out, size / units[places]);
    if (places > 0)
        buf_printf(out, ".%0*" PRIu64, places, size % units[places]);
    buf_add_char(out, ' ');
    buf_add_str(out, currency);
}
