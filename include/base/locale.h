/* SPDX-License-Identifier: MIT */
/*
 * locale: numbers, amounts of money, times and plural forms as each language of the pages writes them.
 *
 * The rules are those of Unicode's CLDR, through ICU; browsers have the same rules in Intl. May be called from
 * any thread.
 */
#ifndef TIKETI_LOCALE_H
#define TIKETI_LOCALE_H

#include "base/buf.h"
#include "base/language.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes of a time zone's name, with its NUL: "America/Argentina/ComodRivadavia". */
#define LOCALE_ZONE_SIZE 48

/* Appends "1,234". */
void locale_number(struct buf *out, enum language language, uint64_t n);
/* Appends "€50.00" or "₩9,900". `amount` is in minor units; `currency` is an ISO 4217 code, which decides the
 * number of decimals. What is no code is written behind the number. */
void locale_money(struct buf *out, enum language language, int64_t amount, const char *currency);
/* The number of decimals of a currency; -1: it is not the code of a currency that ISO 4217 has and that is in use. */
int locale_currency_decimals(const char *code);
/* The form of a word that the language uses for `n` of a thing: "one", "other" …, as CLDR names it. Static. */
const char *locale_plural(enum language language, uint64_t n);

/* Appends the text as a search compares it (NFKC, case-folded): "ＡＢＣ", "Abc" and "abc" are equal. */
void locale_fold(struct buf *out, const char *text);

/* Is it the IANA name of a time zone, such as "Asia/Seoul" or "UTC"? Abbreviations ("PST") and offsets are not. */
bool locale_is_zone(const char *name);

enum locale_form {
    LOCALE_FULL,    /* Friday, May 14, 2027 at 7:00 PM */
    LOCALE_DATE,    /* May 14, 2027 */
    LOCALE_TIME,    /* 7:00 PM */
    LOCALE_MONTH,   /* May, the head of a date block */
    LOCALE_DAY,     /* 14 */
    LOCALE_WEEKDAY, /* Fri */
    LOCALE_ZONE,    /* Korean Standard Time: the name of the zone at that time of the year */
    LOCALE_FORMS
};
/* Appends a time, ms since 1970, as a clock in `zone` shows it. `zone`: an IANA name; "": UTC. */
void locale_time(struct buf *out, enum language language, const char *zone, int64_t ms,
                 enum locale_form form);

#endif
