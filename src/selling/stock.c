/* SPDX-License-Identifier: MIT */
/*
 * stock: what is left of an event's tickets.
 *
 * Why this way: buyers who wait are told what they wait for, early enough to do something else. The seats per buyer are
 * measured over those who have been through, whatever they bought, none included, so the forecast needs no assumption
 * about how many buy. Its range covers the chance in it and the drift of the crowd. As in seat_delta, the map is
 * scanned and not parsed: names have their quotes escaped, so `,"price":` is a key wherever it occurs.
 * Called by: stock_cache, api. Pure.
 */
#include "selling/stock.h"

#include "base/json.h"
#include "base/memory.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PRICES_MAX  128
#define THROUGH_MIN 20  /* so many buyers must have been through */
#define FEW_SHARE   10  /* a tenth or less of a band is "few" */
#define DEVIATIONS  1.5 /* of the chance, that the range covers */
#define DRIFT       0.1 /* and of the seats that buyers take until then */

static const char *const level_names[] = {
    [STOCK_AVAILABLE] = "available", [STOCK_FEW] = "few", [STOCK_NONE] = "none"};

const char *stock_level_name(enum stock_level level)
{
    return level_names[level];
}

enum stock_level stock_level(const struct stock_band *band)
{
    return band->free == 0                         ? STOCK_NONE
           : band->free * FEW_SHARE <= band->seats ? STOCK_FEW
                                                   : STOCK_AVAILABLE;
}

/* ---- counting ---- */

struct prices {
    size_t count;
    bool too_many;
    struct stock_band of[PRICES_MAX]; /* from == to */
};

static int by_price(const void *a, const void *b)
{
    const struct stock_band *one = a, *other = b;
    return (one->from > other->from) - (one->from < other->from);
}

/* Neighbours mostly have one price, so `last`, the index found before, is tried first. */
static struct stock_band *price_of(struct prices *prices, int64_t price, size_t *last)
{
    if (*last < prices->count && prices->of[*last].from == price)
        return &prices->of[*last];
    for (size_t i = 0; i < prices->count; i++) {
        if (prices->of[i].from == price) {
            *last = i;
            return &prices->of[i];
        }
    }
    if (prices->count == PRICES_MAX)
        return NULL;
    *last = prices->count;
    prices->of[prices->count] = (struct stock_band){.from = price, .to = price};
    return &prices->of[prices->count++];
}

/* Makes at most STOCK_BANDS_MAX bands of the prices, with about as many prices in each. */
static void make_bands(struct stock *stock, struct prices *prices)
{
    const size_t bands = prices->count < STOCK_BANDS_MAX ? prices->count : STOCK_BANDS_MAX;
    qsort(prices->of, prices->count, sizeof(*prices->of), by_price);
    for (size_t i = 0; i < prices->count; i++) {
        const struct stock_band *price = &prices->of[i];
        const size_t at = i * bands / prices->count;
        struct stock_band *band = &stock->bands[at];
        if (at == stock->count) {
            stock->count++;
            band->from = price->from;
        }
        band->to = price->to;
        band->seats += price->seats;
        band->free += price->free;
    }
}

static const char *after_word(const char *at, const char *end, const char *word)
{
    const size_t len = strlen(word);
    const char *found = at && at < end ? memmem(at, (size_t)(end - at), word, len) : NULL;
    return found ? found + len : NULL;
}

bool stock_read(struct stock *stock, const char *map, size_t len)
{
    const char *at = map, *end = map + len;
    struct prices prices = {.count = 0};
    size_t last = 0;
    *stock = (struct stock){.seats = 0};
    while ((at = after_word(at, end, ",\"price\":"))) {
        int64_t price = 0;
        for (; at < end && *at >= '0' && *at <= '9'; at++)
            price = 10 * price + (*at - '0');
        at = after_word(at, end, "\"currency\":\"");
        if (!at || end - at < 3)
            return false;
        memcpy(stock->currency, at, 3);
        at = after_word(at, end, "\"status\":\"");
        if (!at || at == end)
            return false;
        if (*at == 'b') /* blocked: for sale to nobody */
            continue;
        stock->seats++;
        stock->free += *at == 'a';
        stock->sold += *at == 's';
        struct stock_band *band = price_of(&prices, price, &last);
        prices.too_many = prices.too_many || !band;
        if (band) {
            band->seats++;
            band->free += *at == 'a';
        }
    }
    if (!prices.too_many)
        make_bands(stock, &prices);
    return true;
}

/* ---- sections ---- */

/* A section as the map writes it: with its escapes. */
struct written {
    const char *name;
    size_t len;
};

/* Returns new: the name without escapes. */
static char *name_of(const struct written *written)
{
    struct buf text;
    buf_init(&text, written->len + 4);
    buf_add_str(&text, "[\"");
    buf_add(&text, written->name, written->len);
    buf_add_str(&text, "\"]");
    struct json *list = json_parse(buf_str(&text), text.len, text.len, NULL);
    const char *name = list ? json_str_value(json_array_at(list, 0)) : NULL;
    char *kept = xstrdup(name ? name : "");
    json_free(list);
    buf_clear(&text);
    return kept;
}

static bool is_same(const struct written *one, const struct written *other)
{
    return one->name && one->len == other->len && memcmp(one->name, other->name, one->len) == 0;
}

void stock_sections_read(struct stock_sections *sections, const char *map, size_t len)
{
    const char *at = map, *end = map + len;
    struct written known[STOCK_SECTIONS_MAX] = {{0}};
    size_t last = 0;
    *sections = (struct stock_sections){.of = xcalloc(STOCK_SECTIONS_MAX, sizeof(*sections->of))};
    while ((at = after_word(at, end, "\"section\":\""))) {
        struct written section = {.name = at};
        int64_t price = 0;
        while (at < end && *at != '"')
            at += *at == '\\' ? 2 : 1;
        section.len = at < end ? (size_t)(at - section.name) : 0;
        at = after_word(at, end, ",\"price\":");
        for (; at && at < end && *at >= '0' && *at <= '9'; at++)
            price = 10 * price + (*at - '0');
        at = after_word(at, end, "\"status\":\"");
        if (!at || at == end)
            return;
        if (last >= sections->count || !is_same(&known[last], &section)) {
            for (last = 0; last < sections->count && !is_same(&known[last], &section); last++)
                ;
        }
        if (last == STOCK_SECTIONS_MAX) {
            stock_sections_clear(sections);
            return;
        }
        struct stock_section *found = &sections->of[last];
        if (last == sections->count) {
            known[sections->count++] = section;
            *found = (struct stock_section){.name = name_of(&section), .from = price};
        }
        found->from = price < found->from ? price : found->from;
        found->free += *at == 'a';
    }
}

void stock_sections_clear(struct stock_sections *sections)
{
    for (size_t i = 0; i < sections->count; i++)
        free(sections->of[i].name);
    free(sections->of);
    *sections = (struct stock_sections){.count = 0};
}

/* ---- writing ---- */

void stock_write(const struct stock *stock, struct buf *out)
{
    buf_add_char(out, '[');
    for (size_t i = 0; i < stock->count; i++) {
        const struct stock_band *band = &stock->bands[i];
        buf_printf(
            out, "%s{\"from\":%" PRId64 ",\"to\":%" PRId64 ",\"currency\":\"%s\",\"level\":\"%s\"}",
            i > 0 ? "," : "", band->from, band->to, stock->currency,
            stock_level_name(stock_level(band)));
    }
    buf_add_char(out, ']');
}

/* ---- the forecast ---- */

struct stock_forecast stock_forecast(const struct stock *stock, uint64_t admitted, uint64_t inside,
                                     uint64_t ahead, uint64_t most)
{
    const uint64_t unsold = stock->seats - stock->sold;
    struct stock_forecast forecast = {.known = false};
    if (stock->seats == 0 || admitted < inside + THROUGH_MIN)
        return forecast;
    const double through = (double)(admitted - inside), coming = (double)(inside + ahead);
    const double each = (double)stock->sold / through, largest = fmax((double)most, each);
    /* The variance of what one buyer takes is at most each * (largest - each), by Bhatia and Davis. The mean is
     * uncertain too: it was measured over `through` buyers. */
    const double variance = each * (largest - each);
    const double chance = sqrt(variance * (coming + coming * coming / through));
    const double taken = each * coming, error = DEVIATIONS * chance + DRIFT * taken;
    const double left = (double)unsold - taken;
    forecast.known = true;
    forecast.about = (uint64_t)fmax(left, 0);
    forecast.low = (uint64_t)fmax(left - error, 0);
    forecast.high = (uint64_t)fmin(fmax(left + error, 0), (double)unsold);
    return forecast;
}
