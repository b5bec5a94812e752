/* SPDX-License-Identifier: MIT */
/*
 * stock: how many tickets are left, for buyers who wait: bands of prices with what is left in each, and how many seats
 * will probably be left when it is a buyer's turn. Read from a seat map (seat_map.h); pure.
 */
#ifndef TIKETI_STOCK_H
#define TIKETI_STOCK_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STOCK_BANDS_MAX    8
#define STOCK_SECTIONS_MAX 60

enum stock_level { STOCK_AVAILABLE, STOCK_FEW, STOCK_NONE };
/* "available", "few", "none". Static. */
const char *stock_level_name(enum stock_level level);

struct stock_band {
    int64_t from, to; /* prices, in minor units */
    uint64_t seats, free;
};

struct stock {
    uint64_t seats, free, sold; /* without blocked ones; the others are held */
    char currency[4];
    size_t count; /* of bands, ascending; 0 when there are too many prices for bands */
    struct stock_band bands[STOCK_BANDS_MAX];
};

/* Counts the seats of a map of `len` bytes. False: the text is not such a map. */
bool stock_read(struct stock *stock, const char *map, size_t len);

enum stock_level stock_level(const struct stock_band *band);

/* Appends `[{"from":…,"to":…,"currency":"…","level":"…"},…]`. */
void stock_write(const struct stock *stock, struct buf *out);

/* What is left of a section, for who cannot see the map. */
struct stock_section {
    char *name;
    int64_t from; /* the lowest price, in minor units */
    uint64_t free;
};
struct stock_sections {
    size_t count; /* 0: too many for a list */
    struct stock_section *of;
};
/* Counts the seats of a map by section, in its order, up to STOCK_SECTIONS_MAX of them. *sections is then freed by
 * stock_sections_clear. */
void stock_sections_read(struct stock_sections *sections, const char *map, size_t len);
void stock_sections_clear(struct stock_sections *sections);

struct stock_forecast {
    bool known; /* false: too few buyers have been through */
    uint64_t about, low, high;
};
/* Estimates the seats that will be unsold at the turn of the buyer with `ahead` buyers before them, `inside` of all
 * `admitted` being inside now, when a buyer may have `most` seats. */
struct stock_forecast stock_forecast(const struct stock *stock, uint64_t admitted, uint64_t inside,
                                     uint64_t ahead, uint64_t most);

#endif
